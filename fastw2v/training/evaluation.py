"""The held-out loss while a model trains: how it is measured, when, and what it costs.

Negative sampling: `Holdout.evaluate`. Full softmax: −log p of the target, exact, over the same
windows; its kernel takes batches, so the items of its bootstrap are groups of sequences. Once, at
the end, that exact loss is measured for negative sampling too: p ∝ p_noise · exp(score) is what
such vectors stand for (Levy and Goldberg 2014).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.errors import DivergenceError, UsageError
from fastw2v.kernels.blocks import Objective, Weights
from fastw2v.kernels.primitives import padded_dim
from fastw2v.kernels.softmax import softmax_batch_update
from fastw2v.kernels.softmax_batch import (
    SoftmaxWorkspace,
    new_softmax_workspace,
    softmax_workspace_bytes,
)
from fastw2v.kernels.streams import Stream
from fastw2v.kernels.validation import RADIUS, Sequences
from fastw2v.store.vocabulary import noise_distribution
from fastw2v.training.config import TrainConfig
from fastw2v.training.data import whole_stream
from fastw2v.training.reporting import Reporter
from fastw2v.training.schedule import Best, EarlyStopping, LearningRate
from fastw2v.training.steppers import LOGIT_BYTES
from fastw2v.training.validation import Holdout, HoldoutLoss
from fastw2v.vectors.evaluation import ratio_interval

if TYPE_CHECKING:
    from fastw2v.store.format import TokenStore


def softmax_loss(
    weights: Weights,
    stream: Stream,
    first: int,
    last: int,
    workspace: SoftmaxWorkspace,
    *,
    skip_gram: bool,
) -> tuple[float, int]:
    """The exact loss of the centers first … last − 1: (nats, centers that have a context).

    The kernel that trains, at learning rate 0, in batches as large as `workspace`.

    Args:
        weights: rows as the kernels want them; read only.
        workspace: for windows as wide as the stream's; its `bias`, the log of what exp(score) is
            multiplied by, makes p ∝ exp(score + bias).
        skip_gram: a center's contexts are its targets, each with an equal share; else (CBOW) the
            center is the target of its contexts' mean.
    """
    batch_size, half_window = len(workspace.windows.center_ids), int(stream.radii.max(initial=1))
    objective = Objective(half_window, negatives=0, per_pair=False, undivided=False)
    loss, centers = 0.0, 0
    for start in range(first, last, batch_size):
        count = min(batch_size, last - start)
        nats, found = softmax_batch_update(
            weights, stream, start, count, objective, skip_gram, np.float32(0.0), workspace
        )
        loss, centers = loss + float(nats), centers + int(found)
    return loss, centers


NEVER = 1 << 62  # words
SHARE_OF_TIME = 0.005  # of training, that evaluations may take; one an epoch always
# What an evaluation costs a held-out token, in words of training: measured by bench/speed/costs.py.
COSTS = {"sgram_neg": 2.5, "cbow_neg": 1.8, "sgram": 0.4, "cbow": 0.4}
# Centers of the exact loss, times the vocabulary's words, for each trained word, at most: a quarter
# of a percent of the time, as a logit costs about a thirtieth of a word of training.
EXACT_SHARE = 1 / 12
_EXACT_CENTERS = 1000  # always as many, so that it compares between runs
_EXACT_BATCH_CENTERS = 128
_BATCH_CENTERS = 512  # of the softmax, whose groups have as many or a little more,
_MIN_GROUPS = 50  # or fewer where there would be too few groups for an interval


@dataclasses.dataclass(frozen=True)
class EvaluationPlan:
    """When to evaluate: `times` in each epoch, evenly, the last at its end."""

    times: int
    epoch_words: int

    @classmethod
    def of(cls, config: TrainConfig, num_tokens: int, epoch_words: int) -> EvaluationPlan:
        """As often as `SHARE_OF_TIME` allows for `num_tokens` held-out tokens, but at least once.
        The same for all such runs of a type on a store."""
        cost = COSTS[config.type] * num_tokens / SHARE_OF_TIME  # in words
        return cls(max(1, int(epoch_words / cost)), epoch_words)

    def next_after(self, words: int) -> int:
        """Where the first evaluation after `words` words is."""
        interval = self.epoch_words / self.times
        number = math.floor((words + 1e-6) / interval) + 1
        while (place := round(number * interval)) <= words:
            number += 1
        return place


def evaluation_bytes(config: TrainConfig, vocabulary_size: int, threads: int) -> int:
    """The most memory that an `Evaluator` takes besides the held-out sequences, about."""
    columns = padded_dim(config.vector_dim)
    if not config.negative_sampling:
        batch, logits = _BATCH_CENTERS, LOGIT_BYTES
    else:
        batch, logits = _EXACT_BATCH_CENTERS, 0
    return softmax_workspace_bytes(vocabulary_size, columns, batch, RADIUS, threads, logits)


class Evaluator:
    """Measures the held-out loss of weights.

    seconds: of all evaluations so far, during which training stands still.
    """

    def __init__(self, holdout: Holdout, weights: Weights, config: TrainConfig) -> None:
        self._holdout, self._weights, self._config = holdout, weights, config
        self._groups: list[tuple[int, int]] = []
        self._workspace: SoftmaxWorkspace | None = None
        if not config.negative_sampling:
            self._stream = _stream_of(holdout)
            self._groups = _groups_of(holdout)
        self.seconds = 0.0

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
        if self._workspace is None:
            rows, columns = self._weights.output_vectors.shape
            self._workspace = new_softmax_workspace(
                rows, columns, _BATCH_CENTERS, RADIUS, LOGIT_BYTES
            )
        found = [
            softmax_loss(
                self._weights, self._stream, first, end, self._workspace,
                skip_gram=self._config.skip_gram,
            )
            for first, end in self._groups
        ]  # fmt: skip
        losses, centers = np.array(found).T
        positives = centers.astype(np.int64)
        return HoldoutLoss(*ratio_interval(losses, positives), losses, positives)

    def exact_softmax(self, counts: np.ndarray, words: int) -> float | None:
        """Nats a center of the exact softmax, for negative sampling, on the first held-out centers.

        None where no center has a context, and where it would be no small part of the time that
        `words` words of training took.

        Args:
            counts: int64 (V,), of the vocabulary.
        """
        began = time.perf_counter()
        centers = min(_EXACT_CENTERS, self._holdout.num_tokens)
        if centers > EXACT_SHARE * words / len(counts):
            return None
        bias = np.log(noise_distribution(counts, self._config.ns_exponent))
        rows, columns = self._weights.output_vectors.shape
        loss, found = softmax_loss(
            self._weights,
            _stream_of(self._holdout),
            0,
            centers,
            new_softmax_workspace(rows, columns, _EXACT_BATCH_CENTERS, RADIUS, 0, bias),
            skip_gram=self._config.skip_gram,
        )
        self.seconds += time.perf_counter() - began
        return loss / found if found else None


def _stream_of(holdout: Holdout) -> Stream:
    """All held-out tokens, with whole windows."""
    ids, offsets, _ = holdout.sequences
    return whole_stream(ids, np.diff(offsets), RADIUS)


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


class Validation:
    """The held-out loss of the weights of one run: measured when, the best, improving or not.

    Words are those of the run, which has `epoch_words` an epoch. Without held-out sequences nothing
    is ever due.

    Attributes:
        holdout: the held-out sequences, None for none.
        evaluated_at: the words after which the loss was last measured by this process, -1 before.
        best: the lowest loss so far.
        stalled: whether the last evaluations improved by no more than noise (with `patience`).
    """

    def __init__(
        self, holdout: Holdout | None, weights: Weights, config: TrainConfig, epoch_words: int
    ) -> None:
        self.holdout, self._config = holdout, config
        if holdout is not None:
            self._evaluator = Evaluator(holdout, weights, config)
            self._plan = EvaluationPlan.of(config, holdout.num_tokens, epoch_words)
        self.resume({}, None, None)

    def resume(
        self,
        best: Mapping[str, Any],
        losses: np.ndarray | None,
        stopping_losses: np.ndarray | None,
    ) -> None:
        """Continue from what a save keeps: `Best.as_json` and `model_directory.OPTIONAL_ARRAYS`."""
        self.best, self.stalled, self.evaluated_at = Best(**best), False, -1
        self._losses, self._stopping = losses, None
        if self._config.patience is not None:
            self._stopping = EarlyStopping(self._config.patience, stopping_losses)

    def warm_up(self) -> None:
        """Compile what an evaluation needs, or load it from the cache."""
        if self.holdout is not None:
            self._evaluator.warm_up()

    def next_place(self, words: int, rate: LearningRate) -> int:
        """Where an evaluation is due after `words` words, or the learning rate has to decay."""
        if self.holdout is None:
            return NEVER
        place = self._plan.next_after(words)
        if rate.decay_from is None:
            place = min(place, max(rate.latest_decay(self._config.cooldown), words + 1))
        return place

    def evaluate(self, words: int) -> dict[str, float | None]:
        """Measure the loss; the values for the history.

        Raises:
            DivergenceError: it is not finite.
        """
        found = self._evaluator.evaluate()
        if not math.isfinite(found.loss):
            raise DivergenceError(f"the held-out loss is {found.loss}")
        self._losses = np.stack([found.losses, found.positives]).astype(np.float32)
        self.evaluated_at = words
        if self._stopping is not None:
            self.stalled = self._stopping.add(found.losses, found.positives)
        if found.loss < self.best.loss:
            self.best = Best(found.loss, words)
        return {
            "holdout_loss": found.loss,
            "holdout_low": found.low,
            "holdout_high": found.high,
            "holdout_softmax": None if self._config.negative_sampling else found.loss,
        }

    def exact_softmax(self, counts: np.ndarray, words: int) -> float | None:
        """See `Evaluator.exact_softmax`."""
        return self._evaluator.exact_softmax(counts, words)

    def is_best(self, words: int) -> bool:
        """Whether a save after `words` words is to be kept as the best checkpoint."""
        return self._stopping is not None and 0 < self.best.words == words

    def arrays(self) -> dict[str, np.ndarray]:
        """Some of `model_directory.OPTIONAL_ARRAYS`, for a save."""
        stopping = None if self._stopping is None else self._stopping.losses
        found = {"holdout_losses": self._losses, "patience_losses": stopping}
        return {name: array for name, array in found.items() if array is not None}

    def state(self) -> dict[str, Any]:
        """What the state of a save says of it."""
        if self.holdout is None:
            return {"best": self.best.as_json(), "holdout": {}, "holdout_seconds": 0.0}
        return {
            "best": self.best.as_json(),
            "holdout": self.holdout.describe(),
            "holdout_seconds": self._evaluator.seconds,
        }


def choose_holdout(store: TokenStore, config: TrainConfig, reporter: Reporter) -> Holdout | None:
    """The held-out sequences; None where none are wanted, or the corpus is too small.

    Raises:
        UsageError: `patience` needs some. DataError: the store is damaged.
    """
    if not config.holdout:
        return None
    try:
        return Holdout.of(store, config.holdout)
    except UsageError as error:
        if config.patience is not None:
            raise
        reporter.info(f"no held-out loss: {error}")
    return None
