"""Bootstrap intervals for Spearman correlations and accuracies, over the items of a benchmark.

A resample is a vector of how often each item was drawn (multinomial), so statistics of all the
resamples are a few array operations, and several models can share the same draws.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RESAMPLES = 1000
_CHUNK_VALUES = 1 << 20  # resamples x items held at a time


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of `values`, without NaN ones; (nan, nan) where none is left."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def draw_weights(items: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks of resamples, shape (some, items): how often each item was drawn in each."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // items)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield rng.multinomial(items, np.full(items, 1.0 / items), size=size).astype(np.float64)


def _weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank of each item's value in each resample, equal values sharing their mean rank.

    An item drawn w times counts as w equal values; shape (resamples, items).
    """
    order = np.argsort(values, kind="stable")
    in_order = values[order]
    starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])
    group = np.cumsum(np.r_[0, in_order[1:] != in_order[:-1]])
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    group_ranks = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
    ranks = np.empty_like(weights)
    ranks[:, order] = group_ranks[:, group]
    return ranks


def weighted_spearman(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's rho of `first` and `second`, shape (items,), in each resample of `weights`.

    Equal to `scipy.stats.spearmanr` on the items repeated as often as they were drawn; NaN where a
    resample has one value only.
    """
    middle = (weights.sum(axis=1, keepdims=True) + 1) / 2
    x = _weighted_ranks(first, weights) - middle
    y = _weighted_ranks(second, weights) - middle
    covariance = np.einsum("ri,ri,ri->r", weights, x, y)
    scale = np.einsum("ri,ri,ri->r", weights, x, x) * np.einsum("ri,ri,ri->r", weights, y, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        return covariance / np.sqrt(scale)


def resampled_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """The mean of `values` over items in each resample.

    Items of equal values are interchangeable, so it is enough to draw how many of each come: exact,
    and cheap for answers that are right or wrong.

    Args:
        values: shape (items,), or (items, models) to share the draws.

    Returns:
        Shape (resamples,), or (resamples, models).
    """
    distinct, counts = np.unique(values, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(values), counts / len(values), size=resamples)
    return drawn @ distinct / len(values)


def seed_shares(seeds: int, resamples: int, seed: int) -> np.ndarray:
    """How much each of a model's training seeds weighs in each resample, shape (resamples, seeds).

    Rows sum to 1: seeds are drawn with replacement, as many as there are.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=resamples) / seeds
