"""Block updates of skip-gram and CBOW with negative sampling (Mikolov et al. 2013).

A block is T consecutive centres of the stream and one pool of N noise words that all of them
share. With that, the work per block is a few dense products instead of 2·K·T vector pairs:

    S = H · [P; C]ᵀ     scores of the hidden rows against pool and contexts (contexts: the band)
    G = α · (target − σ(S)) · weight
    input  += G · [P; C]          output += Gᵀ · H

Pool word n stands against centre i with weight K·(m_i − r_in)/N, m_i the number of its positives
and r_in how often n is one of them: a draw that equals the positive it stands against is dropped,
never redrawn, as in word2vec.c. With `per_window`, K/N, or 0 if r_in > 0. At frozen weights the
expected update equals the classic one's for every T and N.

All gradients of a block are taken at the weights as they were when the block began (rows are
copied), then added to the weight rows. Threads do this on shared rows without locks: see
`hogwild.py` for that race.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.primitives import (
    add_column_weighted_rows,
    add_weighted_rows,
    copy_row,
    dots_with_rows,
    kernel,
    sigmoid_parts,
)

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_LARGE = 1e100
_PADDING = 8  # rows and columns that the tiles may touch past the end


class Weights(NamedTuple):
    """input_vectors, output_vectors: float32 (V, dim), C order; changed in place."""

    input_vectors: Any
    output_vectors: Any


class Scratch(NamedTuple):
    """Room for one block of one thread; rows and columns past the block are zero or finite.

    hidden: float32 (T + 8, dim), rows h_i.
    hidden_gradient: float32 (T + 8, dim), α·∂/∂h_i (CBOW).
    others: float32 (N + T + 2·half + 24, dim), pool rows, then context rows.
    scores: float32 (T + 8, N + T + 2·half + 24), scores, then their gradients.
    averaging: float32, as `scores`: CBOW's 1/m_i on the band.
    positive_gradients: float32 (T,), α·(1 − σ(h_i·c_i)) (CBOW).
    pool_ids: int32 (N,), the draws of the block.
    pool_scores: float32 (N,), the raw scores of one centre.
    """

    hidden: Any
    hidden_gradient: Any
    others: Any
    scores: Any
    averaging: Any
    positive_gradients: Any
    pool_ids: Any
    pool_scores: Any


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
def new_scratch(block_size, pool_size, half_window, dim):
    """Zeroed `Scratch` for blocks up to `block_size` centres and pools of `pool_size`."""
    columns = _padded(pool_size) + block_size + 2 * half_window + 2 * _PADDING
    return Scratch(
        np.zeros((block_size + _PADDING, dim), np.float32),
        np.zeros((block_size + _PADDING, dim), np.float32),
        np.zeros((columns, dim), np.float32),
        np.zeros((block_size + _PADDING, columns), np.float32),
        np.zeros((block_size + _PADDING, columns), np.float32),
        np.zeros(block_size, np.float32),
        np.zeros(pool_size, np.int32),
        np.zeros(pool_size, np.float32),
    )


@kernel()
def _padded(count):
    """`count` rounded up to whole tiles."""
    return (count + _PADDING - 1) // _PADDING * _PADDING


@kernel()
def _band(stream, pos):
    """First and last + 1 stream position of the window of the centre at `pos`."""
    low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
    high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
    return low, high


@kernel()
def _halo(stream, first, count):
    """First and last + 1 stream position that any centre of the block has in its window."""
    low, high = first, first + count
    for pos in range(first, first + count):
        band_low, band_high = _band(stream, pos)
        low = min(low, band_low)
        high = max(high, band_high)
    return low, high


@kernel()
def _score_negatives(scores, row, pool_size, base_weight, alpha):
    """Turn the pool scores of one centre into −α·weight·σ(s); returns their weighted loss.

    −log σ(−s) = max(s, 0) + log(1 + exp(−|s|)); the logarithms are taken as one of a product.
    """
    positive_part, product, loss = 0.0, 1.0, 0.0
    scale = -alpha * base_weight
    for start in range(0, pool_size, 32):  # the product stays below 2**32
        stop = min(start + 32, pool_size)
        for n in range(start, stop):
            s = scores[row, n]
            sigma, one_plus = sigmoid_parts(s)
            positive_part += np.float64(max(s, _ZERO))
            product *= np.float64(one_plus)
            scores[row, n] = scale * sigma
        loss += math.log(product)
        product = 1.0
    return np.float64(base_weight) * (positive_part + loss)


@kernel()
def _negative_loss(score):
    """−log σ(−score), float64."""
    _, one_plus = sigmoid_parts(score)
    return np.float64(max(score, _ZERO)) + math.log(np.float64(one_plus))


@kernel()
def _load_pool(scratch, output_vectors):
    for n in range(scratch.pool_ids.shape[0]):
        copy_row(scratch.others, n, output_vectors, scratch.pool_ids[n])
    for n in range(scratch.pool_ids.shape[0], _padded(scratch.pool_ids.shape[0])):
        for d in range(scratch.others.shape[1]):
            scratch.others[n, d] = _ZERO


@kernel()
def _clear_scores(scratch, count):
    """Zero the score rows that this block's tiles may read."""
    for row in range(count + _PADDING):
        for column in range(scratch.scores.shape[1]):
            scratch.scores[row, column] = _ZERO


@kernel()
def _centres_near(first, count, pos, half_window):
    """Rows of the block whose window may hold stream position `pos`."""
    return max(0, pos - half_window - first), min(count, pos + half_window + 1 - first)


@kernel()
def _score_band(scores, row, shift, pos, low, high, band_low, band_high, alpha):
    """Turn the context scores of one centre into α·(1 − σ(s)); returns their loss.

    What the tiles computed outside the centre's own band becomes zero.
    """
    loss, product = 0.0, 1.0
    for column_pos in range(low, low + (high - low + 3) // 4 * 4):
        column = shift + column_pos
        if column_pos < band_low or column_pos >= band_high or column_pos == pos:
            scores[row, column] = _ZERO
            continue
        s = scores[row, column]
        sigma, one_plus = sigmoid_parts(-s)
        scores[row, column] = alpha * sigma
        loss += np.float64(max(-s, _ZERO))
        product *= np.float64(one_plus)
        if product > _LARGE:
            loss += math.log(product)
            product = 1.0
    return loss + math.log(product)


@kernel()
def _drop_equal_draws(scratch, row, stream, pos, band_low, band_high, settings):
    """Mask the draws that are contexts of this centre; returns the loss that this takes back.

    Reads the raw scores from `scratch.pool_scores`; the gradients are in `scratch.scores`.
    """
    pool_ids = scratch.pool_ids
    pool_size = pool_ids.shape[0]
    matches = 0
    for context_pos in range(band_low, band_high):
        context_id = stream.token_ids[context_pos]
        for n in range(pool_size):
            matches += pool_ids[n] == context_id
    if matches == 0:
        return 0.0
    taken_back = 0.0
    unit = np.float32(settings.negatives) / np.float32(pool_size)
    positives = np.float32(band_high - band_low - 1) if settings.per_pair else _ONE
    for n in range(pool_size):
        repeats = 0
        for context_pos in range(band_low, band_high):
            if stream.token_ids[context_pos] == pool_ids[n] and context_pos != pos:
                repeats += 1
        if repeats > 0:
            dropped = np.float32(repeats) if settings.per_pair else _ONE
            scratch.scores[row, n] *= (positives - dropped) / positives
            taken_back += np.float64(unit * dropped) * _negative_loss(scratch.pool_scores[n])
    return taken_back


@kernel()
def sgram_neg_update(weights, stream, first, count, settings, alpha, scratch):
    """Train one skip-gram block: centres first … first + count − 1 against `scratch.pool_ids`.

    Args:
        weights: `Weights`, changed in place.
        stream: `streams.Stream`.
        first, count: the block's centres, as stream positions.
        settings: `Settings`.
        alpha: float32 learning rate.
        scratch: `Scratch`, its pool_ids drawn.

    Returns:
        (loss in nats summed over positive pairs, number of positive pairs); the loss is
        −log σ(c_pos·h) − Σ weight·log σ(−c_neg·h) at the weights before the update.
    """
    input_vectors, output_vectors = weights.input_vectors, weights.output_vectors
    hidden, others, scores = scratch.hidden, scratch.others, scratch.scores
    pool_size = scratch.pool_ids.shape[0]
    pool_columns = _padded(pool_size)
    halo_low, halo_high = _halo(stream, first, count)
    shift = pool_columns - halo_low  # column of a stream position in `scores`, row in `others`

    _load_pool(scratch, output_vectors)
    for row in range(count):
        copy_row(hidden, row, input_vectors, stream.token_ids[first + row])
    for pos in range(halo_low, halo_high):
        copy_row(others, shift + pos, output_vectors, stream.token_ids[pos])
    _clear_scores(scratch, count)

    unit = np.float32(settings.negatives) / np.float32(pool_size)
    loss, pairs = 0.0, 0
    for pair_row in range(0, count, 2):
        rows = min(2, count - pair_row)
        low, high = _band(stream, first + pair_row)
        if rows == 2:
            next_low, next_high = _band(stream, first + pair_row + 1)
            low, high = min(low, next_low), max(high, next_high)
        dots_with_rows(hidden, pair_row, others, 0, pool_size, scores, 0)
        dots_with_rows(hidden, pair_row, others, shift + low, shift + high, scores, 0)
        for row in range(pair_row, pair_row + rows):
            pos = first + row
            band_low, band_high = _band(stream, pos)
            contexts = band_high - band_low - 1
            for n in range(pool_size):
                scratch.pool_scores[n] = scores[row, n]
            for n in range(pool_size, pool_columns):
                scores[row, n] = _ZERO
            base = unit * np.float32(contexts) if settings.per_pair else unit
            if contexts == 0:
                base = _ZERO
            loss += _score_negatives(scores, row, pool_size, base, alpha)
            if contexts > 0:
                loss -= _drop_equal_draws(scratch, row, stream, pos, band_low, band_high, settings)
            loss += _score_band(scores, row, shift, pos, low, high, band_low, band_high, alpha)
            pairs += contexts
        if rows == 1:  # the tile's second row is no centre
            for column in range(scores.shape[1]):
                scores[pair_row + 1, column] = _ZERO

    for row in range(count):
        word_id = stream.token_ids[first + row]
        low, high = _band(stream, first + row)
        add_weighted_rows(input_vectors, word_id, scores, row, 0, others, 0, pool_size)
        add_weighted_rows(input_vectors, word_id, scores, row, 0, others, shift + low, shift + high)
    for n in range(pool_size):
        add_column_weighted_rows(output_vectors, scratch.pool_ids[n], scores, n, hidden, 0, count)
    for pos in range(halo_low, halo_high):
        start, stop = _centres_near(first, count, pos, settings.half_window)
        add_column_weighted_rows(
            output_vectors, stream.token_ids[pos], scores, shift + pos, hidden, start, stop
        )
    return loss, pairs


@kernel()
def _average_contexts(scratch, stream, first, count, shift):
    """h_i = mean of the context rows in `others`; the weights 1/m_i stay in `averaging`."""
    hidden, averaging = scratch.hidden, scratch.averaging
    for row in range(count + _PADDING):
        for column in range(averaging.shape[1]):
            averaging[row, column] = _ZERO
    for row in range(count):
        pos = first + row
        low, high = _band(stream, pos)
        for d in range(hidden.shape[1]):
            hidden[row, d] = _ZERO
        if high - low > 1:
            share = _ONE / np.float32(high - low - 1)
            for context_pos in range(low, high):
                averaging[row, shift + context_pos] = share
            averaging[row, shift + pos] = _ZERO
            add_weighted_rows(
                hidden, row, averaging, row, 0, scratch.others, shift + low, shift + high
            )


@kernel()
def _score_cbow_centre(scratch, row, output_vectors, centre_id, settings, alpha):
    """Scores of one centre against the pool and its positive, turned into gradients; their loss."""
    scores, pool_ids = scratch.scores, scratch.pool_ids
    pool_size = pool_ids.shape[0]
    unit = np.float32(settings.negatives) / np.float32(pool_size)
    taken_back = 0.0
    for n in range(pool_size):
        if pool_ids[n] == centre_id:
            taken_back += np.float64(unit) * _negative_loss(scores[row, n])
    loss = _score_negatives(scores, row, pool_size, unit, alpha) - taken_back
    if taken_back > 0.0:
        for n in range(pool_size):
            if pool_ids[n] == centre_id:
                scores[row, n] = _ZERO
    score = _ZERO
    for d in range(output_vectors.shape[1]):
        score += scratch.hidden[row, d] * output_vectors[centre_id, d]
    sigma, one_plus = sigmoid_parts(-score)
    scratch.positive_gradients[row] = alpha * sigma
    return loss + np.float64(max(-score, _ZERO)) + math.log(np.float64(one_plus))


@kernel()
def _add_row(out, row, weight, source, source_row):
    """out[row] += weight · source[source_row]."""
    for d in range(out.shape[1]):
        out[row, d] += weight * source[source_row, d]


@kernel()
def cbow_neg_update(weights, stream, first, count, settings, alpha, scratch):
    """Train one CBOW block; arguments and result as `sgram_neg_update`, one positive a centre.

    h_i = mean of the context words' input vectors. Each context row receives dh_i/m_i, the exact
    gradient, or dh_i with `settings.undivided` (word2vec.c's). Centres without context are skipped.
    """
    input_vectors, output_vectors = weights.input_vectors, weights.output_vectors
    hidden, others, scores = scratch.hidden, scratch.others, scratch.scores
    hidden_gradient, averaging = scratch.hidden_gradient, scratch.averaging
    pool_size = scratch.pool_ids.shape[0]
    halo_low, halo_high = _halo(stream, first, count)
    shift = _padded(pool_size) - halo_low

    _load_pool(scratch, output_vectors)
    for pos in range(halo_low, halo_high):
        copy_row(others, shift + pos, input_vectors, stream.token_ids[pos])
    _average_contexts(scratch, stream, first, count, shift)
    for row in range(0, count, 2):
        dots_with_rows(hidden, row, others, 0, pool_size, scores, 0)

    loss, positives = 0.0, 0
    for row in range(count + _PADDING):
        low, high = _band(stream, first + row) if row < count else (0, 0)
        if high - low > 1:
            centre_id = stream.token_ids[first + row]
            loss += _score_cbow_centre(scratch, row, output_vectors, centre_id, settings, alpha)
            positives += 1
            for n in range(pool_size, _padded(pool_size)):
                scores[row, n] = _ZERO
        else:  # no context, or a row that only the tiles read
            for n in range(_padded(pool_size)):
                scores[row, n] = _ZERO
            if row < count:
                scratch.positive_gradients[row] = _ZERO

    for row in range(count):
        centre_id = stream.token_ids[first + row]
        gradient = scratch.positive_gradients[row]
        for d in range(hidden_gradient.shape[1]):
            hidden_gradient[row, d] = gradient * output_vectors[centre_id, d]
        add_weighted_rows(hidden_gradient, row, scores, row, 0, others, 0, pool_size)
    for row in range(count):
        centre_id = stream.token_ids[first + row]
        _add_row(output_vectors, centre_id, scratch.positive_gradients[row], hidden, row)
    for n in range(pool_size):
        add_column_weighted_rows(output_vectors, scratch.pool_ids[n], scores, n, hidden, 0, count)
    if settings.undivided:
        for row in range(count):
            for column in range(averaging.shape[1]):
                averaging[row, column] = _ONE if averaging[row, column] > _ZERO else _ZERO
    for pos in range(halo_low, halo_high):
        start, stop = _centres_near(first, count, pos, settings.half_window)
        add_column_weighted_rows(
            input_vectors, stream.token_ids[pos], averaging, shift + pos,
            hidden_gradient, start, stop,
        )  # fmt: skip
    return loss, positives
