"""A trained model in memory: what `train` returns and `Model.load` reads.

The score of word c with a hidden vector h is c · h. For a model of the full softmax, p(c | h) is
the softmax of the scores. The loss of negative sampling is least where the score of c is
log(p(c | h) / p_noise(c)) + a constant (Mikolov et al. 2013; Levy and Goldberg 2014), so that there
p(c | h) ∝ p_noise(c) · exp(score). That is exact for small p only: training drops draws that equal
the positive, so that its optimum is exp(score) = p / ((1 − p) · K · p_noise) with K draws a
positive, and words of large p get more than their share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.errors import DataError, UsageError
from fastw2v.io.model_directory import Generation, read_model
from fastw2v.options import check_path
from fastw2v.store.phrases.phrases import Phrases, saved_phrases
from fastw2v.store.vocabulary import Vocabulary, noise_distribution

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
    training_seconds: wall-clock time of the training loop over all sessions, with reading, without
        saves and compilation.
    compile_seconds: time to load or compile the kernels; 0 for a model read from disk.
    phrases: of the text it was trained on; None without any.
    state: state.json (see `model_directory`); empty for a model that `train` returns.
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
    phrases: Phrases | None = None
    state: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        memory_map: bool = False,
        on_damage: Callable[[str], None] | None = None,
    ) -> Model:
        """Read the newest good save of the model directory `path`, or one of its checkpoints.

        Args:
            memory_map: map the matrices (read-only) instead of reading them.
            on_damage: gets a line when the newest save is damaged and an older one is read.

        Raises:
            UsageError: no model there. DataError: damaged, and no good checkpoint is left.
        """
        check_path("model", path, "give a model directory")
        if Path(path).is_file():
            raise UsageError(
                f"{path}: a file of vectors has one matrix and no training options; give the model "
                "directory that it was exported from"
            )

        def read(generation: Generation) -> Model:
            vocabulary = Vocabulary.load(generation.vocabulary_path)
            inputs, outputs = (
                generation.matrix(f"{name}_vectors", memory_map=memory_map)
                for name in ("input", "output")
            )
            if len(inputs) != len(vocabulary):
                raise DataError(
                    f"{generation.path}: {len(vocabulary)} words in the vocabulary, "
                    f"{len(inputs)} rows in the matrix; they do not belong together"
                )
            return cls(
                path=Path(path),
                config=generation.config,
                vocabulary=vocabulary,
                input_vectors=inputs,
                output_vectors=outputs,
                history=generation.history(),
                words_done=int(generation.state["words_done"]),
                training_seconds=float(generation.state["training_seconds"]),
                phrases=saved_phrases(generation),
                state=generation.state,
            )

        return read_model(path, read, on_damage=on_damage)

    def __repr__(self) -> str:
        dim = self.input_vectors.shape[1]
        return (
            f"Model('{self.path}': {self.config.get('type')}, {len(self.vocabulary):,} words, "
            f"{dim} dimensions, {self.words_done:,} words trained)"
        )

    @cached_property
    def wv(self) -> KeyedVectors:
        """The input vectors, to ask questions of (gensim's name)."""
        from fastw2v.vectors.keyed_vectors import KeyedVectors

        return KeyedVectors(self.vocabulary.tokens, self.input_vectors, self.vocabulary.counts)

    @property
    def skip_gram(self) -> bool:
        """Whether the model predicts contexts from the center word."""
        return bool(self.config["type"].startswith("sgram"))

    @property
    def negative_sampling(self) -> bool:
        """Whether it was trained with negative sampling (else with the full softmax)."""
        return bool(self.config["type"].endswith("_neg"))

    def log_noise(self) -> np.ndarray:
        """Log of the noise distribution of negative sampling, float64 (V,)."""
        noise = noise_distribution(self.vocabulary.counts, self.config["ns_exponent"])
        return np.asarray(np.log(noise))
