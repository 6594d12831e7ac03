"""Pictures of the quality benchmarks: differences from gensim, and the sweep over T and N."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import scoring
from bench.lib.results import origin
from fastw2v.io import storage

_MARKERS = {"fastw2v": "o", "one": "s", "classic": "^", "fasttext": "D"}


def _save(figure: Any, path: Path) -> None:
    with storage.atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def draw(result: dict[str, Any], path: Path) -> None:
    """Each trainer less gensim: the mean of the three benchmarks, and the held-out loss.

    A column for each dimension and number of epochs; points with their 95 % intervals.
    """
    from matplotlib.figure import Figure

    rows = result["comparisons"]
    if not rows:
        return
    columns = sorted({(row["dim"], row["epochs"]) for row in rows})
    labels = sorted({(row["model"], row["trainer"]) for row in rows}, reverse=True)
    figure = Figure(
        figsize=(2.2 + 2.9 * len(columns), 1.6 + 0.5 * len(labels)), layout="constrained"
    )
    grid = figure.subplots(2, len(columns), sharey=True, sharex="row", squeeze=False)
    for (dim, epochs), (above, below) in zip(columns, grid.T, strict=True):
        for axes, comparison, scale in ((above, scoring.MEAN, 100), (below, scoring.LOSS, 1)):
            for row in rows:
                if (row["dim"], row["epochs"], row["comparison"]) == (dim, epochs, comparison):
                    _draw_point(axes, row, labels.index((row["model"], row["trainer"])), scale)
            axes.axvline(0, color="black", linewidth=0.8)
            axes.set_yticks(range(len(labels)), [f"{model}, {name}" for model, name in labels])
            axes.grid(axis="x", alpha=0.3)
        above.set_title(f"dim {dim}, {epochs} epoch{'s' if epochs > 1 else ''}", fontsize=10)
        above.set_xlabel("mean of the three, points")
        below.set_xlabel("held-out loss, nats (left is better)")
    figure.suptitle(f"Less gensim, 95 % intervals; {origin(result)}", fontsize=10)
    _save(figure, path)


def _draw_point(axes: Any, row: dict[str, Any], place: int, scale: float) -> None:
    color = "C0" if row["trainer"] == "fastw2v" else "C7"
    value, low, high = (scale * row[name] for name in ("difference", "low", "high"))
    axes.errorbar(
        [value], [place], xerr=[[max(0.0, value - low)], [max(0.0, high - value)]],
        fmt=_MARKERS[row["trainer"]], capsize=3, color=color,
    )  # fmt: skip


def draw_sweep(
    rows: list[dict[str, Any]], peers: list[dict[str, Any]], title: str, path: Path
) -> None:
    """Quality, held-out loss and speed over T, a line for each N and a column for each model.

    rows: as `sweep.summarize` makes them; peers: gensim's rows of `scoring.summarize`, drawn as
    dashed lines, but for its speed: that is of another run.
    """
    from matplotlib.figure import Figure

    measured = [row for row in rows if row["diverged"] < row["seeds"]]
    columns = sorted({scoring.Group(row["dim"], row["epochs"], row["model"]) for row in measured})
    if not columns:
        return
    figure = Figure(figsize=(1 + 4 * len(columns), 9), layout="constrained")
    grid = figure.subplots(3, len(columns), sharex=True, squeeze=False)
    for group, axes in zip(columns, grid.T, strict=True):
        mine = [row for row in measured if all(row[k] == v for k, v in group._asdict().items())]
        _draw_lines(axes, mine)
        for row in peers:
            if all(row[k] == v for k, v in group._asdict().items()):
                for axis, level in zip(axes, (100 * row["mean"], row["holdout"]), strict=False):
                    axis.axhline(level, color="black", linestyle="--", linewidth=0.8)
        axes[0].set_title(f"{group.model}, dim {group.dim}, {group.epochs} epochs", fontsize=10)
        axes[2].set_xlabel("block size T")
        axes[2].set_ylim(0)
    for axis, label in zip(
        grid[:, 0], ("mean of the three, × 100", "held-out loss, nats", "M words/s"), strict=True
    ):
        axis.set_ylabel(label)
    grid[0, 0].legend(title="pool size N", fontsize=8)
    figure.suptitle(title, fontsize=10)
    _save(figure, path)


def _draw_lines(axes: Any, rows: list[dict[str, Any]]) -> None:
    sizes = sorted({row["block_size"] for row in rows})
    for pool_size in sorted({row["pool_size"] for row in rows}):
        line = sorted(
            (row for row in rows if row["pool_size"] == pool_size),
            key=lambda row: row["block_size"],
        )
        values = (
            [100 * row["mean"] for row in line],
            [row["holdout"] for row in line],
            [row["words_per_second"] / 1e6 for row in line],
        )
        places = [sizes.index(row["block_size"]) for row in line]
        for axis, heights in zip(axes, values, strict=True):
            axis.plot(places, heights, marker="o", markersize=4, label=str(pool_size))
    for axis in axes:
        axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])
        axis.ticklabel_format(axis="y", useOffset=False)
        axis.grid(alpha=0.3)
