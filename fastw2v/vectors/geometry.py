"""Lengths, directions and the best of many scores: arrays in, arrays out."""

from __future__ import annotations

import numpy as np

CHUNK_ROWS = 1 << 14


def row_norms(vectors: np.ndarray) -> np.ndarray:
    """Euclidean length of every row, float32; summed in float64, so that nothing overflows."""
    lengths = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), CHUNK_ROWS):
        rows = vectors[start : start + CHUNK_ROWS].astype(np.float64)
        lengths[start : start + CHUNK_ROWS] = np.sqrt(np.einsum("rd,rd->r", rows, rows))
    return lengths


def unit(vector: np.ndarray) -> np.ndarray:
    """`vector` scaled to length 1, float32; zeros stay zeros."""
    wide = np.asarray(vector, dtype=np.float64)
    length = np.sqrt(wide @ wide)
    return (wide / length if length > 0 else wide).astype(np.float32)


def mean_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(first + second) / 2, float32, in chunks: the matrices may be memory-mapped."""
    mean = np.empty(first.shape, dtype=np.float32)
    for start in range(0, len(mean), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        mean[rows] = (first[rows] + second[rows]) * np.float32(0.5)
    return mean


def most_frequent(counts: np.ndarray | None, words: int, number: int | None) -> slice | np.ndarray:
    """Ids of the `number` (None: all) most frequent of `words` words, the most frequent first.

    Without counts the ids are taken to be in that order, as those of vector files are. So are those
    of a model, unless its vocabulary has grown: then the result is an int64 array, and not a slice.
    """
    number = words if number is None else min(number, words)
    if counts is None or (counts[1:] <= counts[:-1]).all():
        return slice(0, number)
    return np.argsort(-counts, kind="stable")[:number]


def best_rows(scores: np.ndarray, topn: int) -> np.ndarray:
    """Rows of the `topn` highest scores, best first, equal ones by row; never NaN or -inf."""
    if topn < 1:
        return np.empty(0, dtype=np.intp)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    candidates = np.arange(len(scores))
    if topn < len(scores):
        least = np.partition(scores, len(scores) - topn)[len(scores) - topn]
        candidates = np.flatnonzero(scores >= least)
    best = candidates[np.argsort(-scores[candidates], kind="stable")][:topn]
    return best[scores[best] > -np.inf]
