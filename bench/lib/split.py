"""The corpus of the quality benchmarks: what trainers see, and what they are scored on.

`prepare` takes the held-out sequences of `fastw2v.training.validation` out of a corpus. All
trainers train on the rest, as a token store and as text: the same sentences, words and counts. A
model's loss is then measured on what was held out, in the ids of the whole corpus's vocabulary.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from bench.lib import common, results
from fastw2v.io.store_directory import is_store
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.training.validation import SHARE, Holdout, HoldoutLoss
from fastw2v.vectors import evaluation as bootstrap

GROUPS = 512  # of sequences, at most, whose sums a result file keeps


@dataclasses.dataclass(frozen=True)
class Split:
    """`train`: the corpus without the held-out sequences; `tokens`: the words of their ids."""

    train: common.Corpus
    holdout: Holdout
    tokens: list[str]

    def describe(self) -> dict[str, Any]:
        """For the result file."""
        return {**self.train.describe(), "holdout": self.holdout.describe()}

    def loss_of(
        self, keys: list[str], inputs: np.ndarray, outputs: np.ndarray, *, skip_gram: bool
    ) -> dict[str, Any]:
        """The held-out loss of a model whose rows are those of `keys`, as plain values.

        A word that occurs in held-out sequences alone, which no trainer has, counts as zeros.
        """
        row_of = {key: row for row, key in enumerate(keys)}
        rows = np.array([row_of.get(token, -1) for token in self.tokens])
        matrices = []
        for matrix in (inputs, outputs):
            ordered = np.ascontiguousarray(matrix[rows], dtype=np.float32)
            ordered[rows < 0] = 0.0
            matrices.append(ordered)
        return packed_loss(self.holdout.evaluate(*matrices, skip_gram=skip_gram))


def packed_loss(found: HoldoutLoss) -> dict[str, Any]:
    """A loss with its interval and, for paired bootstraps, the sums of its sequences.

    More than `GROUPS` sequences are put together in so many groups. They come in the order of their
    hashes, so the groups are random, and a bootstrap over them is one over the sequences.
    """
    group = np.arange(len(found.losses)) % GROUPS
    return {
        "loss": found.loss,
        "low": found.low,
        "high": found.high,
        "groups": results.pack(np.bincount(group, found.losses), "<f4"),
        "group_positives": results.pack(np.bincount(group, found.positives), "<u4"),
    }


def loss_difference(
    losses_a: list[dict[str, Any]], losses_b: list[dict[str, Any]]
) -> tuple[float, float, float]:
    """Mean loss of the models A less that of the models B, with its 95 % interval.

    A and B are `loss_of` the same split and type, one a seed. Bootstrap over sequences (or their
    groups), which A and B share, and over the seeds of each.
    """
    positives = results.unpack(losses_a[0]["group_positives"], "<u4").astype(np.float64)
    points, resampled = [], []
    for number, side in enumerate((losses_a, losses_b), start=1):
        sums = np.array([results.unpack(loss["groups"], "<f4") for loss in side], np.float64)
        points.append(float(sums.sum() / (len(side) * positives.sum())))
        shares = bootstrap.seed_shares(len(side), bootstrap.RESAMPLES, number)
        draws = bootstrap.draw_weights(len(positives), bootstrap.RESAMPLES, 0)  # alike for both
        ratios = [(weights @ sums.T) / (weights @ positives)[:, None] for weights in draws]
        resampled.append((shares * np.concatenate(ratios)).sum(axis=1))
    interval = bootstrap.percentile_interval(resampled[0] - resampled[1])
    return (points[0] - points[1], *interval)


def prepare(corpus: common.Corpus, share: float = SHARE) -> Split:
    """Split a corpus, or reuse the split that is there."""
    store = TokenStore.open(corpus.store)
    holdout = Holdout.of(store, share)
    chosen = hashlib.sha256(np.ascontiguousarray(holdout.sequences.hashes).tobytes())
    place = corpus.store.parent / f"without-{chosen.hexdigest()[:16]}"
    tokens = list(store.vocabulary.tokens)
    if not is_store(place / "train.store"):
        print(f"holding out {holdout.num_sequences:,} sequences (once)", flush=True)
        preprocess(_kept(store, holdout), place / "train.store", tokens=tokens, min_count=1)
    train = TokenStore.open(place / "train.store")
    if not (place / "train.txt").is_file():
        common.write_text_of(train, place / "train.txt")
    kept = dataclasses.replace(
        corpus,
        store=train.path,
        text=Path(place / "train.txt"),
        words=train.num_tokens,
        sentences=train.num_sentences,
        vocabulary=len(train.vocabulary),
    )
    return Split(kept, holdout, tokens)


def _kept(store: TokenStore, holdout: Holdout) -> tuple[np.ndarray, np.ndarray]:
    """(ids, offsets) of the sequences that are not held out."""
    ids, lengths = [], []
    for group in range(store.num_row_groups):
        token_ids, offsets = store.read_row_group(group)
        kept = ~holdout.is_held_out(token_ids, offsets)
        sizes = np.diff(offsets)
        ids.append(token_ids[np.repeat(kept, sizes)])
        lengths.append(sizes[kept])
    return np.concatenate(ids), np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
