"""The parallel loops over blocks: Hogwild (Recht, Ré, Wright and Niu 2011).

The race contract: threads add to the rows of the two weight matrices without locks, so an addition
can be lost when two threads meet on a row, and a read can see a row between two additions. That is
the only race, it is meant, and it is harmless to what is learnt. Everything else (scratch, draws,
sums of the loss) belongs to one thread. With one thread there is no race, and the same seed gives
the same bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.negative_sampling import cbow_neg_update, new_scratch, sgram_neg_update
from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.streams import draw_noise

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
    """Which blocks to train, and how large: centres first … last − 1 of the stream.

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
def _train_block(weights, stream, noise, settings, schedule, plan, block, skip_gram, scratch):
    first = block * plan.block_size
    count = min(plan.block_size, plan.last - first)
    draw_noise(noise, plan.key, np.uint64(block), scratch.pool_ids)
    alpha = learning_rate(schedule, stream.word_positions[first])
    if skip_gram:
        return sgram_neg_update(weights, stream, first, count, settings, alpha, scratch)
    return cbow_neg_update(weights, stream, first, count, settings, alpha, scratch)


@kernel(parallel=True)
def train_negative_sampling(
    weights, stream, noise, settings, schedule, plan, skip_gram, num_threads
):
    """Train the blocks of `plan`, each thread a contiguous run of them.

    Args:
        weights: `negative_sampling.Weights`, changed in place (see the race contract above).
        stream, noise: `streams.Stream`, `streams.Noise`.
        settings: `negative_sampling.Settings`; schedule: `Schedule`; plan: `BlockPlan`.
        skip_gram: True for sgram_neg, False for cbow_neg.
        num_threads: how many runs the blocks are divided into.

    Returns:
        float64 (num_threads, 16): column 0 the loss in nats, column 1 the positives it is over.
    """
    sums = np.zeros((num_threads, _SUMS_STRIDE))
    first_block = plan.first // plan.block_size
    blocks = (plan.last - plan.first + plan.block_size - 1) // plan.block_size
    for thread in prange(num_threads):
        scratch = new_scratch(
            plan.block_size, plan.pool_size, settings.half_window, weights.input_vectors.shape[1]
        )
        for block in range(
            first_block + blocks * thread // num_threads,
            first_block + blocks * (thread + 1) // num_threads,
        ):
            loss, positives = _train_block(
                weights, stream, noise, settings, schedule, plan, block, skip_gram, scratch
            )
            sums[thread, 0] += loss
            sums[thread, 1] += positives
    return sums
