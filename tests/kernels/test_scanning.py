"""The table of chunks against plain Python: every string is found, and no two are ever one."""

from __future__ import annotations

import random
import re
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.errors import TypingError

from fastw2v.kernels import scanning
from fastw2v.kernels.llvm.memory import load_word, prefetch_element, trailing_zeros
from fastw2v.kernels.primitives import kernel
from fastw2v.store import string_table as chunk_table
from fastw2v.store.string_table import StringTable, string_offsets

LOW_64 = (1 << 64) - 1
MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93

# Chunks around the length of one and of two words of eight bytes; bytes beside space and line feed,
# with and without their high bit; equal heads; one prefix of another.
CHUNKS = [
    b"a", b"b", b"ab", b"\x01", b"\xff", b"\x1f!", b"\x21\x1f", b"\x09\x0b", b"\xa0\x8a", b"\xa0",
    b"abcdefg", b"abcdefgh", b"abcdefgi", b"abcdefghi", b"abcdefghj", b"\xff" * 7, b"\xff" * 8,
    b"\xff" * 9, b"abcdefghABCDEFG", b"abcdefghABCDEFGH", b"abcdefghABCDEFGHI", b"x" * 15,
    b"x" * 16, b"x" * 17, b"x" * 24, b"x" * 1000, b"x" * 999 + b"y", "café".encode(),
]  # fmt: skip

ANY_CHUNK = st.binary(min_size=1, max_size=20).map(lambda text: re.sub(rb"[\0 \n]", b"_", text))
TEXTS = st.lists(
    st.sampled_from([b" ", b"\n"]) | st.sampled_from(CHUNKS) | ANY_CHUNK, max_size=60
).map(b"".join)


@pytest.fixture(params=[1, 1 << 14], ids=["grows", "roomy"])
def first_entries(request, monkeypatch):
    """A table of one entry, 16 bytes and two slots has to grow all the time."""
    monkeypatch.setattr(chunk_table, "_FIRST_ENTRIES", request.param)


# --- plain twins ---


def mixed(state: int) -> int:
    state = ((state ^ (state >> 32)) * MIX_1) & LOW_64
    return state ^ (state >> 31)


def words_of(text: bytes) -> list[int]:
    """A byte string as little-endian words of eight bytes, zeros behind its end; at least one."""
    starts = range(0, max(1, len(text)), 8)
    return [int.from_bytes(text[at : at + 8].ljust(8, b"\0"), "little") for at in starts]


def hash_string(text: bytes) -> int:
    head, *rest = words_of(text)
    state = mixed(head)
    for word in rest:
        state = mixed((state * MIX_2 + word) & LOW_64)
    return state


class Numbers:
    """Byte strings -> the order in which they were met."""

    def __init__(self) -> None:
        self.number_of: dict[bytes, int] = {}

    def intern(self, strings):
        return [self.number_of.setdefault(text, len(self.number_of)) for text in strings]

    def scan(self, text):
        found = re.findall(rb"\n|[^ \n]+", text)
        return [-1 if chunk == b"\n" else self.intern([chunk])[0] for chunk in found]


def assert_same(table: StringTable, numbers: Numbers) -> None:
    """All that a table says of its entries is what plain Python knows of them."""
    strings = list(numbers.number_of)
    assert len(table) == len(strings)
    assert [table.bytes_of(entry) for entry in range(len(table))] == strings
    assert table.places(0)[1].tolist() == [len(text) for text in strings]
    assert table.find(binary(strings)).tolist() == list(range(len(strings)))


def binary(strings) -> pa.LargeBinaryArray:
    return pa.array(strings, pa.large_binary())


# --- scanning ---


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_scanned_entries_equal_plain_python(texts):
    for first in (1, 1 << 14):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunk_table, "_FIRST_ENTRIES", first)
            table, numbers = StringTable(), Numbers()
            for text in texts:  # shorter ones find what the longer ones left in the buffers
                assert table.scan(text).tolist() == numbers.scan(text)
            assert_same(table, numbers)


@pytest.mark.parametrize("length", [1, 6, 7, 8, 9, 14, 15, 16, 17, 23, 24, 25, 31, 32, 33])
def test_chunks_of_every_length_at_every_place(length):
    """The end of a chunk is found in any byte of any word, the end of the text included."""
    chunk = bytes(range(0x41, 0x41 + length))
    for before in range(9):
        for end in (b"", b" ", b"\n", b" z", b"\nz"):
            table, numbers = StringTable(), Numbers()
            text = b" " * before + chunk + end
            assert table.scan(text).tolist() == numbers.scan(text)
            assert_same(table, numbers)


def test_many_chunks_grow_every_array(first_entries):
    table, numbers = StringTable(), Numbers()
    rng = random.Random(5)
    for _ in range(4):
        chunks = [b"%d" % rng.randrange(10 ** rng.randint(1, 12)) for _ in range(9000)]
        text = b" ".join(chunks) + b"\n"
        assert table.scan(text).tolist() == numbers.scan(text)
    assert len(numbers.number_of) > 1 << 14  # so that the roomy table grows, too
    assert_same(table, numbers)
    assert table.strings().to_pylist() == [text.decode() for text in numbers.number_of]


def test_a_chunk_larger_than_all_that_was_met(first_entries):
    table, numbers = StringTable(), Numbers()
    for text in (b"a b", b"x" * 700_000, b"x" * 699_999 + b"y z", b"y" * 700_000, b"b a"):
        assert table.scan(text).tolist() == numbers.scan(text)
    assert_same(table, numbers)


def test_forgotten_entries_are_not_found():
    table = StringTable()
    table.scan(b"one two\nlong-chunk-of-many-bytes")
    table.forget()
    assert len(table) == 0
    assert table.find(binary([b"one", b"long-chunk-of-many-bytes"])).tolist() == [-1, -1]
    assert table.scan(b"two one").tolist() == [0, 1]


# --- any byte strings ---

# Zero bytes at the end look like the end in a word of eight bytes.
ANY_STRINGS = st.lists(
    st.binary(max_size=26)
    | st.builds(
        lambda text, zeros: text + bytes(zeros),
        st.sampled_from([b"", b"a", b"abcdefg", b"abcdefgh", b"abcdefghABCDEFG"]),
        st.integers(0, 10),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(known=ANY_STRINGS, others=ANY_STRINGS, dropped=st.integers(0, 3))
def test_any_byte_strings_are_found_again(known, others, dropped):
    for first in (1, 1 << 14):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunk_table, "_FIRST_ENTRIES", first)
            table, numbers = StringTable(), Numbers()
            # Slices: Arrow's arrays need not begin where their buffers do.
            assert table.intern(binary(known)[dropped:]).tolist() == numbers.intern(known[dropped:])
            expected = [numbers.number_of.get(text, -1) for text in others]
            assert table.find(binary(others)).tolist() == expected
            assert_same(table, numbers)
            assert table.intern(binary(known + others)).tolist() == numbers.intern(known + others)
            assert_same(table, numbers)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, strings=ANY_STRINGS)
def test_scanned_and_interned_strings_share_their_entries(text, strings):
    table, numbers = StringTable(), Numbers()
    assert table.scan(text).tolist() == numbers.scan(text)
    strings = re.findall(rb"[^ \n]+", text) + strings
    assert table.intern(binary(strings)).tolist() == numbers.intern(strings)
    assert table.scan(text).tolist() == numbers.scan(text)
    assert_same(table, numbers)


def test_kept_bytes_are_no_entries_and_stay(first_entries):
    table, numbers = StringTable(), Numbers()
    kept = [b"kept", b"", b"long " * 9, b"kept"]
    places = []
    for number, text in enumerate(kept):
        table.scan(b"chunk%d" % number)
        numbers.intern([b"chunk%d" % number])
        places.append(table.keep_bytes(text))
    assert table.find(binary([b"kept"])).tolist() == [-1]
    assert_same(table, numbers)
    lengths = np.array([len(text) for text in kept], np.int32)
    strings = table.strings_at(np.array(places, np.int64), lengths)
    assert strings.to_pylist() == [text.decode() for text in kept]


@pytest.mark.parametrize("strings", [[], [""], ["", ""], ["", "é", "", "abc"]])
@pytest.mark.parametrize("dropped", [0, 1])
def test_places_of_strings(strings, dropped):
    starts, text = string_offsets(pa.array(strings, pa.large_string())[dropped:])
    pairs = zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
    found = [text[start:end].tobytes().decode() for start, end in pairs]
    assert found == strings[dropped:]
    assert len(text) >= starts[-1] + scanning.WORD


# --- equal hashes ---


def is_chunk(word: int) -> bool:
    """Whether the bytes of a word may all stand in one chunk."""
    return not any(byte in b"\0 \n" for byte in word.to_bytes(8, "little"))


def random_word(rng: random.Random) -> int:
    return int.from_bytes(bytes(rng.randrange(0x21, 0x100) for _ in range(8)), "little")


def joined(*words: int) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words)


def equal_hashes(rng: random.Random, kind: str) -> tuple[bytes, bytes]:
    """Two chunks with the same 64 bits of hash: the last word makes up for the ones before it."""
    while True:
        head, first, second = (random_word(rng) for _ in range(3))
        other = random_word(rng)
        if kind == "other heads":
            one, start = (head, first), [other]
        elif kind == "same head, other length":
            one, start = (head, first), [head, other]
        else:  # nothing but the rest of the bytes tells them apart
            one, start = (head, first, second), [head, other]
        before = hash_string(joined(*one[:-1]))
        last = ((before - hash_string(joined(*start))) * MIX_2 + one[-1]) & LOW_64
        if is_chunk(last):
            return joined(*one), joined(*start, last)


KINDS = ["other heads", "same head, other length", "same head, same length"]


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_with_equal_hashes_are_two(first_entries, kind):
    rng = random.Random(7)
    for _ in range(20):
        one, two = equal_hashes(rng, kind)
        assert one != two
        assert hash_string(one) == hash_string(two)
        assert (one[:8] == two[:8]) == (kind != "other heads")
        table, numbers = StringTable(), Numbers()
        assert table.scan(one).tolist() == numbers.scan(one)
        assert table.find(binary([two])).tolist() == [-1]
        text = two + b" some more " + one + b" words to make it grow " + two
        assert table.scan(text).tolist() == numbers.scan(text)
        assert table.intern(binary([two, one, one + b"\0"])).tolist() == numbers.intern(
            [two, one, one + b"\0"]
        )
        assert_same(table, numbers)


def test_strings_that_fall_into_the_same_slot(first_entries):
    """Equal low bits of the hash: long runs of slots, which wrap around at the table's end."""
    rng = random.Random(8)
    slots = 1 << 15
    runs: dict[int, list[bytes]] = {slots - 1: [], slots - 2: [], 0: []}
    while min(map(len, runs.values())) < 6:
        text = b"%x" % rng.getrandbits(64)
        run = runs.get(hash_string(text) % slots)
        if run is not None and len(run) < 40:
            run.append(text)
    strings = [text for run in runs.values() for text in run]
    rng.shuffle(strings)
    table, numbers = StringTable(), Numbers()
    text = b" ".join(strings) + b"\n" + b" ".join(reversed(strings))
    assert table.scan(text).tolist() == numbers.scan(text)
    assert_same(table, numbers)


# --- hashes ---


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 9))
def test_the_hash_is_its_plain_twin(text, before):
    padded = np.frombuffer(b"\xff" * before + text + b"\xff" * 8, np.uint8)
    head, state = scanning.hash_string(padded, before, before + len(text))
    assert int(state) == hash_string(text)
    assert int(head) == words_of(text)[0]


# Written down once: unfinished stores of one version are finished by another.
GOLDEN = {
    b"": 0, b"a": 38, b"the": 56, b"don't": 23, b"abcdefgh": 3, b"abcdefghi": 6,
    "café".encode(): 21, b"x" * 100: 2,
}  # fmt: skip


def partitions_of(strings, count):
    starts, text = string_offsets(binary(strings))
    partitions = np.full(len(strings), -1, np.int64)
    scanning.hash_partitions(starts, text, count, partitions)
    return partitions.tolist()


def test_partitions_never_change():
    assert partitions_of(list(GOLDEN), 64) == list(GOLDEN.values())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=20), st.integers(1, 1 << 20))
def test_partitions_are_in_range_and_depend_on_the_string_alone(strings, count):
    found = partitions_of(strings, count)
    assert found == [((mixed(hash_string(text)) >> 32) * count) >> 32 for text in strings]
    assert all(0 <= partition < count for partition in found)


def test_partitions_are_about_equal():
    sizes = np.bincount(partitions_of([b"word%d" % n for n in range(64_000)], 64), minlength=64)
    assert 800 < sizes.min() <= sizes.max() < 1200  # 1,000 each, six standard deviations around


@pytest.mark.skipif(sys.byteorder != "little", reason="words are little-endian")
@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=8, max_size=8))
def test_the_first_separator_of_a_word(text):
    for word in (text, text.replace(b"\0", b" "), text.replace(b"\xff", b"\n")):
        found = re.search(rb"[ \n]", word)
        expected = found.start() if found else 8
        assert scanning.bytes_to_end(np.uint64(words_of(word)[0])) == expected


# --- the instructions check the types of their arrays ---


@kernel()
def _load(values, position):
    return load_word(values, position)


@kernel()
def _prefetch(values, element):
    prefetch_element(values, element)


@kernel()
def _zeros(value):
    return trailing_zeros(value)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (_load, (np.zeros(16, np.int32), 0)),
        (_load, (np.zeros(32, np.uint8)[::2], 0)),
        (_load, (np.zeros((2, 8), np.uint8), 0)),
        (_prefetch, (np.zeros((4, 2), np.int32), 0)),
        (_prefetch, (np.zeros((4, 4), np.uint64)[:, ::2], 0)),
        (_prefetch, (np.zeros(4, np.uint64), 0)),
        (_zeros, (1.5,)),
        (_zeros, (np.int64(1),)),
    ],
)
def test_arrays_that_would_be_misread_do_not_compile(function, arguments):
    with pytest.raises(TypingError, match="expected a"):
        function(*arguments)


def test_a_word_is_little_endian_and_has_trailing_zeros():
    text = np.arange(12, dtype=np.uint8)
    assert _load(text, 3) == int.from_bytes(bytes(range(3, 11)), "little")
    assert [_zeros(np.uint64(value)) for value in (0, 1, 8, 1 << 63)] == [64, 0, 3, 63]
