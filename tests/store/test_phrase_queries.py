"""A model that has phrases answers questions about them, however they are typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fastw2v.cli.main import fastw2v
from fastw2v.errors import DataError
from fastw2v.io import model_directory as layout
from fastw2v.kernels.blocks import Weights
from fastw2v.kernels.primitives import new_matrix
from fastw2v.store.phrases.phrases import Phrase, Phrases, find_phrases, saved_phrases
from fastw2v.store.pipeline import preprocess
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.training.checkpoint import Snapshot, keep_checkpoint, save
from fastw2v.vectors.evaluation import evaluate_pairs, read_pairs
from fastw2v.vectors.keyed_vectors import KeyedVectors, UnknownWordError
from fastw2v.vectors.predict import predict

# "york" is always part of "new_york", and "end_of_the_day" is too rare for the vocabulary.
WORDS = ["new", "new_york", "paris", "city", "end", "of", "the", "day", "new_york_stock_exchange"]
PHRASES = Phrases(
    [
        Phrase("new_york", "new", (), "york", 50, 120.0, 1),
        Phrase("stock_exchange", "stock", (), "exchange", 20, 500.0, 1),
        Phrase("end_of_the_day", "end", ("of", "the"), "day", 5, 110.0, 1),
        Phrase("new_york_stock_exchange", "new_york", (), "stock_exchange", 9, 400.0, 2),
    ]
)
DIM = 6


def snapshot(phrases: Phrases | None) -> Snapshot:
    rng = np.random.default_rng(7)
    weights = Weights(new_matrix(len(WORDS), DIM), new_matrix(len(WORDS), DIM))
    for matrix in weights:
        matrix[:, :DIM] = rng.standard_normal((len(WORDS), DIM))
    vocabulary = Vocabulary(WORDS, np.arange(len(WORDS), 0, -1))
    config = {"vector_dim": DIM, "type": "cbow_neg", "ns_exponent": 0.75}
    state = {"words_done": 0, "training_seconds": 0.0}
    return Snapshot(weights, DIM, vocabulary, config, state, [], phrases)


@pytest.fixture
def model(tmp_path) -> Path:
    save(tmp_path / "m", snapshot(PHRASES))
    return tmp_path / "m"


@pytest.fixture
def vectors(model) -> KeyedVectors:
    return KeyedVectors.load(model)


def run(*arguments, code=0):
    result = CliRunner().invoke(fastw2v, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return [line.split("\t") for line in result.stdout.splitlines()[1:]], result.output


def test_a_model_keeps_its_phrases(model, tmp_path):
    generation = layout.open_model(model)
    assert saved_phrases(generation) == PHRASES
    keep_checkpoint(model, generation.path, 1, 0)
    assert saved_phrases(layout.open_model(model / "checkpoints" / "epoch-0001")) == PHRASES
    save(tmp_path / "plain", snapshot(None))
    plain = layout.open_model(tmp_path / "plain")
    assert saved_phrases(plain) is None
    assert not (plain.path / layout.PHRASES).exists()


def test_phrases_of_a_model_or_store_are_found(model, tmp_path):
    assert find_phrases(model) == PHRASES
    assert find_phrases(tmp_path) is None
    assert find_phrases(tmp_path / "gone") is None
    preprocess([["a", "b"]] * 5, tmp_path / "s", min_count=1)
    assert find_phrases(tmp_path / "s") is None
    PHRASES.save(tmp_path / "s" / "phrases.parquet")
    assert find_phrases(tmp_path / "s") == PHRASES


@pytest.mark.parametrize("change", ["flip", "remove"])
def test_damaged_phrases_of_a_model_are_found(model, change):
    path = layout.open_model(model).path / layout.PHRASES
    if change == "flip":
        content = bytearray(path.read_bytes())
        content[40] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    with pytest.raises(DataError, match=r"phrases\.parquet"):
        layout.open_model(model)


def test_words_with_spaces_are_the_phrase(vectors):
    for asked in ("new york", "New  York", "new_york"):
        assert vectors.match_case(asked) == "new_york"
    assert vectors.get_index("new york") == 1
    assert "new york" in vectors
    np.testing.assert_array_equal(vectors["new york stock exchange"], vectors.vectors[8])
    assert vectors.most_similar("new york") == vectors.most_similar("new_york")
    assert vectors.similarity("new york", "paris") == vectors.similarity("new_york", "paris")
    assert vectors.n_similarity(["new york"], ["paris", "no such"]) == vectors.n_similarity(
        ["new_york"], ["paris"]
    )


@pytest.mark.parametrize("asked", ["york", "new paris", "end of the day", "stock exchange", " "])
def test_what_is_no_phrase_of_the_vocabulary_stays_unknown(vectors, asked):
    assert asked not in vectors
    assert vectors.match_case(asked) is None
    with pytest.raises(UnknownWordError):
        vectors.most_similar(asked)


def test_lists_of_words_are_joined_where_a_phrase_is_known(vectors):
    assert vectors.join_phrases(["New", "york", "city"]) == ["new_york", "city"]
    assert vectors.join_phrases(["new york", "stock", "exchange"]) == ["new_york_stock_exchange"]
    parts = ["end", "of", "the", "day"]
    assert vectors.join_phrases(parts) == parts
    assert vectors.join_phrases(["stock", "exchange"]) == ["stock", "exchange"]


def test_without_phrases_nothing_changes(tmp_path):
    save(tmp_path / "plain", snapshot(None))
    plain = KeyedVectors.load(tmp_path / "plain")
    assert plain.match_case("new york") is None
    assert "new york" not in plain
    assert plain.join_phrases(["New", "york"]) == ["New", "york"]
    with pytest.raises(UnknownWordError, match="'york'"):
        predict(tmp_path / "plain", ["new", "york"])


def test_neighbors_takes_a_phrase_as_one_or_as_several_arguments(model):
    expected, _ = run("neighbors", model, "new_york", "--topn", 3)
    assert {row[0] for row in expected} == {"new_york"}
    assert run("neighbors", model, "new", "york", "--topn", 3)[0] == expected
    assert run("neighbors", model, "New York", "--topn", 3)[0] == expected
    asked = [row[0] for row in run("neighbors", model, "paris", "new", "york", "--topn", 1)[0]]
    assert asked == ["paris", "new_york"]
    assert "'york'" in run("neighbors", model, "york", code=2)[1]


def test_other_commands_take_phrases_with_spaces(model, tmp_path):
    rows, _ = run("similarity", model, "new york", "paris")
    assert rows[0][:2] == ["new_york", "paris"]
    rows, _ = run("analogy", model, "paris", "city", "new york", "--topn", 1)
    assert rows[0][0] == "paris : city = new_york : ?"
    (tmp_path / "pairs.tsv").write_text("new york\tparis\t7\ncity\tday\t2\nend\tof\t1\n")
    pairs = evaluate_pairs(KeyedVectors.load(model), read_pairs(tmp_path / "pairs.tsv"))
    assert pairs.known.all()


def test_predict_joins_words_on_one_side_of_the_gap(model):
    joined = predict(model, ["new_york", "city"], 3)
    assert predict(model, ["New", "York", "_", "city"], 3) == joined
    assert predict(model, ["new york", "city"], 3) == joined
    with pytest.raises(UnknownWordError, match="'york'"):
        predict(model, ["new", "_", "york"])
    rows, _ = run("predict", model, "new", "york", "city", "--topn", 3)
    assert [row[0] for row in rows] == [prediction.word for prediction in joined]
