"""The full softmax: fastw2v's training speed against sgemm, PyTorch, NumPy and fastText.

    python -m bench.softmax                        V = 10,000, 25,000 and 47,000, 3 repeats
    python -m bench.softmax --quick                one shard, V = 2,000, short: a look, no figure
    python -m bench.softmax --torch-python PYTHON  PyTorch from another interpreter's packages

The setting: dim 300, batches of 512, windows of 7 (fixed), no subsampling, alpha
0.005 for cbow and 0.03 for sgram, constant. All trainers but fastText get the same batches and the
same first weights, their ids ready before the clock, and are checked against a twin in the process
that times them; on all cores.

fastw2v   cbow and sgram by `fastw2v.train`: `training_seconds`, reading the store included
torch     PyTorch on the CPU (bench/torch_rung.py); left out where there is none
numpy     float32, no one-hots (bench/softmax_numpy.py)
dense     NumPy in float64 with one-hots, as textbooks have it (bench/softmax_numpy.py)
fasttext  `-loss softmax`, stopped after a while (bench/softmax_fasttext.py)

For each repeat and vocabulary the ceilings are measured (bench/ceilings.py) and then every trainer
runs once, in another order each time. Medians and their ratios are what to quote. Flops: 6·V·D a
softmax. PyTorch's interpreter is --torch-python, else what FASTW2V_TORCH_PYTHON names, else this
one; it needs PyTorch and NumPy, nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bench import ceilings, command_line, common, softmax_batches, softmax_fasttext
from bench.softmax_summary import SHOWN, draw, flops_per_word, print_table, summarize
from fastw2v.io import machine

TRAINERS = ("fastw2v", "torch", "numpy", "dense", "fasttext")
ALPHAS = {"cbow": 0.005, "sgram": 0.03}
WINDOW, BATCH_SIZE, MIN_COUNT, SEED = 7, 512, 2, 1
_MODULES = {
    "torch": "bench.torch_rung",
    "numpy": "bench.softmax_numpy",
    "dense": "bench.softmax_numpy",
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

    folder: `batches.npz`, `inputs.npy`, `outputs.npy`, for `softmax_rung.measure`.
    stream: `softmax_batches.statistics`. max_words: of fastw2v, by type, for about `--seconds`.
    """

    corpus: common.Corpus
    folder: Path
    stream: dict[str, float]
    max_words: dict[str, int]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.softmax", description="Speed of training with the full softmax."
    )
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="text files or directory")
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=list(TRAINERS))
    parser.add_argument("--types", nargs="+", choices=list(ALPHAS), default=list(ALPHAS),
                        help="of fastw2v; the others have cbow alone")  # fmt: skip
    parser.add_argument("--torch-python", type=Path, metavar="PATH",
                        help="an interpreter that has PyTorch and NumPy")  # fmt: skip
    parser.add_argument("--vocabularies", nargs="+", type=command_line.count, metavar="V",
                        help="default: 10000 25000 47000; 2000 with --quick")  # fmt: skip
    parser.add_argument("--dim", type=command_line.count, default=300)
    parser.add_argument("--repeats", type=command_line.count, help="default: 3; 1 with --quick")
    parser.add_argument("--seconds", type=command_line.amount, help="about how long a run trains")
    parser.add_argument("--fasttext-seconds", type=command_line.amount,
                        help="how long fastText trains: it counts slowly")  # fmt: skip
    parser.add_argument("--ours", nargs="+", default=[], metavar="NAME=VALUE",
                        help="further options of fastw2v")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one shard, V = 2,000, short")
    parser.add_argument("--output", type=Path, help="result file (.json); a .png lies beside it")
    chosen = parser.parse_args(arguments)
    command_line.set_defaults(
        chosen,
        "softmax",
        vocabularies=([2000], [10_000, 25_000, 47_000]),
        repeats=(1, 3),
        seconds=(1.0, 7.0),
        fasttext_seconds=(4.0, 30.0),
    )
    return chosen


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


def in_order_of(plan: list[PlannedRun], turn: int) -> list[PlannedRun]:
    """The plan turned round by `turn` places, so that nobody always comes after the same."""
    first = turn % len(plan)
    return plan[first:] + plan[:first]


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
    batches = softmax_batches.from_store(corpus.store, config, _READY_BATCHES)
    folder.mkdir()
    softmax_batches.save(folder / "batches.npz", batches)
    weights = steps.initial_weights(corpus.vocabulary, config)
    for name, matrix in zip(("inputs", "outputs"), weights, strict=True):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(matrix[:, : chosen.dim]))
    return Case(corpus, folder, softmax_batches.statistics(batches), {})


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
        outcome = common.in_own_process("bench.softmax_fastw2v", request)
    elif run.trainer == "fasttext":
        outcome = softmax_fasttext.run(
            case.corpus.text, dim=chosen.dim, reach=WINDOW // 2, alpha=ALPHAS[run.type],
            threads=threads, seconds=chosen.fasttext_seconds,
        )  # fmt: skip
        stream = {"trained": 1.0}  # about: its `</s>` are contexts, too
    else:
        python = torch[0] if torch and run.trainer == "torch" else None
        outcome = common.in_own_process(
            _MODULES[run.trainer], request | {"folder": str(case.folder)}, python=python,
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
    for repeat in range(1, chosen.repeats + 1):
        for number, case in enumerate(cases):
            V = case.corpus.vocabulary
            found = ceilings.measure(bandwidth=False, quick=chosen.quick)
            result["ceilings"].append({"repeat": repeat, "vocabulary": V, **found})
            print(ceilings.describe(found), flush=True)
            for run in in_order_of(plan, (repeat - 1) + number):
                record = {"repeat": repeat, **perform(run, case, chosen, torch)}
                result["runs"].append(record)
                print(
                    f"repeat {repeat} of {chosen.repeats}  {V:,} words  "
                    f"{SHOWN[run.trainer, run.type]}: {record['words_per_second']:,.0f} words/s in "
                    f"{record['seconds']:.1f} s",
                    flush=True,
                )
                result["summary"] = summarize(result)
                common.write_partial(chosen.output, result)


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    torch = torch_python(chosen.torch_python) if "torch" in chosen.trainers else None
    plan = planned_runs(chosen, has_torch=torch is not None)
    if not plan:
        sys.exit(f"python -m bench.softmax: none of {', '.join(chosen.trainers)} can run here")
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
            "machine": common.describe_machine(),
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
    common.write_result(chosen.output, result)
    print_table(result["summary"])
    picture = chosen.output.with_suffix(".png")
    cores, model = machine.usable_cores(), result["machine"]["cpu"]["model"]
    draw(result, f"The full softmax, dim {chosen.dim}, {cores} threads, {model}", picture)
    print(f"\nwritten: {chosen.output} and {picture.name}")


if __name__ == "__main__":
    main()
