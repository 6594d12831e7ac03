"""Runs that diverge: what is said, what is kept, and how they go back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from recorder import Recorder

import fastw2v
from fastw2v.errors import DivergenceError
from fastw2v.io import model_directory as layout
from fastw2v.training.resume import best_checkpoint, last_good

pytestmark = pytest.mark.usefixtures("quick_plots")

SMALL: dict[str, Any] = {
    "vector_dim": 20, "window": 5, "batch_size": 64, "subsample": 0.0, "threads": 2,
    "holdout": 0.1,
}  # fmt: skip
DIVERGES = {"alpha": 30000.0, "threads": 1, "save_every": 1000, "epochs": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.make_store(tmp_path_factory.mktemp("planted") / "store")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other text of the same words."""
    path = tmp_path_factory.mktemp("other") / "text.txt"
    sentences = planted.sentences(200, seed=5)
    path.write_text("".join(" ".join(words) + "\n" for words in sentences))
    return path


def train(store: Path, model: Path, model_type: str, **options: Any) -> fastw2v.Model:
    return fastw2v.train(store, model, type=model_type, **{**SMALL, **options})


def test_a_diverged_run_goes_back_and_on_at_half_the_rate(store: Path, tmp_path: Path) -> None:
    options = {"alpha": 30.0, "epochs": 3, "block_size": 16, "save_every": 2, "save_interval": 0}
    with pytest.raises(DivergenceError, match="smaller `alpha`"):
        train(store, tmp_path / "stop", "sgram_neg", **options)
    lines: list[str] = []
    events: list[str] = []

    def note(progress: Any) -> None:
        events.append(progress.event)

    with pytest.raises(DivergenceError, match="also after 3 rollbacks"):
        train(
            store, tmp_path / "m", "sgram_neg", **{**options, "alpha": 3e4},
            on_divergence="rollback", reporter=Recorder(lines), callback=note,
        )  # fmt: skip
    told = [line for line in lines if "at half the learning rate" in line]
    assert len(told) == events.count("rollback") == 3
    assert layout.open_model(tmp_path / "m").state["schedule"]["rollbacks"] == 3


@pytest.mark.parametrize("alpha", [0.8, 1.6])
def test_rollback_saves_a_run(store: Path, tmp_path: Path, alpha: float) -> None:
    # One thread, so that it is the same every time; the only save to go back to is the start.
    model = train(
        store, tmp_path / "m", "sgram_neg", alpha=alpha, epochs=2, block_size=8, threads=1,
        save_every=1000, checkpoint_epochs=0, on_divergence="rollback",
    )  # fmt: skip
    rollbacks = layout.open_model(tmp_path / "m").state["schedule"]["rollbacks"]
    assert 1 <= rollbacks <= 3
    assert model.history[0]["alpha"] <= alpha / 2**rollbacks
    assert np.isfinite(model.input_vectors).all()
    assert planted.separation(model) > 0


def test_a_rollback_that_did_not_help_goes_back_further(store: Path, tmp_path: Path) -> None:
    model = tmp_path / "m"
    options = {"threads": 1, "checkpoint_epochs": 1, "keep_checkpoints": 0, "save_every": 10}
    train(store, model, "sgram_neg", epochs=4, save_interval=0, **options)
    saved = layout.open_model(model).state
    words = [layout.open_model(path).state["words_done"] for path in layout.checkpoints(model)]
    assert len(words) == 4
    assert words[-1] == saved["words_done"]

    def found(went_back_to: int | None, corpus: str = saved["corpus_hash"]) -> int | None:
        generation = last_good(model, corpus, went_back_to)
        return None if generation is None else generation.state["words_done"]

    assert found(None) == found(words[-2]) == words[-1]  # the newest was not tried
    assert found(words[-1]) == words[-2]
    (layout.checkpoints(model)[-2] / layout.STATE).write_text("{}")  # a damaged one is passed over
    assert found(words[-1]) == words[-3]
    assert found(0, "another") is None
    for path in layout.checkpoints(model):
        shutil.rmtree(path)
    assert found(words[-1]) == words[-1]


def test_the_best_checkpoint_is_named_only_if_it_was_kept(store: Path, tmp_path: Path) -> None:
    model, lines = tmp_path / "m", []
    train(store, model, "sgram_neg", epochs=30, patience=1, threads=1, reporter=Recorder(lines))
    best = model / layout.CHECKPOINTS / layout.BEST
    words = layout.open_model(model).state["best"]["words"]
    assert best_checkpoint(model, words) == best
    assert any(line.endswith(str(best)) for line in lines)
    assert best_checkpoint(model, words + 1) is None
    shutil.rmtree(best)
    assert best_checkpoint(model, words) is None


def test_a_new_corpus_that_diverges_leaves_the_model(
    store: Path, other: Path, tmp_path: Path
) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=1, block_size=16)
    before = layout.open_model(tmp_path / "m").matrix("input_vectors")
    with pytest.raises(DivergenceError) as caught:
        train(other, tmp_path / "m", "sgram_neg", new_corpus=True, **DIVERGES)
    said = str(caught.value)
    assert "the model is kept as it was before this corpus" in said
    assert "repeat the call with a smaller `alpha`" in said
    assert "overwrite_model" not in said
    assert "untrained" not in said
    np.testing.assert_array_equal(layout.open_model(tmp_path / "m").matrix("input_vectors"), before)


def test_a_rollback_keeps_the_mark_of_the_row_before(
    store: Path, other: Path, tmp_path: Path
) -> None:
    train(store, tmp_path / "m", "sgram_neg", epochs=1, block_size=16)
    losses = []

    def note(progress: Any) -> None:
        if progress.event == "start":
            losses.append(progress.holdout_loss)

    with pytest.raises(DivergenceError, match="rollbacks"):
        train(other, tmp_path / "m", "sgram_neg", new_corpus=True, on_divergence="rollback",
              callback=note, **DIVERGES)  # fmt: skip
    assert losses[0] is None  # that of the corpus before is no loss of this one
    rows = layout.open_model(tmp_path / "m").history()
    events = [row["event"] for row in rows if row["event"]]
    assert events[:2] == ["new corpus", "rollback"]
    back = next(row for row in rows if row["event"] == "rollback")
    assert back["loss"] is back["holdout_loss"] is None


def test_a_rollback_to_an_older_checkpoint_keeps_the_runs_own_schedule(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The checkpoint is of a run without patience, whose rate fell from its first word.
    model = tmp_path / "m"
    train(store, model, "sgram_neg", epochs=2, threads=1, checkpoint_epochs=1)
    older = layout.open_model(layout.checkpoints(model)[0])
    assert older.state["schedule"]["fall_from"] == 0
    monkeypatch.setattr("fastw2v.training.resume.last_good", lambda *arguments: older)
    diverged = False

    def diverge(progress: Any) -> None:
        nonlocal diverged
        if progress.event == "evaluation" and not diverged:
            diverged = True
            raise DivergenceError("for the test")

    train(store, model, "sgram_neg", epochs=40, patience=30, threads=1, callback=diverge,
          on_divergence="rollback")  # fmt: skip
    assert diverged
    rows = layout.open_model(model).history()
    back = next(number for number, row in enumerate(rows) if row["event"] == "rollback")
    cooldown = next(number for number, row in enumerate(rows) if row["event"] == "cooldown")
    assert cooldown > back + 1
    rates = {row["alpha"] for row in rows[back + 1 : cooldown]}
    assert rates == {0.025 / 2}  # constant until then
