"""Where lines meant for the user go when a Python caller does not take them.

Watches a run: sums of the loss, the history, progress events, divergence.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from typing import Any

import numpy as np

from fastw2v.errors import DivergenceError
from fastw2v.kernels.negative_sampling import Weights

_logger = logging.getLogger("fastw2v")


def log_notice(line: str) -> None:
    """To the logger "fastw2v"; lines that begin with "warning:" as warnings."""
    _logger.log(logging.WARNING if line.startswith("warning:") else logging.INFO, line)


HISTORY_INTERVAL = 0.5  # seconds between two rows of the history, at least;
MAX_INTERVAL = 10.0  # at most, which long runs come to:
_ROWS = 5000  # as many rows come before they are further apart
NORM_LIMIT = 1e4  # no useful word vector comes near this length
_SAMPLED_ROWS = 1024


@dataclasses.dataclass(frozen=True)
class Progress:
    """What a callback is told.

    event: "start", "interval" (a new row of the history), "evaluation" (of the held-out loss),
        "save", "epoch" (one has ended), "cooldown", "rollback" or "end".
    epoch: the running epoch from 1, of `epochs`.
    words, total_words: words trained, and to train, counted before subsampling; of this corpus.
    words_per_second: over the last interval; nan before the first.
    loss: nats per positive pair (negative sampling) or per center (softmax) over the last interval.
    alpha: learning rate now.
    seconds, seconds_left: training time so far, and about still to come (nan before the first
        interval).
    holdout_loss, holdout_low, holdout_high: the held-out loss when it was last measured, and its
        95 % interval; nan before.
    """

    event: str
    epoch: int
    epochs: int
    words: int
    total_words: int
    words_per_second: float
    loss: float
    alpha: float
    seconds: float
    seconds_left: float
    holdout_loss: float = math.nan
    holdout_low: float = math.nan
    holdout_high: float = math.nan


# Of a row of the history; None where nothing was measured.
_MEASURED = ("loss", "holdout_loss", "holdout_low", "holdout_high", "holdout_softmax")


class Monitor:
    """Collects the sums of the kernels into the rows of the history.

    A row: epoch (from 1), words (trained so far, on earlier corpora too), seconds (of training;
    saves, evaluations and compilation not counted), words_per_second, alpha, loss, holdout_loss,
    holdout_low, holdout_high, holdout_softmax, event. Rows do not change once they are there.
    """

    def __init__(self, history: list[dict[str, Any]], words: int) -> None:
        self.history = history
        self.seconds = float(history[-1]["seconds"]) if history else 0.0
        self._loss_sum, self._targets = 0.0, 0.0
        self._words_at_row, self._seconds_at_row = words, self.seconds
        self._row_time = time.monotonic()

    def add(self, loss_sum: float, targets: float, seconds: float) -> None:
        """Add one step's loss (nats, float64), the targets it is summed over, and its time."""
        self._loss_sum += loss_sum
        self._targets += targets
        self.seconds += seconds

    @property
    def due(self) -> bool:
        """Whether the next row of the history is due."""
        wanted = min(max(HISTORY_INTERVAL, self.seconds / _ROWS), MAX_INTERVAL)
        return time.monotonic() - self._row_time >= wanted

    def close_interval(self, epoch: int, words: int, alpha: float) -> bool:
        """Append a row for what came since the last one; False if nothing did.

        Raises:
            DivergenceError: the loss is not finite.
        """
        if words == self._words_at_row:
            return False
        seconds = self.seconds - self._seconds_at_row
        loss = self._loss_sum / self._targets if self._targets else None
        if loss is not None and not math.isfinite(loss):
            raise DivergenceError(f"the loss is {loss}")
        self.history.append(
            {
                "epoch": epoch,
                "words": words,
                "seconds": round(self.seconds, 3),
                "words_per_second": round((words - self._words_at_row) / max(seconds, 1e-9)),
                "alpha": alpha,
                **dict.fromkeys(_MEASURED),
                "loss": loss,
                "event": None,
            }
        )
        self._loss_sum, self._targets = 0.0, 0.0
        self._words_at_row, self._seconds_at_row = words, self.seconds
        self._row_time = time.monotonic()
        return True

    def note(self, **values: Any) -> None:
        """Add values to the last row."""
        if self.history:
            self.history[-1] = {**self.history[-1], **values}

    def note_event(self, event: str) -> None:
        """Mark the last row; one that has a mark gets an empty row behind it for the next."""
        if self.history and self.history[-1].get("event"):
            nothing = dict.fromkeys(_MEASURED)
            self.history.append({**self.history[-1], **nothing})
        self.note(event=event)


def check_weights(weights: Weights, *, all_rows: bool) -> None:
    """Look for NaN, infinity and exploding norms in all rows, or in a sample spread over them.

    Raises:
        DivergenceError: names the matrix.
    """
    for name, matrix in zip(weights._fields, weights, strict=True):
        step = 1 if all_rows else max(1, len(matrix) // _SAMPLED_ROWS)
        squares = np.einsum("ij,ij->i", matrix[::step], matrix[::step])
        longest = math.sqrt(float(squares.max())) if np.isfinite(squares).all() else math.nan
        if not longest <= NORM_LIMIT:
            size = "not finite" if math.isnan(longest) else f"up to {longest:.3g} long"
            raise DivergenceError(f"rows of the {name.replace('_', ' ')} are {size}")
