"""The parallel loop over blocks: Hogwild (Recht, Ré, Wright and Niu 2011).

The race contract: threads add to the rows of the two weight matrices without locks, so an addition
can be lost when two threads meet on a row, and a read can see a row between two additions. That is
the only race, it is meant, and it is harmless to what is learned. Everything else (workspaces,
draws, sums of the loss) is thread-local. With one thread there is no race, and the same seed gives
the same bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.blocks import (
    BlockWorkspace,
    Objective,
    Weights,
    prefetch_block,
    workspace_of_thread,
)
from fastw2v.kernels.llvm.memory import fetch_and_add
from fastw2v.kernels.negative_sampling import cbow_neg_update, sgram_neg_update
from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.streams import Noise, Stream, draw_noise

# Blocks that a thread takes at a time (half a millisecond of work), and how many times each thread
# should have something to take, which makes it fewer where there is little work.
_RUN_BLOCKS = 32
_RUNS_PER_THREAD = 8
_SUMS_STRIDE = 16  # float64s: two cache lines, so that threads do not share one


class Schedule(NamedTuple):
    """Linear learning-rate decay: from `start` at word 0 to `end` at word `total_words`.

    words_before: words of the run trained before this row group.
    """

    start: float
    end: float
    total_words: float
    words_before: float


class BlockPlan(NamedTuple):
    """Which blocks to train, and how large: centers first … last − 1 of the stream.

    Blocks begin at multiples of `block_size` of the stream, whatever range is asked for; `first`
    must be such a multiple. key: uint64, the row group's.
    """

    first: int
    last: int
    block_size: int
    pool_size: int
    key: Any


class BlockJob(NamedTuple):
    """All that defines the training of some blocks, apart from who does it.

    skip_gram: sgram_neg, else cbow_neg.
    """

    weights: Weights
    stream: Stream
    noise: Noise
    objective: Objective
    schedule: Schedule
    plan: BlockPlan
    skip_gram: bool


@kernel()
def learning_rate(schedule, words):
    """The learning rate (float64) after `words` further words of this row group."""
    done = (schedule.words_before + words) / schedule.total_words
    return schedule.start + (schedule.end - schedule.start) * min(1.0, done)


@kernel(inlined=True)
def block_range(plan):
    """Number of the first block of `plan`, and of the last + 1."""
    return (
        plan.first // plan.block_size,
        (plan.last + plan.block_size - 1) // plan.block_size,
    )


@kernel(inlined=True)
def centers_of_block(plan, block):
    """Stream position of the first center of a block, and how many it has."""
    first = block * plan.block_size
    return first, min(plan.block_size, plan.last - first)


@kernel(inlined=True)
def center_and_context_matrices(weights, skip_gram):
    """The matrices that have the rows of centers and of contexts, float32 (V, dim)."""
    inputs, outputs = weights.input_vectors, weights.output_vectors
    return (inputs, outputs) if skip_gram else (outputs, inputs)


@kernel()
def draw_and_prefetch(job, block, pool_ids):
    """Draw for the block that comes next, and prefetch its rows while this one is computed."""
    draw_noise(job.noise, job.plan.key, np.uint64(block), pool_ids)
    first, count = centers_of_block(job.plan, block)
    centers, contexts = center_and_context_matrices(job.weights, job.skip_gram)
    prefetch_block(
        job.stream, first, count, job.objective.half_window, centers, contexts,
        job.weights.output_vectors, pool_ids,
    )  # fmt: skip


@kernel()
def _train_run(job, start, stop, workspace):
    """Train the blocks start … stop − 1; returns (loss, positives)."""
    weights, stream, objective, plan = job.weights, job.stream, job.objective, job.plan
    loss_sum, positives_sum = 0.0, 0
    next_pool_ids = np.empty_like(workspace.pool_ids)
    draw_noise(job.noise, plan.key, np.uint64(start), next_pool_ids)
    for block in range(start, stop):
        workspace.pool_ids[:] = next_pool_ids
        if block + 1 < stop:
            draw_and_prefetch(job, block + 1, next_pool_ids)
        first, count = centers_of_block(plan, block)
        alpha = np.float32(learning_rate(job.schedule, stream.word_positions[first]))
        # The race: both updates add to rows of `weights` that other threads may be adding to.
        if job.skip_gram:
            loss, positives = sgram_neg_update(
                weights, stream, first, count, objective, alpha, workspace
            )
        else:
            loss, positives = cbow_neg_update(
                weights, stream, first, count, objective, alpha, workspace
            )
        loss_sum += loss
        positives_sum += positives
    return loss_sum, positives_sum


@kernel()
def _train_runs(job, thread, num_threads, workspaces, next_run, sums):
    """One thread's share: run after run of blocks, until none is left."""
    pool_ids = np.empty(job.plan.pool_size, np.int32)
    workspace = workspace_of_thread(workspaces, thread, pool_ids)
    first_block, last_block = block_range(job.plan)
    blocks = last_block - first_block
    run_blocks = max(1, min(_RUN_BLOCKS, blocks // (_RUNS_PER_THREAD * num_threads)))
    while True:
        start = first_block + run_blocks * fetch_and_add(next_run, 0, 1)
        if start >= last_block:
            break
        loss, positives = _train_run(job, start, min(start + run_blocks, last_block), workspace)
        sums[0] += loss
        sums[1] += positives


@kernel(parallel=True)
def _train_all_runs(
    weights, stream, noise, objective, schedule, plan, skip_gram, num_threads, workspaces
):
    sums = np.zeros((num_threads, _SUMS_STRIDE))
    next_run = np.zeros(1, np.int64)
    for thread in prange(num_threads):
        _train_runs(
            BlockJob(weights, stream, noise, objective, schedule, plan, skip_gram),
            np.int64(thread), num_threads, workspaces, next_run, sums[thread],
        )  # fmt: skip
    return sums


def train_negative_sampling(
    job: BlockJob, num_threads: int, workspaces: BlockWorkspace
) -> np.ndarray:
    """Train the blocks of a job; threads take runs of them as they get ready.

    (Dealt out beforehand, all would wait for the thread whose core also reads the corpus.)

    Args:
        job: its weights are changed in place (see the race contract above).
        num_threads: how many threads share the blocks.
        workspaces: `blocks.new_block_workspaces` for as many threads.

    Returns:
        float64 (num_threads, 16): column 0 the loss in nats, column 1 the positives it is over.
    """
    # Numba's parallel loops take no tuples of tuples: the job is put together again inside.
    return np.asarray(_train_all_runs(*job, num_threads, workspaces))
