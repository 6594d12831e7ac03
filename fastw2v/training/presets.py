"""The presets: other systems' defaults in this program's terms."""

from __future__ import annotations

from typing import Any

# What each system does when its user says nothing, in this program's terms. `alpha` may differ
# between skip-gram and CBOW there; options that a system does not have are left out.
PRESETS: dict[str, dict[str, Any]] = {
    "seed": {
        "window_sampling": "fixed",
        "negatives_per": "window",
        "subsample": 0.0,
        "min_alpha": "alpha",
        "cbow_gradient": "mean",
    },
    "word2vec.c": {
        "vector_dim": 100,
        "window": 11,
        "neg_samples": 5,
        "subsample": 1e-3,
        "epochs": 5,
        "alpha": {"sgram_neg": 0.025, "cbow_neg": 0.05},
        "cbow_gradient": "word2vec",
    },
    "gensim": {
        "vector_dim": 100,
        "window": 11,
        "neg_samples": 5,
        "subsample": 1e-3,
        "epochs": 5,
        "alpha": {"sgram_neg": 0.025, "cbow_neg": 0.025},
        "min_alpha": 1e-4,
        "cbow_gradient": "word2vec",
    },
    "fasttext": {
        "vector_dim": 100,
        "window": 11,
        "neg_samples": 5,
        "subsample": 1e-4,
        "epochs": 5,
        "alpha": {"sgram_neg": 0.05, "cbow_neg": 0.05},
        "min_alpha": 0.0,
        "ns_exponent": 0.5,
        "cbow_gradient": "word2vec",
    },
    "koan": {
        "vector_dim": 200,
        "window": 11,
        "neg_samples": 5,
        "subsample": 1e-3,
        "epochs": 1,
        "alpha": {"sgram_neg": 0.025, "cbow_neg": 0.075},
        "min_alpha": 1e-4,
        "cbow_gradient": "mean",
    },
}
