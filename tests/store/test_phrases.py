"""Phrases: the kernels against a twin on lists of strings, and against gensim on real text."""

from __future__ import annotations

import dataclasses
import gzip
import math
import re
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastw2v.errors import DataError, UsageError
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.phrases import pairs as phrase_pairs
from fastw2v.store.phrases.pairs import PairFile, add_up_pairs, counting_pairs, partitions_for
from fastw2v.store.phrases.phrases import Phrase, Phrases, PhraseText, connectors_of, load_phrases
from fastw2v.store.phrases.search import (
    ENGLISH,
    PhraseSearch,
    PhraseSettings,
    count_unit_joins,
    count_unit_pairs,
    joined_batches,
    load_connectors,
    load_plan,
)

NONE = np.empty(0, np.int64)


def settings_of(**changes) -> PhraseSettings:
    return dataclasses.replace(PhraseSettings(2, "default", 1.0, 1, 2, "_"), **changes)


# --- the twin ---


def candidates(sentence, connectors):
    """(left, connectors, right) of neighbors, as gensim's Phrases counts them."""
    left, between = None, []
    for word in sentence:
        if word in connectors:
            between.append(word)
            continue
        if left is not None:
            yield (left, *between, word)
        left, between = word, []


def joined_sentence(sentence, phrases, connectors):
    """As word2phrase.c writes a line: from left to right, no word in two phrases."""
    result, left, between = [], None, []
    for word in sentence:
        if word in connectors:
            result.append(word)
            between.append(word)
            continue
        name = phrases.get((left, *between, word)) if left is not None else None
        if name is None:
            result.append(word)
            left, between = word, []
        else:
            del result[len(result) - 1 - len(between) :]
            result.append(name)
            left, between = None, []
    return result


def naive_score(how, pair, left, right, total):
    if how.score == "npmi":
        ratio = (pair / total) / ((left / total) * (right / total))
        return round(math.log(ratio) / -math.log(pair / total), 6)
    return (pair - how.delta) / (float(left) * float(right)) * total


def naive_search(sentences, how):
    """({parts: (count, score)} of each pass, sentences with their phrases joined)."""
    connectors, passes = set(how.connectors), []
    for _ in range(how.passes):
        words = Counter(word for sentence in sentences for word in sentence)
        pairs = Counter(p for sentence in sentences for p in candidates(sentence, connectors))
        found = {}
        for parts, count in pairs.items():
            score = naive_score(how, count, words[parts[0]], words[parts[-1]], words.total())
            if count >= how.min_count and score > how.threshold:
                found[parts] = (count, score)
        names = {parts: how.separator.join(parts) for parts in found}
        sentences = [joined_sentence(sentence, names, connectors) for sentence in sentences]
        passes.append(found)
    return passes, sentences


# --- the search as preprocess drives it ---


def batches_of(sentences, row_of, size):
    for start in range(0, len(sentences), size):
        batch = [sentence for sentence in sentences[start : start + size] if sentence]
        ids = [row_of.get(word, -1) for sentence in batch for word in sentence]
        yield np.array(ids, np.int32), np.array([len(s) for s in batch], np.int64)


def search(place: Path, sentences, how, *, unit=10**9, batch=10**9, least=1, **limits):
    """(search, counts, sentences joined) of units of `unit` sentences."""
    counts = Counter(word for sentence in sentences for word in sentence)
    words = [word for word, count in counts.items() if count >= least]
    row_of = {word: row for row, word in enumerate(words)}
    found = PhraseSearch(words, np.array([counts[word] for word in words]), how)
    units = [sentences[start : start + unit] for start in range(0, len(sentences), unit)]
    for _ in range(how.passes):
        paths = []
        found.plan.save(place / "plan.npz")
        for number, part in enumerate(units):
            paths.append(place / f"pairs-{number}")
            plan = load_plan(place / "plan.npz")
            assert plan.fingerprint == found.plan.fingerprint
            count_unit_pairs(plan, batches_of(part, row_of, batch), paths[-1], **limits)
        found.add_pass(paths, threads=2)
    paths, joined = [], []
    for number, part in enumerate(units):
        paths.append(place / f"joins-{number}.npy")
        count_unit_joins(found.plan, batches_of(part, row_of, batch), paths[-1])
        for ids, lengths in joined_batches(found.plan, batches_of(part, row_of, batch)):
            rows = np.split(ids, np.cumsum(lengths)[:-1]) if len(lengths) else []
            joined += [[found.tokens[i] if i >= 0 else None for i in row] for row in rows]
    return found, found.counts(paths), joined


def assert_same(found, counts, joined, expected, sentences_joined):
    by_pass = [{} for _ in expected]
    for row in found.phrases():
        by_pass[row.pass_number - 1][row.parts] = (row.pair_count, row.score)
    assert by_pass == expected
    kept = [sentence for sentence in sentences_joined if sentence]
    assert joined == kept
    wanted = Counter(word for sentence in kept for word in sentence)
    assert {t: c for t, c in zip(counts.tokens, counts.counts.tolist(), strict=True) if c} == wanted


WORDS = ["a", "b", "c", "d", "a_b", "of", "the"]


@settings(max_examples=50, deadline=None)
@given(
    sentences=st.lists(st.lists(st.sampled_from(WORDS), max_size=12), min_size=1, max_size=30),
    passes=st.integers(1, 3),
    score=st.sampled_from(["default", "npmi"]),
    threshold=st.sampled_from([0.0, 0.2, 0.5, 1.0, 3.0]),
    delta=st.integers(1, 3),
    connectors=st.sampled_from([(), ("of",), ("of", "the")]),
    cuts=st.tuples(st.integers(1, 31), st.integers(1, 31), st.integers(1, 40), st.integers(1, 9)),
)
def test_kernels_find_and_join_what_the_twin_does(
    tmp_path_factory, sentences, passes, score, threshold, delta, connectors, cuts
):
    how = settings_of(
        passes=passes, score=score, threshold=threshold, delta=delta, connectors=connectors
    )
    place = tmp_path_factory.mktemp("phrases")
    unit, batch, buffer_pairs, tokens_per_partition = cuts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrase_pairs, "_TOKENS_PER_PARTITION", tokens_per_partition)
        found, counts, joined = search(
            place, sentences, how, unit=unit, batch=batch, buffer_pairs=buffer_pairs
        )
    expected, result = naive_search(sentences, how)
    assert_same(found, counts, joined, expected, result)
    before = sum(map(len, sentences))
    assert counts.tokens_joined == before - sum(map(len, result))
    phrases = found.phrases()
    assert [phrases.join_tokens(sentence) for sentence in sentences] == result
    assert text_joined(sentences, phrases, counts) == [
        [word if counts_of(counts).get(word, 0) >= 2 else None for word in sentence]
        for sentence in result
        if sentence
    ]


def counts_of(counts):
    return dict(zip(counts.tokens, counts.counts.tolist(), strict=True))


def text_joined(sentences, phrases, counts):
    """`PhraseText` on the same text, with a vocabulary of what occurs twice."""
    vocabulary = [token for token, count in counts_of(counts).items() if count >= 2]
    text = PhraseText(vocabulary, phrases)
    row_of = {token: row for row, token in enumerate(text.tokens)}
    result = []
    for ids, lengths in batches_of(sentences, row_of, 10**9):
        joined, lengths = text.join(ids, lengths)
        rows = np.split(joined, np.cumsum(lengths)[:-1]) if len(lengths) else []
        result += [[text.tokens[i] if i >= 0 else None for i in row] for row in rows]
    return result


@settings(max_examples=15, deadline=None)
@given(
    sentences=st.lists(
        st.lists(st.sampled_from("abcdefghij"), max_size=9), min_size=2, max_size=40
    ),
    connectors=st.sampled_from([(), ("a", "b")]),
)
def test_words_too_rare_for_phrases_need_no_ids(tmp_path_factory, sentences, connectors):
    how = settings_of(threshold=0.5, min_count=3, connectors=connectors)
    place = tmp_path_factory.mktemp("phrases")
    _, everything, joined = search(place, sentences, how)
    found, counts, with_gaps = search(place, sentences, how, least=3)
    known = set(counts.tokens)
    assert with_gaps == [[w if w in known else None for w in sentence] for sentence in joined]
    both = counts_of(everything)
    assert counts_of(counts) == {token: both[token] for token in counts.tokens}
    assert len(found.phrases()) == sum(map(len, naive_search(sentences, how)[0]))


# --- cases by hand ---


def test_joining_is_greedy_from_the_left(tmp_path):
    sentences = [list("abc")] * 4 + [list("xbcx")] * 4 + [list("yabz")] * 4
    how = settings_of(passes=1, threshold=0.5)
    _, counts, joined = search(tmp_path, sentences, how)
    assert joined[0] == ["a_b", "c"]
    assert joined[8] == ["y_a", "b_z"]
    assert counts_of(counts)["a_b"] == 4


def test_a_score_equal_to_the_threshold_is_no_phrase(tmp_path):
    sentences = [["a", "b"]] * 3 + [["c"]]  # (3 - 1) / (3 · 3) · 7
    score = 2 / 9 * 7
    for threshold, expected in ((score, 0), (np.nextafter(score, 0), 1)):
        how = settings_of(passes=1, threshold=float(threshold))
        found, _, _ = search(tmp_path, sentences, how)
        assert len(found.phrases()) == expected


def test_two_passes_make_phrases_of_four_words(tmp_path):
    sentences = [["new", "york", "stock", "exchange"]] * 5 + [["a"], ["b"]] * 10
    found, counts, joined = search(tmp_path, sentences, settings_of(threshold=1.0))
    assert joined[0] == ["new_york_stock_exchange"]
    assert counts_of(counts)["new_york"] == 0
    assert counts.tokens_joined == 15
    assert found.phrases().join_tokens(["new", "york", "stock"]) == ["new_york", "stock"]


def test_a_phrase_shares_the_row_of_a_word_of_the_same_spelling(tmp_path):
    sentences = [["new", "york"]] * 4 + [["new_york"]] * 3 + [["it"]] * 9
    found, counts, _ = search(tmp_path, sentences, settings_of(passes=1, threshold=2.0))
    assert found.tokens.count("new_york") == 1
    assert counts_of(counts)["new_york"] == 7


def test_connectors_stand_inside_a_phrase_in_any_number(tmp_path):
    chain = ["of", "the", "of", "the", "of", "the", "of", "the"]
    sentences = [["end", *chain, "day"], ["of", "end", "of"], ["the", "day", "the"]] * 5
    how = settings_of(passes=1, threshold=0.1, connectors=("of", "the"))
    found, counts, joined = search(tmp_path, sentences, how)
    assert [row.connectors for row in found.phrases()] == [tuple(chain)]
    assert joined[:3] == [["_".join(["end", *chain, "day"])], ["of", "end", "of"],
                          ["the", "day", "the"]]  # fmt: skip
    assert counts_of(counts)["of"] == 10
    assert found.phrases().join_tokens(["the", "end", *chain, "day"])[1] == joined[0][0]


def test_a_chain_that_is_too_long_breaks_the_phrase(tmp_path):
    longest = connectors_of(np.arange(3), 5).longest
    assert longest == 31
    for length, expected in ((longest, 1), (longest + 1, 0)):
        sentences = [["x", *["of"] * length, "y"]] * 5 + [["of", "a", "the"]]
        how = settings_of(passes=1, threshold=0.0, connectors=("a", "of", "the"))
        found, _, joined = search(tmp_path, sentences, how)
        assert len(found.phrases()) == expected
        assert len(joined[0]) == (1 if expected else length + 2)


# --- memory and the order of work ---


def zipf_batches(tokens=400_000, seed=1):
    rng = np.random.default_rng(seed)
    ids = (rng.zipf(1.1, tokens) % 50_000).astype(np.int32)
    ids[ids == 49_999] = -1
    return [(part, np.full(100, len(part) // 100)) for part in np.split(ids, 10)]


def test_buffers_that_go_to_disk_count_the_same(tmp_path):
    connectors, results, rows = connectors_of(np.arange(3), 50_000), [], []
    for limits in ({}, {"buffer_pairs": 50_000}):
        with counting_pairs(tmp_path / "pairs", 7, connectors, NONE, **limits) as counter:
            for batch in zipf_batches():
                counter.add(*batch)
        file = PairFile(tmp_path / "pairs")
        rows.append([len(file.read(partition, 7, 50_000).pairs) for partition in range(7)])
        results.append(add_up_pairs([file], lambda found: found, 7, 50_000))
    assert sum(rows[1]) > sum(rows[0]) == len(results[0].pairs)  # some pairs are in many buffers
    assert max(rows[0]) < 1.2 * min(rows[0])  # no partition is much larger than another
    for unbounded, bounded in zip(*results, strict=True):
        np.testing.assert_array_equal(unbounded, bounded)
    ids = np.concatenate([part.reshape(100, -1) for part, _ in zipf_batches()])
    words = [[str(i) if i >= 0 else None for i in row] for row in ids.tolist()]
    twin = Counter(
        pair for row in words for pair in candidates(row, {"0", "1", "2"}) if None not in pair
    )
    # A word that is not known breaks a pair, and is not looked over.
    assert int(results[0].counts.sum()) == sum(twin.values())
    assert sorted(results[0].counts.tolist()) == sorted(twin.values())


def test_the_split_into_units_and_partitions_changes_nothing(tmp_path):
    connectors = connectors_of(NONE, 50_000)
    batches, whole = zipf_batches(), None
    for units, partitions in ((1, 1), (3, 2), (10, 50)):
        paths = [tmp_path / str(unit) for unit in range(units)]
        for unit, path in enumerate(paths):
            with counting_pairs(path, partitions, connectors, NONE, buffer_pairs=50_000) as counter:
                for batch in batches[unit::units]:
                    counter.add(*batch)
        files = [PairFile(path) for path in reversed(paths)]
        found = add_up_pairs(files, lambda found: found, partitions, 50_000, threads=2)
        assert sum(file.tokens for file in files) == 400_000
        whole = whole or found
        for expected, computed in zip(whole, found, strict=True):
            np.testing.assert_array_equal(expected, computed)
    pairs = Counter(
        (left, right)
        for part, _ in batches
        for row in part.reshape(100, -1).tolist()
        for left, right in pairwise(row)
        if left >= 0 and right >= 0
    )
    keys = zip((whole.pairs >> 32).tolist(), (whole.pairs & 0xFFFFFFFF).tolist(), strict=True)
    assert dict(zip(keys, whole.counts.tolist(), strict=True)) == pairs


def test_a_text_has_as_many_partitions_as_fit_into_memory_one_by_one():
    assert partitions_for(1000) == 1
    for tokens in (10**8, 10**9, 10**10):
        assert tokens / partitions_for(tokens) <= 1 << 22
    assert partitions_for(10**13) == 1 << 12


def test_a_unit_without_pairs_is_fine(tmp_path):
    found, counts, joined = search(tmp_path, [["a"], [], ["b"]], settings_of(), unit=1)
    assert (len(found.phrases()), joined) == (0, [["a"], ["b"]])
    assert counts.tokens_joined == 0


# --- files ---


@pytest.mark.parametrize("change", ["cut", "bytes", "empty", "ids", "totals", "gone"])
def test_damaged_counts_of_pairs_are_refused(tmp_path, change):
    path = tmp_path / "pairs"
    with counting_pairs(path, 1, connectors_of(NONE, 50_000), NONE) as counter:
        counter.add(*zipf_batches()[0])
    content, totals = bytearray(path.read_bytes()), tmp_path / "pairs.npy"
    if change == "cut":
        content = content[:-20]
    elif change == "bytes":
        content[8:2000] = b"\xff" * 1992
    elif change == "empty":
        content.clear()
    elif change == "totals":
        totals.write_bytes(b"no")
    elif change == "gone":
        totals.unlink()
    path.write_bytes(content)
    num_ids = 40_000 if change == "ids" else 50_000
    with pytest.raises(DataError, match=r"damaged counts of (pairs|phrases)"):
        add_up_pairs([PairFile(path)], lambda found: found, 1, num_ids)


def test_counts_of_another_search_are_refused(tmp_path):
    sentences = [["a", "b"]] * 5 + [["c"]]
    found, _, _ = search(tmp_path, sentences, settings_of(passes=1, threshold=0.5))
    assert len(found.phrases()) == 1
    np.save(tmp_path / "other.npy", np.zeros(3, np.int64))
    with pytest.raises(DataError, match="do not belong together"):
        found.counts([tmp_path / "other.npy"])
    (tmp_path / "other.npy").write_bytes(b"no")
    with pytest.raises(DataError, match="damaged"):
        found.counts([tmp_path / "other.npy"])
    for content in ((tmp_path / "plan.npz").read_bytes()[:-30], b"no"):
        (tmp_path / "plan.npz").write_bytes(content)
        with pytest.raises(DataError, match="not a plan"):
            load_plan(tmp_path / "plan.npz")


ROWS = [
    Phrase("new_york", "new", (), "york", 9, 120.5, 1),
    Phrase("end_of_the_day", "end", ("of", "the"), "day", 12, 300.0, 1),
    Phrase("new_york_city", "new_york", (), "city", 5, 99.0, 2),
]


def test_phrases_are_saved_and_read_back(tmp_path):
    path = tmp_path / "phrases.parquet"
    Phrases(ROWS).save(path)
    first = path.read_bytes()
    loaded = load_phrases(path)
    assert [row.phrase for row in loaded] == ["end_of_the_day", "new_york", "new_york_city"]
    assert loaded == Phrases(ROWS)
    assert loaded.rows[0] == ROWS[1]
    Phrases(reversed(ROWS)).save(path)
    assert path.read_bytes() == first
    Phrases([]).save(path)
    assert load_phrases(path).join_tokens(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    "row",
    [
        Phrase("new", "new", (), "york", 9, 1.0, 1),
        Phrase("new_york", "new", (), "", 9, 1.0, 1),
        Phrase("of_york", "of", (), "york", 9, 1.0, 1),
        Phrase("b_c", "b", (), "c", 0, 1.0, 1),
        Phrase("b_c", "b", (), "c", 1, 1.0, 0),
        ROWS[0],
    ],
)
def test_phrases_that_cannot_be_are_refused(tmp_path, row):
    Phrases([*ROWS, row]).save(tmp_path / "phrases.parquet")
    with pytest.raises(DataError, match=r"cannot be one|is in it twice"):
        load_phrases(tmp_path / "phrases.parquet")


def test_other_files_are_no_phrases(tmp_path):
    from fastw2v.store.vocabulary import Vocabulary

    Vocabulary(["a", "b"], [2, 1]).save(tmp_path / "v.parquet")
    (tmp_path / "text").write_text("new york")
    for name, words in (("v.parquet", "expected columns"), ("text", "Parquet"), ("no", "be read")):
        with pytest.raises(DataError, match=words):
            load_phrases(tmp_path / name)


def test_a_phrase_comes_apart_where_it_is_not_known():
    phrases = Phrases(ROWS)
    known = {"new", "york", "city", "new_york", "end", "day"}
    assert phrases.join_tokens(["new", "york", "city"]) == ["new_york_city"]
    assert phrases.join_known(["New", "York", "City"], known) == ["new_york", "city"]
    assert phrases.join_known(["end", "of", "the", "day"], known) == ["end", "of", "the", "day"]


# --- options ---


def test_options_of_phrases():
    assert PhraseSettings.of(PreprocessConfig()) is None
    how = PhraseSettings.of(PreprocessConfig(phrases=2, min_count=9), ["of", "a", "of"])
    assert (how.passes, how.threshold, how.delta, how.min_count) == (2, 100.0, 5, 9)
    assert how.connectors == ("a", "of")
    how = PhraseSettings.of(PreprocessConfig(phrases=1, phrase_score="npmi", phrase_min_count=7))
    assert (how.threshold, how.min_count) == (0.5, 7)
    how = PhraseSettings.of(PreprocessConfig(phrases=1, phrase_threshold=0))
    assert how.threshold == 0.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"phrase_threshold": 3}, "applies only with `phrases`"),
        ({"connectors": "english"}, "`connectors` applies only with `phrases`"),
        ({"phrases": 1, "phrase_score": "npmi", "phrase_threshold": 1}, "must be less than 1"),
        ({"phrases": 1, "phrase_threshold": -0.5}, "must be at least 0; got -0.5"),
        ({"phrases": 1, "phrase_separator": " "}, "white space"),
        ({"phrases": 1, "phrase_separator": ""}, "empty"),
        ({"phrases": 1, "vocabulary": "a.store"}, "leave out `phrases`"),
        ({"phrases": -1}, "too small|at least 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        PreprocessConfig(**options)


def test_connectors_of_a_file(tmp_path):
    assert load_connectors(None, str.split) == []
    assert set(ENGLISH) < set(load_connectors("english", str.split))
    (tmp_path / "c.txt").write_text("of the\nof\n")
    assert load_connectors(str(tmp_path / "c.txt"), str.split) == ["of", "the"]
    (tmp_path / "none.txt").write_text(" \n")
    (tmp_path / "many.txt").write_text(" ".join(map(str, range(2000))))
    (tmp_path / "bytes.txt").write_bytes(b"\xff")
    for name, words in (
        ("none.txt", "no word"), ("many.txt", "2,000 words"), ("gone", "no such"), (".", "regular"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=words):
            load_connectors(str(tmp_path / name), str.split)
    with pytest.raises(DataError, match="UTF-8"):
        load_connectors(str(tmp_path / "bytes.txt"), str.split)


# --- gensim ---


@pytest.fixture(scope="module")
def review_sentences(reviews):
    with gzip.open(sorted(reviews.glob("*.txt.gz"))[0], "rt", encoding="utf-8") as file:
        lines = [re.findall(r"[a-z0-9']+", line.lower()) for line in islice(file, 600)]
    return [line for line in lines if line]


def word2phrase_score(
    worda_count, wordb_count, bigram_count, len_vocab, min_count, corpus_word_count
):
    """gensim's own default has the size of its vocabulary, pairs and all, where this has words."""
    if not worda_count or not wordb_count:
        return float("-inf")
    return (bigram_count - min_count) / float(worda_count * wordb_count) * corpus_word_count


@pytest.mark.parametrize(
    ("score", "threshold", "connectors"),
    [("default", 20.0, ENGLISH), ("npmi", 0.4, ()), ("npmi", 0.5, ENGLISH)],
)
def test_phrases_of_reviews_are_gensims(tmp_path, review_sentences, score, threshold, connectors):
    gensim = pytest.importorskip(
        "gensim.models.phrases", reason="gensim is not installed (extra: bench)"
    )
    text, models = review_sentences, []
    for _ in range(2):
        model = gensim.Phrases(
            text, min_count=5, threshold=threshold, delimiter="_",
            connector_words=frozenset(connectors),
            scoring=word2phrase_score if score == "default" else "npmi",
        )  # fmt: skip
        models.append(model)
        text = [model[sentence] for sentence in text]
    how = settings_of(score=score, threshold=threshold, delta=5, min_count=5, connectors=connectors)
    found, counts, joined = search(tmp_path, review_sentences, how, unit=200, batch=50, least=5)
    known = set(counts.tokens)
    assert joined == [[w if w in known else None for w in sentence] for sentence in text]
    for number, model in enumerate(models, start=1):
        rows = [row for row in found.phrases() if row.pass_number == number]
        assert len(rows) > (50 if number == 1 else 2)
        for row in rows:
            phrase, theirs = model.score_candidate(row.left, row.right, list(row.connectors))
            assert (phrase, theirs) == (row.phrase, pytest.approx(row.score, rel=1e-12, abs=1e-6))
