"""The slower rungs below the block kernels, and `fastw2v.train` on them.

reference       word2vec.c's updates as one writes them in NumPy, pair by pair: `train_numpy`.
classic         word2vec.c: K fresh draws for every positive; each target's output row changes at
                once, the hidden side after the K + 1 targets of a positive.
window_shared   pWord2Vec (Ji et al. 2016): K draws for a whole window, weighted to stand for K a
                positive; all gradients of a window at its first weights. A block of one center.

The functions have the job and the result of `hogwild.train_negative_sampling` (of the plan they
use the centers and the key), so that they can stand in its place: `in_place_of_blocks`. They
are plain: float32, one row at a time, nothing shared beyond what their names say. Threads race as
in `hogwild`.
"""

# Kernels are compiled for the array types that their docstrings give; Numba checks the types.
# mypy: allow-untyped-defs
from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.blocks import Objective, Weights
from fastw2v.kernels.hogwild import BlockJob, BlockPlan, Schedule, learning_rate
from fastw2v.kernels.primitives import derive_key, kernel, random_bits
from fastw2v.kernels.streams import Noise, draw_word, window
from fastw2v.training import steppers as steps
from fastw2v.training.config import TrainConfig
from fastw2v.training.data import Batch

RUNG_STREAM = 16  # beside the streams of draws that `kernels.streams` numbers
_SUMS_STRIDE = 16
_STEP_CENTERS = 1 << 16
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


# --- what the compiled rungs share ---


class Workspace(NamedTuple):
    """What one thread needs for one center.

    hidden: float32 (dim,), h (CBOW); gradient: float32 (dim,), α·∂/∂h.
    target_ids: int64 (2·half + K,), labels and coefficients: float32, as long; window_shared's
        targets, 1 for a positive, α·weight·(label − σ).
    """

    hidden: Any
    gradient: Any
    target_ids: Any
    labels: Any
    coefficients: Any


@kernel()
def new_workspace(settings, dim):
    """`Workspace` for the centers of a run with these `Objective`."""
    targets = 2 * settings.half_window + settings.negatives
    return Workspace(
        np.zeros(dim, np.float32),
        np.zeros(dim, np.float32),
        np.zeros(targets, np.int64),
        np.zeros(targets, np.float32),
        np.zeros(targets, np.float32),
    )


@kernel()
def numbered_word(noise, key, number):
    """Draw `number` from the noise distribution in the stream of draws `key`."""
    return draw_word(noise, random_bits(key, np.uint64(number)))


@kernel()
def occurrences(stream, low, high, pos, word_id):
    """How often `word_id` is a context of the center at `pos`."""
    found = 0
    for context_pos in range(low, high):
        found += context_pos != pos and stream.token_ids[context_pos] == word_id
    return found


@kernel()
def score_of(hidden, output_vectors, word_id):
    score = _ZERO
    for d in range(hidden.shape[0]):
        score += hidden[d] * output_vectors[word_id, d]
    return score


@kernel()
def loss_parts(score, label):
    """(σ(score), a, b): the loss of a target with this label is a + ln b, both float64."""
    e = np.float32(math.exp(-abs(score)))
    sigma = (_ONE if score >= _ZERO else e) / (_ONE + e)
    against = -score if label > _ZERO else score
    return sigma, np.float64(max(against, _ZERO)), 1.0 + np.float64(e)


@kernel()
def clear(vector):
    for d in range(vector.shape[0]):
        vector[d] = _ZERO


@kernel()
def add_to_row(matrix, row, weight, vector):
    for d in range(vector.shape[0]):
        matrix[row, d] += weight * vector[d]


@kernel()
def average_contexts(input_vectors, stream, pos, low, high, hidden):
    """Fill `hidden` with the mean of the context words' input vectors."""
    clear(hidden)
    for context_pos in range(low, high):
        if context_pos != pos:
            row = stream.token_ids[context_pos]
            for d in range(hidden.shape[0]):
                hidden[d] += input_vectors[row, d]
    share = _ONE / np.float32(high - low - 1)
    for d in range(hidden.shape[0]):
        hidden[d] *= share


@kernel()
def add_to_contexts(input_vectors, stream, pos, low, high, undivided, gradient):
    share = _ONE if undivided else _ONE / np.float32(high - low - 1)
    for context_pos in range(low, high):
        if context_pos != pos:
            add_to_row(input_vectors, stream.token_ids[context_pos], share, gradient)


# --- classic ---


@kernel()
def _train_target(hidden, gradient, output_vectors, word_id, label, alpha):
    """One target's step: its output row at once, the hidden side into `gradient`.

    Returns a and b of `loss_parts`.
    """
    sigma, linear, factor = loss_parts(score_of(hidden, output_vectors, word_id), label)
    step = alpha * (label - sigma)
    for d in range(hidden.shape[0]):
        value = output_vectors[word_id, d]
        gradient[d] += step * value
        output_vectors[word_id, d] = value + step * hidden[d]
    return linear, factor


@kernel()
def _train_positive(hidden, gradient, output_vectors, positive_id, noise, draws, first, K, alpha):
    """A positive and its K draws, number `first` and on; returns the loss in nats."""
    loss, product = _train_target(hidden, gradient, output_vectors, positive_id, _ONE, alpha)
    for k in range(K):
        word_id = numbered_word(noise, draws, first + k)
        if word_id != positive_id:
            linear, factor = _train_target(hidden, gradient, output_vectors, word_id, _ZERO, alpha)
            loss += linear
            product *= factor  # below 2**1001: `--neg-samples` is 1,000 at most
    return loss + math.log(product)


@kernel()
def _classic_pairs(weights, stream, noise, settings, pos, alpha, draws, workspace):
    """Skip-gram, K fresh draws a pair; the center's row changes after each pair."""
    low, high = window(stream, pos)
    center_id, K = stream.token_ids[pos], settings.negatives
    hidden = weights.input_vectors[center_id]
    loss, positives = 0.0, 0
    for context_pos in range(low, high):
        if context_pos == pos:
            continue
        clear(workspace.gradient)
        loss += _train_positive(
            hidden, workspace.gradient, weights.output_vectors, stream.token_ids[context_pos],
            noise, draws, positives * K, K, alpha,
        )  # fmt: skip
        add_to_row(weights.input_vectors, center_id, _ONE, workspace.gradient)
        positives += 1
    return loss, positives


@kernel()
def _classic_window(weights, stream, noise, settings, pos, alpha, draws, workspace):
    """Skip-gram, K draws a center, dropped where they are any of its contexts."""
    low, high = window(stream, pos)
    positives = high - low - 1
    if positives == 0:
        return 0.0, 0
    output_vectors, gradient = weights.output_vectors, workspace.gradient
    center_id = stream.token_ids[pos]
    hidden = weights.input_vectors[center_id]
    clear(gradient)
    loss = 0.0
    for context_pos in range(low, high):
        if context_pos != pos:
            loss += _train_positive(
                hidden, gradient, output_vectors, stream.token_ids[context_pos],
                noise, draws, 0, 0, alpha,
            )  # fmt: skip
    for k in range(settings.negatives):
        word_id = numbered_word(noise, draws, k)
        if occurrences(stream, low, high, pos, word_id) == 0:
            linear, factor = _train_target(hidden, gradient, output_vectors, word_id, _ZERO, alpha)
            loss += linear + math.log(factor)
    add_to_row(weights.input_vectors, center_id, _ONE, gradient)
    return loss, positives


@kernel()
def _classic_cbow(weights, stream, noise, settings, pos, alpha, draws, workspace):
    """CBOW: one positive, the center word, and K draws."""
    low, high = window(stream, pos)
    if high - low == 1:
        return 0.0, 0
    average_contexts(weights.input_vectors, stream, pos, low, high, workspace.hidden)
    clear(workspace.gradient)
    loss = _train_positive(
        workspace.hidden, workspace.gradient, weights.output_vectors, stream.token_ids[pos],
        noise, draws, 0, settings.negatives, alpha,
    )  # fmt: skip
    add_to_contexts(
        weights.input_vectors, stream, pos, low, high, settings.undivided, workspace.gradient
    )
    return loss, 1


@kernel()
def train_classic_center(weights, stream, noise, settings, pos, alpha, draws, skip_gram, workspace):
    if not skip_gram:
        return _classic_cbow(weights, stream, noise, settings, pos, alpha, draws, workspace)
    if settings.per_pair:
        return _classic_pairs(weights, stream, noise, settings, pos, alpha, draws, workspace)
    return _classic_window(weights, stream, noise, settings, pos, alpha, draws, workspace)


# --- window_shared ---


@kernel()
def _train_targets(hidden, output_vectors, targets, alpha, workspace):
    """The first `targets` targets of `workspace`, weighted, all at the weights as they are now.

    Expects each target's weight in `workspace.coefficients`; leaves the hidden side in
    `workspace.gradient`.
    Returns the weighted loss in nats.
    """
    loss = 0.0
    clear(workspace.gradient)
    for target in range(targets):
        word_id, label = workspace.target_ids[target], workspace.labels[target]
        weight = workspace.coefficients[target]
        sigma, linear, factor = loss_parts(score_of(hidden, output_vectors, word_id), label)
        loss += np.float64(weight) * (linear + math.log(factor))
        step = alpha * weight * (label - sigma)
        workspace.coefficients[target] = step
        for d in range(hidden.shape[0]):
            workspace.gradient[d] += step * output_vectors[word_id, d]
    for target in range(targets):
        add_to_row(
            output_vectors, workspace.target_ids[target], workspace.coefficients[target], hidden
        )
    return loss


@kernel()
def _set_target(workspace, target, word_id, label, weight):
    workspace.target_ids[target] = word_id
    workspace.labels[target] = label
    workspace.coefficients[target] = weight


@kernel()
def _shared_skip_gram(weights, stream, noise, settings, pos, alpha, draws, workspace):
    """Skip-gram, K draws a center that stand for K a pair (or a window)."""
    low, high = window(stream, pos)
    positives = high - low - 1
    if positives == 0:
        return 0.0, 0
    targets = 0
    for context_pos in range(low, high):
        if context_pos != pos:
            _set_target(workspace, targets, stream.token_ids[context_pos], _ONE, _ONE)
            targets += 1
    for k in range(settings.negatives):
        word_id = numbered_word(noise, draws, k)
        repeats = occurrences(stream, low, high, pos, word_id)
        weight = np.float32(positives - repeats if settings.per_pair else repeats == 0)
        _set_target(workspace, targets, word_id, _ZERO, weight)
        targets += 1
    center_id = stream.token_ids[pos]
    loss = _train_targets(
        weights.input_vectors[center_id], weights.output_vectors, targets, alpha, workspace
    )
    add_to_row(weights.input_vectors, center_id, _ONE, workspace.gradient)
    return loss, positives


@kernel()
def _shared_cbow(weights, stream, noise, settings, pos, alpha, draws, workspace):
    """CBOW: as classic, with all gradients of a center at its first weights."""
    low, high = window(stream, pos)
    if high - low == 1:
        return 0.0, 0
    center_id = stream.token_ids[pos]
    average_contexts(weights.input_vectors, stream, pos, low, high, workspace.hidden)
    _set_target(workspace, 0, center_id, _ONE, _ONE)
    targets = 1
    for k in range(settings.negatives):
        word_id = numbered_word(noise, draws, k)
        if word_id != center_id:
            _set_target(workspace, targets, word_id, _ZERO, _ONE)
            targets += 1
    loss = _train_targets(workspace.hidden, weights.output_vectors, targets, alpha, workspace)
    add_to_contexts(
        weights.input_vectors, stream, pos, low, high, settings.undivided, workspace.gradient
    )
    return loss, 1


@kernel()
def train_shared_center(weights, stream, noise, settings, pos, alpha, draws, skip_gram, workspace):
    if skip_gram:
        return _shared_skip_gram(weights, stream, noise, settings, pos, alpha, draws, workspace)
    return _shared_cbow(weights, stream, noise, settings, pos, alpha, draws, workspace)


# --- over all centers ---


@kernel()
def _centers_of(plan, thread, num_threads):
    """First and last + 1 of the centers of one thread: a contiguous run."""
    count = plan.last - plan.first
    return (
        plan.first + count * thread // num_threads,
        plan.first + count * (thread + 1) // num_threads,
    )


@kernel(parallel=True)
def _train_classic(weights, stream, noise, settings, schedule, plan, skip_gram, num_threads):
    sums = np.zeros((num_threads, _SUMS_STRIDE))
    for thread in prange(num_threads):
        workspace = new_workspace(settings, weights.input_vectors.shape[1])
        stream_key = derive_key(plan.key, RUNG_STREAM)
        first, last = _centers_of(plan, thread, num_threads)
        for pos in range(first, last):
            alpha = np.float32(learning_rate(schedule, stream.word_positions[pos]))
            draws = derive_key(stream_key, np.uint64(pos))
            loss, positives = train_classic_center(
                weights, stream, noise, settings, pos, alpha, draws, skip_gram, workspace
            )
            sums[thread, 0] += loss
            sums[thread, 1] += positives
    return sums


@kernel(parallel=True)
def _train_window_shared(weights, stream, noise, settings, schedule, plan, skip_gram, num_threads):
    sums = np.zeros((num_threads, _SUMS_STRIDE))
    for thread in prange(num_threads):
        workspace = new_workspace(settings, weights.input_vectors.shape[1])
        stream_key = derive_key(plan.key, RUNG_STREAM)
        first, last = _centers_of(plan, thread, num_threads)
        for pos in range(first, last):
            alpha = np.float32(learning_rate(schedule, stream.word_positions[pos]))
            draws = derive_key(stream_key, np.uint64(pos))
            loss, positives = train_shared_center(
                weights, stream, noise, settings, pos, alpha, draws, skip_gram, workspace
            )
            sums[thread, 0] += loss
            sums[thread, 1] += positives
    return sums


def train_classic(job: BlockJob, num_threads: int) -> np.ndarray:
    """Train the centers of a job as word2vec.c does; see `hogwild.train_negative_sampling`."""
    return np.asarray(_train_classic(*job, num_threads))


def train_window_shared(job: BlockJob, num_threads: int) -> np.ndarray:
    """Train the centers of a job as pWord2Vec does; see `hogwild.train_negative_sampling`."""
    return np.asarray(_train_window_shared(*job, num_threads))


RUNGS = {"classic": train_classic, "window_shared": train_window_shared}


# --- in NumPy ---


def train_numpy(job: BlockJob, num_threads: int) -> np.ndarray:
    """Train the centers of a job; float64 (1, 2): the loss in nats and the positives."""
    weights, stream, noise, settings, schedule, plan, skip_gram = job
    if num_threads != 1 or not settings.per_pair:
        raise ValueError("the NumPy rung has one thread and draws for each pair")
    generator = np.random.default_rng(int(plan.key))
    train_center = _train_pairs if skip_gram else _train_cbow
    loss, positives = 0.0, 0
    for pos in range(plan.first, plan.last):
        low = max(pos - stream.radii[pos], stream.sequence_starts[pos])
        high = min(pos + stream.radii[pos] + 1, stream.sequence_ends[pos])
        context_ids = np.delete(stream.token_ids[low:high], pos - low)
        if len(context_ids) == 0:
            continue
        done = (schedule.words_before + stream.word_positions[pos]) / schedule.total_words
        alpha = schedule.start + (schedule.end - schedule.start) * min(1.0, done)
        draws = _draw(noise, generator, (len(context_ids), settings.negatives))
        loss += train_center(weights, stream.token_ids[pos], context_ids, draws, alpha, settings)
        positives += len(context_ids) if skip_gram else 1
    return np.array([[loss, positives]])


def _draw(noise: Noise, generator: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    columns = generator.integers(len(noise.thresholds), size=shape)
    kept = generator.integers(1 << 32, size=shape) < noise.thresholds[columns]
    return np.where(kept, columns, noise.aliases[columns])


def _train_pairs(
    weights: Weights,
    center_id: int,
    context_ids: np.ndarray,
    draws: np.ndarray,
    alpha: float,
    settings: Objective,
) -> float:
    hidden, loss = weights.input_vectors[center_id], 0.0
    for context_id, noise_ids in zip(context_ids, draws, strict=True):
        gradient, pair_loss = _train_numpy_targets(weights, hidden, context_id, noise_ids, alpha)
        hidden += gradient
        loss += pair_loss
    return loss


def _train_cbow(
    weights: Weights,
    center_id: int,
    context_ids: np.ndarray,
    draws: np.ndarray,
    alpha: float,
    settings: Objective,
) -> float:
    hidden = weights.input_vectors[context_ids].mean(axis=0)
    gradient, loss = _train_numpy_targets(weights, hidden, center_id, draws[0], alpha)
    share = np.float32(1.0 if settings.undivided else 1.0 / len(context_ids))
    for context_id in context_ids:
        weights.input_vectors[context_id] += share * gradient
    return loss


def _train_numpy_targets(
    weights: Weights, hidden: np.ndarray, positive_id: int, noise_ids: np.ndarray, alpha: float
) -> tuple[np.ndarray, float]:
    """A positive and its draws: output rows change at once; gradient of `hidden`, and the loss."""
    gradient, loss = np.zeros_like(hidden), 0.0
    targets = [(positive_id, 1.0), *((word, 0.0) for word in noise_ids if word != positive_id)]
    for word_id, label in targets:
        row: Any = weights.output_vectors[word_id]
        score = float(row @ hidden)
        loss += math.log1p(math.exp(-score if label else score))
        step = np.float32(alpha * (label - 1.0 / (1.0 + math.exp(-score))))
        gradient += step * row
        row += step * hidden
    return gradient, loss


# --- `fastw2v.train` on a rung ---


class RungStepper:
    """A `steps.Stepper` whose kernel is a rung: negative sampling without blocks."""

    unit = 1
    step_centers = _STEP_CENTERS

    def __init__(
        self, rung: Any, weights: Weights, noise: Noise, config: TrainConfig, threads: int
    ) -> None:
        self._rung, self._weights, self._noise = rung, weights, noise
        self._config, self._threads = config, threads
        self._settings = steps.objective_of(config)

    def train(self, batch: Batch, first: int, last: int, schedule: Schedule) -> steps.StepResult:
        """See `steps.Stepper`."""
        config = self._config
        plan = BlockPlan(first, last, 1, 1, np.uint64(batch.key))
        job = BlockJob(
            self._weights, batch.stream, self._noise, self._settings, schedule, plan,
            config.skip_gram,
        )  # fmt: skip
        sums = self._rung(job, self._threads)
        return steps.StepResult(float(sums[:, 0].sum()), float(sums[:, 1].sum()))


@contextlib.contextmanager
def in_place_of_blocks(rung: Callable[..., Any]) -> Iterator[None]:
    """Within the block, `fastw2v.train` trains the `_neg` types with this rung."""
    before = steps.new_stepper

    def new_stepper(
        weights: Weights, noise: Noise, config: TrainConfig, threads: int
    ) -> steps.Stepper:
        if not config.negative_sampling:
            return before(weights, noise, config, threads)
        return RungStepper(rung, weights, noise, config, threads)

    steps.new_stepper = new_stepper
    try:
        yield
    finally:
        steps.new_stepper = before
