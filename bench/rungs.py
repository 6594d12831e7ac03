"""The slower rungs below the block kernels: what word2vec.c and pWord2Vec do, compiled by Numba.

classic         word2vec.c: K fresh draws for every positive; each target's output row changes at
                once, the hidden side after the K + 1 targets of a positive.
window_shared   pWord2Vec (Ji et al. 2016): K draws for a whole window, weighted to stand for K a
                positive; all gradients of a window at its first weights. A block of one center.

`train_classic` and `train_window_shared` have the arguments and the result of
`hogwild.train_negative_sampling` (of the plan they use the centers and the key), so that they can
stand in its place: see `bench.rung_stepper`. They are plain: float32, one row at a time, nothing
shared beyond what their names say. Threads race as in `hogwild`.
"""

# Kernels are compiled for the array types that their docstrings give; Numba checks the types.
# mypy: allow-untyped-defs
from __future__ import annotations

import numpy as np
from numba import prange

from bench.rungs_classic import train_classic_center
from bench.rungs_parts import new_room
from bench.rungs_shared import train_shared_center
from fastw2v.kernels.hogwild import learning_rate
from fastw2v.kernels.primitives import derive_key, kernel

RUNG_STREAM = 16  # beside the streams of draws that `kernels.streams` numbers
_SUMS_STRIDE = 16


@kernel()
def _centers_of(plan, thread, num_threads):
    """First and last + 1 of the centers of one thread: a contiguous run."""
    count = plan.last - plan.first
    return (
        plan.first + count * thread // num_threads,
        plan.first + count * (thread + 1) // num_threads,
    )


@kernel(parallel=True)
def train_classic(weights, stream, noise, settings, schedule, plan, skip_gram, num_threads):
    """Train the centers of `plan` as word2vec.c does; see `hogwild.train_negative_sampling`."""
    sums = np.zeros((num_threads, _SUMS_STRIDE))
    for thread in prange(num_threads):
        room = new_room(settings, weights.input_vectors.shape[1])
        stream_key = derive_key(plan.key, RUNG_STREAM)
        first, last = _centers_of(plan, thread, num_threads)
        for pos in range(first, last):
            alpha = learning_rate(schedule, stream.word_positions[pos])
            draws = derive_key(stream_key, np.uint64(pos))
            loss, positives = train_classic_center(
                weights, stream, noise, settings, pos, alpha, draws, skip_gram, room
            )
            sums[thread, 0] += loss
            sums[thread, 1] += positives
    return sums


@kernel(parallel=True)
def train_window_shared(weights, stream, noise, settings, schedule, plan, skip_gram, num_threads):
    """Train the centers of `plan` as pWord2Vec does; see `hogwild.train_negative_sampling`."""
    sums = np.zeros((num_threads, _SUMS_STRIDE))
    for thread in prange(num_threads):
        room = new_room(settings, weights.input_vectors.shape[1])
        stream_key = derive_key(plan.key, RUNG_STREAM)
        first, last = _centers_of(plan, thread, num_threads)
        for pos in range(first, last):
            alpha = learning_rate(schedule, stream.word_positions[pos])
            draws = derive_key(stream_key, np.uint64(pos))
            loss, positives = train_shared_center(
                weights, stream, noise, settings, pos, alpha, draws, skip_gram, room
            )
            sums[thread, 0] += loss
            sums[thread, 1] += positives
    return sums


RUNGS = {"classic": train_classic, "window_shared": train_window_shared}
