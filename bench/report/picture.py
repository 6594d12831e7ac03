"""The picture of the README and of docs/benchmarks.md: words/s of fastw2v and its peers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.report.tables import ONE_CORE, SHOWN
from fastw2v.io import storage

_DIM = 300
_MODELS = {"sgram_neg": "Skip-gram", "cbow_neg": "CBOW"}
_OURS, _PEERS, _INK = "#1f5fa8", "#b4b4b4", "#333333"


def draw_speed(summary: list[dict[str, Any]], path: Path) -> None:
    """Horizontal bars of the medians with the range of the repeats, a panel per model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.7), dpi=150, layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(_MODELS), squeeze=False)[0]
    for axes, (model, title) in zip(panels, _MODELS.items(), strict=True):
        rows = [
            row
            for row in summary
            if (row["type"], row["dim"]) == (model, _DIM) and row["trainer"] != ONE_CORE
        ]
        rows.sort(key=lambda row: -float(row["median"]))
        _draw_panel(axes, rows)
        axes.set_title(f"{title}, negative sampling, dim {_DIM}", fontsize=11, loc="left",
                       color=_INK)  # fmt: skip
        axes.set_xlabel("million words per second", fontsize=10, color=_INK)
    with storage.atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def _draw_panel(axes: Any, rows: list[dict[str, Any]]) -> None:
    values = [row["median"] / 1e6 for row in rows]
    reach = [
        [(row["median"] - row["slowest"]) / 1e6 for row in rows],
        [(row["fastest"] - row["median"]) / 1e6 for row in rows],
    ]
    colors = [_OURS if row["trainer"] == "fastw2v" else _PEERS for row in rows]
    bars = axes.barh(range(len(rows)), values, 0.62, xerr=reach, color=colors,
                     error_kw={"ecolor": _INK, "elinewidth": 1, "capsize": 3})  # fmt: skip
    labels = [
        f"{value:.2g} M" + ("" if row["trainer"] == "fastw2v" else
                            f"   (fastw2v is {row['fastw2v_is_times']:.1f} times as fast)")
        for value, row in zip(values, rows, strict=True)
    ]  # fmt: skip
    axes.bar_label(bars, labels, padding=6, fontsize=10, color=_INK)
    axes.set_yticks(range(len(rows)), [SHOWN.get(row["trainer"], row["trainer"]) for row in rows],
                    fontsize=11, color=_INK)  # fmt: skip
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(row["fastest"] for row in rows) / 1e6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
