"""The slower rungs below the block kernels: what word2vec.c and pWord2Vec do, compiled by Numba.

classic         word2vec.c: K fresh draws for every positive; each target's output row changes at
                once, the hidden side after the K + 1 targets of a positive.
window_shared   pWord2Vec (Ji et al. 2016): K draws for a whole window, weighted to stand for K a
                positive; all gradients of a window at its first weights. A block of one centre.

`train_classic` and `train_window_shared` have the arguments and the result of
`hogwild.train_negative_sampling` (of the plan they use the centres and the key), so that they can
stand in its place: see `bench.rung_stepper`. They are plain: float32, one row at a time, nothing
shared beyond what their names say. Threads race as in `hogwild`.
"""

# Kernels are compiled for the array types that their docstrings give; Numba checks the types.
# mypy: allow-untyped-defs
from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.hogwild import learning_rate
from fastw2v.kernels.primitives import (
    derive_key,
    high_half,
    kernel,
    low_half,
    random_bits,
    scaled_draw,
)

RUNG_STREAM = 16  # beside the streams of draws that `kernels.streams` numbers
_SUMS_STRIDE = 16
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Room(NamedTuple):
    """What one thread needs for one centre.

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
    """`Room` for the centres of a run with these `Settings`."""
    targets = 2 * settings.half_window + settings.negatives
    return Room(
        np.zeros(dim, np.float32),
        np.zeros(dim, np.float32),
        np.zeros(targets, np.int64),
        np.zeros(targets, np.float32),
        np.zeros(targets, np.float32),
    )


@kernel()
def draw_word(noise, key, number):
    """Draw `number` from the noise distribution in the stream of draws `key`."""
    bits = random_bits(key, np.uint64(number))
    column = scaled_draw(high_half(bits), noise.thresholds.shape[0])
    if low_half(bits) < np.uint64(noise.thresholds[column]):
        return column
    return np.int64(noise.aliases[column])


@kernel()
def _window(stream, pos):
    """First and last + 1 stream position of the window of the centre at `pos`."""
    low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
    high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
    return low, high


@kernel()
def _occurrences(stream, low, high, pos, word_id):
    """How often `word_id` is a context of the centre at `pos`."""
    found = 0
    for context_pos in range(low, high):
        found += context_pos != pos and stream.token_ids[context_pos] == word_id
    return found


@kernel()
def _score(hidden, output_vectors, word_id):
    score = _ZERO
    for d in range(hidden.shape[0]):
        score += hidden[d] * output_vectors[word_id, d]
    return score


@kernel()
def _loss_parts(score, label):
    """(σ(score), a, b): the loss of a target with this label is a + ln b, both float64."""
    e = np.float32(math.exp(-abs(score)))
    sigma = (_ONE if score >= _ZERO else e) / (_ONE + e)
    against = -score if label > _ZERO else score
    return sigma, np.float64(max(against, _ZERO)), 1.0 + np.float64(e)


@kernel()
def _clear(vector):
    for d in range(vector.shape[0]):
        vector[d] = _ZERO


@kernel()
def _add_to_row(matrix, row, weight, vector):
    for d in range(vector.shape[0]):
        matrix[row, d] += weight * vector[d]


@kernel()
def _train_target(hidden, gradient, output_vectors, word_id, label, alpha):
    """One target's step: its output row at once, the hidden side into `gradient`.

    Returns a and b of `_loss_parts`.
    """
    sigma, linear, factor = _loss_parts(_score(hidden, output_vectors, word_id), label)
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
        word_id = draw_word(noise, draws, first + k)
        if word_id != positive_id:
            linear, factor = _train_target(hidden, gradient, output_vectors, word_id, _ZERO, alpha)
            loss += linear
            product *= factor  # below 2**1001: `--neg-samples` is 1,000 at most
    return loss + math.log(product)


@kernel()
def _classic_pairs(weights, stream, noise, settings, pos, alpha, draws, room):
    """Skip-gram, K fresh draws a pair; the centre's row changes after each pair."""
    low, high = _window(stream, pos)
    centre_id, K = stream.token_ids[pos], settings.negatives
    hidden = weights.input_vectors[centre_id]
    loss, positives = 0.0, 0
    for context_pos in range(low, high):
        if context_pos == pos:
            continue
        _clear(room.gradient)
        loss += _train_positive(
            hidden, room.gradient, weights.output_vectors, stream.token_ids[context_pos],
            noise, draws, positives * K, K, alpha,
        )  # fmt: skip
        _add_to_row(weights.input_vectors, centre_id, _ONE, room.gradient)
        positives += 1
    return loss, positives


@kernel()
def _classic_window(weights, stream, noise, settings, pos, alpha, draws, room):
    """Skip-gram, K draws a centre, dropped where they are any of its contexts."""
    low, high = _window(stream, pos)
    positives = high - low - 1
    if positives == 0:
        return 0.0, 0
    output_vectors, gradient = weights.output_vectors, room.gradient
    centre_id = stream.token_ids[pos]
    hidden = weights.input_vectors[centre_id]
    _clear(gradient)
    loss = 0.0
    for context_pos in range(low, high):
        if context_pos != pos:
            loss += _train_positive(
                hidden, gradient, output_vectors, stream.token_ids[context_pos],
                noise, draws, 0, 0, alpha,
            )  # fmt: skip
    for k in range(settings.negatives):
        word_id = draw_word(noise, draws, k)
        if _occurrences(stream, low, high, pos, word_id) == 0:
            linear, factor = _train_target(hidden, gradient, output_vectors, word_id, _ZERO, alpha)
            loss += linear + math.log(factor)
    _add_to_row(weights.input_vectors, centre_id, _ONE, gradient)
    return loss, positives


@kernel()
def _average_contexts(input_vectors, stream, pos, low, high, hidden):
    """Fill `hidden` with the mean of the context words' input vectors."""
    _clear(hidden)
    for context_pos in range(low, high):
        if context_pos != pos:
            row = stream.token_ids[context_pos]
            for d in range(hidden.shape[0]):
                hidden[d] += input_vectors[row, d]
    share = _ONE / np.float32(high - low - 1)
    for d in range(hidden.shape[0]):
        hidden[d] *= share


@kernel()
def _add_to_contexts(input_vectors, stream, pos, low, high, undivided, gradient):
    share = _ONE if undivided else _ONE / np.float32(high - low - 1)
    for context_pos in range(low, high):
        if context_pos != pos:
            _add_to_row(input_vectors, stream.token_ids[context_pos], share, gradient)


@kernel()
def _classic_cbow(weights, stream, noise, settings, pos, alpha, draws, room):
    """CBOW: one positive, the centre word, and K draws."""
    low, high = _window(stream, pos)
    if high - low == 1:
        return 0.0, 0
    _average_contexts(weights.input_vectors, stream, pos, low, high, room.hidden)
    _clear(room.gradient)
    loss = _train_positive(
        room.hidden, room.gradient, weights.output_vectors, stream.token_ids[pos],
        noise, draws, 0, settings.negatives, alpha,
    )  # fmt: skip
    _add_to_contexts(
        weights.input_vectors, stream, pos, low, high, settings.undivided, room.gradient
    )
    return loss, 1


@kernel()
def _train_targets(hidden, output_vectors, targets, alpha, room):
    """The first `targets` targets of `room`, weighted, all at the weights as they are now.

    Expects each target's weight in `room.coefficients`; leaves the hidden side in `room.gradient`.
    Returns the weighted loss in nats.
    """
    loss = 0.0
    _clear(room.gradient)
    for target in range(targets):
        word_id, label = room.target_ids[target], room.labels[target]
        weight = room.coefficients[target]
        sigma, linear, factor = _loss_parts(_score(hidden, output_vectors, word_id), label)
        loss += np.float64(weight) * (linear + math.log(factor))
        step = alpha * weight * (label - sigma)
        room.coefficients[target] = step
        for d in range(hidden.shape[0]):
            room.gradient[d] += step * output_vectors[word_id, d]
    for target in range(targets):
        _add_to_row(output_vectors, room.target_ids[target], room.coefficients[target], hidden)
    return loss


@kernel()
def _set_target(room, target, word_id, label, weight):
    room.target_ids[target] = word_id
    room.labels[target] = label
    room.coefficients[target] = weight


@kernel()
def _shared_skip_gram(weights, stream, noise, settings, pos, alpha, draws, room):
    """Skip-gram, K draws a centre that stand for K a pair (or a window)."""
    low, high = _window(stream, pos)
    positives = high - low - 1
    if positives == 0:
        return 0.0, 0
    targets = 0
    for context_pos in range(low, high):
        if context_pos != pos:
            _set_target(room, targets, stream.token_ids[context_pos], _ONE, _ONE)
            targets += 1
    for k in range(settings.negatives):
        word_id = draw_word(noise, draws, k)
        repeats = _occurrences(stream, low, high, pos, word_id)
        weight = np.float32(positives - repeats if settings.per_pair else repeats == 0)
        _set_target(room, targets, word_id, _ZERO, weight)
        targets += 1
    centre_id = stream.token_ids[pos]
    loss = _train_targets(
        weights.input_vectors[centre_id], weights.output_vectors, targets, alpha, room
    )
    _add_to_row(weights.input_vectors, centre_id, _ONE, room.gradient)
    return loss, positives


@kernel()
def _shared_cbow(weights, stream, noise, settings, pos, alpha, draws, room):
    """CBOW: as classic, with all gradients of a centre at its first weights."""
    low, high = _window(stream, pos)
    if high - low == 1:
        return 0.0, 0
    centre_id = stream.token_ids[pos]
    _average_contexts(weights.input_vectors, stream, pos, low, high, room.hidden)
    _set_target(room, 0, centre_id, _ONE, _ONE)
    targets = 1
    for k in range(settings.negatives):
        word_id = draw_word(noise, draws, k)
        if word_id != centre_id:
            _set_target(room, targets, word_id, _ZERO, _ONE)
            targets += 1
    loss = _train_targets(room.hidden, weights.output_vectors, targets, alpha, room)
    _add_to_contexts(
        weights.input_vectors, stream, pos, low, high, settings.undivided, room.gradient
    )
    return loss, 1


@kernel()
def _train_classic_centre(weights, stream, noise, settings, pos, alpha, draws, skip_gram, room):
    if not skip_gram:
        return _classic_cbow(weights, stream, noise, settings, pos, alpha, draws, room)
    if settings.per_pair:
        return _classic_pairs(weights, stream, noise, settings, pos, alpha, draws, room)
    return _classic_window(weights, stream, noise, settings, pos, alpha, draws, room)


@kernel()
def _train_shared_centre(weights, stream, noise, settings, pos, alpha, draws, skip_gram, room):
    if skip_gram:
        return _shared_skip_gram(weights, stream, noise, settings, pos, alpha, draws, room)
    return _shared_cbow(weights, stream, noise, settings, pos, alpha, draws, room)


@kernel()
def _centres_of(plan, thread, num_threads):
    """First and last + 1 of the centres of one thread: a contiguous run."""
    count = plan.last - plan.first
    return (
        plan.first + count * thread // num_threads,
        plan.first + count * (thread + 1) // num_threads,
    )


@kernel(parallel=True)
def train_classic(weights, stream, noise, settings, schedule, plan, skip_gram, num_threads):
    """Train the centres of `plan` as word2vec.c does; see `hogwild.train_negative_sampling`."""
    sums = np.zeros((num_threads, _SUMS_STRIDE))
    for thread in prange(num_threads):
        room = new_room(settings, weights.input_vectors.shape[1])
        stream_key = derive_key(plan.key, RUNG_STREAM)
        first, last = _centres_of(plan, thread, num_threads)
        for pos in range(first, last):
            alpha = learning_rate(schedule, stream.word_positions[pos])
            draws = derive_key(stream_key, np.uint64(pos))
            loss, positives = _train_classic_centre(
                weights, stream, noise, settings, pos, alpha, draws, skip_gram, room
            )
            sums[thread, 0] += loss
            sums[thread, 1] += positives
    return sums


@kernel(parallel=True)
def train_window_shared(weights, stream, noise, settings, schedule, plan, skip_gram, num_threads):
    """Train the centres of `plan` as pWord2Vec does; see `hogwild.train_negative_sampling`."""
    sums = np.zeros((num_threads, _SUMS_STRIDE))
    for thread in prange(num_threads):
        room = new_room(settings, weights.input_vectors.shape[1])
        stream_key = derive_key(plan.key, RUNG_STREAM)
        first, last = _centres_of(plan, thread, num_threads)
        for pos in range(first, last):
            alpha = learning_rate(schedule, stream.word_positions[pos])
            draws = derive_key(stream_key, np.uint64(pos))
            loss, positives = _train_shared_centre(
                weights, stream, noise, settings, pos, alpha, draws, skip_gram, room
            )
            sums[thread, 0] += loss
            sums[thread, 1] += positives
    return sums


RUNGS = {"classic": train_classic, "window_shared": train_window_shared}
