"""The panels of a loss plot: their layout, the marks of epochs and events, legend and labels.

Nothing is measured and nothing searches for its best place, so that a drawing takes little time.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.figures import GREEN, GRID, INK, RED, readable_count
from fastw2v.loss_history import LossHistory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 8.5  # inches, as all that follows
_LEFT, _RIGHT = 0.78, 0.22
_HEIGHTS = {"loss": 3.5, "softmax": 1.5, "alpha": 0.9}
_GAP, _BOTTOM, _HEAD, _LEGEND_ROW = 0.16, 0.52, 0.8, 0.2
_LEGEND_COLUMNS = 4  # in one row; more entries make two rows of three
_MOST_EPOCH_MARKS = 12
_MOST_EVENT_LABELS = 12
_EVENT_COLOURS = {"rollback": RED, "cooldown": GREEN, "new corpus": INK}


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
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(dpi=120)
        FigureCanvasAgg(figure)
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
    every = -(-len(begins) // _MOST_EPOCH_MARKS)
    top = drawing.panels["loss"]
    for place, number in zip(places[::every], numbers[begins[::every]], strict=True):
        for axes in drawing.panels.values() if place > 0 else ():
            axes.axvline(place, color="#cccccc", lw=0.8, zorder=0)
        label = f"epoch {number:.0f}" if place == 0 else f"{number:.0f}"
        top.text(
            place, 1.015, label, transform=top.get_xaxis_transform(), color=INK, fontsize=8,
            ha="left" if place == 0 else "center", va="bottom",
        )  # fmt: skip


def mark_events(drawing: Drawing) -> None:
    """A line through the panels at each event, with its name where there is room for it."""
    top, right = drawing.panels["loss"], max(drawing.last_words, 1.0)
    ends = [0.0, 0.0, 0.0]  # where the labels of three rows end, as shares of the width
    for number, (words, kind) in enumerate(drawing.history.events):
        colour = _EVENT_COLOURS[kind]
        for axes in drawing.panels.values():
            axes.axvline(words, color=colour, lw=1.1, ls=(0, (4, 2)), zorder=1)
        place, width = words / right, 0.012 * (len(kind) + 1)
        at_left = place + width > 0.98
        begin = place - width if at_left else place
        row = next((row for row, end in enumerate(ends) if begin >= end), None)
        if row is None or number >= _MOST_EVENT_LABELS:
            continue
        ends[row] = place if at_left else place + width
        top.annotate(
            kind, (words, 0.985 - 0.065 * row), (-3 if at_left else 3, 0),
            xycoords=top.get_xaxis_transform(), textcoords="offset points", color=colour,
            fontsize=8, ha="right" if at_left else "left", va="top", zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
        )  # fmt: skip


def finish(drawing: Drawing, title: str) -> None:
    """Give everything its place: panels, title, legend, and the axis that the panels share."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    panels = list(drawing.panels.values())
    height = _lay_out(drawing)
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8.5, labelbottom=axes is panels[-1])
        axes.yaxis.set_label_coords(-0.068, 0.5)
        axes.grid(axis="y", color=GRID, lw=0.8)
        axes.set_axisbelow(True)
    for axes in panels[1:]:
        axes.yaxis.set_major_locator(MaxNLocator(3))
    panels[0].set_xlim(0, drawing.last_words * 1.015 or 1)
    panels[-1].xaxis.set_major_formatter(FuncFormatter(readable_count))
    panels[-1].set_xlabel("words trained", fontsize=9)
    left = _LEFT / _WIDTH
    drawing.figure.text(
        left, 1 - 0.12 / height, title, parse_math=False, color=INK, fontsize=12, va="top"
    )
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


def _lay_out(drawing: Drawing) -> float:
    """The panels under a title and as many rows as the legend has; the height in inches."""
    rows = max(1, -(-len(drawing.handles) // _legend_columns(drawing)))
    heights = [_HEIGHTS[name] for name in drawing.panels]
    head = _HEAD + _LEGEND_ROW * (rows - 1)
    height = head + _BOTTOM + sum(heights) + _GAP * (len(heights) - 1)
    drawing.figure.set_size_inches(_WIDTH, height)
    top, wide = height - head, (_WIDTH - _LEFT - _RIGHT) / _WIDTH
    for axes, tall in zip(drawing.panels.values(), heights, strict=True):
        axes.set_position((_LEFT / _WIDTH, (top - tall) / height, wide, tall / height))
        top -= tall + _GAP
    return height
