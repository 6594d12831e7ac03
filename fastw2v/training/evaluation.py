"""The held-out loss while a model trains: how it is measured, when, and what it costs.

Negative sampling: `Holdout.evaluate`. Full softmax: −log p of the target, exact, over the same
windows; its kernel takes batches, so the items of its bootstrap are groups of sequences.
"""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np

from fastw2v.corpus.vocabulary import noise_distribution
from fastw2v.kernels.holdout import REACH, Sequences
from fastw2v.kernels.negative_sampling import Settings, Weights
from fastw2v.kernels.softmax import softmax_batch_update
from fastw2v.kernels.softmax_room import Room, buffer_bytes, new_room
from fastw2v.kernels.streams import Stream
from fastw2v.training.config import TrainConfig
from fastw2v.training.exact_softmax import TILE_BYTES, exact_softmax_loss
from fastw2v.training.holdout import Holdout, HoldoutLoss, ratio_interval
from fastw2v.training.steps import LOGIT_BYTES, padded_dim

SHARE_OF_TIME = 0.005  # of training, that evaluations may take, about
# What an evaluation costs a held-out token, in words of training: measured by bench/costs.py.
COSTS = {"sgram_neg": 2.5, "cbow_neg": 1.8, "sgram": 0.4, "cbow": 0.4}
# Centres of the exact loss, times the vocabulary's words, for each trained word, at most: a quarter
# of a percent of the time, as a logit costs about a thirtieth of a word of training.
EXACT_SHARE = 1 / 12
_EXACT_CENTRES = 1000  # always as many, so that it compares between runs
_BATCH_CENTRES = 512  # of the softmax, whose groups have as many or a little more,
_LEAST_GROUPS = 50  # or fewer where there would be too few groups for an interval


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
        return buffer_bytes(vocabulary_size, columns, _BATCH_CENTRES, REACH, threads, LOGIT_BYTES)
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
            self._room = new_room(rows, columns, _BATCH_CENTRES, REACH, LOGIT_BYTES)
        skip_gram = self._config.skip_gram
        found = [
            _group_loss(self._weights, self._stream, group, skip_gram, self._room)
            for group in self._groups
        ]
        losses, centres = np.array(found).T
        positives = centres.astype(np.int64)
        return HoldoutLoss(*ratio_interval(losses, positives), losses, positives)

    def exact_softmax(self, counts: np.ndarray, words: int) -> float | None:
        """See `exact_softmax_loss`: for negative sampling, on the first held-out centres; None
        where it would be no small part of the time that `words` words of training took.

        Args:
            counts: int64 (V,), of the vocabulary.
        """
        began, dim = time.perf_counter(), self._config.vector_dim
        centres = min(_EXACT_CENTRES, self._holdout.num_tokens)
        if centres > EXACT_SHARE * words / len(counts):
            return None
        loss = exact_softmax_loss(
            Weights(*(matrix[:, :dim] for matrix in self._weights)),
            _stream_of(self._holdout),
            centres,
            noise_distribution(counts, self._config.ns_exponent),
            skip_gram=self._config.skip_gram,
        )
        self.seconds += time.perf_counter() - began
        return loss


def _group_loss(
    weights: Weights, stream: Stream, group: tuple[int, int], skip_gram: bool, room: Room
) -> tuple[float, int]:
    """(nats, centres) of a group, by the kernel that trains, at learning rate 0."""
    first, end = group
    loss, centres = 0.0, 0
    for start in range(first, end, _BATCH_CENTRES):
        count = min(_BATCH_CENTRES, end - start)
        settings = Settings(REACH, 1, False, False)
        sums = softmax_batch_update(
            weights, stream, start, count, settings, skip_gram, np.float32(0.0), room
        )
        loss, centres = loss + float(sums[0]), centres + int(sums[1])
    return loss, centres


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
    enough = min(_BATCH_CENTRES, holdout.num_tokens // _LEAST_GROUPS)
    for end in holdout.sequences.offsets[1:].tolist():
        if end - first >= max(1, enough):
            groups.append((first, end))
            first = end
    if first < len(holdout.sequences.token_ids):
        groups.append((first, len(holdout.sequences.token_ids)))
    return groups
