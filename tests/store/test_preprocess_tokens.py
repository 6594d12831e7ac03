"""Tokens that someone already has: lists and arrays."""

from __future__ import annotations

import collections
import itertools
import random

import numpy as np
import pytest
from preprocess_helper import (
    content_of,
    counts_of,
    sentences_of,
)

from fastw2v.errors import FastW2VError, UsageError
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.sources import inputs_unchanged
from fastw2v.text.config import Layout


def test_token_lists_and_arrays_make_the_store_that_text_makes(tmp_path):
    rng = random.Random(3)
    lists = [rng.choices(["b", "a", "the", "C", "d"], k=rng.randint(0, 30)) for _ in range(200)]
    (tmp_path / "t").write_text("\n".join(map(" ".join, lists)) + "\n")
    (tmp_path / "stop").write_text("the")
    options = {"min_count": 3, "min_sequence_length": 3, "max_sequence_length": 8}
    options["stopwords"] = tmp_path / "stop"
    preprocess(
        tmp_path / "t", tmp_path / "text", tokenizer="whitespace", lowercase=False, **options
    )
    names = ["unused", "C", "the", "d", "a", "b"]
    ids = np.array([names.index(word) for line in lists for word in line], dtype=np.uint16)
    offsets = np.cumsum([0] + [len(line) for line in lists])
    reports = [
        preprocess((line for line in lists), tmp_path / "lists", **options),
        preprocess((ids, offsets), tmp_path / "arrays", tokens=names, **options),
    ]
    expected = content_of(tmp_path / "text")
    for place, report in zip(("lists", "arrays"), reports, strict=True):
        found = content_of(tmp_path / place)
        assert found["tokens/part-00000.parquet"] == expected["tokens/part-00000.parquet"]
        assert found["vocabulary.parquet"] == expected["vocabulary.parquet"]
        assert report.balanced
        assert report.lines == 200
        assert "lowercase" not in TokenStore.open(tmp_path / place).manifest["settings"]
        assert not inputs_unchanged(TokenStore.open(tmp_path / place), [tmp_path / "t"])


def test_many_different_tokens_of_lists_go_to_several_tables(tmp_path, monkeypatch):
    monkeypatch.setattr("fastw2v.store.sources.BATCH_TOKENS", 50)
    lists = [[f"w{n % 97}", f"w{n % 31}", "x"] for n in range(500)]
    layout = Layout(local_tokens=20)
    preprocess(iter(lists), tmp_path / "s", min_count=1, layout=layout)
    assert sentences_of(tmp_path / "s") == lists
    assert counts_of(tmp_path / "s") == collections.Counter(itertools.chain(*lists))
    ids, offsets = np.arange(500) % 7, np.arange(0, 501, 5)
    preprocess((ids, offsets), tmp_path / "a", tokens=list("abcdefg"), min_count=1)
    assert "".join(map("".join, sentences_of(tmp_path / "a"))) == ("abcdefg" * 72)[:500]


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (iter(["a sentence", "another"]), {}, "sequence 0 must be a list of tokens"),
        ([["a", 3]], {}, "got 3"),
        ([["a", ""]], {}, "got ''"),
        ([["a", None]], {}, "got None"),
        ([["a", "\ud800"]] * 9, {}, "surrogate"),
        (3, {}, "got 3"),
        ([["a", "b"]], {"lowercase": True}, "lowercase: only for text"),
        ((np.array([0, 1]), np.array([0, 2])), {}, "need tokens="),
        (([0, 1], [0, 3]), {"tokens": ["a", "b"]}, "end with len"),
        (([0, 1], [0, 2, 1, 2]), {"tokens": ["a", "b"]}, "not decrease"),
        (([0, 2], [0, 2]), {"tokens": ["a", "b"]}, "rows of tokens"),
        (([0, -1], [0, 2]), {"tokens": ["a", "b"]}, "rows of tokens"),
        (([0.5, 1], [0, 2]), {"tokens": ["a", "b"]}, "integers"),
        (([0, 1], []), {"tokens": ["a", "b"]}, "begin with 0"),
        (([0, 1], np.array([0, 2, 1, 2], np.uint32)), {"tokens": ["a", "b"]}, "not decrease"),
        (
            (np.array([0, 2**64 - 1], np.uint64), [0, 2]),
            {"tokens": ["a", "b"]},
            "must fit into 64-bit",
        ),
        (
            ([0, 1], np.array([0, 2**64 - 1], np.uint64)),
            {"tokens": ["a", "b"]},
            "must fit into 64-bit",
        ),
        (([[0], [1, 0]], [0, 2]), {"tokens": ["a", "b"]}, "one-dimensional"),
        ([["a", "b"]], {"tokens": ["a", "b"]}, "tuple"),
        ([], {}, "no input"),
    ],
)
def test_wrong_tokens_are_misuse_and_leave_nothing(tmp_path, inputs, options, message):
    with pytest.raises(FastW2VError, match=message):
        preprocess(inputs, tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("kind", [np.uint64, np.uint32, np.int16, np.int64])
def test_arrays_of_any_integer_type(tmp_path, kind):
    ids, offsets = np.arange(500) % 7, np.arange(0, 501, 5)
    call = {"tokens": list("abcdefg"), "min_count": 1}
    preprocess((ids.astype(kind), offsets.astype(kind)), tmp_path / "a", **call)
    assert "".join(map("".join, sentences_of(tmp_path / "a"))) == ("abcdefg" * 72)[:500]


def test_arrays_without_tokens_are_misuse(tmp_path):
    with pytest.raises(UsageError):
        preprocess(([], [0, 0]), tmp_path / "a", tokens=["a", "b"], min_count=1)


def test_an_iterable_that_fails_leaves_nothing(tmp_path):
    def fails():
        yield ["a", "b"]
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        preprocess(fails(), tmp_path / "s")
    assert not (tmp_path / "s").exists()
