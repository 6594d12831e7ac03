"""Where a worker process is in its text, in a small file: it can be read when the worker has died.

It is written before each block is looked at, far more often than a message to the parent is worth.

Runs the jobs of `preprocess` in this process or in worker processes.

Workers are plain subprocesses that speak JSON lines: nothing is forked, nothing is pickled, and a
script that calls `preprocess` needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import queue
import struct
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
from fastw2v.errors import DataError, FastW2VError, ResourceError
from fastw2v.store.jobs import UnitJobs, UnitSettings
from fastw2v.text.config import TextConfig
from fastw2v.text.inputs import Segment
from fastw2v.text.shards import SegmentReader

Place = tuple[int, int]  # the number of the segment, and an offset of `SegmentReader.blocks`
_RECORD = struct.Struct("<qqq")  # unit, and the place


class LastPlace:
    """The worker's end. A context manager."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0))

    def __enter__(self) -> LastPlace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def note(self, unit: int, place: Place) -> None:
        """The job of `unit` is at this place."""
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, _RECORD.pack(unit, *place))


def last_place(path: Path, unit: int) -> Place | None:
    """The last place of the job of `unit`; None where it had not begun to read."""
    try:
        record = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(record) != _RECORD.size:
        return None
    of_unit, segment, offset = _RECORD.unpack(record)
    return (segment, offset) if of_unit == unit else None


Job = dict[str, Any]
# ("progress", unit, count), ("result", unit, dict), ("error", unit, (FastW2VError, place or None))
Event = tuple[str, int, Any]


class WorkerDied(ResourceError):  # noqa: N818 - named by what happened
    """A worker process ended in the middle of a job, which may be the fault of its text."""

    def at(self, job: Job, place: Place, config: TextConfig) -> WorkerDied:
        """The same, with the line where the job was."""
        reader = SegmentReader(Segment.from_json(job["segments"][place[0]]), config=config)
        return WorkerDied(f"{reader.shown}: near {reader.line_at(place[1])}: {self}")


class WorkerPool:
    """`workers` processes (none for 1: jobs run in this one). A context manager."""

    def __init__(self, settings: UnitSettings, workers: int) -> None:
        self._settings = settings
        self._workers = [_Worker(settings, k) for k in range(workers)] if workers > 1 else []
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

    def run(
        self,
        jobs: list[Job],
        progress: Callable[[int, int], None],
        failed: Callable[[int, FastW2VError, Place | None], None] | None = None,
    ) -> dict[int, Any]:
        """Do all jobs; `progress(unit, count)` is called from this thread. Results by unit.

        Args:
            failed: where it is given, a job that fails because of its text does not end the run: it
                is called with the unit, the error, and where in its text the job was.

        Raises:
            FastW2VError: the first error of a job, unless `failed` is given.
            ResourceError: a worker died, or the disk is full.
        """
        results: dict[int, Any] = {}

        def fail(unit: int, error: FastW2VError, place: Place | None) -> None:
            if isinstance(error, WorkerDied) and place is not None:
                job = next(job for job in jobs if job["unit"] == unit)
                error = error.at(job, place, TextConfig.from_settings(self._settings.config))
            of_the_text = isinstance(error, DataError | WorkerDied)
            if failed is None or not of_the_text:
                raise error
            failed(unit, error, place)

        here = [job for job in jobs if job.get("here") or not self._workers]
        elsewhere = [job for job in jobs if self._workers and not job.get("here")]
        if elsewhere:
            self._run_in_workers(elsewhere, results, progress, fail)
        for job in here:
            self._run_here(job, results, progress, fail)
        return results

    def _run_here(
        self,
        job: Job,
        results: dict[int, Any],
        progress: Callable[[int, int], None],
        fail: Callable[[int, FastW2VError, Place | None], None],
    ) -> None:
        unit = job["unit"]
        at: Place | None = None

        def tell(count: int, place: Place | None = None) -> None:
            nonlocal at
            at = place or at
            if count:
                progress(unit, count)

        try:
            results[unit] = self._jobs_here.run(job, tell)
        except FastW2VError as error:
            fail(unit, error, at)

    def _run_in_workers(
        self,
        jobs: list[Job],
        results: dict[int, Any],
        progress: Callable[[int, int], None],
        fail: Callable[[int, FastW2VError, Place | None], None],
    ) -> None:
        waiting = collections.deque(jobs)
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        for worker in self._workers:
            thread = threading.Thread(target=worker.do, args=(waiting, events), daemon=True)
            self._threads.append(thread)
            thread.start()
        ended = 0
        while ended < len(jobs):
            kind, unit, value = events.get()
            if kind == "progress":
                progress(unit, value)
                continue
            ended += 1
            if kind == "result":
                results[unit] = value
            else:
                fail(unit, *value)


class _Worker:
    """The parent's end of one worker process."""

    def __init__(self, settings: UnitSettings, number: int) -> None:
        self._place_path = settings.work / f"worker-{number}.place"
        package = str(Path(fastw2v.__file__).parent.parent)
        paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
        # The safe path keeps modules of the working directory from standing in for libraries.
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONSAFEPATH": "1",
            "OMP_NUM_THREADS": "1",
        }
        self._environment = environment
        self._settings = settings
        self._ended = False
        self._lock = threading.Lock()
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - see close()
        self._start()

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fastw2v.store.worker", str(self._place_path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                env=self._environment,
                encoding="utf-8",
            )
        except OSError as error:
            raise ResourceError(
                f"cannot start a worker process ({error.strerror}); try --threads 1"
            ) from error
        self._knows_settings = False

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
                events.put(("error", job["unit"], (error, self._place_of(job))))
            except (OSError, ValueError):
                death, place = self._death(job), self._place_of(job)
                try:  # before the death is told: what comes next may need this worker
                    alive = self._start_again()
                except ResourceError as error:
                    events.put(("error", job["unit"], (error, None)))
                    return
                events.put(("error", job["unit"], (death, place)))
                if not alive:
                    return

    def _do(self, job: Job, events: queue.SimpleQueue[Event]) -> None:
        if not self._knows_settings:
            self._send(dataclasses.asdict(self._settings))
            self._knows_settings = True
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
        raise BrokenPipeError  # the process is gone

    def _place_of(self, job: Job) -> Place | None:
        return last_place(self._place_path, job["unit"]) if job["task"] == "spill" else None

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def _death(self, job: Job) -> WorkerDied:
        """What to say about a worker that ended in the middle of a job."""
        code = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode("utf-8", "replace").strip().splitlines()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        last_words = f": {lines[-1]}" if lines else ""
        return WorkerDied(
            f"the worker process for {job['name']} died ({reason}{last_words}); run the same "
            "command again to go on, with fewer --threads if memory is short"
        )

    def _start_again(self) -> bool:
        """A new process in the place of a dead one, unless the pool is closed.

        Raises:
            ResourceError: it cannot be started.
        """
        with self._lock:
            if self._ended:
                return False
            self._close_pipes()
            self._complaints.truncate(0)
            self._complaints.seek(0)  # for the next process, too, which shares the place
            self._start()
            return True

    def kill(self) -> None:
        """End the process, whatever it does; none takes its place."""
        with self._lock:
            self._ended = True
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Close the pipes; after `kill`, when no thread reads them any more."""
        self._close_pipes()
        self._complaints.close()

    def _close_pipes(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # unsent bytes of a pipe whose reader is gone
                if stream is not None:
                    stream.close()
