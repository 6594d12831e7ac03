"""Scores turned into gradients and loss, against float64 from the formulae."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import reference
from kernel_cases import UNIT, exp_error

from fastw2v.kernels.llvm import terms
from fastw2v.kernels.llvm.simd import SHAPE

ALPHA = np.float32(0.05)
LEAST = 2.0**-126  # exp stays there; and what is smaller is rounded to multiples of 2**-149
WHOLE_RANGE = np.concatenate(
    [np.linspace(-87.3, 87.3, 100_001), np.linspace(-2, 2, 100_001), [0.0, -0.0]]
).astype(np.float32)
SIGNS = pytest.mark.parametrize("sign", [1.0, -1.0], ids=["positives", "draws"])


@numba.njit
def terms_to_gradients(scores, weights, first, count, sign, alpha):
    return terms.terms_to_gradients(scores, weights, first, count, sign, alpha)


@numba.njit
def fill_terms(values, first, count, value):
    terms.fill_terms(values, first, count, value)


@numba.njit
def losses_one_by_one(scores, sign):
    losses = np.empty(len(scores))
    term, weights = np.zeros(SHAPE.lanes, np.float32), np.zeros(SHAPE.lanes, np.float32)
    weights[0] = 1
    for place in range(len(scores)):
        term[:] = 0
        term[0] = scores[place]
        losses[place] = terms.terms_to_gradients(term, weights, 0, 1, np.float32(sign), ALPHA)
    return losses


def expected_gradients(scores, weights, sign):
    """α·w·σ, and what float32 may do to it.

    e = exp(−|s|) has the error of exp, which is that of σ at most; σ rounds twice (1 + e, the
    quotient), its products with w and α twice.
    """
    scores, weights = scores.astype(float), weights.astype(float)
    scale = float(ALPHA) * weights
    gradients = sign * scale * reference.sigmoid(-sign * scores)
    relative = exp_error(np.minimum(np.abs(scores), 87.4)) + 5 * UNIT
    return gradients, relative * np.abs(gradients) + scale * LEAST + 2.0**-149


def expected_losses(scores, weights, sign):
    """w·softplus, and what float32 may do to it.

    log(1 + e) is off by 2e-7 (the series), and by the error of e; then a sum and a product round.
    """
    scores, weights = scores.astype(float), weights.astype(float)
    softplus = reference.softplus(-sign * scores)
    size = np.minimum(np.abs(scores), 87.4)
    error = 2e-7 + np.exp(-size) * exp_error(size) + 3 * UNIT * softplus
    return weights * softplus, weights * error


@SIGNS
def test_gradients_are_accurate_over_the_whole_range(sign):
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 8, size=len(WHOLE_RANGE)).astype(np.float32) * np.float32(5 / 24)
    room = np.zeros(SHAPE.lanes, np.float32)
    scores, weights = np.append(WHOLE_RANGE, room), np.append(weights, room)
    gradients = scores.copy()
    terms_to_gradients(gradients, weights, 0, len(WHOLE_RANGE), np.float32(sign), ALPHA)
    expected, tolerance = expected_gradients(scores, weights, sign)
    assert np.all(np.abs(gradients - expected) <= tolerance)
    assert not gradients[weights == 0].any()


@SIGNS
def test_losses_are_accurate_over_the_whole_range(sign):
    expected, tolerance = expected_losses(WHOLE_RANGE, np.ones_like(WHOLE_RANGE), sign)
    assert np.all(np.abs(losses_one_by_one(WHOLE_RANGE, sign) - expected) <= tolerance)


@SIGNS
@pytest.mark.parametrize("first", [0, 3, 16])
def test_any_number_of_terms(first, sign):
    """What is past the count counts by its weight, here 0, and is overwritten to a whole vector."""
    rng = np.random.default_rng(first)
    for count in range(41):
        whole = first + -(-count // SHAPE.lanes) * SHAPE.lanes
        scores = rng.normal(size=whole + 20).astype(np.float32) * np.float32(4)
        weights = rng.integers(1, 6, size=whole + 20).astype(np.float32)
        weights[rng.random(whole + 20) < 0.2] = 0
        weights[first + count : whole] = 0
        before, weights_before = scores.copy(), weights.copy()
        loss = terms_to_gradients(scores, weights, first, count, np.float32(sign), ALPHA)
        own = slice(first, first + count)
        expected, tolerance = expected_gradients(before[own], weights[own], sign)
        assert np.all(np.abs(scores[own] - expected) <= tolerance)
        losses, errors = expected_losses(before[own], weights[own], sign)
        assert abs(loss - losses.sum()) <= errors.sum() + 1e-12
        scores[first:whole] = before[first:whole]
        assert scores.tobytes() == before.tobytes()
        assert weights.tobytes() == weights_before.tobytes()


def test_losses_of_many_terms_are_added_in_float64():
    """10⁶ terms that are alike: a float32 sum would be off by more than all of their errors."""
    count = 1_000_000
    scores, weights = np.full(count, -3.3, np.float32), np.ones(count, np.float32)
    losses, errors = expected_losses(scores, weights, 1.0)
    loss = terms_to_gradients(scores, weights, 0, count, np.float32(1), ALPHA)
    assert abs(loss - losses.sum()) <= errors.sum() + 1e-6
    assert errors.sum() < 1.5 < np.abs(np.cumsum(losses.astype(np.float32))[-1] - losses.sum())


@SIGNS
def test_large_scores_overflow_nowhere(sign):
    scores = np.array([1e4, -1e4, 88, -88, 104, -104, 3e38, -3e38] * 2, np.float32)
    weights = np.repeat([1, 0], 8).astype(np.float32)
    gradients = scores.copy()
    loss = terms_to_gradients(gradients, weights, 0, 16, np.float32(sign), ALPHA)
    expected, tolerance = expected_gradients(scores, weights, sign)
    assert np.all(np.abs(gradients - expected) <= tolerance)
    against = sign * scores[:8] < 0
    assert np.all(gradients[:8][against] == np.float32(sign) * ALPHA)
    assert np.all(np.abs(gradients[:8][~against]) <= float(ALPHA) * LEAST * 1.001)
    # from 88 on softplus is its argument, and what float32 may do to it is nothing
    assert loss == pytest.approx(np.abs(scores[:8][against].astype(float)).sum(), rel=1e-15)


@SIGNS
def test_infinite_scores(sign):
    scores = np.zeros(SHAPE.lanes, np.float32)
    weights = np.ones(SHAPE.lanes, np.float32)
    scores[2] = np.float32(-sign * np.inf)
    assert terms_to_gradients(scores, weights, 0, 8, np.float32(sign), ALPHA) == np.inf
    assert scores[2] == np.float32(sign) * ALPHA
    assert np.isfinite(scores).all()


@SIGNS
@pytest.mark.parametrize("weight", [0, 1])
def test_nan_stays_in_its_term_and_reaches_the_loss(sign, weight):
    rng = np.random.default_rng(1)
    for place in range(40):
        scores = rng.normal(size=40 + SHAPE.lanes).astype(np.float32)
        weights = np.ones(len(scores), np.float32)
        scores[place], weights[place] = np.nan, weight
        loss = terms_to_gradients(scores, weights, 0, 40, np.float32(sign), ALPHA)
        assert np.isnan(loss)
        assert np.flatnonzero(np.isnan(scores)).tolist() == [place]


@pytest.mark.parametrize("value", [0.0, 5 / 24, np.nan])
def test_fill_terms(value):
    """A whole number of vectors is filled, and no more."""
    for first in (0, 3, 16):
        for count in range(41):
            expected = np.arange(100, dtype=np.float32)
            filled = expected.copy()
            expected[first : first + -(-count // SHAPE.lanes) * SHAPE.lanes] = value
            fill_terms(filled, first, count, np.float32(value))
            assert filled.tobytes() == expected.tobytes()
