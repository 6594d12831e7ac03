"""What is in a token store: statistics of its words and sequences, and sequences to look at.

Statistics of sequences read every part, in threads; sequences are drawn without reading all parts.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastw2v.io.machine import Meter, Progress, map_in_threads
from fastw2v.store.format import TokenStore

COVERAGE_SIZES = tuple(
    scale * step for scale in (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    for step in (1, 2, 5)
)  # fmt: skip
MIN_COUNTS = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def coverage(counts: np.ndarray, sizes: Sequence[int] = COVERAGE_SIZES) -> list[tuple[int, float]]:
    """(words, share of tokens) of the most frequent words, for each of `sizes` below the size of
    the vocabulary, and for all of it.

    Args:
        counts: int64 (V,), in any order.
        sizes: rising.
    """
    if not len(counts):
        return []
    sums = np.cumsum(-np.sort(-counts))
    asked = [size for size in sizes if size < len(counts)] + [len(counts)]
    return [(size, float(sums[size - 1] / sums[-1])) for size in asked]


@dataclasses.dataclass(frozen=True)
class Kept:
    """What a `min_count` would keep of a vocabulary.

    Attributes:
        words: how many.
        tokens: how often they occur, together.
        share: of all the tokens that the vocabulary counts.
    """

    min_count: int
    words: int
    tokens: int
    share: float


def kept_by_min_count(counts: np.ndarray, min_counts: Sequence[int] = MIN_COUNTS) -> list[Kept]:
    """What each of `min_counts` would keep of words that occur `counts` times, int64 (V,)."""
    rising = np.sort(counts)
    sums = np.append(np.cumsum(rising[::-1])[::-1], 0)  # tokens of the words from here on
    places = np.searchsorted(rising, min_counts)
    total = max(1, int(sums[0]))
    return [
        Kept(minimum, len(rising) - int(place), int(sums[place]), float(sums[place] / total))
        for minimum, place in zip(min_counts, places, strict=True)
    ]


def least_known_min_count(counts: np.ndarray, note: Mapping[str, Any]) -> int:
    """The least `min_count` whose effect can be computed from the counts.

    Rarer words were left out when the vocabulary was made, so their number is unknown.

    Args:
        counts: int64 (V,), those of the vocabulary.
        note: `settings` and, where known, `report` of the manifest of the store that it is of;
            empty where nothing is known.
    """
    least = int(counts.min()) if len(counts) else 1
    settings, report = note.get("settings", {}), note.get("report", {})
    made_with = settings.get("min_count")
    reused = settings.get("vocabulary") is not None
    cut = report.get("tokens_beyond_max_vocab", settings.get("max_vocab"))
    if made_with is None or reused or cut or settings.get("approximate_vocab"):
        # Words that occur `least` times may have been left out, too.
        return least + 1 if least > 1 else 1
    return int(made_with)


@dataclasses.dataclass(frozen=True)
class SentenceLengths:
    """The distribution of sequence lengths.

    Attributes:
        lengths: int64 (k,), the lengths that occur, rising.
        sentences: int64 (k,), the number of sequences of each length.
    """

    lengths: np.ndarray
    sentences: np.ndarray

    @property
    def total(self) -> int:
        """The number of sequences."""
        return int(self.sentences.sum())

    @property
    def mean(self) -> float:
        """Mean tokens per sequence; 0 if there are no sequences."""
        return float(self.lengths @ self.sentences / max(1, self.total))

    def quantile(self, share: float) -> int:
        """The least length that `share` of the sequences do not exceed (there must be some)."""
        ranks = np.cumsum(self.sentences)
        return int(self.lengths[np.searchsorted(ranks, share * ranks[-1])])

    def by_powers_of_two(self) -> list[tuple[int, int, int]]:
        """(from, to, sequences) of 1, 2-3, 4-7, 8-15 ... up to the longest."""
        if not len(self.lengths):
            return []
        powers = np.frexp(self.lengths.astype(np.float64))[1] - 1  # of 2, rounded down
        sums = np.bincount(powers, weights=self.sentences).astype(np.int64)
        first = int(powers[0])
        return [(2**p, 2 ** (p + 1) - 1, int(n)) for p, n in enumerate(sums) if p >= first]


def sentence_lengths(
    store: TokenStore, progress: Progress | None = None, *, threads: int | None = None
) -> SentenceLengths:
    """Count the sequences of `store` by length; its parts are read, in `threads` threads.

    `progress` is called as progress(phase, done_bytes, total_bytes), from any thread.

    Raises:
        DataError: a part is damaged; names it.
    """
    parts = store.manifest["parts"]
    group_bytes = [
        part["bytes"] / len(part["row_groups"]) for part in parts for _ in part["row_groups"]
    ]
    meter = Meter(progress, "measuring sequences", round(sum(group_bytes)))

    def read(row_group: int) -> tuple[np.ndarray, np.ndarray]:
        _, offsets = store.read_row_group(row_group)
        meter.add(group_bytes[row_group])
        return np.unique(np.diff(offsets), return_counts=True)

    found = map_in_threads(read, range(store.num_row_groups), meter, threads)
    if not found:
        return SentenceLengths(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    lengths, places = np.unique(np.concatenate([f[0] for f in found]), return_inverse=True)
    sentences = np.zeros(len(lengths), dtype=np.int64)
    np.add.at(sentences, places, np.concatenate([f[1] for f in found]))
    return SentenceLengths(lengths, sentences)


def first_sentences(store: TokenStore, count: int) -> Iterator[np.ndarray]:
    """The first `count` sequences, each int32 (n,) ids, or as many as there are.

    Raises:
        DataError: a part is damaged (also raised by the other functions here).
    """
    groups = (_sentences(store, index) for index in range(store.num_row_groups))
    sentences = itertools.chain.from_iterable(groups)
    return itertools.islice(sentences, min(count, store.num_sentences))


def random_sentences(
    store: TokenStore, count: int, seed: int | None = None
) -> Iterator[np.ndarray]:
    """`count` different sequences, drawn uniformly, in the order of the store.

    Only the row groups that they are in are read. Without `seed` each call draws a new sample.
    """
    sizes = [group["sentences"] for part in store.manifest["parts"] for group in part["row_groups"]]
    if count >= store.num_sentences:
        yield from first_sentences(store, count)
        return
    drawn = np.sort(random.Random(seed).sample(range(store.num_sentences), count))
    ends = np.cumsum(sizes)
    for index in np.unique(np.searchsorted(ends, drawn, side="right")):
        before = int(ends[index]) - sizes[index]
        rows = drawn[(drawn >= before) & (drawn < ends[index])] - before
        yield from _sentences(store, int(index), rows)


def sentences_with(
    store: TokenStore, word_id: int, count: int, seed: int | None = None, *, in_order: bool = False
) -> Iterator[np.ndarray]:
    """`count` different sequences that contain `word_id`, or as many as there are.

    Row groups are read until enough are found: the first ones if `in_order`, else in an order that
    is drawn, and within a row group the sequences are drawn, too.
    """
    draw = random.Random(seed)
    order = list(range(store.num_row_groups))
    if not in_order:
        draw.shuffle(order)
    for index in order:
        ids, offsets = store.read_row_group(index)
        places = np.flatnonzero(ids == word_id)
        rows = np.unique(np.searchsorted(offsets, places, side="right") - 1)
        if len(rows) > count:
            rows = rows[:count] if in_order else np.sort(draw.sample(rows.tolist(), count))
        for row in rows:
            yield ids[offsets[row] : offsets[row + 1]]
        count -= len(rows)
        if not count:
            return


def _sentences(
    store: TokenStore, index: int, rows: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    ids, offsets = store.read_row_group(index)
    for row in range(len(offsets) - 1) if rows is None else rows:
        yield ids[offsets[row] : offsets[row + 1]]
