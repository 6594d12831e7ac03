"""The sequences of any text or token store, as ids of a given vocabulary.

Nothing is written. Tokens outside the vocabulary are dropped before windows are formed, as in
`preprocess`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from fastw2v.io.storage import reporting_unreadable
from fastw2v.io.store_directory import opens_as_store
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.encoder import Sequencer, ShardEncoder, TextEncoder, drop_unknown
from fastw2v.store.format import TokenStore
from fastw2v.store.phrases.phrases import Phrases, PhraseText
from fastw2v.store.settings import Settings
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.text.config import Layout
from fastw2v.text.find import find_files
from fastw2v.text.shards import plan_shards
from fastw2v.text.tokenizer import Tokenizer


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
    left_out: tokens of the text that are missing from the store's own vocabulary and may be in the
        given one.
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
    source: str | Path,
    vocabulary: Vocabulary,
    text_config: Callable[[], PreprocessConfig],
    phrases: Phrases | None = None,
) -> KnownSequences:
    """The sequences of `source`: a token store, or a text file, directory or glob pattern.

    Args:
        source: a path or pattern; text is read as `preprocess` reads it.
        vocabulary: its rows are the ids; other tokens are dropped.
        text_config: called for the options of text if `source` is text.
        phrases: the phrases of the vocabulary, joined in text; None: no phrases.

    Raises:
        UsageError: nothing there, empty, or no text. DataError: not text, or a damaged store.
    """
    if is_store(source):
        return _KnownStore(TokenStore.open(source), vocabulary)
    return _KnownText(source, vocabulary, text_config(), phrases)


def check_source(source: str | Path) -> None:
    """Find and open `source` as `open_sequences` does, with the same errors; no text is read."""
    if is_store(source):
        TokenStore.open(source)
    else:
        find_files([source])


def is_store(source: str | Path) -> bool:
    """Whether `open_sequences` would open it as a token store.

    Raises:
        UsageError: it cannot be read.
    """
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
    """Text, tokenized as `preprocess` would with these options."""

    def __init__(
        self,
        source: str | Path,
        vocabulary: Vocabulary,
        config: PreprocessConfig,
        phrases: Phrases | None,
    ) -> None:
        files, _ = find_files([source], config)
        shards = plan_shards(files, Layout(), config)
        self._segments = [segment for shard in shards for segment in shard]
        self.total = sum(file.size for file in files)
        self.left_out = 0
        stopwords = Settings.of(config).stopwords
        tokenizer = Tokenizer(config, stopwords)
        self._phrases = PhraseText(vocabulary.tokens, phrases) if phrases is not None else None
        if self._phrases is not None:  # with the words that are only in phrases
            tokens = self._phrases.tokens
            vocabulary = Vocabulary(tokens, np.ones(len(tokens), np.int64))
        self._num_known = len(vocabulary)
        words = TextEncoder(tokenizer, tokenizer.stop_tokens, vocabulary)
        self._sequencer = Sequencer(
            words.first_word, config.min_sequence_length, config.max_sequence_length
        )
        self._done = 0
        self._text = ShardEncoder(words, config, self._sequencer.stats, self._add_done)

    def pieces(self) -> Iterator[Piece]:
        """Block by block."""
        for codes in self._text.batches(self._segments):
            local_ids, lengths = self._sequencer.feed(codes)
            ids = np.where(local_ids < self._num_known, local_ids, np.int32(-1))
            if self._phrases is not None:
                ids, lengths = self._phrases.join(ids, lengths)
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            yield Piece(*drop_unknown(ids, offsets), self._done)

    @property
    def words(self) -> int:
        """See `KnownSequences`."""
        joined = self._phrases.tokens_joined if self._phrases is not None else 0
        return self._sequencer.stats.tokens_in_sequences - joined

    def _add_done(self, count: int, place: tuple[int, int] | None = None) -> None:
        self._done += count


def _candidates(report: Mapping[str, Any]) -> int:
    """Tokens of sequences before the vocabulary is applied, from the counts of a report."""
    reasons = (
        "tokens_joined", "tokens_too_short_or_long", "tokens_stopwords", "tokens_in_short_lines"
    )  # fmt: skip
    return int(report.get("tokens_read", 0) - sum(report.get(reason, 0) for reason in reasons))
