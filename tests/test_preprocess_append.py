"""Text that is added to a finished store, and files that are left out."""

from __future__ import annotations

import gzip
import subprocess
import sys

import pytest
from preprocess_helper import content_of, sentences_of

import fastw2v
from fastw2v import storage
from fastw2v.corpus.preprocess import preprocess
from fastw2v.corpus.token_store import TokenStore
from fastw2v.corpus.verify import verify_store
from fastw2v.errors import DataError, UsageError

FIRST = "a b c a b\nb c a\na a\n"
SECOND = "c d a\nd d\nb a new york b\n"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "first.txt").write_text(FIRST)
    (tmp_path / "second.txt").write_text(SECOND)
    preprocess(tmp_path / "first.txt", tmp_path / "s", min_count=1)
    return tmp_path


def test_appended_text_has_the_vocabulary_of_the_store(place):
    before = TokenStore.open(place / "s")
    report = preprocess(place / "second.txt", place / "s", append=True)
    after = TokenStore.open(place / "s")
    assert after.vocabulary == before.vocabulary
    assert sentences_of(place / "s")[3:] == [["c", "a"], ["b", "a", "b"]]
    assert report.balanced
    assert (report.files, report.tokens_kept, report.tokens_outside_vocabulary) == (2, 15, 5)
    assert after.manifest["appended_parts"] == 1
    assert verify_store(place / "s") == []
    assert not (place / "s" / "unfinished").exists()


def test_files_of_the_store_are_left_out(place):
    both = [place / "first.txt", place / "second.txt"]
    preprocess(both, place / "s", append=True)
    content = content_of(place / "s")
    again = preprocess(both, place / "s", append=True)
    assert again.tokens_kept == TokenStore.open(place / "s").num_tokens
    assert content_of(place / "s") == content


def test_a_file_that_changed_is_refused(place):
    (place / "first.txt").write_text(FIRST + "more\n")
    content = content_of(place / "s")
    with pytest.raises(UsageError, match=r"first.txt is in the store .* with other content"):
        preprocess([place / "first.txt", place / "second.txt"], place / "s", append=True)
    assert content_of(place / "s") == content


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min_count": 2}, "--min-count: --append keeps the vocabulary"),
        ({"lowercase": False}, "--lowercase: the store"),
        ({"tokenizer": "whitespace"}, "--tokenizer: the store"),
    ],
)
def test_text_is_cut_as_the_stores_was(place, options, words):
    with pytest.raises(UsageError, match=words):
        preprocess(place / "second.txt", place / "s", append=True, **options)
    assert verify_store(place / "s") == []


def test_stop_words_of_a_file_have_to_be_given_again(tmp_path):
    (tmp_path / "first.txt").write_text(FIRST)
    (tmp_path / "second.txt").write_text(SECOND)
    (tmp_path / "stop").write_text("a")
    preprocess(tmp_path / "first.txt", tmp_path / "s", min_count=1, stopwords=tmp_path / "stop")
    with pytest.raises(UsageError, match="give its stop words again: --stopwords stop"):
        preprocess(tmp_path / "second.txt", tmp_path / "s", append=True)
    report = preprocess(
        tmp_path / "second.txt", tmp_path / "s", append=True, stopwords=tmp_path / "stop"
    )
    assert report.tokens_stopwords == 7
    assert all("a" not in sentence for sentence in sentences_of(tmp_path / "s"))


def test_phrases_of_the_store_are_joined_in_what_is_added(tmp_path):
    (tmp_path / "first.txt").write_text("new york is big\nx new york y\nz y x\n" * 10)
    (tmp_path / "second.txt").write_text("to new york\nnew x york\n")
    options = {"min_count": 2, "phrases": 1, "phrase_threshold": 1.0, "phrase_min_count": 2}
    preprocess(tmp_path / "first.txt", tmp_path / "s", **options)
    before = len(sentences_of(tmp_path / "s"))
    report = preprocess(tmp_path / "second.txt", tmp_path / "s", append=True)
    assert sentences_of(tmp_path / "s")[before:] == [["new_york"], ["x"]]
    assert report.balanced
    assert verify_store(tmp_path / "s") == []


_KILLED = """
import os, sys
from fastw2v import storage
from fastw2v.corpus.preprocess import preprocess

left = int(sys.argv[3])
replace = os.replace
def stop_after(*arguments):
    global left
    if left == 0:
        os._exit(9)
    left -= 1
    replace(*arguments)
storage.os.replace = stop_after
preprocess(sys.argv[1], sys.argv[2], append=True, workers=1)
"""


def test_killed_between_any_two_files_it_goes_on(place):
    preprocess(place / "first.txt", place / "other", min_count=1)
    preprocess(place / "second.txt", place / "other", append=True)
    whole, before = content_of(place / "other"), content_of(place / "s")
    call = [sys.executable, "-c", _KILLED, str(place / "second.txt"), str(place / "s")]
    writes = 0
    while subprocess.run([*call, str(writes)], check=False).returncode == 9:
        served = {
            name: content
            for name, content in content_of(place / "s").items()
            if name in before
        }  # fmt: skip
        assert served == before  # the store is as it was until all is added
        TokenStore.open(place / "s")
        preprocess(place / "second.txt", place / "s", append=True)
        assert content_of(place / "s") == whole
        storage.remove_directory(place / "s")
        for name, content in before.items():
            (place / "s" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "s" / name).write_bytes(content)
        writes += 1
    assert writes > 4
    assert content_of(place / "s") == whole


def test_an_unfinished_append_of_other_text_is_not_mixed_in(place):
    call = [sys.executable, "-c", _KILLED, str(place / "second.txt"), str(place / "s"), "3"]
    assert subprocess.run(call, check=False).returncode == 9
    (place / "third.txt").write_text("a b\n")
    with pytest.raises(UsageError, match="unfinished --append of other input"):
        preprocess(place / "third.txt", place / "s", append=True)
    preprocess(place / "third.txt", place / "s", append=True, force=True)
    assert sentences_of(place / "s")[3:] == [["a", "b"]]
    assert verify_store(place / "s") == []


def test_bad_files_are_left_out_and_listed(tmp_path):
    (tmp_path / "good.txt").write_text("a b c\n")
    packed = gzip.compress(b"d e f\n" * 1000)
    (tmp_path / "short.txt.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "named.txt.gz").write_bytes(b"plain text\n")
    (tmp_path / "bytes.txt").write_bytes(b"a b \xff c\n")
    names = ["bytes.txt", "good.txt", "named.txt.gz", "short.txt.gz"]
    paths, options = [tmp_path / name for name in names], {"min_count": 1, "errors": "strict"}
    with pytest.raises(DataError):
        preprocess(paths, tmp_path / "s", **options)
    report = preprocess(paths, tmp_path / "s", skip_bad_files=True, **options)
    assert (report.files, report.bad_files) == (1, 3)
    assert sentences_of(tmp_path / "s") == [["a", "b", "c"]]
    listed = TokenStore.open(tmp_path / "s").manifest["bad_files"]
    assert sorted(file["name"] for file in listed) == ["bytes.txt", "named.txt.gz", "short.txt.gz"]
    assert all(file["name"] in file["reason"] for file in listed)


@pytest.mark.parametrize("inputs", [5, [["a", "b"]], iter([])])
def test_only_text_is_appended(place, inputs):
    with pytest.raises(UsageError, match="append=True is for text"):
        preprocess(inputs, place / "s", append=True)


def test_python_names_the_same_option(place):
    fastw2v.preprocess(str(place / "second.txt"), place / "s", append=True)
    assert TokenStore.open(place / "s").num_sentences == 5
