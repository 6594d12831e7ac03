"""Scores of vectors on word pairs (Spearman) and analogies (3CosAdd), with bootstrap intervals.

A word is looked up as it stands, then in lower case. A pair or question with an unknown word is
left out of the score; a second score counts it as similarity 0 or as wrong.

Intervals are the middle 95 % over resamples of the items. A resample is a vector of how often each
item was drawn (multinomial), so statistics of all resamples are a few array operations, and several
models share the same draws; `scipy.stats.bootstrap` takes 4 times as long for Spearman's rho, and
2,000 times for shares of right answers.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastw2v.errors import DataError, UsageError
from fastw2v.vectors.keyed_vectors import KeyedVectors, most_frequent

# What published files call the column of human scores, in the order of preference.
_SCORE_COLUMNS = (
    "human (mean)", "simlex999", "score", "mean", "rating", "similarity", "relatedness",
    "human", "gold",
)  # fmt: skip
_LEMMA_TAG = re.compile(r".+-[a-z]$")
RESAMPLES = 1000
RESAMPLING_SEED = 1
_CHUNK_VALUES = 1 << 20  # resamples x items held at a time
RESTRICT_VOCAB = 300_000  # gensim's: only the most frequent words ask and answer analogies
_BATCH_VALUES = 8 << 20  # questions x words scored at a time (32 MB)


@dataclasses.dataclass(frozen=True)
class PairBenchmark:
    """Word pairs with human scores: `gold[n]` says how alike the two words of `pairs[n]` are."""

    name: str
    pairs: list[tuple[str, str]]
    gold: np.ndarray


@dataclasses.dataclass(frozen=True)
class AnalogyBenchmark:
    """Questions "a is to b as c is to d"; `section_ids[n]` indexes `sections`."""

    name: str
    questions: list[tuple[str, str, str, str]]
    sections: list[str]
    section_ids: np.ndarray


def _lines(path: Path) -> list[tuple[int, str]]:
    """(line number, line) of a text file, without empty lines and `#` comments."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise UsageError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text, so not a benchmark file") from error
    numbered = enumerate((line.strip() for line in text.splitlines()), start=1)
    return [(number, line) for number, line in numbered if line and not line.startswith("#")]


def _cells(line: str) -> list[str]:
    for delimiter in ("\t", ",", ";"):
        if line.count(delimiter) >= 2:
            return [cell.strip().strip('"') for cell in line.split(delimiter)]
    return line.split()


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _score_column(header: Sequence[str]) -> int | None:
    names = [name.lower() for name in header]
    known = (names.index(name) for name in _SCORE_COLUMNS if name in names[2:])
    return next(known, None)


def _first_number(cells: Sequence[str]) -> int | None:
    numbers = (place for place in range(2, len(cells)) if _number(cells[place]) is not None)
    return next(numbers, None)


def read_pairs(path: str | Path) -> PairBenchmark:
    """Read WordSim-353, SimLex-999, MEN (natural or lemma form), or any `word word ... score` file.

    Cells are separated by tabs, commas, semicolons or white space. A header line names the score's
    column; without one it is the first that holds a number after the two words.

    Raises:
        UsageError: no such file.
        DataError: a line that is not two words and a score, or no pairs at all.
    """
    path = Path(path)
    expected = "expected two words and a score"
    pairs: list[tuple[str, str]] = []
    gold: list[float] = []
    column: int | None = None
    for place, (number, line) in enumerate(_lines(path)):
        cells = _cells(line)
        if column is None:
            column = _score_column(cells)
            if column is not None:
                continue  # a header with a known name
            column = _first_number(cells)
            if column is None and place == 0 and len(cells) > 2 and cells != line.split():
                continue  # a header with other names
        score = _number(cells[column]) if column is not None and column < len(cells) else None
        if score is None or not cells[0] or not cells[1]:
            raise DataError(f"{path}, line {number}: {expected}, found {line[:60]!r}")
        pairs.append((cells[0], cells[1]))
        gold.append(score)
    if not pairs:
        raise DataError(f"{path}: {expected} per line, found no pair")
    if all(_LEMMA_TAG.match(word) for pair in pairs for word in pair):  # MEN: sun-n sunlight-n
        pairs = [(first[:-2], second[:-2]) for first, second in pairs]
    return PairBenchmark(path.stem, pairs, np.array(gold))


def read_analogies(path: str | Path) -> AnalogyBenchmark:
    """Read a file in the layout of `questions-words.txt`: `: section` lines, then four words each.

    Raises:
        UsageError: no such file.
        DataError: a line that is not four words, or no question at all.
    """
    path = Path(path)
    sections: dict[str, int] = {}
    questions: list[tuple[str, str, str, str]] = []
    section_ids: list[int] = []
    section = "questions"
    for number, line in _lines(path):
        if line.startswith(":"):
            section = line[1:].strip()
            continue
        words = line.split()
        if len(words) != 4:
            raise DataError(f"{path}, line {number}: expected four words, found {line[:60]!r}")
        questions.append((words[0], words[1], words[2], words[3]))
        section_ids.append(sections.setdefault(section, len(sections)))
    if not questions:
        raise DataError(f"{path}: expected four words per line, found no question")
    return AnalogyBenchmark(path.stem, questions, list(sections), np.array(section_ids))


def percentile_interval(values: np.ndarray) -> tuple[float, float]:
    """The middle 95 % of `values`, without NaN ones; (nan, nan) where none is left."""
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def ratio_interval(
    numerators: np.ndarray, denominators: np.ndarray, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Σ numerators / Σ denominators with its 95 % bootstrap interval over the items.

    With a sequence's loss and positives: the mean loss per positive. With the difference of two
    models' losses: their difference, paired by sequence. NaN where the denominators sum to 0.
    """
    from fastw2v.kernels.validation import resampled_ratios  # compiles: not at every start

    above, below = numerators.astype(np.float64), denominators.astype(np.float64)
    ratios = np.empty(resamples)
    resampled_ratios(above, below, np.uint64(RESAMPLING_SEED), ratios)
    ratio = float(above.sum() / below.sum()) if below.sum() else float("nan")
    return (ratio, *percentile_interval(ratios))


def draw_weights(items: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks of resamples, shape (some, items): how often each item was drawn in each."""
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK_VALUES // items)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        yield rng.multinomial(items, np.full(items, 1.0 / items), size=size).astype(np.float64)


def _weighted_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Rank of each item's value in each resample, equal values sharing their mean rank.

    An item drawn w times counts as w equal values; shape (resamples, items).
    """
    order = np.argsort(values, kind="stable")
    in_order = values[order]
    starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])
    group = np.cumsum(np.r_[0, in_order[1:] != in_order[:-1]])
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    group_ranks = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
    ranks = np.empty_like(weights)
    ranks[:, order] = group_ranks[:, group]
    return ranks


def weighted_spearman(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's rho of `first` and `second`, shape (items,), in each resample of `weights`.

    Equal to `scipy.stats.spearmanr` on the items repeated as often as they were drawn; NaN where a
    resample has one value only.
    """
    middle = (weights.sum(axis=1, keepdims=True) + 1) / 2
    x = _weighted_ranks(first, weights) - middle
    y = _weighted_ranks(second, weights) - middle
    covariance = np.einsum("ri,ri,ri->r", weights, x, y)
    scale = np.einsum("ri,ri,ri->r", weights, x, x) * np.einsum("ri,ri,ri->r", weights, y, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        return covariance / np.sqrt(scale)


def resampled_means(values: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """The mean of `values` over items in each resample.

    Items of equal values are interchangeable, so it is enough to draw how many of each come: exact,
    and cheap for answers that are right or wrong.

    Args:
        values: shape (items,), or (items, models) to share the draws.

    Returns:
        Shape (resamples,), or (resamples, models).
    """
    distinct, counts = np.unique(values, axis=0, return_counts=True)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(values), counts / len(values), size=resamples)
    return drawn @ distinct / len(values)


def seed_shares(seeds: int, resamples: int, seed: int) -> np.ndarray:
    """How much each of a model's training seeds weighs in each resample, shape (resamples, seeds).

    Rows sum to 1: seeds are drawn with replacement, as many as there are.
    """
    rng = np.random.default_rng(seed)
    return rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=resamples) / seeds


class Score(NamedTuple):
    """One line of a result; scores are fractions (Spearman's rho, or the share of right answers).

    `known` of `items` had all their words in the vocabulary and make `score`, with its 95 %
    interval `low` to `high`; `score_all` counts the others as similarity 0 or as wrong.
    """

    name: str
    items: int
    known: int
    score: float
    low: float
    high: float
    score_all: float

    @property
    def coverage(self) -> float:
        """Share of the items whose words are all known."""
        return self.known / self.items if self.items else 0.0


def _spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rho; NaN for fewer than two items or only one value."""
    from scipy import stats

    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


@dataclasses.dataclass(frozen=True)
class PairsResult:
    """Human scores and a model's cosines for the same pairs, in the order of the benchmark.

    `similarities` is NaN where a word is unknown (or its vector not finite).
    """

    name: str
    gold: np.ndarray
    similarities: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Which pairs have a similarity, bool, shape (pairs,)."""
        return ~np.isnan(self.similarities)

    def score(self, resamples: int = RESAMPLES, seed: int = 1) -> Score:
        """Spearman's rho of the known pairs with its interval."""
        known = self.known
        gold, similarities = self.gold[known], self.similarities[known]
        low = high = float("nan")
        if len(gold) > 2:
            draws = draw_weights(len(gold), resamples, seed)
            rhos = [weighted_spearman(gold, similarities, weights) for weights in draws]
            low, high = percentile_interval(np.concatenate(rhos))
        score_all = _spearman(self.gold, np.nan_to_num(self.similarities, nan=0.0))
        rho = _spearman(gold, similarities)
        return Score(self.name, len(self.gold), len(gold), rho, low, high, score_all)


@dataclasses.dataclass(frozen=True)
class AnalogyResult:
    """Which questions a model knew the words of, and which it answered right."""

    name: str
    sections: list[str]
    section_ids: np.ndarray
    known: np.ndarray
    correct: np.ndarray

    def _score_of(self, name: str, chosen: np.ndarray, resamples: int, seed: int) -> Score:
        right = self.correct[chosen & self.known].astype(np.float64)
        items, known = int(chosen.sum()), len(right)
        score = low = high = float("nan")
        if known:
            score = float(right.mean())
            low, high = percentile_interval(resampled_means(right, resamples, seed))
        score_all = float(right.sum()) / items if items else float("nan")
        return Score(name, items, known, score, low, high, score_all)

    def score(self, resamples: int = RESAMPLES, seed: int = 1) -> Score:
        """Accuracy over all the known questions with its interval."""
        everything = np.ones(len(self.known), dtype=bool)
        return self._score_of(self.name, everything, resamples, seed)

    def section_scores(self, resamples: int = RESAMPLES, seed: int = 1) -> list[Score]:
        """Accuracy of each section, then semantic and syntactic ones (`gram...` sections)."""
        groups = [(name, [index]) for index, name in enumerate(self.sections)]
        syntactic = [i for i, name in enumerate(self.sections) if name.startswith("gram")]
        semantic = [i for i in range(len(self.sections)) if i not in syntactic]
        if syntactic and semantic:
            groups += [("semantic", semantic), ("syntactic", syntactic)]
        return [
            self._score_of(name, np.isin(self.section_ids, members), resamples, seed)
            for name, members in groups
        ]


def _rows_of(keyed_vectors: KeyedVectors, items: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Rows of the words of every item, -1 where unknown; shape (items, words of an item)."""
    words = {word for item in items for word in item}
    matched = {word: keyed_vectors.match_case(word) for word in words}
    rows = {w: -1 if m is None else keyed_vectors.key_to_index[m] for w, m in matched.items()}
    return np.array([[rows[word] for word in item] for item in items], dtype=np.intp)


def _unit_rows(keyed_vectors: KeyedVectors, rows: np.ndarray | slice) -> np.ndarray:
    """Copies of vectors scaled to length 1, float32; zeros stay zeros, NaN stays NaN."""
    norms = keyed_vectors.norms[rows]
    with np.errstate(invalid="ignore"):
        return keyed_vectors.vectors[rows] / np.where(norms == 0, 1, norms)[:, None]


def evaluate_pairs(keyed_vectors: KeyedVectors, benchmark: PairBenchmark) -> PairsResult:
    """The cosine of every pair of a benchmark."""
    rows = _rows_of(keyed_vectors, benchmark.pairs)
    first, second = (_unit_rows(keyed_vectors, rows[:, side]) for side in (0, 1))
    with np.errstate(invalid="ignore"):
        cosines = np.einsum("pd,pd->p", first, second).astype(np.float64)
    cosines[(rows < 0).any(axis=1)] = np.nan
    return PairsResult(benchmark.name, benchmark.gold, cosines)


def evaluate_analogies(
    keyed_vectors: KeyedVectors,
    benchmark: AnalogyBenchmark,
    restrict_vocab: int | None = RESTRICT_VOCAB,
) -> AnalogyResult:
    """Answer every question by 3CosAdd: the word nearest to b - a + c, but none of a, b, c.

    As word2vec's compute-accuracy and gensim: vectors are scaled to length 1 first, and only the
    `restrict_vocab` most frequent words take part (None: all); a question with another word counts
    as unknown. Equal cosines go to the more frequent word.
    """
    frequent = most_frequent(keyed_vectors.counts, len(keyed_vectors), restrict_vocab)
    units = _unit_rows(keyed_vectors, frequent)
    broken = np.flatnonzero(~np.isfinite(units).all(axis=1))
    units[broken] = 0.0
    place = np.full(len(keyed_vectors) + 1, -1)  # of each word in `units`; -1 also for row -1
    place[:-1][frequent] = np.arange(len(units))
    rows = place[_rows_of(keyed_vectors, benchmark.questions)]
    answerable = (rows >= 0) & ~np.isin(rows, broken)
    known = np.asarray(answerable.all(axis=1))
    correct = np.zeros(len(rows), dtype=bool)
    asked = np.flatnonzero(known)
    step = max(1, _BATCH_VALUES // max(1, len(units)))
    for start in range(0, len(asked), step):
        batch = asked[start : start + step]
        a, b, c, expected = rows[batch].T
        scores = (units[b] - units[a] + units[c]) @ units.T
        scores[:, broken] = -np.inf
        places = np.arange(len(batch))
        for asked_word in (a, b, c):
            scores[places, asked_word] = -np.inf
        answers = scores.argmax(axis=1)
        correct[batch] = (answers == expected) & np.isfinite(scores[places, answers])
    return AnalogyResult(benchmark.name, benchmark.sections, benchmark.section_ids, known, correct)


class PairedDifference(NamedTuple):
    """Mean score of models A minus that of models B, with its 95 % interval (fractions)."""

    difference: float
    low: float
    high: float


Result = PairsResult | AnalogyResult


def _by_test(results: Sequence, side: str) -> list[list[Result]]:
    """Results as one list of seeds for each test, from one list of tests or one a seed."""
    seeds = [list(results)] if isinstance(results[0], Result) else [list(r) for r in results]
    if not seeds[0] or any(len(seed) != len(seeds[0]) for seed in seeds):
        raise UsageError(f"results {side}: every seed needs one result for each of the same tests")
    return [[seed[test] for seed in seeds] for test in range(len(seeds[0]))]


def _spearmans(
    results: Sequence[PairsResult], chosen: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Spearman's rho of each result in each resample of `chosen` pairs: (resamples, results)."""
    rows = [weighted_spearman(r.gold[chosen], r.similarities[chosen], weights) for r in results]
    return np.stack(rows, axis=1)


def _test_scores(
    everyone: Sequence[Any], resamples: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of results on one test, (results,), and in each resample of its items, which all
    share: (resamples, results)."""
    if len({(type(r), r.name, len(r.known)) for r in everyone}) != 1:
        names = ", ".join(sorted({f"{r.name} ({len(r.known)} items)" for r in everyone}))
        raise UsageError(f"results of different tests cannot be compared: {names}")
    chosen = np.flatnonzero(np.all([result.known for result in everyone], axis=0))
    if len(chosen) < 3:
        raise UsageError(
            f"{everyone[0].name}: fewer than 3 items known to all models; use another test"
        )
    if isinstance(everyone[0], AnalogyResult):
        correct = np.stack([r.correct[chosen] for r in everyone], axis=1).astype(np.float64)
        return correct.mean(axis=0), resampled_means(correct, resamples, seed)
    draws = draw_weights(len(chosen), resamples, seed)
    resampled = np.concatenate([_spearmans(everyone, chosen, weights) for weights in draws])
    return _spearmans(everyone, chosen, np.ones((1, len(chosen))))[0], resampled


def paired_difference(
    results_a: Sequence, results_b: Sequence, resamples: int = RESAMPLES, seed: int = 1
) -> PairedDifference:
    """Compare two models, or two sets of seeds, by the mean of their scores on the same tests.

    Args:
        results_a, results_b: one result per test (in the same order on both sides), or a list of
            such lists, one per training seed; seeds are averaged; their numbers may differ.
        resamples, seed: of the bootstrap over items, which A and B share, and over the seeds of
            each side; items that some model does not know are left out for all. (Questions count
            as independent, although analogies share words: their interval is a lower bound.)

    Raises:
        UsageError: other tests on one side than on the other, or too few common items.
    """
    if not len(results_a) or not len(results_b):
        raise UsageError("nothing to compare: a side has no results")
    tests_a, tests_b = _by_test(results_a, "A"), _by_test(results_b, "B")
    if len(tests_a) != len(tests_b):
        raise UsageError(f"{len(tests_a)} tests on one side, {len(tests_b)} on the other")
    seeds_a, seeds_b = len(tests_a[0]), len(tests_b[0])
    shares_a = seed_shares(seeds_a, resamples, seed + 1000)
    shares_b = seed_shares(seeds_b, resamples, seed + 2000)
    differences, points = [], []
    for test, (results_of_a, results_of_b) in enumerate(zip(tests_a, tests_b, strict=True)):
        scores, resampled = _test_scores([*results_of_a, *results_of_b], resamples, seed + test)
        points.append(scores[:seeds_a].mean() - scores[seeds_a:].mean())
        differences.append(
            (shares_a * resampled[:, :seeds_a]).sum(axis=1)
            - (shares_b * resampled[:, seeds_a:]).sum(axis=1)
        )
    return PairedDifference(
        float(np.mean(points)), *percentile_interval(np.mean(differences, axis=0))
    )
