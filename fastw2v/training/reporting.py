"""What a run tells while it goes on: progress events, lines, the picture of the loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastw2v.errors import ResourceError
from fastw2v.io import model_directory as layout
from fastw2v.training.config import TrainConfig
from fastw2v.training.monitor import Progress
from fastw2v.training.resume import NEW_CORPUS

Callback = Callable[[Progress], object]

_FIRST_PLOT = 120.0  # seconds from the start: it loads the library, which takes half of one
_PLOT_PAUSE = 1.0  # seconds between two drawings of the loss curve, at least,
_PLOT_SHARE = 0.002  # and the share of the time that drawing may take
_HOLDOUT = ("holdout_loss", "holdout_low", "holdout_high")


class Reporter:
    """Tells of one run.

    Args:
        callback: gets each `Progress`. say: gets each line meant for the user.
    """

    def __init__(
        self,
        model: Path,
        config: TrainConfig,
        callback: Callback | None,
        say: Callable[[str], None],
    ) -> None:
        self._model, self._config, self._callback = model, config, callback
        self.say = say
        self._next_plot = time.monotonic() + _FIRST_PLOT

    def tell(
        self,
        event: str,
        history: list[dict[str, Any]],
        *,
        epoch: int,
        words: int,
        total_words: int,
        alpha: float,
        seconds: float,
    ) -> object:
        """Call the callback; what it returns."""
        if self._callback is None:
            return None
        row = history[-1] if history else {}
        speed = float(row.get("words_per_second", math.nan))
        loss = row.get("loss")
        measured = _last_measured(history)
        return self._callback(
            Progress(
                event=event,
                epoch=epoch,
                epochs=self._config.epochs,
                words=words,
                total_words=total_words,
                words_per_second=speed,
                loss=math.nan if loss is None else loss,
                alpha=alpha,
                seconds=seconds,
                seconds_left=max(0, total_words - words) / (speed or math.nan),
                **{name: _number(measured.get(name)) for name in _HOLDOUT},
            )
        )

    def draw_loss(self, history: list[dict[str, Any]], *, now: bool) -> None:
        """Draw the loss curve; unless `now`, not too often."""
        began = time.monotonic()
        if not history or (not now and began < self._next_plot):
            return
        from fastw2v.plots.loss import comparability_note, loss_title, plot_loss

        config, words = self._config, history[-1]["words"]
        title = loss_title(self._model.name, config.type, config.vector_dim, words)
        try:
            note = comparability_note(config.subsample, config.window_sampling)
            plot_loss(history, self._model / layout.LOSS_PLOT, title, config.type, note)
        except ResourceError as error:  # a picture is no reason to stop
            self.say(f"warning: {error}")
        ended = time.monotonic()
        self._next_plot = ended + max(_PLOT_PAUSE, (ended - began) / _PLOT_SHARE)


def _last_measured(history: list[dict[str, Any]]) -> dict[str, Any]:
    """The last row with a held-out loss of the present corpus; {} where there is none."""
    for row in reversed(history):
        if row.get("holdout_loss") is not None:
            return row
        if row.get("event") == NEW_CORPUS:
            break
    return {}


def _number(value: float | None) -> float:
    return math.nan if value is None else value
