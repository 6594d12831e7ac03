"""What a block of negative sampling consists of: windows, pairs, terms and the memory for them.

A block is T consecutive centers of the stream, their *window span* (the positions that any of them
has in its window), and one pool of N noise words that all of them share: see
`negative_sampling.py`. A *place* is a position counted from the span's first, a *row* a center
counted from the block's first. A *term* is one score with its weight in the loss.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.llvm.simd import ROW_FLOATS
from fastw2v.kernels.llvm.terms import fill_terms, terms_to_gradients
from fastw2v.kernels.llvm.tiles import TILE_ROWS, address_of, prefetch_row
from fastw2v.kernels.primitives import aligned_zeros, kernel
from fastw2v.kernels.streams import window

FLAGS = 4096
# Unused entries behind each thread's part of an array, so that threads do not share cache lines.
GAP = 16
_ROW_ARRAYS = ("hidden", "gradients", "spare_row")  # float32 matrices, whole lines as they are


class BlockWorkspace(NamedTuple):
    """What the update of a block of T centers writes besides the weights; P is N in whole tiles.

    `*_ptr` are tables of row addresses, which tiles.py reads: `fill_ptr_tables` and
    `list_pairs` fill them for a block, and they are stale when its update ends. Those that are read
    tile by tile (centers, pool) are padded with the address of `spare_row`.

    Terms are flat: the pool's first, P for each center, then the positives'. Pairs of center and
    context are kept twice, as the rows of a sparse matrix are in CSR form: center by center
    (`pair_*`), for what a center gets, and context by context (`ctx_*`), for what a context gets.

    pool_ids: int32 (N,), the draws of the block.
    center_ptr: int64 (T + 4,), the centers' rows. span_ptr: int64 (span,), those of all places of
        the window span. pool_ptr: int64 (P,), the pool's.
    hidden: float32 (T + 4, dim), h_i. gradients: float32 (T + 4, dim), α·∂/∂h_i (CBOW).
        hidden_ptr, gradient_ptr: int64 (T + 4,), their rows; these never change.
    scores: float32 (terms,), later gradients. weights: float32 (terms,), of the terms.
    inverse_counts: float32 (T,), 1/m_i (CBOW).
    windows: int64 (T, 2), first and last + 1 place of the window of a center.
    pair_indptr: int64 (T + 1,), where the contexts of a center begin in
    pair_ptr: int64 (pairs,), the context rows, center by center.
    ctx_indptr: int64 (span + 1,), where the centers of a context begin in
    ctx_ptr: int64 (pairs,), the rows that are added to a context's, and
    ctx_weight: float32 (pairs,), their weights.
    spare_row: float32 (1, dim): zero, and only zeros are written to it.
    flags: uint8 (4096,), which remainders of ids are in the pool; all zero between blocks.
    """

    pool_ids: Any
    center_ptr: Any
    span_ptr: Any
    pool_ptr: Any
    hidden_ptr: Any
    gradient_ptr: Any
    hidden: Any
    gradients: Any
    scores: Any
    weights: Any
    inverse_counts: Any
    windows: Any
    pair_indptr: Any
    pair_ptr: Any
    ctx_indptr: Any
    ctx_ptr: Any
    ctx_weight: Any
    spare_row: Any
    flags: Any


class BlockShape(NamedTuple):
    """The largest block that a workspace is for; dim is that of padded rows."""

    block_size: int
    pool_size: int
    half_window: int
    dim: int


@kernel()
def padded(count):
    """`count` rounded up to whole tiles."""
    return (count + TILE_ROWS - 1) // TILE_ROWS * TILE_ROWS


def _layout(shape: BlockShape) -> BlockWorkspace:
    """(shape, dtype) of each array of a `BlockWorkspace`."""
    block_size, pool_size, half_window, dim = shape
    rows, columns = block_size + TILE_ROWS, -(-pool_size // TILE_ROWS) * TILE_ROWS
    span = block_size + 2 * half_window
    pairs = 2 * half_window * block_size + 1  # one more: a center itself is written, not counted
    # Whole vectors are read and written: one more than there are terms.
    terms = rows * columns + max(pairs, block_size) + 2 * ROW_FLOATS
    return BlockWorkspace(
        pool_ids=((pool_size,), np.int32),
        center_ptr=((rows,), np.int64),
        span_ptr=((span,), np.int64),
        pool_ptr=((columns,), np.int64),
        hidden_ptr=((rows,), np.int64),
        gradient_ptr=((rows,), np.int64),
        hidden=((rows, dim), np.float32),
        gradients=((rows, dim), np.float32),
        scores=((terms,), np.float32),
        weights=((terms,), np.float32),
        inverse_counts=((block_size,), np.float32),
        windows=((block_size, 2), np.int64),
        pair_indptr=((block_size + 1,), np.int64),
        pair_ptr=((pairs,), np.int64),
        ctx_indptr=((span + 1,), np.int64),
        ctx_ptr=((pairs,), np.int64),
        ctx_weight=((pairs,), np.float32),
        spare_row=((1, dim), np.float32),
        flags=((FLAGS,), np.uint8),
    )


def array_copies(count: int, name: str, shape: BlockShape) -> np.ndarray:
    """`count` arrays for the field `name` of a `BlockWorkspace`: that array with one more axis.

    Each begins with a cache line and ends with `GAP` or more unused entries. (Not `pool_ids`, whose
    length is N.)
    """
    (length, *others), dtype = getattr(_layout(shape), name)
    if name not in (*_ROW_ARRAYS, "pool_ids"):
        length = -(-length // GAP) * GAP + GAP
    return aligned_zeros((count, length, *others), dtype)


def new_block_workspaces(threads: int, shape: BlockShape) -> BlockWorkspace:
    """One `BlockWorkspace` a thread: each array with an axis for the threads before its own."""
    workspaces = BlockWorkspace(
        *(array_copies(threads, name, shape) for name in BlockWorkspace._fields)
    )
    for addresses, matrices in (
        (workspaces.hidden_ptr, workspaces.hidden),
        (workspaces.gradient_ptr, workspaces.gradients),
    ):
        rows, row_bytes = matrices.shape[1], matrices.strides[1]
        for thread in range(threads):
            offsets = np.arange(rows) * row_bytes
            addresses[thread, :rows] = matrices[thread].ctypes.data + offsets
    return workspaces


def block_workspace_bytes(shape: BlockShape) -> int:
    """What the workspace of one thread takes, in bytes."""
    return sum(
        np.dtype(dtype).itemsize * int(np.prod(array_shape))
        for array_shape, dtype in _layout(shape)
    )


@kernel(inlined=True)
def workspace_of_thread(workspaces, thread, pool_ids):
    """The thread's `BlockWorkspace`, with `pool_ids` (int32 (N,)) for its own."""
    return BlockWorkspace(
        pool_ids=pool_ids,
        center_ptr=workspaces.center_ptr[thread],
        span_ptr=workspaces.span_ptr[thread],
        pool_ptr=workspaces.pool_ptr[thread],
        hidden_ptr=workspaces.hidden_ptr[thread],
        gradient_ptr=workspaces.gradient_ptr[thread],
        hidden=workspaces.hidden[thread],
        gradients=workspaces.gradients[thread],
        scores=workspaces.scores[thread],
        weights=workspaces.weights[thread],
        inverse_counts=workspaces.inverse_counts[thread],
        windows=workspaces.windows[thread],
        pair_indptr=workspaces.pair_indptr[thread],
        pair_ptr=workspaces.pair_ptr[thread],
        ctx_indptr=workspaces.ctx_indptr[thread],
        ctx_ptr=workspaces.ctx_ptr[thread],
        ctx_weight=workspaces.ctx_weight[thread],
        spare_row=workspaces.spare_row[thread],
        flags=workspaces.flags[thread],
    )


_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Weights(NamedTuple):
    """The two weight matrices, which kernels change in place.

    input_vectors, output_vectors: float32 (V, dim), C order. dim must be a multiple of
    `simd.ROW_FLOATS`: rows are padded with zeros, which stay zero.
    """

    input_vectors: Any
    output_vectors: Any


class Objective(NamedTuple):
    """What defines the loss and its gradients, besides the learning rate.

    half_window: contexts to each side, at most. negatives: K, draws a positive pair (`per_pair`) or
    a window. undivided: CBOW's context rows get dh_i, as in word2vec.c, and not the exact dh_i/m_i.
    """

    half_window: int
    negatives: int
    per_pair: bool
    undivided: bool


@kernel()
def window_span(stream, first, count):
    """First and last + 1 stream position that any center of the block has in its window."""
    low, high = first, first + count
    for pos in range(first, first + count):
        window_low, window_high = window(stream, pos)
        low = min(low, window_low)
        high = max(high, window_high)
    return low, high


@kernel()
def fill_ptr_tables(workspace, stream, first, count, span, centers, contexts, pool):
    """Fill `center_ptr`, `span_ptr` and `pool_ptr`, which the products of this block read.

    Args:
        span: the block's `window_span`.
        centers, contexts, pool: the matrices that have their rows, float32 (V, dim).
    """
    span_low, span_high = span
    spare_row = address_of(workspace.spare_row, 0)
    for row in range(count):
        workspace.center_ptr[row] = address_of(centers, stream.token_ids[first + row])
    for row in range(count, padded(count)):
        workspace.center_ptr[row] = spare_row
    for pos in range(span_low, span_high):
        workspace.span_ptr[pos - span_low] = address_of(contexts, stream.token_ids[pos])
    pool_size = workspace.pool_ids.shape[0]
    for n in range(pool_size):
        workspace.pool_ptr[n] = address_of(pool, workspace.pool_ids[n])
    for n in range(pool_size, padded(pool_size)):
        workspace.pool_ptr[n] = spare_row


@kernel()
def list_pairs(workspace, stream, first, count, span):
    """Fill `windows`, `pair_indptr`, `pair_ptr` and `ctx_indptr`; returns the number of pairs."""
    span_low, span_high = span
    ctx_indptr, pairs = workspace.ctx_indptr, 0
    for place in range(span_high - span_low + 1):
        ctx_indptr[place] = 0
    for row in range(count):
        center_place = first + row - span_low
        low, high = window(stream, first + row)
        workspace.windows[row, 0], workspace.windows[row, 1] = low - span_low, high - span_low
        workspace.pair_indptr[row] = pairs
        for place in range(low - span_low, high - span_low):
            workspace.pair_ptr[pairs] = workspace.span_ptr[place]
            ctx_indptr[place] += place != center_place
            pairs += place != center_place
    workspace.pair_indptr[count] = pairs
    total = 0
    for place in range(span_high - span_low + 1):
        total, ctx_indptr[place] = total + ctx_indptr[place], total
    return pairs


@kernel()
def list_context_updates(workspace, count, first_place, source_ptr, weights, first_weight, by_row):
    """Fill `ctx_ptr` and `ctx_weight`: `source_ptr[row]` for each context of the center `row`.

    A counting sort of the pairs by context; within one, centers stay in their order. Leaves
    `ctx_indptr[k]` where the list of context k ends, as `add_to_contexts` expects.

    Args:
        first_place: place of the first center in the window span.
        source_ptr: int64 (T + 4,), rows, or their offsets where these move (`deterministic.py`).
        weights: float32; a pair's is weights[first_weight + pair], or (`by_row`)
            weights[first_weight + row].
    """
    for row in range(count):
        pair = workspace.pair_indptr[row]
        for place in range(workspace.windows[row, 0], workspace.windows[row, 1]):
            if place == first_place + row:
                continue
            cursor = workspace.ctx_indptr[place]
            workspace.ctx_ptr[cursor] = source_ptr[row]
            workspace.ctx_weight[cursor] = weights[first_weight + (row if by_row else pair)]
            workspace.ctx_indptr[place] = cursor + 1
            pair += 1


@kernel()
def prefetch_block(stream, first, count, half_window, centers, contexts, pool, pool_ids):
    """Prefetch the rows of the next block; what its windows have before `first` is cached."""
    row_bytes = 4 * centers.shape[1]
    stop = min(stream.token_ids.shape[0], first + count + half_window)
    for pos in range(first, first + count):
        prefetch_row(address_of(centers, stream.token_ids[pos]), row_bytes)
    for pos in range(first, stop):
        prefetch_row(address_of(contexts, stream.token_ids[pos]), row_bytes)
    for n in range(pool_ids.shape[0]):
        prefetch_row(address_of(pool, pool_ids[n]), row_bytes)


@kernel()
def weigh_terms(workspace, first_positive, count, positives, negatives, per_pair):
    """Weights of all terms before draws are dropped.

    A draw: K/N times its center's contexts, or (not `per_pair`) K/N where there are any. A
    positive: 1. What fills the last vector: 0, so that it adds nothing.
    """
    weights, starts = workspace.weights, workspace.pair_indptr
    pool_size = workspace.pool_ids.shape[0]
    columns = padded(pool_size)
    unit = np.float32(negatives) / np.float32(pool_size)
    for row in range(count):
        contexts = starts[row + 1] - starts[row]
        base = unit * np.float32(contexts if per_pair else min(contexts, 1))
        fill_terms(weights, row * columns, columns, base)
        for n in range(row * columns + pool_size, (row + 1) * columns):
            weights[n] = _ZERO
    fill_terms(weights, count * columns, first_positive - count * columns, _ZERO)
    fill_terms(weights, first_positive, positives, _ONE)
    fill_terms(weights, first_positive + positives, ROW_FLOATS, _ZERO)


@kernel()
def first_positive_term(workspace, count):
    """Where the positives' terms begin for a block of `count` centers."""
    return padded(count) * padded(workspace.pool_ids.shape[0])


@kernel()
def _flag_pool(workspace, flag):
    for n in range(workspace.pool_ids.shape[0]):
        workspace.flags[workspace.pool_ids[n] & (FLAGS - 1)] = flag


@kernel()
def drop_draws_of_contexts(workspace, stream, count, first, span, objective):
    """Take the weight of draws that equal a positive of their center back (skip-gram).

    Args: as `find_sgram_gradients`.
    """
    span_low, span_high = span
    first_place = first - span_low
    pool_size = workspace.pool_ids.shape[0]
    columns = padded(pool_size)
    unit = np.float32(objective.negatives) / np.float32(pool_size)
    _flag_pool(workspace, 1)
    for place in range(span_high - span_low):
        context_id = stream.token_ids[span_low + place]
        if workspace.flags[context_id & (FLAGS - 1)] == 0:
            continue
        first_row = max(0, place - objective.half_window - first_place)
        last_row = min(count, place + objective.half_window + 1 - first_place)
        for n in range(pool_size):
            if workspace.pool_ids[n] != context_id:
                continue
            for row in range(first_row, last_row):
                low, high = workspace.windows[row, 0], workspace.windows[row, 1]
                if low <= place < high and place != first_place + row:
                    _drop(workspace.weights, row * columns + n, unit, objective.per_pair)
    _flag_pool(workspace, 0)


@kernel()
def _drop(weights, term, unit, per_pair):
    """One draw of `unit` less (exactly: weights are whole multiples of it), or all of them."""
    weights[term] = unit * (np.round(weights[term] / unit) - _ONE) if per_pair else _ZERO


@kernel()
def drop_draws_of_centers(workspace, stream, first, count):
    """Take the weight of draws that equal their center back (CBOW)."""
    columns = padded(workspace.pool_ids.shape[0])
    _flag_pool(workspace, 1)
    for row in range(count):
        center_id = stream.token_ids[first + row]
        if workspace.flags[center_id & (FLAGS - 1)] == 0:
            continue
        for n in range(workspace.pool_ids.shape[0]):
            if workspace.pool_ids[n] == center_id:
                workspace.weights[row * columns + n] = _ZERO
    _flag_pool(workspace, 0)


@kernel()
def scores_to_gradients(workspace, first_positive, positives, alpha):
    """Turn the scores of all terms into gradients; returns the loss in nats.

    The loss is −log σ(s) of a positive, −weight·log σ(−s) of a draw; the gradients are
    α·(1 − σ(s)) and −α·weight·σ(s).
    """
    scores, weights = workspace.scores, workspace.weights
    loss = terms_to_gradients(scores, weights, 0, first_positive, -_ONE, alpha)
    return loss + terms_to_gradients(scores, weights, first_positive, positives, _ONE, alpha)
