"""How long a run will take, from some of its work timed before it starts.

What is timed changes nothing: negative sampling trains a batch of the run at learning rate 0, the
full softmax some batches on weights of its own.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from fastw2v.io.machine import usable_cores
from fastw2v.kernels.hogwild import Schedule
from fastw2v.kernels.negative_sampling import Weights
from fastw2v.training.checkpoint import SHARE_OF_TIME as SAVES_SHARE
from fastw2v.training.config import TrainConfig
from fastw2v.training.data import Batch, BatchSource, Position, make_stream, new_room
from fastw2v.training.evaluation import COSTS
from fastw2v.training.steppers import LOGIT_BYTES, SoftmaxStepper, Stepper, new_matrix, padded_dim

if TYPE_CHECKING:
    from fastw2v.store.format import TokenStore

_MIN_SECONDS = 10.0  # shorter runs are not estimated
_LONG = 3600.0  # seconds from which on softmax runs are told of other settings
# Full softmax:
_ROWS = 1 << 14  # of the vocabulary, that are timed in place of all,
_WEIGHT_BYTES = 64 << 20  # or as many as this holds
_TIMED_CENTERS = 64  # at least; whole batches
_REPEATS = 3
_MIN_WORK = 2e12  # floating-point operations: a few seconds, not worth an estimate
# Negative sampling:
_MAX_TIMED = 0.4  # seconds that timing takes, reading the batch included,
_SHARE_TIMED = 0.01  # or this share of the run
_CORE_FLOPS = 6e10  # more than the kernels reach: runs that are short even so are not timed
_CALL, _MIN_CALLS = 0.01, 3  # seconds at that rate, really some hundredths
_NO_LEARNING = Schedule(0.0, 0.0, 1.0, 0.0)
# What saves and drawing the loss take; measured by bench/costs.py.
# Seconds per byte of the matrices: training stands still; what a save in the background takes from
# threads that use all cores, which are not always busy; a save that is waited for.
_STALLED_PER_BYTE, _TAKEN_PER_BYTE, _WRITTEN_PER_BYTE = 0.4e-9, 1e-9, 2.5e-9
_HELPER_PER_BYTE = 2.5e-9  # CPU of the thread that saves
_PLOT_SECONDS = 1.0  # taken likewise: the first drawing loads the library


@dataclasses.dataclass(frozen=True)
class Work:
    """What is to come.

    words: to be trained; epoch_words: those of an epoch.
    evaluated_tokens: held-out tokens, each as often as it will be looked at.
    matrix_bytes: of the matrices that saves hold.
    """

    words: int
    epoch_words: int
    evaluated_tokens: float
    matrix_bytes: int


@dataclasses.dataclass(frozen=True)
class TimeEstimate:
    """seconds: of all that is to come; epoch_seconds: of training an epoch; words_per_second: of
    training."""

    seconds: float
    epoch_seconds: float
    words_per_second: float


def whole_run(word_seconds: float, work: Work, config: TrainConfig, threads: int) -> TimeEstimate:
    """Training, and what evaluations and saves add; the last save is waited for."""
    looked_at = COSTS[config.type] * work.evaluated_tokens  # as words of training
    training = word_seconds * (work.words + looked_at)
    # Saves are written by a thread of its own: it takes a share of the cores if training has all.
    cores = usable_cores()
    share = 1.0 / cores if threads >= cores else 0.0
    pause = work.matrix_bytes * (_STALLED_PER_BYTE + _HELPER_PER_BYTE) / SAVES_SHARE
    saves = training / max(config.save_interval, pause if config.save_interval else 0.0, 1.0)
    if config.checkpoint_epochs:
        saves += work.words / work.epoch_words / config.checkpoint_epochs
    seconds = training + share * _PLOT_SECONDS
    seconds += saves * work.matrix_bytes * (_STALLED_PER_BYTE + share * _TAKEN_PER_BYTE)
    seconds += work.matrix_bytes * _WRITTEN_PER_BYTE
    return TimeEstimate(seconds, word_seconds * work.epoch_words, 1.0 / word_seconds)


# --- negative sampling ---


def block_word_seconds(
    source: BatchSource,
    position: Position,
    stepper: Stepper,
    config: TrainConfig,
    threads: int,
    kept_words: float,
) -> float | None:
    """Seconds a word of negative sampling, from the batch of `position`, at learning rate 0.

    Call it with the threads set and the kernels compiled. Weights keep their values: 0 is added,
    which would at most make a 0 of a -0.

    Args:
        stepper: of the run's own weights; kept_words: to be trained after subsampling, about.

    Returns:
        None where the run is too short for it to matter.
    """
    cores = usable_cores()
    at_work = min(threads, cores)
    assert config.pool_size is not None
    max_centers = at_work * _CORE_FLOPS / (6.0 * config.vector_dim * config.pool_size)  # a second
    if kept_words / max_centers < _MIN_SECONDS / 4:
        return None
    began, order = time.perf_counter(), source.row_group_order(position.epoch)
    # Twice, as the first one is made in new memory, which costs as much again.
    source.reuse(source.batch(position.epoch, position.row_group, order))
    cpu_began = time.thread_time()
    batch = source.batch(position.epoch, position.row_group, order)
    reading = (time.thread_time() - cpu_began) / max(1, batch.words)
    try:
        if not batch.centers:
            return None
        kept = batch.centers / batch.words
        units = int(min(_CALL * max_centers, stepper.step_centers)) // stepper.unit
        call_centers = max(1, units) * stepper.unit
        training = kept * _center_seconds(batch, stepper, call_centers, kept_words, began)
        # A thread of its own reads: it takes a share of the cores if training has all of them.
        seconds = max(training, reading, (at_work * training + reading) / cores)
        return seconds if seconds * kept_words / kept >= _MIN_SECONDS else None
    finally:
        source.reuse(batch)


def _center_seconds(
    batch: Batch, stepper: Stepper, call_centers: int, kept_words: float, began: float
) -> float:
    """The median over some calls of the kernels, as many as fit what is left since `began`."""
    first, found = 0, []
    _seconds_of(stepper, batch, 0, call_centers)  # the threads wake up
    while True:
        found.append(_seconds_of(stepper, batch, first, call_centers))
        typical = statistics.median(found)
        limit = min(_MAX_TIMED, _SHARE_TIMED * typical * kept_words)
        spent = time.perf_counter() - began + typical * call_centers
        if len(found) >= _MIN_CALLS and spent > limit:
            return typical
        first += call_centers
        if first + call_centers > batch.centers:
            first = 0


def _seconds_of(stepper: Stepper, batch: Batch, first: int, count: int) -> float:
    """Seconds a center of one call."""
    last = min(first + count, batch.centers)
    began = time.perf_counter()
    stepper.train(batch, first, last, _NO_LEARNING)
    return (time.perf_counter() - began) / (last - first)


# --- full softmax ---


def kept_share(counts: np.ndarray, keep_thresholds: np.ndarray) -> float:
    """The share of the words that subsampling keeps; see `sampling.keep_thresholds`."""
    return float((counts * (keep_thresholds / 2.0**32)).sum() / counts.sum())


def softmax_word_seconds(
    store: TokenStore, config: TrainConfig, keep_thresholds: np.ndarray, words: int
) -> float | None:
    """Seconds a word of the full softmax, from batches of words drawn as the corpus has them.

    Work is proportional to the rows of the output matrix, so that a part of them is timed, on
    weights of its own. Call it with the threads set and the kernels compiled.

    Args:
        keep_thresholds: see `sampling.keep_thresholds`; words: how many are to be trained.

    Returns:
        None where the run is too short for it to matter.
    """
    counts = store.vocabulary.counts
    kept = counts * (keep_thresholds / 2.0**32)
    share = kept_share(counts, keep_thresholds)
    if 6.0 * len(counts) * config.vector_dim * words * share < _MIN_WORK:
        return None
    rows = min(len(counts), _ROWS, max(64, _WEIGHT_BYTES // (8 * padded_dim(config.vector_dim))))
    batch = _typical_batches(kept, rows, store.num_tokens / store.num_sentences, config)
    weights = Weights(new_matrix(rows, config.vector_dim), new_matrix(rows, config.vector_dim))
    stepper = SoftmaxStepper(weights, config, _logit_bytes(len(counts), rows))
    assert config.alpha is not None
    schedule = Schedule(config.alpha, config.alpha, 1.0, 0.0)
    found = []
    for _ in range(1 + _REPEATS):
        began = time.perf_counter()
        stepper.train(batch, 0, batch.centers, schedule)
        found.append(time.perf_counter() - began)
    # The quickest: what else the machine does only ever adds.
    return min(found[1:]) * len(counts) / rows / batch.centers * share


def _logit_bytes(vocabulary_size: int, rows: int) -> int:
    """The limit that lets a part of the vocabulary keep its logits if the whole would."""
    return LOGIT_BYTES * rows // vocabulary_size


def _typical_batches(kept: np.ndarray, rows: int, sentence: float, config: TrainConfig) -> Batch:
    """Some whole batches of words drawn one by one, in sentences of one length, 2 at least."""
    generator = np.random.Generator(np.random.Philox(1))
    count = config.centers_per_batch * -(-_TIMED_CENTERS // config.centers_per_batch)
    ids = generator.choice(len(kept), count, p=kept / kept.sum()) % rows
    length = max(2, round(sentence))
    offsets = np.append(np.arange(0, len(ids) - 1, length), len(ids))  # no last one of one word
    everything = np.full(rows, 1 << 32, np.uint64)
    key, room = np.uint64(1), new_room(len(ids))
    stream = make_stream(ids.astype(np.int32), offsets, key, everything, config, room)
    return Batch(0, 0, key, stream, 0, room)


# --- telling ---


def time_line(
    found: TimeEstimate, vocabulary_size: int, config: TrainConfig, going_on: bool
) -> str:
    """One line: the time, and for long softmax runs, as a warning, what would be quicker.

    A model that is `going_on` has its type and its vocabulary.
    """
    if config.negative_sampling:
        at_most = "at most about" if config.patience is not None else "about"
        speed = f"{_rounded(found.words_per_second):,} words/s"
        return f"{at_most} {readable_seconds(found.seconds)} at {speed}"
    what = f"{config.type} over {vocabulary_size:,} words at dim {config.vector_dim}"
    times = f"about {readable_seconds(found.epoch_seconds)} an epoch"
    if abs(found.seconds - found.epoch_seconds) > 0.01 * found.epoch_seconds:
        times += f", {readable_seconds(found.seconds)} in all"
    if found.seconds < _LONG:
        return f"{what}: {times}"
    if going_on:
        return f"warning: {what}: {times}"
    other = f"--type {config.type}_neg would take minutes"
    fewer = vocabulary_size * _LONG / found.seconds
    if fewer >= 1000:
        other = f"{_rounded(fewer):,} words (--max-vocab) would take an hour, {other}"
    return f"warning: {what}: {times}; {other}"


def readable_seconds(seconds: float) -> str:
    """2 digits and a unit: 45 s, 12 min, 3.4 h, 12 days."""
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds / 86_400)} days"


def _two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{round(value):,}"


def _rounded(value: float) -> int:
    """Down to 2 digits."""
    scale = 10 ** max(0, math.floor(math.log10(max(1.0, value))) - 1)
    return int(value / scale) * scale
