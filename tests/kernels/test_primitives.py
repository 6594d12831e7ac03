"""Random numbers, exp, and copies of rows."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import reference
from kernel_cases import exp_error
from scipy.stats import chi2

from fastw2v.kernels import primitives
from fastw2v.kernels.primitives import derive_key, exp_negative, random_bits, scaled_draw


@numba.njit
def _many_bits(key, size):
    bits = np.empty(size, np.uint64)
    for counter in range(size):
        bits[counter] = random_bits(key, np.uint64(counter))
    return bits


@numba.njit
def _exp(x):
    e = np.empty_like(x)
    for place in range(len(x)):
        e[place] = exp_negative(-abs(x[place]))
    return e


# --- random numbers ---


def test_random_bits_are_splitmix64():
    """The generator's published first outputs from state 1234567."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423,
                 4593380528125082431, 16408922859458223821]  # fmt: skip
    assert _many_bits(np.uint64(1234567), 5).tolist() == published
    assert [reference.random_bits(1234567, counter) for counter in range(5)] == published


@pytest.mark.parametrize("key", [0, 1, 2**63 + 5, 2**64 - 1])
def test_keys_and_draws_are_those_of_the_twin(key):
    for number in (0, 1, 4, 2**40, 2**64 - 1):
        assert random_bits(np.uint64(key), np.uint64(number)) == reference.random_bits(key, number)
        assert derive_key(np.uint64(key), np.uint64(number)) == reference.derive_key(key, number)


@pytest.mark.parametrize("key", [0, 1, 2**63])
def test_bits_bytes_and_neighbors_are_equidistributed(key):
    size = 1 << 16
    bits = _many_bits(np.uint64(key), size)
    ones = np.unpackbits(bits.view(np.uint8)).reshape(size, 64).sum(axis=0)
    assert np.all(np.abs(ones - size / 2) < 6 * np.sqrt(size / 4))
    limit = chi2.ppf(1 - 1e-6, 255)
    for place in range(8):
        observed = np.bincount(bits.view(np.uint8)[place::8], minlength=256)
        assert ((observed - size / 256) ** 2 / (size / 256)).sum() < limit
    high = (bits >> np.uint64(60)).astype(int)
    observed = np.bincount(high[:-1] * 16 + high[1:], minlength=256)
    assert ((observed - (size - 1) / 256) ** 2 / ((size - 1) / 256)).sum() < limit


def test_derived_streams_share_no_numbers():
    streams = [
        _many_bits(np.uint64(derive_key(np.uint64(9), np.uint64(k))), 4096) for k in range(8)
    ]
    assert len(np.unique(np.concatenate(streams))) == 8 * 4096


@pytest.mark.parametrize("count", [1, 2, 3, 1000, 2**31 - 1])
def test_scaled_draw_covers_its_range_and_no_more(count):
    assert scaled_draw(np.uint64(0), count) == 0
    assert scaled_draw(np.uint64(2**32 - 1), count) == count - 1
    assert scaled_draw(np.uint64(2**31), count) == count // 2


# --- exp ---

WHOLE_RANGE = np.concatenate(
    [np.linspace(-87.3, 87.3, 400_001), np.linspace(-2, 2, 400_001), [0.0, -0.0]]
).astype(np.float32)


def test_exp_is_accurate_over_its_whole_range():
    e = _exp(WHOLE_RANGE)
    x = np.abs(WHOLE_RANGE.astype(float))
    error = np.abs(e / np.exp(-x) - 1)
    assert np.all(error <= exp_error(x))
    assert error[x <= 11].max() < 1e-6  # what the docstring promises
    assert error.max() < 4e-6
    assert e[x == 0].tolist() == [1.0] * (x == 0).sum()


def test_exp_stays_at_the_least_normal_number_below_its_range():
    far = np.array([87.4, 88.0, 104.0, 1e4, 3e38, np.inf], np.float32)
    e = _exp(far)
    assert np.all(e == np.float32(2.0**-126))


def test_exp_of_nan_is_nan():
    assert np.isnan(_exp(np.array([np.nan], np.float32))).all()


def test_flags_keep_nan_and_infinity():
    assert not {"nnan", "ninf", "fast"} & set(primitives.FAST_MATH)


# --- rows ---
