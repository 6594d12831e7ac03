"""`fastw2v train` as a user runs it: real processes, real signals, wrong input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from pydoc_data.topics import topics

import planted
import pytest
from click.testing import CliRunner, Result

import fastw2v
import fastw2v.errors
from fastw2v.cli.main import fastw2v as cli
from fastw2v.io import model_directory as layout

SMALL = ["--vector-dim", "16", "--batch-size", "64", "--subsample", "0", "--holdout", "0"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def start(directory: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fastw2v", *map(str, arguments)],
        cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.make_store(tmp_path_factory.mktemp("planted") / "store")


@pytest.fixture(scope="module")
def text_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """English under the seed's file names: the language reference that Python carries."""
    directory = tmp_path_factory.mktemp("seed")
    (directory / "data").mkdir()
    text = "\n".join(topics.values())[:50_000]
    (directory / "data" / "toy_data_41mb_raw.txt.train").write_text(text)
    for number in range(2):
        part = text[number * 25_000 : (number + 1) * 25_000]
        (directory / "data" / f"toy.train{number:02d}").write_text(part)
    return directory


TOY = "--data_file=data/toy_data_41mb_raw.txt.train"
SEED_COMMANDS = {
    "cbow": [
        "--model_file=cbow.model", TOY, "--overwrite_model", "--type=cbow", "--window=7",
        "--vector_dim=300", "--batch_size=512", "--epochs=2", "--alpha=0.005",
    ],
    "cbow_neg": [
        "--model_file=cbow_neg.model", TOY, "--overwrite_model", "--type=cbow_neg", "--window=7",
        "--neg_samples=6", "--vector_dim=300", "--batch_size=512", "--epochs=20", "--alpha=0.1",
    ],
    "sgram": [
        "--model_file=sgram.model", TOY, "--overwrite_model", "--type=sgram", "--window=5",
        "--vector_dim=300", "--batch_size=512", "--alpha=0.01",
    ],
    "sgram_neg": [
        "--model_file=sgram_neg.model", "--data_file=data/*.train[0-9][0-9]", "--overwrite_model",
        "--type=sgram_neg", "--window=5", "--neg_samples=6", "--vector_dim=300",
        "--batch_size=512", "--alpha=0.01", "--epochs=60",
    ],
    "sgram k": [
        "--model_file=sgram.model", TOY, "--overwrite_model", "--type=sgram", "--window=5",
        "--vector_dim=300", "--batch_size=512", "--alpha=0.05", "--k=15",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SEED_COMMANDS)
def test_the_seeds_command_lines(
    text_directory: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(text_directory)
    result = run("train", *SEED_COMMANDS[name])
    assert result.exit_code == 0, result.output
    model = fastw2v.Model.load(name.split()[0] + ".model")
    assert model.input_vectors.shape == (len(model.vocabulary), 300)
    losses = [row["loss"] for row in model.history]
    assert losses[-1] < losses[0]
    assert (model.path / "loss.png").stat().st_size > 1000
    assert ("--neg-samples" in result.stderr) == (name == "sgram k")


def test_an_expanded_glob_is_taken_too(text_directory: Path, tmp_path: Path) -> None:
    files = sorted((text_directory / "data").glob("*.train0?"))
    result = run(
        "train", "--model-file", tmp_path / "m", "--data-file", *files, "--epochs", 1, *SMALL
    )
    assert result.exit_code == 0, result.output
    report = fastw2v.TokenStore.open(tmp_path / "m.store").manifest["report"]
    assert (len(files), report["files"]) == (2, 2)
    assert fastw2v.Model.load(tmp_path / "m").words_done == report["tokens_kept"]


def test_quiet_and_progress(store: Path, tmp_path: Path) -> None:
    arguments = ["train", store, "--epochs", 2, *SMALL]
    loud = run(*arguments, "--model-file", tmp_path / "loud")
    assert re.search(r"epoch 2/2 +100% .*words/s +loss [\d.]+ +alpha [\d.e-]+", loud.stderr)
    assert "loss.png" in loud.stdout
    quiet = run(*arguments, "--model-file", tmp_path / "quiet", "--quiet")
    assert (quiet.exit_code, quiet.output) == (0, "")


def wait_for_words(model: Path, process: subprocess.Popen[str]) -> None:
    """Until the process has saved something that it trained."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            if fastw2v.Model.load(model).words_done > 0:
                return
        except fastw2v.errors.FastW2VError:
            pass
        time.sleep(0.05)
    pytest.fail(f"nothing was saved: {process.communicate()}")


ENDLESS = ["--epochs", "1000000", "--checkpoint-epochs", "0", "--save-interval", "0.1"]


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_signal_leaves_a_model_that_goes_on(
    store: Path, tmp_path: Path, number: int, exit_code: int
) -> None:
    process = start(tmp_path, "train", store, "--model-file", "m", *SMALL, *ENDLESS)
    wait_for_words(tmp_path / "m", process)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_code
    assert "Traceback" not in stderr
    if number != signal.SIGKILL:
        assert "resumes" in stderr.splitlines()[-1]
    stopped = fastw2v.Model.load(tmp_path / "m")
    epochs = stopped.words_done // 3600 + 2
    result = run("train", store, "--model-file", tmp_path / "m", "--epochs", epochs)
    assert result.exit_code == 0, result.output
    assert "resuming after" in result.stderr
    assert fastw2v.Model.load(tmp_path / "m").words_done == epochs * 3600


# Saves of which the third never ends, nor does the step of the kernels that it is written beside if
# the first argument says so; there is no option that makes them slow.
SLOW_SAVES = """
import sys, time
from pathlib import Path
from fastw2v.io import storage
from fastw2v.__main__ import main
from fastw2v.training.steppers import NegativeSamplingStepper

slow_steps = sys.argv.pop(1) == "slow steps"
write, train, saves = storage.write_hashed, NegativeSamplingStepper.train, 0

def write_slowly(path, chunks):
    global saves
    saves += path.name == "input_vectors.npy"
    digest = write(path, chunks)
    if saves == 3:
        Path("writing").touch()
        time.sleep(600)
    return digest

def train_slowly(*arguments):
    if saves == 3 and slow_steps:
        Path("training").touch()
        time.sleep(600)
    return train(*arguments)

storage.write_hashed, NegativeSamplingStepper.train = write_slowly, train_slowly
main()
"""


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.parametrize("steps", ["slow steps", "quick steps"])
def test_a_second_ctrl_c_does_not_wait_for_a_save(store: Path, tmp_path: Path, steps: str) -> None:
    """Whether training goes on meanwhile or waits for it; the save before is left, whole."""
    command = [sys.executable, "-c", SLOW_SAVES, steps, "train", store, "--model-file", "m"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen([*command, *SMALL, *ENDLESS], cwd=tmp_path, stderr=said)
    begun = [tmp_path / "writing", *([tmp_path / "training"] if steps == "slow steps" else [])]
    try:
        wait_until(lambda: all(path.exists() for path in begun), process)
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "once more to stop at once" in (tmp_path / "said").read_text(), process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in (tmp_path / "said").read_text()
    assert len(list((tmp_path / "m").glob(".gen-000003*"))) == 1
    lines: list[str] = []
    stopped = layout.open_model(tmp_path / "m", on_damage=lines.append)
    assert (stopped.path.name, lines) == ("gen-000002", [])
    words = fastw2v.Model.load(tmp_path / "m").words_done
    assert words > 0
    epochs = words // 3600 + 2
    result = run("train", store, "--model-file", tmp_path / "m", "--epochs", epochs)
    assert f"resuming after {words:,} words" in result.stderr
    assert fastw2v.Model.load(tmp_path / "m").words_done == epochs * 3600
    assert not list((tmp_path / "m").glob(".gen-*"))


def test_a_second_process_is_refused(store: Path, tmp_path: Path) -> None:
    process = start(tmp_path, "train", store, "--model-file", "m", *SMALL, *ENDLESS)
    try:
        wait_for_words(tmp_path / "m", process)
        result = run("train", store, "--model-file", tmp_path / "m")
        assert result.exit_code == 2
        assert f"pid {process.pid}" in result.stderr
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["--window", "8"], 2, "--window must be odd"),
        (["--alpha", "nan"], 2, "--alpha must be a finite number; got nan"),
        (["--vector-dim", "0"], 2, "--vector-dim must be at least 1; got 0"),
        (["--vector-dim", "-3"], 2, "--vector-dim must be at least 1; got -3"),
        (["--batch-size", "0"], 2, "--batch-size must be at least 1; got 0"),
        (["--threads", "0"], 2, "--threads must be at least 1; got 0"),
        (["--type", "glove"], 2, "glove"),
        (["--window", "abc"], 2, "--window must be a whole number; got 'abc'"),
        (["--no-such-option"], 2, "--no-such-option"),
        (["--alpha", "1e9"], 4, "diverged in epoch"),
        (["--min-count", "3"], 2, "--min-count"),
    ],
)
def test_wrong_values_get_one_line(
    store: Path, tmp_path: Path, arguments: list[str], exit_code: int, words: str
) -> None:
    result = run("train", store, "--model-file", tmp_path / "m", "--quiet", *SMALL, *arguments)
    assert result.exit_code == exit_code
    assert words in result.stderr
    assert result.stderr.startswith("fastw2v: ")
    assert result.stderr.count("\n") == 1
    if exit_code == 2:
        assert not (tmp_path / "m").exists()


def test_wrong_data_gets_one_line(store: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "one.txt").write_text("word word word word word word")
    (tmp_path / "directory").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "manifest.json").write_text('{"format": "other"}')
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    for data, exit_code in [
        ("missing.txt", 2), ("*.nothing", 2), ("empty.txt", 2), ("one.txt", 2), ("directory", 2),
        ("foreign", 1),
    ]:  # fmt: skip
        result = run("train", "--data-file", tmp_path / data, "--model-file", tmp_path / "m")
        assert result.exit_code == exit_code, (data, result.output)
        assert result.stderr.startswith("fastw2v: ") or "\nfastw2v: " in result.stderr
        assert "Traceback" not in result.stderr
        assert not (tmp_path / "m").exists()
    result = run("train", store, "--model-file", tmp_path / "mine", "--overwrite-model")
    assert result.exit_code == 2
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "do not touch"
    assert run("train", "--model-file", tmp_path / "m").exit_code == 2


def test_ctrl_c_while_text_is_read_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fastw2v.training.api.train", interrupted)
    result = run("train", "text.txt", "--model-file", "m", "--quiet")
    assert result.exit_code == 130
    assert "stopped" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unreadable_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "m" / "CURRENT").mkdir(parents=True)
    long_name = tmp_path / ("x" * 300)
    for model in (tmp_path / "m", long_name):
        result = run("neighbors", model, "word")
        assert result.exit_code in (1, 2)
        assert result.stderr.startswith("fastw2v: ")


def test_debug_shows_the_traceback(store: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fastw2v", "train", str(store), "--window", "4"]
    command += ["--model-file", str(tmp_path / "m"), "--debug"]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_an_interrupt_while_python_shuts_down_changes_nothing() -> None:
    script = """
import atexit, os, signal, sys
atexit.register(os.kill, os.getpid(), signal.SIGINT)
from fastw2v.__main__ import main
sys.argv = ["fastw2v", "--version"]
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == b""


def test_the_model_is_the_last_argument(store: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("train", store, "m", "--epochs", 1, "--json", *SMALL)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert (printed["model"], printed["words"]) == ("m", 3600)
    assert isinstance(printed["loss"], float)
    assert run("train", store, "-o", "n", "--epochs", 1, "--quiet", *SMALL).output == ""
    assert fastw2v.Model.load("n").words_done == 3600
    again = run("train", store, "n", "--epochs", 1, "--force", *SMALL, "--window", 5)
    assert again.exit_code == 0, again.output


def test_data_or_model_that_are_missing_are_named(store: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("some text")
    for arguments, message in (
        ([], "MODEL is missing"), (["m"], "DATA is missing"),
        (["--output", "m"], "DATA is missing"),
        (["a.txt", "a.txt"], "a.txt: is a file, not a model; name the model directory last"),
        ([store, store], "is a token store, not a model"), (["a.txt", "*.txt"], "is a pattern"),
        (["--data-file", "a.txt"], "MODEL is missing"),
    ):  # fmt: skip
        result = run("train", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
