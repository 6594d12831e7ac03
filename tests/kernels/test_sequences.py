"""Codes to sequences to bytes and back, against plain Python; damaged bytes do no harm."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastw2v.errors import UsageError
from fastw2v.kernels.sequences import (
    ESCAPE,
    count_ids,
    expand,
    expanded_size,
    gather_bytes,
    mark_plain,
    pack,
    unpack,
)
from fastw2v.store.encoder import Sequencer, TokenListEncoder, drop_unknown

FIRST_WORD = 5  # stop words 1 to 3, 4 for tokens of a length that is not wanted


# --- lines ---


def naive_cut(codes, min_length, max_length):
    """Sequences of lines that have all ended, and what is counted: line by line."""
    stats: Counter[str] = Counter()
    sequences = []
    lines = [
        list(group) for is_end, group in itertools.groupby(codes, lambda c: c == 0) if not is_end
    ]
    stats["lines"] = sum(code == 0 for code in codes)
    stats["empty_lines"] = stats["lines"] - len(lines)
    stats["tokens_read"] = sum(map(len, lines))
    for line in lines:
        words = [code - FIRST_WORD for code in line if code >= FIRST_WORD]
        stats["tokens_stopwords"] += sum(0 < code < FIRST_WORD - 1 for code in line)
        stats["tokens_too_short_or_long"] += line.count(FIRST_WORD - 1)
        if len(words) < min_length:
            stats["short_lines"] += 1
            stats["tokens_in_short_lines"] += len(words)
            continue
        step = max_length or max(1, len(words))
        stats["split_lines"] += len(words) > step
        sequences += [words[at : at + step] for at in range(0, len(words), step)]
    return sequences, +stats


def feeds(codes, cuts):
    """The stream in pieces; some are empty."""
    bounds = [0, *sorted(min(cut, len(codes)) for cut in cuts), len(codes)]
    return [np.array(codes[a:b], np.int32) for a, b in itertools.pairwise(bounds)]


CODES = st.lists(st.sampled_from([0, 0, 1, 3, 4, 5, 5, 6, 7, 300]), max_size=60)


@settings(max_examples=400, deadline=None)
@given(
    codes=CODES,
    cuts=st.lists(st.integers(0, 60), max_size=8),
    min_length=st.integers(0, 6),
    max_length=st.integers(0, 6),
)
def test_lines_are_cut_as_plain_python_does_however_they_come(codes, cuts, min_length, max_length):
    codes = [*codes, 0]
    sequencer = Sequencer(FIRST_WORD, min_length, max_length)
    found, fed = [], 0
    for piece in feeds(codes, cuts):
        ids, lengths = sequencer.feed(piece)
        assert len(ids) == lengths.sum()
        assert (lengths > 0).all()
        ends = np.cumsum(lengths)
        found += [ids[b - n : b].tolist() for b, n in zip(ends, lengths, strict=True)]
        fed += len(piece)
        line_start = max((at + 1 for at in range(fed) if codes[at] == 0), default=0)
        line = codes[line_start:fed]
        words = [code - FIRST_WORD for code in line if code >= FIRST_WORD]
        waiting = sequencer.open_ids().tolist()
        assert waiting == words[len(words) - len(waiting) :]
        if max_length:  # a line of any length needs little memory
            assert len(waiting) < max(max_length, min_length)
    sequences, stats = naive_cut(codes, min_length, max_length)
    assert found == sequences
    assert +Counter(dataclasses.asdict(sequencer.stats)) == stats


@pytest.mark.parametrize(("min_length", "max_length"), [(1, 0), (1, 7), (9, 7), (1, 1), (5000, 0)])
def test_long_lines_in_many_feeds(min_length, max_length):
    rng = np.random.default_rng(2)
    codes = np.where(rng.random(60_000) < 0.001, 0, rng.integers(1, 400, 60_000)).tolist()
    codes.append(0)
    sequencer = Sequencer(FIRST_WORD, min_length, max_length)
    found = []
    for piece in feeds(codes, np.cumsum(rng.integers(0, 900, 150)).tolist()):
        ids, lengths = sequencer.feed(piece)
        found += [part.tolist() for part in np.split(ids, np.cumsum(lengths)[:-1]) if len(part)]
    sequences, stats = naive_cut(codes, min_length, max_length)
    assert found == sequences
    assert +Counter(dataclasses.asdict(sequencer.stats)) == stats


def test_the_open_line_is_renumbered():
    sequencer = Sequencer(FIRST_WORD, 1, 3)
    ids, lengths = sequencer.feed(np.array([5, 6, 7, 8, 1, 9], np.int32))
    assert (ids.tolist(), lengths.tolist()) == ([0, 1, 2], [3])
    assert sequencer.open_ids().tolist() == [3, 4]
    sequencer.renumber([0, 1])
    ids, lengths = sequencer.feed(np.array([7, 0], np.int64))
    assert (ids.tolist(), lengths.tolist()) == ([0, 1, 2], [3])
    assert sequencer.stats.tokens_read == 7


def test_sequences_without_unknown_tokens():
    ids, lengths = drop_unknown(np.array([3, -1, -1, 4, 5]), np.array([0, 2, 3, 3, 5]))
    assert (ids.tolist(), lengths.tolist()) == ([3, 4, 5], [1, 2])
    ids, lengths = drop_unknown(np.empty(0, np.int32), np.array([0]))
    assert (ids.tolist(), lengths.tolist()) == ([], [])


def test_codes_of_given_tokens():
    codes = TokenListEncoder(["the", "a"])
    for _ in range(2):
        assert codes.codes_of_tokens(["b", "the", "é", "b", "a"]) == [4, 1, 5, 4, 2]
        assert (codes.num_words, codes.first_word) == (2, 4)
        assert codes.words().to_pylist() == ["b", "é"]
        assert codes.words_at(np.array([1, 0, 1])) == ["é", "b", "é"]
        codes.forget()
    for wrong in ("", None, 3, b"b", "\ud800"):
        with pytest.raises(UsageError):
            codes[wrong]


# --- plain chunks and expansions ---

KINDS = np.zeros(256, np.uint8)
KINDS[list(b"abz")] = 1
KINDS[list(b"'-")] = 2


def naive_is_plain(text: bytes) -> bool:
    kinds = [int(KINDS[byte]) for byte in text]
    inner = all(kind == 1 or (kind == 2 and kinds[at - 1] == 1) for at, kind in enumerate(kinds))
    return inner and kinds[0] == kinds[-1] == 1


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("abz'-.\xff", min_size=1, max_size=6).map(lambda t: t.encode("latin-1"))),
    st.integers(0, 3),
)
def test_plain_chunks_equal_plain_python(chunks, first):
    lengths = np.array([len(chunk) for chunk in chunks], np.int32)
    starts = np.cumsum([0, *lengths])[:-1]
    arena = np.frombuffer(b"".join(chunks) + bytes(8), np.uint8)
    first = min(first, len(chunks))
    plain = np.full(len(chunks) - first, 7, np.uint8)
    mark_plain(starts, lengths, arena, KINDS, first, plain)
    assert plain.tolist() == [naive_is_plain(chunk) for chunk in chunks[first:]]


@settings(max_examples=200, deadline=None)
@given(
    expansions=st.lists(
        st.integers(0, 90) | st.lists(st.integers(0, 90), max_size=4), min_size=1, max_size=8
    ),
    data=st.data(),
    room=st.integers(0, 40),
)
def test_expanded_codes_equal_plain_python(expansions, data, room):
    found = data.draw(st.lists(st.integers(-1, len(expansions) - 1), max_size=20))
    several = [parts for parts in expansions if isinstance(parts, list)]
    numbers = iter(range(1, len(several) + 1))
    codes = [-next(numbers) if isinstance(parts, list) else parts for parts in expansions]
    expected = []
    for entry in found:
        parts = expansions[entry] if entry >= 0 else 0
        expected += parts if isinstance(parts, list) else [parts]
    arrays = (
        np.array(found, np.int32),
        np.array(codes, np.int32),
        np.cumsum([0, *map(len, several)]),
    )
    guarded = np.full(room + 8, -7, np.int32)
    flat = np.array([*itertools.chain(*several), 99], np.int32)
    written = expand(*arrays, flat, guarded[:room])
    assert expanded_size(*arrays) == len(expected)
    assert written == (len(expected) if len(expected) <= room else -1)
    if written >= 0:
        assert guarded[:written].tolist() == expected
    assert (guarded[room:] == -7).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=50))
def test_counted_ids(ids):
    counts = np.ones(10, np.int64)
    count_ids(np.array(ids, np.int32), counts)
    assert counts.tolist() == [1 + ids.count(n) for n in range(10)]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40), st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9))))
def test_gathered_bytes(arena, places):
    places = [(start, min(length, len(arena) - start)) for start, length in places]
    places = [(start, length) for start, length in places if length >= 0]
    expected = b"".join(arena[start : start + length] for start, length in places)
    result = np.empty(len(expected), np.uint8)
    columns = np.array(places, np.int64).reshape(-1, 2).T
    gather_bytes(columns[0], columns[1].astype(np.int32), np.frombuffer(arena, np.uint8), result)
    assert result.tobytes() == expected


# --- packing ---

# Around the ends of one and of three numbers of 16 bits; the sequences of a spill are never empty.
EDGES = [0, 1, 2, 255, 256, ESCAPE - 3, ESCAPE - 2, ESCAPE - 1, ESCAPE, 2**17 - 2, 2**17 - 1]
SEQUENCES = st.lists(st.lists(st.sampled_from(EDGES), min_size=1, max_size=9), max_size=9)


def naive_packed(sequences) -> list[int]:
    """id + 1, and 0 at the end; what is too large as `ESCAPE` and its two halves, the low first."""
    values = itertools.chain(*([*(i + 1 for i in sequence), 0] for sequence in sequences))
    parts = ([v] if v < ESCAPE else [ESCAPE, v % 65536, v // 65536] for v in values)
    return [*itertools.chain(*parts)]


def packed_by_kernel(sequences) -> list[int]:
    ids = np.array([*itertools.chain(*sequences)], np.int32)
    lengths = np.array([len(sequence) for sequence in sequences], np.int32)
    guarded = np.full(3 * len(ids) + len(lengths) + 8, 77, np.uint16)
    size = pack(ids, lengths, guarded[:-8])
    assert (guarded[-8:] == 77).all()
    return guarded[:size].tolist()


def unpacked(packed: list[int], id_of, room_ids: int, room_lengths: int, keep_unknown=False):
    """What `unpack` gives, as lists; None where it says "damaged". It writes nowhere else."""
    ids, lengths = np.full(room_ids + 8, -7, np.int32), np.full(room_lengths + 8, -7, np.int32)
    written, sequences = unpack(
        np.array(packed, np.uint16), id_of, keep_unknown, ids[:room_ids], lengths[:room_lengths]
    )
    assert (ids[room_ids:] == -7).all()
    assert (lengths[room_lengths:] == -7).all()
    if written < 0:
        return None
    assert written <= room_ids
    assert sequences <= room_lengths
    assert lengths[:sequences].sum() == written
    assert (lengths[:sequences] > 0).all()
    bounds = np.cumsum([0, *lengths[:sequences]])
    return [ids[a:b].tolist() for a, b in itertools.pairwise(bounds)]


def test_every_edge_is_packed_as_plain_python_does():
    sequences = [[n] for n in [*EDGES, 2**31 - 2, 2**31 - 1]] + [EDGES]
    assert packed_by_kernel(sequences) == naive_packed(sequences)


@settings(max_examples=150, deadline=None)
@given(SEQUENCES, st.integers(0, 3), st.integers(0, 3))
def test_packed_sequences_come_back(sequences, more_ids, more_lengths):
    packed = packed_by_kernel(sequences)
    assert packed == naive_packed(sequences)
    room = sum(map(len, sequences)) + more_ids, len(sequences) + more_lengths
    known = np.arange(EDGES[-1] + 1, dtype=np.int32)
    assert unpacked(packed, known, *room) == sequences
    # Other ids, and some that are not wanted.
    id_of = known[::-1].copy()
    id_of[[0, 256, ESCAPE - 1]] = -1
    everything = [[int(id_of[i]) for i in s] for s in sequences]
    kept = [[i for i in s if i >= 0] for s in everything]
    assert unpacked(packed, id_of, *room) == [s for s in kept if s]
    assert unpacked(packed, id_of, *room, keep_unknown=True) == everything


def test_damaged_numbers_are_noticed_or_are_other_sequences():
    """Any bit changed, or the end cut off: what is written stays in its room, and every id is one
    of those that may be."""
    sequences = [[0, 1, 126], [ESCAPE, 128], [ESCAPE - 2, ESCAPE - 1, 70_000, 5], [200], [5]]
    packed = packed_by_kernel(sequences)
    id_of = np.arange(70_001, dtype=np.int32)
    id_of[5] = -1
    room = sum(map(len, sequences)), len(sequences)
    noticed = 0
    for place, change in itertools.product(range(len(packed)), [1 << bit for bit in range(16)]):
        damaged = [*packed[:place], packed[place] ^ change, *packed[place + 1 :]]
        found = unpacked(damaged, id_of, *room)
        noticed += found is None
        assert found is None or all(0 <= i < len(id_of) and i != 5 for s in found for i in s)
    assert noticed > len(packed)
    whole = [n for n in range(len(packed)) if unpacked(packed[:n], id_of, *room) is not None]
    assert whole == [len(naive_packed(sequences[:n])) for n in range(len(sequences))]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([0, 1, 2, 150, ESCAPE]) | st.integers(0, 65535), max_size=30),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(0, 200),
    st.booleans(),
)
def test_any_numbers_do_no_harm(packed, room_ids, room_lengths, known, keep_unknown):
    id_of = np.arange(known, dtype=np.int32)
    unpacked(packed, id_of, room_ids, room_lengths, keep_unknown)
