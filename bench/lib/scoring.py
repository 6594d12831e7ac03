"""Scores of trained vectors as plain values for result files, and what is made of several runs.

A run is one trained model: its `settings` (of `peers.Settings`), `scores` by test, its held-out
loss, its speed. Runs are grouped by dimension, epochs and model; a trainer's seeds are averaged,
and in nothing but their seeds may its runs of a group differ.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any, NamedTuple

from bench.lib import results, split
from bench.report.tables import LOSS, MEAN, TESTS
from fastw2v.errors import UsageError
from fastw2v.vectors.evaluation import (
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
COMPARISONS = {MEAN: TESTS, **{test: (test,) for test in TESTS}}
BASELINE = "gensim"


class Group(NamedTuple):
    """What runs must have in common to be compared; `model` is one of `quality.MODELS`."""

    dim: int
    epochs: int
    model: str


def model_of(settings: dict[str, Any]) -> str:
    """The type, and `_mean` where CBOW's gradient is divided (the peers' is not)."""
    mean = settings["ours"].get("cbow_gradient") == "mean"
    return str(settings["type"]) + ("_mean" if mean else "")


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
            answers = {"ranks": results.pack_ranks(result.similarities)}
        else:
            result = evaluate_analogies(vectors, benchmark)
            answers = {
                "known": results.pack_bits(result.known),
                "correct": results.pack_bits(result.correct),
            }
        whole = result.score()
        scores[name] = {
            "score": whole.score, "low": whole.low, "high": whole.high,
            "items": whole.items, "known": whole.known, "answers": answers,
        }  # fmt: skip
    return scores


def restore(name: str, scores: dict[str, Any], benchmark: Any) -> PairsResult | AnalogyResult:
    """The result that `score` put into plain values; of similarities, their order."""
    answers = scores[name]["answers"]
    if name in PAIRS:
        ranks = results.unpack_ranks(answers["ranks"])
        return PairsResult(benchmark.name, benchmark.gold, ranks)
    count = len(benchmark.questions)
    known = results.unpack_bits(answers["known"], count)
    correct = results.unpack_bits(answers["correct"], count)
    return AnalogyResult(benchmark.name, benchmark.sections, benchmark.section_ids, known, correct)


def group_of(run: dict[str, Any]) -> Group:
    """The group that a run is of."""
    settings = run["settings"]
    return Group(settings["dim"], settings["epochs"], model_of(settings))


def settings_of(runs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The settings, seed apart, that all the runs have.

    Raises:
        UsageError: they have different ones, so that they are no seeds of one trainer.
    """
    found: list[dict[str, Any]] = []
    for run in runs:
        settings = {name: value for name, value in run["settings"].items() if name != "seed"}
        if settings not in found:
            found.append(settings)
    if len(found) != 1:
        names = sorted({name for one in found for name in one if one[name] != found[0].get(name)})
        raise UsageError(
            f"runs of {found[0]['trainer']} differ in {', '.join(names)}, not only in their seeds: "
            "give them result files of their own (--output)"
        )
    return found[0]


def by_trainer(runs: Iterable[dict[str, Any]], group: Group) -> dict[str, list[dict[str, Any]]]:
    """The runs of a group, seeds in order; with the baseline's, for a model that it lacks.

    Raises:
        UsageError: a trainer has runs of more than one setting.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    stand_in = group._replace(model=group.model.removesuffix("_mean"))
    for run in sorted(runs, key=lambda run: int(run["settings"]["seed"])):
        trainer = run["settings"]["trainer"]
        if group_of(run) == (stand_in if trainer == BASELINE else group):
            found.setdefault(trainer, []).append(run)
    for side in found.values():
        settings_of(side)
    return found


def differences_of(
    ours: list[dict[str, Any]], theirs: list[dict[str, Any]], benchmarks: dict[str, Any]
) -> dict[str, tuple[float, float, float]]:
    """Scores of one side less the other's, with 95 % intervals, by `COMPARISONS`."""
    found = {}
    for name, tests in COMPARISONS.items():
        sides = [
            [[restore(test, run["scores"], benchmarks[test]) for test in tests] for run in side]
            for side in (ours, theirs)
        ]
        difference, low, high = paired_difference(sides[0], sides[1])
        found[name] = (difference, low, high)
    return found


def mean_scores(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Means over the runs by test, and the mean of these."""
    scores = {test: statistics.mean(run["scores"][test]["score"] for run in runs) for test in TESTS}
    return {**scores, MEAN: statistics.mean(scores.values())}


def compare(
    runs: list[dict[str, Any]], group: Group, benchmarks: dict[str, Any]
) -> list[dict[str, Any]]:
    """Every trainer of the group less the baseline, with 95 % intervals; [] without a baseline.

    Bootstraps over items and seeds: `evaluate.paired_difference`, `split.loss_difference`.
    """
    trainers = by_trainer(runs, group)
    theirs = trainers.pop(BASELINE, [])
    rows = []
    for trainer, ours in trainers.items() if theirs else ():
        differences = differences_of(ours, theirs, benchmarks)
        differences[LOSS] = split.loss_difference(
            [run["holdout"] for run in ours], [run["holdout"] for run in theirs]
        )
        rows += [
            {
                **group._asdict(), "trainer": trainer, "peer": BASELINE, "comparison": name,
                "difference": difference, "low": low, "high": high,
                "seeds": [len(ours), len(theirs)],
            }
            for name, (difference, low, high) in differences.items()
        ]  # fmt: skip
    return rows


def summarize(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each trainer's means over its seeds, and the median of its words/s, in order of group."""
    rows = []
    for group in sorted({group_of(run) for run in runs}):
        trainers = by_trainer(runs, group)
        for trainer in sorted(trainers, key=lambda name: (name != BASELINE, name)):
            found = trainers[trainer]
            if group_of(found[0]) != group:
                continue  # a stand-in has its row in its own group
            rates = [run["words_per_second"] for run in found]
            rows.append(
                {
                    **group._asdict(),
                    "trainer": trainer,
                    "settings": settings_of(found),
                    "seeds": len(found),
                    "scores": mean_scores(found),
                    "holdout": statistics.mean(run["holdout"]["loss"] for run in found),
                    "words_per_second": statistics.median(rates),
                }
            )
    return rows
