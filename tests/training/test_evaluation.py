"""The held-out loss while a model trains: what it is, when it is measured, what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from recorder import Recorder

import fastw2v
from fastw2v.errors import UsageError
from fastw2v.io import model_directory as layout
from fastw2v.store.format import TokenStore
from fastw2v.training import evaluation
from fastw2v.training import steppers as steps
from fastw2v.training.config import TrainConfig
from fastw2v.training.data import BatchSource, Position, keep_thresholds
from fastw2v.training.evaluation import EvaluationPlan, Evaluator
from fastw2v.training.validation import Holdout

pytestmark = pytest.mark.usefixtures("quick_plots")

TYPES = ("cbow", "cbow_neg", "sgram", "sgram_neg")
ALPHAS = {"cbow": 0.01, "cbow_neg": 0.1, "sgram": 0.01, "sgram_neg": 0.05}
SMALL: dict[str, Any] = {
    "vector_dim": 20, "window": 5, "batch_size": 64, "subsample": 0.0, "threads": 2,
    "holdout": 0.1,
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.make_store(tmp_path_factory.mktemp("planted") / "store")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the corpus is held out here, and would be evaluated once an epoch."""
    monkeypatch.setattr(evaluation, "SHARE_OF_TIME", 0.2)
    monkeypatch.setattr(evaluation, "EXACT_SHARE", 1.0)


def train(store: Path, model: Path, model_type: str, **options: Any) -> fastw2v.Model:
    values = {**SMALL, "alpha": ALPHAS[model_type], "epochs": 6, **options}
    return fastw2v.train(store, model, type=model_type, **values)


def vectors_of(model: Path) -> dict[str, str]:
    checksums = layout.open_model(model).state["sha256"]
    return {name: checksums[name] for name in ("input_vectors.npy", "output_vectors.npy")}


# --- what is trained on ---


def test_held_out_sequences_are_in_no_batch(store: Path) -> None:
    opened = TokenStore.open(store)
    config = TrainConfig.create(**SMALL)
    thresholds = keep_thresholds(opened.vocabulary.counts, opened.num_tokens, 0)
    held = Holdout.of(opened, 0.1)
    source = BatchSource(opened, config, thresholds, held)
    assert source.num_words == opened.num_tokens - held.num_tokens
    ids, offsets = opened.read_row_group(0)
    out = held.is_held_out(ids, offsets)
    kept = [part.tolist() for part, gone in zip(np.split(ids, offsets[1:-1]), out, strict=True)
            if not gone]  # fmt: skip
    for batch in source.batches(Position(), 2):
        stream = batch.stream
        starts = np.unique(stream.sequence_starts)
        found = [part.tolist() for part in np.split(stream.token_ids, starts[1:])]
        assert sorted(found) == sorted(kept)
        assert batch.words == source.num_words
        assert batch.words_before == batch.epoch * source.num_words


# --- what is measured ---


def softmax_twin(held: Holdout, inputs: Any, outputs: Any, bias: Any, skip_gram: bool) -> float:
    """Nats a center, in float64."""
    losses = []
    ids, offsets, _ = held.sequences
    for sequence in np.split(ids, offsets[1:-1]):
        for place, center in enumerate(sequence):
            near = [p for p in range(len(sequence)) if p != place and abs(p - place) <= 5]
            if not near:
                continue
            contexts = sequence[near]
            hidden = inputs[center] if skip_gram else inputs[contexts].mean(axis=0)
            logits = outputs @ hidden + bias
            log_p = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
            losses.append(-(log_p[contexts].mean() if skip_gram else log_p[center]))
    return float(np.mean(losses))


@pytest.mark.parametrize("model_type", TYPES)
def test_the_exact_softmax_loss_is_the_twins(
    store: Path, model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_BATCH_CENTERS", 16)  # groups of several batches, and batches
    monkeypatch.setattr(evaluation, "_EXACT_BATCH_CENTERS", 16)
    opened = TokenStore.open(store)
    config = TrainConfig.create(**SMALL, type=model_type)
    held = Holdout.of(opened, 0.1)
    weights = steps.initial_weights(len(opened.vocabulary), config)
    rng = np.random.default_rng(1)
    for matrix in weights:
        matrix[:, :20] = rng.normal(size=(len(matrix), 20)) / 2
    before = [matrix.copy() for matrix in weights]
    evaluator = Evaluator(held, weights, config)
    counts = opened.vocabulary.counts
    inputs, outputs = (matrix[:, :20].astype(float) for matrix in weights)
    if config.negative_sampling:
        found = evaluator.exact_softmax(counts, words=10**9)
        bias = np.log(counts**0.75 / (counts**0.75).sum())
    else:
        found, bias = evaluator.evaluate().loss, np.zeros(len(counts))
    assert found == pytest.approx(
        softmax_twin(held, inputs, outputs, bias, config.skip_gram), rel=1e-5
    )
    for matrix, copy in zip(weights, before, strict=True):
        assert matrix.tobytes() == copy.tobytes()
    assert evaluator.seconds > 0


def test_a_vocabulary_that_is_too_large_has_no_exact_loss(store: Path) -> None:
    opened = TokenStore.open(store)
    config = TrainConfig.create(**SMALL)
    weights = steps.initial_weights(len(opened.vocabulary), config)
    held = Holdout.of(opened, 0.1)
    evaluator = Evaluator(held, weights, config)
    words = min(1000, held.num_tokens) * len(opened.vocabulary)
    assert evaluator.exact_softmax(opened.vocabulary.counts, words - 1) is None
    assert evaluator.exact_softmax(opened.vocabulary.counts, words) is not None


@pytest.mark.parametrize("model_type", TYPES)
def test_the_last_row_is_the_saved_models_loss(
    store: Path, tmp_path: Path, model_type: str
) -> None:
    model = train(store, tmp_path / "m", model_type)
    measured = [row for row in model.history if row["holdout_loss"] is not None]
    last = measured[-1]
    assert last is model.history[-1]
    assert measured[0]["holdout_loss"] > last["holdout_loss"]
    assert last["holdout_low"] <= last["holdout_loss"] <= last["holdout_high"]
    assert last["holdout_softmax"] is not None
    opened = TokenStore.open(store)
    config = TrainConfig.create(**SMALL, type=model_type)
    weights = steps.initial_weights(len(opened.vocabulary), config)
    generation = layout.open_model(tmp_path / "m")
    for matrix, name in zip(weights, layout.MATRICES, strict=True):
        matrix[:, :20] = generation.matrix(name)
    again = Evaluator(Holdout.of(opened, 0.1), weights, config).evaluate()
    assert again.loss == pytest.approx(last["holdout_loss"], rel=1e-6)
    losses = generation.array("holdout_losses")
    assert losses is not None
    np.testing.assert_allclose(losses, np.stack([again.losses, again.positives]), rtol=1e-5)
    assert generation.state["holdout"]["tokens"] == Holdout.of(opened, 0.1).num_tokens


def test_a_corpus_without_held_out_sequences_is_trained_on_all_the_same(
    store: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    model = train(store, tmp_path / "m", "sgram_neg", holdout=1e-9, reporter=Recorder(lines))
    assert any("no held-out loss" in line for line in lines)
    assert model.words_done == 6 * TokenStore.open(store).num_tokens
    with pytest.raises(UsageError, match="selects no sequence"):
        train(store, tmp_path / "n", "sgram_neg", holdout=1e-9, patience=2)
    with pytest.raises(UsageError, match="`patience`"):
        train(store, tmp_path / "o", "sgram_neg", holdout=0, patience=2)
    assert not (tmp_path / "o").exists()


# --- when ---


@pytest.mark.parametrize(("times", "epoch_words"), [(1, 1000), (3, 1000), (7, 33)])
def test_evaluations_are_at_fixed_places(times: int, epoch_words: int) -> None:
    plan = EvaluationPlan(times, epoch_words)
    places, words = [], 0
    while words < 12 * epoch_words:
        assert plan.next_after(words) > words
        assert plan.next_after(plan.next_after(words) - 1) == plan.next_after(words)
        words = plan.next_after(words)
        places.append(words)
    assert len(places) == 12 * times
    assert places[-1] == 12 * epoch_words
    assert set(range(1, 13)) <= {place / epoch_words for place in places}


def test_evaluations_take_their_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "SHARE_OF_TIME", 0.008)
    monkeypatch.setitem(evaluation.COSTS, "sgram_neg", 4.0)
    config = TrainConfig.create(type="sgram_neg")
    for tokens, times in ((50, 4), (510, 1), (5000, 1)):  # always once an epoch
        assert EvaluationPlan.of(config, tokens, 100_000).times == times


def test_a_short_run_has_a_held_out_loss_an_epoch(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "SHARE_OF_TIME", 1e-4)  # far less than an evaluation takes
    model = train(store, tmp_path / "m", "sgram_neg", epochs=3)
    measured = [row["epoch"] for row in model.history if row["holdout_loss"] is not None]
    assert measured == [1, 2, 3]


# --- patience ---


def test_patience_ends_a_run_that_learns_no_more(store: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    model = train(
        store, tmp_path / "m", "sgram_neg", epochs=1000, patience=3, cooldown=0.5,
        reporter=Recorder(lines),
    )  # fmt: skip
    opened = TokenStore.open(store)
    assert model.words_done < 300 * opened.num_tokens
    assert any(
        "improved by no more than its noise over the last 3 evaluations" in line for line in lines
    )
    fall = [row for row in model.history if row["event"] == "cooldown"]
    assert len(fall) == 1
    constant = [row for row in model.history if row["words"] <= fall[0]["words"]]
    assert {row["alpha"] for row in constant} == {0.05}
    assert model.history[-1]["alpha"] == pytest.approx(0.05e-4, rel=0.1)
    assert model.words_done == pytest.approx(1.5 * fall[0]["words"], rel=0.05)
    measured = [row for row in model.history if row["holdout_loss"] is not None]
    best = min(measured, key=lambda row: row["holdout_loss"])
    assert any(f"after {best['words']:,} words" in line and "best" in line for line in lines)
    kept = layout.open_model(tmp_path / "m" / "checkpoints" / "best")
    assert kept.state["words_done"] == best["words"]
    lines.clear()
    again = train(
        store, tmp_path / "m", "sgram_neg", epochs=1000, patience=3, reporter=Recorder(lines)
    )
    assert again.words_done == model.words_done
    assert any("finished already" in line for line in lines)


def test_without_a_stall_the_rate_falls_over_the_last_epochs(store: Path, tmp_path: Path) -> None:
    model = train(store, tmp_path / "m", "sgram_neg", epochs=5, patience=100, cooldown=0.25)
    assert model.words_done == pytest.approx(5 * 3600 * 0.9, rel=0.05)
    fall = next(row for row in model.history if row["event"] == "cooldown")
    assert fall["words"] == pytest.approx(0.8 * model.words_done, rel=0.02)
    assert model.history[-1]["alpha"] == pytest.approx(0.05e-4, rel=0.1)


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("patience", [None, 2])
def test_stopped_and_resumed_it_is_the_same_run(
    store: Path, tmp_path: Path, model_type: str, patience: int | None
) -> None:
    options = {"threads": 1, "patience": patience, "epochs": 4, "save_every": 9, "save_interval": 0}
    train(store, tmp_path / "whole", model_type, **options)
    stops = 0
    for _ in range(200):
        events = 0

        def stop(progress: Any) -> bool:
            nonlocal events
            events += progress.event in ("interval", "evaluation", "save")
            return events < 4

        train(store, tmp_path / "parts", model_type, callback=stop, **options)
        state = layout.open_model(tmp_path / "parts").state
        if state["finished"]:
            break
        stops += 1
    assert stops > 2
    assert vectors_of(tmp_path / "parts") == vectors_of(tmp_path / "whole")
    whole = [r for r in layout.open_model(tmp_path / "whole").history() if r["holdout_loss"]]
    parts = [r for r in layout.open_model(tmp_path / "parts").history() if r["holdout_loss"]]
    assert [(r["words"], r["holdout_loss"]) for r in whole] == [
        (r["words"], r["holdout_loss"]) for r in parts
    ]


def test_a_small_softmax_holdout_has_an_interval_too(store: Path) -> None:
    opened = TokenStore.open(store)
    config = TrainConfig.create(**SMALL, type="cbow")
    weights = steps.initial_weights(len(opened.vocabulary), config)
    rng = np.random.default_rng(1)
    for matrix in weights:
        matrix[:, :20] = rng.normal(size=(len(matrix), 20)) / 2
    held = Holdout.of(opened, 0.1)
    assert held.num_tokens < 512  # a batch
    found = Evaluator(held, weights, config).evaluate()
    assert found.low < found.loss < found.high


@pytest.mark.parametrize("model_type", ["cbow_neg", "sgram_neg"])
def test_racing_threads_stopped_and_resumed_learn_as_much(tmp_path: Path, model_type: str) -> None:
    """They are not the same run, but their held-out losses are well within each other's interval:
    what threads leave open is a hundredth of it."""
    store = planted.make_store(tmp_path / "store", count=1000)
    options = {"threads": 2, "epochs": 4, "save_every": 20, "save_interval": 0}
    whole = train(store, tmp_path / "whole", model_type, **options)
    stops, parts = 0, whole
    while stops < 30:
        saves = 0

        def stop(progress: Any) -> bool:
            nonlocal saves
            saves += progress.event == "save"
            return saves < 6

        parts = train(store, tmp_path / "parts", model_type, callback=stop, **options)
        if parts.words_done == whole.words_done:
            break
        stops += 1
    assert 4 < stops < 30
    one, other = whole.history[-1], parts.history[-1]
    width = one["holdout_high"] - one["holdout_low"]
    assert 0.02 < width < 0.1
    assert other["holdout_loss"] == pytest.approx(one["holdout_loss"], abs=0.1 * width)
    assert other["holdout_low"] < one["holdout_loss"] < other["holdout_high"]
