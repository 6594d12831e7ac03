"""The learning rate of a run, and where the run ends.

It falls linearly from alpha to min_alpha over the words of the run (word2vec.c). With patience it
stays at alpha until the held-out loss has stopped falling, and falls over a last stretch, after
which the run ends.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fastw2v.errors import DataError
from fastw2v.kernels.hogwild import Schedule
from fastw2v.training.config import TrainConfig

MAX_ROLLBACKS = 3


@dataclasses.dataclass(frozen=True)
class LearningRate:
    """Words are counted from the beginning of the run's corpus.

    alpha, min_alpha: as the options have them.
    total_words: the most words of the run.
    fall_from: where the fall begins; None where that is not known yet, and the rate constant.
    fall_words: its length.
    rollbacks: how often the run diverged and went back: each time alpha is halved.
    """

    alpha: float
    min_alpha: float
    total_words: int
    fall_from: int | None
    fall_words: int
    rollbacks: int = 0

    @classmethod
    def of(cls, config: TrainConfig, total_words: int, saved: Mapping[str, Any]) -> LearningRate:
        """That of a run of at most `total_words`; `saved` is the `as_json` of the run so far.

        Raises:
            DataError: `saved` is not what `as_json` made.
        """
        assert config.alpha is not None
        assert config.min_alpha is not None
        fall_from: int | None = 0
        fall_words, rollbacks = total_words, 0
        try:
            rollbacks = int(saved.get("rollbacks", 0))
            if config.patience is not None:
                found = saved.get("fall_from")
                fall_from = None if found is None else int(found)
                fall_words = int(saved.get("fall_words", 0))
        except (TypeError, ValueError) as error:
            raise DataError(f"the learning rate of the save is damaged ({error})") from error
        return cls(config.alpha, config.min_alpha, total_words, fall_from, fall_words, rollbacks)

    def as_json(self) -> dict[str, Any]:
        """What a save keeps."""
        return {
            "fall_from": self.fall_from,
            "fall_words": self.fall_words,
            "rollbacks": self.rollbacks,
        }

    @property
    def start(self) -> float:
        """The rate before it falls."""
        return self.alpha / 2**self.rollbacks

    @property
    def end_words(self) -> int:
        """Where the run ends, as far as is known."""
        if self.fall_from is None:
            return self.total_words
        return min(self.total_words, self.fall_from + self.fall_words)

    def at(self, words: int) -> float:
        """The rate after `words` words, as the kernels have it."""
        schedule = self.seen_from(0)
        done = (schedule.words_before + words) / schedule.total_words
        return schedule.start + (schedule.end - schedule.start) * min(1.0, done)

    def seen_from(self, words_before: int) -> Schedule:
        """The same for a kernel that counts words from `words_before` on."""
        if self.fall_from is None:
            return Schedule(self.start, self.start, 1.0, 0.0)
        end = min(self.min_alpha, self.start)
        return Schedule(
            self.start, end, float(self.fall_words), float(words_before - self.fall_from)
        )

    def falling_from(self, words: int, cooldown: float) -> LearningRate:
        """The same, but that the fall begins now and takes `cooldown` times the words so far."""
        return dataclasses.replace(self, fall_from=words, fall_words=max(1, int(cooldown * words)))

    def latest_fall(self, cooldown: float) -> int:
        """Where the fall has to begin at the latest, to be over at `total_words`."""
        return int(self.total_words / (1 + cooldown))
