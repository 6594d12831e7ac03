"""When is the full softmax worth it? Its vectors and its perplexity beside negative sampling's.

    python -m bench.softmax_quality             10,000 words, dim 300, all of the text, for a
                                                quarter of an hour on two cores
    python -m bench.softmax_quality --quick     one shard, 2,000 words, dim 50: a look, no figure
    python -m bench.softmax_quality --only-new  keeps the runs that the file has
    python -m bench.softmax_quality --types cbow --seeds 1 2 3 --alpha cbow=0.02 cbow_neg=0.1

For sgram and cbow three models a seed, each in a process of its own, on the same words:

softmax       the full softmax for --epochs
equal epochs  negative sampling for as many
equal time    negative sampling for as many epochs as go into the softmax's training seconds at the
              speed of the run before it, rounded, 1 at least; alpha falls over all of them

Windows are 11 words, dynamic; subsampling is 1e-4 for all of them, and every other option is
fastw2v's default. WordSim-353, SimLex-999 and the Google analogies are scored on their known items.
Perplexity is exact (`fastw2v.perplexity`), on sequences that no model sees (bench/split.py).
A model's probabilities are those of the text that it trained on, which subsampling thinned. So what
counts is the perplexity of the held-out sequences when they are thinned in the same way, once for
all models; that of the sequences as they stand is in the result file, too. Differences are negative
sampling less the softmax, with 95 % intervals of a bootstrap over items, which both sides share,
and over the seeds of each.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench import (
    ROOT,
    command_line,
    common,
    identity,
    quality,
    scoring,
    softmax_quality_text,
    split,
)
from bench import softmax_quality_summary as summary
from bench.softmax_quality_summary import EQUAL_EPOCHS, EQUAL_TIME, ROLES, SOFTMAX
from fastw2v.store.format import TokenStore
from fastw2v.training.config import TYPES
from fastw2v.vectors.keyed_vectors import KeyedVectors

VERSION = 1  # of the layout of the result file
FAMILIES = ("sgram", "cbow")
WINDOW, SUBSAMPLE = 11, 1e-4
# What makes the runs' figures, besides what bench/identity.py knows of.
_MADE_BY = (
    "fastw2v/kernels/*.py", "fastw2v/training/*.py", "fastw2v/vectors/full_model.py",
    "fastw2v/corpus/known_sequences.py", "bench/softmax_quality.py",
    "bench/softmax_quality_model.py", "bench/softmax_quality_text.py",
)  # fmt: skip


class Case(NamedTuple):
    """What all runs share: the corpus, and the held-out sequences as token stores by name."""

    data: split.Split
    texts: dict[str, Path]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.softmax_quality",
        description="Quality of the full softmax beside negative sampling.",
    )
    quality.add_corpus_options(parser)
    parser.add_argument("--max-vocab", type=command_line.count,
                        help="default: 10000; 2000 with --quick")  # fmt: skip
    parser.add_argument("--types", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--dim", type=command_line.count, help="default: 300; 50 with --quick")
    parser.add_argument("--epochs", type=command_line.count, default=1, help="of the softmax")
    parser.add_argument("--seeds", type=command_line.seed, nargs="+", default=[1])
    parser.add_argument("--alpha", type=_alpha_of_type, nargs="+", default=[],
                        metavar="TYPE=ALPHA", help="default: fastw2v's own, by type")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="one shard, 2,000 words, dim 50")
    parser.add_argument("--only-new", action="store_true",
                        help="keep the runs of the output file that the present corpus and code "
                        "would repeat")  # fmt: skip
    parser.add_argument("--output", type=Path, help="result file (.json); a .png lies beside it")
    chosen = parser.parse_args(arguments)
    command_line.set_defaults(
        chosen, "softmax_quality", shards=(1, None), max_vocab=(2000, 10_000), dim=(50, 300)
    )
    return chosen


def _alpha_of_type(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in TYPES:
        raise argparse.ArgumentTypeError(f"{text!r} is not TYPE=ALPHA, TYPE one of {list(TYPES)}")
    return name, command_line.amount(value)


def planned_runs(chosen: argparse.Namespace) -> list[dict[str, Any]]:
    """Settings of all runs; those of a family and seed one after another, in the order of `ROLES`.

    `epochs` are the softmax's, also for `equal time`, whose own are known when it begins.
    """
    alphas = dict(chosen.alpha)
    runs = []
    for seed in dict.fromkeys(chosen.seeds):
        for family in dict.fromkeys(chosen.types):
            for role in ROLES:
                model_type = family if role == SOFTMAX else f"{family}_neg"
                runs.append({
                    "trainer": "fastw2v", "family": family, "role": role, "type": model_type,
                    "dim": chosen.dim, "epochs": chosen.epochs, "alpha": alphas.get(model_type),
                    "threads": chosen.threads, "seed": seed,
                })  # fmt: skip
    return runs


def prepare_case(chosen: argparse.Namespace) -> Case:
    """The chosen corpus without its held-out sequences, and these, thinned and as they stand."""
    shards = common.find_text(chosen.text)[: chosen.shards]
    corpus = common.prepare_corpus(
        shards, with_text=False, min_count=chosen.min_count, max_vocab=chosen.max_vocab
    )
    data = split.prepare(corpus)
    return Case(data, softmax_quality_text.prepare_texts(data, SUBSAMPLE))


def options_of(settings: dict[str, Any], epochs: int) -> dict[str, Any]:
    """What `fastw2v.train` is given."""
    options = {
        "type": settings["type"],
        "window": WINDOW,
        "vector_dim": settings["dim"],
        "subsample": SUBSAMPLE,
        "epochs": epochs,
        "alpha": settings["alpha"],
        "threads": settings["threads"],
        "seed": settings["seed"],
        "save_interval": 1e9,
        "checkpoint_epochs": 0,
    }
    return {name: value for name, value in options.items() if value is not None}


def epochs_within(seconds: float, measured: dict[str, Any]) -> int:
    """How many epochs go into so many seconds at the speed of the run `measured`; 1 at least."""
    return max(1, round(seconds * measured["epochs"] / measured["seconds"]))


def code() -> str:
    """A hash of the code that makes the figures."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _MADE_BY for path in ROOT.glob(pattern)}):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def identity_of(settings: dict[str, Any], data: split.Split) -> dict[str, Any]:
    """What a kept run must agree in."""
    return {**identity.identity_of(settings, data), "softmax_quality_code": code()}


def kept_runs(path: Path, plan: list[dict[str, Any]], data: split.Split) -> list[dict[str, Any]]:
    """The runs of the plan that a result file, or its partial one, has from the same code."""
    results = [result for result in common.read_results(path) if result.get("version") == VERSION]
    found = []
    for settings in plan:
        same = identity_of(settings, data)
        runs = [
            run
            for result in results
            for run in result["runs"]
            if all(run.get(name) == value for name, value in same.items())
        ]
        found += runs[-1:]  # the partial file's
    return found


def train_and_score(
    settings: dict[str, Any], epochs: int, case: Case, benchmarks: dict[str, Any]
) -> dict[str, Any]:
    """One run: its identity and origin, its speed, its scores, its perplexities."""
    known = {**identity_of(settings, case.data), **identity.origin()}
    with tempfile.TemporaryDirectory(prefix="fastw2v-softmax-quality-") as scratch:
        model = Path(scratch) / "model"
        request = {
            "store": str(case.data.train.store),
            "model": str(model),
            "options": options_of(settings, epochs),
            "texts": {name: str(path) for name, path in case.texts.items()},
        }
        outcome = common.in_own_process("bench.softmax_quality_model", request)
        scores = scoring.score(KeyedVectors.load(model), benchmarks)
    return {
        **known,
        "epochs": epochs,
        **outcome,
        "words_per_second": outcome["words"] / outcome["seconds"],
        "scores": scores,
    }


def measure(
    plan: list[dict[str, Any]],
    case: Case,
    benchmarks: dict[str, Any],
    path: Path,
    result: dict[str, Any],
) -> None:
    """Add the runs that `result` lacks, and keep them as they come."""
    began = time.monotonic()
    latest: dict[str, dict[str, Any]] = {}  # by role
    for number, settings in enumerate(plan, start=1):
        role, epochs = settings["role"], settings["epochs"]
        if role == EQUAL_TIME:  # the other two of the family and seed come before it
            epochs = epochs_within(latest[SOFTMAX]["seconds"], latest[EQUAL_EPOCHS])
        kept = [run for run in result["runs"] if run["settings"] == settings]
        if kept and kept[0]["epochs"] == epochs:
            latest[role] = kept[0]
            continue
        latest[role] = run = train_and_score(settings, epochs, case, benchmarks)
        result["runs"] = [other for other in result["runs"] if other not in kept] + [run]
        common.write_partial(path, result)
        minutes = (time.monotonic() - began) / 60
        print(f"[{number}/{len(plan)}, {minutes:.0f} min] {summary.describe_run(run)}", flush=True)


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    command_line.check_threads(chosen.threads)
    plan = planned_runs(chosen)
    benchmarks = scoring.read_benchmarks()
    case = prepare_case(chosen)
    vocabulary = TokenStore.open(case.data.train.store).vocabulary
    softmax_quality_text.check_known(benchmarks, vocabulary.tokens)
    result: dict[str, Any] = {
        "benchmark": "softmax_quality",
        "version": VERSION,
        "machine": common.describe_machine(),
        "corpus": case.data.describe(),
        "settings": {
            "dim": chosen.dim, "window": WINDOW, "subsample": SUBSAMPLE, "epochs": chosen.epochs,
            "threads": chosen.threads,
        },
        "runs": kept_runs(chosen.output, plan, case.data) if chosen.only_new else [],
    }  # fmt: skip
    print(f"{len(result['runs'])} of {len(plan)} runs kept", flush=True)
    measure(plan, case, benchmarks, chosen.output, result)
    finish(result, plan, benchmarks, chosen.output)
    summary.print_table(result["summary"])
    summary.print_comparisons(result["comparisons"])
    print(f"\nwritten: {chosen.output} and {chosen.output.with_suffix('.png').name}")


def finish(
    result: dict[str, Any], plan: list[dict[str, Any]], benchmarks: dict[str, Any], path: Path
) -> None:
    """Compare and sum up the runs of the plan; write the file and its picture."""
    runs = identity.planned(result["runs"], plan)
    result["comparisons"] = summary.compare(runs, benchmarks)
    result["summary"] = summary.summarize(runs)
    result["shown"] = identity.origins_of(runs)
    common.write_result(path, result)
    summary.draw(result, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
