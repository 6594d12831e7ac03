"""The counts of many tables added up, range by range, against a Counter."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastw2v.errors import DataError
from fastw2v.store import counts as module
from fastw2v.store.counts import CountJob, RangeCounts, add_up, ranges_of, read_sums, sums_path
from fastw2v.store.spill import PARTITIONS, TableWriter, table_paths

# Equal heads of eight bytes, zero bytes at the end, words beyond ASCII.
WORDS = ["a", "b", "", "abcdefgh", "abcdefghi", "abcdefgh\0", "a\0", "é", "𝔘", "word" * 9]
COUNTS = st.dictionaries(st.sampled_from(WORDS), st.integers(1, 9))


def write_counts(work, shard, table, counts, most=None):
    """A table in which each word occurs as often as `counts` says."""
    writer = TableWriter(work, shard, table)
    with writer.open():
        for local_id, count in enumerate(counts.values()):
            writer.add(np.full(count, local_id, np.int32), np.array([count], np.int32))
    return writer.finish(pa.array(counts, pa.large_string()), most)


def job(tables):
    """Add up all partitions of these tables."""
    return CountJob(0, tables, range(PARTITIONS), 1)


def sums_in(work, number):
    sums = read_sums(work, number)
    assert sums.schema.names == ["token", "count"]
    return dict(zip(*sums.to_pydict().values(), strict=True))


@settings(max_examples=60, deadline=None)
@given(
    shards=st.lists(st.lists(COUNTS, max_size=3), max_size=4),
    least=st.integers(1, 15),
    ranges=st.sampled_from([1, 2, 5, PARTITIONS]),
)
def test_sums_equal_a_counter(tmp_path_factory, shards, least, ranges):
    work = tmp_path_factory.mktemp("work")
    for (shard, tables), table in itertools.product(enumerate(shards), range(3)):
        if table < len(tables):
            write_counts(work, shard, table, tables[table])
    tables = [(shard, len(parts)) for shard, parts in enumerate(shards)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS_AT_ONCE", 1)
        cut = ranges_of(ranges)
    results = [add_up(work, CountJob(n, tables, part, least)) for n, part in enumerate(cut)]
    expected = sum((Counter(c) for parts in shards for c in parts), Counter())
    assert sums_in(work, len(cut)) == {w: n for w, n in expected.items() if n >= least}
    assert sum(result.different for result in results) == len(expected)
    frequent = Counter(n for n in expected.values() if n >= least)
    if sum(frequent.values()) < 2:  # then the two largest of all are told, for the error message
        told = sorted(itertools.chain(*(result.largest for result in results)))
        assert told[-2:] == sorted(expected.values())[-2:]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 9)), max_size=6))
def test_approximate_sums_keep_to_the_error_that_is_told(tmp_path_factory, parts):
    work = tmp_path_factory.mktemp("work")
    entries = [write_counts(work, n, 0, counts, most=3) for n, counts in enumerate(parts)]
    error = sum(table.uncounted for table in entries)
    add_up(work, job([(shard, 1) for shard in range(len(parts))]))
    found = sums_in(work, 1)
    exact = sum((Counter(c) for c in parts), Counter())
    assert found.keys() <= exact.keys()
    assert all(exact[word] - error <= count <= exact[word] for word, count in found.items())
    assert all(word in found for word, count in exact.items() if count > error)
    if all(len(counts) <= 3 for counts in parts):
        assert error == 0


@pytest.mark.parametrize("words", [0, 1, 10**6, 10**6 + 1, 5 * 10**6, 10**8, 10**12])
def test_ranges_are_all_partitions_once(words):
    ranges = ranges_of(words)
    assert [*itertools.chain(*ranges)] == [*range(PARTITIONS)]
    assert all(ranges)
    assert len(ranges) == min(PARTITIONS, max(1, -(-words // 10**6)))


def test_nothing_to_add_up(tmp_path):
    assert add_up(tmp_path, job([])) == RangeCounts(0, [])
    assert sums_in(tmp_path, 1) == sums_in(tmp_path, 0) == {}
    assert sums_path(tmp_path, 0).exists()


def test_missing_or_damaged_counts_are_named(tmp_path):
    write_counts(tmp_path, 0, 0, {"a": 1})
    with pytest.raises(DataError, match=r"counts-00000-001\.arrow"):
        add_up(tmp_path, job([(0, 2)]))
    path = table_paths(tmp_path, 0, 0)[1]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"counts-00000-000\.arrow"):
        add_up(tmp_path, job([(0, 1)]))
    assert not sums_path(tmp_path, 0).exists()
