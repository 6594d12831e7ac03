"""Words/s of fastw2v and its peers, beside the machine's sgemm rate, in one run on one machine.

    python -m bench.throughput                      negative sampling, dims 300 and 100, 3 repeats
    python -m bench.throughput --quick              one shard, dim 100, 1 repeat: a look, no figure
    python -m bench.throughput --types sgram cbow   the full-softmax types (fastw2v alone)
    python -m bench.throughput --ours block_size=128 pool_size=32 --trainers fastw2v
    python -m bench.throughput --word2vec PATH --koan PATH --pword2vec PATH    binaries of yours

The repeats are interleaved (the ceilings and every trainer once, then all again, the trainers in
another order), so that a noisy minute hits all alike; medians and their ratios are what to quote.
fastw2v also runs with one thread
in a process held to one core: no helper thread gets a second core for nothing. The full-softmax
types train on the 10,000 most frequent words and for a part of an epoch only: their cost is known
to be proportional to the vocabulary. See bench/peers.py and bench/external.py for what is timed,
bench/ceilings.py for the ceilings and the flops that a token counts for.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from bench import ceilings, command_line, common, external, peers
from bench.throughput_summary import ONE_CORE, draw, print_tables, summarize, summarize_ours
from fastw2v.io import machine

SOFTMAX_VOCABULARY = 10_000
SOFTMAX_WORDS = 300_000


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a repeat: `trainer` is its name in tables; `cores` what it is held to."""

    trainer: str
    settings: peers.Settings
    cores: int | None = None
    binary: Path | None = None


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.throughput", description="Words/s of fastw2v and its peers."
    )
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="text files or directory")
    parser.add_argument("--types", nargs="+", choices=peers.TYPES["fastw2v"],
                        default=["sgram_neg", "cbow_neg"])  # fmt: skip
    parser.add_argument("--trainers", nargs="+", choices=peers.TRAINERS, default=peers.TRAINERS)
    external.add_arguments(parser)
    parser.add_argument(
        "--dims", nargs="+", type=command_line.count, help="default: 300 100; 100 with --quick"
    )
    parser.add_argument("--repeats", type=command_line.count, help="default: 3; 1 with --quick")
    parser.add_argument("--epochs", type=command_line.count, default=1)
    parser.add_argument("--threads", type=command_line.count, default=machine.usable_cores())
    parser.add_argument("--min-count", type=command_line.count, default=5)
    parser.add_argument("--ours", nargs="+", default=[], metavar="NAME=VALUE",
                        help="further options of fastw2v")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one shard, dim 100, 1 repeat")
    parser.add_argument("--output", type=Path, help="result file (.json); a .png lies beside it")
    chosen = parser.parse_args(arguments)
    command_line.set_defaults(chosen, "throughput", dims=([100], [300, 100]), repeats=(1, 3))
    return chosen


def planned_runs(chosen: argparse.Namespace) -> list[PlannedRun]:
    """One repeat: every dimension, type and trainer that has the type."""
    ours = command_line.parse_options(chosen.ours)
    runs = []
    for dim in chosen.dims:
        for model_type in chosen.types:
            values: dict[str, Any] = {"dim": dim, "epochs": chosen.epochs}
            for trainer in chosen.trainers:
                if model_type not in peers.TYPES[trainer]:
                    continue
                negative = model_type.endswith("_neg")
                extra = ours if negative else {"max_words": SOFTMAX_WORDS} | ours
                settings = peers.settings_for(
                    trainer, model_type, threads=chosen.threads, ours=extra, **values
                )
                runs.append(PlannedRun(trainer, settings))
                if trainer == "fastw2v" and negative and chosen.threads > 1:
                    alone = dataclasses.replace(settings, threads=1)
                    runs.append(PlannedRun(ONE_CORE, alone, cores=1))
            for trainer, types in external.TYPES.items():
                binary = getattr(chosen, trainer)
                if binary and model_type in types:
                    settings = peers.settings_for(
                        trainer, model_type, threads=chosen.threads, **values
                    )
                    runs.append(PlannedRun(trainer, settings, binary=binary))
    return runs


def in_order_of(plan: list[PlannedRun], repeat: int) -> list[PlannedRun]:
    """The plan with the trainers of each dimension and type turned round, a place a repeat.

    What comes after a trainer that heats the machine, or always last, would pay for its place.
    """
    groups: dict[tuple[int, str], list[PlannedRun]] = {}
    for run in plan:
        groups.setdefault((run.settings.dim, run.settings.type), []).append(run)
    turned = []
    for group in groups.values():
        first = (repeat - 1) % len(group)
        turned += group[first:] + group[:first]
    return turned


def corpora_for(runs: list[PlannedRun], chosen: argparse.Namespace) -> dict[str, common.Corpus]:
    """The corpus of each type: the whole vocabulary, or the one that a full softmax can carry."""
    shards = common.find_text(chosen.text)[: 1 if chosen.quick else None]
    corpora: dict[str, common.Corpus] = {}
    for model_type in {run.settings.type for run in runs}:
        limit: dict[str, Any] = {}
        if not model_type.endswith("_neg"):
            limit = {"max_vocab": SOFTMAX_VOCABULARY}
        corpora[model_type] = common.prepare_corpus(shards, min_count=chosen.min_count, **limit)
    return corpora


def stream_statistics(
    runs: list[PlannedRun], corpora: dict[str, common.Corpus]
) -> dict[str, dict[str, float]]:
    """Share of words kept and mean number of contexts, by type, of fastw2v's first epoch."""
    statistics = {}
    ours = [run.settings for run in runs if run.settings.trainer == "fastw2v"]
    for model_type in {settings.type for settings in ours if settings.type.endswith("_neg")}:
        settings = next(each for each in ours if each.type == model_type)
        options: dict[str, Any] = {
            "type": model_type, "window": 2 * settings.reach + 1,
            "subsample": settings.subsample, "seed": settings.seed,
        }  # fmt: skip
        store = corpora[model_type].store
        statistics[model_type] = ceilings.stream_statistics(store, **options | settings.ours)
    return statistics


def perform(run: PlannedRun, corpus: common.Corpus) -> dict[str, Any]:
    """Train once; the run's record for the result file."""
    with common.held_to(run.cores) as held:
        if run.binary:
            outcome = external.run(run.settings, corpus, run.binary)
        else:
            outcome = peers.run(run.settings, corpus)
    settings = dataclasses.asdict(run.settings)
    return {"trainer": run.trainer, "settings": settings, "held_to_cores": held, **outcome}


def fill_kernel_cache(plan: list[PlannedRun], corpora: dict[str, common.Corpus]) -> None:
    """A short run of each type, so that no timed run starts with a compilation."""
    for model_type in {run.settings.type for run in plan if run.settings.trainer == "fastw2v"}:
        settings = peers.settings_for("fastw2v", model_type, dim=16, ours={"max_words": 2000})
        peers.run(settings, corpora[model_type])


@command_line.in_one_line
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
        "streams": stream_statistics(plan, corpora),
        "ceilings": [],
        "runs": [],
    }
    fill_kernel_cache(plan, corpora)
    for repeat in range(1, chosen.repeats + 1):
        found = ceilings.measure(bandwidth=False, quick=chosen.quick)
        result["ceilings"].append({"repeat": repeat, **found})
        print(ceilings.describe(found), flush=True)
        for run in in_order_of(plan, repeat):
            record = {"repeat": repeat, **perform(run, corpora[run.settings.type])}
            print(
                f"repeat {repeat} of {chosen.repeats}  {run.settings.type} dim {run.settings.dim}  "
                f"{run.trainer}: {record['words_per_second']:,.0f} words/s in "
                f"{record['seconds']:.1f} s",
                flush=True,
            )
            result["runs"].append(record)
            result["summary"] = summarize(result["runs"])
            result["ours"] = summarize_ours(result)
            common.write_partial(chosen.output, result)
    common.write_result(chosen.output, result)
    print_tables(result)
    picture = chosen.output.with_suffix(".png")
    cores, model = chosen.threads, result["machine"]["cpu"]["model"]
    draw(result["summary"], f"Training speed, {cores} threads, {model}", picture)
    print(f"\nwritten: {chosen.output} and {picture.name}")


if __name__ == "__main__":
    main()
