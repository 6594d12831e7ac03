"""The two jobs on a unit of work, run in this process or in a worker.

*spool* turns a source into sequences of local ids (with the words and their counts beside them);
*encode* turns those into the part of the store, when the vocabulary is known. A spool consists of
one or more tables, each with local ids of its own, so that memory stays bounded.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastw2v import storage
from fastw2v.corpus.config import Layout
from fastw2v.corpus.sequences import Sequencer, TokenCodes, drop_unknown
from fastw2v.corpus.shards import Segment
from fastw2v.corpus.store_layout import UNFINISHED, VOCABULARY, part_name
from fastw2v.corpus.text_codes import TextCodes
from fastw2v.corpus.token_store import TokenPart, TokenPartWriter
from fastw2v.corpus.tokenizer import Tokenizer
from fastw2v.corpus.vocabulary import Vocabulary, load_counted_tokens, save_counts

Progress = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class UnitSettings:
    """All that a job needs to know beside its unit; travels to the workers as JSON."""

    store: str
    stopwords: tuple[str, ...] = ()
    tokenizer: str = "words"
    lowercase: bool = True
    strip_accents: bool = False
    errors: str = "replace"
    min_sequence_length: int = 1
    max_sequence_length: int = 10000
    layout: Layout = dataclasses.field(default_factory=Layout)

    @property
    def work(self) -> Path:
        """The directory of the unfinished work."""
        return Path(self.store) / UNFINISHED

    def sequencer(self) -> Sequencer:
        """A sequencer of these settings."""
        return Sequencer(
            len(self.stopwords) + 1, self.min_sequence_length, self.max_sequence_length
        )

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> UnitSettings:
        """What `dataclasses.asdict` made."""
        stopwords, layout = tuple(values["stopwords"]), Layout(**values["layout"])
        return cls(**{**values, "stopwords": stopwords, "layout": layout})


def spool_result_path(work: Path, unit: int) -> Path:
    """Written when a unit is spooled: what was read, and what was counted."""
    return work / f"spool-{unit:05d}.json"


def encode_result_path(work: Path, unit: int) -> Path:
    """Written when a unit's part is in the store: its entry in the manifest."""
    return work / f"part-{unit:05d}.json"


def table_paths(work: Path, unit: int, table: int) -> tuple[Path, Path]:
    """Sequences and word counts of one table of a spool."""
    stem = f"{unit:05d}-{table:03d}"
    return work / f"sequences-{stem}.parquet", work / f"counts-{stem}.parquet"


class Spool:
    """Writes the spool of one unit, table by table."""

    def __init__(self, work: Path, unit: int, layout: Layout) -> None:
        self._work, self._unit, self._layout = work, unit, layout
        self.tables = 0
        self._pending: list[np.ndarray] = []
        self._pending_ids = 0
        self._counts = np.zeros(0, dtype=np.int64)

    @contextlib.contextmanager
    def table(self) -> Iterator[Callable[[np.ndarray, np.ndarray], None]]:
        """A new table: gives `add(local_ids, lengths)`; call `finish_table` after it."""
        path, _ = table_paths(self._work, self._unit, self.tables)
        with (
            storage.atomic_file(path) as temporary,
            TokenPartWriter(temporary, "", self._layout.row_group_tokens) as writer,
        ):

            def add(ids: np.ndarray, lengths: np.ndarray) -> None:
                writer.add(ids, lengths)
                self._pending.append(ids)
                self._pending_ids += len(ids)
                if self._pending_ids > max(4_000_000, len(self._counts)):
                    self._count(0)

            yield add

    def finish_table(self, words: Sequence[str]) -> None:
        """Write the counts of the table; `words` in the order of their local ids."""
        self._count(len(words))
        _, path = table_paths(self._work, self._unit, self.tables)
        save_counts(path, words, self._counts)
        self._counts = np.zeros(0, dtype=np.int64)
        self.tables += 1

    def _count(self, num_words: int) -> None:
        ids = np.concatenate([np.zeros(0, dtype=np.int64), *self._pending])
        counts = np.bincount(ids, minlength=max(num_words, len(self._counts)))
        counts[: len(self._counts)] += self._counts
        self._counts = counts
        self._pending, self._pending_ids = [], 0


def spool_codes(
    settings: UnitSettings,
    unit: int,
    batches: Iterator[np.ndarray],
    tokens: TokenCodes,
    sequencer: Sequencer,
    forget: Callable[[], None] | None,
) -> int:
    """Spool a stream of code batches; returns the number of tables.

    `batches` makes its codes with `tokens`. When these become too many for memory, `forget` is
    called between two batches (it must make `tokens` forget), and a new table begins.
    """
    spool = Spool(settings.work, unit, settings.layout)
    more = True
    while more:
        more = False
        with spool.table() as add:
            for codes in batches:
                add(*sequencer.feed(codes))
                if forget and tokens.num_words > settings.layout.local_tokens:
                    more = True
                    break
        words = tokens.words()
        spool.finish_table(words)
        if more and forget:
            open_words = [words[local_id] for local_id in sequencer.open_ids().tolist()]
            forget()
            sequencer.renumber([tokens[word] - tokens.first_word for word in open_words])
    return spool.tables


def _spool_text(
    settings: UnitSettings, unit: int, segments: list[Segment], progress: Progress
) -> dict[str, Any]:
    """Spool the text of one unit; its result."""
    tokens, sequencer = TokenCodes(settings.stopwords), settings.sequencer()
    text = TextCodes(
        Tokenizer(settings.tokenizer, settings.lowercase, settings.strip_accents),
        tokens,
        settings.errors,
        sequencer.stats,
        progress,
        settings.layout.block_bytes,
    )
    batches = text.batches(segments)
    tables = spool_codes(settings, unit, batches, tokens, sequencer, text.forget)
    return {"inputs": text.inputs, "stats": dict(sequencer.stats), "tables": tables}


class UnitJobs:
    """Runs jobs as they are sent to a worker: dicts with "task", "unit" and what the task needs."""

    def __init__(self, settings: UnitSettings) -> None:
        self._settings = settings
        self._vocabulary: tuple[str, pa.Array] | None = None

    def run(self, job: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """Do one job; its result is on disk too, written last.

        Raises:
            DataError: the text or a file of the unfinished store is damaged.
            ResourceError: the disk is full.
        """
        if job["task"] == "spool":
            segments = [Segment.from_json(values) for values in job["segments"]]
            result = _spool_text(self._settings, job["unit"], segments, progress)
            storage.write_json(spool_result_path(self._settings.work, job["unit"]), result)
        else:
            result = self._encode(job["unit"], job["tables"], progress)
            storage.write_json(encode_result_path(self._settings.work, job["unit"]), result)
        return result

    def _encode(self, unit: int, tables: int, progress: Progress) -> dict[str, Any]:
        """Write the part of a unit; `progress` gets the tokens done."""
        store = Path(self._settings.store)
        vocabulary_hash, vocabulary = self._load_vocabulary(store)
        path = store / part_name(unit)
        with storage.atomic_file(path) as temporary:
            row_group_tokens = self._settings.layout.row_group_tokens
            with TokenPartWriter(temporary, vocabulary_hash, row_group_tokens) as writer:
                for table in range(tables):
                    sequences, counts = table_paths(self._settings.work, unit, table)
                    words = load_counted_tokens(counts)
                    id_of = pc.index_in(words, value_set=vocabulary).fill_null(-1).to_numpy()
                    _encode_table(sequences, id_of, writer, progress)
            entry = {
                "file": part_name(unit),
                "sentences": sum(group["sentences"] for group in writer.row_groups),
                "tokens": sum(group["tokens"] for group in writer.row_groups),
                "bytes": temporary.stat().st_size,
                "sha256": storage.sha256_of(temporary),
                "row_groups": writer.row_groups,
            }
        return {"vocabulary_hash": vocabulary_hash, "part": entry}

    def _load_vocabulary(self, store: Path) -> tuple[str, pa.Array]:
        if self._vocabulary is None:
            vocabulary = Vocabulary.load(store / VOCABULARY)
            tokens = pa.array(vocabulary.tokens, pa.large_string())
            self._vocabulary = vocabulary.hash, tokens
        return self._vocabulary


def _encode_table(
    sequences: Path, id_of: np.ndarray, writer: TokenPartWriter, progress: Progress
) -> None:
    """Copy a table's sequences with vocabulary ids; -1 in `id_of` means: not in the vocabulary."""
    part = TokenPart.open(sequences)
    for row_group in range(part.metadata.num_row_groups):
        local_ids, offsets = part.read(row_group, len(id_of))
        writer.add(*drop_unknown(id_of[local_ids], offsets))
        progress(len(local_ids))
