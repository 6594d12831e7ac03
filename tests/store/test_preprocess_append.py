"""Text that is added to a finished store, and files that are left out."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import subprocess
import sys

import pytest
from kill_helper import Runs
from preprocess_helper import (
    content_of,
    sentences_of,
)

import fastw2v
from fastw2v.errors import DataError, FastW2VError, UsageError
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.verify import verify_store
from fastw2v.text.config import Layout

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
        ({"min_count": 2}, "`min_count`: `append` keeps the vocabulary"),
        ({"lowercase": False}, "`lowercase`: the store"),
        ({"tokenizer": "whitespace"}, "`tokenizer`: the store"),
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
    with pytest.raises(UsageError, match="give its stop words again: `stopwords` stop"):
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


@pytest.fixture(scope="module")
def runs():
    if not hasattr(os, "fork"):
        pytest.skip("runs are forked")
    with Runs(append=True, threads=1, layout=None) as runs:
        yield runs


def test_killed_at_any_step_it_goes_on(runs, place):
    shutil.copytree(place / "s", place / "other")
    preprocess(place / "second.txt", place / "other", append=True)
    whole, before = content_of(place / "other"), content_of(place / "s")
    call = {"inputs": str(place / "second.txt"), "output": str(place / "s")}
    added = 0
    for step in itertools.count(2, 2):
        if runs.run(**call, kill_at=step) == "done":
            break
        TokenStore.open(place / "s")
        found = content_of(place / "s")
        if found["manifest.json"] == whole["manifest.json"]:
            added += 1
        else:  # the store is as it was until all is added
            assert {name: found[name] for name in before} == before
        preprocess(place / "second.txt", place / "s", append=True)
        assert content_of(place / "s") == whole
        shutil.rmtree(place / "s")
        for name, content in before.items():
            (place / "s" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "s" / name).write_bytes(content)
    assert step > 2 * (added + 5)
    assert content_of(place / "s") == whole


def test_an_unfinished_append_of_other_text_is_not_mixed_in(runs, place):
    call = {"inputs": str(place / "second.txt"), "output": str(place / "s")}
    assert runs.run(**call, kill_at=20) == "killed"
    (place / "third.txt").write_text("a b\n")
    with pytest.raises(UsageError, match="unfinished `append` of other input"):
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


# --- files that cannot be read ---


@pytest.fixture
def bad(place):
    """A file that is found to be bad before it is read, and one that is found so by reading."""
    (place / "named.txt.gz").write_bytes(b"plain text\n")
    packed = gzip.compress(b"d e f\n" * 1000)
    (place / "short.txt.gz").write_bytes(packed[: len(packed) // 2])
    return [place / "named.txt.gz", place / "short.txt.gz"]


def listed(place):
    return [file["name"] for file in TokenStore.open(place / "s").manifest["bad_files"]]


def append(place, *names, **options):
    return preprocess(
        [place / name for name in names], place / "s", append=True, skip_bad_files=True, **options
    )


def test_bad_files_are_listed_by_an_append_that_adds_nothing(place, bad):
    before = content_of(place / "s")
    report = append(place, "first.txt", "named.txt.gz")
    assert (report.files, report.bad_files) == (1, 1)
    assert listed(place) == ["named.txt.gz"]
    report = append(place, "first.txt", "named.txt.gz", "short.txt.gz")
    assert (report.files, report.bad_files) == (1, 2)
    assert listed(place) == ["named.txt.gz", "short.txt.gz"]
    assert all(
        content_of(place / "s")[name] == content
        for name, content in before.items()
        if name != "manifest.json"
    )
    assert content_of(place / "s").keys() == before.keys()
    assert verify_store(place / "s") == []
    listed_once = content_of(place / "s")
    for _ in range(2):
        assert append(place, "first.txt", "named.txt.gz", "short.txt.gz").bad_files == 2
        assert content_of(place / "s") == listed_once
    assert append(place, "first.txt").bad_files == 2  # those of the store


def test_the_command_line_lists_them_too(place, bad):
    call = [sys.executable, "-m", "fastw2v", "preprocess", "first.txt", "named.txt.gz"]
    call += ["--output", "s", "--append", "--skip-bad-files"]
    run = subprocess.run(call, cwd=place, capture_output=True, text=True, check=True)
    line = next(line for line in run.stderr.splitlines() if line.startswith("skipped: named"))
    assert line.count("named.txt.gz") == 1


def test_files_that_are_bad_add_no_parts(place, bad):
    for _ in range(3):
        report = append(place, "second.txt", "short.txt.gz")
        assert (report.files, report.bad_files) == (2, 1)
        assert len(TokenStore.open(place / "s").manifest["parts"]) == 2
        assert len(list((place / "s" / "tokens").iterdir())) == 2
        assert verify_store(place / "s") == []
    assert TokenStore.open(place / "s").manifest["appended_parts"] == 1


def test_a_bad_file_that_is_whole_again_is_added(place, bad):
    append(place, "second.txt", "short.txt.gz")
    (place / "short.txt.gz").write_bytes(gzip.compress(b"a b\n"))
    report = append(place, "second.txt", "short.txt.gz")
    assert (report.files, report.bad_files) == (3, 0)
    assert listed(place) == []
    assert sentences_of(place / "s")[-1] == ["a", "b"]


@pytest.mark.parametrize(
    ("bad_names", "threads"), [*((names, 1) for names in ("a", "b", "d", "ab", "abd")), ("bd", 2)]
)
def test_units_of_which_nothing_is_left_have_no_parts(tmp_path, bad_names, threads):
    layout, good = Layout(unit_bytes=200, small_unit_bytes=1), []
    (tmp_path / "first.txt").write_text("a b\n")
    for name in "abcd":
        text = f"a {name} b c d\n".encode() * (20 if name == "c" else 2)
        if name in bad_names:
            (tmp_path / f"{name}.txt").write_bytes(text + b"\xff\n")
        else:
            (tmp_path / f"{name}.txt").write_bytes(text)
            good.append(tmp_path / f"{name}.txt")
    options = {"min_count": 1, "errors": "strict", "layout": layout, "threads": threads}
    paths = [tmp_path / f"{name}.txt" for name in "abcd"]
    report = preprocess(paths, tmp_path / "s", skip_bad_files=True, **options)
    assert (report.files, report.bad_files) == (4 - len(bad_names), len(bad_names))
    preprocess(good, tmp_path / "clean", **{**options, "threads": 1})
    manifest = TokenStore.open(tmp_path / "s").manifest
    for key in ("parts", "inputs"):
        assert manifest[key] == TokenStore.open(tmp_path / "clean").manifest[key]
    assert verify_store(tmp_path / "s") == []


def test_killed_while_parts_get_their_last_numbers_it_goes_on(runs, tmp_path):
    layout = Layout(unit_bytes=200, small_unit_bytes=1)
    (tmp_path / "in").mkdir()
    for number, text in enumerate([b"a b\n", b"b \xff\n", b"b b\n", b"c a\n"]):
        (tmp_path / "in" / f"{number}.txt").write_bytes(text * 9)
    options = {"min_count": 1, "layout": layout, "errors": "strict"}
    preprocess(tmp_path / "in" / "0.txt", tmp_path / "before", **options)
    shutil.copytree(tmp_path / "before", tmp_path / "clean")
    call = {"append": True, "skip_bad_files": True, "threads": 1}
    preprocess(tmp_path / "in", tmp_path / "clean", **call)
    whole, place = content_of(tmp_path / "clean"), tmp_path / "s"
    assert len(TokenStore.open(tmp_path / "clean").manifest["parts"]) == 3
    moved = 0
    call |= {"inputs": str(tmp_path / "in"), "output": str(place)}
    shutil.copytree(tmp_path / "before", place)
    assert runs.run(**call) == "done"
    for step in range(2 * runs.steps + 1, runs.steps, -1):
        shutil.rmtree(place)
        shutil.copytree(tmp_path / "before", place)
        assert runs.run(**call, kill_at=step) == "killed"
        names = {path.name for path in (place / "tokens").glob("part-*")}
        moved += names == {"part-00000.parquet", "part-00001.parquet", "part-00003.parquet"}
        preprocess(tmp_path / "in", place, append=True, skip_bad_files=True, threads=1)
        assert content_of(place) == whole
    assert moved


def test_when_all_files_are_bad_nothing_is_made(tmp_path, bad):
    for options in ({}, {"phrases": 1}, {"vocabulary": tmp_path / "s"}):
        with pytest.raises(FastW2VError) as told:
            preprocess(bad[1], tmp_path / "t", min_count=1, skip_bad_files=True, **options)
        assert "\n" not in str(told.value)
        assert not (tmp_path / "t").exists()
