"""Text to codes of tokens, and codes to sequences of local ids.

Tokens are dictionary-encoded. A *code* is an int32: 0 ends a line, 1..S are the S stop words,
S + 1 stands for any token that is dropped because of its length, and all above are words. The
*local id* of a word is its code - (S + 2): the order of first occurrence. Local ids become
vocabulary ids when all counts are known.

`ShardEncoder` reads text and gives its codes; `TextEncoder` makes codes of blocks of text,
`TokenListEncoder` of tokens; `Sequencer` cuts codes into sequences. Each different chunk of text is
tokenized once: a chunk of letters and digits alone is its own token and never leaves the kernels,
any other goes through `Tokenizer.tokens_of` at its first occurrence.
"""

from __future__ import annotations

import functools
import itertools
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fastw2v.errors import UsageError
from fastw2v.kernels import sequences as kernels
from fastw2v.kernels.sequences import expand, expanded_size
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.settings import load_vocabulary
from fastw2v.store.string_table import StringTable
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.text.config import Layout
from fastw2v.text.custom_tokenizer import FunctionFailed
from fastw2v.text.inputs import ReadCounts, Segment
from fastw2v.text.shards import SegmentReader
from fastw2v.text.tokenizer import Tokenizer

_LINE_END_TOKEN = object()  # nothing that a caller gives is equal to it
_LEFT_OUT_TOKEN = object()


class TokenListEncoder(dict[Hashable, int]):
    """Token -> code; a new token gets the next code.

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
            raise UsageError(f"tokens must be non-empty strings; got {token!r}")
        if not token.isascii() and token.encode("utf-8", "replace").decode("utf-8") != token:
            raise UsageError(f"{token!r}: lone surrogates cannot be stored; decode the text again")
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
        self.stats = ReadCounts()
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
        stats.tokens_read += counted[kernels.TOKENS]
        stats.tokens_stopwords += int(left_out[1:-1].sum())
        stats.tokens_too_short_or_long += int(left_out[-1])
        stats.lines += counted[kernels.LINES]
        stats.empty_lines += counted[kernels.EMPTY_LINES]
        stats.short_lines += counted[kernels.SHORT_LINES]
        stats.tokens_in_short_lines += counted[kernels.IN_SHORT_LINES]
        stats.split_lines += counted[kernels.SPLIT_LINES]

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


_MAX_REMEMBERED = 1 << 18  # chunks whose tokens are kept from one table to the next
_MAX_UNKNOWN = 1 << 20  # chunks that a given vocabulary does not have
_NOTHING = bytes(4)
_BYTES_PER_WORD = 64
_LONGEST_REMEMBERED = 128  # bytes; longer chunks hardly ever come twice
# Bytes that `bytes.split` takes for white space, and the scanner does not.
_TO_SPACES = bytes(ord(" ") if code in b"\t\v\f\r" else code for code in range(256))


class TextEncoder:
    """Text to codes; keeps a table of the chunks and tokens seen, each with its code.

    Args:
        stopwords: their codes are 1, 2, …
        vocabulary: if given, a token's local id is its row, and all other tokens have the local
            id V, so that no new ids are made.

    Attributes:
        length_code: the code of tokens that the tokenizer drops because of their length.
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
        self.length_code = len(self._stopwords) + 1
        self.first_word = len(self._stopwords) + 2
        self._tokens_of: dict[bytes, Sequence[str | None]] = {}  # of chunks that are not plain
        self._chunks = StringTable()
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
        self._other: dict[str, int] = {}  # tokens that are not entries
        # Of the words' bytes, in the order of local ids.
        self._starts, self._lengths = array("q"), array("i")
        self.num_words = 0
        known = list(zip(self._stopwords, range(1, self.length_code), strict=True))
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
            or self._chunks.num_bytes // _BYTES_PER_WORD > most
        )

    def codes_of(self, block: bytes) -> np.ndarray:
        """The codes of a block of valid UTF-8: int32 (n,), none negative; valid until the next
        call. A stream of blocks ends with a line end."""
        if self._complete and self.is_full((self._unknown + _MAX_UNKNOWN) // 2):
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

    # --- new chunks and tokens ---

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
                if len(self._tokens_of) == _MAX_REMEMBERED:
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
            return self.length_code
        code = self._other.get(token)
        if code is None:
            if self._complete:
                return self._unknown
            code = self._other[token] = self.first_word + self.num_words
            self._starts.append(self._chunks.keep_bytes(text))
            self._lengths.append(len(text))
            self.num_words += 1
        return code


Progress = Callable[..., None]  # (bytes read), or (0, place)


class ShardEncoder:
    """Reads the segments of a shard and gives their codes.

    Args:
        config: how to read, and what to do with bytes that are not UTF-8.
        stats: counters of what was read and cleaned, by the names of `PreprocessReport`.
        progress: called with the bytes read from where they are stored, and with 0 and the
            `Place` of each block before it is looked at.
        block_bytes: text is read in blocks of about this size.

    Attributes:
        inputs: the segments read so far, with their SHA-256, for the manifest.
    """

    def __init__(
        self,
        words: TextEncoder,
        config: PreprocessConfig,
        stats: ReadCounts,
        progress: Progress,
        block_bytes: int = Layout.block_bytes,
    ) -> None:
        self._words = words
        self._config, self._stats = config, stats
        self._progress, self._block_bytes = progress, block_bytes
        self.inputs: list[dict[str, Any]] = []

    def batches(self, segments: Iterable[Segment]) -> Iterator[np.ndarray]:
        """The codes of each block, int32 (n,); each file's last line is ended.

        Raises:
            DataError: damaged, or not UTF-8 where `errors` is "strict".
            ResourceError: the disk cannot be read.
            UsageError: the user's function fails; with the line where it does.
        """
        names = None
        if self._config.ids_column is not None and self._config.vocabulary is not None:
            names = load_vocabulary(self._config.vocabulary).tokens
        for number, segment in enumerate(segments):
            on_block = functools.partial(self._begin_block, number)
            on_block(0)
            reader = SegmentReader(
                segment,
                self._config,
                stats=self._stats,
                block_bytes=self._block_bytes,
                on_bytes=self._progress,
                on_block=on_block,
            )
            if self._config.ids_column is not None:
                yield from reader.codes(self._words.codes_of_tokens, names)
            else:
                yield from self._codes_of(reader)
            self.inputs.append(reader.entry())

    def _begin_block(self, segment: int, offset: int) -> None:
        self._progress(0, (segment, offset))

    def _codes_of(self, reader: SegmentReader) -> Iterator[np.ndarray]:
        for block in reader.lines():
            try:
                codes = self._words.codes_of(block)
            except FunctionFailed as error:
                raise UsageError(f"{reader.here(error.lines_before)}: {error}") from error
            yield codes
