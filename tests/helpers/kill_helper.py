"""Runs of `preprocess` and `train` in processes of their own, to be killed at any moment.

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
import tempfile
from pathlib import Path
from typing import Any

import fastw2v

_SERVER = Path(__file__).with_name("run_server.py")


class Runs:
    """The process that forks the runs; a context manager. One run at a time.

    Args:
        kind: "preprocess" or "train".
        call: what it is called with; the layout as a dict. Besides: `kill_at`, the step before (an
            even number, from 2) or after which (one more) the run kills itself; `faults`, the
            arguments of `fault_layer.Faults` that is put under it.

    Attributes:
        steps: of the last run that came to its end; with `faults` the calls that it made.
        notes: what the last run noted, see `run_server`.
    """

    def __init__(self, kind: str = "preprocess", **call: Any) -> None:
        self._call = {"kind": kind, "kill_at": 0, **call}
        self.steps = 0
        self.notes: list[dict[str, Any]] = []
        self._directory = tempfile.TemporaryDirectory()
        self._notes = Path(self._directory.name) / "notes"
        # The threads of Numba's own layer can be started anew in a forked process.
        layer = {"NUMBA_THREADING_LAYER": "workqueue", "MPLBACKEND": "agg"}
        self._process = subprocess.Popen(
            [sys.executable, str(_SERVER), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **layer, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)},
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self) -> Runs:
        return self

    def of(self, **call: Any) -> Runs:
        """The same, to be called with `call` from now on."""
        self._call = {"kind": self._call["kind"], "kill_at": 0, **call}
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._directory.cleanup()

    def start(self, **call: Any) -> int:
        """Begin a run; its process group."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._notes.unlink(missing_ok=True)
        whole = {**self._call, "notes": str(self._notes), **call}
        self._process.stdin.write(json.dumps(whole) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self) -> str:
        """How the run ended: "done", "killed" or an error and its message."""
        assert self._process.stdout is not None
        outcome, self.steps = json.loads(self._process.stdout.readline())
        with contextlib.suppress(FileNotFoundError):
            lines = self._notes.read_text().split("\n")
            self.notes = [json.loads(line) for line in lines if line]
        return str(outcome)

    def run(self, **call: Any) -> str:
        """Do a run; how it ended."""
        self.start(**call)
        return self.wait()

    def noted(self, name: str) -> list[Any]:
        """The values of this name among the notes of the last run."""
        return [note[name] for note in self.notes if name in note]


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
