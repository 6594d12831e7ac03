"""The place of a store: what may be replaced, and the old store until the new one is complete."""

from __future__ import annotations

import dataclasses
import gzip
import os
import shutil

import pytest
from kill_helper import Runs
from preprocess_helper import (
    SMALL,
    StopError,
    content_of,
    interrupt,
    sentences_of,
    write_corpus,
)

from fastw2v.errors import FastW2VError, ResourceError, UsageError
from fastw2v.io import storage
from fastw2v.io.store_directory import has_plan, is_store
from fastw2v.store import output as store_place
from fastw2v.store.format import TokenStore
from fastw2v.store.output import lock_of
from fastw2v.store.pipeline import preprocess
from fastw2v.text.config import Layout


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def test_only_stores_are_ever_replaced(tmp_path, corpus):
    place = tmp_path / "s"
    place.mkdir()
    (place / "precious").write_text("data")
    for force in (False, True):
        with pytest.raises(UsageError, match="is not a token store"):
            preprocess(corpus, place, force=force)
    assert (place / "precious").read_text() == "data"
    with pytest.raises(UsageError, match="is not a token store"):
        preprocess(corpus, place / "precious", force=True)
    (place / "precious").unlink()
    preprocess(corpus[:1], place)  # an empty directory is free
    with pytest.raises(UsageError, match="`force`"):
        preprocess(corpus, place)
    assert len(TokenStore.open(place).manifest["inputs"]) == 1
    preprocess(corpus, place, force=True)
    assert len(TokenStore.open(place).manifest["inputs"]) == 3


@pytest.mark.parametrize("content", [b"{", b"", b"[1]", b"\xff\0"])
def test_a_store_with_a_damaged_manifest_is_replaced_by_force_only(tmp_path, corpus, content):
    place = tmp_path / "s"
    preprocess(corpus[:1], place, layout=SMALL)
    (place / "manifest.json").write_bytes(content)
    before = content_of(place)
    with pytest.raises(UsageError, match=r"manifest\.json is damaged; replace it with `force`"):
        preprocess(corpus, place, layout=SMALL)
    with pytest.raises(UsageError, match="damaged manifest"):
        preprocess(place, tmp_path / "other")
    assert content_of(place) == before
    interrupt(corpus, place, force=True)  # what was done so far stands beside it, and serves
    assert content_of(place) == before
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob(".s.new/unfinished/*.json")}
    assert len(done) > 2
    kept = []
    preprocess(
        corpus,
        place,
        layout=SMALL,
        threads=1,
        force=True,
        progress=lambda *_: kept or kept.append([p.stat().st_mtime_ns for p in done]),
    )
    assert kept == [list(done.values())]
    assert len(TokenStore.open(place).manifest["inputs"]) > 1
    assert not (tmp_path / ".s.new").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda s: (s / "manifest.json").unlink(),
        lambda s: (s / "manifest.json").write_text("{}"),  # readable, and not ours
        lambda s: (s / "vocabulary.parquet").unlink(),
        lambda s: shutil.rmtree(s / "tokens"),
        lambda s: [part.unlink() for part in (s / "tokens").iterdir()],
        lambda s: (s / "tokens" / "mine.txt").write_text("data"),
        lambda s: (s / "mine.txt").write_text("data"),
    ],
)
def test_what_only_resembles_a_store_is_not_replaced(tmp_path, corpus, change):
    place = tmp_path / "s"
    preprocess(corpus[:1], place)
    (place / "manifest.json").write_text("{")
    change(place)
    before = content_of(place)
    with pytest.raises(UsageError, match="is not a token store"):
        preprocess(corpus, place, force=True)
    assert content_of(place) == before


def test_the_old_store_stays_until_the_new_one_is_complete(tmp_path, corpus):
    place = tmp_path / "s"
    preprocess(corpus[:1], place, layout=SMALL, threads=1)
    old = content_of(place)
    bad = tmp_path / "bad.gz"
    bad.write_bytes(gzip.compress(b"some text " * 99)[:-8])
    for inputs, options in [
        ([*corpus, bad], {}),
        (corpus, {"min_count": 10**6}),
        ([["a", 3]], {}),
    ]:
        with pytest.raises(FastW2VError):
            preprocess(inputs, place, force=True, layout=SMALL, threads=1, **options)
        assert content_of(place) == old

    seen = []

    def progress(phase, done, total):
        assert content_of(place) == old
        seen.append(done)
        if stop and phase == "writing" and done > total / 2:
            raise StopError

    call = {"force": True, "layout": SMALL, "threads": 1, "min_count": 2, "progress": progress}
    stop = True
    with pytest.raises(StopError):
        preprocess(corpus, place, **call)
    assert sentences_of(place)
    with pytest.raises(UsageError, match="there already"):
        preprocess(corpus, place, layout=SMALL, min_count=2)
    stop, seen = False, []
    preprocess(corpus, place, **call)
    assert seen[0] > 0  # it went on
    preprocess(corpus, tmp_path / "clean", layout=SMALL, min_count=2)
    assert content_of(place) == content_of(tmp_path / "clean")
    assert {path.name for path in tmp_path.iterdir()} == {"s", "clean", "corpus", "bad.gz"}


def test_an_unfinished_replacement_of_other_options_or_of_nothing_is_dropped(tmp_path, corpus):
    for gone in (False, True):
        place = tmp_path / f"s{gone}"
        preprocess(corpus[:1], place, layout=SMALL, threads=1)
        interrupt(corpus, place, force=True)
        if gone:
            shutil.rmtree(place)
        call = {"layout": SMALL, "threads": 1, "min_sequence_length": 6}
        preprocess(corpus, place, force=not gone, **call)
        preprocess(corpus, tmp_path / "clean", force=gone, **call)
        assert content_of(place) == content_of(tmp_path / "clean")
        assert not list(tmp_path.glob(".s*"))


def test_a_replacement_that_could_not_be_put_in_place_goes_on(tmp_path, corpus, monkeypatch):
    place, new = tmp_path / "s", tmp_path / ".s.new"
    preprocess(corpus[:1], place, layout=SMALL, threads=1)
    old = content_of(place)

    def fail(path):
        raise ResourceError("no")

    monkeypatch.setattr(storage, "remove_directory", fail)
    with pytest.raises(ResourceError):
        preprocess(corpus, place, layout=SMALL, threads=1, force=True)
    monkeypatch.undo()
    assert content_of(place) == old
    assert (new / "manifest.json").exists()
    with (
        lock_of(place),
        pytest.raises(UsageError, match="in use by another process"),
    ):
        preprocess(corpus, place, layout=SMALL, threads=1, force=True)
    seen = []

    def progress(phase, done, total):
        assert not (new / "manifest.json").exists()  # what is being built is not finished
        seen.append(done == total)

    preprocess(corpus, place, layout=SMALL, threads=1, force=True, progress=progress)
    assert seen == [True, True]  # nothing was left to do
    preprocess(corpus, tmp_path / "clean", layout=SMALL, threads=1)
    assert content_of(place) == content_of(tmp_path / "clean")
    assert not new.exists()


def test_a_store_behind_a_link_is_replaced_where_it_is(tmp_path, corpus, monkeypatch):
    (tmp_path / "disk").mkdir()
    preprocess(corpus[:1], tmp_path / "disk" / "s", layout=SMALL, threads=1)
    (tmp_path / "s").symlink_to(tmp_path / "disk" / "s")
    preprocess(corpus, tmp_path / "s", layout=SMALL, threads=1, force=True)
    assert (tmp_path / "s").is_symlink()
    assert len(TokenStore.open(tmp_path / "disk" / "s").manifest["inputs"]) > 3
    monkeypatch.chdir(tmp_path / "disk" / "s")
    preprocess(corpus[:1], ".", layout=SMALL, threads=1, force=True)
    assert len(TokenStore.open(tmp_path / "s").manifest["parts"]) < 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")
def test_a_kill_in_the_swap_is_put_right(tmp_path):
    """At every step: the old or the new store is there, or the next run brings the new one."""
    (tmp_path / "t").write_text("one two three\n" * 5)
    (tmp_path / "old").write_text("uno dos\n" * 5)
    preprocess(tmp_path / "t", tmp_path / "clean", min_count=1)
    new, place = content_of(tmp_path / "clean"), tmp_path / "work" / "s"
    call = {"inputs": str(tmp_path / "t"), "output": str(place), "force": True, "min_count": 1}
    killed = 0
    with Runs(**call, threads=1, layout=dataclasses.asdict(Layout())) as runs:
        preprocess(tmp_path / "old", place, min_count=1)
        assert runs.run() == "done"
        for step in range(2 * runs.steps, 0, -2):
            preprocess(tmp_path / "old", place, min_count=1, force=True)
            old = content_of(place)
            assert runs.run(kill_at=step) == "killed"
            if has_plan(place.parent / ".s.new") and not is_store(place.parent / ".s.new"):
                break  # the new store is not complete so early: there is no swap yet
            killed += 1
            if is_store(place):
                TokenStore.open(place).verify()
                assert content_of(place) in (old, new)
            else:
                with pytest.raises(UsageError, match="there already"):
                    preprocess(tmp_path / "t", place, min_count=1)
                assert content_of(place) == new
            preprocess(tmp_path / "t", place, min_count=1, force=True)
            assert content_of(place) == new
            assert [path.name for path in place.parent.iterdir()] == ["s"]
    assert killed >= 6


@pytest.mark.parametrize("unit", [{"name": "a"}, {"start": 0}, 7, "a"])
def test_a_damaged_plan_is_another_input(unit):
    plan = {"settings": {}, "setting_files": {}, "shards": [[{"name": "a", "start": 0}]]}
    assert store_place._difference(plan, plan) == ""
    assert store_place._difference({**plan, "shards": [[unit]]}, plan) == "other input"
    assert store_place._difference({**plan, "shards": 7}, plan) == "other input"
