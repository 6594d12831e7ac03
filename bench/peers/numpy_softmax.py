"""Trainers of CBOW with the full softmax that are given their batches: checked, then timed.

`bench/peers/torch_softmax.py` has another. Here is the one in NumPy, twice:

dense   The algorithm of the textbooks, in float64: one-hots of the contexts (averaged) and of the
        center words, V x B, and BLAS products of whole matrices, also where one side is one-hots:
        10·V·D flops a center word in place of 6·V·D. It builds its one-hots from ids that are
        ready; the loss takes the logarithms of the center words' probabilities alone.
numpy   float32, rows picked by their ids, the logits' memory used again: 6·V·D flops.

The gradients of a batch are summed, and the weights change after it. BLAS has all the threads.
Nothing but NumPy is imported at the top, so that the interpreter of a peer can import this module.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench.lib import memory
from bench.softmax import ready_batches
from bench.softmax.ready_batches import Batch, Matrices

_WARM_UP, _LEAST = 2, 2  # batches before the clock, and at least under it


class Rung(Protocol):
    """Trains batches on weights of its own."""

    def prepare(self, batch: Batch) -> Any:
        """The batch as `train` wants it: done before the clock, in memory for all batches."""
        ...

    def train(self, prepared: Any) -> float:
        """One update; the loss in nats, summed over the examples."""
        ...

    def weights(self) -> ready_batches.Matrices:
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
    start, batches = ready_batches.small_problem()
    alpha = ready_batches.ALPHA
    rung = make(start[0].copy(), start[1].copy(), alpha, request)
    loss = sum(rung.train(rung.prepare(batch)) for batch in batches)
    ready_batches.check(name, start, batches, alpha, False, loss, rung.weights())


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


def measure_rung(name: str, make: Maker, request: dict[str, Any]) -> dict[str, Any]:
    """Check and time the rung; see `clock`, with `peak_memory` in bytes and the rung's details."""
    check(name, make, request)
    folder = Path(request["folder"])
    inputs, outputs = (
        np.load(folder / f"{side}.npy", allow_pickle=False) for side in ("inputs", "outputs")
    )
    batches = ready_batches.load(folder / "batches.npz")
    rung = make(inputs, outputs, request["alpha"], request)
    result = clock(rung, batches, request["seconds"])
    return result | {"peak_memory": memory.peak_memory(), **rung.details()}


def _blas() -> dict[str, Any]:
    from threadpoolctl import threadpool_info

    found = [info for info in threadpool_info() if info["user_api"] == "blas"]
    names = ("internal_api", "version", "architecture", "num_threads")
    return {"blas": {name: found[0].get(name) for name in names} if found else None}


class DenseRung:
    """W1 is D x V and W2 is V x D: a word is a column of the one, a row of the other."""

    def __init__(
        self, inputs: np.ndarray, outputs: np.ndarray, alpha: float, request: dict[str, Any]
    ) -> None:
        self.W1 = np.ascontiguousarray(inputs.T, np.float64)
        self.W2 = outputs.astype(np.float64)
        self.alpha = alpha

    def prepare(self, batch: Batch) -> Batch:
        """See `Rung`."""
        return batch

    def train(self, batch: Batch) -> float:
        """See `Rung`."""
        examples = len(batch.center_ids)
        columns, sizes = np.arange(examples), batch.sizes
        X = np.zeros((len(self.W2), examples))
        np.add.at(X, (batch.context_ids, np.repeat(columns, sizes)), np.repeat(1 / sizes, sizes))
        Y = np.zeros((len(self.W2), examples))
        Y[batch.center_ids, columns] = 1.0

        H = self.W1 @ X
        Z = self.W2 @ H
        P = np.exp(Z - Z.max(axis=0))
        P /= P.sum(axis=0)
        loss = -np.log(P[batch.center_ids, columns]).sum()

        E = P - Y
        dW2 = E @ H.T
        dH = self.W2.T @ E
        dW1 = dH @ X.T
        self.W1 -= self.alpha * dW1
        self.W2 -= self.alpha * dW2
        return float(loss)

    def weights(self) -> Matrices:
        """See `Rung`."""
        return self.W1.T, self.W2

    def details(self) -> dict[str, Any]:
        """See `Rung`."""
        return _blas()


class NumpyRung:
    """What a NumPy user who knows about indices and `out=` writes."""

    def __init__(
        self, inputs: np.ndarray, outputs: np.ndarray, alpha: float, request: dict[str, Any]
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.alpha = np.float32(alpha)
        self.step = np.empty_like(outputs)
        self.workspace = np.empty((0, len(outputs)), np.float32)

    def prepare(self, batch: Batch) -> Batch:
        """See `Rung`."""
        return batch

    def train(self, batch: Batch) -> float:
        """See `Rung`."""
        examples = len(batch.center_ids)
        if examples > len(self.workspace):
            self.workspace = np.empty((examples, len(self.outputs)), np.float32)
        rows, sizes = np.arange(examples), batch.sizes
        shares = (1 / sizes).astype(np.float32)[:, None]
        H = np.add.reduceat(self.inputs[batch.context_ids], batch.starts, axis=0) * shares

        Z = np.matmul(H, self.outputs.T, out=self.workspace[:examples])
        Z -= Z.max(axis=1, keepdims=True)
        targets = Z[rows, batch.center_ids]
        np.exp(Z, out=Z)
        sums = Z.sum(axis=1)
        loss = (np.log(sums) - targets).sum()
        Z /= sums[:, None]
        Z[rows, batch.center_ids] -= 1

        dH = Z @ self.outputs
        np.matmul(Z.T, H, out=self.step)
        self.step *= self.alpha
        self.outputs -= self.step
        self._subtract_from_inputs(batch, np.repeat(self.alpha * shares * dH, sizes, axis=0))
        return float(loss)

    def _subtract_from_inputs(self, batch: Batch, steps: np.ndarray) -> None:
        """One row of `steps` for each context; a word's are summed, and its row changes once."""
        order = np.argsort(batch.context_ids, kind="stable")
        word_ids, firsts = np.unique(batch.context_ids[order], return_index=True)
        self.inputs[word_ids] -= np.add.reduceat(steps[order], firsts, axis=0)

    def weights(self) -> Matrices:
        """See `Rung`."""
        return self.inputs, self.outputs

    def details(self) -> dict[str, Any]:
        """See `Rung`."""
        return _blas()


RUNGS: dict[str, Maker] = {"dense": DenseRung, "numpy": NumpyRung}


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Check and time one of `RUNGS`; see `measure`."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(request["threads"], user_api="blas"):
        return measure_rung(request["trainer"], RUNGS[request["trainer"]], request)
