"""The examples of a full-softmax batch: what is predicted from what, and whose rows learn.

A batch is some consecutive centers of the stream. Its examples are U hidden rows h_u: one a center
for CBOW; one a *distinct* center word for skip-gram, whose softmax depends on that word alone, so
that one serves all its occurrences.

The memory of a full-softmax batch: what its update writes besides the weights.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from fastw2v.kernels.blocks import new_rows, padded
from fastw2v.kernels.llvm.simd import ROW_FLOATS
from fastw2v.kernels.llvm.tiles import TILE_ROWS, address_of, copy_row_at, set_row
from fastw2v.kernels.primitives import kernel

TILE = 64  # rows of the vocabulary that are worked on at a time; targets are sorted by it
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Windows(NamedTuple):
    """The centers of a batch that have a context, n of up to B, with their contexts.

    center_ids: int32 (B,). starts: int64 (B + 1,), where the contexts of a center begin in
    context_ids: int32 (B · 2·half,). addresses: int64, as long: the contexts' input rows (CBOW).
    """

    center_ids: Any
    starts: Any
    context_ids: Any
    addresses: Any


class Examples(NamedTuple):
    """Hidden rows; room for B of them, and for P, which is B rounded up to whole tiles.

    hidden: float32 (P, dim), rows h_u; gradient: float32 (P, dim), −α·∂loss/∂h_u.
    hidden_at: int64 (P,), the addresses of the rows of `hidden`.
    word_ids: int32 (B,), skip-gram: the center word of example u.
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
    """Fill `windows` with the centers first … first + count − 1; returns how many have context."""
    found, contexts = 0, 0
    for pos in range(first, first + count):
        low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
        high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
        if high - low < 2:
            continue
        windows.center_ids[found] = stream.token_ids[pos]
        windows.starts[found] = contexts
        found += 1
        for context_pos in range(low, high):
            if context_pos != pos:
                windows.context_ids[contexts] = stream.token_ids[context_pos]
                contexts += 1
    windows.starts[found] = contexts
    return found


@kernel()
def gather_sgram_examples(inputs, windows, centers, examples, targets):
    """One example a distinct center word; returns (examples, targets).

    Each occurrence's target is the mean of the one-hots of its own window.
    """
    distinct = 0
    for center in range(centers):
        word_id = windows.center_ids[center]
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
        start, stop = windows.starts[center], windows.starts[center + 1]
        for target in range(start, stop):
            targets.examples[target] = example
            targets.ids[target] = windows.context_ids[target]
            targets.weights[target] = _ONE / np.float32(stop - start)
    for example in range(distinct):
        examples.slots[examples.word_ids[example]] = -1
    return distinct, windows.starts[centers]


@kernel()
def gather_cbow_examples(inputs, windows, centers, examples, targets, threads):
    """One example a center, h = mean of its context rows; returns (examples, targets)."""
    for center in range(centers):
        examples.counts[center] = _ONE
        examples.shares[center] = _ONE / np.float32(
            windows.starts[center + 1] - windows.starts[center]
        )
        targets.examples[center] = center
        targets.ids[center] = windows.center_ids[center]
        targets.weights[center] = _ONE
    for context in range(windows.starts[centers]):
        windows.addresses[context] = address_of(inputs, windows.context_ids[context])
    _average_all(windows, centers, examples, threads)
    return centers, centers


@kernel(parallel=True)
def _average_all(windows, centers, examples, threads):
    for thread in prange(threads):
        _average(windows, centers * thread // threads, centers * (thread + 1) // threads, examples)


@kernel()
def _average(windows, first, last, examples):
    """hidden[u] = mean of the context rows of center u, for the centers first … last − 1."""
    for center in range(first, last):
        start = windows.starts[center]
        contexts = windows.starts[center + 1] - start
        set_row(
            examples.hidden_at[center], windows.addresses, start, contexts,
            examples.shares, center, 0, 4 * examples.hidden.shape[1],
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
def add_cbow_gradients(inputs, windows, centers, examples, undivided, threads):
    """input[context] += gradient/m (or gradient, `undivided`) for every context of every center.

    Each thread owns a slice of the dimensions: words come again, and the order of sums is fixed.
    """
    for thread in prange(threads):
        lines = inputs.shape[1] // ROW_FLOATS
        low = lines * thread // threads * ROW_FLOATS
        high = lines * (thread + 1) // threads * ROW_FLOATS
        _add_cbow_slice(inputs, windows, centers, examples, undivided, low, high)


@kernel()
def _add_cbow_slice(inputs, windows, centers, examples, undivided, low, high):
    for center in range(centers):
        step = examples.gradient[center, low:high]
        share = _ONE if undivided else examples.shares[center]
        for context in range(windows.starts[center], windows.starts[center + 1]):
            row = inputs[windows.context_ids[context], low:high]
            for d in range(row.shape[0]):
                row[d] += share * step[d]


def new_windows(batch_size: int, half_window: int) -> Windows:
    """Room for `batch_size` centers."""
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
    """Room for the targets of `batch_size` centers."""
    room = batch_size * max(1, 2 * half_window)
    return Targets(
        np.zeros(room, np.int32),
        np.zeros(room, np.int32),
        np.zeros(room, np.float32),
        np.zeros(room, np.float32),
        np.zeros(room, np.int32),
        np.zeros(-(-vocabulary_size // TILE) + 1, np.int64),
    )


_MAX_SLABS, _MIN_SLAB = 48, 512  # of which each has a gradient of the hidden rows in memory


class Slabs(NamedTuple):
    """Results by slab and tile: S slabs of `slab_rows` output rows, N tiles, P padded examples.

    kept: float32 (N · TILE · stride,), tile after tile, exp(logit − the tile's largest) for pass 2;
        empty where that computes them again.
    maxima, exp_sums: float32 (N · stride,), of each tile's columns.
    gradients: float32 (S · P, dim), −α·∂/∂h by slab.
    stride: floats from one row of logits to the next.
    """

    kept: Any
    maxima: Any
    exp_sums: Any
    gradients: Any
    slab_rows: int
    stride: int


class Totals(NamedTuple):
    """Over the whole vocabulary, for each example.

    tops: float32 (stride,), its largest logit; sums: float64 (stride,), Σ exp(logit − largest).
    They stay apart, so that large logits lose nothing: largest + log Σ would round away the log.
    factors: float32 (stride,), −α·count/sum.
    """

    tops: Any
    sums: Any
    factors: Any


class Work(NamedTuple):
    """What each of W threads needs for the tile it is at.

    tile: float32 (W, TILE · stride), logits, then gradients. scales: float32 (W, stride).
    rows_at: int64 (W, TILE + 4), addresses of the tile's output rows, then those of `spare`.
    parts_at: int64 (W, P), addresses of its slab's rows of `Slabs.gradients`.
    spare: float32 (1, dim), zeros, and written only zeros.
    """

    tile: Any
    scales: Any
    rows_at: Any
    parts_at: Any
    spare: Any


class Room(NamedTuple):
    """All that a batch update writes besides the weights; see `new_room`."""

    windows: Windows
    examples: Examples
    targets: Targets
    slabs: Slabs
    totals: Totals
    work: Work


def slab_rows(vocabulary_size: int) -> int:
    """Rows a slab: whole tiles, at least 512 rows, and at most 48 slabs."""
    tiles = -(-vocabulary_size // TILE)
    return TILE * max(_MIN_SLAB // TILE, -(-tiles // _MAX_SLABS))


def _stride(batch_size: int) -> int:
    """Whole cache lines, an odd number of them: rows then fall into all sets of the caches."""
    return ROW_FLOATS * (-(-batch_size // ROW_FLOATS) | 1)


def logit_bytes(vocabulary_size: int, batch_size: int) -> int:
    """What keeping all logits of a batch takes."""
    return 4 * -(-vocabulary_size // TILE) * TILE * _stride(batch_size)


def buffer_bytes(
    vocabulary_size: int, dim: int, batch_size: int, half_window: int, threads: int, most: int
) -> int:
    """What `new_room` takes, small things apart; dim is that of padded rows."""
    stride, tiles = _stride(batch_size), -(-vocabulary_size // TILE)
    logits = logit_bytes(vocabulary_size, batch_size)
    slabs = -(-vocabulary_size // slab_rows(vocabulary_size))
    parts = 4 * (slabs + 2) * batch_size * dim
    sums = 8 * tiles * stride + 4 * vocabulary_size + 64 * batch_size * half_window
    return (logits if logits <= most else 0) + parts + sums + threads * 4 * TILE * stride


@kernel()
def _new_work(threads, dim, batch_size, stride):
    return Work(
        np.zeros((threads, TILE * stride), np.float32),
        np.zeros((threads, stride), np.float32),
        np.zeros((threads, TILE + TILE_ROWS), np.int64),
        np.zeros((threads, padded(batch_size)), np.int64),
        new_rows(1, dim),
    )


def new_room(
    vocabulary_size: int, dim: int, batch_size: int, half_window: int, max_logit_bytes: int
) -> Room:
    """Room for batches up to `batch_size` centers, for the threads that Numba has now.

    Logits are kept between the passes where they fit in `max_logit_bytes`; else they are computed
    again. What is kept by slab depends on the vocabulary alone, not on the threads.
    """
    stride, tiles = _stride(batch_size), -(-vocabulary_size // TILE)
    keep = logit_bytes(vocabulary_size, batch_size) <= max_logit_bytes
    rows = slab_rows(vocabulary_size)
    parts = -(-vocabulary_size // rows) * int(padded(batch_size))
    return Room(
        new_windows(batch_size, half_window),
        new_examples(vocabulary_size, dim, batch_size),
        new_targets(vocabulary_size, batch_size, half_window),
        Slabs(
            np.zeros(tiles * TILE * stride if keep else 0, np.float32),
            np.zeros(tiles * stride, np.float32),
            np.zeros(tiles * stride, np.float32),
            np.zeros((parts, dim), np.float32),
            rows,
            stride,
        ),
        Totals(
            np.zeros(stride, np.float32), np.zeros(stride, np.float64), np.zeros(stride, np.float32)
        ),
        _new_work(numba.get_num_threads(), dim, batch_size, stride),
    )
