"""Saves that do not stop training: weights are copied, and written by a thread of their own."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np

from fastw2v.kernels.negative_sampling import Weights
from fastw2v.machine import available_memory
from fastw2v.training import checkpoint
from fastw2v.training.checkpoint import Snapshot
from fastw2v.training.monitor import check_weights

SHARE_OF_MEMORY = 0.5  # of what is available, that the copy may take
SHARE_OF_TIME = 0.02  # of training, that saves may take


@dataclasses.dataclass
class SaveCost:
    """What the saves of a run cost it.

    saves: how many were written. stalled_seconds: that training stood still for them.
    helper_seconds: CPU of the thread that wrote them while training went on, the drawing of the
        loss curve included.
    """

    saves: int = 0
    stalled_seconds: float = 0.0
    helper_seconds: float = 0.0


class Saver:
    """Writes the saves of one run, one at a time. A context manager.

    Where memory is short of a copy of the weights, they are written while training waits.

    Args:
        model: the model directory.
        after: called in the thread with each snapshot that was written.
    """

    def __init__(self, model: Path, after: Callable[[Snapshot], None]) -> None:
        self._model, self._after = model, after
        self._history_text = checkpoint.HistoryText()
        self._copy: Weights | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._copies: bool | None = None
        self._seconds = 0.0  # that the last save has cost
        self.cost = SaveCost()

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Ctrl-C for the second time: at once. The thread ends with the process, and what it has not
        # finished is removed by the next start.
        if self._thread is not None and kind is not KeyboardInterrupt:
            self._thread.join()

    @property
    def pause(self) -> float:
        """Seconds from one save to the next that keep what the last one cost below
        `SHARE_OF_TIME`."""
        return self._seconds / SHARE_OF_TIME

    @property
    def busy(self) -> bool:
        """Whether the last save is still being written."""
        return self._thread is not None and self._thread.is_alive()

    def save(self, snapshot: Snapshot, *, wait: bool, unchanged: bool = False) -> None:
        """Write a save: at once (`wait`), from a copy while training goes on, or (`unchanged`) from
        the weights themselves, which the caller does not change before the next `check`.

        Raises:
            DivergenceError: these weights, or those of the save before, are not to be saved.
            ResourceError: the disk does not take them, or did not take the save before.
        """
        self.check()
        began, self._seconds = time.perf_counter(), 0.0
        in_background = unchanged or (not wait and self._can_copy(snapshot.weights))
        if in_background and not unchanged:
            snapshot = dataclasses.replace(
                snapshot,
                weights=self._copied(snapshot.weights, snapshot.vector_dim),
                history=list(snapshot.history),
            )
        self._thread = threading.Thread(
            target=self._write,
            args=(snapshot, in_background and not unchanged),
            name="fastw2v-save",
            daemon=True,
        )
        self._thread.start()
        self._stalled_since(began)
        if not in_background:
            self.check()

    def check(self) -> None:
        """Wait for the save that is being written.

        Raises:
            DivergenceError, ResourceError: it failed.
        """
        if self._thread is not None:
            began = time.perf_counter()
            self._thread.join()
            self._thread = None
            self._stalled_since(began)
        self.raise_error()

    def raise_error(self) -> None:
        """Raise the error of the last save, once, if it is over and failed."""
        if self.busy or self._error is None:
            return
        error, self._error = self._error, None
        raise error

    def _stalled_since(self, began: float) -> None:
        seconds = time.perf_counter() - began
        self.cost.stalled_seconds += seconds
        self._seconds += seconds

    def _write(self, snapshot: Snapshot, while_training: bool) -> None:
        began = time.thread_time()
        try:
            check_weights(snapshot.weights, all_rows=True)
            checkpoint.save(self._model, snapshot, self._history_text)
            if while_training:
                self._seconds += time.thread_time() - began
            self._after(snapshot)
            self.cost.saves += 1
        except BaseException as error:  # whatever it is, training must hear of it
            self._error = error
        finally:
            if while_training:
                self.cost.helper_seconds += time.thread_time() - began

    def _can_copy(self, weights: Weights) -> bool:
        if self._copies is None:
            available = available_memory()
            needed = sum(matrix.nbytes for matrix in weights)
            self._copies = available is None or needed <= SHARE_OF_MEMORY * available
        return self._copies

    def _copied(self, weights: Weights, dim: int) -> Weights:
        """A copy without the padding, as it will be written."""
        if self._copy is None:  # once: fresh memory costs more than the copying
            self._copy = Weights(
                *(np.empty((len(matrix), dim), matrix.dtype) for matrix in weights)
            )
        for copy, matrix in zip(self._copy, weights, strict=True):
            np.copyto(copy, matrix[:, :dim])
        return self._copy
