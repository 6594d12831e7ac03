"""A check that every rung of the ladder must pass before it is timed.

At frozen weights all of them (word2vec.c's pairs, shared windows, blocks of any size) have the same
expected update, which can be computed exactly over the noise distribution. So a rung trains a small
stream once for each of many keys, at a learning rate so small that the weights hardly move, and
the mean of its changes must be the expected one: within six standard errors, and half a percent of
the sum of the terms' absolute values for rounding and for what does move. The stream has repeated
words, sentence ends inside blocks and draws that meet positives; a rung that masks no draws, loses
pairs at a block's edge or gives one row to another word is far outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.blocks import Objective, Weights
from fastw2v.kernels.hogwild import BlockJob, BlockPlan, Schedule
from fastw2v.kernels.primitives import new_matrix
from fastw2v.kernels.streams import Noise, Stream
from fastw2v.training.data import noise_tables

_VOCABULARY, _DIM, _HALF_WINDOW, _NEGATIVES = 12, 16, 3, 5
_SENTENCES = (9, 1, 14, 2, 7, 17)
_BLOCK, _POOL = 8, 6
_ALPHA = 2.0**-13
_KEYS = 200
_STANDARD_ERRORS = 6.0
_SLACK = 0.005


class Problem(NamedTuple):
    """A small stream, weights and noise, and what is to be expected of them."""

    weights: Weights
    stream: Stream
    noise: Noise
    settings: Objective
    probabilities: np.ndarray


def small_problem(undivided: bool = False) -> Problem:
    """The same every time. Scores are of the order of 1."""
    generator = np.random.default_rng(7)
    ends = np.cumsum(_SENTENCES)
    count = int(ends[-1])
    ids = generator.choice(_VOCABULARY, count, p=np.arange(_VOCABULARY, 0, -1.0) / 78)
    stream = Stream(
        ids.astype(np.int32),
        np.repeat(ends - _SENTENCES, _SENTENCES).astype(np.int32),
        np.repeat(ends, _SENTENCES).astype(np.int32),
        np.arange(count + 1, dtype=np.int64),
        generator.integers(1, _HALF_WINDOW + 1, count).astype(np.int32),
    )
    weights = Weights(new_matrix(_VOCABULARY, _DIM), new_matrix(_VOCABULARY, _DIM))
    for matrix in weights:
        matrix[:] = generator.normal(size=matrix.shape) / 2
    counts = np.arange(10 * _VOCABULARY, 0, -10)
    noise = noise_tables(counts, 0.75)
    probabilities = counts**0.75 / (counts**0.75).sum()
    settings = Objective(_HALF_WINDOW, _NEGATIVES, True, undivided)
    return Problem(weights, stream, noise, settings, probabilities)


def expected_update(problem: Problem, skip_gram: bool) -> tuple[list[Any], list[Any], int]:
    """The expected change at alpha = 1 of both matrices, its terms' magnitude, the positives."""
    inputs, outputs = (matrix.astype(float) for matrix in problem.weights)
    change = [np.zeros_like(inputs), np.zeros_like(outputs)]
    magnitude = [np.zeros_like(inputs), np.zeros_like(outputs)]
    stream, settings, positives = problem.stream, problem.settings, 0

    def against(hidden: np.ndarray, positive_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients of all output rows for one positive, and the gradient of `hidden`."""
        sigma = 1.0 / (1.0 + np.exp(-outputs @ hidden))
        coefficients = -settings.negatives * problem.probabilities * sigma
        coefficients[positive_id] = 1.0 - sigma[positive_id]  # a draw that equals it is dropped
        change[1] += np.outer(coefficients, hidden)
        magnitude[1] += np.abs(np.outer(coefficients, hidden))
        return coefficients @ outputs, np.abs(coefficients) @ np.abs(outputs)

    def add(row: int, gradient: np.ndarray, size: np.ndarray) -> None:
        change[0][row] += gradient
        magnitude[0][row] += size

    for pos, center_id in enumerate(stream.token_ids):
        low = max(pos - stream.radii[pos], stream.sequence_starts[pos])
        high = min(pos + stream.radii[pos] + 1, stream.sequence_ends[pos])
        context_ids = np.delete(stream.token_ids[low:high], pos - low)
        if skip_gram:
            positives += len(context_ids)
            for context_id in context_ids:
                add(center_id, *against(inputs[center_id], context_id))
        elif len(context_ids):
            positives += 1
            gradient, size = against(inputs[context_ids].mean(axis=0), center_id)
            share = 1.0 if settings.undivided else 1.0 / len(context_ids)
            for context_id in context_ids:
                add(context_id, share * gradient, share * size)
    return change, magnitude, positives


def check_rung(
    name: str, rung: Callable[..., Any], skip_gram: bool, undivided: bool = False, threads: int = 1
) -> None:
    """Train the small stream with `rung` once for each key.

    Raises:
        AssertionError: its mean update is not the expected one; names the rung and the worst place.
    """
    problem = small_problem(undivided)
    change, magnitude, positives = expected_update(problem, skip_gram)
    count = len(problem.stream.token_ids)
    schedule = Schedule(_ALPHA, _ALPHA, float(count), 0.0)
    changes: list[list[Any]] = [[], []]
    for key in range(_KEYS):
        weights = Weights(new_matrix(_VOCABULARY, _DIM), new_matrix(_VOCABULARY, _DIM))
        for matrix, start in zip(weights, problem.weights, strict=True):
            matrix[:] = start
        plan = BlockPlan(0, count, _BLOCK, _POOL, np.uint64(key * 7919 + 1))
        job = BlockJob(
            weights, problem.stream, problem.noise, problem.settings, schedule, plan, skip_gram
        )
        sums = rung(job, threads)
        if int(sums[:, 1].sum()) != positives:
            raise AssertionError(f"{name}: {int(sums[:, 1].sum())} positives of {positives}")
        for side, (matrix, start) in enumerate(zip(weights, problem.weights, strict=True)):
            changes[side].append((matrix.astype(float) - start) / _ALPHA)
    for side, matrix_name in enumerate(("input_vectors", "output_vectors")):
        found = np.array(changes[side])
        error = np.abs(found.mean(axis=0) - change[side])
        spread = found.std(axis=0, ddof=1) / len(found) ** 0.5
        tolerance = _STANDARD_ERRORS * spread + _SLACK * magnitude[side]
        if not np.all(error <= tolerance):  # also where anything is NaN
            worst = np.unravel_index(np.argmax(error - tolerance), error.shape)
            raise AssertionError(
                f"{name}: mean update of {matrix_name}{[int(n) for n in worst]} is "
                f"{found.mean(axis=0)[worst]:.4g}, expected {change[side][worst]:.4g} "
                f"± {tolerance[worst]:.2g}; it computes something else, so it is not timed"
            )
