"""The held-out loss: which sequences are held out, and their loss against fixed negatives.

Everything hangs on a sequence's content: a hash of its ids says whether it is held out, and keys
the draws that its pairs stand against. So neither depends on the order of the corpus, on threads,
or on what else is held out, and equal sequences are held out together.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.llvm.tiles import address_of, prefetch_row
from fastw2v.kernels.primitives import derive_key, high_half, kernel, random_bits, scaled_draw
from fastw2v.kernels.streams import draw_word, window_bounds

RADIUS = 5  # context words to each side, all of them
NEGATIVES = 5  # draws for each positive

_HASH_KEY = np.uint64(0x6A09E667F3BCC909)  # any number would do; another one is another choice
_PAIR_STREAM, _CENTER_STREAM = 1, 2
_ZERO = np.float32(0.0)


class Sequences(NamedTuple):
    """Held-out sequences: m of them, n tokens.

    token_ids: int32 (n,); offsets: int64 (m + 1,); hashes: uint64 (m,), see `hash_sequences`.
    """

    token_ids: Any
    offsets: Any
    hashes: Any


@kernel(parallel=True)
def hash_sequences(token_ids, offsets, hashes):
    """Fill `hashes` (uint64 (m,)) with a hash of each sequence's ids and their order.

    Args:
        token_ids: int32 (n,); offsets: int64 (m + 1,).
    """
    for sequence in prange(hashes.shape[0]):
        state = _HASH_KEY
        for place in range(offsets[sequence], offsets[sequence + 1]):
            state = random_bits(state, np.uint64(token_ids[place]))
        length = offsets[sequence + 1] - offsets[sequence]
        hashes[sequence] = derive_key(state, np.uint64(length))


@kernel()
def _score_against(hidden, output_vectors, word_id, positive):
    """−h·c of a positive, h·c of a draw: a float32 dot product, the rest in float64."""
    score = _ZERO
    for d in range(hidden.shape[0]):
        score += hidden[d] * output_vectors[word_id, d]
    return -np.float64(score) if positive else np.float64(score)


# Nearly all of the time is spent waiting for rows, so those of the next center are asked for while
# one is scored: 1.6 times as fast.


@kernel()
def _prefetch(vectors, row):
    prefetch_row(address_of(vectors, row), 4 * vectors.shape[1])


@kernel()
def _prefetch_context(vectors, sequences, pos, start, end):
    """Ask for the rows that come into the window of `pos`: all of the first, the last of others."""
    for context_pos in range(start if pos == start else pos + RADIUS, min(end, pos + RADIUS + 1)):
        _prefetch(vectors, sequences.token_ids[context_pos])


@kernel()
def _draw_negatives(output_vectors, noise, key, number, draws):
    """Fill `draws` with the negatives of the sequence's center `number`, and ask for their rows."""
    for draw in range(NEGATIVES):
        draws[draw] = draw_word(noise, random_bits(key, np.uint64(number * NEGATIVES + draw)))
        _prefetch(output_vectors, draws[draw])


# The loss of a target is log(1 + exp(against)) = max(against, 0) + log(1 + exp(−|against|)). The
# second terms of some targets are summed as the log of a product of as many numbers from 1 to 2.


@kernel()
def _skip_gram_loss(input_vectors, output_vectors, sequences, sequence, noise, draws):
    """(loss, pairs): each center's input vector against each of its contexts.

    draws: int64 (2, NEGATIVES), for this function to use.

    The pairs of a center share their draws: the expected loss is that of draws of their own, for a
    fifth of the dot products.
    """
    start, end = sequences.offsets[sequence], sequences.offsets[sequence + 1]
    key = derive_key(sequences.hashes[sequence], _PAIR_STREAM)
    loss, pairs = 0.0, 0
    if end - start < 2:
        return loss, pairs
    _prefetch_context(output_vectors, sequences, start, start, end)
    _draw_negatives(output_vectors, noise, key, 0, draws[0])
    for pos in range(start, end):
        if pos + 1 < end:
            number = pos + 1 - start
            _prefetch(input_vectors, sequences.token_ids[pos + 1])
            _prefetch_context(output_vectors, sequences, pos + 1, start, end)
            _draw_negatives(output_vectors, noise, key, number, draws[number & 1])
        hidden = input_vectors[sequences.token_ids[pos]]
        low, high = window_bounds(pos, RADIUS, start, end)
        product = 1.0
        for context_pos in range(low, high):
            if context_pos != pos:
                against = _score_against(
                    hidden, output_vectors, sequences.token_ids[context_pos], True
                )
                loss += max(against, 0.0)
                product *= 1.0 + math.exp(-abs(against))
        loss += math.log(product)
        contexts = high - low - 1
        pairs += contexts
        product = 1.0
        for word_id in draws[(pos - start) & 1]:
            others = 0  # pairs whose positive it does not equal
            for context_pos in range(low, high):
                others += context_pos != pos and sequences.token_ids[context_pos] != word_id
            against = _score_against(hidden, output_vectors, word_id, False)
            loss += others * max(against, 0.0)
            if others == contexts:
                product *= 1.0 + math.exp(-abs(against))
            else:
                loss += others * math.log1p(math.exp(-abs(against)))
        loss += contexts * math.log(product)
    return loss, pairs


@kernel()
def _cbow_loss(input_vectors, output_vectors, sequences, sequence, noise, draws, hidden):
    """(loss, centers): the mean of the contexts' input vectors against the center.

    draws: int64 (2, NEGATIVES), hidden: float32 (dim,), for this function to use.
    """
    start, end = sequences.offsets[sequence], sequences.offsets[sequence + 1]
    key = derive_key(sequences.hashes[sequence], _CENTER_STREAM)
    loss, centers = 0.0, 0
    if end - start < 2:
        return loss, centers
    _prefetch_context(input_vectors, sequences, start, start, end)
    _draw_negatives(output_vectors, noise, key, 0, draws[0])
    for pos in range(start, end):
        if pos + 1 < end:
            number = pos + 1 - start
            _prefetch(output_vectors, sequences.token_ids[pos + 1])
            _prefetch_context(input_vectors, sequences, pos + 1, start, end)
            _draw_negatives(output_vectors, noise, key, number, draws[number & 1])
        low, high = window_bounds(pos, RADIUS, start, end)
        for d in range(hidden.shape[0]):
            hidden[d] = _ZERO
        for context_pos in range(low, high):
            if context_pos != pos:
                row = sequences.token_ids[context_pos]
                for d in range(hidden.shape[0]):
                    hidden[d] += input_vectors[row, d]
        share = np.float32(1.0) / np.float32(high - low - 1)
        for d in range(hidden.shape[0]):
            hidden[d] *= share
        center_id = sequences.token_ids[pos]
        against = _score_against(hidden, output_vectors, center_id, True)
        loss += max(against, 0.0)
        product = 1.0 + math.exp(-abs(against))
        for word_id in draws[(pos - start) & 1]:
            if word_id != center_id:
                against = _score_against(hidden, output_vectors, word_id, False)
                loss += max(against, 0.0)
                product *= 1.0 + math.exp(-abs(against))
        loss += math.log(product)
        centers += 1
    return loss, centers


@kernel(parallel=True)
def holdout_losses(
    input_vectors, output_vectors, sequences, noise, skip_gram, num_threads, losses, positives
):
    """Fill in the loss of each sequence, in nats, and the positives that it is summed over.

    Args:
        input_vectors, output_vectors: float32 (V, dim), C order, read only.
        sequences: `Sequences`, their ids below V.
        noise: `streams.Noise` of V words.
        skip_gram: one positive for each pair of center and context; else (CBOW) for each center.
        num_threads: how many threads share the sequences; the result does not depend on it.
        losses: float64 (m,); positives: int64 (m,).
    """
    count = losses.shape[0]
    for thread in prange(num_threads):
        hidden = np.zeros(input_vectors.shape[1], np.float32)
        draws = np.empty((2, NEGATIVES), np.int64)
        for sequence in range(count * thread // num_threads, count * (thread + 1) // num_threads):
            if skip_gram:
                loss, found = _skip_gram_loss(
                    input_vectors, output_vectors, sequences, sequence, noise, draws
                )
            else:
                loss, found = _cbow_loss(
                    input_vectors, output_vectors, sequences, sequence, noise, draws, hidden
                )
            losses[sequence] = loss
            positives[sequence] = found


@kernel(parallel=True)
def resampled_ratios(numerators, denominators, key, ratios):
    """Fill `ratios` (float64 (r,)) with Σ numerators / Σ denominators over resamples of the items.

    A resample draws as many of the m items (both float64 (m,)) as there are, with replacement; a
    resample whose denominators sum to 0 gives NaN.
    """
    items = numerators.shape[0]
    for resample in prange(ratios.shape[0]):
        stream_key = derive_key(key, np.uint64(resample))
        above, below = 0.0, 0.0
        for draw in range(items):
            item = scaled_draw(high_half(random_bits(stream_key, np.uint64(draw))), items)
            above += numerators[item]
            below += denominators[item]
        ratios[resample] = above / below
