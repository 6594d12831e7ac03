"""Codes of tokens, and from codes to sequences.

A *code* is an int32: 0 ends a line, 1..S are the S stop words, S + 1 stands for any token that is
left out because of its length, everything above is a word; word code - (S + 2) is its *local id*,
the order in which the words were met. Local ids become vocabulary ids when all counts are known.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
import pyarrow as pa

from fastw2v.errors import UsageError
from fastw2v.kernels import sequences as kernels

_LINE_END_TOKEN = object()  # nothing that a caller gives is equal to it
_LEFT_OUT_TOKEN = object()


class TokenCodes(dict[Hashable, int]):
    """Token -> code; a token not met before gets the next code.

    Attributes:
        first_word: the code of the local id 0.
    """

    def __init__(self, stopwords: Sequence[str]) -> None:
        super().__init__()
        self._stopwords = tuple(stopwords)
        self.first_word = len(self._stopwords) + 2
        self.forget()

    def forget(self) -> None:
        """Start counting local ids from 0 again."""
        self.clear()
        super().__setitem__(_LINE_END_TOKEN, 0)
        self.update(zip(self._stopwords, itertools.count(1)))
        super().__setitem__(_LEFT_OUT_TOKEN, self.first_word - 1)

    def __missing__(self, token: Hashable) -> int:
        if not isinstance(token, str) or not token:
            raise UsageError(f"tokens must be strings that are not empty, found {token!r}")
        if not token.isascii() and token.encode("utf-8", "replace").decode("utf-8") != token:
            raise UsageError(f"{token!r}: lone surrogates cannot be stored; decode the text anew")
        code = self[token] = len(self)
        return code

    @property
    def num_words(self) -> int:
        """How many words have a local id."""
        return len(self) - self.first_word

    def is_full(self, most: int) -> bool:
        """Whether there are more than `most` words."""
        return self.num_words > most

    def words(self) -> pa.LargeStringArray:
        """The words in the order of their local ids."""
        return pa.array(itertools.islice(self, self.first_word, None), pa.large_string())

    def words_at(self, local_ids: np.ndarray) -> list[str]:
        """The words of these local ids."""
        words: list[str] = self.words().take(pa.array(local_ids)).to_pylist()
        return words

    def codes_of_tokens(self, tokens: Sequence[str]) -> list[int]:
        """The codes of tokens; those that have none get one."""
        return [self[token] for token in tokens]


class Sequencer:
    """Cuts a stream of codes into sequences: stop words out, short lines out, long lines split.

    Args:
        first_word: the code of the local id 0.
        min_length, max_length: of a sequence, in words; 0 = no limit.

    Attributes:
        stats: what it counted (lines, tokens), by the names of `PreprocessReport`.
    """

    def __init__(self, first_word: int, min_length: int, max_length: int) -> None:
        self._first_word = first_word
        self._min_length, self._max_length = min_length, max_length
        self.stats: Counter[str] = Counter()
        self._open = np.empty(0, np.int32)  # words of the line that has not ended
        self._open_line = np.zeros(3, np.int64)
        # Used again and again: fresh memory costs more than what is done in it.
        self._ids = self._lengths = np.empty(0, np.int32)

    def feed(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take codes int (n,); give finished sequences: local ids int32 (k,), and their lengths
        int32 (m,) > 0, sum k; both valid until the next call.

        Words of a line that has not ended are kept for the next call.
        """
        carried = len(self._open)
        if carried + len(codes) >= len(self._ids):
            room = 2 * (carried + len(codes)) + 1
            self._ids, self._lengths = np.empty(room, np.int32), np.empty(room, np.int32)
        ids, lengths = self._ids, self._lengths
        ids[:carried] = self._open
        stats = np.zeros(6, np.int64)
        left_out = np.zeros(self._first_word, np.int64)
        finished, sequences = kernels.cut_lines(
            codes.astype(np.int32, copy=False),
            self._first_word,
            self._min_length,
            self._max_length,
            self._open_line,
            stats,
            left_out,
            ids,
            lengths,
        )
        self._open = ids[finished : finished + int(self._open_line[kernels.OPEN_WORDS])].copy()
        self._add_stats(stats.tolist(), left_out)
        return ids[:finished], lengths[:sequences]

    def _add_stats(self, counted: list[int], left_out: np.ndarray) -> None:
        stats = self.stats
        stats["tokens_read"] += counted[kernels.TOKENS]
        stats["tokens_stopwords"] += int(left_out[1:-1].sum())
        stats["tokens_too_short_or_long"] += int(left_out[-1])
        stats["lines"] += counted[kernels.LINES]
        stats["empty_lines"] += counted[kernels.EMPTY_LINES]
        stats["short_lines"] += counted[kernels.SHORT_LINES]
        stats["tokens_in_short_lines"] += counted[kernels.IN_SHORT_LINES]
        stats["split_lines"] += counted[kernels.SPLIT_LINES]

    def open_ids(self) -> np.ndarray:
        """Local ids of the open line that were not handed out yet."""
        return self._open

    def renumber(self, new_ids: Sequence[int]) -> None:
        """Replace the ids of the open line (see `open_ids`) by those given, one for one."""
        self._open = np.array(new_ids, np.int32)


def drop_unknown(ids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sequences without their unknown tokens: the ids that are left, and lengths int64 (m,) > 0.

    Args:
        ids: int (n,), -1 for an unknown token; offsets: int64 (k + 1,), the sequences.
    """
    kept = ids >= 0
    kept_before = np.concatenate([[0], np.cumsum(kept)])
    lengths = np.diff(kept_before[offsets])
    return ids[kept], lengths[lengths > 0]
