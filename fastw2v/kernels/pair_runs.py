"""Runs of counted pairs, sorted by pair and chain (see `phrases`): made, merged, packed into bytes.

Packed, an entry is the distance from the pair before it, the count, and the chain where a run has
chains, each in groups of 7 bits, the lowest first, with bit 8 set on all but the last group.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.phrases import PAIR_BITS
from fastw2v.kernels.primitives import kernel

MAX_BYTES = 27  # of a packed entry: three numbers below 2**63

_LOW_7, _MORE = np.int64(0x7F), np.uint8(0x80)


class PairRun(NamedTuple):
    """n counted pairs, each (pair, chain) once, sorted.

    pairs: int64 (n,). counts: int64 (n,). chains: int64 (n,), or (0,) where all are 0.
    """

    pairs: Any
    counts: Any
    chains: Any


@kernel()
def count_keys(keys, distinct, counts):
    """How often each of the sorted `keys` comes; fills `distinct` and `counts`, returns how many.

    `distinct` may be `keys` itself.
    """
    found = 0
    pos = 0
    while pos < keys.shape[0]:
        key, first = keys[pos], pos
        while pos < keys.shape[0] and keys[pos] == key:
            pos += 1
        distinct[found] = key
        counts[found] = pos - first
        found += 1
    return found


@kernel()
def unpack_keys(keys, layout, chain_of_rank, run):
    """Fill the pairs and chains of `run` (counts are there) from sorted keys; sort it by chain."""
    low_ids = (np.int64(1) << layout.id_bits) - 1
    low_ranks = (np.int64(1) << layout.rank_bits) - 1
    for entry in range(keys.shape[0]):
        key = keys[entry]
        left = key >> (layout.id_bits + layout.rank_bits)
        right = (key >> layout.rank_bits) & low_ids
        pair, chain = (left << PAIR_BITS) | right, chain_of_rank[key & low_ranks]
        count = run.counts[entry]
        # Keys of one pair are sorted by rank: move this entry before larger chains.
        place = entry
        while place > 0 and run.pairs[place - 1] == pair and run.chains[place - 1] > chain:
            run.chains[place] = run.chains[place - 1]
            run.counts[place] = run.counts[place - 1]
            place -= 1
        run.pairs[entry] = pair
        run.chains[place] = chain
        run.counts[place] = count


@kernel()
def merge_runs(a, b, merged):
    """Fill `merged` (room for both) with the sums of two runs; returns its length."""
    if a.chains.shape[0] > 0:
        return _merge_chained(a, b, merged)
    size_a, size_b = a.pairs.shape[0], b.pairs.shape[0]
    entry_a, entry_b, size = np.int64(0), np.int64(0), 0
    while entry_a < size_a and entry_b < size_b:
        pair_a, pair_b = a.pairs[entry_a], b.pairs[entry_b]
        # No branches: which run is next cannot be predicted.
        take_a, take_b = np.int64(pair_a <= pair_b), np.int64(pair_b <= pair_a)
        merged.pairs[size] = min(pair_a, pair_b)
        merged.counts[size] = take_a * a.counts[entry_a] + take_b * b.counts[entry_b]
        entry_a += take_a
        entry_b += take_b
        size += 1
    size = _append(a, entry_a, merged, size)
    return _append(b, entry_b, merged, size)


@kernel()
def _merge_chained(a, b, merged):
    entry_a, entry_b, size = np.int64(0), np.int64(0), 0
    while entry_a < a.pairs.shape[0] and entry_b < b.pairs.shape[0]:
        pair_a, pair_b = a.pairs[entry_a], b.pairs[entry_b]
        chain_a, chain_b = a.chains[entry_a], b.chains[entry_b]
        same_pair = pair_a == pair_b
        take_a = np.int64((pair_a < pair_b) | (same_pair & (chain_a <= chain_b)))
        take_b = np.int64((pair_b < pair_a) | (same_pair & (chain_b <= chain_a)))
        merged.pairs[size] = pair_a if take_a else pair_b
        merged.chains[size] = chain_a if take_a else chain_b
        merged.counts[size] = take_a * a.counts[entry_a] + take_b * b.counts[entry_b]
        entry_a += take_a
        entry_b += take_b
        size += 1
    size = _append(a, entry_a, merged, size)
    return _append(b, entry_b, merged, size)


@kernel()
def _append(run, entry, merged, size):
    """Append what is left of `run` from `entry` on; returns the new size."""
    for place in range(entry, run.pairs.shape[0]):
        merged.pairs[size] = run.pairs[place]
        merged.counts[size] = run.counts[place]
        if run.chains.shape[0] > 0:
            merged.chains[size] = run.chains[place]
        size += 1
    return size


@kernel()
def pack_entries(run, start, end, packed):
    """Pack entries into `packed` (uint8, MAX_BYTES an entry); returns the bytes used."""
    used, pair = 0, run.pairs[start]
    for entry in range(start, end):
        used = _pack_number(run.pairs[entry] - pair, packed, used)
        used = _pack_number(run.counts[entry], packed, used)
        if run.chains.shape[0] > 0:
            used = _pack_number(run.chains[entry], packed, used)
        pair = run.pairs[entry]
    return used


@kernel()
def _pack_number(number, packed, used):
    while number > _LOW_7:
        packed[used] = np.uint8(number & _LOW_7) | _MORE
        number >>= 7
        used += 1
    packed[used] = np.uint8(number)
    return used + 1


@kernel()
def unpack_entries(packed, first_pair, entries, run, start):
    """Unpack entries into `run` from `start` on; returns False where the bytes cannot be right."""
    at, pair = 0, first_pair
    for entry in range(start, start + entries):
        distance, at = _unpack_number(packed, at)
        count, at = _unpack_number(packed, at)
        chain = np.int64(0)
        if run.chains.shape[0] > 0:
            chain, at = _unpack_number(packed, at)
            run.chains[entry] = chain
        if at < 0:
            return False
        pair += distance
        run.pairs[entry] = pair
        run.counts[entry] = count
    return at == packed.shape[0]


@kernel()
def _unpack_number(packed, at):
    """(number, where the next begins), or (0, -1) where there is none."""
    number, shift = np.int64(0), 0
    while 0 <= at < packed.shape[0] and shift < 63:
        byte = np.int64(packed[at])
        number |= (byte & _LOW_7) << shift
        at += 1
        if byte <= _LOW_7:
            return number, at
        shift += 7
    return np.int64(0), -1
