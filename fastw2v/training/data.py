"""From the token store to what kernels train on, in a reproducible order, read ahead of need.

The order of everything follows from (seed, epoch): row groups are shuffled by it, sequences within
a row group too, and every draw is keyed by it. So a position is three numbers, and a run that
resumes at one sees exactly the words that an undisturbed run would have seen.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.kernels.primitives import derive_key
from fastw2v.kernels.streams import (
    Noise,
    Stream,
    draw_radii,
    fill_stream,
    new_noise,
    shuffle_keys,
)
from fastw2v.store.vocabulary import noise_distribution

if TYPE_CHECKING:
    from fastw2v.store.format import TokenStore
    from fastw2v.training.config import TrainConfig
    from fastw2v.training.validation import Holdout

BATCHES_AT_ONCE = 3  # one in training, two ready or in the making


@dataclasses.dataclass(frozen=True, order=True)
class Position:
    """Where training stands: `center` of the stream of the `row_group`-th row group of `epoch`.

    epoch counts from 0; row_group is a place in the epoch's shuffled order; center is a place
    among the tokens that subsampling kept, and is what comes next.
    """

    epoch: int = 0
    row_group: int = 0
    center: int = 0


@dataclasses.dataclass(frozen=True)
class Batch:
    """One row group, ready to train on.

    epoch, row_group: its place, as in `Position`.
    key: uint64, the key of its draws.
    stream: `streams.Stream` of the kept tokens.
    words_before: words of the whole run that come before it.
    buffer: the memory that `stream` lies in.
    """

    epoch: int
    row_group: int
    key: Any
    stream: Stream
    words_before: int
    buffer: Stream

    @property
    def words(self) -> int:
        """Words of the row group, those dropped by subsampling included."""
        return int(self.stream.word_positions[-1])

    @property
    def centers(self) -> int:
        """Kept tokens."""
        return len(self.stream.token_ids)


class BatchSource:
    """Makes the batches of a run from a store; any position can be had at any time, by any thread.

    num_words: the words of an epoch, held-out ones left out.
    """

    def __init__(
        self,
        store: TokenStore,
        config: TrainConfig,
        keep_thresholds: np.ndarray,
        holdout: Holdout | None = None,
    ) -> None:
        self._store, self._holdout = store, holdout
        held_out = 0 if holdout is None else holdout.group_tokens
        self._group_words = store.row_group_tokens - held_out
        self.num_words = int(self._group_words.sum())
        self._config = config
        self._keep_thresholds = keep_thresholds
        self._largest = int(store.row_group_tokens.max(initial=0))
        self._free_buffers: collections.deque[Stream] = collections.deque()

    def row_group_order(self, epoch: int) -> np.ndarray:
        """int64 (row groups,): the order in which `epoch` reads them."""
        return _random_order(self._epoch_key(epoch), self._store.num_row_groups)

    def batch(self, epoch: int, row_group: int, order: np.ndarray) -> Batch:
        """The `row_group`-th batch of `epoch`, whose row groups come in `order`.

        Raises:
            DataError: the store's part is damaged.
        """
        index = int(order[row_group])
        before = int(self._group_words[order[:row_group]].sum())
        key = np.uint64(derive_key(self._epoch_key(epoch), np.uint64(index)))
        ids, offsets = self._store.read_row_group(index)
        buffer = self._free_buffer()
        left_out = None if self._holdout is None else self._holdout.places[index]
        stream = make_stream(
            ids, offsets, key, self._keep_thresholds, self._config, buffer, left_out
        )
        return Batch(epoch, row_group, key, stream, epoch * self.num_words + before, buffer)

    def _free_buffer(self) -> Stream:
        # Popped without a check before it: two threads may make batches, and take the last one.
        try:
            return self._free_buffers.pop()
        except IndexError:
            return new_stream_buffer(self._largest)

    def reuse(self, batch: Batch) -> None:
        """Give the memory of a batch that nobody will look at again to one to come.

        New memory costs page faults, and where a virtual machine gives freed pages back to its
        host, as many milliseconds a batch as all the rest of making it.
        """
        self._free_buffers.append(batch.buffer)

    def batches(self, start: Position, epochs: int) -> Iterator[Batch]:
        """All batches from that of `start` to the end of the last epoch."""
        for epoch in range(start.epoch, epochs):
            order = self.row_group_order(epoch)
            first = start.row_group if epoch == start.epoch else 0
            for row_group in range(first, len(order)):
                yield self.batch(epoch, row_group, order)

    def _epoch_key(self, epoch: int) -> np.uint64:
        seed_key = derive_key(np.uint64(self._config.seed), np.uint64(0))
        return np.uint64(derive_key(np.uint64(seed_key), np.uint64(epoch)))


def new_stream_buffer(tokens: int) -> Stream:
    """Memory for the stream of up to `tokens` tokens."""
    return Stream(
        np.empty(tokens, np.int32),
        np.empty(tokens, np.int32),
        np.empty(tokens, np.int32),
        np.empty(tokens + 1, np.int64),
        np.empty(tokens, np.int32),
    )


def make_stream(
    ids: np.ndarray,
    offsets: np.ndarray,
    key: np.uint64,
    keep_thresholds: np.ndarray,
    config: TrainConfig,
    buffer: Stream,
    left_out: np.ndarray | None = None,
) -> Stream:
    """The stream of one row group: sequences shuffled, tokens subsampled, radii drawn.

    Args:
        ids: int32 (n,); offsets: int64 (m + 1,), the sequences.
        key: the row group's; keep_thresholds: see `keep_thresholds`.
        buffer: of at least n tokens; the stream lies in it.
        left_out: numbers of the sequences that are not to be in it.
    """
    order = _random_order(key, len(offsets) - 1)
    if left_out is not None and len(left_out):
        stays = np.ones(len(order), bool)
        stays[left_out] = False
        order = order[stays[order]]
    kept = fill_stream(ids, offsets, order, keep_thresholds, key, buffer)
    if config.window_sampling == "dynamic":
        draw_radii(buffer.radii[:kept], buffer.sequence_starts[:kept], config.half_window, key)
    else:
        buffer.radii[:kept] = config.half_window
    return Stream(
        buffer.token_ids[:kept],
        buffer.sequence_starts[:kept],
        buffer.sequence_ends[:kept],
        buffer.word_positions[: kept + 1],
        buffer.radii[:kept],
    )


def _random_order(key: np.uint64, count: int) -> np.ndarray:
    keys = np.empty(count, np.uint64)
    shuffle_keys(key, keys)
    return np.argsort(keys, kind="stable")


def whole_stream(token_ids: np.ndarray, lengths: np.ndarray, radius: int) -> Stream:
    """All tokens in their order, with whole windows: what models are evaluated on.

    Args:
        token_ids: int32 (n,); lengths: int64 (m,), of the sequences; their sum is n.
    """
    ends = np.cumsum(lengths)
    return Stream(
        token_ids=token_ids,
        sequence_starts=np.repeat(ends - lengths, lengths).astype(np.int32),
        sequence_ends=np.repeat(ends, lengths).astype(np.int32),
        word_positions=np.arange(len(token_ids) + 1, dtype=np.int64),
        radii=np.full(len(token_ids), radius, np.int32),
    )


class ReadAhead:
    """Runs an iterator of batches in a background thread, a few ahead; an iterator itself.

    Use as a context manager: leaving it stops the thread. An error in the thread is raised where
    its batch would have come. At most `at_once` batches are there at a time: the next is made when
    one is done with, which is when the one after it is asked for.
    """

    def __init__(self, batches: Iterator[Batch], at_once: int = BATCHES_AT_ONCE) -> None:
        self._batches = batches
        self._ready: queue.SimpleQueue[Batch | BaseException | None] = queue.SimpleQueue()
        self._places = threading.Semaphore(at_once)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fastw2v-read-ahead", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._places.release()
        self._thread.join()

    def __iter__(self) -> Iterator[Batch]:
        while (item := self._ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            self._places.release()

    def _run(self) -> None:
        try:
            while True:
                self._places.acquire()
                if self._stopped.is_set():
                    return
                batch = next(self._batches, None)
                self._ready.put(batch)
                if batch is None:
                    return
        except BaseException as error:
            self._ready.put(error)


def corpus_hash(store: TokenStore) -> str:
    """What a position refers to: SHA-256 over the checksums of the store's parts."""
    checksums = [part["sha256"] for part in store.manifest["parts"]]
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def planned_words(config: TrainConfig, corpus_words: int) -> int:
    """The words of the whole run."""
    words = config.epochs * corpus_words
    return words if config.max_words is None else min(words, config.max_words)


# --- tables that the kernels draw with ---


def keep_thresholds(counts: np.ndarray, total: int, subsample: float) -> np.ndarray:
    """uint64 (V,): 2**32 · p with p = min(1, sqrt(t·W/count) + t·W/count), as in word2vec.c.

    Args:
        counts: int64 (V,), all positive; total: W, the tokens they are counted in.
        subsample: t; 0 keeps every token.
    """
    if subsample == 0:
        return np.full(len(counts), 1 << 32, np.uint64)
    ratio = subsample * total / counts.astype(np.float64)
    keep = np.minimum(1.0, np.sqrt(ratio) + ratio)
    return np.round(keep * 2.0**32).astype(np.uint64)


def noise_tables(counts: np.ndarray, exponent: float) -> Noise:
    """The alias table of `noise_distribution`."""
    return new_noise(noise_distribution(counts, exponent))


def repeat_rate(counts: np.ndarray, thresholds: np.ndarray) -> float:
    """The chance that two kept tokens are the same word: Σ p² over the kept words' shares."""
    kept = counts * (thresholds / 2.0**32)
    return float(np.square(kept / kept.sum()).sum())


def top_share(counts: np.ndarray, thresholds: np.ndarray) -> float:
    """The share of the most frequent word in the kept tokens."""
    kept = counts * (thresholds / 2.0**32)
    return float(kept.max() / kept.sum())
