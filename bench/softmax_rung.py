"""A trainer of CBOW with the full softmax that is given its batches: checked, then timed.

`bench/softmax_numpy.py` and `bench/torch_rung.py` are such trainers, each run as
`python -m MODULE --child REQUEST.json ANSWER.json`. Nothing but NumPy is imported here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench import probes, softmax_batches, softmax_check
from bench.softmax_batches import Batch

_WARM_UP, _LEAST = 2, 2  # batches before the clock, and at least under it


class Rung(Protocol):
    """Trains batches on weights of its own."""

    def prepare(self, batch: Batch) -> Any:
        """The batch as `train` wants it: done before the clock, in memory for all batches."""
        ...

    def train(self, prepared: Any) -> float:
        """One update; the loss in nats, summed over the examples."""
        ...

    def weights(self) -> softmax_check.Matrices:
        """(input vectors, output vectors), both (V, dim)."""
        ...

    def details(self) -> dict[str, Any]:
        """What its result should tell: libraries, threads."""
        ...


# From float32 (V, dim) input and output vectors, alpha, and the request.
Maker = Callable[[np.ndarray, np.ndarray, float, dict[str, Any]], Rung]


def check(name: str, make: Maker, request: dict[str, Any]) -> None:
    """Train the small problem.

    Raises:
        AssertionError: the rung computes something else than it should.
    """
    start, batches = softmax_check.small_problem()
    alpha = softmax_check.ALPHA
    rung = make(start[0].copy(), start[1].copy(), alpha, request)
    loss = sum(rung.train(rung.prepare(batch)) for batch in batches)
    softmax_check.check(name, start, batches, alpha, False, loss, rung.weights())


def clock(rung: Rung, batches: list[Batch], min_seconds: float) -> dict[str, Any]:
    """Train batch after batch (and from the first again) for about `min_seconds`.

    Returns:
        `words`, `seconds`, `batches`, `loss` (nats a center word, over what was timed).
    """
    prepared = [rung.prepare(batch) for batch in batches]
    for number in range(_WARM_UP):
        rung.train(prepared[number % len(prepared)])
    done, words, examples, loss, seconds = 0, 0, 0, 0.0, 0.0
    began = time.perf_counter()
    while done < _LEAST or seconds < min_seconds:
        number = (_WARM_UP + done) % len(prepared)
        loss += rung.train(prepared[number])
        seconds = time.perf_counter() - began
        done += 1
        words += batches[number].words
        examples += len(batches[number].center_ids)
    return {"words": words, "seconds": seconds, "batches": done, "loss": loss / examples}


def measure(name: str, make: Maker, request: dict[str, Any]) -> dict[str, Any]:
    """Check and time the rung; see `clock`, with `peak_memory` in bytes and the rung's details."""
    check(name, make, request)
    folder = Path(request["folder"])
    inputs, outputs = (
        np.load(folder / f"{side}.npy", allow_pickle=False) for side in ("inputs", "outputs")
    )
    batches = softmax_batches.load(folder / "batches.npz")
    rung = make(inputs, outputs, request["alpha"], request)
    result = clock(rung, batches, request["seconds"])
    return result | {"peak_memory": probes.peak_memory(), **rung.details()}


def main(measured: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Answer the request that the command line names."""
    if sys.argv[1:2] != ["--child"] or len(sys.argv) != 4:
        sys.exit("this is run by python -m bench.softmax, as --child REQUEST.json ANSWER.json")
    question, reply = map(Path, sys.argv[2:])
    reply.write_text(json.dumps(measured(json.loads(question.read_text()))))
