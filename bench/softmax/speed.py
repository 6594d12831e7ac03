"""The full softmax: fastw2v's training speed against sgemm, PyTorch, NumPy and fastText.

    python -m bench.softmax.speed                        V = 10,000, 25,000 and 47,000, 3 repeats
    python -m bench.softmax.speed --quick                one shard, V = 2,000, short: a look, no
                                                         figure
    python -m bench.softmax.speed --torch-python PYTHON  PyTorch from another interpreter's packages

The setting: dim 300, batches of 512, windows of 7 (fixed), no subsampling, constant alpha: 0.005
for cbow and 0.03 for sgram. All trainers but fastText get the same batches and the
same first weights, their ids ready before the clock, and are checked against a twin in the process
that times them; on all cores.

fastw2v   cbow and sgram by `fastw2v.train`: `training_seconds`, reading the store included
torch     PyTorch on the CPU (bench/peers/torch_softmax.py); left out where there is none
numpy     float32, no one-hots (bench/peers/numpy_softmax.py)
dense     NumPy in float64 with one-hots, as textbooks have it (bench/peers/numpy_softmax.py)
fasttext  `-loss softmax`, stopped after a while (bench/peers/fasttext_softmax.py)

For each repeat and vocabulary the ceilings are measured (bench/speed/ceilings.py) and then every
trainer runs once, in another order each time. Medians and their ratios are what to quote. Flops:
6·V·D a softmax. PyTorch's interpreter is --torch-python, else what FASTW2V_TORCH_PYTHON names, else
this one; it needs PyTorch and NumPy, nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bench.lib import command_line, common, host, results
from bench.lib.tables import print_tables
from bench.peers import fasttext_softmax
from bench.report import tables
from bench.report.tables import SOFTMAX_SHOWN
from bench.softmax import ready_batches
from bench.speed import ceilings
from fastw2v.io import machine

TRAINERS = ("fastw2v", "torch", "numpy", "dense", "fasttext")
ALPHAS = {"cbow": 0.005, "sgram": 0.03}
WINDOW, BATCH_SIZE, MIN_COUNT, SEED = 7, 512, 2, 1
_MEASURES = {
    "torch": "bench.peers.torch_softmax:measure",
    "numpy": "bench.peers.numpy_softmax:measure",
    "dense": "bench.peers.numpy_softmax:measure",
}
_READY_BATCHES = 256  # ids made before the clock; who is faster begins with them again
_CALIBRATION_BATCHES = 24
# PyTorch and NumPy allocate V x B logits anew for each batch. By default glibc maps and unmaps them
# each time, which costs page faults; this keeps them, as PyTorch's tuning guide advises by way of
# other allocators.
_KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}


class PlannedRun(NamedTuple):
    """One run of a repeat at one vocabulary."""

    trainer: str
    type: str


@dataclasses.dataclass(frozen=True)
class Case:
    """All that the runs at one size of the vocabulary share.

    folder: `batches.npz`, `inputs.npy`, `outputs.npy`, for `numpy_softmax.measure_rung`.
    stream: `ready_batches.statistics`. max_words: of fastw2v, by type, for about `--seconds`.
    """

    corpus: common.Corpus
    folder: Path
    stream: dict[str, float]
    max_words: dict[str, int]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.softmax.speed", "softmax", "Speed of training with the full softmax.",
        quick="one shard, 2,000 words, short",
        vocabularies=([2000], [10_000, 25_000, 47_000], command_line.count),
        repeats=(1, 3, command_line.count),
        seconds=(1.0, 7.0, command_line.amount),  # about how long a run trains
        fasttext_seconds=(4.0, 30.0, command_line.amount),  # it counts slowly
    )  # fmt: skip
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=list(TRAINERS))
    parser.add_argument("--types", nargs="+", choices=list(ALPHAS), default=list(ALPHAS),
                        help="of fastw2v; the others have cbow alone")  # fmt: skip
    parser.add_argument("--torch-python", type=Path, metavar="PATH",
                        help="an interpreter that has PyTorch and NumPy")  # fmt: skip
    parser.add_argument("--dim", type=command_line.count, default=300)
    return parser.parse(arguments)


def torch_python(given: Path | None) -> tuple[str, str] | None:
    """(interpreter, version of PyTorch); None, after a line that says so, where there is none.

    Raises:
        SystemExit: the interpreter that was named has no PyTorch.
    """
    named = given or os.environ.get("FASTW2V_TORCH_PYTHON")
    python = str(named or sys.executable)
    try:
        run = subprocess.run(
            [python, "-c", "import numpy, torch; print(torch.__version__)"],
            capture_output=True, text=True,
        )  # fmt: skip
    except OSError as error:
        raise SystemExit(f"--torch-python {python}: {error.strerror}") from error
    if run.returncode == 0:
        return python, run.stdout.strip()
    reason = (run.stderr.strip().splitlines() or ["it failed"])[-1]
    if named:
        raise SystemExit(f"--torch-python {python}: cannot import numpy and torch ({reason})")
    print(
        f"PyTorch is left out: {reason}; name an interpreter that has it with --torch-python",
        flush=True,
    )
    return None


def planned_runs(chosen: argparse.Namespace, has_torch: bool) -> list[PlannedRun]:
    """One repeat at one vocabulary."""
    trainers = [name for name in chosen.trainers if name != "torch" or has_torch]
    if "fasttext" in trainers and importlib.util.find_spec("fasttext") is None:
        print("fastText is left out: it is not installed (the `bench` extra has it)", flush=True)
        trainers.remove("fasttext")
    return [
        PlannedRun(trainer, model_type)
        for trainer in trainers
        for model_type in (chosen.types if trainer == "fastw2v" else ["cbow"])
    ]


def options_of(model_type: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """fastw2v's options, without how many words it trains."""
    return {
        "type": model_type,
        "vector_dim": chosen.dim,
        "window": WINDOW,
        "window_sampling": "fixed",
        "subsample": 0.0,
        "batch_size": BATCH_SIZE,
        "alpha": ALPHAS[model_type],
        "min_alpha": ALPHAS[model_type],
        "threads": machine.usable_cores(),
        "seed": SEED,
        "save_interval": 1e9,
        "checkpoint_epochs": 0,
        **command_line.parse_options(chosen.ours),
    }


def prepare_case(vocabulary: int, folder: Path, chosen: argparse.Namespace) -> Case:
    """Store and text, batches and first weights, and how many words fastw2v shall train."""
    import numpy as np

    from fastw2v.training import steppers as steps
    from fastw2v.training.config import TrainConfig

    shards = common.find_text(chosen.text)[: 1 if chosen.quick else None]
    corpus = common.prepare_corpus(shards, min_count=MIN_COUNT, max_vocab=vocabulary)
    config = TrainConfig.create(**options_of("cbow", chosen))
    batches = ready_batches.from_store(corpus.store, config, _READY_BATCHES)
    folder.mkdir()
    ready_batches.save(folder / "batches.npz", batches)
    weights = steps.initial_weights(corpus.vocabulary, config)
    for name, matrix in zip(("inputs", "outputs"), weights, strict=True):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(matrix[:, : chosen.dim]))
    return Case(corpus, folder, ready_batches.statistics(batches), {})


def calibrate(case: Case, chosen: argparse.Namespace, plan: list[PlannedRun]) -> None:
    """Fill `max_words` from a short run of each of fastw2v's types, which also compiles."""
    for run in plan:
        if run.trainer == "fastw2v":
            case.max_words[run.type] = _CALIBRATION_BATCHES * BATCH_SIZE
            found = perform(run, case, chosen, None)
            batches = round(chosen.seconds * found["words_per_second"] / BATCH_SIZE)
            case.max_words[run.type] = max(_CALIBRATION_BATCHES, batches) * BATCH_SIZE


def perform(
    run: PlannedRun, case: Case, chosen: argparse.Namespace, torch: tuple[str, str] | None
) -> dict[str, Any]:
    """Check and train once; the run's record for the result file."""
    stream, threads = case.stream, machine.usable_cores()
    request: dict[str, Any] = {"trainer": run.trainer, "threads": threads}
    request |= {"alpha": ALPHAS[run.type], "seconds": chosen.seconds}
    if run.trainer == "fastw2v":
        options = options_of(run.type, chosen) | {"max_words": case.max_words[run.type]}
        options["epochs"] = -(-options["max_words"] // case.corpus.words)
        request = {"store": str(case.corpus.store), "options": options}
        outcome = common.in_own_process("bench.softmax.training:measure", request)
    elif run.trainer == "fasttext":
        outcome = fasttext_softmax.run(
            case.corpus.text, dim=chosen.dim, reach=WINDOW // 2, alpha=ALPHAS[run.type],
            threads=threads, seconds=chosen.fasttext_seconds,
        )  # fmt: skip
        stream = {"trained": 1.0}  # about: its `</s>` are contexts, too
    else:
        python = torch[0] if torch and run.trainer == "torch" else None
        outcome = common.in_own_process(
            _MEASURES[run.trainer], request | {"folder": str(case.folder)}, python=python,
            **_KEEP_MEMORY,
        )  # fmt: skip
    rate = outcome.get("words_per_second") or outcome["words"] / outcome["seconds"]
    V = case.corpus.vocabulary
    flops = flops_per_word(run.type, V, chosen.dim, stream)
    return {"trainer": run.trainer, "type": run.type, "vocabulary": V, "threads": threads,
            "flops_per_word": flops, **outcome, "words_per_second": rate}  # fmt: skip


def measure(
    chosen: argparse.Namespace,
    cases: list[Case],
    plan: list[PlannedRun],
    torch: tuple[str, str] | None,
    result: dict[str, Any],
) -> None:
    """All repeats, into `result`, which is kept as it grows."""
    for repeat, title in command_line.repeats(chosen.repeats):
        for number, case in enumerate(cases):
            V = case.corpus.vocabulary
            found = ceilings.measure(bandwidth=False, quick=chosen.quick)
            result["ceilings"].append({"repeat": repeat, "vocabulary": V, **found})
            print(ceilings.describe(found), flush=True)
            for run in command_line.turned(plan, (repeat - 1) + number):
                record = {"repeat": repeat, **perform(run, case, chosen, torch)}
                result["runs"].append(record)
                name = SOFTMAX_SHOWN[run.trainer, run.type]
                print(
                    f"{title}  {V:,} words  {name}: {record['words_per_second']:,.0f} words/s in "
                    f"{record['seconds']:.1f} s",
                    flush=True,
                )
                result["summary"] = summarize(result)
                results.write_partial(chosen.output, result)


def flops_per_word(model_type: str, vocabulary: int, dim: int, stream: dict[str, float]) -> float:
    """Flops that a word read counts for: 6·V·D a softmax, none for a word without context.

    CBOW has a softmax a center word, skip-gram one a distinct center word of the batch.
    """
    softmaxes = stream["trained"] * (stream["distinct"] if model_type == "sgram" else 1.0)
    return 6.0 * vocabulary * dim * softmaxes


def summarize(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each vocabulary, trainer and type, in that order: medians over the repeats.

    gflops: of the median; sgemm_share: of NumPy's sgemm as it comes, best_sgemm_share: with the
    fastest of OpenBLAS's kernels (`bench/speed/ceilings.py`), measured beside the runs of the same
    vocabulary. fastw2v_is_times: fastw2v's cbow as a multiple of it; None without one. buffers: the
    most of all repeats, None for the peers.
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
            }
        )  # fmt: skip
    order = list(SOFTMAX_SHOWN)
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


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    torch = torch_python(chosen.torch_python) if "torch" in chosen.trainers else None
    plan = planned_runs(chosen, has_torch=torch is not None)
    if not plan:
        sys.exit(
            f"python -m bench.softmax.speed: none of {', '.join(chosen.trainers)} can run here"
        )
    common.find_text(chosen.text)
    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-") as scratch:
        cases = [
            prepare_case(vocabulary, Path(scratch) / str(vocabulary), chosen)
            for vocabulary in sorted(set(chosen.vocabularies))
        ]
        for case in cases:
            calibrate(case, chosen, plan)
        result: dict[str, Any] = {
            "benchmark": "softmax",
            "machine": host.describe_machine(),
            "torch": torch[1] if torch else None,
            "settings": {
                "dim": chosen.dim, "window": WINDOW, "batch_size": BATCH_SIZE, "alphas": ALPHAS,
                "seed": SEED, "repeats": chosen.repeats, "seconds": chosen.seconds,
                "fasttext_seconds": chosen.fasttext_seconds, "ours": chosen.ours,
                "environment_of_torch_and_numpy": _KEEP_MEMORY,
            },
            "corpora": [case.corpus.describe() for case in cases],
            "streams": [case.stream for case in cases],
            "ceilings": [],
            "runs": [],
            "summary": [],
        }  # fmt: skip
        measure(chosen, cases, plan, torch, result)
    print_tables(tables.softmax(result))
    results.finish(chosen.output, result)


if __name__ == "__main__":
    main()
