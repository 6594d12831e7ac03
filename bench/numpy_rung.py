"""The lowest rung of the ladder: word2vec.c's updates as one writes them in NumPy, pair by pair.

`train_numpy` has the arguments and the result of `hogwild.train_negative_sampling`. Float32, one
thread, K fresh draws for every positive (`per_pair`), drawn by NumPy. It is for reading and for
timing beside the others, on a small part of a stream.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastw2v.kernels.hogwild import BlockPlan, Schedule
from fastw2v.kernels.negative_sampling import Settings, Weights
from fastw2v.kernels.streams import Noise, Stream


def train_numpy(
    weights: Weights,
    stream: Stream,
    noise: Noise,
    settings: Settings,
    schedule: Schedule,
    plan: BlockPlan,
    skip_gram: bool,
    num_threads: int,
) -> np.ndarray:
    """Train the centers of `plan`; float64 (1, 2): the loss in nats and the positives."""
    if num_threads != 1 or not settings.per_pair:
        raise ValueError("the NumPy rung has one thread and draws for each pair")
    generator = np.random.default_rng(int(plan.key))
    train_center = _train_pairs if skip_gram else _train_cbow
    loss, positives = 0.0, 0
    for pos in range(plan.first, plan.last):
        low = max(pos - stream.reaches[pos], stream.sentence_starts[pos])
        high = min(pos + stream.reaches[pos] + 1, stream.sentence_ends[pos])
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
    settings: Settings,
) -> float:
    hidden, loss = weights.input_vectors[center_id], 0.0
    for context_id, noise_ids in zip(context_ids, draws, strict=True):
        gradient, pair_loss = _train_targets(weights, hidden, context_id, noise_ids, alpha)
        hidden += gradient
        loss += pair_loss
    return loss


def _train_cbow(
    weights: Weights,
    center_id: int,
    context_ids: np.ndarray,
    draws: np.ndarray,
    alpha: float,
    settings: Settings,
) -> float:
    hidden = weights.input_vectors[context_ids].mean(axis=0)
    gradient, loss = _train_targets(weights, hidden, center_id, draws[0], alpha)
    share = np.float32(1.0 if settings.undivided else 1.0 / len(context_ids))
    for context_id in context_ids:
        weights.input_vectors[context_id] += share * gradient
    return loss


def _train_targets(
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
