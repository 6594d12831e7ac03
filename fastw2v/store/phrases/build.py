"""The search for phrases over all shards of a store that is being made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fastw2v.io import storage
from fastw2v.store.jobs import Job, PhraseIds, PhraseJob, SpilledShard
from fastw2v.store.phrases.phrases import Phrases
from fastw2v.store.phrases.search import PhraseCounts, PhraseSearch, PhraseSettings
from fastw2v.store.vocabulary import Vocabulary

RunJobs = Callable[[str, Sequence[Job]], dict[int, Any]]  # (phase, jobs): results by number


class FoundPhrases(NamedTuple):
    """What the search has found.

    phrases: as strings. counts: of words and phrases in the joined text. ids: for encoding.
    """

    phrases: Phrases
    counts: PhraseCounts
    ids: PhraseIds

    def table(self) -> pa.Table:
        """token, count of all that occurs once phrases are joined."""
        tokens = pa.array(self.counts.tokens, pa.large_string())
        table = pa.table({"token": tokens, "count": self.counts.counts})
        return table.filter(pa.array(self.counts.counts > 0))

    def save_ids(self, vocabulary: Vocabulary) -> None:
        """Write the vocabulary ids of words and phrases (`PhraseIds.ids`)."""
        index = vocabulary.index
        ids = [*(index.get(token, -1) for token in self.counts.tokens), -1]
        with storage.atomic_file(self.ids.ids) as path, open(path, "wb") as file:
            np.save(file, np.array(ids, np.int32), allow_pickle=False)


def find_phrases(
    work: Path,
    words: pa.Table,
    how: PhraseSettings,
    shards: Mapping[int, SpilledShard],
    run_jobs: RunJobs,
    threads: int,
) -> FoundPhrases:
    """Search the spilled shards, pass after pass; what an earlier run has counted is used.

    Args:
        work: the directory of the unfinished work.
        words: token, count: those that may be in phrases.

    Raises:
        DataError: a file of the unfinished store is damaged. ResourceError: the disk is full.
    """
    known, words_path = Vocabulary.from_table(words), work / "phrase-words.parquet"
    known.save(words_path)
    search = PhraseSearch(known.tokens, known.counts, how)

    def count(number: int, *, joins: bool) -> list[Path]:
        """Count in all shards with the phrases found so far."""
        plan, kind = search.plan, "joins" if joins else "pairs"
        plan.save(plan_path(number))
        stem = f"{kind}-{plan.fingerprint[:16]}"
        jobs = [
            PhraseJob(
                number=shard.number,
                tables=len(shard.tables),
                plan=plan_path(number),
                words=words_path,
                counts=work / f"{stem}-{shard.digest[:16]}-{shard.number:05d}.bin",
                joins=joins,
            )
            for _, shard in sorted(shards.items())
        ]
        run_jobs("joining" if joins else f"finding phrases, pass {number}", jobs)
        return [job.counts for job in jobs]

    def plan_path(number: int) -> Path:
        return work / f"phrase-plan-{number:02d}.npz"

    for number in range(1, how.passes + 1):
        if not search.add_pass(count(number, joins=False), threads=threads):
            break  # the next would find none either
    last = how.passes + 1
    counts = search.counts(count(last, joins=True))
    ids = PhraseIds(
        plan=plan_path(last),
        words=words_path,
        ids=work / "phrase-ids.npy",
        fingerprint=search.plan.fingerprint,
    )
    return FoundPhrases(search.phrases(), counts, ids)
