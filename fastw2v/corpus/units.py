"""The jobs of `preprocess`, run in this process or in a worker.

*spool* turns a source into sequences of local ids, with the words and their counts beside them;
*count* adds up the counts of one range of words over all units; *pairs* and *joins* count what
phrases are found by; *encode* turns the sequences into a part of the store, when the vocabulary is
known.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from fastw2v import storage
from fastw2v.corpus import spool
from fastw2v.corpus.config import Layout, PreprocessConfig
from fastw2v.corpus.counts import add_up
from fastw2v.corpus.inputs import ReadOptions, Segment
from fastw2v.corpus.named_tokenizer import extend_import_path
from fastw2v.corpus.sequences import Sequencer
from fastw2v.corpus.store_layout import PHRASES, UNFINISHED, VOCABULARY, part_name
from fastw2v.corpus.text_codes import TextCodes
from fastw2v.corpus.token_store import TokenPartWriter
from fastw2v.corpus.tokenizer import Tokenizer
from fastw2v.corpus.unit_batches import UnitBatches
from fastw2v.corpus.word_codes import WordCodes
from fastw2v.errors import DataError

Progress = Callable[..., None]  # (count), or (0, place) where text is read


@dataclasses.dataclass(frozen=True)
class UnitSettings:
    """All that a job needs to know beside its unit; travels to the workers as JSON.

    config: the options, as `dataclasses.asdict` gives them.
    import_path: where a tokenizer of the user's is found.
    """

    store: str
    config: dict[str, Any]
    stopwords: tuple[str, ...] = ()
    import_path: tuple[str, ...] = ()
    layout: Layout = dataclasses.field(default_factory=Layout)

    @property
    def work(self) -> Path:
        """The directory of the unfinished work."""
        return Path(self.store) / UNFINISHED

    def sequencer(self, first_word: int) -> Sequencer:
        """A sequencer of these settings."""
        return Sequencer(
            first_word, self.config["min_sequence_length"], self.config["max_sequence_length"]
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> UnitSettings:
        """What `dataclasses.asdict` made."""
        tuples = {name: tuple(values[name]) for name in ("stopwords", "import_path")}
        return cls(**{**values, **tuples, "layout": Layout(**values["layout"])})


def spool_result_path(work: Path, unit: int) -> Path:
    """Written when a unit is spooled: what was read, and what was counted."""
    return work / f"spool-{unit:05d}.json"


def encode_result_path(work: Path, unit: int) -> Path:
    """Written when a unit's part is in the store: its entry in the manifest."""
    return work / f"part-{unit:05d}.json"


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write the result of a unit, with a checksum.

    Raises:
        ResourceError: it cannot be written.
    """
    storage.write_json(path, {**result, "checksum": _checksum(result)})


def read_result(path: Path) -> dict[str, Any] | None:
    """What `write_result` wrote; None where it is missing or damaged."""
    try:
        result = storage.read_json(path)
    except DataError:
        return None
    return result if result.pop("checksum", None) == _checksum(result) else None


def _checksum(result: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()


def spool_digest(tables: list[dict[str, Any]]) -> str:
    """What was spooled of a unit: parts and counts of pairs are made of it."""
    digests = [table[name] for table in tables for name in ("sequences", "counts")]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


class Codes(Protocol):
    """Where local ids come from: `WordCodes` or `TokenCodes`."""

    first_word: int

    def is_full(self, most: int) -> bool:
        """Whether there are more than `most` words, or too much else to remember."""
        ...

    def words(self) -> pa.LargeStringArray:
        """The words in the order of their local ids."""
        ...

    def words_at(self, local_ids: np.ndarray) -> list[str]:
        """The words of these local ids."""
        ...

    def codes_of_tokens(self, tokens: list[str]) -> list[int]:
        """The codes of tokens; those that have none get one."""
        ...

    def forget(self) -> None:
        """Start counting local ids from 0 again."""
        ...


def spool_codes(
    settings: UnitSettings,
    unit: int,
    batches: Iterator[np.ndarray],
    codes: Codes,
    sequencer: Sequencer,
    forgets: bool = True,
) -> list[dict[str, Any]]:
    """Spool a stream of code batches; what to remember of each table.

    `batches` makes its codes with `codes`. When these become too many for memory, they are
    forgotten between two batches (where `forgets` says that they may be), and a new table begins.
    """
    tables: list[dict[str, Any]] = []
    counted = settings.config["approximate_vocab"]
    most = min(settings.layout.local_tokens, 2 * (counted or settings.layout.local_tokens))
    more = True
    while more:
        more = False
        with spool.TableWriter(settings.work, unit, len(tables)).open() as table:
            for batch in batches:
                table.add(*sequencer.feed(batch))
                if forgets and codes.is_full(most):
                    more = True
                    break
        tables.append(table.finish(codes.words(), counted))
        if more:
            open_words = codes.words_at(sequencer.open_ids())
            codes.forget()
            first = codes.first_word
            sequencer.renumber([code - first for code in codes.codes_of_tokens(open_words)])
    return tables


class UnitJobs:
    """Runs jobs as they are sent to a worker: dicts with "task", "unit" and what the task needs."""

    def __init__(self, settings: UnitSettings) -> None:
        self._settings = settings
        self._words: WordCodes | None = None
        self._batches = UnitBatches(settings.work)

    def run(self, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Do one job; its result is on disk too, written last.

        Raises:
            DataError: the text or a file of the unfinished store is damaged.
            ResourceError: the disk is full.
        """
        work, unit = self._settings.work, job["unit"]
        if job["task"] == "spool":
            segments = [Segment.from_json(values) for values in job["segments"]]
            result = self._spool(unit, segments, progress)
            write_result(spool_result_path(work, unit), result)
        elif job["task"] == "count":
            partitions, known = range(*job["partitions"]), job["known"]
            result = add_up(work, job["tables"], partitions, unit, job["least"], known)
        elif job["task"] in ("pairs", "joins"):
            self._batches.count_phrases(job, progress)
            result = {}
        else:
            result = self._encode(job, progress)
            write_result(encode_result_path(work, unit), result)
        return result

    def _spool(self, unit: int, segments: list[Segment], progress: Progress) -> dict[str, Any]:
        """Spool the text of one unit; its result."""
        settings = self._settings
        config = PreprocessConfig(**settings.config)
        if self._words is None:
            extend_import_path(settings.import_path)
            tokenizer = Tokenizer.of(config, settings.stopwords)
            self._words = WordCodes(tokenizer, tokenizer.stop_tokens)
        words, self._words = self._words, None  # a job that fails may leave it inside a line
        words.forget()
        sequencer = settings.sequencer(words.first_word)
        block_bytes = settings.layout.block_bytes
        options = ReadOptions.of(config)
        text = TextCodes(words, options, sequencer.stats, progress, block_bytes)
        tables = spool_codes(settings, unit, text.batches(segments), words, sequencer)
        self._words = words
        return {"inputs": text.inputs, "stats": dict(sequencer.stats), "tables": tables}

    def _encode(self, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Write the part of a unit; `progress` gets the tokens done."""
        store, unit = Path(self._settings.store), job["unit"]
        tokens_joined = 0
        with storage.atomic_file(store / part_name(unit)) as temporary:
            row_group_tokens = self._settings.layout.row_group_tokens
            with TokenPartWriter(temporary, job["vocabulary_hash"], row_group_tokens) as writer:
                for ids, lengths, done, joined in self._batches_of(job, store):
                    writer.add(ids, lengths)
                    tokens_joined += joined
                    progress(done)
            entry = {
                "file": part_name(unit),
                "sentences": sum(group["sentences"] for group in writer.row_groups),
                "tokens": sum(group["tokens"] for group in writer.row_groups),
                "bytes": temporary.stat().st_size,
                "sha256": storage.sha256_of(temporary),
                "row_groups": writer.row_groups,
            }
        return {
            "vocabulary_hash": job["vocabulary_hash"],
            "phrases_id": job["phrases_id"],
            "spool": job["spool"],
            "part": entry,
            "tokens_joined": tokens_joined,
        }

    def _batches_of(
        self, job: dict[str, Any], store: Path
    ) -> Iterator[tuple[np.ndarray, np.ndarray, int, int]]:
        """Ids, lengths, how many tokens they were made of, how many of these phrases joined."""
        unit, tables = job["unit"], job["tables"]
        if job["phrases"] == "given":
            phrases = store / PHRASES
            yield from self._batches.joined_as(unit, tables, store / VOCABULARY, phrases)
            return
        if job["phrases"] is None:
            batches = self._batches.known(unit, tables, store / VOCABULARY)
        else:
            batches = self._batches.joined(unit, tables, Path(job["phrases"]))
        for ids, lengths, done in batches:
            yield ids, lengths, done, 0
