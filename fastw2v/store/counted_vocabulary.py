"""The vocabulary of a store in the making: counted in its spilled shards, given, or both.

Phrases are searched for over the same shards, before words are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastw2v.errors import UsageError
from fastw2v.io import storage
from fastw2v.io.storage import sha256_of
from fastw2v.io.store_directory import PHRASES, UNFINISHED, VOCABULARY
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.counts import CountJob, RangeCounts, ranges_of, read_sums
from fastw2v.store.jobs import Job, PhraseIds, PhraseJob, SpilledShard
from fastw2v.store.phrases.phrases import Phrases, find_phrases
from fastw2v.store.phrases.search import PhraseCounts, PhraseSearch, PhraseSettings
from fastw2v.store.settings import Settings
from fastw2v.store.vocabulary import Vocabulary, check_vocabulary

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


def search_phrases(
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


COUNTING = "counting"
_NEVER = 1 << 62  # a count that no word reaches


class CountedVocabulary(NamedTuple):
    """What encoding needs, and numbers for `PreprocessReport`.

    phrases: those that were found in the text. joins_given: whether phrases came with a given
        vocabulary. phrases_id: identifies the phrases; "" for none.
    """

    vocabulary: Vocabulary
    phrases: PhraseIds | None = None
    joins_given: bool = False
    phrases_id: str = ""
    different_tokens: int = 0
    tokens_joined: int = 0
    tokens_below_min_count: int = 0
    tokens_beyond_max_vocab: int = 0


def make_vocabulary(
    store: Path,
    settings: Settings,
    shards: Mapping[int, SpilledShard],
    run_jobs: RunJobs,
    threads: int,
) -> CountedVocabulary:
    """Count words, find phrases, write vocabulary.parquet and phrases.parquet.

    Args:
        run_jobs: runs jobs on all shards. threads: for what is not done by jobs.

    Raises:
        UsageError: fewer than two words remain.
        DataError: a file of the unfinished store is damaged. ResourceError: the disk is full.
    """
    results = run_jobs(COUNTING, _count_jobs(store / UNFINISHED, settings, shards))
    ranges = [results[number] for number in range(len(results))]
    if settings.config.update_vocab:
        made = _grown_vocabulary(store / UNFINISHED, settings, shards, len(ranges))
    elif settings.vocabulary is None:
        made = _from_text(store, settings, shards, ranges, run_jobs, threads)
    else:
        made = CountedVocabulary(settings.vocabulary)
        given = find_phrases(str(settings.config.vocabulary))
        if given is not None:
            given.save(store / PHRASES)
            made = made._replace(joins_given=True, phrases_id=sha256_of(store / PHRASES))
    made.vocabulary.save(store / VOCABULARY)
    return made._replace(different_tokens=sum(part.different for part in ranges))


def _count_jobs(
    work: Path, settings: Settings, shards: Mapping[int, SpilledShard]
) -> list[CountJob]:
    """Jobs that add up the counts of all shards."""
    config, known = settings.config, None
    min_count = config.min_count
    if config.update_vocab:  # the counts of its words are wanted however rare they are in this text
        assert settings.vocabulary is not None
        known = work / "known-words.parquet"
        settings.vocabulary.save(known)
    elif settings.vocabulary is not None:
        min_count = _NEVER
    elif settings.phrases is not None:
        min_count = min(min_count, config.phrase_min_count)
    rows = sum(table.words for shard in shards.values() for table in shard.tables)
    tables = [(number, len(shard.tables)) for number, shard in sorted(shards.items())]
    return [
        CountJob(number, tables, partitions, min_count, known)
        for number, partitions in enumerate(ranges_of(rows))
    ]


def _tokens_in(shards: Mapping[int, SpilledShard]) -> int:
    return sum(shard.tokens for shard in shards.values())


def _from_text(
    store: Path,
    settings: Settings,
    shards: Mapping[int, SpilledShard],
    ranges: Sequence[RangeCounts],
    run_jobs: RunJobs,
    threads: int,
) -> CountedVocabulary:
    """The words of the text, and its phrases."""
    config, work, tokens = settings.config, store / UNFINISHED, _tokens_in(shards)
    table, found, joined = read_sums(work, len(ranges)), None, 0
    if settings.phrases is not None:
        found = search_phrases(work, table, settings.phrases, shards, run_jobs, threads)
        found.phrases.save(store / PHRASES)
        table, joined = found.table(), found.counts.tokens_joined
    vocabulary = Vocabulary.from_table(table, config.min_count, config.max_vocab)
    if len(vocabulary) < 2:
        raise UsageError(_too_small(len(vocabulary), ranges, config))
    frequent = pc.sum(table.filter(pc.field("count") >= config.min_count)["count"]).as_py()
    if found is not None:
        found.save_ids(vocabulary)
    return CountedVocabulary(
        vocabulary,
        phrases=found.ids if found is not None else None,
        phrases_id=found.ids.fingerprint if found is not None else "",
        tokens_joined=joined,
        tokens_below_min_count=tokens - joined - frequent,
        tokens_beyond_max_vocab=frequent - vocabulary.total,
    )


def _grown_vocabulary(
    work: Path, settings: Settings, shards: Mapping[int, SpilledShard], ranges: int
) -> CountedVocabulary:
    """The given words in their order, then the new ones of the text as a new vocabulary has them.

    Counts are those of both. `ranges`: how many files of sums there are.
    """
    config, old = settings.config, settings.vocabulary
    assert old is not None
    room = None if config.max_vocab is None else config.max_vocab - len(old)
    if room is not None and room < 0:
        raise UsageError(
            f"`max_vocab`: {config.max_vocab} is less than the {len(old)} words of "
            f"{config.vocabulary}, which all stay with `update_vocab`"
        )
    table = read_sums(work, ranges)
    is_old = pc.is_in(table["token"], pa.array(old.tokens, pa.large_string()))
    again, others = table.filter(is_old), table.filter(pc.invert(is_old))
    more = Vocabulary.from_table(others, config.min_count, room)
    sums = old.counts.copy()
    sums[[old.index[token] for token in again["token"].to_pylist()]] += again["count"].to_numpy()
    grown = Vocabulary([*old.tokens, *more.tokens], np.concatenate([sums, more.counts]))
    kept = (pc.sum(again["count"]).as_py() or 0) + more.total
    frequent = pc.sum(table["count"]).as_py() or 0
    check_vocabulary(str(config.vocabulary), grown)
    return CountedVocabulary(
        grown,
        tokens_below_min_count=_tokens_in(shards) - frequent,
        tokens_beyond_max_vocab=frequent - kept,
    )


def _too_small(size: int, ranges: Sequence[RangeCounts], config: PreprocessConfig) -> str:
    """Why the vocabulary is too small, and which `min_count` would help."""
    different = sum(part.different for part in ranges)
    if different < 2:
        reason = f"the text has {different} different words; a vocabulary needs at least two"
        if config.approximate_vocab is not None:
            return (
                f"`approximate_vocab`: {config.approximate_vocab}: too few for a text in which all "
                "words are about as frequent; give a larger number"
            )
        return reason
    helps = sorted(count for part in ranges for count in part.largest)[-2]
    return (
        f"only {size} of {different} different words occur {config.min_count} times or more; "
        f"`min_count` {helps} or less would keep at least two"
    )
