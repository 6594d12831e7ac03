"""Compiled kernels are kept by all that they are compiled from, and nobody else's are moved."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastw2v.kernels import cache

PACKAGE = Path(cache.__file__).resolve().parent.parent
CALLEE = """
from fastw2v.kernels.primitives import kernel

@kernel()
def callee(x):
    return x + {}
"""
CALLER = """
from numba import prange
from fastw2v.kernels.primitives import kernel
from fastw2v.kernels.rooms.callee import callee

@kernel()
def caller(x):
    return callee(x)

@kernel(parallel=True)
def parallel_caller(x):
    total = 0
    for _ in prange(10):
        total += callee(x)
    return total
"""
RUN = """
import numba
before = numba.config.CACHE_DIR
from fastw2v.kernels.caller import caller
assert numba.config.CACHE_DIR == before
print(caller(1), sum(caller.stats.cache_hits.values()), caller.stats.cache_path)
"""


class House:
    """A copy of the package with two kernels of its own, one calling the other in another file."""

    def __init__(self, root: Path) -> None:
        self.root, self.kernels = root, root / "fastw2v" / "kernels"
        shutil.copytree(PACKAGE, root / "fastw2v", ignore=shutil.ignore_patterns("__pycache__"))
        (self.kernels / "rooms").mkdir()
        (self.kernels / "rooms" / "__init__.py").touch()
        (self.kernels / "caller.py").write_text(CALLER)
        self.edit_callee("1")

    def edit_callee(self, added: str) -> None:
        (self.kernels / "rooms" / "callee.py").write_text(CALLEE.format(added))

    def run(self, code: str = RUN, **variables: str) -> str:
        environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
        environment |= {"PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1", **variables}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.root, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def folders(self) -> set[str]:
        return {path.name for path in (self.kernels / "__pycache__").glob("*fastw2v-*")}


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "house")


def test_an_edited_callee_is_compiled_into_its_callers(house: House) -> None:
    first, hits, place = house.run().split()
    assert (first, hits) == ("2", "0")
    (folder,) = house.folders()
    assert Path(place).parent == house.kernels / "__pycache__" / folder
    assert house.run().split() == ["2", "1", place]  # kept, and found again

    house.edit_callee("100")
    assert house.run().split()[:2] == ["101", "0"]
    assert len(house.folders()) == 1  # the old one is gone
    assert folder not in house.folders()


def test_parallel_kernels_too(house: House) -> None:
    code = "from fastw2v.kernels.caller import parallel_caller as c\n"
    code += "print(c(1), sum(c.stats.cache_hits.values()))"
    assert house.run(code) == "20 0"
    assert house.run(code) == "20 1"
    house.edit_callee("100")
    assert house.run(code) == "1010 0"


def test_a_folder_that_the_user_names_is_left_to_numba(house: House, tmp_path: Path) -> None:
    named = tmp_path / "named"
    place = house.run(NUMBA_CACHE_DIR=str(named)).split()[-1]
    assert Path(place).parent == named
    assert house.folders() == set()


def test_kernels_of_others_stay_where_numba_puts_them(house: House) -> None:
    (house.root / "others.py").write_text(
        "import numba\nfrom fastw2v.kernels.caller import caller\n"
        "@numba.njit(cache=True)\ndef theirs(x):\n    return caller(x)\n"
    )
    place = house.run("from others import theirs\nprint(theirs.stats.cache_path)")
    assert Path(place) == house.root / "__pycache__"


def test_a_cache_that_cannot_be_used_costs_no_run(house: House) -> None:
    """Another process removes the folder of sources that are no longer there."""
    spoil = RUN.replace(
        "print",
        "from fastw2v.kernels import cache\nimport shutil\nshutil.rmtree(cache.folder())\n"
        "cache.folder().write_text('')\nprint",
    )
    assert house.run(spoil).split()[:2] == ["2", "0"]


def test_sources_are_hashed_with_names_and_rooms(tmp_path: Path) -> None:
    def hash_of(files: dict[str, str]) -> str:
        root = tmp_path / str(time.monotonic_ns())
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return cache.source_hash(root)

    files = {"a.py": "1", "b.py": "2", "room/c.py": "3"}
    same = hash_of(files)
    assert hash_of(files | {"notes.txt": "4", "__pycache__/d.py": "5"}) == same
    others = [
        {**files, "room/c.py": "4"}, {**files, "d.py": ""}, {"a.py": "2", "b.py": "1"},
        {"a.py": "1", "b.py": "2", "c.py": "3"}, {"a.py": "1", "b.py": "2", "other/c.py": "3"},
        {"a.py": "1b.py2", "room/c.py": "3"},
    ]  # fmt: skip
    found = {hash_of(other) for other in others}
    assert len(found) == len(others)
    assert same not in found
    more = tmp_path / "more.py"
    more.write_text("6")
    assert cache.source_hash(tmp_path / "none", more) != cache.source_hash(tmp_path / "none")


def test_what_nobody_uses_is_removed(tmp_path: Path) -> None:
    month = 31 * 86_400
    ages = {
        "fastw2v-tag-new": 0, "fastw2v-tag-old": 0, "fastw2v-other-new": month - 2 * 86_400,
        "fastw2v-other-old": month, ".fastw2v-tag-old.1.removed": 0, "fastw2v-file-old": month,
        "kernels_1": month,
    }  # fmt: skip
    for name, age in ages.items():
        path = tmp_path / name
        path.touch() if "file" in name else path.mkdir()
        os.utime(path, (time.time() - age,) * 2)
    (tmp_path / "fastw2v-tag-old" / "kernel.nbi").touch()
    (tmp_path / "fastw2v-tag-link").symlink_to(tmp_path / "kernels_1")
    cache.remove_old(tmp_path / "fastw2v-tag-new")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {
        "fastw2v-tag-new", "fastw2v-other-new", "fastw2v-file-old", "kernels_1", "fastw2v-tag-link"
    }  # fmt: skip


def test_a_folder_in_use_is_not_old(house: House) -> None:
    house.run()
    (name,) = house.folders()
    folder = house.kernels / "__pycache__" / name
    os.utime(folder, (0, 0))
    house.run()
    assert time.time() - folder.stat().st_mtime < 600


def test_what_cannot_be_removed_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "fastw2v-tag-old").mkdir()
    monkeypatch.setattr(os, "rename", refuse)
    cache.remove_old(tmp_path / "fastw2v-tag-new")
    cache.remove_old(tmp_path / "not-there" / "fastw2v-tag-new")
    assert (tmp_path / "fastw2v-tag-old").exists()


def test_nothing_is_chosen_where_nothing_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.place() == PACKAGE / "kernels" / "__pycache__"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert cache.place() is None
