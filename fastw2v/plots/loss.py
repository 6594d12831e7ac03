"""The loss curve of a run: training and held-out loss, learning rate, epochs and events.

It is drawn during training, so nothing is measured and nothing searches for its best place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.plots.style import (
    BLUE,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    RED,
    bare_figure,
    check_suffix,
    count_axis,
    readable_count,
    save_figure,
    style_axes,
)
from fastw2v.vectors.loss_history import LossHistory, averaged_down, readable_limits, smoothed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 8.5  # inches, as all that follows
_LEFT, _RIGHT = 0.78, 0.22
_HEIGHTS = {"loss": 3.5, "softmax": 1.5, "alpha": 0.9}
_GAP, _BOTTOM, _NOTE, _HEAD, _LEGEND_ROW = 0.16, 0.52, 0.2, 0.8, 0.2
_LEGEND_COLUMNS = 4  # in one row; more entries make two rows of three
_MAX_EPOCH_MARKS = 12
_MAX_EVENT_LABELS = 12
_CHARACTER = 0.011  # width of a letter or digit of a label, as a share of the panel's
_EVENT_COLORS = {"rollback": RED, "cooldown": GREEN, "new corpus": INK}
NEGATIVE_SAMPLING_UNIT = "nats per positive pair"
SOFTMAX_UNIT = "nats per target"
FEW = 60  # points up to which each is marked, and none is smoothed
_MAX_OUTLIERS = 200  # marks of one curve


@dataclasses.dataclass
class Drawing:
    """A loss plot in the making.

    kept: bool (rows,), rows that no rollback undid.
    panels: from the top, by name: "loss", always, "softmax" and "alpha".
    """

    figure: Figure
    history: LossHistory
    kept: np.ndarray
    panels: dict[str, Axes]
    handles: list[Any] = dataclasses.field(default_factory=list)
    labels: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, history: LossHistory, *, softmax: bool, alpha: bool) -> Drawing:
        """An empty one with the panels that are wanted."""
        figure = bare_figure(dpi=120)
        panels: dict[str, Axes] = {}
        for name, wanted in {"loss": True, "softmax": softmax, "alpha": alpha}.items():
            if wanted:
                panels[name] = figure.add_axes((0, 0, 1, 1), label=name, sharex=panels.get("loss"))
        return cls(figure, history, ~history.given_up, panels)

    def explain(self, label: str, *handles: Any) -> None:
        """Enter into the legend what is drawn by `handles`, one over another."""
        self.handles.append(handles if len(handles) > 1 else handles[0])
        self.labels.append(label)

    @property
    def last_words(self) -> float:
        """Where the run stands."""
        return float(np.nanmax(self.history.words, initial=0.0))


def mark_epochs(drawing: Drawing) -> None:
    """A faint line where an epoch begins, its number above the curve."""
    known = drawing.kept & np.isfinite(drawing.history.epoch + drawing.history.words)
    words = drawing.history.words[known]
    numbers = np.floor(drawing.history.epoch[known])
    if not len(numbers):
        return
    begins = np.flatnonzero(np.r_[True, np.diff(numbers) != 0])
    # A row closes its interval, so an epoch begins at the last row of the one before.
    places = np.where(begins == 0, 0.0, words[np.maximum(begins - 1, 0)])
    every = -(-len(begins) // _MAX_EPOCH_MARKS)
    top, end = drawing.panels["loss"], 0.0  # where the last label ends, as a share of the width
    for place, number in zip(places[::every], numbers[begins[::every]], strict=True):
        for axes in drawing.panels.values() if place > 0 else ():
            axes.axvline(place, color="#cccccc", lw=0.8, zorder=0)
        label = f"epoch {number:.0f}" if place == 0 else f"{number:.0f}"
        share, width = place / max(drawing.last_words, 1.0), _CHARACTER * (len(label) + 1)
        if place > 0 and share - width / 2 < end:
            continue
        end = share + (width if place == 0 else width / 2)
        top.text(
            place, 1.015, label, transform=top.get_xaxis_transform(), color=INK, fontsize=8,
            ha="left" if place == 0 else "center", va="bottom",
        )  # fmt: skip


def mark_events(drawing: Drawing) -> None:
    """A line through the panels at each event, with its name where there is room for it."""
    top, right = drawing.panels["loss"], max(drawing.last_words, 1.0)
    ends = [0.0, 0.0, 0.0]  # where the labels of three rows end, as shares of the width
    for number, (words, kind) in enumerate(drawing.history.events):
        color = _EVENT_COLORS[kind]
        for axes in drawing.panels.values():
            axes.axvline(words, color=color, lw=1.1, ls=(0, (4, 2)), zorder=1)
        place, width = words / right, _CHARACTER * (len(kind) + 1)
        at_left = place + width > 0.98
        begin = place - width if at_left else place
        row = next((row for row, end in enumerate(ends) if begin >= end), None)
        if row is None or number >= _MAX_EVENT_LABELS:
            continue
        ends[row] = place if at_left else place + width
        top.annotate(
            kind, (words, 0.985 - 0.065 * row), (-3 if at_left else 3, 0),
            xycoords=top.get_xaxis_transform(), textcoords="offset points", color=color,
            fontsize=8, ha="right" if at_left else "left", va="top", zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
        )  # fmt: skip


def finish(drawing: Drawing, title: str, note: str) -> None:
    """Lay out the panels, the title, the legend, the shared x axis and a note below it."""
    from matplotlib.ticker import MaxNLocator

    panels = list(drawing.panels.values())
    height = _lay_out(drawing, _BOTTOM + (_NOTE if note else 0.0))
    for axes in panels:
        style_axes(axes, "y", ticks=8.5)
        axes.tick_params(labelbottom=axes is panels[-1])
        axes.yaxis.set_label_coords(-0.068, 0.5)
    for axes in panels[1:]:
        axes.yaxis.set_major_locator(MaxNLocator(3))
    panels[0].set_xlim(0, drawing.last_words * 1.015 or 1)
    count_axis(panels[-1].xaxis)
    panels[-1].set_xlabel("words trained", fontsize=9)
    left = _LEFT / _WIDTH
    drawing.figure.text(
        left, 1 - 0.12 / height, title, parse_math=False, color=INK, fontsize=12, va="top"
    )
    if note:
        drawing.figure.text(left, 0.1 / height, note, color="#666666", fontsize=8, va="bottom")
    if not drawing.handles:
        panels[0].text(0.5, 0.5, "nothing trained yet", ha="center", transform=panels[0].transAxes)
        return
    drawing.figure.legend(
        drawing.handles, drawing.labels, loc="upper left", fontsize=8.5, frameon=False,
        ncols=_legend_columns(drawing), columnspacing=1.4, handletextpad=0.5, borderpad=0,
        borderaxespad=0, bbox_to_anchor=(left, 1 - 0.4 / height),
    )  # fmt: skip


def _legend_columns(drawing: Drawing) -> int:
    return _LEGEND_COLUMNS if len(drawing.handles) <= _LEGEND_COLUMNS else 3


def _lay_out(drawing: Drawing, bottom: float) -> float:
    """The panels under a title and as many rows as the legend has; the height in inches."""
    rows = max(1, -(-len(drawing.handles) // _legend_columns(drawing)))
    heights = [_HEIGHTS[name] for name in drawing.panels]
    head = _HEAD + _LEGEND_ROW * (rows - 1)
    height = head + bottom + sum(heights) + _GAP * (len(heights) - 1)
    drawing.figure.set_size_inches(_WIDTH, height)
    top, wide = height - head, (_WIDTH - _LEFT - _RIGHT) / _WIDTH
    for axes, tall in zip(drawing.panels.values(), heights, strict=True):
        axes.set_position((_LEFT / _WIDTH, (top - tall) / height, wide, tall / height))
        top -= tall + _GAP
    return height


def loss_unit(model_type: str | None) -> str:
    """What the training and the held-out loss of a type are measured in."""
    return SOFTMAX_UNIT if model_type in ("sgram", "cbow") else NEGATIVE_SAMPLING_UNIT


def loss_title(name: str, model_type: str, dim: int, words: int) -> str:
    """The title of a model's loss curve."""
    return f"{name}: {model_type}, {dim:,} dimensions, {readable_count(words)} words trained"


def comparability_note(subsample: float | None, window_sampling: str) -> str:
    """What keeps the levels of training and held-out loss from being compared; "" for nothing.

    The held-out loss is always of all words and whole windows.
    """
    text = "subsampled text" if subsample else ""
    windows = "windows of random size" if window_sampling == "dynamic" else ""
    if not (text or windows):
        return ""
    return (
        f"Training loss is of {' and '.join(filter(None, (text, windows)))}, held-out loss of all "
        "words and full windows: their levels differ."
    )


def plot_loss(
    history: Sequence[Mapping[str, Any]],
    path: str | Path,
    title: str,
    model_type: str | None = None,
    note: str = "",
) -> None:
    """Draw the loss curve of a training run to `path` (.png, .pdf or .svg), atomically.

    Args:
        history: its rows, as `monitor.Monitor` makes them; what is missing, null or NaN is left
            out. A long one is averaged down, and outliers do not flatten the curve: they are
            marked at the edge.
        path: replaced if it exists.
        title: drawn above the curve as it stands (see `loss_title`).
        model_type: says what the losses are measured in; None: negative sampling.
        note: drawn below if there is a held-out loss (see `comparability_note`).

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
    finish(drawing, title, note if np.isfinite(curves.holdout_loss).any() else "")
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
    for loss, color in ((history.loss, BLUE), (history.holdout_loss, ORANGE)):
        _mark_outliers(drawing, axes, loss, limits[1], color)


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
    interval = () if band is None else (band,)
    drawing.explain("held-out loss" + (", 95 % interval" if interval else ""), *interval, line)
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


def _mark_outliers(drawing: Drawing, axes: Axes, loss: np.ndarray, top: float, color: str) -> None:
    """A mark at the upper edge where a stretch of rows above it begins."""
    known = drawing.kept & np.isfinite(loss)
    words, beyond = drawing.history.words[known], loss[known] > top
    words = words[np.diff(beyond, prepend=False) & beyond][:_MAX_OUTLIERS]
    if not len(words):
        return
    (marks,) = axes.plot(
        words, np.full(len(words), 0.985), "^", color=color, ms=4.5,
        transform=axes.get_xaxis_transform(), clip_on=False, zorder=5,
    )  # fmt: skip
    if "off the scale" not in drawing.labels:
        drawing.explain("off the scale", marks)


def _draw_alpha(drawing: Drawing, axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter

    history, kept = drawing.history, drawing.kept
    for words, alpha in _legs(drawing, history.alpha):
        axes.plot(words, alpha, "o-" if len(alpha) < 2 else "-", color=GRAY, lw=1.5, ms=4)
    words, undone = averaged_down(history.words[~kept], history.alpha[~kept])
    axes.plot(words, undone, ".", color=RED, ms=2, alpha=0.4)
    axes.set_ylim(0, 1.12 * max(0.0, np.nanmax(history.alpha)) or 1)
    axes.set_ylabel("learning rate", fontsize=8)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:.3g}"))
