"""Models with chosen matrices, saved as training saves them, and what they should say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastw2v.kernels.blocks import Weights
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.training import checkpoint
from fastw2v.training.config import TrainConfig

DIM, EXPONENT = 11, 0.6
# In no alphabetical order, so that no other vocabulary gives these words the same ids.
TOKENS = ["pear", "iron", "fig", "zinc", "apple", "lead", "plum", "gold", "lime", "tin", "kiwi",
          "neon", "date"]  # fmt: skip


def vocabulary() -> Vocabulary:
    return Vocabulary(TOKENS, [900, 410, 400, 77, 60, 50, 33, 32, 20, 9, 4, 2, 1])


def random_weights(seed: int = 3, scale: float = 0.9) -> Weights:
    generator = np.random.default_rng(seed)
    shape = (2, len(TOKENS), DIM)
    return Weights(*(scale * generator.standard_normal(shape)).astype(np.float32))


def save_model(
    path: Path, model_type: str, weights: Weights, corpus: dict[str, Any] | None = None, **options
) -> Path:
    """A model directory; `corpus` as training notes it."""
    config = TrainConfig.create(
        type=model_type, vector_dim=DIM, **{"window": 5, "ns_exponent": EXPONENT, **options}
    )
    state: dict[str, Any] = {"words_done": 0, "training_seconds": 0.0}
    if corpus is not None:
        state["corpus"] = corpus
    snapshot = checkpoint.Snapshot(weights, DIM, vocabulary(), config.to_json(), state, [])
    checkpoint.save(path, snapshot)
    return path


def log_noise() -> np.ndarray:
    powers = vocabulary().counts.astype(float) ** EXPONENT
    return np.log(powers / powers.sum())


def log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - np.logaddexp.reduce(scores)
