"""What bench/softmax_quality.py makes of its runs: means, differences, a table and a picture."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

from bench import scoring
from bench.lib.results import origin
from fastw2v.io import storage
from fastw2v.vectors.evaluation import paired_difference

SOFTMAX, EQUAL_EPOCHS, EQUAL_TIME = ROLES = ("softmax", "equal epochs", "equal time")
TEXT = "thinned"  # whose perplexity is shown: see bench/softmax_quality.py


def summarize(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each family and role, in their order: means over the seeds.

    epochs: the fewest and the most of a seed. perplexity, raw_perplexity: exp of the mean loss on
    `TEXT` by the model's own rule and by the softmax of its scores; whole_perplexity: by its own
    rule on the held-out sequences as they stand. known: by test, (known items, items).
    """
    rows = []
    for (family, role), found in _grouped(runs).items():
        scores = {
            test: statistics.mean(run["scores"][test]["score"] for run in found)
            for test in scoring.TESTS
        }
        epochs = [run["epochs"] for run in found]
        first = found[0]["scores"]
        rows.append(
            {
                "family": family,
                "role": role,
                "type": found[0]["settings"]["type"],
                "seeds": len(found),
                "alpha": found[0]["config"]["alpha"],
                "epochs": [min(epochs), max(epochs)],
                "seconds": statistics.mean(run["seconds"] for run in found),
                "words_per_second": statistics.median(run["words_per_second"] for run in found),
                "scores": {**scores, scoring.MEAN: statistics.mean(scores.values())},
                "known": {test: (first[test]["known"], first[test]["items"]) for test in scores},
                "perplexity": _perplexity(found, TEXT, "own"),
                "raw_perplexity": _perplexity(found, TEXT, "raw"),
                "whole_perplexity": _perplexity(found, "whole", "own"),
            }
        )
    return rows


def _grouped(runs: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The runs by (family, role): families as they come, roles in the order of `ROLES`."""
    families = dict.fromkeys(run["settings"]["family"] for run in runs)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {
        (family, role): [] for family in families for role in ROLES
    }
    for run in runs:
        found[run["settings"]["family"], run["settings"]["role"]].append(run)
    return {key: group for key, group in found.items() if group}


def _perplexity(runs: list[dict[str, Any]], text: str, rule: str) -> float:
    """exp of the mean loss; infinite where that is too large for a float."""
    try:
        return math.exp(statistics.mean(run["perplexity"][text][rule] for run in runs))
    except OverflowError:
        return math.inf


def compare(runs: list[dict[str, Any]], benchmarks: dict[str, Any]) -> list[dict[str, Any]]:
    """Negative sampling less the softmax of its family, with 95 % intervals.

    `scoring.COMPARISONS`, as fractions: a bootstrap over items and seeds.
    """
    grouped = _grouped(runs)
    rows = []
    for (family, role), found in grouped.items():
        softmax = grouped.get((family, SOFTMAX), [])
        if role == SOFTMAX or not softmax:
            continue
        for name, tests in scoring.COMPARISONS.items():
            sides = [
                [
                    [scoring.restore(test, run["scores"], benchmarks[test]) for test in tests]
                    for run in side
                ]
                for side in (found, softmax)
            ]
            difference, low, high = paired_difference(sides[0], sides[1])
            rows.append(
                {
                    "family": family, "role": role, "comparison": name, "difference": difference,
                    "low": low, "high": high, "seeds": [len(found), len(softmax)],
                }
            )  # fmt: skip
    return rows


def difference_of(
    comparisons: list[dict[str, Any]], row: dict[str, Any], name: str = scoring.MEAN
) -> dict[str, Any] | None:
    """What `compare` found for a row of `summarize`; None for the softmax itself."""
    wanted = (row["family"], row["role"], name)
    found = [c for c in comparisons if (c["family"], c["role"], c["comparison"]) == wanted]
    return found[0] if found else None


def verdict_of(difference: dict[str, Any]) -> int:
    """1 where negative sampling is better beyond its interval, -1 where worse, 0 where neither."""
    return int(difference["low"] > 0) - int(difference["high"] < 0)


def points(difference: dict[str, Any]) -> str:
    """A difference in points of 100, with its interval."""
    value, low, high = (f"{100 * difference[name]:+.1f}" for name in ("difference", "low", "high"))
    return f"{value} ({low} to {high})"


def title_of(row: dict[str, Any]) -> str:
    """The model, and what it has in common with its softmax."""
    return str(row["type"]) if row["role"] == SOFTMAX else f"{row['type']}, {row['role']}"


TITLES = ("epochs", "seconds", "words/s", *scoring.TESTS, "mean", "perplexity", "raw softmax's")


def cells_of(row: dict[str, Any]) -> list[str]:
    """The text of each of `TITLES`: scores times 100."""
    fewest, most = row["epochs"]
    return [
        f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}",
        f"{row['seconds']:,.{1 if row['seconds'] >= 10 else 2}f}",
        f"{row['words_per_second']:,.0f}",
        *(f"{100 * score:.1f}" for score in row["scores"].values()),
        number(row["perplexity"]),
        "" if row["role"] == SOFTMAX else number(row["raw_perplexity"]),
    ]


def number(perplexity: float) -> str:
    """A perplexity in three or more figures."""
    return f"{perplexity:,.1f}" if perplexity < 100 else (
        f"{perplexity:,.0f}" if perplexity < 1e6 else f"{perplexity:.2g}"
    )  # fmt: skip


def known_items(summary: list[dict[str, Any]]) -> str:
    """How many items of each test all models know."""
    known = summary[0]["known"]
    return ", ".join(f"{test} {found:,} of {items:,}" for test, (found, items) in known.items())


def describe_run(run: dict[str, Any]) -> str:
    """One line of progress."""
    scores = [run["scores"][test]["score"] for test in scoring.TESTS]
    shown = ", ".join(f"{t} {100 * s:.1f}" for t, s in zip(scoring.TESTS, scores, strict=True))
    perplexity = number(_perplexity([run], TEXT, "own"))
    return (
        f"{title_of(run['settings'])}, seed {run['settings']['seed']}: {run['epochs']} epochs in "
        f"{run['seconds']:.2f} s, {run['words_per_second']:,.0f} words/s; {shown}; "
        f"perplexity {perplexity}"
    )


def print_table(summary: list[dict[str, Any]]) -> None:
    """The summary, scores in percent; perplexities of the held-out text as training thins it."""
    print(f"\nknown items: {known_items(summary)}")
    print(f"{'model':<24}" + "".join(f"{title:>14}" for title in TITLES))
    for row in summary:
        print(f"{title_of(row):<24}" + "".join(f"{cell:>14}" for cell in cells_of(row)))


def print_comparisons(comparisons: list[dict[str, Any]]) -> None:
    """Differences in percentage points with their intervals."""
    print()
    for row in comparisons:
        verdict = {1: "better", 0: "no difference seen", -1: "worse"}[verdict_of(row)]
        print(
            f"{row['family']}_neg, {row['role']}, less {row['family']}, {row['comparison']}: "
            f"{points(row)} points; {verdict}"
        )


_MARKERS = {SOFTMAX: "s", EQUAL_EPOCHS: "o", EQUAL_TIME: "D"}


def draw(result: dict[str, Any], path: Path) -> None:
    """The mean of the three tests and the perplexity over the training seconds, by family.

    Negative sampling's two are joined; the softmax's level runs through as a dashed line.
    """
    from matplotlib.figure import Figure

    summary = result["summary"]
    families = list(dict.fromkeys(row["family"] for row in summary))
    figure = Figure(figsize=(1.5 + 4 * len(families), 6.5), layout="constrained")
    grid = figure.subplots(2, len(families), sharex=True, squeeze=False)
    for family, axes in zip(families, grid.T, strict=True):
        rows = [row for row in summary if row["family"] == family]
        _draw_family(axes[0], rows, [100 * row["scores"][scoring.MEAN] for row in rows])
        _draw_family(axes[1], rows, [row["perplexity"] for row in rows])
        axes[0].set_title(f"{family} (dashed) and {family}_neg", fontsize=10)
        axes[0].legend(fontsize=8)
        axes[1].set_xlabel("training seconds")
    for axis, label in zip(grid[:, 0], ("mean of the three, × 100", "perplexity"), strict=True):
        axis.set_ylabel(label)
    words, dim = result["corpus"]["vocabulary"], result["settings"]["dim"]
    figure.suptitle(f"{words:,} words, dim {dim}; {origin(result)}", fontsize=9)
    with storage.atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _draw_family(axes: Any, rows: list[dict[str, Any]], heights: list[float]) -> None:
    seconds = [row["seconds"] for row in rows]
    sampled = [place for place, row in enumerate(rows) if row["role"] != SOFTMAX]
    axes.plot([seconds[p] for p in sampled], [heights[p] for p in sampled], color="C0", zorder=1)
    for row, x, height in zip(rows, seconds, heights, strict=True):
        color = "C1" if row["role"] == SOFTMAX else "C0"
        if row["role"] == SOFTMAX:
            axes.axhline(height, color=color, linestyle="--", linewidth=0.8)
        axes.scatter([x], [height], marker=_MARKERS[row["role"]], color=color, label=row["role"])
    axes.set_xscale("log")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(alpha=0.3)
