"""Batch updates of skip-gram and CBOW with the full softmax over the vocabulary.

A batch is some consecutive centres of the stream. Its examples are U distinct hidden rows: each
centre for CBOW; each *distinct* centre word for skip-gram, whose softmax depends on that word
alone, so one serves all its occurrences. With counts n_u (occurrences of u) and targets t:

    Z = O · Hᵀ            logits, V × U
    G = n · softmax(Z) − Σ target weights
    dH = Gᵀ · O           O −= α · G · H

The output matrix is cut into slabs of rows. A slab is one thread's at a time; partial results are
kept by slab and combined in the slabs' order. So nothing races, and the sums do not depend on the
number of threads. The products are BLAS calls (one thread each: the trainer sees to that).

A trap of Numba's (seen in 0.68): in a parallel kernel, an assignment to an element of an array that
is a member of a tuple is deleted as dead code. So the parallel kernel here only calls others.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from fastw2v.kernels.primitives import copy_row, exp_negative, kernel

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Examples(NamedTuple):
    """The examples of one batch, filled by `gather_examples`; room for B centres.

    hidden: float32 (B, dim), rows h_u; gradient: float32 (B, dim), ∂loss/∂h_u.
    word_ids: int32 (B,), skip-gram: the centre word of example u.
    counts: float32 (B,), softmaxes that example u stands for.
    target_examples, target_ids: int32 (B · max(1, 2·half),); target_weights: float32: the target
        word, its example and its weight.
    slots: int32 (V,), −1 between batches: example of a word (skip-gram).
    """

    hidden: Any
    gradient: Any
    word_ids: Any
    counts: Any
    target_examples: Any
    target_ids: Any
    target_weights: Any
    slots: Any


class Slabs(NamedTuple):
    """Room for the slabs' work; S slabs of `rows` output rows.

    logits: float32 (kept rows · B,): all V rows when they are kept, else `rows` for each room.
    maxima, exp_sums: float32 (S, B); gradients: float32 (S, B, dim); losses: float64 (S, 8).
    rows: output rows a slab; keep: whether pass 2 finds pass 1's logits (else it computes them
        again).
    rooms: how many slabs can have logits at once; slab s uses room s modulo that.
    """

    logits: Any
    maxima: Any
    exp_sums: Any
    gradients: Any
    losses: Any
    rows: int
    keep: bool
    rooms: int


@kernel()
def gather_sgram_examples(weights, stream, first, count, examples):
    """Distinct centre words of the batch with their targets; returns (U, number of targets, n).

    n is how many centres have a context. Each occurrence's target is the mean of the one-hots of
    its own window.
    """
    distinct, targets, centres = 0, 0, 0
    for pos in range(first, first + count):
        low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
        high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
        if high - low < 2:
            continue
        word_id = stream.token_ids[pos]
        example = examples.slots[word_id]
        if example < 0:
            example = distinct
            distinct += 1
            examples.slots[word_id] = example
            examples.word_ids[example] = word_id
            examples.counts[example] = _ZERO
            copy_row(examples.hidden, example, weights.input_vectors, word_id)
        examples.counts[example] += _ONE
        centres += 1
        for context_pos in range(low, high):
            if context_pos != pos:
                examples.target_examples[targets] = example
                examples.target_ids[targets] = stream.token_ids[context_pos]
                examples.target_weights[targets] = _ONE / np.float32(high - low - 1)
                targets += 1
    for example in range(distinct):
        examples.slots[examples.word_ids[example]] = -1
    return distinct, targets, centres


@kernel()
def gather_cbow_examples(weights, stream, first, count, examples):
    """One example a centre that has context, h = mean of its context rows; returns as above."""
    dim = weights.input_vectors.shape[1]
    found = 0
    for pos in range(first, first + count):
        low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
        high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
        if high - low < 2:
            continue
        share = _ONE / np.float32(high - low - 1)
        for d in range(dim):
            examples.hidden[found, d] = _ZERO
        for context_pos in range(low, high):
            if context_pos != pos:
                word_id = stream.token_ids[context_pos]
                for d in range(dim):
                    examples.hidden[found, d] += share * weights.input_vectors[word_id, d]
        examples.counts[found] = _ONE
        examples.target_examples[found] = found
        examples.target_ids[found] = stream.token_ids[pos]
        examples.target_weights[found] = _ONE
        found += 1
    return found, found, found


@kernel()
def _slab_logits(hidden, slabs, room, low, high):
    """The room for one slab's logits, (high − low, U)."""
    U = hidden.shape[0]
    start = (low if slabs.keep else room * slabs.rows) * U
    return slabs.logits[start : start + (high - low) * U].reshape((high - low, U))


@kernel()
def _log_sum_exp_of_slab(logits, maxima, exp_sums):
    """Column maxima, and sums of exp(logit − maximum), of one slab."""
    rows, U = logits.shape
    for u in range(U):
        maxima[u] = logits[0, u]
        exp_sums[u] = _ZERO
    for row in range(1, rows):
        for u in range(U):
            maxima[u] = logits[row, u] if logits[row, u] > maxima[u] else maxima[u]
    for row in range(rows):
        for u in range(U):
            exp_sums[u] += exp_negative(logits[row, u] - maxima[u])


@kernel()
def _combine_slab_sums(slabs, tops, totals):
    """Over all slabs: the largest logit of each example, and Σ exp(logit − largest).

    They stay apart, so that large logits lose nothing: largest + log Σ would round away the log.
    """
    for u in range(tops.shape[0]):
        top = slabs.maxima[0, u]
        for slab in range(slabs.maxima.shape[0]):
            top = max(top, slabs.maxima[slab, u])
        total = 0.0
        for slab in range(slabs.maxima.shape[0]):
            total += np.float64(slabs.exp_sums[slab, u]) * math.exp(
                np.float64(slabs.maxima[slab, u] - top)
            )
        tops[u] = top
        totals[u] = total


@kernel()
def _gradient_of_slab(logits, low, high, tops, totals, examples, targets, losses):
    """Turn one slab's logits into G = n·p − targets; losses[0] = loss of the targets in it."""
    rows, U = logits.shape
    loss = 0.0
    for target in range(targets):
        target_id = examples.target_ids[target]
        if low <= target_id < high:
            u = examples.target_examples[target]
            surprise = math.log(totals[u]) + np.float64(tops[u] - logits[target_id - low, u])
            loss += np.float64(examples.target_weights[target]) * surprise
    scales = np.empty(U, np.float32)
    for u in range(U):
        scales[u] = np.float64(examples.counts[u]) / totals[u]
    for row in range(rows):
        for u in range(U):
            logits[row, u] = scales[u] * exp_negative(logits[row, u] - tops[u])
    for target in range(targets):
        target_id = examples.target_ids[target]
        if low <= target_id < high:
            u = examples.target_examples[target]
            logits[target_id - low, u] -= examples.target_weights[target]
    losses[0] = loss


@kernel()
def _subtract_scaled(rows, alpha, step):
    """rows −= alpha · step."""
    for row in range(rows.shape[0]):
        for d in range(rows.shape[1]):
            rows[row, d] -= alpha * step[row, d]


@kernel()
def _sum_over_slabs(slab_gradients, u, gradient):
    """gradient[u] = Σ over slabs of slab_gradients[slab, u], in the slabs' order."""
    for d in range(gradient.shape[1]):
        gradient[u, d] = _ZERO
    for slab in range(slab_gradients.shape[0]):
        for d in range(gradient.shape[1]):
            gradient[u, d] += slab_gradients[slab, u, d]


@kernel(parallel=True)
def softmax_update(output_vectors, examples, U, targets, alpha, slabs):
    """Pass 1 and 2 over all slabs: loss, dH into `examples.gradient`, O −= α·G·H.

    Args:
        output_vectors: float32 (V, dim), changed in place.
        examples: `Examples`, gathered; U: how many; targets: how many targets.
        alpha: float32 learning rate; 0 leaves the weights as they are.
        slabs: `Slabs`.

    Returns:
        The loss in nats, summed over the centres: −Σ weight · log softmax(Z)[target].
    """
    V = output_vectors.shape[0]
    num_slabs = slabs.maxima.shape[0]
    hidden = examples.hidden[:U]
    for room in prange(slabs.rooms):
        for slab in range(room, num_slabs, slabs.rooms):
            low, high = slab * slabs.rows, min(V, (slab + 1) * slabs.rows)
            logits = _slab_logits(hidden, slabs, room, low, high)
            np.dot(output_vectors[low:high], hidden.T, logits)
            _log_sum_exp_of_slab(logits, slabs.maxima[slab], slabs.exp_sums[slab])
    tops, totals = np.empty(U, np.float32), np.empty(U, np.float64)
    _combine_slab_sums(slabs, tops, totals)
    for room in prange(slabs.rooms):
        for slab in range(room, num_slabs, slabs.rooms):
            low, high = slab * slabs.rows, min(V, (slab + 1) * slabs.rows)
            logits = _slab_logits(hidden, slabs, room, low, high)
            rows = output_vectors[low:high]
            if not slabs.keep:
                np.dot(rows, hidden.T, logits)
            losses = slabs.losses[slab]
            _gradient_of_slab(logits, low, high, tops, totals, examples, targets, losses)
            np.dot(logits.T, rows, slabs.gradients[slab, :U])
            if alpha != _ZERO:
                _subtract_scaled(rows, alpha, np.dot(logits, hidden))
    for u in prange(U):
        _sum_over_slabs(slabs.gradients, u, examples.gradient)
    loss = 0.0
    for slab in range(num_slabs):
        loss += slabs.losses[slab, 0]
    return loss


@kernel()
def add_sgram_gradients(weights, examples, U, alpha):
    """input[word of u] −= α · dH_u; the words are distinct."""
    for u in range(U):
        word_id = examples.word_ids[u]
        for d in range(weights.input_vectors.shape[1]):
            weights.input_vectors[word_id, d] -= alpha * examples.gradient[u, d]


@kernel()
def add_cbow_gradients(weights, stream, first, count, examples, undivided, alpha):
    """input[context word] −= α · dh/m (or dh, `undivided`) for every context of every centre."""
    example = 0
    for pos in range(first, first + count):
        low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
        high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
        if high - low < 2:
            continue
        step = alpha if undivided else alpha / np.float32(high - low - 1)
        for context_pos in range(low, high):
            if context_pos != pos:
                word_id = stream.token_ids[context_pos]
                for d in range(weights.input_vectors.shape[1]):
                    weights.input_vectors[word_id, d] -= step * examples.gradient[example, d]
        example += 1


@kernel()
def softmax_batch_update(weights, stream, first, count, settings, skip_gram, alpha, room):
    """Train one batch: centres first … first + count − 1, gradients summed over them.

    Args:
        weights: `negative_sampling.Weights`, changed in place.
        stream: `streams.Stream`.
        first, count: the batch's centres, as stream positions.
        settings: `negative_sampling.Settings` (only `undivided` matters).
        skip_gram: True for sgram, False for cbow.
        alpha: float32 learning rate.
        room: (`Examples`, `Slabs`).

    Returns:
        (loss in nats summed over the centres, number of centres that have a context).
    """
    examples, slabs = room
    if skip_gram:
        U, targets, centres = gather_sgram_examples(weights, stream, first, count, examples)
    else:
        U, targets, centres = gather_cbow_examples(weights, stream, first, count, examples)
    if U == 0:
        return 0.0, 0
    loss = softmax_update(weights.output_vectors, examples, U, targets, alpha, slabs)
    if skip_gram:
        add_sgram_gradients(weights, examples, U, alpha)
    else:
        add_cbow_gradients(weights, stream, first, count, examples, settings.undivided, alpha)
    return loss, centres


def slab_shape(vocabulary_size):
    """(rows a slab, slabs): at least 1,024 rows each, at most 64 of them."""
    rows = min(vocabulary_size, max(1024, -(-vocabulary_size // 64)))
    return rows, -(-vocabulary_size // rows)


def new_room(vocabulary_size, dim, batch_size, half_window, logit_bytes):
    """`(Examples, Slabs)` for batches up to `batch_size` centres.

    Logits are kept between the passes when V · batch fits in `logit_bytes`; else there is room for
    one slab's a thread. The slabs depend on the vocabulary alone, not on the threads.
    """
    rows, slabs = slab_shape(vocabulary_size)
    keep = 4 * vocabulary_size * batch_size <= logit_bytes
    rooms = slabs if keep else min(slabs, numba.get_num_threads())
    target_room = batch_size * max(1, 2 * half_window)
    examples = Examples(
        np.zeros((batch_size, dim), np.float32),
        np.zeros((batch_size, dim), np.float32),
        np.zeros(batch_size, np.int32),
        np.zeros(batch_size, np.float32),
        np.zeros(target_room, np.int32),
        np.zeros(target_room, np.int32),
        np.zeros(target_room, np.float32),
        np.full(vocabulary_size, -1, np.int32),
    )
    return examples, Slabs(
        np.zeros((vocabulary_size if keep else rooms * rows) * batch_size, np.float32),
        np.zeros((slabs, batch_size), np.float32),
        np.zeros((slabs, batch_size), np.float32),
        np.zeros((slabs, batch_size, dim), np.float32),
        np.zeros((slabs, 8)),
        rows,
        keep,
        rooms,
    )
