"""The counts of a corpus: those of all units added up, one range of words' hashes after another.

Memory holds one range at a time (a million rows, up to 64 ranges; more rows in each beyond), of all
units: the runs that units write when they have met too many words are merged here, so that counts
are exact at any number of different words.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastw2v.io import storage
from fastw2v.store.spill import PARTITIONS, read_counts, table_paths
from fastw2v.store.string_table import ChunkTable
from fastw2v.store.vocabulary import load_tokens

_ROWS_AT_ONCE = 1_000_000
_SCHEMA = pa.schema([("token", pa.large_string()), ("count", pa.int64())])


def sums_path(work: Path, number: int) -> Path:
    """The sums of one range."""
    return work / f"sums-{number:03d}.arrow"


def ranges_of(words: int) -> list[range]:
    """Ranges of partitions, so that the rows of one fit into memory.

    Args:
        words: rows over all tables of all units.
    """
    number = min(PARTITIONS, max(1, -(-words // _ROWS_AT_ONCE)))
    ends = [PARTITIONS * n // number for n in range(number + 1)]
    return [range(start, end) for start, end in itertools.pairwise(ends)]


def add_up(
    work: Path,
    tables: Sequence[tuple[int, int]],
    partitions: range,
    number: int,
    least: int,
    known: str | Path | None = None,
) -> dict[str, Any]:
    """Add up one range; the words that occur `least` times go into `sums_path(work, number)`.

    Args:
        tables: (unit, tables of it).
        known: a file of `Vocabulary.save`, whose words go there however often they occur.

    Returns:
        `different` words, and the `largest` two counts, if there are as many.

    Raises:
        DataError: a file of counts is damaged. ResourceError: the disk is full.
    """
    words = ChunkTable()
    sums = np.zeros(0, np.int64)
    for path in _counts_paths(work, tables):
        rows = read_counts(path, partitions)
        entries = words.intern(rows["token"].combine_chunks())
        if len(words) > len(sums):
            more = max(len(words), 2 * len(sums)) - len(sums)
            sums = np.concatenate([sums, np.zeros(more, np.int64)])
        sums[entries] += rows["count"].to_numpy()  # no word is in a table twice
    sums = sums[: len(words)]
    merged = pa.table([words.strings(), sums], schema=_SCHEMA)
    wanted = pc.greater_equal(merged["count"], least)
    if known is not None:
        wanted = pc.or_(wanted, pc.is_in(merged["token"], load_tokens(Path(known))))
    kept = merged.filter(wanted)
    path = sums_path(work, number)
    with (
        storage.atomic_file(path, durable=False) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA) as writer,
    ):
        writer.write_table(kept)
    largest = np.sort(np.partition(sums, max(0, len(sums) - 2))[-2:]).tolist() if len(sums) else []
    return {"different": merged.num_rows, "largest": largest}


def _counts_paths(work: Path, tables: Iterable[tuple[int, int]]) -> Iterable[Path]:
    return (table_paths(work, unit, table)[1] for unit, count in tables for table in range(count))


def read_sums(work: Path, number: int) -> pa.Table:
    """token, count of all words that occur often enough, in no order, from `number` ranges."""
    tables = [_SCHEMA.empty_table()]
    for place in range(number):
        with pa.memory_map(str(sums_path(work, place))) as source:
            tables.append(pa.ipc.open_file(source).read_all())
    return pa.concat_tables(tables).combine_chunks()
