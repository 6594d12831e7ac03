"""The parallel loops over blocks: Hogwild (Recht, Ré, Wright and Niu 2011).

The race contract: threads add to the rows of the two weight matrices without locks, so an addition
can be lost when two threads meet on a row, and a read can see a row between two additions. That is
the only race, it is meant, and it is harmless to what is learned. Everything else (scratch, draws,
sums of the loss) belongs to one thread. With one thread there is no race, and the same seed gives
the same bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.blocks import prefetch_block
from fastw2v.kernels.llvm.simd import fetch_and_add
from fastw2v.kernels.negative_sampling import cbow_neg_update, new_scratch, sgram_neg_update
from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.streams import draw_noise

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


@kernel()
def learning_rate(schedule, words):
    """float32 learning rate after `words` further words of this row group."""
    done = (schedule.words_before + words) / schedule.total_words
    return np.float32(schedule.start + (schedule.end - schedule.start) * min(1.0, done))


@kernel()
def _draw_and_prefetch(weights, stream, noise, settings, plan, block, skip_gram, pool_ids):
    """Draw for the block that comes next, and have its rows fetched while this one is at work."""
    draw_noise(noise, plan.key, np.uint64(block), pool_ids)
    first = block * plan.block_size
    count = min(plan.block_size, plan.last - first)
    inputs, outputs = weights.input_vectors, weights.output_vectors
    centers, halo = (inputs, outputs) if skip_gram else (outputs, inputs)
    prefetch_block(stream, first, count, settings.half_window, centers, halo, outputs, pool_ids)


@kernel()
def _train_run(weights, stream, noise, settings, schedule, plan, skip_gram, start, stop, scratch):
    """Train the blocks start … stop − 1; returns (loss, positives)."""
    loss_sum, positives_sum = 0.0, 0
    coming = np.empty_like(scratch.pool_ids)
    draw_noise(noise, plan.key, np.uint64(start), coming)
    for block in range(start, stop):
        scratch.pool_ids[:] = coming
        if block + 1 < stop:
            _draw_and_prefetch(weights, stream, noise, settings, plan, block + 1, skip_gram, coming)
        first = block * plan.block_size
        count = min(plan.block_size, plan.last - first)
        alpha = learning_rate(schedule, stream.word_positions[first])
        if skip_gram:
            loss, positives = sgram_neg_update(
                weights, stream, first, count, settings, alpha, scratch
            )
        else:
            loss, positives = cbow_neg_update(
                weights, stream, first, count, settings, alpha, scratch
            )
        loss_sum += loss
        positives_sum += positives
    return loss_sum, positives_sum


@kernel()
def _train_runs(
    weights, stream, noise, settings, schedule, plan, skip_gram, num_threads, next_run, sums
):
    """One thread's share: run after run of blocks, until none is left."""
    scratch = new_scratch(
        plan.block_size, plan.pool_size, settings.half_window, weights.input_vectors.shape[1]
    )
    first_block = plan.first // plan.block_size
    last_block = (plan.last + plan.block_size - 1) // plan.block_size
    blocks = last_block - first_block
    run_blocks = max(1, min(_RUN_BLOCKS, blocks // (_RUNS_PER_THREAD * num_threads)))
    while True:
        start = first_block + run_blocks * fetch_and_add(next_run, 0, 1)
        if start >= last_block:
            break
        loss, positives = _train_run(
            weights, stream, noise, settings, schedule, plan, skip_gram,
            start, min(start + run_blocks, last_block), scratch,
        )  # fmt: skip
        sums[0] += loss
        sums[1] += positives


@kernel(parallel=True)
def train_negative_sampling(
    weights, stream, noise, settings, schedule, plan, skip_gram, num_threads
):
    """Train the blocks of `plan`; threads take runs of them as they get ready.

    (Dealt out beforehand, all would wait for the thread whose core also reads the corpus.)

    Args:
        weights: `negative_sampling.Weights`, changed in place (see the race contract above).
        stream, noise: `streams.Stream`, `streams.Noise`.
        settings: `negative_sampling.Settings`; schedule: `Schedule`; plan: `BlockPlan`.
        skip_gram: True for sgram_neg, False for cbow_neg.
        num_threads: how many threads work on it.

    Returns:
        float64 (num_threads, 16): column 0 the loss in nats, column 1 the positives it is over.
    """
    sums = np.zeros((num_threads, _SUMS_STRIDE))
    next_run = np.zeros(1, np.int64)
    for thread in prange(num_threads):
        _train_runs(
            weights, stream, noise, settings, schedule, plan, skip_gram, num_threads,
            next_run, sums[thread],
        )  # fmt: skip
    return sums
