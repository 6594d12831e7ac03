"""Pretrained vectors for a new model to begin with: those of a file, or of another model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastw2v.errors import DataError, UsageError
from fastw2v.io.machine import available_memory, readable_bytes
from fastw2v.io.model_directory import MATRICES, Generation, is_generation, is_model_directory
from fastw2v.io.model_directory import open_model as open_saved_model
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.training.monitor import NORM_LIMIT
from fastw2v.vectors.formats import read_vectors, shape_of


class SharedVectors(NamedTuple):
    """The vectors of the words that a vocabulary shares with a file or model.

    ids: int64 (n,), rising, of the vocabulary. matrices: float32 (n, dim), for the input vectors,
    and where there are some, the output vectors. note: what the state of a save keeps.
    """

    ids: np.ndarray
    matrices: list[np.ndarray]
    note: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Where vectors are to come from.

    path: as given. words, dim: of the vectors. saved: None where it is a file.
    """

    path: Path
    words: int
    dim: int
    saved: Generation | None = None

    @classmethod
    def find(cls, path: str | Path, say: Callable[[str], None]) -> Pretrained:
        """Open a file that `fastw2v.vectors.formats` reads, a model directory, or a checkpoint.

        Raises:
            UsageError: nothing there, no suffix that names a format, or a directory that is no
                model. DataError: damaged.
        """
        path = Path(path)
        if is_model_directory(path) or is_generation(path):
            saved = open_saved_model(path, on_damage=lambda line: say(f"warning: {line}"))
            return cls(path, saved.state["vocabulary_size"], saved.config["vector_dim"], saved)
        if path.is_dir():
            raise UsageError(f"--init: {path}: a directory, but not a fastw2v model")
        if not path.exists():
            raise UsageError(f"--init: {path}: no such file or model")
        return cls(path, *shape_of(path))

    @property
    def name(self) -> str:
        """Without its directories."""
        return self.path.resolve().name

    def shared_with(self, vocabulary: Vocabulary) -> SharedVectors:
        """Read the vectors of the words of `vocabulary`, which are compared as they are written.

        Raises:
            UsageError: it has none of them, or does not fit into memory.
            DataError: damaged; a vector that is not finite, or longer than any useful one.
        """
        tokens, matrices = self._read()
        index = vocabulary.index
        pairs = sorted((index[token], row) for row, token in enumerate(tokens) if token in index)
        if not pairs:
            raise UsageError(
                f"--init: {self.path}: has none of the {len(vocabulary):,} words of the text (the "
                f"first of its {len(tokens):,} are {', '.join(map(repr, tokens[:3]))}, those of "
                f"the text {', '.join(map(repr, vocabulary.tokens[:3]))})"
            )
        ids, rows = np.array(pairs, np.int64).T
        chosen = [self._checked(matrix[rows], vocabulary, ids) for matrix in matrices]
        note = {
            "file": self.name,
            "words": len(ids),
            "token_share": round(float(vocabulary.counts[ids].sum() / vocabulary.total), 6),
        }
        return SharedVectors(ids, chosen, note)

    def _read(self) -> tuple[list[str], list[np.ndarray]]:
        if self.saved is not None:
            matrices = [self.saved.matrix(name, memory_map=True) for name in MATRICES]
            return Vocabulary.load(self.saved.vocabulary_path).tokens, matrices
        size, memory = 4 * self.words * self.dim, available_memory()
        if memory is not None and size > memory:
            raise UsageError(
                f"--init: {self.path}: {self.words:,} vectors of {self.dim} dimensions need "
                f"{readable_bytes(size)} of memory and {readable_bytes(memory)} are available; "
                "give a file of fewer words"
            )
        table = read_vectors(self.path)
        return table.tokens, [table.vectors]

    def _checked(self, rows: np.ndarray, vocabulary: Vocabulary, ids: np.ndarray) -> np.ndarray:
        rows = rows + np.float32(0.0)  # a copy, in which -0.0 is 0.0
        squares = np.einsum("ij,ij->i", rows, rows)
        bad = np.flatnonzero(~(squares <= NORM_LIMIT**2))  # NaN and infinity too
        if len(bad):
            raise DataError(
                f"--init: {self.path}: the vector of {vocabulary.tokens[ids[bad[0]]]!r} is not "
                f"finite, or longer than {NORM_LIMIT:,.0f}"
            )
        return np.asarray(rows)


def found_line(note: dict[str, Any], vocabulary: Vocabulary) -> str:
    """What of the vocabulary begins with pretrained vectors."""
    share = note["words"] / len(vocabulary)
    others = "; the others begin at random" if share < 1 else ""
    return (
        f"{note['file']}: has vectors of {note['words']:,} of the {len(vocabulary):,} words "
        f"({100 * share:.1f} %, {100 * note['token_share']:.1f} % of the tokens){others}"
    )
