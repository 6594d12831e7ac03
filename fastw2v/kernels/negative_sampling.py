"""Block updates of skip-gram and CBOW with negative sampling (Mikolov et al. 2013).

A block is T consecutive centers of the stream and one pool of N noise words that all of them
share. With that, the work per block is a few dense products instead of 2·K·T vector pairs:

    S = H · [P; C]ᵀ     scores of the hidden rows against pool and contexts (contexts: the band)
    G = α · (target − σ(S)) · weight
    input  += G · [P; C]          output += Gᵀ · H

Pool word n stands against center i with weight K·(m_i − r_in)/N, m_i the number of its positives
and r_in how often n is one of them: a draw that equals the positive it stands against is dropped,
never redrawn, as in word2vec.c. With `per_window`, K/N, or 0 if r_in > 0. At frozen weights the
expected update equals the classic one's for every T and N.

All gradients of a block are taken at the weights as they were when the block began. For that, only
the hidden rows are copied: the scores of everything come first, then the hidden rows' gradients
(from the rows of contexts and pool), and the rows of contexts and pool last (from the copies).
Threads do this on shared rows without locks: see `hogwild.py` for that race. Each update is in two
halves, which read and write weights respectively, for the sake of `deterministic.py`.
"""

from __future__ import annotations

import numpy as np

from fastw2v.kernels.blocks import (
    Scratch,
    Settings,
    Weights,
    address_rows,
    drop_draws_of_centers,
    drop_draws_of_contexts,
    first_positive_term,
    halo_of,
    list_near,
    list_pairs,
    new_scratch,
    padded,
    scores_to_gradients,
    weigh_terms,
)
from fastw2v.kernels.llvm.tiles import (
    DOT_COLUMNS,
    DOT_ROWS,
    add_sums,
    add_to_row,
    copy_row_at,
    dot_tile,
    dots_of_row,
    set_row,
    set_sums,
)
from fastw2v.kernels.primitives import kernel

__all__ = [
    "Scratch",
    "Settings",
    "Weights",
    "cbow_neg_update",
    "new_scratch",
    "sgram_neg_update",
]

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


# (Each helper goes through the whole block: a call passes all arrays of a `Scratch`, 40 ns.)


@kernel()
def _score_pool(scratch, count, row_bytes):
    """Scores of the hidden rows against the pool, the first terms."""
    columns = padded(scratch.pool_ids.shape[0])
    for row in range(0, count, DOT_ROWS):
        for n in range(0, columns, DOT_COLUMNS):
            dot_tile(
                scratch.hidden_at, row, scratch.pool_at, n, row_bytes,
                scratch.scores, row * columns + n, columns,
            )  # fmt: skip


@kernel()
def _add_to_pool(scratch, count, row_bytes):
    """pool rows += Gᵀ · hidden rows."""
    columns = padded(scratch.pool_ids.shape[0])
    add_sums(
        scratch.pool_at, 0, columns, scratch.hidden_at, count,
        scratch.scores, 0, columns, 1, row_bytes,
    )  # fmt: skip


@kernel()
def add_to_contexts(scratch, contexts, row_bytes):
    """Context rows += what `list_near` listed for them."""
    start = 0
    for place in range(contexts):
        stop = scratch.near_starts[place]
        add_to_row(
            scratch.halo_at[place], scratch.near_at, start, stop - start,
            scratch.near_weights, start, 1, row_bytes,
        )  # fmt: skip
        start = stop


@kernel(inlined=True)
def copy_centers(scratch, count, row_bytes):
    """hidden rows = the centers' rows."""
    for row in range(padded(count)):
        copy_row_at(scratch.hidden_at[row], scratch.centers_at[row], row_bytes)


@kernel(inlined=True)
def find_sgram_gradients(
    stream, first, count, halo_low, halo_high, settings, alpha, row_bytes, scratch
):
    """First half of `sgram_neg_update`, the tables of rows and pairs filled: changes no weight.

    Leaves the hidden rows and the gradients of all terms. Returns as `sgram_neg_update`.
    """
    own = first - halo_low
    positive, pairs = first_positive_term(scratch, count), scratch.pair_starts[count]
    weigh_terms(scratch, positive, count, pairs, settings.negatives, settings.per_pair)
    drop_draws_of_contexts(scratch, stream, count, own, halo_low, halo_high, settings)
    copy_centers(scratch, count, row_bytes)
    _score_pool(scratch, count, row_bytes)
    for row in range(count):
        start = scratch.pair_starts[row]
        dots_of_row(
            scratch.hidden_at[row], scratch.pairs_at, start, scratch.pair_starts[row + 1] - start,
            row_bytes, scratch.scores, positive + start,
        )  # fmt: skip
    return scores_to_gradients(scratch, positive, pairs, alpha), pairs


@kernel(inlined=True)
def add_sgram_gradients(scratch, count, row_bytes):
    """Second half of `sgram_neg_update`, but for the contexts: add what the first half left."""
    pool_size = scratch.pool_ids.shape[0]
    positive = first_positive_term(scratch, count)
    add_sums(
        scratch.centers_at, 0, count, scratch.pool_at, pool_size,
        scratch.scores, 0, 1, padded(pool_size), row_bytes,
    )  # fmt: skip
    for row in range(count):
        start = scratch.pair_starts[row]
        add_to_row(
            scratch.centers_at[row], scratch.pairs_at, start, scratch.pair_starts[row + 1] - start,
            scratch.scores, positive + start, 1, row_bytes,
        )  # fmt: skip
    _add_to_pool(scratch, count, row_bytes)


@kernel(inlined=True)
def list_sgram_contexts(scratch, count, own, hidden_at):
    """List what each context gets of the hidden rows, for `add_to_contexts`."""
    positive = first_positive_term(scratch, count)
    list_near(scratch, count, own, hidden_at, scratch.scores, positive, False)


@kernel()
def sgram_neg_update(weights, stream, first, count, settings, alpha, scratch):
    """Train one skip-gram block: centers first … first + count − 1 against `scratch.pool_ids`.

    Args:
        weights: `Weights`, changed in place.
        stream: `streams.Stream`.
        first, count: the block's centers, as stream positions.
        settings: `Settings`.
        alpha: float32 learning rate.
        scratch: `Scratch`, its pool_ids drawn.

    Returns:
        (loss in nats summed over positive pairs, number of positive pairs); the loss is
        −log σ(c_pos·h) − Σ weight·log σ(−c_neg·h) at the weights before the update.
    """
    inputs, outputs = weights.input_vectors, weights.output_vectors
    row_bytes = 4 * inputs.shape[1]
    halo_low, halo_high = halo_of(stream, first, count)
    address_rows(scratch, stream, first, count, halo_low, halo_high, inputs, outputs, outputs)
    list_pairs(scratch, stream, first, count, halo_low, halo_high)
    result = find_sgram_gradients(
        stream, first, count, halo_low, halo_high, settings, alpha, row_bytes, scratch
    )
    add_sgram_gradients(scratch, count, row_bytes)
    list_sgram_contexts(scratch, count, first - halo_low, scratch.hidden_at)
    add_to_contexts(scratch, halo_high - halo_low, row_bytes)
    return result


@kernel()
def average_contexts(scratch, count, row_bytes):
    """hidden rows = means of the context rows; 0 where there is none."""
    for row in range(count):
        start = scratch.pair_starts[row]
        contexts = scratch.pair_starts[row + 1] - start
        scratch.shares[row] = _ONE / np.float32(max(1, contexts))
        set_row(
            scratch.hidden_at[row], scratch.pairs_at, start, contexts,
            scratch.shares, row, 0, row_bytes,
        )  # fmt: skip


@kernel(inlined=True)
def fill_tile(scratch, count, row_bytes):
    """The spare row for the hidden rows that are missing of a whole tile."""
    for row in range(count, padded(count)):
        copy_row_at(scratch.hidden_at[row], scratch.centers_at[row], row_bytes)


@kernel(inlined=True)
def find_cbow_gradients(stream, first, count, settings, alpha, row_bytes, scratch):
    """First half of `cbow_neg_update`; see `find_sgram_gradients`."""
    positive = first_positive_term(scratch, count)
    weigh_terms(scratch, positive, count, count, settings.negatives, False)
    drop_draws_of_centers(scratch, stream, first, count)
    average_contexts(scratch, count, row_bytes)
    fill_tile(scratch, count, row_bytes)
    _score_pool(scratch, count, row_bytes)
    positives = 0
    for row in range(count):
        dots_of_row(
            scratch.hidden_at[row], scratch.centers_at, row, 1, row_bytes,
            scratch.scores, positive + row,
        )  # fmt: skip
        has_context = scratch.pair_starts[row] < scratch.pair_starts[row + 1]
        scratch.weights[positive + row] = np.float32(has_context)
        positives += has_context
    return scores_to_gradients(scratch, positive, count, alpha), positives


@kernel(inlined=True)
def add_cbow_gradients(scratch, count, row_bytes):
    """Second half of `cbow_neg_update`; see `add_sgram_gradients`."""
    pool_size = scratch.pool_ids.shape[0]
    positive = first_positive_term(scratch, count)
    set_sums(
        scratch.gradients_at, 0, count, scratch.pool_at, pool_size,
        scratch.scores, 0, 1, padded(pool_size), row_bytes,
    )  # fmt: skip
    for row in range(count):
        add_to_row(
            scratch.gradients_at[row], scratch.centers_at, row, 1,
            scratch.scores, positive + row, 1, row_bytes,
        )  # fmt: skip
    for row in range(count):
        add_to_row(
            scratch.centers_at[row], scratch.hidden_at, row, 1,
            scratch.scores, positive + row, 1, row_bytes,
        )  # fmt: skip
    _add_to_pool(scratch, count, row_bytes)


@kernel(inlined=True)
def list_cbow_contexts(scratch, count, own, undivided, gradients_at):
    """List what each context gets of the hidden rows' gradients, for `add_to_contexts`."""
    if undivided:
        for row in range(count):
            scratch.shares[row] = _ONE
    list_near(scratch, count, own, gradients_at, scratch.shares, 0, True)


@kernel()
def cbow_neg_update(weights, stream, first, count, settings, alpha, scratch):
    """Train one CBOW block; arguments and result as `sgram_neg_update`, one positive a center.

    h_i = mean of the context words' input vectors. Each context row receives dh_i/m_i, the exact
    gradient, or dh_i with `settings.undivided` (word2vec.c's). Centers without context are skipped.
    """
    inputs, outputs = weights.input_vectors, weights.output_vectors
    row_bytes = 4 * inputs.shape[1]
    halo_low, halo_high = halo_of(stream, first, count)
    address_rows(scratch, stream, first, count, halo_low, halo_high, outputs, inputs, outputs)
    list_pairs(scratch, stream, first, count, halo_low, halo_high)
    result = find_cbow_gradients(stream, first, count, settings, alpha, row_bytes, scratch)
    add_cbow_gradients(scratch, count, row_bytes)
    list_cbow_contexts(scratch, count, first - halo_low, settings.undivided, scratch.gradients_at)
    add_to_contexts(scratch, halo_high - halo_low, row_bytes)
    return result
