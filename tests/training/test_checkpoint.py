from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fastw2v.errors import DataError, ResourceError, UsageError
from fastw2v.io import model_directory as layout
from fastw2v.io import storage
from fastw2v.kernels.blocks import Weights
from fastw2v.kernels.primitives import new_matrix
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.training.checkpoint import (
    Snapshot,
    check_place,
    keep_checkpoint,
    remove_leftovers,
    save,
)

DIM = 5


def snapshot(number: float) -> Snapshot:
    weights = Weights(new_matrix(3, DIM), new_matrix(3, DIM))
    weights.input_vectors[:, :DIM] = number
    weights.output_vectors[:, :DIM] = -number
    return Snapshot(
        weights,
        DIM,
        Vocabulary(["a", "b", "c"], np.array([3, 2, 1])),
        {"vector_dim": DIM, "type": "sgram_neg"},
        {"words_done": int(number)},
        [{"loss": number}],
    )


def test_save_and_read_back(tmp_path: Path) -> None:
    model = tmp_path / "m"
    save(model, snapshot(1))
    save(model, snapshot(2))
    generation = layout.open_model(model)
    assert generation.path.name == "gen-000002"
    save(model, snapshot(3))  # the one before stays, older ones go
    assert sorted(path.name for path in model.glob("gen-*")) == ["gen-000002", "gen-000003"]
    np.testing.assert_array_equal(generation.matrix("input_vectors"), np.full((3, DIM), 2.0))
    np.testing.assert_array_equal(generation.matrix("output_vectors"), np.full((3, DIM), -2.0))
    assert Vocabulary.load(generation.vocabulary_path).tokens == ["a", "b", "c"]
    assert generation.history() == [{"loss": 2}]
    assert generation.state["words_done"] == 2


def test_matrices_are_plain_npy(tmp_path: Path) -> None:
    path = save(tmp_path / "m", snapshot(1)) / "input_vectors.npy"
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    assert (values.dtype, values.shape, values.flags.c_contiguous) == (np.float32, (3, DIM), True)


@pytest.mark.parametrize("file", [*layout.CHECKED_FILES, layout.STATE])
def test_damage_is_found_and_the_checkpoint_used(tmp_path: Path, file: str) -> None:
    model = tmp_path / "m"
    keep_checkpoint(model, save(model, snapshot(1)), epoch=1, keep=3)
    for number, expected in ((2, "gen-000001"), (3, "epoch-0001")):
        damaged = save(model, snapshot(number)) / file
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 4
        os.unlink(damaged)  # the checkpoint's files may be hard links
        damaged.write_bytes(content)
        lines: list[str] = []
        generation = layout.open_model(model, on_damage=lines.append)
        assert generation.path.name == expected
        assert len(lines) == 1
        assert file in lines[0] or file == layout.STATE


def test_no_good_save_left_is_a_named_error(tmp_path: Path) -> None:
    model = tmp_path / "m"
    generation = save(model, snapshot(1))
    (generation / "input_vectors.npy").write_bytes(b"")
    with pytest.raises(DataError, match="no good checkpoint is left"):
        layout.open_model(model)


def test_current_cannot_lead_out_of_the_directory(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere", snapshot(1))
    model = tmp_path / "m"
    model.mkdir()
    (model / layout.CURRENT).write_text("../elsewhere/gen-000001\n")
    with pytest.raises(DataError):
        layout.open_model(model)


def test_wrong_shape_is_refused(tmp_path: Path) -> None:
    generation = save(tmp_path / "m", snapshot(1))
    state = json.loads((generation / "state.json").read_text())
    state["vocabulary_size"] = 4
    storage.write_json(generation / "state.json", state)
    with pytest.raises(DataError, match="shape"):
        layout.open_model(tmp_path / "m").matrix("input_vectors")


def test_old_checkpoints_go_by_number(tmp_path: Path) -> None:
    model = tmp_path / "m"
    generation = save(model, snapshot(1))
    for epoch in (9_998, 9_999, 10_000):
        keep_checkpoint(model, generation, epoch, keep=2)
    left = {path.name for path in (model / "checkpoints").iterdir()}
    assert left == {"epoch-9999", "epoch-10000"}
    keep_checkpoint(model, generation, 10_001, keep=0)
    assert len(list((model / "checkpoints").iterdir())) == 3


def test_replacing_a_model_drops_its_checkpoints(tmp_path: Path) -> None:
    model = tmp_path / "m"
    keep_checkpoint(model, save(model, snapshot(1)), 1, keep=0)
    save(model, dataclasses.replace(snapshot(7), fresh=True))
    assert not (model / "checkpoints").exists()


def test_reading_starts_over_when_a_save_moves_the_model_away(tmp_path: Path) -> None:
    model = tmp_path / "m"
    save(model, snapshot(1))
    reads = []

    def read(generation: layout.Generation) -> float:
        reads.append(generation.path.name)
        if len(reads) == 1:
            save(model, snapshot(2))
            save(model, snapshot(3))  # removes the generation that is being read
        return float(generation.matrix("input_vectors")[0, 0])

    assert layout.read_model(model, read) == 3.0
    assert reads == ["gen-000001", "gen-000003"]


def test_foreign_names_and_leftovers_are_no_obstacle(tmp_path: Path) -> None:
    model = tmp_path / "m"
    generation = save(model, snapshot(1))
    keep_checkpoint(model, generation, 1, keep=1)
    (model / "gen-backup").mkdir()
    (model / "checkpoints" / "epoch-best").mkdir()
    (model / "checkpoints" / ".epoch-0002.77.partial").mkdir()
    assert remove_leftovers(model) == ["epoch-0002"]
    keep_checkpoint(model, save(model, snapshot(2)), 2, keep=1)
    names = {path.name for path in (model / "checkpoints").iterdir()}
    assert names == {"epoch-0002", "epoch-best"}
    assert (model / "gen-backup").exists()
    killed = tmp_path / "killed"
    (killed / "gen-000001").mkdir(parents=True)
    (killed / ".CURRENT.77.partial").write_text("")
    check_place(killed)


def test_only_our_directories_are_written_to(tmp_path: Path) -> None:
    foreign = tmp_path / "papers"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not a fastw2v model"):
        check_place(foreign)
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(UsageError, match="not a model directory"):
        check_place(file)
    link = tmp_path / "link"
    save(tmp_path / "m", snapshot(1))
    link.symlink_to(tmp_path / "m")
    with pytest.raises(UsageError):
        check_place(link)
    check_place(tmp_path / "m")
    check_place(tmp_path / "new")


def test_a_failed_save_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every system call of a save that can find the disk full is made to, one after another."""
    model = tmp_path / "m"
    save(model, snapshot(1))
    real_fsync, real_rename, real_replace = os.fsync, os.rename, os.replace
    calls = 0

    def failing(real: object, limit: int) -> object:
        def call(*args: object) -> object:
            nonlocal calls
            calls += 1
            if calls == limit:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args)  # type: ignore[operator]

        return call

    messages: list[str] = []
    last_good = 1
    for limit in range(1, 60):
        calls = 0
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", failing(real_fsync, limit))
            patch.setattr(os, "rename", failing(real_rename, limit))
            patch.setattr(os, "replace", failing(real_replace, limit))
            try:
                save(model, snapshot(limit + 1))
            except ResourceError as error:
                messages.append(str(error))
        # The old state or the new one, whole, and nothing half-written beside it.
        assert layout.open_model(model).state["words_done"] in {last_good, limit + 1}
        last_good = layout.open_model(model).state["words_done"]
        assert not list(model.glob(".*partial*"))
        if calls < limit:
            break
    assert len(messages) > 10
    assert all("no space left" in message for message in messages)
