"""The learning rate of a run, where the run ends, and whether it is time to end early.

The rate decays linearly from alpha to min_alpha over the words of the run (word2vec.c). With early
stopping (`patience`) it stays at alpha until the held-out loss no longer improves, and then decays
over a last stretch (`cooldown`), after which the run ends.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastw2v.errors import DataError
from fastw2v.kernels.hogwild import Schedule, learning_rate
from fastw2v.training.config import TrainConfig
from fastw2v.vectors.evaluation import ratio_interval

MAX_ROLLBACKS = 3


@dataclasses.dataclass(frozen=True)
class LearningRate:
    """Words are counted from the beginning of the run's corpus.

    alpha, min_alpha: the options.
    total_words: the most words of the run.
    decay_from: where the decay begins; None while that is not known, and the rate constant.
    decay_words: its length.
    rollbacks: how often the run diverged and went back; each halves alpha.
    """

    alpha: float
    min_alpha: float
    total_words: int
    decay_from: int | None
    decay_words: int
    rollbacks: int = 0

    @classmethod
    def of(cls, config: TrainConfig, total_words: int, saved: Mapping[str, Any]) -> LearningRate:
        """That of a run of at most `total_words`; `saved` is the `as_json` of the run so far.

        Raises:
            DataError: `saved` is not what `as_json` made.
        """
        assert config.alpha is not None
        assert config.min_alpha is not None
        decay_from: int | None = 0
        decay_words, rollbacks = total_words, 0
        try:
            rollbacks = int(saved.get("rollbacks", 0))
            if config.patience is not None:
                found = saved.get("fall_from")
                decay_from = None if found is None else int(found)
                decay_words = int(saved.get("fall_words", 0))
        except (TypeError, ValueError) as error:
            raise DataError(f"the learning rate of the save is damaged ({error})") from error
        return cls(config.alpha, config.min_alpha, total_words, decay_from, decay_words, rollbacks)

    def as_json(self) -> dict[str, Any]:
        """What a save keeps."""
        return {
            "fall_from": self.decay_from,
            "fall_words": self.decay_words,
            "rollbacks": self.rollbacks,
        }

    def state(self, words: int) -> dict[str, Any]:
        """What the state of a save after `words` words says of the rate and the end."""
        return {
            "total_words": self.total_words,
            "finished": words >= self.end_words,
            "alpha": self.at(words),
            "schedule": self.as_json(),
        }

    @property
    def start(self) -> float:
        """The rate before it decays."""
        return self.alpha / 2**self.rollbacks

    @property
    def end_words(self) -> int:
        """Where the run ends, as far as is known."""
        if self.decay_from is None:
            return self.total_words
        return min(self.total_words, self.decay_from + self.decay_words)

    def at(self, words: int) -> float:
        """The rate after `words` words: the kernels' formula, before they round it to float32."""
        return float(learning_rate(self.seen_from(0), words))

    def seen_from(self, words_before: int) -> Schedule:
        """The same for a kernel that counts words from `words_before` on."""
        if self.decay_from is None:
            return Schedule(self.start, self.start, 1.0, 0.0)
        end = min(self.min_alpha, self.start)
        return Schedule(
            self.start, end, float(self.decay_words), float(words_before - self.decay_from)
        )

    def decaying_from(self, words: int, cooldown: float) -> LearningRate:
        """The same, with a decay that begins now and takes `cooldown` times the words so far."""
        return dataclasses.replace(
            self, decay_from=words, decay_words=max(1, int(cooldown * words))
        )

    def latest_decay(self, cooldown: float) -> int:
        """Where the decay has to begin at the latest, to be over at `total_words`."""
        return int(self.total_words / (1 + cooldown))

    def course(self) -> str:
        """The plan in words: "0.025 to 2.5e-06 over 1,000 words"."""
        if self.decay_from is None:
            return f"constant {self.start:.3g} until the held-out loss no longer improves"
        if self.start == self.min_alpha:
            return f"constant {self.start:.3g}"
        return (
            f"{self.start:.3g} to {min(self.min_alpha, self.start):.3g} over "
            f"{self.decay_words:,} words"
        )


@dataclasses.dataclass(frozen=True)
class Best:
    """The lowest held-out loss so far, and the words after which it was measured."""

    loss: float = math.inf
    words: int = 0

    def as_json(self) -> dict[str, float]:
        """What a save keeps: nothing before the first evaluation."""
        return dataclasses.asdict(self) if self.words else {}


class EarlyStopping:
    """Decides from the last evaluations whether the held-out loss still improves.

    Args:
        patience: how many evaluations to look back.
        losses: float32 (n, m), nats by held-out item of the last evaluations, the oldest first, as
            `losses` was when the run was saved.
    """

    def __init__(self, patience: int, losses: np.ndarray | None = None) -> None:
        self._patience = patience
        self._losses = [] if losses is None else list(losses)[-patience - 1 :]

    @property
    def losses(self) -> np.ndarray | None:
        """What a save keeps; None before the first evaluation."""
        return np.stack(self._losses) if self._losses else None

    def add(self, losses: np.ndarray, positives: np.ndarray) -> bool:
        """Add an evaluation; True if the gain since that of `patience` evaluations ago is not above
        its own noise: the 95 % interval of the difference, paired by held-out item, reaches 0.

        Args:
            losses: (m,), nats of each item; positives: int64 (m,), what they are over.

        Raises:
            DataError: the losses of the save are of other items.
        """
        if self._losses and self._losses[0].shape != losses.shape:
            raise DataError(
                "the save has held-out losses of other sequences than the store holds out; it is "
                "damaged; start a new model (`overwrite_model`)"
            )
        # As they are saved: a resumed run has to decide alike.
        self._losses.append(losses.astype(np.float32))
        del self._losses[: -self._patience - 1]
        if len(self._losses) <= self._patience:
            return False
        gains = self._losses[0].astype(np.float64) - self._losses[-1]
        _, low, _ = ratio_interval(gains, positives)
        return not low > 0
