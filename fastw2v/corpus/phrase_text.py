"""New text as ids of a vocabulary that has phrases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fastw2v.corpus.phrase_join import PhraseJoiner, PhrasePass
from fastw2v.corpus.phrase_pairs import Connectors
from fastw2v.corpus.phrases import Phrase, Phrases


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
        connectors = Connectors.of(connector_ids, len(self.tokens))
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
