"""The sequences of any text or token store, as ids of a vocabulary that is given.

Nothing is written. Tokens outside the vocabulary are dropped before anyone looks at windows, as
`preprocess` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastw2v.corpus.config import Layout, PreprocessConfig
from fastw2v.corpus.os_errors import reporting_unreadable
from fastw2v.corpus.sequences import Sequencer, TokenCodes, drop_unknown
from fastw2v.corpus.settings import Settings
from fastw2v.corpus.shards import find_files, plan_units
from fastw2v.corpus.store_layout import opens_as_store
from fastw2v.corpus.text_codes import TextCodes
from fastw2v.corpus.token_store import TokenStore
from fastw2v.corpus.tokenizer import Tokenizer
from fastw2v.corpus.vocabulary import Vocabulary


class Piece(NamedTuple):
    """Some sequences, one after another.

    ids: int32 (n,), rows of the vocabulary. lengths: int64 (m,) > 0, sum n.
    done: how much of the source's `total` is read when they are.
    """

    ids: np.ndarray
    lengths: np.ndarray
    done: int


class KnownSequences(Protocol):
    """Where sequences come from; `pieces` may be gone through once.

    total: bytes on disk or tokens, whatever `Piece.done` counts.
    left_out: tokens of its text that a store's own vocabulary has left out, though the given one
        may have them.
    """

    total: int
    left_out: int

    def pieces(self) -> Iterator[Piece]:
        """The sequences in the source's order."""
        ...

    @property
    def words(self) -> int:
        """The tokens read so far but for stop words and short lines: what could have been known."""
        ...


def open_sequences(
    source: str | Path, vocabulary: Vocabulary, text_config: Callable[[], PreprocessConfig]
) -> KnownSequences:
    """The sequences of `source`: a token store, or a text file, directory or glob pattern.

    Args:
        text_config: asked for the options of text, where `source` is text.

    Raises:
        UsageError: nothing there, empty, or no text. DataError: not text, or a damaged store.
    """
    if _is_store(source):
        return _KnownStore(TokenStore.open(source), vocabulary)
    return _KnownText(source, vocabulary, text_config())


def check_source(source: str | Path) -> None:
    """Find and open what `open_sequences` would, and raise what that would; no text is read."""
    if _is_store(source):
        TokenStore.open(source)
    else:
        find_files([source])


def _is_store(source: str | Path) -> bool:
    with reporting_unreadable(source):
        return opens_as_store(Path(source))


class _KnownStore:
    """A token store; its ids become those of the tokens in another vocabulary."""

    def __init__(self, store: TokenStore, vocabulary: Vocabulary) -> None:
        self._store = store
        self._id_of = np.array(
            [vocabulary.index.get(token, -1) for token in store.vocabulary.tokens], np.int32
        )
        self.total = store.num_tokens
        has_all = np.count_nonzero(self._id_of >= 0) == len(vocabulary)
        self.left_out = 0 if has_all else self.words - store.num_tokens

    def pieces(self) -> Iterator[Piece]:
        """Row group by row group, in the order of the parts."""
        done = 0
        for row_group in range(self._store.num_row_groups):
            ids, offsets = self._store.read_row_group(row_group)
            done += len(ids)
            yield Piece(*drop_unknown(self._id_of[ids], offsets), done)

    @property
    def words(self) -> int:
        """With the tokens of the text that are not in the store's own vocabulary."""
        return _candidates(self._store.manifest["report"]) or self._store.num_tokens


class _KnownText:
    """Text, tokenised as `preprocess` would with these options."""

    def __init__(
        self, source: str | Path, vocabulary: Vocabulary, config: PreprocessConfig
    ) -> None:
        files, _ = find_files([source])
        self._segments = [segment for unit in plan_units(files, Layout()) for segment in unit]
        self.total = sum(file.size for file in files)
        self.left_out = 0
        stopwords = Settings.of(config).stopwords
        self._vocabulary_size = len(vocabulary)
        self._sequencer = Sequencer(
            len(stopwords) + 1, config.min_sequence_length, config.max_sequence_length
        )
        self._done = 0
        self._text = TextCodes(
            Tokenizer(config.tokenizer, config.lowercase, config.strip_accents),
            _VocabularyCodes(vocabulary, stopwords),
            config.errors,
            self._sequencer.stats,
            self._add_done,
        )

    def pieces(self) -> Iterator[Piece]:
        """Block by block."""
        for codes in self._text.batches(self._segments):
            local_ids, lengths = self._sequencer.feed(codes)
            ids = np.where(local_ids < self._vocabulary_size, local_ids, -1).astype(np.int32)
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            yield Piece(*drop_unknown(ids, offsets), self._done)

    @property
    def words(self) -> int:
        """See `KnownSequences`."""
        return _candidates(self._sequencer.stats)

    def _add_done(self, count: int) -> None:
        self._done += count


class _VocabularyCodes(TokenCodes):
    """Local id = id in the vocabulary; all other tokens have the local id V. Nothing is learnt, so
    that memory does not grow with the text, and nothing can be forgotten."""

    def __init__(self, vocabulary: Vocabulary, stopwords: list[str]) -> None:
        self._vocabulary = vocabulary
        super().__init__(stopwords)
        self._unknown = self.first_word + len(vocabulary)

    def forget(self) -> None:
        """The codes as they were made: stop words, and the words of the vocabulary."""
        super().forget()
        known = {token: self.first_word + row for token, row in self._vocabulary.index.items()}
        self.update({token: code for token, code in known.items() if token not in self})

    def __missing__(self, token: Hashable) -> int:
        return self._unknown


def _candidates(stats: Counter[str] | Mapping[str, Any]) -> int:
    """Tokens of sequences, before the vocabulary is asked; from the counts of a report."""
    left_out = stats.get("tokens_stopwords", 0) + stats.get("tokens_in_short_lines", 0)
    return int(stats.get("tokens_read", 0) - left_out)
