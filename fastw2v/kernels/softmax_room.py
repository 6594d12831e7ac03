"""The memory of a full-softmax batch: what its update writes besides the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.scratch import new_rows, padded
from fastw2v.kernels.simd import ROW_FLOATS
from fastw2v.kernels.softmax_examples import (
    TILE,
    Examples,
    Targets,
    Windows,
    new_examples,
    new_targets,
    new_windows,
)
from fastw2v.kernels.tiles import TILE_ROWS

_MOST_SLABS, _LEAST_SLAB = 48, 512  # of which each has a gradient of the hidden rows in memory


class Slabs(NamedTuple):
    """Results by slab and tile: S slabs of `slab_rows` output rows, N tiles, P padded examples.

    kept: float32 (N · TILE · stride,), tile after tile, exp(logit − the tile's largest) for pass 2;
        empty where that computes them again.
    maxima, exp_sums: float32 (N · stride,), of each tile's columns.
    gradients: float32 (S · P, dim), −α·∂/∂h by slab.
    stride: floats from one row of logits to the next.
    """

    kept: Any
    maxima: Any
    exp_sums: Any
    gradients: Any
    slab_rows: int
    stride: int


class Totals(NamedTuple):
    """Over the whole vocabulary, for each example.

    tops: float32 (stride,), its largest logit; sums: float64 (stride,), Σ exp(logit − largest).
    They stay apart, so that large logits lose nothing: largest + log Σ would round away the log.
    factors: float32 (stride,), −α·count/sum.
    """

    tops: Any
    sums: Any
    factors: Any


class Work(NamedTuple):
    """What each of W threads needs for the tile it is at.

    tile: float32 (W, TILE · stride), logits, then gradients. scales: float32 (W, stride).
    rows_at: int64 (W, TILE + 4), addresses of the tile's output rows, then those of `spare`.
    parts_at: int64 (W, P), addresses of its slab's rows of `Slabs.gradients`.
    spare: float32 (1, dim), zeros, and written only zeros.
    """

    tile: Any
    scales: Any
    rows_at: Any
    parts_at: Any
    spare: Any


class Room(NamedTuple):
    """All that a batch update writes besides the weights; see `new_room`."""

    windows: Windows
    examples: Examples
    targets: Targets
    slabs: Slabs
    totals: Totals
    work: Work


def slab_rows(vocabulary_size: int) -> int:
    """Rows a slab: whole tiles, at least 512 rows, and at most 48 slabs."""
    tiles = -(-vocabulary_size // TILE)
    return TILE * max(_LEAST_SLAB // TILE, -(-tiles // _MOST_SLABS))


def _stride(batch_size: int) -> int:
    """Whole cache lines, an odd number of them: rows then fall into all sets of the caches."""
    return ROW_FLOATS * (-(-batch_size // ROW_FLOATS) | 1)


def logit_bytes(vocabulary_size: int, batch_size: int) -> int:
    """What keeping all logits of a batch takes."""
    return 4 * -(-vocabulary_size // TILE) * TILE * _stride(batch_size)


def buffer_bytes(
    vocabulary_size: int, dim: int, batch_size: int, half_window: int, threads: int, most: int
) -> int:
    """What `new_room` takes, small things apart; dim is that of padded rows."""
    stride, tiles = _stride(batch_size), -(-vocabulary_size // TILE)
    logits = logit_bytes(vocabulary_size, batch_size)
    slabs = -(-vocabulary_size // slab_rows(vocabulary_size))
    parts = 4 * (slabs + 2) * batch_size * dim
    sums = 8 * tiles * stride + 4 * vocabulary_size + 64 * batch_size * half_window
    return (logits if logits <= most else 0) + parts + sums + threads * 4 * TILE * stride


@kernel()
def _new_work(threads, dim, batch_size, stride):
    return Work(
        np.zeros((threads, TILE * stride), np.float32),
        np.zeros((threads, stride), np.float32),
        np.zeros((threads, TILE + TILE_ROWS), np.int64),
        np.zeros((threads, padded(batch_size)), np.int64),
        new_rows(1, dim),
    )


def new_room(
    vocabulary_size: int, dim: int, batch_size: int, half_window: int, most_logit_bytes: int
) -> Room:
    """Room for batches up to `batch_size` centres, for the threads that Numba has now.

    Logits are kept between the passes where they fit in `most_logit_bytes`; else they are computed
    again. What is kept by slab depends on the vocabulary alone, not on the threads.
    """
    stride, tiles = _stride(batch_size), -(-vocabulary_size // TILE)
    keep = logit_bytes(vocabulary_size, batch_size) <= most_logit_bytes
    rows = slab_rows(vocabulary_size)
    parts = -(-vocabulary_size // rows) * int(padded(batch_size))
    return Room(
        new_windows(batch_size, half_window),
        new_examples(vocabulary_size, dim, batch_size),
        new_targets(vocabulary_size, batch_size, half_window),
        Slabs(
            np.zeros(tiles * TILE * stride if keep else 0, np.float32),
            np.zeros(tiles * stride, np.float32),
            np.zeros(tiles * stride, np.float32),
            np.zeros((parts, dim), np.float32),
            rows,
            stride,
        ),
        Totals(
            np.zeros(stride, np.float32), np.zeros(stride, np.float64), np.zeros(stride, np.float32)
        ),
        _new_work(numba.get_num_threads(), dim, batch_size, stride),
    )
