"""Pairs of neighboring words to count, and sequences with their phrases joined.

A *chain* is the connector words between the two words of a pair, as one number: connector k is
k + 1 in `bits` bits, the first one highest; 0 is no connector. An id of -1 is a word that no pair
may hold: it stands between its neighbors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.primitives import kernel

BEGINS, ENDS, CONNECTS = np.uint8(1), np.uint8(2), np.uint8(4)
PAIR_BITS = 32  # a pair is left_id << 32 | right_id

_MIX_1 = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xD6E8FEB86659FD93)
_U32, _U64 = np.uint64(32), np.uint64(64)
_NO_ROLE = np.uint8(0)


class Connectors(NamedTuple):
    """Connector words by id.

    connector_of: uint16 (ids,), k + 1 for connector k, 0 for other words; (0,) without connectors.
    chain_bits: bits of a connector in a chain. longest: connectors that a chain may hold.
    """

    connector_of: Any
    chain_bits: int
    longest: int


class PhraseTable(NamedTuple):
    """The phrases of one pass, P of them, to be looked up.

    roles: uint8 (ids,), BEGINS | ENDS a phrase, or CONNECTS: what may be done with an id.
    connectors: the words that CONNECTS marks.
    slots: int32 (power of 2,), hash table of phrases, -1 where free.
    pairs, chains: int64 (P,). new_ids: int32 (P,), the ids of the phrases.
    """

    roles: Any
    connectors: Connectors
    slots: Any
    pairs: Any
    chains: Any
    new_ids: Any


@kernel()
def slot_of(pair, chain, slots):
    """Where a search for (pair, chain) begins in a table whose size is a power of 2."""
    bits = (np.uint64(pair) ^ (np.uint64(chain) * _MIX_2)) * _MIX_1
    bits = (bits ^ (bits >> _U32)) * _MIX_2
    return np.int64(bits >> _U32) & (slots.shape[0] - 1)


@kernel()
def fill_pairs(ids, offsets, pairs):
    """Fill `pairs` with the pairs of neighbors; returns how many.

    Args:
        ids: int32 (n,); offsets: int64 (m + 1,), the sequences. pairs: int64 (n or more,).
    """
    filled = np.int64(0)
    for sequence in range(offsets.shape[0] - 1):
        start, end = offsets[sequence], offsets[sequence + 1]
        if start == end:
            continue
        left = np.int64(ids[start])
        for pos in range(start + 1, end):
            right = np.int64(ids[pos])
            # Written in any case: a branch here would be mispredicted for every rare word.
            pairs[filled] = (left << PAIR_BITS) | right
            filled += (left >= 0) & (right >= 0)
            left = right
    return filled


@kernel()
def fill_chained_pairs(ids, offsets, connectors, pairs, chains):
    """As `fill_pairs`, with connector words inside pairs; fills `chains`, int64, with them."""
    filled = np.int64(0)
    for sequence in range(offsets.shape[0] - 1):
        left = np.int64(-1)
        chain, chain_length = np.int64(0), 0
        for pos in range(offsets[sequence], offsets[sequence + 1]):
            word = np.int64(ids[pos])
            if word < 0:
                left = np.int64(-1)
                continue
            connector = np.int64(connectors.connector_of[word])
            if connector > 0:
                chain_length += 1
                if chain_length > connectors.longest:
                    left = np.int64(-1)
                chain = (chain << connectors.chain_bits) | connector
                continue
            if left >= 0:
                pairs[filled] = (left << PAIR_BITS) | word
                chains[filled] = chain
                filled += 1
            left = word
            chain, chain_length = np.int64(0), 0
    return filled


@kernel()
def add_up_counts(pairs, chains, counts, slots):
    """Move each different (pair, chain) to the front, with the sum of its counts; how many.

    Args:
        pairs, chains, counts: int64 (n,). slots: int32 (power of 2 above n,), all -1.
    """
    found = 0
    for row in range(pairs.shape[0]):
        pair, chain = pairs[row], chains[row]
        slot = slot_of(pair, chain, slots)
        place = slots[slot]
        while place >= 0 and (pairs[place] != pair or chains[place] != chain):
            slot = (slot + 1) & (slots.shape[0] - 1)
            place = slots[slot]
        if place >= 0:
            counts[place] += counts[row]
        else:
            slots[slot] = found
            pairs[found], chains[found], counts[found] = pair, chain, counts[row]
            found += 1
    return found


@kernel()
def fill_phrase_table(table):
    """Enter the phrases into the slots (all -1) and the roles of their first and last words."""
    for phrase in range(table.pairs.shape[0]):
        pair = table.pairs[phrase]
        slot = slot_of(pair, table.chains[phrase], table.slots)
        while table.slots[slot] >= 0:
            slot = (slot + 1) & (table.slots.shape[0] - 1)
        table.slots[slot] = phrase
        table.roles[pair >> PAIR_BITS] |= BEGINS
        table.roles[pair & ((np.int64(1) << PAIR_BITS) - 1)] |= ENDS


@kernel()
def _phrase_of(pair, chain, table):
    """The phrase of a pair with a chain, -1 where it is none."""
    slot = slot_of(pair, chain, table.slots)
    while True:
        phrase = np.int64(table.slots[slot])
        if phrase < 0 or (table.pairs[phrase] == pair and table.chains[phrase] == chain):
            return phrase
        slot = (slot + 1) & (table.slots.shape[0] - 1)


@kernel()
def join_phrases(ids, offsets, table, joined_ids, joined_lengths, joins):
    """Join phrases from left to right, no word in two of them; returns the ids that are left.

    Args:
        ids: int32 (n,); offsets: int64 (m + 1,), the sequences.
        table: the phrases.
        joined_ids: int32 (n,), gets the ids; joined_lengths: int64 (m,), their sequences.
        joins: int64 (P,), gets added how often each phrase was joined.
    """
    kept = 0
    for sequence in range(offsets.shape[0] - 1):
        before = kept
        left = np.int64(-1)
        chain, chain_length = np.int64(0), 0
        for pos in range(offsets[sequence], offsets[sequence + 1]):
            word = np.int64(ids[pos])
            role = _NO_ROLE if word < 0 else table.roles[word]
            if role & CONNECTS:
                chain_length += 1
                if chain_length > table.connectors.longest:
                    left = np.int64(-1)
                connector = np.int64(table.connectors.connector_of[word])
                chain = (chain << table.connectors.chain_bits) | connector
            else:
                if left >= 0 and role & ENDS:
                    phrase = _phrase_of((left << PAIR_BITS) | word, chain, table)
                    if phrase >= 0:
                        kept -= chain_length
                        joined_ids[kept - 1] = table.new_ids[phrase]
                        joins[phrase] += 1
                        left = np.int64(-1)
                        chain, chain_length = np.int64(0), 0
                        continue
                left = word if role & BEGINS else np.int64(-1)
                chain, chain_length = np.int64(0), 0
            joined_ids[kept] = word
            kept += 1
        joined_lengths[sequence] = kept - before
    return kept
