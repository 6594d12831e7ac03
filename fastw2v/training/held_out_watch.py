"""What a run knows of its held-out loss: measured when, how low, and whether it still falls."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.errors import DivergenceError, UsageError
from fastw2v.kernels.negative_sampling import Weights
from fastw2v.training.config import TrainConfig
from fastw2v.training.evaluation import EvaluationPlan, Evaluator
from fastw2v.training.holdout import Holdout
from fastw2v.training.learning_rate import LearningRate
from fastw2v.training.patience import Best, Patience
from fastw2v.training.start import Start

if TYPE_CHECKING:
    from fastw2v.corpus.token_store import TokenStore


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
