"""The sequences of a spilled unit as ids that all units share, for phrases and for the store.

The jobs of `preprocess`, run in this process or in a worker.

*spill* turns a source into sequences of local ids, with the words and their counts beside them;
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
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from fastw2v.errors import DataError
from fastw2v.io import storage
from fastw2v.io.store_directory import PHRASES, UNFINISHED, VOCABULARY, part_name
from fastw2v.store import spill as spill
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.counts import add_up
from fastw2v.store.encoder import Sequencer, TextCodes, WordCodes, drop_unknown
from fastw2v.store.format import TokenPartWriter
from fastw2v.store.phrases.joined import load_phrases
from fastw2v.store.phrases.new_text import PhraseText
from fastw2v.store.phrases.search import (
    count_unit_joins,
    count_unit_pairs,
    joined_batches,
    load_plan,
)
from fastw2v.store.string_table import ChunkTable
from fastw2v.store.vocabulary import load_tokens
from fastw2v.text.config import Layout
from fastw2v.text.custom_tokenizer import extend_import_path
from fastw2v.text.inputs import Segment
from fastw2v.text.tokenizer import Tokenizer

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

    def counts(self, kind: str, plan: str, spill: str, unit: int) -> Path:
        """The pairs or joins of a unit, counted in this spill with the plan of this fingerprint."""
        return self.work / f"{kind}-{plan[:16]}-{spill[:16]}-{unit:05d}.bin"


class UnitBatches:
    """Reads spilled units; keeps the words it looks ids up in from one unit to the next."""

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
        path = self._files.counts(job["task"], plan.fingerprint, job["spill"], job["unit"])
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
            sequences, counts = spill.table_paths(self._work, unit, table)
            id_of = _ids_of(spill.read_counts(counts), words)
            yield from spill.read_sequences(sequences, id_of, keep_unknown=keep_unknown)


def _untold(count: int) -> None:
    """Progress that nobody asks for."""


def _ids_of(counts: pa.Table, words: ChunkTable) -> np.ndarray:
    """The ids in `words` of local ids, int32 (L,), -1 where a word is not in it."""
    local_ids = counts["local_id"].to_numpy()
    id_of = np.full(int(local_ids.max(initial=-1)) + 1, -1, np.int32)
    id_of[local_ids] = words.find(counts["token"].combine_chunks())
    return id_of


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


def spill_result_path(work: Path, unit: int) -> Path:
    """Written when a unit is spilled: what was read, and what was counted."""
    return work / f"spill-{unit:05d}.json"


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


def spill_digest(tables: list[dict[str, Any]]) -> str:
    """What was spilled of a unit: parts and counts of pairs are made of it."""
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


def spill_codes(
    settings: UnitSettings,
    unit: int,
    batches: Iterator[np.ndarray],
    codes: Codes,
    sequencer: Sequencer,
    forgets: bool = True,
) -> list[dict[str, Any]]:
    """Spill a stream of code batches; what to remember of each table.

    `batches` makes its codes with `codes`. When these become too many for memory, they are
    forgotten between two batches (where `forgets` says that they may be), and a new table begins.
    """
    tables: list[dict[str, Any]] = []
    counted = settings.config["approximate_vocab"]
    most = min(settings.layout.local_tokens, 2 * (counted or settings.layout.local_tokens))
    more = True
    while more:
        more = False
        with spill.TableWriter(settings.work, unit, len(tables)).open() as table:
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
        if job["task"] == "spill":
            segments = [Segment.from_json(values) for values in job["segments"]]
            result = self._spill(unit, segments, progress)
            write_result(spill_result_path(work, unit), result)
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

    def _spill(self, unit: int, segments: list[Segment], progress: Progress) -> dict[str, Any]:
        """Spill the text of one unit; its result."""
        settings = self._settings
        config = PreprocessConfig(**settings.config)
        if self._words is None:
            extend_import_path(settings.import_path)
            tokenizer = Tokenizer(config, settings.stopwords)
            self._words = WordCodes(tokenizer, tokenizer.stop_tokens)
        words, self._words = self._words, None  # a job that fails may leave it inside a line
        words.forget()
        sequencer = settings.sequencer(words.first_word)
        block_bytes = settings.layout.block_bytes
        text = TextCodes(words, config, sequencer.stats, progress, block_bytes)
        tables = spill_codes(settings, unit, text.batches(segments), words, sequencer)
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
            "spill": job["spill"],
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
