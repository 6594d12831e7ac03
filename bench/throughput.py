"""Words/s of fastw2v and its peers, in one run on one machine.

    python -m bench.throughput                      negative sampling, dim 300, 3 repeats
    python -m bench.throughput --quick              one shard, dim 100, 1 repeat: a look, no figure
    python -m bench.throughput --types sgram cbow   the full-softmax types (fastw2v alone)
    python -m bench.throughput --ours block_size=128 pool_size=32 --trainers fastw2v

The repeats are interleaved (every trainer once, then every trainer again), so that a noisy minute
hits all alike; medians and their ratios are what to quote. The full-softmax types train on the
10,000 most frequent words and for a part of an epoch only: their cost is known to be proportional
to the vocabulary. See bench/peers.py for what is timed.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from pathlib import Path
from typing import Any

from bench import common, peers
from fastw2v import machine, storage

SOFTMAX_VOCABULARY = 10_000
SOFTMAX_WORDS = 300_000
_SHOWN = {"fastw2v": "fastw2v", "gensim": "gensim", "fasttext": "fastText"}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.throughput", description="Words/s of fastw2v and its peers."
    )
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="text files or directory")
    parser.add_argument("--types", nargs="+", choices=peers.TYPES["fastw2v"],
                        default=["sgram_neg", "cbow_neg"])  # fmt: skip
    parser.add_argument("--trainers", nargs="+", choices=peers.TRAINERS, default=peers.TRAINERS)
    parser.add_argument("--dims", nargs="+", type=int, help="default: 300; 100 with --quick")
    parser.add_argument("--repeats", type=int, help="default: 3; 1 with --quick")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=machine.usable_cores())
    parser.add_argument("--min-count", type=int, default=5)
    parser.add_argument("--ours", nargs="+", default=[], metavar="NAME=VALUE",
                        help="further options of fastw2v")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one shard, dim 100, 1 repeat")
    parser.add_argument("--output", type=Path, help="result file (.json); a .png lies beside it")
    chosen = parser.parse_args(arguments)
    chosen.dims = chosen.dims or ([100] if chosen.quick else [300])
    chosen.repeats = chosen.repeats or (1 if chosen.quick else 3)
    name = "throughput-quick.json" if chosen.quick else "throughput.json"
    chosen.output = chosen.output or common.RESULTS / name
    return chosen


def planned_runs(chosen: argparse.Namespace) -> list[peers.Settings]:
    """One repeat: every dimension, type and trainer that has the type."""
    ours = common.parse_options(chosen.ours)
    runs = []
    for dim in chosen.dims:
        for model_type in chosen.types:
            for trainer in chosen.trainers:
                if model_type in peers.TYPES[trainer]:
                    softmax = {} if model_type.endswith("_neg") else {"max_words": SOFTMAX_WORDS}
                    runs.append(
                        peers.settings_for(
                            trainer, model_type, dim=dim, epochs=chosen.epochs,
                            threads=chosen.threads, ours=softmax | ours,
                        )
                    )  # fmt: skip
    return runs


def corpora_for(runs: list[peers.Settings], chosen: argparse.Namespace) -> dict[str, common.Corpus]:
    """The corpus of each type: the whole vocabulary, or the one that a full softmax can carry."""
    shards = common.find_text(chosen.text)[: 1 if chosen.quick else None]
    corpora: dict[str, common.Corpus] = {}
    for model_type in {settings.type for settings in runs}:
        limit = {} if model_type.endswith("_neg") else {"max_vocab": SOFTMAX_VOCABULARY}
        corpora[model_type] = common.prepare_corpus(shards, min_count=chosen.min_count, **limit)
    return corpora


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the repeats, and fastw2v's as a multiple of each peer's."""
    rates: dict[tuple[int, str], dict[str, list[float]]] = {}
    for run in runs:
        key = (run["settings"]["dim"], run["settings"]["type"])
        by_trainer = rates.setdefault(key, {})
        by_trainer.setdefault(run["settings"]["trainer"], []).append(run["words_per_second"])
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


def print_table(summary: list[dict[str, Any]]) -> None:
    print(f"\n{'type':<10} {'dim':>4}  {'trainer':<9} {'words/s':>11}  {'range':>21}  fastw2v is")
    for row in summary:
        extent = f"{row['slowest']:,.0f}–{row['fastest']:,.0f}"
        ratio = "" if row["trainer"] == "fastw2v" or row["fastw2v_is_times"] is None else (
            f"{row['fastw2v_is_times']:.2f} times"
        )  # fmt: skip
        print(
            f"{row['type']:<10} {row['dim']:>4}  {_SHOWN[row['trainer']]:<9} "
            f"{row['median']:>11,.0f}  {extent:>21}  {ratio}"
        )


def draw(summary: list[dict[str, Any]], title: str, path: Path) -> None:
    """Bars of the medians, with the range of the repeats, beside the JSON."""
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys((row["type"], row["dim"]) for row in summary))
    names = [name for name in peers.TRAINERS if any(row["trainer"] == name for row in summary)]
    figure = Figure(figsize=(1.5 + 2.2 * len(groups), 4), layout="constrained")
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        rows = [row for row in summary if row["trainer"] == name]
        positions = [groups.index((row["type"], row["dim"])) + place * 0.27 for row in rows]
        medians = [row["median"] for row in rows]
        reach = [
            [row["median"] - row["slowest"] for row in rows],
            [row["fastest"] - row["median"] for row in rows],
        ]
        bars = axes.bar(positions, medians, 0.25, yerr=reach, capsize=3, label=_SHOWN[name])
        axes.bar_label(bars, labels=[f"{value / 1e6:.2f}" for value in medians], padding=3)
    axes.set_xticks(
        [index + 0.27 * (len(names) - 1) / 2 for index in range(len(groups))],
        [f"{model_type}\ndim {dim}" for model_type, dim in groups],
    )
    axes.set_ylabel("words/s (million in the labels)")
    axes.set_ylim(0, 1.15 * max(row["fastest"] for row in summary))
    axes.set_title(title, fontsize=10)
    axes.legend()
    with storage.atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    plan = planned_runs(chosen)
    if not plan:
        sys.exit(f"none of {', '.join(chosen.trainers)} has {', '.join(chosen.types)}")
    corpora = corpora_for(plan, chosen)
    result: dict[str, Any] = {
        "benchmark": "throughput",
        "machine": common.describe_machine(),
        "corpora": {name: corpus.describe() for name, corpus in corpora.items()},
        "runs": [],
    }
    for repeat in range(chosen.repeats):
        for settings in plan:
            outcome = peers.run(settings, corpora[settings.type])
            print(
                f"repeat {repeat + 1}  {settings.type} dim {settings.dim}  {settings.trainer}: "
                f"{outcome['words_per_second']:,.0f} words/s in {outcome['seconds']:.1f} s",
                flush=True,
            )
            result["runs"].append(
                {"settings": dataclasses.asdict(settings), "repeat": repeat + 1, **outcome}
            )
            result["summary"] = summarise(result["runs"])
            common.write_result(chosen.output, result)
    print_table(result["summary"])
    picture = chosen.output.with_suffix(".png")
    cores, model = chosen.threads, result["machine"]["cpu"]["model"]
    draw(result["summary"], f"Training speed, {cores} threads, {model}", picture)
    print(f"\nwritten: {chosen.output} and {picture.name}")


if __name__ == "__main__":
    main()
