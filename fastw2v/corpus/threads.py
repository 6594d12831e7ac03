"""Work on a store in threads: hashing and decoding let go of the interpreter's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastw2v import machine

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]


class Stopped(Exception):  # noqa: N818 - not a fault
    """Other work of the same call failed or was interrupted."""


class Meter:
    """Adds up what threads have done, for the caller's progress(phase, done, total)."""

    def __init__(self, progress: Progress | None, phase: str, total: int) -> None:
        self._progress, self._phase, self._total = progress, phase, total
        self._done = 0.0
        self._stopped = False
        self._lock = threading.Lock()

    def add(self, amount: float) -> None:
        """So much more is done.

        Raises:
            Stopped: the rest is no longer wanted.
        """
        with self._lock:
            if self._stopped:
                raise Stopped
            self._done += amount
            if self._progress is not None:
                self._progress(self._phase, round(self._done), self._total)

    def stop(self) -> None:
        """Let every later `add` raise."""
        self._stopped = True


def map_in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], meter: Meter, threads: int | None = None
) -> list[Result]:
    """`[work(item) for item in items]` in `threads` threads (default: the usable cores).

    Raises what `work` raises; what has not begun by then is left out, and `meter` is stopped.
    """
    with ThreadPoolExecutor(threads or machine.usable_cores()) as executor:
        futures = [executor.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except BaseException:  # Ctrl-C, too
            meter.stop()
            executor.shutdown(wait=False, cancel_futures=True)
            raise
