"""KeyedVectors: gensim's meanings, ties, broken vectors, unknown words, loading models."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors_helper import WORDS, royal, royal_vectors, write_model

from fastw2v.errors import DataError, UsageError
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.vectors.keyed_vectors import KeyedVectors, UnknownWordError, best_rows
from fastw2v.vectors.model import Model


def cosine(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_looks_up_rows():
    vectors = royal()
    assert (len(vectors), vectors.vector_size) == (10, 12)
    assert "king" in vectors
    assert "kong" not in vectors
    assert vectors["king"].shape == (12,)
    assert np.array_equal(vectors[["queen", "the"]], royal_vectors()[[2, 0]])
    assert vectors[[]].shape == (0, 12)
    assert vectors.key_to_index["woman"] == 4
    assert vectors.index_to_key == WORDS
    assert np.array_equal(vectors[3], vectors["man"])  # an int that is no key is a row
    assert np.linalg.norm(vectors.get_vector("king", norm=True)) == pytest.approx(1, abs=1e-6)


def test_is_iterated_by_word():
    assert list(royal()) == WORDS


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v: v.doesnt_match("king queen"), "list of words.*'king queen'"),
        (lambda v: v.n_similarity("king", ["queen"]), "list of words.*'king'"),
        (lambda v: v.doesnt_match(["king"]), "only 'king' is known"),
        (lambda v: v.doesnt_match(["king", "unheard"]), "only 'king' is known"),
        (lambda v: v.doesnt_match([]), "0 words"),
        (lambda v: v.most_similar("king", topn=2.5), "`topn` must be a whole number; got 2.5"),
        (lambda v: v.similar_by_key("king", topn="3"), "`topn` must be a whole number; got '3'"),
        (lambda v: v.most_similar("king", restrict_vocab=2.5), "`restrict_vocab` must be"),
    ],
)
def test_misuse_is_one_line(call, message):
    with pytest.raises(UsageError, match=message):
        call(royal())
    assert len(royal().most_similar("king", topn=np.int64(3))) == 3


def test_cannot_be_written_to():
    source = royal_vectors()
    vectors = KeyedVectors(WORDS, source)
    with pytest.raises(ValueError, match="read-only"):
        vectors.vectors[0] = 0
    with pytest.raises(ValueError, match="read-only"):
        vectors["king"][0] = 0
    source[0] = 0  # the caller's array stays the caller's


def test_most_similar_is_the_cosine_with_the_mean_of_unit_vectors():
    vectors = royal()
    answers = vectors.most_similar(positive=["king", "woman"], negative=["man"], topn=3)
    assert answers[0][0] == "queen"
    assert not {"king", "woman", "man"} & {word for word, _ in answers}
    units = {w: v / np.linalg.norm(v) for w, v in zip(WORDS, royal_vectors(), strict=True)}
    wanted = cosine(units["queen"], units["king"] + units["woman"] - units["man"])
    assert answers[0][1] == pytest.approx(wanted, abs=1e-6)
    scores = [score for _, score in answers]
    assert scores == sorted(scores, reverse=True)


def test_most_similar_takes_words_vectors_weights_and_limits():
    vectors = royal()
    assert vectors.most_similar("apple", topn=2) == vectors.most_similar(["apple"], topn=2)
    assert {word for word, _ in vectors.most_similar("apple", topn=2)} == {"pear", "plum"}
    assert vectors.similar_by_word("apple") == vectors.most_similar("apple")
    assert vectors.most_similar("apple", restrict_vocab=4)[0][0] in WORDS[:4]
    assert len(vectors.most_similar("apple", restrict_vocab=4)) == 4
    assert vectors.similar_by_vector(vectors["king"], topn=1)[0][0] == "king"
    heavy = vectors.most_similar([("king", 1.0), ("apple", 100.0)], topn=1)
    assert heavy[0][0] in ("pear", "plum")
    assert vectors.most_similar("king", topn=None).shape == (10,)
    assert vectors.most_similar("king", topn=0) == []
    assert len(vectors.most_similar("king", topn=1000)) == 9


@pytest.mark.parametrize(
    "arguments", [{}, {"positive": []}, {"positive": "the", "restrict_vocab": 0}]
)
def test_most_similar_refuses_nothing_to_look_for(arguments):
    with pytest.raises(UsageError):
        royal().most_similar(**arguments)


def test_similarity_distance_rank_and_odd_one_out():
    vectors = royal()
    king, apple = vectors["king"], vectors["apple"]
    assert vectors.similarity("king", "apple") == pytest.approx(cosine(king, apple), abs=1e-6)
    assert vectors.distance("king", "apple") == pytest.approx(1 - cosine(king, apple), abs=1e-6)
    two = vectors.n_similarity(["king", "queen"], ["apple"])
    assert two == pytest.approx(cosine(king + vectors["queen"], apple), abs=1e-6)
    nearest = [word for word, _ in vectors.most_similar("king")]
    assert [vectors.rank("king", word) for word in nearest] == list(range(1, 10))
    assert vectors.doesnt_match(["king", "queen", "prince", "pear"]) == "pear"
    assert vectors.doesnt_match(["apple", "unheard", "pear", "man"]) == "man"


def test_ties_go_to_the_lower_id_and_nan_is_never_an_answer():
    rows = np.tile(np.float32([1, 2, 2, 0]), (40, 1))
    rows[7] = np.nan
    rows[9] = np.inf
    rows[11] = 0
    vectors = KeyedVectors([f"w{n}" for n in range(40)], rows)
    assert [word for word, _ in vectors.most_similar("w3", topn=6)] == [
        "w0", "w1", "w2", "w4", "w5", "w6",
    ]  # fmt: skip
    everyone = [word for word, _ in vectors.most_similar("w3", topn=40)]
    assert len(everyone) == 37
    assert everyone[-1] == "w11"  # a zero vector: cosine 0
    assert not {"w7", "w9"} & set(everyone)
    assert vectors.similarity("w3", "w11") == 0.0
    assert np.array_equal(vectors.get_vector("w11", norm=True), np.zeros(4))
    with pytest.raises(DataError, match="not finite"):
        vectors.most_similar("w7")


def test_lengths_neither_overflow_nor_vanish():
    rows = np.float32([[3e30, 4e30], [3e-30, 4e-30], [3, 4]])
    vectors = KeyedVectors(["a", "b", "c"], rows)
    assert vectors.similarity("a", "b") == pytest.approx(1, abs=1e-6)
    assert [score for _, score in vectors.most_similar("c")] == pytest.approx([1, 1], abs=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 0.25, np.nan, -np.inf])), st.integers(0, 8))
def test_best_rows_equals_a_full_sort(scores, topn):
    wanted = sorted(
        (row for row, score in enumerate(scores) if score > -np.inf),
        key=lambda row: (-scores[row], row),
    )[:topn]
    assert best_rows(np.array(scores, dtype=np.float32), topn).tolist() == wanted


def test_an_unknown_word_is_a_usage_error_and_a_key_error_in_one_plain_line():
    with pytest.raises(KeyError) as caught:
        royal()["quen"]
    assert isinstance(caught.value, UsageError)
    assert caught.value.exit_code == 2
    assert str(caught.value) == "'quen' is not in the vocabulary; nearest spellings: queen"
    for call in (
        lambda v: v.similarity("the", "kong"),
        lambda v: v.most_similar("kong"),
        lambda v: v.doesnt_match(["kong"]),
        lambda v: v.n_similarity(["the"], ["kong"]),
    ):
        with pytest.raises(UnknownWordError, match=r"'kong' is not .*spellings: king"):
            call(royal())


def test_spellings_try_other_cases_first_then_likeness_then_frequency():
    words = ["after", "actor", "Actor", "acted", "NASA"]
    vectors = KeyedVectors(words, np.ones((5, 2)))
    assert "spellings: NASA" in str(UnknownWordError("nasa", vectors.key_to_index))
    message = str(UnknownWordError("acter", vectors.key_to_index))
    assert message.endswith("after, actor, acted")
    assert "try another" in str(UnknownWordError("zzzz", vectors.key_to_index))
    odd = str(UnknownWordError("a\n" * 500, vectors.key_to_index))
    assert "\n" not in odd
    assert len(odd) < 200


def test_an_unknown_word_costs_little_among_a_million():
    keys = {f"word{n:x}": n for n in range(1_000_000)}
    start = time.perf_counter()
    for _ in range(1000):
        UnknownWordError("wordx1", keys)  # caught and never shown: nothing is searched
    assert time.perf_counter() - start < 0.1
    assert "word1" in str(UnknownWordError("wordx1", keys))
    assert time.perf_counter() - start < 3


def test_case_is_tried_as_it_stands_then_lower():
    vectors = KeyedVectors(["us", "US", "paris"], np.ones((3, 2)))
    assert [vectors.match_case(w) for w in ("US", "Us", "Paris", "Rome")] == [
        "US", "us", "paris", None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "vectors", "counts", "message"),
    [
        (["a"], np.ones((2, 3)), None, "as many rows"),
        (["a", "b"], np.ones(2), None, "as many rows"),
        (["a", "b"], np.ones((2, 3)), [1], "counts of shape"),
        (["a", "b", "a"], np.ones((3, 3)), None, "'a' occurs twice"),
    ],
)
def test_what_does_not_fit_is_refused(words, vectors, counts, message):
    with pytest.raises(UsageError, match=message):
        KeyedVectors(words, vectors, counts)


def test_loads_each_matrix_of_a_model_directory(tmp_path):
    model = write_model(tmp_path / "my.model")
    vectors = royal_vectors()
    assert np.array_equal(KeyedVectors.load(model).vectors, vectors)
    assert np.array_equal(KeyedVectors.load(model, "output").vectors, -3 * vectors)
    assert np.allclose(KeyedVectors.load(model, "mean").vectors, -vectors)
    assert KeyedVectors.load(str(model)).index_to_key == WORDS
    assert KeyedVectors.load(model).counts.tolist() == royal().counts.tolist()
    checkpoint = KeyedVectors.load(model / "checkpoints" / "epoch-0001")
    assert not checkpoint.vectors.any()
    with pytest.raises(UsageError, match="must be one of input, output, mean; got 'both'"):
        KeyedVectors.load(model, "both")


def test_a_damaged_generation_gives_way_to_the_last_good_one(tmp_path):
    model = write_model(tmp_path / "my.model")
    matrix = model / "gen-000002" / "input_vectors.npy"
    matrix.write_bytes(matrix.read_bytes()[:-1])
    lines = []
    vectors = KeyedVectors.load(model, on_damage=lines.append)
    assert not vectors.vectors.any()
    assert len(lines) == 1
    assert "epoch-0001" in lines[0]


def test_a_vocabulary_of_another_size_is_refused(tmp_path):
    from fastw2v.io import model_directory, storage
    from fastw2v.store.vocabulary import Vocabulary

    model = write_model(tmp_path / "my.model")
    generation = model / "gen-000002"
    Vocabulary(["a"], [1]).save(generation / "vocabulary.parquet")
    state = storage.read_json(generation / model_directory.STATE)
    state["sha256"]["vocabulary.parquet"] = storage.sha256_of(generation / "vocabulary.parquet")
    storage.write_json(generation / model_directory.STATE, state)
    with pytest.raises(DataError, match="do not belong together"):
        KeyedVectors.load(model)


def test_what_is_not_there_or_no_model_is_refused(tmp_path):
    (tmp_path / "directory").mkdir()
    for path, message in (
        (tmp_path / "none", "no such model"),
        (tmp_path / "none.bin", "no such file"),
        (tmp_path / "directory", "not a fastw2v model"),
    ):
        with pytest.raises(UsageError, match=message):
            KeyedVectors.load(path)


def test_agrees_with_gensim():
    gensim = pytest.importorskip("gensim.models.keyedvectors", reason="gensim is not installed")
    rng = np.random.default_rng(3)
    words = [f"w{n}" for n in range(300)]
    rows = rng.standard_normal((300, 17)).astype(np.float32)
    theirs = gensim.KeyedVectors(17)
    theirs.add_vectors(words, rows)
    ours = KeyedVectors(words, rows)
    for query in (
        {"positive": ["w1", "w2"], "negative": ["w3"]},
        {"positive": "w9", "topn": 25, "restrict_vocab": 100},
        {"positive": [("w9", 2.0), rows[4]], "negative": [("w8", -0.5)]},
    ):
        wanted, found = theirs.most_similar(**query), ours.most_similar(**query)
        assert [word for word, _ in found] == [word for word, _ in wanted]
        assert [s for _, s in found] == pytest.approx([s for _, s in wanted], abs=1e-5)
    some = ["w5", "w6", "w7", "w250"]
    assert ours.doesnt_match(some) == theirs.doesnt_match(some)
    assert ours.rank("w5", "w6") == theirs.rank("w5", "w6")
    found = ours.n_similarity(some, ["w1", "none"])
    assert found == pytest.approx(theirs.n_similarity(some, ["w1", "none"]), abs=1e-6)
    assert np.allclose(ours.get_mean_vector(some), theirs.get_mean_vector(some), atol=1e-6)


def test_a_model_and_its_vectors_have_a_short_repr(tmp_path):
    words = Vocabulary(WORDS, list(range(20, 10, -1)))
    config = {"type": "sgram_neg"}
    model = Model(Path("my.model"), config, words, royal_vectors(), royal_vectors(), [], 2000, 1.0)
    assert repr(model) == (
        "Model('my.model': sgram_neg, 10 words, 12 dimensions, 2,000 words trained)"
    )
    assert repr(model.wv) == "KeyedVectors(10 words, 12 dimensions)"
