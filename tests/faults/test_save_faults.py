"""Every call by which a save changes the disk fails, stops the process, or is where the power goes.

Always there is a complete model, at most one save old; or, before the first save, none, and another
start begins anew. The same for whole runs of `train` and `preprocess`, where calls are drawn.

Of a save, every fifth call is taken, and every one where `FASTW2V_FAULTS` is above 1; of whole runs
so many times as many are drawn. `FASTW2V_FAULT_SEED` makes the draws others.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from fault_layer import Faults, StoppedError
from kill_helper import Runs
from preprocess_helper import (
    content_of,
    write_corpus,
)
from test_training_kill import SMALL, fingerprint

from fastw2v.errors import ResourceError
from fastw2v.io import model_directory as layout
from fastw2v.io import storage
from fastw2v.kernels.blocks import Weights
from fastw2v.kernels.primitives import new_matrix
from fastw2v.store.format import TokenStore
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.text.config import Layout
from fastw2v.training import checkpoint
from fastw2v.training.checkpoint import Snapshot

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")

MANY = int(os.environ.get("FASTW2V_FAULTS", "1"))
SEED = int(os.environ.get("FASTW2V_FAULT_SEED", "1"))
KINDS = ("ENOSPC", "EIO", "stop", "cut")

# What is saved before, what while faults happen; the number 1 is a new model's first save.
FIRST, OTHER = {"number": 1, "fresh": True}, {"number": 100, "fresh": True}
SAVES: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "a new model": ([], [FIRST, {"number": 2}]),
    "a later save": ([FIRST, {"number": 2}], [{"number": 3}, {"number": 4}]),
    "an epoch's": (
        [FIRST, {"number": 2, "epoch": 1}, {"number": 3, "epoch": 2}],
        [{"number": 4, "epoch": 3, "keep_checkpoints": 2}],
    ),
    "an epoch's again": ([FIRST, {"number": 2, "epoch": 1}], [{"number": 3, "epoch": 1}]),
    "the best": ([FIRST, {"number": 2, "best": True}], [{"number": 3, "best": True}]),
    "over another model": (
        [OTHER, {"number": 101, "epoch": 1, "best": True}, {"number": 102}],
        [FIRST, {"number": 2}],
    ),
}


# --- one save ---


WORDS = Vocabulary(["a", "b", "c"], np.array([3, 2, 1]))


def snapshot(number: int, **options: Any) -> Snapshot:
    """A save in which everything is `number`."""
    weights = Weights(new_matrix(3, 5), new_matrix(3, 5))
    for matrix in weights:
        matrix[:] = number
    return Snapshot(
        weights,
        5,
        WORDS,
        {"vector_dim": 5, "type": "sgram_neg"},
        {"words_done": number},
        [{"loss": number}],
        arrays={"holdout_losses": np.full((2, 3), number, np.float32)},
        **options,
    )


def save_all(model: Path, saves: list[dict[str, Any]], done: list[Any]) -> None:
    """What a run does to the disk that is started for these saves, and goes on when one fails.

    done: gets the numbers of the saves that are known to be done, the messages of the others.
    """
    checkpoint.check_place(model)
    with storage.exclusive_lock(model / layout.LOCK, remove_empty=True):
        checkpoint.remove_leftovers(model)
        for options in saves:
            try:
                checkpoint.save(model, snapshot(**options))
                done.append(options["number"])
            except ResourceError as error:
                done.append(str(error))
                if options.get("fresh"):  # without it a run does not begin
                    return


def number_in(path: Path) -> int:
    """What everything in a save says, which is whole."""
    found = layout.read_generation(path)
    number = found.state["words_done"]
    assert found.history() == [{"loss": number}]
    for name in layout.MATRICES:
        np.testing.assert_array_equal(found.matrix(name), np.full((3, 5), number))
    assert found.array("holdout_losses").shape == (2, 3)
    return int(number)


def number_of(model: Path, *, first: bool = False) -> int:
    """Of the model, which opens without a word about damage; 0 where there is none.

    first: that it was never saved before may be told.
    """
    if not layout.is_model_directory(model):
        return 0
    lines: list[str] = []
    newest = layout.open_model(model, on_damage=lines.append)
    assert not lines or (first and "names no save" in lines[0])
    for path in (*layout.generations(model), *(model / layout.CHECKPOINTS).glob("[!.]*")):
        number_in(path)
    assert Vocabulary.load(newest.vocabulary_path).tokens == WORDS.tokens
    return number_in(newest.path)


def leftovers(directory: Path) -> list[Path]:
    return [path for path in directory.rglob(".*") if path.name != layout.LOCK]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SAVES)
def test_every_call_of_a_save(tmp_path: Path, name: str, kind: str) -> None:
    before, during = SAVES[name]
    rng = random.Random(f"{SEED} {name} {kind}")
    root = tmp_path / "place"
    model, every = root / "m", 1 if MANY > 1 else 5
    for at in itertools.count(rng.randint(1, every), every):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        save_all(model, before, [])
        done: list[Any] = []
        length = rng.choice([1, 1, 2, 5, 30])
        faults = Faults(root, kind, at, seed=rng.randrange(1 << 30), length=length, really=False)
        try:
            with faults:
                save_all(model, during, done)
        except StoppedError:
            assert kind in ("stop", "cut")
        except ResourceError as error:  # before the first save
            done = [str(error)]
        if len(faults.calls) < at:
            break
        check_left(model, [save["number"] for save in before], during, done, at)
    assert at > 40


def check_left(
    model: Path, before: list[int], during: list[dict[str, Any]], done: list[Any], at: int
) -> None:
    """What a run left, and what the next start makes of it."""
    saved = [word for word in done if isinstance(word, int)]
    for why in (word for word in done if isinstance(word, str)):
        assert "no space left" in why or "cannot write" in why
    # The last that is known to be saved, or one that came to its name, and then failed.
    last = [*before[-1:], *saved][-1] if before or saved else 0
    numbers = [save["number"] for save in during]
    later = numbers[numbers.index(last) + 1 :] if last in numbers else numbers
    found = number_of(model, first=not last)
    assert found in (last, *later[: 1 + len(done) - len(saved)]), at
    save_all(model, during if found not in numbers else during[-1:], [])
    assert number_of(model) == numbers[-1]
    assert leftovers(model.parent) == []
    assert len(layout.generations(model)) <= 2
    if during[0].get("fresh"):  # nothing is left of the model before
        for path in (model / layout.CHECKPOINTS).glob("*"):
            assert number_in(path) in numbers, at


# --- whole runs of training ---


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runs, dict[str, Any]]]:
    """Runs, and what an undisturbed one ends with."""
    place = tmp_path_factory.mktemp("planted")
    store = planted.make_store(place / "store", layout=Layout(row_group_tokens=1200))
    call = {**SMALL, "data": str(store), "type": "sgram_neg", "alpha": 0.05, "save_every": 20}
    with Runs("train", **call) as runs:
        assert runs.run(model=str(place / "m")).startswith("done")
        yield runs, fingerprint(place / "m", racing=False)


def calls_of(runs: Runs, root: Path, **call: Any) -> int:
    """How many calls an undisturbed run makes."""
    root.mkdir()
    assert runs.run(**call, faults={"root": str(root)}).startswith("done")
    shutil.rmtree(root)
    return runs.steps


@pytest.mark.parametrize("kind", ["ENOSPC", "EIO"])
def test_training_goes_on_when_a_save_fails(
    training: tuple[Runs, dict[str, Any]], tmp_path: Path, kind: str
) -> None:
    runs, expected = training
    root = tmp_path / "place"
    call = {"model": str(root / "m")}
    calls, rng, went_on = calls_of(runs, root, **call), random.Random(f"{SEED} {kind}"), 0
    for _ in range(8 * MANY):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        length = rng.choice([1, 1, 3, 50])
        at = rng.randint(1, calls)
        faults = {"root": str(root), "kind": kind, "at": at, "length": length}
        ended = runs.run(**call, faults=faults)
        warned = any("warning: not saved: " in line for line in runs.noted("said"))
        if ended.startswith("done"):
            went_on += warned
        else:  # the first save or the last, or what is before them
            assert ended.startswith("ResourceError: "), ended
            if layout.is_model_directory(root / "m"):
                lines: list[str] = []
                layout.open_model(root / "m", on_damage=lines.append)
                assert not lines
        assert runs.run(**call).startswith("done")
        assert leftovers(root) == []
        found = fingerprint(root / "m", racing=False)
        # The checkpoint of an epoch at whose end the disk was full is not there.
        missing = set(expected["checkpoints"]) - set(found["checkpoints"])
        assert not missing or warned or ended.startswith("ResourceError")
        found["checkpoints"] = expected["checkpoints"]
        assert found == {name: expected[name] for name in expected if name not in missing}
    assert went_on


def test_power_cuts_again_and_again(training: tuple[Runs, dict[str, Any]], tmp_path: Path) -> None:
    runs, expected = training
    root = tmp_path / "place"
    call = {"model": str(root / "m")}
    calls, rng = calls_of(runs, root, **call), random.Random(SEED)
    for _ in range(3 * MANY):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        words, ended = -1, ""
        while not ended.startswith("done"):
            faults = {
                "root": str(root), "kind": "cut", "at": rng.randint(1, calls // 2),
                "seed": rng.randrange(1 << 30),
            }  # fmt: skip
            ended = runs.run(**call, faults=faults)
            assert ended == "killed" or ended.startswith("done"), ended
            saved = [words, *runs.noted("saved")]
            if not layout.is_model_directory(root / "m"):
                assert saved == [-1]
                continue
            lines: list[str] = []
            words = layout.open_model(root / "m", on_damage=lines.append).state["words_done"]
            assert not lines
            assert words >= saved[-1]
        assert fingerprint(root / "m", racing=False) == expected
        assert leftovers(root) == []


# --- preprocess ---

STORE_LAYOUT = Layout(
    unit_bytes=4000, small_unit_bytes=1, block_bytes=256, row_group_tokens=300, local_tokens=50
)


OPTIONS = {"min_count": 2, "layout": dataclasses.asdict(STORE_LAYOUT)}


@pytest.fixture(scope="module")
def preprocessing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runs, list[str]]]:
    corpus = write_corpus(tmp_path_factory.mktemp("corpus"), lines=300)
    with Runs("preprocess", threads=1) as runs:
        yield runs, [str(path) for path in corpus]


@pytest.mark.parametrize("what", ["text", "phrases", "append", "anew"])
@pytest.mark.parametrize("kind", KINDS)
def test_calls_of_preprocess(
    preprocessing: tuple[Runs, list[str]], tmp_path: Path, what: str, kind: str
) -> None:
    runs, inputs = preprocessing
    root, before = tmp_path / "place", tmp_path / "before"
    call: dict[str, Any] = {"inputs": inputs, "output": str(root / "s"), **OPTIONS}
    before.mkdir()
    if what in ("append", "anew"):
        first = {**call, "inputs": inputs[:1], "output": str(before / "s")}
        assert runs.run(**first) == "done"
    call |= {"phrases": {"phrases": 2, "phrase_threshold": 0.5}, "anew": {"force": True}}.get(
        what, {}
    )
    if what == "append":
        call = {"inputs": inputs[1:], "output": str(root / "s"), "append": True}

    shutil.copytree(before, root)
    assert runs.run(**call, faults={"root": str(root)}) == "done"
    calls, expected = runs.steps, content_of(root / "s")
    rng = random.Random(f"{SEED} {what} {kind}")
    for _ in range(2 * MANY):
        shutil.rmtree(root)
        shutil.copytree(before, root)
        at, length = rng.randint(1, calls), rng.choice([1, 1, 3, 50])
        faults = {
            "root": str(root), "kind": kind, "at": at, "length": length,
            "seed": rng.randrange(1 << 30),
        }  # fmt: skip
        ended = runs.run(**call, faults=faults)
        assert ended in ("done", "killed") or ended.startswith("ResourceError: "), ended
        stores = [path.parent for path in root.glob("*/manifest.json")]
        # Where a store was it is, or the new one beside its place, where the next start puts it.
        assert stores or not any(before.iterdir()), at
        for store in map(TokenStore.open, stores):
            for index in range(store.num_row_groups):
                store.read_row_group(index)
        ended = runs.run(**call)
        assert ended == "done" or "a token store is there already" in ended, ended
        assert content_of(root / "s") == expected, at
        assert [path.name for path in root.iterdir()] == ["s"]
