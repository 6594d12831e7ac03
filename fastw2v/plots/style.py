"""What every picture has in common: colors, formats, numbers on axes, and saving.

Figures are made with matplotlib's objects, without pyplot: no window, no global state, so that a
training thread may draw.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastw2v.errors import UsageError
from fastw2v.io import storage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
BLUE, ORANGE, GRAY, INK = "#1f5fa8", "#c8501e", "#8a8a8a", "#333333"
GREEN, RED, GRID = "#2f7d4f", "#b3262e", "#e6e6e6"


def check_suffix(path: Path) -> None:
    """Check that `path` ends in a format that can be written.

    Raises:
        UsageError: `path` does not end in .png, .pdf or .svg.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: {path.suffix!r} names no picture format; use .png, .pdf or .svg")


def bare_figure(**settings: Any) -> Figure:
    """An empty `matplotlib.figure.Figure` that draws with Agg, whatever backend is set."""
    try:
        from matplotlib.figure import Figure
    except ValueError:  # MPLBACKEND, which a notebook sets, names a module that is not installed
        del os.environ["MPLBACKEND"]
        from matplotlib.figure import Figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = Figure(**settings)
    FigureCanvasAgg(figure)  # keeps its renderer, so that measuring labels is cheap
    return figure


def new_figure(path: Path, width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure (inches) for `path`, with one pair of axes.

    Raises:
        UsageError: the suffix names no picture format.
    """
    check_suffix(path)
    figure = bare_figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def style_axes(axes: Axes, grid: Literal["both", "x", "y"], *, ticks: float | None = None) -> None:
    """Give axes the common look: two spines, a faint grid below the data, and the tick size."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    if ticks is not None:
        axes.tick_params(labelsize=ticks)


def count_axis(axis: Axis) -> None:
    """Label an axis with readable counts, such as 1.5M."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(readable_count))


@contextlib.contextmanager
def any_script() -> Iterator[None]:
    """No warnings about words in scripts that the font lacks, which are drawn as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to `path` in the format of its suffix, atomically.

    Raises:
        ResourceError: the disk is full or not writable.
    """
    with storage.atomic_file(path) as temporary, any_script():
        figure.savefig(temporary, format=path.suffix[1:].lower())


def readable_count(count: float, _position: object = None) -> str:
    """1500000 -> "1.5M"; also a tick formatter."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= scale:
            return f"{count / scale:.4g}{unit}"
    return f"{count:.4g}"
