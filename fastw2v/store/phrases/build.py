"""The search for phrases over all units of a store in the making."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fastw2v.io import storage
from fastw2v.store.jobs import PhraseFiles
from fastw2v.store.phrases.joined import Phrases
from fastw2v.store.phrases.search import PhraseCounts, PhraseSearch, PhraseSettings
from fastw2v.store.vocabulary import Vocabulary

RunJobs = Callable[[str, list[dict[str, Any]]], Any]  # (what it is called, jobs)


class FoundPhrases(NamedTuple):
    """What came of the search.

    phrases: as strings. counts: of words and phrases in the joined text. plan: the file of ids that
        encoding needs. fingerprint: of all that decides what is joined.
    """

    phrases: Phrases
    counts: PhraseCounts
    plan: Path
    fingerprint: str

    def table(self) -> pa.Table:
        """token, count of all that occurs once phrases are joined."""
        tokens = pa.array(self.counts.tokens, pa.large_string())
        table = pa.table({"token": tokens, "count": self.counts.counts})
        return table.filter(pa.array(self.counts.counts > 0))

    def save_ids(self, work: Path, vocabulary: Vocabulary) -> None:
        """Write the vocabulary ids of words and phrases for `UnitBatches.joined`."""
        index = vocabulary.index
        ids = [*(index.get(token, -1) for token in self.counts.tokens), -1]
        with storage.atomic_file(PhraseFiles(work).ids) as path, open(path, "wb") as file:
            np.save(file, np.array(ids, np.int32), allow_pickle=False)


def find_phrases(
    work: Path,
    words: pa.Table,
    how: PhraseSettings,
    units: Mapping[int, tuple[int, str]],
    run_jobs: RunJobs,
    threads: int,
) -> FoundPhrases:
    """Search the spilled units of `work`, pass after pass; what an earlier run counted is used.

    Args:
        words: token, count: those that may be in phrases.
        units: number -> how many tables its spill has, and its digest.

    Raises:
        DataError: a file of the unfinished store is damaged. ResourceError: the disk is full.
    """
    files = PhraseFiles(work)
    known = Vocabulary.from_table(words)
    known.save(files.words)
    search = PhraseSearch(known.tokens, known.counts, how)

    def count(task: str, number: int) -> list[Path]:
        plan = search.plan
        plan.save(files.plan(number))
        jobs = [
            {
                "task": task,
                "unit": unit,
                "name": "the counts of phrases",
                "tables": tables,
                "plan": str(files.plan(number)),
                "spill": spill,
            }
            for unit, (tables, spill) in units.items()
        ]
        run_jobs(f"finding phrases, pass {number}" if task == "pairs" else "joining", jobs)
        return [
            files.counts(task, plan.fingerprint, spill, unit) for unit, (_, spill) in units.items()
        ]

    for number in range(1, how.passes + 1):
        if not search.add_pass(count("pairs", number), threads=threads):
            break  # the next would find none either
    last = how.passes + 1
    counts = search.counts(count("joins", last))
    plan = search.plan
    return FoundPhrases(search.phrases(), counts, files.plan(last), plan.fingerprint)
