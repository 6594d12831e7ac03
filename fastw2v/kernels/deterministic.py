"""Negative sampling on many threads with the same bytes every time: rounds of blocks in two phases.

A round is R consecutive blocks. First, threads take blocks as they get ready and find the gradients
of their terms, at the weights as they were when the round began. Then each thread takes some
columns of both matrices, which no other thread touches, and adds to them what all blocks of the
round bring, block after block: what a block adds to a column depends on that column and the
gradients alone. So nothing races: no weight is written while another thread uses it, each gets its
additions in the order of the stream, and the bytes are the same at any number of threads, one
included.

Only the terms' gradients are those of the round's first weights. The rows that they weigh are as
the blocks before left them, so that a round of one block is `negative_sampling`'s update.

Blocks and parts of the columns are tasks (see `llvm/memory.py`): a thread that comes late, or
never, finds its work done by the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.blocks import (
    GAP,
    BlockShape,
    BlockWorkspace,
    array_copies,
    block_workspace_bytes,
    fill_ptr_tables,
    list_pairs,
    new_block_workspaces,
    padded,
    window_span,
)
from fastw2v.kernels.hogwild import (
    BlockJob,
    block_range,
    center_and_context_matrices,
    centers_of_block,
    draw_and_prefetch,
    learning_rate,
)
from fastw2v.kernels.llvm.memory import COUNTERS_PER_LINE, fetch_and_add, wait_until
from fastw2v.kernels.llvm.simd import LINE_BYTES, ROW_FLOATS
from fastw2v.kernels.llvm.tiles import prefetch_row
from fastw2v.kernels.negative_sampling import (
    add_cbow_gradients,
    add_sgram_gradients,
    add_to_contexts,
    average_contexts,
    copy_centers,
    fill_tile,
    find_cbow_gradients,
    find_sgram_gradients,
    list_cbow_contexts,
    list_sgram_contexts,
)
from fastw2v.kernels.primitives import aligned_zeros, kernel
from fastw2v.kernels.streams import draw_noise


class RoundBlocks(NamedTuple):
    """What the first phase leaves for the second: the arrays of `BlockWorkspace` of that name.

    Each with an axis for the R blocks of a round before its own. The tables have the addresses of
    whole rows, of which the second phase adds the offset of its columns; `ctx_ptr` has offsets from
    the first hidden row (CBOW: first gradient), as hidden rows are thread-local.

    contexts: int64 (R, 16), column 0: positions of the window span.
    row_offsets: int64 (T + 4,), where a hidden row lies, from the first, in bytes.
    """

    pool_ids: Any
    center_ptr: Any
    span_ptr: Any
    pool_ptr: Any
    scores: Any
    pair_indptr: Any
    pair_ptr: Any
    ctx_indptr: Any
    ctx_ptr: Any
    ctx_weight: Any
    contexts: Any
    row_offsets: Any


class RoundWorkspace(NamedTuple):
    """blocks: `RoundBlocks`, shared. local: the `BlockWorkspace` of each thread."""

    blocks: RoundBlocks
    local: BlockWorkspace


def new_round_workspace(threads: int, round_blocks: int, shape: BlockShape) -> RoundWorkspace:
    """`RoundWorkspace` for rounds of up to `round_blocks` blocks."""
    local = new_block_workspaces(threads, shape)
    names = RoundBlocks._fields[:-2]
    return RoundWorkspace(
        RoundBlocks(
            **{name: array_copies(round_blocks, name, shape) for name in names},
            contexts=aligned_zeros((round_blocks, GAP), np.int64),
            row_offsets=np.arange(local.hidden.shape[1]) * local.hidden.strides[1],
        ),
        local,
    )


def round_workspace_bytes(threads: int, round_blocks: int, shape: BlockShape) -> int:
    """What `new_round_workspace` takes, about: a little is counted that a round does not keep."""
    kept = block_workspace_bytes(shape._replace(dim=0))  # hidden rows are not
    return threads * block_workspace_bytes(shape) + round_blocks * kept


@kernel(inlined=True)
def _workspace_to_find(blocks, local, thread, slot):
    """Of block `slot` of the round what the second phase reads, else what is the thread's."""
    return BlockWorkspace(
        pool_ids=blocks.pool_ids[slot],
        center_ptr=blocks.center_ptr[slot],
        span_ptr=blocks.span_ptr[slot],
        pool_ptr=blocks.pool_ptr[slot],
        hidden_ptr=local.hidden_ptr[thread],
        gradient_ptr=local.gradient_ptr[thread],
        hidden=local.hidden[thread],
        gradients=local.gradients[thread],
        scores=blocks.scores[slot],
        weights=local.weights[thread],
        inverse_counts=local.inverse_counts[thread],
        windows=local.windows[thread],
        pair_indptr=blocks.pair_indptr[slot],
        pair_ptr=blocks.pair_ptr[slot],
        ctx_indptr=blocks.ctx_indptr[slot],
        ctx_ptr=blocks.ctx_ptr[slot],
        ctx_weight=blocks.ctx_weight[slot],
        spare_row=local.spare_row[thread],
        flags=local.flags[thread],
    )


@kernel(inlined=True)
def _workspace_to_add(blocks, local, thread, slot):
    """What the first phase left of block `slot`, with the thread's tables of its parts of rows."""
    return BlockWorkspace(
        pool_ids=blocks.pool_ids[slot],
        center_ptr=local.center_ptr[thread],
        span_ptr=local.span_ptr[thread],
        pool_ptr=local.pool_ptr[thread],
        hidden_ptr=local.hidden_ptr[thread],
        gradient_ptr=local.gradient_ptr[thread],
        hidden=local.hidden[thread],
        gradients=local.gradients[thread],
        scores=blocks.scores[slot],
        weights=local.weights[thread],
        inverse_counts=local.inverse_counts[thread],
        windows=local.windows[thread],
        pair_indptr=blocks.pair_indptr[slot],
        pair_ptr=local.pair_ptr[thread],
        ctx_indptr=blocks.ctx_indptr[slot],
        ctx_ptr=local.ctx_ptr[thread],
        ctx_weight=blocks.ctx_weight[slot],
        spare_row=local.spare_row[thread],
        flags=local.flags[thread],
    )


# Counters of a round: blocks taken and blocks done in the first phase, parts of the columns done in
# the second, each in a cache line of its own; from `_PARTS` on, whether a part is taken.
_TAKEN, _FOUND, _ADDED, _PARTS = (COUNTERS_PER_LINE * place for place in range(4))


@kernel(inlined=True)
def _find_block(job, block, slot, blocks, workspace, sums):
    """First phase of one block; `sums`: float64 (2,), for its loss and positives."""
    stream, objective = job.stream, job.objective
    first, count = centers_of_block(job.plan, block)
    alpha = np.float32(learning_rate(job.schedule, stream.word_positions[first]))
    row_bytes = 4 * job.weights.input_vectors.shape[1]
    centers, contexts = center_and_context_matrices(job.weights, job.skip_gram)
    span = window_span(stream, first, count)
    fill_ptr_tables(
        workspace, stream, first, count, span, centers, contexts, job.weights.output_vectors
    )
    list_pairs(workspace, stream, first, count, span)
    blocks.contexts[slot, 0] = span[1] - span[0]
    if job.skip_gram:
        sums[0], sums[1] = find_sgram_gradients(
            stream, first, count, span, objective, alpha, row_bytes, workspace
        )
        list_sgram_contexts(workspace, count, first - span[0], blocks.row_offsets)
    else:
        sums[0], sums[1] = find_cbow_gradients(
            stream, first, count, objective, alpha, row_bytes, workspace
        )
        list_cbow_contexts(
            workspace, count, first - span[0], objective.undivided, blocks.row_offsets
        )


@kernel()
def _find_gradients(job, start, stop, thread, counters, blocks, local, sums):
    """A thread's share of the first phase: block after block, until none is left to take."""
    first_block = job.plan.first // job.plan.block_size
    block = start + fetch_and_add(counters, _TAKEN, 1)
    if block < stop:
        draw_noise(job.noise, job.plan.key, np.uint64(block), blocks.pool_ids[block - start])
    while block < stop:
        # The next is taken before this one is done, so that its rows are on their way.
        next_block = start + fetch_and_add(counters, _TAKEN, 1)
        if next_block < stop:
            draw_and_prefetch(job, next_block, blocks.pool_ids[next_block - start])
        slot = block - start
        workspace = _workspace_to_find(blocks, local, thread, slot)
        _find_block(job, block, slot, blocks, workspace, sums[block - first_block])
        fetch_and_add(counters, _FOUND, 1)
        block = next_block


@kernel()
def _shift(addresses, count, offset, shifted):
    """shifted = addresses + offset, the first `count`."""
    for place in range(count):
        shifted[place] = addresses[place] + offset


@kernel(inlined=True)
def _prefetch_parts(blocks, slot, count, low, part_bytes):
    """Prefetch the parts of a block's rows that begin `low` bytes from the rows' beginnings."""
    for row in range(count):
        prefetch_row(blocks.center_ptr[slot, row] + low, part_bytes)
    for place in range(blocks.contexts[slot, 0]):
        prefetch_row(blocks.span_ptr[slot, place] + low, part_bytes)
    for n in range(blocks.pool_ids.shape[1]):
        prefetch_row(blocks.pool_ptr[slot, n] + low, part_bytes)


@kernel(inlined=True)
def _add_block(blocks, slot, count, skip_gram, low, part_bytes, workspace):
    """Second phase of one block, for the parts of rows that begin `low` bytes from theirs."""
    contexts, pairs = blocks.contexts[slot, 0], blocks.pair_indptr[slot, count]
    _shift(blocks.center_ptr[slot], padded(count), low, workspace.center_ptr)
    _shift(blocks.span_ptr[slot], contexts, low, workspace.span_ptr)
    _shift(blocks.pool_ptr[slot], padded(blocks.pool_ids.shape[1]), low, workspace.pool_ptr)
    _shift(blocks.pair_ptr[slot], pairs, low, workspace.pair_ptr)
    if skip_gram:
        _shift(blocks.ctx_ptr[slot], pairs, workspace.hidden_ptr[0], workspace.ctx_ptr)
        copy_centers(workspace, count, part_bytes)
        add_sgram_gradients(workspace, count, part_bytes)
    else:
        _shift(blocks.ctx_ptr[slot], pairs, workspace.gradient_ptr[0], workspace.ctx_ptr)
        average_contexts(workspace, count, part_bytes)
        fill_tile(workspace, count, part_bytes)
        add_cbow_gradients(workspace, count, part_bytes)
    add_to_contexts(workspace, contexts, part_bytes)


@kernel(inlined=True)
def _add_to_columns(job, low, part_bytes, start, stop, thread, blocks, local):
    """Second phase of all blocks of a round, for the parts of rows `low` bytes from theirs."""
    for block in range(start, stop):
        slot = block - start
        _, count = centers_of_block(job.plan, block)
        if block + 1 < stop:
            _, next_count = centers_of_block(job.plan, block + 1)
            _prefetch_parts(blocks, slot + 1, next_count, low, part_bytes)
        workspace = _workspace_to_add(blocks, local, thread, slot)
        _add_block(blocks, slot, count, job.skip_gram, low, part_bytes, workspace)


@kernel()
def _add_gradients(job, start, stop, thread, threads, counters, blocks, local):
    """A thread's share of the second phase: its part of the columns, whole cache lines.

    Then the parts of threads that have not come yet.
    """
    lines = job.weights.input_vectors.shape[1] // ROW_FLOATS
    for step in range(threads):
        part = (thread + step) % threads
        if fetch_and_add(counters, _PARTS + part, 1) == 0:
            low = LINE_BYTES * (lines * part // threads)
            part_bytes = LINE_BYTES * (lines * (part + 1) // threads) - low
            if part_bytes > 0:
                _add_to_columns(job, low, part_bytes, start, stop, thread, blocks, local)
            fetch_and_add(counters, _ADDED, 1)


@kernel()
def _train_share(job, thread, threads, counters, blocks, local, sums):
    """A thread's share of all rounds; counters: int64 (rounds, …)."""
    round_blocks = blocks.pool_ids.shape[0]
    start, last = block_range(job.plan)
    number = 0
    while start < last:
        stop = min((start // round_blocks + 1) * round_blocks, last)
        _find_gradients(job, start, stop, thread, counters[number], blocks, local, sums)
        wait_until(counters[number], _FOUND, stop - start)
        _add_gradients(job, start, stop, thread, threads, counters[number], blocks, local)
        wait_until(counters[number], _ADDED, threads)
        start, number = stop, number + 1


@kernel(parallel=True)
def _train_all_shares(
    weights, stream, noise, objective, schedule, plan, skip_gram, num_threads, blocks, local
):
    first_block, last_block = block_range(plan)
    rounds = (last_block - first_block) // blocks.pool_ids.shape[0] + 2  # first, last: may be short
    counters = np.zeros((rounds, _PARTS + num_threads + COUNTERS_PER_LINE), np.int64)
    sums = np.zeros((last_block - first_block, 2))
    for thread in prange(num_threads):
        _train_share(
            BlockJob(weights, stream, noise, objective, schedule, plan, skip_gram),
            np.int64(thread), num_threads, counters, blocks, local, sums,
        )  # fmt: skip
    return sums


def train_in_rounds(job: BlockJob, num_threads: int, workspace: RoundWorkspace) -> np.ndarray:
    """Train the blocks of a job; rounds begin at multiples of R blocks of the stream.

    Args:
        job: its weights are changed in place, and nothing races.
        num_threads: how many threads share each round.
        workspace: for as many threads.

    Returns:
        float64 (blocks, 2): by block, the loss in nats and the positives that it is over.
    """
    # Numba's parallel loops take no tuples of tuples: the job is put together again inside.
    return np.asarray(_train_all_shares(*job, num_threads, *workspace))
