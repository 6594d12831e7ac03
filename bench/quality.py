"""Quality of the vectors beside speed: fastw2v and a peer at equal hyperparameters, scored alike.

    python -m bench.quality                               sgram_neg, 2 seeds, 5 epochs, dim 300
    python -m bench.quality --types sgram_neg cbow_neg --seeds 1 2 3
    python -m bench.quality --only-new                    keeps the runs that the file has

Both train on the same words with windows of 1 to 5 words a side drawn for each centre, 5 negatives
a pair, noise exponent 0.75, subsampling at 1e-4, and alpha falling linearly from 0.025 (skip-gram)
or 0.05 (CBOW, the mean of the contexts, their gradient not divided) to a ten thousandth of it.
WordSim-353, SimLex-999 and the Google analogies come with gensim's test data. Every model is scored
by `fastw2v.vectors.evaluate`; differences are means over the seeds, with 95 % intervals of a paired
bootstrap over the items. Results are written after each trained model.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench import common, kernel_cache, peers
from fastw2v import machine, storage
from fastw2v.vectors.evaluate import (
    AnalogyResult,
    PairsResult,
    evaluate_analogies,
    evaluate_pairs,
    paired_difference,
    read_analogies,
    read_pairs,
)

PAIRS = {"WordSim-353": "wordsim353.tsv", "SimLex-999": "simlex999.txt"}
ANALOGIES = {"analogies": "questions-words.txt"}
# What is compared: the name of the row and the tests whose mean it is.
COMPARISONS = {
    "mean of WordSim-353 and SimLex-999": ("WordSim-353", "SimLex-999"),
    "WordSim-353": ("WordSim-353",),
    "SimLex-999": ("SimLex-999",),
    "analogies": ("analogies",),
}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.quality", description="Quality and speed at equal hyperparameters."
    )
    parser.add_argument("--text", type=Path, nargs="+", default=[], help="text files or directory")
    parser.add_argument("--types", nargs="+", choices=peers.TYPES["gensim"], default=["sgram_neg"])
    parser.add_argument("--trainers", nargs="+", choices=peers.TRAINERS,
                        default=["fastw2v", "gensim"])  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--dim", type=int, default=300)
    parser.add_argument("--threads", type=int, default=machine.usable_cores())
    parser.add_argument("--min-count", type=int, default=5)
    parser.add_argument("--shards", type=int, help="use only the first so many shards")
    parser.add_argument("--alpha", type=float, help="for all trainers; default: by type")
    parser.add_argument("--ours", nargs="+", default=[], metavar="NAME=VALUE",
                        help="further options of fastw2v, as in block_size=128")  # fmt: skip
    parser.add_argument(
        "--only-new",
        action="store_true",
        help="keep those runs of the output file that were made with the same settings, "
        "corpus and (fastw2v) kernels; train only the others",
    )
    parser.add_argument("--output", type=Path, default=common.RESULTS / "quality.json")
    return parser.parse_args(arguments)


def read_benchmarks() -> dict[str, Any]:
    """The three benchmarks by name, read from gensim's test data."""
    from gensim.test.utils import datapath

    found: dict[str, Any] = {name: read_pairs(datapath(file)) for name, file in PAIRS.items()}
    return found | {name: read_analogies(datapath(file)) for name, file in ANALOGIES.items()}


def score(vectors: Any, benchmarks: dict[str, Any]) -> dict[str, Any]:
    """Every benchmark's score, with the answers that comparisons need, as plain values."""
    scores = {}
    for name, benchmark in benchmarks.items():
        result: PairsResult | AnalogyResult
        if name in PAIRS:
            result = evaluate_pairs(vectors, benchmark)
            # Cosines are float32 anyway; as decimals they would take a line of the file each.
            cosines = result.similarities.astype("<f4")
            answers = {"similarities": cosines.tobytes().hex()}
        else:
            result = evaluate_analogies(vectors, benchmark)
            answers = {
                "known": np.packbits(result.known).tobytes().hex(),
                "correct": np.packbits(result.correct).tobytes().hex(),
            }
        whole = result.score()
        scores[name] = {
            "score": whole.score, "low": whole.low, "high": whole.high,
            "items": whole.items, "known": whole.known, "answers": answers,
        }  # fmt: skip
    return scores


def _bits(text: str, count: int) -> np.ndarray:
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(bool)


def restore(name: str, scores: dict[str, Any], benchmark: Any) -> PairsResult | AnalogyResult:
    """The result that `score` put into plain values."""
    answers = scores[name]["answers"]
    if name in PAIRS:
        cosines = np.frombuffer(bytes.fromhex(answers["similarities"]), "<f4")
        return PairsResult(benchmark.name, benchmark.gold, cosines.astype(np.float64))
    count = len(benchmark.questions)
    known, correct = _bits(answers["known"], count), _bits(answers["correct"], count)
    return AnalogyResult(benchmark.name, benchmark.sections, benchmark.section_ids, known, correct)


def planned_runs(chosen: argparse.Namespace) -> list[peers.Settings]:
    """Seeds outermost and trainers innermost, so that an early end still has pairs."""
    ours = common.parse_options(chosen.ours)
    alpha = {} if chosen.alpha is None else {"alpha": chosen.alpha}
    return [
        peers.settings_for(
            trainer, model_type, dim=chosen.dim, epochs=chosen.epochs, seed=seed,
            threads=chosen.threads, ours=ours, **alpha,
        )
        for seed in chosen.seeds
        for model_type in chosen.types
        for trainer in chosen.trainers
    ]  # fmt: skip


def identity_of(settings: peers.Settings, corpus: common.Corpus) -> dict[str, Any]:
    """What a kept run must agree in: all settings, the corpus, and the kernels if they are ours."""
    return {
        "settings": dataclasses.asdict(settings),
        "corpus": corpus.describe(),
        "kernels": kernel_cache().name if settings.trainer == "fastw2v" else None,
    }


def train_and_score(
    settings: peers.Settings, corpus: common.Corpus, benchmarks: dict[str, Any]
) -> dict[str, Any]:
    """One run: its identity, its speed and its scores."""
    with tempfile.TemporaryDirectory(prefix="fastw2v-quality-") as place:
        outcome = peers.run(settings, corpus, vectors=Path(place))
        scores = score(peers.load_vectors(Path(place)), benchmarks)
    return {**identity_of(settings, corpus), **outcome, "scores": scores}


def compare(runs: list[dict[str, Any]], benchmarks: dict[str, Any]) -> list[dict[str, Any]]:
    """fastw2v minus each other trainer, for each type and comparison, over the seeds of both."""
    rows = []
    for model_type in dict.fromkeys(run["settings"]["type"] for run in runs):
        by_trainer: dict[str, list[dict[str, Any]]] = {}
        for run in runs:
            if run["settings"]["type"] == model_type:
                by_trainer.setdefault(run["settings"]["trainer"], []).append(run["scores"])
        for peer, theirs in by_trainer.items():
            if peer == "fastw2v" or "fastw2v" not in by_trainer:
                continue
            for name, tests in COMPARISONS.items():
                sides = [
                    [[restore(test, scores, benchmarks[test]) for test in tests] for scores in side]
                    for side in (by_trainer["fastw2v"], theirs)
                ]
                found = paired_difference(sides[0], sides[1])
                rows.append(
                    {
                        "type": model_type, "peer": peer, "comparison": name,
                        "difference": found.difference, "low": found.low, "high": found.high,
                        "seeds": [len(side) for side in sides],
                    }
                )  # fmt: skip
    return rows


def summarise(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each trainer's mean scores over its seeds, and the median of its words/s."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in runs:
        key = (run["settings"]["type"], run["settings"]["trainer"])
        groups.setdefault(key, []).append(run)
    tests = [*PAIRS, *ANALOGIES]
    return [
        {
            "type": model_type,
            "trainer": trainer,
            "seeds": len(group),
            "scores": {
                test: statistics.mean(run["scores"][test]["score"] for run in group)
                for test in tests
            },
            "words_per_second": statistics.median(run["words_per_second"] for run in group),
        }
        for (model_type, trainer), group in sorted(groups.items())
    ]


def print_runs(runs: list[dict[str, Any]]) -> None:
    """The summary as a table, scores in percent, words/s beside them."""
    tests = [*PAIRS, *ANALOGIES]
    titles = "".join(f"{test:>13}" for test in tests)
    print(f"\n{'type':<10} {'trainer':<9} {'seeds':>5} {titles}{'words/s':>13}")
    for row in summarise(runs):
        cells = "".join(f"{100 * row['scores'][test]:>13.1f}" for test in tests)
        print(
            f"{row['type']:<10} {row['trainer']:<9} {row['seeds']:>5} {cells}"
            f"{row['words_per_second']:>13,.0f}"
        )


def print_comparisons(rows: list[dict[str, Any]]) -> None:
    """Differences in percentage points with their intervals."""
    for row in rows:
        verdict = "no difference seen" if row["low"] <= 0 <= row["high"] else (
            "fastw2v is better" if row["low"] > 0 else f"{row['peer']} is better"
        )  # fmt: skip
        print(
            f"{row['type']}: fastw2v - {row['peer']}, {row['comparison']}: "
            f"{100 * row['difference']:+.1f} [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}] "
            f"points; {verdict}"
        )


def main(arguments: list[str] | None = None) -> None:
    chosen = parse_arguments(arguments)
    benchmarks = read_benchmarks()
    shards = common.find_text(chosen.text)[: chosen.shards]
    corpus = common.prepare_corpus(shards, min_count=chosen.min_count)
    earlier = []
    if chosen.only_new and chosen.output.is_file():
        earlier = storage.read_json(chosen.output)["runs"]
    result: dict[str, Any] = {
        "benchmark": "quality",
        "machine": common.describe_machine(),
        "runs": [],
        "comparisons": [],
    }
    for settings in planned_runs(chosen):
        identity = identity_of(settings, corpus)
        kept = (run for run in earlier if all(run.get(key) == identity[key] for key in identity))
        run = next(kept, None) or train_and_score(settings, corpus, benchmarks)
        result["runs"].append(run)
        result["comparisons"] = compare(result["runs"], benchmarks)
        common.write_result(chosen.output, result)
        figures = ", ".join(f"{n} {100 * s['score']:.1f}" for n, s in run["scores"].items())
        print(
            f"{settings.type} seed {settings.seed} {settings.trainer}: {figures}; "
            f"{run['words_per_second']:,.0f} words/s",
            flush=True,
        )
    print_runs(result["runs"])
    print_comparisons(result["comparisons"])
    print(f"\nwritten: {chosen.output}")


if __name__ == "__main__":
    main()
