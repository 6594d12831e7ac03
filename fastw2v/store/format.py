"""The token store: sequences as vocabulary ids in Parquet. Only this module knows the format.

STORE/
  manifest.json               written last: without it the store is unfinished
  vocabulary.parquet          token, count; the row is the id
  phrases.parquet             the phrases that were joined, where some were
  tokens/part-00000.parquet   tokens: list<int32>, one row a sequence
  unfinished/                 only while `preprocess` is at work
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastw2v.errors import DataError, UsageError
from fastw2v.io import storage
from fastw2v.io.parquet_check import RowGroup, check_pages, read_footer
from fastw2v.io.store_directory import (
    FORMAT,
    FORMAT_VERSION,
    MANIFEST,
    PHRASES,
    VOCABULARY,
    check_manifest,
    damaged_manifest,
    is_unfinished_store,
)
from fastw2v.io.untrusted import inside, open_regular
from fastw2v.store.phrases.phrases import Phrases, load_phrases
from fastw2v.store.vocabulary import PARQUET_ERRORS, PARQUET_OPTIONS, Vocabulary, first_line
from fastw2v.text.config import Layout

_HASH_KEY = b"fastw2v.vocabulary"
# The four bytes of an id apart, as most high bytes are 0: a fifth less on disk than plain pages, in
# half of the time to write and two thirds to read (bench/LOG.md).
_PART_OPTIONS = {**PARQUET_OPTIONS, "column_encoding": {"tokens.list.element": "BYTE_STREAM_SPLIT"}}


class TokenPartWriter:
    """Writes one part. Use as a context manager around the temporary file of an atomic write.

    Row groups end with the sequence that brings them to `row_group_tokens` tokens, whatever the
    sizes in which the sequences arrive.
    """

    def __init__(
        self, path: Path, vocabulary_hash: str, row_group_tokens: int = Layout.row_group_tokens
    ) -> None:
        element = pa.field("element", pa.int32(), nullable=False)
        field = pa.field("tokens", pa.list_(element), nullable=False)
        self._schema = pa.schema([field], metadata={_HASH_KEY: vocabulary_hash.encode()})
        self._writer = pq.ParquetWriter(path, self._schema, **_PART_OPTIONS)
        self._row_group_tokens = row_group_tokens
        self.row_groups: list[dict[str, int]] = []
        # Of the row group in the making; used again and again, for fresh memory is slow.
        self._ids, self._ends = np.empty(1 << 16, np.int32), np.zeros(1 << 12, np.int32)
        self._pending = self._sequences = 0

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Append sequences: `ids` int (n,) one after another, `lengths` int (m,) > 0, sum n."""
        ends = np.cumsum(lengths)
        start_token = start_sequence = 0
        while len(ids) - start_token + self._pending >= self._row_group_tokens:
            wanted = start_token + self._row_group_tokens - self._pending
            sequence = int(np.searchsorted(ends, wanted)) + 1
            token = int(ends[sequence - 1])
            self._keep(ids[start_token:token], ends[start_sequence:sequence] - start_token)
            self._flush()
            start_token, start_sequence = token, sequence
        self._keep(ids[start_token:], ends[start_sequence:] - start_token)

    def _keep(self, ids: np.ndarray, ends: np.ndarray) -> None:
        pending, sequences = self._pending + len(ids), self._sequences + len(ends)
        self._ids = _with_room(self._ids, pending)
        self._ends = _with_room(self._ends, sequences + 1)
        self._ids[self._pending : pending] = ids
        self._ends[self._sequences + 1 : sequences + 1] = ends + self._pending
        self._pending, self._sequences = pending, sequences

    def _flush(self) -> None:
        if not self._pending:
            return
        sequences, tokens = self._sequences, self._pending
        ids = pa.Array.from_buffers(pa.int32(), tokens, [None, pa.py_buffer(self._ids)])
        ends = pa.Array.from_buffers(pa.int32(), sequences + 1, [None, pa.py_buffer(self._ends)])
        rows = pa.ListArray.from_arrays(ends, ids, type=self._schema.field("tokens").type)
        self._writer.write_table(pa.table([rows], schema=self._schema), row_group_size=sequences)
        self.row_groups.append({"sentences": sequences, "tokens": tokens})
        self._pending = self._sequences = 0

    def __enter__(self) -> TokenPartWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._flush()
        finally:
            self._writer.close()


def _with_room(values: np.ndarray, size: int) -> np.ndarray:
    """`values`, or a longer array that begins with them."""
    if size <= len(values):
        return values
    return np.concatenate([values, np.empty(max(size, 2 * len(values)) - len(values), np.int32)])


@dataclasses.dataclass(frozen=True)
class TokenPart:
    """One open part: `path` for messages, the Parquet footer, read once."""

    path: Path
    metadata: Any
    row_groups: list[RowGroup]

    @classmethod
    def open(cls, path: Path) -> TokenPart:
        """Read the footer.

        Raises:
            DataError: not a Parquet file of `tokens: list<int32>`.
        """
        try:
            with open_regular(path) as raw:
                row_groups = read_footer(raw)
            with pq.ParquetFile(path, pre_buffer=False) as file:
                part = cls(path, file.metadata, row_groups)
                column = file.schema_arrow.field("tokens").type
                leaves = [file.schema.column(n) for n in range(len(file.schema.names))]
        except PARQUET_ERRORS as error:
            raise DataError(
                f"{path}: not a readable part of a token store ({first_line(error)})"
            ) from error
        # Levels as well: with others the same pages are other sequences.
        levels = [(leaf.max_repetition_level, leaf.max_definition_level) for leaf in leaves]
        same = all(len(group.columns) == 1 for group in row_groups) and levels == [(1, 1)]
        if not pa.types.is_list(column) or column.value_type != pa.int32() or not same:
            raise DataError(f"{path}: expected a column tokens: list<int32>, found {column!s:.80}")
        return part

    @property
    def vocabulary_hash(self) -> str:
        """The vocabulary that the ids belong to, "" where the part does not say."""
        return ((self.metadata.metadata or {}).get(_HASH_KEY) or b"").decode("ascii", "replace")

    def row_group_sizes(self) -> list[tuple[int, int]]:
        """Sequences and tokens of each row group, from the footer.

        Correct for parts without nulls and empty sequences, as in every store.
        """
        return [(group.num_rows, group.columns[0].num_values) for group in self.row_groups]

    def read(self, row_group: int, id_limit: int) -> tuple[np.ndarray, np.ndarray]:
        """One row group: ids int32 (n,), offsets int64 (m + 1,) starting at 0.

        Raises:
            DataError: damaged (page checksums are verified), nulls, an id not in 0..id_limit - 1,
                far larger than its file.
        """
        try:
            with open_regular(self.path) as raw:
                check_pages(raw, [self.row_groups[row_group]], ours=True)
            # A file of its own for each call: ParquetFile must not be shared between threads.
            with pq.ParquetFile(
                self.path,
                metadata=self.metadata,
                pre_buffer=False,
                page_checksum_verification=True,
            ) as file:
                table = file.read_row_group(row_group, columns=["tokens"], use_threads=False)
            column = table["tokens"].combine_chunks()
            rows = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
            offsets = rows.offsets.to_numpy().astype(np.int64)
            values = rows.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
            if rows.null_count or values.null_count:
                raise ValueError("it contains nulls")
            ids = values.to_numpy()
        except PARQUET_ERRORS as error:
            raise DataError(
                f"{self.path}: row group {row_group} is damaged ({first_line(error)})"
            ) from error
        if len(ids) and (ids.min() < 0 or ids.max() >= id_limit):
            raise DataError(
                f"{self.path}: row group {row_group} has ids outside 0..{id_limit - 1}; "
                "the file is damaged or of another store"
            )
        return ids, offsets - offsets[0]


class TokenStore:
    """A finished token store, open for reading; `read_row_group` may be called from any thread.

    Args:
        path: the directory of the store; use `TokenStore.open` to read and check its manifest.
        manifest: the content of manifest.json, its shape proven (`read_manifest`).

    Attributes:
        path: its directory.
        manifest: the content of manifest.json.
        vocabulary: row = id.
        phrases: the phrases that were joined, None if phrases were not searched for.
        num_tokens, num_sentences, num_row_groups: tokens, sequences and row groups of all parts.
        row_group_tokens: int64 (num_row_groups,), tokens of each row group, parts in order.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self.vocabulary = Vocabulary.load(inside(path, VOCABULARY))
        self.phrases = _load_phrases(path, manifest)
        groups = [group for part in manifest["parts"] for group in part["row_groups"]]
        self.row_group_tokens = np.array([group["tokens"] for group in groups], dtype=np.int64)
        self.num_row_groups = len(groups)
        self.num_tokens = int(self.row_group_tokens.sum())
        self.num_sentences = sum(group["sentences"] for group in groups)
        self._groups_before = np.cumsum([0] + [len(p["row_groups"]) for p in manifest["parts"]])
        self._parts = [_open_part(path, entry, self.vocabulary.hash) for entry in manifest["parts"]]

    def __repr__(self) -> str:
        return (
            f"TokenStore('{self.path}': {self.num_tokens:,} tokens, {len(self.vocabulary):,} words)"
        )

    @classmethod
    def open(cls, path: str | Path) -> TokenStore:
        """Open the store at `path` and check that its parts are those of the manifest.

        Args:
            path: the directory that `preprocess` made.

        Returns:
            The open store.

        Raises:
            UsageError: missing, not a token store, or not finished.
            DataError: the manifest is damaged, or the files are not those that it lists.
        """
        path = Path(path)
        manifest = read_manifest(path)
        store = cls(path, manifest)
        if store.vocabulary.hash != manifest["vocabulary"]["hash"]:
            raise DataError(f"{path / VOCABULARY}: not the vocabulary that the manifest names")
        if len(store.vocabulary) != manifest["vocabulary"]["size"]:
            raise damaged_manifest(path / MANIFEST)
        return store

    def read_row_group(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Row group `index`: ids int32 (n,), all < len(vocabulary); offsets int64 (m + 1,) from 0.

        Args:
            index: from 0 to `num_row_groups` - 1. Sequence k is ids[offsets[k]:offsets[k + 1]].

        Raises:
            IndexError: no such row group.
            DataError: the file is damaged; names it.
        """
        if not 0 <= index < self.num_row_groups:
            raise IndexError(f"row group {index} of {self.num_row_groups}")
        number = int(np.searchsorted(self._groups_before, index, side="right")) - 1
        part, group = self._parts[number], index - int(self._groups_before[number])
        ids, offsets = part.read(group, len(self.vocabulary))
        entry = self.manifest["parts"][number]["row_groups"][group]
        if len(ids) != entry["tokens"] or len(offsets) - 1 != entry["sentences"]:
            raise DataError(f"{part.path}: row group {group} is not as the manifest says")
        return ids, offsets

    def verify(self) -> None:
        """Read every file and compare its SHA-256 with the manifest.

        `fastw2v.store.verify.verify_store` checks more, and lists all damage.

        Raises:
            DataError: a file differs; names it.
        """
        phrases = [self.manifest["phrases"]] if self.manifest.get("phrases") else []
        for entry in [self.manifest["vocabulary"], *phrases, *self.manifest["parts"]]:
            if storage.sha256_of(inside(self.path, entry["file"])) != entry["sha256"]:
                raise DataError(f"{self.path / entry['file']}: does not match its SHA-256")


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of the token store at `path`, its shape proven.

    Raises:
        UsageError: missing, not a token store, or not finished.
        DataError: the manifest is damaged or from another version.
    """
    if not path.exists():
        raise UsageError(
            f"{path}: no such token store; make one with: fastw2v preprocess TEXT --output {path}"
        )
    if is_unfinished_store(path):
        raise UsageError(
            f"{path}: an unfinished token store; run the same fastw2v preprocess command "
            "again to finish it"
        )
    if not (path / MANIFEST).is_file():
        raise UsageError(f"{path}: not a token store (it has no {MANIFEST})")
    manifest = storage.read_json(inside(path, MANIFEST))
    if manifest.get("format") != FORMAT or manifest.get("version") != FORMAT_VERSION:
        raise DataError(f"{path}: not a fastw2v token store of version {FORMAT_VERSION}")
    check_manifest(path / MANIFEST, manifest)
    return manifest


def _load_phrases(store: Path, manifest: dict[str, Any]) -> Phrases | None:
    entry = manifest.get("phrases")
    if not entry:
        return None
    path = inside(store, PHRASES)
    if storage.sha256_of(path) != entry["sha256"]:
        raise DataError(f"{path}: does not match its SHA-256")
    return load_phrases(path)


def _open_part(store: Path, entry: dict[str, Any], vocabulary_hash: str) -> TokenPart:
    """Open a part and compare it with its entry in the manifest."""
    path = inside(store, entry["file"])
    if not path.is_file():
        raise DataError(f"{path}: missing, but the manifest lists it")
    size = path.stat().st_size
    if size != entry["bytes"]:
        raise DataError(f"{path}: {size} bytes, but the manifest says {entry['bytes']}; truncated?")
    part = TokenPart.open(path)
    groups = entry["row_groups"]
    if part.row_group_sizes() != [(group["sentences"], group["tokens"]) for group in groups]:
        raise DataError(f"{path}: its row groups are not those of the manifest")
    if part.vocabulary_hash != vocabulary_hash:
        raise DataError(f"{path}: its ids belong to another vocabulary")
    return part
