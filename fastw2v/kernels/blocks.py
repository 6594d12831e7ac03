"""Room for one block of one thread: what block kernels write besides the weights.

What a block of negative sampling is made of: its windows, pairs, weights, gradients and loss.

A block is T consecutive centers of the stream, the halo of positions that any of them has in its
window, and one pool of N noise words that all of them share. See `negative_sampling.py`. A *place*
is a position counted from the halo's first, a *row* a center counted from the block's first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.llvm.simd import ROW_FLOATS
from fastw2v.kernels.llvm.terms import fill_terms, terms_to_gradients
from fastw2v.kernels.llvm.tiles import TILE_ROWS, address_of, prefetch_row
from fastw2v.kernels.primitives import kernel

FLAGS = 4096


class Scratch(NamedTuple):
    """Arrays for a block of T centers and a pool of N; P is N rounded up to whole tiles.

    Tables hold addresses of rows (see tiles.py); those that tiles go through, centers and pool, are
    padded with that of `spare`. A
    *term* is one score with what belongs to it. Terms are flat: first the pool's, P for each
    center, then the positives'.

    pool_ids: int32 (N,), the draws of the block.
    centers_at: int64 (T + 4,), the centers' rows; halo_at: int64 (halo,), those of all places
        of the halo; pool_at: int64 (P,), the pool's.
    hidden: float32 (T + 4, dim), h_i; gradients: float32 (T + 4, dim), α·∂/∂h_i (CBOW); hidden_at,
        gradients_at: int64 (T + 4,), their rows.
    scores: float32 (terms,), later gradients; weights: float32 (terms,), what a term counts for.
    shares: float32 (T,), 1/m_i (CBOW).
    windows: int64 (T, 2), first and last + 1 place in the halo of the window of a center.
    pair_starts: int64 (T + 1,), where the contexts of a center begin in `pairs_at`.
    pairs_at: int64 (pairs,), addresses of the context rows, center by center.
    near_starts: int64 (halo + 1,), where the centers of a context begin in `near_at`.
    near_at: int64 (pairs,), near_weights: float32 (pairs,): the same pairs, context by context:
        the row that is added to the context's, and its weight.
    spare: float32 (1, dim), the row that padding points to: zero, and written only zeros.
    flags: uint8 (4096,), which remainders of ids are in the pool; all zero between blocks.
    """

    pool_ids: Any
    centers_at: Any
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
    """`Scratch` for blocks up to `block_size` centers and pools of `pool_size`."""
    rows, columns = block_size + TILE_ROWS, padded(pool_size)
    halo = block_size + 2 * half_window
    pairs = 2 * half_window * block_size + 1  # one more: a center itself is written, not counted
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


_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Weights(NamedTuple):
    """input_vectors, output_vectors: float32 (V, dim), C order; changed in place.

    dim must be a multiple of `simd.ROW_FLOATS`: rows are padded with zeros, which stay zero.
    """

    input_vectors: Any
    output_vectors: Any


class Settings(NamedTuple):
    """What shapes an update, besides the learning rate.

    half_window: most contexts to each side; negatives: K; per_pair: K negatives a positive pair
    (else a window); undivided: CBOW's context rows get dh_i, not dh_i/m_i.
    """

    half_window: int
    negatives: int
    per_pair: bool
    undivided: bool


@kernel()
def window(stream, pos):
    """First and last + 1 stream position of the window of the center at `pos`."""
    low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
    high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
    return low, high


@kernel()
def halo_of(stream, first, count):
    """First and last + 1 stream position that any center of the block has in its window."""
    low, high = first, first + count
    for pos in range(first, first + count):
        window_low, window_high = window(stream, pos)
        low = min(low, window_low)
        high = max(high, window_high)
    return low, high


@kernel()
def address_rows(scratch, stream, first, count, halo_low, halo_high, centers, halo, pool):
    """Fill the address tables: the matrices in which centers, halo and pool have their rows."""
    spare = address_of(scratch.spare, 0)
    for row in range(count):
        scratch.centers_at[row] = address_of(centers, stream.token_ids[first + row])
    for row in range(count, padded(count)):
        scratch.centers_at[row] = spare
    for pos in range(halo_low, halo_high):
        scratch.halo_at[pos - halo_low] = address_of(halo, stream.token_ids[pos])
    pool_size = scratch.pool_ids.shape[0]
    for n in range(pool_size):
        scratch.pool_at[n] = address_of(pool, scratch.pool_ids[n])
    for n in range(pool_size, padded(pool_size)):
        scratch.pool_at[n] = spare


@kernel()
def list_pairs(scratch, stream, first, count, halo_low, halo_high):
    """Fill `windows`, `pair_starts`, `pairs_at` and `near_starts`; returns the number of pairs."""
    near_starts, pairs = scratch.near_starts, 0
    for place in range(halo_high - halo_low + 1):
        near_starts[place] = 0
    for row in range(count):
        own = first + row - halo_low
        low, high = window(stream, first + row)
        scratch.windows[row, 0], scratch.windows[row, 1] = low - halo_low, high - halo_low
        scratch.pair_starts[row] = pairs
        for place in range(low - halo_low, high - halo_low):
            scratch.pairs_at[pairs] = scratch.halo_at[place]
            near_starts[place] += place != own
            pairs += place != own
    scratch.pair_starts[count] = pairs
    total = 0
    for place in range(halo_high - halo_low + 1):
        total, near_starts[place] = total + near_starts[place], total
    return pairs


@kernel()
def list_near(scratch, count, own, sources_at, weights, first_weight, by_row):
    """Fill `near_at` and `near_weights`: `sources_at[row]` for each context of the center `row`.

    The weight is weights[first_weight + pair], or (`by_row`) weights[first_weight + row]. Leaves
    `near_starts[k]` where the list of context k ends.

    Args:
        own: place of the first center in the halo.
    """
    for row in range(count):
        pair = scratch.pair_starts[row]
        for place in range(scratch.windows[row, 0], scratch.windows[row, 1]):
            if place == own + row:
                continue
            cursor = scratch.near_starts[place]
            scratch.near_at[cursor] = sources_at[row]
            scratch.near_weights[cursor] = weights[first_weight + (row if by_row else pair)]
            scratch.near_starts[place] = cursor + 1
            pair += 1


@kernel()
def prefetch_block(stream, first, count, half_window, centers, halo, pool, pool_ids):
    """Ask for the rows of a block that comes next; of its halo, the left was the last block's."""
    row_bytes = 4 * centers.shape[1]
    stop = min(stream.token_ids.shape[0], first + count + half_window)
    for pos in range(first, first + count):
        prefetch_row(address_of(centers, stream.token_ids[pos]), row_bytes)
    for pos in range(first, stop):
        prefetch_row(address_of(halo, stream.token_ids[pos]), row_bytes)
    for n in range(pool_ids.shape[0]):
        prefetch_row(address_of(pool, pool_ids[n]), row_bytes)


@kernel()
def weigh_terms(scratch, first_positive, count, positives, negatives, per_pair):
    """Weights of all terms before draws are dropped.

    A draw: K/N times its center's contexts, or (not `per_pair`) K/N where there are any. A
    positive: 1. What fills the last vector: 0, so that it adds nothing.
    """
    weights, starts = scratch.weights, scratch.pair_starts
    pool_size = scratch.pool_ids.shape[0]
    columns = padded(pool_size)
    unit = np.float32(negatives) / np.float32(pool_size)
    for row in range(count):
        contexts = starts[row + 1] - starts[row]
        base = unit * np.float32(contexts if per_pair else min(contexts, 1))
        fill_terms(weights, row * columns, columns, base)
        for n in range(row * columns + pool_size, (row + 1) * columns):
            weights[n] = _ZERO
    fill_terms(weights, count * columns, first_positive - count * columns, _ZERO)
    fill_terms(weights, first_positive, positives, _ONE)
    fill_terms(weights, first_positive + positives, ROW_FLOATS, _ZERO)


@kernel()
def first_positive_term(scratch, count):
    """Where the positives' terms begin for a block of `count` centers."""
    return padded(count) * padded(scratch.pool_ids.shape[0])


@kernel()
def _flag_pool(scratch, flag):
    for n in range(scratch.pool_ids.shape[0]):
        scratch.flags[scratch.pool_ids[n] & (FLAGS - 1)] = flag


@kernel()
def drop_draws_of_contexts(scratch, stream, count, own, halo_low, halo_high, settings):
    """Take the weight of draws that equal a positive of their center back (skip-gram).

    Args:
        own: place of the first center in the halo.
    """
    pool_size = scratch.pool_ids.shape[0]
    columns = padded(pool_size)
    unit = np.float32(settings.negatives) / np.float32(pool_size)
    _flag_pool(scratch, 1)
    for place in range(halo_high - halo_low):
        context_id = stream.token_ids[halo_low + place]
        if scratch.flags[context_id & (FLAGS - 1)] == 0:
            continue
        first_row = max(0, place - settings.half_window - own)
        last_row = min(count, place + settings.half_window + 1 - own)
        for n in range(pool_size):
            if scratch.pool_ids[n] != context_id:
                continue
            for row in range(first_row, last_row):
                low, high = scratch.windows[row, 0], scratch.windows[row, 1]
                if low <= place < high and place != own + row:
                    _drop(scratch.weights, row * columns + n, unit, settings.per_pair)
    _flag_pool(scratch, 0)


@kernel()
def _drop(weights, term, unit, per_pair):
    """One draw of `unit` less (exactly: weights are whole multiples of it), or all of them."""
    weights[term] = unit * (np.round(weights[term] / unit) - _ONE) if per_pair else _ZERO


@kernel()
def drop_draws_of_centers(scratch, stream, first, count):
    """Take the weight of draws that equal their center back (CBOW)."""
    columns = padded(scratch.pool_ids.shape[0])
    _flag_pool(scratch, 1)
    for row in range(count):
        center_id = stream.token_ids[first + row]
        if scratch.flags[center_id & (FLAGS - 1)] == 0:
            continue
        for n in range(scratch.pool_ids.shape[0]):
            if scratch.pool_ids[n] == center_id:
                scratch.weights[row * columns + n] = _ZERO
    _flag_pool(scratch, 0)


@kernel()
def scores_to_gradients(scratch, first_positive, positives, alpha):
    """Turn the scores of all terms into gradients; returns the loss in nats.

    The loss is −log σ(s) of a positive, −weight·log σ(−s) of a draw; the gradients are
    α·(1 − σ(s)) and −α·weight·σ(s).
    """
    scores, weights = scratch.scores, scratch.weights
    loss = terms_to_gradients(scores, weights, 0, first_positive, -_ONE, alpha)
    return loss + terms_to_gradients(scores, weights, first_positive, positives, _ONE, alpha)
