"""What lies on disk between reading and writing: it comes back, and damage is noticed."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastw2v.errors import DataError, ResourceError
from fastw2v.store import spill as spill
from fastw2v.store.spill import (
    PARTITIONS,
    TableWriter,
    is_intact,
    read_counts,
    read_sequences,
    table_paths,
)


def write_table(work, batches, words, most=None, shard=0, table=0):
    """Write lists of sequences of local ids; what is remembered of the table."""
    writer = TableWriter(work, shard, table)
    with writer.open():
        for batch in batches:
            ids = np.array([*itertools.chain(*batch)], np.int32)
            writer.add(ids, np.array([len(sequence) for sequence in batch], np.int32))
    return writer.finish(pa.array(words, pa.large_string()), most)


def sequences_in(path, id_of, **options):
    """Sequences as lists, and how many ids the blocks said they had."""
    found, done = [], 0
    for ids, lengths, count in read_sequences(path, np.array(id_of, np.int32), **options):
        bounds = np.cumsum([0, *lengths])
        assert bounds[-1] == len(ids)
        found += [ids[a:b].tolist() for a, b in itertools.pairwise(bounds)]
        done += count
    return found, done


SEQUENCE = st.lists(st.sampled_from([0, 1, 2, 126, 127, 128, 199]), min_size=1, max_size=8)
BATCHES = st.lists(st.lists(SEQUENCE, max_size=6), max_size=5)


@settings(max_examples=60, deadline=None)
@given(batches=BATCHES, left_out=st.sets(st.sampled_from([0, 2, 127, 199])))
def test_sequences_and_counts_come_back(tmp_path_factory, batches, left_out):
    work = tmp_path_factory.mktemp("work")
    words = [f"wörd{n}" for n in range(200)]
    entry = write_table(work, batches, words)
    sequences_path, counts_path = table_paths(work, 0, 0)
    sequences = [*itertools.chain(*batches)]
    id_of = [-1 if n in left_out else 1000 - n for n in range(200)]
    kept = [[id_of[n] for n in sequence if n not in left_out] for sequence in sequences]
    found, done = sequences_in(sequences_path, id_of)
    assert found == [sequence for sequence in kept if sequence]
    assert done == sum(map(len, sequences))
    everything, _ = sequences_in(sequences_path, id_of, keep_unknown=True)
    assert everything == [[id_of[n] for n in sequence] for sequence in sequences]
    expected = Counter(itertools.chain(*sequences))
    rows = read_counts(counts_path).to_pylist()
    assert {row["local_id"]: row["count"] for row in rows} == expected
    assert all(row["token"] == words[row["local_id"]] for row in rows)
    assert entry.words == len(rows) == len(expected)
    assert entry.uncounted == 0
    assert is_intact(work, 0, [entry])


def test_every_word_is_in_one_partition_always_the_same(tmp_path):
    words = [f"word{n}" for n in range(3000)]
    everything = [[n] for n in range(3000)]
    write_table(tmp_path, [everything], words, table=0)
    write_table(tmp_path, [everything[:900]], words[::-1], table=1)
    partition_of = []
    for table in (0, 1):
        path = table_paths(tmp_path, 0, table)[1]
        parts = [read_counts(path, range(n, n + 1))["token"].to_pylist() for n in range(PARTITIONS)]
        assert sum(map(len, parts)) == read_counts(path, range(PARTITIONS)).num_rows
        assert sum(map(len, parts)) == read_counts(path).num_rows == [3000, 900][table]
        partition_of.append({word: number for number, part in enumerate(parts) for word in part})
    assert partition_of[1].items() <= partition_of[0].items()
    assert set(partition_of[0].values()) == set(range(PARTITIONS))


def test_larger_ids_than_any_before_and_words_that_never_occur(tmp_path):
    """Local ids are met one after another, but short lines are dropped: some have no count."""
    words = [f"w{n}" for n in range(100_000)]
    batches = [[[3, 3]], [[99_998]], [[50_000, 3], [99_998]]]
    entry = write_table(tmp_path, batches, words)
    assert entry.words == 3
    rows = read_counts(table_paths(tmp_path, 0, 0)[1])
    assert dict(zip(*rows.select(["token", "count"]).to_pydict().values(), strict=True)) == {
        "w3": 3, "w99998": 2, "w50000": 1,
    }  # fmt: skip


def test_a_table_of_nothing(tmp_path):
    for words in ([], ["never"]):
        entry = write_table(tmp_path, [[]], words)
        sequences_path, counts_path = table_paths(tmp_path, 0, 0)
        assert sequences_in(sequences_path, []) == ([], 0)
        assert read_counts(counts_path).num_rows == read_counts(counts_path, range(3)).num_rows == 0
        assert entry.words == 0
        assert is_intact(tmp_path, 0, [entry])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=30), st.integers(1, 12))
def test_only_the_most_frequent_words_are_counted(tmp_path_factory, counts, most):
    work = tmp_path_factory.mktemp("work")
    words = [f"w{n}" for n in range(len(counts))]
    batch = [[n] * count for n, count in enumerate(counts) if count]
    entry = write_table(work, [batch], words, most)
    path = table_paths(work, 0, 0)[1]
    counted = read_counts(path, range(PARTITIONS)).to_pylist()
    lost = entry.uncounted
    # Exact for whatever is more frequent than what was lost, nothing for the others.
    expected = {f"w{n}": count for n, count in enumerate(counts) if count > lost}
    assert {row["token"]: row["count"] for row in counted} == expected
    assert entry.words == len(counted) <= most
    if sum(count > 0 for count in counts) <= most:
        assert lost == 0
    assert lost == 0 or lost in counts
    # All words are told, for the sequences have the ids of all of them.
    assert len(read_counts(path)) == sum(count > 0 for count in counts)


def test_the_same_table_has_the_same_bytes(tmp_path):
    contents = []
    for _ in range(2):
        entry = write_table(tmp_path, [[[0, 1], [2]], [[1]]], ["a", "b", "c"], shard=7, table=3)
        contents.append([path.read_bytes() for path in table_paths(tmp_path, 7, 3)] + [entry])
    assert contents[0] == contents[1]


def test_a_full_disk_leaves_no_files(tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill, "pack", fail)
    with pytest.raises(ResourceError, match="no space left"):
        write_table(tmp_path, [[[0, 1], [1]]], ["a", "b"])
    assert not list(tmp_path.iterdir())


# --- damage ---


@pytest.fixture
def table(tmp_path):
    """Two blocks of sequences; (directory, entry)."""
    batches = [[[0, 1, 150], [150]], [[2, 2, 1]]]
    return tmp_path, write_table(tmp_path, batches, [f"w{n}" for n in range(151)])


def damages(content: bytes, step: int = 1):
    """Every byte (or some) changed in three ways, and every end cut off."""
    places = range(0, len(content), step)
    for place, bit in itertools.product(places, (1, 64, 128)):
        yield content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    yield from (content[:end] for end in places)


def test_a_damaged_table_is_not_intact(table):
    work, entry = table
    for path in table_paths(work, 0, 0):
        content = path.read_bytes()
        for damaged in damages(content, len(content) // 10):
            path.write_bytes(damaged)
            assert not is_intact(work, 0, [entry])
        path.unlink()
        assert not is_intact(work, 0, [entry])
        path.write_bytes(content)
        assert is_intact(work, 0, [entry])
    assert not is_intact(work, 0, [entry, entry])


def test_damaged_sequences_are_noticed_or_are_other_sequences(table):
    """The checksum is looked at between runs; within one, damage must do no harm."""
    path = table_paths(table[0], 0, 0)[0]
    content, noticed = path.read_bytes(), []
    for damaged in damages(content):
        path.write_bytes(damaged)
        try:
            found, _ = sequences_in(path, range(151))
        except DataError as error:
            noticed.append(str(error))
        else:
            assert all(0 <= i < 151 for sequence in found for i in sequence)
    assert len(noticed) > len(content)
    assert set(noticed) == {f"{path}: damaged; start over with `force`"}


def test_missing_files_are_named(tmp_path):
    sequences_path, counts_path = table_paths(tmp_path, 0, 0)
    with pytest.raises(DataError, match=r"sequences-00000-000\.packed: cannot be read"):
        list(read_sequences(sequences_path, np.zeros(1, np.int32)))
    with pytest.raises(DataError, match=r"counts-00000-000\.arrow: damaged"):
        read_counts(counts_path)
    for content in (b"", b"ARROW1", b"no Arrow file at all"):
        counts_path.write_bytes(content)
        with pytest.raises(DataError, match=r"counts-00000-000\.arrow: damaged") as caught:
            read_counts(counts_path)
        assert "\n" not in str(caught.value)
