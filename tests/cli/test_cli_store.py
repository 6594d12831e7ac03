"""`fastw2v verify`, `vocab`, `sample` and what `info` says of a corpus, as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.dataset
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from vectors_helper import WORDS, write_model

import fastw2v
from fastw2v.cli.main import fastw2v as command
from fastw2v.store.format import TokenStore
from fastw2v.store.inspect import first_sentences, random_sentences, sentences_with
from fastw2v.store.pipeline import preprocess
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.store.vocabulary_files import read_vocabulary
from fastw2v.text.config import Layout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store of several parts and row groups; line n is `sN` and some words, once each."""
    directory = tmp_path_factory.mktemp("made")
    with open(directory / "text.txt", "w") as file:
        for n in range(600):
            file.write(" ".join([f"s{n}", "the", f"d{n % 7}", *["end"] * (n % 5)]) + "\n")
    layout = Layout(unit_bytes=3000, row_group_tokens=300)
    preprocess(directory / "text.txt", directory / "store", threads=1, min_count=1, layout=layout)
    opened = TokenStore.open(directory / "store")
    assert opened.num_row_groups > 6
    assert len(opened.manifest["parts"]) > 2
    return directory / "store"


@pytest.fixture
def store(made, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "store")


def run(*arguments, exit_code=0):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == exit_code, result.output
    return result


def misuse(*arguments, exit_code=2):
    """The one line of an error."""
    result = run(*arguments, exit_code=exit_code)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def flip(path):
    content = bytearray(path.read_bytes())
    content[60] ^= 16
    path.write_bytes(content)


def rows_of(output):
    return {tuple(line.split("\t")[:2]): line.split("\t")[2] for line in output.splitlines()}


# ---- verify -------------------------------------------------------------------------------------


def test_verify_says_that_a_store_is_sound(made):
    result = run("verify", made)
    assert result.stdout == f"{made}: verified; all files match their SHA-256\n"
    assert result.stderr == ""
    assert run("verify", made, "--quiet", "--threads", 1).output == ""


def test_verify_names_every_damaged_file(store):
    parts = sorted((store / "tokens").iterdir())
    flip(parts[1])
    parts[2].unlink()
    (store / "extra").write_text("")
    result = run("verify", store, exit_code=1)
    lines = result.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(parts[1]), str(parts[2])]
    assert "SHA-256; row group 0 is damaged" in lines[0]
    assert result.stderr.splitlines() == [
        f"fastw2v: warning: {store / 'extra'}: the manifest does not list it",
        f"fastw2v: {store}: 2 damaged files; make the store again (fastw2v preprocess)",
    ]
    found = json.loads(run("verify", store, "--json", "--quiet", exit_code=1).stdout)
    assert found["sound"] is False
    assert [(Path(one["path"]).name, one["damage"]) for one in found["findings"]] == [
        (parts[1].name, True), (parts[2].name, True), ("extra", False),
    ]  # fmt: skip


def test_a_file_too_many_is_no_damage(store):
    (store / "extra").write_text("")
    result = run("verify", store)
    assert "verified" in result.stdout
    assert "extra" in result.stderr


def test_verify_of_anything_else_is_misuse(tmp_path):
    assert "no such token store" in misuse("verify", tmp_path / "none")
    assert "not a token store" in misuse("verify", tmp_path)
    assert "empty path" in misuse("verify", "")


def test_verify_takes_models(tmp_path):
    model = write_model(tmp_path / "model")
    assert json.loads(run("verify", model, "--json").stdout)["sound"] is True
    flip(model / "gen-000002" / "output_vectors.npy")
    result = run("verify", model, exit_code=1)
    assert "output_vectors.npy: does not match" in result.stdout
    assert result.stderr == f"fastw2v: {model}: 1 damaged file\n"


# ---- info ---------------------------------------------------------------------------------------


def test_info_tells_coverage_min_counts_and_lengths(made):
    shown = rows_of(run("info", made).stdout)
    tokens = TokenStore.open(made).num_tokens
    assert (
        shown["coverage", "100 words"]
        == f"{100 * (600 + 1200 + 600 + 91) / tokens:.2f} % of the tokens"
    )
    assert shown["coverage", "609 words"] == "100.00 % of the tokens"
    share = f"{100 * (tokens - 600) / tokens:.2f} % of the tokens"
    assert shown["min-count", "2"] == f"9 words, {share}"
    assert shown["sequence tokens", "shortest"] == "3"
    assert shown["sequence tokens", "mean"] == "5"
    assert shown["sequence tokens", "50 % have at most"] == "5"
    assert shown["sequence tokens", "longest"] == "7"
    assert shown["sequence lengths", "2 to 3"] == "120 (20.00 %)"
    assert shown["sequence lengths", "4 to 7"] == "480 (80.00 %)"


def test_info_does_not_guess_what_was_left_out(tmp_path):
    (tmp_path / "text.txt").write_text("a b c\n" * 30 + "rare\n" * 9)
    run(
        "preprocess",
        tmp_path / "text.txt",
        "--output",
        tmp_path / "s",
        "--min-count",
        10,
        "--quiet",
    )
    shown = rows_of(run("info", tmp_path / "s").stdout)
    assert "unknown: words that occur less than 10 times" in shown["min-count", "5"]
    assert shown["min-count", "10"] == "3 words, 100.00 % of the tokens"
    assert shown["min-count", "50"] == "0 words, 0.00 % of the tokens"


def test_info_of_a_model_tells_of_its_vocabulary(tmp_path):
    model = write_model(tmp_path / "model")
    shown = rows_of(run("info", model).stdout)
    assert shown["coverage", "10 words"] == "100.00 % of the tokens"
    assert shown["min-count", "20"] == "9 words, 98.18 % of the tokens"
    assert "unknown" in shown["min-count", "10"]  # whether all that occur 10 times are in it
    assert run("info", model, "--output", tmp_path / "m.png").stderr.endswith(
        f"wrote {tmp_path / 'm.png'}\n"
    )
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")


def test_info_draws_a_picture_and_replaces_none(made, tmp_path):
    picture = tmp_path / "corpus.png"
    assert run("info", made, "--output", picture).stderr.endswith(f"wrote {picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "--force" in misuse("info", made, "--output", picture)
    run("info", made, "--output", picture, "--force")
    assert "picture format" in misuse("info", made, "--output", tmp_path / "corpus.gif")


def test_info_shows_what_it_can_of_a_damaged_store(store):
    part = sorted((store / "tokens").iterdir())[1]
    flip(part)
    result = run("info", store)
    assert "sequence tokens" not in result.stdout
    assert rows_of(result.stdout)["vocabulary", "words"] == "609"
    assert f"warning: {part}: row group 0 is damaged" in result.stderr


# ---- vocab --------------------------------------------------------------------------------------


def test_vocab_prints_what_is_asked(made):
    lines = run("vocab", made, "--topn", 3).stdout.splitlines()
    assert lines == ["token\tcount\tid", "end\t1200\t0", "the\t600\t1", "d0\t86\t2"]
    lines = run("vocab", made, "--format", "word2vec", "--min-count", 600).stdout.splitlines()
    assert lines == ["</s> 0", "end 1200", "the 600"]
    assert len(run("vocab", made).stdout.splitlines()) == 610


@pytest.mark.parametrize("suffix", [".txt", ".vocab", ".tsv", ".parquet"])
def test_vocab_goes_round(made, tmp_path, suffix):
    """Store -> file -> every format -> preprocess --vocabulary."""
    out = tmp_path / f"v{suffix}"
    assert run("vocab", made, "--output", out).stdout.startswith(f"wrote {out}: 609 words, ")
    expected = TokenStore.open(made).vocabulary
    assert read_vocabulary(out) == expected
    for other in ("a.txt", "a.tsv", "a.parquet"):
        run("vocab", out, "--output", tmp_path / other)
        assert read_vocabulary(tmp_path / other) == expected
    (tmp_path / "text.txt").write_text("the end\n")
    run("preprocess", tmp_path / "text.txt", "--output", tmp_path / "s", "--vocabulary", out)
    assert TokenStore.open(tmp_path / "s").read_row_group(0)[0].tolist() == [1, 0]


def test_vocab_of_a_model_and_formats_by_name(tmp_path):
    model = write_model(tmp_path / "model")
    run("vocab", model, "--output", tmp_path / "v.anything", "--format", "word2vec")
    assert read_vocabulary(tmp_path / "v.anything").tokens == WORDS


def test_vocab_refuses_in_one_line(made, tmp_path):
    Vocabulary(["new york", "a"], [2, 1]).save(tmp_path / "spaced.parquet")
    error = misuse("vocab", tmp_path / "spaced.parquet", "--output", tmp_path / "v.txt")
    assert "white space in 1 words ('new york' is the first)" in error
    assert "--format tsv" in error
    assert "white space" in misuse("vocab", tmp_path / "spaced.parquet", "--format", "word2vec")
    assert not (tmp_path / "v.txt").exists()
    (tmp_path / "there.txt").write_text("mine")
    assert "--force" in misuse("vocab", made, "--output", tmp_path / "there.txt")
    assert (tmp_path / "there.txt").read_text() == "mine"
    run("vocab", made, "--output", tmp_path / "there.txt", "--force")
    assert "vocabulary format" in misuse("vocab", made, "--output", tmp_path / "v.csv")
    assert "--output" in misuse("vocab", made, "--format", "parquet")
    assert "the most frequent: 1,200" in misuse("vocab", made, "--min-count", 9999)
    assert "no such file" in misuse("vocab", tmp_path / "none")
    assert "neither" in misuse("vocab", tmp_path)
    assert "empty path" in misuse("vocab", "")
    (tmp_path / "bad.txt").write_text("a 1\nb\n")
    assert "line 2" in misuse("vocab", tmp_path / "bad.txt", exit_code=1)


# ---- sample -------------------------------------------------------------------------------------


def test_sample_prints_sequences_as_they_are(made):
    lines = run("sample", made, "--first", "-n", 3).stdout.splitlines()
    assert lines == ["s0 the d0", "s1 the d1 end", "s2 the d2 end end"]
    words = TokenStore.open(made).vocabulary.index
    ids = run("sample", made, "--first", "-n", 1, "--ids").stdout
    assert ids == " ".join(str(words[word]) for word in ("s0", "the", "d0")) + "\n"


def test_sample_is_drawn_by_seed(made):
    first, again = (run("sample", made, "--seed", 4).stdout for _ in range(2))
    assert first == again
    assert len(set(first.splitlines())) == 10
    assert run("sample", made, "--seed", 5).stdout != first
    assert run("sample", made).stdout != run("sample", made).stdout


def test_sample_finds_sequences_with_a_word(made):
    lines = run("sample", made, "--word", "D3", "-n", 20).stdout.splitlines()
    assert len(set(lines)) == 20
    assert all("d3" in line.split() for line in lines)
    result = run("sample", made, "--word", "s77")
    assert result.stdout == "s77 the d0 end end\n"
    assert "only 1 sequences contain 's77'" in result.stderr
    in_order = run("sample", made, "--word", "d3", "-n", 2, "--first").stdout.splitlines()
    assert [line.split()[0] for line in in_order] == ["s3", "s10"]


def test_sample_shortens_around_the_word(tmp_path):
    (tmp_path / "t.txt").write_text(" ".join(f"w{n}" for n in range(300)) + "\n")
    run("preprocess", tmp_path / "t.txt", "--output", tmp_path / "s", "--min-count", 1, "--quiet")
    line = run("sample", tmp_path / "s", "--width", 40, "-n", 1).stdout
    assert line == "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w…\n"
    for word in ("w0", "w150", "w299"):
        line = run("sample", tmp_path / "s", "--width", 40, "--word", word, "-n", 1).stdout[:-1]
        assert len(line) == 40
        assert word in line.split()
        assert (line[0] == "…", line[-1] == "…") == (word != "w0", word != "w299")


def test_sample_of_more_than_there_is_prints_all(made):
    result = run("sample", made, "-n", 10**30)
    assert len(set(result.stdout.splitlines())) == 600
    assert "only 600 sequences" in result.stderr


def test_sample_refuses_in_one_line(made, tmp_path):
    error = misuse("sample", made, "--word", "ent")
    assert "nearest spellings: end" in error
    assert "no such token store" in misuse("sample", tmp_path / "none")
    assert "exclude each other" in misuse("sample", made, "--first", "--seed", 1)
    assert "--topn must be at least 1" in misuse("sample", made, "-n", 0)
    assert "empty path" in misuse("sample", "")


def test_every_sentence_is_as_probable_as_any_other(made):
    opened = TokenStore.open(made)
    name_of = opened.vocabulary.tokens
    drawn = np.zeros(600)
    rounds, count = 400, 30
    for seed in range(rounds):
        for sentence in random_sentences(opened, count, seed):
            drawn[int(name_of[sentence[0]][1:])] += 1
    expected = rounds * count / 600
    spread = np.sqrt(expected * (1 - count / 600))
    assert drawn.sum() == rounds * count
    assert np.abs(drawn - expected).max() < 5 * spread
    assert drawn.var() == pytest.approx(spread**2, rel=0.3)


def test_a_sample_reads_only_what_it_needs(made, monkeypatch):
    opened, read = TokenStore.open(made), []
    whole = opened.read_row_group
    monkeypatch.setattr(opened, "read_row_group", lambda n: (read.append(n), whole(n))[1])
    assert len(list(random_sentences(opened, 2, seed=1))) == 2
    assert len(read) <= 2
    read.clear()
    assert len(list(first_sentences(opened, 3))) == 3
    assert read == [0]
    read.clear()
    assert len(list(sentences_with(opened, opened.vocabulary.index["the"], 5, seed=1))) == 5
    assert len(read) == 1


def test_a_reader_that_has_enough_is_no_error(made, tmp_path):
    call = f'"{sys.executable}" -m fastw2v'
    environment = {**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)}
    for line, expected in (
        (f"{call} sample {made} -n 600 --first | head -1", "s0 the d0\n"),
        (f"{call} vocab {made} | head -1", "token\tcount\tid\n"),
        (f"{call} sample {made} -n 600 | true", ""),
        (f"{call} vocab {made} | true", ""),
    ):
        done = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert (done.stdout, done.stderr) == (expected, "")


def test_control_characters_are_shown_and_not_obeyed(tmp_path):
    preprocess([["a\nb", "\x1b[2J"], ["a\nb"]], tmp_path / "s", min_count=1)
    lines = run("sample", tmp_path / "s", "--first").stdout.splitlines()
    assert lines == ["a\\x0ab \\x1b[2J", "a\\x0ab"]


# ---- other readers ------------------------------------------------------------------------------


def test_pyarrow_alone_reads_tokens_and_vocabulary(made):
    """The lines of the README for pyarrow."""
    sentences = pyarrow.dataset.dataset(made / "tokens").to_table()["tokens"]
    words = pyarrow.parquet.read_table(made / "vocabulary.parquet")["token"]
    assert len(sentences) == 600
    assert words.take(sentences[1].values).to_pylist() == ["s1", "the", "d1", "end"]
    assert pyarrow.parquet.read_table(made / "tokens")["tokens"].equals(sentences)
