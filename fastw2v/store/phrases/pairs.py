"""Counts of neighboring words: counted unit by unit, then added up, both in bounded memory.

As the counts of words (`store.counts`), those of pairs are written in partitions by their hash. A
unit's pairs are counted a buffer at a time, sorted (faster than a hash table where most are new);
what a buffer has is written as one batch per partition. A partition of all units fits into memory,
where its counts are added up in a hash table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fastw2v.errors import DataError
from fastw2v.io import storage
from fastw2v.io.untrusted import HEADER_ERRORS
from fastw2v.kernels.phrases import (
    PAIR_BITS,
    Connectors,
    add_up_counts,
    fill_chained_pairs,
    fill_pairs,
)

BUFFER_PAIRS = 1 << 22  # 32 MB, 64 MB with connectors
_TOKENS_PER_PARTITION = 1 << 22  # a partition has at most as many rows: about 100 MB
_MAX_PARTITIONS = 1 << 12
_MIX = np.uint64(0x9E3779B97F4A7C15)
_SCHEMA = pa.schema([("pair", pa.int64()), ("chain", pa.int64()), ("count", pa.int64())])
_OPTIONS = pa.ipc.IpcWriteOptions(compression="zstd")
_READ_ERRORS = (pa.ArrowException, OSError, *HEADER_ERRORS, IndexError)


class PairCounts(NamedTuple):
    """Counted pairs.

    pairs: int64 (n,), left_id << 32 | right_id. chains: int64 (n,), the connectors between (see
        `fastw2v.kernels.phrases`). counts: int64 (n,).
    """

    pairs: np.ndarray
    chains: np.ndarray
    counts: np.ndarray

    def rows(self, chosen: np.ndarray | slice) -> PairCounts:
        """Some of the rows."""
        return PairCounts(*(column[chosen] for column in self))

    def added_up(self) -> PairCounts:
        """Each (pair, chain) once, with the sum of its counts; the arrays are changed."""
        slots = np.full(2 << len(self.pairs).bit_length(), -1, np.int32)
        return self.rows(slice(0, add_up_counts(*self, slots)))


def joined_counts(parts: Sequence[PairCounts]) -> PairCounts:
    """The rows of all parts, one after another."""
    none = np.empty(0, np.int64)
    columns = zip(PairCounts(none, none, none), *parts, strict=True)
    return PairCounts(*map(np.concatenate, columns))


def count_occurrences(pairs: np.ndarray, chains: np.ndarray) -> PairCounts:
    """How often each (pair, chain) occurs. `chains` (n,), or (0,) where all are 0."""
    is_plain = chains == 0
    plain = np.sort(pairs[is_plain] if len(chains) else pairs)  # twice as fast as with the chains
    firsts = np.flatnonzero(np.diff(plain, prepend=-1))
    counts = np.diff(firsts, append=len(plain))
    found = PairCounts(plain[firsts], np.zeros(len(firsts), np.int64), counts)
    if not len(chains):
        return found
    chained = PairCounts(pairs, chains, np.ones(len(pairs), np.int64)).rows(~is_plain)
    return joined_counts([found, chained.added_up()])


def partitions_for(tokens: int) -> int:
    """The number of partitions for the pairs of a text of `tokens` tokens."""
    return min(_MAX_PARTITIONS, 1 + tokens // _TOKENS_PER_PARTITION)


class PairCounter:
    """Writes the pairs of one unit's sequences, counted, into the batches of `writer`.

    Args:
        num_partitions: the same for all units.
        connectors: words that may stand inside a pair.
        buffer_pairs: pairs held before they are counted and written.

    Attributes:
        tokens: how many were read, unknown ones too.
    """

    def __init__(
        self,
        writer: pa.RecordBatchFileWriter,
        num_partitions: int,
        connectors: Connectors,
        buffer_pairs: int,
    ) -> None:
        self.tokens = 0
        self._writer, self._num_partitions = writer, num_partitions
        self._connectors = connectors
        self._make_buffer(buffer_pairs)

    def _make_buffer(self, size: int) -> None:
        self._filled = 0
        self._pairs = np.empty(size, np.int64)
        self._chains = np.empty(size if len(self._connectors.connector_of) else 0, np.int64)

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Count the pairs of sequences: ids int32 (n,), -1 for words of no phrase; lengths (m,)."""
        self.tokens += len(ids)
        if self._filled + len(ids) > len(self._pairs):
            self.flush()
        if len(ids) > len(self._pairs):
            self._make_buffer(len(ids))
        offsets, pairs = offsets_of(lengths), self._pairs[self._filled :]
        if len(self._chains):
            chains = self._chains[self._filled :]
            self._filled += fill_chained_pairs(ids, offsets, self._connectors, pairs, chains)
        else:
            self._filled += fill_pairs(ids, offsets, pairs)

    def flush(self) -> None:
        """Write what the buffer has, a batch per partition."""
        found = count_occurrences(self._pairs[: self._filled], self._chains[: self._filled])
        self._filled = 0
        partitions = found.pairs.astype(np.uint64) * _MIX >> np.uint64(40)
        partitions = (partitions % np.uint64(self._num_partitions)).astype(np.uint16)
        found = found.rows(np.argsort(partitions, kind="stable"))
        ends = np.cumsum(np.bincount(partitions, minlength=self._num_partitions)).tolist()
        batch, start = pa.record_batch(list(found), schema=_SCHEMA), 0
        for end in ends:
            self._writer.write_batch(batch.slice(start, end - start))
            start = end


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """int64 (m + 1,): where sequences of these lengths begin and end."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


@contextlib.contextmanager
def counting_pairs(
    path: Path,
    num_partitions: int,
    connectors: Connectors,
    joins: np.ndarray,
    *,
    buffer_pairs: int = BUFFER_PAIRS,
) -> Iterator[PairCounter]:
    """A `PairCounter` whose batches become the file `path` at the end of the block, atomically.

    Args:
        joins: int64, how often each phrase of earlier passes was joined, as it is at the end. With
            the number of tokens it is written to a file beside `path`.
    """
    with storage.atomic_file(path) as temporary:
        with (
            pa.OSFile(str(temporary), "wb") as file,
            pa.ipc.new_file(file, _SCHEMA, options=_OPTIONS) as writer,
        ):
            counter = PairCounter(writer, num_partitions, connectors, buffer_pairs)
            yield counter
            counter.flush()
        save_array(_totals_path(path), np.array([counter.tokens, *joins], np.int64))


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an .npy file, atomically."""
    with storage.atomic_file(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)


def _totals_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.npy")


class PairFile:
    """The pair counts of one unit, as `counting_pairs` left them.

    Attributes:
        joins: int64, how often each phrase of earlier passes was joined.
        tokens: how many were read.

    Raises:
        DataError: damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        totals = load_totals(_totals_path(path))
        if not len(totals):
            raise self._damaged()
        self.tokens, self.joins = int(totals[0]), totals[1:]

    def _damaged(self) -> DataError:
        return DataError(f"{self.path}: damaged counts of pairs; start over with `force`")

    def read(self, partition: int, num_partitions: int, num_ids: int) -> PairCounts:
        """The rows of one partition, not added up."""
        try:
            with pa.memory_map(str(self.path)) as source:
                reader = pa.ipc.open_file(source)
                numbers = range(partition, reader.num_record_batches, num_partitions)
                table = pa.Table.from_batches(map(reader.get_batch, numbers), _SCHEMA)
                table.validate(full=True)
                found = PairCounts(*(column.to_numpy() for column in table.columns))
        except _READ_ERRORS as error:
            raise self._damaged() from error
        for ids in (found.pairs >> PAIR_BITS, found.pairs & 0xFFFFFFFF):
            if len(ids) and not 0 <= ids.min() <= ids.max() < num_ids:
                raise self._damaged()
        return found


def load_totals(path: Path) -> np.ndarray:
    """An int64 array (n,) of `save_array`.

    Raises:
        DataError: missing or damaged.
    """
    try:
        array = np.load(path, allow_pickle=False)
        if array.ndim != 1 or array.dtype != np.int64:
            raise ValueError("another array")
    except (OSError, *HEADER_ERRORS) as error:
        raise DataError(f"{path}: damaged counts of phrases; start over with `force`") from error
    return np.asarray(array)


def add_up_pairs(
    files: Sequence[PairFile],
    select: Callable[[PairCounts], PairCounts],
    num_partitions: int,
    num_ids: int,
    *,
    threads: int = 1,
) -> PairCounts:
    """The counts of all units, added up and sorted by pair and chain, of what `select` keeps.

    Args:
        select: gets all the pairs of a partition, added up.
        threads: partitions that are in memory at a time.
    """

    def selected(partition: int) -> PairCounts:
        parts = [file.read(partition, num_partitions, num_ids) for file in files]
        return select(joined_counts(parts).added_up())

    with ThreadPoolExecutor(max(1, threads)) as pool:
        kept = joined_counts(list(pool.map(selected, range(num_partitions))))
    return kept.rows(np.lexsort((kept.chains, kept.pairs)))
