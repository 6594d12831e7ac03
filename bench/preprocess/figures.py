"""From the runs of `bench/preprocess/speed.py` to medians, and their picture."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable
from typing import Any

from bench.lib.tables import megabytes
from bench.report.tables import Row, ours_of, part_of
from fastw2v.io.machine import readable_bytes

SHOWN = {
    "gensim": "gensim `build_vocab`",
    "word2vec": "word2vec.c's vocabulary",
    "counter": "Python's `Counter`",
    "unpack": "unpacking gz alone",
    "disk": "writing to the disk",
}
_FACTS = ("work", "tokenizer", "form", "workers", "size")
_LARGEST = ("peak_memory", "private_memory", "process_memory", "largest_worker", "disk")
_ONCE = ("text_bytes", "store_bytes", "report", "library")


def name_of(facts: Row) -> str:
    """What a run is called in tables: its work, tokenizer, form, workers and size."""
    if facts["work"] != "fastw2v":
        return SHOWN[facts["work"]]
    parts = [facts["tokenizer"], _of(facts["workers"], "worker")]
    if facts["form"] != "shards":
        parts.append(facts["form"])
    if "size" in facts:
        parts.append(readable_bytes(facts["size"]))
    return ", ".join(parts)


def _of(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def summarize(runs: list[Row]) -> list[Row]:
    """A row for each part and each kind of run in it, in the order of their first repeats.

    Medians over the repeats of bytes_per_second (slowest, fastest: their range), seconds,
    cpu_seconds and each of the phases; the largest of what memory and disk were taken.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for run in runs:
        key = (run["part"], *(run.get(name) for name in _FACTS))
        groups.setdefault(key, []).append(run)
    rows = []
    for group in groups.values():
        rates = [run["bytes_per_second"] for run in group]
        row = {name: group[0][name] for name in ("part", *_FACTS, *_ONCE) if name in group[0]}
        row |= {
            "name": name_of(row),
            "repeats": len(group),
            "bytes_per_second": statistics.median(rates),
            "slowest": min(rates),
            "fastest": max(rates),
        }
        row |= {
            name: _median(group, name) for name in ("seconds", "process_seconds", "cpu_seconds")
        }
        row |= {name: _most(group, name) for name in _LARGEST}
        if "phases" in group[0]:
            row["phases"] = {
                phase: statistics.median(run["phases"].get(phase, 0.0) for run in group)
                for phase in group[0]["phases"]
            }
        rows.append(row)
    return rows


def _values(group: list[Row], name: str) -> list[float]:
    return [run[name] for run in group if run.get(name) is not None]


def _median(group: list[Row], name: str) -> float | None:
    values = _values(group, name)
    return statistics.median(values) if values else None


def _most(group: list[Row], name: str) -> float | None:
    return max(_values(group, name), default=None)


def disagreements(summary: list[Row]) -> list[str]:
    """Peers that did not count as many tokens as fastw2v did with `whitespace`."""
    rows = ours_of(summary, "whitespace")
    counted = rows[-1]["report"]["tokens_read"] if rows else None
    return [
        f"{row['name']} counted {found:,} tokens, fastw2v {counted:,}"
        for row in part_of(summary, "speed")
        if row["work"] in SHOWN
        and counted is not None
        and (found := row.get("report", {}).get("tokens_read", counted)) != counted
    ]


# --- the picture ---


_COLORS = {"fastw2v": "C0", "unpack": "C7"}  # else C1
_PRIVATE = "without pages of files (hollow)"


def draw(result: Row) -> Any:
    """Up to four panels, for the parts that were measured."""
    from matplotlib.figure import Figure

    summary = result["summary"]
    speed = [row for row in part_of(summary, "speed") if row["work"] != "disk"]
    phased = ours_of(summary, "words") + ours_of(summary, "whitespace")
    sizes, hard = part_of(summary, "size"), part_of(summary, "new_words")
    panels: list[Callable[[Any], None]] = []
    panels += [functools.partial(_rates, rows=speed)] if speed else []
    panels += [functools.partial(_phases, rows=phased)] if phased else []
    panels += [functools.partial(_costs, rows=sizes)] if sizes else []
    panels += [functools.partial(_memory, sizes=sizes, hard=hard)] if sizes or hard else []
    lines = -(-len(panels) // 2)
    figure = Figure(figsize=(12, 0.4 + 4 * lines), layout="constrained")
    for number, panel in enumerate(panels, 1):
        panel(figure.add_subplot(lines, 2, number))
    cores, model = result["machine"]["cores"], result["machine"]["cpu"]["model"]
    figure.suptitle(f"fastw2v preprocess, {cores} cores, {model}", fontsize=11)
    return figure


def _rates(axes: Any, rows: list[Row]) -> None:
    """MB/s of every run of part speed, with the range of the repeats."""
    values = [row["bytes_per_second"] / 1e6 for row in rows]
    reach = [
        [value - row["slowest"] / 1e6 for value, row in zip(values, rows, strict=True)],
        [row["fastest"] / 1e6 - value for value, row in zip(values, rows, strict=True)],
    ]
    colors = [_COLORS.get(row["work"], "C1") for row in rows]
    bars = axes.barh(range(len(rows)), values, xerr=reach, capsize=2, color=colors)
    axes.bar_label(bars, [megabytes(row["bytes_per_second"]) for row in rows], padding=6)
    axes.set_yticks(range(len(rows)), [row["name"].replace("`", "") for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(row["fastest"] for row in rows) / 1e6)
    axes.set(xlabel="MB/s of text", title="Rate: fastw2v; who only counts; unpacking")


def _phases(axes: Any, rows: list[Row]) -> None:
    """What a gigabyte's seconds are spent on, by tokenizer and workers."""
    left = [0.0] * len(rows)
    for title in dict.fromkeys(phase for row in rows for phase in row["phases"]):
        widths = [1e9 * row["phases"].get(title, 0.0) / row["text_bytes"] for row in rows]
        axes.barh(range(len(rows)), widths, left=left, label=title)
        left = [place + width for place, width in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(left))  # room for the legend
    axes.legend(fontsize=7, loc="center right")
    axes.set(xlabel="seconds a GB of text", title="Phases")


def _costs(axes: Any, rows: list[Row]) -> None:
    """Nanoseconds a byte by size, with the range of the repeats."""
    sizes, costs = (
        [row["size"] / 1e9 for row in rows],
        [1e9 / row["bytes_per_second"] for row in rows],
    )
    reach = [
        [value - 1e9 / row["fastest"] for value, row in zip(costs, rows, strict=True)],
        [1e9 / row["slowest"] - value for value, row in zip(costs, rows, strict=True)],
    ]
    axes.errorbar(sizes, costs, yerr=reach, fmt="o-", capsize=3)
    axes.set_ylim(0, 1.3 * max(1e9 / row["slowest"] for row in rows))
    axes.set(xlabel="GB of text", ylabel="nanoseconds a byte")
    _by_size(axes, sizes)
    axes.set_title("Cost by size of the text")


def _by_size(axes: Any, sizes: list[float]) -> None:
    """A logarithmic axis of sizes, with these for ticks."""
    axes.set_xscale("log")
    if sizes:
        axes.set_xticks(sizes, [f"{size:.2g}" for size in sizes])
        axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)


def _memory(axes: Any, sizes: list[Row], hard: list[Row]) -> None:
    """Most memory of all processes together, by size; the random words as points."""
    curves = [("peak_memory", "text"), ("private_memory", f"text, {_PRIVATE}")]
    for (name, label), style in zip(curves, ("o-", "o--"), strict=True):
        places = [row["size"] / 1e9 for row in sizes]
        values = [float("nan") if row[name] is None else row[name] / 1e9 for row in sizes]
        if sizes:
            fill = "none" if name == "private_memory" else "full"
            axes.plot(places, values, style, color="C0", label=label, fillstyle=fill)
    for row, marker in zip(hard, "sD^v", strict=False):
        if row["peak_memory"] is not None:
            words = row["report"]["tokens_read"] / 1e6
            label = f"{words:.3g} million random words, {row['form']}"
            place = row["text_bytes"] / 1e9
            axes.plot([place], [row["peak_memory"] / 1e9], marker, color="C3", label=label)
            axes.plot([place], [row["private_memory"] / 1e9], marker, color="C3", fillstyle="none")
    axes.set(xlabel="GB of text", ylabel="GB resident at the most")
    _by_size(axes, [row["size"] / 1e9 for row in sizes])
    axes.set_title("Memory, all processes together")
    axes.set_ylim(0, 1.4 * axes.get_ylim()[1])
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="upper left")
