"""Entries of chunks to codes, codes to sequences, sequences to bytes and back.

A *code* is an int32: 0 ends a line, below the first word's code stand what is left out (stop words,
tokens of a length that is not wanted), and a word's code less the first one's is its *local id*.
Packed sequences are numbers of 16 bits: local id + 1, and 0 behind each sequence; for a number that
does not fit, `ESCAPE` and its low and high half. Words that are met early have small ids, and are
mostly the frequent ones.
"""

from __future__ import annotations

import numpy as np

from fastw2v.kernels.primitives import kernel

ESCAPE = 0xFFFF
# What `cut_lines` counts, by place in its `stats`.
TOKENS, LINES, EMPTY_LINES, SHORT_LINES, IN_SHORT_LINES, SPLIT_LINES = range(6)
# What it knows of the line that has not ended, by place in its `open_line`.
OPEN_WORDS, HANDED_OUT, OPEN_TOKENS = range(3)


@kernel()
def mark_plain(starts, lengths, arena, own_token, first, plain):
    """plain[k] = whether entry `first` + k is a token as it stands.

    Args:
        own_token: uint8 (256,), 1 for bytes that may stand anywhere in such a token, 2 for those
            that may stand between two of the former, 0 for all others.
    """
    for k in range(plain.shape[0]):
        start = starts[first + k]
        end = start + lengths[first + k]
        every = own_token[arena[start]] == 1 and own_token[arena[end - 1]] == 1
        before = np.uint8(1)
        for position in range(start, end):
            kind = own_token[arena[position]]
            every = every and kind != 0 and (kind == 1 or before == 1)
            before = kind
        plain[k] = every


@kernel()
def expand(found, codes, offsets, expansions, result):
    """The codes of scanned entries; returns how many, or -1 if they do not fit into `result`.

    Args:
        found: int32 (n,), entries, -1 for a line end. codes: int32 (E,), the code of the one token
            of an entry, or -(k + 1) for the codes expansions[offsets[k]:offsets[k + 1]].
    """
    room = result.shape[0]
    written = 0
    for place in range(found.shape[0]):
        entry = found[place]
        code = codes[entry] if entry >= 0 else np.int32(0)
        if code >= 0:
            if written == room:
                return -1
            result[written] = code
            written += 1
        else:
            if written + offsets[-code] - offsets[-code - 1] > room:
                return -1
            for k in range(offsets[-code - 1], offsets[-code]):
                result[written] = expansions[k]
                written += 1
    return written


@kernel()
def expanded_size(found, codes, offsets):
    """How many codes `expand` writes."""
    size = 0
    for place in range(found.shape[0]):
        entry = found[place]
        code = codes[entry] if entry >= 0 else np.int32(0)
        size += 1 if code >= 0 else offsets[-code] - offsets[-code - 1]
    return size


@kernel()
def cut_lines(codes, first_word, min_length, max_length, open_line, stats, left_out, ids, lengths):
    """Cut codes into sequences; returns (words in finished ones, how many of these).

    Args:
        codes: int32 (n,). min_length, max_length: of a sequence, in words; 0 = no limit.
        open_line: int64 (3,), changed: the words of the open line, which stand at the beginning of
            `ids` (and at the end of what was written afterwards); how many words of it were handed
            out before; its tokens in all.
        stats: int64 (6,), added to. left_out: int64 (first_word,), by code, added to.
        ids: int32, room for the open line and n. lengths: int32 (n + 1 and as many as the open line
            has,).
    """
    position, line_start = open_line[OPEN_WORDS], 0
    handed_out, tokens = open_line[HANDED_OUT], open_line[OPEN_TOKENS]
    sequences = 0
    for place in range(codes.shape[0]):
        code = codes[place]
        if code >= first_word:
            ids[position] = code - first_word
            position += 1
            tokens += 1
            words = position - line_start
            if max_length > 0 and words >= max_length and handed_out + words >= min_length:
                # Sure now that the line is not a short one.
                while words >= max_length:
                    lengths[sequences] = max_length
                    sequences += 1
                    words -= max_length
                    handed_out += max_length
                line_start = position - words
        elif code > 0:
            tokens += 1
            left_out[code] += 1
        else:
            words = position - line_start
            stats[LINES] += 1
            stats[TOKENS] += tokens
            stats[EMPTY_LINES] += tokens == 0
            if handed_out + words < min_length:
                stats[SHORT_LINES] += tokens > 0
                stats[IN_SHORT_LINES] += words
                position = line_start
            else:
                stats[SPLIT_LINES] += 0 < max_length < handed_out + words
                if words > 0:
                    lengths[sequences] = words
                    sequences += 1
            line_start = position
            handed_out = tokens = 0
    open_line[OPEN_WORDS] = position - line_start
    open_line[HANDED_OUT], open_line[OPEN_TOKENS] = handed_out, tokens
    return line_start, sequences


@kernel()
def count_ids(ids, counts):
    """Add one to counts[id] for each id."""
    for place in range(ids.shape[0]):
        counts[ids[place]] += 1


@kernel()
def pack(ids, lengths, packed):
    """Write sequences as numbers of 16 bits; returns how many.

    Args:
        ids: int32 (n,), not negative. lengths: int32 (m,), their sum n.
        packed: uint16 (3n + m,).
    """
    written, place = 0, 0
    for sequence in range(lengths.shape[0]):
        for _ in range(lengths[sequence]):
            value = np.uint32(ids[place]) + np.uint32(1)
            place += 1
            if value < ESCAPE:
                packed[written] = value
                written += 1
            else:
                packed[written] = ESCAPE
                packed[written + 1] = value & np.uint32(0xFFFF)
                packed[written + 2] = value >> np.uint32(16)
                written += 3
        packed[written] = 0
        written += 1
    return written


@kernel()
def unpack(packed, id_of, keep_unknown, ids, lengths):
    """Read what `pack` wrote, as other ids; returns (ids, sequences) written, -1, -1 if damaged.

    Args:
        packed: uint16 (b,), whole sequences. id_of: int32 (L,), by local id, negative: left out;
            sequences of which nothing is left are left out, too, unless `keep_unknown`.
        ids, lengths: int32, room for what was packed.
    """
    known, size = id_of.shape[0], packed.shape[0]
    written, sequences, start = 0, 0, 0
    place = 0
    while place < size:
        value = np.int64(packed[place])
        place += 1
        if value == ESCAPE:
            if place + 2 > size:
                return -1, -1
            value = np.int64(packed[place]) | np.int64(packed[place + 1]) << 16
            place += 2
        if value == 0:
            if written > start:
                if sequences == lengths.shape[0]:
                    return -1, -1
                lengths[sequences] = written - start
                sequences += 1
            start = written
            continue
        if value > known or written == ids.shape[0]:
            return -1, -1
        found = id_of[value - 1]
        ids[written] = found
        written += keep_unknown or found >= 0
    if start != written or (size > 0 and packed[size - 1] != 0):
        return -1, -1
    return written, sequences


@kernel()
def gather_bytes(starts, lengths, arena, result):
    """The byte strings arena[starts[k]:starts[k] + lengths[k]] one after another in `result`."""
    written = 0
    for k in range(starts.shape[0]):
        for position in range(starts[k], starts[k] + lengths[k]):
            result[written] = arena[position]
            written += 1
