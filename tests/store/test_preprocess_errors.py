"""What `preprocess` refuses, in one line, leaving nothing behind."""

from __future__ import annotations

import gzip
import io
import os
import shutil
from pathlib import Path

import pytest
from preprocess_helper import (
    SMALL,
    content_of,
    interrupt,
    sentences_of,
    write_corpus,
)

from fastw2v.errors import DataError, FastW2VError, ResourceError, UsageError
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.sources import inputs_unchanged
from fastw2v.text.config import Layout


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


@pytest.fixture
def forbid(monkeypatch):
    """Makes a file unreadable, for an administrator too."""
    forbidden, real = set(), io.open

    def open_unless_forbidden(file, *arguments, **options):
        if str(file) in forbidden:
            raise PermissionError(13, "Permission denied", str(file))
        return real(file, *arguments, **options)

    monkeypatch.setattr(io, "open", open_unless_forbidden)
    monkeypatch.setattr("builtins.open", open_unless_forbidden)
    # Python 3.10's Path holds io.open from when it was imported.
    monkeypatch.setattr(Path, "open", open_unless_forbidden)
    return lambda path: forbidden.add(str(path))


def test_strict_errors_name_file_and_byte(tmp_path):
    text = b"\xef\xbb\xbf" + b"fine words\n" * 100 + b"caf\xe9 au lait\n"
    for name, content in (("t.txt", text), ("t.gz", gzip.compress(text))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=rf"{name}: line 101, byte 1106.*0xe9.*`errors`"):
            preprocess(tmp_path / name, tmp_path / "s", errors="strict", layout=SMALL, threads=1)
        assert not (tmp_path / "s").exists()


def test_bad_vocabularies_are_refused(tmp_path, corpus):
    (tmp_path / "one.txt").write_text("word 3\n")
    (tmp_path / "other.txt").write_text("nothing 3\nhere 2\n")
    for name, message in [
        ("one.txt", "fewer than two"),
        ("none", "no such file"),
        ("corpus", "neither"),
        ("other.txt", "none of the"),
    ]:
        with pytest.raises(UsageError, match=message):
            preprocess(corpus[:1], tmp_path / "s", vocabulary=tmp_path / name)
    with pytest.raises(UsageError, match="leave out `min_count`"):
        preprocess(corpus[:1], tmp_path / "s", vocabulary=tmp_path / "other.txt", min_count=2)
    assert not (tmp_path / "s").exists()


def test_files_of_options_that_cannot_be_read_are_one_line(tmp_path, corpus, forbid):
    for name, content in [("plain", "a 3\nb 2\n"), ("parquet", "PAR1")]:
        path = tmp_path / name
        path.write_text(content)
        forbid(path)
        for option in ("stopwords", "vocabulary"):
            with pytest.raises(FastW2VError, match=rf"{name}: cannot be read \(Perm") as caught:
                preprocess(corpus, tmp_path / "s", **{option: path})
            assert "\n" not in str(caught.value)


def test_text_that_cannot_be_read_is_one_line(tmp_path, corpus, forbid, monkeypatch):
    forbid(corpus[2])
    for inputs in (corpus, corpus[0].parent, str(corpus[0].parent / "*.txt")):
        with pytest.raises(UsageError, match=r"c\.txt: cannot be read \(Permission"):
            preprocess(inputs, tmp_path / "s")
    monkeypatch.undo()
    (corpus[0].parent / "more").mkdir()
    (corpus[0].parent / "more" / "text").write_text("more text")
    real = os.scandir

    def scan(place="."):
        if "more" in str(place):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(UsageError, match=r"corpus/more: cannot be read"):
        preprocess(corpus[0].parent, tmp_path / "s")
    monkeypatch.undo()
    with pytest.raises(ResourceError, match="cannot write"):
        preprocess(corpus, tmp_path / ("s" * 300))
    assert not (tmp_path / "s").exists()


def test_names_that_are_not_utf_8(tmp_path, corpus):
    strange = os.fsdecode(b"caf\xe9.txt")
    try:
        path = corpus[2].rename(corpus[2].with_name(strange))
    except OSError:
        pytest.skip("this file system takes only names of UTF-8")
    inputs = [*corpus[:2], path]
    for threads in (1, 2):
        place = tmp_path / f"s{threads}"
        interrupt(inputs, place)
        preprocess(inputs, place, threads=threads, layout=SMALL)
        store = TokenStore.open(place)
        assert strange in [entry["name"] for entry in store.manifest["inputs"]]
        assert inputs_unchanged(store, inputs)
    path.write_bytes(path.read_bytes() + b"\xff")
    assert not inputs_unchanged(store, inputs)
    for threads in (1, 2):
        with pytest.raises(DataError, match=r"line 381, byte \d+: byte 0xff"):
            preprocess(inputs[2:], tmp_path / "t", threads=threads, layout=SMALL, errors="strict")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_count": 0}, "`min_count` must be"),
        ({"max_vocab": 1}, "`max_vocab` must be"),
        ({"tokenizer": "spacy"}, "`tokenizer`"),
        ({"min_counts": 3}, "did you mean min_count"),
        ({"threads": 0}, "`threads`"),
        ({"stopwords": "/no/such/list"}, "`stopwords`"),
        ({"min_count": 10**23}, r"`min_count` must be at most "),
        ({"max_vocab": 10**23}, r"`max_vocab` must be at most "),
        ({"min_sequence_length": 10**23}, r"`min_sequence_length` must be at most "),
        ({"max_sequence_length": 10**23}, r"`max_sequence_length` must be at most "),
        ({"min_count": 1 << 62}, "only 0 of"),
        ({"min_sequence_length": 1 << 62}, "0 different words"),
        ({"min_count": 10**6}, r"only 0 of \d+ .* `min_count` \d+ or less"),
    ],
)
def test_wrong_options_are_misuse_and_leave_nothing(tmp_path, corpus, options, message):
    with pytest.raises(UsageError, match=message):
        preprocess(corpus, tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


def test_the_min_count_that_is_named_helps(tmp_path):
    (tmp_path / "t").write_text("a a a b b c\n")
    with pytest.raises(UsageError, match="`min_count` 2 or less"):
        preprocess(tmp_path / "t", tmp_path / "s", min_count=3)
    assert preprocess(tmp_path / "t", tmp_path / "s", min_count=2).vocabulary_size == 2
    (tmp_path / "t").write_text("same same ... same\n")
    with pytest.raises(UsageError, match="the text has 1 different words"):
        preprocess(tmp_path / "t", tmp_path / "s2", min_count=1)


def test_empty_paths_are_not_the_working_directory(tmp_path, corpus, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UsageError, match="`output`: empty path"):
        preprocess(corpus, "")
    assert not list(Path().iterdir())
    shutil.copy(corpus[0], "text.txt")
    for inputs in ("", [*corpus, ""]):
        with pytest.raises(UsageError, match="input: empty path"):
            preprocess(inputs, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_parent_that_is_a_file_is_reported(tmp_path, corpus):
    with pytest.raises(ResourceError, match="cannot write"):
        preprocess(corpus[:1], corpus[0] / "store")


def test_a_store_inside_the_input_directory_is_not_read_as_text(tmp_path, corpus):
    directory = corpus[0].parent
    preprocess(directory, directory / "store")
    first = content_of(directory / "store")
    preprocess(directory, directory / "store", force=True)
    assert content_of(directory / "store") == first
    with pytest.raises(UsageError, match="store: is a token store; give it to train"):
        preprocess(directory / "store", tmp_path / "s")


def test_truncated_input_leaves_nothing_where_nothing_was_done(tmp_path, corpus):
    corpus[1].write_bytes(corpus[1].read_bytes()[:-30])
    with pytest.raises(DataError, match=r"b\.txt\.gz"):
        preprocess(corpus[1], tmp_path / "s", threads=1, layout=SMALL)
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("threads", [1, 2])
def test_truncated_input_loses_nothing_of_the_rest(tmp_path, corpus, threads):
    whole = corpus[1].read_bytes()
    preprocess(corpus, tmp_path / "clean", layout=SMALL, threads=1)
    preprocess([corpus[0], corpus[2]], tmp_path / "without", layout=SMALL, threads=1)
    corpus[1].write_bytes(whole[:-30])
    call = {"threads": threads, "layout": SMALL}
    with pytest.raises(DataError, match=r"b\.txt\.gz"):
        preprocess(corpus, tmp_path / "s", **call)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "s").rglob("spill-*.json")}
    assert kept
    with pytest.raises(DataError, match=r"b\.txt\.gz"):
        preprocess(corpus, tmp_path / "s", **call)
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    shutil.copytree(tmp_path / "s", tmp_path / "t")
    call["threads"] = 1  # what goes on has no need of as many
    report = preprocess(corpus, tmp_path / "t", skip_bad_files=True, **call)
    assert (report.files, report.bad_files) == (2, 1)
    assert sentences_of(tmp_path / "t") == sentences_of(tmp_path / "without")
    corpus[1].write_bytes(whole)
    preprocess(corpus, tmp_path / "s", **call)
    assert content_of(tmp_path / "s") == content_of(tmp_path / "clean")


@pytest.mark.parametrize(
    ("tokenizer", "threads"), [("words", 1), (r"regex:\w+", 1), (r"regex:\w+", 2)]
)
def test_nothing_of_a_bad_file_reaches_the_next(tmp_path, tokenizer, threads):
    """Its last line has not ended when it is found to be bad."""
    (tmp_path / "a.txt").write_bytes(b"lost words " * 50 + b"\xff\n")
    (tmp_path / "b.txt").write_bytes(b"one two\n" * 5)
    (tmp_path / "c.txt").write_bytes(b"lost words " * 50 + b"\xff\n")
    (tmp_path / "d.txt").write_bytes(b"one two\n" * 5)
    report = preprocess(
        [tmp_path / f"{name}.txt" for name in "abcd"],
        tmp_path / "s",
        threads=threads,
        errors="strict",
        skip_bad_files=True,
        tokenizer=tokenizer,
        layout=Layout(small_unit_bytes=1, block_bytes=64),
    )
    assert (report.bad_files, report.lines, report.tokens_read) == (2, 10, 20)
    assert sentences_of(tmp_path / "s") == [["one", "two"]] * 10
