"""What saves cost, and how they keep it low."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import planted
import pytest
from test_checkpoint import snapshot

import fastw2v
from fastw2v.training.checkpoint import SHARE_OF_TIME, Saver, Snapshot

BUSY = 0.05  # seconds


def work(written: Snapshot) -> None:
    began = time.thread_time()
    while time.thread_time() < began + BUSY:
        pass


def test_a_save_in_the_background_costs_the_time_of_its_thread(tmp_path: Path) -> None:
    with Saver(tmp_path / "m", work) as saver:
        saver.save(snapshot(1), wait=False)
        saver.check()
        assert saver.cost.helper_seconds >= BUSY
        assert saver.pause >= BUSY / SHARE_OF_TIME
        first, told = saver.cost.stalled_seconds, saver.cost.helper_seconds
        saver.save(snapshot(2), wait=True)  # now it is training that costs it, once
        assert saver.cost.stalled_seconds >= first + BUSY
        assert saver.cost.helper_seconds == told
        assert saver.pause >= BUSY / SHARE_OF_TIME
        assert saver.cost.saves == 2


@pytest.mark.parametrize(("pause", "interval", "rare"), [(1e9, 1e-9, True), (1e9, 0.0, False),
                                                         (0.0, 1e-9, False)])  # fmt: skip
def test_saves_that_take_long_are_made_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: float, interval: float, rare: bool
) -> None:
    store = planted.make_store(tmp_path / "store")
    monkeypatch.setattr(Saver, "pause", pause)
    saves = []

    def hear(progress: Any) -> None:
        if progress.event == "save":
            saves.append(progress.words)

    fastw2v.train(
        store, tmp_path / "m", type="sgram_neg", vector_dim=20, window=5, batch_size=64, threads=1,
        epochs=4, save_every=1, save_interval=interval, checkpoint_epochs=0, callback=hear,
    )  # fmt: skip
    assert (len(saves) == 2) == rare, saves
