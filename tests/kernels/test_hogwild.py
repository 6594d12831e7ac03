"""The parallel loop over blocks: draws, learning rates, splits, threads, and what it learns."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_cases import (
    assert_planted_groups_found,
    copy_weights,
    make_sentences,
    make_stream,
    make_weights,
    new_block_workspace,
    planted_corpus,
)

from fastw2v.kernels import negative_sampling
from fastw2v.kernels.blocks import BlockShape, Objective, Weights, new_block_workspaces
from fastw2v.kernels.hogwild import (
    BlockJob,
    BlockPlan,
    Schedule,
    learning_rate,
    train_negative_sampling,
)
from fastw2v.kernels.streams import Stream, draw_noise
from fastw2v.training.data import noise_tables

KEY = np.uint64(2**63 + 11)
SETTINGS = Objective(3, 5, True, False)
SCHEDULE = Schedule(0.05, 0.001, 1000.0, 100.0)
BLOCK, POOL = 8, 5
NAMES = {True: "sgram_neg_update", False: "cbow_neg_update"}


def corpus(V: int = 30) -> tuple[Weights, Stream]:
    """221 kept tokens of 442, so that words and positions differ."""
    rng = np.random.default_rng(17)
    lengths = [5, 1, 40, 2, 100, 30, 43]
    stream = make_stream(make_sentences(rng, V, lengths), rng.integers(1, 4, size=221))
    stream = stream._replace(word_positions=np.arange(222, dtype=np.int64) * 2)
    return make_weights(rng, V, 16), stream


def train(weights, stream, skip_gram, ranges, threads=1, schedule=SCHEDULE, settings=SETTINGS,
          key=KEY, block_size=BLOCK):  # fmt: skip
    """(sums, weights after) of training the ranges of the stream one after the other."""
    after = copy_weights(weights)
    noise = noise_tables(np.arange(len(after.input_vectors), 0, -1), 0.75)
    shape = BlockShape(block_size, POOL, settings.half_window, after.input_vectors.shape[1])
    workspaces, sums = new_block_workspaces(threads, shape), np.zeros(2)
    for first, last in ranges:
        plan = BlockPlan(first, last, block_size, POOL, key)
        job = BlockJob(after, stream, noise, settings, schedule, plan, skip_gram)
        result = train_negative_sampling(job, threads, workspaces)
        assert result.shape == (threads, 16)
        sums += result.sum(axis=0)[:2]
    return sums, after


def test_learning_rate_falls_linearly_and_stays_at_its_end():
    for words in (0, 1, 450, 899, 900):
        expected = 0.05 - 0.049 * (100 + words) / 1000
        assert learning_rate(SCHEDULE, words) == pytest.approx(expected, rel=1e-15)
    assert learning_rate(SCHEDULE, 5000) == pytest.approx(0.001, rel=1e-15)
    constant = Schedule(0.025, 0.025, 1000.0, 0.0)
    assert learning_rate(constant, 777) == 0.025


@pytest.mark.parametrize("skip_gram", [True, False])
def test_one_thread_trains_block_after_block(skip_gram):
    """Each block with its own draws, and the learning rate of its first word."""
    weights, stream = corpus()
    sums, after = train(weights, stream, skip_gram, [(0, 221)])
    noise = noise_tables(np.arange(30, 0, -1), 0.75)
    expected, loss, positives = copy_weights(weights), 0.0, 0
    workspace = new_block_workspace(BLOCK, POOL, 3, 16)
    for block in range(28):
        first = block * BLOCK
        draw_noise(noise, KEY, np.uint64(block), workspace.pool_ids)
        alpha = np.float32(0.05 - 0.049 * (100 + 2 * first) / 1000)
        one, more = getattr(negative_sampling, NAMES[skip_gram])(
            expected, stream, first, min(BLOCK, 221 - first), SETTINGS, alpha, workspace
        )
        loss, positives = loss + one, positives + more
    assert sums[1] == positives
    assert sums[0] == pytest.approx(loss, rel=1e-6)
    for one, other in zip(expected, after, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)  # alpha may differ by an ulp


@pytest.mark.parametrize("skip_gram", [True, False])
def test_ranges_split_at_blocks_give_the_same_bytes(skip_gram):
    weights, stream = corpus()
    sums, whole = train(weights, stream, skip_gram, [(0, 221)])
    again, split = train(weights, stream, skip_gram, [(0, 8), (8, 64), (64, 216), (216, 221)])
    assert again[1] == sums[1]
    assert again[0] == pytest.approx(sums[0], rel=1e-12)
    for one, other in zip(whole, split, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("skip_gram", [True, False])
def test_same_key_same_bytes_other_key_other_draws(skip_gram):
    weights, stream = corpus()
    _, first = train(weights, stream, skip_gram, [(0, 221)])
    _, again = train(weights, stream, skip_gram, [(0, 221)])
    _, other = train(weights, stream, skip_gram, [(0, 221)], key=KEY + np.uint64(1))
    for one, same, different in zip(first, again, other, strict=True):
        assert one.tobytes() == same.tobytes()
        assert not np.array_equal(one, different)


@pytest.mark.parametrize("skip_gram", [True, False])
def test_draws_do_not_depend_on_threads(skip_gram):
    """α = 0: nothing races, so the loss is that of the same centers against the same draws."""
    weights, stream = corpus()
    frozen = Schedule(0.0, 0.0, 1000.0, 0.0)
    expected, _ = train(weights, stream, skip_gram, [(0, 221)], schedule=frozen)
    for threads in (2, 3, 5, 40):  # 40: more threads than blocks
        sums, after = train(weights, stream, skip_gram, [(0, 221)], threads, frozen)
        assert sums[1] == expected[1]
        assert sums[0] == pytest.approx(expected[0], rel=1e-12)
        for before, result in zip(weights, after, strict=True):
            assert np.array_equal(before, result)


@pytest.mark.parametrize("skip_gram", [True, False])
def test_two_threads_learn_about_the_same(skip_gram):
    weights, stream = corpus(200)
    one, _ = train(weights, stream, skip_gram, [(0, 221)] * 5)
    two, after = train(weights, stream, skip_gram, [(0, 221)] * 5, threads=2)
    assert two[1] == one[1]
    assert two[0] == pytest.approx(one[0], rel=0.02)
    for matrix in after:
        assert np.isfinite(matrix).all()


def test_every_positive_pair_is_trained_once():
    """No pair is lost at a block's edge: the count does not depend on the size of blocks."""
    weights, stream = corpus()
    n = len(stream.token_ids)
    places = np.arange(n)
    near = np.abs(places[:, None] - places) <= stream.radii[:, None]
    same = stream.sequence_starts[:, None] == stream.sequence_starts
    pairs = int((near & same).sum()) - n
    centers = int(((near & same).sum(axis=1) > 1).sum())
    for block_size in (1, 2, 7, 33, 221, 500):
        counts = [
            train(weights, stream, skip_gram, [(0, n)], block_size=block_size)[0][1]
            for skip_gram in (True, False)
        ]
        assert counts == [pairs, centers]
    assert train(weights, stream, True, [(0, 100)])[0][1] == int((near & same)[:100].sum()) - 100


@pytest.mark.parametrize(("skip_gram", "per_pair", "undivided"),
                         [(True, True, False), (True, False, False), (False, True, False),
                          (False, True, True)])  # fmt: skip
def test_planted_groups_are_recovered(skip_gram, per_pair, undivided):
    rng = np.random.default_rng(18)
    stream = make_stream(planted_corpus(rng, 400), 3)
    weights = Weights(
        rng.uniform(-0.5, 0.5, (20, 16)).astype(np.float32) / 16, np.zeros((20, 16), np.float32)
    )
    n = len(stream.token_ids)
    settings = Objective(3, 5, per_pair, undivided)
    frozen, constant = Schedule(0.0, 0.0, 1.0, 0.0), Schedule(0.01, 0.01, 1.0, 0.0)
    start, _ = train(weights, stream, skip_gram, [(0, n)], 1, frozen, settings)
    for epoch in range(8):
        end, weights = train(
            weights, stream, skip_gram, [(0, n)], 1, constant, settings, np.uint64(epoch)
        )
    assert_planted_groups_found(weights.input_vectors)
    assert end[0] < 0.65 * start[0]
