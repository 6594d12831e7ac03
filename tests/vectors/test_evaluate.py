"""Benchmarks in their native layouts, scores by the stated rules, intervals, paired comparison."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from vectors_helper import royal

from fastw2v.errors import DataError, UsageError
from fastw2v.vectors import evaluation as bootstrap
from fastw2v.vectors.evaluation import (
    AnalogyBenchmark,
    AnalogyResult,
    PairBenchmark,
    PairsResult,
    evaluate_analogies,
    evaluate_pairs,
    paired_difference,
    read_analogies,
    read_pairs,
)
from fastw2v.vectors.keyed_vectors import KeyedVectors

LAYOUTS = {
    "ws353.csv": "Word 1,Word 2,Human (mean)\nlove,sex,6.77\ntiger,cat,7.35\n",
    "ws353-raters.csv": "Word 1,Word 2,Human (mean),1,2\nlove,sex,6.77,9,6\ntiger,cat,7.35,9,7\n",
    "ws353.tab": "Word 1\tWord 2\tHuman (mean)\nlove\tsex\t6.77\ntiger\tcat\t7.35\n",
    "gensim.tsv": "# The collection\n# Word 1\tWord 2\tHuman\nlove\tsex\t6.77\ntiger\tcat\t7.35\n",
    "SimLex-999.txt": "word1\tword2\tPOS\tSimLex999\tconc(w1)\nlove\tsex\tN\t6.77\t1\n"
    "tiger\tcat\tN\t7.35\t2\n",
    "no-header.txt": "love\tsex\tN\t6.77\t1\r\ntiger\tcat\tN\t7.35\t2\r\n",
    "MEN_dataset_natural_form_full": "love sex 6.77\ntiger cat 7.35\n",
    "MEN_dataset_lemma_form_full": "love-v sex-n 6.77\ntiger-n cat-n 7.35\n",
    "RG65.csv": "love;sex;6.77\ntiger;cat;7.35\n",
    "rw.txt": "love\tsex\t6.77\t1\t9\n\ntiger\tcat\t7.35\t2\t8\n",
    "other-names.csv": "first word,second word,gold score\nlove,sex,6.77\ntiger,cat,7.35\n",
    "bom.txt": "\ufefflove sex 6.77\ntiger cat 7.35\n",
    "bom.csv": '\ufeffword1,word2,score\n"love","sex",6.77\n"tiger","cat",7.35\n',
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_pairs_are_read_in_every_native_layout(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(LAYOUTS[name].encode())
    benchmark = read_pairs(path)
    assert benchmark.pairs == [("love", "sex"), ("tiger", "cat")]
    assert benchmark.gold.tolist() == [6.77, 7.35]
    assert benchmark.name == path.stem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found no pair"),
        (b"# only\n\n", "found no pair"),
        (b"some prose without any figure at all\n", "line 1: expected two words and a score"),
        (b"a\tb\t1\nc\td\n", "line 2: expected two words"),
        (b"a\tb\t1\nc\td\tmuch\n", "line 2: expected two words"),
        (b"a\tb\t1\nc\td\tnan\n", "line 2: expected two words"),
        (b"a\t\xff\t1\n", "not UTF-8"),
    ],
)
def test_what_is_no_pairs_file_is_told(tmp_path, content, message):
    (tmp_path / "p.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_pairs(tmp_path / "p.txt")


def test_analogies_are_read_by_section(tmp_path):
    path = tmp_path / "questions-words.txt"
    path.write_text(
        ": capital\nAthens Greece Oslo Norway\n\n: gram1\na b c d\n: capital\ne f g h\n"
    )
    benchmark = read_analogies(path)
    assert benchmark.sections == ["capital", "gram1"]
    assert benchmark.section_ids.tolist() == [0, 1, 0]
    assert benchmark.questions[0] == ("Athens", "Greece", "Oslo", "Norway")
    path.write_text("a b c d\n")
    assert read_analogies(path).sections == ["questions"]
    for content, message in ((": s\na b c\n", "line 2: expected four"), (": s\n", "no question")):
        path.write_text(content)
        with pytest.raises(DataError, match=message):
            read_analogies(path)
    for reader in (read_pairs, read_analogies):
        for missing in (tmp_path / "none.txt", tmp_path):
            with pytest.raises(UsageError, match="no such file"):
                reader(missing)


def test_pairs_are_scored_by_spearman_and_unknown_ones_left_out():
    vectors = royal()
    pairs = [("King", "queen"), ("man", "pear"), ("the", "plum"), ("apple", "pear"), ("no", "man")]
    gold = np.array([7.0, 1.0, 2.0, 9.0, 8.0])
    result = evaluate_pairs(vectors, PairBenchmark("test", pairs, gold))
    cosines = [vectors.similarity(a.lower(), b) for a, b in pairs[:4]]
    assert result.similarities[:4] == pytest.approx(cosines, abs=1e-6)
    assert result.known.tolist() == [True] * 4 + [False]
    score = result.score()
    assert (score.name, score.items, score.known, score.coverage) == ("test", 5, 4, 0.8)
    assert score.score == pytest.approx(stats.spearmanr(gold[:4], cosines).statistic)
    assert score.score_all == pytest.approx(stats.spearmanr(gold, [*cosines, 0]).statistic)
    assert score.low <= score.score <= score.high


def test_scores_of_nothing_are_nan_and_quiet():
    empty = evaluate_pairs(royal(), PairBenchmark("t", [("x", "y"), ("z", "y")], np.array([1, 2])))
    score = empty.score()
    assert (score.known, score.coverage) == (0, 0.0)
    assert np.isnan([score.score, score.low, score.high, score.score_all]).all()
    two = PairsResult("t", np.array([1.0, 2.0]), np.array([0.1, 0.2])).score()
    assert two.score == pytest.approx(1)
    assert np.isnan(two.low)


def questions(*lines, sections=("one",), ids=None):
    rows = [tuple(line.split()) for line in lines]
    return AnalogyBenchmark("q", rows, list(sections), np.array(ids or [0] * len(rows)))


def naive_answer(vectors, a, b, c):
    units = vectors.vectors / np.linalg.norm(vectors.vectors, axis=1, keepdims=True)
    row = vectors.key_to_index
    scores = units @ (units[row[b]] - units[row[a]] + units[row[c]])
    scores[[row[a], row[b], row[c]]] = -9
    return vectors.index_to_key[int(scores.argmax())]


def test_analogies_are_answered_by_3cosadd_without_the_words_of_the_question():
    vectors = royal()
    result = evaluate_analogies(
        vectors,
        questions("man king woman queen", "man king woman apple", "Man King Woman Queen",
                  "man king woman unheard", "apple pear man man"),
    )  # fmt: skip
    assert result.correct.tolist() == [True, False, True, False, False]
    assert result.known.tolist() == [True, True, True, False, True]
    score = result.score()
    assert (score.items, score.known) == (5, 4)
    assert score.score == 0.5
    assert score.score_all == 0.4
    assert score.low < 0.5 < score.high


def test_batches_of_questions_agree_with_one_at_a_time(monkeypatch):
    monkeypatch.setattr("fastw2v.vectors.evaluation._BATCH_VALUES", 7 * 60)
    rng = np.random.default_rng(1)
    vectors = KeyedVectors([f"w{n}" for n in range(60)], rng.standard_normal((60, 9)))
    asked = [[f"w{n}" for n in rng.choice(60, 3, replace=False)] for _ in range(50)]
    answered = [[*words, naive_answer(vectors, *words)] for words in asked]
    wrong = [[*words, words[0]] for words in asked]
    result = evaluate_analogies(vectors, questions(*map(" ".join, answered + wrong)))
    assert result.correct.tolist() == [True] * 50 + [False] * 50


def test_only_the_most_frequent_words_ask_and_answer():
    vectors = royal()
    benchmark = questions("man king woman queen", "apple pear man king")
    result = evaluate_analogies(vectors, benchmark, restrict_vocab=5)
    assert result.known.tolist() == [True, False]
    assert evaluate_analogies(vectors, benchmark, restrict_vocab=None).known.all()


def test_broken_vectors_neither_ask_nor_answer():
    rows = royal().vectors.copy()
    rows[0] = np.nan
    rows[6] = 0
    vectors = KeyedVectors(royal().index_to_key, rows)
    result = evaluate_analogies(vectors, questions("man king woman queen", "the king the queen"))
    assert result.correct.tolist() == [True, False]
    assert result.known.tolist() == [True, False]
    pairs = PairBenchmark("t", [("the", "king"), ("apple", "king")], np.array([1.0, 2.0]))
    similarities = evaluate_pairs(vectors, pairs).similarities
    # b - a + c points away from the one word that is left, and a broken one is no better answer.
    rows = np.float32([[1, 0], [0.9, 0.1], [0.9, -0.1], [-1, 0], [np.nan, 0]])
    away = KeyedVectors(["a", "b", "c", "d", "broken"], rows)
    assert evaluate_analogies(away, questions("a b c d")).correct.all()
    assert np.isnan(similarities[0])
    assert similarities[1] == 0


def test_sections_and_their_sums():
    ids = [0] * 4 + [1] * 4 + [2] * 2
    known = np.array([1, 1, 1, 0, 1, 1, 1, 1, 0, 0], dtype=bool)
    correct = np.array([1, 0, 1, 0, 1, 0, 0, 0, 0, 0], dtype=bool)
    names = ["family", "gram1-adverb", "gram2-opposite"]
    result = AnalogyResult("q", names, np.array(ids), known, correct)
    scores = {score.name: score for score in result.section_scores()}
    assert list(scores) == [*names, "semantic", "syntactic"]
    assert (scores["family"].known, scores["family"].items) == (3, 4)
    assert scores["family"].score == pytest.approx(2 / 3)
    assert np.isnan(scores["gram2-opposite"].score)
    assert scores["syntactic"].score == 0.25
    assert scores["syntactic"].score_all == pytest.approx(1 / 6)
    assert result.score().score == pytest.approx(3 / 7)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_weighted_spearman_is_spearman_of_the_repeated_items(data):
    size = data.draw(st.integers(3, 12))
    numbers = st.lists(st.integers(0, 5), min_size=size, max_size=size)
    first, second, weights = (np.array(data.draw(numbers), dtype=float) for _ in range(3))
    again = np.repeat(np.arange(size), weights.astype(int))
    found = bootstrap.weighted_spearman(first, second, np.stack([weights, np.ones(size)]))
    for value, chosen in zip(found, (again, np.arange(size)), strict=True):
        x, y = first[chosen], second[chosen]
        if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


def test_intervals_have_the_width_that_theory_says():
    rng = np.random.default_rng(2)
    right = (np.arange(2000) % 4 == 0).astype(float)
    low, high = bootstrap.percentile_interval(bootstrap.resampled_means(right, 4000, 1))
    half = 1.96 * (0.25 * 0.75 / 2000) ** 0.5
    assert (low, high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.1 * half)
    gold = rng.standard_normal(800)
    similar = 0.5 * gold + rng.standard_normal(800)
    score = PairsResult("t", gold, similar).score(resamples=2000)
    theory = 2 * 1.96 * ((1 + score.score**2 / 2) * (1 - score.score**2) ** 2 / 797) ** 0.5
    assert score.high - score.low == pytest.approx(theory, rel=0.15)
    assert score == PairsResult("t", gold, similar).score(resamples=2000)  # seeded


def pair_results(noises, seed=0, size=400):
    rng = np.random.default_rng(seed)
    gold = rng.standard_normal(size)
    return [PairsResult("p", gold, gold + noise * rng.standard_normal(size)) for noise in noises]


def analogy_result(share, seed=0, size=1000, known=None):
    rng = np.random.default_rng(seed)
    known = np.ones(size, dtype=bool) if known is None else known
    correct = rng.random(size) < share
    return AnalogyResult("q", ["s"], np.zeros(size, dtype=int), known, correct & known)


def test_a_better_model_is_told_from_a_worse_one():
    good, bad = pair_results([0.5, 1.5])
    wide = paired_difference([good, analogy_result(0.6)], [bad, analogy_result(0.3, seed=9)])
    wanted = (
        good.score().score - bad.score().score
        + analogy_result(0.6).score().score - analogy_result(0.3, seed=9).score().score
    ) / 2  # fmt: skip
    assert wide.difference == pytest.approx(wanted, abs=1e-9)
    assert 0 < wide.low < wide.difference < wide.high
    other = paired_difference([bad, analogy_result(0.3, seed=9)], [good, analogy_result(0.6)])
    assert other.difference == pytest.approx(-wide.difference)
    assert other.high < 0


def test_resamples_are_shared_so_alike_models_have_a_narrow_interval():
    first, second = pair_results([0.8, 0.8])
    near = PairsResult("p", first.gold, first.similarities + 0.01 * second.similarities)
    apart = paired_difference([first], [second])
    close = paired_difference([first], [near])
    assert paired_difference([first], [first]) == (0, 0, 0)
    assert close.high - close.low < 0.2 * (apart.high - apart.low)
    assert apart.low < apart.difference < apart.high
    same = analogy_result(0.5)
    assert paired_difference([same], [same]) == (0, 0, 0)


def test_seeds_are_averaged():
    one, two, three = pair_results([0.5, 1.0, 1.5])
    both = paired_difference([[one], [two]], [three])
    alone = [paired_difference([model], [three]).difference for model in (one, two)]
    assert both.difference == pytest.approx(np.mean(alone))
    questions_a = [[analogy_result(0.6, seed)] for seed in (1, 2, 3)]
    found = paired_difference(questions_a, [analogy_result(0.3, 4)])
    shares = [result.score().score for (result,) in questions_a]
    assert found.difference == pytest.approx(np.mean(shares) - analogy_result(0.3, 4).score().score)


def test_seeds_that_differ_widen_the_interval():
    """Three seeds that score 0.5 ± 0.2: what items leave open is little beside that."""
    three = [[analogy_result(share, 7)] for share in (0.3, 0.5, 0.7)]
    equal = [[analogy_result(0.5, 7)] for _ in range(3)]
    other = [analogy_result(0.1, 8)]
    wide, narrow = paired_difference(three, other), paired_difference(equal, other)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
    assert wide.high - wide.difference == pytest.approx(0.18, abs=0.05)  # 1.96 · 0.163 / √3
    one = paired_difference(equal[:1], other)  # seeds that are all alike add nothing
    assert narrow.high - narrow.low == pytest.approx(one.high - one.low, rel=0.1)


def test_only_items_that_all_know_are_compared():
    known = np.arange(1000) < 500
    some, everything = analogy_result(0.5, 1, known=known), analogy_result(0.5, 2)
    found = paired_difference([some], [everything])
    back = paired_difference([everything], [some])
    assert back.difference == pytest.approx(-found.difference)
    wanted = some.correct[:500].mean() - everything.correct[:500].mean()
    assert found.difference == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([], pair_results([1]), "no results"),
        (pair_results([1]), pair_results([1, 2]), "1 tests on one side, 2"),
        (pair_results([1]), [analogy_result(0.5)], "different tests"),
        (pair_results([1]), pair_results([1], size=99), "different tests"),
        ([pair_results([1, 2]), pair_results([1])], pair_results([1, 2]), "every seed"),
        ([analogy_result(0.5, known=np.arange(1000) < 2)], [analogy_result(0.5)], "fewer than 3"),
    ],
)
def test_what_cannot_be_compared_is_refused(first, second, message):
    with pytest.raises(UsageError, match=message):
        paired_difference(first, second)


def test_a_whole_analogy_file_takes_seconds_and_its_intervals_less():
    rng = np.random.default_rng(0)
    vectors = KeyedVectors([f"w{n}" for n in range(10_000)], rng.standard_normal((10_000, 100)))
    rows = [tuple(f"w{n}" for n in row) for row in rng.integers(0, 10_000, (5000, 4))]
    benchmark = AnalogyBenchmark("q", rows, ["s"], np.zeros(5000, dtype=int))
    start = time.perf_counter()
    evaluate_analogies(vectors, benchmark).section_scores()
    assert time.perf_counter() - start < 10
