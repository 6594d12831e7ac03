"""Writes the README's results section from the committed files in bench/results/.

python -m bench.readme
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from bench import ROOT, common, quality, readme_speed, scoring
from bench.throughput_summary import SHOWN as _NAMES
from fastw2v import storage

README = ROOT / "README.md"
BEGIN = "<!-- results: begin (written by `python -m bench.readme` from bench/results/) -->"
END = "<!-- results: end -->"
_VERSIONS = {"quality": quality.VERSION}  # of the files; one of an older layout is left out


def quality_section(result: dict[str, Any]) -> list[str]:
    """Scores of every trainer at equal hyperparameters, and the paired differences from gensim."""
    settings = result["runs"][0]["settings"]
    seeds = max(row["seeds"] for row in result["summary"])
    held_out = result["corpus"]["holdout"]
    about = (
        f"Quality at equal hyperparameters ({settings['reach']} words a side drawn, "
        f"{settings['negatives']} negatives a pair, subsample {settings['subsample']:g}), one "
        "evaluator for all: Spearman and accuracy times 100, and their mean; held-out loss in nats "
        f"a positive ({held_out['tokens']:,} tokens that no trainer saw, {held_out['reach']} words "
        f"a side, {held_out['negatives']} fixed negatives). Means over {seeds} seeds. `classic` is "
        "word2vec.c's update in our pipeline, `one` our blocks with T = 1. `cbow_neg` has the "
        "peers' gradient and alpha, `cbow_neg_mean` our defaults."
    )
    lines = textwrap.wrap(about, 100)
    groups = dict.fromkeys((row["dim"], row["epochs"]) for row in result["summary"])
    for dim, epochs in groups:
        lines += ["", f"**dim {dim}, {epochs} epoch{'s' if epochs > 1 else ''}**", ""]
        lines += _quality_table(
            row for row in result["summary"] if (row["dim"], row["epochs"]) == (dim, epochs)
        )
    lines += [
        "",
        "Mean of the three and held-out loss, less gensim's, with 95 % intervals of a paired "
        "bootstrap:",
        "",
        "| dim | epochs | model | trainer | mean of the three | held-out loss |",
        "|---|---|---|---|---|---|",
        *_difference_rows(result["comparisons"]),
        "",
        f"`python -m bench.quality`, {readme_speed.where(result)}.",
    ]
    return lines


def _quality_table(rows: Iterable[dict[str, Any]]) -> list[str]:
    tests = [*scoring.TESTS, "mean"]
    lines = [
        f"| model | trainer | {' | '.join(tests)} | held-out loss |",
        f"|---|---|{'---|' * len(tests)}---|",
    ]
    for row in rows:
        scores = " | ".join(f"{100 * score:.1f}" for score in row["scores"].values())
        lines.append(
            f"| {row['model']} | {_NAMES.get(row['trainer'], row['trainer'])} | {scores} | "
            f"{row['holdout']:.3f} |"
        )
    return lines


def _difference_rows(comparisons: list[dict[str, Any]]) -> list[str]:
    found: dict[tuple[Any, ...], dict[str, str]] = {}
    for row in comparisons:
        scale, digits = (1, 3) if row["comparison"] == scoring.LOSS else (100, 1)
        value, low, high = (
            f"{scale * row[name]:+.{digits}f}" for name in ("difference", "low", "high")
        )
        trainer = _NAMES.get(row["trainer"], row["trainer"])
        cells = found.setdefault((row["dim"], row["epochs"], row["model"], trainer), {})
        cells[row["comparison"]] = f"{value} ({low} to {high})"
    return [
        f"| {' | '.join(map(str, key))} | {cells[scoring.MEAN]} | {cells[scoring.LOSS]} |"
        for key, cells in found.items()
    ]


def results_section() -> str:
    """The whole section, from whichever result files there are."""
    lines = [BEGIN]
    for name, section in (readme_speed.SECTIONS | {"quality": quality_section}).items():
        path = common.RESULTS / f"{name}.json"
        if not path.exists():
            continue
        result = storage.read_json(path)
        if result.get("version", 1) == _VERSIONS.get(name, 1):
            lines += ["", *section(result)]
    return "\n".join([*lines, "", END])


def rewrite() -> None:
    """Put the section in its place in the README."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    storage.write_text(README, before + results_section() + after)


if __name__ == "__main__":
    rewrite()
