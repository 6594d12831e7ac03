"""When the held-out loss has stopped falling.

What a run knows of its held-out loss: measured when, how low, and whether it still falls.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.errors import DataError, DivergenceError, UsageError
from fastw2v.kernels.negative_sampling import Weights
from fastw2v.training.config import TrainConfig
from fastw2v.training.evaluation import EvaluationPlan, Evaluator
from fastw2v.training.resume import Start
from fastw2v.training.schedule import LearningRate
from fastw2v.training.validation import Holdout, HoldoutLoss
from fastw2v.vectors.evaluation import ratio_interval

if TYPE_CHECKING:
    from fastw2v.store.format import TokenStore


@dataclasses.dataclass(frozen=True)
class Best:
    """The least held-out loss so far, and the words after which it was measured."""

    loss: float = math.inf
    words: int = 0

    def as_json(self) -> dict[str, float]:
        """What a save keeps: nothing before the first evaluation."""
        return dataclasses.asdict(self) if self.words else {}


class Patience:
    """Looks back over the last evaluations.

    Args:
        evaluations: how far to look back.
        losses: float32 (n, m), nats by held-out item of the last evaluations, the oldest first, as
            `losses` was when the run was saved.
    """

    def __init__(self, evaluations: int, losses: np.ndarray | None = None) -> None:
        self._evaluations = evaluations
        self._losses = [] if losses is None else list(losses)[-evaluations - 1 :]

    @property
    def losses(self) -> np.ndarray | None:
        """What a save keeps; None before the first evaluation."""
        return np.stack(self._losses) if self._losses else None

    def add(self, found: HoldoutLoss) -> bool:
        """Take an evaluation; whether the gain since that of `evaluations` ago is not above its
        own noise: the 95 % interval of the difference, paired by held-out item, reaches 0.

        Raises:
            DataError: the losses that the save kept are of other items.
        """
        if self._losses and self._losses[0].shape != found.losses.shape:
            raise DataError(
                "the save keeps held-out losses of other sequences than the store holds out; it is "
                "damaged (start anew: --overwrite-model)"
            )
        # As they are saved: a run that goes on has to decide alike.
        self._losses.append(found.losses.astype(np.float32))
        del self._losses[: -self._evaluations - 1]
        if len(self._losses) <= self._evaluations:
            return False
        gains = self._losses[0].astype(np.float64) - self._losses[-1]
        _, low, _ = ratio_interval(gains, found.positives)
        return not low > 0


class HeldOutWatch:
    """Watches the held-out loss of the weights of one run.

    Words are those of the run, which has `epoch_words` an epoch.

    Attributes:
        evaluated_at: the words after which it was measured last in this sitting, -1 before.
        best: the least loss so far.
        stalled: whether the gain of the last evaluations was within its noise (with patience).
    """

    def __init__(
        self, holdout: Holdout, weights: Weights, config: TrainConfig, epoch_words: int
    ) -> None:
        self._config = config
        self._evaluator = Evaluator(holdout, weights, config)
        self._plan = EvaluationPlan.of(config, holdout, epoch_words)

    def resume(self, start: Start) -> None:
        """Know what was known at `start`."""
        self.best, self.stalled, self.evaluated_at = Best(**start.best), False, -1
        self._losses = start.holdout_losses
        self._patience = None
        if self._config.patience is not None:
            self._patience = Patience(self._config.patience, start.patience_losses)

    @property
    def seconds(self) -> float:
        """Of all evaluations; training stood still meanwhile."""
        return self._evaluator.seconds

    def tokens_in(self, words: int) -> float:
        """Held-out tokens that evaluations look at while `words` words are trained."""
        return self._evaluator.num_tokens * (words / self._plan.words + 1)

    def warm_up(self) -> None:
        """Compile what an evaluation needs, or load it from the cache."""
        self._evaluator.warm_up()

    def next_place(self, words: int, rate: LearningRate) -> int:
        """Where an evaluation is due, or the learning rate has to begin to fall."""
        place = self._plan.next_after(words)
        if rate.fall_from is None:
            place = min(place, max(rate.latest_fall(self._config.cooldown), words + 1))
        return place

    def evaluate(self, words: int) -> dict[str, float | None]:
        """Measure the loss; what the history notes of it.

        Raises:
            DivergenceError: it is not finite.
        """
        found = self._evaluator.evaluate()
        if not math.isfinite(found.loss):
            raise DivergenceError(f"the held-out loss is {found.loss}")
        self._losses = np.stack([found.losses, found.positives]).astype(np.float32)
        self.evaluated_at = words
        self.stalled = self._patience is not None and self._patience.add(found)
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
        return self._patience is not None and 0 < self.best.words == words

    def arrays(self) -> dict[str, np.ndarray]:
        """What a save keeps: some of `model_directory.OPTIONAL_ARRAYS`."""
        found: dict[str, Any] = {"holdout_losses": self._losses}
        if self._patience is not None:
            found["patience_losses"] = self._patience.losses
        return {name: array for name, array in found.items() if array is not None}


def new_holdout(
    store: TokenStore, config: TrainConfig, say: Callable[[str], None]
) -> Holdout | None:
    """The held-out sequences; None where none are wanted, or the corpus is too small.

    Raises:
        UsageError: `--patience` needs some. DataError: the store is damaged.
    """
    if not config.holdout:
        if config.patience is not None:
            raise UsageError("--patience looks at the held-out loss; give it a --holdout above 0")
        return None
    try:
        return Holdout.of(store, config.holdout)
    except UsageError:
        if config.patience is not None:
            raise
    say(
        f"no held-out loss: {config.holdout} of {store.num_sentences:,} sequences is none of them "
        "(--holdout)"
    )
    return None
