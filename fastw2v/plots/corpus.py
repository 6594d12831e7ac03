"""A picture of a corpus: coverage curve, Zipf curve, and the lengths of its sequences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastw2v.errors import UsageError
from fastw2v.plots.style import (
    BLUE,
    GRAY,
    INK,
    ORANGE,
    bare_figure,
    check_suffix,
    count_axis,
    save_figure,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastw2v.store.inspect import SentenceLengths

_POINTS = 1000  # of a curve over ranks: more than the pixels of its width
_BARS = 60
_DRAWN_SHARE = 0.995  # of the sequences: single very long ones must not squeeze the rest
_MARKED_SIZES = tuple(10**power for power in range(2, 10))


def plot_corpus(
    counts: np.ndarray, lengths: SentenceLengths | None, path: str | Path, title: str
) -> None:
    """Draw a corpus to `path` (.png, .pdf or .svg), atomically.

    Args:
        counts: int64 (V,), how often each word occurs, in any order.
        lengths: of its sequences; None if unknown (a model): not drawn.
        path: replaced if it exists.
        title: drawn above as it stands.

    Raises:
        UsageError: no words, or the suffix names no picture format.
        ResourceError: the disk is full or not writable.
    """
    path = Path(path)
    check_suffix(path)
    if not len(counts):
        raise UsageError(f"{path}: no words to draw")
    figure, areas = _new_figure(with_lengths=lengths is not None)
    falling = -np.sort(-counts)
    _draw_coverage(areas[0], falling)
    _draw_zipf(areas[1], falling)
    if lengths is not None:
        _draw_lengths(areas[2], lengths)
    figure.suptitle(title, parse_math=False, color=INK, fontsize=13)
    save_figure(figure, path)


def _new_figure(*, with_lengths: bool) -> tuple[Figure, list[Axes]]:
    figure = bare_figure(figsize=(11, 8 if with_lengths else 4.6), dpi=120)
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12)
    figure.set_layout_engine(layout)
    grid = figure.add_gridspec(2 if with_lengths else 1, 2)
    areas = [figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])]
    if with_lengths:
        areas.append(figure.add_subplot(grid[1, :]))
    for axes in areas:
        style_axes(axes, "both", ticks=9)
    return figure, areas


def _ranks(size: int) -> np.ndarray:
    """At most `_POINTS` whole numbers of 1..size, evenly spaced on a logarithmic axis."""
    return np.unique(np.geomspace(1, size, _POINTS).round().astype(np.int64))


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, color=INK, fontsize=11, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def _rank_axis(axes: Axes, size: int) -> None:
    from matplotlib.ticker import NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(0.9, max(2, 1.15 * size))
    count_axis(axes.xaxis)
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_coverage(axes: Axes, falling: np.ndarray) -> None:
    """Share of the tokens that the n most frequent words cover, by n."""
    shares = 100 * np.cumsum(falling) / falling.sum()
    ranks = _ranks(len(falling))
    axes.plot(ranks, shares[ranks - 1], color=BLUE, lw=2)
    for size in (*(size for size in _MARKED_SIZES if size < 0.6 * len(falling)), len(falling)):
        share = shares[size - 1]
        axes.plot(size, share, "o", color=BLUE, ms=5)
        last = size == len(falling)
        axes.annotate(
            f"{size:,}: {share:.3g} %", (size, share), (0, 6) if last else (-7, 4),
            textcoords="offset points", ha="right", va="bottom", fontsize=9, color=INK,
        )  # fmt: skip
    _rank_axis(axes, len(falling))
    axes.set_ylim(0, 109)
    axes.set_yticks(range(0, 101, 20))
    _label(axes, "Coverage", "most frequent words", "share of tokens (%)")


def _draw_zipf(axes: Axes, falling: np.ndarray) -> None:
    """Count by rank, both axes logarithmic; a line of Zipf's law (count ∝ 1 / rank) beside it."""
    from matplotlib.ticker import NullFormatter

    ranks = _ranks(len(falling))
    law = np.array([1, len(falling)])
    axes.plot(law, falling[0] / law, color=GRAY, lw=1, ls="--", label="1 / rank")
    axes.plot(ranks, falling[ranks - 1], color=BLUE, lw=2, label="words")
    _rank_axis(axes, len(falling))
    axes.set_yscale("log")
    lowest = np.log10(min(falling[-1], falling[0] / len(falling)))
    highest = np.log10(1.05 * falling[0])
    axes.set_ylim(10.0 ** np.floor(lowest), 10.0 ** np.ceil(highest))  # whole decades have labels
    count_axis(axes.yaxis)
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, fontsize=9)
    _label(axes, "Rank and frequency (Zipf)", "rank", "count")


def _draw_lengths(axes: Axes, lengths: SentenceLengths) -> None:
    """Bars of the share of sequences by their number of tokens, the longest few left out."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    _label(axes, "Sequence lengths", "tokens per sequence", "share of sequences (%)")
    if not lengths.total:
        axes.text(0.5, 0.5, "no sequences", ha="center", transform=axes.transAxes)
        return
    low, high = int(lengths.lengths[0]), lengths.quantile(_DRAWN_SHARE)
    width = -(-(high - low + 1) // _BARS)
    edges = np.arange(low, high + width + 1, width)
    sums, _ = np.histogram(lengths.lengths, np.append(edges, np.inf), weights=lengths.sentences)
    shares = 100 * sums[:-1] / lengths.total
    axes.bar(
        edges[:-1] - 0.5, shares, width=width, align="edge", color=BLUE, edgecolor="white", lw=0.5
    )
    axes.set_xlim(low - 0.5 - 0.01 * (high - low), edges[-1] - 0.5)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axes.grid(axis="x", visible=False)
    for name, share, style in (("median", 0.5, "-"), ("95th percentile", 0.95, "--")):
        place = lengths.quantile(share)
        axes.axvline(place, color=ORANGE, lw=1.5, ls=style, label=f"{name}: {place:,}")
    axes.axvline(lengths.mean, color=GRAY, lw=1.5, ls=":", label=f"mean: {lengths.mean:,.1f}")
    longest, beyond = int(lengths.lengths[-1]), 100 * sums[-1] / lengths.total
    heading = f"{lengths.total:,} sequences"
    if beyond:
        heading += f"\n{beyond:.2g} % are longer, up to {longest:,}"
    legend = axes.legend(
        framealpha=0.9, edgecolor="none", fontsize=9, title=heading, title_fontsize=9
    )
    legend.set_alignment("left")
