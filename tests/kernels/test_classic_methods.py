"""The block updates at the points, and in the expectation, where they equal published methods."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import reference
from kernel_cases import (
    UNIT,
    Case,
    as_float64,
    block_error,
    change_tolerance,
    loss_tolerance,
    make_stream,
    make_weights,
    run_block,
)

from fastw2v.kernels import negative_sampling
from fastw2v.kernels.blocks import Objective
from fastw2v.kernels.streams import draw_noise
from fastw2v.training.data import noise_tables

ALPHA = float(np.float32(0.05))


def test_one_center_and_k_draws_are_the_seeds_skip_gram():
    rng = np.random.default_rng(11)
    weights = make_weights(rng, 12, 9)
    stream = make_stream([[5, 2, 7, 0, 3], [1, 1]], 2)
    pool_ids = np.array([8, 9, 10, 11, 9, 4], np.int32)  # K = 6 as in the seed, none a context
    case = Case(weights, stream, 2, 1, Objective(2, 6, False, False), pool_ids)
    loss, positives, after = run_block(negative_sampling.sgram_neg_update, case, ALPHA)
    inputs, outputs = as_float64(weights)
    context_ids = [5, 2, 0, 3]
    expected, dh, dc_pos, dc_neg = reference.seed_gradients(
        inputs[7], outputs[context_ids], outputs[pool_ids]
    )
    inputs[7] -= ALPHA * dh
    np.subtract.at(outputs, context_ids, ALPHA * dc_pos)
    np.subtract.at(outputs, pool_ids, ALPHA * dc_neg)
    assert positives == 4
    assert abs(loss - expected) <= loss_tolerance(weights, 10)
    np.testing.assert_allclose(after.input_vectors, inputs, rtol=0, atol=64 * UNIT)
    np.testing.assert_allclose(after.output_vectors, outputs, rtol=0, atol=64 * UNIT)


def test_one_center_and_k_draws_are_the_seeds_cbow():
    rng = np.random.default_rng(12)
    weights = make_weights(rng, 12, 9)
    stream = make_stream([[5, 2, 7, 0, 3]], 2)
    pool_ids = np.array([8, 9, 10, 11, 9, 4], np.int32)
    case = Case(weights, stream, 2, 1, Objective(2, 6, True, False), pool_ids)
    loss, positives, after = run_block(negative_sampling.cbow_neg_update, case, ALPHA)
    inputs, outputs = as_float64(weights)
    context_ids = [5, 2, 0, 3]
    expected, dh, dc_pos, dc_neg = reference.seed_gradients(
        inputs[context_ids].mean(axis=0), outputs[[7]], outputs[pool_ids]
    )
    inputs[context_ids] -= ALPHA * dh / 4  # "divided by window − 1"
    np.subtract.at(outputs, [7], ALPHA * dc_pos)
    np.subtract.at(outputs, pool_ids, ALPHA * dc_neg)
    assert positives == 1
    assert abs(loss - expected) <= loss_tolerance(weights, 7, 4)
    np.testing.assert_allclose(after.input_vectors, inputs, rtol=0, atol=64 * UNIT)
    np.testing.assert_allclose(after.output_vectors, outputs, rtol=0, atol=64 * UNIT)


NOISE_COUNTS = np.array([50, 20, 9, 4])


def expectation_case(per_pair: bool, undivided: bool = False) -> Case:
    """Four words, so that most draws meet a positive they equal; blocks with halo and ends."""
    stream = make_stream([[0, 1, 0, 2, 3, 1], [2, 0], [1]], np.array([1, 2, 2, 1, 2, 2, 1, 1, 2]))
    weights = make_weights(np.random.default_rng(21), 4, 3)
    options = Objective(2, 5, per_pair, undivided)
    return Case(weights, stream, 1, 6, options, np.zeros(1, np.int32))


def classic_expectation(name: str, case: Case, distribution) -> tuple[np.ndarray, np.ndarray]:
    """Every draw adds its own term, so the expectation is that over K equal draws."""
    total = [np.zeros(case.weights.input_vectors.shape) for _ in range(2)]
    for word_id, probability in enumerate(distribution):
        draws = itertools.repeat([word_id] * case.settings.negatives)
        if name == "sgram_neg_update":
            change = reference.classic_sgram_neg_update(
                case.weights, case.stream, case.first, case.count, 1.0, draws,
                case.settings.per_pair,
            )  # fmt: skip
        else:
            change = reference.classic_cbow_neg_update(
                case.weights, case.stream, case.first, case.count, 1.0, draws,
                case.settings.undivided,
            )  # fmt: skip
        for matrix, part in zip(total, change, strict=True):
            matrix += probability * part
    return total[0], total[1]


EXPECTATIONS = [
    ("sgram_neg_update", True, False),
    ("sgram_neg_update", False, False),
    ("cbow_neg_update", True, False),
    ("cbow_neg_update", True, True),
]


@pytest.mark.parametrize(("name", "per_pair", "undivided"), EXPECTATIONS)
def test_expected_update_over_all_pools_is_the_classic_one(name, per_pair, undivided):
    """Exact: every pool of N words, weighted with its probability."""
    case = expectation_case(per_pair, undivided)
    noise = noise_tables(NOISE_COUNTS, 0.75)
    distribution = reference.noise_distribution(noise)
    expected = classic_expectation(name, case, distribution)
    kernel, twin = getattr(negative_sampling, name), getattr(reference, name)
    for N in (1, 2, 3):
        means = [np.zeros_like(matrix) for matrix in expected]
        tolerances = [np.zeros_like(matrix) for matrix in expected]
        for pool in itertools.product(range(4), repeat=N):
            one = case._replace(pool_ids=np.array(pool, np.int32))
            probability = np.prod(distribution[list(pool)])
            _, _, after = run_block(kernel, one, 1.0)
            update = twin(*one[:5], 1.0, one.pool_ids)
            relative = block_error(name, one)
            for place, change in enumerate((update.input, update.output)):
                before = case.weights[place]
                means[place] += probability * (after[place].astype(float) - before)
                tolerances[place] += probability * change_tolerance(before, change, relative)
        for mean, want, tolerance in zip(means, expected, tolerances, strict=True):
            assert np.all(np.abs(mean - want) <= tolerance + 1e-12)


@pytest.mark.parametrize(("name", "per_pair", "undivided"), EXPECTATIONS)
def test_mean_update_over_drawn_pools_is_the_classic_one(name, per_pair, undivided):
    """`draw_noise` included: within 6 standard errors (by chance, one in 10**7 misses)."""
    case = expectation_case(per_pair, undivided)
    noise = noise_tables(NOISE_COUNTS, 0.75)
    expected = classic_expectation(name, case, reference.noise_distribution(noise))
    kernel = getattr(negative_sampling, name)
    pool_ids, pools = np.zeros(8, np.int32), 3000
    sums = [np.zeros_like(matrix) for matrix in expected]
    squares = [np.zeros_like(matrix) for matrix in expected]
    for block in range(pools):
        draw_noise(noise, np.uint64(77), np.uint64(block), pool_ids)
        _, _, after = run_block(kernel, case._replace(pool_ids=pool_ids), 1.0)
        for place in range(2):
            change = after[place].astype(float) - case.weights[place]
            sums[place] += change
            squares[place] += change**2
    for total, square, want in zip(sums, squares, expected, strict=True):
        mean = total / pools
        error = np.sqrt(np.maximum(square / pools - mean**2, 0) / pools)
        assert np.all(np.abs(mean - want) <= 6 * error + 1e-5)
        assert np.median(error) < 0.05 * np.abs(want).max()  # enough pools to see a wrong weight


def test_twins_expectation_is_that_of_sampled_classic_draws():
    """The shortcut of `classic_expectation` against fresh draws of every pair."""
    case = expectation_case(True)
    distribution = reference.noise_distribution(noise_tables(NOISE_COUNTS, 0.75))
    expected = classic_expectation("sgram_neg_update", case, distribution)
    rng = np.random.default_rng(3)
    samples = []
    for _ in range(300):
        draws = iter(rng.choice(4, size=(40, 5), p=distribution))
        samples.append(
            reference.classic_sgram_neg_update(case.weights, case.stream, 1, 6, 1.0, draws, True)
        )
    for place, want in enumerate(expected):
        values = np.array([sample[place] for sample in samples])
        error = values.std(axis=0) / np.sqrt(len(values))
        assert np.all(np.abs(values.mean(axis=0) - want) <= 6 * error + 1e-12)
