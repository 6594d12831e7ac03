"""The loss curves of several runs, one over another."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.plots.loss import loss_unit
from fastw2v.plots.style import INK, bare_figure, check_suffix, count_axis, save_figure, style_axes
from fastw2v.vectors.loss_history import LossHistory, averaged_down, readable_limits, smoothed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fastw2v.vectors.comparison import Run

AGAINST = {"words": "words trained", "seconds": "seconds of training", "epochs": "epochs"}
_COLORS = ("#1f5fa8", "#c8501e", "#2f7d4f", "#8b3fa0", "#b8860b", "#3a9ea5", "#b3262e", "#666666")
_STYLES = ("-", (0, (5, 2)), (0, (1, 1.2)))
_FEW = 60  # points up to which a curve is not smoothed, and evaluations are marked
_PANEL = (6.0, 4.0)  # inches
_LEFT, _GAP, _RIGHT, _BOTTOM, _TOP, _LEGEND_ROW = 0.75, 0.75, 0.25, 0.6, 0.75, 0.22


def plot_runs(runs: Sequence[Run], path: str | Path, against: str = "words") -> None:
    """Draw training and held-out loss of all the runs to `path`, atomically.

    A panel for each unit that training losses are of, and one for the held-out loss of each.

    Args:
        path: .png, .pdf or .svg; replaced if it exists.
        against: the x axis, of `AGAINST`.

    Raises:
        UsageError: the suffix names no picture format.
        ResourceError: the disk is full or not writable.
    """
    path = Path(path)
    check_suffix(path)
    units = list(dict.fromkeys(loss_unit(run.config.get("type")) for run in runs))
    panels = [(unit, kind) for unit in units for kind in _kinds(runs, unit)]
    columns, legend_rows = min(2, len(panels)), -(-len(runs) // 3)
    lines = -(-len(panels) // columns)
    width = _LEFT + _RIGHT + columns * _PANEL[0] + (columns - 1) * _GAP
    head = _TOP + _LEGEND_ROW * legend_rows
    height = head + lines * (_PANEL[1] + _BOTTOM) + (lines - 1) * 0.35
    figure = bare_figure(figsize=(width, height), dpi=110)
    looks = itertools.product(_STYLES, _COLORS)
    looks_of = dict(zip((run.name for run in runs), looks, strict=False))
    handles: dict[str, Any] = {}
    for place, (unit, kind) in enumerate(panels):
        left = _LEFT + (place % columns) * (_PANEL[0] + _GAP)
        top = height - head - (place // columns) * (_PANEL[1] + _BOTTOM + 0.35)
        box = (left / width, (top - _PANEL[1]) / height, _PANEL[0] / width, _PANEL[1] / height)
        axes = figure.add_axes(box)
        mine = [run for run in runs if loss_unit(run.config.get("type")) == unit]
        draw = _draw_training if kind == "training loss" else _draw_holdout
        handles = _draw_panel(axes, mine, draw, against, looks_of) | handles
        mixed = kind == "held-out loss" and len({run.holdout_key for run in mine} - {None}) > 1
        _label(axes, kind + (" (not all comparable)" if mixed else ""), unit, against)
    title = "training and held-out loss" if len(panels) > len(units) else "training loss"
    figure.text(_LEFT / width, 1 - 0.15 / height, title, color=INK, fontsize=12, va="top")
    named = [run.name for run in runs if run.name in handles]
    legend = figure.legend(
        [handles[name] for name in named], named, loc="upper left", ncols=3, frameon=False,
        fontsize=9, borderpad=0, borderaxespad=0,
        bbox_to_anchor=(_LEFT / width, 1 - 0.42 / height),
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    save_figure(figure, path)


def _kinds(runs: Sequence[Run], unit: str) -> list[str]:
    mine = [run for run in runs if loss_unit(run.config.get("type")) == unit]
    known = any(np.isfinite(run.history.holdout_loss).any() for run in mine)
    return ["training loss", "held-out loss"] if known else ["training loss"]


def _places(history: LossHistory, against: str) -> np.ndarray:
    columns = {"words": history.words, "seconds": history.seconds, "epochs": history.epochs_done}
    return np.where(history.given_up, np.nan, columns[against])


def _draw_panel(
    axes: Axes, runs: Sequence[Run], draw: Any, against: str, looks: dict[str, Any]
) -> dict[str, Any]:
    """The handles of the runs that have something to draw; limits are set."""
    handles, limits, right = {}, [], 0.0
    for run in runs:
        style, color = looks[run.name]
        places = _places(run.history, against)
        handle, shown = draw(axes, run.history, places, color, style)
        if handle is None:
            continue
        handles[run.name] = handle
        limits.append(readable_limits(shown))
        right = max(right, float(np.nanmax(places, initial=0.0)))
    if limits:
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        margin = 0.05 * (high - low) or 0.1
        axes.set_ylim(low - margin, high + margin)
    else:
        axes.text(0.5, 0.5, "nothing trained yet", ha="center", transform=axes.transAxes)
    axes.set_xlim(0, right * 1.02 or 1)
    return handles


def _draw_training(
    axes: Axes, history: LossHistory, places: np.ndarray, color: str, style: Any
) -> tuple[Any, np.ndarray]:
    places, loss = averaged_down(places, history.loss)
    if not len(loss):
        return None, loss
    if len(loss) < _FEW:
        (line,) = axes.plot(places, loss, color=color, ls=style, lw=1.7, marker="o", ms=3)
        return line, loss
    axes.plot(places, loss, color=color, lw=0.6, alpha=0.25)
    low, high = readable_limits(loss)
    fair = (loss >= low) & (loss <= high)
    shown = smoothed(loss[fair])
    (line,) = axes.plot(places[fair], shown, color=color, ls=style, lw=1.8)
    return line, shown


def _draw_holdout(
    axes: Axes, history: LossHistory, places: np.ndarray, color: str, style: Any
) -> tuple[Any, np.ndarray]:
    at_loss, loss = averaged_down(places, history.holdout_loss)
    if not len(loss):
        return None, loss
    marker = "s" if len(loss) <= _FEW else None
    (line,) = axes.plot(at_loss, loss, color=color, ls=style, lw=1.7, marker=marker, ms=3)
    in_band, low, high = averaged_down(places, history.holdout_low, history.holdout_high)
    axes.fill_between(in_band, low, high, color=color, alpha=0.18, lw=0)
    return line, np.concatenate([loss, low, high])


def _label(axes: Axes, kind: str, unit: str, against: str) -> None:
    style_axes(axes, "y", ticks=8.5)
    axes.set_xlabel(AGAINST[against], fontsize=9)
    interval = ", 95 % interval" if kind.startswith("held-out") else ""
    axes.set_title(kind + interval, loc="left", color=INK, fontsize=10)
    axes.set_ylabel(f"loss ({unit})", fontsize=9)
    count_axis(axes.xaxis)
