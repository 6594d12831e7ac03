"""The sequences of a spooled unit as ids that all units share, for phrases and for the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fastw2v import storage
from fastw2v.corpus import spool
from fastw2v.corpus.chunk_table import ChunkTable
from fastw2v.corpus.phrase_search import (
    count_unit_joins,
    count_unit_pairs,
    joined_batches,
    load_plan,
)
from fastw2v.corpus.phrase_text import PhraseText
from fastw2v.corpus.phrases import load_phrases
from fastw2v.corpus.sequences import drop_unknown
from fastw2v.corpus.vocabulary import load_tokens

Batch = tuple[np.ndarray, np.ndarray, int]  # ids, lengths, how many tokens it was made of


class PhraseFiles(NamedTuple):
    """Files of the search for phrases, in the directory of the unfinished work.

    words: the words that may be in phrases; the row is their provisional id.
    ids: .npy, int32, the vocabulary id of each row of `PhraseSearch.tokens`, -1 behind the last.
    """

    work: Path

    @property
    def words(self) -> Path:
        """See the class."""
        return self.work / "phrase-words.parquet"

    @property
    def ids(self) -> Path:
        """See the class."""
        return self.work / "phrase-ids.npy"

    def plan(self, number: int) -> Path:
        """What is counted in pass `number`."""
        return self.work / f"phrase-plan-{number:02d}.npz"

    def counts(self, kind: str, plan: str, spool: str, unit: int) -> Path:
        """The pairs or joins of a unit, counted in this spool with the plan of this fingerprint."""
        return self.work / f"{kind}-{plan[:16]}-{spool[:16]}-{unit:05d}.bin"


class UnitBatches:
    """Reads spooled units; keeps the words it looks ids up in from one unit to the next."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._files = PhraseFiles(work)
        self._words, self._words_path = ChunkTable(), ""
        self._phrase_text: PhraseText | None = None

    def known(self, unit: int, tables: int, vocabulary: Path) -> Iterator[Batch]:
        """Ids of the vocabulary in a file; other tokens are left out."""
        yield from self._batches(unit, tables, self._words_of(vocabulary), keep_unknown=False)

    def count_phrases(self, job: dict[str, Any], progress: Callable[[int], None]) -> None:
        """Count the pairs or the joins of a unit, if that has not been done; `progress` gets the
        tokens done."""
        plan = load_plan(Path(job["plan"]))
        path = self._files.counts(job["task"], plan.fingerprint, job["spool"], job["unit"])
        if path.exists():
            return
        batches = self._provisional(job["unit"], job["tables"], progress)
        if job["task"] == "pairs":
            count_unit_pairs(plan, batches, path)
        else:
            count_unit_joins(plan, batches, path)

    def joined(self, unit: int, tables: int, plan: Path) -> Iterator[Batch]:
        """Ids of the vocabulary, with the phrases that were found joined."""
        id_of = np.load(self._files.ids, allow_pickle=False)
        for ids, lengths in joined_batches(
            load_plan(plan), self._provisional(unit, tables, _untold)
        ):
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            yield *drop_unknown(id_of[ids], offsets), len(ids)

    def joined_as(
        self, unit: int, tables: int, vocabulary: Path, phrases: Path
    ) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
        """Ids of a vocabulary, with its phrases joined; how many tokens less is last."""
        if self._phrase_text is None:
            text = PhraseText(load_tokens(vocabulary).to_pylist(), load_phrases(phrases))
            self._phrase_text = text
            self._words, self._words_path = ChunkTable(), "phrases"
            self._words.intern(pa.array(text.tokens, pa.large_string()))
        text = self._phrase_text
        for ids, lengths, done in self._batches(unit, tables, self._words, keep_unknown=True):
            before = text.tokens_joined
            ids, lengths = text.join(ids, lengths)
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            yield *drop_unknown(ids, offsets), done, text.tokens_joined - before

    def _provisional(
        self, unit: int, tables: int, progress: Callable[[int], None]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        words = self._words_of(self._files.words)
        for ids, lengths, done in self._batches(unit, tables, words, keep_unknown=True):
            yield ids, lengths
            progress(done)

    def _words_of(self, path: Path) -> ChunkTable:
        name = f"{path} {storage.sha256_of(path)}"
        if name != self._words_path:
            self._words, self._words_path = ChunkTable(), name
            self._words.intern(load_tokens(path))
        return self._words

    def _batches(
        self, unit: int, tables: int, words: ChunkTable, *, keep_unknown: bool
    ) -> Iterator[Batch]:
        for table in range(tables):
            sequences, counts = spool.table_paths(self._work, unit, table)
            id_of = _ids_of(spool.read_counts(counts), words)
            yield from spool.read_sequences(sequences, id_of, keep_unknown=keep_unknown)


def _untold(count: int) -> None:
    """Progress that nobody asks for."""


def _ids_of(counts: pa.Table, words: ChunkTable) -> np.ndarray:
    """The ids in `words` of local ids, int32 (L,), -1 where a word is not in it."""
    local_ids = counts["local_id"].to_numpy()
    id_of = np.full(int(local_ids.max(initial=-1)) + 1, -1, np.int32)
    id_of[local_ids] = words.find(counts["token"].combine_chunks())
    return id_of
