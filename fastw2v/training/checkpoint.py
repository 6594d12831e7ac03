"""Writes model directories: generations, CURRENT, epoch checkpoints. Layout: `model_directory`."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fastw2v import model_directory as layout
from fastw2v import storage
from fastw2v.corpus.phrases import Phrases
from fastw2v.corpus.vocabulary import Vocabulary
from fastw2v.errors import UsageError
from fastw2v.kernels.negative_sampling import Weights

_ROWS_A_WRITE = 8192


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """What one save holds. `state` gets format, checksums and sizes added."""

    weights: Weights
    vector_dim: int
    vocabulary: Vocabulary
    config: dict[str, Any]
    state: dict[str, Any]
    history: list[dict[str, Any]]
    phrases: Phrases | None = None


def check_place(path: Path) -> None:
    """Make sure that `path` is free or a model of ours.

    Raises:
        UsageError: something that is not a model of ours is in the way.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(f"{str(path)!a}: not a UTF-8 name; choose another --model-file") from None
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise UsageError(
            f"{path}: exists and is not a model directory; choose another --model-file"
        )
    if not path.exists():
        return
    if layout.is_generation(path):
        raise UsageError(
            f"{path}: a checkpoint, which is never changed; give the model itself, or copy the "
            "checkpoint's vectors with: fastw2v export"
        )
    names = {entry.name for entry in path.iterdir()} - {layout.LOCK}
    if names and not layout.is_model_directory(path) and not _only_generations(names):
        raise UsageError(
            f"{path}: exists and is not a fastw2v model; nothing in it is touched, choose another "
            "--model-file"
        )


def _only_generations(names: set[str]) -> bool:
    """Whether these are the leftovers of a first save that never came to CURRENT."""
    return all(name.startswith(("gen-", ".gen-", f".{layout.CURRENT}.")) for name in names)


def save(model: Path, snapshot: Snapshot, *, replace_model: bool = False) -> Path:
    """Write a new generation, point CURRENT to it, remove the older ones; returns its path.

    With `replace_model`, what is there belongs to another model: its checkpoints and its loss curve
    go too.

    Raises:
        ResourceError: the disk is full or may not be written; the last save stays as it was.
    """
    older = layout.generations(model)
    number = layout.number_of(older[-1]) + 1 if older else 1
    generation = model / f"gen-{number:06d}"
    with storage.atomic_directory(generation) as directory:
        _write_files(directory, snapshot)
    storage.write_text(model / layout.CURRENT, generation.name + "\n")
    for old in older:
        storage.remove_directory(old)
    if replace_model:
        storage.remove_file(model / layout.LOSS_PLOT)
        if (model / layout.CHECKPOINTS).is_dir():
            storage.remove_directory(model / layout.CHECKPOINTS)
    return generation


def _write_files(directory: Path, snapshot: Snapshot) -> None:
    digests: dict[str, str] = {}
    for name, matrix in zip(layout.MATRICES, snapshot.weights, strict=True):
        file = f"{name}.npy"
        chunks = _npy_chunks(matrix, snapshot.vector_dim)
        digests[file] = storage.write_hashed(directory / file, chunks)
    snapshot.vocabulary.save(directory / layout.VOCABULARY)
    storage.write_json(directory / layout.CONFIG, snapshot.config)
    lines = [json.dumps(row, allow_nan=False) for row in snapshot.history]
    storage.write_text(directory / layout.HISTORY, "".join(line + "\n" for line in lines))
    written = [layout.VOCABULARY, layout.CONFIG, layout.HISTORY]
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
    storage.write_json(directory / layout.STATE, state)


def _npy_chunks(matrix: np.ndarray, dim: int) -> Iterator[bytes | memoryview]:
    """The first `dim` columns as the chunks of an .npy file, without a copy of the whole."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (matrix.shape[0], dim)}
    )
    yield header.getvalue()
    for row in range(0, matrix.shape[0], _ROWS_A_WRITE):
        yield np.ascontiguousarray(matrix[row : row + _ROWS_A_WRITE, :dim]).data


def keep_checkpoint(model: Path, generation: Path, epoch: int, keep: int) -> None:
    """Keep `generation` as the checkpoint of `epoch` (from 1); the last `keep` stay (0: all)."""
    target = model / layout.CHECKPOINTS / f"epoch-{epoch:04d}"
    if target.exists():  # this epoch was trained before, from an older save
        storage.remove_directory(target)
    storage.link_or_copy_directory(generation, target)
    for path in layout.checkpoints(model)[:-keep] if keep else []:
        storage.remove_directory(path)


def remove_leftovers(model: Path) -> None:
    """Remove what a killed save left half-written in a model directory."""
    for directory in (model, model / layout.CHECKPOINTS):
        storage.remove_leftovers(directory)
