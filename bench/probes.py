"""What a training process can tell about itself: how soon it was training, and its memory.

`bench/peers.py` asks these in the process that trains fastw2v.
"""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any


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
    from fastw2v.training.steppers import padded_dim

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
