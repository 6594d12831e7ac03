"""A growing table of byte strings for `kernels.scanning`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fastw2v.kernels import scanning
from fastw2v.kernels.sequences import gather_bytes, mark_plain

_FIRST_ENTRIES = 1 << 14


class StringTable:
    """Numbers the different chunks of text from 0, in the order in which they are met."""

    def __init__(self) -> None:
        # Used again and again: fresh memory costs more than what is done in it.
        self._padded, self._found = np.empty(0, np.uint8), np.empty(0, np.int32)
        self._entries = scanning.Entries(
            np.zeros((2 * _FIRST_ENTRIES, 2), np.uint64),
            np.empty(_FIRST_ENTRIES, np.int64),
            np.empty(_FIRST_ENTRIES, np.int32),
            np.empty(16 * _FIRST_ENTRIES, np.uint8),
            np.zeros(2, np.int64),
        )

    def __len__(self) -> int:
        return int(self._entries.filled[0])

    @property
    def num_bytes(self) -> int:
        """The bytes of all entries, and those that were kept beside them."""
        return int(self._entries.filled[1])

    def forget(self) -> None:
        """Start again with no entry, and the room for as many."""
        self._entries.slots[:] = 0
        self._entries.filled[:] = 0

    def scan(self, text: bytes) -> np.ndarray:
        """The entries of all chunks of `text`, int32 (n,), -1 for each line end; valid until the
        next call.

        The only white space in it are spaces and line feeds, and there is no zero byte.
        """
        size = len(text)
        if size >= len(self._found):
            self._padded = np.empty(size + scanning.WORD, np.uint8)
            self._found = np.empty(size + 1, np.int32)
        padded, found = self._padded, self._found
        padded[:size] = np.frombuffer(text, np.uint8)
        padded[size : size + scanning.WORD] = ord(" ")
        written = position = 0
        while position < size:
            more, position = scanning.scan_block(
                padded, position, size, self._entries, found[written:]
            )
            written += more
            if position < size:
                self._grow(size - position)
        return found[:written]

    def intern(self, words: pa.LargeStringArray) -> np.ndarray:
        """The entries of byte strings of any kind, int32 (n,); new ones get the next numbers."""
        return self._looked_up(words, add=True)

    def find(self, words: pa.LargeStringArray) -> np.ndarray:
        """The entries of byte strings of any kind, int32 (n,), -1 for those that have none."""
        return self._looked_up(words, add=False)

    def _looked_up(self, words: pa.LargeStringArray, *, add: bool) -> np.ndarray:
        starts, text = string_offsets(words)
        found = np.empty(len(words), np.int32)
        position = 0
        while position < len(words):
            position = scanning.look_up(starts, text, position, self._entries, add, found)
            if position < len(words):
                self._grow(int(starts[-1] - starts[position]))
        return found

    def _grow(self, text_left: int) -> None:
        """Make room for twice the entries, and bytes for what is left of the text."""
        slots, starts, lengths, arena, filled = self._entries
        entries, used = int(filled[0]), int(filled[1])
        if entries == len(starts):
            starts = np.concatenate([starts, np.empty_like(starts)])
            lengths = np.concatenate([lengths, np.empty_like(lengths)])
            larger = np.zeros((2 * len(slots), 2), np.uint64)
            scanning.move_slots(slots, larger, starts, lengths, arena)
            slots = larger
        if used + text_left + scanning.WORD > len(arena):
            more = max(len(arena), text_left + scanning.WORD)
            arena = np.concatenate([arena, np.empty(more, np.uint8)])
        self._entries = scanning.Entries(slots, starts, lengths, arena, filled)

    def places(self, first: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the bytes of the entries from `first` on begin, int64 (n,), and their lengths."""
        return self._entries.starts[first : len(self)], self._entries.lengths[first : len(self)]

    def plain(self, first: int, own_token: np.ndarray) -> np.ndarray:
        """bool (n,): whether entries from `first` on are tokens as they stand (`mark_plain`)."""
        marks = np.empty(len(self) - first, np.uint8)
        entries = self._entries
        mark_plain(entries.starts, entries.lengths, entries.arena, own_token, first, marks)
        return marks.view(bool)

    def bytes_of(self, entry: int) -> bytes:
        """The bytes of one entry."""
        start = int(self._entries.starts[entry])
        return self._entries.arena[start : start + int(self._entries.lengths[entry])].tobytes()

    def keep_bytes(self, text: bytes) -> int:
        """Store bytes that are not an entry after those of the entries; returns their offset."""
        used = int(self._entries.filled[1])
        if used + len(text) + scanning.WORD > len(self._entries.arena):
            self._grow(len(text))
        self._entries.arena[used : used + len(text)] = np.frombuffer(text, np.uint8)
        self._entries.filled[1] = used + len(text)
        return used

    def strings(self) -> pa.LargeStringArray:
        """All entries, where they are UTF-8."""
        return self.strings_at(*self.places(0))

    def strings_at(self, starts: np.ndarray, lengths: np.ndarray) -> pa.LargeStringArray:
        """The strings of these places in the arena."""
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        text = self._gathered(starts, lengths)
        return pa.LargeStringArray.from_buffers(
            len(starts), pa.py_buffer(offsets), pa.py_buffer(text)
        )

    def _gathered(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Byte strings one after another, uint8 (sum of lengths,)."""
        result = np.empty(int(lengths.sum()), np.uint8)
        gather_bytes(starts, lengths, self._entries.arena, result)
        return result


def string_offsets(words: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """Where strings begin, int64 (n + 1,), the last one's end included, and the bytes they are in,
    which end some bytes later than the strings do."""
    _, offsets, text = words.buffers()
    if not len(words):
        return np.zeros(1, np.int64), np.zeros(scanning.WORD, np.uint8)
    starts = np.frombuffer(offsets, np.int64)[words.offset : words.offset + len(words) + 1]
    first, end = int(starts[0]), int(starts[-1])
    padded = np.zeros(end - first + scanning.WORD, np.uint8)
    if end > first:
        padded[: end - first] = np.frombuffer(text, np.uint8)[first:end]
    return starts - first, padded
