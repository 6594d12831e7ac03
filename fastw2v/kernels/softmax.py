"""Batch updates of skip-gram and CBOW with the full softmax over the vocabulary.

With U examples (see `softmax_batch.py`), counts n_u (occurrences of u) and targets t:

    Z = O · Hᵀ (+ bias)   logits, V × U
    G = n · softmax(Z) − Σ target weights
    dH = Gᵀ · O           O −= α · G · H

The output matrix is cut into slabs of rows, and these into tiles. Pass 1 computes the logits of a
tile and turns them at once into exponentials over the tile's own largest, which stay in memory
where they fit, so that each is computed once. Pass 2 makes G of them, a tile at a time in cache,
and does both products with it.

A slab is taken by one thread at a time; partial results are kept by tile and slab, and combined in
their order. So nothing races, and the sums do not depend on the number of threads.

A trap of Numba's (seen in 0.68): in a parallel kernel, an assignment to an element of an array that
is a member of a tuple is deleted as dead code. So the parallel kernels here only call others.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.blocks import padded
from fastw2v.kernels.llvm.memory import fetch_and_add
from fastw2v.kernels.llvm.terms import exp_columns, fill_terms, scale_columns
from fastw2v.kernels.llvm.tiles import (
    DOT_COLUMNS,
    DOT_ROWS,
    TILE_ROWS,
    add_sums,
    address_of,
    dot_tile,
    set_sums,
)
from fastw2v.kernels.primitives import exp_negative, kernel
from fastw2v.kernels.softmax_batch import (
    TILE,
    Examples,
    Slabs,
    Targets,
    Totals,
    Work,
    add_cbow_gradients,
    add_sgram_gradients,
    gather_cbow_examples,
    gather_sgram_examples,
    list_windows,
    sort_targets,
)

_ZERO = np.float32(0.0)
# What the first-level cache keeps of one side of a product while the other streams past.
_SCORE_ROWS, _SUM_SOURCES = 16, 64


class SoftmaxStep(NamedTuple):
    """What the passes over the vocabulary work on: the parts of a `SoftmaxWorkspace`, filled.

    outputs: float32 (V, dim). num_examples: U. alpha: float32.
    """

    outputs: Any
    num_examples: int
    alpha: Any
    examples: Examples
    targets: Targets
    slabs: Slabs
    totals: Totals
    work: Work
    bias: Any


@kernel()
def _address_tile(outputs, low, rows, spare_row, row_ptr):
    """Fill `row_ptr` with a tile's rows, which are read until the thread takes its next tile."""
    for row in range(rows):
        row_ptr[row] = address_of(outputs, low + row)
    for row in range(TILE_ROWS):
        row_ptr[rows + row] = address_of(spare_row, 0)


@kernel()
def _fill_logits(row_ptr, rows, hidden_ptr, columns, row_bytes, logits, place, stride):
    """logits[place + r·stride + u] = output row r · hidden row u."""
    for first in range(0, rows, _SCORE_ROWS):
        last = min(first + _SCORE_ROWS, rows)
        for column in range(0, columns, DOT_COLUMNS):
            for row in range(first, last, DOT_ROWS):
                dot_tile(
                    row_ptr, row, hidden_ptr, column, row_bytes,
                    logits, place + row * stride + column, stride,
                )  # fmt: skip


@kernel()
def _exponentials_of_tile(step, tile, thread, logits, place):
    """From `place` on: exp(logit − the tile's largest), for the tile's rows and all examples.

    Keeps the targets' logits on the way; leaves the rows' addresses with the thread. Returns how
    many rows the tile has.
    """
    outputs, slabs, targets = step.outputs, step.slabs, step.targets
    U, stride = step.num_examples, slabs.stride
    low, row_ptr = tile * TILE, step.work.row_ptr[thread]
    rows = min(TILE, outputs.shape[0] - low)
    _address_tile(outputs, low, rows, step.work.spare_row, row_ptr)
    row_bytes = 4 * outputs.shape[1]
    _fill_logits(row_ptr, rows, step.examples.hidden_ptr, U, row_bytes, logits, place, stride)
    if step.bias.shape[0] > 0:
        _add_bias(step.bias[low : low + rows], U, logits, place, stride)
    for number in range(targets.starts[tile], targets.starts[tile + 1]):
        target = targets.order[number]
        at = place + (targets.ids[target] - low) * stride + targets.examples[target]
        targets.logits[target] = logits[at]
    exp_columns(logits, place, rows, stride, U, slabs.maxima, slabs.exp_sums, tile * stride)
    return rows


@kernel()
def _add_bias(bias, columns, logits, place, stride):
    """logits[place + r·stride + u] += bias[r]."""
    for row in range(bias.shape[0]):
        start = place + row * stride
        row_logits = logits[start : start + columns]
        for u in range(row_logits.shape[0]):
            row_logits[u] += bias[row]


@kernel()
def _sum_exponentials(step, thread, next_slab):
    """Pass 1: slab after slab, until none is left."""
    slabs = step.slabs
    keep = slabs.kept.shape[0] > 0
    tiles, slab_tiles = _tiles_of(step.outputs, slabs)
    while True:
        first = slab_tiles * fetch_and_add(next_slab, 0, 1)
        if first >= tiles:
            break
        for tile in range(first, min(first + slab_tiles, tiles)):
            logits = slabs.kept if keep else step.work.tile[thread]
            place = tile * TILE * slabs.stride if keep else np.int64(0)
            _exponentials_of_tile(step, tile, thread, logits, place)


@kernel()
def _tiles_of(outputs, slabs):
    """(tiles, tiles a slab)."""
    return (outputs.shape[0] + TILE - 1) // TILE, slabs.slab_rows // TILE


@kernel()
def _combine_tiles(step, first, last):
    """Fill `totals` for the examples first … last − 1; the tiles in their order."""
    slabs, totals = step.slabs, step.totals
    tops, sums = totals.tops[first:last], totals.sums[first:last]
    tops[:] = slabs.maxima[first:last]
    sums[:] = 0.0
    tiles = _tiles_of(step.outputs, slabs)[0]
    for tile in range(1, tiles):
        maxima = slabs.maxima[tile * slabs.stride + first :]
        for u in range(tops.shape[0]):
            tops[u] = maxima[u] if maxima[u] > tops[u] else tops[u]
    for tile in range(tiles):
        maxima = slabs.maxima[tile * slabs.stride + first :]
        exp_sums = slabs.exp_sums[tile * slabs.stride + first :]
        for u in range(tops.shape[0]):
            sums[u] += np.float64(exp_sums[u] * exp_negative(maxima[u] - tops[u]))
    for u in range(first, last):
        count = np.float64(step.examples.counts[u])
        totals.factors[u] = -np.float64(step.alpha) * count / totals.sums[u]


@kernel()
def _gradients_of_tile(step, tile, rows, thread, exponentials, place):
    """Into the thread's tile: −α·(n·p − target weights), 0 for rows and examples of padding."""
    slabs, totals, targets, U = step.slabs, step.totals, step.targets, step.num_examples
    scales, gradients, stride = step.work.scales[thread], step.work.tile[thread], slabs.stride
    maxima = slabs.maxima[tile * stride :]
    for u in range(U):
        scales[u] = totals.factors[u] * exp_negative(maxima[u] - totals.tops[u])
    scales[U:] = _ZERO
    scale_columns(exponentials, place, gradients, rows, stride, padded(U), scales)
    fill_terms(gradients, rows * stride, (padded(rows) - rows) * stride, _ZERO)
    for number in range(targets.starts[tile], targets.starts[tile + 1]):
        target = targets.order[number]
        at = (targets.ids[target] - tile * TILE) * stride + targets.examples[target]
        gradients[at] += step.alpha * targets.weights[target]


@kernel()
def _update_tile(step, tile, thread, first_of_slab):
    """Pass 2 of one tile: add to the slab's gradients of the hidden rows, and to its output rows.

    The tile's rows and the slab are this thread's alone: nothing races.
    """
    outputs, slabs, work, U = step.outputs, step.slabs, step.work, step.num_examples
    stride, row_bytes = slabs.stride, 4 * outputs.shape[1]
    row_ptr, part_ptr, gradients = work.row_ptr[thread], work.part_ptr[thread], work.tile[thread]
    if slabs.kept.shape[0] > 0:
        rows = min(TILE, outputs.shape[0] - tile * TILE)
        _address_tile(outputs, tile * TILE, rows, work.spare_row, row_ptr)
        exponentials, place = slabs.kept, tile * TILE * stride
    else:
        exponentials, place = gradients, np.int64(0)
        rows = _exponentials_of_tile(step, tile, thread, gradients, place)
    _gradients_of_tile(step, tile, rows, thread, exponentials, place)
    if first_of_slab:
        set_sums(part_ptr, 0, U, row_ptr, rows, gradients, 0, stride, 1, row_bytes)
    else:
        add_sums(part_ptr, 0, U, row_ptr, rows, gradients, 0, stride, 1, row_bytes)
    for source in range(0, U, _SUM_SOURCES):
        add_sums(
            row_ptr, 0, rows, step.examples.hidden_ptr[source:], min(_SUM_SOURCES, U - source),
            gradients, source, 1, stride, row_bytes,
        )  # fmt: skip


@kernel()
def _update_slabs(step, thread, next_slab):
    """Pass 2: slab after slab, until none is left."""
    tiles, slab_tiles = _tiles_of(step.outputs, step.slabs)
    part_ptr = step.work.part_ptr[thread]
    while True:
        slab = fetch_and_add(next_slab, 0, 1)
        first = slab_tiles * slab
        if first >= tiles:
            break
        for u in range(part_ptr.shape[0]):  # read by `_update_tile`, until the next slab
            part_ptr[u] = address_of(step.slabs.gradients, slab * part_ptr.shape[0] + u)
        for tile in range(first, min(first + slab_tiles, tiles)):
            _update_tile(step, tile, thread, tile == first)


@kernel()
def _sum_parts(first, last, gradient, parts, size):
    """gradient[u] = Σ over slabs of its part, in the slabs' order, for u in first … last − 1."""
    for u in range(first, last):
        total = gradient[u]
        total[:] = parts[u]
        for slab in range(1, parts.shape[0] // size):
            part = parts[slab * size + u]
            for d in range(total.shape[0]):
                total[d] += part[d]


# Numba's parallel loops take no tuples of tuples: the step is put together again inside.


@kernel(parallel=True)
def _sum_all_exponentials(outputs, U, alpha, examples, targets, slabs, totals, work, bias):
    next_slab, threads = np.zeros(1, np.int64), work.tile.shape[0]
    for thread in prange(threads):
        step = SoftmaxStep(outputs, U, alpha, examples, targets, slabs, totals, work, bias)
        _sum_exponentials(step, np.int64(thread), next_slab)


@kernel(parallel=True)
def _combine_all_tiles(outputs, U, alpha, examples, targets, slabs, totals, work, bias):
    threads = work.tile.shape[0]
    for thread in prange(threads):
        step = SoftmaxStep(outputs, U, alpha, examples, targets, slabs, totals, work, bias)
        _combine_tiles(step, U * thread // threads, U * (thread + 1) // threads)


@kernel(parallel=True)
def _update_all_slabs(outputs, U, alpha, examples, targets, slabs, totals, work, bias):
    next_slab, threads = np.zeros(1, np.int64), work.tile.shape[0]
    for thread in prange(threads):
        step = SoftmaxStep(outputs, U, alpha, examples, targets, slabs, totals, work, bias)
        _update_slabs(step, np.int64(thread), next_slab)


@kernel(parallel=True)
def _sum_all_parts(U, gradient, parts, size, threads):
    for thread in prange(threads):
        first, last = U * thread // threads, U * (thread + 1) // threads
        _sum_parts(first, last, gradient, parts, size)


@kernel()
def softmax_update(outputs, num_examples, num_targets, alpha, workspace):
    """Loss of the batch; and unless α = 0, −α·dH into `examples.gradient`, O −= α·G·H.

    Args:
        outputs: float32 (V, dim), changed in place.
        num_examples, num_targets: how many examples and targets `workspace` has.
        alpha: float32 learning rate; 0 leaves the weights as they are.
        workspace: `softmax_batch.SoftmaxWorkspace`, its examples and targets gathered.

    Returns:
        The loss in nats, summed over the centers: −Σ weight · log softmax(Z)[target].
    """
    targets, totals, work = workspace.targets, workspace.totals, workspace.work
    examples, slabs, threads = workspace.examples, workspace.slabs, work.tile.shape[0]
    step = SoftmaxStep(
        outputs=outputs,
        num_examples=num_examples,
        alpha=alpha,
        examples=examples,
        targets=targets,
        slabs=slabs,
        totals=totals,
        work=work,
        bias=workspace.bias,
    )
    sort_targets(targets, num_targets)
    _sum_all_exponentials(*step)
    _combine_all_tiles(*step)
    loss = 0.0
    for target in range(num_targets):
        u = targets.examples[target]
        surprise = math.log(totals.sums[u]) + np.float64(totals.tops[u] - targets.logits[target])
        loss += np.float64(targets.weights[target]) * surprise
    if alpha != _ZERO:
        _update_all_slabs(*step)
        parts_size = work.part_ptr.shape[1]
        _sum_all_parts(num_examples, examples.gradient, slabs.gradients, parts_size, threads)
    return loss


@kernel()
def softmax_batch_update(weights, stream, first, count, objective, skip_gram, alpha, workspace):
    """Train one batch: centers first … first + count − 1, gradients summed over them.

    Args:
        weights: `blocks.Weights`, changed in place; rows of whole `simd.ROW_FLOATS`.
        stream: `streams.Stream`.
        first, count: the batch's centers, as stream positions.
        objective: `blocks.Objective` (only `undivided` matters).
        skip_gram: True for sgram, False for cbow.
        alpha: float32 learning rate; with 0, only the loss is computed.
        workspace: `softmax_batch.SoftmaxWorkspace`.

    Returns:
        (loss in nats summed over the centers, number of centers that have a context).
    """
    inputs, threads = weights.input_vectors, workspace.work.tile.shape[0]
    windows, examples, targets = workspace.windows, workspace.examples, workspace.targets
    centers = list_windows(stream, first, count, windows)
    if centers == 0:
        return 0.0, 0
    if skip_gram:
        U, num_targets = gather_sgram_examples(inputs, windows, centers, examples, targets)
    else:
        U, num_targets = gather_cbow_examples(inputs, windows, centers, examples, targets, threads)
    loss = softmax_update(weights.output_vectors, U, num_targets, alpha, workspace)
    if alpha != _ZERO:
        if skip_gram:
            add_sgram_gradients(inputs, examples, U)
        else:
            add_cbow_gradients(inputs, windows, centers, examples, objective.undivided, threads)
    return loss, centers
