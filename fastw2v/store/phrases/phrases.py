"""The phrases of a vocabulary: joined in new text and in queries as they were in the corpus.

As strings (`Phrases`), as ids of the words of a search (`PhraseJoiner`), and as ids of a vocabulary
(`PhraseText`).

`phrases.parquet` is next to `vocabulary.parquet` in token stores and models: one row per phrase, in
the order of passes and counts. A pass searches the text as joined by the passes before it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fastw2v.errors import DataError
from fastw2v.io import storage
from fastw2v.io.model_directory import Generation, is_model_directory, open_model
from fastw2v.io.store_directory import PHRASES, is_store
from fastw2v.kernels.phrases import (
    CONNECTS,
    Connectors,
    PhraseTable,
    fill_phrase_table,
    join_phrases,
)
from fastw2v.store.phrases.pairs import offsets_of
from fastw2v.store.vocabulary import PARQUET_OPTIONS, read_table

_MAX_PASSES = 8  # that --phrases allows
_TEXT = pa.string()
SCHEMA = pa.schema(
    [
        pa.field("phrase", _TEXT, nullable=False),
        pa.field("left", _TEXT, nullable=False),
        pa.field("connectors", pa.list_(pa.field("element", _TEXT, False)), nullable=False),
        pa.field("right", _TEXT, nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("pass", pa.int32(), nullable=False),
    ]
)


class Phrase(NamedTuple):
    """`phrase` is the token that `left`, `connectors` and `right`, one after another, become.

    pair_count: of the pair in the text of its pass, which may be more than it was joined.
    score: why it is a phrase (`phrase_search`). pass_number: from 1.
    """

    phrase: str
    left: str
    connectors: tuple[str, ...]
    right: str
    pair_count: int
    score: float
    pass_number: int

    @property
    def parts(self) -> tuple[str, ...]:
        """What it is made of."""
        return (self.left, *self.connectors, self.right)


class Phrases:
    """Phrases to join; kept in the order pass, count descending, phrase. Never changed once made.

    Attributes:
        rows: the phrases.
    """

    def __init__(self, rows: Iterable[Phrase]) -> None:
        self.rows = sorted(rows, key=lambda r: (r.pass_number, -r.pair_count, r.phrase, r))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Phrase]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Phrases) and self.rows == other.rows

    def __hash__(self) -> int:
        return hash(tuple(self.rows))

    def __repr__(self) -> str:
        return f"Phrases({len(self)} phrases, {len(self.passes)} passes)"

    @functools.cached_property
    def passes(self) -> list[list[Phrase]]:
        """The phrases of each pass that has some, in the order of passes."""
        numbers = sorted({row.pass_number for row in self.rows})
        return [[row for row in self.rows if row.pass_number == number] for number in numbers]

    @functools.cached_property
    def connectors(self) -> list[str]:
        """The connector words that stand inside phrases, sorted."""
        return sorted({word for row in self.rows for word in row.connectors})

    @functools.cached_property
    def words(self) -> frozenset[str]:
        """All tokens of phrases, and of what they are made of."""
        return frozenset(word for row in self.rows for word in (row.phrase, *row.parts))

    @functools.cached_property
    def _of_parts(self) -> list[dict[tuple[str, ...], str]]:
        return [{row.parts: row.phrase for row in rows} for rows in self.passes]

    @functools.cached_property
    def _parts_of(self) -> dict[str, tuple[str, ...]]:
        return {row.phrase: row.parts for row in reversed(self.rows)}

    def join_tokens(self, tokens: Sequence[str]) -> list[str]:
        """One sequence with its phrases joined: from left to right, pass after pass."""
        joined = list(tokens)
        connectors = frozenset(self.connectors)
        for phrase_of in self._of_parts:
            joined = list(_joined(joined, phrase_of, connectors))
        return joined

    def join_known(self, tokens: Sequence[str], known: Container[str]) -> list[str]:
        """As `join_tokens`, but phrases that are not `known` come apart again.

        A token that neither `known` nor any phrase has is taken in lower case.
        """
        cased = [t if t in known or t in self.words else t.lower() for t in tokens]
        left, result = self.join_tokens(cased)[::-1], []
        while left:
            token = left.pop()
            if token in known or token not in self._parts_of:
                result.append(token)
            else:
                left.extend(reversed(self._parts_of[token]))
        return result

    def save(self, path: str | Path) -> None:
        """Write as Parquet, atomically.

        Raises:
            ResourceError: it cannot be written.
        """
        columns = list(zip(*self.rows, strict=True)) or [()] * len(SCHEMA)
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)
        ]
        with storage.atomic_file(Path(path)) as temporary:
            pq.write_table(pa.table(arrays, schema=SCHEMA), temporary, **PARQUET_OPTIONS)


def _joined(
    tokens: list[str], phrase_of: Mapping[tuple[str, ...], str], connectors: frozenset[str]
) -> Iterator[str]:
    open_parts: list[str] = []  # a word that may begin a phrase, and the connectors after it
    for token in tokens:
        if token in connectors:
            if open_parts:
                open_parts.append(token)
            else:
                yield token
            continue
        phrase = phrase_of.get((*open_parts, token)) if open_parts else None
        if phrase is not None:
            yield phrase
            open_parts = []
        else:
            yield from open_parts
            open_parts = [token]
    yield from open_parts


def load_phrases(path: str | Path) -> Phrases:
    """Read what `Phrases.save` wrote.

    Raises:
        DataError: missing, damaged or foreign.
    """
    table = read_table(Path(path))
    if table.column_names != SCHEMA.names or table.schema.types != SCHEMA.types:
        expected = ", ".join(f"{field.name}: {field.type}" for field in SCHEMA)
        raise DataError(f"{path}: not a phrases file; expected columns {expected}")
    if any(column.null_count for column in table.columns):
        raise DataError(f"{path}: phrases without nulls are expected, but there are some")
    columns = [column.to_pylist() for column in table.columns]
    rows = [
        Phrase(phrase, left, tuple(connectors), *rest)
        for phrase, left, connectors, *rest in zip(*columns, strict=True)
    ]
    _check(path, rows)
    return Phrases(rows)


def find_phrases(path: str | Path) -> Phrases | None:
    """The phrases of a token store or a model, None where it has none or `path` is neither.

    Raises:
        UsageError, DataError: a damaged model, damaged phrases.
    """
    path = Path(path)
    if is_store(path):
        return load_phrases(path / PHRASES) if (path / PHRASES).exists() else None
    return saved_phrases(open_model(path)) if is_model_directory(path) else None


def saved_phrases(saved: Generation) -> Phrases | None:
    """The phrases of a saved model, None where it has none.

    Raises:
        DataError: the file is damaged.
    """
    path = saved.phrases_path
    return load_phrases(path) if path else None


def _check(path: str | Path, rows: Sequence[Phrase]) -> None:
    """Refuse what a file of phrases must not hold."""
    connectors = {word for row in rows for word in row.connectors}
    for row in rows:
        sound = (
            all(row.parts)
            # So that taking phrases apart comes to an end, and makes nothing longer than them.
            and len(row.phrase) > sum(map(len, row.parts))
            and row.left not in connectors
            and row.right not in connectors
            and row.pair_count > 0
            and 0 < row.pass_number <= _MAX_PASSES
            and math.isfinite(row.score)
        )
        if not sound:
            raise DataError(f"{path}: the phrase {row.phrase!r} of {row.parts} cannot be one")
    if len({(row.pass_number, row.parts) for row in rows}) != len(rows):
        raise DataError(f"{path}: a phrase is in it twice")


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


def connectors_of(connector_ids: np.ndarray, num_ids: int) -> Connectors:
    """Connector k is the word `connector_ids[k]`; a chain holds those that fit into 63 bits."""
    count = len(connector_ids)
    connector_of = np.zeros(num_ids if count else 0, np.uint16)
    connector_of[connector_ids] = np.arange(1, count + 1)
    return Connectors(connector_of, count.bit_length(), 63 // count.bit_length() if count else 0)


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
        connectors=connectors,
        slots=np.full(2 << len(found.pairs).bit_length(), -1, np.int32),
        pairs=np.ascontiguousarray(found.pairs, np.int64),
        chains=np.ascontiguousarray(found.chains, np.int64),
        new_ids=np.ascontiguousarray(found.new_ids, np.int32),
    )
    fill_phrase_table(table)
    return table


class PhraseText:
    """Joins the phrases of a vocabulary in sequences of ids, as its own corpus had them joined.

    Ids are rows of `tokens`: first the vocabulary, then what phrases are made of and the vocabulary
    does not have ("york", where it is always part of "new_york").

    Attributes:
        tokens: the vocabulary and those words.
        tokens_joined: tokens less than before joining, so far.
    """

    def __init__(self, vocabulary: Sequence[str], phrases: Phrases) -> None:
        self._vocabulary_size = len(vocabulary)
        self.tokens_joined = 0
        self.tokens = list(dict.fromkeys([*vocabulary, *sorted(phrases.words)]))
        row_of = {token: row for row, token in enumerate(self.tokens)}
        numbers = {word: number for number, word in enumerate(phrases.connectors, start=1)}
        connector_ids = np.array([row_of[word] for word in phrases.connectors], np.int64)
        connectors = connectors_of(connector_ids, len(self.tokens))
        passes = [_as_ids(rows, row_of, numbers, connectors) for rows in phrases.passes]
        self._joiner = PhraseJoiner(len(self.tokens), connectors, passes)

    def join(self, ids: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sequences with their phrases joined, -1 for tokens that are not in the vocabulary.

        Args:
            ids: int32 (n,), rows of `tokens`, -1 for others; lengths: (m,) > 0, sum n.

        Returns:
            ids int32 (k,), lengths int64 (m,) > 0, sum k.
        """
        joined, lengths = self._joiner.join(ids, lengths)
        self.tokens_joined += len(ids) - len(joined)
        return np.where(joined < self._vocabulary_size, joined, np.int32(-1)), lengths


def _as_ids(
    rows: Sequence[Phrase],
    row_of: Mapping[str, int],
    numbers: Mapping[str, int],
    connectors: Connectors,
) -> PhrasePass:
    pairs, chains = [], []
    for row in rows:
        chain = 0
        for word in row.connectors:
            chain = chain << connectors.chain_bits | numbers[word]
        pairs.append(row_of[row.left] << 32 | row_of[row.right])
        chains.append(chain)
    new_ids = [row_of[row.phrase] for row in rows]
    return PhrasePass(
        np.array(pairs, np.int64), np.array(chains, np.int64), np.array(new_ids, np.int32)
    )
