"""Text to codes (see `sequences`): every different chunk is looked at once, by hand or by Python.

A chunk that consists of letters and digits alone is its own token, and never leaves the kernels;
any other is cut by `Tokenizer.tokens_of` when it is met for the first time.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fastw2v.corpus.chunk_table import ChunkTable
from fastw2v.corpus.named_tokenizer import FunctionFailed
from fastw2v.corpus.tokenizer import Tokenizer
from fastw2v.corpus.vocabulary import Vocabulary
from fastw2v.kernels.sequences import expand, expanded_size

_MOST_REMEMBERED = 1 << 18  # chunks whose tokens are kept from one table to the next
_MOST_UNKNOWN = 1 << 20  # chunks that a given vocabulary does not have
_NOTHING = bytes(4)
_BYTES_A_WORD = 64
_LONGEST_REMEMBERED = 128  # bytes; longer chunks hardly ever come twice
# Bytes that `bytes.split` takes for white space, and the scanner does not.
_TO_SPACES = bytes(ord(" ") if code in b"\t\v\f\r" else code for code in range(256))


class WordCodes:
    """Chunks and tokens of text, each with its code.

    Args:
        stopwords: their codes are 1, 2, …
        vocabulary: where it is given, a token's local id is its row, and all other tokens have the
            local id V: nothing is learnt.

    Attributes:
        left_out_by_length: the code of tokens that the tokenizer leaves out.
        first_word: the code of the local id 0.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stopwords: Sequence[str],
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._stopwords = tuple(stopwords)
        self._vocabulary = vocabulary
        self._table = tokenizer.table.translate(_TO_SPACES)
        self._own_token = np.frombuffer(tokenizer.own_token, np.uint8)
        self._own = bytes(np.flatnonzero(self._own_token).tolist())
        self._kinds = bytes(self._own_token)
        self.left_out_by_length = len(self._stopwords) + 1
        self.first_word = len(self._stopwords) + 2
        self._tokens_of: dict[bytes, Sequence[str | None]] = {}  # of chunks that are not plain
        self._chunks = ChunkTable()
        self._room = np.empty(0, np.int32)
        self._begun_line: list[bytes] = []  # of a tokenizer that sees whole lines
        self._unknown = self.first_word + (len(vocabulary) if vocabulary is not None else 0)
        self.forget()

    def forget(self) -> None:
        """Start counting local ids from 0 again; stop words and the vocabulary stay."""
        self._chunks.forget()
        self._codes = np.empty(1 << 14, np.int32)  # by entry
        self._resolved = 0  # entries that have their code
        self._offsets, self._expansions = array("q", [0]), array("i")
        self._other: dict[str, int] = {}  # tokens that are no entries
        # Of the words' bytes, in the order of local ids.
        self._starts, self._lengths = array("q"), array("i")
        self.num_words = 0
        known = list(zip(self._stopwords, range(1, self.left_out_by_length), strict=True))
        if self._vocabulary is not None:
            first = self.first_word
            known += [(t, first + row) for t, row in self._vocabulary.index.items()]
        self._complete = False
        self._learn(dict(reversed(known)))  # the stop words win
        self._complete = self._vocabulary is not None

    def is_full(self, most: int) -> bool:
        """Whether there are more than `most` words, or too much else to remember: chunks that are
        no words, their bytes, their tokens."""
        return (
            max(self.num_words, len(self._chunks) // 2, len(self._expansions) // 8) > most
            or self._chunks.num_bytes // _BYTES_A_WORD > most
        )

    def codes_of(self, block: bytes) -> np.ndarray:
        """The codes of a block of valid UTF-8: int32 (n,), none negative; valid until the next
        call. A stream of blocks ends with a line end."""
        if self._complete and self.is_full((self._unknown + _MOST_UNKNOWN) // 2):
            self.forget()
        if self._tokenizer.by_line:
            return self._codes_of_lines(block)
        found = self._chunks.scan(block.translate(self._table))
        self._resolve()
        # Views: the two grow again when they are gone.
        offsets = np.frombuffer(self._offsets, np.int64)
        expansions = np.frombuffer(self._expansions or _NOTHING, np.int32)
        written = expand(found, self._codes, offsets, expansions, self._room)
        if written < 0:
            size = expanded_size(found, self._codes, offsets)
            self._room = np.empty(size + size // 4, np.int32)
            written = expand(found, self._codes, offsets, expansions, self._room)
        return self._room[:written]

    def codes_of_tokens(self, tokens: Sequence[str]) -> list[int]:
        """The codes of tokens; those that have none get one."""
        return self._codes_of_tokens(tokens)

    def words(self) -> pa.LargeStringArray:
        """The words in the order of their local ids."""
        return self._strings(slice(None))

    def words_at(self, local_ids: np.ndarray) -> list[str]:
        """The words of these local ids."""
        words: list[str] = self._strings(local_ids).to_pylist()
        return words

    def _strings(self, selected: Any) -> pa.LargeStringArray:
        if not self.num_words:
            return pa.array([], pa.large_string())
        starts = np.frombuffer(self._starts, np.int64)[selected]
        lengths = np.frombuffer(self._lengths, np.int32)[selected]
        return self._chunks.strings_at(starts, lengths)

    def _codes_of_lines(self, block: bytes) -> np.ndarray:
        """The codes of the lines that end in the block; what follows waits for its end."""
        text, end, begun = block.rpartition(b"\n")
        if not end:
            self._begun_line.append(block)
            return np.empty(0, np.int32)
        text, self._begun_line = b"".join([*self._begun_line, text]), [begun]
        lines: list[list[str | None]] = []
        try:
            for line in text.decode().split("\n"):
                lines.append(self._tokenizer.tokens_of_line(line))
        except FunctionFailed as error:
            error.lines_before = len(lines)
            raise
        codes = self._codes_of_tokens(list(itertools.chain.from_iterable(lines)))
        ends = np.cumsum([len(line) for line in lines], dtype=np.int64)
        return np.insert(np.array(codes, np.int32), ends, 0)

    # --- what was not met before ---

    def _learn(self, known: Mapping[str, int]) -> None:
        """Give tokens codes that are settled."""
        encoded = {token: token.encode() for token in known}
        plain = [token for token, text in encoded.items() if self._is_plain(text)]
        entries = self._chunks.intern(pa.array(plain, pa.large_string()))
        self._make_room(len(self._chunks))
        self._codes[entries] = [known[token] for token in plain]
        self._resolved = len(self._chunks)
        self._other = {token: known[token] for token in known.keys() - set(plain)}

    def _make_room(self, entries: int) -> None:
        if entries > len(self._codes):
            more = np.empty(max(entries, 2 * len(self._codes)), np.int32)
            more[: self._resolved] = self._codes[: self._resolved]
            self._codes = more

    def _resolve(self) -> None:
        """Give the entries that have none yet their codes."""
        first, end = self._resolved, len(self._chunks)
        if first == end:
            return
        self._make_room(end)
        plain = self._chunks.plain(first, self._own_token)
        self._add_plain(first, plain)
        special = (np.flatnonzero(~plain) + first).tolist()
        self._resolved = end
        tokens = [self._tokens_of_chunk(self._chunks.bytes_of(entry)) for entry in special]
        codes = iter(self._codes_of_tokens(list(itertools.chain.from_iterable(tokens))))
        for entry, parts in zip(special, tokens, strict=True):
            if len(parts) == 1:
                self._codes[entry] = next(codes)
            else:
                self._expansions.extend(itertools.islice(codes, len(parts)))
                self._codes[entry] = -len(self._offsets)
                self._offsets.append(len(self._expansions))

    def _tokens_of_chunk(self, chunk: bytes) -> Sequence[str | None]:
        tokens = self._tokens_of.get(chunk)
        if tokens is None:
            tokens = self._tokenizer.tokens_of(chunk)
            if len(chunk) <= _LONGEST_REMEMBERED:
                if len(self._tokens_of) == _MOST_REMEMBERED:
                    self._tokens_of.clear()
                self._tokens_of[chunk] = tokens
        return tokens

    def _is_plain(self, text: bytes) -> bool:
        """What `kernels.sequences.mark_plain` says of an entry."""
        if not text or text.translate(None, self._own):
            return False
        kinds = text.translate(self._kinds)
        return kinds[0] == kinds[-1] == 1 and b"\2\2" not in kinds

    def _codes_of_tokens(self, tokens: Sequence[str | None]) -> list[int]:
        """Codes by way of the entries for what is plain, of a dict for all else."""
        encoded = [b"" if token is None else token.encode() for token in tokens]
        plain = [self._is_plain(text) for text in encoded]
        # Not by `scan`, whose last answer is still in use.
        words = pa.array(itertools.compress(tokens, plain), pa.large_string())
        entries = self._chunks.intern(words)
        if (end := len(self._chunks)) > self._resolved:
            self._make_room(end)
            self._add_plain(self._resolved, np.ones(end - self._resolved, bool))
            self._resolved = end
        plain_codes = iter(self._codes[entries].tolist())
        return [
            next(plain_codes) if is_plain else self._other_code(token, text)
            for token, text, is_plain in zip(tokens, encoded, plain, strict=True)
        ]

    def _add_plain(self, first: int, plain: np.ndarray) -> None:
        """Make the plain entries from `first` on words."""
        count = int(plain.sum())
        codes = self._codes[first : first + len(plain)]
        if self._complete:
            codes[plain] = self._unknown
            return
        codes[plain] = self.first_word + self.num_words + np.arange(count)
        starts, lengths = self._chunks.places(first)
        self._starts.frombytes(starts[: len(plain)][plain].tobytes())
        self._lengths.frombytes(lengths[: len(plain)][plain].tobytes())
        self.num_words += count

    def _other_code(self, token: str | None, text: bytes) -> int:
        if token is None:
            return self.left_out_by_length
        code = self._other.get(token)
        if code is None:
            if self._complete:
                return self._unknown
            code = self._other[token] = self.first_word + self.num_words
            self._starts.append(self._chunks.keep_bytes(text))
            self._lengths.append(len(text))
            self.num_words += 1
        return code
