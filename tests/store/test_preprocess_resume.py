"""Going on after an interruption, and what an unfinished store is worth."""

from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import pytest
from preprocess_helper import (
    SMALL,
    StopError,
    content_of,
    interrupt,
    run_python,
    write_corpus,
)

from fastw2v.errors import ResourceError, UsageError
from fastw2v.io import storage
from fastw2v.io.store_directory import made_for_of
from fastw2v.store.format import TokenStore
from fastw2v.store.output import lock_of
from fastw2v.store.pipeline import preprocess
from fastw2v.store.settings import settings_unchanged
from fastw2v.store.sources import inputs_unchanged


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def test_whether_text_and_options_are_those_of_a_store(tmp_path, corpus):
    (tmp_path / "stop.txt").write_text("word1")
    options = {"min_count": 2, "stopwords": str(tmp_path / "stop.txt")}
    preprocess(corpus, tmp_path / "s", layout=SMALL, threads=1, **options)
    store = TokenStore.open(tmp_path / "s")
    assert inputs_unchanged(store, corpus)
    assert not inputs_unchanged(store, str(corpus[0]))
    assert not inputs_unchanged(store, corpus[:2])
    assert not inputs_unchanged(store, corpus[::-1])
    assert settings_unchanged(store, options)
    assert settings_unchanged(store, {})
    assert not settings_unchanged(store, {"min_count": 5})
    (tmp_path / "stop.txt").write_text("word2")
    assert not settings_unchanged(store, options)
    content = bytearray(corpus[2].read_bytes())
    content[-1] ^= 1
    corpus[2].write_bytes(content)
    assert not inputs_unchanged(store, corpus)


KILLED = """
import os, signal, sys
from fastw2v.text.config import Layout
from fastw2v.store.pipeline import preprocess
layout = Layout(unit_bytes=3000, small_unit_bytes=1, block_bytes=256, row_group_tokens=300)
calls = {"reading": 0, "writing": 0}
def progress(phase, done, total):
    calls[phase] += 1
    if phase == sys.argv[4] and calls[phase] == int(sys.argv[5]):
        os.kill(os.getpid(), signal.SIGKILL)
preprocess(sys.argv[1], sys.argv[2], threads=int(sys.argv[3]), min_count=2, layout=layout,
           progress=progress)
"""


@pytest.mark.parametrize(
    ("threads", "phase", "calls"),
    [(1, "reading", 25), (2, "writing", 5)],
)
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path, corpus, threads, phase, calls):
    directory, place = corpus[0].parent, tmp_path / "s"
    result = run_python(KILLED, directory, place, threads, phase, calls, check=False)
    assert result.returncode == -signal.SIGKILL, result.stderr
    with pytest.raises(UsageError, match="unfinished"):
        TokenStore.open(place)
    finished = list((place / "unfinished").glob("spill-*.json"))
    assert calls == 1 or finished
    before = {path: path.stat().st_mtime_ns for path in finished}
    preprocess(directory, tmp_path / "clean", threads=1, min_count=2, layout=SMALL)
    seen = []
    preprocess(
        directory,
        place,
        threads=1,
        min_count=2,
        layout=SMALL,
        progress=lambda *done: seen.append((done, before == now(before))),
    )
    assert content_of(place) == content_of(tmp_path / "clean")
    assert all(unchanged for _, unchanged in seen)  # finished units were not done again
    assert (seen[0][0][1] > 0) == bool(finished)


def now(paths):
    return {path: path.stat().st_mtime_ns for path in paths if path.exists()}


def test_an_unfinished_store_of_other_options_or_input_is_refused(tmp_path, corpus):
    place = tmp_path / "s"
    interrupt(corpus, place)
    with pytest.raises(UsageError, match=r"other options \(lowercase\).*`force`"):
        preprocess(corpus, place, layout=SMALL, lowercase=False)
    with pytest.raises(UsageError, match=r"other input.*`force`"):
        preprocess(corpus[:2], place, layout=SMALL)
    content = bytearray(corpus[0].read_bytes())
    content[5:9] = b"word"
    corpus[0].write_bytes(content)
    with pytest.raises(UsageError, match=r"a\.txt: has changed.*`force`"):
        preprocess(corpus, place, layout=SMALL)
    assert (place / "unfinished" / "plan.json").exists()
    preprocess(corpus, place, layout=SMALL, force=True)
    preprocess(corpus, tmp_path / "clean", layout=SMALL)
    assert content_of(place) == content_of(tmp_path / "clean")


@pytest.mark.parametrize(
    "options", [{"min_count": 2}, {"max_vocab": 9}, {"phrases": 1, "phrase_threshold": 2.0}]
)
def test_options_of_the_vocabulary_may_be_others(tmp_path, corpus, options):
    place = tmp_path / "s"
    interrupt(corpus, place)
    spills = now(place.rglob("spill-*.json"))
    assert spills
    seen = []

    def progress(phase, done, total):
        seen.append(all(now([path]) == {path: spills[path]} for path in spills if path.exists()))

    preprocess(corpus, place, layout=SMALL, progress=progress, **options)
    assert all(seen)  # what was read was not read again
    preprocess(corpus, tmp_path / "clean", layout=SMALL, **options)
    assert content_of(place) == content_of(tmp_path / "clean")


def test_an_unfinished_store_knows_who_it_is_for(tmp_path, corpus):
    """Only the note differs; whoever goes on with a store of another, it is for neither."""
    for begun, finished, expected in [
        ("model", "model", "model"),
        ("model", None, None),
        (None, "model", None),
    ]:
        place = tmp_path / f"{begun} {finished}"
        interrupt(corpus, place, made_for=begun)
        assert made_for_of(place) == begun
        seen = []
        preprocess(
            corpus,
            place,
            threads=1,
            layout=SMALL,
            made_for=finished,
            progress=lambda *event, seen=seen: seen.append(event),
        )
        assert seen[0][1] > 0  # it went on
        assert made_for_of(place) == expected
    clean = content_of(tmp_path / "None model")
    other = content_of(tmp_path / "model model")
    assert {name for name in clean if clean[name] != other[name]} == {"manifest.json"}


def test_an_unfinished_store_is_not_text(tmp_path, corpus):
    interrupt(corpus, tmp_path / "s")
    (tmp_path / "link").symlink_to(tmp_path / "s")
    for place in (tmp_path / "s", tmp_path / "link"):
        with pytest.raises(UsageError, match=r"unfinished.*same fastw2v preprocess command again"):
            preprocess(place, tmp_path / "t")
        assert not (tmp_path / "t").exists()


def test_parts_of_an_older_vocabulary_are_written_anew(tmp_path, corpus):
    place = tmp_path / "s"

    def progress(phase, done, total):
        if phase == "writing" and done > total / 2:
            raise StopError

    with pytest.raises(StopError):
        preprocess(corpus, place, threads=1, layout=SMALL, progress=progress)
    corpus[2].write_bytes(corpus[2].read_bytes().replace(b"word1 ", b"word2 "))
    preprocess(corpus, place, threads=1, layout=SMALL, force=True)
    preprocess(corpus, tmp_path / "clean", threads=1, layout=SMALL)
    assert content_of(place) == content_of(tmp_path / "clean")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def alter(path):
    """Not by much: a result is JSON as before, with another number of tokens."""
    content = path.read_bytes()
    altered = re.sub(rb'(?<="tokens": )\d|(?<="tokens_read": )\d', b"7", content, count=1)
    path.write_bytes(altered if path.suffix == ".json" else content + b" ")
    assert path.read_bytes() != content


@pytest.fixture(scope="module")
def half_encoded(tmp_path_factory):
    """A corpus, an unfinished store of it that has everything, and the finished one."""
    directory = tmp_path_factory.mktemp("half")
    corpus = write_corpus(directory / "corpus")

    def progress(phase, done, total):
        if phase == "writing" and done > total / 2:
            raise StopError

    with pytest.raises(StopError):
        preprocess(corpus, directory / "s", threads=1, layout=SMALL, progress=progress)
    preprocess(corpus, directory / "clean", threads=1, layout=SMALL)
    return corpus, directory / "s", content_of(directory / "clean")


@pytest.mark.parametrize("damage", [flip, truncate, alter, Path.unlink])
@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("unfinished/sequences-00003-000.packed", {"spill-00003.json", "part-00003.json"}),
        ("unfinished/counts-00003-000.arrow", {"spill-00003.json", "part-00003.json"}),
        ("unfinished/spill-00003.json", {"spill-00003.json", "part-00003.json"}),
        ("unfinished/part-00003.json", {"part-00003.json"}),
        ("tokens/part-00003.parquet", {"part-00003.json"}),
    ],
)
def test_damaged_work_is_noticed_and_done_again(tmp_path, half_encoded, damage, name, again):
    corpus, unfinished, clean = half_encoded
    place = tmp_path / "s"
    shutil.copytree(unfinished, place)

    def results():
        paths = [path for path in place.glob("unfinished/*-*.json") if path.exists()]
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}

    before, snapshots = results(), []
    damage(place / name)
    call = {"progress": lambda *_: snapshots.append(results())}
    preprocess(corpus, place, threads=1, layout=SMALL, **call)
    assert content_of(place) == clean
    assert {n for n in before if snapshots[-1][n] != before[n]} == again


def test_two_processes_do_not_build_the_same_store(tmp_path, corpus):
    place = tmp_path / "s"
    interrupt(corpus, place)
    with lock_of(place):
        for force in (False, True):
            with pytest.raises(UsageError, match="in use by another process"):
                preprocess(corpus, place, layout=SMALL, force=force)
    assert (place / "unfinished" / "plan.json").exists()


def test_a_full_disk_keeps_what_is_done(tmp_path, corpus, monkeypatch):
    real, writes = storage.sync_file, []

    def fail(path):
        writes.append(path)
        if len(writes) > 20:
            raise OSError(28, "No space left on device")
        real(path)

    monkeypatch.setattr(storage, "sync_file", fail)
    with pytest.raises(ResourceError, match=r"no space left.*same command again"):
        preprocess(corpus, tmp_path / "s", threads=1, layout=SMALL)
    monkeypatch.undo()
    preprocess(corpus, tmp_path / "s", threads=1, layout=SMALL)
    preprocess(corpus, tmp_path / "clean", threads=1, layout=SMALL)
    assert content_of(tmp_path / "s") == content_of(tmp_path / "clean")
