"""`fastw2v preprocess` and `fastw2v info`, in this process and as a user runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from vectors_helper import write_model

import fastw2v
from fastw2v.cli.main import fastw2v as command
from fastw2v.io import storage
from fastw2v.options import flag_of, option_fields
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore

TEXT = "The cat sat.\nThe dog sat on the cat!\r\nA cat\n\n" * 5


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, newline="")
    return path


def run(*arguments, exit_code=0):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == exit_code, result.output
    return result


def fields(output):
    """The report, tab-separated, as a dict."""
    rows = [line.split("\t") for line in output.splitlines() if "\t" in line]
    return {f"{row[0]} {row[1]}": row[2] for row in rows}


def test_the_report_accounts_for_every_token(text, tmp_path):
    result = run("preprocess", text, "--output", tmp_path / "s", "--stopwords", "english")
    report = fields(result.stdout)
    assert report["tokens read"] == "55"
    assert report["tokens kept"] == "30"
    assert report["tokens stop words"] == "25"
    assert report["tokens below min-count"] == "0"
    assert report["input CRLF line ends"] == "5"
    assert report["input empty lines"] == "5"
    assert "30 tokens in" in result.stdout
    assert TokenStore.open(tmp_path / "s").vocabulary.tokens == ["cat", "sat", "dog"]


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-"])
def test_closed_output_is_no_error(text, tmp_path, redirection):
    call = [sys.executable, "-m", "fastw2v"]
    for arguments in (["preprocess", text, "--output", tmp_path / "s"], ["info", tmp_path / "s"]):
        shell = ["sh", "-c", f'"$@" {redirection}', "sh", *call, *map(str, arguments)]
        done = subprocess.run(shell, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert TokenStore.open(tmp_path / "s").num_tokens


def test_empty_paths_and_huge_numbers_are_one_line(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for arguments in (["", "--output", "s"], [text, "--output", ""]):
        assert "empty path" in run("preprocess", *arguments, exit_code=2).stderr
    assert "empty path" in run("info", "", exit_code=2).stderr
    result = run("preprocess", text, "--output", "s", "--min-count", 10**22, exit_code=2)
    assert "--min-count" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [text.name]


def test_quiet_says_nothing(text, tmp_path):
    result = run("preprocess", text, "--output", tmp_path / "s", "--quiet")
    assert result.output == ""


def test_every_option_reaches_the_store(text, tmp_path):
    (tmp_path / "stop").write_text("sat")
    run(
        *("preprocess", text, "--output", tmp_path / "s", "--min-count", 4, "--max_vocab", 3),
        *("--no-lowercase", "--strip-accents", "--tokenizer", "whitespace"),
        *("--min-sequence-length", 2, "--max-sequence-length", 4, "--errors", "strict"),
        *("--stopwords", tmp_path / "stop", "--threads", 1, "--digits", "zero"),
        *("--unicode", "nfkc", "--min-token-length", 2, "--max-token-length", 9),
        *("--phrases", 1, "--phrase-score", "npmi", "--connectors", "english", "--sentences"),
        *("--document-separator", "--", "--max-unpacked", 7, "--skip-bad-files"),
    )
    settings = TokenStore.open(tmp_path / "s").manifest["settings"]
    assert settings == {
        "approximate_vocab": None,
        "unicode": "nfkc",
        "digits": "zero",
        "min_token_length": 2,
        "max_token_length": 9,
        "stem": None,
        "phrases": 1,
        "phrase_score": "npmi",
        "phrase_threshold": None,
        "phrase_min_count": 5,
        "phrase_separator": "_",
        "connectors": "english",
        "text_column": None,
        "ids_column": None,
        "document_separator": "--",
        "sentences": True,
        "max_unpacked": 7,
        "skip_bad_files": True,
        "min_count": 4,
        "max_vocab": 3,
        "lowercase": False,
        "strip_accents": True,
        "tokenizer": "whitespace",
        "min_sequence_length": 2,
        "max_sequence_length": 4,
        "stopwords": "stop",
        "vocabulary": None,
        "update_vocab": False,
        "errors": "strict",
    }
    again = ("--vocabulary", tmp_path / "s", "--tokenizer", "whitespace", "--no-lowercase")
    run("preprocess", text, "--output", tmp_path / "t", *again)
    stored = TokenStore.open(tmp_path / "t")
    assert stored.vocabulary == TokenStore.open(tmp_path / "s").vocabulary
    assert stored.manifest["setting_files"] == {"vocabulary": stored.vocabulary.hash}


def test_help_names_every_option():
    output = run("preprocess", "--help").output
    for field in option_fields(PreprocessConfig):
        assert flag_of(field.name) in output
    assert "fastw2v preprocess corpus/*.txt.gz --output corpus.store" in output
    assert "fastw2v info corpus.store" in run("info", "--help").output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.txt"], "no such file"),
        (["*.none"], "no file matches"),
        (["text.txt", "--min-count", "0"], "--min-count"),
        (["text.txt", "--min-count", "many"], "many"),
        (["text.txt", "--threads", "0"], "--threads"),
        (["text.txt", "--min-count", "100"], "--min-count 15 or less"),
        ([], "INPUT"),
        (["x" * 300], "x: cannot be read (File name too long)"),
        (["text.txt", "--stopwords", "x" * 300], "--stopwords: xx"),
        (["text.txt", "--stopwords", "."], "--stopwords: .: not a regular file"),
        (["text.txt", "--vocabulary", "x" * 300], "--vocabulary: xx"),
        (["text.txt", "--vocabulary", "."], "neither a finished token store nor a model"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(text, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    result = run("preprocess", *arguments, "--output", "s", exit_code=2)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output
    assert not (tmp_path / "s").exists()


def test_an_existing_store_needs_force(text, tmp_path):
    call = ("preprocess", text, "--output", tmp_path / "s", "--quiet")
    run(*call)
    assert "--force" in run(*call, exit_code=2).stderr
    run(*call, "--force")


def test_info_shows_what_is_in_a_store(text, tmp_path):
    run("preprocess", text, "--output", tmp_path / "s", "--quiet")
    rows = [line.split("\t") for line in run("info", tmp_path / "s").stdout.splitlines()]
    shown = {(row[0], row[1]): row[2] for row in rows}
    assert shown["store", "tokens"] == "55"
    assert shown["store", "sequences"] == "15"
    assert shown["vocabulary", "words"] == "6"
    assert shown["vocabulary", "most frequent"].startswith("cat 15, the 15, sat 10")
    assert shown["settings", "min-count"] == "5"
    assert shown["report", "tokens kept"] == "55"


def test_verify_reads_every_file(text, tmp_path):
    run("preprocess", text, "--output", tmp_path / "s", "--quiet")
    last = run("verify", tmp_path / "s").stdout.splitlines()[-1]
    assert last == f"{tmp_path / 's'}: verified; all files match their SHA-256"
    part = tmp_path / "s" / "tokens" / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[content.rindex(b"parquet-cpp")] ^= 1  # the name of the writer: no reader minds it
    part.write_bytes(content)
    run("info", tmp_path / "s")
    result = run("verify", tmp_path / "s", exit_code=1)
    assert result.stdout == f"{part}: does not match its SHA-256\n"


def test_names_that_are_not_utf_8_can_be_printed(text, tmp_path):
    strange = os.fsdecode(b"caf\xe9")
    try:
        stop = tmp_path / f"{strange}.stop"
        stop.write_text("sat")
    except OSError:
        pytest.skip("this file system takes only names of UTF-8")
    call = ("preprocess", text, "--stopwords", stop, "--output")
    run(*call, tmp_path / "s")
    assert "settings\tstopwords\tcaf\ufffd.stop" in run("info", tmp_path / "s").stdout
    for output in (tmp_path / f"{strange}.store", tmp_path / strange / "store"):
        assert "must be UTF-8" in run(*call, output, exit_code=2).stderr
        assert not output.exists()
    (tmp_path / strange).mkdir()
    (tmp_path / "s").rename(tmp_path / strange / "s")
    run("info", tmp_path / strange / "s", exit_code=1)
    write_model(tmp_path / "m").rename(tmp_path / f"{strange}.model")
    assert "caf\ufffd.model" in run("info", tmp_path / f"{strange}.model").stdout


def test_info_shows_what_is_in_a_model(tmp_path):
    model = write_model(tmp_path / "model")
    state = storage.read_json(model / "gen-000002" / "state.json")
    storage.write_json(model / "gen-000002" / "state.json", state | {"words_done": 2000})
    rows = [line.split("\t") for line in run("info", model).stdout.splitlines()]
    shown = {(row[0], row[1]): row[2] for row in rows}
    assert shown["model", "type"] == "sgram_neg"
    assert shown["model", "dimensions"] == "12"
    assert shown["model", "vocabulary"] == "10"
    assert shown["training", "words done"] == "2,000"
    assert shown["training", "last loss"] == "2.1"
    assert shown["training", "alpha now"] == "0.01"
    assert shown["files", "vectors and history"] == str(model / "gen-000002")
    assert shown["files", "checkpoints"] == str(model / "checkpoints" / "epoch-0001")


def test_info_of_anything_else_is_misuse(tmp_path):
    assert "no such" in run("info", tmp_path / "none", exit_code=2).stderr
    assert "not a token store" in run("info", tmp_path, exit_code=2).stderr


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)}


def test_as_a_user_runs_it(text, tmp_path):
    (tmp_path / "bad.txt").write_bytes(b"PAR1 is no text")
    call = [sys.executable, "-m", "fastw2v", "preprocess", "*.txt", "--output", "s"]
    result = subprocess.run(
        call, cwd=tmp_path, capture_output=True, text=True, env=environment(), check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("fastw2v: bad.txt: truncated or damaged (Parquet magic bytes")
    assert result.stderr.count("\n") == 1
    (tmp_path / "bad.txt").unlink()
    result = subprocess.run(
        call, cwd=tmp_path, capture_output=True, text=True, env=environment(), check=False
    )
    assert result.returncode == 0
    assert result.stderr == ""
    assert fields(result.stdout)["tokens read"] == "55"


def test_ctrl_c_says_how_to_go_on(tmp_path):
    with open(tmp_path / "big.txt", "w") as file:
        file.writelines(f"word{n % 5000} and some more words {n % 77}\n" for n in range(2_000_000))
    call = [sys.executable, "-m", "fastw2v", "preprocess", "big.txt", "--output", "s"]
    process = subprocess.Popen(
        call, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment()
    )
    while not (tmp_path / "s" / "unfinished" / "plan.json").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=30)
    assert process.returncode == 130
    assert complaints.strip() == "stopped; run the same command again to continue"
    assert (tmp_path / "s" / "unfinished" / "plan.json").exists()
