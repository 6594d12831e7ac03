"""The loss curve of a run: training and held-out loss, learning rate, epochs and events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    RED,
    check_suffix,
    readable_count,
    save_figure,
)
from fastw2v.loss_history import LossHistory, averaged_down, readable_limits, smoothed
from fastw2v.loss_panels import Drawing, finish, mark_epochs, mark_events

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NEGATIVE_SAMPLING_UNIT = "nats per positive pair"
SOFTMAX_UNIT = "nats per target"
FEW = 60  # points up to which each is marked, and none is smoothed
_MOST_OUTLIERS = 200  # marks of one curve


def loss_unit(model_type: str | None) -> str:
    """What the training and the held-out loss of a type are measured in."""
    return SOFTMAX_UNIT if model_type in ("sgram", "cbow") else NEGATIVE_SAMPLING_UNIT


def loss_title(name: str, model_type: str, dim: int, words: int) -> str:
    """The title of a model's loss curve."""
    return f"{name}: {model_type}, {dim:,} dimensions, {readable_count(words)} words trained"


def plot_loss(
    history: Sequence[Mapping[str, Any]],
    path: str | Path,
    title: str,
    model_type: str | None = None,
) -> None:
    """Draw the loss curve of a training run to `path` (.png, .pdf or .svg), atomically.

    Args:
        history: its rows, as `monitor.Monitor` makes them; what is missing, null or NaN is left
            out. A long one is averaged down, and outliers do not flatten the curve: they are
            marked at the edge.
        path: replaced if it exists.
        title: drawn above the curve as it stands (see `loss_title`).
        model_type: says what the losses are measured in; None: negative sampling.

    Raises:
        UsageError: the suffix names no picture format.
        ResourceError: the disk is full or not writable.
    """
    path = Path(path)
    check_suffix(path)
    curves = LossHistory.of(history)
    exact = curves.holdout_softmax
    # Where the held-out loss is the exact softmax's itself, that is not drawn again.
    more = int((np.isfinite(exact) & (exact != curves.holdout_loss)).sum())
    same_unit = loss_unit(model_type) == SOFTMAX_UNIT
    has_alpha = bool(np.isfinite(curves.alpha).any())
    drawing = Drawing.of(curves, softmax=more > 1 and not same_unit, alpha=has_alpha)
    loss = drawing.panels["loss"]
    loss.set_ylabel(f"loss ({loss_unit(model_type)})", fontsize=9)
    _draw_losses(drawing, loss, curves.holdout_softmax if more and same_unit else None)
    if "softmax" in drawing.panels:
        axes = drawing.panels["softmax"]
        axes.set_ylabel(SOFTMAX_UNIT, fontsize=8.5)
        limits = _limits(axes, exact)
        _draw_exact(drawing, axes, limits)
        _mark_outliers(drawing, axes, exact, limits[1], GREEN)
    elif more and not same_unit:  # one value is no curve
        (nothing,) = loss.plot([], [], " ")
        value = exact[np.isfinite(exact)][0]
        drawing.explain(f"exact softmax, held-out: {value:.4g}", nothing)
    if has_alpha:
        _draw_alpha(drawing, drawing.panels["alpha"])
    mark_epochs(drawing)
    mark_events(drawing)
    finish(drawing, title)
    save_figure(drawing.figure, path)


def _draw_losses(drawing: Drawing, axes: Axes, exact: np.ndarray | None) -> None:
    """The losses that share a panel, at its limits; outliers are marked at the edge."""
    history, kept = drawing.history, drawing.kept
    columns = (history.loss, history.holdout_loss, history.holdout_low, history.holdout_high)
    more = () if exact is None else (exact,)
    limits = _limits(axes, *(column[kept] for column in (*columns, *more)))
    _draw_training(drawing, axes, limits)
    _draw_holdout(drawing, axes, limits)
    if exact is not None:
        _draw_exact(drawing, axes, limits)
    for loss, colour in ((history.loss, BLUE), (history.holdout_loss, ORANGE)):
        _mark_outliers(drawing, axes, loss, limits[1], colour)


def _limits(axes: Axes, *columns: np.ndarray) -> tuple[float, float]:
    """Set limits that show the values of each column but its outliers."""
    found = [readable_limits(values) for values in columns if np.isfinite(values).any()]
    if not found:
        return 0.0, 1.0
    low, high = min(low for low, _ in found), max(high for _, high in found)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.1
    axes.set_ylim(low - margin, high + margin)
    return low - margin, high + margin


def _legs(drawing: Drawing, *columns: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """(words, *columns) of each leg that has any, averaged down; a corpus makes a leg."""
    history = drawing.history
    for leg in np.unique(history.leg[drawing.kept]):
        rows = drawing.kept & (history.leg == leg)
        found = averaged_down(history.words[rows], *(column[rows] for column in columns))
        if len(found[0]):
            yield found


def _within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    return (values >= limits[0]) & (values <= limits[1])


def _draw_training(drawing: Drawing, axes: Axes, limits: tuple[float, float]) -> None:
    history, kept = drawing.history, drawing.kept
    line = None
    few = np.isfinite(history.loss[kept]).sum() < FEW
    for words, loss in _legs(drawing, history.loss):
        if few:  # too few to smooth: the points themselves
            (line,) = axes.plot(words, loss, "o-", color=BLUE, lw=1.8, ms=4)
            continue
        axes.plot(words, loss, color=BLUE, lw=0.7, alpha=0.4)
        fair = _within(loss, limits)
        (line,) = axes.plot(words[fair], smoothed(loss[fair]), color=BLUE, lw=2.0)
    if line is not None:
        drawing.explain("training loss" if few else "training loss, smoothed", line)
    words, undone = averaged_down(history.words[~kept], history.loss[~kept])
    if len(undone):
        (dots,) = axes.plot(words, undone, ".", color=RED, ms=2.5, alpha=0.5)
        drawing.explain("undone by a rollback", dots)


def _style(count: int) -> str:
    return "s-" if count <= FEW else "-"


def _draw_holdout(drawing: Drawing, axes: Axes, limits: tuple[float, float]) -> None:
    """The held-out loss in its band, and its best value."""
    history, line, band = drawing.history, None, None
    for words, loss in _legs(drawing, history.holdout_loss):
        fair = _within(loss, limits)
        (line,) = axes.plot(
            words[fair], loss[fair], _style(len(loss)), color=ORANGE, lw=1.8, ms=3.5
        )
    if line is None:
        return
    columns = (history.holdout_loss, history.holdout_low, history.holdout_high)
    for words, loss, low, high in _legs(drawing, *columns):
        fair = _within(loss, limits)
        band = axes.fill_between(words[fair], low[fair], high[fair], color=ORANGE, alpha=0.22, lw=0)
    if band is None:
        drawing.explain("held-out loss", line)
    else:
        drawing.explain("held-out loss, 95 % interval", band, line)
    best = history.best_row
    if best is not None:
        words_there, value = history.words[best], history.holdout_loss[best]
        (ring,) = axes.plot(
            words_there, value, "o", color=ORANGE, ms=11, mfc="none", mew=1.6, zorder=5
        )
        drawing.explain(f"best: {value:.4g} at {readable_count(words_there)} words", ring)


def _draw_exact(drawing: Drawing, axes: Axes, limits: tuple[float, float]) -> None:
    """The exact softmax loss on the held-out text."""
    line = None
    for words, loss in _legs(drawing, drawing.history.holdout_softmax):
        fair = _within(loss, limits)
        (line,) = axes.plot(words[fair], loss[fair], _style(len(loss)), color=GREEN, lw=1.6, ms=3.5)
    if line is not None:
        drawing.explain("exact softmax, held-out", line)


def _mark_outliers(drawing: Drawing, axes: Axes, loss: np.ndarray, top: float, colour: str) -> None:
    """A mark at the upper edge where a stretch of rows above it begins."""
    known = drawing.kept & np.isfinite(loss)
    words, beyond = drawing.history.words[known], loss[known] > top
    words = words[np.diff(beyond, prepend=False) & beyond][:_MOST_OUTLIERS]
    if not len(words):
        return
    (marks,) = axes.plot(
        words, np.full(len(words), 0.985), "^", color=colour, ms=4.5,
        transform=axes.get_xaxis_transform(), clip_on=False, zorder=5,
    )  # fmt: skip
    if "off the scale" not in drawing.labels:
        drawing.explain("off the scale", marks)


def _draw_alpha(drawing: Drawing, axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter

    history, kept = drawing.history, drawing.kept
    for words, alpha in _legs(drawing, history.alpha):
        axes.plot(words, alpha, "o-" if len(alpha) < 2 else "-", color=GREY, lw=1.5, ms=4)
    words, undone = averaged_down(history.words[~kept], history.alpha[~kept])
    axes.plot(words, undone, ".", color=RED, ms=2, alpha=0.4)
    axes.set_ylim(0, 1.12 * max(0.0, np.nanmax(history.alpha)) or 1)
    axes.set_ylabel("learning rate", fontsize=8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:.3g}"))
