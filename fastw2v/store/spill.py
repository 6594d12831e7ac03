"""What is on disk between reading and writing: sequences of local ids, and the words' counts.

The spill of a shard has one or more *tables*, each with local ids of its own, so that memory stays
bounded. A table is two files: packed sequences (`kernels.sequences`) in blocks, and an Arrow file
of (local id, token, count) whose record batches are `PARTITIONS` ranges of the tokens' hashes, so
that the counts of a corpus are added up range by range. Neither is synced to disk: a run that is
resumed uses them only if their checksums are those in the result of the shard.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import pyarrow as pa

from fastw2v.errors import DataError
from fastw2v.io import storage
from fastw2v.kernels.scanning import WORD, hash_partitions
from fastw2v.kernels.sequences import count_ids, pack, unpack
from fastw2v.store.encoder import Sequencer
from fastw2v.store.settings import Settings

PARTITIONS = 64
_HEADER = np.dtype([("bytes", "<i8"), ("ids", "<i8"), ("sequences", "<i8")])
_SCHEMA = pa.schema([("local_id", pa.int32()), ("token", pa.large_string()), ("count", pa.int64())])
_READ_ERRORS = (pa.ArrowException, OSError, ValueError, IndexError, OverflowError)


@dataclasses.dataclass(frozen=True)
class SpilledTable:
    """What is remembered of a table.

    Attributes:
        sequences, counts: the SHA-256 of its two files.
        words: how many words are counted.
        uncounted: the largest count that was left out (approximate counts).
    """

    sequences: str
    counts: str
    words: int
    uncounted: int


def table_paths(work: Path, shard: int, table: int) -> tuple[Path, Path]:
    """Sequences and word counts of one table of a spill."""
    stem = f"{shard:05d}-{table:03d}"
    return work / f"sequences-{stem}.packed", work / f"counts-{stem}.arrow"


class TableWriter:
    """Writes one table; the sequences are there when its context ends without an error."""

    def __init__(self, work: Path, shard: int, table: int) -> None:
        self._sequences_path, self._counts_path = table_paths(work, shard, table)
        self._counts = np.zeros(1 << 14, np.int64)
        self._packed = np.empty(0, np.uint16)
        self._digest = hashlib.sha256()
        self._file: BinaryIO

    @contextlib.contextmanager
    def open(self) -> Iterator[TableWriter]:
        """Begin."""
        with (
            storage.atomic_file(self._sequences_path, durable=False) as temporary,
            open(temporary, "wb") as self._file,
        ):
            yield self

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Append sequences: `ids` int32 (n,) one after another, `lengths` int32 (m,), sum n."""
        if not len(ids):
            return
        most = int(ids.max()) + 1
        if most > len(self._counts):
            more = np.zeros(max(most, 2 * len(self._counts)) - len(self._counts), np.int64)
            self._counts = np.concatenate([self._counts, more])
        count_ids(ids, self._counts)
        longest = 3 * len(ids) + len(lengths)
        if longest > len(self._packed):
            self._packed = np.empty(2 * longest, np.uint16)  # used again and again
        packed = self._packed
        size = pack(ids, lengths, packed)
        header = np.array([(2 * size, len(ids), len(lengths))], _HEADER)
        for piece in (header.tobytes(), packed[:size].data.cast("B")):
            self._digest.update(piece)
            self._file.write(piece)

    def finish(self, words: pa.LargeStringArray, max_words: int | None = None) -> SpilledTable:
        """Write the counts.

        Args:
            words: in the order of their local ids.
            max_words: if given, count at most this many words, the most frequent.
        """
        counts = np.zeros(len(words), np.int64)
        known = min(len(words), len(self._counts))
        counts[:known] = self._counts[:known]
        uncounted = _threshold(counts, max_words)
        rows, digest = _write_counts(self._counts_path, words, counts, uncounted)
        return SpilledTable(self._digest.hexdigest(), digest, rows, uncounted)


class Codes(Protocol):
    """Where local ids come from: `encoder.TextEncoder` or `encoder.TokenListEncoder`."""

    first_word: int

    def is_full(self, most: int) -> bool:
        """Whether there are more than `most` words, or too much else to remember."""
        ...

    def words(self) -> pa.LargeStringArray:
        """The words in the order of their local ids."""
        ...

    def words_at(self, local_ids: np.ndarray) -> list[str]:
        """The words of these local ids."""
        ...

    def codes_of_tokens(self, tokens: list[str]) -> Sequence[int]:
        """The codes of tokens; those that have none get one."""
        ...

    def forget(self) -> None:
        """Start counting local ids from 0 again."""
        ...


class ShardSpill:
    """Writes the tables of one shard.

    Args:
        work: the directory of the unfinished work.
    """

    def __init__(self, work: Path, shard: int, settings: Settings) -> None:
        self._work, self._shard = work, shard
        local_tokens, counted = settings.layout.local_tokens, settings.config.approximate_vocab
        self._max_counted = counted
        self._max_words = min(local_tokens, 2 * (counted or local_tokens))

    def write(
        self, batches: Iterator[np.ndarray], codes: Codes, sequencer: Sequencer, *, forgets: bool
    ) -> tuple[SpilledTable, ...]:
        """Spill a stream of batches of codes.

        Args:
            codes: makes the codes of `batches`. When these become too many for memory, they are
                forgotten between two batches, and a new table begins.
            forgets: whether they may be forgotten.
        """
        tables: list[SpilledTable] = []
        more = True
        while more:
            more = False
            with TableWriter(self._work, self._shard, len(tables)).open() as table:
                for batch in batches:
                    table.add(*sequencer.feed(batch))
                    if forgets and codes.is_full(self._max_words):
                        more = True
                        break
            tables.append(table.finish(codes.words(), self._max_counted))
            if more:
                open_words = codes.words_at(sequencer.open_ids())
                codes.forget()
                first = codes.first_word
                sequencer.renumber([code - first for code in codes.codes_of_tokens(open_words)])
        return tuple(tables)


def _threshold(counts: np.ndarray, max_words: int | None) -> int:
    """The least number that at most `max_words` of the counts exceed."""
    if max_words is None or len(counts) <= max_words:
        return 0
    place = len(counts) - max_words - 1
    return int(np.partition(counts, place)[place])


def _write_counts(
    path: Path, words: pa.LargeStringArray, counts: np.ndarray, uncounted: int
) -> tuple[int, str]:
    """Write the words that occur, by partition; how many are counted, and the file's SHA-256.

    Words that occur `uncounted` times or less come last, in a batch of their own.
    """
    local_ids = np.flatnonzero(counts)
    partitions = _partitions_of(words)[local_ids]
    partitions[counts[local_ids] <= uncounted] = PARTITIONS
    order = np.argsort(partitions, kind="stable")
    local_ids = local_ids[order]
    ends = np.searchsorted(partitions[order], np.arange(PARTITIONS + 1), side="right").tolist()
    table = pa.record_batch(
        [pa.array(local_ids.astype(np.int32)), words.take(pa.array(local_ids)), counts[local_ids]],
        schema=_SCHEMA,
    )
    with storage.atomic_file(path, durable=False) as temporary:
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
            start = 0
            for end in ends:
                writer.write_batch(table.slice(start, end - start))
                start = end
        return ends[-2], storage.sha256_of(temporary)


def _partitions_of(words: pa.LargeStringArray) -> np.ndarray:
    """The partition of each word, int64 (n,): the same in every run and on every machine."""
    _, offsets, text = words.buffers()
    starts = np.frombuffer(offsets, np.int64)[words.offset : words.offset + len(words) + 1]
    padded = np.concatenate([np.frombuffer(text or b"", np.uint8), np.zeros(WORD, np.uint8)])
    partitions = np.empty(len(words), np.int64)
    hash_partitions(starts, padded, PARTITIONS, partitions)
    return partitions


def read_counts(path: Path, partitions: range | None = None) -> pa.Table:
    """The rows of some partitions (for None, all, what is not counted included): local_id, token,
    count.

    Raises:
        DataError: missing or damaged.
    """
    try:
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            wanted = range(reader.num_record_batches) if partitions is None else partitions
            batches = [reader.get_batch(number) for number in wanted]
            table = pa.Table.from_batches(batches, _SCHEMA).combine_chunks()
            # Not every buffer of a file is what its header says.
            table.validate(full=True)
            if any(column.null_count for column in table.columns):
                raise ValueError("it contains nulls")
            return table
    except _READ_ERRORS as error:
        raise DataError(f"{path}: damaged ({error}); start over with `force`") from error


def read_sequences(
    path: Path, id_of: np.ndarray, *, keep_unknown: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Block by block: ids int32 (n,), lengths int32 (m,), and how many ids the block had; the
    arrays are valid until the next block.

    Args:
        id_of: int32 (L,), what local ids become; negative: left out, and with them sequences of
            which nothing is left.
        keep_unknown: negative ids are kept, too.

    Raises:
        DataError: missing or damaged.
    """
    damaged = DataError(f"{path}: damaged; start over with `force`")
    room = np.empty(0, np.int32), np.empty(0, np.int32)
    try:
        with open(path, "rb") as file:
            whole = os.fstat(file.fileno()).st_size
            while head := file.read(_HEADER.itemsize):
                if len(head) != _HEADER.itemsize:
                    raise damaged
                size, ids, sequences = (int(n) for n in np.frombuffer(head, _HEADER)[0])
                if not 0 < sequences <= ids < size <= whole:  # memory is made for that much
                    raise damaged
                content = file.read(size)
                if len(content) != size or size % 2:
                    raise damaged
                packed = np.frombuffer(content, np.uint16)
                if ids > len(room[0]) or sequences > len(room[1]):
                    room = np.empty(2 * ids, np.int32), np.empty(2 * sequences, np.int32)
                found, lengths = room
                written, kept = unpack(packed, id_of, keep_unknown, found, lengths)
                if written < 0:
                    raise damaged
                yield found[:written], lengths[:kept], ids
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def is_intact(work: Path, shard: int, tables: Sequence[SpilledTable]) -> bool:
    """Whether the files of a shard's tables are those that were written."""
    return all(
        path.is_file() and storage.sha256_of(path) == digest
        for number, table in enumerate(tables)
        for path, digest in zip(
            table_paths(work, shard, number), (table.sequences, table.counts), strict=True
        )
    )
