"""The batches that the full-softmax benchmark gives to everybody, with their ids ready made.

They are fastw2v's own: the centers of its stream, `batch_size` after `batch_size`, and the contexts
of each. Nothing but NumPy is imported here, except to read a store, so that the interpreter of a
peer can load what this one has saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Batch(NamedTuple):
    """The centers of one batch that have a context: its B examples.

    center_ids: int64 (B,). context_ids: int64 (m,), one example's after the other's.
    starts: int64 (B,), where in `context_ids` each example's begin.
    words: centers of the batch, those without a context too.
    """

    center_ids: np.ndarray
    context_ids: np.ndarray
    starts: np.ndarray
    words: int

    @property
    def sizes(self) -> np.ndarray:
        """int64 (B,): contexts of each example."""
        return np.diff(self.starts, append=len(self.context_ids))


def cut(stream: Any, batch_size: int, most: int) -> list[Batch]:
    """The first `most` batches of a `fastw2v.kernels.streams.Stream`."""
    count = min(len(stream.token_ids), batch_size * most)
    places = np.arange(count)
    low = np.maximum(places - stream.reaches[:count], stream.sentence_starts[:count])
    high = np.minimum(places + stream.reaches[:count] + 1, stream.sentence_ends[:count])
    half = int(stream.reaches[:count].max(initial=0))
    positions = places[:, None] + np.delete(np.arange(-half, half + 1), half)
    inside = (positions >= low[:, None]) & (positions < high[:, None])
    batches = []
    for first in range(0, count, batch_size):
        rows = slice(first, min(first + batch_size, count))
        sizes = inside[rows].sum(axis=1)
        if sizes.any():
            examples = sizes > 0
            batches.append(
                Batch(
                    stream.token_ids[rows][examples].astype(np.int64),
                    stream.token_ids[positions[rows][inside[rows]]].astype(np.int64),
                    np.cumsum(sizes[examples]) - sizes[examples],
                    rows.stop - rows.start,
                )
            )
    return batches


def from_store(store: Path, config: Any, most: int) -> list[Batch]:
    """The first `most` batches of a run of fastw2v with `config`; fewer in a small row group."""
    from fastw2v.store.format import TokenStore
    from fastw2v.training.data import BatchSource
    from fastw2v.training.sampling import keep_thresholds

    opened = TokenStore.open(store)
    counts = opened.vocabulary.counts
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
    source = BatchSource(opened, config, thresholds)
    stream = source.batch(0, 0, source.row_group_order(0)).stream
    return cut(stream, config.centers_per_batch, most)


def statistics(batches: list[Batch]) -> dict[str, float]:
    """trained: share of the words that have a context; distinct: examples with a center word that
    is new in the batch, as a share of the examples; mean_contexts: of an example."""
    examples = sum(len(batch.center_ids) for batch in batches)
    return {
        "trained": examples / sum(batch.words for batch in batches),
        "distinct": sum(len(np.unique(batch.center_ids)) for batch in batches) / examples,
        "mean_contexts": sum(len(batch.context_ids) for batch in batches) / examples,
    }


def save(path: Path, batches: list[Batch]) -> None:
    """Write the batches as one .npz."""
    np.savez(
        path,
        examples=[len(batch.center_ids) for batch in batches],
        contexts=[len(batch.context_ids) for batch in batches],
        words=[batch.words for batch in batches],
        center_ids=np.concatenate([batch.center_ids for batch in batches]),
        context_ids=np.concatenate([batch.context_ids for batch in batches]),
        starts=np.concatenate([batch.starts for batch in batches]),
    )


def load(path: Path) -> list[Batch]:
    """What `save` wrote."""
    with np.load(path, allow_pickle=False) as file:
        examples, contexts = (np.cumsum(file[name])[:-1] for name in ("examples", "contexts"))
        parts = zip(
            np.split(file["center_ids"], examples),
            np.split(file["context_ids"], contexts),
            np.split(file["starts"], examples),
            file["words"].tolist(),
            strict=True,
        )
        return [Batch(*part) for part in parts]
