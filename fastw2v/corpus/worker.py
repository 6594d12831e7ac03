"""`python -m fastw2v.corpus.worker`: a process that does jobs for `preprocess`.

Standard input: one JSON line of `UnitSettings`, then one a job. Standard output: JSON lines
{"progress": n, "place": [segment, offset] or null}, and {"result": ...} or {"error": class,
"message": ...} for each job. The end of standard input ends the process at once, also in the middle
of a job: the parent is gone.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from typing import Any

from fastw2v.corpus.text_codes import Place
from fastw2v.corpus.units import UnitJobs, UnitSettings
from fastw2v.errors import FastW2VError


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

    def tell(count: int, place: Place | None = None) -> None:
        answer({"progress": count, "place": place})

    jobs: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    unit_jobs = UnitJobs(UnitSettings.from_json(jobs.get()))
    while True:
        job = jobs.get()
        try:
            answer({"result": unit_jobs.run(job, tell)})
        except FastW2VError as error:
            answer({"error": _public_class(error), "message": str(error)})
        except MemoryError:
            answer({"error": "ResourceError", "message": "out of memory; use fewer --workers"})
        except BrokenPipeError:  # the parent is gone
            os._exit(0)


def _public_class(error: FastW2VError) -> str:
    """The nearest class of `fastw2v.errors`."""
    return next(c.__name__ for c in type(error).__mro__ if c.__module__ == "fastw2v.errors")


if __name__ == "__main__":
    main()
