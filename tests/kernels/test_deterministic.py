"""Rounds of blocks: the same bytes at any number of threads, and what a round does."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from kernel_cases import (
    make_sentences,
    make_stream,
    make_weights,
    padded_weights,
)
from reference import contexts_of, sigmoid, softplus

import fastw2v
from fastw2v.io import model_directory as layout
from fastw2v.kernels.blocks import BlockShape, Objective, Weights, new_block_workspaces
from fastw2v.kernels.deterministic import (
    new_round_workspace,
    round_workspace_bytes,
    train_in_rounds,
)
from fastw2v.kernels.hogwild import BlockJob, BlockPlan, Schedule, train_negative_sampling
from fastw2v.kernels.primitives import padded_dim
from fastw2v.kernels.streams import Noise, Stream, draw_noise
from fastw2v.training import resources
from fastw2v.training import steppers as rounds
from fastw2v.training.config import MAX_REPEATS, TrainConfig
from fastw2v.training.data import keep_thresholds, noise_tables, repeat_rate, top_share
from fastw2v.training.reporting import Progress
from fastw2v.training.steppers import DeterministicStepper, new_stepper

pytestmark = pytest.mark.usefixtures("quick_plots")

KEY = np.uint64(2**63 + 5)
SCHEDULE = Schedule(0.05, 0.001, 1500.0, 100.0)
MODELS = {  # skip_gram, settings
    "sgram_neg pair": (True, Objective(3, 5, True, False)),
    "sgram_neg window": (True, Objective(3, 5, False, False)),
    "cbow_neg mean": (False, Objective(3, 5, True, False)),
    "cbow_neg word2vec": (False, Objective(3, 5, True, True)),
}
BLOCK, POOL, ROUND = 8, 5, 4
EVERY_MODEL = pytest.mark.parametrize("model", MODELS)


def corpus(V: int = 40, dim: int = 48, scale: float = 0.7) -> tuple[Weights, Stream, Noise]:
    """717 kept tokens of 1,434: 90 blocks, the last of 5 centers, the last round of two blocks."""
    rng = np.random.default_rng(7)
    lengths = [5, 1, 40, 2, 100, 30, 43, 200, 7, 289]
    n = sum(lengths)
    stream = make_stream(make_sentences(rng, V, lengths), rng.integers(1, 4, size=n))
    stream = stream._replace(word_positions=np.arange(n + 1, dtype=np.int64) * 2)
    noise = noise_tables(np.arange(V, 0, -1), 0.75)
    return padded_weights(make_weights(rng, V, dim, scale)), stream, noise


def train(
    weights: Weights, stream: Stream, noise: Noise, model: str, threads: int,
    ranges: list[tuple[int, int]] | None = None, round_blocks: int = ROUND, key: Any = KEY,
    schedule: Schedule = SCHEDULE,
) -> tuple[list[tuple[float, float]], Weights]:  # fmt: skip
    """(what each range returns, weights after)."""
    skip_gram, settings = MODELS[model]
    after = padded_weights(weights)
    shape = BlockShape(BLOCK, POOL, settings.half_window, after.input_vectors.shape[1])
    workspace = new_round_workspace(threads, round_blocks, shape)
    results = []
    for first, last in ranges or [(0, len(stream.token_ids))]:
        plan = BlockPlan(first, last, BLOCK, POOL, key)
        job = BlockJob(after, stream, noise, settings, schedule, plan, skip_gram)
        sums = train_in_rounds(job, threads, workspace)
        assert len(sums) == -(-last // BLOCK) - first // BLOCK
        results.append((float(sums[:, 0].sum()), float(sums[:, 1].sum())))
    return results, after


def same_bytes(one: Weights, other: Weights) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(one, other, strict=True))


# --- the same bytes ---


@pytest.mark.parametrize("dim", [7, 48, 100])
@EVERY_MODEL
def test_bytes_and_loss_are_the_same_at_any_number_of_threads(model: str, dim: int) -> None:
    """More threads than blocks of a round, than columns and than cores among them."""
    data = corpus(dim=dim)
    expected, after = train(*data, model, 1)
    assert not same_bytes(data[0], after)
    for threads in (1, 2, 2, 3, 4, 9):
        results, again = train(*data, model, threads)
        assert same_bytes(after, again)
        assert results == expected
    _, other = train(*data, model, 2, key=KEY + np.uint64(1))
    assert not same_bytes(after, other)
    for matrix in after:
        assert not matrix[:, dim:].any(), "the padding of the rows was written to"


@EVERY_MODEL
def test_ranges_of_whole_rounds_give_the_same_bytes(model: str) -> None:
    data = corpus()
    (whole,), after = train(*data, model, 2)
    unit = BLOCK * ROUND
    ranges = [(0, unit), (unit, 9 * unit), (9 * unit, 22 * unit), (22 * unit, 717)]
    results, split = train(*data, model, 3, ranges)
    assert same_bytes(after, split)
    assert sum(positives for _, positives in results) == whole[1]
    assert sum(loss for loss, _ in results) == pytest.approx(whole[0], rel=1e-12)
    # Rounds are places of the stream: a call that begins within one does not shift the others.
    _, within = train(*data, model, 2, [(0, 2 * BLOCK), (2 * BLOCK, 717)])
    _, cut = train(*data, model, 2, [(0, 2 * BLOCK), (2 * BLOCK, unit), (unit, 717)])
    assert same_bytes(within, cut)
    assert not same_bytes(after, within)


@EVERY_MODEL
def test_rounds_of_one_block_are_the_blocks_of_hogwild(model: str) -> None:
    weights, stream, noise = corpus()
    skip_gram, settings = MODELS[model]
    constant = Schedule(0.03, 0.03, 1500.0, 100.0)
    (result,), after = train(weights, stream, noise, model, 2, round_blocks=1, schedule=constant)
    expected = padded_weights(weights)
    plan = BlockPlan(0, 717, BLOCK, POOL, KEY)
    job = BlockJob(expected, stream, noise, settings, constant, plan, skip_gram)
    shape = BlockShape(BLOCK, POOL, settings.half_window, expected.input_vectors.shape[1])
    sums = train_negative_sampling(job, 1, new_block_workspaces(1, shape))
    assert same_bytes(expected, after)
    assert result[1] == sums[0, 1]
    assert result[0] == pytest.approx(sums[0, 0], rel=1e-12)


# --- what a round does ---


def terms_of_block(
    weights: list[np.ndarray], stream: Stream, first: int, count: int, model: str, pool_ids: Any
) -> list[tuple[list[int], list[tuple[int, float, int]]]]:
    """For each center: the input rows that its hidden row is the mean of, and (output row, weight,
    label) of its terms; by the definitions, one by one."""
    skip_gram, settings = MODELS[model]
    found = []
    for pos in range(first, first + count):
        center = int(stream.token_ids[pos])
        contexts = [int(stream.token_ids[other]) for other in contexts_of(stream, pos)]
        terms: list[tuple[int, float, int]] = []
        if contexts:
            positives = contexts if skip_gram else [center]
            terms = [(positive, 1.0, 1) for positive in positives]
            for drawn in pool_ids.tolist():
                if skip_gram and settings.per_pair:
                    against = sum(drawn != positive for positive in positives)
                else:
                    against = int(drawn not in positives)
                terms.append((drawn, against * settings.negatives / len(pool_ids), 0))
        found.append(([center] if skip_gram else contexts, terms))
    return found


def naive_rounds(
    weights: Weights, stream: Stream, noise: Noise, model: str, last: int
) -> tuple[float, int, list[np.ndarray]]:
    """(loss, positives, weights after) in float64, from the definition of a round."""
    _, settings = MODELS[model]
    now = [matrix.astype(float) for matrix in weights]
    loss, positives = 0.0, 0
    for start in range(0, last, BLOCK * ROUND):
        frozen = [matrix.copy() for matrix in now]
        for first in range(start, min(start + BLOCK * ROUND, last), BLOCK):
            pool_ids = np.empty(POOL, np.int32)
            draw_noise(noise, KEY, np.uint64(first // BLOCK), pool_ids)
            words = SCHEDULE.words_before + stream.word_positions[first]
            fall = (SCHEDULE.end - SCHEDULE.start) * words / SCHEDULE.total_words
            count = min(BLOCK, last - first)
            before = [matrix.copy() for matrix in now]
            block = terms_of_block(frozen, stream, first, count, model, pool_ids)
            for hidden_rows, terms in block:
                if not terms:
                    continue
                h_frozen, h = (matrices[0][hidden_rows].mean(0) for matrices in (frozen, before))
                step = np.zeros(h.shape)
                for output, weight, label in terms:
                    score = h_frozen @ frozen[1][output]
                    loss += weight * softplus(-score if label else score)
                    positives += label
                    gradient = (SCHEDULE.start + fall) * weight * (label - sigmoid(score))
                    step += gradient * before[1][output]
                    now[1][output] += gradient * h
                share = 1.0 if settings.undivided else 1.0 / len(hidden_rows)
                for row in hidden_rows:
                    now[0][row] += share * step
    return loss, positives, now


@EVERY_MODEL
def test_rounds_match_their_definition(model: str) -> None:
    """Gradients at the round's first weights; rows as the blocks before left them."""
    last = 6 * BLOCK * ROUND + 3 * BLOCK + 3  # six rounds, and one of four blocks, the last short
    weights, stream, noise = corpus()
    ((loss, positives),), after = train(weights, stream, noise, model, 2, [(0, last)])
    expected = naive_rounds(weights, stream, noise, model, last)
    assert positives == expected[1]
    assert loss == pytest.approx(expected[0], rel=1e-5)
    for before, result, matrix in zip(weights, after, expected[2], strict=True):
        change = np.abs(matrix - before).max()
        assert change > 0.05
        np.testing.assert_allclose(result, matrix, rtol=0, atol=1e-5 * change)


@EVERY_MODEL
def test_no_learning_leaves_every_weight(model: str) -> None:
    """The loss of all rounds is then that of any split into threads and rounds."""
    data = corpus()
    frozen = Schedule(0.0, 0.0, 1.0, 0.0)
    (expected,), after = train(*data, model, 1, schedule=frozen)
    assert np.array_equal(after[0], data[0][0])
    assert np.array_equal(after[1], data[0][1])
    (result,), _ = train(*data, model, 2, round_blocks=7, schedule=frozen)
    assert result == pytest.approx(expected, rel=1e-12)


def test_a_workspace_takes_what_it_says() -> None:
    for threads, round_blocks, *block in [
        (2, 16, 48, 24, 5, 304), (3, 4, 33, 7, 60, 32), (1, 1, 512, 70, 2, 16)
    ]:  # fmt: skip
        size = (threads, round_blocks, BlockShape(*block))
        taken = sum(array.nbytes for arrays in new_round_workspace(*size) for array in arrays)
        assert 0.9 * taken < round_workspace_bytes(*size) < 1.5 * taken


# --- how many blocks a round has ---


def config_for(counts: np.ndarray, **options: Any) -> tuple[TrainConfig, Noise]:
    config = TrainConfig.create(**options)
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
    config = config.with_blocks(repeat_rate(counts, thresholds), top_share(counts, thresholds))
    return config, noise_tables(counts, config.ns_exponent)


def zipf(words: int) -> np.ndarray:
    return (1e7 / np.arange(1, words + 1)).astype(np.int64)


@pytest.mark.parametrize("exponent", [0.75, 0.5, 1.0, -0.5])
@pytest.mark.parametrize("subsample", [0.0, 1e-4])
def test_shares_of_the_top_word_follow_from_the_noise(exponent: float, subsample: float) -> None:
    counts = zipf(5000)
    config, noise = config_for(counts, ns_exponent=exponent, subsample=subsample)
    drawn, kept = rounds._top_shares(config, noise)
    distribution = counts.astype(float) ** exponent
    assert drawn == pytest.approx((distribution / distribution.sum()).max(), rel=1e-6)
    thresholds = keep_thresholds(counts, int(counts.sum()), subsample)
    assert kept == pytest.approx(top_share(counts, thresholds), rel=1e-4)
    config, noise = config_for(counts, ns_exponent=0, subsample=subsample)
    assert rounds._top_shares(config, noise)[1] >= top_share(counts, thresholds)


def test_rounds_shrink_with_rate_frequent_words_and_large_blocks() -> None:
    for name in ("sgram_neg", "cbow_neg"):
        assert rounds.blocks_per_round(*config_for(zipf(50_000), type=name)) in (12, 16)
    sizes = [
        rounds.blocks_per_round(*config_for(zipf(5000), alpha=alpha))
        for alpha in (0.025, 0.05, 0.1, 0.4)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    few = rounds.blocks_per_round(*config_for(zipf(5000), subsample=0))
    assert few < rounds.blocks_per_round(*config_for(zipf(5000)))
    large, noise = config_for(zipf(50_000), block_size=512, pool_size=512)
    assert rounds.blocks_per_round(large, noise) <= rounds.max_blocks_per_round(large) == 2
    huge = dataclasses.replace(large, block_size=4096)
    assert rounds.blocks_per_round(huge, noise) == rounds.max_blocks_per_round(huge) == 1
    assert MAX_REPEATS / 4096 < 1


# --- whole runs ---

SMALL: dict[str, Any] = {
    "vector_dim": 20, "window": 5, "batch_size": 64, "subsample": 0.0, "holdout": 0, "epochs": 4,
    "deterministic": True,
}  # fmt: skip
RUNS = {
    "sgram_neg": {"type": "sgram_neg", "alpha": 0.05},
    "cbow_neg mean": {"type": "cbow_neg", "alpha": 0.1},
    "cbow_neg word2vec": {"type": "cbow_neg", "alpha": 0.05, "cbow_gradient": "word2vec"},
}
EVERY_RUN = pytest.mark.parametrize("run", RUNS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.make_store(tmp_path_factory.mktemp("planted") / "store")


def matrices_of(model: Path) -> tuple[str, str]:
    checksums = layout.open_model(model).state["sha256"]
    return checksums["input_vectors.npy"], checksums["output_vectors.npy"]


@EVERY_RUN
def test_runs_are_the_same_and_resume_exactly(store: Path, tmp_path: Path, run: str) -> None:
    options = {**SMALL, **RUNS[run], "epochs": 2}
    fastw2v.train(store, tmp_path / "whole", threads=2, **options)
    expected = matrices_of(tmp_path / "whole")
    for threads in (1, 2, 3):
        fastw2v.train(store, tmp_path / "again", threads=threads, **options)
        assert matrices_of(tmp_path / "again") == expected
        shutil.rmtree(tmp_path / "again")

    # Stopped at the second save of the middle of an epoch, over and over, until it is done.
    stops = 0
    while stops < 30:
        saves = 0

        def stop(progress: Progress) -> None:
            nonlocal saves
            saves += progress.event == "save"
            if saves == 3:
                raise KeyboardInterrupt

        try:
            fastw2v.train(
                store, tmp_path / "parts", threads=1 + stops % 3, **options,
                save_every=10, save_interval=0, callback=stop,
            )  # fmt: skip
            break
        except KeyboardInterrupt:
            stops += 1
    assert 2 < stops < 30
    assert matrices_of(tmp_path / "parts") == expected


@EVERY_RUN
def test_learns_as_well_as_hogwild(store: Path, tmp_path: Path, run: str) -> None:
    separations, losses = [], []
    for deterministic in (False, True):
        options = {**SMALL, **RUNS[run], "epochs": 10, "deterministic": deterministic}
        # One thread for Hogwild: the same every time.
        model = fastw2v.train(
            store, tmp_path / f"{deterministic}", threads=1 + deterministic, **options
        )
        separations.append(planted.separation(model))
        losses.append(model.history[-1]["loss"])
    assert min(separations) > 0.5
    assert separations[1] == pytest.approx(separations[0], abs=0.15)
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_steppers_and_memory_follow_the_option() -> None:
    counts = zipf(1000)
    for name in ("sgram_neg", "cbow_neg"):
        config, noise = config_for(counts, type=name, vector_dim=20, deterministic=True)
        columns = padded_dim(20)
        weights = Weights(*(np.zeros((1000, columns), np.float32) for _ in range(2)))
        stepper = new_stepper(weights, noise, config, 2)
        assert isinstance(stepper, DeterministicStepper)
        assert stepper.unit == rounds.blocks_per_round(config, noise) * config.block_size
        assert stepper.step_centers % stepper.unit == 0
        plain = dataclasses.replace(config, deterministic=False)
        assert not isinstance(new_stepper(weights, noise, plain, 2), DeterministicStepper)
        needs = [resources.estimate(each, 1000, 1000, 2, 1000) for each in (plain, config)]
        assert needs[1].buffers > needs[0].buffers
    config, noise = config_for(counts, type="cbow", deterministic=True)
    assert not isinstance(new_stepper(weights, noise, config, 2), DeterministicStepper)
