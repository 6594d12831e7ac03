"""The sections of the README that are about speed, each from its result file."""

from __future__ import annotations

import collections
import textwrap
from collections.abc import Callable
from typing import Any

from bench.ladder import RUNGS
from bench.throughput_summary import COLUMNS, ONE_CORE, SHOWN, cells_of


def where(result: dict[str, Any]) -> str:
    """The days, the machine and the commits; of the runs that are shown, where these say."""
    machine = result["machine"]
    shown = result.get("shown") or {
        "dates": [machine["date"]],
        "machines": [(machine["cpu"]["model"], machine["cores"])],
        "commits": [machine["commit"]] if machine.get("commit") else [],
        "uncommitted_changes": machine.get("uncommitted_changes"),
    }
    dates = list(dict.fromkeys((shown["dates"][0], shown["dates"][-1])))
    parts = [" to ".join(dates), *(f"{cpu}, {cores} cores" for cpu, cores in shown["machines"])]
    commits = [commit[:7] for commit in shown["commits"]]
    if commits:
        parts.append(f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}")
    if shown["uncommitted_changes"]:
        parts.append("with uncommitted changes")
    return ", ".join(parts)


def prose(*parts: str) -> list[str]:
    """One paragraph."""
    return textwrap.wrap(" ".join(parts), 100)


def table(titles: list[str], rows: list[list[str]]) -> list[str]:
    """A table of Markdown."""
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def throughput_section(result: dict[str, Any]) -> list[str]:
    """Words/s of every trainer, and fastw2v as a multiple; flops, threads, memory, start-up."""
    rows = []
    for row in result["summary"]:
        if row["trainer"] == ONE_CORE:  # a column of the second table
            continue
        ratio = row["fastw2v_is_times"]
        times = "" if row["trainer"] == "fastw2v" or ratio is None else f"{ratio:.1f} times as fast"
        name = SHOWN.get(row["trainer"], row["trainer"])
        rows.append([row["type"], str(row["dim"]), name, f"{row['median']:,.0f}", times])
    lines = [
        "Training speed in words read a second (before subsampling; building the vocabulary,",
        "compiling and saving excluded), all trainers in one run, medians of interleaved repeats:",
        "",
        *table(["model", "dim", "trainer", "words/s", "fastw2v is"], rows),
    ]
    if result.get("ours"):
        titles = ["model", "dim", *(title for title, _ in COLUMNS)]
        rows = [[row["type"], str(row["dim"]), *cells_of(row)] for row in result["ours"]]
        lines += [
            "",
            *prose(
                "Of fastw2v in that run: its blocks (centers x noise words); flops, counted as",
                "6 · dim · (noise words + mean contexts) a kept token (CBOW: without contexts),",
                "against the machine's own sgemm, as NumPy has it there and with the fastest of",
                "OpenBLAS's kernels; all threads against one that is held to a core; memory beyond",
                "the matrices and the vocabulary; from the process's start to its first update:",
            ),
            "",
            *table(titles, rows),
        ]
    return [*lines, "", f"`python -m bench.throughput`, {where(result)}."]


def kernels_section(result: dict[str, Any]) -> list[str]:
    """Kept tokens/s of the rungs of the ladder."""
    groups: dict[tuple[str, int, int], dict[str, str]] = {}
    for row in result["rows"]:
        cells = groups.setdefault((row["type"], row["dim"], row["threads"]), {})
        rate = row["kept_tokens_per_second"]
        shown = f"{rate / 1e6:.2f} M" if rate >= 1e5 else f"{rate:,.0f}"
        cells[row["rung"]] = f"{shown} ({row['gflops']:.3g})"
    rungs = [rung for rung in RUNGS if any(rung in cells for cells in groups.values())]
    rows = [
        [*map(str, group), *(cells.get(rung, "") for rung in rungs)]
        for group, cells in groups.items()
    ]
    return [
        *prose(
            "The kernels alone, tokens that subsampling kept a second (GFLOP/s of the work that",
            "each does): word2vec's updates in NumPy (`reference`) and in Numba (`classic`),",
            "noise words shared by a window as in pWord2Vec, and our blocks. Each was validated",
            "before it was timed:",
        ),
        "",
        *table(["model", "dim", "threads", *rungs], rows),
        "",
        f"`python -m bench.kernels`, {where(result)}.",
    ]


def scaling_section(result: dict[str, Any]) -> list[str]:
    """Time and memory by size of the corpus."""
    rows = [
        [
            row["type"], str(row["dim"]), f"{row['times']} x", f"{row['words'] / 1e6:.1f} M",
            f"{1e9 / row['words_per_second']:.0f} ns",
            "" if row["beyond"] is None else f"{row['beyond'] / 1e6:.0f} MB",
        ]
        for row in result["rows"]
        if row["part"] == "corpus"
    ]  # fmt: skip
    if not rows:
        return []
    titles = ["model", "dim", "corpus", "words", "time a word", "memory beyond"]
    return [
        "Cost by the size of the corpus, at the same vocabulary:",
        "",
        *table(titles, rows),
        "",
        f"`python -m bench.scaling`, {where(result)}.",
    ]


def robustness_section(result: dict[str, Any]) -> list[str]:
    """One sentence on where training diverges."""
    cells = result["cells"]
    verdicts = collections.Counter(cell["verdict"].split()[0] for cell in cells)
    both = sum(bool(cell["blocks"]["diverged"] and cell["classic"]["diverged"]) for cell in cells)
    most = max(cell["alpha_times"] for cell in cells)
    return prose(
        f"Small corpora and learning rates up to {most:g} times the default, {len(cells)} pairs of",
        f"runs: both methods diverged in {both}, only word2vec's own updates in",
        f"{verdicts['only']}, only our blocks in {verdicts['BLOCKS']}; where both trained, our",
        f"blocks ended at a clearly higher loss in {verdicts['worse']}"
        + (f"; {verdicts['no']} gave no result" if verdicts["no"] else ""),
        f"(`python -m bench.robustness`, {where(result)}).",
    )


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "throughput": throughput_section,
    "kernels": kernels_section,
    "scaling": scaling_section,
    "robustness": robustness_section,
}
