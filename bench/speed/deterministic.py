"""What `--deterministic` costs: words/s and held-out loss beside Hogwild's.

    python -m bench.speed.deterministic          both _neg types, dims 300 and 100, 1 thread and all
    python -m bench.speed.deterministic --quick  one shard, dim 100, 1 epoch, 1 repeat
    python -m bench.speed.deterministic --add    further repeats, to those that the result file has

Every run is a process of its own with fastw2v's defaults, held to as many cores as it has threads,
and without saves between the first and the last. The repeats are interleaved, the two methods of a
cell next to each other and in turn first; medians, and the median of the ratios of neighbors. The
held-out loss is that of the run's own --holdout, on sequences that both leave out. All
deterministic runs of a type, dimension and seed must end with the same bytes, at any number of
threads: one that does not is an error.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench.lib import command_line, common, host, results
from bench.lib.tables import print_tables
from bench.report import tables
from fastw2v.io import machine

METHODS = ("hogwild", "deterministic")
TYPES = ("sgram_neg", "cbow_neg")
CELL = ("type", "dim", "threads")


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.speed.deterministic", "deterministic", "The price of deterministic training.",
        quick="one shard, dim 100, 1 repeat",
        dims=([100], [300, 100], command_line.count), epochs=(1, 2, command_line.count),
        repeats=(1, 5, command_line.count),
    )  # fmt: skip
    parser.add_argument("--types", nargs="+", choices=TYPES, default=list(TYPES))
    parser.add_argument("--threads", nargs="+", type=command_line.count,
                        default=sorted({1, machine.usable_cores()}))  # fmt: skip
    parser.add_argument("--min-count", type=command_line.count, default=5)
    parser.add_argument("--add", action="store_true", help="keep the output file's repeats")
    chosen = parser.parse(arguments)
    command_line.check_threads(max(chosen.threads))
    return chosen


# --- in the process that trains ---


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Train `request["store"]` with `request["options"]`: speed, losses, checksums of the bytes."""
    import fastw2v
    from fastw2v.io import model_directory

    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-") as scratch:
        path = Path(scratch) / "model"
        model = fastw2v.train(request["store"], path, **request["options"])
        checksums = model_directory.open_model(path).state["sha256"]
    last = model.history[-1]
    return {
        "words": int(model.words_done),
        "seconds": float(model.training_seconds),
        "words_per_second": model.words_done / model.training_seconds,
        "compile_seconds": model.compile_seconds,
        "block_size": model.config["block_size"],
        "loss": last["loss"],
        "holdout_loss": last["holdout_loss"],
        "holdout_low": last["holdout_low"],
        "holdout_high": last["holdout_high"],
        "bytes": [checksums[name] for name in ("input_vectors.npy", "output_vectors.npy")],
        "thread_layer": host.thread_layer(),
    }


# --- in the process that asks ---


def options_for(cell: dict[str, Any], method: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """The options of a run."""
    return {
        "type": cell["type"],
        "vector_dim": cell["dim"],
        "threads": cell["threads"],
        "epochs": chosen.epochs,
        "save_interval": 1e9,
        "checkpoint_epochs": 0,
        "deterministic": method == "deterministic",
        **command_line.parse_options(chosen.ours),
    }


def perform(
    cell: dict[str, Any], method: str, store: Path, chosen: argparse.Namespace
) -> dict[str, Any]:
    """One run's record for the result file."""
    options = options_for(cell, method, chosen)
    with host.held_to(cell["threads"]) as held:
        found = common.in_own_process(
            "bench.speed.deterministic:measure", {"store": str(store), "options": options}
        )
    return {**cell, "method": method, "options": options, "held_to_cores": held, **found}


def check_bytes(runs: list[dict[str, Any]]) -> None:
    """Refuse deterministic runs that differ.

    Raises:
        RuntimeError: two ended with other bytes.
    """
    seen: dict[str, tuple[Any, dict[str, Any]]] = {}
    for run in runs:
        if run["method"] != "deterministic":
            continue
        same = {name: run["options"][name] for name in run["options"] if name != "threads"}
        found, first = seen.setdefault(json.dumps(same, sort_keys=True), (run["bytes"], run))
        if found != run["bytes"]:
            raise RuntimeError(
                f"{run['type']} dim {run['dim']}: {run['threads']} threads ended with other bytes "
                f"than {first['threads']}"
            )


def summarize(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a cell: medians of both methods, `ratio` of neighbors (median, least, most)."""
    cells: dict[tuple[Any, ...], dict[int, dict[str, dict[str, Any]]]] = {}
    for run in runs:
        repeats = cells.setdefault(tuple(run[name] for name in CELL), {})
        repeats.setdefault(run["repeat"], {})[run["method"]] = run
    rows = []
    for key, repeats in cells.items():
        pairs = [pair for pair in repeats.values() if len(pair) == len(METHODS)]
        if not pairs:
            continue
        row: dict[str, Any] = {**dict(zip(CELL, key, strict=True)), "repeats": len(pairs)}
        for method in METHODS:
            found = [pair[method] for pair in pairs]
            row[method] = {
                "words_per_second": statistics.median(run["words_per_second"] for run in found),
                "holdout_loss": statistics.mean(run["holdout_loss"] for run in found),
                "half_interval": (found[0]["holdout_high"] - found[0]["holdout_low"]) / 2,
            }
        ratios = [
            pair["deterministic"]["words_per_second"] / pair["hogwild"]["words_per_second"]
            for pair in pairs
        ]
        row["ratio"] = [statistics.median(ratios), min(ratios), max(ratios)]
        rows.append(row)
    return rows


def _kept_result(chosen: argparse.Namespace) -> dict[str, Any] | None:
    """The result file that repeats are to be added to."""
    found = results.read_results(chosen.output) if chosen.add else []
    return found[-1] if found else None


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    shards = common.find_text(chosen.text)[: 1 if chosen.quick else None]
    corpus = common.prepare_corpus(shards, with_text=False, min_count=chosen.min_count)
    result: dict[str, Any] = _kept_result(chosen) or {"benchmark": "deterministic", "runs": []}
    result |= {"machine": host.describe_machine(), "corpus": corpus.describe()}
    cells = [
        {"type": model_type, "dim": dim, "threads": threads}
        for dim in chosen.dims
        for model_type in chosen.types
        for threads in chosen.threads
    ]
    for method in METHODS:  # so that no timed run compiles
        options = options_for(cells[-1], method, chosen) | {"max_words": 2000}
        common.in_own_process(
            "bench.speed.deterministic:measure", {"store": str(corpus.store), "options": options}
        )
    done = max((run["repeat"] for run in result["runs"]), default=0)
    for repeat in range(done + 1, done + chosen.repeats + 1):
        for cell in cells:
            for method in METHODS if repeat % 2 else METHODS[::-1]:
                run = {"repeat": repeat, **perform(cell, method, corpus.store, chosen)}
                print(
                    f"repeat {repeat}  {run['type']} dim {run['dim']}  {run['threads']} threads  "
                    f"{method}: {run['words_per_second']:,.0f} words/s in {run['seconds']:.1f} s",
                    flush=True,
                )
                result["runs"].append(run)
            check_bytes(result["runs"])
            result["rows"] = summarize(result["runs"])
            results.write_partial(chosen.output, result)
    print_tables(tables.deterministic(result))
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
