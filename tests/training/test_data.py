from __future__ import annotations

import collections
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import fastw2v
from fastw2v.store.format import TokenStore
from fastw2v.training.config import TrainConfig
from fastw2v.training.data import (
    BATCHES_AT_ONCE,
    Batch,
    BatchSource,
    Position,
    ReadAhead,
    keep_thresholds,
)


class StoreOfGroups:
    """Stands for a token store: row groups of numbered sentences over a vocabulary of 50 ids."""

    def __init__(self, groups: int = 5) -> None:
        generator = np.random.default_rng(0)
        self.groups = []
        for _ in range(groups):
            lengths = generator.integers(1, 9, 20)
            offsets = np.concatenate([[0], np.cumsum(lengths)])
            ids = generator.integers(0, 50, offsets[-1]).astype(np.int32)
            self.groups.append((ids, offsets))
        self.num_row_groups = groups
        self.row_group_tokens = np.array([len(ids) for ids, _ in self.groups])
        self.num_tokens = int(self.row_group_tokens.sum())

    def read_row_group(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.groups[index]


def source(store: object, keep: float = 1.0, **options: object) -> BatchSource:
    thresholds = np.full(50, int(keep * 2**32), np.uint64)
    return BatchSource(store, TrainConfig.create(**options), thresholds)  # type: ignore[arg-type]


def sentences_of(batch: Batch) -> list[tuple[int, ...]]:
    stream, found, place = batch.stream, [], 0
    while place < batch.centers:
        end = int(stream.sequence_ends[place])
        assert (stream.sequence_starts[place:end] == place).all()
        assert (stream.sequence_ends[place:end] == end).all()
        found.append(tuple(stream.token_ids[place:end].tolist()))
        place = end
    return found


def test_every_sentence_comes_once_an_epoch() -> None:
    store = StoreOfGroups()
    expected = Counter(
        tuple(ids[a:b].tolist())
        for ids, offsets in store.groups
        for a, b in itertools.pairwise(offsets)
    )
    batches = list(source(store).batches(Position(), 2))
    for epoch in (0, 1):
        of_epoch = [batch for batch in batches if batch.epoch == epoch]
        assert Counter(s for batch in of_epoch for s in sentences_of(batch)) == expected
        assert sorted(batch.row_group for batch in of_epoch) == list(range(5))
    orders = [source(store).row_group_order(epoch).tolist() for epoch in range(4)]
    assert len({tuple(order) for order in orders}) > 1


def test_words_before_add_up() -> None:
    store = StoreOfGroups()
    words = 0
    for batch in source(store, keep=0.5).batches(Position(), 2):
        assert batch.words_before == words
        words += batch.words
        positions = batch.stream.word_positions
        assert len(positions) == batch.centers + 1
        assert (np.diff(positions) > 0).all() or batch.centers == 0
    assert words == 2 * store.num_tokens


@pytest.mark.parametrize("sampling", ["dynamic", "fixed"])
def test_going_on_from_a_position_gives_the_same_batches(sampling: str) -> None:
    store = StoreOfGroups()
    make = lambda: source(store, keep=0.7, window_sampling=sampling)  # noqa: E731
    whole = list(make().batches(Position(), 3))
    rest = list(make().batches(Position(1, 2, 0), 3))
    assert len(rest) == len(whole) - 7
    for ours, theirs in zip(rest, whole[7:], strict=True):
        assert (ours.epoch, ours.row_group, ours.key) == (
            theirs.epoch,
            theirs.row_group,
            theirs.key,
        )
        for mine, other in zip(ours.stream, theirs.stream, strict=True):
            np.testing.assert_array_equal(mine, other)


def test_seed_changes_order_and_draws() -> None:
    store = StoreOfGroups()
    one, two = (list(source(store, seed=seed).batches(Position(), 1)) for seed in (1, 2))
    assert any(
        a.stream.token_ids.tolist() != b.stream.token_ids.tolist()
        for a, b in zip(one, two, strict=True)
    )


def test_reaches_are_within_the_half_window() -> None:
    store = StoreOfGroups()
    fixed = next(source(store, window=7, window_sampling="fixed").batches(Position(), 1))
    assert set(fixed.stream.radii.tolist()) == {3}
    dynamic = next(source(store, window=7).batches(Position(), 1))
    assert set(dynamic.stream.radii.tolist()) == {1, 2, 3}


def test_subsampling_follows_the_formula(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    ids = generator.choice(50, 200_000, p=np.arange(1, 51) / 1275)
    fastw2v.preprocess(
        (ids, np.array([0, len(ids)])),
        tmp_path / "store",
        tokens=[f"w{i}" for i in range(50)],
        min_count=1,
    )
    store = TokenStore.open(tmp_path / "store")
    counts, t = store.vocabulary.counts, 1e-2
    config = TrainConfig.create(subsample=t)
    made = BatchSource(store, config, keep_thresholds(counts, int(counts.sum()), t))
    kept = sum(
        np.bincount(batch.stream.token_ids, minlength=50) for batch in made.batches(Position(), 1)
    )
    frequency = counts / counts.sum()
    p = np.minimum(1, np.sqrt(t / frequency) + t / frequency)
    deviation = np.sqrt(np.maximum(counts * p * (1 - p), 1))
    assert (np.abs(kept - counts * p) <= 5 * deviation).all()
    assert (kept[p == 1] == counts[p == 1]).all()


def test_read_ahead_raises_where_the_batch_would_come() -> None:
    store = StoreOfGroups()
    good = list(source(store).batches(Position(), 1))

    def failing() -> Iterator[Batch]:
        yield good[0]
        raise ValueError("damaged")

    with ReadAhead(failing()) as batches:
        iterator = iter(batches)
        assert next(iterator) is good[0]
        with pytest.raises(ValueError, match="damaged"):
            next(iterator)


def test_read_ahead_ends_with_its_block() -> None:
    store = StoreOfGroups()
    endless = source(store).batches(Position(), 10_000_000)
    began = time.monotonic()
    with ReadAhead(endless) as batches:
        assert next(iter(batches)).epoch == 0
    assert time.monotonic() - began < 5


def test_read_ahead_makes_no_more_than_its_share() -> None:
    """Batches hold memory: those ahead are few, and each waits for one that is done with."""
    made = []

    def counting() -> Iterator[Batch]:
        for batch in source(StoreOfGroups()).batches(Position(), 100):
            made.append(batch)
            yield batch

    with ReadAhead(counting()) as batches:
        for done, _ in enumerate(batches):
            assert settles(lambda done=done: len(made) == done + BATCHES_AT_ONCE)
            if done == 5:
                break


def settles(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true soon, and is still true a moment later."""
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("window_sampling", ["dynamic", "fixed"])
def test_reused_memory_gives_the_same_batches(window_sampling: str) -> None:
    options = {"keep": 0.6, "window_sampling": window_sampling}
    expected = list(source(StoreOfGroups(), **options).batches(Position(), 3))
    reusing = source(StoreOfGroups(), **options)
    rooms = set()
    for batch, fresh in zip(reusing.batches(Position(), 3), expected, strict=True):
        for array, other in zip(batch.stream, fresh.stream, strict=True):
            np.testing.assert_array_equal(array, other)
        rooms.add(id(batch.buffer))
        for array in batch.buffer:
            array.fill(-1)
        reusing.reuse(batch)
    assert len(rooms) == 1


def test_another_thread_may_take_the_last_free_memory() -> None:
    """The read-ahead and the estimate of the time make batches at once."""

    class TakenByAnother(collections.deque):  # type: ignore[type-arg]
        """Whoever looks finds memory; another thread takes it before the next step."""

        def __len__(self) -> int:
            found = super().__len__()
            self.clear()
            return found

    made = source(StoreOfGroups())
    order = made.row_group_order(0)
    made._free_buffers = TakenByAnother()
    made.reuse(made.batch(0, 0, order))
    batch, expected = made.batch(0, 1, order), source(StoreOfGroups()).batch(0, 1, order)
    for array, other in zip(batch.stream, expected.stream, strict=True):
        np.testing.assert_array_equal(array, other)
