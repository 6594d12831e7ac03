"""The jobs of `preprocess`, each a piece of work that one process does from start to end.

`SpillJob` turns the text of a shard into sequences of local ids, with the words and their counts
beside them; `CountJob` adds up the counts of one range of words over all shards; `PhraseJob` counts
what phrases are found by; `EncodeJob` turns the sequences of a shard into its part of the store,
when the vocabulary is known. A job is all that a worker gets, and its result all that it returns.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from fastw2v.errors import DataError
from fastw2v.io import storage
from fastw2v.io.store_directory import PHRASES, UNFINISHED, VOCABULARY, part_name
from fastw2v.store import counts
from fastw2v.store.encoder import Progress, Sequencer, ShardEncoder, TextEncoder, drop_unknown
from fastw2v.store.format import TokenPartWriter
from fastw2v.store.phrases.phrases import PhraseText, load_phrases
from fastw2v.store.phrases.search import (
    count_unit_joins,
    count_unit_pairs,
    joined_batches,
    load_plan,
)
from fastw2v.store.settings import Settings
from fastw2v.store.spill import ShardSpill, SpilledTable, read_counts, read_sequences, table_paths
from fastw2v.store.string_table import StringTable
from fastw2v.store.vocabulary import load_tokens
from fastw2v.text.inputs import ReadCounts, Segment
from fastw2v.text.tokenizer import Tokenizer

Batch: TypeAlias = tuple[np.ndarray, np.ndarray, int]  # ids, lengths, tokens that it was made of


# --- results ---


@dataclasses.dataclass(frozen=True)
class SpilledShard:
    """What is remembered of a shard that is spilled.

    Attributes:
        number: of the shard.
        inputs: the segments as they were read, for the manifest.
    """

    number: int
    inputs: Sequence[dict[str, Any]]
    stats: ReadCounts
    tables: Sequence[SpilledTable]

    @property
    def name(self) -> str:
        """What messages call the shard."""
        return ", ".join([entry["name"] for entry in self.inputs[:3]]) or "the tokens"

    @property
    def tokens(self) -> int:
        """Tokens of its sequences."""
        return self.stats.tokens_in_sequences

    @property
    def digest(self) -> str:
        """SHA-256 over all that was spilled: parts and counts of pairs are made of it."""
        digests = [digest for table in self.tables for digest in (table.sequences, table.counts)]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def save(self, work: Path) -> None:
        """Write to `path`; the shard is spilled then.

        Raises:
            ResourceError: it cannot be written.
        """
        result = dataclasses.asdict(self)
        del result["number"]
        write_result(self.path(work, self.number), result)

    @classmethod
    def load(cls, work: Path, number: int) -> SpilledShard | None:
        """What `save` wrote; None if it is missing or damaged."""
        result = read_result(cls.path(work, number)) or {}
        try:
            tables = [SpilledTable(**table) for table in result["tables"]]
            return cls(number, result["inputs"], ReadCounts(**result["stats"]), tables)
        except (KeyError, TypeError):  # of another version
            return None

    @staticmethod
    def path(work: Path, number: int) -> Path:
        """The file of a shard's result."""
        return work / f"spill-{number:05d}.json"


@dataclasses.dataclass(frozen=True)
class EncodedShard:
    """What is remembered of a shard whose part is in the store.

    Attributes:
        part: its entry in the manifest.
        vocabulary_hash, phrases_id, spill: what it was made with.
        tokens_joined: how many tokens less than in the spill, where phrases of a given vocabulary
            were joined.
    """

    number: int
    part: dict[str, Any]
    vocabulary_hash: str
    phrases_id: str
    spill: str
    tokens_joined: int

    def save(self, work: Path) -> None:
        """As `SpilledShard.save`."""
        write_result(self.path(work, self.number), dataclasses.asdict(self))

    @classmethod
    def load(cls, work: Path, number: int) -> EncodedShard | None:
        """What `save` wrote; None if it is missing or damaged."""
        try:
            return cls(**(read_result(cls.path(work, number)) or {}))
        except TypeError:  # of another version
            return None

    @staticmethod
    def path(work: Path, number: int) -> Path:
        """The file of a shard's result."""
        return work / f"part-{number:05d}.json"


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a JSON object with a checksum.

    Raises:
        ResourceError: it cannot be written.
    """
    storage.write_json(path, {**result, "checksum": _checksum(result)})


def read_result(path: Path) -> dict[str, Any] | None:
    """What `write_result` wrote; None if it is missing or damaged."""
    try:
        result = storage.read_json(path)
    except DataError:
        return None
    return result if result.pop("checksum", None) == _checksum(result) else None


def _checksum(result: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()


# --- jobs ---


@dataclasses.dataclass(frozen=True)
class SpillJob:
    """Spill the text of a shard; the result is a `SpilledShard`."""

    number: int
    segments: Sequence[Segment]

    @property
    def name(self) -> str:
        """What messages call the job."""
        return ", ".join(segment.name for segment in self.segments[:3])

    @property
    def only_here(self) -> bool:
        """Whether only the process that was started can do it."""
        return any(segment.only_here for segment in self.segments)


@dataclasses.dataclass(frozen=True)
class PhraseJob:
    """Count the pairs, or the joins, of a spilled shard into a file; nothing is returned.

    Attributes:
        tables: of the spill.
        plan: the file of the `PhrasePlan`.
        words: the file of the words that may be in phrases; the row is their provisional id.
        counts: the file to write; one that exists is kept.
        joins: count how often phrases are joined, in place of pairs.
    """

    number: int
    tables: int
    plan: Path
    words: Path
    counts: Path
    joins: bool
    name = "the counts of phrases"
    only_here = False


@dataclasses.dataclass(frozen=True)
class PhraseIds:
    """The phrases that were found in the text.

    Attributes:
        plan: the file of the `PhrasePlan`.
        words: as in `PhraseJob`.
        ids: the file of the vocabulary id of each row of `PhraseSearch.tokens`, -1 behind the last;
            .npy, int32.
        fingerprint: of all that decides what is joined.
    """

    plan: Path
    words: Path
    ids: Path
    fingerprint: str


@dataclasses.dataclass(frozen=True)
class EncodeJob:
    """Write the part of a spilled shard; the result is an `EncodedShard`.

    Attributes:
        phrases: those to join, if they were found in the text.
        joins_given: whether to join those of the store's phrases.parquet, which came with the
            vocabulary.
        phrases_id: identifies the phrases that are joined; "" for none.
    """

    shard: SpilledShard
    vocabulary_hash: str
    phrases: PhraseIds | None
    joins_given: bool
    phrases_id: str
    only_here = False

    @property
    def number(self) -> int:
        """Of the shard."""
        return self.shard.number

    @property
    def name(self) -> str:
        """What messages call the job."""
        return self.shard.name


Job: TypeAlias = SpillJob | counts.CountJob | PhraseJob | EncodeJob


class JobRunner:
    """Does jobs, one after another, and keeps the tokenizer and word tables in between."""

    def __init__(self, store: Path, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self._work = store / UNFINISHED
        self._codes: TextEncoder | None = None
        self._spills = _SpillReader(store)

    def run(self, job: Job, progress: Progress) -> Any:
        """Do one job; its result is on disk too, written last.

        Args:
            progress: called with the bytes read (`SpillJob`) or tokens done, and as `ShardEncoder`
                says.

        Raises:
            DataError: the text or a file of the unfinished store is damaged.
            ResourceError: the disk is full.
        """
        if isinstance(job, SpillJob):
            return self._spill(job, progress)
        if isinstance(job, counts.CountJob):
            return counts.add_up(self._work, job)
        if isinstance(job, PhraseJob):
            return self._count_phrases(job, progress)
        return self._encode(job, progress)

    def _spill(self, job: SpillJob, progress: Progress) -> SpilledShard:
        config, layout = self.settings.config, self.settings.layout
        if self._codes is None:
            tokenizer = Tokenizer(config, self.settings.stopwords)
            self._codes = TextEncoder(tokenizer, tokenizer.stop_tokens)
        codes, self._codes = self._codes, None  # a job that fails may leave it inside a line
        codes.forget()
        sequencer = Sequencer(
            codes.first_word, config.min_sequence_length, config.max_sequence_length
        )
        text = ShardEncoder(codes, config, sequencer.stats, progress, layout.block_bytes)
        spill = ShardSpill(self._work, job.number, self.settings)
        tables = spill.write(text.batches(job.segments), codes, sequencer, forgets=True)
        self._codes = codes
        shard = SpilledShard(job.number, text.inputs, sequencer.stats, tables)
        shard.save(self._work)
        return shard

    def _count_phrases(self, job: PhraseJob, progress: Progress) -> None:
        if job.counts.exists():
            return
        batches = self._spills.provisional(job.number, job.tables, job.words, progress)
        count = count_unit_joins if job.joins else count_unit_pairs
        count(load_plan(job.plan), batches, job.counts)

    def _encode(self, job: EncodeJob, progress: Progress) -> EncodedShard:
        """Write the part of a shard; `progress` gets the tokens done."""
        name = part_name(job.number)
        with storage.atomic_file(self.store / name) as temporary:
            row_group_tokens = self.settings.layout.row_group_tokens
            with TokenPartWriter(temporary, job.vocabulary_hash, row_group_tokens) as writer:
                for ids, lengths, done in self._spills.batches_of(job):
                    writer.add(ids, lengths)
                    progress(done)
            part = {
                "file": name,
                "sentences": sum(group["sentences"] for group in writer.row_groups),
                "tokens": sum(group["tokens"] for group in writer.row_groups),
                "bytes": temporary.stat().st_size,
                "sha256": storage.sha256_of(temporary),
                "row_groups": writer.row_groups,
            }
        shard = EncodedShard(
            number=job.number,
            part=part,
            vocabulary_hash=job.vocabulary_hash,
            phrases_id=job.phrases_id,
            spill=job.shard.digest,
            tokens_joined=self._spills.tokens_joined if job.joins_given else 0,
        )
        shard.save(self._work)
        return shard


class _SpillReader:
    """Reads spilled shards as ids that all shards share, and keeps the words that it looks ids up
    in from one shard to the next.

    Attributes:
        tokens_joined: of the last shard whose given phrases were joined.
    """

    def __init__(self, store: Path) -> None:
        self._store = store
        self._words, self._words_of = StringTable(), ""
        self._phrase_text: PhraseText | None = None
        self.tokens_joined = 0

    def batches_of(self, job: EncodeJob) -> Iterator[Batch]:
        """Ids of the vocabulary; other tokens are left out."""
        number, tables = job.number, len(job.shard.tables)
        if job.joins_given:
            return self._with_given_phrases(number, tables)
        if job.phrases is not None:
            return self._with_phrases(number, tables, job.phrases)
        words = self._load_words(self._store / VOCABULARY)
        return self._read(number, tables, words, keep_unknown=False)

    def provisional(
        self, number: int, tables: int, words: Path, progress: Progress
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the file `words`, -1 for other tokens; `progress` gets the tokens done."""
        table = self._load_words(words)
        for ids, lengths, done in self._read(number, tables, table, keep_unknown=True):
            yield ids, lengths
            progress(done)

    def _with_phrases(self, number: int, tables: int, phrases: PhraseIds) -> Iterator[Batch]:
        id_of = np.load(phrases.ids, allow_pickle=False)
        batches = self.provisional(number, tables, phrases.words, lambda count: None)
        for ids, lengths in joined_batches(load_plan(phrases.plan), batches):
            yield *drop_unknown(id_of[ids], _offsets(lengths)), len(ids)

    def _with_given_phrases(self, number: int, tables: int) -> Iterator[Batch]:
        if self._phrase_text is None:
            tokens = load_tokens(self._store / VOCABULARY).to_pylist()
            self._phrase_text = PhraseText(tokens, load_phrases(self._store / PHRASES))
            self._words, self._words_of = StringTable(), PHRASES
            self._words.intern(pa.array(self._phrase_text.tokens, pa.large_string()))
        text = self._phrase_text
        self.tokens_joined, before = 0, text.tokens_joined
        for ids, lengths, done in self._read(number, tables, self._words, keep_unknown=True):
            ids, lengths = text.join(ids, lengths)
            self.tokens_joined = text.tokens_joined - before
            yield *drop_unknown(ids, _offsets(lengths)), done

    def _load_words(self, path: Path) -> StringTable:
        name = f"{path} {storage.sha256_of(path)}"
        if name != self._words_of:
            self._words, self._words_of = StringTable(), name
            self._words.intern(load_tokens(path))
        return self._words

    def _read(
        self, number: int, tables: int, words: StringTable, *, keep_unknown: bool
    ) -> Iterator[Batch]:
        for table in range(tables):
            sequences, counted = table_paths(self._store / UNFINISHED, number, table)
            rows = read_counts(counted)
            local_ids = rows["local_id"].to_numpy()
            id_of = np.full(int(local_ids.max(initial=-1)) + 1, -1, np.int32)
            id_of[local_ids] = words.find(rows["token"].combine_chunks())
            yield from read_sequences(sequences, id_of, keep_unknown=keep_unknown)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)])
