"""Vocabulary files of all formats: written, read back, refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors_helper import WORDS, write_model

from fastw2v.errors import DataError, UsageError
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.store.vocabulary_files import (
    FORMATS,
    check_words,
    format_of_suffix,
    load_text_vocabulary,
    read_vocabulary,
    select_words,
    text_blocks,
    write_vocabulary,
)

# Ids that are not in order of count, a word that looks like a count, one beyond ASCII.
SMALL = Vocabulary(["zebra", "ant", "12", "naïve", "𝔘", "</s>x"], [3, 9, 9, 1, 2**40, 7])


def everything(vocabulary):
    return np.arange(len(vocabulary))


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_is_written_is_read_back(tmp_path, file_format):
    path = tmp_path / "any.name"
    write_vocabulary(path, SMALL, everything(SMALL), file_format)
    assert read_vocabulary(path) == SMALL


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6),
        st.integers(1, 2**50),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(FORMATS),
)
def test_any_word_is_read_back_or_refused(tmp_path_factory, counts, file_format):
    vocabulary = Vocabulary(list(counts), list(counts.values()))
    path = tmp_path_factory.mktemp("v") / "v"
    broken = {"word2vec": str.split, "tsv": lambda t: t.replace("\r", "\n").split("\n")}
    try:
        write_vocabulary(path, vocabulary, everything(vocabulary), file_format)
    except UsageError:
        assert file_format != "parquet"
        assert any(
            broken[file_format](token) != [token] or "\t" in token for token in vocabulary.tokens
        )
        assert not path.exists()
        return
    assert read_vocabulary(path) == vocabulary


def test_the_text_formats_are_as_documented():
    ids = np.array([0, 2])
    assert "".join(text_blocks(SMALL, ids, "word2vec")) == "</s> 0\nzebra 3\n12 9\n"
    assert "".join(text_blocks(SMALL, ids, "tsv")) == "token\tcount\tid\nzebra\t3\t0\n12\t9\t2\n"
    with_line_end = Vocabulary(["</s>", "a"], [5, 2])
    assert "".join(text_blocks(with_line_end, np.arange(2), "word2vec")) == "</s> 5\na 2\n"


def test_many_words_are_written_in_blocks(tmp_path):
    many = Vocabulary([f"w{n}" for n in range(40_000)], np.arange(40_000, 0, -1))
    assert len(list(text_blocks(many, everything(many), "tsv"))) > 3
    write_vocabulary(tmp_path / "v", many, everything(many), "tsv")
    assert read_vocabulary(tmp_path / "v") == many


def test_words_are_selected_by_count():
    assert select_words(SMALL).tolist() == [0, 1, 2, 3, 4, 5]
    assert select_words(SMALL, min_count=7).tolist() == [1, 2, 4, 5]
    assert select_words(SMALL, top=2).tolist() == [1, 4]  # of 1 and 2, equally frequent, the first
    assert select_words(SMALL, top=99, min_count=9).tolist() == [1, 2, 4]
    assert select_words(SMALL, min_count=2**41).tolist() == []
    mixed = Vocabulary([f"w{n}" for n in range(200)], [1 + n % 2 for n in range(200)])
    assert select_words(mixed, top=70).tolist() == list(range(1, 140, 2))


def test_words_that_a_format_cannot_hold_are_counted(tmp_path):
    spaced = Vocabulary(["new york", "a", "no\u00a0break", "b"], [4, 3, 2, 1])
    with pytest.raises(UsageError, match=r"white space in 2 words .*`file_format` tsv"):
        write_vocabulary(tmp_path / "v", spaced, everything(spaced), "word2vec")
    write_vocabulary(tmp_path / "v", spaced, everything(spaced), "tsv")
    assert read_vocabulary(tmp_path / "v") == spaced
    for file_format in ("word2vec", "tsv"):
        with pytest.raises(UsageError, match=r"in 1 words .*`file_format` parquet"):
            check_words(["a", "b\tc"], file_format, "x")
    check_words(["b\tc"], "parquet", "x")


def test_the_suffix_names_the_format(tmp_path):
    names = ["a.txt", "a.vocab", "a.TSV", "a.parquet"]
    assert [format_of_suffix(tmp_path / name) for name in names] == [
        "word2vec", "word2vec", "tsv", "parquet",
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"`file_format` word2vec\|tsv\|parquet"):
        format_of_suffix(tmp_path / "a.csv")


def test_text_keeps_the_order_of_its_lines(tmp_path):
    path = tmp_path / "counts.txt"
    for content, tokens in (
        ("</s> 0\nzebra 3\nant\t7\n\n", ["zebra", "ant"]),
        ("\ufeffzebra 3\r\nant 7\r\n", ["zebra", "ant"]),  # as an editor on Windows leaves it
        ("token\tcount\nnew york\t3\nant\t7\n", ["new york", "ant"]),
        ("token\tcount\tid\r\nb\t3\t9\r\na\t7\t2\r\n", ["b", "a"]),  # sorted anew by a user
        ("foo\u00a0bar 3\na 1\n", ["foo\u00a0bar", "a"]),  # word2vec.c splits at ASCII blanks only
    ):
        path.write_text(content, encoding="utf-8", newline="")
        assert load_text_vocabulary(path).tokens == tokens


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("</s> 0\na 0\n", "not positive"),
        ("a 1\nb\n", "line 2"),
        ("a 1\na 2\n", "twice"),
        ("a x", "line 1"),
        ("a ١", "line 1"),
        ("a 1\nb 12345678901234567890\n", "line 2"),
        ("token\tcount\na\t1\nb 2\n", "line 3"),
        ("token\tcount\tid\na\t1\n", "line 2"),
        ("token\tcount\n\t1\n", "empty token"),
    ],
)
def test_text_that_is_no_vocabulary_is_refused(tmp_path, content, message):
    path = tmp_path / "counts.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        load_text_vocabulary(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_stores_models_and_files_have_vocabularies(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("a b a b c\n" * 5)
    preprocess(text, tmp_path / "store", threads=1)
    assert read_vocabulary(tmp_path / "store") == TokenStore.open(tmp_path / "store").vocabulary
    assert read_vocabulary(write_model(tmp_path / "model")).tokens == WORDS
    with pytest.raises(UsageError, match="neither a finished token store nor a model"):
        read_vocabulary(tmp_path)
    with pytest.raises(UsageError, match=r"^here: no such file"):
        read_vocabulary(tmp_path / "none", "here")
    with pytest.raises(UsageError, match="cannot be read"):
        read_vocabulary(tmp_path / ("x" * 300))


@pytest.mark.parametrize("file_format", FORMATS)
def test_preprocess_takes_every_format(tmp_path, file_format):
    text = tmp_path / "text.txt"
    text.write_text("b a a c\nc z\n" * 5)
    reused = Vocabulary(["c", "a", "unseen", "b"], [7, 5, 4, 1])
    write_vocabulary(tmp_path / "v", reused, everything(reused), file_format)
    preprocess(text, tmp_path / "store", threads=1, vocabulary=str(tmp_path / "v"))
    store = TokenStore.open(tmp_path / "store")
    assert store.vocabulary == reused
    ids, offsets = store.read_row_group(0)
    assert ids[: offsets[1]].tolist() == [3, 1, 1, 0]


def test_gensim_reads_and_writes_the_word2vec_format(tmp_path):
    models = pytest.importorskip("gensim.models")
    vectors = models.KeyedVectors(2)
    vectors.add_vectors(["a", "naïve", "c"], np.eye(3, 2))
    vectors.expandos["count"] = np.array([9, 4, 2])
    paths = str(tmp_path / "vectors"), str(tmp_path / "vocab")
    vectors.save_word2vec_format(paths[0], fvocab=paths[1])
    read = read_vocabulary(paths[1])
    assert (read.tokens, read.counts.tolist()) == (["a", "naïve", "c"], [9, 4, 2])
    write_vocabulary(tmp_path / "ours", read, everything(read), "word2vec")
    loaded = models.KeyedVectors.load_word2vec_format(paths[0], fvocab=str(tmp_path / "ours"))
    assert [loaded.get_vecattr(word, "count") for word in read.tokens] == [9, 4, 2]
