"""The learning rate against word2vec.c's formula, and with patience."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fastw2v.errors import DataError
from fastw2v.kernels.hogwild import learning_rate
from fastw2v.training.config import TrainConfig
from fastw2v.training.schedule import EarlyStopping, LearningRate

CONFIG = TrainConfig.create(alpha=0.2, min_alpha=0.01)
PATIENT = TrainConfig.create(alpha=0.2, min_alpha=0.01, patience=3)


def rates(rate: LearningRate, words_before: int, words: list[int]) -> list[float]:
    """As the kernels have it, seen from a batch."""
    schedule = rate.seen_from(words_before)
    return [float(learning_rate(schedule, word)) for word in words]


def test_it_falls_over_the_run_from_whatever_place_it_is_seen() -> None:
    rate = LearningRate.of(CONFIG, 1000, {})
    assert rate.end_words == 1000
    expected = [0.2 - 0.19 * words / 1000 for words in (0, 250, 500, 999)]
    assert [rate.at(words) for words in (0, 250, 500, 999)] == pytest.approx(expected)
    assert rates(rate, 0, [0, 250, 500, 999]) == pytest.approx(expected)
    assert rates(rate, 250, [0, 250]) == pytest.approx(expected[1:3])
    assert rate.at(2000) == pytest.approx(0.01)


def test_with_patience_it_is_constant_until_it_falls_and_then_the_run_ends() -> None:
    rate = LearningRate.of(PATIENT, 1000, {})
    assert rates(rate, 300, [0, 600]) == pytest.approx([0.2, 0.2])
    assert rate.end_words == 1000
    falling = rate.decaying_from(400, 0.5)
    assert falling.end_words == 600
    assert [falling.at(words) for words in (400, 500, 600)] == pytest.approx([0.2, 0.105, 0.01])
    assert rates(falling, 300, [100, 200, 300, 900]) == pytest.approx([0.2, 0.105, 0.01, 0.01])
    assert LearningRate.of(PATIENT, 1000, falling.as_json()) == falling


@pytest.mark.parametrize("cooldown", [0.1, 0.2, 1.0, 3.0])
def test_the_latest_decay_is_over_at_the_end(cooldown: float) -> None:
    rate = LearningRate.of(PATIENT, 10_000, {})
    falling = rate.decaying_from(rate.latest_decay(cooldown), cooldown)
    assert 10_000 - 1 - cooldown <= falling.end_words <= 10_000


def test_rollbacks_halve_it_and_are_remembered() -> None:
    rate = LearningRate.of(CONFIG, 1000, {})
    twice = dataclasses.replace(rate, rollbacks=2)
    assert twice.start == pytest.approx(0.05)
    assert twice.at(500) == pytest.approx(0.03)
    assert LearningRate.of(CONFIG, 1000, twice.as_json()) == twice
    lowest = LearningRate(0.02, 0.01, 1000, 0, 1000, rollbacks=3)  # 0.0025 is below min_alpha
    assert lowest.at(1000) == pytest.approx(lowest.at(0)) == pytest.approx(0.0025)


def test_more_words_plan_it_anew_unless_patience_did() -> None:
    saved = LearningRate.of(CONFIG, 1000, {}).as_json()
    assert LearningRate.of(CONFIG, 2000, saved).at(1000) == pytest.approx(0.105)
    falling = LearningRate.of(PATIENT, 1000, {}).decaying_from(400, 0.5)
    assert LearningRate.of(PATIENT, 2000, falling.as_json()).end_words == 600


def test_a_damaged_save_is_a_named_error() -> None:
    with pytest.raises(DataError, match="damaged"):
        LearningRate.of(PATIENT, 1000, {"fall_from": "x"})


def test_kernels_and_reports_agree() -> None:
    rate = LearningRate.of(PATIENT, 777, {}).decaying_from(123, 0.7)
    words = np.arange(123, 300, 7).tolist()
    assert rates(rate, 100, [word - 100 for word in words]) == pytest.approx(
        [rate.at(word) for word in words]
    )


def test_losses_of_other_held_out_sequences_do_not_decide() -> None:
    found = np.ones(5), np.full(5, 3)
    saved = EarlyStopping(1, np.ones((1, 5), np.float32))
    assert saved.add(*found)  # no gain at all
    for items in (1, 4):
        with pytest.raises(DataError, match="other sequences"):
            EarlyStopping(1, np.ones((1, items), np.float32)).add(*found)
