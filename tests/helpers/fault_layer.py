"""A layer between a process and its disk, that can refuse, stop, or cut the power at any call.

Every call that changes what lies below a directory goes through it: opening for writing, each write
of a file's bytes, truncation, fsync, rename, link, unlink, mkdir, rmdir. It keeps a shadow of what
fsync has made durable. At a power cut everything else is lost, torn, or kept, at random: renames
whose directory was not synced are undone or done, files that were not synced are empty, zeros, cut
short, or whole. That is as little as POSIX promises, and less than usual file systems keep.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import random
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNMODELED = 99  # exit status where something was changed that did not go through the layer
_TAKES_SPACE = {"open", "write", "fsync", "mkdir", "link", "replace", "rename"}
_REAL = {
    name: getattr(os, name)
    for name in ("open", "write", "close", "fsync", "replace", "rename", "link", "unlink", "mkdir",
                 "rmdir", "ftruncate", "fstat", "kill", "symlink")
}  # fmt: skip
_REAL_OPEN = builtins.open


class StoppedError(BaseException):
    """Raised in place of the process's end, and by every change that it tries after that."""


class _File:
    """A file, by whatever names. synced: its durable bytes, None before the first fsync.

    last: its bytes when the last name that the layer knew of was taken from it.
    """

    def __init__(self, synced: bytes | None = None) -> None:
        self.synced, self.dirty = synced, synced is None
        self.last = b""


class _Directory:
    """names, durable: its entries now, and those that a power cut leaves."""

    def __init__(self) -> None:
        self.names: dict[str, _File | _Directory] = {}
        self.durable: dict[str, _File | _Directory] = {}


class _Change:
    """A change of names that is not durable yet.

    taken: (directory, name), given: (directory, name), one of them perhaps None; of `node`.
    """

    def __init__(
        self,
        node: _File | _Directory,
        taken: tuple[_Directory, str] | None = None,
        given: tuple[_Directory, str] | None = None,
    ) -> None:
        self.node, self.taken, self.given = node, taken, given

    def touches(self, directory: _Directory) -> bool:
        return any(
            place is not None and place[0] is directory for place in (self.taken, self.given)
        )

    def happen(self) -> None:
        """On the durable names, unless what it builds on has not happened."""
        if self.taken is not None:
            directory, name = self.taken
            if directory.durable.get(name) is not self.node:
                return
            del directory.durable[name]
        if self.given is not None:
            directory, name = self.given
            directory.durable[name] = self.node


class Shadow:
    """What lies below `root`, now and after a power cut."""

    def __init__(self, root: Path) -> None:
        self._path = root
        self._root = self._scan(root)
        self._pending: list[_Change] = []

    def _scan(self, path: Path) -> _Directory:
        directory, files = _Directory(), dict[int, _File]()
        for entry in os.scandir(path):
            if entry.is_dir(follow_symlinks=False):
                node: _File | _Directory = self._scan(Path(entry.path))
            else:
                known = files.get(entry.inode())  # hard links within a directory
                node = known or _File(_content(Path(entry.path)))
                files[entry.inode()] = node
            directory.names[entry.name] = directory.durable[entry.name] = node
        return directory

    def _place(self, path: str) -> tuple[_Directory, str]:
        """The directory of `path`, and its name there."""
        parts = Path(path).relative_to(self._path).parts
        directory: Any = self._root
        for part in parts[:-1]:
            directory = directory.names[part]
        return directory, parts[-1]

    def _node(self, path: str) -> _File | _Directory | None:
        if Path(path) == self._path:
            return self._root
        directory, name = self._place(path)
        return directory.names.get(name)

    def _forget(self, path: str) -> tuple[_Directory, str, _File | _Directory]:
        directory, name = self._place(path)
        return directory, name, directory.names.pop(name)

    def leaves(self, path: str) -> None:
        """Remember the bytes of `path`, whose name is about to be taken from it."""
        node = self._node(path)
        if isinstance(node, _File) and node.dirty:
            node.last = _content(Path(path))

    def created(self, path: str, node: _File | _Directory) -> None:
        directory, name = self._place(path)
        directory.names[name] = node
        self._pending.append(_Change(node, given=(directory, name)))

    def written(self, path: str) -> None:
        """A file was opened for writing, written or truncated."""
        node = self._node(path)
        if node is None:
            self.created(path, _File())
        elif isinstance(node, _File):
            node.dirty = True

    def linked(self, source: str, target: str) -> None:
        node = self._node(source)
        assert node is not None
        self.created(target, node)

    def removed(self, path: str) -> None:
        directory, name, node = self._forget(path)
        self._pending.append(_Change(node, taken=(directory, name)))

    def renamed(self, source: str, target: str) -> None:
        old_directory, old_name, node = self._forget(source)
        directory, name = self._place(target)
        directory.names[name] = node
        self._pending.append(_Change(node, (old_directory, old_name), (directory, name)))

    def synced(self, path: str) -> None:
        node = self._node(path)
        if isinstance(node, _File):
            node.synced, node.dirty = _content(Path(path)), False
        elif node is not None:
            for change in [change for change in self._pending if change.touches(node)]:
                change.happen()
                self._pending.remove(change)

    def differs_from_disk(self) -> str:
        """What lies on the disk and not here or the other way round, "" for nothing."""
        return _difference(self._root, self._path)

    def cut(self, rng: random.Random) -> None:
        """Leave on the disk what a power cut might."""
        contents = self._contents(rng, self._root, self._path, {})
        how = rng.choice(["nothing", "all", "first", "some"])
        first = rng.randint(0, len(self._pending))
        for number, change in enumerate(self._pending):
            kept = {"nothing": False, "all": True, "first": number < first}
            if kept.get(how, rng.random() < 0.5):
                change.happen()
        for entry in list(os.scandir(self._path)):
            if entry.is_dir(follow_symlinks=False):
                _remove_all(Path(entry.path))
            else:
                _REAL["unlink"](entry.path)
        self._restore(rng, self._root, self._path, contents, {})

    def _contents(
        self, rng: random.Random, directory: _Directory, path: Path, found: dict[int, bytes]
    ) -> dict[int, bytes]:
        """The bytes now of the files that have a name and are not synced, by identity."""
        for name, node in directory.names.items():
            if isinstance(node, _Directory):
                self._contents(rng, node, path / name, found)
            elif node.dirty:
                found[id(node)] = _content(path / name)
        return found

    def _restore(
        self,
        rng: random.Random,
        directory: _Directory,
        path: Path,
        contents: dict[int, bytes],
        made: dict[int, Path],
    ) -> None:
        for name, node in directory.durable.items():
            place = path / name
            if isinstance(node, _Directory):
                _REAL["mkdir"](place)
                self._restore(rng, node, place, contents, made)
            elif id(node) in made:
                _REAL["link"](made[id(node)], place)
            else:
                made[id(node)] = place
                content = node.synced
                if node.dirty:
                    content = _torn(rng, node.synced, contents.get(id(node), node.last))
                with _REAL_OPEN(place, "wb") as file:
                    file.write(content or b"")


def _torn(rng: random.Random, synced: bytes | None, now: bytes) -> bytes:
    """What a file may have that was not synced."""
    cut = rng.randint(0, len(now))
    return rng.choice([now, now[:cut], bytes(len(now)), now[:cut] + bytes(len(now) - cut),
                       synced or b""])  # fmt: skip


def _content(path: Path) -> bytes:
    with _REAL_OPEN(path, "rb") as file:
        return file.read()


def _remove_all(path: Path) -> None:
    for entry in list(os.scandir(path)):
        if entry.is_dir(follow_symlinks=False):
            _remove_all(Path(entry.path))
        else:
            _REAL["unlink"](entry.path)
    _REAL["rmdir"](path)


def _difference(directory: _Directory, path: Path) -> str:
    there = {entry.name: entry for entry in os.scandir(path)}
    if different := there.keys() ^ directory.names.keys():
        return f"{path}: {sorted(different)}"
    for name, node in directory.names.items():
        if isinstance(node, _Directory):
            if inner := _difference(node, path / name):
                return inner
        elif not node.dirty and _content(path / name) != node.synced:
            return f"{path / name}: written past the layer"
    return ""


class Faults:
    """Counts the calls that change what lies below `root`, and lets one of them go wrong.

    kind: "none"; "ENOSPC" or "EIO": the call `at` fails with it (the disk is full for the `length`
        calls from it on that take space; the fault of the other is over after `length` calls);
        "stop": the process ends at the call, a write half done; "cut": it does, and so does the
        power.
    really: whether it is killed; else it is as if: nothing that it does from then on has an effect.

    calls: the names of the calls so far.
    """

    def __init__(
        self,
        root: Path,
        kind: str = "none",
        at: int = 0,
        *,
        seed: int = 0,
        length: int = 1,
        really: bool = True,
    ) -> None:
        self._root, self._kind, self._at, self._length = str(root), kind, at, length
        self._really, self._stopped = really, False
        self._rng = random.Random(seed)
        self._shadow = Shadow(root)
        self._lock = threading.RLock()
        self.calls: list[str] = []
        self._failed = 0
        self._descriptors: dict[int, str] = {}
        self._replaced: list[tuple[Any, str, Any]] = []

    # --- one call ---

    def _inside(self, path: Any) -> str | None:
        """The absolute path where it is below the root."""
        if isinstance(path, int):
            return self._descriptors.get(path)
        full = os.path.abspath(os.fspath(path))
        return full if full == self._root or full.startswith(self._root + os.sep) else None

    def _comes_to(self, call: str, path: str, half: Callable[[], object] | None = None) -> None:
        """Count a call; where its turn has come, let it go wrong."""
        if self._stopped:
            raise StoppedError
        self.calls.append(f"{call} {path[len(self._root) + 1 :]}")
        number = len(self.calls)
        if self._kind in ("ENOSPC", "EIO"):
            if number < self._at or self._failed >= self._length:
                return
            if self._kind == "EIO" or call in _TAKES_SPACE:
                self._failed += 1
                if half is not None and self._rng.random() < 0.5:
                    half()
                number = getattr(errno, self._kind)
                raise OSError(number, os.strerror(number), path)
        elif self._kind in ("stop", "cut") and number == self._at:
            if half is not None:
                half()
            if self._kind == "cut":
                self._cut()
            if self._really:
                _REAL["kill"](os.getpid(), signal.SIGKILL)
            self._stopped = True
            raise StoppedError

    def _cut(self) -> None:
        if difference := self._shadow.differs_from_disk():
            _REAL["write"](2, f"not gone through the layer: {difference}\n".encode())
            os._exit(UNMODELED)
        self._shadow.cut(self._rng)

    # --- the calls ---

    def _renaming(self, call: str) -> Callable[..., None]:
        def rename(source: Any, target: Any, **options: Any) -> None:
            old, new = self._inside(source), self._inside(target)
            if old is None or new is None:
                return _REAL[call](source, target, **options)
            with self._lock:
                self._comes_to(call, new)
                if os.path.lexists(new):
                    self._shadow.leaves(new)
                _REAL[call](source, target)
                self._shadow.renamed(old, new)
            return None

        return rename

    def _link(self, source: Any, target: Any, **options: Any) -> None:
        old, new = self._inside(source), self._inside(target)
        if old is None or new is None:
            return _REAL["link"](source, target, **options)
        with self._lock:
            self._comes_to("link", new)
            _REAL["link"](source, target)
            self._shadow.linked(old, new)
        return None

    def _removing(self, call: str) -> Callable[..., None]:
        def remove(path: Any, **options: Any) -> None:
            full = self._inside(path)
            if full is None:
                return _REAL[call](path, **options)
            with self._lock:
                if not os.path.lexists(full):  # changes nothing
                    return _REAL[call](path)
                self._comes_to(call, full)
                self._shadow.leaves(full)
                _REAL[call](path)
                self._shadow.removed(full)
            return None

        return remove

    def _mkdir(self, path: Any, *arguments: Any, **options: Any) -> None:
        full = self._inside(path)
        if full is None or os.path.lexists(full):
            return _REAL["mkdir"](path, *arguments, **options)
        with self._lock:
            if os.path.isdir(os.path.dirname(full)):
                self._comes_to("mkdir", full)
            _REAL["mkdir"](path, *arguments, **options)
            self._shadow.created(full, _Directory())
        return None

    def _fsync(self, file: Any) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        full = self._descriptors.get(descriptor)
        if full is None:
            return
        with self._lock:
            self._comes_to("fsync", full)
            self._shadow.synced(full)  # the machine's disk itself need not be waited for

    def _os_open(self, path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        full = self._inside(path)
        if full is None:
            descriptor = _REAL["open"](path, flags, *arguments, **options)
            self._descriptors.pop(descriptor, None)
            return descriptor
        with self._lock:
            if flags & (os.O_WRONLY | os.O_RDWR):
                new = not os.path.lexists(full)
                if flags & os.O_TRUNC or (new and flags & os.O_CREAT):
                    self._comes_to("open", full)
                descriptor = _REAL["open"](path, flags, *arguments, **options)
                if flags & os.O_TRUNC or new:
                    self._shadow.written(full)
            else:
                descriptor = _REAL["open"](path, flags, *arguments, **options)
            self._descriptors[descriptor] = full
        return descriptor

    def _os_write(self, descriptor: int, data: Any) -> int:
        full = self._descriptors.get(descriptor)
        if full is None:
            return _REAL["write"](descriptor, data)
        with self._lock:
            half = memoryview(data)[: len(data) // 2]
            self._comes_to("write", full, lambda: _REAL["write"](descriptor, half))
            self._shadow.written(full)
            return _REAL["write"](descriptor, data)

    def _close(self, descriptor: int) -> None:
        self._descriptors.pop(descriptor, None)
        _REAL["close"](descriptor)

    def open(self, file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None,
             errors: Any = None, newline: Any = None, closefd: bool = True,
             opener: Any = None) -> Any:  # fmt: skip
        """The built-in `open`, whose files go through the layer where they are written."""
        writes = any(letter in mode for letter in "wax+")
        full = None if isinstance(file, int) else self._inside(file)
        if full is None or not writes:
            return _REAL_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        layer, plain = self, mode.replace("b", "").replace("t", "")

        class Raw(io.FileIO):
            def __init__(self) -> None:
                with layer._lock:
                    changes = "w" in mode or not os.path.lexists(full)
                    if changes:
                        layer._comes_to("open", full)
                    super().__init__(full, plain)
                    if changes:
                        layer._shadow.written(full)
                    layer._descriptors[self.fileno()] = full

            def write(self, data: Any) -> int:
                whole = memoryview(data).cast("B")
                with layer._lock:
                    half = whole[: len(whole) // 2]
                    layer._comes_to("write", full, lambda: io.FileIO.write(self, half))
                    layer._shadow.written(full)
                    return super().write(whole)

            def truncate(self, size: int | None = None) -> int:
                with layer._lock:
                    layer._comes_to("truncate", full)
                    layer._shadow.written(full)
                    return super().truncate(size)

            def close(self) -> None:
                if not self.closed:
                    layer._descriptors.pop(self.fileno(), None)
                super().close()

        raw = Raw()
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        text = io.TextIOWrapper(buffered, encoding, errors, newline)
        text.mode = mode  # type: ignore[misc]
        return text

    def install(self) -> Faults:
        """Put the layer under everything that this process does from now on."""
        import pathlib

        import pyarrow as pa
        import pyarrow.parquet as pq

        calls: dict[str, Any] = {
            "replace": self._renaming("replace"),
            "rename": self._renaming("rename"),
            "link": self._link,
            "unlink": self._removing("unlink"),
            "rmdir": self._removing("rmdir"),
            "mkdir": self._mkdir,
            "fsync": self._fsync,
            "open": self._os_open,
            "write": self._os_write,
            "close": self._close,
        }
        calls["remove"] = calls["unlink"]
        for name, call in calls.items():
            self._put(os, name, call)
        if hasattr(pathlib, "_NormalAccessor"):  # Python 3.10
            for name in ("replace", "rename", "link", "unlink", "rmdir", "mkdir"):
                self._put(pathlib._NormalAccessor, name, staticmethod(calls[name]))
            self._put(pathlib._NormalAccessor, "open", staticmethod(self.open))
        self._put(builtins, "open", self.open)
        self._put(io, "open", self.open)
        self._put(shutil, "_use_fd_functions", False)
        self._put(shutil, "_USE_CP_SENDFILE", False)
        self._put_into_pyarrow(pa, pq)
        return self

    def _put(self, place: Any, name: str, value: Any) -> None:
        self._replaced.append((place, name, vars(place)[name]))
        setattr(place, name, value)

    def remove(self) -> None:
        """Undo `install`."""
        while self._replaced:
            setattr(*self._replaced.pop())

    def __enter__(self) -> Faults:
        return self.install()

    def __exit__(self, *error: object) -> None:
        self.remove()

    def _put_into_pyarrow(self, pa: Any, pq: Any) -> None:
        """Its files are written by C++; here by Python."""
        real_file, real_init, real_close = (
            pa.OSFile, pq.ParquetWriter.__init__, pq.ParquetWriter.close
        )  # fmt: skip

        def os_file(path: str, mode: str = "r", **options: Any) -> Any:
            if "w" not in mode:
                return real_file(path, mode, **options)
            return pa.PythonFile(self.open(path, "wb"), mode="w")

        def begin(writer: Any, where: Any, *arguments: Any, **options: Any) -> None:
            if isinstance(where, str | os.PathLike):
                where = writer.python_file = pa.PythonFile(self.open(where, "wb"), mode="w")
            real_init(writer, where, *arguments, **options)

        def end(writer: Any) -> None:
            try:
                real_close(writer)
            finally:
                if (file := getattr(writer, "python_file", None)) is not None:
                    file.close()

        self._put(pa, "OSFile", os_file)
        self._put(pq.ParquetWriter, "__init__", begin)
        self._put(pq.ParquetWriter, "close", end)
