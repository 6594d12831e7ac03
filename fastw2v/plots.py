"""The loss curve, the vector map and bars (those of a corpus: `store_plots`).

Figures are made with matplotlib's objects, without pyplot: no window, no global state, so that a
training thread may draw.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v import storage
from fastw2v.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastw2v.vectors.keyed_vectors import KeyedVectors

SUFFIXES = (".png", ".pdf", ".svg")
BLUE, ORANGE, GREY, INK = "#1f5fa8", "#c8501e", "#8a8a8a", "#333333"
_MOST_POINTS = 1500  # more than the pixels of the width: a longer history is averaged down to it
_MOST_EPOCH_MARKS = 12
_MOST_BARS = 100
_LEADER_FROM = 12  # points between dot and label from which a line joins them
_LABEL_PLACES = tuple(  # where a label may stand, in points from its dot: near places first
    (radius * x, radius * y)
    for radius in (5, 9, 14, 20)
    for x, y in ((1, 0.3), (-1, 0.3), (0, 1), (0, -1.6), (1, 1), (-1, 1), (1, -1), (-1, -1))
)


def check_suffix(path: Path) -> None:
    """Refuse a picture format that we do not write.

    Raises:
        UsageError: `path` does not end in .png, .pdf or .svg.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: {path.suffix!r} names no picture format; use .png, .pdf or .svg")


def _new_figure(path: Path, width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    check_suffix(path)
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)  # keeps its renderer, so that measuring labels is cheap
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


@contextlib.contextmanager
def _any_script() -> Iterator[None]:
    """Words may be in any script; one that the font lacks is drawn as a box, not warned about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


def _save(figure: Figure, path: Path) -> None:
    with storage.atomic_file(path) as temporary, _any_script():
        figure.savefig(temporary, format=path.suffix[1:].lower())


def readable_count(count: float, _position: object = None) -> str:
    """1500000 -> "1.5M"; also a tick formatter."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= scale:
            return f"{count / scale:.4g}{unit}"
    return f"{count:.4g}"


def _column(history: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """One value an interval, float64; NaN where it is missing or None."""
    values = (row.get(name) for row in history)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _averaged_down(words: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `_MOST_POINTS` finite points: means of equally many neighbours."""
    finite = np.isfinite(words) & np.isfinite(values)
    words, values = words[finite], values[finite]
    if len(values) <= _MOST_POINTS:
        return words, values
    starts = np.linspace(0, len(values), _MOST_POINTS, endpoint=False).astype(int)
    sizes = np.diff(np.append(starts, len(values)))
    return np.add.reduceat(words, starts) / sizes, np.add.reduceat(values, starts) / sizes


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Centred moving mean over a thirtieth of the curve; the window shrinks at both ends."""
    half = len(values) // 60
    sums = np.append(0.0, np.cumsum(values))
    middle = np.arange(len(values))
    reach = np.minimum(half, np.minimum(middle, len(values) - 1 - middle))
    return (sums[middle + reach + 1] - sums[middle - reach]) / (2 * reach + 1)


def _draw_training_loss(axes: Axes, words: np.ndarray, loss: np.ndarray) -> None:
    words, loss = _averaged_down(words, loss)
    if not len(loss):
        return
    if len(loss) < 60:  # too few to smooth: the points themselves
        axes.plot(words, loss, "o-", color=BLUE, lw=1.8, ms=4, label="training loss")
        return
    smooth = _smoothed(loss)
    axes.plot(words, loss, color=BLUE, lw=0.7, alpha=0.45, label="training loss")
    axes.plot(words, smooth, color=BLUE, lw=2.0, label="training loss, smoothed")
    # Single outliers must not flatten the curve.
    low, high = np.percentile(loss, [0.5, 99.5])
    low, high = min(low, smooth.min()), max(high, smooth.max())
    margin = 0.06 * (high - low) or 0.1
    axes.set_ylim(low - margin, high + margin)


def _draw_holdout(axes: Axes, words: np.ndarray, history: Sequence[Mapping[str, Any]]) -> None:
    loss, low, high = (_column(history, f"holdout_{name}") for name in ("loss", "low", "high"))
    known = np.isfinite(loss)
    if not known.any():
        return
    style = "s-" if known.sum() <= 60 else "-"
    axes.plot(words[known], loss[known], style, color=ORANGE, lw=1.8, ms=4, label="held-out loss")
    band = known & np.isfinite(low) & np.isfinite(high)
    if band.any():
        axes.fill_between(
            words[band], low[band], high[band], color=ORANGE, alpha=0.18, lw=0,
            label="held-out, 95 % interval",
        )  # fmt: skip
    bottom, top = axes.get_ylim()
    shown = np.concatenate([loss[known], low[band], high[band]])
    margin = 0.04 * (top - bottom)
    axes.set_ylim(min(bottom, shown.min() - margin), max(top, shown.max() + margin))


def _draw_alpha(axes: Axes, words: np.ndarray, alpha: np.ndarray) -> Axes | None:
    words, alpha = _averaged_down(words, alpha)
    if len(alpha) < 2:
        return None
    right = axes.twinx()
    right.plot(words, alpha, color=GREY, lw=1.0, ls=(0, (4, 3)), alpha=0.8, label="learning rate")
    right.set_ylim(0, alpha.max() * 1.08 or 1)
    right.set_ylabel("learning rate", color=GREY)
    right.tick_params(colors=GREY)
    right.spines[["top", "left", "right"]].set_visible(False)
    return right


def _mark_epochs(axes: Axes, words: np.ndarray, epochs: np.ndarray) -> None:
    """A faint line where an epoch begins, its number on the top axis."""
    finite = np.isfinite(epochs)
    words, numbers = words[finite], np.floor(epochs[finite]).astype(int)
    if not len(numbers):
        return
    begins = np.flatnonzero(np.r_[True, numbers[1:] > numbers[:-1]])
    # A row closes its interval, so an epoch begins at the last row of the one before.
    places = np.where(begins == 0, 0.0, words[np.maximum(begins - 1, 0)])
    every = -(-len(begins) // _MOST_EPOCH_MARKS)
    top = axes.secondary_xaxis("top")
    top.set_xticks(places[::every], [str(numbers[b]) for b in begins[::every]])
    top.set_xlabel("epoch", color=INK, fontsize=9, labelpad=5)
    top.tick_params(length=3, labelsize=9)
    top.spines["top"].set_visible(False)
    for place in places[1:] if every == 1 else places[every::every]:
        axes.axvline(place, color="#bbbbbb", lw=0.8, zorder=0)


def _label_loss(axes: Axes, right: Axes | None, title: str) -> None:
    """Title, axis labels, grid, and one legend for the losses and the learning rate."""
    from matplotlib.ticker import FuncFormatter

    axes.set_title(title, parse_math=False, color=INK, fontsize=12, pad=10)
    axes.set_xlabel("words read")
    axes.set_ylabel("loss (nats)")
    axes.xaxis.set_major_formatter(FuncFormatter(readable_count))
    axes.grid(axis="y", color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    if right is not None:
        right_handles, right_labels = right.get_legend_handles_labels()
        handles, labels = handles + right_handles, labels + right_labels
        axes.set_zorder(right.get_zorder() + 1)  # the losses stand before the learning rate
        axes.patch.set_visible(False)
    if handles:
        axes.legend(handles, labels, frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    else:
        axes.text(0.5, 0.5, "nothing trained yet", ha="center", transform=axes.transAxes)


def plot_loss(history: Sequence[Mapping[str, Any]], path: str | Path, title: str) -> None:
    """Draw the loss curve of a training run to `path` (.png, .pdf or .svg), atomically.

    Args:
        history: one mapping an interval with `words`, `loss` and, where known, `epoch`, `alpha`,
            `holdout_loss`, `holdout_low`, `holdout_high`. Missing, None and NaN are left out.
        path: replaced if it exists.
        title: drawn above the curve as it stands.

    Raises:
        UsageError: the suffix names no picture format.
        ResourceError: the disk is full or not writable.
    """
    path = Path(path)
    figure, axes = _new_figure(path, 8.5, 5)
    words = _column(history, "words")
    _draw_training_loss(axes, words, _column(history, "loss"))
    _draw_holdout(axes, words, history)
    right = _draw_alpha(axes, words, _column(history, "alpha"))
    axes.set_xlim(0, np.nanmax(words, initial=0.0) * 1.02 or 1)
    _mark_epochs(axes, words, _column(history, "epoch"))
    _label_loss(axes, right, title)
    _save(figure, path)


def principal_plane(vectors: np.ndarray) -> np.ndarray:
    """Coordinates of `vectors`, shape (n, dim), on their two main axes (PCA), shape (n, 2)."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
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
    axes.plot(*ends.T, color=GREY, lw=0.5, zorder=1)


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
        raise UsageError("a map needs two words at least")
    units = np.stack([keyed_vectors.get_vector(word, norm=True) for word in words])
    finite = np.isfinite(units).all(axis=1)
    words = [word for word, good in zip(words, finite, strict=True) if good]
    if len(words) < 2:
        raise UsageError("a map needs two words at least whose vectors are finite")
    plane = principal_plane(units[finite])
    figure, axes = _new_figure(path, 10, 8)
    axes.scatter(plane[:, 0], plane[:, 1], s=9, color=BLUE, alpha=0.7, lw=0)
    axes.margins(0.06)
    axes.set_title(title, parse_math=False, color=INK, fontsize=12, pad=10)
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    axes.tick_params(labelsize=8, colors=GREY)
    axes.grid(color="#eeeeee", lw=0.8)
    axes.set_axisbelow(True)
    with _any_script():
        _place_labels(figure, axes, plane, words)
    _save(figure, path)


def check_bars(count: int) -> None:
    """Refuse more bars than a picture has room for.

    Raises:
        UsageError: they are too many.
    """
    if count > _MOST_BARS:
        raise UsageError(
            f"{count:,} words are too many for one picture; draw {_MOST_BARS} or fewer"
        )


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
    figure, axes = _new_figure(Path(path), 7.5, 1.3 + 0.27 * len(words))
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
    axes.grid(axis="x", color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
    _save(figure, Path(path))
