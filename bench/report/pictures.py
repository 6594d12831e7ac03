"""The pictures of the README and of docs/benchmarks.md, drawn from result files.

Each function takes the dictionary of a result file and returns a figure, None where the file has
nothing to draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.report.tables import (
    LOSS,
    MEAN,
    ONE_CORE,
    RUNGS,
    SHOWN,
    SOFTMAX_ROLE,
    SOFTMAX_SHOWN,
    Row,
    part_of,
)
from fastw2v.io import storage

_DIM = 300  # of the picture of speeds
_MODELS = {"sgram_neg": "Skip-gram", "cbow_neg": "CBOW"}
_OURS, _PEERS, _INK = "#1f5fa8", "#b4b4b4", "#333333"


def save(figure: Any, path: Path) -> None:
    """Write a figure as PNG."""
    with storage.atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _new(columns: int, rows: int = 1, *, width: float, height: float, **options: Any) -> Any:
    """A figure and its grid of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained", facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    for axes in grid.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
    return figure, grid


def _groups(rows: Iterable[Row], *names: str) -> dict[Any, list[Row]]:
    """The rows by the values of these names, in order."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def _reach(rows: Sequence[Row], unit: float, middle: str) -> list[list[float]]:
    """Below and above the medians, to the slowest and the fastest repeat."""
    return [[(row[middle] - row["slowest"]) / unit for row in rows],
            [(row["fastest"] - row[middle]) / unit for row in rows]]  # fmt: skip


def _bars(axes: Any, rows: Sequence[Row], names: Sequence[str], labels: Sequence[str],
          middle: str, is_ours: Sequence[bool]) -> None:  # fmt: skip
    """Horizontal bars in millions, ours in color, with the range of the repeats."""
    values = [row[middle] / 1e6 for row in rows]
    colors = [_OURS if ours else _PEERS for ours in is_ours]
    error = {"ecolor": _INK, "elinewidth": 1, "capsize": 3}
    bars = axes.barh(range(len(rows)), values, 0.62, xerr=_reach(rows, 1e6, middle), color=colors,
                     error_kw=error)  # fmt: skip
    axes.bar_label(bars, labels, padding=6, fontsize=9, color=_INK)
    axes.set_yticks(range(len(rows)), names, fontsize=10, color=_INK)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * max(row["fastest"] for row in rows) / 1e6)
    axes.tick_params(axis="y", length=0)


def _raise_top(*grid: Any) -> None:
    for axes in grid:
        axes.set_ylim(0, 1.15 * axes.dataLim.ymax)


def speed(result: Row) -> Any:
    """Words/s of fastw2v and its peers, a panel per model."""
    figure, grid = _new(len(_MODELS), width=11, height=2.7)
    for axes, (model, title) in zip(grid[0], _MODELS.items(), strict=True):
        rows = [
            row
            for row in result["summary"]
            if (row["type"], row["dim"]) == (model, _DIM) and row["trainer"] != ONE_CORE
        ]
        rows.sort(key=lambda row: -float(row["median"]))
        ours = [row["trainer"] == "fastw2v" for row in rows]
        labels = [
            f"{row['median'] / 1e6:.2g} M"
            + ("" if own else f"   (fastw2v is {row['fastw2v_is_times']:.1f} times as fast)")
            for row, own in zip(rows, ours, strict=True)
        ]
        names = [SHOWN.get(row["trainer"], row["trainer"]) for row in rows]
        _bars(axes, rows, names, labels, "median", ours)
        axes.set_title(f"{title}, negative sampling, dim {_DIM}", fontsize=11, loc="left")
        axes.set_xlabel("million words per second")
    return figure


def kernels(result: Row) -> Any:
    """Kept tokens/s of the rungs, logarithmic, a panel for each type and dim."""
    panels = _groups(result["rows"], "type", "dim")
    rungs = [rung for rung in RUNGS if any(row["rung"] == rung for row in result["rows"])]
    figure, grid = _new(len(panels), width=1 + 2.6 * len(panels), height=3.4, sharey=True)
    for axes, (panel, rows) in zip(grid[0], panels.items(), strict=True):
        for place, ((threads,), here) in enumerate(_groups(rows, "threads").items()):
            bars = axes.bar([rungs.index(row["rung"]) + 0.42 * place for row in here],
                            [row["kept_tokens_per_second"] for row in here], 0.4,
                            label=f"{threads} thread" + "s" * (threads > 1))  # fmt: skip
            axes.bar_label(bars, [f"{row['gflops']:.3g}" for row in here], fontsize=7)
        axes.set_xticks([i + 0.21 for i in range(len(rungs))], rungs, rotation=30, fontsize=8)
        axes.set_yscale("log")
        axes.set_title("{}, dim {}".format(*panel), fontsize=10)
    grid[0, 0].set_ylabel("kept tokens/s (labels: GFLOP/s)")
    grid[0, -1].legend(fontsize=8, frameon=False)
    return figure


def scaling(result: Row) -> Any:
    """Speed-up by threads; nanoseconds a word and memory by size of the corpus."""
    figure, grid = _new(3, width=11, height=3.2)
    by_threads, by_size, memory = grid[0]
    for (part, model_type, dim), rows in _groups(result["rows"], "part", "type", "dim").items():
        label = f"{model_type}, dim {dim}"
        if part == "threads":
            threads = [row["threads"] for row in rows]
            by_threads.plot(threads, [row["speed_up"] for row in rows], "o-", label=label)
            by_threads.plot(threads, threads, ":", color=_PEERS)
            continue
        words = [row["words"] / 1e6 for row in rows]
        by_size.plot(words, [1e9 / row["words_per_second"] for row in rows], "o-", label=label)
        beyond = [math.nan if row["beyond"] is None else row["beyond"] / 1e6 for row in rows]
        memory.plot(words, beyond, "o-", label=label)
    by_threads.set(xlabel="threads", ylabel="speed-up")
    by_size.set(xlabel="million words", ylabel="nanoseconds per word", xscale="log")
    memory.set(xlabel="million words", ylabel="MB beyond matrices", xscale="log")
    _raise_top(by_size, memory)
    for axes in (by_threads, by_size):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False)
    return figure


def quality(result: Row) -> Any:
    """Each trainer less gensim, with 95 % intervals: the mean score and the held-out loss."""
    rows = result["comparisons"]
    if not rows:
        return None
    columns = _groups(rows, "dim", "epochs")
    labels = sorted(_groups(rows, "model", "trainer"), reverse=True)
    figure, grid = _new(len(columns), 2, width=2.2 + 2.4 * len(columns),
                        height=1.4 + 0.42 * len(labels), sharey=True, sharex="row")  # fmt: skip
    for ((dim, epochs), found), axes in zip(columns.items(), grid.T, strict=True):
        for axis, comparison, scale in ((axes[0], MEAN, 100), (axes[1], LOSS, 1)):
            for row in found:
                if row["comparison"] == comparison:
                    value, low, high = (scale * row[n] for n in ("difference", "low", "high"))
                    color = _OURS if row["trainer"] == "fastw2v" else _PEERS
                    reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
                    place = labels.index((row["model"], row["trainer"]))
                    axis.errorbar([value], [place], xerr=reach, fmt="o", capsize=3, color=color)
            axis.axvline(0, color=_INK, linewidth=0.8)
            axis.set_yticks(range(len(labels)), [", ".join(label) for label in labels])
            axis.grid(axis="x", alpha=0.3)
        axes[0].set_title(f"dim {dim}, {epochs} epoch{'s' * (epochs > 1)}: less gensim", fontsize=9)
        axes[0].set_xlabel("mean score, points")
        axes[1].set_xlabel("held-out loss, nats")
    return figure


def sweep(result: Row) -> Any:
    """Quality, held-out loss and speed over T, a line for each N and a column for each model."""
    rows = [row for row in result["summary"] if row["diverged"] < row["seeds"]]
    columns = _groups(rows, "model", "dim", "epochs")
    if not columns:
        return None
    figure, grid = _new(len(columns), 3, width=1 + 3.6 * len(columns), height=8, sharex=True)
    for (title, found), axes in zip(columns.items(), grid.T, strict=True):
        sizes = sorted({row["block_size"] for row in found})
        for (pool,), line in sorted(_groups(found, "pool_size").items()):
            line.sort(key=lambda row: int(row["block_size"]))
            places = [sizes.index(row["block_size"]) for row in line]
            for axis, heights in zip(axes, (
                [100 * row["mean"] for row in line], [row["holdout"] for row in line],
                [row["words_per_second"] / 1e6 for row in line],
            ), strict=True):  # fmt: skip
                axis.plot(places, heights, marker="o", markersize=4, label=str(pool))
        for axis, label in zip(
            axes, ("mean of the three, × 100", "held-out loss, nats", "M words/s"), strict=True
        ):
            axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])
            axis.ticklabel_format(axis="y", useOffset=False)
            axis.grid(alpha=0.3)
            axis.set_ylabel(label)
        axes[0].set_title("{}, dim {}, {} epochs".format(*title), fontsize=10)
        axes[2].set(xlabel="centers per block T", ylim=(0, None))
    grid[0, 0].legend(title="noise words N", fontsize=8, frameon=False)
    return figure


def robustness(result: Row) -> Any:
    """Loss of both methods over the learning rate, a panel per corpus and model; x: diverged."""
    corpora, models = (
        list(dict.fromkeys(cell[name] for cell in result["cells"])) for name in ("corpus", "model")
    )
    figure, grid = _new(len(models), len(corpora), width=1 + 3 * len(models),
                        height=1 + 2.4 * len(corpora), sharex=True)  # fmt: skip
    for (corpus, model), cells in _groups(result["cells"], "corpus", "model").items():
        axes = grid[corpora.index(corpus), models.index(model)]
        styles = {"blocks": ("o", _OURS, 0.97), "classic": ("s", _INK, 0.9)}
        for method, (marker, color, top) in styles.items():
            ended = [(cell["alpha_times"], cell[method]) for cell in cells]
            good = [(x, run["loss"]) for x, run in ended if not run["diverged"] and run["loss"]]
            axes.plot([x for x, _ in good], [loss for _, loss in good], marker, color=color,
                      markersize=4, label=method)  # fmt: skip
            lost = [x for x, run in ended if run["diverged"]]
            axes.plot(lost, [top] * len(lost), "x", color=color,
                      transform=axes.get_xaxis_transform())  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_title(f"{corpus}, {model}", fontsize=9)
        axes.set(xlabel="alpha, times the default", ylabel="training loss, nats")
    grid[0, 0].legend(fontsize=8, frameon=False)
    return figure


def softmax(result: Row) -> Any:
    """GFLOP/s by size of the vocabulary (labels: words/s), under the lines of sgemm."""
    summary = result["summary"]
    sizes = sorted({row["vocabulary"] for row in summary})
    names = [key for key in SOFTMAX_SHOWN
             if any((row["trainer"], row["type"]) == key for row in summary)]  # fmt: skip
    step = 0.85 / len(names)
    figure, grid = _new(1, width=2.5 + 0.6 * len(sizes) * len(names), height=4.2)
    axes = grid[0, 0]
    for place, key in enumerate(names):
        rows = [row for row in summary if (row["trainer"], row["type"]) == key]
        positions = [sizes.index(row["vocabulary"]) + place * step for row in rows]
        bars = axes.bar(positions, [row["gflops"] for row in rows], 0.93 * step,
                        label=SOFTMAX_SHOWN[key])  # fmt: skip
        labels = [f"{row['median']:,.0f}" for row in rows]
        axes.bar_label(bars, labels, padding=3, fontsize=7)
    for number, size in enumerate(sizes):
        row = next(row for row in summary if row["vocabulary"] == size)
        ends = [number - step / 2, number + 0.85 - step / 2]
        for name, style in (("sgemm_share", "--"), ("best_sgemm_share", ":")):
            shown = {"--": "NumPy's sgemm", ":": "the fastest sgemm"}[style] if not number else None
            axes.plot(ends, [row["gflops"] / row[name]] * 2, style, color=_INK, label=shown)
    axes.set_xticks([number + step * (len(names) - 1) / 2 for number in range(len(sizes))],
                    [f"{size:,} words" for size in sizes])  # fmt: skip
    axes.set_ylabel("GFLOP/s (labels: words/s)")
    axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.08), frameon=False)
    return figure


def softmax_quality(result: Row) -> Any:
    """The mean score and the perplexity over the training seconds, a column per family."""
    families = _groups(result["summary"], "family")
    figure, grid = _new(len(families), 2, width=1.5 + 3.6 * len(families), height=5.4, sharex=True)
    for ((family,), rows), axes in zip(families.items(), grid.T, strict=True):
        heights = ([100 * row["scores"][MEAN] for row in rows], [row["perplexity"] for row in rows])
        for axis, values in zip(axes, heights, strict=True):
            for row, value in zip(rows, values, strict=True):
                softmax_is = row["role"] == SOFTMAX_ROLE
                color = _INK if softmax_is else _OURS
                if softmax_is:
                    axis.axhline(value, color=color, linestyle="--", linewidth=0.8)
                axis.scatter([row["seconds"]], [value], marker="s" if softmax_is else "o",
                             color=color)  # fmt: skip
                axis.annotate(f"  {row['role']}", (row["seconds"], value), fontsize=8)
            axis.set_xscale("log")
            axis.margins(x=0.25)
            axis.grid(alpha=0.3)
        axes[0].set_title(f"{family} (dashed) and {family}_neg", fontsize=10)
        axes[1].set_xlabel("training seconds")
    grid[0, 0].set_ylabel("mean of the three, × 100")
    grid[1, 0].set_ylabel("perplexity")
    return figure


def preprocess(result: Row) -> Any:
    """MB/s of every run of part speed; cost and memory by size of the text."""
    summary = result["summary"]
    rows = [row for row in part_of(summary, "speed") if row["work"] != "disk"]
    sizes = part_of(summary, "size")
    if not (rows and sizes):
        return None
    figure, grid = _new(3, width=13, height=3.6, width_ratios=(2, 1, 1))
    rates, costs, memory = grid[0]
    _bars(rates, rows, [row["name"].replace("`", "") for row in rows],
          [f"{row['bytes_per_second'] / 1e6:.0f}" for row in rows], "bytes_per_second",
          [row["work"] == "fastw2v" for row in rows])  # fmt: skip
    rates.set_xlabel("MB/s of text")
    gigabytes = [row["size"] / 1e9 for row in sizes]
    costs.plot(gigabytes, [1e9 / row["bytes_per_second"] for row in sizes], "o-", color=_OURS)
    costs.set(xlabel="GB of text", ylabel="nanoseconds per byte", xscale="log")
    for name, style in (("peak_memory", "o-"), ("private_memory", "o--")):
        values = [math.nan if row[name] is None else row[name] / 1e6 for row in sizes]
        memory.plot(gigabytes, values, style, color=_OURS, label=name.replace("_", " "))
    memory.set(xlabel="GB of text", ylabel="MB, all processes", xscale="log")
    _raise_top(costs, memory)
    memory.legend(fontsize=8, frameon=False)
    return figure


PICTURES = {
    "kernels": kernels, "scaling": scaling, "quality": quality, "sweep": sweep,
    "robustness": robustness, "softmax": softmax, "softmax_quality": softmax_quality,
    "preprocess": preprocess,
}  # fmt: skip
