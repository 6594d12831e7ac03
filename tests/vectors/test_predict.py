"""What a model expects beside some words: its probabilities, the command, the bars."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from click.testing import CliRunner
from scoring_helper import TOKENS, log_noise, log_softmax, random_weights, save_model

import fastw2v
from fastw2v.cli.main import fastw2v as cli
from fastw2v.errors import DataError, UsageError
from fastw2v.kernels.blocks import Weights
from fastw2v.plots import words as plots
from fastw2v.text.tokenizer import ENGLISH
from fastw2v.training.config import NEGATIVE_TYPES, TYPES
from fastw2v.vectors.keyed_vectors import UnknownWordError
from fastw2v.vectors.predict import predict


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return save_model(tmp_path / "my.model", "cbow_neg", random_weights())


def log_probabilities(words, extra=0.0):
    """log p of all words, the long way."""
    inputs, outputs = (matrix.astype(np.float64) for matrix in random_weights())
    hidden = np.mean([inputs[TOKENS.index(word)] for word in words], axis=0)
    return log_softmax(np.array([row @ hidden for row in outputs]) + extra)


@pytest.mark.parametrize("words", [["zinc"], ["fig", "pear", "fig"]], ids=" ".join)
@pytest.mark.parametrize("model_type", TYPES)
def test_the_probabilities_are_those_of_the_type(tmp_path, model_type, words):
    model = save_model(tmp_path / "m", model_type, random_weights())
    negative = model_type in NEGATIVE_TYPES
    softmax = np.exp(log_probabilities(words))
    own = np.exp(log_probabilities(words, log_noise())) if negative else softmax
    found = predict(model, words, topn=100)
    order = np.argsort(-own)
    assert [p.word for p in found] == [TOKENS[row] for row in order]
    assert [p.probability for p in found] == pytest.approx(own[order].tolist(), rel=1e-9)
    if negative:
        assert [p.softmax for p in found] == pytest.approx(softmax[order].tolist(), rel=1e-9)
    else:
        assert {p.softmax for p in found} == {None}
    assert sum(p.probability for p in found) == pytest.approx(1)
    assert predict(model, words, topn=3) == found[:3]


def test_several_words_of_skip_gram_give_the_geometric_mean(tmp_path):
    """What the help says, from the distributions of the single words."""
    model = save_model(tmp_path / "m", "sgram_neg", random_weights())
    words = ["iron", "plum", "tin"]
    single = [
        np.array([{p.word: p.probability for p in predict(model, [w], 99)}[t] for t in TOKENS])
        for w in words
    ]
    mean = np.exp(np.mean(np.log(single), axis=0))
    together = {p.word: p.probability for p in predict(model, words, 99)}
    assert [together[t] for t in TOKENS] == pytest.approx((mean / mean.sum()).tolist(), rel=1e-9)


def test_the_gap_and_the_case_make_no_difference(model):
    wanted = predict(model, ["pear", "iron"])
    for words in (["_", "pear", "iron"], ["iron", "_", "pear"], ["Pear", "IRON", "_"]):
        assert [p.word for p in predict(model, words)] == [p.word for p in wanted]
    assert fastw2v.predict(model, ["pear", "iron"]) == wanted
    assert len(wanted) == 10


def test_misuse_is_refused(model, tmp_path):
    with pytest.raises(UnknownWordError, match="nearest spellings: iron"):
        predict(model, ["irn"])
    with pytest.raises(UsageError, match="give it at most once"):
        predict(model, ["_", "pear", "_"])
    with pytest.raises(UsageError, match="no word to predict from"):
        predict(model, ["_"])
    with pytest.raises(UsageError, match="expected a list"):
        predict(model, "pear")
    with pytest.raises(UsageError, match="`topn` must be at least 1; got 0"):
        predict(model, ["pear"], topn=0)
    broken = Weights(*(matrix * np.float32(np.inf) for matrix in random_weights()))
    with pytest.raises(DataError, match="not finite"):
        predict(save_model(tmp_path / "inf", "cbow", broken), ["pear"])


def test_any_iterable_of_words_will_do(model):
    wanted = predict(model, ["pear", "iron", "_"])
    given = ("pear", "iron", "_")
    for words in (given, dict.fromkeys(given), np.array(given)):
        assert predict(model, words) == wanted
    assert predict(model, (word for word in given)) == wanted
    assert predict(model, given, topn=np.int64(3)) == wanted[:3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([5],), "5 is not a word"),
        ((["pear", None],), "None is not a word"),
        ((b"pear",), "expected a list of words; got b'pear'"),
        ((5,), "expected a list of words; got 5"),
        ((None,), "expected a list of words; got None"),
        ((["pear"], 2.5), "`topn` must be a whole number; got 2.5"),
        ((["pear"], "3"), "`topn` must be a whole number; got '3'"),
        ((["pear"], None), "`topn` must be a whole number; got None"),
    ],
)
def test_arguments_of_other_types_are_refused_in_one_line(model, arguments, message):
    with pytest.raises(UsageError, match=message):
        predict(model, *arguments)
    for wrong in (["my.model"], "", None):
        with pytest.raises(UsageError, match=r"^model: .* is not a path; .*[^\n]$"):
            predict(wrong, ["pear"])


def run(*arguments, code=0):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_the_command_prints_words_and_probabilities(model, tmp_path):
    found = predict(model, ["pear", "iron"], 3)
    output = run("predict", model.name, "pear", "_", "Iron", "--topn", 3).stdout
    header, *rows = [line.split("\t") for line in output.splitlines()]
    assert header == ["word", "probability", "softmax"]
    assert rows == [[p.word, f"{p.probability:.6f}", f"{p.softmax:.6f}"] for p in found]
    softmax = save_model(tmp_path / "soft", "sgram", random_weights())
    output = run("predict", softmax, "pear").stdout
    assert output.splitlines()[0] == "word\tprobability"
    assert len(output.splitlines()) == 11


def test_the_command_draws_bars_and_replaces_only_when_told(model, tmp_path):
    first = run("predict", model.name, "pear", "--output", "bars.png")
    assert first.stderr == "wrote bars.png\n"
    assert first.stdout == run("predict", model.name, "pear").stdout
    picture = (tmp_path / "bars.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    refused = run("predict", model.name, "iron", "--output", "bars.png", code=2)
    assert "bars.png: exists already" in refused.stderr
    assert refused.stdout == ""
    assert (tmp_path / "bars.png").read_bytes() == picture
    run("predict", model.name, "iron", "--output", "bars.png", "--force")
    assert (tmp_path / "bars.png").read_bytes() != picture
    run("predict", model.name, "iron", "--output", "bars.svg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("my.model", "irn"), "nearest spellings: iron"),
        (("my.model", "_"), "no word to predict from"),
        (("my.model",), "WORD"),
        (("none", "iron"), "no such model"),
        (("v.bin", "iron"), "a file of vectors has one matrix"),
        (("my.model", "iron", "--topn", "0"), "--topn"),
        (("my.model", "iron", "--force"), "--force is for --output"),
        (("my.model", "iron", "--output", "bars.exe"), "names no picture format"),
        (("my.model", "iron", "--output", "b.png", "--topn", "101"), "draw 100 or fewer"),
    ],
)
def test_misuse_of_the_command_is_exit_code_2(model, tmp_path, arguments, message):
    (tmp_path / "v.bin").write_bytes(b"1 1\n")
    result = run("predict", *arguments, code=2)
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("b*"))


def test_bars_say_what_they_show(tmp_path, monkeypatch):
    figures = []
    save = plots.save_figure
    monkeypatch.setattr(plots, "save_figure", lambda f, p: (figures.append(f), save(f, p)))
    words = ["$a_b$", "日本", "x" * 40]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.plot_bars(words, [0.5, 0.0123456, 2e-7], tmp_path / "b.png", "my.model: $a$ _")
    axes = figures[0].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == words
    assert [patch.get_width() for patch in axes.patches] == pytest.approx([50, 1.23456, 2e-5])
    assert [text.get_text() for text in axes.texts] == ["50 %", "1.23 %", "2e-05 %"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is at the top
    assert axes.get_title() == "my.model: $a$ _"
    plots.plot_bars(["a"], [0.0], tmp_path / "zero.png", "")
    plots.plot_bars([str(n) for n in range(100)], [0.01] * 100, tmp_path / "many.png", "")
    for words in ([], [str(n) for n in range(101)]):
        with pytest.raises(UsageError):
            plots.plot_bars(words, [0.01] * len(words), tmp_path / "no.png", "")


def test_content_words_only(model):
    everything = run("predict", model.name, "pear", "--topn", "100").stdout.splitlines()
    content = run("predict", model.name, "pear", "--topn", "100", "--content-words").stdout
    assert [line for line in everything if line.split("\t")[0] not in ENGLISH] == (
        content.splitlines()
    )
