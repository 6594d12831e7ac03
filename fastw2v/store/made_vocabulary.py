"""The vocabulary of a store in the making: counted in its spilled units, given, or both."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastw2v.errors import UsageError
from fastw2v.io.storage import sha256_of
from fastw2v.io.store_directory import PHRASES, UNFINISHED, VOCABULARY
from fastw2v.store import counts
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.jobs import spill_digest
from fastw2v.store.phrases import build as phrase_build
from fastw2v.store.phrases.build import RunJobs
from fastw2v.store.phrases.joined import find_phrases
from fastw2v.store.settings import Settings
from fastw2v.store.vocabulary import Vocabulary, check_vocabulary

GIVEN_PHRASES = "given"
COUNTING = "counting"
_KNOWN = "known-words.parquet"
_NEVER = 1 << 62  # a count that no word reaches


class MadeVocabulary(NamedTuple):
    """What encoding needs, and the report.

    phrases: what is to be joined: the plan of the phrases that were found, `GIVEN_PHRASES` for
        those of phrases.parquet, None for none. phrases_id: tells them from others, "" for none.
    counted: by the names of `PreprocessReport`.
    """

    vocabulary: Vocabulary
    phrases: str | None
    phrases_id: str
    counted: dict[str, int]


def make_vocabulary(
    store: Path,
    settings: Settings,
    tables: Mapping[int, list[dict[str, Any]]],
    tokens: int,
    run_jobs: RunJobs,
    threads: int,
) -> MadeVocabulary:
    """Count words, find phrases, write vocabulary.parquet and phrases.parquet.

    Args:
        tables: what to remember of the tables of each unit's spill. tokens: in all of them.
        run_jobs: runs jobs on all units.

    Raises:
        UsageError: fewer than two words remain.
        DataError: a file of the unfinished store is damaged. ResourceError: the disk is full.
    """
    known = _save_known(store / UNFINISHED, settings)
    sums = run_jobs(COUNTING, _count_jobs(settings, tables, known))
    results = [sums[number] for number in range(len(sums))]
    if settings.config.update_vocab:
        made = _grown_vocabulary(store / UNFINISHED, settings, tokens, len(results))
    elif settings.vocabulary is None:
        units = {
            unit: (len(entries), spill_digest(entries)) for unit, entries in sorted(tables.items())
        }
        made = _counted_vocabulary(store, settings, units, tokens, results, run_jobs, threads)
    else:
        made = MadeVocabulary(settings.vocabulary, None, "", {})
        given = find_phrases(str(settings.config.vocabulary))
        if given is not None:
            given.save(store / PHRASES)
            made = made._replace(phrases=GIVEN_PHRASES, phrases_id=sha256_of(store / PHRASES))
    made.vocabulary.save(store / VOCABULARY)
    made.counted["different_tokens"] = sum(result["different"] for result in results)
    made.counted["vocabulary_size"] = len(made.vocabulary)
    return made


def _save_known(work: Path, settings: Settings) -> Path | None:
    """Write the words whose counts are wanted however rare they are in this text, if any."""
    if not settings.config.update_vocab:
        return None
    assert settings.vocabulary is not None
    settings.vocabulary.save(work / _KNOWN)
    return work / _KNOWN


def _count_jobs(
    settings: Settings, tables: Mapping[int, list[dict[str, Any]]], known: Path | None
) -> list[dict[str, Any]]:
    """Jobs that add up the counts of all units (see `counts.add_up`)."""
    least = settings.config.min_count
    if settings.vocabulary is not None and known is None:
        least = _NEVER
    elif settings.phrases is not None:
        least = min(least, settings.config.phrase_min_count)
    words = sum(table["words"] for entries in tables.values() for table in entries)
    return [
        {
            "task": "count",
            "unit": number,
            "name": "the counts",
            "tables": [(unit, len(entries)) for unit, entries in sorted(tables.items())],
            "partitions": (partitions.start, partitions.stop),
            "least": least,
            "known": None if known is None else str(known),
        }
        for number, partitions in enumerate(counts.ranges_of(words))
    ]


def _counted_vocabulary(
    store: Path,
    settings: Settings,
    units: Mapping[int, tuple[int, str]],
    tokens: int,
    results: list[dict[str, Any]],
    run_jobs: RunJobs,
    threads: int,
) -> MadeVocabulary:
    """The words of the text, and its phrases."""
    config, how, work = settings.config, settings.phrases, store / UNFINISHED
    table, found, phrases = counts.read_sums(work, len(results)), None, None
    phrases_id = ""
    counted = {}
    if how is not None:
        found = phrase_build.find_phrases(work, table, how, units, run_jobs, threads)
        found.phrases.save(store / PHRASES)
        counted["tokens_joined"] = found.counts.tokens_joined
        tokens -= found.counts.tokens_joined
        table, phrases, phrases_id = found.table(), str(found.plan), found.fingerprint
    vocabulary = Vocabulary.from_table(table, config.min_count, config.max_vocab)
    if len(vocabulary) < 2:
        raise UsageError(_too_small(len(vocabulary), results, config))
    frequent = table.filter(pc.field("count") >= config.min_count)["count"]
    counted["tokens_below_min_count"] = tokens - pc.sum(frequent).as_py()
    counted["tokens_beyond_max_vocab"] = pc.sum(frequent).as_py() - vocabulary.total
    if found is not None:
        found.save_ids(work, vocabulary)
    return MadeVocabulary(vocabulary, phrases, phrases_id, counted)


def _grown_vocabulary(work: Path, settings: Settings, tokens: int, ranges: int) -> MadeVocabulary:
    """The given words in their order, then the new ones of the text as a new vocabulary has them.

    Counts are those of both. `tokens`: of the text; `ranges`: how many files of sums there are.
    """
    config, old = settings.config, settings.vocabulary
    assert old is not None
    room = None if config.max_vocab is None else config.max_vocab - len(old)
    if room is not None and room < 0:
        raise UsageError(
            f"--max-vocab: {config.max_vocab} is less than the {len(old)} words of "
            f"{config.vocabulary}, which all stay with --update-vocab"
        )
    table = counts.read_sums(work, ranges)
    is_old = pc.is_in(table["token"], pa.array(old.tokens, pa.large_string()))
    again, others = table.filter(is_old), table.filter(pc.invert(is_old))
    more = Vocabulary.from_table(others, config.min_count, room)
    sums = old.counts.copy()
    sums[[old.index[token] for token in again["token"].to_pylist()]] += again["count"].to_numpy()
    grown = Vocabulary([*old.tokens, *more.tokens], np.concatenate([sums, more.counts]))
    kept = (pc.sum(again["count"]).as_py() or 0) + more.total
    frequent = pc.sum(table["count"]).as_py() or 0
    counted = {
        "tokens_below_min_count": tokens - frequent,
        "tokens_beyond_max_vocab": frequent - kept,
    }
    check_vocabulary(str(config.vocabulary), grown)
    return MadeVocabulary(grown, None, "", counted)


def _too_small(size: int, results: list[dict[str, Any]], config: PreprocessConfig) -> str:
    """Why the vocabulary is too small, and which --min-count would help."""
    different = sum(result["different"] for result in results)
    if different < 2:
        reason = f"the text has {different} different words; a vocabulary needs at least two"
        if config.approximate_vocab is not None:
            return (
                f"--approximate-vocab: {config.approximate_vocab}: too few for a text in which all "
                "words are about as frequent; give a larger number"
            )
        return reason
    helps = sorted(count for result in results for count in result["largest"])[-2]
    return (
        f"only {size} of {different} different words occur {config.min_count} times or more; "
        f"--min-count {helps} or less would keep at least two"
    )
