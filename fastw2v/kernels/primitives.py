"""What every kernel is made of: the compiler flags, counter-based random numbers, exp and the
sigmoid in a form that vectorises, and small dense products on rows.

Rows are float32 and of one length, `dim` = `shape[1]`. The trainer pads rows with zeros to a
multiple of 16 floats (one 64-byte cache line), so that the loops here have no remainder there;
they are right for every length all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

# Not nnan or ninf: they would let the compiler delete the checks for NaN and infinity.
FAST_MATH = {"reassoc", "contract", "arcp", "nsz", "afn"}


def kernel(*, parallel: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """The one decorator of all kernels: compiled when first called, cached on disk, no GIL."""
    return numba.njit(
        nogil=True, cache=True, error_model="numpy", fastmath=FAST_MATH, parallel=parallel
    )


# --- random numbers: a hash of (key, counter), so a draw depends on nothing but its own place ---

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_U27, _U30, _U31, _U32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_LOW_32 = np.uint64(0xFFFFFFFF)


@kernel()
def random_bits(key, counter):
    """64 random bits for place `counter` of the stream `key` (both uint64).

    SplitMix64's output function (Steele, Lea and Flood 2014) on key + (counter + 1)·golden ratio.
    """
    z = key + (np.uint64(counter) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> _U30)) * _MIX_1
    z = (z ^ (z >> _U27)) * _MIX_2
    return z ^ (z >> _U31)


@kernel()
def derive_key(key, number):
    """The key of sub-stream `number` of `key`: hashed twice, so that streams do not overlap."""
    return random_bits(random_bits(key, np.uint64(number)), np.uint64(0x5851F42D4C957F2D))


@kernel()
def scaled_draw(bits_32, count):
    """A number in 0 … count − 1 from 32 random bits (Lemire's multiply-shift, no division)."""
    return np.int64((bits_32 * np.uint64(count)) >> _U32)


@kernel()
def low_half(bits):
    """The low 32 of 64 bits, as uint64."""
    return bits & _LOW_32


@kernel()
def high_half(bits):
    """The high 32 of 64 bits, as uint64."""
    return bits >> _U32


# --- exp and the sigmoid ---

_LOG2_E = np.float32(1.4426950408889634)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_EXP_LEAST = np.float32(-126.0)  # 2**-126 is the least normal float32
# 2**f on [-½, ½]: Taylor's series of exp(f·ln 2); relative error below 2e-7 with float32 rounding.
_C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(math.log(2) ** power / math.factorial(power)) for power in range(1, 7)
)


@kernel()
def exp_negative(x):
    """exp(x) for float32 x ≤ 0: relative error below 1e-6 for x ≥ -11, below 4e-6 for x ≥ -87.3.

    It is the rounding of x·log2(e) that grows. Below that, exp stays at 2**-126 ≈ 1e-38. A scalar
    form without branches or calls, so that loops over it vectorise (Numba's math.exp does not
    since SVML left it). NaN stays NaN.
    """
    scaled = x * _LOG2_E
    scaled = _EXP_LEAST if scaled < _EXP_LEAST else scaled
    whole = np.floor(scaled + np.float32(0.5))
    f = scaled - whole
    power = _ONE + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    return power * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@kernel()
def sigmoid_parts(x):
    """(σ(x), 1 + exp(−|x|)) for float32 x; the second makes losses: see `softplus_parts`."""
    e = exp_negative(-abs(x))
    one_plus = _ONE + e
    return (_ONE if x >= _ZERO else e) / one_plus, one_plus


# --- small dense products; rows are processed in fixed tiles that the compiler vectorises ---


@kernel()
def dots_with_rows(A, first, B, start, stop, S, column):
    """S[first + r, column + b] = A[first + r] · B[b] for r in 0, 1 and b in start … stop − 1.

    Works in tiles of 2 × 4 (six loads for eight multiply-adds): B must have rows, and S columns, up
    to the next multiple of 4 after stop − start; A and S a row first + 1.
    """
    dim = A.shape[1]
    for b in range(start, stop, 4):
        s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = _ZERO
        for d in range(dim):
            a0 = A[first, d]
            a1 = A[first + 1, d]
            b0 = B[b, d]
            b1 = B[b + 1, d]
            b2 = B[b + 2, d]
            b3 = B[b + 3, d]
            s00 += a0 * b0
            s01 += a0 * b1
            s02 += a0 * b2
            s03 += a0 * b3
            s10 += a1 * b0
            s11 += a1 * b1
            s12 += a1 * b2
            s13 += a1 * b3
        S[first, column + b] = s00
        S[first, column + b + 1] = s01
        S[first, column + b + 2] = s02
        S[first, column + b + 3] = s03
        S[first + 1, column + b] = s10
        S[first + 1, column + b + 1] = s11
        S[first + 1, column + b + 2] = s12
        S[first + 1, column + b + 3] = s13


@kernel()
def add_eight_rows(out, row, B, b, w0, w1, w2, w3, w4, w5, w6, w7):
    """out[row] += Σ w_k · B[b + k], k = 0 … 7."""
    for d in range(out.shape[1]):
        out[row, d] += (
            (w0 * B[b, d] + w1 * B[b + 1, d])
            + (w2 * B[b + 2, d] + w3 * B[b + 3, d])
            + (w4 * B[b + 4, d] + w5 * B[b + 5, d])
            + (w6 * B[b + 6, d] + w7 * B[b + 7, d])
        )


@kernel()
def add_weighted_rows(out, row, W, w_row, column, B, start, stop):
    """out[row] += Σ W[w_row, column + b] · B[b] over b in start … stop − 1.

    Works in eights: W must be zero, and B finite, up to the next multiple of 8 after stop − start.
    """
    for b in range(start, stop, 8):
        c = column + b
        add_eight_rows(
            out, row, B, b,
            W[w_row, c], W[w_row, c + 1], W[w_row, c + 2], W[w_row, c + 3],
            W[w_row, c + 4], W[w_row, c + 5], W[w_row, c + 6], W[w_row, c + 7],
        )  # fmt: skip


@kernel()
def add_column_weighted_rows(out, row, W, column, A, start, stop):
    """out[row] += Σ W[a, column] · A[a] over a in start … stop − 1; padding as above."""
    for a in range(start, stop, 8):
        add_eight_rows(
            out, row, A, a,
            W[a, column], W[a + 1, column], W[a + 2, column], W[a + 3, column],
            W[a + 4, column], W[a + 5, column], W[a + 6, column], W[a + 7, column],
        )  # fmt: skip


@kernel()
def copy_row(target, target_row, source, source_row):
    """target[target_row] = source[source_row]."""
    for d in range(target.shape[1]):
        target[target_row, d] = source[source_row, d]
