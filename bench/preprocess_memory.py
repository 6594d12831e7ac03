"""Memory and disk that a run takes, seen from outside: the process that it starts, and its workers.

Memory is the sum of the resident sets of all descendants of this process, sampled from /proc ten
times a second. Pages that several of them share (libraries, mapped files) count in each, so that
the sum is an upper bound; `private` leaves out all that is backed by files. None where there is no
such /proc.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from fastw2v.io import machine

_PROC = Path("/proc")
_SECONDS = 0.1  # between two samples
_FORKED_ONLY = 0x40  # PF_FORKNOEXEC of the kernel


def descendants(of: int) -> Iterator[int]:
    """The process ids of all processes below `of`."""
    for listed in _PROC.glob(f"{of}/task/*/children"):
        with contextlib.suppress(OSError):  # it ended in between
            for child in map(int, listed.read_text().split()):
                yield child
                yield from descendants(child)


def resident(process: int) -> tuple[int, int]:
    """Bytes resident of a process, and those of them that no file backs.

    0 when it has ended, or has yet to begin: until it runs a program of its own, what a new process
    shows is its parent's memory.
    """
    place = _PROC / str(process)
    try:
        flags = int((place / "stat").read_text().rpartition(")")[2].split()[6])
        _, pages, shared, *_ = (place / "statm").read_text().split()
    except (OSError, ValueError, IndexError):
        return 0, 0
    if flags & _FORKED_ONLY:
        return 0, 0
    page = os.sysconf("SC_PAGE_SIZE")
    return int(pages) * page, (int(pages) - int(shared)) * page


class Watch:
    """Watches what is started while it is open. A context manager.

    Attributes:
        peak: the most bytes resident at once, of all processes together.
        private: the same without pages of files.
        processes: the most processes at once.
        disk: the most bytes that the file system of `folder` lost, whoever took them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._free = machine.free_disk(folder)
        self.peak = self.private = self.processes = self.disk = 0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self._look()
            if self._done.wait(_SECONDS):
                return

    def _look(self) -> None:
        found = [resident(process) for process in descendants(os.getpid())]
        self.peak = max(self.peak, sum(both for both, _ in found))
        self.private = max(self.private, sum(private for _, private in found))
        self.processes = max(self.processes, len(found))
        self.disk = max(self.disk, self._free - machine.free_disk(self._folder))

    def describe(self) -> dict[str, Any]:
        """For the record of a run."""
        seen = self.processes > 0
        return {
            "peak_memory": self.peak if seen else None,
            "private_memory": self.private if seen else None,
            "processes": self.processes if seen else None,
            "disk": self.disk,
        }
