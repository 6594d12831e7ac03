"""Room for one block of one thread: what block kernels write besides the weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.simd import ROW_FLOATS
from fastw2v.kernels.tiles import TILE_ROWS, address_of

FLAGS = 4096


class Scratch(NamedTuple):
    """Arrays for a block of T centres and a pool of N; P is N rounded up to whole tiles.

    Tables hold addresses of rows (see tiles.py); those that tiles go through, centres and pool, are
    padded with that of `spare`. A
    *term* is one score with what belongs to it. Terms are flat: first the pool's, P for each
    centre, then the positives'.

    pool_ids: int32 (N,), the draws of the block.
    centres_at: int64 (T + 4,), the centres' rows; halo_at: int64 (halo,), those of all places
        of the halo; pool_at: int64 (P,), the pool's.
    hidden: float32 (T + 4, dim), h_i; gradients: float32 (T + 4, dim), α·∂/∂h_i (CBOW); hidden_at,
        gradients_at: int64 (T + 4,), their rows.
    scores: float32 (terms,), later gradients; weights: float32 (terms,), what a term counts for.
    shares: float32 (T,), 1/m_i (CBOW).
    windows: int64 (T, 2), first and last + 1 place in the halo of the window of a centre.
    pair_starts: int64 (T + 1,), where the contexts of a centre begin in `pairs_at`.
    pairs_at: int64 (pairs,), addresses of the context rows, centre by centre.
    near_starts: int64 (halo + 1,), where the centres of a context begin in `near_at`.
    near_at: int64 (pairs,), near_weights: float32 (pairs,): the same pairs, context by context:
        the row that is added to the context's, and its weight.
    spare: float32 (1, dim), the row that padding points to: zero, and written only zeros.
    flags: uint8 (4096,), which remainders of ids are in the pool; all zero between blocks.
    """

    pool_ids: Any
    centres_at: Any
    halo_at: Any
    pool_at: Any
    hidden_at: Any
    gradients_at: Any
    hidden: Any
    gradients: Any
    scores: Any
    weights: Any
    shares: Any
    windows: Any
    pair_starts: Any
    pairs_at: Any
    near_starts: Any
    near_at: Any
    near_weights: Any
    spare: Any
    flags: Any


@kernel()
def padded(count):
    """`count` rounded up to whole tiles."""
    return (count + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS


@kernel()
def new_rows(count, dim):
    """Zeros, float32 (count, dim), rows aligned to cache lines."""
    room = np.zeros(count * dim + ROW_FLOATS, np.float32)
    start = (-np.int64(room.ctypes.data) % (4 * ROW_FLOATS)) // 4
    return room[start : start + count * dim].reshape(count, dim)


def scratch_bytes(block_size: int, pool_size: int, half_window: int, dim: int) -> int:
    """What `new_scratch` takes, within a few cache lines; dim is that of padded rows."""
    rows, columns = block_size + TILE_ROWS, -(-pool_size // TILE_ROWS) * TILE_ROWS
    pairs = 2 * half_window * block_size
    flat = 4 * pool_size + 8 * (3 * rows + columns) + 28 * block_size
    halo = 16 * (block_size + 2 * half_window)
    terms = 8 * (rows * columns + max(pairs, block_size) + 2 * ROW_FLOATS)
    return flat + halo + terms + 20 * pairs + 4 * dim * (2 * rows + 1) + FLAGS


@kernel()
def new_scratch(block_size, pool_size, half_window, dim):
    """`Scratch` for blocks up to `block_size` centres and pools of `pool_size`."""
    rows, columns = block_size + TILE_ROWS, padded(pool_size)
    halo = block_size + 2 * half_window
    pairs = 2 * half_window * block_size + 1  # one more: a centre itself is written, not counted
    terms = rows * columns + max(pairs, block_size) + 2 * ROW_FLOATS  # whole vectors, and one
    scratch = Scratch(
        np.zeros(pool_size, np.int32),
        np.zeros(rows, np.int64),
        np.zeros(halo, np.int64),
        np.zeros(columns, np.int64),
        np.zeros(rows, np.int64),
        np.zeros(rows, np.int64),
        new_rows(rows, dim),
        new_rows(rows, dim),
        np.zeros(terms, np.float32),
        np.zeros(terms, np.float32),
        np.zeros(block_size, np.float32),
        np.zeros((block_size, 2), np.int64),
        np.zeros(block_size + 1, np.int64),
        np.zeros(pairs, np.int64),
        np.zeros(halo + 1, np.int64),
        np.zeros(pairs, np.int64),
        np.zeros(pairs, np.float32),
        new_rows(1, dim),
        np.zeros(FLAGS, np.uint8),
    )
    for row in range(rows):
        scratch.hidden_at[row] = address_of(scratch.hidden, row)
        scratch.gradients_at[row] = address_of(scratch.gradients, row)
    return scratch
