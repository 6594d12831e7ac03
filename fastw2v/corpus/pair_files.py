"""The pair counts of all units, added up in bounded memory: one range of pairs after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fastw2v.corpus.os_errors import reporting_unreadable
from fastw2v.corpus.phrase_pairs import (
    BLOCK_COLUMNS,
    BLOCK_ENTRIES,
    MAGIC,
    RUN_ENTRIES,
    empty_run,
    merged_all,
)
from fastw2v.errors import DataError
from fastw2v.kernels.pair_runs import PairRun, unpack_entries
from fastw2v.npy_files import HEADER_ERRORS

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
