"""Runs the jobs of `preprocess` in this process or in worker processes.

Workers are plain subprocesses that speak JSON lines: nothing is forked, nothing is pickled, and a
script that calls `preprocess` needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import fastw2v
from fastw2v import errors
from fastw2v.corpus.units import UnitJobs, UnitSettings
from fastw2v.errors import FastW2VError, ResourceError

Job = dict[str, Any]
Event = tuple[str, int, Any]  # ("progress", unit, count), ("result", unit, dict), ("error", ...)


class WorkerPool:
    """`workers` processes (none for 1: jobs run in this one). A context manager."""

    def __init__(self, settings: UnitSettings, workers: int) -> None:
        self._settings = settings
        self._workers = [_Worker(settings) for _ in range(workers)] if workers > 1 else []
        self._threads: list[threading.Thread] = []
        self._jobs_here = UnitJobs(settings)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.kill()
        for thread in self._threads:  # they see the end of their worker's answers
            thread.join()
        for worker in self._workers:
            worker.close()

    def run(self, jobs: list[Job], progress: Callable[[int, int], None]) -> dict[int, Any]:
        """Do all jobs; `progress(unit, count)` is called from this thread. Results by unit.

        Raises:
            FastW2VError: the first error of a job.
            ResourceError: a worker died.
        """
        if not self._workers:
            return {
                job["unit"]: self._jobs_here.run(job, lambda n, u=job["unit"]: progress(u, n))  # type: ignore[misc]
                for job in jobs
            }
        waiting = collections.deque(jobs)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        for worker in self._workers:
            thread = threading.Thread(target=worker.do, args=(waiting, events), daemon=True)
            self._threads.append(thread)
            thread.start()
        results: dict[int, Any] = {}
        while len(results) < len(jobs):
            kind, unit, value = events.get()
            if kind == "progress":
                progress(unit, value)
            elif kind == "result":
                results[unit] = value
            else:
                raise value
        return results


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, settings: UnitSettings) -> None:
        package = str(Path(fastw2v.__file__).parent.parent)
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        # The safe path keeps modules of the working directory from standing in for libraries.
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONSAFEPATH": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - see close()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fastw2v.corpus.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env=environment,
                encoding="utf-8",
            )
        except OSError as error:
            raise ResourceError(
                f"cannot start a worker process ({error.strerror}); try --workers 1"
            ) from error
        self._settings: UnitSettings | None = settings

    def do(self, waiting: collections.deque[Job], events: queue.SimpleQueue[Event]) -> None:
        """In a thread of its own: do jobs of `waiting` until there are none."""
        while True:
            try:
                job = waiting.popleft()
            except IndexError:
                return
            try:
                self._do(job, events)
            except FastW2VError as error:
                events.put(("error", job["unit"], error))
                return
            except (OSError, ValueError):
                events.put(("error", job["unit"], self._death(job)))
                return

    def _do(self, job: Job, events: queue.SimpleQueue[Event]) -> None:
        if self._settings is not None:
            self._send(dataclasses.asdict(self._settings))
            self._settings = None
        self._send(job)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            if "progress" in answer:
                events.put(("progress", job["unit"], answer["progress"]))
            elif "result" in answer:
                events.put(("result", job["unit"], answer["result"]))
                return
            else:
                raise getattr(errors, answer["error"])(answer["message"])
        raise self._death(job)

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _death(self, job: Job) -> ResourceError:
        """What to say about a worker that ended in the middle of a job."""
        code = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        last_words = f": {lines[-1]}" if lines else ""
        return ResourceError(
            f"{job['name']}: the worker process for it died ({reason}{last_words}); run the same "
            "command again to go on, with fewer --workers if memory is short"
        )

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close the pipes; after `kill`, when no thread reads them any more."""
        for stream in (self._process.stdin, self._process.stdout, self._complaints):
            try:
                if stream is not None:
                    stream.close()
            except OSError:  # unsent bytes of a pipe whose reader is gone
                pass
