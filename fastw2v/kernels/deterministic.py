"""The memory of `deterministic.py`: what the blocks of a round leave, what threads work with.

Negative sampling on many threads with the same bytes every time: rounds of blocks in two phases.

A round is R consecutive blocks. First, threads take blocks as they get ready and find the gradients
of their terms, at the weights as they were when the round began. Then each thread has columns of
both matrices to itself, and adds to them what all blocks of the round bring, block after block:
what a block adds to a column depends on that column and the gradients alone. So no weight is
written while another thread uses it, each gets its additions in the order of the stream, and who
did what leaves no trace: the bytes are the same at any number of threads, one included.

Only the terms' gradients are those of the round's first weights. The rows that they weigh are as
the blocks before left them, so that a round of one block is `negative_sampling`'s update.

Blocks and parts of the columns are tasks (see `tasks.py`): a thread that comes late, or never,
finds its work done by the others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from fastw2v.kernels.blocks import (
    Scratch,
    address_rows,
    halo_of,
    list_pairs,
    new_scratch,
    padded,
    prefetch_block,
    scratch_bytes,
)
from fastw2v.kernels.hogwild import learning_rate
from fastw2v.kernels.llvm.atomics import COUNTERS, add_one, wait_until
from fastw2v.kernels.llvm.simd import ROW_FLOATS
from fastw2v.kernels.llvm.tiles import prefetch_row
from fastw2v.kernels.negative_sampling import (
    add_cbow_gradients,
    add_sgram_gradients,
    add_to_contexts,
    average_contexts,
    copy_centers,
    fill_tile,
    find_cbow_gradients,
    find_sgram_gradients,
    list_cbow_contexts,
    list_sgram_contexts,
)
from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.streams import draw_noise

LINE = 4 * ROW_FLOATS  # bytes of a cache line
_GAP = 16  # unused entries behind each part of an array, so that threads share no line


class Found(NamedTuple):
    """What the first phase leaves for the second: the arrays of `Scratch` of that name.

    Each with an axis for the R blocks of a round before its own. Addresses are those of whole rows,
    but in `near_at`, where they are offsets from the first hidden row (CBOW: first gradient).

    contexts: int64 (R, 1), positions of the halo.
    offsets: int64 (T + 4,), where a hidden row lies, from the first: no block's own.
    """

    pool_ids: Any
    centers_at: Any
    halo_at: Any
    pool_at: Any
    scores: Any
    pair_starts: Any
    pairs_at: Any
    near_starts: Any
    near_at: Any
    near_weights: Any
    contexts: Any
    offsets: Any


class Room(NamedTuple):
    """found: `Found`; own: `Scratch`, each array with an axis for the threads before its own."""

    found: Found
    own: Scratch


def _zeros(shape: tuple[int, ...], kind: Any) -> np.ndarray:
    """Zeros that begin with a cache line."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    room = np.zeros(size + LINE, np.uint8)
    start = -room.ctypes.data % LINE
    return room[start : start + size].view(kind).reshape(shape)


def new_room(
    threads: int, round_blocks: int, block_size: int, pool_size: int, half_window: int, dim: int
) -> Room:
    """`Room` for rounds of up to `round_blocks` blocks; dim is that of padded rows."""
    one = new_scratch(block_size, pool_size, half_window, ROW_FLOATS)
    rows = {name: len(getattr(one, name)) for name in ("hidden", "gradients", "spare")}

    def copies(count: int, name: str) -> np.ndarray:
        array = getattr(one, name)
        if name in rows:  # whole lines anyway
            return _zeros((count, rows[name], dim), array.dtype)
        return _zeros((count, len(array) + _GAP, *array.shape[1:]), array.dtype)

    own = Scratch(*[copies(threads, name) for name in Scratch._fields])
    offsets = np.arange(rows["hidden"]) * (4 * dim)
    for thread in range(threads):
        own.hidden_at[thread, : len(offsets)] = own.hidden[thread].ctypes.data + offsets
        own.gradients_at[thread, : len(offsets)] = own.gradients[thread].ctypes.data + offsets
    left = [
        _zeros((round_blocks, pool_size), np.int32),  # the length says how many draws there are
        *[copies(round_blocks, name) for name in Found._fields[1:-2]],
        _zeros((round_blocks, _GAP), np.int64),
        offsets,
    ]
    return Room(Found(*left), own)


def room_bytes(
    threads: int, round_blocks: int, block_size: int, pool_size: int, half_window: int, dim: int
) -> int:
    """What `new_room` takes, within a few cache lines an array."""
    whole = scratch_bytes(block_size, pool_size, half_window, dim)
    kept = scratch_bytes(block_size, pool_size, half_window, 0)  # but for rows; some is not kept
    return threads * whole + round_blocks * kept


@kernel(inlined=True)
def scratch_to_find(found, own, thread, slot):
    """What the block `slot` of the round leaves, and what the thread needs besides to find it."""
    return Scratch(
        found.pool_ids[slot],
        found.centers_at[slot],
        found.halo_at[slot],
        found.pool_at[slot],
        own.hidden_at[thread],
        own.gradients_at[thread],
        own.hidden[thread],
        own.gradients[thread],
        found.scores[slot],
        own.weights[thread],
        own.shares[thread],
        own.windows[thread],
        found.pair_starts[slot],
        found.pairs_at[slot],
        found.near_starts[slot],
        found.near_at[slot],
        found.near_weights[slot],
        own.spare[thread],
        own.flags[thread],
    )


@kernel(inlined=True)
def scratch_to_add(found, own, thread, slot):
    """What the block `slot` of the round left, with the thread's tables of its parts of rows."""
    return Scratch(
        found.pool_ids[slot],
        own.centers_at[thread],
        own.halo_at[thread],
        own.pool_at[thread],
        own.hidden_at[thread],
        own.gradients_at[thread],
        own.hidden[thread],
        own.gradients[thread],
        found.scores[slot],
        own.weights[thread],
        own.shares[thread],
        own.windows[thread],
        found.pair_starts[slot],
        own.pairs_at[thread],
        found.near_starts[slot],
        own.near_at[thread],
        found.near_weights[slot],
        own.spare[thread],
        own.flags[thread],
    )


# Of a round: blocks taken and blocks found in the first phase, parts of the columns added in the
# second, and from `_PARTS` on, for each part, whether it is taken; each where threads meet apart.
_TAKEN, _FOUND, _ADDED, _PARTS = (COUNTERS * place for place in range(4))


@kernel(inlined=True)
def _draw(weights, stream, noise, settings, plan, skip_gram, block, prefetch, pool_ids):
    """Draw for a block, and have its rows fetched."""
    draw_noise(noise, plan.key, np.uint64(block), pool_ids)
    if prefetch:
        first = block * plan.block_size
        count = min(plan.block_size, plan.last - first)
        inputs, outputs = weights.input_vectors, weights.output_vectors
        centers, halo = (inputs, outputs) if skip_gram else (outputs, inputs)
        prefetch_block(stream, first, count, settings.half_window, centers, halo, outputs, pool_ids)


@kernel(inlined=True)
def _find_block(
    weights, stream, settings, schedule, plan, skip_gram, block, slot, found, scratch, sums
):
    """First phase of one block; `sums`: float64 (2,), for its loss and positives."""
    first = block * plan.block_size
    count = min(plan.block_size, plan.last - first)
    alpha = learning_rate(schedule, stream.word_positions[first])
    inputs, outputs = weights.input_vectors, weights.output_vectors
    row_bytes = 4 * inputs.shape[1]
    centers, halo = (inputs, outputs) if skip_gram else (outputs, inputs)
    low, high = halo_of(stream, first, count)
    address_rows(scratch, stream, first, count, low, high, centers, halo, outputs)
    list_pairs(scratch, stream, first, count, low, high)
    found.contexts[slot, 0] = high - low
    if skip_gram:
        sums[0], sums[1] = find_sgram_gradients(
            stream, first, count, low, high, settings, alpha, row_bytes, scratch
        )
        list_sgram_contexts(scratch, count, first - low, found.offsets)
    else:
        sums[0], sums[1] = find_cbow_gradients(
            stream, first, count, settings, alpha, row_bytes, scratch
        )
        list_cbow_contexts(scratch, count, first - low, settings.undivided, found.offsets)


@kernel()
def _find_gradients(
    weights, stream, noise, settings, schedule, plan, skip_gram, start, stop, thread, counters,
    found, own, sums,
):  # fmt: skip
    """A thread's share of the first phase: block after block, until none is left to take."""
    block = start + add_one(counters, _TAKEN)
    if block < stop:
        _draw(weights, stream, noise, settings, plan, skip_gram, block, False,
              found.pool_ids[block - start])  # fmt: skip
    while block < stop:
        # The next is taken before this one is done, so that its rows are on their way.
        coming = start + add_one(counters, _TAKEN)
        if coming < stop:
            _draw(weights, stream, noise, settings, plan, skip_gram, coming, True,
                  found.pool_ids[coming - start])  # fmt: skip
        slot = block - start
        _find_block(
            weights, stream, settings, schedule, plan, skip_gram, block, slot, found,
            scratch_to_find(found, own, thread, slot), sums[block - plan.first // plan.block_size],
        )  # fmt: skip
        add_one(counters, _FOUND)
        block = coming


@kernel()
def _shift(addresses, count, offset, shifted):
    """shifted = addresses + offset, the first `count`."""
    for place in range(count):
        shifted[place] = addresses[place] + offset


@kernel(inlined=True)
def _prefetch_parts(found, slot, count, low, part_bytes):
    """Have the parts of a block's rows fetched that begin `low` bytes from theirs."""
    for row in range(count):
        prefetch_row(found.centers_at[slot, row] + low, part_bytes)
    for place in range(found.contexts[slot, 0]):
        prefetch_row(found.halo_at[slot, place] + low, part_bytes)
    for n in range(found.pool_ids.shape[1]):
        prefetch_row(found.pool_at[slot, n] + low, part_bytes)


@kernel(inlined=True)
def _add_block(found, slot, count, skip_gram, low, part_bytes, scratch):
    """Second phase of one block, for the parts of rows that begin `low` bytes from theirs."""
    contexts, pairs = found.contexts[slot, 0], found.pair_starts[slot, count]
    _shift(found.centers_at[slot], padded(count), low, scratch.centers_at)
    _shift(found.halo_at[slot], contexts, low, scratch.halo_at)
    _shift(found.pool_at[slot], padded(found.pool_ids.shape[1]), low, scratch.pool_at)
    _shift(found.pairs_at[slot], pairs, low, scratch.pairs_at)
    if skip_gram:
        _shift(found.near_at[slot], pairs, scratch.hidden_at[0], scratch.near_at)
        copy_centers(scratch, count, part_bytes)
        add_sgram_gradients(scratch, count, part_bytes)
    else:
        _shift(found.near_at[slot], pairs, scratch.gradients_at[0], scratch.near_at)
        average_contexts(scratch, count, part_bytes)
        fill_tile(scratch, count, part_bytes)
        add_cbow_gradients(scratch, count, part_bytes)
    add_to_contexts(scratch, contexts, part_bytes)


@kernel(inlined=True)
def _add_to_columns(plan, skip_gram, low, part_bytes, start, stop, thread, found, own):
    """Second phase of all blocks of a round, for the parts of rows `low` bytes from theirs."""
    for block in range(start, stop):
        slot = block - start
        count = min(plan.block_size, plan.last - block * plan.block_size)
        if block + 1 < stop:
            coming = min(plan.block_size, plan.last - (block + 1) * plan.block_size)
            _prefetch_parts(found, slot + 1, coming, low, part_bytes)
        scratch = scratch_to_add(found, own, thread, slot)
        _add_block(found, slot, count, skip_gram, low, part_bytes, scratch)


@kernel()
def _add_gradients(plan, skip_gram, dim, start, stop, thread, threads, counters, found, own):
    """A thread's share of the second phase: its own part of the columns, whole cache lines.

    Then those of threads that are not there yet.
    """
    lines = dim // ROW_FLOATS
    for step in range(threads):
        part = (thread + step) % threads
        if add_one(counters, _PARTS + part) == 0:
            low = LINE * (lines * part // threads)
            part_bytes = LINE * (lines * (part + 1) // threads) - low
            if part_bytes > 0:
                _add_to_columns(plan, skip_gram, low, part_bytes, start, stop, thread, found, own)
            add_one(counters, _ADDED)


@kernel()
def _train_share(
    weights, stream, noise, settings, schedule, plan, skip_gram, thread, threads, counters,
    found, own, sums,
):  # fmt: skip
    """A thread's share of all rounds."""
    dim, round_blocks = weights.input_vectors.shape[1], found.pool_ids.shape[0]
    start = plan.first // plan.block_size
    last = (plan.last + plan.block_size - 1) // plan.block_size
    number = 0
    while start < last:
        stop = min((start // round_blocks + 1) * round_blocks, last)
        _find_gradients(
            weights, stream, noise, settings, schedule, plan, skip_gram, start, stop, thread,
            counters[number], found, own, sums,
        )  # fmt: skip
        wait_until(counters[number], _FOUND, stop - start)
        _add_gradients(
            plan, skip_gram, dim, start, stop, thread, threads, counters[number], found, own
        )
        wait_until(counters[number], _ADDED, threads)
        start, number = stop, number + 1


@kernel(parallel=True)
def train_in_rounds(
    weights, stream, noise, settings, schedule, plan, skip_gram, num_threads, found, own
):
    """Train the blocks of `plan`; rounds begin at multiples of R blocks of the stream.

    Args: as `hogwild.train_negative_sampling`; found, own: those of a `Room` for as many threads.

    Returns:
        float64 (blocks, 2): by block, the loss in nats and the positives that it is over.
    """
    blocks = (plan.last + plan.block_size - 1) // plan.block_size - plan.first // plan.block_size
    rounds = blocks // found.pool_ids.shape[0] + 2  # the first and the last may be short
    counters = np.zeros((rounds, _PARTS + num_threads + COUNTERS), np.int64)
    sums = np.zeros((blocks, 2))
    for thread in prange(num_threads):
        _train_share(
            weights, stream, noise, settings, schedule, plan, skip_gram, np.int64(thread),
            num_threads, counters, found, own, sums,
        )  # fmt: skip
    return sums
