"""Text to entries of a table: a hash table of byte strings, filled while a block is scanned.

A *chunk* is what stands between separators. Every different chunk has one *entry*, numbered in the
order in which they were met. Equal hashes are confirmed by bytes: two chunks are never one.

Bytes are looked at eight at a time, as little-endian words: the end of a chunk is the first space
or line feed in a word, and the first eight bytes of a chunk (its *head*) stand in the slot itself,
so that a short word, which most are, is found and confirmed with one access to memory.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastw2v.kernels.llvm.memory import load_word, prefetch_element, trailing_zeros
from fastw2v.kernels.primitives import kernel, mix

WORD = 8  # bytes
LINE_END_ENTRY = -1
_AT_ONCE = 32  # chunks that are cut before they are looked up

_SPACES = np.uint64(0x2020202020202020)
_LINE_FEEDS = np.uint64(0x0A0A0A0A0A0A0A0A)
_ONES = np.uint64(0x0101010101010101)
_HIGHS = np.uint64(0x8080808080808080)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_CHAIN = np.uint64(0xD6E8FEB86659FD93)  # odd; times the hash so far, before the next word
_U1, _U3, _U8, _U32, _U64 = (np.uint64(n) for n in (1, 3, 8, 32, 64))
_LONG = np.uint64(1 << 31)  # in a slot: the head does not tell all of the string
_ENTRY = np.uint64((1 << 31) - 1)


class Entries(NamedTuple):
    """The arrays of a table of byte strings.

    slots: uint64 (S, 2), S a power of two: the head of an entry (zeros behind its last byte), and
        the high half of its hash | whether the head does not tell all of it | entry + 1, which is 0
        for an empty slot; open addressing with linear probing.
    starts: int64 (E,), where the bytes of an entry begin in `arena`. lengths: int32 (E,).
    arena: uint8 (A,), the bytes of all entries one after another.
    filled: int64 (2,), the entries and the bytes of the arena that are in use.
    """

    slots: Any
    starts: Any
    lengths: Any
    arena: Any
    filled: Any


@kernel()
def bytes_to_end(word):
    """How many bytes of `word` come before its first space or line feed; 8 for none."""
    spaces = word ^ _SPACES
    line_feeds = word ^ _LINE_FEEDS
    # The lowest flag is right: only a zero byte below it can set a false one.
    flags = (((spaces - _ONES) & ~spaces) | ((line_feeds - _ONES) & ~line_feeds)) & _HIGHS
    return np.int64(trailing_zeros(flags) >> _U3)


@kernel()
def low_bytes(word, count):
    """The first `count` (1 to 8) bytes of a word, zeros behind them."""
    return word & (_ALL >> (_U64 - _U8 * np.uint64(count)))


@kernel()
def hash_rest(state, text, position, end):
    """Take the bytes from `position` to `end` into a hash."""
    while position < end:
        word = low_bytes(load_word(text, position), min(8, end - position))
        state = mix(state * _CHAIN + word)
        position += 8
    return state


@kernel()
def hash_string(text, start, end):
    """The head and the hash of text[start:end]."""
    if end == start:
        return np.uint64(0), np.uint64(0)
    head = low_bytes(load_word(text, start), min(8, end - start))
    return head, hash_rest(mix(head), text, start + 8, end)


@kernel()
def same_rest(text, start, end, arena, position):
    """Whether text[start:end] and as many bytes of `arena` from `position` are equal."""
    while start < end:
        count = min(8, end - start)
        if low_bytes(load_word(text, start) ^ load_word(arena, position), count) != 0:
            return False
        start += 8
        position += 8
    return True


@kernel()
def find_slot(slots, starts, lengths, arena, text, start, end, head, hashed, long):
    """The slot of text[start:end]: the one where it is, or the empty one where it would be.

    `long` (`_LONG` or 0) says whether its head does not tell all of it.
    """
    mask = np.uint64(slots.shape[0] - 1)
    place = hashed & mask
    length = end - start
    while True:
        about = slots[place, 1]
        if about == 0:
            return place
        if slots[place, 0] == head and about & _LONG == long:
            if long == 0:
                return place
            if (about ^ hashed) >> _U32 == 0:
                entry = np.int64(about & _ENTRY) - 1
                if lengths[entry] == length and same_rest(
                    text, start + 8, end, arena, starts[entry] + 8
                ):
                    return place
        place = (place + _U1) & mask


@kernel()
def scan_block(text, start, size, entries, found):
    """Write the entry of each chunk of text[start:size] to `found`; new chunks become entries.

    Chunks are cut some at a time, and their slots asked for, before the first of them is looked up:
    so the memory for one comes while others are cut.

    Args:
        text: uint8 (size + 8 or more,), whose only white space is spaces and line feeds, without
            zero bytes; a space at `size`. start: where to begin, at a boundary of chunks.
        entries: `Entries`, changed.
        found: int32 (size + 1 or more,), gets entries, and `LINE_END_ENTRY` for each line feed.

    Returns:
        (how many were written, where it stopped): `size`, or before a chunk for which there is no
        room in `entries`.
    """
    # Taken out of the tuple once: each access counts a reference, which costs more than a word.
    slots, starts, lengths, arena = entries.slots, entries.starts, entries.lengths, entries.arena
    num_entries, used = entries.filled[0], entries.filled[1]
    max_entries = min(starts.shape[0], slots.shape[0] // 2)
    room = arena.shape[0] - 8
    mask = np.uint64(slots.shape[0] - 1)
    first_bytes = np.empty(_AT_ONCE, np.int64)
    end_bytes = np.empty(_AT_ONCE, np.int64)
    heads = np.empty(_AT_ONCE, np.uint64)
    hashes = np.empty(_AT_ONCE, np.uint64)
    places = np.empty(_AT_ONCE, np.int64)
    written = 0
    position = start
    while position < size:
        cut = 0
        writes = written
        while position < size and cut < _AT_ONCE:
            word = load_word(text, position)
            length = bytes_to_end(word)
            if length == 0:
                if text[position] == 10:
                    found[writes] = LINE_END_ENTRY
                    writes += 1
                position += 1
                continue
            head = low_bytes(word, length)
            state = mix(head)
            end = position + length
            if length == 8:
                more = bytes_to_end(load_word(text, end))
                while more == 8:
                    end += 8
                    more = bytes_to_end(load_word(text, end))
                end += more
                state = hash_rest(state, text, position + 8, end)
            prefetch_element(slots, np.int64(state & mask) << 1)
            first_bytes[cut] = position
            end_bytes[cut] = end
            heads[cut] = head
            hashes[cut] = state
            places[cut] = writes
            writes += 1
            cut += 1
            position = end
        for k in range(cut):
            first, end, head, state = first_bytes[k], end_bytes[k], heads[k], hashes[k]
            long = _LONG if end > first + 8 else np.uint64(0)
            place = find_slot(slots, starts, lengths, arena, text, first, end, head, state, long)
            about = slots[place, 1]
            if about == 0:
                if num_entries == max_entries or used + end - first > room:
                    entries.filled[0], entries.filled[1] = num_entries, used
                    return places[k], first
                for offset in range(end - first):
                    arena[used + offset] = text[first + offset]
                starts[num_entries] = used
                lengths[num_entries] = end - first
                used += end - first
                num_entries += 1
                about = ((state >> _U32) << _U32) | long | np.uint64(num_entries)
                slots[place, 0] = head
                slots[place, 1] = about
            found[places[k]] = np.int64(about & _ENTRY) - 1
        written = writes
    entries.filled[0], entries.filled[1] = num_entries, used
    return written, position


@kernel()
def look_up(bounds, text, position, entries, add, found):
    """The entries of strings from `position` on, -1 for unknown ones unless they are to be added.

    Args:
        bounds: int64 (n + 1,), where strings begin in `text`, and the end of the last.
        text: uint8, at least 8 bytes longer than the strings. found: int32 (n,).

    Returns:
        Where it stopped: n, or at a string for which there is no room in `entries`.
    """
    slots, starts, lengths, arena = entries.slots, entries.starts, entries.lengths, entries.arena
    num_entries, used = entries.filled[0], entries.filled[1]
    max_entries = min(starts.shape[0], slots.shape[0] // 2)
    room = arena.shape[0] - 8
    mask = np.uint64(slots.shape[0] - 1)
    heads = np.empty(_AT_ONCE, np.uint64)
    hashes = np.empty(_AT_ONCE, np.uint64)
    batch = batch_end = position  # of strings that are hashed, and their slots asked for
    while position < found.shape[0]:
        if position == batch_end:
            batch, batch_end = batch_end, min(batch_end + _AT_ONCE, found.shape[0])
            for k in range(batch_end - batch):
                head, state = hash_string(text, bounds[batch + k], bounds[batch + k + 1])
                heads[k] = head
                hashes[k] = state
                prefetch_element(slots, np.int64(state & mask) << 1)
        start, end = bounds[position], bounds[position + 1]
        head, state = heads[position - batch], hashes[position - batch]
        # Zero bytes at the end look like what is behind the end in a head.
        told = end - start <= 8 and (end == start or text[end - 1] != 0)
        long = np.uint64(0) if told else _LONG
        place = find_slot(slots, starts, lengths, arena, text, start, end, head, state, long)
        about = slots[place, 1]
        if about != 0:
            found[position] = np.int64(about & _ENTRY) - 1
        elif not add:
            found[position] = -1
        else:
            if num_entries == max_entries or used + end - start > room:
                break
            for offset in range(end - start):
                arena[used + offset] = text[start + offset]
            starts[num_entries] = used
            lengths[num_entries] = end - start
            used += end - start
            num_entries += 1
            slots[place, 0] = head
            slots[place, 1] = ((state >> _U32) << _U32) | long | np.uint64(num_entries)
            found[position] = num_entries - 1
        position += 1
    entries.filled[0], entries.filled[1] = num_entries, used
    return position


@kernel()
def move_slots(slots, larger, starts, lengths, arena):
    """Fill the empty slots of `larger` with what is in `slots`; the entries keep their numbers."""
    mask = np.uint64(larger.shape[0] - 1)
    for old in range(slots.shape[0]):
        about = slots[old, 1]
        if about == 0:
            continue
        head = slots[old, 0]
        state = mix(head)
        if about & _LONG != 0:
            entry = np.int64(about & _ENTRY) - 1
            end = starts[entry] + lengths[entry]
            state = hash_rest(state, arena, starts[entry] + 8, end)
        place = state & mask
        while larger[place, 1] != 0:
            place = (place + _U1) & mask
        larger[place, 0] = head
        larger[place, 1] = about


@kernel()
def hash_partitions(starts, text, count, partitions):
    """Which of `count` ranges of hashes each byte string belongs to.

    Args:
        starts: int64 (n + 1,), where the strings begin in `text`, and the last one's end.
        text: uint8, 8 bytes longer than the strings. partitions: int64 (n,), gets 0 .. count - 1.
    """
    for k in range(partitions.shape[0]):
        _, state = hash_string(text, starts[k], starts[k + 1])
        partitions[k] = np.int64(((mix(state) >> _U32) * np.uint64(count)) >> _U32)
