"""Where quality breaks: fastw2v over block sizes T and pool sizes N.

    python -m bench.quality.sweep             all three models, dim 300, 5 epochs, for a quarter of
                                              an hour on two cores
    python -m bench.quality.sweep --quick     one shard, dim 100, 1 epoch, 3 x 2 cells
    python -m bench.quality.sweep --types cbow_neg --blocks 8 16 32 64 --pools 8 16 32 --seeds 1 2
    python -m bench.quality.sweep --only-new  keeps the cells that the file has

Every cell is trained and scored as in `bench.quality.quality` (models, corpus, held-out loss,
--only-new and partial results: see there), and a run that diverges is kept as such.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from typing import Any

from bench.lib import command_line, identity, results, scoring, split
from bench.lib.tables import print_tables
from bench.peers import trainers
from bench.quality import quality
from bench.report import tables

# T and N by model: around the defaults, and to where quality breaks.
_GRIDS = {
    "sgram_neg": ((16, 32, 48, 64, 128), (8, 16, 24, 32)),
    "cbow_neg": ((8, 16, 32, 64), (8, 16, 24)),
    "cbow_neg_mean": ((8, 16, 32, 64), (8, 16, 24)),
}
_QUICK_GRID = ((1, 32, 256), (8, 32))


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.quality.sweep", "sweep", "Quality and speed over block and pool sizes.",
        quick="a look, in minutes", shards=(1, None, command_line.count),
        dims=([100], [300], command_line.count), epochs=([1], [5], command_line.count),
    )  # fmt: skip
    quality.add_corpus_options(parser)
    parser.add_argument("--types", nargs="+", choices=quality.MODELS, default=quality.MODELS)
    parser.add_argument("--blocks", type=command_line.count, nargs="+", help="T; default: by type")
    parser.add_argument("--pools", type=command_line.count, nargs="+", help="N; default: by type")
    parser.add_argument("--seeds", type=command_line.seed, nargs="+", default=[1])
    parser.add_argument("--alpha", type=command_line.amount, help="default: by type")
    return parser.parse(arguments)


def grid_of(chosen: argparse.Namespace, model: str) -> list[tuple[int, int]]:
    """(T, N) of the cells of a model."""
    blocks, pools = _QUICK_GRID if chosen.quick else _GRIDS[model]
    blocks = blocks if chosen.blocks is None else tuple(chosen.blocks)
    pools = pools if chosen.pools is None else tuple(chosen.pools)
    return [(block_size, pool_size) for pool_size in pools for block_size in blocks]


def planned_runs(chosen: argparse.Namespace) -> list[trainers.Settings]:
    """Seeds outermost: a first picture of all cells comes first."""
    ours = command_line.parse_options(chosen.ours)
    return [
        quality.settings_of(
            "fastw2v", model, {**ours, "block_size": block_size, "pool_size": pool_size},
            dim=dim, epochs=epochs, seed=seed, threads=chosen.threads, alpha=chosen.alpha,
        )
        for seed in chosen.seeds
        for dim in chosen.dims
        for epochs in chosen.epochs
        for model in chosen.types
        for block_size, pool_size in grid_of(chosen, model)
    ]  # fmt: skip


def train_cell(
    settings: trainers.Settings, data: split.Split, benchmarks: dict[str, Any]
) -> dict[str, Any]:
    """A run without its answers, or what is known of one that diverged."""
    try:
        run = quality.train_and_score(settings, data, benchmarks)
    except RuntimeError as error:
        told = [line for line in str(error).splitlines() if "training diverged" in line]
        if not told:
            raise
        known = {**identity.identity_of(dataclasses.asdict(settings), data), **identity.origin()}
        return {**known, "diverged": told[-1].partition("training diverged")[2].strip()}
    for score in run["scores"].values():
        del score["answers"]
    run["holdout"] = {name: run["holdout"][name] for name in ("loss", "low", "high")}
    return run


def summarize(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each cell: means over the seeds that did not diverge, None where all did.

    Raises:
        UsageError: the runs of a cell differ in more than their seeds.
    """
    cells: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for run in runs:
        ours = run["settings"]["ours"]
        key = (scoring.group_of(run), ours["pool_size"], ours["block_size"])
        cells.setdefault(key, []).append(run)
    rows = []
    for group, pool_size, block_size in sorted(cells):
        found = cells[group, pool_size, block_size]
        settings = scoring.settings_of(found)
        good = [run for run in found if "diverged" not in run]
        scores: dict[str, Any] = {
            test: _mean([run["scores"][test]["score"] for run in good]) for test in scoring.TESTS
        }
        rows.append(
            {
                **group._asdict(),
                "block_size": block_size,
                "pool_size": pool_size,
                "settings": settings,
                "seeds": len(found),
                "diverged": len(found) - len(good),
                "scores": scores,
                "mean": _mean(list(scores.values())) if good else None,
                "holdout": _mean([run["holdout"]["loss"] for run in good]),
                "words_per_second": _mean([run["words_per_second"] for run in good]),
            }
        )
    return rows


def _mean(values: list[float]) -> float | None:
    return statistics.mean(values) if values else None


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    plan = planned_runs(chosen)
    benchmarks = scoring.read_benchmarks()
    data = quality.prepare_split(chosen)
    result = quality.new_result("sweep", data)
    missing = quality.missing_runs(result, plan, data, chosen)
    began = time.monotonic()
    for number, settings in enumerate(missing, start=1):
        run = train_cell(settings, data, benchmarks)
        result["runs"].append(run)
        results.write_partial(chosen.output, result)
        told = "diverged" if "diverged" in run else quality.describe_run(run)
        print(
            f"[{number}/{len(missing)}, {(time.monotonic() - began) / 60:.0f} min] "
            f"{scoring.model_of(run['settings'])} dim {settings.dim}, {settings.epochs} epochs, "
            f"seed {settings.seed}, T {settings.ours['block_size']} "
            f"N {settings.ours['pool_size']}: {told}",
            flush=True,
        )
    runs = identity.planned(result["runs"], map(dataclasses.asdict, plan))
    result["summary"] = summarize(runs)
    result["shown"] = identity.origins_of(runs)
    print_tables(tables.sweep(result))
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
