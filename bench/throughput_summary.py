"""From the runs of `bench/throughput.py` to medians, ratios, tables and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import ceilings
from fastw2v.io import storage

ONE_CORE = "fastw2v, 1 thread"
# Names in tables, where they are not the trainer's own.
SHOWN = {"fasttext": "fastText", "word2vec": "word2vec.c", "pword2vec": "pWord2Vec"}
_MAX_BEYOND = 500e6  # bytes beyond matrices and vocabulary that training may take


def trainer_of(run: dict[str, Any]) -> str:
    """The name of a run's trainer."""
    return str(run.get("trainer", run["settings"]["trainer"]))


def _key(run: dict[str, Any]) -> tuple[int, str]:
    return run["settings"]["dim"], run["settings"]["type"]


def summarize(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the repeats, and fastw2v's as a multiple of each peer's."""
    rates: dict[tuple[int, str], dict[str, list[float]]] = {}
    for run in runs:
        by_trainer = rates.setdefault(_key(run), {})
        by_trainer.setdefault(trainer_of(run), []).append(run["words_per_second"])
    summary = []
    for (dim, model_type), by_trainer in rates.items():
        medians = {name: statistics.median(values) for name, values in by_trainer.items()}
        ours = medians.get("fastw2v")
        for name, values in by_trainer.items():
            summary.append(
                {
                    "dim": dim,
                    "type": model_type,
                    "trainer": name,
                    "median": medians[name],
                    "slowest": min(values),
                    "fastest": max(values),
                    "repeats": len(values),
                    "fastw2v_is_times": ours / medians[name] if ours else None,
                }
            )
    return summary


def summarize_ours(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Of fastw2v, by dim and type: flops against sgemm, the second thread, memory, start-up.

    gflops: of a median run; sgemm_share: of NumPy's sgemm as it comes, best_sgemm_share: with the
    faster BLAS kernels (`bench/ceilings.py`), medians over the repeats. beyond, startup_seconds:
    the largest of all repeats.
    """
    rows = []
    ours = [run for run in result["runs"] if run["settings"]["trainer"] == "fastw2v"]
    for dim, model_type in dict.fromkeys(_key(run) for run in ours):
        runs = [run for run in ours if _key(run) == (dim, model_type)]
        all_cores = [run for run in runs if trainer_of(run) == "fastw2v"]
        one_core = [run for run in runs if trainer_of(run) == ONE_CORE]
        row: dict[str, Any] = {"dim": dim, "type": model_type}
        row |= {name: _largest(all_cores, name) for name in ("beyond", "startup_seconds")}
        if one_core and all_cores:
            row["threads"] = all_cores[0]["settings"]["threads"]
            row["speed_up"] = _median_rate(all_cores) / _median_rate(one_core)
        stream = result["streams"].get(model_type)
        if stream and all_cores:
            flops = stream["kept"] * ceilings.flops_per_token(
                model_type, dim, all_cores[0]["pool_size"], stream["mean_contexts"]
            )
            row |= {"flops_per_word": flops, **stream}
            row |= {name: all_cores[0][name] for name in ("block_size", "pool_size")}
            row["all_cores"] = _against_sgemm(all_cores, flops, result["ceilings"], "all_cores")
            row["one_core"] = _against_sgemm(one_core, flops, result["ceilings"], "one_core")
        rows.append(row)
    return rows


def _median_rate(runs: list[dict[str, Any]]) -> float:
    return statistics.median(run["words_per_second"] for run in runs)


def _largest(runs: list[dict[str, Any]], name: str) -> float | None:
    return max((run[name] for run in runs if run.get(name) is not None), default=None)


def _against_sgemm(
    runs: list[dict[str, Any]], flops: float, measured: list[dict[str, Any]], cores: str
) -> dict[str, float] | None:
    if not runs:
        return None
    gflops = flops * _median_rate(runs) / 1e9
    found = {
        name: statistics.median(ceiling[cores]["sgemm"][name] for ceiling in measured)
        for name in ("gflops", "best_gflops")
    }
    return {
        "gflops": gflops,
        "sgemm_share": gflops / found["gflops"],
        "best_sgemm_share": gflops / found["best_gflops"],
    }


# Columns of the second table: title, and what of a row of `summarize_ours` stands there.
COLUMNS: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
    ("blocks", lambda row: f"{row['block_size']} x {row['pool_size']}"),
    ("GFLOP/s", lambda row: f"{row['all_cores']['gflops']:.0f}"),
    ("of sgemm", lambda row: f"{100 * row['all_cores']['sgemm_share']:.0f} %"),
    ("of the fastest sgemm", lambda row: f"{100 * row['all_cores']['best_sgemm_share']:.0f} %"),
    ("threads / 1 thread", lambda row: f"{row['threads']}: {row['speed_up']:.2f}"),
    ("memory beyond", lambda row: f"{row['beyond'] / 1e6:.0f} MB"),
    ("start-up", lambda row: f"{row['startup_seconds']:.1f} s"),
]


def cells_of(row: dict[str, Any]) -> list[str]:
    """The text of each of `COLUMNS`, "" where it was not measured."""
    cells = []
    for _, text in COLUMNS:
        try:
            cells.append(text(row))
        except (KeyError, TypeError):
            cells.append("")
    return cells


def print_tables(result: dict[str, Any]) -> None:
    summary = result["summary"]
    print(f"\n{'type':<10} {'dim':>4}  {'trainer':<17} {'words/s':>11}  {'range':>21}  fastw2v is")
    for row in summary:
        extent = f"{row['slowest']:,.0f}–{row['fastest']:,.0f}"
        ratio = "" if row["trainer"] == "fastw2v" or row["fastw2v_is_times"] is None else (
            f"{row['fastw2v_is_times']:.2f} times"
        )  # fmt: skip
        print(
            f"{row['type']:<10} {row['dim']:>4}  {SHOWN.get(row['trainer'], row['trainer']):<17} "
            f"{row['median']:>11,.0f}  {extent:>21}  {ratio}"
        )
    print(f"\n{'type':<10} {'dim':>4}" + "".join(f"  {title:>20}" for title, _ in COLUMNS))
    for row in result["ours"]:
        print(f"{row['type']:<10} {row['dim']:>4}" + "".join(f"  {c:>20}" for c in cells_of(row)))
        if (row.get("beyond") or 0) > _MAX_BEYOND:
            print(f"warning: {row['beyond'] / 1e6:.0f} MB beyond matrices and vocabulary")


def draw(summary: list[dict[str, Any]], title: str, path: Path) -> None:
    """Bars of the medians, with the range of the repeats, beside the JSON."""
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys((row["type"], row["dim"]) for row in summary))
    names = list(dict.fromkeys(row["trainer"] for row in summary))
    step = 0.85 / len(names)
    figure = Figure(figsize=(2 + 0.8 * len(groups) * len(names), 4), layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        rows = [row for row in summary if row["trainer"] == name]
        positions = [groups.index((row["type"], row["dim"])) + place * step for row in rows]
        medians = [row["median"] for row in rows]
        reach = [
            [row["median"] - row["slowest"] for row in rows],
            [row["fastest"] - row["median"] for row in rows],
        ]
        shown = SHOWN.get(name, name)
        bars = axes.bar(positions, medians, 0.93 * step, yerr=reach, capsize=3, label=shown)
        axes.bar_label(bars, labels=[f"{value / 1e6:.2f}" for value in medians], padding=3)
    axes.set_xticks(
        [index + step * (len(names) - 1) / 2 for index in range(len(groups))],
        [f"{model_type}\ndim {dim}" for model_type, dim in groups],
    )
    axes.set_ylabel("words/s (million in the labels)")
    axes.set_ylim(0, 1.15 * max(row["fastest"] for row in summary))
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8)
    with storage.atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
