"""−log p of held-out targets over the whole vocabulary, for models of negative sampling.

There p ∝ p_noise · exp(score) is what the vectors stand for (Levy and Goldberg 2014).
"""

from __future__ import annotations

import numpy as np

from fastw2v.kernels.holdout import REACH
from fastw2v.kernels.negative_sampling import Weights
from fastw2v.kernels.streams import Stream

_OFFSETS = np.array([offset for offset in range(-REACH, REACH + 1) if offset])
_CENTRES, _WORDS = 128, 8192  # of one tile of logits
TILE_BYTES = 4 * _CENTRES * _WORDS


def exact_softmax_loss(
    weights: Weights, stream: Stream, num_centres: int, noise: np.ndarray, *, skip_gram: bool
) -> float | None:
    """Mean nats a centre over the first `num_centres` of `stream`, with whole windows.

    Args:
        weights: float32 (V, dim) each, with whatever strides; read only.
        noise: float64 (V,), the noise distribution.
        skip_gram: a centre's contexts are its targets, each with an equal share; else (CBOW) the
            centre is the target of its contexts' mean.

    Returns:
        None where no centre has a context.
    """
    log_noise = np.log(noise).astype(np.float32)
    loss, centres = 0.0, 0
    for first in range(0, num_centres, _CENTRES):
        at = np.arange(first, min(first + _CENTRES, num_centres))
        hidden, targets, shares = _examples(weights, stream, at, skip_gram)
        scores = np.einsum("id,ijd->ij", hidden, weights.output_vectors[targets])
        scores += log_noise[targets]
        log_sums = _log_sums(hidden, weights.output_vectors, log_noise)
        loss += float(((log_sums[:, None] - scores) * shares).sum())
        centres += int(shares.any(axis=1).sum())
    return loss / centres if centres else None


def _examples(
    weights: Weights, stream: Stream, at: np.ndarray, skip_gram: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hidden, targets, shares) of the centres `at`: float32 (n, dim), int (n, t), float64 (n, t);
    shares sum to 1, or to 0 for a centre without contexts."""
    near = at[:, None] + _OFFSETS
    there = (near >= stream.sentence_starts[at, None]) & (near < stream.sentence_ends[at, None])
    contexts = stream.token_ids[np.where(there, near, at[:, None])]
    numbers = there.sum(axis=1)
    means = there / np.maximum(numbers, 1)[:, None]
    if skip_gram:
        return weights.input_vectors[stream.token_ids[at]], contexts, means
    rows = weights.input_vectors[contexts]
    hidden = np.einsum("ij,ijd->id", means.astype(np.float32), rows)
    return hidden, stream.token_ids[at][:, None], (numbers > 0).astype(np.float64)[:, None]


def _log_sums(hidden: np.ndarray, outputs: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """float64 (n,): log Σ exp(hidden · output + bias) over the vocabulary, tile by tile."""
    highest = np.full(len(hidden), -np.inf)
    sums = np.zeros(len(hidden))
    for first in range(0, len(outputs), _WORDS):
        logits = hidden @ outputs[first : first + _WORDS].T
        logits += bias[first : first + _WORDS]
        tops = logits.max(axis=1)
        logits -= tops[:, None]
        np.exp(logits, out=logits)
        new = np.maximum(highest, tops)
        sums = sums * np.exp(highest - new) + logits.sum(axis=1) * np.exp(tops - new)
        highest = new
    return np.asarray(highest + np.log(sums))
