"""word2vec.c's updates: K fresh draws for every positive, each target's row changed at once."""

# Kernels are compiled for the array types that their docstrings give; Numba checks the types.
# mypy: allow-untyped-defs
from __future__ import annotations

import math

import numpy as np

from bench.rungs_parts import (
    add_to_contexts,
    add_to_row,
    average_contexts,
    clear,
    loss_parts,
    numbered_word,
    occurrences,
    score_of,
)
from fastw2v.kernels.blocks import window
from fastw2v.kernels.primitives import kernel

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@kernel()
def _train_target(hidden, gradient, output_vectors, word_id, label, alpha):
    """One target's step: its output row at once, the hidden side into `gradient`.

    Returns a and b of `loss_parts`.
    """
    sigma, linear, factor = loss_parts(score_of(hidden, output_vectors, word_id), label)
    step = alpha * (label - sigma)
    for d in range(hidden.shape[0]):
        value = output_vectors[word_id, d]
        gradient[d] += step * value
        output_vectors[word_id, d] = value + step * hidden[d]
    return linear, factor


@kernel()
def _train_positive(hidden, gradient, output_vectors, positive_id, noise, draws, first, K, alpha):
    """A positive and its K draws, number `first` and on; returns the loss in nats."""
    loss, product = _train_target(hidden, gradient, output_vectors, positive_id, _ONE, alpha)
    for k in range(K):
        word_id = numbered_word(noise, draws, first + k)
        if word_id != positive_id:
            linear, factor = _train_target(hidden, gradient, output_vectors, word_id, _ZERO, alpha)
            loss += linear
            product *= factor  # below 2**1001: `--neg-samples` is 1,000 at most
    return loss + math.log(product)


@kernel()
def _classic_pairs(weights, stream, noise, settings, pos, alpha, draws, room):
    """Skip-gram, K fresh draws a pair; the center's row changes after each pair."""
    low, high = window(stream, pos)
    center_id, K = stream.token_ids[pos], settings.negatives
    hidden = weights.input_vectors[center_id]
    loss, positives = 0.0, 0
    for context_pos in range(low, high):
        if context_pos == pos:
            continue
        clear(room.gradient)
        loss += _train_positive(
            hidden, room.gradient, weights.output_vectors, stream.token_ids[context_pos],
            noise, draws, positives * K, K, alpha,
        )  # fmt: skip
        add_to_row(weights.input_vectors, center_id, _ONE, room.gradient)
        positives += 1
    return loss, positives


@kernel()
def _classic_window(weights, stream, noise, settings, pos, alpha, draws, room):
    """Skip-gram, K draws a center, dropped where they are any of its contexts."""
    low, high = window(stream, pos)
    positives = high - low - 1
    if positives == 0:
        return 0.0, 0
    output_vectors, gradient = weights.output_vectors, room.gradient
    center_id = stream.token_ids[pos]
    hidden = weights.input_vectors[center_id]
    clear(gradient)
    loss = 0.0
    for context_pos in range(low, high):
        if context_pos != pos:
            loss += _train_positive(
                hidden, gradient, output_vectors, stream.token_ids[context_pos],
                noise, draws, 0, 0, alpha,
            )  # fmt: skip
    for k in range(settings.negatives):
        word_id = numbered_word(noise, draws, k)
        if occurrences(stream, low, high, pos, word_id) == 0:
            linear, factor = _train_target(hidden, gradient, output_vectors, word_id, _ZERO, alpha)
            loss += linear + math.log(factor)
    add_to_row(weights.input_vectors, center_id, _ONE, gradient)
    return loss, positives


@kernel()
def _classic_cbow(weights, stream, noise, settings, pos, alpha, draws, room):
    """CBOW: one positive, the center word, and K draws."""
    low, high = window(stream, pos)
    if high - low == 1:
        return 0.0, 0
    average_contexts(weights.input_vectors, stream, pos, low, high, room.hidden)
    clear(room.gradient)
    loss = _train_positive(
        room.hidden, room.gradient, weights.output_vectors, stream.token_ids[pos],
        noise, draws, 0, settings.negatives, alpha,
    )  # fmt: skip
    add_to_contexts(
        weights.input_vectors, stream, pos, low, high, settings.undivided, room.gradient
    )
    return loss, 1


@kernel()
def train_classic_center(weights, stream, noise, settings, pos, alpha, draws, skip_gram, room):
    if not skip_gram:
        return _classic_cbow(weights, stream, noise, settings, pos, alpha, draws, room)
    if settings.per_pair:
        return _classic_pairs(weights, stream, noise, settings, pos, alpha, draws, room)
    return _classic_window(weights, stream, noise, settings, pos, alpha, draws, room)
