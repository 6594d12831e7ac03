"""The examples of a full-softmax batch: what is predicted from what, and whose rows learn.

A batch is some consecutive centres of the stream. Its examples are U hidden rows h_u: one a centre
for CBOW; one a *distinct* centre word for skip-gram, whose softmax depends on that word alone, so
that one serves all its occurrences.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.scratch import new_rows, padded
from fastw2v.kernels.simd import ROW_FLOATS
from fastw2v.kernels.tiles import address_of, copy_row_at, set_row

TILE = 64  # rows of the vocabulary that are worked on at a time; targets are sorted by it
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Windows(NamedTuple):
    """The centres of a batch that have a context, n of up to B, with their contexts.

    centre_ids: int32 (B,). starts: int64 (B + 1,), where the contexts of a centre begin in
    context_ids: int32 (B · 2·half,). addresses: int64, as long: the contexts' input rows (CBOW).
    """

    centre_ids: Any
    starts: Any
    context_ids: Any
    addresses: Any


class Examples(NamedTuple):
    """Hidden rows; room for B of them, and for P, which is B rounded up to whole tiles.

    hidden: float32 (P, dim), rows h_u; gradient: float32 (P, dim), −α·∂loss/∂h_u.
    hidden_at: int64 (P,), the addresses of the rows of `hidden`.
    word_ids: int32 (B,), skip-gram: the centre word of example u.
    counts: float32 (B,), softmaxes that example u stands for.
    shares: float32 (B,), CBOW: 1 / how many contexts it has.
    slots: int32 (V,), −1 between batches: example of a word (skip-gram).
    """

    hidden: Any
    gradient: Any
    hidden_at: Any
    word_ids: Any
    counts: Any
    shares: Any
    slots: Any


class Targets(NamedTuple):
    """What the examples should give; room for B · max(1, 2·half) targets.

    examples, ids: int32; weights: float32: which example, its target word, and the weight of that.
    logits: float32, the target's logit, filled on the way.
    order: int32, the targets tile by tile of `TILE` words; starts: int64 (tiles + 1,), where in it
        a tile's begin.
    """

    examples: Any
    ids: Any
    weights: Any
    logits: Any
    order: Any
    starts: Any


@kernel()
def list_windows(stream, first, count, windows):
    """Fill `windows` with the centres first … first + count − 1; returns how many have context."""
    found, contexts = 0, 0
    for pos in range(first, first + count):
        low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
        high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
        if high - low < 2:
            continue
        windows.centre_ids[found] = stream.token_ids[pos]
        windows.starts[found] = contexts
        found += 1
        for context_pos in range(low, high):
            if context_pos != pos:
                windows.context_ids[contexts] = stream.token_ids[context_pos]
                contexts += 1
    windows.starts[found] = contexts
    return found


@kernel()
def gather_sgram_examples(inputs, windows, centres, examples, targets):
    """One example a distinct centre word; returns (examples, targets).

    Each occurrence's target is the mean of the one-hots of its own window.
    """
    distinct = 0
    for centre in range(centres):
        word_id = windows.centre_ids[centre]
        example = examples.slots[word_id]
        if example < 0:
            example = distinct
            distinct += 1
            examples.slots[word_id] = example
            examples.word_ids[example] = word_id
            examples.counts[example] = _ZERO
            copy_row_at(examples.hidden_at[example], address_of(inputs, word_id),
                        4 * inputs.shape[1])  # fmt: skip
        examples.counts[example] += _ONE
        start, stop = windows.starts[centre], windows.starts[centre + 1]
        for target in range(start, stop):
            targets.examples[target] = example
            targets.ids[target] = windows.context_ids[target]
            targets.weights[target] = _ONE / np.float32(stop - start)
    for example in range(distinct):
        examples.slots[examples.word_ids[example]] = -1
    return distinct, windows.starts[centres]


@kernel()
def gather_cbow_examples(inputs, windows, centres, examples, targets, threads):
    """One example a centre, h = mean of its context rows; returns (examples, targets)."""
    for centre in range(centres):
        examples.counts[centre] = _ONE
        examples.shares[centre] = _ONE / np.float32(
            windows.starts[centre + 1] - windows.starts[centre]
        )
        targets.examples[centre] = centre
        targets.ids[centre] = windows.centre_ids[centre]
        targets.weights[centre] = _ONE
    for context in range(windows.starts[centres]):
        windows.addresses[context] = address_of(inputs, windows.context_ids[context])
    _average_all(windows, centres, examples, threads)
    return centres, centres


@kernel(parallel=True)
def _average_all(windows, centres, examples, threads):
    for thread in prange(threads):
        _average(windows, centres * thread // threads, centres * (thread + 1) // threads, examples)


@kernel()
def _average(windows, first, last, examples):
    """hidden[u] = mean of the context rows of centre u, for the centres first … last − 1."""
    for centre in range(first, last):
        start = windows.starts[centre]
        contexts = windows.starts[centre + 1] - start
        set_row(
            examples.hidden_at[centre], windows.addresses, start, contexts,
            examples.shares, centre, 0, 4 * examples.hidden.shape[1],
        )  # fmt: skip


@kernel()
def sort_targets(targets, count):
    """Fill `order` and `starts`: a counting sort, stable."""
    starts = targets.starts
    starts[:] = 0
    for target in range(count):
        starts[targets.ids[target] // TILE + 1] += 1
    for tile in range(1, starts.shape[0]):
        starts[tile] += starts[tile - 1]
    # Filled from the back, starts[tile + 1] moves from the tile's end to where it begins.
    for target in range(count - 1, -1, -1):
        tile = targets.ids[target] // TILE
        starts[tile + 1] -= 1
        targets.order[starts[tile + 1]] = target
    for tile in range(starts.shape[0] - 1):
        starts[tile] = starts[tile + 1]
    starts[starts.shape[0] - 1] = count


@kernel()
def add_sgram_gradients(inputs, examples, count):
    """input[word of u] += gradient[u]; the words are distinct."""
    for example in range(count):
        row = inputs[examples.word_ids[example]]
        for d in range(row.shape[0]):
            row[d] += examples.gradient[example, d]


@kernel(parallel=True)
def add_cbow_gradients(inputs, windows, centres, examples, undivided, threads):
    """input[context] += gradient/m (or gradient, `undivided`) for every context of every centre.

    Each thread owns a slice of the dimensions: words come again, and the order of sums is fixed.
    """
    for thread in prange(threads):
        lines = inputs.shape[1] // ROW_FLOATS
        low = lines * thread // threads * ROW_FLOATS
        high = lines * (thread + 1) // threads * ROW_FLOATS
        _add_cbow_slice(inputs, windows, centres, examples, undivided, low, high)


@kernel()
def _add_cbow_slice(inputs, windows, centres, examples, undivided, low, high):
    for centre in range(centres):
        step = examples.gradient[centre, low:high]
        share = _ONE if undivided else examples.shares[centre]
        for context in range(windows.starts[centre], windows.starts[centre + 1]):
            row = inputs[windows.context_ids[context], low:high]
            for d in range(row.shape[0]):
                row[d] += share * step[d]


def new_windows(batch_size: int, half_window: int) -> Windows:
    """Room for `batch_size` centres."""
    contexts = max(1, batch_size * 2 * half_window)
    return Windows(
        np.zeros(batch_size, np.int32),
        np.zeros(batch_size + 1, np.int64),
        np.zeros(contexts, np.int32),
        np.zeros(contexts, np.int64),
    )


@kernel()
def new_examples(vocabulary_size, dim, batch_size):
    """Room for `batch_size` examples."""
    rows = padded(batch_size)
    examples = Examples(
        new_rows(rows, dim),
        new_rows(rows, dim),
        np.zeros(rows, np.int64),
        np.zeros(batch_size, np.int32),
        np.zeros(batch_size, np.float32),
        np.zeros(batch_size, np.float32),
        np.full(vocabulary_size, -1, np.int32),
    )
    for row in range(rows):
        examples.hidden_at[row] = address_of(examples.hidden, row)
    return examples


def new_targets(vocabulary_size: int, batch_size: int, half_window: int) -> Targets:
    """Room for the targets of `batch_size` centres."""
    room = batch_size * max(1, 2 * half_window)
    return Targets(
        np.zeros(room, np.int32),
        np.zeros(room, np.int32),
        np.zeros(room, np.float32),
        np.zeros(room, np.float32),
        np.zeros(room, np.int32),
        np.zeros(-(-vocabulary_size // TILE) + 1, np.int64),
    )
