"""The sections of the README that are about quality, each from its result file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench import scoring
from bench.readme_speed import prose, table, where
from bench.throughput_summary import SHOWN

# What a model, or a trainer, says by its name.
_IMPLIED = {"cbow_gradient", "block_size"}


def quality_section(result: dict[str, Any]) -> list[str]:
    """Scores of every trainer at equal hyperparameters, and the differences from gensim."""
    summary = result["summary"]
    if not summary:
        return []
    held_out = result["corpus"]["holdout"]
    seeds = sorted({row["seeds"] for row in summary})
    lines = prose(
        f"Quality at equal hyperparameters ({_shared_settings(summary)}), one evaluator for all:",
        "Spearman and accuracy times 100, and their mean; held-out loss in nats a positive",
        f"({held_out['tokens']:,} tokens that no trainer saw, {held_out['reach']} words a side,",
        f"{held_out['negatives']} fixed negatives).",
        f"Means over {seeds[0]} seeds." if len(seeds) == 1 else "Means over the seeds.",
        "`classic` is word2vec.c's update in our pipeline, `one` our blocks with T = 1. `cbow_neg`",
        "has the peers' gradient and alpha, `cbow_neg_mean` our defaults.",
    )
    for dim, epochs in dict.fromkeys((row["dim"], row["epochs"]) for row in summary):
        rows = [row for row in summary if (row["dim"], row["epochs"]) == (dim, epochs)]
        lines += ["", f"**dim {dim}, {epochs} epoch{'s' if epochs > 1 else ''}**", ""]
        lines += _quality_table(rows, with_seeds=len(seeds) > 1)
    if result["comparisons"]:
        lines += [
            "",
            *prose(
                "Mean of the three and held-out loss, less gensim's, with 95 % intervals of a",
                "bootstrap over items and seeds:",
            ),
            "",
            *_difference_table(result["comparisons"]),
        ]
    return [*lines, "", f"`python -m bench.quality`, {where(result)}."]


def _shared_settings(summary: list[dict[str, Any]]) -> str:
    """The settings that are not of a row's own; several values where the rows differ."""

    def values(name: str) -> str:
        return " or ".join(f"{value:g}" for value in sorted({r["settings"][name] for r in summary}))

    return (
        f"1 to {values('reach')} words a side, uniformly, {values('negatives')} negatives a pair, "
        f"subsample {values('subsample')}, {values('threads')} threads"
    )


def _quality_table(rows: list[dict[str, Any]], *, with_seeds: bool) -> list[str]:
    tests = [*scoring.TESTS, "mean"]
    titles = ["model", "trainer", "alpha", *(["seeds"] if with_seeds else []), *tests]
    return table(
        [*titles, "held-out loss"],
        [
            [
                row["model"],
                _name_of(row),
                f"{row['settings']['alpha']:g}",
                *([str(row["seeds"])] if with_seeds else []),
                *(f"{100 * score:.1f}" for score in row["scores"].values()),
                f"{row['holdout']:.3f}",
            ]
            for row in rows
        ],
    )


def _name_of(row: dict[str, Any]) -> str:
    """The trainer, with the options that its name and the model's do not say."""
    implied = _IMPLIED if row["trainer"] == "one" else {"cbow_gradient"}
    ours = row["settings"]["ours"]
    more = ", ".join(f"{name} {ours[name]}" for name in sorted(ours) if name not in implied)
    name = SHOWN.get(row["trainer"], row["trainer"])
    return f"{name} ({more})" if more else name


def _difference_table(comparisons: list[dict[str, Any]]) -> list[str]:
    found: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in comparisons:
        scale, digits = (1, 3) if row["comparison"] == scoring.LOSS else (100, 1)
        value, low, high = (
            f"{scale * row[name]:+.{digits}f}" for name in ("difference", "low", "high")
        )
        trainer = SHOWN.get(row["trainer"], row["trainer"])
        cells = found.setdefault((row["dim"], row["epochs"], row["model"], trainer), {})
        cells[row["comparison"]] = f"{value} ({low} to {high})"
    return table(
        ["dim", "epochs", "model", "trainer", "mean of the three", "held-out loss"],
        [
            [*map(str, key), cells.get(scoring.MEAN, ""), cells.get(scoring.LOSS, "")]
            for key, cells in found.items()
        ],
    )


def sweep_section(result: dict[str, Any]) -> list[str]:
    """Mean of the three, held-out loss and speed by T and N, a table a model."""
    summary = result["summary"]
    if not summary:
        return []
    seeds = sorted({row["seeds"] for row in summary})
    lines = prose(
        "Where quality breaks: fastw2v over centers a block (T) and noise words a block (N); mean",
        "of the three times 100, held-out loss, million words/s; means over",
        f"{' or '.join(map(str, seeds))} seed{'s' if seeds[-1] > 1 else ''}:",
    )
    groups = dict.fromkeys((row["dim"], row["epochs"], row["model"]) for row in summary)
    for dim, epochs, model in groups:
        rows = [r for r in summary if (r["dim"], r["epochs"], r["model"]) == (dim, epochs, model)]
        cells = {(row["block_size"], row["pool_size"]): _sweep_cell(row) for row in rows}
        pools = sorted({pool_size for _, pool_size in cells})
        title = f"{model}, dim {dim}, {epochs} epoch{'s' if epochs > 1 else ''}"
        lines += [
            "",
            *table(
                [title, *(f"N = {pool_size}" for pool_size in pools)],
                [
                    [f"T = {size}", *(cells.get((size, pool_size), "") for pool_size in pools)]
                    for size in sorted({block_size for block_size, _ in cells})
                ],
            ),
        ]
    return [*lines, "", f"`python -m bench.sweep`, {where(result)}."]


def _sweep_cell(row: dict[str, Any]) -> str:
    if row["mean"] is None:
        return "diverged"
    figures = f"{100 * row['mean']:.1f}, {row['holdout']:.3f}, {row['words_per_second'] / 1e6:.1f}"
    return figures + (f" ({row['diverged']} diverged)" if row["diverged"] else "")


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "quality": quality_section,
    "sweep": sweep_section,
}
