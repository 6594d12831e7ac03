"""Two that build, replace or add to one store at the same time: the second is always refused."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kill_helper import Runs
from preprocess_helper import (
    content_of,
    sentences_of,
)

import fastw2v
from fastw2v.errors import FastW2VError, ResourceError, UsageError
from fastw2v.io import storage
from fastw2v.store import pipeline as preprocess_module
from fastw2v.store.output import lock_of
from fastw2v.store.pipeline import preprocess
from fastw2v.store.verify import verify_store
from fastw2v.text.config import Layout

KINDS = {
    "build": {"min_count": 1},
    "force": {"min_count": 1, "force": True},
    "append": {"append": True},
}
PAUSES = {  # a call on the way: (where it is found, its name)
    "looked, not begun": (preprocess_module, "StoreBuild"),
    "building": (preprocess_module, "WorkerPool"),
    "the old store gone": (storage, "link_or_copy_directory"),
    "all but cleaned up": (preprocess_module.StoreBuild, "clean_up"),
}


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "first.txt").write_text("a b c a b\nb c a\n")
    (tmp_path / "second.txt").write_text("c a\n")
    (tmp_path / "third.txt").write_text("a b c\n")
    return [tmp_path / f"{name}.txt" for name in ("first", "second", "third")]


@contextlib.contextmanager
def paused(monkeypatch, where, name, call):
    """`call` in a thread of its own, which stands still before a call of `name`."""
    reached, go_on, errors = threading.Event(), threading.Event(), []
    real = getattr(where, name)

    def pausing(*arguments, **options):
        if threading.current_thread() is thread:
            reached.set()
            assert go_on.wait(60)
        return real(*arguments, **options)

    def run():
        try:
            call()
        except BaseException as error:  # told by the test
            errors.append(error)
            reached.set()

    thread = threading.Thread(target=run)
    monkeypatch.setattr(where, name, pausing)
    thread.start()
    try:
        assert reached.wait(60)
        assert errors == []
        yield
    finally:
        go_on.set()
        thread.join(60)
    assert errors == []


@pytest.mark.parametrize(
    ("first", "pause"),
    [
        *(("build", pause) for pause in PAUSES if pause != "the old store gone"),
        *(("force", pause) for pause in PAUSES if pause != "all but cleaned up"),
        *(("append", pause) for pause in PAUSES if pause != "the old store gone"),
    ],
)
def test_whoever_comes_second_is_refused(tmp_path, texts, monkeypatch, first, pause):
    place = tmp_path / "s"
    if first != "build":
        preprocess(texts[0], place, min_count=1)
    text = texts[1] if first == "append" else texts[0]
    owner = rf"s: in use by another process \(pid {os.getpid()} on {platform.node()}\)"
    with paused(monkeypatch, *PAUSES[pause], lambda: preprocess(text, place, **KINDS[first])):
        for second in KINDS.values():
            before = content_of(place)
            with pytest.raises(UsageError, match=owner) as told:
                preprocess(texts[2], place, **second)
            assert "\n" not in str(told.value)
            assert content_of(place) == before
        if first != "build" and pause != "the old store gone":
            assert sentences_of(place)  # to read needs no lock
    assert verify_store(place) == []
    assert len(sentences_of(place)) == (3 if first == "append" else 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "first.txt", "s", "second.txt", "third.txt"
    ]  # fmt: skip


def test_what_is_refused_makes_no_directories(tmp_path, texts):
    for options in ({"append": True}, {"min_count": 0}, {"vocabulary": tmp_path / "none"}):
        with pytest.raises(FastW2VError):
            preprocess(texts[0], tmp_path / "far" / "away" / "s", **options)
        assert not (tmp_path / "far").exists()


HOLD = """
import sys
from fastw2v.store import pipeline as preprocess
def hold(*_):
    print("held", flush=True)
    sys.stdin.read()
preprocess.preprocess(sys.argv[1], sys.argv[2], min_count=1, threads=1, progress=hold)
"""


def test_a_killed_process_holds_nothing(tmp_path, texts):
    place = tmp_path / "s"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(texts[0]), str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)},
    ) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(UsageError, match=rf"\(pid {holder.pid} on ") as told:
                preprocess(texts[0], place, min_count=1, force=True)
            assert "wait for it or stop it" in str(told.value)
        finally:
            holder.send_signal(signal.SIGKILL)
    preprocess(texts[0], place, min_count=1)
    assert not list(tmp_path.glob(".*"))


def test_a_lock_that_is_removed_is_still_held_by_one(tmp_path):
    """Who opened the file before it was removed has another one than who comes after."""
    held, taken, ends = [], [], time.monotonic() + 1

    def take():
        while time.monotonic() < ends:
            try:
                with lock_of(tmp_path / "s"):
                    held.append(1)
                    taken.append(len(held))
                    time.sleep(0)
                    taken.append(len(held))
                    held.pop()
            except UsageError:
                pass

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) > 100
    assert set(taken) == {1}
    assert not list(tmp_path.iterdir())


def test_one_store_by_two_names_has_one_lock(tmp_path, texts):
    preprocess(texts[0], tmp_path / "s", min_count=1)
    (tmp_path / "link").symlink_to(tmp_path / "s")
    with (
        lock_of(tmp_path / "s"),
        pytest.raises(UsageError, match="in use by another process"),
    ):
        preprocess(texts[1], tmp_path / "link", append=True)


def test_where_nothing_can_be_written_beside_the_store_the_lock_lies_in_it(
    tmp_path, texts, monkeypatch
):
    """A directory that is mounted, say."""
    place = tmp_path / "outer" / "s"
    place.mkdir(parents=True)
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != place.parent and real(path, mode))
    (tmp_path / "outer").chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        preprocess(texts[0], place, min_count=1)
        for second in KINDS.values():
            with lock_of(place), pytest.raises(UsageError, match="in use by another process"):
                preprocess(texts[1], place, **second)
        preprocess(texts[1], place, append=True)
    finally:
        (tmp_path / "outer").chmod(stat.S_IRWXU)
    assert len(sentences_of(place)) == 3
    assert verify_store(place) == []


def test_a_file_system_without_locks_is_told(tmp_path, texts, monkeypatch):
    import fcntl

    def fail(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(ResourceError, match="No locks available"):
        preprocess(texts[0], tmp_path / "s", min_count=1)
    assert not (tmp_path / "s").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")
def test_processes_that_begin_at_once_do_one_after_the_other_or_not_at_all(tmp_path, texts):
    place, outcomes = tmp_path / "s", []
    call = {"output": str(place), "threads": 1, "layout": dataclasses.asdict(Layout())}
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Runs(**call)) for _ in range(3)]
        preprocess(texts[0], place, min_count=1)
        for round_ in range(12):
            before = len(sentences_of(place))
            kinds = [list(KINDS)[(round_ + n * (round_ % 3)) % 3] for n in range(3)]
            for server, kind, text in zip(servers, kinds, texts, strict=True):
                server.start(inputs=str(text), **KINDS[kind])
            ended = [server.wait() for server in servers]
            outcomes += ended
            assert verify_store(place) == []
            done = [kind for kind, how in zip(kinds, ended, strict=True) if how == "done"]
            if "force" not in done:
                assert before <= len(sentences_of(place)) <= before + len(done)
    assert "done" in outcomes
    assert any("in use by another process (pid " in how for how in outcomes), outcomes
    known = "done|.*(in use by another|there already|with other content|has changed since)"
    assert all(re.match(known, how) for how in outcomes), outcomes
    assert not list(tmp_path.glob(".*"))
