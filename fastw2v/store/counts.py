"""The counts of a corpus: those of all shards added up, one range of words' hashes after another.

Memory holds one range at a time (a million rows, up to 64 ranges; more rows in each beyond), of all
shards: the tables that a shard begins when it has met too many words are merged here, so that
counts are exact at any number of different words.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastw2v.io import storage
from fastw2v.store.spill import PARTITIONS, read_counts, table_paths
from fastw2v.store.string_table import StringTable
from fastw2v.store.vocabulary import load_tokens

_ROWS_AT_ONCE = 1_000_000
_SCHEMA = pa.schema([("token", pa.large_string()), ("count", pa.int64())])


def sums_path(work: Path, number: int) -> Path:
    """The sums of one range."""
    return work / f"sums-{number:03d}.arrow"


def ranges_of(words: int) -> list[range]:
    """Ranges of partitions, so that the rows of one fit into memory.

    Args:
        words: rows over all tables of all shards.
    """
    number = min(PARTITIONS, max(1, -(-words // _ROWS_AT_ONCE)))
    ends = [PARTITIONS * n // number for n in range(number + 1)]
    return [range(start, end) for start, end in itertools.pairwise(ends)]


@dataclasses.dataclass(frozen=True)
class CountJob:
    """Add up one range of words; the result is `RangeCounts`.

    Attributes:
        number: of the range; the sums go into `sums_path` of it.
        tables: (shard, tables of its spill) of all shards.
        partitions: of the words' hashes.
        min_count: words that occur less often are left out of the sums.
        known: a file of `Vocabulary.save`, whose words are kept however rare they are.
    """

    number: int
    tables: Sequence[tuple[int, int]]
    partitions: range
    min_count: int
    known: Path | None = None
    name = "the counts"
    only_here = False


class RangeCounts(NamedTuple):
    """How many different words a range has, and its largest two counts, if there are as many."""

    different: int
    largest: list[int]


def add_up(work: Path, job: CountJob) -> RangeCounts:
    """Add up one range of the spilled shards in `work`.

    Raises:
        DataError: a file of counts is damaged. ResourceError: the disk is full.
    """
    words = StringTable()
    sums = np.zeros(0, np.int64)
    paths = [table_paths(work, shard, n)[1] for shard, count in job.tables for n in range(count)]
    for path in paths:
        rows = read_counts(path, job.partitions)
        entries = words.intern(rows["token"].combine_chunks())
        if len(words) > len(sums):
            more = max(len(words), 2 * len(sums)) - len(sums)
            sums = np.concatenate([sums, np.zeros(more, np.int64)])
        sums[entries] += rows["count"].to_numpy()  # no word is in a table twice
    sums = sums[: len(words)]
    merged = pa.table([words.strings(), sums], schema=_SCHEMA)
    wanted = pc.greater_equal(merged["count"], job.min_count)
    if job.known is not None:
        wanted = pc.or_(wanted, pc.is_in(merged["token"], load_tokens(job.known)))
    kept = merged.filter(wanted)
    path = sums_path(work, job.number)
    with (
        storage.atomic_file(path, durable=False) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA) as writer,
    ):
        writer.write_table(kept)
    largest = np.sort(np.partition(sums, max(0, len(sums) - 2))[-2:]).tolist() if len(sums) else []
    return RangeCounts(merged.num_rows, largest)


def read_sums(work: Path, number: int) -> pa.Table:
    """token, count of all words that were kept, in no order, from `number` ranges."""
    tables = [_SCHEMA.empty_table()]
    for place in range(number):
        with pa.memory_map(str(sums_path(work, place))) as source:
            tables.append(pa.ipc.open_file(source).read_all())
    return pa.concat_tables(tables).combine_chunks()
