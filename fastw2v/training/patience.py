"""When the held-out loss has stopped falling."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from fastw2v.errors import DataError
from fastw2v.training.holdout import HoldoutLoss, ratio_interval


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
