"""Killed at any moment and resumed any number of times, a run ends as if nothing had happened.

`FASTW2V_KILLS` raises the number of kills for a soak, `FASTW2V_KILL_SEED` makes them others.
"""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import planted
import pytest
from kill_helper import Runs, is_running, kill_group

import fastw2v
from fastw2v.io import model_directory as layout
from fastw2v.text.config import Layout
from fastw2v.training.data import Position

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")

KILLS = int(os.environ.get("FASTW2V_KILLS", "12"))
SEED = int(os.environ.get("FASTW2V_KILL_SEED", "1"))

# Three row groups; some seven saves and two evaluations an epoch.
SMALL: dict[str, Any] = {
    "vector_dim": 20, "window": 5, "batch_size": 64, "block_size": 16, "subsample": 1e-2,
    "epochs": 2, "holdout": 0.02, "save_interval": 0, "save_every": 5, "threads": 1,
}  # fmt: skip
ALPHAS = {"cbow": 0.01, "cbow_neg": 0.1, "sgram": 0.01, "sgram_neg": 0.05}
CASES: dict[str, dict[str, Any]] = {
    **{kind: {"type": kind, "alpha": alpha} for kind, alpha in ALPHAS.items()},
    "patience": {"type": "sgram_neg", "alpha": 0.1, "epochs": 6, "patience": 1, "cooldown": 0.5},
    "rollback": {"type": "sgram_neg", "alpha": 0.5, "on_divergence": "rollback"},
    "deterministic": {"type": "cbow_neg", "alpha": 0.1, "threads": 2, "deterministic": True},
    "softmax, 2 threads": {"type": "cbow", "alpha": 0.01, "threads": 2},
    "racing": {"type": "sgram_neg", "alpha": 0.05, "threads": 2},
}


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    with Runs("train", **SMALL) as runs:
        yield runs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("planted") / "store"
    return planted.make_store(place, layout=Layout(row_group_tokens=1200))


@dataclasses.dataclass
class Life:
    """The processes that trained one model, one after another.

    trained: what kernels were called for and is part of the model: [epoch, row group, first center,
        last, centers of the row group]; targets: of the loss, in it.
    words: after which the model on the disk was saved, -1 for none.
    goes_back: whether it may be rolled back.
    """

    model: Path
    goes_back: bool = False
    trained: list[list[int]] = dataclasses.field(default_factory=list)
    targets: float = 0.0
    words: int = -1

    def heard(self, runs: Runs, *, ended: bool) -> None:
        """Take over what a process did, and check what it left."""
        self._check_start(runs)
        position, before = None, self.words
        if not ended:
            position = self._check_save(runs)
        for note in runs.notes:
            if "trained" in note:
                epoch, row_group, _, last, _ = place = note["trained"]
                if position is None or Position(epoch, row_group, last) <= position:
                    self.trained.append(place)
                    self.targets += note["targets"]
        assert self.words >= before or self.goes_back

    def _check_start(self, runs: Runs) -> None:
        """It said what it found."""
        said = runs.noted("said")
        assert not any("damaged" in line for line in said), said
        if self.words >= 0 and runs.noted("begun"):
            assert any(f"resuming after {self.words:,} words" in line for line in said), said

    def _check_save(self, runs: Runs) -> Position | None:
        """The place of the save that is there, which is whole, and at most one save old."""
        saved, begun = [self.words, *runs.noted("saved")], [self.words, *runs.noted("begun")]
        if not layout.is_model_directory(self.model):
            assert saved == [-1]
            return Position()
        lines: list[str] = []
        found = layout.open_model(self.model, on_damage=lines.append)
        assert not lines
        assert fastw2v.Model.load(self.model).words_done == found.state["words_done"]
        self.words = found.state["words_done"]
        assert self.words >= saved[-1] or self.goes_back
        assert self.words in begun[-2:]
        return Position(**found.state["position"])

    def check_whole(self) -> None:
        """Everything was trained once, in order."""
        expected = (0, 0, 0)
        for epoch, row_group, first, last, centers in self.trained:
            if first == 0 and row_group == 0:
                expected = (epoch, 0, 0)
            assert (epoch, row_group, first) == expected
            assert last <= centers
            expected = (epoch, row_group, last) if last < centers else (epoch, row_group + 1, 0)
        assert [place[0] for place in self.trained if place[1:3] == [0, 0]] == [
            *range(self.trained[-1][0] + 1)
        ]


def fingerprint(model: Path, *, racing: bool) -> dict[str, Any]:
    """All that is to be the same in the end, whatever happened on the way."""
    found = layout.open_model(model)
    names = ("words_done", "total_words", "position", "finished", "alpha", "vocabulary_hash")
    values = {name: found.state[name] for name in names}
    history = found.history()
    words = [row["words"] for row in history]
    assert words == sorted(set(words))  # no words in two rows
    assert words[-1] == found.state["words_done"]
    evaluated = [row for row in history if row["holdout_loss"] is not None]
    values["evaluated"] = [row["words"] for row in evaluated]
    values["checkpoints"] = sorted(path.name for path in (model / "checkpoints").iterdir())
    if racing:
        return values
    for path in (found.path, *(model / "checkpoints").iterdir()):
        sums = layout.read_generation(path).state["sha256"]
        values[path.name] = {name: sums[name] for name in sums if name.endswith(("npy", "quet"))}
        values[path.name]["words"] = layout.read_generation(path).state["words_done"]
    values[""] = values.pop(found.path.name)
    values["losses"] = [(row["holdout_loss"], row["holdout_high"]) for row in evaluated]
    return {**values, "schedule": found.state["schedule"], "best": found.state["best"]}


def one_kill(runs: Runs, rng: random.Random, seconds: float, calls: int, root: Path, **call: Any):
    """A run that is killed at a random time, or at or within one of the calls by which it changes
    what is on the disk, or ends before; how it ended."""
    if rng.random() < 0.7:
        faults = {"root": str(root), "kind": "stop", "at": rng.randint(1, calls // 2)}
        return runs.run(**call, faults=faults)
    group = runs.start(**call)
    end = time.monotonic() + rng.uniform(0, seconds)
    while time.monotonic() < end and is_running(group):
        time.sleep(0.001)
    kill_group(group)
    return runs.wait()


@pytest.mark.parametrize("name", CASES)
def test_killed_again_and_again(runs: Runs, store: Path, tmp_path: Path, name: str) -> None:
    rng, racing = random.Random(f"{SEED} {name}"), name == "racing"
    call: dict[str, Any] = {**CASES[name], "data": str(store)}
    started = time.monotonic()
    (tmp_path / "whole").mkdir()
    whole = Life(tmp_path / "whole" / "m", name == "rollback")
    counting = {"root": str(tmp_path / "whole")}
    assert runs.run(**call, model=str(whole.model), faults=counting).startswith("done")
    seconds, calls = time.monotonic() - started, runs.steps
    whole.heard(runs, ended=True)
    expected = fingerprint(whole.model, racing=racing)
    rolled_back = any("at half the learning rate" in line for line in runs.noted("said"))
    assert rolled_back == (name == "rollback")

    root, kills, lives = tmp_path / "killed", Counter[str](), 0
    while kills["killed"] < KILLS or lives == 0:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        life = Life(root / "m", rolled_back)
        call["model"] = str(life.model)
        ended = ""
        while not ended.startswith("done"):
            if kills["killed"] < KILLS:
                ended = one_kill(runs, rng, seconds, calls, root, **call)
            else:
                ended = runs.run(**call)
            assert ended == "killed" or ended.startswith("done"), ended
            kills[ended] += 1
            life.heard(runs, ended=ended != "killed")
        assert fingerprint(life.model, racing=racing) == expected
        assert not [path for path in life.model.rglob(".*") if path.name != layout.LOCK]
        if not rolled_back:
            life.check_whole()
            assert life.targets == whole.targets
        lives += 1
