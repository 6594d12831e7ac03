"""Writes model directories: generations, CURRENT, checkpoints of epochs. Layout: `model_directory`.

A save does not stop training: the weights are copied, and written by a background thread.
"""

from __future__ import annotations

import dataclasses
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fastw2v.errors import UsageError
from fastw2v.io import model_directory as layout
from fastw2v.io import storage
from fastw2v.io.machine import available_memory
from fastw2v.kernels.blocks import Weights
from fastw2v.store.phrases.phrases import Phrases
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.training.reporting import check_weights

_BYTES_PER_WRITE = 1 << 18  # which stay in the cache while they are hashed and written


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What one save holds. `state` gets format, checksums and sizes added.

    arrays: further arrays, by file name (`model_directory.OPTIONAL_ARRAYS`).
    fresh: the directory holds another model: its saves, checkpoints and loss curve are removed.
    epoch: keep it as the checkpoint of this epoch (from 1); None: keep none.
    best: keep it as the best checkpoint.
    keep_checkpoints: the number of epoch checkpoints that are kept, the latest; 0: all.
    """

    weights: Weights
    vector_dim: int
    vocabulary: Vocabulary
    config: dict[str, Any]
    state: dict[str, Any]
    history: list[dict[str, Any]]
    phrases: Phrases | None = None
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    fresh: bool = False
    epoch: int | None = None
    best: bool = False
    keep_checkpoints: int = 0


class HistoryText:
    """The history as JSON lines; rows that were encoded for an earlier save are reused."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._lines: list[str] = []

    def encode(self, history: list[dict[str, Any]]) -> str:
        """One line a row, each with its line end."""
        same = 0
        for known, row in zip(self._rows, history, strict=False):
            if known is not row:
                break
            same += 1
        self._rows, lines = list(history), self._lines[:same]
        lines += [json.dumps(row, allow_nan=False) + "\n" for row in history[same:]]
        self._lines = lines
        return "".join(lines)


def check_place(path: Path) -> None:
    """Make sure that `path` is free or a model of ours.

    Raises:
        UsageError: something that is not a model of ours is in the way.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{str(path)!a}: not a UTF-8 name; choose another `model`") from None
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise UsageError(f"{path}: exists and is not a model directory; choose another `model`")
    if not path.exists():
        return
    for place in (path / layout.CHECKPOINTS, *layout.generations(path)):
        if place.is_symlink():
            raise UsageError(f"{place}: a symbolic link; nothing is written through it")
    if layout.is_generation(path):
        raise UsageError(
            f"{path}: a checkpoint, which is never changed; give the model itself, or copy the "
            "checkpoint's vectors with: fastw2v export"
        )
    names = {entry.name for entry in path.iterdir()} - {layout.LOCK}
    if names and not layout.is_model_directory(path) and not _only_generations(names):
        raise UsageError(
            f"{path}: exists and is not a fastw2v model; nothing in it is touched, choose another "
            "`model`"
        )


def _only_generations(names: set[str]) -> bool:
    """Whether these are what is left of a first save that was killed before CURRENT."""
    return all(name.startswith(("gen-", ".gen-", f".{layout.CURRENT}.")) for name in names)


def save(model: Path, snapshot: Snapshot, history_text: HistoryText | None = None) -> Path:
    """Write a new generation, point CURRENT to it, remove the older ones but the last; its path.

    Raises:
        ResourceError: the disk is full or may not be written; the last save stays as it was.
    """
    older, before = layout.generations(model), layout.current(model)
    number = layout.number_of(older[-1]) + 1 if older else 1
    generation = model / f"gen-{number:06d}"
    text = (history_text or HistoryText()).encode(snapshot.history)
    with storage.atomic_directory(generation) as directory:
        _write_files(directory, snapshot, text)
    if snapshot.fresh:  # before it is the model's: it is never seen with another's checkpoints
        storage.remove_file(model / layout.LOSS_PLOT)
        if (model / layout.CHECKPOINTS).is_dir():
            storage.remove_directory(model / layout.CHECKPOINTS)
    # Before CURRENT: a run that goes on from this save does not come by them again.
    if snapshot.epoch is not None:
        keep_checkpoint(model, generation, snapshot.epoch, snapshot.keep_checkpoints)
    if snapshot.best:
        _replace(generation, model / layout.CHECKPOINTS / layout.BEST)
    storage.write_text(model / layout.CURRENT, generation.name + "\n")
    for old in older:
        if snapshot.fresh or old.name != before:
            storage.remove_directory(old)
    return generation


def _write_files(directory: Path, snapshot: Snapshot, history: str) -> None:
    digests: dict[str, str] = {}
    matrices = zip(layout.MATRICES, snapshot.weights, strict=True)
    arrays = {name: matrix[:, : snapshot.vector_dim] for name, matrix in matrices}
    for name, array in (arrays | snapshot.arrays).items():
        file = f"{name}.npy"
        digests[file] = storage.write_hashed(directory / file, _npy_chunks(array))
    # Kept as bytes: of a large vocabulary they take longer to make than to write.
    digests[layout.VOCABULARY] = storage.write_hashed(
        directory / layout.VOCABULARY, [snapshot.vocabulary.as_parquet]
    )
    storage.write_json(directory / layout.CONFIG, snapshot.config)
    storage.write_text(directory / layout.HISTORY, history)
    written = [layout.CONFIG, layout.HISTORY]
    if snapshot.phrases is not None:
        snapshot.phrases.save(directory / layout.PHRASES)
        written.append(layout.PHRASES)
    for file in written:
        digests[file] = storage.sha256_of(directory / file)
    state = {
        "format": layout.FORMAT,
        "version": layout.FORMAT_VERSION,
        "vocabulary_size": len(snapshot.vocabulary),
        **snapshot.state,
        "sha256": digests,
    }
    storage.write_json(
        directory / layout.STATE, {**state, "checksum": layout.state_checksum(state)}
    )


def _npy_chunks(array: np.ndarray) -> Iterator[bytes | memoryview]:
    """The chunks of an .npy file, without a copy of the whole."""
    header = io.BytesIO()
    kind = array.dtype.newbyteorder("<")
    np.lib.format.write_array_header_1_0(
        header, {"descr": kind.str, "fortran_order": False, "shape": array.shape}
    )
    yield header.getvalue()
    rows = max(1, _BYTES_PER_WRITE // max(1, array[:1].nbytes))
    for row in range(0, len(array), rows):
        yield np.ascontiguousarray(array[row : row + rows], kind).data.cast("B")


def keep_checkpoint(model: Path, generation: Path, epoch: int, keep: int) -> None:
    """Keep `generation` as the checkpoint of `epoch` (from 1); the last `keep` stay (0: all)."""
    _replace(generation, model / layout.CHECKPOINTS / f"epoch-{epoch:04d}")
    for path in layout.checkpoints(model)[:-keep] if keep else []:
        storage.remove_directory(path)


def _replace(generation: Path, target: Path) -> None:
    if target.exists():  # an epoch that was trained before, from an older save; a better best
        storage.remove_directory(target)
    storage.link_or_copy_directory(generation, target)


def remove_leftovers(model: Path) -> list[str]:
    """Remove what a killed save left half-written in a model directory; the names of it."""
    places = (model, model / layout.CHECKPOINTS)
    found = [storage.remove_leftovers(place) for place in places if not place.is_symlink()]
    return [name for names in found for name in names]


SHARE_OF_MEMORY = 0.5  # maximum share of the available memory for the copy
SHARE_OF_TIME = 0.02  # maximum share of the training time for saves


@dataclasses.dataclass
class SaveCost:
    """What the saves of a run cost it.

    saves: how many were written. stalled_seconds: for which training stopped.
    helper_seconds: CPU time of the background thread, including that of drawing the loss curve.
    """

    saves: int = 0
    stalled_seconds: float = 0.0
    helper_seconds: float = 0.0


class Saver:
    """Writes the saves of one run, one at a time. A context manager.

    If there is no memory for a copy of the weights, they are written while training waits.

    Args:
        model: the model directory.
        after: called in the thread with each snapshot that was written.
    """

    def __init__(self, model: Path, after: Callable[[Snapshot], None]) -> None:
        self._model, self._after = model, after
        self._history_text = HistoryText()
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
        # A second Ctrl-C ends at once. The thread ends with the process, and its unfinished files
        # are removed by the next start.
        if self._thread is not None and kind is not KeyboardInterrupt:
            self._thread.join()

    @property
    def pause(self) -> float:
        """Minimum seconds between saves, for which the cost of the last one is below
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
            save(self._model, snapshot, self._history_text)
            if while_training:
                self._seconds += time.thread_time() - began
            self._after(snapshot)
            self.cost.saves += 1
        except BaseException as error:  # whatever it is, `check` raises it
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
