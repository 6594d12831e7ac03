"""The ladder of negative-sampling kernels on one stream, beside the machine's ceilings.

    python -m bench.kernels              both types, dims 300 and 100, one core and all
    python -m bench.kernels --quick      dim 100, skip-gram, short
    python -m bench.kernels --synthetic  a Zipf stream in place of the corpus

reference       word2vec.c's updates in NumPy, pair by pair, on a small part; one core only
classic         the same compiled by Numba (bench/rungs.py)
window_shared   pWord2Vec's: K draws a window
block           the kernel that trains

Every rung passes bench/validation.py before it is timed, in the process that times it. Input: the
first row group of the first epoch, as training makes it; if there is no corpus, a Zipf stream. A
burn-in before the clock, the rungs interleaved, medians of the repeats. One core: one thread in a
process that is held to that core.

bench/ladder.py has the formulae of the flops and bytes that a kept token counts for.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from bench import ceilings, command_line, common
from bench.ladder import RUNGS, bytes_of, flops_of
from fastw2v.io import machine, storage


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.kernels", description="The ladder of kernels, and the ceilings."
    )
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="text files or directory")
    parser.add_argument("--synthetic", action="store_true", help="a Zipf stream, no text")
    parser.add_argument("--types", nargs="+", choices=("sgram_neg", "cbow_neg"))
    parser.add_argument("--dims", nargs="+", type=command_line.count)
    parser.add_argument("--rungs", nargs="+", choices=RUNGS, default=RUNGS)
    parser.add_argument(
        "--threads", nargs="+", type=command_line.count, help="default: 1 and all cores"
    )
    parser.add_argument("--repeats", type=command_line.count)
    parser.add_argument(
        "--seconds", type=command_line.amount, help="about how long a timed call takes"
    )
    parser.add_argument("--ours", nargs="+", default=[], metavar="NAME=VALUE",
                        help="further options of fastw2v, as in block_size=64")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="skip-gram, dim 100, short")
    parser.add_argument("--output", type=Path, help="result file (.json); a .png lies beside it")
    chosen = parser.parse_args(arguments)
    command_line.set_defaults(
        chosen,
        "kernels",
        types=(["sgram_neg"], ["sgram_neg", "cbow_neg"]),
        dims=([100], [300, 100]),
        threads=(sorted({1, machine.usable_cores()}),) * 2,
        repeats=(3, 7),
        seconds=(0.1, 0.5),
    )
    return chosen


def rows_of(request: dict[str, Any], found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a rung for the result file."""
    rows = []
    skip_gram = request["type"].startswith("sgram")
    for name, repeats in found["rates"].items():
        rate = statistics.median(repeats)
        flops = flops_of(name, skip_gram, request["dim"], found["terms"])
        moved = bytes_of(name, skip_gram, request["dim"], found["terms"])
        rows.append(
            {
                "type": request["type"],
                "dim": request["dim"],
                "threads": request["threads"],
                "rung": name,
                "kept_tokens_per_second": rate,
                "words_per_second": rate * found["terms"]["words"] / found["terms"]["kept_tokens"],
                "flops_per_token": flops,
                "bytes_a_token": moved,
                "gflops": rate * flops / 1e9,
                "gb_per_second": rate * moved / 1e9,
                "repeats": repeats,
                "terms": found["terms"],
                "thread_layer": found["thread_layer"],
            }
        )
    return rows


def print_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(
            f"{row['type']:<10} dim {row['dim']:<4} {row['threads']} threads  {row['rung']:<14}"
            f"{row['kept_tokens_per_second']:>12,.0f} kept tokens/s  {row['gflops']:>7.1f} GFLOP/s"
            f"  {row['gb_per_second']:>6.1f} GB/s",
            flush=True,
        )


def draw(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Kept tokens/s of the rungs, logarithmic, a panel for each type and dim."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((row["type"], row["dim"]) for row in rows))
    figure = Figure(figsize=(1 + 3.4 * len(panels), 3.8), layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    rungs = [rung for rung in RUNGS if any(row["rung"] == rung for row in rows)]
    threads = sorted({row["threads"] for row in rows})
    for axes, panel in zip(grid, panels, strict=True):
        for place, count in enumerate(threads):
            here = [row for row in rows if (row["type"], row["dim"]) == panel]
            here = [row for row in here if row["threads"] == count]
            bars = axes.bar(
                [rungs.index(row["rung"]) + 0.42 * place for row in here],
                [row["kept_tokens_per_second"] for row in here],
                0.4,
                label=f"{count} thread" + "s" * (count > 1),
            )
            axes.bar_label(bars, [f"{row['gflops']:.3g}" for row in here], fontsize=7)
        axes.set_xticks([i + 0.21 for i in range(len(rungs))], rungs, rotation=30, fontsize=8)
        axes.set_yscale("log")
        axes.set_title(f"{panel[0]}, dim {panel[1]}", fontsize=9)
    grid[0].set_ylabel("kept tokens/s (labels: GFLOP/s)")
    grid[-1].legend(fontsize=8)
    figure.suptitle(title, fontsize=10)
    with storage.atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _requests(chosen: argparse.Namespace, store: str | None) -> list[dict[str, Any]]:
    return [
        {
            "type": model_type, "dim": dim, "threads": threads, "store": store,
            "rungs": [name for name in chosen.rungs if name != "reference" or threads == 1],
            "repeats": chosen.repeats, "seconds": chosen.seconds,
            "ours": command_line.parse_options(chosen.ours),
        }
        for model_type in chosen.types
        for dim in chosen.dims
        for threads in chosen.threads
    ]  # fmt: skip


def _store_of(chosen: argparse.Namespace) -> common.Corpus | None:
    if chosen.synthetic:
        return None
    try:
        shards = common.find_text(chosen.text)
    except SystemExit:
        if chosen.text:
            raise
        print("no corpus: timing on a synthetic Zipf stream", flush=True)
        return None
    shards = shards[: 1 if chosen.quick else None]
    return common.prepare_corpus(shards, with_text=False, min_count=5)


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    command_line.check_threads(max(chosen.threads))
    corpus = _store_of(chosen)
    result: dict[str, Any] = {
        "benchmark": "kernels",
        "machine": common.describe_machine(),
        "corpus": corpus.describe() if corpus else "synthetic Zipf stream",
        "settings": {"repeats": chosen.repeats, "seconds": chosen.seconds, "ours": chosen.ours},
        "ceilings": ceilings.measure(quick=chosen.quick),
        "rows": [],
    }
    print(ceilings.describe(result["ceilings"]), flush=True)
    for request in _requests(chosen, str(corpus.store) if corpus else None):
        with common.held_to(request["threads"]):
            found = common.in_own_process("bench.ladder", request)
        rows = rows_of(request, found)
        print_rows(rows)
        result["rows"] += rows
        common.write_partial(chosen.output, result)
    common.write_result(chosen.output, result)
    picture = chosen.output.with_suffix(".png")
    draw(result["rows"], f"The ladder, {result['machine']['cpu']['model']}", picture)
    print(f"\nwritten: {chosen.output} and {picture.name}")


if __name__ == "__main__":
    main()
