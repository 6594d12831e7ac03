"""Runs of `preprocess` in processes of their own, to be killed at any moment.

One process has imported everything and forks a child for each run, which leads a process group of
its own: to start one takes milliseconds, so that a test can afford many kills.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import fastw2v

PROGRAM = """
import json, os, signal, sys, tempfile
from pathlib import Path
from fastw2v import storage
from fastw2v.corpus.config import Layout
from fastw2v.corpus.preprocess import preprocess
from fastw2v.errors import FastW2VError

steps = 0  # changes of directories, and files that are synced

def kill_at(step):
    # Before (even) or after (odd) one of the steps, or within it where it writes a small file, this
    # process and its workers end.
    def killing(real):
        def call(*arguments, **options):
            global steps
            steps += 1
            if 2 * steps == step:
                os.killpg(0, signal.SIGKILL)
            result = real(*arguments, **options)
            if 2 * steps + 1 == step:
                os.killpg(0, signal.SIGKILL)
            return result
        return call
    def writes_half(path, text, **options):
        global steps
        steps += 1
        if 2 * steps in (step, step - 1):
            write_text(path, text[: len(text) // 2], **options)
            os.killpg(0, signal.SIGKILL)
        return write_text(path, text, **options)
    changes = (os, "replace"), (os, "rename"), (os, "link"), (storage.shutil, "rmtree")
    for module, name in *changes, (storage, "sync_file"):
        setattr(module, name, killing(getattr(module, name)))
    write_text, Path.write_text = Path.write_text, writes_half

def run(call, answer):
    os.setsid()
    print(os.getpid(), flush=True)
    kill_at(call.pop("kill_at"))
    try:
        layout = None if call.get("append") else Layout(**call["layout"])
        preprocess(**{**call, "layout": layout})
        outcome = "done"
    except FastW2VError as error:
        outcome = f"{type(error).__name__}: {error}"
    os.write(answer, json.dumps([outcome, steps]).encode())
    os._exit(0)

os.fsync = lambda descriptor: None  # processes are killed, not machines
with tempfile.TemporaryDirectory() as name:  # kernels are loaded once, and not by every child
    text = os.path.join(name, "text")
    with open(text, "w") as file:
        file.write("a b don't c-d e\\n" * 9)
    preprocess(text, os.path.join(name, "store"), min_count=1, workers=1)
for line in sys.stdin:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        run(json.loads(line), writing)
    os.close(writing)
    os.waitpid(pid, 0)
    answer = os.read(reading, 1 << 16).decode()
    os.close(reading)
    print(answer or json.dumps(["killed", 0]), flush=True)
"""


class Runs:
    """The process that forks the runs; a context manager. One run at a time.

    Args:
        call: what `preprocess` is called with; the layout as a dict. `kill_at`: the step before
            (an even number, from 2) or after which (one more) the run kills itself.

    Attributes:
        steps: of the last run that came to its end.
    """

    def __init__(self, **call) -> None:
        self._call = {"kill_at": 0, **call}
        self.steps = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)},
            text=True,
        )

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *error) -> None:
        self._process.kill()
        self._process.communicate()

    def start(self, **call) -> int:
        """Begin a run; its process group."""
        self._process.stdin.write(json.dumps({**self._call, **call}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self) -> str:
        """How the run ended: "done", "killed" or an error and its message."""
        outcome, self.steps = json.loads(self._process.stdout.readline())
        return outcome

    def run(self, **call) -> str:
        """Do a run; how it ended."""
        self.start(**call)
        return self.wait()


def kill_group(group: int) -> None:
    """End a run and its workers, at once, if it has not ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def is_running(group: int) -> bool:
    """Whether a run has not ended."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
