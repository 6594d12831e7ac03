"""Sequences of ids with their phrases joined, pass after pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fastw2v.corpus.phrase_pairs import Connectors, offsets_of
from fastw2v.kernels.phrases import CONNECTS, PhraseTable, fill_phrase_table, join_phrases


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
        connector_of=connectors.connector_of,
        slots=np.full(2 << len(found.pairs).bit_length(), -1, np.int32),
        pairs=np.ascontiguousarray(found.pairs, np.int64),
        chains=np.ascontiguousarray(found.chains, np.int64),
        new_ids=np.ascontiguousarray(found.new_ids, np.int32),
        chain_bits=connectors.chain_bits,
        longest=connectors.longest,
    )
    fill_phrase_table(table)
    return table
