"""Pictures of words: a map of their vectors, and bars of their probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastw2v.errors import UsageError
from fastw2v.plots.style import BLUE, GRAY, INK, any_script, new_figure, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastw2v.vectors.keyed_vectors import KeyedVectors

_MAX_BARS = 100
_LEADER_FROM = 12  # points between dot and label from which a line joins them
_LABEL_PLACES = tuple(  # where a label may stand, in points from its dot: near places first
    (radius * x, radius * y)
    for radius in (5, 9, 14, 20)
    for x, y in ((1, 0.3), (-1, 0.3), (0, 1), (0, -1.6), (1, 1), (-1, 1), (1, -1), (-1, -1))
)


def principal_plane(vectors: np.ndarray) -> np.ndarray:
    """Coordinates of `vectors`, shape (n, dim), on their two main axes (PCA), shape (n, 2)."""
    centered = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centered, full_matrices=False)
    plane = np.zeros((len(vectors), 2))
    plane[:, : min(2, len(singular))] = (left * singular)[:, :2]
    largest = np.abs(plane).argmax(axis=0)  # fixes the signs, which the SVD leaves open
    return plane * np.where(plane[largest, [0, 1]] < 0, -1.0, 1.0)


def _label_frames(
    pixel: np.ndarray, width: float, height: float, scale: float
) -> Iterator[tuple[float, tuple[float, float, float, float]]]:
    """(distance in points, frame x0, y0, x1, y1 in pixels) of the places of a label, best first."""
    for right, up in _LABEL_PLACES:
        align = 0.0 if right > 0 else 1.0 if right < 0 else 0.5
        x0 = pixel[0] + right * scale - align * width
        y0 = pixel[1] + up * scale - (0.3 * height if abs(up) < 2 else 0)
        yield max(abs(right), abs(up)), (x0, y0, x0 + width, y0 + height)


def _place_labels(figure: Figure, axes: Axes, points: np.ndarray, words: Sequence[str]) -> None:
    """Write each word beside its dot, the first words first; one without room is left out."""
    figure.draw_without_rendering()  # the layout settles where the dots lie
    figure.set_layout_engine("none")
    axes.autoscale(False)
    pixels = axes.transData.transform(points)
    scale = figure.dpi / 72
    left, bottom, right, top = axes.get_window_extent().extents
    taken = np.column_stack([pixels - 2 * scale, pixels + 2 * scale])  # x0, y0, x1, y1 of the dots
    size = 9 if len(words) <= 80 else 7.5
    for word, point, pixel in zip(words, points, pixels, strict=True):
        text = axes.annotate(
            word, tuple(point), (0, 0), textcoords="offset points", fontsize=size, color=INK,
            parse_math=False,
        )  # fmt: skip
        box = text.get_window_extent()
        for distance, frame in _label_frames(pixel, box.width, box.height, scale):
            x0, y0, x1, y1 = frame
            if x0 < left or x1 > right or y0 < bottom or y1 > top:
                continue
            clash = (
                (taken[:, 0] < x1) & (taken[:, 2] > x0) & (taken[:, 1] < y1) & (taken[:, 3] > y0)
            )
            if not clash.any():
                text.set_position(((x0 - pixel[0]) / scale, (y0 - pixel[1]) / scale))
                taken = np.vstack([taken, frame])
                if distance >= _LEADER_FROM:
                    _draw_leader(axes, pixel, frame)
                break
        else:
            text.remove()


def _draw_leader(axes: Axes, pixel: np.ndarray, frame: tuple[float, ...]) -> None:
    """A thin line from a dot to the nearest point of its label's frame (both in pixels)."""
    near = np.clip(pixel, frame[:2], frame[2:])
    ends = axes.transData.inverted().transform([pixel, near])
    axes.plot(*ends.T, color=GRAY, lw=0.5, zorder=1)


def plot_map(
    keyed_vectors: KeyedVectors, words: Sequence[str], path: str | Path, title: str
) -> None:
    """Draw words on the plane of their two main axes (PCA of the vectors at length 1).

    Where there is no room for all the labels, those of the later words are left out.

    Raises:
        UsageError: fewer than two words, or the suffix names no picture format.
        UnknownWordError: an unknown word.
        ResourceError: the disk is full or not writable.
    """
    path, words = Path(path), list(dict.fromkeys(words))
    if len(words) < 2:
        raise UsageError("a map needs at least two words")
    units = np.stack([keyed_vectors.get_vector(word, norm=True) for word in words])
    finite = np.isfinite(units).all(axis=1)
    words = [word for word, good in zip(words, finite, strict=True) if good]
    if len(words) < 2:
        raise UsageError("a map needs at least two words whose vectors are finite")
    plane = principal_plane(units[finite])
    figure, axes = new_figure(path, 10, 8)
    axes.scatter(plane[:, 0], plane[:, 1], s=9, color=BLUE, alpha=0.7, lw=0)
    axes.margins(0.06)
    axes.set_title(title, parse_math=False, color=INK, fontsize=12, pad=10)
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    axes.tick_params(labelsize=8, colors=GRAY)
    axes.grid(color="#eeeeee", lw=0.8)
    axes.set_axisbelow(True)
    with any_script():
        _place_labels(figure, axes, plane, words)
    save_figure(figure, path)


def check_bars(count: int) -> None:
    """Check that a picture has room for `count` bars.

    Raises:
        UsageError: too many.
    """
    if count > _MAX_BARS:
        raise UsageError(f"{count:,} words are too many for one picture; draw {_MAX_BARS} or fewer")


def plot_bars(
    words: Sequence[str], probabilities: Sequence[float], path: str | Path, title: str
) -> None:
    """Draw the probability of each word as a horizontal bar, in the order given, from the top.

    Raises:
        UsageError: no word, too many words, or the suffix names no picture format.
        ResourceError: the disk is full or not writable.
    """
    if not words:
        raise UsageError("no word to draw a bar for")
    check_bars(len(words))
    figure, axes = new_figure(Path(path), 7.5, 1.3 + 0.27 * len(words))
    percents = 100 * np.asarray(probabilities, dtype=np.float64)
    places = np.arange(len(words))
    bars = axes.barh(places, percents, height=0.7, color=BLUE)
    axes.bar_label(bars, [f"{percent:.3g} %" for percent in percents], padding=4, fontsize=9)
    axes.set_yticks(places, words, parse_math=False)
    axes.set_ylim(len(words) - 0.4, -0.6)
    axes.set_xlim(0, 1.15 * percents.max() or 1)  # room for the label of the longest
    axes.set_title(title, parse_math=False, color=INK, fontsize=12, pad=10)
    axes.set_xlabel("probability (%)")
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    style_axes(axes, "x")
    save_figure(figure, Path(path))
