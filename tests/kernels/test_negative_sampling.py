"""The block updates against their float64 twins, central differences and the classic methods."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import (
    Case,
    as_float64,
    assert_update_matches,
    block_error,
    central_differences,
    change_tolerance,
    loss_tolerance,
    make_sentences,
    make_stream,
    make_weights,
    new_block_workspace,
    run_block,
)

from fastw2v.kernels import negative_sampling
from fastw2v.kernels.blocks import BlockShape, Objective, Weights, block_workspace_bytes

KERNELS = ("sgram_neg_update", "cbow_neg_update")
ALPHA = float(np.float32(0.05))
BLOCK_SIZES = (1, 2, 7, 8, 9, 33)
POOL_SIZES = (1, 2, 5, 7, 8, 9, 16)
DIMS = (1, 2, 7, 8, 9, 16, 33, 48)


def check_against_twin(name: str, case: Case) -> None:
    loss, positives, after = run_block(getattr(negative_sampling, name), case, ALPHA)
    weights, stream, first, count, options, pool_ids = case
    update = getattr(reference, name)(weights, stream, first, count, options, ALPHA, pool_ids)
    assert positives == update.positives
    terms = positives * (1 + options.negatives)
    averaged = 2 * options.half_window if "cbow" in name else 0
    assert abs(loss - update.loss) <= loss_tolerance(weights, terms, averaged)
    assert_update_matches(weights, after, update, block_error(name, case))


def block_place(place: str, T: int, half: int):
    """(sentence lengths, first, count) of a block of up to T centers."""
    if place == "inside":  # halo at both ends, in one sentence
        return [3, T + 2 * half + 4, 2], 3 + half + 2, T
    if place == "start":
        return [max(1, T // 2), 1, 2, T + half], 0, T
    if place == "end":  # short, and nothing after it
        return [T + 5, max(1, T // 2)], T + 5 + max(1, T // 2) - max(1, T - 3), max(1, T - 3)
    lengths = list(itertools.islice(itertools.cycle((1, 2, 1, 3)), T + 4))  # "tiny sentences"
    return lengths, 2, T


def grid_case(T: int, N: int, D: int, number: int) -> Case:
    """The other choices are cycled through, at periods that have no common factor with the grid."""
    rng = np.random.default_rng([T, N, D])
    half = (1, 2, 5)[number % 3]
    place = ("inside", "start", "end", "tiny")[number % 4]
    vocabulary_size = (3, 12, 2, 60, 5)[number % 5]  # 2 and 3: draws often equal positives
    lengths, first, count = block_place(place, T, half)
    radii = half if number % 2 else rng.integers(1, half + 1, size=sum(lengths))
    stream = make_stream(make_sentences(rng, vocabulary_size, lengths), radii)
    pool_ids = rng.integers(vocabulary_size, size=N).astype(np.int32)
    options = Objective(
        half, (1, 5, 6)[number // 2 % 3], number // 3 % 2 == 0, number // 5 % 2 == 0
    )
    return Case(make_weights(rng, vocabulary_size, D, 1.2), stream, first, count, options, pool_ids)


@pytest.mark.parametrize("T", BLOCK_SIZES)
@pytest.mark.parametrize("name", KERNELS)
def test_grid_of_edges_matches_twin(name, T):
    for number, (N, D) in enumerate(itertools.product(POOL_SIZES, DIMS)):
        check_against_twin(name, grid_case(T, N, D, number + 7 * T))


@pytest.mark.parametrize("per_pair", [True, False])
@pytest.mark.parametrize("place", ["inside", "start", "end", "tiny"])
@pytest.mark.parametrize("name", KERNELS)
def test_every_place_matches_twin_with_both_weightings(name, place, per_pair):
    rng = np.random.default_rng(5)
    for half, undivided, fixed in itertools.product((1, 2, 5), (False, True), (False, True)):
        lengths, first, count = block_place(place, 9, half)
        radii = half if fixed else rng.integers(1, half + 1, size=sum(lengths))
        stream = make_stream(make_sentences(rng, 4, lengths), radii)
        pool_ids = rng.integers(4, size=5).astype(np.int32)
        options = Objective(half, 5, per_pair, undivided)
        weights = make_weights(rng, 6, 16)
        check_against_twin(name, Case(weights, stream, first, count, options, pool_ids))


@st.composite
def cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = draw(st.lists(st.integers(1, 14), min_size=1, max_size=6))
    vocabulary_size = draw(st.integers(1, 9))
    half = draw(st.integers(1, 6))
    n = sum(lengths)
    first = draw(st.integers(0, n - 1))
    count = draw(st.integers(1, n - first))
    radii = half if draw(st.booleans()) else rng.integers(1, half + 1, size=n)
    stream = make_stream(make_sentences(rng, vocabulary_size, lengths), radii)
    pool_ids = rng.integers(vocabulary_size, size=draw(st.integers(1, 20))).astype(np.int32)
    weights = make_weights(rng, vocabulary_size, draw(st.integers(1, 40)), draw(st.floats(0.1, 2)))
    options = Objective(half, draw(st.integers(1, 20)), draw(st.booleans()), draw(st.booleans()))
    return Case(weights, stream, first, count, options, pool_ids)


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(case=cases())
def test_any_case_matches_twin(name, case):
    check_against_twin(name, case)


@pytest.mark.parametrize("name", KERNELS)
def test_many_draws_and_contexts_match_twin(name):
    """More factors, all close to 2, than a float64 product holds: 1,200 contexts make 1e343."""
    rng = np.random.default_rng(6)
    for N, half in ((31, 1), (32, 1), (33, 1), (70, 3), (3, 600)):
        lengths = [2 * half + 5]
        stream = make_stream(make_sentences(rng, 50, lengths), half)
        pool_ids = rng.integers(50, size=N).astype(np.int32)
        weights = make_weights(rng, 50, 8, 0.3)
        place = (half, 3, Objective(half, 5, True, False), pool_ids)
        check_against_twin(name, Case(weights, stream, *place))


@pytest.mark.parametrize("name", KERNELS)
def test_what_is_left_in_the_workspace_does_not_matter(name):
    kernel = getattr(negative_sampling, name)
    for number, (count, N) in enumerate(itertools.product((1, 2, 7, 9), (1, 5, 8))):
        case = grid_case(count, N, 9, number)
        fresh = run_block(kernel, case, ALPHA)
        used = new_block_workspace(33, N, case.settings.half_window, 16)
        for name_of_array, array in zip(used._fields, used, strict=True):
            if array.dtype == np.float32 and name_of_array != "spare_row":
                array.fill(1e30)
        again = run_block(kernel, case, ALPHA, used)
        assert fresh[:2] == again[:2]
        for expected, result in zip(fresh[2], again[2], strict=True):
            assert expected.tobytes() == result.tobytes()


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 16), (48, 24, 5, 304), (33, 7, 600, 32), (9, 70, 2, 16)]
)
def test_a_workspace_takes_what_is_said(shape):
    taken = sum(array.nbytes for array in new_block_workspace(*shape))
    gaps = 4096
    assert block_workspace_bytes(BlockShape(*shape)) == pytest.approx(taken, rel=0.01, abs=gaps)


@pytest.mark.parametrize("name", KERNELS)
def test_rows_out_of_reach_and_padding_keep_their_bits(name):
    """Words 20 … 39 are in the stream or nowhere, never in the block, its halo or the pool."""
    rng = np.random.default_rng(8)
    near, far = rng.integers(20, size=14).tolist(), rng.integers(20, 40, size=5).tolist()
    stream = make_stream([far, near[:1] + near[1:], far], 2)
    pool_ids = rng.integers(20, size=5).astype(np.int32)
    weights = make_weights(rng, 40, 48)
    for matrix in weights:
        matrix[:, 33:] = 0.0  # the trainer's padding
    case = Case(weights, stream, 5, 14, Objective(2, 5, True, False), pool_ids)
    _, _, after = run_block(getattr(negative_sampling, name), case, ALPHA)
    for before, result in zip(weights, after, strict=True):
        assert before[20:].tobytes() == result[20:].tobytes()
        assert not np.array_equal(before[:20], result[:20])
        assert not result[:, 33:].any()
    check_against_twin(name, case)


@pytest.mark.parametrize("per_pair", [True, False])
@pytest.mark.parametrize("undivided", [False, True])
@pytest.mark.parametrize("name", KERNELS)
def test_gradient_is_that_of_the_loss(name, undivided, per_pair):
    """α = 1: the parameters' change is −∂loss; word2vec.c's CBOW gives contexts m_i times that."""
    rng = np.random.default_rng(4)
    stream = make_stream(
        [[2, 0, 2, 4], [1], [3, 0, 0, 4, 1]], np.array([2, 1, 1, 2, 2, 1, 2, 2, 1, 2])
    )
    pool_ids = np.array([0, 3, 4, 4, 1], np.int32)
    weights = make_weights(rng, 6, 3, 0.8)
    options = Objective(2, 6, per_pair, undivided)
    case = Case(weights, stream, 1, 7, options, pool_ids)
    twin = getattr(reference, name)
    _, _, after = run_block(getattr(negative_sampling, name), case, 1.0)
    update = twin(weights, stream, 1, 7, options, 1.0, pool_ids)
    contexts = np.array([len(reference.contexts_of(stream, pos)) for pos in range(1, 8)])
    factors = contexts if name == "cbow_neg_update" and undivided else np.ones(7)

    def gradient(factors):
        def loss(weights):
            return factors @ twin(weights, stream, 1, 7, options, 0.0, pool_ids).losses

        return central_differences(loss, as_float64(weights))

    expected = Weights(gradient(factors).input_vectors, gradient(np.ones(7)).output_vectors)
    relative = block_error(name, case)
    for before, result, slope, change in zip(
        weights, after, expected, (update.input, update.output), strict=True
    ):
        tolerance = change_tolerance(before, change, relative) + 1e-8
        assert np.all(np.abs(result - (before - slope)) <= tolerance)


# --- extreme values ---


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("score", [1e4, -1e4])
def test_large_scores_overflow_nowhere(name, score):
    stream = make_stream([[0, 1, 2, 1, 0]], 2)
    outputs = np.full((5, 8), score / 8, np.float32)
    weights = Weights(np.ones((5, 8), np.float32), outputs)
    pool_ids = np.array([3, 4, 3, 1], np.int32)
    case = Case(weights, stream, 0, 5, Objective(2, 5, True, False), pool_ids)
    loss, positives, after = run_block(getattr(negative_sampling, name), case, 1e-3)
    update = getattr(reference, name)(weights, stream, 0, 5, case.settings, 1e-3, pool_ids)
    assert positives == update.positives
    assert loss == pytest.approx(update.loss, rel=1e-5)
    for result, change, before in zip(after, (update.input, update.output), weights, strict=True):
        assert np.isfinite(result).all()
        np.testing.assert_allclose(result, before + change.total, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("matrix", [0, 1])
@pytest.mark.parametrize("name", KERNELS)
def test_nan_weight_gives_nan_loss(name, matrix):
    case = grid_case(9, 5, 16, 0)
    case.weights[matrix][case.stream.token_ids[case.first], 3] = np.nan
    loss, _, _ = run_block(getattr(negative_sampling, name), case, ALPHA)
    assert np.isnan(loss)
