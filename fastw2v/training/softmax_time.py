"""How long a full-softmax run will take, from a batch timed before it starts."""

from __future__ import annotations

import dataclasses
import math
import time
from typing import TYPE_CHECKING

import numpy as np

from fastw2v.kernels.negative_sampling import Weights
from fastw2v.training.batches import Batch, make_stream, new_room
from fastw2v.training.config import TrainConfig
from fastw2v.training.steps import LOGIT_BYTES, SoftmaxStepper, new_matrix, padded_dim

if TYPE_CHECKING:
    from fastw2v.corpus.token_store import TokenStore

_ROWS = 1 << 14  # of the vocabulary, that are timed in place of all,
_WEIGHT_BYTES = 64 << 20  # or as many as this holds
_TIMED_CENTRES = 64  # at least; whole batches
_REPEATS = 3
_LEAST_WORK = 2e12  # floating-point operations: a few seconds, not worth an estimate
_LONG = 3600.0  # seconds from which on other settings are proposed


@dataclasses.dataclass(frozen=True)
class TimeEstimate:
    """Seconds that the words to come will take, and an epoch."""

    seconds: float
    epoch_seconds: float


def estimate_time(
    store: TokenStore, config: TrainConfig, keep_thresholds: np.ndarray, words: int
) -> TimeEstimate | None:
    """Time some batches of words drawn as the corpus has them, on weights of their own.

    Work is proportional to the rows of the output matrix, so that a part of them is timed. Call it
    with the threads set and the kernels compiled.

    Args:
        keep_thresholds: see `sampling.keep_thresholds`; words: how many are to be trained.

    Returns:
        None where the run is too short for it to matter.
    """
    counts = store.vocabulary.counts
    kept = counts * (keep_thresholds / 2.0**32)
    kept_share = float(kept.sum() / counts.sum())
    if 6.0 * len(counts) * config.vector_dim * words * kept_share < _LEAST_WORK:
        return None
    rows = min(len(counts), _ROWS, max(64, _WEIGHT_BYTES // (8 * padded_dim(config.vector_dim))))
    batch = _typical_batches(kept, rows, store.num_tokens / store.num_sentences, config)
    weights = Weights(new_matrix(rows, config.vector_dim), new_matrix(rows, config.vector_dim))
    stepper = SoftmaxStepper(weights, config, _logit_bytes(len(counts), rows))
    found = []
    for _ in range(1 + _REPEATS):
        began = time.perf_counter()
        stepper.train(batch, 0, batch.centres, 1 << 50)  # at the first learning rate
        found.append(time.perf_counter() - began)
    # The quickest: what else the machine does only ever adds.
    seconds = min(found[1:]) * len(counts) / rows
    word_seconds = seconds / batch.centres * kept_share
    return TimeEstimate(words * word_seconds, store.num_tokens * word_seconds)


def _logit_bytes(vocabulary_size: int, rows: int) -> int:
    """The limit that lets a part of the vocabulary keep its logits if the whole would."""
    return LOGIT_BYTES * rows // vocabulary_size


def _typical_batches(kept: np.ndarray, rows: int, sentence: float, config: TrainConfig) -> Batch:
    """Some whole batches of words drawn one by one, in sentences of one length, 2 at least."""
    generator = np.random.Generator(np.random.Philox(1))
    count = config.centres_a_batch * -(-_TIMED_CENTRES // config.centres_a_batch)
    ids = generator.choice(len(kept), count, p=kept / kept.sum()) % rows
    length = max(2, round(sentence))
    offsets = np.append(np.arange(0, len(ids) - 1, length), len(ids))  # no last one of one word
    everything = np.full(rows, 1 << 32, np.uint64)
    key, room = np.uint64(1), new_room(len(ids))
    stream = make_stream(ids.astype(np.int32), offsets, key, everything, config, room)
    return Batch(0, 0, key, stream, 0, room)


def time_line(
    found: TimeEstimate, vocabulary_size: int, config: TrainConfig, going_on: bool
) -> str:
    """One line: the time, and for long runs, as a warning, what would be quicker.

    A model that is `going_on` has its type and its vocabulary.
    """
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
        scale = 10 ** (math.floor(math.log10(fewer)) - 1)
        other = f"{int(fewer / scale) * scale:,} words (--max-vocab) would take an hour, {other}"
    return f"warning: {what}: {times}; {other}"


def readable_seconds(seconds: float) -> str:
    """2 digits and a unit: 45 s, 12 min, 3.4 h, 12 days."""
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{_two_digits(seconds / size)} {unit}"
    return f"{_two_digits(seconds / 86_400)} days"


def _two_digits(value: float) -> str:
    return f"{value:.1f}" if value < 9.95 else f"{round(value):,}"
