"""Runs the jobs of `preprocess`, in this process or in worker processes.

Workers are processes of `multiprocessing`, started by "spawn", each with a pipe of its own. They
are not those of `concurrent.futures`: a `ProcessPoolExecutor` ends all its workers when one dies,
with the work that they are doing, and cannot say which job was the cause. Here the job of a worker
that dies fails alone, with the file and line that it was reading, which every worker notes in
shared memory. Nothing of the user's script runs in a worker, so that a script that calls
`preprocess` needs no `if __name__ == "__main__"`.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from fastw2v import errors
from fastw2v.errors import DataError, FastW2VError, ResourceError
from fastw2v.store.jobs import Job, JobRunner, SpillJob
from fastw2v.store.settings import Settings
from fastw2v.text.shards import SegmentReader

_SPAWN = multiprocessing.get_context("spawn")
_POLL_SECONDS = 0.1  # between two reports of progress
_SEGMENT, _OFFSET, _BYTES = range(3)  # of the memory in which a job notes how far it is
_NOT_READING = -1

Failed: TypeAlias = Callable[[Job, FastW2VError, int], None]


class WorkerDied(ResourceError):  # noqa: N818 - named by what happened
    """A worker process ended in the middle of a job, which may be the fault of its text."""


class _Outcome(NamedTuple):
    """How a job ended: with a result, or with an error at a place of its text.

    segment: the number of the segment that it was reading; negative before it began to read.
    """

    job: Job
    result: Any
    segment: int


class _Notes:
    """Where a job notes how far it is (see `encoder.Progress`)."""

    def __init__(
        self, memory: MutableSequence[int], report: Callable[[int], None] | None = None
    ) -> None:
        self._memory, self._report = memory, report
        memory[:] = [_NOT_READING, 0, 0]

    def __call__(self, count: int, place: tuple[int, int] | None = None) -> None:
        if place is not None:
            self._memory[_SEGMENT], self._memory[_OFFSET] = place
        self._memory[_BYTES] += count
        if count and self._report is not None:
            self._report(count)


class WorkerPool:
    """Worker processes, or none where jobs run in this one. A context manager.

    Args:
        workers: how many processes; 1: none.
    """

    def __init__(self, store: Path, settings: Settings, workers: int) -> None:
        self._runner = JobRunner(store, settings)
        if multiprocessing.current_process().daemon:  # which may have no processes of its own
            workers = 1
        self._workers = [_Worker(self._runner) for _ in range(workers)] if workers > 1 else []

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.kill()

    def run(
        self,
        jobs: Sequence[Job],
        progress: Callable[[int], None] = lambda count: None,
        failed: Failed | None = None,
    ) -> dict[int, Any]:
        """Do all jobs; their results by the jobs' numbers.

        Args:
            progress: called from this thread with the bytes or tokens done since the last call.
            failed: if given, a job that fails because of its text does not end the run: it is
                called with the job, the error, and the number of the segment that is at fault.

        Raises:
            FastW2VError: the first error of a job, unless `failed` takes it.
            ResourceError: a worker died, or the disk is full.
        """
        here = [job for job in jobs if not self._workers or job.only_here]
        elsewhere = deque(job for job in jobs if self._workers and not job.only_here)
        results = {}
        for outcomes in (self._from_workers(elsewhere, progress), self._from_here(here, progress)):
            for job, result, segment in outcomes:
                if not isinstance(result, FastW2VError):
                    results[job.number] = result
                elif failed and segment >= 0 and isinstance(result, DataError | WorkerDied):
                    failed(job, result, segment)
                else:
                    raise result
        return results

    def _from_here(self, jobs: list[Job], progress: Callable[[int], None]) -> Iterator[_Outcome]:
        memory = [0, 0, 0]
        for job in jobs:
            result: Any
            try:
                result = self._runner.run(job, _Notes(memory, progress))
            except FastW2VError as error:
                result = error
            yield _Outcome(job, result, memory[_SEGMENT])

    def _from_workers(
        self, waiting: deque[Job], progress: Callable[[int], None]
    ) -> Iterator[_Outcome]:
        idle, busy = list(self._workers), dict[Any, _Worker]()
        while waiting or busy:
            while waiting and idle:
                worker = idle.pop()
                worker.begin(waiting.popleft())
                busy[worker.connection] = worker
            ready = wait(list(busy), _POLL_SECONDS)
            if count := sum(worker.new_bytes() for worker in busy.values()):
                progress(count)
            for connection in ready:
                worker = busy.pop(connection)
                outcome = worker.outcome()
                idle.append(worker)
                yield outcome


class _Worker:
    """A worker process, seen from its parent; another takes its place when it dies."""

    connection: Connection

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner
        self._job: Job
        self._reported = 0
        try:
            self._memory = _SPAWN.RawArray("q", 3)
        except OSError as error:
            raise _cannot_start(error) from error
        self._start()

    def _start(self) -> None:
        self.connection, theirs = _SPAWN.Pipe()
        arguments = (theirs, self._memory, self._runner.store, self._runner.settings)
        self._process = _SPAWN.Process(target=_do_jobs, args=arguments, daemon=True)
        try:
            with _apart_from_the_script():
                self._process.start()
        except OSError as error:
            raise _cannot_start(error) from error
        finally:
            theirs.close()

    def begin(self, job: Job) -> None:
        """Send a job; if the worker is dead, `outcome` says so."""
        self._job, self._reported = job, 0
        self._memory[:] = [_NOT_READING, 0, 0]
        with contextlib.suppress(OSError):
            self.connection.send(job)

    def new_bytes(self) -> int:
        """What the job has done since the last call."""
        done = int(self._memory[_BYTES])
        count, self._reported = done - self._reported, done
        return count

    def outcome(self) -> _Outcome:
        """How the job ended; waits for it."""
        try:
            result = self.connection.recv()
        except (EOFError, OSError):
            result = self._death()
            self.kill()
            self._start()
        return _Outcome(self._job, result, int(self._memory[_SEGMENT]))

    def _death(self) -> WorkerDied:
        """The error for a worker that ended in the middle of its job."""
        self._process.join()
        job, code = self._job, self._process.exitcode or 0
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        message = (
            f"the worker process for {job.name} died ({reason}); run the same command again to "
            "continue, with fewer `threads` if memory is short"
        )
        segment, offset = int(self._memory[_SEGMENT]), int(self._memory[_OFFSET])
        if isinstance(job, SpillJob) and segment >= 0:
            config = self._runner.settings.config
            reader = SegmentReader(job.segments[segment], config=config)
            message = f"{reader.shown}: near {reader.line_at(offset)}: {message}"
        return WorkerDied(message)

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self.connection.close()


def _cannot_start(error: OSError) -> ResourceError:
    return ResourceError(
        f"cannot start a worker process ({error.strerror or error}); use 1 for `threads`"
    )


@contextlib.contextmanager
def _apart_from_the_script() -> Iterator[None]:
    """A process that is started meanwhile does not run the user's script again, takes no module of
    the working directory for a library, leaves the other cores to its siblings, and does not see
    Ctrl-C, which is the parent's to handle."""
    script, variables = sys.modules["__main__"], ("PYTHONSAFEPATH", "OMP_NUM_THREADS")
    before = {name: os.environ.get(name) for name in variables}
    masks = hasattr(signal, "pthread_sigmask")  # not on Windows
    if masks:
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # starting it later would unblock the signal
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    sys.modules["__main__"] = types.ModuleType("__main__")
    os.environ.update(dict.fromkeys(variables, "1"))
    try:
        yield
    finally:
        sys.modules["__main__"] = script
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)


# --- in the worker ---


def _do_jobs(
    connection: Connection, memory: MutableSequence[int], store: Path, settings: Settings
) -> None:
    """Do jobs until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    runner = JobRunner(store, settings)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(_result(runner, connection.recv(), memory))


def _result(runner: JobRunner, job: Job, memory: MutableSequence[int]) -> Any:
    """The result of a job, or its error, of a public class that the parent can load."""
    try:
        return runner.run(job, _Notes(memory))
    except FastW2VError as error:
        public = next(c for c in type(error).__mro__ if c.__module__ == errors.__name__)
        return public(str(error))
    except MemoryError:
        return ResourceError("out of memory; use fewer `threads`")


def _end_with_parent() -> None:
    """End this process when the parent ends, also in the middle of a job: the next run may begin
    to write the same files at once."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
