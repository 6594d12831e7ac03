"""Arrays in result files: a line of base64 in place of a line for each number."""

from __future__ import annotations

import base64
import zlib

import numpy as np


def pack(values: np.ndarray, dtype: str) -> str:
    """The values as `dtype` (with its byte order), compressed, in base64."""
    return base64.b64encode(zlib.compress(values.astype(dtype).tobytes(), 9)).decode("ascii")


def unpack(text: str, dtype: str) -> np.ndarray:
    """What `pack` was given, one-dimensional."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


def pack_bits(values: np.ndarray) -> str:
    """Bools, eight a byte."""
    return pack(np.packbits(values), "u1")


def unpack_bits(text: str, count: int) -> np.ndarray:
    """The `count` bools that `pack_bits` was given."""
    return np.unpackbits(unpack(text, "u1"), count=count).astype(bool)


def pack_ranks(values: np.ndarray) -> str:
    """The order of at most 65,534 values, equal ones included; NaN stays NaN."""
    _, ranks = np.unique(values, return_inverse=True)
    return pack(np.where(np.isnan(values), 65535, ranks.reshape(values.shape)), "<u2")


def unpack_ranks(text: str) -> np.ndarray:
    """float64 ranks from 0, with the order of the values; NaN where they were NaN."""
    ranks = unpack(text, "<u2").astype(np.float64)
    ranks[ranks == 65535] = np.nan
    return ranks
