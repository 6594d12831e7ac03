"""`python -m fastw2v.store.worker`: a process that does jobs for `preprocess`.

Argument: the file of `LastPlace`. Standard input: one JSON line of `UnitSettings`, then one a job.
Standard output: JSON lines {"progress": n} from time to time, and {"result": ...} or {"error":
class, "message": ...} for each job. The end of standard input ends the process at once, also in the
middle of a job: the parent is gone.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastw2v.errors import FastW2VError
from fastw2v.store.jobs import UnitJobs, UnitSettings
from fastw2v.store.workers import LastPlace, Place

_BETWEEN_ANSWERS = 0.05  # seconds; each one wakes the parent, which has no core of its own


def _read_jobs(jobs: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        jobs.put(json.loads(line))
    os._exit(0)


def main() -> None:
    """Do jobs until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not stand between the answers

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    with LastPlace(Path(sys.argv[1])) as last_place:
        unit_jobs = UnitJobs(UnitSettings.from_json(jobs.get()))
        while True:
            job = jobs.get()
            teller = _Teller(job["unit"], last_place, answer)
            try:
                result = unit_jobs.run(job, teller.tell)
                teller.tell_all()
                answer({"result": result})
            except FastW2VError as error:
                answer({"error": _public_class(error), "message": str(error)})
            except MemoryError:
                answer({"error": "ResourceError", "message": "out of memory; use fewer --threads"})
            except BrokenPipeError:  # the parent is gone
                os._exit(0)


class _Teller:
    """Tells how far the job of a unit is: its place at once, its progress from time to time."""

    def __init__(
        self, unit: int, last_place: LastPlace, answer: Callable[[dict[str, Any]], None]
    ) -> None:
        self._unit, self._last_place, self._answer = unit, last_place, answer
        self._count = 0
        self._told_at = time.monotonic()
        last_place.note(unit=-1, place=(0, 0))  # the job before may be of the same unit

    def tell(self, count: int, place: Place | None = None) -> None:
        """As `text_codes.Progress`."""
        if place is not None:
            self._last_place.note(self._unit, place)
        self._count += count
        if self._count and time.monotonic() - self._told_at > _BETWEEN_ANSWERS:
            self.tell_all()

    def tell_all(self) -> None:
        """Tell what was not told yet."""
        self._answer({"progress": self._count})
        self._count = 0
        self._told_at = time.monotonic()


def _public_class(error: FastW2VError) -> str:
    """The nearest class of `fastw2v.errors`."""
    return next(c.__name__ for c in type(error).__mro__ if c.__module__ == "fastw2v.errors")


if __name__ == "__main__":
    main()
