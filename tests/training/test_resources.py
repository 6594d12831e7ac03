"""What a run is said to need of memory and disk, before it starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastw2v
from fastw2v.errors import ResourceError
from fastw2v.io import storage
from fastw2v.io.machine import resident_memory
from fastw2v.training import resources
from fastw2v.training.config import TYPES, TrainConfig
from fastw2v.training.resources import Estimate, check_resources, copy_bytes, estimate

LONG, SHORT = 10**10, 1000  # words of an epoch


def config_of(**options: Any) -> TrainConfig:
    return TrainConfig.create(**{"vector_dim": 300, **options}).with_blocks(1e-4, 0.05)


def test_matrices_are_padded_and_saves_are_not() -> None:
    need = estimate(config_of(vector_dim=290), 1_000_000, 1_000_000, 2, LONG)
    assert need.matrices == 2 * 1_000_000 * 304 * 4
    a_save = 2 * 1_000_000 * 290 * 4
    assert 6 * a_save < need.disk < 6.1 * a_save
    assert need.memory == need.base + need.matrices + need.buffers


@pytest.mark.parametrize("model_type", TYPES)
def test_each_thing_that_takes_memory_counts(model_type: str) -> None:
    def memory(tokens: int = 10**6, vocabulary: int = 50_000, **options: Any) -> int:
        config = config_of(type=model_type, **{"subsample": 1e-4, **options})
        return estimate(config, vocabulary, tokens, options.get("threads", 2), LONG).memory

    usual = memory()
    assert memory(tokens=2 * 10**6) > usual + 50e6
    assert memory(subsample=0.0) > usual + 20e6
    assert memory(holdout=0.0) < usual - 2e6
    assert memory(vocabulary=51_000) > usual + 1000 * (2 * 304 * 4 + 100)
    assert memory(threads=16) > usual


@pytest.mark.parametrize(
    ("epoch_words", "options", "saves"),
    [
        (LONG, {"checkpoint_epochs": 0}, 3),
        (LONG, {"epochs": 5}, 6),  # 3 generations, the last 3 checkpoints
        (LONG, {"epochs": 1}, 3),  # its checkpoint is one of the generations
        (LONG, {"epochs": 3, "checkpoint_epochs": 2}, 4),
        (LONG, {"epochs": 20, "keep_checkpoints": 0}, 22),
        (LONG, {"epochs": 5, "patience": 2}, 7),
        (LONG, {"epochs": 20, "keep_checkpoints": 0, "max_words": 4 * LONG}, 6),
        (SHORT, {"epochs": 20}, 4),  # checkpoints are the generations
        (SHORT, {"epochs": 20, "save_interval": 0}, 6),
        (SHORT, {"epochs": 20, "keep_checkpoints": 1}, 3),
        (SHORT, {"epochs": 20, "keep_checkpoints": 0}, 21),
        (SHORT, {"epochs": 20, "keep_checkpoints": 0, "holdout": 0}, 20),
        (SHORT, {"epochs": 1}, 3),
        (SHORT, {"epochs": 20, "checkpoint_epochs": 0}, 3),
    ],
)
def test_saves_on_disk_at_once(epoch_words: int, options: dict[str, Any], saves: int) -> None:
    need = estimate(config_of(**options), 1000, 1000, 2, epoch_words)
    assert need.disk == saves * (2 * 1000 * 300 * 4 + 1000 * 16)


def files_in(directory: Path) -> int:
    stats = [path.stat() for path in directory.rglob("*") if path.is_file()]
    return sum({stat.st_ino: stat.st_size for stat in stats}.values())


@pytest.mark.parametrize(
    ("options", "saves"),
    [
        ({"epochs": 6}, 4),
        ({"epochs": 6, "save_interval": 0, "save_every": 1}, 6),
        ({"epochs": 6, "keep_checkpoints": 0, "holdout": 0}, 6),
        ({"epochs": 2, "checkpoint_epochs": 0, "save_interval": 0, "save_every": 1}, 3),
    ],
)
def test_the_disk_is_what_a_run_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], saves: int
) -> None:
    words = np.random.default_rng(4).integers(400, size=(300, 20)).tolist()
    fastw2v.preprocess([[f"w{n}" for n in line] for line in words], tmp_path / "s", min_count=1)
    model, taken, needs = tmp_path / "m", [0], []
    write_text, check = storage.write_text, check_resources

    def measuring(path: Path, text: str) -> None:
        write_text(path, text)
        taken.append(files_in(model))

    def noting(need: Estimate, path: Path) -> str:
        needs.append(need)
        return check(need, path)

    monkeypatch.setattr(storage, "write_text", measuring)
    monkeypatch.setattr(resources, "check_resources", noting)
    fastw2v.train(
        tmp_path / "s", model, type="sgram_neg", vector_dim=200, batch_size=512, threads=1,
        **{"holdout": 0.05, **options},
    )  # fmt: skip
    (need,) = needs
    assert need.disk == pytest.approx(saves * (400 * 200 * 8 + 400 * 16), rel=0.01)
    assert max(taken) == pytest.approx(need.disk, rel=0.1)


def test_the_copy_for_saves_is_made_where_it_takes_half_of_what_is_left() -> None:
    need = Estimate(100, 50, 1, base=30)
    assert copy_bytes(need, None) == 100
    assert copy_bytes(need, 180 + 200) == 100
    assert copy_bytes(need, 180 + 199) == 0


def test_the_line_says_whether_saves_stop_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "free_disk", lambda path: 9_000_000)
    monkeypatch.setattr(resources, "resident_memory", lambda: 500_000)
    monkeypatch.setattr(resources, "available_memory", lambda: 8_000_000)
    need = Estimate(2_000_000, 300_000, 4_000_000, base=700_000)
    assert check_resources(need, tmp_path / "m") == (
        "memory 5.0 MB of 8.5 MB available (matrices 2.0 MB, their copy for saves 2.0 MB), disk up "
        "to 4.0 MB of 9.0 MB free"
    )
    monkeypatch.setattr(resources, "available_memory", lambda: 6_000_000)
    assert check_resources(need, tmp_path / "m") == (
        "memory 3.0 MB of 6.5 MB available (matrices 2.0 MB, no room for a copy), disk up to "
        "4.0 MB of 9.0 MB free; saves stop training meanwhile"
    )


def test_what_the_process_has_already_is_available_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 1000)
    monkeypatch.setattr(resources, "resident_memory", lambda: 290)
    check_resources(Estimate(900, 90, 1, base=300), tmp_path / "m")
    with pytest.raises(ResourceError, match="are available"):
        check_resources(Estimate(900, 91, 1, base=300), tmp_path / "m")
    monkeypatch.setattr(resources, "resident_memory", lambda: 5000)  # other things of the caller's
    with pytest.raises(ResourceError, match="are available"):
        check_resources(Estimate(900, 101, 1, base=300), tmp_path / "m")


def test_resident_memory(tmp_path: Path) -> None:
    assert resident_memory(tmp_path) == 0
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "statm").write_text("900 123 45 6 0 7 0\n")
    assert resident_memory(tmp_path) == 123 * os.sysconf("SC_PAGE_SIZE")


def test_a_softmax_run_of_hours_is_warned_of() -> None:
    config = TrainConfig.create(type="cbow")
    line = resources.long_run_warning(config, 400_000, 1e7, 2, resumed=False)
    assert line is not None
    # 6 · 400,000 · 300 · 1e7 operations at 2 · 2e10 a second
    assert "up to 50 hours on 2 threads (7.2e+15 floating-point operations)" in line
    assert "`type` cbow_neg" in line
    assert "`max_vocab`" in line
    resumed = resources.long_run_warning(config, 400_000, 1e7, 2, resumed=True)
    assert resumed is not None
    assert "max_vocab" not in resumed  # it has its vocabulary and its type
    assert resources.long_run_warning(config, 4_000, 1e7, 2, resumed=False) is None
    negative = TrainConfig.create(type="cbow_neg")
    assert resources.long_run_warning(negative, 400_000, 1e9, 2, resumed=False) is None
