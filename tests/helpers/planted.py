"""A small corpus with a planted structure: two groups of words that never meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import fastw2v
from fastw2v.store.format import TokenStore
from fastw2v.text.config import Layout

GROUPS = [[f"{name}{number}" for number in range(10)] for name in ("fruit", "metal")]


def sentences(count: int = 300, length: int = 12, seed: int = 0) -> list[list[str]]:
    """Each sentence is of one group; word frequencies fall within a group."""
    generator = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, 11)
    weights /= weights.sum()
    return [
        [GROUPS[number % 2][word] for word in generator.choice(10, length, p=weights)]
        for number in range(count)
    ]


def make_store(path: Path, layout: Layout | None = None, **options: int) -> Path:
    """A token store of `sentences(**options)`."""
    fastw2v.preprocess(sentences(**options), path, min_count=1, layout=layout or Layout())
    return path


def open_store(path: Path, **options: int) -> TokenStore:
    """As `make_store`, opened."""
    return TokenStore.open(make_store(path, **options))


def separation(model: fastw2v.Model) -> float:
    """Mean cosine within the groups less that between them, over five frequent words of each."""
    vectors = np.concatenate([model.wv[group[:5]] for group in GROUPS]).astype(np.float64)
    vectors -= vectors.mean(0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    within = np.kron(np.eye(2), np.ones((5, 5))).astype(bool)
    off_diagonal = ~np.eye(10, dtype=bool)
    return float(cosines[within & off_diagonal].mean() - cosines[~within].mean())
