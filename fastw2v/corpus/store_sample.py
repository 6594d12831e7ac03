"""Sentences of a token store, drawn without reading all of it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np

from fastw2v.corpus.token_store import TokenStore


def first_sentences(store: TokenStore, count: int) -> Iterator[np.ndarray]:
    """The first `count` sentences, each int32 (n,) ids, or as many as there are.

    Raises:
        DataError: a part is damaged (so do the others here).
    """
    groups = (_sentences(store, index) for index in range(store.num_row_groups))
    sentences = itertools.chain.from_iterable(groups)
    return itertools.islice(sentences, min(count, store.num_sentences))


def random_sentences(
    store: TokenStore, count: int, seed: int | None = None
) -> Iterator[np.ndarray]:
    """`count` different sentences, each as probable as any other, in the order of the store.

    Only the row groups that they are in are read. Without `seed` every call draws others.
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
    """`count` different sentences that contain `word_id`, or as many as there are.

    Row groups are read until enough are found: the first ones if `in_order`, else in an order that
    is drawn, and within a row group the sentences are drawn, too.
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
