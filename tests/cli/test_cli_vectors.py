"""The commands that ask a model, as a user types them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from vectors_helper import royal, royal_vectors, write_model

from fastw2v.cli import display as tables
from fastw2v.cli.main import fastw2v
from fastw2v.vectors.keyed_vectors import KeyedVectors

PAIRS = "king\tqueen\t8\nman\tpear\t1\nthe\tplum\t2\napple\tpear\t9\nmissing\tpear\t5\n"
QUESTIONS = ": family\nMan King Woman Queen\nman king woman gone\n: gram1\napple pear plum plum\n"


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return str(write_model(tmp_path / "my.model").name)


def run(*arguments, code=0):
    result = CliRunner().invoke(fastw2v, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def rows(result):
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_neighbors_prints_tab_separated_lines(model):
    header, *found = rows(run("neighbors", model, "King", "apple", "--topn", 2))
    assert header == ["word", "neighbor", "cosine"]
    assert [row[0] for row in found] == ["king", "king", "apple", "apple"]
    wanted = royal().most_similar("king", topn=2)
    assert [(row[1], row[2]) for row in found[:2]] == [(w, f"{c:.4f}") for w, c in wanted]


def test_closed_output_prints_nothing(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    tables.print_rows(("word",), [("king",)])


def test_on_a_terminal_it_is_a_table(model, monkeypatch):
    monkeypatch.setattr(tables, "_is_terminal", lambda: True)
    output = run("neighbors", model, "king", "apple").stdout
    assert "\t" not in output
    assert "neighbor" in output
    assert "prince" in output
    assert len(output.splitlines()) > 20


def test_the_words_of_a_file_cannot_command_the_terminal(tmp_path, monkeypatch):
    words = ["[red]king[/red]", "a\x1b[2Jb", "c\td"]
    KeyedVectors(words, np.eye(3) + 1).save(tmp_path / "v.parquet")
    for terminal in (True, False):
        monkeypatch.setattr(tables, "_is_terminal", lambda answer=terminal: answer)
        output = run("neighbors", tmp_path / "v.parquet", "[red]king[/red]").stdout
        assert "\x1b[2J" not in output
        assert "a\\x1b[2Jb" in output
        assert "[red]king[/red]" in output
        assert "c\\x09d" in output


def test_analogy_and_similarity(model):
    found = rows(run("analogy", model, "Man", "king", "woman", "--topn", 1))
    assert found[1][:2] == ["man : king = woman : ?", "queen"]
    found = rows(run("similarity", model, "king", "QUEEN"))
    assert found[1] == ["king", "queen", f"{royal().similarity('king', 'queen'):.4f}"]
    found = rows(run("similarity", model, "king", "naïve", "--vectors", "output"))
    assert float(found[1][2]) == pytest.approx(royal().similarity("king", "naïve"), abs=1e-4)


@pytest.mark.parametrize("suffix", [".bin", ".txt", ".vec", ".parquet", ".npy"])
def test_export_and_ask_the_file(model, suffix):
    result = run("export", model, "--output", f"out{suffix}")
    assert f"wrote out{suffix}: 10 words, 12 dimensions" in result.stdout
    assert np.array_equal(KeyedVectors.load(f"out{suffix}").vectors, royal_vectors())
    asked = run("neighbors", f"out{suffix}", "king", "--topn", 3)
    assert asked.stdout == run("neighbors", model, "king", "--topn", 3).stdout


def test_export_of_other_matrices_and_over_what_exists(model):
    run("export", model, "--output", "out.bin", "--vectors", "mean")
    assert np.allclose(KeyedVectors.load("out.bin").vectors, -royal_vectors())
    result = run("export", model, "--output", "out.bin", code=2)
    assert result.output.startswith("fastw2v: out.bin: exists already")
    run("export", model, "--output", "out.bin", "--force", "--vectors", "output")
    assert np.array_equal(KeyedVectors.load("out.bin").vectors, -3 * royal_vectors())
    run("export", "out.bin", "--output", "again.vec")  # a file to another format
    assert np.array_equal(KeyedVectors.load("again.vec").vectors, -3 * royal_vectors())


def test_evaluate_prints_scores_and_states_the_rule(model, tmp_path):
    (tmp_path / "pairs.tsv").write_text(PAIRS)
    (tmp_path / "questions.txt").write_text(QUESTIONS)
    result = run("evaluate", model, "--pairs", "pairs.tsv", "--analogies", "questions.txt")
    header, *found = rows(result)
    assert header[:5] == ["test", "part", "items", "known", "score x100"]
    assert found[0][:4] == ["pairs", "Spearman", "5", "4"]
    by_part = {row[1]: row[2:] for row in found[1:]}
    assert by_part["family"] == ["2", "1", "100.0", "100.0", "100.0", "50.0"]
    assert by_part["total"][:3] == ["3", "2", "50.0"]
    assert {"semantic", "syntactic", "gram1"} <= set(by_part)
    assert "left out" in result.stderr
    twice = run("evaluate", model, "--pairs", "pairs.tsv", "--pairs", "pairs.tsv")
    assert rows(twice)[1:] == [found[0], found[0]]


def test_plot_draws_the_loss_into_the_model_and_elsewhere(model, tmp_path):
    assert run("plot", model).stdout == f"wrote {model}/loss.png\n"
    first = (tmp_path / model / "loss.png").read_bytes()
    assert first.startswith(b"\x89PNG")
    run("plot", model)  # redrawn, not refused
    run("plot", model, "--output", "curve.svg")
    assert "exists already" in run("plot", model, "--output", "curve.svg", code=2).output
    run("plot", model, "--output", "curve.svg", "--force")
    checkpoint = f"{model}/checkpoints/epoch-0001"
    assert "--output" in run("plot", checkpoint, code=2).output
    run("plot", checkpoint, "--output", "old.png")


def test_plot_draws_maps(model, tmp_path):
    assert run("plot", model, "--map").stdout == "wrote my.model-map.png\n"
    assert "exists already" in run("plot", model, "--map", code=2).output
    run("plot", model, "--words", "king,Queen", "--words", "man", "--output", "royal.png")
    run("plot", model, "--topn", 5, "--output", "five.pdf", "--vectors", "output")
    run("export", model, "--output", "v.bin")
    assert run("plot", "v.bin", "--map").stdout == "wrote v.bin-map.png\n"
    assert {"royal.png", "five.pdf", "v.bin-map.png"} <= {p.name for p in tmp_path.iterdir()}


def test_maps_leave_out_function_words_unless_asked(model, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("fastw2v.plots.words.plot_map", lambda _, words, *rest: drawn.append(words))
    run("plot", model, "--map", "-n", 20)
    run("plot", model, "--function-words", "-n", 20)
    assert set(drawn[1]) - set(drawn[0]) == {"the"}


MISUSE = {
    ("neighbors", "M", "quen"): "'quen' is not in the vocabulary; nearest spellings: queen",
    ("neighbors", "M", "king", "zzzzz"): "'zzzzz' is not in the vocabulary of 10 words",
    ("neighbors", "none", "king"): "no such model",
    ("neighbors", "none.bin", "king"): "none.bin: no such file",
    ("neighbors", "M", "king", "--topn", "0"): "--topn",
    ("neighbors", "M"): "WORD",
    ("analogy", "M", "man", "kng", "woman"): "nearest spellings: king",
    ("similarity", "M", "man", "wooman"): "nearest spellings: woman",
    ("similarity", "M", "man", "king", "--vectors", "both"): "--vectors",
    ("evaluate", "M"): "give --pairs FILE, --analogies FILE or --text FILE",
    ("evaluate", "M", "--pairs", "none.tsv"): "none.tsv: no such file",
    ("plot", "M", "--words", "king,quen"): "nearest spellings: queen",
    ("plot", "M", "--words", "king"): "a map needs at least two words",
    ("plot", "M", "--words", "king,man", "--topn", "3"): "exclude each other",
    ("plot", "M", "--vectors", "mean"): "add --map",
    ("plot", "M", "--output", "loss.exe"): "names no picture format",
    ("plot", "M", "--map", "--output", "map"): "names no picture format",
    ("plot", "none.bin"): "no such model",
    ("export", "M", "--output", "out.w2v"): "names no vector format",
    ("export", "none", "--output", "out.w2v"): "names no vector format",  # before anything is read
    ("export", "none", "--output", "out.bin"): "no such model",
}


@pytest.mark.parametrize("arguments", MISUSE, ids=" ".join)
def test_misuse_is_one_line_and_exit_code_2(model, tmp_path, arguments):
    before = {path.name for path in tmp_path.rglob("*")}
    result = run(*(model if word == "M" else word for word in arguments), code=2)
    assert MISUSE[arguments] in result.output
    last = result.stderr.strip().splitlines()
    assert len(last) == 1 or last[0].startswith("Usage:")  # click's own errors show the usage
    assert {path.name for path in tmp_path.rglob("*")} == before


def test_damaged_and_foreign_files_are_exit_code_1(model, tmp_path):
    (tmp_path / "v.txt").write_text("some text\n")
    result = run("neighbors", "v.txt", "king", code=1)
    assert result.stderr.startswith("fastw2v: v.txt: expected a first line of two numbers")
    (tmp_path / "p.txt").write_text("a b\n")
    assert "line 1" in run("evaluate", model, "--pairs", "p.txt", code=1).stderr
    shutil.rmtree(tmp_path / model / "checkpoints")
    (tmp_path / model / "gen-000002" / "output_vectors.npy").write_bytes(b"")
    assert "no good checkpoint" in run("neighbors", model, "king", code=1).stderr


def test_a_damaged_save_is_told_and_the_last_good_one_used(model, tmp_path):
    (tmp_path / model / "gen-000002" / "history.jsonl").write_text("{}\n")
    result = run("export", model, "--output", "out.bin")
    assert result.stderr.startswith("fastw2v: warning: ")
    assert "epoch-0001" in result.stderr
    assert not KeyedVectors.load("out.bin").vectors.any()
    assert "warning" in run("plot", model).stderr


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (("neighbors", "M", "king", "apple", "-n", 2), {"results"}),
        (("analogy", "M", "man", "king", "woman"), {"a", "b", "c", "answers"}),
        (("similarity", "M", "king", "queen"), {"a", "b", "cosine"}),
        (("plot", "M"), {"output"}),
        (("export", "M", "-o", "v.bin"), {"output", "words", "dimensions", "bytes"}),
        (("evaluate", "M", "--pairs", "pairs.tsv"), {"benchmarks"}),
        (("vocab", "M"), {"vocabulary"}),
        (("info", "M"),
         {"model", "training", "vocabulary", "coverage", "min_count", "settings", "files"}),
    ],
)  # fmt: skip
def test_json_is_one_object_and_nothing_else(model, tmp_path, arguments, keys):
    (tmp_path / "pairs.tsv").write_text(PAIRS)
    given = [model if word == "M" else word for word in arguments]
    result = run(*given, "--json", "--quiet")
    assert set(json.loads(result.stdout)) == keys
    assert result.stderr == ""


def test_json_has_numbers_and_null_for_what_is_unknown(model, tmp_path):
    found = json.loads(run("neighbors", model, "king", "-n", 1, "--json").stdout)["results"][0]
    ((word, cosine),) = royal().most_similar("king", topn=1)
    assert found["neighbors"] == [{"word": word, "cosine": pytest.approx(cosine)}]
    (tmp_path / "one.tsv").write_text("king\tqueen\t8\n")
    printed = run("evaluate", model, "--pairs", "one.tsv", "--json").stdout
    assert json.loads(printed)["benchmarks"][0]["score"] is None
