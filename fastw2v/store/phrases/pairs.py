"""Counts of neighboring words, gathered unit by unit in bounded memory.

Keys of pairs are sorted and counted a buffer at a time: that is several times faster than a hash
table that does not fit into the cache. The sorted runs are merged as in a log-structured merge
tree, and written to a file when they grow too large; see `pair_files` for how units are added up.

The pair counts of all units, added up in bounded memory: one range of pairs after another.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastw2v.errors import DataError
from fastw2v.io import storage
from fastw2v.io.storage import reporting_unreadable
from fastw2v.io.untrusted import HEADER_ERRORS
from fastw2v.kernels.pair_runs import (
    MAX_BYTES,
    PairRun,
    count_keys,
    merge_runs,
    pack_entries,
    unpack_entries,
    unpack_keys,
)
from fastw2v.kernels.phrases import ChainRanks, KeyLayout, fill_chained_keys, fill_pair_keys

BUFFER_KEYS = 1 << 21  # 16 MB
RUN_ENTRIES = 1 << 22  # 64 MB, 96 MB with connectors; merging holds it twice
BLOCK_ENTRIES = 4096
_MAX_RANKS = 1 << 16
MAGIC = b"fw2vpair"
BLOCK_COLUMNS = 4  # first pair, offset, entries, run


@dataclasses.dataclass(frozen=True)
class Connectors:
    """Connector words by id.

    Attributes:
        connector_of: uint16 (ids,), k + 1 for connector k, 0 for other words; (0,) without any.
        count: how many there are.
    """

    connector_of: np.ndarray
    count: int

    @classmethod
    def of(cls, connector_ids: np.ndarray, num_ids: int) -> Connectors:
        """Connector k is the word `connector_ids[k]`."""
        connector_of = np.zeros(num_ids if len(connector_ids) else 0, np.uint16)
        connector_of[connector_ids] = np.arange(1, len(connector_ids) + 1)
        return cls(connector_of, len(connector_ids))

    @property
    def chain_bits(self) -> int:
        """Bits of a connector in a chain."""
        return self.count.bit_length()

    @property
    def longest(self) -> int:
        """How many connectors a chain may hold: those that fit into 63 bits, 15 of 15 words."""
        return 63 // self.chain_bits if self.count else 0


class PairCounter:
    """Counts the pairs of one unit's sequences into `file`, in bounded memory.

    Args:
        file: gets the runs (see `counting_pairs`).
        num_ids: ids are below this; the same for all units.
        connectors: words that may stand inside a pair.
        buffer_keys, run_entries: pairs held before they are counted, and counted ones before they
            are written.

    Attributes:
        tokens: how many were read, unknown ones too.
    """

    def __init__(
        self,
        file: BinaryIO,
        num_ids: int,
        connectors: Connectors,
        *,
        buffer_keys: int = BUFFER_KEYS,
        run_entries: int = RUN_ENTRIES,
    ) -> None:
        self.tokens = 0
        self._file = file
        self._run_entries = run_entries
        self._keys = np.empty(buffer_keys, np.int64)
        self._filled = 0
        self._runs: list[PairRun] = []
        self._blocks: list[tuple[int, int, int, int]] = []
        self._runs_written = 0
        id_bits = max(1, (num_ids - 1).bit_length())
        rank_bits = min(_MAX_RANKS.bit_length() - 1, 63 - 2 * id_bits)
        self._layout = KeyLayout(id_bits, rank_bits, connectors.chain_bits, connectors.longest)
        self._connector_of = connectors.connector_of
        if connectors.count:
            self._ranks = ChainRanks(
                slots=np.zeros(2 << rank_bits, np.int32),
                chain_of_rank=np.zeros(1 << rank_bits, np.int64),
                used=np.ones(1, np.int64),
            )

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Count the pairs of sequences: ids int32 (n,), -1 for words of no phrase; lengths (m,)."""
        self.tokens += len(ids)
        if self._filled + len(ids) > len(self._keys):
            self._count_buffer()
        if len(ids) > len(self._keys):
            self._keys = np.empty(len(ids), np.int64)
        offsets = offsets_of(lengths)
        if not len(self._connector_of):
            self._filled = fill_pair_keys(ids, offsets, self._keys, self._filled)
            return
        place = np.zeros(2, np.int64)
        while True:
            self._filled = fill_chained_keys(
                ids, offsets, place, self._connector_of, self._ranks, self._layout,
                self._keys, self._filled,
            )  # fmt: skip
            if place[0] == len(lengths):
                return
            self._count_buffer()

    def finish(self) -> np.ndarray:
        """Write what is left; the index of all blocks, int64 (blocks, 4)."""
        self._count_buffer()
        self._write_run()
        return np.array(self._blocks, np.int64).reshape(-1, BLOCK_COLUMNS)

    def _count_buffer(self) -> None:
        """Make the buffer a run, and merge runs of like size."""
        if self._filled:
            self._runs.append(self._sorted_run(self._keys[: self._filled]))
        self._filled = 0
        while len(self._runs) > 1 and len(self._runs[-2].pairs) <= 2 * len(self._runs[-1].pairs):
            self._runs[-2:] = [merged(*self._runs[-2:])]
        if sum(len(run.pairs) for run in self._runs) > self._run_entries:
            self._write_run()

    def _sorted_run(self, keys: np.ndarray) -> PairRun:
        keys.sort()
        counts = np.empty(len(keys), np.int64)
        size = count_keys(keys, keys, counts)
        chained = len(self._connector_of) > 0
        counts = counts[:size].copy()
        if not chained:
            return PairRun(keys[:size].copy(), counts, np.empty(0, np.int64))
        run = PairRun(np.empty(size, np.int64), counts, np.empty(size, np.int64))
        unpack_keys(keys[:size], self._layout, self._ranks.chain_of_rank, run)
        self._ranks.slots.fill(0)
        self._ranks.used.fill(1)
        return run

    def _write_run(self) -> None:
        """Merge all runs and write them as one, in packed blocks."""
        if not self._runs:
            return
        run = merged_all(self._runs)
        self._runs = []
        packed = np.empty(BLOCK_ENTRIES * MAX_BYTES, np.uint8)
        for start in range(0, len(run.pairs), BLOCK_ENTRIES):
            end = min(start + BLOCK_ENTRIES, len(run.pairs))
            used = pack_entries(run, start, end, packed)
            block = (int(run.pairs[start]), self._file.tell(), end - start, self._runs_written)
            self._blocks.append(block)
            self._file.write(packed[:used].data)
        self._runs_written += 1


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """int64 (m + 1,): where sequences of these lengths begin and end."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def merged(a: PairRun, b: PairRun) -> PairRun:
    """The sums of two runs."""
    room = len(a.pairs) + len(b.pairs)
    chained = max(len(a.chains), len(b.chains)) > 0
    run = empty_run(room, chained)
    return _cut(run, merge_runs(a, b, run))


def merged_all(runs: Sequence[PairRun]) -> PairRun:
    """The sums of one run or more, merged two by two."""
    left = list(runs)
    while len(left) > 1:
        pairs = zip(left[::2], left[1::2], strict=False)
        left = [merged(*pair) for pair in pairs] + left[len(left) // 2 * 2 :]
    return left[0]


def empty_run(room: int, chained: bool) -> PairRun:
    """Room for so many entries."""
    chains = np.empty(room if chained else 0, np.int64)
    return PairRun(np.empty(room, np.int64), np.empty(room, np.int64), chains)


def _cut(run: PairRun, size: int) -> PairRun:
    return PairRun(run.pairs[:size], run.counts[:size], run.chains[:size])


@contextlib.contextmanager
def counting_pairs(
    path: Path, num_ids: int, connectors: Connectors, joins: np.ndarray, **limits: int
) -> Iterator[PairCounter]:
    """A `PairCounter` whose file becomes `path` at the end of the block, atomically.

    Args:
        joins: int64, how often each phrase of earlier passes was joined, as it is at the end.
        limits: `buffer_keys`, `run_entries`.
    """
    with storage.atomic_file(path) as temporary, open(temporary, "wb") as file:
        file.write(MAGIC)
        counter = PairCounter(file, num_ids, connectors, **limits)
        yield counter
        blocks = counter.finish()
        tail = file.tell()
        for array in (blocks, joins, np.array([counter.tokens, connectors.count > 0])):
            np.lib.format.write_array(file, array.astype(np.int64), allow_pickle=False)
        file.write(tail.to_bytes(8, "little"))


_TRAILER = 8  # bytes: where the arrays behind the blocks begin


class PairFile:
    """The pair counts of one unit, as `phrase_pairs.counting_pairs` left them.

    Attributes:
        joins: int64, how often each phrase of earlier passes was joined.
        tokens: how many were read.
        first_pairs: int64 (blocks,), the first pair of each block.

    Raises:
        DataError: damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with reporting_unreadable(path), open(path, "rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    raise ValueError("no file of pair counts")
                end = file.seek(-_TRAILER, 2)
                self._tail = int.from_bytes(file.read(), "little")
                file.seek(min(self._tail, end))
                blocks, self.joins, (self.tokens, chained) = (
                    np.lib.format.read_array(file, allow_pickle=False) for _ in range(3)
                )
            blocks = blocks.reshape(-1, BLOCK_COLUMNS)
            self._check(blocks)
        except HEADER_ERRORS as error:
            raise self._damaged() from error
        self.first_pairs, self._offsets, self._entries, self._runs = blocks.T
        self._ends = np.append(self._offsets[1:], self._tail)
        self._chained = bool(chained)

    def _check(self, blocks: np.ndarray) -> None:
        """Refuse arrays that are not as they were written, before memory is made for them."""
        _, offsets, entries, _ = blocks.T
        whole = all(array.dtype == np.int64 for array in (blocks, self.joins))
        in_order = (np.diff(offsets, prepend=0, append=self._tail) >= 0).all()
        if not whole or not in_order or ((entries < 0) | (entries > BLOCK_ENTRIES)).any():
            raise ValueError("blocks that cannot be")

    def _damaged(self) -> DataError:
        return DataError(f"{self.path}: damaged counts of pairs; start anew with --force")

    def runs_within(self, low: int, high: int) -> list[PairRun]:
        """The entries with low <= pair < high, as runs."""
        last_of_run = np.append(self._runs[1:] != self._runs[:-1], [True])[: len(self._runs)]
        next_pairs = np.append(self.first_pairs[1:], [0])[: len(self._runs)]
        wanted = (self.first_pairs < high) & (last_of_run | (next_pairs >= low))
        found = []
        for run in np.unique(self._runs[wanted]).tolist():
            entries = self._read(np.flatnonzero(wanted & (self._runs == run)))
            start, end = np.searchsorted(entries.pairs, [low, high])
            if start < end:
                found.append(PairRun(*(column[start:end] for column in entries)))
        return found

    def _read(self, blocks: np.ndarray) -> PairRun:
        """The entries of blocks that follow one another."""
        start, end = int(self._offsets[blocks[0]]), int(self._ends[blocks[-1]])
        with reporting_unreadable(self.path), open(self.path, "rb") as file:
            file.seek(start)
            packed = np.frombuffer(file.read(end - start), np.uint8)
        run = empty_run(int(self._entries[blocks].sum()), self._chained)
        filled = 0
        for block in blocks.tolist():
            entries = int(self._entries[block])
            part = packed[self._offsets[block] - start : self._ends[block] - start]
            if not unpack_entries(part, self.first_pairs[block], entries, run, filled):
                raise self._damaged()
            filled += entries
        return run


def merge_pair_counts(
    files: Sequence[PairFile],
    select: Callable[[PairRun], PairRun],
    *,
    threads: int = 1,
    entries: int = RUN_ENTRIES,
) -> PairRun:
    """Add up the counts of all units; of each range of pairs only what `select` keeps stays.

    Args:
        select: gets all the entries of a range, added up.
        threads: ranges that are merged at a time.
        entries: about how many a range has, before those of different units are added. The result
            does not depend on it.
    """
    none = empty_run(0, False)
    firsts = np.sort(np.concatenate([none.pairs, *(file.first_pairs for file in files)]))
    cuts = np.unique(firsts[:: max(1, entries // BLOCK_ENTRIES)]).tolist()

    def kept_within(low: int, high: int) -> PairRun:
        runs = [run for file in files for run in file.runs_within(low, high)]
        return select(merged_all(runs)) if runs else none

    with ThreadPoolExecutor(max(1, threads)) as pool:
        kept = list(pool.map(kept_within, cuts, [*cuts[1:], np.iinfo(np.int64).max]))
    return PairRun(*(np.concatenate(columns) for columns in zip(none, *kept, strict=True)))
