"""The batches that the full-softmax benchmark gives to every trainer, and the twin to check them.

Batches are fastw2v's own, with their ids ready made: the centers of its stream, `batch_size` after
`batch_size`, and the contexts of each. Before a trainer is timed it trains a few small ones (words
that repeat, as centers and as contexts, within an example too; examples with a single context), and
its weights must then be those of `twin`, example by example in float64: within rounding of what the
batches changed. Nothing but NumPy is imported here, except to read a store, so that the interpreter
of a peer can load what this one has saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_VOCABULARY, _DIM = 37, 12
ALPHA = 0.05
_SLACK = 1e-4  # of the largest change and of the loss; a wrong formula is off by far more

Matrices = tuple[np.ndarray, np.ndarray]


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
    low = np.maximum(places - stream.radii[:count], stream.sequence_starts[:count])
    high = np.minimum(places + stream.radii[:count] + 1, stream.sequence_ends[:count])
    half = int(stream.radii[:count].max(initial=0))
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
    from fastw2v.training.data import BatchSource, keep_thresholds

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


def twin(weights: Matrices, batch: Batch, alpha: float, skip_gram: bool) -> tuple[float, Matrices]:
    """(loss in nats summed over the examples, float64 weights after the batch).

    CBOW: softmax of O·h against the center word, h the mean of the contexts' input rows. Skip-gram:
    h is the center word's input row, the target the mean of its contexts' one-hots. All gradients
    are at the weights before the batch.
    """
    inputs, outputs = (matrix.astype(np.float64) for matrix in weights)
    after = inputs.copy(), outputs.copy()
    loss = 0.0
    contexts = np.split(batch.context_ids, batch.starts[1:])
    for center_id, context_ids in zip(batch.center_ids, contexts, strict=True):
        hidden_ids, target_ids = context_ids, np.array([center_id])
        if skip_gram:
            hidden_ids, target_ids = target_ids, hidden_ids
        hidden = inputs[hidden_ids].mean(axis=0)
        scores = outputs @ hidden
        log_p = scores - np.logaddexp.reduce(scores)
        loss -= log_p[target_ids].mean()
        gradient = np.exp(log_p)
        np.subtract.at(gradient, target_ids, 1.0 / len(target_ids))
        after[1][:] -= alpha * np.outer(gradient, hidden)
        np.subtract.at(after[0], hidden_ids, alpha * (gradient @ outputs) / len(hidden_ids))
    return loss, after


def small_problem() -> tuple[Matrices, list[Batch]]:
    """float32 weights with scores of the order of 1, and three batches; the same every time."""
    generator = np.random.default_rng(3)
    inputs, outputs = (
        (generator.normal(size=(_VOCABULARY, _DIM)) / _DIM**0.25).astype(np.float32)
        for _ in range(2)
    )
    batches = []
    for examples in (23, 1, 40):
        sizes = generator.integers(1, 7, examples)
        # A fifth of the vocabulary is drawn often, the rest seldom.
        ids = generator.integers(_VOCABULARY, size=examples + int(sizes.sum()))
        ids[::2] %= _VOCABULARY // 5
        starts = np.cumsum(sizes) - sizes
        batches.append(Batch(ids[:examples], ids[examples:], starts, examples))
    return (inputs, outputs), batches


def check(
    name: str,
    start: Matrices,
    batches: list[Batch],
    alpha: float,
    skip_gram: bool,
    found_loss: float | None,
    found: Matrices,
) -> None:
    """Compare what a trainer made of `start` with what the twin makes of it; a loss of None passes.

    Raises:
        AssertionError: it computes something else; names the trainer and the worst place.
    """
    expected, loss = start, 0.0
    for batch in batches:
        batch_loss, expected = twin(expected, batch, alpha, skip_gram)
        loss += batch_loss
    if found_loss is not None and not abs(found_loss - loss) <= _SLACK * loss:  # NaN, too
        raise AssertionError(f"{name}: loss {found_loss:.6g}, the twin has {loss:.6g}")
    names = ("input_vectors", "output_vectors")
    for matrix, before, after, right in zip(names, start, found, expected, strict=True):
        tolerance = _SLACK * np.abs(right - before).max()
        error = np.abs(after - right)
        if not np.all(error <= tolerance):
            worst = np.unravel_index(np.argmax(error), error.shape)
            raise AssertionError(
                f"{name}: {matrix}{[int(number) for number in worst]} is {after[worst]:.6g}, the "
                f"twin has {right[worst]:.6g} ± {tolerance:.2g}; it computes something else, so it "
                "is not timed"
            )
