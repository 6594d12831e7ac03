"""Tables that the kernels draw with: subsampling thresholds and the noise distribution."""

from __future__ import annotations

import numpy as np

from fastw2v.kernels.streams import Noise, fill_alias_table
from fastw2v.store.vocabulary import noise_distribution


def keep_thresholds(counts: np.ndarray, total: int, subsample: float) -> np.ndarray:
    """uint64 (V,): 2**32 · p with p = min(1, sqrt(t·W/count) + t·W/count), as in word2vec.c.

    Args:
        counts: int64 (V,), all positive; total: W, the tokens they are counted in.
        subsample: t; 0 keeps every token.
    """
    if subsample == 0:
        return np.full(len(counts), 1 << 32, np.uint64)
    ratio = subsample * total / counts.astype(np.float64)
    keep = np.minimum(1.0, np.sqrt(ratio) + ratio)
    return np.round(keep * 2.0**32).astype(np.uint64)


def noise_tables(counts: np.ndarray, exponent: float) -> Noise:
    """The alias table of `noise_distribution`."""
    noise = Noise(np.empty(len(counts), np.uint32), np.empty(len(counts), np.int32))
    fill_alias_table(noise_distribution(counts, exponent), noise.thresholds, noise.aliases)
    return noise


def repeat_rate(counts: np.ndarray, thresholds: np.ndarray) -> float:
    """The chance that two kept tokens are the same word: Σ p² over the kept words' shares."""
    kept = counts * (thresholds / 2.0**32)
    return float(np.square(kept / kept.sum()).sum())


def top_share(counts: np.ndarray, thresholds: np.ndarray) -> float:
    """The share of the most frequent word in the kept tokens."""
    kept = counts * (thresholds / 2.0**32)
    return float(kept.max() / kept.sum())
