"""The memory of `deterministic.py`: what the blocks of a round leave, what threads work with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.scratch import Scratch, new_scratch, scratch_bytes
from fastw2v.kernels.simd import ROW_FLOATS

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
    centres_at: Any
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
        found.centres_at[slot],
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
        own.centres_at[thread],
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
