"""Killed at any moment and started again, a run loses nothing and ends with the same bytes.

`FASTW2V_KILLS` raises the number of kills for a soak, `FASTW2V_KILL_SEED` makes them others.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from kill_helper import Runs, is_running, kill_group
from preprocess_helper import (
    content_of,
    finished_work,
    write_corpus,
)

from fastw2v.errors import ResourceError
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.text.config import Layout

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")

# Some twenty units, each with several tables and row groups.
LAYOUT = Layout(
    unit_bytes=2000, small_unit_bytes=1, block_bytes=256, row_group_tokens=100, local_tokens=50
)
OPTIONS = {"min_count": 2, "max_sequence_length": 20}
PHRASES = {**OPTIONS, "phrases": 2, "phrase_threshold": 0.5}
KILLS = int(os.environ.get("FASTW2V_KILLS", "8"))
SEED = int(os.environ.get("FASTW2V_KILL_SEED", "1"))


@dataclasses.dataclass
class Case:
    """What is to be killed.

    call: of `preprocess`. before: the store that text is added to, if any. after: the files of the
    store that a run makes that nothing disturbs.
    """

    call: dict[str, Any]
    before: Path | None
    after: dict[str, bytes]

    def begin(self, place: Path) -> None:
        """Make `place` as it is before the first run."""
        shutil.rmtree(place, ignore_errors=True)
        if self.before is not None:
            shutil.copytree(self.before, place)

    def is_done(self, place: Path) -> bool:
        """Whether the store at `place` is the one that is to be."""
        manifest = place / "manifest.json"
        return manifest.is_file() and manifest.read_bytes() == self.after["manifest.json"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture
def case(tmp_path_factory, corpus, request):
    """ "text", "phrases" or "append"."""
    kind = getattr(request, "param", "text")
    directory = tmp_path_factory.mktemp(kind)
    call = {"inputs": list(map(str, corpus)), "threads": 1}
    call |= {"phrases": PHRASES, "append": {"append": True}}.get(kind, OPTIONS)
    before = None
    if kind == "append":
        before = directory / "before"
        preprocess(corpus[0], before, threads=1, layout=LAYOUT, **OPTIONS)
        shutil.copytree(before, directory / "s")
    else:
        call["layout"] = LAYOUT
    preprocess(**call, output=directory / "s")
    after = content_of(directory / "s")
    assert len(after) > 20
    return Case(call, before, after)


@pytest.fixture(scope="module")
def server():
    with Runs() as runs:
        yield runs


@pytest.fixture
def runs(tmp_path, case, server):
    layout = dataclasses.asdict(case.call.get("layout", LAYOUT))
    return server.of(**{**case.call, "output": str(tmp_path / "s"), "layout": layout})


def assert_kept(finished: dict[Path, tuple[int, int]], case: Case, place: Path) -> None:
    """Nothing of `finished` was made again; only when all is done is the work removed."""
    for path, identity in finished.items():
        if path.exists() or not case.is_done(place):
            assert (path.stat().st_ino, path.stat().st_mtime_ns) == identity, path.name


def stage_of(case: Case, place: Path) -> str:
    """How far a run came that was killed."""
    if case.is_done(place):
        return "done"
    for stage, pattern in [
        ("encoding", "part-*.json"),
        ("counted", "sums-*"),
        ("spilling", "spill-*.json"),
        ("begun", "plan.json"),
    ]:
        if any((place / "unfinished").glob(pattern)):
            return stage
    return "nothing"


def one_kill(runs, rng, seconds, steps) -> str:
    """A run that is killed at a random time or a random step, or ends before; how it ended."""
    if rng.random() < 0.5:
        return runs.run(kill_at=rng.randint(2, 2 * steps + 1))
    group = runs.start()
    end = time.monotonic() + rng.uniform(0, seconds)
    while time.monotonic() < end and is_running(group):
        time.sleep(0.002)
    kill_group(group)
    return runs.wait()


@pytest.mark.parametrize(
    ("case", "kills"),
    [("text", KILLS), ("phrases", KILLS // 2), ("append", KILLS // 2)],
    indirect=["case"],
)
def test_runs_that_are_killed_again_and_again_end_with_the_same_bytes(tmp_path, case, runs, kills):
    place, rng, stages = tmp_path / "s", random.Random(SEED), Counter()
    case.begin(place)
    started = time.monotonic()
    assert runs.run() == "done"
    seconds, steps = time.monotonic() - started, runs.steps
    assert steps > 50
    assert content_of(place) == case.after
    case.begin(place)
    while stages.total() < kills:
        finished = finished_work(place)
        ended = one_kill(runs, rng, seconds, steps)
        assert_kept(finished, case, place)
        if ended == "killed":
            stages[stage_of(case, place)] += 1
        if case.before is not None or case.is_done(place):
            TokenStore.open(place)  # it serves, whatever is left of the work beside it
        if case.is_done(place):
            if ended == "killed":
                ended = runs.run()
                assert ended == "done" or "a token store is there already" in ended
            assert content_of(place) == case.after
            case.begin(place)
        else:
            assert ended == "killed"
    finished = finished_work(place)
    assert runs.run() == "done"
    assert_kept(finished, case, place)
    assert content_of(place) == case.after
    assert stages["spilling"] + stages["counted"] + stages["encoding"] > 0, stages


@pytest.mark.parametrize("case", ["text", "append"], indirect=True)
def test_what_a_run_leaves_that_is_killed_at_its_end_is_removed(tmp_path, case, runs):
    place = tmp_path / "s"
    case.begin(place)
    assert runs.run() == "done"
    for step in range(2 * runs.steps, 2 * runs.steps - 4, -2):
        case.begin(place)
        assert runs.run(kill_at=step) == "killed"
        assert content_of(place) != case.after
        ended = runs.run()
        assert ended == "done" or "a token store is there already" in ended
        assert content_of(place) == case.after


def test_groups_of_processes_that_are_killed_end_with_the_same_bytes(tmp_path, case, runs):
    place, rng = tmp_path / "s", random.Random(SEED)
    kills = 0
    for least, pattern in ((rng.randint(1, 9), "spill-*.json"), (rng.randint(1, 9), "part-*.json")):
        finished = finished_work(place)
        group = runs.start(threads=2)
        while is_running(group) and len(list(place.glob(f"unfinished/{pattern}"))) < least:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.02))
        kill_group(group)
        kills += runs.wait() == "killed"
        assert_kept(finished, case, place)
        assert len(finished_work(place)) > len(finished)
    assert kills == 2
    finished = finished_work(place)
    assert runs.run() == "done"
    assert_kept(finished, case, place)
    assert content_of(place) == case.after


# --- one worker alone ---

DEADLY = """
import os, signal
from pathlib import Path

def cut(line):
    if "deadly" in line and Path("armed").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return line.split()
"""


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Three files; the worker that comes to line 700 of the second is killed by it."""
    monkeypatch.chdir(tmp_path)
    Path("armed").touch()
    Path("deadly_cut.py").write_text(DEADLY)
    lines = [f"word{n % 7} some more words" for n in range(1000)]
    for name in ("a", "b", "c"):
        lines[699] = "this is deadly" if name == "b" else "this is not"
        Path(f"{name}.txt").write_text("\n".join(lines) + "\n")
    layout = Layout(unit_bytes=9000, small_unit_bytes=1, block_bytes=512)
    inputs = ["a.txt", "b.txt", "c.txt"]
    return inputs, {"threads": 2, "tokenizer": "deadly_cut:cut", "layout": layout}


def test_a_worker_that_is_killed_names_its_file_and_line_and_the_next_run_goes_on(deadly):
    inputs, call = deadly
    with pytest.raises(ResourceError, match=r"b\.txt: near line \d+: .*signal 9.*again") as caught:
        preprocess(inputs, "s", **call)
    line = int(str(caught.value).split("near line ")[1].split(":")[0].replace(",", ""))
    assert 700 - 40 <= line <= 700  # the block that it was at
    finished = finished_work(Path("s"))
    assert finished
    Path("armed").unlink()
    kept = []
    preprocess(inputs, "s", **call, progress=lambda *_: kept.append(finished_work(Path("s"))))
    assert finished.items() <= kept[-1].items()
    preprocess(inputs, "clean", **{**call, "threads": 1})
    assert content_of(Path("s")) == content_of(Path("clean"))


def test_a_file_that_kills_its_worker_can_be_left_out(deadly):
    inputs, call = deadly
    report = preprocess(inputs, "s", **call, skip_bad_files=True)
    assert report.bad_files == 1
    assert report.lines == 2000
    assert "deadly" not in TokenStore.open("s").vocabulary.index
