"""A trained model in memory: what `train` returns and `Model.load` reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.corpus.vocabulary import Vocabulary
from fastw2v.model_directory import Generation, read_model

if TYPE_CHECKING:
    from fastw2v.vectors.keyed_vectors import KeyedVectors


@dataclasses.dataclass(frozen=True)
class Model:
    """A model: its two matrices, vocabulary, options and history.

    path: the model directory.
    config: the training options, complete.
    vocabulary: V tokens and counts; the row is the id.
    input_vectors, output_vectors: float32 (V, dim).
    history: the rows of history.jsonl (see `monitor.Monitor`), oldest first.
    words_done: words trained, counted before subsampling.
    training_seconds: wall-clock of the training loop over all sittings, reading included, saves and
        compilation not.
    compile_seconds: time that this call took to load or compile the kernels; 0 when loaded.
    """

    path: Path
    config: dict[str, Any]
    vocabulary: Vocabulary
    input_vectors: np.ndarray
    output_vectors: np.ndarray
    history: list[dict[str, Any]]
    words_done: int
    training_seconds: float
    compile_seconds: float = 0.0

    @classmethod
    def load(cls, path: str | Path, *, on_damage: Callable[[str], None] | None = None) -> Model:
        """Read the newest good save of the model directory `path`.

        Raises:
            UsageError: no model there. DataError: damaged, and no good checkpoint is left.
        """

        def read(generation: Generation) -> Model:
            return cls(
                path=Path(path),
                config=generation.config,
                vocabulary=generation.vocabulary(),
                input_vectors=generation.matrix("input_vectors"),
                output_vectors=generation.matrix("output_vectors"),
                history=generation.history(),
                words_done=int(generation.state["words_done"]),
                training_seconds=float(generation.state["training_seconds"]),
            )

        return read_model(path, read, on_damage=on_damage)

    @cached_property
    def wv(self) -> KeyedVectors:
        """The input vectors, to ask questions of (gensim's name)."""
        from fastw2v.vectors.keyed_vectors import KeyedVectors

        return KeyedVectors(self.vocabulary.tokens, self.input_vectors, self.vocabulary.counts)
