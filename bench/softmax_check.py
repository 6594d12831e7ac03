"""What every trainer of the full-softmax benchmark must do before it is timed.

It trains a few small batches (words that repeat, as centers and as contexts, within an example too;
examples with a single context), and its weights must then be those of `twin`, example by example in
float64: within rounding of what the batches changed. Nothing but NumPy is imported here.
"""

from __future__ import annotations

import numpy as np

from bench.softmax_batches import Batch

_VOCABULARY, _DIM = 37, 12
ALPHA = 0.05
_SLACK = 1e-4  # of the largest change and of the loss; a wrong formula is off by far more

Matrices = tuple[np.ndarray, np.ndarray]


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
