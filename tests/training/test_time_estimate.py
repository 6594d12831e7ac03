"""The estimate of the time that is told before a run."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastw2v
from fastw2v.kernels.softmax_batch import logit_bytes
from fastw2v.store.format import TokenStore
from fastw2v.training import sampling, time_estimate
from fastw2v.training import steppers as steps
from fastw2v.training.config import TrainConfig
from fastw2v.training.data import BatchSource, Position
from fastw2v.training.time_estimate import (
    TimeEstimate,
    Work,
    block_word_seconds,
    readable_seconds,
    softmax_word_seconds,
    time_line,
    whole_run,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10 s"), (89.4, "89 s"), (90, "1.5 min"), (5399, "90 min"),
     (5400, "1.5 h"), (147_600, "41 h"), (172_800, "2.0 days"), (1e8, "1,157 days")],
)  # fmt: skip
def test_readable_seconds(seconds: float, text: str) -> None:
    assert readable_seconds(seconds) == text


def test_line_of_a_quick_run_is_no_warning() -> None:
    line = time_line(TimeEstimate(300, 100, 1e4), 25_000, TrainConfig.create(type="cbow"), False)
    assert line == "cbow over 25,000 words at dim 300: about 1.7 min an epoch, 5.0 min in all"


def test_line_of_a_long_run_proposes_what_an_hour_would_do() -> None:
    config = TrainConfig.create(type="sgram")
    line = time_line(TimeEstimate(147_600, 147_600, 1e4), 400_000, config, False)
    assert line == (
        "warning: sgram over 400,000 words at dim 300: about 41 h an epoch; 9,700 words "
        "(--max-vocab) would take an hour, --type sgram_neg would take minutes"
    )
    hopeless = time_line(TimeEstimate(1e9, 1e9, 1.0), 400_000, config, False)
    assert "--max-vocab" not in hopeless
    assert "--type sgram_neg" in hopeless
    going_on = time_line(TimeEstimate(147_600, 147_600, 1e4), 400_000, config, True)
    assert going_on == "warning: sgram over 400,000 words at dim 300: about 41 h an epoch"


def test_it_is_the_whole_run_that_is_long() -> None:
    config = TrainConfig.create(type="sgram")
    many = time_line(TimeEstimate(150_000, 3000, 1e4), 30_000, config, False)
    assert many.startswith("warning: sgram")
    assert "about 50 min an epoch, 42 h in all" in many
    assert not time_line(TimeEstimate(60, 30_000, 1e4), 30_000, config, False).startswith("warning")


def store_of(vocabulary_size: int, tokens: int) -> Any:
    counts = np.maximum(1, tokens // (1 + np.arange(vocabulary_size)))
    vocabulary = SimpleNamespace(counts=counts)
    return SimpleNamespace(vocabulary=vocabulary, num_tokens=tokens, num_sentences=tokens // 20)


@pytest.mark.parametrize("model_type", ["sgram", "cbow"])
def test_estimate_scales_with_the_words_and_the_vocabulary(
    model_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that moves by one second a batch, and half of the rows timed."""
    monkeypatch.setattr(time_estimate, "_MIN_WORK", 0.0)
    monkeypatch.setattr(time_estimate, "_ROWS", 128)
    clock = iter(range(1000))
    monkeypatch.setattr(time_estimate.time, "perf_counter", lambda: next(clock))
    config = TrainConfig.create(type=model_type, batch_size=100, vector_dim=16)
    everything = np.full(256, 1 << 32, np.uint64)
    store = store_of(256, 10**9)
    found = softmax_word_seconds(store, config, everything, 10**8)
    assert found == pytest.approx(2 / 100)  # twice the rows that were timed
    assert found is not None
    half = softmax_word_seconds(store, config, everything // 2, 10**8)
    assert half == pytest.approx(found / 2)  # half of the words are subsampled


@pytest.mark.parametrize("batch_size", [1, 3, 63, 64, 65, 81])
def test_all_that_is_timed_is_trained(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole batches, and each word has another beside it: that after four sentences of 20, too."""
    monkeypatch.setattr(time_estimate, "_MIN_WORK", 0.0)
    trained = []

    class Spy(steps.SoftmaxStepper):
        def train(self, batch: Any, first: int, last: int, schedule: Any) -> Any:
            result = super().train(batch, first, last, schedule)
            trained.append((first, last, result.targets))
            return result

    monkeypatch.setattr(time_estimate, "SoftmaxStepper", Spy)
    config = TrainConfig.create(type="cbow", batch_size=batch_size, vector_dim=16)
    softmax_word_seconds(store_of(50, 10_000), config, np.full(50, 1 << 32, np.uint64), 10_000)
    count = batch_size * math.ceil(64 / batch_size)
    assert trained == [(0, count, count)] * 4


def test_a_short_run_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_estimate, "SoftmaxStepper", None)
    config = TrainConfig.create(type="cbow")
    everything = np.full(100, 1 << 32, np.uint64)
    assert softmax_word_seconds(store_of(100, 1000), config, everything, 1000) is None


@pytest.mark.parametrize("V", [16_385, 50_000, 62_000, 64_000, 400_000])
def test_logits_are_kept_in_the_part_as_in_the_whole(V: int) -> None:
    whole = logit_bytes(V, 512) <= steps.LOGIT_BYTES
    part = logit_bytes(16_384, 512) <= time_estimate._logit_bytes(V, 16_384)
    assert part == whole


def test_the_whole_run_has_evaluations_and_saves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_estimate, "usable_cores", lambda: 2)
    config = TrainConfig.create(type="sgram_neg", checkpoint_epochs=0, save_interval=1e9)
    plain = whole_run(1e-6, Work(10**8, 10**7, 0.0, 0), config, 1)
    assert dataclasses.astuple(plain) == pytest.approx((100, 10, 1e6))
    looked_at = whole_run(1e-6, Work(10**8, 10**7, 1e6, 0), config, 1)
    cost = time_estimate.COSTS["sgram_neg"]
    assert looked_at.seconds == pytest.approx(100 + cost)
    work = Work(10**8, 10**7, 0.0, 10**7)
    often = dataclasses.replace(config, save_interval=10.0, checkpoint_epochs=2)
    waited_for = time_estimate._WRITTEN_PER_BYTE * 1e7
    assert whole_run(1e-6, work, config, 1).seconds == pytest.approx(100 + waited_for)
    stalled = time_estimate._STALLED_PER_BYTE * 1e7
    saves = 10 + 5  # every 10 seconds, every other epoch
    assert whole_run(1e-6, work, often, 1).seconds == pytest.approx(
        100 + waited_for + saves * stalled
    )
    # With all cores in use, the thread that writes takes its share from them.
    helped = saves * time_estimate._TAKEN_PER_BYTE * 1e7 + time_estimate._PLOT_SECONDS
    assert whole_run(1e-6, work, often, 2).seconds == pytest.approx(
        100 + waited_for + saves * stalled + helped / 2
    )
    # Of large matrices the saves come less often, to keep their share.
    large = Work(10**8, 10**7, 0.0, 10**9)
    a_save = (time_estimate._STALLED_PER_BYTE + time_estimate._HELPER_PER_BYTE) * 1e9
    saves = 100 * time_estimate.SAVES_SHARE / a_save + 5
    assert whole_run(1e-6, large, often, 1).seconds == pytest.approx(
        100 + 100 * waited_for + saves * 100 * stalled
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TokenStore:
    words = np.random.default_rng(4).zipf(1.3, (400, 25)) % 300
    place = tmp_path_factory.mktemp("text") / "store"
    fastw2v.preprocess([[f"w{n}" for n in line] for line in words.tolist()], place, min_count=1)
    return TokenStore.open(place)


@dataclasses.dataclass
class Case:
    """A run of negative sampling that is about to begin."""

    source: BatchSource
    config: TrainConfig
    weights: Any
    stepper: steps.Stepper
    threads: int

    def word_seconds(self, kept_words: float = 1e12) -> float | None:
        return block_word_seconds(
            self.source, Position(1, 0, 0), self.stepper, self.config, self.threads, kept_words
        )


def case_of(store: TokenStore, threads: int = 2, **options: Any) -> Case:
    options = {"type": "sgram_neg", "vector_dim": 20, "subsample": 0.0, "block_size": 16, **options}
    config = TrainConfig.create(**options).with_blocks(1e-3, 0.1)
    counts = store.vocabulary.counts
    source = BatchSource(store, config, np.full(len(counts), 1 << 32, np.uint64))
    weights = steps.initial_weights(len(counts), config)
    generator = np.random.default_rng(3)
    for matrix in weights:
        matrix[:, : config.vector_dim] = generator.normal(0, 0.3, (len(counts), config.vector_dim))
    noise = sampling.noise_tables(counts, 0.75)
    stepper = steps.new_stepper(weights, noise, config, threads)
    return Case(source, config, weights, stepper, threads)


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("model_type", ["sgram_neg", "cbow_neg"])
def test_timing_changes_not_a_bit(store: TokenStore, model_type: str, deterministic: bool) -> None:
    case = case_of(store, type=model_type, deterministic=deterministic)
    before = [matrix.tobytes() for matrix in case.weights]
    (batch,) = case.source.batches(Position(1, 0, 0), 2)
    found = case.word_seconds()
    assert found is not None
    assert 1e-9 < found < 1
    assert [matrix.tobytes() for matrix in case.weights] == before
    # The words that were timed are those that come first, and they would have changed them.
    case.stepper.train(batch, 0, batch.centers, time_estimate.Schedule(0.05, 0.05, 1.0, 0.0))
    assert [matrix.tobytes() for matrix in case.weights] != before


def clocked(
    case: Case, monkeypatch: pytest.MonkeyPatch, *, a_center: float, reading: float
) -> list[tuple[int, int]]:
    """A clock that only work moves; the stretches that will be trained."""
    now, cpu, trained = [0.0], [0.0], []

    def train(batch: Any, first: int, last: int, schedule: Any) -> steps.StepResult:
        assert schedule == (0.0, 0.0, 1.0, 0.0)
        trained.append((first, last))
        now[0] += a_center * (last - first)
        return steps.StepResult(0.0, 0.0)

    made = case.source.batch

    def batch(*place: Any) -> Any:
        now[0] += reading
        cpu[0] += reading
        return made(*place)

    monkeypatch.setattr(case.source, "batch", batch)
    monkeypatch.setattr(case.stepper, "train", train)
    monkeypatch.setattr(time_estimate.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time_estimate.time, "thread_time", lambda: cpu[0])
    return trained


@pytest.mark.parametrize(
    ("threads", "cores", "a_center", "reading", "expected"),
    [
        (2, 2, 1e-5, 0.0, 1e-5),
        (2, 2, 1e-5, 0.04, 1e-5 + 4e-6 / 2),  # both cores train: reading is shared out
        (1, 2, 1e-5, 0.04, 1e-5),  # a core to read with
        (1, 2, 1e-6, 0.04, 4e-6),  # nothing but reading
        (1, 1, 1e-5, 0.04, 1e-5 + 4e-6),
        (9, 2, 1e-5, 0.04, 1e-5 + 4e-6 / 2),  # more threads than cores
        (3, 8, 1e-5, 0.04, 1e-5),
    ],
)
def test_reading_takes_its_share_of_the_cores(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch,
    threads: int, cores: int, a_center: float, reading: float, expected: float,
) -> None:  # fmt: skip
    """A row group of 10,000 words, all of them kept."""
    case = case_of(store, threads=threads)
    monkeypatch.setattr(time_estimate, "usable_cores", lambda: cores)
    clocked(case, monkeypatch, a_center=a_center, reading=reading)
    assert case.word_seconds(1e9) == pytest.approx(expected)


def test_timing_takes_a_hundredth_of_the_run_and_not_long(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_estimate, "usable_cores", lambda: 2)
    for kept_words, most in ((1e12, 0.4), (2e6, 0.2)):
        case = case_of(store, vector_dim=2000)
        with monkeypatch.context() as patch:
            trained = clocked(case, patch, a_center=1e-5, reading=0.01)
            assert case.word_seconds(kept_words) == pytest.approx(1e-5 + 1e-6 / 2)
        spent = 0.02 + sum(1e-5 * (last - first) for first, last in trained)
        assert 0.8 * most < spent <= most
        assert all(first % 16 == 0 for first, _ in trained)
        assert len({first for first, _ in trained}) > 1


def test_a_short_run_of_blocks_is_not_timed(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = case_of(store)
    with monkeypatch.context() as patch:
        trained = clocked(case, patch, a_center=1e-5, reading=0.01)
        assert case.word_seconds(1e6) is None
        assert not trained
    case = case_of(store, vector_dim=2000)
    clocked(case, monkeypatch, a_center=1e-6, reading=0.001)
    assert case.word_seconds(2e6) is None  # it turns out to be quick
    assert case.word_seconds(2e7) is not None


def test_memory_of_the_timed_batch_is_used_again(
    store: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the batch whose reading is timed, and by the run."""
    case, rooms, made = case_of(store), [], BatchSource.batch

    def batch(*arguments: Any) -> Any:
        found = made(*arguments)
        rooms.append(found.room)
        return found

    monkeypatch.setattr(BatchSource, "batch", batch)
    assert case.word_seconds() is not None
    assert len(list(case.source.batches(Position(0, 0, 0), 1))) == 1
    assert len(rooms) == 3
    assert rooms[0] is rooms[1] is rooms[2]


def test_line_of_negative_sampling() -> None:
    found = TimeEstimate(192, 38, 3_461_234.0)
    config = TrainConfig.create(type="sgram_neg")
    assert time_line(found, 25_000, config, False) == "about 3.2 min at 3,400,000 words/s"
    patient = dataclasses.replace(config, patience=3)
    line = time_line(dataclasses.replace(found, words_per_second=7.9), 9, patient, True)
    assert line == "at most about 3.2 min at 7 words/s"


@pytest.mark.parametrize(
    ("model_type", "begins", "ends"),
    [
        ("cbow", "cbow over 8 words at dim 16: about ", " in all"),
        ("cbow_neg", "about ", " words/s"),
    ],
)
def test_training_says_it_before_it_starts(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, model_type: str, begins: str, ends: str
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log\n" * 400)
    said: list[str] = []
    options: Any = {
        "min_count": 1, "epochs": 2, "vector_dim": 16, "checkpoint_epochs": 0, "type": model_type,
        "notify": said.append, "callback": lambda progress: said.append(progress.event),
        "threads": 1,
    }  # fmt: skip
    short = fastw2v.train(text, tmp_path / "short", **options)
    assert not any("about" in line for line in said)
    monkeypatch.setattr(time_estimate, "_MIN_WORK", 0.0)
    monkeypatch.setattr(time_estimate, "_MIN_SECONDS", 0.0)
    model = fastw2v.train(text, tmp_path / "model", **options)
    (line,) = (line for line in said if "about" in line)
    assert line.startswith(begins)
    assert line.endswith(ends)
    last_start = len(said) - 1 - said[::-1].index("start")
    assert said.index(line) < last_start
    for name in ("input_vectors", "output_vectors"):  # and nothing else is different
        assert getattr(short, name).tobytes() == getattr(model, name).tobytes()
