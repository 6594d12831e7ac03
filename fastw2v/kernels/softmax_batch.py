"""A full-softmax batch: its examples and targets, the input rows' updates, and the memory for it.

A batch is some consecutive centers of the stream. Its examples are U hidden rows h_u: one a center
for CBOW; one a *distinct* center word for skip-gram, whose softmax depends on that word alone, so
that one serves all its occurrences.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba import prange

from fastw2v.kernels.blocks import padded
from fastw2v.kernels.llvm.simd import ROW_FLOATS
from fastw2v.kernels.llvm.tiles import TILE_ROWS, address_of, copy_row_at, set_row
from fastw2v.kernels.primitives import aligned_zeros, kernel
from fastw2v.kernels.streams import window

TILE = 64  # rows of the vocabulary that are worked on at a time; targets are sorted by it
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Windows(NamedTuple):
    """The centers of a batch that have a context, n of up to B, with their contexts.

    center_ids: int32 (B,). indptr: int64 (B + 1,), where the contexts of a center begin in
    context_ids: int32 (B · 2·half,). context_ptr: int64, as long: the addresses of the contexts'
        input rows, filled and read by `gather_cbow_examples`.
    """

    center_ids: Any
    indptr: Any
    context_ids: Any
    context_ptr: Any


class Examples(NamedTuple):
    """Hidden rows: up to B of them; P is B rounded up to whole tiles.

    hidden: float32 (P, dim), rows h_u; gradient: float32 (P, dim), −α·∂loss/∂h_u.
    hidden_ptr: int64 (P,), the addresses of the rows of `hidden`; they never change.
    word_ids: int32 (B,), skip-gram: the center word of example u.
    counts: float32 (B,), softmaxes that example u stands for.
    inverse_counts: float32 (B,), CBOW: 1 / how many contexts it has.
    slots: int32 (V,), −1 between batches: example of a word (skip-gram).
    """

    hidden: Any
    gradient: Any
    hidden_ptr: Any
    word_ids: Any
    counts: Any
    inverse_counts: Any
    slots: Any


class Targets(NamedTuple):
    """What the examples should give: up to B · max(1, 2·half) targets.

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
        low, high = window(stream, pos)
        if high - low < 2:
            continue
        windows.center_ids[found] = stream.token_ids[pos]
        windows.indptr[found] = contexts
        found += 1
        for context_pos in range(low, high):
            if context_pos != pos:
                windows.context_ids[contexts] = stream.token_ids[context_pos]
                contexts += 1
    windows.indptr[found] = contexts
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
            copy_row_at(examples.hidden_ptr[example], address_of(inputs, word_id),
                        4 * inputs.shape[1])  # fmt: skip
        examples.counts[example] += _ONE
        start, stop = windows.indptr[center], windows.indptr[center + 1]
        for target in range(start, stop):
            targets.examples[target] = example
            targets.ids[target] = windows.context_ids[target]
            targets.weights[target] = _ONE / np.float32(stop - start)
    for example in range(distinct):
        examples.slots[examples.word_ids[example]] = -1
    return distinct, windows.indptr[centers]


@kernel()
def gather_cbow_examples(inputs, windows, centers, examples, targets, threads):
    """One example a center, h = mean of its context rows; returns (examples, targets)."""
    for center in range(centers):
        examples.counts[center] = _ONE
        examples.inverse_counts[center] = _ONE / np.float32(
            windows.indptr[center + 1] - windows.indptr[center]
        )
        targets.examples[center] = center
        targets.ids[center] = windows.center_ids[center]
        targets.weights[center] = _ONE
    for context in range(windows.indptr[centers]):
        windows.context_ptr[context] = address_of(inputs, windows.context_ids[context])
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
        start = windows.indptr[center]
        contexts = windows.indptr[center + 1] - start
        set_row(
            examples.hidden_ptr[center], windows.context_ptr, start, contexts,
            examples.inverse_counts, center, 0, 4 * examples.hidden.shape[1],
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
        share = _ONE if undivided else examples.inverse_counts[center]
        for context in range(windows.indptr[center], windows.indptr[center + 1]):
            row = inputs[windows.context_ids[context], low:high]
            for d in range(row.shape[0]):
                row[d] += share * step[d]


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
    row_ptr: int64 (W, TILE + 4), addresses of the tile's output rows, then that of `spare_row`.
    part_ptr: int64 (W, P), addresses of its slab's rows of `Slabs.gradients`.
    spare_row: float32 (1, dim), zeros, and written only zeros.
    """

    tile: Any
    scales: Any
    row_ptr: Any
    part_ptr: Any
    spare_row: Any


class SoftmaxWorkspace(NamedTuple):
    """All that a batch update writes besides the weights; see `new_softmax_workspace`.

    bias: float32 (V,), read only: added to the logits, p ∝ exp(h · output + bias); or (0,), none.
    """

    windows: Windows
    examples: Examples
    targets: Targets
    slabs: Slabs
    totals: Totals
    work: Work
    bias: Any


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


def softmax_workspace_bytes(
    vocabulary_size: int,
    dim: int,
    batch_size: int,
    half_window: int,
    threads: int,
    max_logit_bytes: int,
) -> int:
    """What `new_softmax_workspace` takes, small things apart; dim is that of padded rows."""
    stride, tiles = _stride(batch_size), -(-vocabulary_size // TILE)
    logits = logit_bytes(vocabulary_size, batch_size)
    slabs = -(-vocabulary_size // slab_rows(vocabulary_size))
    parts = 4 * (slabs + 2) * batch_size * dim
    sums = 8 * tiles * stride + 4 * vocabulary_size + 64 * batch_size * half_window
    return (logits if logits <= max_logit_bytes else 0) + parts + sums + threads * 4 * TILE * stride


def _row_addresses(matrix: np.ndarray) -> np.ndarray:
    """int64 (rows,)."""
    return matrix.ctypes.data + np.arange(len(matrix)) * matrix.strides[0]


def new_softmax_workspace(
    vocabulary_size: int,
    dim: int,
    batch_size: int,
    half_window: int,
    max_logit_bytes: int,
    bias: np.ndarray | None = None,
) -> SoftmaxWorkspace:
    """For batches up to `batch_size` centers, and for the threads that Numba has now.

    Logits are kept between the passes where they fit in `max_logit_bytes`; else they are computed
    again. What is kept by slab depends on the vocabulary alone, not on the threads.

    Args:
        dim: that of padded rows.
        bias: see `SoftmaxWorkspace`; it is copied.
    """
    V, B, threads = vocabulary_size, batch_size, numba.get_num_threads()
    stride, tiles, rows = _stride(B), -(-V // TILE), slab_rows(V)
    examples = int(padded(B))
    slabs = -(-V // rows)
    contexts, targets = max(1, B * 2 * half_window), B * max(1, 2 * half_window)
    keep = logit_bytes(V, B) <= max_logit_bytes
    hidden = aligned_zeros((examples, dim), np.float32)
    return SoftmaxWorkspace(
        windows=Windows(
            center_ids=np.zeros(B, np.int32),
            indptr=np.zeros(B + 1, np.int64),
            context_ids=np.zeros(contexts, np.int32),
            context_ptr=np.zeros(contexts, np.int64),
        ),
        examples=Examples(
            hidden=hidden,
            gradient=aligned_zeros((examples, dim), np.float32),
            hidden_ptr=_row_addresses(hidden),
            word_ids=np.zeros(B, np.int32),
            counts=np.zeros(B, np.float32),
            inverse_counts=np.zeros(B, np.float32),
            slots=np.full(V, -1, np.int32),
        ),
        targets=Targets(
            examples=np.zeros(targets, np.int32),
            ids=np.zeros(targets, np.int32),
            weights=np.zeros(targets, np.float32),
            logits=np.zeros(targets, np.float32),
            order=np.zeros(targets, np.int32),
            starts=np.zeros(tiles + 1, np.int64),
        ),
        slabs=Slabs(
            kept=np.zeros(tiles * TILE * stride if keep else 0, np.float32),
            maxima=np.zeros(tiles * stride, np.float32),
            exp_sums=np.zeros(tiles * stride, np.float32),
            gradients=np.zeros((slabs * examples, dim), np.float32),
            slab_rows=rows,
            stride=stride,
        ),
        totals=Totals(
            tops=np.zeros(stride, np.float32),
            sums=np.zeros(stride, np.float64),
            factors=np.zeros(stride, np.float32),
        ),
        work=Work(
            tile=np.zeros((threads, TILE * stride), np.float32),
            scales=np.zeros((threads, stride), np.float32),
            row_ptr=np.zeros((threads, TILE + TILE_ROWS), np.int64),
            part_ptr=np.zeros((threads, examples), np.int64),
            spare_row=aligned_zeros((1, dim), np.float32),
        ),
        bias=np.array([] if bias is None else bias, np.float32),
    )
