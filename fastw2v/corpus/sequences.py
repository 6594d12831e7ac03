"""From chunks to codes, and from codes to sequences.

A *code* is an int64: 0 ends a line, 1..S are the S stop words, everything above is a word; word
code - (S + 1) is its *local id*, the order in which the words were met. Local ids become vocabulary
ids when all counts are known.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from fastw2v.corpus.tokenizer import LINE_END, Tokenizer
from fastw2v.errors import UsageError

_LONGEST_REMEMBERED = 128  # bytes; longer chunks hardly ever come twice
_MOST_REMEMBERED = 1 << 20


_LINE_END_TOKEN = object()  # nothing that a caller gives is equal to it


class TokenCodes(dict[Hashable, int]):
    """Token -> code; a token not met before gets the next code."""

    def __init__(self, stopwords: Sequence[str]) -> None:
        super().__init__()
        self._stopwords = tuple(stopwords)
        self.first_word = len(self._stopwords) + 1
        self.forget()

    def forget(self) -> None:
        """Start counting local ids from 0 again."""
        self.clear()
        super().__setitem__(_LINE_END_TOKEN, 0)
        self.update(zip(self._stopwords, range(1, self.first_word), strict=True))

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

    def words(self) -> list[str]:
        """The words in the order of their local ids."""
        return list(itertools.islice(self, self.first_word, None))  # type: ignore[arg-type]


class ChunkCodes(dict[bytes, int]):
    """Chunk -> code of its one token, or -(k + 1) when it is `expansions[k]`, none or several."""

    def __init__(self, tokenizer: Tokenizer, token_codes: TokenCodes) -> None:
        super().__init__()
        self._tokenizer = tokenizer
        self._token_codes = token_codes
        self._expansions: list[list[int]] = []
        self.forget()

    def forget(self) -> None:
        """Look at every chunk anew."""
        self.clear()
        self._expansions.clear()
        super().__setitem__(LINE_END, 0)

    def __missing__(self, chunk: bytes) -> int:
        codes = [self._token_codes[token] for token in self._tokenizer.tokens_of(chunk)]
        if len(codes) == 1:
            code = codes[0]
        else:
            self._expansions.append(codes)
            code = -len(self._expansions)
        if len(chunk) <= _LONGEST_REMEMBERED:
            self[chunk] = code
        return code

    def codes_of(self, block: bytes) -> np.ndarray:
        """The codes of a block of valid UTF-8: int64 (n,), none negative."""
        if len(self) + len(self._expansions) > _MOST_REMEMBERED:
            self.forget()
        chunks = self._tokenizer.split(block)
        codes = np.fromiter(map(self.__getitem__, chunks), np.int64, len(chunks))
        several = codes < 0
        if not several.any():
            return codes
        expanded = [self._expansions[k] for k in (-codes[several] - 1).tolist()]
        lengths = np.ones(len(codes), dtype=np.int64)
        lengths[several] = [len(part) for part in expanded]
        result = np.repeat(codes, lengths)
        result[np.repeat(several, lengths)] = list(itertools.chain.from_iterable(expanded))
        return result


class Sequencer:
    """Cuts a stream of codes into sequences: stop words out, short lines out, long lines split.

    Attributes:
        stats: what it counted (lines, tokens), by the names of `PreprocessReport`.
    """

    def __init__(self, first_word: int, min_length: int, max_length: int) -> None:
        self._first_word = first_word
        self._min_length = min_length
        self._max_length = max_length
        self.stats: Counter[str] = Counter()
        # The line that is not ended yet: words not handed out, how many were, tokens in all.
        self._open: list[np.ndarray] = []
        self._open_length = self._handed_out = self._open_tokens = 0

    @property
    def in_line(self) -> bool:
        """Whether the last line has tokens and is not ended yet."""
        return self._open_tokens > 0

    def feed(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take codes int64 (n,); give finished sequences: local ids (k,), lengths (m,) > 0, sum k.

        Words of a line that has not ended are kept for the next call.
        """
        is_end = codes == 0
        is_word = codes >= self._first_word
        line_of = np.cumsum(is_end)
        num_lines = int(line_of[-1]) if len(codes) else 0
        tokens = np.bincount(line_of[~is_end], minlength=num_lines + 1)
        words = np.bincount(line_of[is_word], minlength=num_lines + 1)
        ids = codes[is_word] - self._first_word
        self.stats["tokens_read"] += len(codes) - num_lines
        self.stats["tokens_stopwords"] += len(codes) - num_lines - len(ids)
        if not num_lines:
            self._extend_open(ids, int(tokens[0]))
            return self._hand_out_open()
        tokens[0] += self._open_tokens
        words[0] += self._open_length
        ids = np.concatenate([*self._open, ids])
        closed = len(ids) - int(words[-1])
        ended_ids, ended_lengths = self._end_lines(ids[:closed], words[:-1], tokens[:-1])
        self._open, self._open_length, self._handed_out, self._open_tokens = [], 0, 0, 0
        self._extend_open(ids[closed:], int(tokens[-1]))
        open_ids, open_lengths = self._hand_out_open()
        return np.concatenate([ended_ids, open_ids]), np.concatenate([ended_lengths, open_lengths])

    def renumber(self, new_id_of: Iterable[int]) -> None:
        """Replace the ids of the open line (see `open_ids`) by those given, one for one."""
        self._open = [np.fromiter(new_id_of, np.int64, self._open_length)]

    def open_ids(self) -> np.ndarray:
        """Local ids of the open line that were not handed out yet."""
        return np.concatenate(self._open) if self._open else np.empty(0, dtype=np.int64)

    def _extend_open(self, ids: np.ndarray, tokens: int) -> None:
        if len(ids):
            self._open.append(ids)
        self._open_length += len(ids)
        self._open_tokens += tokens

    def _hand_out_open(self) -> tuple[np.ndarray, np.ndarray]:
        """Full sequences of the open line, once it is sure that the line is not short."""
        longest = self._max_length
        enough = self._handed_out + self._open_length >= self._min_length
        if not (longest and enough and self._open_length >= longest):
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        ids = self.open_ids()
        count = len(ids) // longest
        self._open = [ids[count * longest :]]
        self._open_length -= count * longest
        self._handed_out += count * longest
        return ids[: count * longest], np.full(count, longest, dtype=np.int64)

    def _end_lines(
        self, ids: np.ndarray, lengths: np.ndarray, tokens: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sequences of lines that have ended; of the first, a part may be handed out already."""
        whole = lengths.copy()
        whole[0] += self._handed_out
        short = whole < self._min_length
        self.stats["lines"] += len(lengths)
        self.stats["empty_lines"] += int((tokens == 0).sum())
        self.stats["short_lines"] += int((short & (tokens > 0)).sum())
        self.stats["tokens_in_short_lines"] += int(lengths[short].sum())
        ids = ids[np.repeat(~short, lengths)]
        lengths = lengths[~short]
        if self._max_length:
            self.stats["split_lines"] += int(((whole > self._max_length) & ~short).sum())
            lengths = _pieces(lengths, self._max_length)
        return ids, lengths[lengths > 0]


def _pieces(lengths: np.ndarray, longest: int) -> np.ndarray:
    """Lengths of the pieces of at most `longest` into which sequences are split."""
    if not len(lengths) or lengths.max() <= longest:
        return lengths
    counts = np.maximum(1, -(-lengths // longest))
    pieces = np.full(int(counts.sum()), longest, dtype=np.int64)
    pieces[np.cumsum(counts) - 1] = lengths - (counts - 1) * longest
    return pieces


def drop_unknown(ids: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sequences without their unknown tokens: the ids that are left, and lengths int64 (m,) > 0.

    Args:
        ids: int (n,), -1 for an unknown token; offsets: int64 (k + 1,), the sequences.
    """
    kept = ids >= 0
    kept_before = np.concatenate([[0], np.cumsum(kept)])
    lengths = np.diff(kept_before[offsets])
    return ids[kept], lengths[lengths > 0]
