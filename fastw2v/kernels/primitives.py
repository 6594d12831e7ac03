"""What every kernel is made of: the compiler flags, counter-based random numbers, exp in a form
that vectorizes, and the memory that kernels reach by address.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from fastw2v.kernels import cache
from fastw2v.kernels.llvm.simd import LINE_BYTES, ROW_FLOATS

# Not nnan or ninf: they would let the compiler delete the checks for NaN and infinity.
FAST_MATH = {"reassoc", "contract", "arcp", "nsz", "afn"}


def kernel(*, parallel: bool = False, inlined: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """The one decorator of all kernels: compiled when first called, cached on disk, no GIL.

    inlined: compiled into each kernel that calls it; a call with many arrays costs 40 ns.
    """
    decorate = numba.njit(
        nogil=True,
        cache=True,
        error_model="numpy",
        fastmath=FAST_MATH,
        parallel=parallel,
        inline="always" if inlined else "never",
    )
    return lambda function: cache.kept(decorate, function)


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
def mix(state):
    """A hash of 64 bits (uint64) for hash tables: one multiplication where `random_bits` has three.

    Not for draws: it is not random enough. Tables confirm a hit by its content, so a weak hash
    costs a comparison there and never a wrong result.
    """
    state = (state ^ (state >> _U32)) * _GOLDEN
    return state ^ (state >> _U31)


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


# --- exp ---

LOG2_E = np.float32(1.4426950408889634)
_ONE = np.float32(1.0)
EXP_LEAST = np.float32(-126.0)  # 2**-126 is the least normal float32
# 2**f on [-½, ½]: Taylor's series of exp(f·ln 2); relative error below 2e-7 with float32 rounding.
EXP_SERIES = [math.log(2) ** power / math.factorial(power) for power in range(1, 7)]
_C1, _C2, _C3, _C4, _C5, _C6 = (np.float32(coefficient) for coefficient in EXP_SERIES)


@kernel()
def exp_negative(x):
    """exp(x) for float32 x ≤ 0: relative error below 1e-6 for x ≥ -11, below 4e-6 for x ≥ -87.3.

    It is the rounding of x·log2(e) that grows. Below that, exp stays at 2**-126 ≈ 1e-38. A scalar
    form without branches or calls, so that loops over it vectorize (Numba's math.exp does not
    since SVML left it). NaN stays NaN.
    """
    scaled = x * LOG2_E
    scaled = EXP_LEAST if scaled < EXP_LEAST else scaled
    whole = np.floor(scaled + np.float32(0.5))
    f = scaled - whole
    power = _ONE + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * _C6)))))
    return power * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


# --- memory that kernels address ---


def padded_dim(dim: int) -> int:
    """Floats that a row of `dim` floats takes in memory: whole cache lines."""
    return -(-dim // ROW_FLOATS) * ROW_FLOATS


def aligned_zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros in C order that begin with a cache line.

    NumPy allocates (and asks for huge pages); the offset to a cache line is chosen here. The zeros
    are written: `np.zeros` would leave the page faults to the first updates.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + LINE_BYTES, np.uint8)
    buffer.fill(0)
    start = -buffer.ctypes.data % LINE_BYTES
    return buffer[start : start + size].view(dtype).reshape(shape)


def new_matrix(rows: int, dim: int) -> np.ndarray:
    """Zeros, float32 (rows, padded_dim(dim)), aligned; columns past `dim` are to stay zero."""
    return aligned_zeros((rows, padded_dim(dim)), np.float32)
