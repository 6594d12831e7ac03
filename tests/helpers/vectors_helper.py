"""Small vectors, and a model directory made by hand, for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fastw2v.io import model_directory, storage
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.vectors.keyed_vectors import KeyedVectors

WORDS = ["the", "king", "queen", "man", "woman", "prince", "apple", "pear", "plum", "naïve"]
HISTORY = [
    {"epoch": epoch, "words": 1000 * epoch, "seconds": 0.1 * epoch, "alpha": alpha, "loss": loss}
    for epoch, alpha, loss in ((1, 0.02, 2.5), (2, 0.01, 2.1))
]


def royal_vectors(dim: int = 12) -> np.ndarray:
    """Vectors of WORDS with king - man + woman = queen, and the fruits far from the people."""
    rng = np.random.default_rng(5)
    royal, male, female, fruit, base = rng.standard_normal((5, dim)).astype(np.float32)
    rows = [base, royal + male, royal + female, male, female, royal + 1.2 * male]
    rows += [fruit + 0.1 * n * base for n in (1, 2, 3)] + [rng.standard_normal(dim)]
    noise = 0.02 * rng.standard_normal((len(WORDS), dim))
    return (np.stack(rows) + noise).astype(np.float32)


def royal() -> KeyedVectors:
    return KeyedVectors(WORDS, royal_vectors(), np.arange(len(WORDS), 0, -1) * 10)


def write_generation(path: Path, input_vectors: np.ndarray, output_vectors: np.ndarray) -> None:
    path.mkdir(parents=True)
    counts = np.arange(len(WORDS), 0, -1) * 10
    Vocabulary(WORDS, counts).save(path / model_directory.VOCABULARY)
    np.save(path / "input_vectors.npy", input_vectors)
    np.save(path / "output_vectors.npy", output_vectors)
    config = {"type": "sgram_neg", "vector_dim": input_vectors.shape[1]}
    storage.write_json(path / model_directory.CONFIG, config)
    lines = "".join(json.dumps(row) + "\n" for row in HISTORY)
    storage.write_text(path / model_directory.HISTORY, lines)
    state = {
        "format": "fastw2v model",
        "version": model_directory.FORMAT_VERSION,
        "vocabulary_size": len(WORDS),
        "sha256": {n: storage.sha256_of(path / n) for n in model_directory.CHECKED_FILES},
    }
    storage.write_json(path / model_directory.STATE, state)


def write_model(model: Path) -> Path:
    """A model directory with one generation of `royal` vectors and an older checkpoint of zeros."""
    vectors = royal_vectors()
    write_generation(model / "gen-000002", vectors, -3 * vectors)
    write_generation(model / "checkpoints" / "epoch-0001", 0 * vectors, 0 * vectors)
    storage.write_text(model / model_directory.CURRENT, "gen-000002\n")
    return model
