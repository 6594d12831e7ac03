"""Trainers that the user has compiled: word2vec.c, pWord2Vec and koan, on the same text.

    python -m bench.speed.throughput --word2vec ./word2vec --koan ./koan --pword2vec ./pWord2Vec

Options are matched to those of the other trainers; min-count is 1, for the text holds only words of
the vocabulary. How each is timed, which its result says too (`timed_by`):

word2vec, pword2vec   the slope of the progress that they print, first line to last, by this
                      process's clock: vocabulary, initialization and saving are outside it. (What
                      word2vec.c prints as words/s is over processor time, so it is not used.)
koan                  what it prints at the end: tokens that subsampling kept over seconds without
                      the vocabulary, brought back to words read by the share that it prints.
                      Parsing the text is in those seconds, as it is for gensim and word2vec.c.

All run in a scratch directory, where the text is `corpus.txt`: the two word2vecs hold paths of at
most 99 characters.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from bench.lib.common import Corpus
from bench.peers.trainers import Settings

TYPES = {
    "word2vec": ("sgram_neg", "cbow_neg"),
    "pword2vec": ("sgram_neg",),
    "koan": ("sgram_neg", "cbow_neg"),
}
_PROGRESS = re.compile(r"Progress:\s*([0-9.]+)%")
_KOAN_KEPT = re.compile(r"([0-9.]+)% of tokens were retained")
_KOAN_SPEED = re.compile(r"Overall speed was ([0-9.e+]+) toks/s")
_MIN_PROGRESS = 50.0  # percent that must lie between the first and the last line


class Mark(NamedTuple):
    """What had been printed of the progress, and when: seconds and percent."""

    seconds: float
    percent: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option with the path of its binary for each of these trainers."""
    for name in TYPES:
        parser.add_argument(f"--{name}", type=executable, metavar="PATH",
                            help=f"a compiled {name} to time as well")  # fmt: skip


def executable(text: str) -> Path:
    """An argparse type: the path of a program."""
    path = Path(text).resolve()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise argparse.ArgumentTypeError(f"{text} is not an executable file")
    return path


def command_of(settings: Settings, binary: Path) -> list[str]:
    """The command line of the trainer `settings.trainer`, for a text `corpus.txt`."""
    alpha = settings.alpha or 0.025
    values: dict[str, Any]
    if settings.trainer == "koan":
        values = {
            "--file": "corpus.txt",
            "--embedding-path": "vectors.txt",
            "--dim": settings.dim,
            "--context-size": settings.reach,
            "--negatives": settings.negatives,
            "--downsample-threshold": settings.subsample,
            "--learning-rate": alpha,
            "--min-learning-rate": alpha / 10_000,
            "--epochs": settings.epochs,
            "--threads": settings.threads,
            "--cbow": "true" if settings.type == "cbow_neg" else "false",
            "--min-count": 1,
            "--buffer-size": 1_000_000_000,  # all at once
        }
        return [str(binary), *_words(values), "--no-progress"]
    values = {
        "-train": "corpus.txt",
        "-output": "vectors.bin",
        "-binary": 1,
        "-size": settings.dim,
        "-window": settings.reach,
        "-negative": settings.negatives,
        "-sample": settings.subsample,
        "-alpha": alpha,
        "-iter": settings.epochs,
        "-threads": settings.threads,
        "-min-count": 1,
        "-debug": 2,  # prints the progress
    }
    if settings.trainer == "word2vec":
        values |= {"-hs": 0, "-cbow": int(settings.type == "cbow_neg")}
    return [str(binary), *_words(values)]


def _words(values: dict[str, Any]) -> list[str]:
    return [str(word) for pair in values.items() for word in pair]


def run(settings: Settings, corpus: Corpus, binary: Path) -> dict[str, Any]:
    """Train once; the result has the fields of `peers.run`, and `timed_by`.

    Raises:
        RuntimeError: it failed, or printed nothing that tells its speed.
    """
    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-") as scratch:
        os.symlink(corpus.text, Path(scratch) / "corpus.txt")
        printed, marks, whole = _watch(command_of(settings, binary), Path(scratch), settings)
    words = corpus.words * settings.epochs
    if settings.trainer == "koan":
        result = _koan_result(printed, words)
    else:
        result = _progress_result(settings.trainer, marks, words)
    result["words_per_second"] = result["words"] / result["seconds"]
    return result | {"seconds_with_vocabulary_and_saving": whole}


def _watch(command: list[str], scratch: Path, settings: Settings) -> tuple[str, list[Mark], float]:
    """Run `command`; what it printed, its progress as it came, the seconds it took."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    began = time.perf_counter()
    marks: list[Mark] = []
    printed, tail = [], ""
    with subprocess.Popen(
        command, cwd=scratch, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        while chunk := os.read(process.stdout.fileno(), 1 << 16):
            now = time.perf_counter() - began
            text = chunk.decode("utf-8", "replace")
            printed.append(text)
            tail = (tail + text)[-400:]
            found = _PROGRESS.findall(tail)
            if found and (not marks or float(found[-1]) > marks[-1].percent):
                marks.append(Mark(now, float(found[-1])))
    whole, everything = time.perf_counter() - began, "".join(printed)
    if process.returncode != 0:
        lines = "\n".join(everything.replace("\r", "\n").splitlines()[-15:])
        raise RuntimeError(f"{settings.trainer} {settings.type} failed:\n{lines}")
    return everything, marks, whole


def _progress_result(trainer: str, marks: list[Mark], words: int) -> dict[str, Any]:
    if not marks or marks[-1].percent - marks[0].percent < _MIN_PROGRESS:
        seen = f"{marks[0].percent}% to {marks[-1].percent}%" if marks else "none"
        raise RuntimeError(
            f"{trainer} printed too little of its progress to be timed ({seen}); give it more text"
        )
    share = (marks[-1].percent - marks[0].percent) / 100
    return {
        "words": round(words * share),
        "seconds": marks[-1].seconds - marks[0].seconds,
        "timed_by": f"progress lines, {marks[0].percent:.2f}% to {marks[-1].percent:.2f}%",
    }


def _koan_result(printed: str, words: int) -> dict[str, Any]:
    kept, speed = _KOAN_KEPT.findall(printed), _KOAN_SPEED.findall(printed)
    if not kept or not speed:
        raise RuntimeError("koan printed no overall speed or no share of retained tokens")
    share = sum(map(float, kept)) / len(kept) / 100
    return {
        "words": words,
        "seconds": words * share / float(speed[-1]),
        "timed_by": f"its own {speed[-1]} kept tokens/s, {100 * share:.2f}% kept; with parsing",
    }
