"""What a run reports: lines and progress to its caller, the rows of its history, its loss curve.

A loss or weights that are no longer finite are found here (`DivergenceError`).
"""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fastw2v.errors import DivergenceError, ResourceError
from fastw2v.io import model_directory as layout
from fastw2v.kernels.blocks import Weights
from fastw2v.training.config import TrainConfig

HISTORY_INTERVAL = 0.5  # minimum seconds between two rows of the history;
MAX_INTERVAL = 10.0  # the maximum, which long runs reach:
_ROWS = 5000  # the number of rows before the interval grows
NORM_LIMIT = 1e4  # no useful word vector is nearly as long
_SAMPLED_ROWS = 1024
NEW_CORPUS = "new corpus"  # the event of a row of the history in which nothing is trained
# Of a row of the history; None where nothing was measured.
_MEASURED = ("loss", "holdout_loss", "holdout_low", "holdout_high", "holdout_softmax")
_FIRST_PLOT = 120.0  # seconds from the start: it loads the library, which takes half of one
_PLOT_PAUSE = 1.0  # minimum seconds between two drawings of the loss curve,
_PLOT_SHARE = 0.002  # and the share of the time that drawing may take

_logger = logging.getLogger("fastw2v")


@dataclasses.dataclass(frozen=True)
class Progress:
    """The argument of `train`'s `callback`.

    event: "start", "interval" (a new row of the history), "evaluation" (of the held-out loss),
        "save", "epoch" (the end of one), "cooldown" (the learning rate begins to decay),
        "rollback" or "end".
    epoch: the running epoch from 1, of `epochs`.
    words, total_words: words trained, and to train, counted before subsampling; of this corpus.
    words_per_second: over the last interval; None before the first.
    loss: nats per positive pair (negative sampling) or per center (softmax) over the last interval;
        None before the first.
    alpha: the learning rate now.
    seconds: training time so far. seconds_left: estimated; None before the first interval.
    holdout_loss, holdout_low, holdout_high: the held-out loss when it was last measured, and its
        95 % interval; None before.
    """

    event: str
    epoch: int
    epochs: int
    words: int
    total_words: int
    words_per_second: float | None
    loss: float | None
    alpha: float
    seconds: float
    seconds_left: float | None
    holdout_loss: float | None = None
    holdout_low: float | None = None
    holdout_high: float | None = None


Callback = Callable[[Progress], object]


class Reporter(Protocol):
    """Receives all that a call reports; `LogReporter` where none is given.

    Methods may be called from any thread.
    """

    def info(self, line: str) -> None:
        """Take a line for the user."""

    def warning(self, line: str) -> None:
        """Take a line that the user should not miss."""

    def bytes(self, phase: str, done: int, total: int) -> None:
        """Take how many bytes of a phase of preprocessing are done; `total` is 0 if unknown."""

    def items(self, phase: str, done: int, total: int) -> None:
        """Take how much of a phase is done, in units that depend on it."""

    def training(self, progress: Progress) -> None:
        """Take the progress of training."""


class LogReporter:
    """Passes to the logger "fastw2v" what a call reports; of training the end of each epoch."""

    def info(self, line: str) -> None:
        """Log at level INFO."""
        _logger.info(line)

    def warning(self, line: str) -> None:
        """Log at level WARNING."""
        _logger.warning(line)

    def bytes(self, phase: str, done: int, total: int) -> None:
        """Log nothing."""

    def items(self, phase: str, done: int, total: int) -> None:
        """Log nothing."""

    def training(self, progress: Progress) -> None:
        """Log the end of an epoch, and of the run."""
        if progress.event not in ("epoch", "end"):
            return
        ended = progress.event == "end"
        what = f"epoch {progress.epoch}/{progress.epochs}"
        parts = [
            f"end after {progress.words:,} words in {progress.seconds:.1f} s" if ended else what
        ]
        if progress.loss is not None:
            parts.append(f"loss {progress.loss:.4f}")
        if progress.holdout_loss is not None:
            parts.append(f"held-out loss {progress.holdout_loss:.4f}")
        if progress.words_per_second is not None and not ended:
            parts.append(f"{progress.words_per_second:,.0f} words/s")
        _logger.info(", ".join([*parts, f"learning rate {progress.alpha:.3g}"]))


class History:
    """Collects the sums of the kernels into the rows of the history.

    A row: epoch (from 1), words (trained so far, on earlier corpora too), seconds (of training;
    saves, evaluations and compilation not counted), words_per_second, alpha, loss, holdout_loss,
    holdout_low, holdout_high, holdout_softmax, event. A finished row does not change.
    """

    def __init__(self, rows: list[dict[str, Any]], words: int) -> None:
        self.rows = rows
        self.seconds = float(rows[-1]["seconds"]) if rows else 0.0
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
        """Whether the next row is due."""
        wanted = min(max(HISTORY_INTERVAL, self.seconds / _ROWS), MAX_INTERVAL)
        return time.monotonic() - self._row_time >= wanted

    def close_interval(self, epoch: int, words: int, alpha: float) -> bool:
        """Append a row for all words since the last one; False if there were none.

        Raises:
            DivergenceError: the loss is not finite.
        """
        if words == self._words_at_row:
            return False
        seconds = self.seconds - self._seconds_at_row
        loss = self._loss_sum / self._targets if self._targets else None
        if loss is not None and not math.isfinite(loss):
            raise DivergenceError(f"the loss is {loss}")
        self.rows.append(
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
        if self.rows:
            self.rows[-1] = {**self.rows[-1], **values}

    def note_event(self, event: str) -> None:
        """Mark the last row; if it has a mark, an empty row is appended for the new one."""
        if self.rows and self.rows[-1].get("event"):
            nothing = dict.fromkeys(_MEASURED)
            self.rows.append({**self.rows[-1], **nothing})
        self.note(event=event)

    def progress(self, event: str, *, epoch: int, epochs: int, words: int, total_words: int,
                 alpha: float) -> Progress:  # fmt: skip
        """The `Progress` of an event at this moment."""
        row = self.rows[-1] if self.rows else {}
        speed = row.get("words_per_second")
        measured = _last_measured(self.rows)
        return Progress(
            event=event,
            epoch=epoch,
            epochs=epochs,
            words=words,
            total_words=total_words,
            words_per_second=speed,
            loss=row.get("loss"),
            alpha=alpha,
            seconds=self.seconds,
            seconds_left=max(0, total_words - words) / speed if speed else None,
            holdout_loss=measured.get("holdout_loss"),
            holdout_low=measured.get("holdout_low"),
            holdout_high=measured.get("holdout_high"),
        )


def _last_measured(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The last row with a held-out loss of the present corpus; {} where there is none."""
    for row in reversed(rows):
        if row.get("holdout_loss") is not None:
            return row
        if row.get("event") == NEW_CORPUS:
            break
    return {}


class LossCurve:
    """Draws the loss curve of the model directory `model`."""

    def __init__(self, model: Path, config: TrainConfig, reporter: Reporter) -> None:
        self._model, self._config, self._reporter = model, config, reporter
        self._next = time.monotonic() + _FIRST_PLOT

    def draw(self, rows: list[dict[str, Any]], *, now: bool) -> None:
        """Draw `rows`; unless `now`, only where the last drawing was long enough ago."""
        began = time.monotonic()
        if not rows or (not now and began < self._next):
            return
        from fastw2v.plots.loss import comparability_note, loss_title, plot_loss

        config, words = self._config, rows[-1]["words"]
        title = loss_title(self._model.name, config.type, config.vector_dim, words)
        try:
            note = comparability_note(config.subsample, config.window_sampling)
            plot_loss(rows, self._model / layout.LOSS_PLOT, title, config.type, note)
        except ResourceError as error:  # a picture is no reason to stop
            self._reporter.warning(str(error))
        ended = time.monotonic()
        self._next = ended + max(_PLOT_PAUSE, (ended - began) / _PLOT_SHARE)


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
