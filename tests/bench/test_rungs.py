"""The slower rungs of the benchmarks against float64 twins, with the same draws."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from kernel_cases import as_float64, copy_weights, make_sentences, make_stream, make_weights

from bench.speed import rungs
from fastw2v.kernels.blocks import Objective
from fastw2v.kernels.hogwild import BlockJob, BlockPlan, Schedule
from fastw2v.training.data import noise_tables

KEY = 2**63 + 29
V, DIM, K = 9, 7, 4
SCHEDULE = Schedule(0.05, 0.01, 300.0, 20.0)
VARIANTS = [(True, True, False), (True, False, False), (False, True, False), (False, True, True)]


def corpus():
    """Few words, so that they repeat, and draws often meet a positive; ends and lone words."""
    rng = np.random.default_rng(7)
    stream = make_stream(make_sentences(rng, V, [6, 1, 11, 2, 9]), rng.integers(1, 4, size=29))
    stream = stream._replace(word_positions=np.arange(30, dtype=np.int64) * 3)
    return make_weights(rng, V, DIM), stream, noise_tables(np.arange(V, 0, -1) ** 2, 0.75)


def train(rung, weights, stream, noise, settings, skip_gram, ranges=((0, 29),), threads=1,
          schedule=SCHEDULE, key=KEY):  # fmt: skip
    after, sums = copy_weights(weights), np.zeros(2)
    for first, last in ranges:
        plan = BlockPlan(first, last, 32, 16, np.uint64(key))
        job = BlockJob(after, stream, noise, settings, schedule, plan, skip_gram)
        result = rung(job, threads)
        assert result.shape == (threads, 16)
        sums += result.sum(axis=0)[:2]
    return sums, after


def draws_of(noise, pos: int, count: int) -> list[int]:
    key = reference.derive_key(reference.derive_key(KEY, rungs.RUNG_STREAM), pos)
    words = []
    for number in range(count):
        bits = reference.random_bits(key, number)
        column = ((bits >> 32) * V) >> 32
        kept = (bits & 0xFFFFFFFF) < noise.thresholds[column]
        words.append(column if kept else int(noise.aliases[column]))
    return words


def alpha_at(stream, pos: int) -> float:
    done = (20.0 + stream.word_positions[pos]) / 300.0
    return 0.05 + (0.01 - 0.05) * done


def train_targets(h, outputs, labeled, alpha):
    """word2vec.c's inner loop: each output row at once; returns what h is owed, and the loss."""
    owed, loss = np.zeros(DIM), 0.0
    for word_id, label in labeled:
        score = h @ outputs[word_id]
        loss += reference.softplus(-score if label else score)
        g = alpha * (label - reference.sigmoid(score))
        owed += g * outputs[word_id]
        outputs[word_id] += g * h
    return owed, loss


def classic(weights, stream, noise, settings, skip_gram):
    """Sequential float64 twin: (loss, positives, inputs, outputs)."""
    inputs, outputs = as_float64(weights)
    loss, positives = 0.0, 0
    for pos in range(len(stream.token_ids)):
        center_id, alpha = stream.token_ids[pos], alpha_at(stream, pos)
        context_ids = [stream.token_ids[other] for other in reference.contexts_of(stream, pos)]
        if not context_ids:
            continue
        draws = draws_of(noise, pos, K * len(context_ids))
        if not skip_gram:
            h = inputs[context_ids].mean(axis=0)
            negatives = [(word_id, 0) for word_id in draws[:K] if word_id != center_id]
            owed, more = train_targets(h, outputs, [(center_id, 1), *negatives], alpha)
            for context_id in context_ids:
                inputs[context_id] += owed if settings.undivided else owed / len(context_ids)
            loss, positives = loss + more, positives + 1
            continue
        jobs = []
        for number, context_id in enumerate(context_ids):
            fresh = draws[number * K : (number + 1) * K]
            kept = [(word_id, 0) for word_id in fresh if word_id != context_id]
            jobs.append([(context_id, 1), *kept])
        if not settings.per_pair:
            kept = [(word_id, 0) for word_id in draws[:K] if word_id not in context_ids]
            jobs = [[(context_id, 1) for context_id in context_ids] + kept]
        for job in jobs:
            owed, more = train_targets(inputs[center_id], outputs, job, alpha)
            inputs[center_id] += owed
            loss += more
        positives += len(context_ids)
    return loss, positives, inputs, outputs


def window_shared(weights, stream, noise, settings, skip_gram):
    """Block updates of one center and K draws, one after the other, in float64."""
    twin = reference.sgram_neg_update if skip_gram else reference.cbow_neg_update
    now = as_float64(weights)
    loss, positives = 0.0, 0
    for pos in range(len(stream.token_ids)):
        draws = draws_of(noise, pos, K)
        update = twin(now, stream, pos, 1, settings, alpha_at(stream, pos), draws)
        now.input_vectors[:] += update.input.total
        now.output_vectors[:] += update.output.total
        loss, positives = loss + update.loss, positives + update.positives
    return loss, positives, *now


TWINS = {"classic": classic, "window_shared": window_shared}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize(("skip_gram", "per_pair", "undivided"), VARIANTS)
def test_rungs_are_their_twins(name, skip_gram, per_pair, undivided):
    weights, stream, noise = corpus()
    settings = Objective(3, K, per_pair, undivided)
    sums, after = train(rungs.RUNGS[name], weights, stream, noise, settings, skip_gram)
    loss, positives, inputs, outputs = TWINS[name](weights, stream, noise, settings, skip_gram)
    assert sums[1] == positives
    assert sums[0] == pytest.approx(loss, rel=2e-6)
    np.testing.assert_allclose(after.input_vectors, inputs, rtol=0, atol=3e-6)
    np.testing.assert_allclose(after.output_vectors, outputs, rtol=0, atol=3e-6)
    changed = np.abs(inputs - weights.input_vectors).max()
    assert changed > 0.02  # what a wrong formula would show in


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("skip_gram", [True, False])
def test_threads_and_ranges_train_every_center_once(name, skip_gram):
    weights, stream, noise = corpus()
    settings, frozen = Objective(3, K, True, False), Schedule(0.0, 0.0, 1.0, 0.0)
    rung = rungs.RUNGS[name]
    whole, _ = train(rung, weights, stream, noise, settings, skip_gram, schedule=frozen)
    for ranges, threads in [(((0, 29),), 3), (((0, 29),), 40), (((0, 5), (5, 6), (6, 29)), 2)]:
        sums, after = train(
            rung, weights, stream, noise, settings, skip_gram, ranges, threads, frozen
        )
        assert sums[1] == whole[1]
        assert sums[0] == pytest.approx(whole[0], rel=1e-12)
        for before, result in zip(weights, after, strict=True):
            assert np.array_equal(before, result)
    other, _ = train(rung, weights, stream, noise, settings, skip_gram, key=5, schedule=frozen)
    assert other[0] != whole[0]


def test_draws_follow_the_noise_distribution():
    _, _, noise = corpus()
    count = 20_000
    words = [rungs.numbered_word(noise, np.uint64(KEY), number) for number in range(count)]
    expected = count * reference.noise_distribution(noise)
    chi_squared = np.sum((np.bincount(words, minlength=V) - expected) ** 2 / expected)
    assert chi_squared < 45  # 8 degrees of freedom: by chance, one in 10**6 misses


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("model_type", ["sgram_neg", "cbow_neg"])
def test_fastw2v_trains_with_a_rung(tmp_path, name, model_type):
    import planted

    from fastw2v.training import steppers as steps
    from fastw2v.training.api import train as train_model

    store = planted.make_store(tmp_path / "store", count=800)
    before = steps.new_stepper
    options = {"type": model_type, "vector_dim": 16, "window": 5, "threads": 1, "epochs": 8,
               "alpha": 0.1, "subsample": 0.0, "save_interval": 1e9}  # fmt: skip
    with rungs.in_place_of_blocks(rungs.RUNGS[name]):
        model = train_model(store, tmp_path / "rung", **options)
    assert steps.new_stepper is before
    assert planted.separation(model) > 0.5
    blocks = train_model(store, tmp_path / "blocks", **options)
    assert not np.array_equal(blocks.input_vectors, model.input_vectors)
