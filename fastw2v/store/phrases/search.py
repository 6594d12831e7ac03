"""The options of phrases with their files read, and the scores of pairs.

Finding the phrases of a corpus: which pairs of words come together more often than by chance.

Scores (of the pair a b, n its count, N the tokens of the pass, d = `phrase_min_count`):

    default   (n_ab - d) / (n_a · n_b) · N                     word2phrase.c; Mikolov et al. 2013b
    npmi      ln(p_ab / (p_a · p_b)) / -ln p_ab,  p = n / N    Bouma 2009

A pass counts pairs, and those above the threshold are its phrases. The next pass counts the pairs
of the text with these joined, so that phrases of up to 2**passes words emerge.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastw2v.errors import DataError, UsageError
from fastw2v.io import storage
from fastw2v.io.untrusted import HEADER_ERRORS
from fastw2v.kernels.phrases import Connectors
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.phrases.pairs import (
    PairCounts,
    PairFile,
    add_up_pairs,
    counting_pairs,
    load_totals,
    partitions_for,
    save_array,
)
from fastw2v.store.phrases.phrases import Phrase, PhraseJoiner, PhrasePass, Phrases, connectors_of
from fastw2v.text.tokenizer import load_words

WORD2PHRASE_THRESHOLD, NPMI_THRESHOLD = 100.0, 0.5
_WORDS = """
    a an and as at by for from in into of on or per the to upon with without
"""
ENGLISH = tuple(_WORDS.split())

_MAX_CONNECTORS = 1000
_NPMI_DECIMALS = 6  # logarithms differ in their last bit from one machine to another


def load_connectors(name: str | None, words_of: Callable[[str], list[str]]) -> list[str]:
    """The words that `connectors` names, as `load_words` gives them.

    Raises:
        UsageError: more than 1,000.
    """
    words = load_words("`connectors`", name, ENGLISH, words_of)
    if len(words) > _MAX_CONNECTORS:
        raise UsageError(
            f"`connectors`: {name}: {len(words):,} words; at most {_MAX_CONNECTORS:,} can be "
            "connectors (a stop list is for `stopwords`)"
        )
    return words


@dataclasses.dataclass(frozen=True)
class PhraseSettings:
    """The options of phrases, and the connector words themselves.

    Attributes:
        passes, score, threshold, delta, separator: the options `phrases`, `phrase_score`,
            `phrase_threshold`, `phrase_min_count`, `phrase_separator`.
        min_count: the least count of a pair; a phrase rarer than `min_count` has no row anyway.
        connectors: sorted.
    """

    passes: int
    score: str
    threshold: float
    delta: int
    min_count: int
    separator: str
    connectors: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: PreprocessConfig, connectors: Iterable[str] = ()) -> PhraseSettings | None:
        """The settings of `config`, None where it asks for no phrases."""
        if not config.phrases:
            return None
        threshold = config.phrase_threshold
        if threshold is None:
            npmi = config.phrase_score == "npmi"
            threshold = NPMI_THRESHOLD if npmi else WORD2PHRASE_THRESHOLD
        return cls(
            passes=config.phrases,
            score=config.phrase_score,
            threshold=threshold,
            delta=config.phrase_min_count,
            min_count=max(config.phrase_min_count, config.min_count),
            separator=config.phrase_separator,
            connectors=tuple(sorted(set(connectors))),
        )

    def scores(
        self, pairs: np.ndarray, left: np.ndarray, right: np.ndarray, total: int
    ) -> np.ndarray:
        """Scores, float64 (n,), from counts of pairs and of their words, int64 (n,)."""
        if self.score == "npmi":
            together = pairs / total
            ratio = together / ((left / total) * (right / total))
            return np.asarray(np.round(np.log(ratio) / -np.log(together), _NPMI_DECIMALS))
        product = left.astype(np.float64) * right.astype(np.float64)
        return np.asarray((pairs - self.delta) / product * total)


Batches = Iterable[tuple[np.ndarray, np.ndarray]]  # ids int32 (n,), lengths (m,)


class PhrasePlan(NamedTuple):
    """What workers need to know: no strings.

    num_ids: ids of words and phrases are below this.
    num_partitions: that pairs are counted in.
    connector_ids: int64 (K,). passes: those found so far.
    fingerprint: of all that decides what is counted with this plan.
    """

    num_ids: int
    num_partitions: int
    connector_ids: np.ndarray
    passes: tuple[PhrasePass, ...]
    fingerprint: str

    @property
    def connectors(self) -> Connectors:
        """The connector words by id."""
        return connectors_of(self.connector_ids, self.num_ids)

    def joiner(self) -> PhraseJoiner:
        """Joins the phrases found so far."""
        return PhraseJoiner(self.num_ids, self.connectors, self.passes)

    def save(self, path: Path) -> None:
        """Write for `load_plan`, atomically."""
        arrays: dict[str, Any] = {
            f"{name}_{number}": column
            for number, found in enumerate(self.passes)
            for name, column in found._asdict().items()
        }
        sizes = np.array([self.num_ids, self.num_partitions, len(self.passes)])
        with storage.atomic_file(path) as temporary, open(temporary, "wb") as file:
            np.savez(
                file,
                sizes=sizes,
                connector_ids=self.connector_ids,
                fingerprint=np.array(self.fingerprint),
                **arrays,
            )


def load_plan(path: Path) -> PhrasePlan:
    """Read what `PhrasePlan.save` wrote.

    Raises:
        DataError: missing or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            num_ids, num_partitions, passes = arrays["sizes"].tolist()
            found = [
                PhrasePass(*(arrays[f"{name}_{number}"] for name in PhrasePass._fields))
                for number in range(passes)
            ]
            connector_ids, fingerprint = arrays["connector_ids"], str(arrays["fingerprint"])
            return PhrasePlan(num_ids, num_partitions, connector_ids, tuple(found), fingerprint)
    except (OSError, *HEADER_ERRORS, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a plan of phrases ({error}); start over") from error


def count_unit_pairs(plan: PhrasePlan, batches: Batches, path: Path, **limits: int) -> None:
    """Count the pairs of one unit, phrases found so far joined, into the file `path`.

    Args:
        batches: the unit's sequences as ids of words, -1 for words without one.
        limits: `buffer_pairs` of `PairCounter`.
    """
    joiner = plan.joiner()
    counting = counting_pairs(path, plan.num_partitions, plan.connectors, joiner.joins, **limits)
    with counting as counter:
        for ids, lengths in batches:
            counter.add(*joiner.join(ids, lengths))


def count_unit_joins(plan: PhrasePlan, batches: Batches, path: Path) -> None:
    """Count how often each phrase is joined in one unit, into the file `path` (.npy)."""
    joiner = plan.joiner()
    for ids, lengths in batches:
        joiner.join(ids, lengths)
    save_array(path, joiner.joins)


def joined_batches(plan: PhrasePlan, batches: Batches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same batches with all phrases joined; ids are rows of `PhraseSearch.tokens`."""
    joiner = plan.joiner()
    for ids, lengths in batches:
        yield joiner.join(ids, lengths)


class PhraseCounts(NamedTuple):
    """What came of a search.

    tokens: words and phrases, a list of strings; the row is the id. counts: int64, how often each
        is in the text once phrases are joined (0 for a word that is always in a phrase).
    tokens_joined: tokens less than before joining.
    """

    tokens: list[str]
    counts: np.ndarray
    tokens_joined: int


class PhraseSearch:
    """The search over all units: pass after pass, `add_pass` on the counts of `plan`.

    Args:
        words: G different words. counts: int64 (G,), how often each is in the text.

    Attributes:
        tokens: words and phrases found; the row is the id.
    """

    def __init__(self, words: Sequence[str], counts: np.ndarray, settings: PhraseSettings) -> None:
        self.tokens = list(words)
        self._counts = np.asarray(counts, np.int64)
        self._settings = settings
        self._passes: list[PhrasePass] = []
        self._scores: list[tuple[np.ndarray, np.ndarray]] = []  # of each pass: counts, scores
        wanted = set(settings.connectors)
        found = [row for row, word in enumerate(self.tokens) if word in wanted] if wanted else []
        self._connector_ids = np.array(sorted(found, key=lambda row: self.tokens[row]), np.int64)
        self._num_words = len(self.tokens)
        self._digest = hashlib.sha256(repr(settings).encode())
        table = pa.table({"token": pa.array(self.tokens, pa.large_string()), "count": self._counts})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        self._digest.update(sink.getvalue())

    @property
    def plan(self) -> PhrasePlan:
        """What workers count next."""
        return PhrasePlan(
            len(self.tokens),
            partitions_for(int(self._counts.sum())),
            self._connector_ids,
            tuple(self._passes),
            self._digest.hexdigest(),
        )

    def add_pass(self, paths: Iterable[Path], *, threads: int = 1) -> int:
        """Find the phrases of the next pass in the units' files of `count_unit_pairs`; how many."""
        files = [PairFile(path) for path in paths]
        total = sum(file.tokens for file in files)
        counts = self._counts_after(self._sum([file.joins for file in files]))

        def scores_of(found: PairCounts) -> np.ndarray:
            left, right = found.pairs >> 32, found.pairs & 0xFFFFFFFF
            return self._settings.scores(found.counts, counts[left], counts[right], total)

        def select(found: PairCounts) -> PairCounts:
            frequent = found.rows(found.counts >= self._settings.min_count)
            return frequent.rows(scores_of(frequent) > self._settings.threshold)

        plan = self.plan
        kept = add_up_pairs(files, select, plan.num_partitions, plan.num_ids, threads=threads)
        found = PhrasePass(kept.pairs, kept.chains, np.empty(0, np.int32))
        self._enter(found, kept.counts, scores_of(kept))
        return len(kept.pairs)

    def _enter(self, found: PhrasePass, counts: np.ndarray, scores: np.ndarray) -> None:
        """Give ids to the phrases of a pass: those of tokens that are there, else new ones."""
        names = [self._name_of(*parts) for parts in self._parts_of(found)]
        tokens = pa.array(self.tokens, pa.large_string())
        known = pc.index_in(pa.array(names, pa.large_string()), tokens)
        ids: dict[str, int] = {}
        for name, row in zip(names, known.to_pylist(), strict=True):
            if row is not None:
                ids[name] = row
            elif name not in ids:
                ids[name] = len(self.tokens)
                self.tokens.append(name)
        new_ids = np.fromiter((ids[name] for name in names), np.int32, len(names))
        self._passes.append(found._replace(new_ids=new_ids))
        self._scores.append((counts, scores))
        for column in self._passes[-1]:
            self._digest.update(column.tobytes())

    def _parts_of(self, found: PhrasePass) -> Iterator[tuple[int, list[int], int]]:
        """(left id, connector ids, right id) of each phrase."""
        connectors = connectors_of(self._connector_ids, self._num_words)
        lowest = (1 << connectors.chain_bits) - 1
        columns = (found.left_ids.tolist(), found.chains.tolist(), found.right_ids.tolist())
        for left, chain, right in zip(*columns, strict=True):
            between = []
            while chain:
                between.append(int(self._connector_ids[(chain & lowest) - 1]))
                chain >>= connectors.chain_bits
            yield left, between[::-1], right

    def _name_of(self, left: int, between: list[int], right: int) -> str:
        return self._settings.separator.join(self.tokens[row] for row in (left, *between, right))

    def _sum(self, joins: list[np.ndarray]) -> np.ndarray:
        """The joins of all units, checked to belong to this search."""
        expected = sum(len(found.pairs) for found in self._passes)
        if any(part.shape != (expected,) for part in joins):
            raise DataError("counts of phrases do not belong together; start over with `force`")
        return np.asarray(np.sum([np.zeros(expected, np.int64), *joins], axis=0))

    def _counts_after(self, joins: np.ndarray) -> np.ndarray:
        """Counts of all ids, int64, once phrases are joined as often as `joins` says."""
        counts = np.zeros(len(self.tokens), np.int64)
        counts[: self._num_words] = self._counts
        first = 0
        for found in self._passes:
            times = joins[first : first + len(found.pairs)]
            first += len(found.pairs)
            np.add.at(counts, found.new_ids, times)
            np.subtract.at(counts, found.left_ids, times)
            np.subtract.at(counts, found.right_ids, times)
            for (_, between, _), count in zip(self._parts_of(found), times.tolist(), strict=True):
                for row in between:
                    counts[row] -= count
        return counts

    def counts(self, paths: Iterable[Path]) -> PhraseCounts:
        """The counts of words and phrases from the units' files of `count_unit_joins`.

        Raises:
            DataError: a file is missing, damaged or of another search.
        """
        joins = [load_totals(path) for path in paths]
        counts = self._counts_after(self._sum(joins))
        joined = int(self._counts.sum() - counts.sum())
        return PhraseCounts(self.tokens, counts, joined)

    def phrases(self) -> Phrases:
        """All phrases found, as strings."""
        rows = []
        for number, (found, (counts, scores)) in enumerate(
            zip(self._passes, self._scores, strict=True), start=1
        ):
            columns = (self._parts_of(found), found.new_ids, counts.tolist(), scores.tolist())
            for (left, between, right), row, count, score in zip(*columns, strict=True):
                names = (self.tokens[row], self.tokens[left])
                connectors = tuple(self.tokens[connector] for connector in between)
                rows.append(Phrase(*names, connectors, self.tokens[right], count, score, number))
        return Phrases(rows)
