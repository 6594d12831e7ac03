"""fastw2v: word vectors on ordinary multicore CPUs.

`preprocess` turns text into a token store, `train` turns a store (or text) into a model,
`KeyedVectors` queries the vectors, `perplexity` and `predict` a model's probabilities. Names are
imported when first used, so `import fastw2v` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fastw2v.store.format import TokenStore
    from fastw2v.store.pipeline import preprocess
    from fastw2v.training.api import train
    from fastw2v.training.perplexity import perplexity
    from fastw2v.vectors.keyed_vectors import KeyedVectors
    from fastw2v.vectors.model import Model
    from fastw2v.vectors.predict import predict

_HOMES = {
    "preprocess": "fastw2v.store.pipeline",
    "TokenStore": "fastw2v.store.format",
    "train": "fastw2v.training.api",
    "Model": "fastw2v.vectors.model",
    "KeyedVectors": "fastw2v.vectors.keyed_vectors",
    "perplexity": "fastw2v.training.perplexity",
    "predict": "fastw2v.vectors.predict",
}

__all__ = [
    "KeyedVectors", "Model", "TokenStore", "__version__", "perplexity", "predict", "preprocess",
    "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fastw2v' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
