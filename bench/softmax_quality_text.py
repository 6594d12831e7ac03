"""What bench/softmax_quality.py scores its models on: held-out text, and enough known items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import scoring, split
from fastw2v.errors import UsageError
from fastw2v.io.store_directory import is_store
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.training.sampling import keep_thresholds

MIN_KNOWN = 3  # items, without which nothing can be compared
_THINNING_SEED = 1


def prepare_texts(data: split.Split, subsample: float) -> dict[str, Path]:
    """The held-out sequences as token stores: `thinned` as training thins its text, and `whole`."""
    ids, offsets = data.holdout.sequences[:2]
    texts = {}
    kept_of = {"thinned": kept_tokens(data, subsample), "whole": np.ones(len(ids), bool)}
    for name, kept in kept_of.items():
        suffix = f"-{subsample:g}" if name == "thinned" else ""
        texts[name] = data.train.store.parent / f"held-out-{name}{suffix}.store"
        if not is_store(texts[name]):
            sequence_of = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
            lengths = np.bincount(sequence_of[kept])
            ends = np.cumsum(lengths[lengths > 0])
            arrays = ids[kept], np.concatenate([[0], ends])
            preprocess(arrays, texts[name], tokens=data.tokens, min_count=1)
    return texts


def kept_tokens(data: split.Split, subsample: float) -> np.ndarray:
    """Which held-out tokens stay, bool: each with its word's probability in training."""
    vocabulary = TokenStore.open(data.train.store).vocabulary
    thresholds = keep_thresholds(vocabulary.counts, int(vocabulary.counts.sum()), subsample)
    probability = dict(zip(vocabulary.tokens, (thresholds / 2.0**32).tolist(), strict=True))
    # A word that training does not have stays here: models leave it out themselves.
    of_word = np.array([probability.get(token, 1.0) for token in data.tokens])
    ids = data.holdout.sequences.token_ids
    return np.asarray(np.random.default_rng(_THINNING_SEED).random(len(ids)) < of_word[ids])


def check_known(benchmarks: dict[str, Any], tokens: Sequence[str]) -> None:
    """That every benchmark has items of known words.

    Raises:
        UsageError: one has too few of them.
    """
    known = set(tokens)
    for name, benchmark in benchmarks.items():
        items = benchmark.pairs if name in scoring.PAIRS else benchmark.questions
        found = sum(all(word in known or word.lower() in known for word in item) for item in items)
        if found < MIN_KNOWN:
            raise UsageError(
                f"{name}: all words of only {found} of {len(items)} items are among the "
                f"{len(tokens):,} that training has; use a larger --max-vocab, or more text"
            )
