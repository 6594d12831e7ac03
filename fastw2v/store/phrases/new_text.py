"""Sequences of ids with their phrases joined, pass after pass.

New text as ids of a vocabulary that has phrases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fastw2v.kernels.phrases import (
    CONNECTS,
    Connectors,
    PhraseTable,
    fill_phrase_table,
    join_phrases,
)
from fastw2v.store.phrases.joined import Phrase, Phrases
from fastw2v.store.phrases.pairs import offsets_of


class PhrasePass(NamedTuple):
    """The P phrases of one pass, as ids.

    pairs: int64 (P,), left_id << 32 | right_id. chains: int64 (P,), the connectors between (see
        `fastw2v.kernels.phrases`). new_ids: int32 (P,), the id of each phrase's own token.
    """

    pairs: np.ndarray
    chains: np.ndarray
    new_ids: np.ndarray

    @property
    def left_ids(self) -> np.ndarray:
        """int64 (P,)."""
        return self.pairs >> 32

    @property
    def right_ids(self) -> np.ndarray:
        """int64 (P,)."""
        return self.pairs & 0xFFFFFFFF


def connectors_of(connector_ids: np.ndarray, num_ids: int) -> Connectors:
    """Connector k is the word `connector_ids[k]`; a chain holds those that fit into 63 bits."""
    count = len(connector_ids)
    connector_of = np.zeros(num_ids if count else 0, np.uint16)
    connector_of[connector_ids] = np.arange(1, count + 1)
    return Connectors(connector_of, count.bit_length(), 63 // count.bit_length() if count else 0)


class PhraseJoiner:
    """Joins phrases as word2phrase.c and gensim do: from left to right, the first that fits.

    Args:
        num_ids: all ids, those of phrases too, are below this.
        connectors: words that may stand inside a phrase.
        passes: each joins what the one before has left.

    Attributes:
        joins: int64, how often each phrase was joined so far, pass after pass in one array.
    """

    def __init__(self, num_ids: int, connectors: Connectors, passes: Sequence[PhrasePass]) -> None:
        self.joins = np.zeros(sum(len(found.pairs) for found in passes), np.int64)
        self._steps = []
        first = 0
        for found in passes:
            joins = self.joins[first : first + len(found.pairs)]
            self._steps.append((_table_of(found, num_ids, connectors), joins))
            first += len(found.pairs)

    def join(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same sequences with their phrases joined.

        Args:
            ids: int32 (n,), -1 for words that are in no phrase; lengths: (m,) > 0, sum n.

        Returns:
            ids int32 (k,), lengths int64 (m,) > 0, sum k.
        """
        for table, joins in self._steps:
            joined_ids = np.empty(len(ids), np.int32)
            joined_lengths = np.empty(len(lengths), np.int64)
            kept = join_phrases(ids, offsets_of(lengths), table, joined_ids, joined_lengths, joins)
            ids, lengths = joined_ids[:kept], joined_lengths
        return ids, lengths


def _table_of(found: PhrasePass, num_ids: int, connectors: Connectors) -> PhraseTable:
    roles = np.zeros(num_ids, np.uint8)
    roles[np.flatnonzero(connectors.connector_of)] = CONNECTS
    table = PhraseTable(
        roles=roles,
        connectors=connectors,
        slots=np.full(2 << len(found.pairs).bit_length(), -1, np.int32),
        pairs=np.ascontiguousarray(found.pairs, np.int64),
        chains=np.ascontiguousarray(found.chains, np.int64),
        new_ids=np.ascontiguousarray(found.new_ids, np.int32),
    )
    fill_phrase_table(table)
    return table


class PhraseText:
    """Joins the phrases of a vocabulary in sequences of ids, as its own corpus had them joined.

    Ids are rows of `tokens`: first the vocabulary, then what phrases are made of and the vocabulary
    does not have ("york", where it is always part of "new_york").

    Attributes:
        tokens: the vocabulary and those words.
        tokens_joined: tokens less than before joining, so far.
    """

    def __init__(self, vocabulary: Sequence[str], phrases: Phrases) -> None:
        self._vocabulary_size = len(vocabulary)
        self.tokens_joined = 0
        self.tokens = list(dict.fromkeys([*vocabulary, *sorted(phrases.words)]))
        row_of = {token: row for row, token in enumerate(self.tokens)}
        numbers = {word: number for number, word in enumerate(phrases.connectors, start=1)}
        connector_ids = np.array([row_of[word] for word in phrases.connectors], np.int64)
        connectors = connectors_of(connector_ids, len(self.tokens))
        passes = [_as_ids(rows, row_of, numbers, connectors) for rows in phrases.passes]
        self._joiner = PhraseJoiner(len(self.tokens), connectors, passes)

    def join(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sequences with their phrases joined, -1 for tokens that are not in the vocabulary.

        Args:
            ids: int32 (n,), rows of `tokens`, -1 for others; lengths: (m,) > 0, sum n.

        Returns:
            ids int32 (k,), lengths int64 (m,) > 0, sum k.
        """
        joined, lengths = self._joiner.join(ids, lengths)
        self.tokens_joined += len(ids) - len(joined)
        return np.where(joined < self._vocabulary_size, joined, np.int32(-1)), lengths


def _as_ids(
    rows: Sequence[Phrase],
    row_of: Mapping[str, int],
    numbers: Mapping[str, int],
    connectors: Connectors,
) -> PhrasePass:
    pairs, chains = [], []
    for row in rows:
        chain = 0
        for word in row.connectors:
            chain = chain << connectors.chain_bits | numbers[word]
        pairs.append(row_of[row.left] << 32 | row_of[row.right])
        chains.append(chain)
    new_ids = [row_of[row.phrase] for row in rows]
    return PhrasePass(
        np.array(pairs, np.int64), np.array(chains, np.int64), np.array(new_ids, np.int32)
    )
