"""Memory, disk and start-up of a process: as it knows them itself, and watched from outside.

`Watch` sums the resident sets of all descendants of this process, sampled from /proc ten times a
second. Pages that several of them share (libraries, mapped files) count in each, so that the sum is
an upper bound; `private` leaves out all that is backed by files. None where there is no such /proc.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
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


# --- of this process ---


def process_age() -> float | None:
    """Seconds since this process was started, to a hundredth; None where the system hides it."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def peak_memory() -> int | None:
    """Most bytes that were resident since this process was started.

    Linux: VmHWM. (getrusage's figure there survives exec: it would count the parent's memory.)
    """
    try:
        status = Path("/proc/self/status").read_text()
        found = re.search(r"VmHWM:\s*(\d+) kB", status)
        return int(found[1]) * 1024 if found else None
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def note_first_updates() -> list[float | None]:
    """Make every stepper note the process's age when it is first asked to train.

    Returns:
        The list that is filled: the toy batch of `warm_up` first, the run's first batch last.
    """
    from fastw2v.training import steppers as steps

    make: Any = steps.new_stepper
    ages: list[float | None] = []

    def new_stepper(*arguments: Any, **named: Any) -> Any:
        stepper = make(*arguments, **named)
        train = stepper.train

        def first(*batch: Any, **options: Any) -> Any:
            ages.append(process_age())
            stepper.train = train
            return train(*batch, **options)

        stepper.train = first
        return stepper

    steps.new_stepper = new_stepper
    return ages


def vocabulary_bytes(vocabulary: Any) -> int:
    """Bytes of the words of a `Vocabulary`, their list and their counts."""
    tokens = vocabulary.tokens
    words = sys.getsizeof(tokens) + sum(sys.getsizeof(token) for token in tokens)
    return words + int(vocabulary.counts.nbytes)


def account(model: Any, ages: list[float | None]) -> dict[str, Any]:
    """Memory and start-up of the run that made `model`; call it right after training.

    peak_memory, matrices, vocabulary: bytes; beyond: peak_memory less the other two.
    startup_seconds: from the start of the process to the first update.
    """
    from fastw2v.kernels.primitives import padded_dim

    rows, dim = model.input_vectors.shape
    matrices = 2 * rows * padded_dim(dim) * 4
    peak, vocabulary = peak_memory(), vocabulary_bytes(model.vocabulary)
    return {
        "peak_memory": peak,
        "matrices": matrices,
        "vocabulary": vocabulary,
        "beyond": None if peak is None else peak - matrices - vocabulary,
        "startup_seconds": ages[-1] if ages else None,
    }


def begin_peak() -> int | None:
    """Let `peak_memory` start anew; the bytes resident now. None where Linux does not."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        found = re.search(r"VmRSS:\s*(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None
