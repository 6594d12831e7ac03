"""What a block of negative sampling is made of: its windows, pairs, weights, gradients and loss.

A block is T consecutive centres of the stream, the halo of positions that any of them has in its
window, and one pool of N noise words that all of them share. See `negative_sampling.py`. A *place*
is a position counted from the halo's first, a *row* a centre counted from the block's first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.scratch import FLAGS, padded
from fastw2v.kernels.simd import ROW_FLOATS
from fastw2v.kernels.terms import fill_terms, terms_to_gradients
from fastw2v.kernels.tiles import address_of, prefetch_row

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
    """First and last + 1 stream position of the window of the centre at `pos`."""
    low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
    high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
    return low, high


@kernel()
def halo_of(stream, first, count):
    """First and last + 1 stream position that any centre of the block has in its window."""
    low, high = first, first + count
    for pos in range(first, first + count):
        window_low, window_high = window(stream, pos)
        low = min(low, window_low)
        high = max(high, window_high)
    return low, high


@kernel()
def address_rows(scratch, stream, first, count, halo_low, halo_high, centres, halo, pool):
    """Fill the address tables: the matrices in which centres, halo and pool have their rows."""
    spare = address_of(scratch.spare, 0)
    for row in range(count):
        scratch.centres_at[row] = address_of(centres, stream.token_ids[first + row])
    for row in range(count, padded(count)):
        scratch.centres_at[row] = spare
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
    """Fill `near_at` and `near_weights`: `sources_at[row]` for each context of the centre `row`.

    The weight is weights[first_weight + pair], or (`by_row`) weights[first_weight + row]. Leaves
    `near_starts[k]` where the list of context k ends.

    Args:
        own: place of the first centre in the halo.
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
def prefetch_block(stream, first, count, half_window, centres, halo, pool, pool_ids):
    """Ask for the rows of a block that comes next; of its halo, the left was the last block's."""
    row_bytes = 4 * centres.shape[1]
    stop = min(stream.token_ids.shape[0], first + count + half_window)
    for pos in range(first, first + count):
        prefetch_row(address_of(centres, stream.token_ids[pos]), row_bytes)
    for pos in range(first, stop):
        prefetch_row(address_of(halo, stream.token_ids[pos]), row_bytes)
    for n in range(pool_ids.shape[0]):
        prefetch_row(address_of(pool, pool_ids[n]), row_bytes)


@kernel()
def weigh_terms(scratch, first_positive, count, positives, negatives, per_pair):
    """Weights of all terms before draws are dropped.

    A draw: K/N times its centre's contexts, or (not `per_pair`) K/N where there are any. A
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
    """Where the positives' terms begin for a block of `count` centres."""
    return padded(count) * padded(scratch.pool_ids.shape[0])


@kernel()
def _flag_pool(scratch, flag):
    for n in range(scratch.pool_ids.shape[0]):
        scratch.flags[scratch.pool_ids[n] & (FLAGS - 1)] = flag


@kernel()
def drop_draws_of_contexts(scratch, stream, count, own, halo_low, halo_high, settings):
    """Take the weight of draws that equal a positive of their centre back (skip-gram).

    Args:
        own: place of the first centre in the halo.
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
def drop_draws_of_centres(scratch, stream, first, count):
    """Take the weight of draws that equal their centre back (CBOW)."""
    columns = padded(scratch.pool_ids.shape[0])
    _flag_pool(scratch, 1)
    for row in range(count):
        centre_id = stream.token_ids[first + row]
        if scratch.flags[centre_id & (FLAGS - 1)] == 0:
            continue
        for n in range(scratch.pool_ids.shape[0]):
            if scratch.pool_ids[n] == centre_id:
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
