"""Quality of the vectors beside speed: fastw2v, its slower rungs and its peers, scored alike.

    python -m bench.quality.quality             dims 100 and 300, 1 and 5 epochs, 3 seeds
    python -m bench.quality.quality --quick     one shard, dim 100, 1 epoch, 1 seed: a look
    python -m bench.quality.quality --only-new  keeps the runs that the file has
    python -m bench.quality.quality --types sgram_neg --dims 300 --trainers gensim fastw2v

All train on the same words with windows of 1 to 5 words a side, uniformly, 5 negatives a pair,
noise exponent 0.75, subsampling at 1e-4, and alpha falling linearly to a ten thousandth (in gensim
too, whose corpus_file mode needs help for it: bench/peers/trainers.py).

models    sgram_neg      alpha 0.025
          cbow_neg       alpha 0.05, the contexts' gradient not divided: the peers' CBOW
          cbow_neg_mean  fastw2v's default: the exact gradient, at its default alpha
trainers  gensim, fasttext, and of our own pipeline: classic (word2vec.c's update, fresh draws for
          every pair), one (blocks of one center), fastw2v (blocks as they are by default)

WordSim-353, SimLex-999 and the Google analogies come with gensim's test data. The held-out loss is
that of `fastw2v.training.validation`, on sequences that no trainer sees. Differences from gensim
are means over the seeds, with 95 % intervals of a bootstrap over items (of the held-out loss: over
sequences), which both sides share, and over the seeds of each. cbow_neg_mean is compared with
gensim's one CBOW. Each run is kept in NAME.partial.json until all are done; the runs of --only-new
that are not of the present plan stay in the file, but are not summed up (bench/lib/identity.py).
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.lib import command_line, common, host, identity, results, scoring, split
from bench.lib.tables import print_tables
from bench.peers import trainers
from bench.report import tables
from fastw2v.io import machine
from fastw2v.training.config import DEFAULT_ALPHAS

MODELS = ("sgram_neg", "cbow_neg", "cbow_neg_mean")
TRAINERS = ("gensim", "fasttext", "classic", "one", "fastw2v")
_BY_DEFAULT = ("gensim", "classic", "one", "fastw2v")
_OF_THE_MEAN = ("gensim", "classic", "one", "fastw2v")  # gensim: its other CBOW, to compare with


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.quality.quality", "quality", "Quality and speed at equal hyperparameters.",
        quick="one shard, dim 100, 1 epoch, 1 seed", shards=(1, None, command_line.count),
        dims=([100], [100, 300], command_line.count), epochs=([1], [1, 5], command_line.count),
        seeds=([1], [1, 2, 3], command_line.seed),
    )  # fmt: skip
    add_corpus_options(parser)
    parser.add_argument("--types", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=_BY_DEFAULT)
    parser.add_argument(
        "--alpha", type=command_line.amount, help="for all trainers; default: by type"
    )
    return parser.parse(arguments)


def add_corpus_options(parser: argparse.ArgumentParser) -> None:
    """What `prepare_split` goes by, the threads, and --only-new."""
    parser.add_argument("--min-count", type=command_line.count, default=5)
    parser.add_argument("--threads", type=command_line.count, default=machine.usable_cores())
    parser.add_argument(
        "--only-new",
        action="store_true",
        help="keep the runs of the output file (and its partial one) that the present corpus, "
        "code, libraries and CPU would repeat, and train only those that it lacks",
    )


def prepare_split(chosen: argparse.Namespace) -> split.Split:
    """The corpus of the chosen text without its held-out sequences, and these."""
    shards = common.find_text(chosen.text)[: chosen.shards]
    corpus = common.prepare_corpus(shards, with_text=False, min_count=chosen.min_count)
    return split.prepare(corpus)  # which writes the text that the peers read


def settings_of(trainer: str, model: str, ours: dict[str, Any], **values: Any) -> trainers.Settings:
    """Settings of a run; `values` that are None are left to the model."""
    values = {name: value for name, value in values.items() if value is not None}
    if model == "cbow_neg_mean" and trainer in trainers.OURS:
        values.setdefault("alpha", DEFAULT_ALPHAS["cbow_neg"])
        ours = {"cbow_gradient": "mean", **ours}
    return trainers.settings_for(trainer, model.removesuffix("_mean"), ours=ours, **values)


def planned_runs(chosen: argparse.Namespace) -> list[trainers.Settings]:
    """Seeds outermost and trainers innermost, so that an early end still has pairs."""
    ours = command_line.parse_options(chosen.ours)
    runs = [
        settings_of(
            trainer, model, ours, dim=dim, epochs=epochs, seed=seed,
            threads=chosen.threads, alpha=chosen.alpha,
        )
        for seed in chosen.seeds
        for dim in chosen.dims
        for epochs in chosen.epochs
        for model in chosen.types
        for trainer in chosen.trainers
        if model != "cbow_neg_mean" or trainer in _OF_THE_MEAN
    ]  # fmt: skip
    return [run for place, run in enumerate(runs) if run not in runs[:place]]


def train_and_score(
    settings: trainers.Settings, data: split.Split, benchmarks: dict[str, Any]
) -> dict[str, Any]:
    """One run: its identity and origin, its speed, its scores, its held-out loss."""
    known = {**identity.identity_of(dataclasses.asdict(settings), data), **identity.origin()}
    with tempfile.TemporaryDirectory(prefix="fastw2v-quality-") as place:
        outcome = trainers.run(settings, data.train, vectors=Path(place))
        vectors, outputs = trainers.load_vectors(Path(place)), trainers.load_outputs(Path(place))
    outcome["losses"] = outcome.get("losses", [])[-1:]  # the last is enough
    return {
        **known,
        **outcome,
        "scores": scoring.score(vectors, benchmarks),
        "holdout": data.loss_of(
            list(vectors.index_to_key), vectors.vectors, outputs,
            skip_gram=settings.type == "sgram_neg",
        ),
    }  # fmt: skip


def new_result(benchmark: str, data: split.Split) -> dict[str, Any]:
    """A result file's head."""
    return {
        "benchmark": benchmark,
        "version": identity.VERSION,
        "machine": host.describe_machine(),
        "corpus": data.describe(),
        "runs": [],
    }


def describe_run(run: dict[str, Any]) -> str:
    """One line of progress."""
    scores = ", ".join(f"{name} {100 * s['score']:.1f}" for name, s in run["scores"].items())
    loss = f"held-out loss {run['holdout']['loss']:.4f}"
    return f"{scores}, {loss}; {run['words_per_second']:,.0f} words/s"


def missing_runs(
    result: dict[str, Any],
    plan: list[trainers.Settings],
    data: split.Split,
    chosen: argparse.Namespace,
) -> list[trainers.Settings]:
    """The runs of the plan that are still to train; with --only-new, `result` gets the others."""
    if chosen.only_new:
        result["runs"] = identity.kept_runs(
            chosen.output, lambda settings: identity.identity_of(settings, data)
        )
    have = [run["settings"] for run in result["runs"]]
    missing = [run for run in plan if dataclasses.asdict(run) not in have]
    print(f"{len(have)} runs kept, {len(missing)} to train", flush=True)
    return missing


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    plan = planned_runs(chosen)
    benchmarks = scoring.read_benchmarks()
    data = prepare_split(chosen)
    result = new_result("quality", data)
    missing = missing_runs(result, plan, data, chosen)
    began = time.monotonic()
    for number, settings in enumerate(missing, start=1):
        run = train_and_score(settings, data, benchmarks)
        result["runs"].append(run)
        results.write_partial(chosen.output, result)
        minutes = (time.monotonic() - began) / 60
        print(
            f"[{number}/{len(missing)}, {minutes:.0f} min] dim {settings.dim}, {settings.epochs} "
            f"epochs, {scoring.model_of(run['settings'])}, seed {settings.seed}, "
            f"{settings.trainer}: {describe_run(run)}",
            flush=True,
        )
    finish(result, plan, benchmarks, chosen.output)


def finish(
    result: dict[str, Any],
    plan: list[trainers.Settings],
    benchmarks: dict[str, Any],
    path: Path,
) -> None:
    """Compare and sum up the runs of the plan; write the file."""
    runs = identity.planned(result["runs"], map(dataclasses.asdict, plan))
    groups = sorted({scoring.group_of(run) for run in runs})
    result["comparisons"] = [
        row for group in groups for row in scoring.compare(runs, group, benchmarks)
    ]
    result["summary"] = scoring.summarize(runs)
    result["shown"] = identity.origins_of(runs)
    print_tables(tables.quality(result))
    results.finish(path, result)


if __name__ == "__main__":
    main()
