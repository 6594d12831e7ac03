"""When is the full softmax worth it? Its vectors and its perplexity beside negative sampling's.

    python -m bench.softmax.quality             10,000 words, dim 300, all of the text, for a
                                                quarter of an hour on two cores
    python -m bench.softmax.quality --quick     one shard, 2,000 words, dim 50: a look, no figure
    python -m bench.softmax.quality --only-new  keeps the runs that the file has
    python -m bench.softmax.quality --types cbow --seeds 1 2 3 --alpha cbow=0.02 cbow_neg=0.1

For sgram and cbow three models a seed, each in a process of its own, on the same words:

softmax       the full softmax for --epochs
equal epochs  negative sampling for as many
equal time    negative sampling for as many epochs as go into the softmax's training seconds at the
              speed of the run before it, rounded, 1 at least; alpha falls over all of them

Windows are 11 words, dynamic; subsampling is 1e-4 for all of them, and every other option is
fastw2v's default. WordSim-353, SimLex-999 and the Google analogies are scored on their known items.
Perplexity is exact (`fastw2v.perplexity`), on sequences that no model sees (bench/lib/split.py).
A model's probabilities are those of the text that it trained on, which subsampling thinned. So what
counts is the perplexity of the held-out sequences when they are thinned in the same way, once for
all models; that of the sequences as they stand is in the result file, too. Differences are negative
sampling less the softmax, with 95 % intervals of a bootstrap over items, which both sides share,
and over the seeds of each.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.lib import command_line, common, host, identity, results, scoring, split
from bench.lib.tables import print_tables
from bench.quality import quality
from bench.report import tables
from fastw2v.errors import UsageError
from fastw2v.io.store_directory import is_store
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.training.config import TYPES
from fastw2v.training.data import keep_thresholds
from fastw2v.vectors.keyed_vectors import KeyedVectors

VERSION = 1  # of the layout of the result file
FAMILIES = ("sgram", "cbow")
WINDOW, SUBSAMPLE = 11, 1e-4
# What makes the runs' figures, besides what bench/lib/identity.py knows of.
_MADE_BY = (
    "fastw2v/vectors/model.py", "fastw2v/store/known_sequences.py", "bench/softmax/quality.py",
    "bench/softmax/training.py",
)  # fmt: skip


SOFTMAX, EQUAL_EPOCHS, EQUAL_TIME = ROLES = ("softmax", "equal epochs", "equal time")
TEXT = "thinned"  # whose perplexity is shown: see above
MIN_KNOWN = 3  # items, without which nothing can be compared
_THINNING_SEED = 1


class Case(NamedTuple):
    """What all runs share: the corpus, and the held-out sequences as token stores by name."""

    data: split.Split
    texts: dict[str, Path]


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(
        "bench.softmax.quality", "softmax_quality",
        "Quality of the full softmax beside negative sampling.",
        quick="one shard, 2,000 words, dim 50", ours=False,
        shards=(1, None, command_line.count), max_vocab=(2000, 10_000, command_line.count),
        dim=(50, 300, command_line.count),
    )  # fmt: skip
    quality.add_corpus_options(parser)
    parser.add_argument("--types", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--epochs", type=command_line.count, default=1, help="of the softmax")
    parser.add_argument("--seeds", type=command_line.seed, nargs="+", default=[1])
    parser.add_argument("--alpha", type=_alpha_of_type, nargs="+", default=[],
                        metavar="TYPE=ALPHA", help="default: fastw2v's own, by type")  # fmt: skip
    return parser.parse(arguments)


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
    return Case(data, prepare_texts(data, SUBSAMPLE))


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


def identity_of(settings: dict[str, Any], data: split.Split) -> dict[str, Any]:
    """What a kept run must agree in."""
    code = identity.hash_of(identity.sources(*_MADE_BY))
    return {**identity.identity_of(settings, data), "softmax_quality_code": code}


def kept_runs(path: Path, plan: list[dict[str, Any]], data: split.Split) -> list[dict[str, Any]]:
    """The runs of the plan that a result file, or its partial one, has from the same code."""
    kept = identity.kept_runs(path, lambda settings: identity_of(settings, data), VERSION)
    return [run for run in kept if run["settings"] in plan]


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
        outcome = common.in_own_process("bench.softmax.training:measure_perplexity", request)
        scores = scoring.score(KeyedVectors.load(model), benchmarks)
    return {
        **known,
        "epochs": epochs,
        **outcome,
        "words_per_second": outcome["words"] / outcome["seconds"],
        "scores": scores,
    }


def prepare_texts(data: split.Split, subsample: float) -> dict[str, Path]:
    """The held-out sequences as token stores: `thinned` as training thins its text, and `whole`."""
    ids, offsets = data.holdout.sequences[:2]
    texts = {}
    kept_of = {"thinned": kept_tokens(data, subsample), "whole": np.ones(len(ids), bool)}
    for name, kept in kept_of.items():
        suffix = f"-{subsample:g}" if name == "thinned" else ""
        texts[name] = data.train.store.parent / f"held-out-{name}{suffix}.store"
        if not is_store(texts[name]):
            sequence_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
            lengths = np.bincount(sequence_of[kept])
            ends = np.cumsum(lengths[lengths > 0])
            arrays = ids[kept], np.concatenate([[0], ends])
            preprocess(arrays, texts[name], tokens=data.tokens, min_count=1)
    return texts


def kept_tokens(data: split.Split, subsample: float) -> np.ndarray:
    """Which held-out tokens stay, bool: each with its word's probability in training."""
    vocabulary = TokenStore.open(data.train.store).vocabulary
    thresholds = keep_thresholds(vocabulary.counts, int(vocabulary.counts.sum()), subsample)
    probability = dict(zip(vocabulary.tokens, (thresholds / 2.0**32).tolist(), strict=True))
    # A word that training does not have stays here: models leave it out themselves.
    of_word = np.array([probability.get(token, 1.0) for token in data.tokens])
    ids = data.holdout.sequences.token_ids
    return np.asarray(np.random.default_rng(_THINNING_SEED).random(len(ids)) < of_word[ids])


def check_known(benchmarks: dict[str, Any], tokens: Sequence[str]) -> None:
    """That every benchmark has items of known words.

    Raises:
        UsageError: one has too few of them.
    """
    known = set(tokens)
    for name, benchmark in benchmarks.items():
        items = benchmark.pairs if name in scoring.PAIRS else benchmark.questions
        found = sum(all(word in known or word.lower() in known for word in item) for item in items)
        if found < MIN_KNOWN:
            raise UsageError(
                f"{name}: all words of only {found} of {len(items)} items are among the "
                f"{len(tokens):,} that training has; use a larger --max-vocab, or more text"
            )


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
        results.write_partial(path, result)
        minutes = (time.monotonic() - began) / 60
        print(
            f"[{number}/{len(plan)}, {minutes:.0f} min] {run['settings']['type']}, {role}, seed "
            f"{settings['seed']}: {epochs} epochs in {run['seconds']:.2f} s, perplexity "
            f"{tables.perplexity(_perplexity([run], TEXT, 'own'))}",
            flush=True,
        )


def summarize(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each family and role, in their order: means over the seeds.

    epochs: the fewest and the most of a seed. perplexity, raw_perplexity: exp of the mean loss on
    `TEXT` by the model's own rule and by the softmax of its scores; whole_perplexity: by its own
    rule on the held-out sequences as they stand. known: by test, (known items, items).
    """
    rows = []
    for (family, role), found in _grouped(runs).items():
        scores = scoring.mean_scores(found)
        epochs = [run["epochs"] for run in found]
        first = found[0]["scores"]
        rows.append(
            {
                "family": family,
                "role": role,
                "type": found[0]["settings"]["type"],
                "seeds": len(found),
                "alpha": found[0]["config"]["alpha"],
                "epochs": [min(epochs), max(epochs)],
                "seconds": statistics.mean(run["seconds"] for run in found),
                "words_per_second": statistics.median(run["words_per_second"] for run in found),
                "scores": scores,
                "known": {
                    test: (first[test]["known"], first[test]["items"]) for test in scoring.TESTS
                },
                "perplexity": _perplexity(found, TEXT, "own"),
                "raw_perplexity": _perplexity(found, TEXT, "raw"),
                "whole_perplexity": _perplexity(found, "whole", "own"),
            }
        )
    return rows


def _grouped(runs: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """The runs by (family, role): families as they come, roles in the order of `ROLES`."""
    families = dict.fromkeys(run["settings"]["family"] for run in runs)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {
        (family, role): [] for family in families for role in ROLES
    }
    for run in runs:
        found[run["settings"]["family"], run["settings"]["role"]].append(run)
    return {key: group for key, group in found.items() if group}


def _perplexity(runs: list[dict[str, Any]], text: str, rule: str) -> float:
    """exp of the mean loss; infinite where that is too large for a float."""
    try:
        return math.exp(statistics.mean(run["perplexity"][text][rule] for run in runs))
    except OverflowError:
        return math.inf


def compare(runs: list[dict[str, Any]], benchmarks: dict[str, Any]) -> list[dict[str, Any]]:
    """Negative sampling less the softmax of its family, with 95 % intervals.

    `scoring.COMPARISONS`, as fractions: a bootstrap over items and seeds.
    """
    grouped = _grouped(runs)
    rows = []
    for (family, role), found in grouped.items():
        softmax = grouped.get((family, SOFTMAX), [])
        if role == SOFTMAX or not softmax:
            continue
        differences = scoring.differences_of(found, softmax, benchmarks)
        rows += [
            {
                "family": family, "role": role, "comparison": name, "difference": difference,
                "low": low, "high": high, "seeds": [len(found), len(softmax)],
            }
            for name, (difference, low, high) in differences.items()
        ]  # fmt: skip
    return rows


@command_line.in_one_line
def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    command_line.check_threads(chosen.threads)
    plan = planned_runs(chosen)
    benchmarks = scoring.read_benchmarks()
    case = prepare_case(chosen)
    vocabulary = TokenStore.open(case.data.train.store).vocabulary
    check_known(benchmarks, vocabulary.tokens)
    result: dict[str, Any] = {
        "benchmark": "softmax_quality",
        "version": VERSION,
        "machine": host.describe_machine(),
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


def finish(
    result: dict[str, Any], plan: list[dict[str, Any]], benchmarks: dict[str, Any], path: Path
) -> None:
    """Compare and sum up the runs of the plan; write the file."""
    runs = identity.planned(result["runs"], plan)
    result["comparisons"] = compare(runs, benchmarks)
    result["summary"] = summarize(runs)
    result["shown"] = identity.origins_of(runs)
    print_tables(tables.softmax_quality(result))
    results.finish(path, result)


if __name__ == "__main__":
    main()
