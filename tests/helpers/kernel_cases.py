"""Small inputs for the kernels, and what float32 may do to their results."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import reference

from fastw2v.kernels.blocks import (
    BlockShape,
    BlockWorkspace,
    Objective,
    Weights,
    new_block_workspaces,
)
from fastw2v.kernels.primitives import new_matrix, padded_dim
from fastw2v.kernels.streams import Stream

UNIT = 2.0**-24  # unit roundoff of float32


class Case(NamedTuple):
    weights: Weights
    stream: Stream
    first: int
    count: int
    settings: Objective
    pool_ids: np.ndarray


def make_stream(sentences: list[list[int]], radii: int | np.ndarray) -> Stream:
    """A stream of whole sentences; `radii`: one for all tokens or one each."""
    lengths = np.array([len(sentence) for sentence in sentences])
    ends = np.cumsum(lengths)
    n = int(ends[-1])
    return Stream(
        np.concatenate([np.array(s, np.int32) for s in sentences]),
        np.repeat(ends - lengths, lengths).astype(np.int32),
        np.repeat(ends, lengths).astype(np.int32),
        np.arange(n + 1, dtype=np.int64),
        np.broadcast_to(np.asarray(radii, np.int32), n).copy(),
    )


def make_sentences(rng, vocabulary_size: int, lengths) -> list[list[int]]:
    return [rng.integers(vocabulary_size, size=length).tolist() for length in lengths]


def make_weights(rng, vocabulary_size: int, dim: int, scale: float = 1.0) -> Weights:
    """Random weights whose scores have a standard deviation of about scale²."""

    def matrix():
        values = rng.normal(size=(vocabulary_size, dim)) * scale / dim**0.25
        return values.astype(np.float32)

    return Weights(matrix(), matrix())


def copy_weights(weights: Weights) -> Weights:
    return Weights(weights.input_vectors.copy(), weights.output_vectors.copy())


def padded_weights(weights: Weights) -> Weights:
    """A copy with rows as the trainer makes them."""
    rows, dim = weights.input_vectors.shape
    padded = Weights(new_matrix(rows, dim), new_matrix(rows, dim))
    for matrix, values in zip(padded, weights, strict=True):
        matrix[:, :dim] = values
    return padded


def as_float64(weights: Weights) -> Weights:
    return Weights(weights.input_vectors.astype(float), weights.output_vectors.astype(float))


def new_block_workspace(*shape: int) -> BlockWorkspace:
    """That of one thread; `shape` as in `BlockShape`."""
    workspaces = new_block_workspaces(1, BlockShape(*shape))
    return BlockWorkspace(*(arrays[0] for arrays in workspaces))


def run_block(kernel, case: Case, alpha: float, workspace=None):
    """One block update on a copy: (loss, positives, weights after)."""
    dim = case.weights.input_vectors.shape[1]
    weights = padded_weights(case.weights)
    if workspace is None:
        half = case.settings.half_window
        workspace = new_block_workspace(case.count, len(case.pool_ids), half, padded_dim(dim))
    workspace.pool_ids[:] = case.pool_ids
    loss, positives = kernel(
        weights, case.stream, case.first, case.count, case.settings, np.float32(alpha), workspace
    )
    for matrix in weights:
        assert not matrix[:, dim:].any(), "the padding of the rows was written to"
    return loss, positives, Weights(*(matrix[:, :dim].copy() for matrix in weights))


def score_bound(weights: Weights) -> float:
    """No score is larger: ‖h‖·‖c‖ ≥ Σ |h_d·c_d|; a mean of rows is no longer than the longest."""
    inputs, outputs = as_float64(weights)
    return np.linalg.norm(inputs, axis=1).max() * np.linalg.norm(outputs, axis=1).max()


def exp_error(x: float) -> float:
    """Bound on the relative error of `exp_negative` at −x.

    Polynomial and its arithmetic 3.5e-7; x·log2(e) is rounded, and log2(e) itself is.
    """
    return 3.5e-7 + 2 * UNIT * x


def gradient_error(weights: Weights, averaged: int) -> float:
    """Relative error of a gradient's coefficient times its row, from float32 scores.

    A dot product of D float32 terms is wrong by at most (D + 2)·UNIT·Σ|h_d·c_d|; a mean of
    `averaged` rows adds averaged + 2 roundings. |d ln σ/ds| ≤ 1, so the error of a score is the
    relative error of σ; eight more roundings are for weights, α and products.
    """
    bound = score_bound(weights)
    dim = weights.input_vectors.shape[1]
    score = (dim + averaged + 4) * UNIT * bound
    return score + exp_error(bound) + (8 + averaged) * UNIT


def block_error(name: str, case: Case) -> float:
    """`gradient_error` of a block; CBOW also averages its contexts and adds up dh over the pool."""
    if name == "sgram_neg_update":
        return gradient_error(case.weights, 0)
    return gradient_error(case.weights, 2 * case.settings.half_window + len(case.pool_ids))


def change_tolerance(before: np.ndarray, change: reference.Change, relative: float) -> np.ndarray:
    """What float32 may do to each weight; 0 for the rows that are not to be touched."""
    terms = change.terms[:, None]  # each addition to a row rounds once
    rounding = (terms + 8) * UNIT * (np.abs(before) + change.magnitude)
    return np.where(terms > 0, relative * change.magnitude + rounding, 0.0)


def assert_update_matches(weights: Weights, after: Weights, update, relative: float) -> None:
    """Every weight within float32 rounding of the twin's; rows that it leaves are bit-identical."""
    for name, change in (("input_vectors", update.input), ("output_vectors", update.output)):
        before, result = getattr(weights, name), getattr(after, name)
        tolerance = change_tolerance(before, change, relative)
        error = np.abs(result - (before.astype(float) + change.total))
        worst = np.unravel_index(np.argmax(error - tolerance), error.shape)
        assert np.all(error <= tolerance), (
            f"{name}{worst}: {result[worst]}, the twin has {before[worst] + change.total[worst]}, "
            f"tolerance {tolerance[worst]}"
        )
        untouched = change.terms == 0
        assert result[untouched].tobytes() == before[untouched].tobytes()


def loss_tolerance(weights: Weights, terms: float, averaged: int = 0) -> float:
    """For a sum of softplus terms with weights that sum to `terms` (masked draws included).

    A term is at most S + ln 2, S the largest score; its slope is at most 1; 1 + exp(−|s|) is
    rounded to float32 before the logarithm.
    """
    bound = score_bound(weights)
    dim = weights.input_vectors.shape[1]
    score = (dim + averaged + 4) * UNIT * bound
    return terms * (score + exp_error(bound) + 4 * UNIT * (1 + bound)) + 1e-12


def central_differences(losses, weights: Weights, step: float = 1e-5) -> Weights:
    """∂ losses(weights) / ∂ each weight, `weights` in float64."""
    gradients = Weights(*(np.zeros_like(matrix) for matrix in weights))
    for matrix, gradient in zip(weights, gradients, strict=True):
        for place in np.ndindex(matrix.shape):
            value = matrix[place]
            matrix[place] = value + step
            above = losses(weights)
            matrix[place] = value - step
            gradient[place] = (above - losses(weights)) / (2 * step)
            matrix[place] = value
    return gradients


def planted_corpus(rng, sentences: int) -> list[list[int]]:
    """Words 0 … 9 only ever meet each other, and so do words 10 … 19."""
    return [(rng.integers(10, size=8) + 10 * rng.integers(2)).tolist() for _ in range(sentences)]


def assert_planted_groups_found(input_vectors: np.ndarray) -> None:
    """The nine nearest neighbors of every word are the nine others of its group."""
    rows = input_vectors / np.linalg.norm(input_vectors, axis=1, keepdims=True)
    similarities = rows @ rows.T
    np.fill_diagonal(similarities, -np.inf)
    nearest = np.argsort(-similarities, axis=1)[:, :9]
    assert np.array_equal(nearest // 10, np.repeat(np.arange(20) // 10, 9).reshape(20, 9))
