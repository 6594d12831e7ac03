"""What is on disk between reading and writing: sequences of local ids, and the words' counts.

A spill has one or more *tables*, each with local ids of its own, so that memory stays bounded. A
table is two files: packed sequences (`kernels.sequences`) in blocks, and an Arrow file of (local
id, token, count) whose record batches are `PARTITIONS` ranges of the tokens' hashes, so that the
counts of a corpus are added up range by range. Neither is synced to disk: their checksums, which
are kept in the result of the unit, tell whether a run that goes on may use them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from fastw2v.errors import DataError
from fastw2v.io import storage
from fastw2v.kernels.scanning import WORD, hash_partitions
from fastw2v.kernels.sequences import count_ids, pack, unpack

PARTITIONS = 64
_HEADER = np.dtype([("bytes", "<i8"), ("ids", "<i8"), ("sequences", "<i8")])
_SCHEMA = pa.schema([("local_id", pa.int32()), ("token", pa.large_string()), ("count", pa.int64())])
_READ_ERRORS = (pa.ArrowException, OSError, ValueError, IndexError, OverflowError)


def table_paths(work: Path, unit: int, table: int) -> tuple[Path, Path]:
    """Sequences and word counts of one table of a spill."""
    stem = f"{unit:05d}-{table:03d}"
    return work / f"sequences-{stem}.packed", work / f"counts-{stem}.arrow"


class TableWriter:
    """Writes one table; the files are there when its context ends without an error.

    Attributes:
        entry: (after `finish`) the checksums and the number of words, for the unit's result.
    """

    def __init__(self, work: Path, unit: int, table: int) -> None:
        self._sequences_path, self._counts_path = table_paths(work, unit, table)
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

    def finish(self, words: pa.LargeStringArray, most: int | None = None) -> dict[str, Any]:
        """Write the counts; `words` in the order of their local ids. What the unit remembers.

        Args:
            most: where it is given, not more words than this are counted: the rarest are not, and
                `uncounted` is the largest count that was lost so.
        """
        counts = np.zeros(len(words), np.int64)
        known = min(len(words), len(self._counts))
        counts[:known] = self._counts[:known]
        uncounted = _threshold(counts, most)
        rows, digest = _write_counts(self._counts_path, words, counts, uncounted)
        return {
            "sequences": self._digest.hexdigest(),
            "counts": digest,
            "words": rows,
            "uncounted": uncounted,
        }


def _threshold(counts: np.ndarray, most: int | None) -> int:
    """The least number that at most `most` of the counts exceed."""
    if most is None or len(counts) <= most:
        return 0
    return int(np.partition(counts, len(counts) - most - 1)[len(counts) - most - 1])


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
                raise ValueError("it has nulls")
            return table
    except _READ_ERRORS as error:
        raise DataError(f"{path}: damaged ({error}); start anew with --force") from error


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
    damaged = DataError(f"{path}: damaged; start anew with --force")
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


def is_intact(work: Path, unit: int, tables: list[dict[str, Any]]) -> bool:
    """Whether the files of a unit's tables are what its result says."""
    for number, entry in enumerate(tables):
        sequences, counts = table_paths(work, unit, number)
        if not sequences.is_file() or not counts.is_file():
            return False
        if storage.sha256_of(sequences) != entry["sequences"]:
            return False
        if storage.sha256_of(counts) != entry["counts"]:
            return False
    return True
