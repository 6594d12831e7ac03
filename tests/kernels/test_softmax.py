"""The full-softmax batch update against its twin, central differences and itself."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import (
    UNIT,
    as_float64,
    assert_planted_groups_found,
    assert_update_matches,
    central_differences,
    change_tolerance,
    exp_error,
    make_sentences,
    make_stream,
    make_weights,
    padded_weights,
    planted_corpus,
    score_bound,
)

from fastw2v.kernels.blocks import Objective, Weights
from fastw2v.kernels.softmax import softmax_batch_update
from fastw2v.kernels.softmax_batch import (
    TILE,
    logit_bytes,
    new_softmax_workspace,
    slab_rows,
    softmax_workspace_bytes,
)

ALPHA = float(np.float32(0.05))
KEEP, RECOMPUTE = 1 << 30, 0  # logit_bytes
MEAN, UNDIVIDED = Objective(5, 0, False, False), Objective(5, 0, False, True)
MODELS = [(True, MEAN), (False, MEAN), (False, UNDIVIDED)]


def run_batch(weights, stream, first, count, options, skip_gram, alpha, workspace=None, keep=KEEP):
    """One batch on a padded copy: (loss, centers, weights after)."""
    after = padded_weights(weights)
    if workspace is None:
        workspace = new_softmax_workspace(
            *after.input_vectors.shape, count, options.half_window, keep
        )
    loss, centers = softmax_batch_update(
        after, stream, first, count, options, skip_gram, np.float32(alpha), workspace
    )
    dim = weights.input_vectors.shape[1]
    for matrix in after:
        assert np.isnan(loss) or not matrix[:, dim:].any()  # padding stays zero
    return loss, centers, Weights(*(matrix[:, :dim].copy() for matrix in after))


def relative_error(weights: Weights, count: int) -> float:
    """Of p − target and of the products with it, added in any order.

    ln p = logit − log-sum-exp: both logits are dot products of D terms, the sum of exp has at most
    64 terms in float32, and the largest of a tile is moved to the largest of all.
    """
    V, dim = weights.input_vectors.shape
    bound = score_bound(weights)
    logit = (dim + 14) * UNIT * bound  # a mean of up to ten rows
    log_sum = (bound + np.log(V)) * UNIT + min(V, TILE) * UNIT
    log_p = 2 * logit + log_sum + 4 * exp_error(2 * bound + np.log(V))
    return log_p + (V + count + 20) * UNIT


def check_against_twin(weights, stream, first, count, options, skip_gram, keep=KEEP):
    loss, centers, after = run_batch(
        weights, stream, first, count, options, skip_gram, ALPHA, keep=keep
    )
    update = reference.softmax_batch_update(
        weights, stream, first, count, options, skip_gram, ALPHA
    )
    assert centers == update.positives
    relative = relative_error(weights, count)
    # log p is wrong by at most `relative` where probabilities are
    assert abs(loss - update.loss) <= relative * max(1, centers) + 1e-12
    assert_update_matches(weights, after, update, relative)


def random_batch(rng, V, dim, lengths, half, fixed):
    radii = half if fixed else rng.integers(1, half + 1, size=sum(lengths))
    return make_weights(rng, V, dim), make_stream(make_sentences(rng, V, lengths), radii)


@pytest.mark.parametrize("dim", [1, 2, 7, 16, 33])
@pytest.mark.parametrize(("skip_gram", "options"), MODELS)
def test_batches_match_twin(skip_gram, options, dim):
    """Whole and partial batches, halo at both ends, one-word sentences, repeated centers."""
    for number, (V, half) in enumerate(itertools.product((1, 2, 5, 40), (1, 2, 5))):
        rng = np.random.default_rng([dim, V, half])
        weights, stream = random_batch(rng, V, dim, [4, 1, 13, 2, 1, 9], half, number % 2)
        for first, count in ((0, 30), (0, 1), (7, 8), (27, 3), (4, 1)):
            keep = (KEEP, RECOMPUTE)[number % 2]
            check_against_twin(weights, stream, first, count, options, skip_gram, keep)


@pytest.mark.parametrize("V", [63, 64, 65, 511, 512, 513, 1025])
@pytest.mark.parametrize("keep", [KEEP, RECOMPUTE])
@pytest.mark.parametrize("skip_gram", [True, False])
def test_slabs_match_twin(skip_gram, keep, V):
    rng = np.random.default_rng(V)
    weights, stream = random_batch(rng, V, 8, [20], 2, True)
    stream.token_ids[3:7] = [V - 1, 0, V - 1, 511 % V]  # targets in the first and the last slab
    check_against_twin(weights, stream, 1, 17, MEAN, skip_gram, keep)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(data=st.data(), model=st.sampled_from(MODELS), keep=st.sampled_from([KEEP, RECOMPUTE]))
def test_any_batch_matches_twin(data, model, keep):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    V, dim = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 40))
    half = data.draw(st.integers(1, 5))
    weights, stream = random_batch(rng, V, dim, lengths, half, data.draw(st.booleans()))
    first = data.draw(st.integers(0, sum(lengths) - 1))
    count = data.draw(st.integers(1, sum(lengths) - first))
    check_against_twin(weights, stream, first, count, model[1], model[0], keep)


@pytest.mark.parametrize(("skip_gram", "options"), MODELS)
def test_gradient_is_that_of_the_loss(skip_gram, options):
    """α = 1; word2vec.c's CBOW gives context rows m_i times the gradient of center i's loss."""
    rng = np.random.default_rng(4)
    radii = np.array([2, 1, 1, 2, 2, 1, 2, 2, 1, 2])
    stream = make_stream([[2, 0, 2, 4], [1], [3, 0, 0, 4, 1]], radii)
    weights = make_weights(rng, 6, 3)
    place = (stream, 1, 8, options, skip_gram)
    _, _, after = run_batch(weights, *place, 1.0)
    update = reference.softmax_batch_update(weights, *place, 1.0)
    contexts = np.array([len(reference.contexts_of(stream, pos)) for pos in range(1, 9)])
    factors = contexts if options.undivided else np.ones(8)

    def gradient(factors):
        def loss(weights):
            return factors @ reference.softmax_batch_update(weights, *place, 0.0).losses

        return central_differences(loss, as_float64(weights))

    expected = Weights(gradient(factors).input_vectors, gradient(np.ones(8)).output_vectors)
    for before, result, slope, change in zip(
        weights, after, expected, (update.input, update.output), strict=True
    ):
        tolerance = change_tolerance(before, change, relative_error(weights, 8)) + 1e-8
        assert np.all(np.abs(result - (before - slope)) <= tolerance)


def test_repeated_center_is_one_softmax_with_all_its_windows():
    """The word 3 as center of three different windows, among others."""
    weights = make_weights(np.random.default_rng(6), 8, 5)
    stream = make_stream([[3, 1, 3, 3, 2], [0, 3]], np.array([1, 1, 2, 1, 1, 1, 1]))
    check_against_twin(weights, stream, 0, 7, MEAN, True)
    workspace = new_softmax_workspace(8, 16, 7, 5, KEEP)
    run_batch(weights, stream, 0, 7, MEAN, True, ALPHA, workspace)
    assert workspace.examples.counts[:4].tolist() == [4, 1, 1, 1]
    assert workspace.examples.slots.tolist() == [-1] * 8


@pytest.mark.parametrize(("skip_gram", "options"), MODELS)
def test_room_can_be_used_again(skip_gram, options):
    """Several batches in one workspace, of different sizes, equal batches in fresh rooms."""
    rng = np.random.default_rng(9)
    weights, stream = random_batch(rng, 1025, 8, [9, 1, 30, 4], 3, False)
    for keep in (KEEP, RECOMPUTE):
        workspace = new_softmax_workspace(1025, 16, 16, 5, keep)
        shared = fresh = weights
        for first, count in ((0, 16), (16, 16), (32, 12), (3, 1), (5, 7)):
            loss, centers, shared = run_batch(
                shared, stream, first, count, options, skip_gram, ALPHA, workspace
            )
            again = run_batch(fresh, stream, first, count, options, skip_gram, ALPHA, keep=keep)
            fresh = again[2]
            assert (loss, centers) == again[:2]
            for one, other in zip(shared, fresh, strict=True):
                assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("keep", [KEEP, RECOMPUTE])
@pytest.mark.parametrize(("skip_gram", "options"), MODELS)
def test_result_does_not_depend_on_threads(skip_gram, options, keep):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("Numba was started with one thread")
    rng = np.random.default_rng(10)
    weights, stream = random_batch(rng, 3000, 16, [12, 40, 12], 5, False)
    results, before = [], numba.get_num_threads()
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            workspace, state, losses = new_softmax_workspace(3000, 16, 32, 5, keep), weights, []
            for first in (0, 32):
                loss, _, state = run_batch(
                    state, stream, first, 32, options, skip_gram, ALPHA, workspace
                )
                losses.append(loss)
            results.append((losses, *(matrix.tobytes() for matrix in state)))
    finally:
        numba.set_num_threads(before)
    assert results[0] == results[1]


@pytest.mark.parametrize(("skip_gram", "options"), MODELS)
def test_computing_logits_again_changes_nothing(skip_gram, options):
    rng = np.random.default_rng(12)
    weights, stream = random_batch(rng, 2100, 16, [30], 5, False)
    most = logit_bytes(2100, 30)
    kept, again = (
        run_batch(weights, stream, 0, 30, options, skip_gram, ALPHA, keep=limit)
        for limit in (most, most - 1)
    )
    assert kept[0] == again[0]
    for one, other in zip(kept[2], again[2], strict=True):
        assert one.tobytes() == other.tobytes()


def test_room_holds_the_logits_only_where_they_fit():
    most = logit_bytes(5000, 512)
    assert most == 4 * 79 * 64 * 528
    assert new_softmax_workspace(5000, 16, 512, 1, most).slabs.kept.nbytes == most
    assert new_softmax_workspace(5000, 16, 512, 1, most - 1).slabs.kept.nbytes == 0


@pytest.mark.parametrize("half", [3, 3000])
@pytest.mark.parametrize("keep", [KEEP, RECOMPUTE])
def test_room_takes_what_is_said(keep, half):
    V, dim, batch = 5000, 304, 100
    workspace = new_softmax_workspace(V, dim, batch, half, keep)
    arrays = [array for part in workspace for array in part if isinstance(array, np.ndarray)]
    said = softmax_workspace_bytes(V, dim, batch, half, numba.get_num_threads(), keep)
    assert said == pytest.approx(sum(array.nbytes for array in arrays), rel=0.03)


@pytest.fixture
def one_numba_thread():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.mark.usefixtures("one_numba_thread")
@pytest.mark.parametrize(("skip_gram", "options"), MODELS)
def test_one_thread_does_all_slabs(skip_gram, options):
    rng = np.random.default_rng(19)
    weights, stream = random_batch(rng, 3100, 8, [20], 3, False)
    check_against_twin(weights, stream, 1, 17, options, skip_gram, RECOMPUTE)


@pytest.mark.parametrize(("skip_gram", "options"), MODELS)
def test_alpha_zero_gives_the_loss_and_keeps_every_bit(skip_gram, options):
    rng = np.random.default_rng(13)
    weights, stream = random_batch(rng, 1030, 8, [20], 5, False)
    loss, centers, after = run_batch(weights, stream, 0, 20, options, skip_gram, 0.0)
    assert (loss, centers) == run_batch(weights, stream, 0, 20, options, skip_gram, ALPHA)[:2]
    for before, result in zip(weights, after, strict=True):
        assert before.tobytes() == result.tobytes()


@pytest.mark.parametrize("keep", [KEEP, RECOMPUTE])
@pytest.mark.parametrize("skip_gram", [True, False])
def test_a_bias_is_one_more_dimension(skip_gram, keep):
    """1 in every input vector (a mean of ones is one) and the bias in the output vectors."""
    rng = np.random.default_rng(17)
    weights, stream = random_batch(rng, 1030, 8, [20], 5, False)
    bias = rng.normal(size=1030).astype(np.float32) * 3
    shape = (1030, 16, 20, 5, keep)
    place = (stream, 0, 20, MEAN, skip_gram)
    plain = run_batch(weights, *place, 0.0)
    loss, centers, _ = run_batch(weights, *place, 0.0, new_softmax_workspace(*shape, bias=bias))
    wider = Weights(
        np.column_stack([weights.input_vectors, np.ones(1030, np.float32)]),
        np.column_stack([weights.output_vectors, bias]),
    )
    expected = reference.softmax_batch_update(wider, *place, 0.0)
    assert centers == expected.positives
    assert loss == pytest.approx(expected.loss, rel=1e-5)
    assert abs(loss - plain[0]) > 1


@pytest.mark.parametrize("skip_gram", [True, False])
def test_batch_without_any_context_changes_nothing(skip_gram):
    weights = make_weights(np.random.default_rng(1), 4, 8)
    stream = make_stream([[1], [2], [1]], 5)
    loss, centers, after = run_batch(weights, stream, 0, 3, MEAN, skip_gram, ALPHA)
    assert (loss, centers) == (0.0, 0)
    for before, result in zip(weights, after, strict=True):
        assert before.tobytes() == result.tobytes()


@pytest.mark.parametrize("skip_gram", [True, False])
def test_padding_stays_zero_and_other_input_rows_keep_their_bits(skip_gram):
    rng = np.random.default_rng(14)
    weights = make_weights(rng, 40, 16)
    for matrix in weights:
        matrix[:, 9:] = 0.0
    stream = make_stream(make_sentences(rng, 20, [15]), 2)
    _, _, after = run_batch(weights, stream, 0, 15, MEAN, skip_gram, ALPHA)
    assert weights.input_vectors[20:].tobytes() == after.input_vectors[20:].tobytes()
    assert not after.input_vectors[:, 9:].any()
    assert not after.output_vectors[:, 9:].any()


@pytest.mark.parametrize("skip_gram", [True, False])
@pytest.mark.parametrize("score", [1e4, -1e4])
def test_large_scores_overflow_nowhere(skip_gram, score):
    stream = make_stream([[0, 1, 2, 1, 0]], 2)
    outputs = np.zeros((5, 8), np.float32)
    outputs[[1, 4]] = score / 8
    weights = Weights(np.ones((5, 8), np.float32), outputs)
    loss, _, after = run_batch(weights, stream, 0, 5, MEAN, skip_gram, 1e-3)
    update = reference.softmax_batch_update(weights, stream, 0, 5, MEAN, skip_gram, 1e-3)
    assert loss == pytest.approx(update.loss, rel=1e-5)
    log_sum = 8 * UNIT  # these logits are exact; that of the largest is not in their log-sum-exp
    for result, change, before in zip(after, (update.input, update.output), weights, strict=True):
        tolerance = change_tolerance(before, change, log_sum) + 2.0**-120  # exp is never 0
        assert np.all(np.abs(result - (before + change.total)) <= tolerance)


@pytest.mark.parametrize("keep", [KEEP, RECOMPUTE])
@pytest.mark.parametrize("matrix", [0, 1])
@pytest.mark.parametrize("skip_gram", [True, False])
def test_nan_weight_gives_nan_loss(skip_gram, matrix, keep):
    rng = np.random.default_rng(15)
    for V in (5, 1100):
        weights, stream = random_batch(rng, V, 8, [12], 2, True)
        word_id = stream.token_ids[4] if matrix == 0 else V - 1
        weights[matrix][word_id, 3] = np.nan
        loss, _, _ = run_batch(weights, stream, 0, 12, MEAN, skip_gram, ALPHA, keep=keep)
        assert np.isnan(loss)


@pytest.mark.parametrize(
    ("V", "rows", "slabs"),
    [(1, 512, 1), (512, 512, 1), (513, 512, 2), (24_576, 512, 48), (24_577, 576, 43),
     (1_000_000, 20_864, 48)],
)  # fmt: skip
def test_slabs_cover_the_vocabulary(V, rows, slabs):
    assert slab_rows(V) == rows
    assert (slabs - 1) * rows < V <= slabs * rows


@pytest.mark.parametrize("keep", [KEEP, RECOMPUTE])
@pytest.mark.parametrize("skip_gram", [True, False])
def test_larger_slabs_match_twin(skip_gram, keep):
    """More than 48 of the smallest."""
    rng = np.random.default_rng(20)
    weights, stream = random_batch(rng, 25_000, 4, [20], 2, True)
    stream.token_ids[3:7] = [24_999, 0, 576, 575]
    check_against_twin(weights, stream, 0, 20, MEAN, skip_gram, keep)


@pytest.mark.parametrize("count", [60, 64, 65, 131])
@pytest.mark.parametrize(("skip_gram", "options"), MODELS)
def test_many_examples_match_twin(skip_gram, options, count):
    """More examples than the kernels take at a time, most center words distinct."""
    rng = np.random.default_rng(count)
    weights, stream = random_batch(rng, 700, 20, [150], 3, False)
    for keep in (KEEP, RECOMPUTE):
        check_against_twin(weights, stream, 5, count, options, skip_gram, keep)


@pytest.mark.parametrize(("skip_gram", "options"), MODELS)
def test_planted_groups_are_recovered(skip_gram, options):
    rng = np.random.default_rng(16)
    stream = make_stream(planted_corpus(rng, 400), 3)
    weights = Weights(
        rng.uniform(-0.5, 0.5, (20, 16)).astype(np.float32) / 16,
        rng.normal(size=(20, 16)).astype(np.float32) / 4,
    )
    workspace, n = new_softmax_workspace(20, 16, 64, 5, KEEP), len(stream.token_ids)
    mean_losses = []
    for _ in range(6):
        losses = []
        for first in range(0, n, 64):
            loss, centers, weights = run_batch(
                weights, stream, first, min(64, n - first), options, skip_gram, 0.03, workspace
            )
            losses.append(loss / centers)
        mean_losses.append(np.mean(losses))
    assert_planted_groups_found(weights.input_vectors)
    assert abs(mean_losses[-1] - np.log(10)) < 0.1  # all that can be known is the group
