"""Words/s of fastw2v and its peers, beside the machine's sgemm rate, in one run on one machine.

    python -m bench.speed.throughput                                               negative
                                                                                   sampling, dims
                                                                                   300 and 100, 3
                                                                                   repeats
    python -m bench.speed.throughput --quick                                       one shard, dim
                                                                                   100, 1 repeat: a
                                                                                   look, no figure
    python -m bench.speed.throughput --types sgram cbow                            the full softmax
                                                                                   (fastw2v alone)
    python -m bench.speed.throughput --ours block_size=128 pool_size=32 --trainers fastw2v
    python -m bench.speed.throughput --word2vec PATH --koan PATH --pword2vec PATH  your binaries

The repeats are interleaved (the ceilings and every trainer once, then all again, the trainers in
another order), so that a noisy minute hits all alike; medians and their ratios are what to quote.
fastw2v also runs with one thread in a process held to one core, where no helper thread gets a
second core. The full-softmax types train on the 10,000 most frequent words and for a part of an
epoch only: their cost is known to be proportional to the vocabulary. bench/peers/trainers.py and
bench/peers/compiled.py say what is timed, bench/speed/ceilings.py has the ceilings and the flops
of a token.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
from pathlib import Path
from typing import Any

from bench.lib import command_line, common, host, results
from bench.lib.tables import print_tables
from bench.peers import compiled, trainers
from bench.report import tables
from bench.report.tables import ONE_CORE
from bench.speed import ceilings
from fastw2v.io import machine

SOFTMAX_VOCABULARY = 10_000
SOFTMAX_WORDS = 300_000
_MAX_BEYOND = 500e6  # bytes beyond matrices and vocabulary that training may take


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a repeat: `trainer` is its name in tables; `cores` what it is held to."""

    trainer: str
    settings: trainers.Settings
    cores: int | None = None
    binary: Path | None = None


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.speed.throughput", "throughput", "Words/s of fastw2v and its peers.",
        quick="one shard, dim 100, 1 repeat",
        dims=([100], [300, 100], command_line.count), repeats=(1, 3, command_line.count),
    )  # fmt: skip
    parser.add_argument("--types", nargs="+", choices=trainers.TYPES["fastw2v"],
                        default=["sgram_neg", "cbow_neg"])  # fmt: skip
    parser.add_argument(
        "--trainers", nargs="+", choices=trainers.TRAINERS, default=trainers.TRAINERS
    )
    compiled.add_arguments(parser)
    parser.add_argument("--epochs", type=command_line.count, default=1)
    parser.add_argument("--threads", type=command_line.count, default=machine.usable_cores())
    parser.add_argument("--min-count", type=command_line.count, default=5)
    return parser.parse(arguments)


def planned_runs(chosen: argparse.Namespace) -> list[PlannedRun]:
    """One repeat: every dimension, type and trainer that has the type."""
    ours = command_line.parse_options(chosen.ours)
    runs = []
    for dim in chosen.dims:
        for model_type in chosen.types:
            values: dict[str, Any] = {"dim": dim, "epochs": chosen.epochs}
            for trainer in chosen.trainers:
                if model_type not in trainers.TYPES[trainer]:
                    continue
                negative = model_type.endswith("_neg")
                extra = ours if negative else {"max_words": SOFTMAX_WORDS} | ours
                settings = trainers.settings_for(
                    trainer, model_type, threads=chosen.threads, ours=extra, **values
                )
                runs.append(PlannedRun(trainer, settings))
                if trainer == "fastw2v" and negative and chosen.threads > 1:
                    alone = dataclasses.replace(settings, threads=1)
                    runs.append(PlannedRun(ONE_CORE, alone, cores=1))
            for trainer, types in compiled.TYPES.items():
                binary = getattr(chosen, trainer)
                if binary and model_type in types:
                    settings = trainers.settings_for(
                        trainer, model_type, threads=chosen.threads, **values
                    )
                    runs.append(PlannedRun(trainer, settings, binary=binary))
    return runs


def in_order_of(plan: list[PlannedRun], repeat: int) -> list[PlannedRun]:
    """The plan with the trainers of each dimension and type turned round, a place per repeat."""
    groups: dict[tuple[int, str], list[PlannedRun]] = {}
    for run in plan:
        groups.setdefault((run.settings.dim, run.settings.type), []).append(run)
    return [run for group in groups.values() for run in command_line.turned(group, repeat - 1)]


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
    with host.held_to(run.cores) as held:
        if run.binary:
            outcome = compiled.run(run.settings, corpus, run.binary)
        else:
            outcome = trainers.run(run.settings, corpus)
    settings = dataclasses.asdict(run.settings)
    return {"trainer": run.trainer, "settings": settings, "held_to_cores": held, **outcome}


def fill_kernel_cache(plan: list[PlannedRun], corpora: dict[str, common.Corpus]) -> None:
    """A short run of each type, so that no timed run starts with a compilation."""
    for model_type in {run.settings.type for run in plan if run.settings.trainer == "fastw2v"}:
        settings = trainers.settings_for("fastw2v", model_type, dim=16, ours={"max_words": 2000})
        trainers.run(settings, corpora[model_type])


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
    faster BLAS kernels (`ceilings`), medians over the repeats. beyond, startup_seconds: the
    largest of all repeats.
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


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    plan = planned_runs(chosen)
    if not plan:
        sys.exit(f"none of {', '.join(chosen.trainers)} has {', '.join(chosen.types)}")
    corpora = corpora_for(plan, chosen)
    result: dict[str, Any] = {
        "benchmark": "throughput",
        "machine": host.describe_machine(),
        "corpora": {name: corpus.describe() for name, corpus in corpora.items()},
        "streams": stream_statistics(plan, corpora),
        "ceilings": [],
        "runs": [],
    }
    fill_kernel_cache(plan, corpora)
    for repeat, title in command_line.repeats(chosen.repeats):
        found = ceilings.measure(bandwidth=False, quick=chosen.quick)
        result["ceilings"].append({"repeat": repeat, **found})
        print(ceilings.describe(found), flush=True)
        for run in in_order_of(plan, repeat):
            record = {"repeat": repeat, **perform(run, corpora[run.settings.type])}
            print(
                f"{title}  {run.settings.type} dim {run.settings.dim}  {run.trainer}: "
                f"{record['words_per_second']:,.0f} words/s in {record['seconds']:.1f} s",
                flush=True,
            )
            result["runs"].append(record)
            result["summary"] = summarize(result["runs"])
            result["ours"] = summarize_ours(result)
            results.write_partial(chosen.output, result)
    print_tables(tables.throughput(result))
    for row in result["ours"]:
        if (row.get("beyond") or 0) > _MAX_BEYOND:
            print(f"warning: {row['beyond'] / 1e6:.0f} MB beyond matrices and vocabulary")
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
