"""−log p of held-out targets over the whole vocabulary, for models of negative sampling.

There p ∝ p_noise · exp(score) is what the vectors stand for (Levy and Goldberg 2014).

The held-out loss while a model trains: how it is measured, when, and what it costs.

Negative sampling: `Holdout.evaluate`. Full softmax: −log p of the target, exact, over the same
windows; its kernel takes batches, so the items of its bootstrap are groups of sequences.
"""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np

from fastw2v.kernels.negative_sampling import Settings, Weights
from fastw2v.kernels.softmax import softmax_batch_update
from fastw2v.kernels.softmax_batch import Room, buffer_bytes, new_room
from fastw2v.kernels.streams import Stream
from fastw2v.kernels.validation import REACH, Sequences
from fastw2v.store.vocabulary import noise_distribution
from fastw2v.training.config import TrainConfig
from fastw2v.training.steppers import LOGIT_BYTES, padded_dim
from fastw2v.training.validation import Holdout, HoldoutLoss
from fastw2v.vectors.evaluation import ratio_interval

_OFFSETS = np.array([offset for offset in range(-REACH, REACH + 1) if offset])
_CENTERS, _WORDS = 128, 8192  # of one tile of logits
TILE_BYTES = 4 * _CENTERS * _WORDS


def exact_softmax_loss(
    weights: Weights, stream: Stream, num_centers: int, noise: np.ndarray, *, skip_gram: bool
) -> float | None:
    """Mean nats a center over the first `num_centers` of `stream`, with whole windows.

    Args:
        weights: float32 (V, dim) each, with whatever strides; read only.
        noise: float64 (V,), the noise distribution.
        skip_gram: a center's contexts are its targets, each with an equal share; else (CBOW) the
            center is the target of its contexts' mean.

    Returns:
        None where no center has a context.
    """
    log_noise = np.log(noise).astype(np.float32)
    loss, centers = 0.0, 0
    for first in range(0, num_centers, _CENTERS):
        at = np.arange(first, min(first + _CENTERS, num_centers))
        hidden, targets, shares = _examples(weights, stream, at, skip_gram)
        scores = np.einsum("id,ijd->ij", hidden, weights.output_vectors[targets])
        scores += log_noise[targets]
        log_sums = _log_sums(hidden, weights.output_vectors, log_noise)
        loss += float(((log_sums[:, None] - scores) * shares).sum())
        centers += int(shares.any(axis=1).sum())
    return loss / centers if centers else None


def _examples(
    weights: Weights, stream: Stream, at: np.ndarray, skip_gram: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(hidden, targets, shares) of the centers `at`: float32 (n, dim), int (n, t), float64 (n, t);
    shares sum to 1, or to 0 for a center without contexts."""
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


SHARE_OF_TIME = 0.005  # of training, that evaluations may take, about
# What an evaluation costs a held-out token, in words of training: measured by bench/costs.py.
COSTS = {"sgram_neg": 2.5, "cbow_neg": 1.8, "sgram": 0.4, "cbow": 0.4}
# Centers of the exact loss, times the vocabulary's words, for each trained word, at most: a quarter
# of a percent of the time, as a logit costs about a thirtieth of a word of training.
EXACT_SHARE = 1 / 12
_EXACT_CENTERS = 1000  # always as many, so that it compares between runs
_BATCH_CENTERS = 512  # of the softmax, whose groups have as many or a little more,
_MIN_GROUPS = 50  # or fewer where there would be too few groups for an interval


@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """When to evaluate: `times` in each `epochs` epochs, evenly, and at the end of the run."""

    times: int
    epochs: int
    epoch_words: int

    @classmethod
    def of(cls, config: TrainConfig, holdout: Holdout, epoch_words: int) -> EvaluationPlan:
        """As often as `SHARE_OF_TIME` allows; with patience, which saves more than it costs, once
        an epoch at least. The same for all such runs of a type on a store."""
        cost = COSTS[config.type] * holdout.num_tokens / SHARE_OF_TIME  # in words
        if cost <= epoch_words:
            return cls(int(epoch_words / cost), 1, epoch_words)
        epochs = 1 if config.patience is not None else round(cost / epoch_words)
        return cls(1, max(1, epochs), epoch_words)

    @property
    def words(self) -> float:
        """From one evaluation to the next."""
        return self.epochs * self.epoch_words / self.times

    def next_after(self, words: int) -> int:
        """Where the first evaluation after `words` words is."""
        number = math.floor((words + 1e-6) / self.words) + 1
        while (place := round(number * self.words)) <= words:
            number += 1
        return place


def evaluation_bytes(config: TrainConfig, vocabulary_size: int, threads: int) -> int:
    """The most memory that an `Evaluator` takes besides the held-out sequences, about."""
    columns = padded_dim(config.vector_dim)
    if not config.negative_sampling:
        return buffer_bytes(vocabulary_size, columns, _BATCH_CENTERS, REACH, threads, LOGIT_BYTES)
    return TILE_BYTES


class Evaluator:
    """Measures the held-out loss of weights.

    seconds: of all evaluations so far, during which training stands still.
    """

    def __init__(self, holdout: Holdout, weights: Weights, config: TrainConfig) -> None:
        self._holdout, self._weights, self._config = holdout, weights, config
        self._groups: list[tuple[int, int]] = []
        self._room: Room | None = None
        if not config.negative_sampling:
            self._stream = _stream_of(holdout)
            self._groups = _groups_of(holdout)
        self.seconds = 0.0

    @property
    def num_tokens(self) -> int:
        """Held-out tokens."""
        return self._holdout.num_tokens

    def warm_up(self) -> None:
        """Compile what an evaluation needs, or load it from the cache."""
        if self._config.negative_sampling:
            ids, offsets, hashes = self._holdout.sequences
            one = Sequences(ids[: offsets[1]], offsets[:2], hashes[:1])
            toy = dataclasses.replace(self._holdout, sequences=one)
            toy.evaluate(*self._weights, skip_gram=self._config.skip_gram)

    def evaluate(self) -> HoldoutLoss:
        """The loss as it is now, on as many threads as Numba is set to."""
        began = time.perf_counter()
        if self._config.negative_sampling:
            found = self._holdout.evaluate(*self._weights, skip_gram=self._config.skip_gram)
        else:
            found = self._softmax_loss()
        self.seconds += time.perf_counter() - began
        return found

    def _softmax_loss(self) -> HoldoutLoss:
        if self._room is None:
            rows, columns = self._weights.output_vectors.shape
            self._room = new_room(rows, columns, _BATCH_CENTERS, REACH, LOGIT_BYTES)
        skip_gram = self._config.skip_gram
        found = [
            _group_loss(self._weights, self._stream, group, skip_gram, self._room)
            for group in self._groups
        ]
        losses, centers = np.array(found).T
        positives = centers.astype(np.int64)
        return HoldoutLoss(*ratio_interval(losses, positives), losses, positives)

    def exact_softmax(self, counts: np.ndarray, words: int) -> float | None:
        """See `exact_softmax_loss`: for negative sampling, on the first held-out centers; None
        where it would be no small part of the time that `words` words of training took.

        Args:
            counts: int64 (V,), of the vocabulary.
        """
        began, dim = time.perf_counter(), self._config.vector_dim
        centers = min(_EXACT_CENTERS, self._holdout.num_tokens)
        if centers > EXACT_SHARE * words / len(counts):
            return None
        loss = exact_softmax_loss(
            Weights(*(matrix[:, :dim] for matrix in self._weights)),
            _stream_of(self._holdout),
            centers,
            noise_distribution(counts, self._config.ns_exponent),
            skip_gram=self._config.skip_gram,
        )
        self.seconds += time.perf_counter() - began
        return loss


def _group_loss(
    weights: Weights, stream: Stream, group: tuple[int, int], skip_gram: bool, room: Room
) -> tuple[float, int]:
    """(nats, centers) of a group, by the kernel that trains, at learning rate 0."""
    first, end = group
    loss, centers = 0.0, 0
    for start in range(first, end, _BATCH_CENTERS):
        count = min(_BATCH_CENTERS, end - start)
        settings = Settings(REACH, 1, False, False)
        sums = softmax_batch_update(
            weights, stream, start, count, settings, skip_gram, np.float32(0.0), room
        )
        loss, centers = loss + float(sums[0]), centers + int(sums[1])
    return loss, centers


def _stream_of(holdout: Holdout) -> Stream:
    """All held-out tokens, with whole windows."""
    ids, offsets, _ = holdout.sequences
    lengths = np.diff(offsets)
    return Stream(
        ids,
        np.repeat(offsets[:-1], lengths).astype(np.int32),
        np.repeat(offsets[1:], lengths).astype(np.int32),
        np.arange(len(ids) + 1, dtype=np.int64),
        np.full(len(ids), REACH, np.int32),
    )


def _groups_of(holdout: Holdout) -> list[tuple[int, int]]:
    """First and last + 1 token of each group: whole sequences, a batch or a little more."""
    groups, first = [], 0
    enough = min(_BATCH_CENTERS, holdout.num_tokens // _MIN_GROUPS)
    for end in holdout.sequences.offsets[1:].tolist():
        if end - first >= max(1, enough):
            groups.append((first, end))
            first = end
    if first < len(holdout.sequences.token_ids):
        groups.append((first, len(holdout.sequences.token_ids)))
    return groups
