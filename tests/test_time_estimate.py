"""The estimate before a full-softmax run."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastw2v
from fastw2v.kernels.softmax_room import logit_bytes
from fastw2v.training import softmax_time, steps
from fastw2v.training.config import TrainConfig
from fastw2v.training.softmax_time import (
    TimeEstimate,
    estimate_time,
    readable_seconds,
    time_line,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (89.4, "89 s"), (90, "1.5 min"), (5399, "90 min"),
     (5400, "1.5 h"), (147_600, "41 h"), (172_800, "2.0 days"), (1e8, "1,157 days")],
)  # fmt: skip
def test_readable_seconds(seconds: float, text: str) -> None:
    assert readable_seconds(seconds) == text


def test_line_of_a_quick_run_is_no_warning() -> None:
    line = time_line(TimeEstimate(300, 100), 25_000, TrainConfig.create(type="cbow"), False)
    assert line == "cbow over 25,000 words at dim 300: about 1.7 min an epoch, 5.0 min in all"


def test_line_of_a_long_run_proposes_what_an_hour_would_do() -> None:
    config = TrainConfig.create(type="sgram")
    line = time_line(TimeEstimate(147_600, 147_600), 400_000, config, False)
    assert line == (
        "warning: sgram over 400,000 words at dim 300: about 41 h an epoch; 9,700 words "
        "(--max-vocab) would take an hour, --type sgram_neg would take minutes"
    )
    hopeless = time_line(TimeEstimate(1e9, 1e9), 400_000, config, False)
    assert "--max-vocab" not in hopeless
    assert "--type sgram_neg" in hopeless
    going_on = time_line(TimeEstimate(147_600, 147_600), 400_000, config, True)
    assert going_on == "warning: sgram over 400,000 words at dim 300: about 41 h an epoch"


def test_it_is_the_whole_run_that_is_long() -> None:
    config = TrainConfig.create(type="sgram")
    many = time_line(TimeEstimate(150_000, 3000), 30_000, config, False)
    assert many.startswith("warning: sgram")
    assert "about 50 min an epoch, 42 h in all" in many
    assert not time_line(TimeEstimate(60, 30_000), 30_000, config, False).startswith("warning")


def store_of(vocabulary_size: int, tokens: int) -> Any:
    counts = np.maximum(1, tokens // (1 + np.arange(vocabulary_size)))
    vocabulary = SimpleNamespace(counts=counts)
    return SimpleNamespace(vocabulary=vocabulary, num_tokens=tokens, num_sentences=tokens // 20)


@pytest.mark.parametrize("model_type", ["sgram", "cbow"])
def test_estimate_scales_with_the_words_and_the_vocabulary(
    model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that moves by one second a batch, and half of the rows timed."""
    monkeypatch.setattr(softmax_time, "_LEAST_WORK", 0.0)
    monkeypatch.setattr(softmax_time, "_ROWS", 128)
    clock = iter(range(1000))
    monkeypatch.setattr(softmax_time.time, "perf_counter", lambda: next(clock))
    config = TrainConfig.create(type=model_type, batch_size=100, vector_dim=16)
    everything = np.full(256, 1 << 32, np.uint64)
    store = store_of(256, 10**9)
    found = estimate_time(store, config, everything, 10**8)
    assert found is not None
    assert found.seconds == pytest.approx(2 * 10**8 / 100)  # twice the rows that were timed
    assert found.epoch_seconds == pytest.approx(10 * found.seconds)
    half = estimate_time(store, config, everything // 2, 10**8)
    assert half is not None
    assert half.seconds == pytest.approx(found.seconds / 2)  # half of the words are subsampled


@pytest.mark.parametrize("batch_size", [1, 3, 21, 63, 64, 65, 100])
def test_all_that_is_timed_is_trained(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole batches, and each word has another beside it."""
    monkeypatch.setattr(softmax_time, "_LEAST_WORK", 0.0)
    trained = []

    class Spy(steps.SoftmaxStepper):
        def train(self, batch: Any, first: int, last: int, schedule: Any) -> Any:
            result = super().train(batch, first, last, schedule)
            trained.append((first, last, result.targets))
            return result

    monkeypatch.setattr(softmax_time, "SoftmaxStepper", Spy)
    config = TrainConfig.create(type="cbow", batch_size=batch_size, vector_dim=16)
    estimate_time(store_of(50, 10_000), config, np.full(50, 1 << 32, np.uint64), 10_000)
    count = batch_size * math.ceil(64 / batch_size)
    assert trained == [(0, count, count)] * 4


def test_a_short_run_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softmax_time, "SoftmaxStepper", None)
    config = TrainConfig.create(type="cbow")
    everything = np.full(100, 1 << 32, np.uint64)
    assert estimate_time(store_of(100, 1000), config, everything, 1000) is None


@pytest.mark.parametrize("V", [16_385, 50_000, 62_000, 64_000, 400_000])
def test_logits_are_kept_in_the_part_as_in_the_whole(V: int) -> None:
    whole = logit_bytes(V, 512) <= steps.LOGIT_BYTES
    part = logit_bytes(16_384, 512) <= softmax_time._logit_bytes(V, 16_384)
    assert part == whole


def test_training_says_it_before_it_starts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softmax_time, "_LEAST_WORK", 0.0)
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log\n" * 40)
    said: list[str] = []
    options: Any = {
        "min_count": 1, "epochs": 2, "vector_dim": 16, "checkpoint_epochs": 0,
        "notify": said.append, "callback": lambda progress: said.append(progress.event),
    }  # fmt: skip
    fastw2v.train(text, tmp_path / "m", type="cbow", **options)
    (line,) = (line for line in said if "an epoch" in line)
    assert line.startswith("cbow over 8 words at dim 16: about ")
    assert line.endswith("in all")
    assert said.index(line) < said.index("start")
    fastw2v.train(text, tmp_path / "n", type="cbow_neg", **options)
    assert sum("an epoch" in line for line in said) == 1
