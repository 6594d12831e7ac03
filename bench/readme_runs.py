"""The sections of the README about what a run costs and foretells, each from its result file."""

from __future__ import annotations

from typing import Any

from bench.readme_speed import prose, table, where


def costs_section(result: dict[str, Any]) -> list[str]:
    """What saves and the held-out loss take of a run's time."""
    lines = []
    if saves := result.get("saves"):
        lines += [
            *prose(
                "What saves take, with `--save-interval 30`: seconds that training stands still",
                "and CPU seconds of the thread that writes, as a share of the seconds of training.",
                "The first save and the last are in `all`, however short the run:",
            ),
            "",
            *table(["model", "vectors", "training", "saves", "between the first and the last",
                    "all"],
                   [_saves_row(run) for run in saves]),
        ]  # fmt: skip
        lines += _source("saves", result)
    if holdout := result.get("holdout"):
        lines += [
            *([""] if lines else []),
            *prose(
                "What the held-out loss takes, as a share of the seconds of training: looking for",
                "the sequences before the start, the evaluations, and the exact softmax loss at",
                "the end of the `_neg` types where the vocabulary allows:",
            ),
            "",
            *table(["model", "vocabulary", "training", "times", "search", "evaluations",
                    "exact", "all"],
                   [_holdout_row(run) for run in holdout]),
        ]  # fmt: skip
        lines += _source("holdout", result)
    return lines


def _source(part: str, result: dict[str, Any]) -> list[str]:
    """Where a part is from: they are measured together or one by one."""
    machine = {"machine": result["machines"][part]}
    return ["", f"`python -m bench.costs --parts {part}`, {where(machine)}."]


def _name(run: dict[str, Any]) -> str:
    threads = run["threads"]
    return f"{run['type']}, dim {run['dim']}, {threads} thread{'s' * (threads != 1)}"


def _saves_row(run: dict[str, Any]) -> list[str]:
    costs = run["costs"]
    return [
        _name(run), f"{run['matrix_bytes'] / 1e6:,.0f} MB", f"{run['training_seconds']:.0f} s",
        str(run["saves"][-1]["saves"]), _percent(costs["background"]), _percent(costs["share"]),
    ]  # fmt: skip


def _holdout_row(run: dict[str, Any]) -> list[str]:
    costs = run["costs"]
    shares = [_percent(costs[name]) for name in ("scan", "evaluations", "exact", "share")]
    return [_name(run), f"{run['vocabulary']:,}", f"{run['training_seconds']:.0f} s",
            str(run["evaluations"]), *shares]  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def estimates_section(result: dict[str, Any]) -> list[str]:
    """What is said of time, memory and disk before a run, against what it then takes."""
    rows = []
    for run in result["runs"]:
        errors = [run["errors"][name] for name in ("time", "memory", "disk")]
        seconds = run["measured"]["time"]
        rows.append(
            [_name(run), f"{run['vocabulary']:,}", "" if seconds is None else f"{seconds:.1f} s"]
            + ["" if error is None else f"{100 * error:+.0f} %" for error in errors]
        )
    return [
        *prose(
            "What is said before a run starts, against what it then takes (said / measured - 1);",
            "memory is the peak of the process, disk the most that the model directory takes:",
        ),
        "",
        *table(["model", "vocabulary", "took", "time", "memory", "disk"], rows),
        "",
        f"`python -m bench.estimates`, {where(result)}.",
    ]


def deterministic_section(result: dict[str, Any]) -> list[str]:
    """The price of --deterministic."""
    rows = []
    for row in result["rows"]:
        speeds = [f"{row[m]['words_per_second']:,.0f}" for m in ("hogwild", "deterministic")]
        losses = [f"{row[m]['holdout_loss']:.3f}" for m in ("hogwild", "deterministic")]
        middle, least, most = row["ratio"]
        rows.append([row["type"], str(row["dim"]), str(row["threads"]), *speeds,
                     f"{middle:.2f} ({least:.2f} to {most:.2f})", *losses])  # fmt: skip
    return [
        *prose(
            "The price of `--deterministic`: words/s and held-out loss beside those of the",
            "default, medians of interleaved repeats, with the median of the ratios of neighbors",
            "and their range. All deterministic runs of a model ended with the same bytes, at any",
            "number of threads:",
        ),
        "",
        *table(["model", "dim", "threads", "default, words/s", "deterministic, words/s", "ratio",
                "loss, default", "loss, deterministic"], rows),
        "",
        f"`python -m bench.deterministic`, {where(result)}.",
    ]  # fmt: skip


SECTIONS = {
    "costs": costs_section,
    "estimates": estimates_section,
    "deterministic": deterministic_section,
}
