"""From the runs of `bench/softmax.py` to medians, ratios, a table and a picture."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from fastw2v.io import storage

# Names in tables and pictures: (trainer, type).
SHOWN = {
    ("fastw2v", "cbow"): "fastw2v, cbow",
    ("fastw2v", "sgram"): "fastw2v, sgram",
    ("torch", "cbow"): "PyTorch, cbow",
    ("numpy", "cbow"): "NumPy, float32, cbow",
    ("dense", "cbow"): "NumPy, float64, one-hots, cbow",
    ("fasttext", "cbow"): "fastText -loss softmax, cbow",
}


def flops_per_word(model_type: str, vocabulary: int, dim: int, stream: dict[str, float]) -> float:
    """Flops that a word read counts for: 6·V·D a softmax, none for a word without context.

    CBOW has a softmax a center word, skip-gram one a distinct center word of the batch.
    """
    softmaxes = stream["trained"] * (stream["distinct"] if model_type == "sgram" else 1.0)
    return 6.0 * vocabulary * dim * softmaxes


def summarize(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each vocabulary, trainer and type, in that order: medians over the repeats.

    gflops: of the median; sgemm_share: of NumPy's sgemm as it comes, best_sgemm_share: with the
    fastest of OpenBLAS's kernels (`bench/ceilings.py`), measured beside the runs of the same
    vocabulary. fastw2v_is_times: fastw2v's cbow as a multiple of it; None without one. buffers: the
    most of all repeats, None for the peers. estimate_errors: of the repeats with an estimate,
    estimated / measured seconds less 1.
    """
    groups: dict[tuple[int, str, str], list[dict[str, Any]]] = {}
    for run in result["runs"]:
        groups.setdefault((run["vocabulary"], run["trainer"], run["type"]), []).append(run)
    medians = {
        key: statistics.median(run["words_per_second"] for run in runs)
        for key, runs in groups.items()
    }
    rows = []
    for (vocabulary, trainer, model_type), runs in groups.items():
        rates = [run["words_per_second"] for run in runs]
        median = medians[vocabulary, trainer, model_type]
        ours = medians.get((vocabulary, "fastw2v", "cbow"))
        gflops = runs[0]["flops_per_word"] * median / 1e9
        rows.append(
            {
                "vocabulary": vocabulary, "trainer": trainer, "type": model_type,
                "median": median, "slowest": min(rates), "fastest": max(rates),
                "repeats": len(rates),
                "fastw2v_is_times": ours / median if ours else None,
                "gflops": gflops,
                **_shares(gflops, vocabulary, result["ceilings"]),
                "buffers": max(run.get("buffers") or 0 for run in runs) or None,
                "estimate_errors": [
                    run["estimated_seconds"] / run["seconds"] - 1
                    for run in runs
                    if run.get("estimated_seconds")
                ],
            }
        )  # fmt: skip
    order = list(SHOWN)
    return sorted(
        rows, key=lambda row: (row["vocabulary"], order.index((row["trainer"], row["type"])))
    )


def sgemm_rates(ceilings: list[dict[str, Any]], vocabulary: int) -> dict[str, float]:
    """`gflops` and `best_gflops` of all cores, medians of what was measured at `vocabulary`."""
    found = [each["all_cores"]["sgemm"] for each in ceilings if each["vocabulary"] == vocabulary]
    return {
        name: statistics.median(sgemm[name] for sgemm in found)
        for name in ("gflops", "best_gflops")
    }


def _shares(gflops: float, vocabulary: int, ceilings: list[dict[str, Any]]) -> dict[str, float]:
    rates = sgemm_rates(ceilings, vocabulary)
    return {
        "sgemm_share": gflops / rates["gflops"],
        "best_sgemm_share": gflops / rates["best_gflops"],
    }


TITLES = ("words/s", "GFLOP/s", "of sgemm", "of the fastest sgemm", "fastw2v's cbow is")


def cells_of(row: dict[str, Any]) -> list[str]:
    """The text of each of `TITLES`."""
    times = row["fastw2v_is_times"]
    own = (row["trainer"], row["type"]) == ("fastw2v", "cbow")
    return [
        f"{row['median']:,.0f}",
        f"{row['gflops']:.3g}",
        *(_percent(row[name]) for name in ("sgemm_share", "best_sgemm_share")),
        ""
        if own or times is None
        else f"{times:.2f} times"
        if times < 10
        else f"{times:.0f} times",
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"


def memory_of(summary: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with the most buffers, where they were counted."""
    rows = [row for row in summary if row["buffers"]]
    return max(rows, key=lambda row: int(row["buffers"]), default=None)


def estimate_range(summary: list[dict[str, Any]]) -> tuple[float, float] | None:
    """The least and the largest error of the estimates of the time, as shares; None without any."""
    errors = [error for row in summary for error in row["estimate_errors"]]
    return (min(errors), max(errors)) if errors else None


def sgram_speed(summary: list[dict[str, Any]]) -> dict[int, float]:
    """sgram's words/s as a multiple of cbow's, by vocabulary, both fastw2v's."""
    return {
        row["vocabulary"]: 1 / row["fastw2v_is_times"]
        for row in summary
        if row["type"] == "sgram" and row["fastw2v_is_times"]
    }


def print_table(summary: list[dict[str, Any]]) -> None:
    print(f"\n{'words':>7}  {'trainer':<54}" + "".join(f"{title:>22}" for title in TITLES))
    for row in summary:
        name = SHOWN[row["trainer"], row["type"]]
        cells = "".join(f"{cell:>22}" for cell in cells_of(row))
        print(f"{row['vocabulary']:>7,}  {name:<54}{cells}")
    for vocabulary, times in sgram_speed(summary).items():
        print(f"fastw2v's sgram at {vocabulary:,} words: {times:.2f} times its cbow")
    if found := estimate_range(summary):
        print(f"estimates of the time before the start: {found[0]:+.0%} to {found[1]:+.0%}")
    most = memory_of(summary)
    if most:
        print(
            f"most memory beyond the matrices: {most['buffers'] / 1e6:.0f} MB "
            f"({most['type']}, {most['vocabulary']:,} words)"
        )


_LINES = {"gflops": ("--", "NumPy's sgemm"), "best_gflops": (":", "the fastest sgemm")}


def draw(result: dict[str, Any], title: str, path: Path) -> None:
    """GFLOP/s by size of the vocabulary (labels: words/s), under the lines of sgemm."""
    from matplotlib.figure import Figure

    summary = result["summary"]
    sizes = sorted({row["vocabulary"] for row in summary})
    names = [key for key in SHOWN if any((row["trainer"], row["type"]) == key for row in summary)]
    step = 0.85 / len(names)
    figure = Figure(figsize=(2.5 + 0.9 * len(sizes) * len(names), 4.5), layout="constrained")
    axes = figure.add_subplot()
    for place, key in enumerate(names):
        rows = [row for row in summary if (row["trainer"], row["type"]) == key]
        positions = [sizes.index(row["vocabulary"]) + place * step for row in rows]
        values = [row["gflops"] for row in rows]
        reach = [
            [row["gflops"] * (1 - row["slowest"] / row["median"]) for row in rows],
            [row["gflops"] * (row["fastest"] / row["median"] - 1) for row in rows],
        ]
        bars = axes.bar(positions, values, 0.93 * step, yerr=reach, capsize=3, label=SHOWN[key])
        labels = [f"{row['median']:,.0f}" for row in rows]
        axes.bar_label(bars, labels, padding=3, fontsize=7)
    for number, size in enumerate(sizes):
        rates = sgemm_rates(result["ceilings"], size)
        ends = [number - step / 2, number + 0.85 - step / 2]
        for name, (style, label) in _LINES.items():
            shown = label if number == 0 else None
            axes.plot(ends, [rates[name]] * 2, style, color="black", label=shown)
    axes.set_xticks(
        [number + step * (len(names) - 1) / 2 for number in range(len(sizes))],
        [f"{size:,} words" for size in sizes],
    )
    axes.set_ylabel("GFLOP/s (labels: words/s)")
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.08))
    with storage.atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
