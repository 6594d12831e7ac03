"""Block updates of skip-gram and CBOW with negative sampling (Mikolov et al. 2013).

A block is T consecutive centers of the stream and one pool of N noise words that all of them
share. With that, the work per block is a few dense products instead of 2·K·T vector pairs:

    S = H · [P; C]ᵀ     scores of the hidden rows against pool and contexts (contexts: the band)
    G = α · (target − σ(S)) · weight
    input  += G · [P; C]          output += Gᵀ · H

Pool word n stands against center i with weight K·(m_i − r_in)/N, m_i the number of its positives
and r_in how often n is one of them: a draw that equals the positive it stands against is dropped,
never redrawn, as in word2vec.c. Not `per_pair`, K/N, or 0 if r_in > 0. At frozen weights the
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
    drop_draws_of_centers,
    drop_draws_of_contexts,
    fill_ptr_tables,
    first_positive_term,
    list_context_updates,
    list_pairs,
    padded,
    scores_to_gradients,
    weigh_terms,
    window_span,
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

_ONE = np.float32(1.0)


# A call passes every array of a `BlockWorkspace`, which takes 40 ns: so each helper goes through
# the whole block, and the two halves of an update are compiled into their callers.


@kernel()
def _score_pool(workspace, count, row_bytes):
    """Scores of the hidden rows against the pool, the first terms."""
    columns = padded(workspace.pool_ids.shape[0])
    for row in range(0, count, DOT_ROWS):
        for n in range(0, columns, DOT_COLUMNS):
            dot_tile(
                workspace.hidden_ptr, row, workspace.pool_ptr, n, row_bytes,
                workspace.scores, row * columns + n, columns,
            )  # fmt: skip


@kernel()
def _add_to_pool(workspace, count, row_bytes):
    """pool rows += Gᵀ · hidden rows."""
    columns = padded(workspace.pool_ids.shape[0])
    add_sums(
        workspace.pool_ptr, 0, columns, workspace.hidden_ptr, count,
        workspace.scores, 0, columns, 1, row_bytes,
    )  # fmt: skip


@kernel()
def add_to_contexts(workspace, contexts, row_bytes):
    """Context rows += what `list_context_updates` listed for them.

    Row by row, so that a context that several centers share is read and written once.
    """
    start = 0
    for place in range(contexts):
        stop = workspace.ctx_indptr[place]
        add_to_row(
            workspace.span_ptr[place], workspace.ctx_ptr, start, stop - start,
            workspace.ctx_weight, start, 1, row_bytes,
        )  # fmt: skip
        start = stop


@kernel(inlined=True)
def copy_centers(workspace, count, row_bytes):
    """hidden rows = the centers' rows."""
    for row in range(padded(count)):
        copy_row_at(workspace.hidden_ptr[row], workspace.center_ptr[row], row_bytes)


@kernel(inlined=True)
def find_sgram_gradients(stream, first, count, span, objective, alpha, row_bytes, workspace):
    """First half of `sgram_neg_update`, the tables of rows and pairs filled: changes no weight.

    Leaves the hidden rows and the gradients of all terms.

    Args: as `sgram_neg_update`; span: the block's `window_span`; row_bytes: length of a row.

    Returns:
        As `sgram_neg_update`.
    """
    positive, pairs = first_positive_term(workspace, count), workspace.pair_indptr[count]
    weigh_terms(workspace, positive, count, pairs, objective.negatives, objective.per_pair)
    drop_draws_of_contexts(workspace, stream, count, first, span, objective)
    copy_centers(workspace, count, row_bytes)
    _score_pool(workspace, count, row_bytes)
    for row in range(count):
        start, stop = workspace.pair_indptr[row], workspace.pair_indptr[row + 1]
        dots_of_row(
            workspace.hidden_ptr[row], workspace.pair_ptr, start, stop - start,
            row_bytes, workspace.scores, positive + start,
        )  # fmt: skip
    return scores_to_gradients(workspace, positive, pairs, alpha), pairs


@kernel(inlined=True)
def add_sgram_gradients(workspace, count, row_bytes):
    """Second half of `sgram_neg_update`, but for the contexts: add what the first half left."""
    pool_size = workspace.pool_ids.shape[0]
    positive = first_positive_term(workspace, count)
    add_sums(
        workspace.center_ptr, 0, count, workspace.pool_ptr, pool_size,
        workspace.scores, 0, 1, padded(pool_size), row_bytes,
    )  # fmt: skip
    for row in range(count):
        start, stop = workspace.pair_indptr[row], workspace.pair_indptr[row + 1]
        add_to_row(
            workspace.center_ptr[row], workspace.pair_ptr, start, stop - start,
            workspace.scores, positive + start, 1, row_bytes,
        )  # fmt: skip
    _add_to_pool(workspace, count, row_bytes)


@kernel(inlined=True)
def list_sgram_contexts(workspace, count, first_place, hidden_ptr):
    """List what each context gets of the hidden rows, for `add_to_contexts`."""
    scores, positive = workspace.scores, first_positive_term(workspace, count)
    list_context_updates(workspace, count, first_place, hidden_ptr, scores, positive, False)


@kernel()
def sgram_neg_update(weights, stream, first, count, objective, alpha, workspace):
    """Train one skip-gram block: centers first … first + count − 1 against `workspace.pool_ids`.

    Args:
        weights: `blocks.Weights`, changed in place.
        stream: `streams.Stream`.
        first, count: the block's centers, as stream positions.
        objective: `blocks.Objective`.
        alpha: float32 learning rate.
        workspace: `blocks.BlockWorkspace`, its `pool_ids` drawn; all else in it is overwritten.

    Returns:
        (loss in nats summed over positive pairs, number of positive pairs); the loss is
        −log σ(c_pos·h) − Σ weight·log σ(−c_neg·h) at the weights before the update.
    """
    inputs, outputs = weights.input_vectors, weights.output_vectors
    row_bytes = 4 * inputs.shape[1]
    span = window_span(stream, first, count)
    fill_ptr_tables(workspace, stream, first, count, span, inputs, outputs, outputs)
    list_pairs(workspace, stream, first, count, span)
    result = find_sgram_gradients(
        stream, first, count, span, objective, alpha, row_bytes, workspace
    )
    add_sgram_gradients(workspace, count, row_bytes)
    list_sgram_contexts(workspace, count, first - span[0], workspace.hidden_ptr)
    add_to_contexts(workspace, span[1] - span[0], row_bytes)
    return result


@kernel()
def average_contexts(workspace, count, row_bytes):
    """hidden rows = means of the context rows; 0 where there is none."""
    for row in range(count):
        start = workspace.pair_indptr[row]
        contexts = workspace.pair_indptr[row + 1] - start
        workspace.inverse_counts[row] = _ONE / np.float32(max(1, contexts))
        set_row(
            workspace.hidden_ptr[row], workspace.pair_ptr, start, contexts,
            workspace.inverse_counts, row, 0, row_bytes,
        )  # fmt: skip


@kernel(inlined=True)
def fill_tile(workspace, count, row_bytes):
    """Zeros, from the spare row, for the hidden rows that are missing of a whole tile."""
    for row in range(count, padded(count)):
        copy_row_at(workspace.hidden_ptr[row], workspace.center_ptr[row], row_bytes)


@kernel(inlined=True)
def find_cbow_gradients(stream, first, count, objective, alpha, row_bytes, workspace):
    """First half of `cbow_neg_update`; see `find_sgram_gradients`."""
    positive = first_positive_term(workspace, count)
    weigh_terms(workspace, positive, count, count, objective.negatives, False)
    drop_draws_of_centers(workspace, stream, first, count)
    average_contexts(workspace, count, row_bytes)
    fill_tile(workspace, count, row_bytes)
    _score_pool(workspace, count, row_bytes)
    positives = 0
    for row in range(count):
        dots_of_row(
            workspace.hidden_ptr[row], workspace.center_ptr, row, 1, row_bytes,
            workspace.scores, positive + row,
        )  # fmt: skip
        has_context = workspace.pair_indptr[row] < workspace.pair_indptr[row + 1]
        workspace.weights[positive + row] = np.float32(has_context)
        positives += has_context
    return scores_to_gradients(workspace, positive, count, alpha), positives


@kernel(inlined=True)
def add_cbow_gradients(workspace, count, row_bytes):
    """Second half of `cbow_neg_update`; see `add_sgram_gradients`."""
    pool_size = workspace.pool_ids.shape[0]
    positive = first_positive_term(workspace, count)
    set_sums(
        workspace.gradient_ptr, 0, count, workspace.pool_ptr, pool_size,
        workspace.scores, 0, 1, padded(pool_size), row_bytes,
    )  # fmt: skip
    for row in range(count):
        add_to_row(
            workspace.gradient_ptr[row], workspace.center_ptr, row, 1,
            workspace.scores, positive + row, 1, row_bytes,
        )  # fmt: skip
    for row in range(count):
        add_to_row(
            workspace.center_ptr[row], workspace.hidden_ptr, row, 1,
            workspace.scores, positive + row, 1, row_bytes,
        )  # fmt: skip
    _add_to_pool(workspace, count, row_bytes)


@kernel(inlined=True)
def list_cbow_contexts(workspace, count, first_place, undivided, gradient_ptr):
    """List what each context gets of the hidden rows' gradients, for `add_to_contexts`."""
    if undivided:
        for row in range(count):
            workspace.inverse_counts[row] = _ONE
    shares = workspace.inverse_counts
    list_context_updates(workspace, count, first_place, gradient_ptr, shares, 0, True)


@kernel()
def cbow_neg_update(weights, stream, first, count, objective, alpha, workspace):
    """Train one CBOW block; arguments and result as `sgram_neg_update`, one positive a center.

    h_i = mean of the context words' input vectors. Each context row receives dh_i/m_i, the exact
    gradient, or dh_i with `objective.undivided` (word2vec.c's). Centers without a context train
    nothing.
    """
    inputs, outputs = weights.input_vectors, weights.output_vectors
    row_bytes = 4 * inputs.shape[1]
    span = window_span(stream, first, count)
    fill_ptr_tables(workspace, stream, first, count, span, outputs, inputs, outputs)
    list_pairs(workspace, stream, first, count, span)
    result = find_cbow_gradients(stream, first, count, objective, alpha, row_bytes, workspace)
    add_cbow_gradients(workspace, count, row_bytes)
    undivided, gradient_ptr = objective.undivided, workspace.gradient_ptr
    list_cbow_contexts(workspace, count, first - span[0], undivided, gradient_ptr)
    add_to_contexts(workspace, span[1] - span[0], row_bytes)
    return result
