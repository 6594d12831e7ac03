from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastw2v.errors import DataError, UsageError
from fastw2v.store.vocabulary import Vocabulary, load_tokens

COUNTS = {"b": 3, "a": 3, "é": 3, "𝔘": 3, "\uffff": 3, "rare": 1, "top": 9}


def test_order_is_count_then_code_point():
    vocabulary = Vocabulary.from_counts(COUNTS, min_count=2)
    assert vocabulary.tokens == ["top", "a", "b", "é", "\uffff", "𝔘"]
    assert vocabulary.counts.tolist() == [9, 3, 3, 3, 3, 3]
    assert vocabulary.counts.dtype == np.int64
    assert vocabulary.index["b"] == 2
    assert vocabulary.total == 24
    assert len(vocabulary) == 6


def test_max_vocab_keeps_the_most_frequent():
    assert Vocabulary.from_counts(COUNTS, 1, 3).tokens == ["top", "a", "b"]


def test_hash_sees_tokens_counts_order_and_joints():
    variants = [
        Vocabulary(["ab", "c"], [2, 1]),
        Vocabulary(["a", "bc"], [2, 1]),
        Vocabulary(["ab", "c"], [3, 1]),
        Vocabulary(["c", "ab"], [2, 1]),
    ]
    assert len({vocabulary.hash for vocabulary in variants}) == 4
    assert Vocabulary(["ab", "c"], [2, 1]) == variants[0]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), st.integers(1, 2**40), max_size=20))
def test_save_and_load_round_trip(tmp_path_factory, counts):
    counts = {token.encode("utf-8", "replace").decode(): n for token, n in counts.items()}
    path = tmp_path_factory.mktemp("v") / "vocabulary.parquet"
    saved = Vocabulary.from_counts(counts, 1)
    saved.save(path)
    loaded = Vocabulary.load(path)
    assert loaded.tokens == saved.tokens
    assert loaded.counts.tolist() == saved.counts.tolist()
    assert loaded.hash == saved.hash


def test_the_same_vocabulary_has_the_same_bytes(tmp_path):
    for name in ("1", "2"):
        Vocabulary.from_counts(COUNTS, 1).save(tmp_path / name)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"token": ["a", "a"], "count": [2, 1]}, "twice"),
        ({"token": ["a", "b"], "count": [2, 0]}, "not positive"),
        ({"token": ["a", ""], "count": [2, 1]}, "empty token"),
        ({"token": ["a", None], "count": [2, 1]}, "nulls"),
        ({"token": ["a", "b"], "count": [2, None]}, "nulls"),
        ({"token": ["a"], "count": [1.5]}, "not a vocabulary"),
        ({"token": [1], "count": [1]}, "not a vocabulary"),
        ({"word": ["a"], "count": [1]}, "not a vocabulary"),
        ({"token": ["a"], "count": [1], "x": [1]}, "not a vocabulary"),
    ],
)
def test_foreign_files_are_refused(tmp_path, columns, message):
    path = tmp_path / "vocabulary.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataError, match=message) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no Parquet at all"])
def test_damaged_files_are_refused(tmp_path, content):
    path = tmp_path / "vocabulary.parquet"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"vocabulary\.parquet"):
        Vocabulary.load(path)
    with pytest.raises(DataError, match=r"missing\.parquet"):
        Vocabulary.load(tmp_path / "missing.parquet")


def test_truncated_or_flipped_files_are_refused(tmp_path):
    path = tmp_path / "vocabulary.parquet"
    Vocabulary([f"word{n}" for n in range(500)], np.arange(500, 0, -1)).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError):
        Vocabulary.load(path)
    flipped = bytearray(whole)
    flipped[100] ^= 4
    path.write_bytes(flipped)
    with pytest.raises(DataError):
        Vocabulary.load(path)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 4), max_size=30),
    st.integers(0, 4),
    st.none() | st.integers(1, 20),
)
def test_the_order_and_the_limits_equal_plain_python(counts, min_count, max_vocab):
    found = Vocabulary.from_counts(counts, min_count, max_vocab)
    frequent = [token for token, count in counts.items() if count >= min_count]
    expected = sorted(frequent, key=lambda token: (-counts[token], token))[:max_vocab]
    assert found.tokens == expected
    assert found.counts.tolist() == [counts[token] for token in expected]


def test_tokens_alone_are_loaded_in_their_order(tmp_path):
    path = tmp_path / "vocabulary.parquet"
    saved = Vocabulary(["z", "ant", "𝔘" * 99, "é"], [1, 9, 3, 3])
    saved.save(path)
    tokens = load_tokens(path)
    assert tokens.type == pa.large_string()
    assert tokens.to_pylist() == saved.tokens
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"vocabulary\.parquet"):
        load_tokens(path)


def test_counts_must_fit_the_tokens():
    with pytest.raises(UsageError, match="counts of shape"):
        Vocabulary(["a", "b"], [1])
    with pytest.raises(ValueError, match="read-only"):
        Vocabulary(["a"], [1]).counts[0] = 2
