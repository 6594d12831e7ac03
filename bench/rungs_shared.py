"""pWord2Vec's updates: K draws a window, all gradients of a window at its first weights."""

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
def _train_targets(hidden, output_vectors, targets, alpha, room):
    """The first `targets` targets of `room`, weighted, all at the weights as they are now.

    Expects each target's weight in `room.coefficients`; leaves the hidden side in `room.gradient`.
    Returns the weighted loss in nats.
    """
    loss = 0.0
    clear(room.gradient)
    for target in range(targets):
        word_id, label = room.target_ids[target], room.labels[target]
        weight = room.coefficients[target]
        sigma, linear, factor = loss_parts(score_of(hidden, output_vectors, word_id), label)
        loss += np.float64(weight) * (linear + math.log(factor))
        step = alpha * weight * (label - sigma)
        room.coefficients[target] = step
        for d in range(hidden.shape[0]):
            room.gradient[d] += step * output_vectors[word_id, d]
    for target in range(targets):
        add_to_row(output_vectors, room.target_ids[target], room.coefficients[target], hidden)
    return loss


@kernel()
def _set_target(room, target, word_id, label, weight):
    room.target_ids[target] = word_id
    room.labels[target] = label
    room.coefficients[target] = weight


@kernel()
def _shared_skip_gram(weights, stream, noise, settings, pos, alpha, draws, room):
    """Skip-gram, K draws a center that stand for K a pair (or a window)."""
    low, high = window(stream, pos)
    positives = high - low - 1
    if positives == 0:
        return 0.0, 0
    targets = 0
    for context_pos in range(low, high):
        if context_pos != pos:
            _set_target(room, targets, stream.token_ids[context_pos], _ONE, _ONE)
            targets += 1
    for k in range(settings.negatives):
        word_id = numbered_word(noise, draws, k)
        repeats = occurrences(stream, low, high, pos, word_id)
        weight = np.float32(positives - repeats if settings.per_pair else repeats == 0)
        _set_target(room, targets, word_id, _ZERO, weight)
        targets += 1
    center_id = stream.token_ids[pos]
    loss = _train_targets(
        weights.input_vectors[center_id], weights.output_vectors, targets, alpha, room
    )
    add_to_row(weights.input_vectors, center_id, _ONE, room.gradient)
    return loss, positives


@kernel()
def _shared_cbow(weights, stream, noise, settings, pos, alpha, draws, room):
    """CBOW: as classic, with all gradients of a center at its first weights."""
    low, high = window(stream, pos)
    if high - low == 1:
        return 0.0, 0
    center_id = stream.token_ids[pos]
    average_contexts(weights.input_vectors, stream, pos, low, high, room.hidden)
    _set_target(room, 0, center_id, _ONE, _ONE)
    targets = 1
    for k in range(settings.negatives):
        word_id = numbered_word(noise, draws, k)
        if word_id != center_id:
            _set_target(room, targets, word_id, _ZERO, _ONE)
            targets += 1
    loss = _train_targets(room.hidden, weights.output_vectors, targets, alpha, room)
    add_to_contexts(
        weights.input_vectors, stream, pos, low, high, settings.undivided, room.gradient
    )
    return loss, 1


@kernel()
def train_shared_center(weights, stream, noise, settings, pos, alpha, draws, skip_gram, room):
    if skip_gram:
        return _shared_skip_gram(weights, stream, noise, settings, pos, alpha, draws, room)
    return _shared_cbow(weights, stream, noise, settings, pos, alpha, draws, room)
