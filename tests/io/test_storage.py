"""Atomic writes, locks, checksums, and what a full disk or a killed process leaves behind."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastw2v.errors import DataError, ResourceError, UsageError
from fastw2v.io import storage


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def failing(code):
    def fail(*arguments, **keywords):
        raise OSError(code, os.strerror(code))

    return fail


def test_a_file_arrives_whole_and_replaces_the_old_one(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with storage.atomic_file(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".txt"  # numpy and matplotlib choose by it
    with storage.atomic_file(path) as temporary:
        temporary.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_while_writing_keeps_the_old_file_and_no_part_of_the_new(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")

    def interrupted():
        with storage.atomic_file(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_changes_nothing(tmp_path, monkeypatch, step, code):
    path = tmp_path / "file.json"
    storage.write_json(path, {"old": 1})
    monkeypatch.setattr(os, step, failing(code))
    with pytest.raises(ResourceError, match="no space left on the disk") as caught:
        storage.write_json(path, {"new": 1})
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert storage.read_json(path) == {"old": 1}
    assert names(tmp_path) == ["file.json"]


def test_a_full_disk_inside_the_block_is_reported_too(tmp_path):
    def write():
        with storage.atomic_file(tmp_path / "file") as temporary:
            temporary.write_text("half")
            failing(errno.ENOSPC)()

    with pytest.raises(ResourceError, match="no space left"):
        write()
    assert names(tmp_path) == []


def test_another_os_error_names_the_path_and_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"below: cannot write \(Not a directory|File exists"):
        storage.write_text(tmp_path / "file" / "below", "text")


def test_content_is_synced_before_the_name_and_the_name_after(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(storage, "sync_file", lambda path: events.append(("sync", path.name)))
    monkeypatch.setattr(storage, "sync_directory", lambda path: events.append(("sync", path.name)))
    replace = os.replace
    monkeypatch.setattr(
        os, "replace", lambda a, b: (events.append(("rename", b.name)), replace(a, b))
    )
    with storage.atomic_file(tmp_path / "f") as temporary:
        temporary.write_text("text")
    assert events == [("sync", temporary.name), ("rename", "f"), ("sync", tmp_path.name)]


def test_json_round_trip_is_readable_and_holds_any_name(tmp_path):
    value = {"name": "Zürich", "file": "not \udcff utf-8", "numbers": [1, 2.5, None]}
    storage.write_json(tmp_path / "a.json", value)
    assert storage.read_json(tmp_path / "a.json") == value
    raw = (tmp_path / "a.json").read_bytes()
    raw.decode("ascii")  # names that no UTF-8 can hold must not stop a save
    assert raw.endswith(b"}\n")
    assert b"\r" not in raw


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": ', "not valid JSON"),
        (b"", "not valid JSON"),
        (b"[1]", "must be a JSON object; got list"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (None, "cannot be read"),
    ],
)
def test_damaged_json_is_a_data_error(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        storage.read_json(path)
    assert "\n" not in str(caught.value)


def test_a_directory_arrives_whole(tmp_path):
    path = tmp_path / "gen-1"
    with storage.atomic_directory(path) as temporary:
        (temporary / "a").write_text("a")
        assert not path.exists()
    assert (path / "a").read_text() == "a"
    assert names(tmp_path) == ["gen-1"]


def test_an_error_while_filling_a_directory_leaves_nothing(tmp_path):
    def fill():
        with storage.atomic_directory(tmp_path / "gen-1") as temporary:
            (temporary / "a").write_text("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fill()
    assert names(tmp_path) == []


def test_a_directory_that_exists_is_not_replaced(tmp_path):
    path = tmp_path / "gen-1"
    path.mkdir()
    (path / "precious").write_text("old")
    with (
        pytest.raises(ResourceError, match="cannot write"),
        storage.atomic_directory(path) as temporary,
    ):
        (temporary / "a").write_text("a")
    assert names(path) == ["precious"]
    assert names(tmp_path) == ["gen-1"]


def test_a_full_disk_while_a_directory_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "rename", failing(errno.ENOSPC))
    with (
        pytest.raises(ResourceError, match="no space left"),
        storage.atomic_directory(tmp_path / "gen-1") as temporary,
    ):
        (temporary / "a").write_text("a")
    assert names(tmp_path) == []


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_of_a_directory_linked_where_possible(tmp_path, monkeypatch, links):
    source = tmp_path / "source"
    source.mkdir()
    (source / "a").write_text("a")
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    storage.link_or_copy_directory(source, tmp_path / "target")
    copied = tmp_path / "target" / "a"
    assert copied.read_text() == "a"
    assert os.path.samefile(copied, source / "a") is links
    storage.remove_directory(source)
    assert copied.read_text() == "a"


def test_removal_takes_the_name_away_first(tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.mkdir()
    (path / "a").write_text("a")
    monkeypatch.setattr(shutil, "rmtree", lambda *a, **k: None)  # killed before it was done
    storage.remove_directory(path)
    assert not path.exists()
    monkeypatch.undo()
    storage.remove_leftovers(tmp_path)
    assert names(tmp_path) == []


def test_a_file_is_removed_and_a_missing_one_is_fine(tmp_path):
    (tmp_path / "a").write_text("a")
    storage.remove_file(tmp_path / "a")
    storage.remove_file(tmp_path / "a")
    assert names(tmp_path) == []
    (tmp_path / "directory").mkdir()
    with pytest.raises(ResourceError, match="cannot write"):
        storage.remove_file(tmp_path / "directory")


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path):
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from fastw2v.io import storage\n"
        "here = Path(sys.argv[1])\n"
        "with storage.atomic_file(here / 'a.npy') as file, "
        "storage.atomic_directory(here / 'gen') as directory:\n"
        "    file.write_text('half')\n"
        "    (directory / 'b').write_text('half')\n"
        "    os._exit(9)\n"
    )
    (tmp_path / ".hidden").write_text("mine")
    (tmp_path / "kept.txt").write_text("mine")
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path)])
    assert run.returncode == 9
    assert len(names(tmp_path)) == 4
    half_written = storage.remove_leftovers(tmp_path)
    assert names(tmp_path) == [".hidden", "kept.txt"]
    assert half_written == ["a.npy", "gen"]


def test_a_link_among_the_leftovers_is_removed_and_not_followed(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("mine")
    here = tmp_path / "here"
    here.mkdir()
    (here / ".a.1.partial").symlink_to(precious)
    storage.remove_leftovers(here)
    assert names(here) == []
    assert names(precious) == ["file"]


def test_sha256_of_whole_files_and_of_ranges(tmp_path, monkeypatch):
    content = bytes(range(256)) * 5
    path = tmp_path / "file"
    path.write_bytes(content)
    monkeypatch.setattr(storage, "_HASH_BLOCK", 100)
    for start, end in [(0, None), (0, 0), (3, 1000), (1280, None), (0, 5000), (700, 701)]:
        expected = hashlib.sha256(content[start:end]).hexdigest()
        assert storage.sha256_of(path, start, end) == expected
    with pytest.raises(DataError, match="cannot be read"):
        storage.sha256_of(tmp_path / "gone")
    with pytest.raises(DataError, match="cannot be read"):
        storage.sha256_of(tmp_path)


@contextlib.contextmanager
def lock_held_elsewhere(path: Path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fastw2v.io import storage\n"
        "with storage.exclusive_lock(Path(sys.argv[1])):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_a_lock_held_elsewhere_is_refused_with_its_owner_and_freed_by_its_death(tmp_path):
    path = tmp_path / "model" / ".lock"
    with lock_held_elsewhere(path) as holder:
        with (
            pytest.raises(UsageError, match=rf"in use by another .* \(pid {holder.pid} on \S+\)"),
            storage.exclusive_lock(path),
        ):
            pass
        holder.kill()
        holder.wait()
        with storage.exclusive_lock(path):
            assert path.read_text() == f"{os.getpid()}\n{platform.node()}\n"


def test_a_lock_is_freed_by_an_error_and_can_be_taken_again(tmp_path):
    path = tmp_path / ".lock"
    with pytest.raises(RuntimeError), storage.exclusive_lock(path):
        raise RuntimeError
    with storage.exclusive_lock(path):
        pass
    with storage.exclusive_lock(path):
        assert path.read_text() == f"{os.getpid()}\n{platform.node()}\n"
