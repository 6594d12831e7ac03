"""What the slower rungs share: their room, draws, scores, sums of rows and averages of contexts."""

# Kernels are compiled for the array types that their docstrings give; Numba checks the types.
# mypy: allow-untyped-defs
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.primitives import kernel, random_bits
from fastw2v.kernels.streams import draw_word

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Room(NamedTuple):
    """What one thread needs for one center.

    hidden: float32 (dim,), h (CBOW); gradient: float32 (dim,), α·∂/∂h.
    target_ids: int64 (2·half + K,), labels and coefficients: float32, as long; window_shared's
        targets, 1 for a positive, α·weight·(label − σ).
    """

    hidden: Any
    gradient: Any
    target_ids: Any
    labels: Any
    coefficients: Any


@kernel()
def new_room(settings, dim):
    """`Room` for the centers of a run with these `Settings`."""
    targets = 2 * settings.half_window + settings.negatives
    return Room(
        np.zeros(dim, np.float32),
        np.zeros(dim, np.float32),
        np.zeros(targets, np.int64),
        np.zeros(targets, np.float32),
        np.zeros(targets, np.float32),
    )


@kernel()
def numbered_word(noise, key, number):
    """Draw `number` from the noise distribution in the stream of draws `key`."""
    return draw_word(noise, random_bits(key, np.uint64(number)))


@kernel()
def occurrences(stream, low, high, pos, word_id):
    """How often `word_id` is a context of the center at `pos`."""
    found = 0
    for context_pos in range(low, high):
        found += context_pos != pos and stream.token_ids[context_pos] == word_id
    return found


@kernel()
def score_of(hidden, output_vectors, word_id):
    score = _ZERO
    for d in range(hidden.shape[0]):
        score += hidden[d] * output_vectors[word_id, d]
    return score


@kernel()
def loss_parts(score, label):
    """(σ(score), a, b): the loss of a target with this label is a + ln b, both float64."""
    e = np.float32(math.exp(-abs(score)))
    sigma = (_ONE if score >= _ZERO else e) / (_ONE + e)
    against = -score if label > _ZERO else score
    return sigma, np.float64(max(against, _ZERO)), 1.0 + np.float64(e)


@kernel()
def clear(vector):
    for d in range(vector.shape[0]):
        vector[d] = _ZERO


@kernel()
def add_to_row(matrix, row, weight, vector):
    for d in range(vector.shape[0]):
        matrix[row, d] += weight * vector[d]


@kernel()
def average_contexts(input_vectors, stream, pos, low, high, hidden):
    """Fill `hidden` with the mean of the context words' input vectors."""
    clear(hidden)
    for context_pos in range(low, high):
        if context_pos != pos:
            row = stream.token_ids[context_pos]
            for d in range(hidden.shape[0]):
                hidden[d] += input_vectors[row, d]
    share = _ONE / np.float32(high - low - 1)
    for d in range(hidden.shape[0]):
        hidden[d] *= share


@kernel()
def add_to_contexts(input_vectors, stream, pos, low, high, undivided, gradient):
    share = _ONE if undivided else _ONE / np.float32(high - low - 1)
    for context_pos in range(low, high):
        if context_pos != pos:
            add_to_row(input_vectors, stream.token_ids[context_pos], share, gradient)
