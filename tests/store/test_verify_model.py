"""Every kind of damage to a model directory is found, and each file of it is named."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import fastw2v
from fastw2v.errors import UsageError
from fastw2v.io import model_directory as layout
from fastw2v.io import storage
from fastw2v.store.verify import verify_model
from fastw2v.store.vocabulary import Vocabulary

LINES = [f"new york is big and w{n % 7} likes w{n % 5}" for n in range(300)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model with phrases, two generations, two checkpoints and held-out losses."""
    directory = tmp_path_factory.mktemp("made")
    (directory / "text.txt").write_text("\n".join(LINES) + "\n")
    options = {"min_count": 2, "phrases": 1, "phrase_threshold": 0.1, "phrase_min_count": 2}
    fastw2v.preprocess(directory / "text.txt", directory / "store", threads=1, **options)
    fastw2v.train(
        directory / "store", directory / "model", vector_dim=4, epochs=2, threads=1, holdout=0.1
    )  # fmt: skip
    return directory / "model"


@pytest.fixture
def model(made, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(made, tmp_path / "model")


def found(model, **options):
    """File name -> problem, of the damage."""
    return {
        finding.path.relative_to(model).as_posix(): finding.problem
        for finding in verify_model(model, **options)
        if finding.damage
    }


def newest(model):
    return model / layout.current(model)


def seal(save, name):
    """Make state.json agree with the bytes of a file as they are now."""
    state = storage.read_json(save / layout.STATE)
    state["sha256"][name] = storage.sha256_of(save / name)
    state["checksum"] = layout.state_checksum(state)
    (save / layout.STATE).write_text(json.dumps(state))


@pytest.mark.parametrize("threads", [None, 1, 4])
def test_a_sound_model_has_no_findings(made, threads):
    seen = []
    assert len(layout.generations(made)) + len(layout.checkpoints(made)) >= 3
    assert verify_model(made, lambda *event: seen.append(event), threads=threads) == []
    done = [event[1] for event in seen]
    saves = layout.saves_of(made)
    total = sum(
        (save / name).stat().st_size for save in saves for name in layout.read_state(save)["sha256"]
    )
    assert done == sorted(done)
    assert seen[-1] == ("verifying", total, total)
    assert verify_model(newest(made)) == []  # a single save, too


def test_each_flipped_bit_names_its_file(made, tmp_path):
    rng, tried = np.random.default_rng(1), set()
    for save in (newest(made), layout.checkpoints(made)[0]):
        for name in [*layout.read_state(save)["sha256"], layout.STATE]:
            tried.add(name)
            model = shutil.copytree(made, tmp_path / f"{save.name}-{name}")
            path = model / save.relative_to(made) / name
            content = bytearray(path.read_bytes())
            content[int(rng.integers(len(content)))] ^= 16
            path.write_bytes(content)
            assert list(found(model)) == [path.relative_to(model).as_posix()]
    assert tried > {"holdout_losses.npy", "phrases.parquet", "state.json", "output_vectors.npy"}


def test_files_that_are_missing_are_named(model):
    (newest(model) / "input_vectors.npy").unlink()
    (layout.checkpoints(model)[1] / "config.json").unlink()
    damage = found(model)
    assert list(damage) == [f"{newest(model).name}/input_vectors.npy",
                            "checkpoints/epoch-0002/config.json"]  # fmt: skip
    assert "cannot be read" in damage[f"{newest(model).name}/input_vectors.npy"]


@pytest.mark.parametrize("text", ["gen-999999\n", "", "../gen-000001\n"])
def test_a_current_that_names_no_save_is_found(model, text):
    (model / layout.CURRENT).write_text(text)
    assert found(model) == {"CURRENT": "names no save that is there"}


def test_values_that_are_not_finite_are_found_under_a_right_checksum(model):
    save = layout.checkpoints(model)[0]
    for value in (np.nan, np.inf):
        matrix = np.load(save / "output_vectors.npy")
        matrix[3, 1] = value
        np.save(save / "output_vectors.npy", matrix)
        seal(save, "output_vectors.npy")
        assert found(model) == {
            "checkpoints/epoch-0001/output_vectors.npy": "row 3 has values that are not finite"
        }


def test_files_that_do_not_belong_together_are_found(model):
    save = newest(model)
    matrix = np.load(save / "input_vectors.npy")
    np.save(save / "input_vectors.npy", matrix[:-1])
    Vocabulary(["a", "b"], [2, 1]).save(save / "vocabulary.parquet")
    (save / "history.jsonl").write_text("[1]\n")
    for name in ("input_vectors.npy", "vocabulary.parquet", "history.jsonl"):
        seal(save, name)
    damage = {name.rpartition("/")[2]: problem for name, problem in found(model).items()}
    assert damage["input_vectors.npy"].startswith("expected float32 of shape")
    assert damage["vocabulary.parquet"] == f"2 words, but state.json says {len(matrix)}"
    assert damage["history.jsonl"].startswith("not a readable history")
    assert len(damage) == 3


def test_a_config_of_values_that_cannot_be_is_found(model):
    config = storage.read_json(newest(model) / "config.json")
    (newest(model) / "config.json").write_text(json.dumps({**config, "vector_dim": "4"}))
    seal(newest(model), "config.json")
    assert [*found(model)] == [f"{newest(model).name}/config.json"]


def test_links_are_not_followed(model, tmp_path):
    save = layout.checkpoints(model)[0]
    shutil.copy(save / "config.json", tmp_path / "config.json")
    (save / "config.json").unlink()
    (save / "config.json").symlink_to(tmp_path / "config.json")
    assert "symbolic link" in found(model)["checkpoints/epoch-0001/config.json"]
    save.rename(tmp_path / "elsewhere")
    save.symlink_to(tmp_path / "elsewhere")
    assert "symbolic link" in found(model)["checkpoints/epoch-0001/state.json"]


def test_files_that_no_save_lists_are_named_and_no_damage(model):
    (model / "notes.txt").write_text("read me")
    (newest(model) / "more.npy").write_bytes(b"")
    findings = verify_model(model)
    assert not any(finding.damage for finding in findings)
    assert [finding.path for finding in findings] == [newest(model) / "more.npy",
                                                      model / "notes.txt"]  # fmt: skip
    assert str(findings[1]) == f"{model / 'notes.txt'}: no save of the model lists it"


def test_the_best_checkpoint_is_read_too(model):
    storage.link_or_copy_directory(layout.checkpoints(model)[0], model / "checkpoints" / "best")
    assert verify_model(model) == []
    (model / "checkpoints" / "best" / "history.jsonl").unlink()
    assert list(found(model)) == ["checkpoints/best/history.jsonl"]


def test_a_save_that_training_removes_meanwhile_is_left_out(model):
    older = layout.generations(model)[0]
    assert older != newest(model)

    def remove(*_):
        if older.exists():
            shutil.rmtree(older)

    assert verify_model(model, remove, threads=1) == []


def test_what_is_no_model_is_misuse(tmp_path):
    with pytest.raises(UsageError, match="no such model"):
        verify_model(tmp_path / "none")
    with pytest.raises(UsageError, match="not a fastw2v model"):
        verify_model(tmp_path)
