"""How fastw2v's cost grows: with threads, and with the size of the corpus.

    python -m bench.speed.scaling          both types, dims 300 and 100; 1, 4, 16 times the text
    python -m bench.speed.scaling --quick  one shard, skip-gram, dim 100, 1 repeat, 1 and 4 times
    python -m bench.speed.scaling --parts threads

threads   1, 2, 4 ... to all cores; a run with t threads is held to t cores, so that the threads
          that read ahead and save get none for themselves.
corpus    the same shards 1, 4 and 16 times over (hard links, or copies where there can be none),
          with min-count as many times larger, so that the vocabulary is the same. The time of a
          word and the memory beyond matrices and vocabulary should stay as they are.

The repeats are interleaved; medians. What is timed: bench/peers/trainers.py; memory:
bench/lib/memory.py.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.lib import command_line, common, host, results
from bench.lib.tables import print_tables
from bench.peers import trainers
from bench.report import tables
from fastw2v.io import machine

PARTS = ("threads", "corpus")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.speed.scaling", "scaling", "Cost by threads and by size of the corpus.",
        quick="one shard, skip-gram, dim 100, 1 repeat",
        types=(["sgram_neg"], ["sgram_neg", "cbow_neg"], ("sgram_neg", "cbow_neg")),
        dims=([100], [300, 100], command_line.count),  # part corpus takes the first
        times=([1, 4], [1, 4, 16], command_line.count),
        repeats=(1, 3, command_line.count),
    )  # fmt: skip
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--min-count", type=command_line.count, default=5)
    return parser.parse(arguments)


def repeated_shards(shards: Sequence[Path], times: int, place: Path) -> list[Path]:
    """`shards`, `times` over, as files of their own in `place` beyond the first time."""
    found = list(shards)
    place.mkdir(parents=True, exist_ok=True)
    for number in range(1, times):
        for shard in shards:
            copy = place / f"{number:02d}-{shard.name}"
            if not copy.exists():
                try:
                    os.link(shard, copy)
                except OSError:  # another file system, or one without hard links
                    shutil.copy2(shard, copy)
            found.append(copy)
    return found


def repeated_corpus(shards: Sequence[Path], times: int, min_count: int) -> common.Corpus:
    """The corpus of `shards`, `times` over, with the vocabulary of one time.

    Raises:
        RuntimeError: the vocabulary came out different.
    """
    once = common.prepare_corpus(shards, with_text=False, min_count=min_count)
    if times == 1:
        return once
    place = once.store.parent / "repeated"
    files = repeated_shards(shards, times, place)
    corpus = common.prepare_corpus(files, with_text=False, min_count=min_count * times)
    if (corpus.vocabulary, corpus.words) != (once.vocabulary, times * once.words):
        raise RuntimeError(
            f"{times} times the corpus has {corpus.vocabulary:,} words of vocabulary and "
            f"{corpus.words:,} words in all; once has {once.vocabulary:,} and {once.words:,}"
        )
    return corpus


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a repeat: its part, its place on the x axis, and what it trains."""

    part: str
    times: int
    cores: int | None
    settings: trainers.Settings


def planned_runs(chosen: argparse.Namespace) -> list[PlannedRun]:
    """One repeat of both parts."""
    cores = machine.usable_cores()
    ours = command_line.parse_options(chosen.ours)

    def settings(model_type: str, dim: int, threads: int) -> trainers.Settings:
        return trainers.settings_for("fastw2v", model_type, dim=dim, threads=threads, ours=ours)

    runs = []
    for model_type in chosen.types:
        for dim in chosen.dims if "threads" in chosen.parts else ():
            for threads in command_line.thread_counts(cores):
                held = settings(model_type, dim, threads)
                runs.append(PlannedRun("threads", 1, threads, held))
        for times in chosen.times if "corpus" in chosen.parts else ():
            whole = settings(model_type, chosen.dims[0], cores)
            runs.append(PlannedRun("corpus", times, None, whole))
    return runs


def summarize(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the repeats, by part, type, dim, threads and size of the corpus.

    speed_up: words/s as a multiple of one thread's (part threads). relative_cost: time a word as a
    multiple of that at the smallest corpus (part corpus). beyond: bytes beyond matrices and
    vocabulary, the largest.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs:
        settings = run["settings"]
        key = (run["part"], settings["type"], settings["dim"], settings["threads"], run["times"])
        groups.setdefault(key, []).append(run)
    rows = []
    for (part, model_type, dim, threads, times), group in groups.items():
        rates = [run["words_per_second"] for run in group]
        beyond = [run["beyond"] for run in group if run["beyond"] is not None]
        rows.append(
            {
                "part": part, "type": model_type, "dim": dim, "threads": threads, "times": times,
                "words_per_second": statistics.median(rates),
                "slowest": min(rates), "fastest": max(rates), "repeats": len(rates),
                "words": group[0]["words"],
                "beyond": max(beyond, default=None),
            }
        )  # fmt: skip
    for row in rows:
        base = _base_of(row, rows)
        if row["part"] == "threads":
            row["speed_up"] = row["words_per_second"] / base if base else None
        else:
            row["relative_cost"] = base / row["words_per_second"] if base else None
    return rows


def _base_of(row: dict[str, Any], rows: list[dict[str, Any]]) -> float | None:
    """Words/s of the row's own curve at one thread, or at the smallest corpus."""
    curve = [r for r in rows if all(r[name] == row[name] for name in ("part", "type", "dim"))]
    if row["part"] == "threads":
        first = next((r for r in curve if r["threads"] == 1), None)
    else:
        first = min(curve, key=lambda r: r["times"])
    return first["words_per_second"] if first else None


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    plan = planned_runs(chosen)
    shards = common.find_text(chosen.text)[: 1 if chosen.quick else None]
    corpora = {
        times: repeated_corpus(shards, times, chosen.min_count)
        for times in sorted({run.times for run in plan})
    }
    result: dict[str, Any] = {
        "benchmark": "scaling",
        "machine": host.describe_machine(),
        "corpora": {f"{times}x": corpus.describe() for times, corpus in corpora.items()},
        "runs": [],
    }
    for repeat, title in command_line.repeats(chosen.repeats):
        for run in plan:
            with host.held_to(run.cores) as held:
                outcome = trainers.run(run.settings, corpora[run.times])
            print(
                f"{title}  {run.settings.type} dim {run.settings.dim}  {run.settings.threads} "
                f"threads, {run.times}x: {outcome['words_per_second']:,.0f} words/s in "
                f"{outcome['seconds']:.1f} s",
                flush=True,
            )
            record = {"part": run.part, "times": run.times, "repeat": repeat, "held_to_cores": held}
            settings = dataclasses.asdict(run.settings)
            result["runs"].append({**record, "settings": settings, **outcome})
            result["rows"] = summarize(result["runs"])
            results.write_partial(chosen.output, result)
    print_tables(tables.scaling(result))
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
