"""The only module that writes, renames, syncs, links, locks or removes files.

Everything that fastw2v leaves on disk arrives by one pattern: write under a temporary name in
the same directory, flush and fsync, rename over the final name, fsync the directory. A reader
sees the old state or the new one, never a part of either.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fastw2v.errors import DataError, ResourceError, UsageError

TEMPORARY_SUFFIX = ".partial"
_HASH_BLOCK = 1 << 20


@contextlib.contextmanager
def reporting_os_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` of a write to `path` into a one-line `ResourceError`.

    Raises:
        ResourceError: the disk is full, a quota is used up, or the write is not permitted.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(
                f"{path}: no space left on the disk; free some and run the same command again"
            ) from error
        reason = error.strerror or str(error)
        raise ResourceError(f"{path}: cannot write ({reason}); choose another place") from error


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable (a no-op where directories cannot be opened)."""
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):  # Windows
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of `path` durable."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path to write to; on success it replaces `path`, on failure it is removed.

    With `durable` off nothing is synced: a power cut may leave the name with other bytes, so the
    reader must check them.

    The block may write the file by any means (numpy, pyarrow, matplotlib). Two processes that write
    the same `path` do not share the temporary name.

    Raises:
        ResourceError: as `reporting_os_errors`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}{path.suffix}")
    with reporting_os_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if durable:
                sync_file(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if durable:
            sync_directory(path.parent)


def write_text(path: Path, text: str) -> None:
    """Atomically replace `path` by UTF-8 `text`."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_hashed(path: Path, chunks: Iterable[bytes | memoryview]) -> str:
    """Write `chunks` one after another to `path`, a file of an `atomic_directory`; its SHA-256."""
    digest = hashlib.sha256()
    with open(path, "wb") as file:
        for chunk in chunks:
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Atomically replace `path` by `value` as readable JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: the file is missing, unreadable or not one JSON object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); the file is damaged") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give a temporary directory to fill; on success it is synced and renamed to `path`.

    `path` itself must not exist. On failure the temporary directory is removed.

    Raises:
        ResourceError: as `reporting_os_errors`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    with reporting_os_errors(path):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            for file in temporary.iterdir():
                sync_file(file)
            sync_directory(temporary)
            os.rename(temporary, path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(path.parent)


def link_or_copy_directory(source: Path, target: Path) -> None:
    """Atomically make `target` a copy of the flat directory `source`, hard-linked where possible.

    Only for files that are never changed in place.
    """
    with atomic_directory(target) as temporary:
        for file in source.iterdir():
            try:
                os.link(file, temporary / file.name)
            except OSError:  # another file system, or one without hard links
                shutil.copy2(file, temporary / file.name)


def remove_directory(path: Path) -> None:
    """Remove a directory tree of ours: renamed away first, so that no half of it keeps the name."""
    doomed = path.with_name(f".{path.name}.{os.getpid()}.removed")
    with reporting_os_errors(path):
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def remove_file(path: Path) -> None:
    """Remove a file of ours, durably; a missing one is fine.

    Raises:
        ResourceError: it cannot be removed.
    """
    with reporting_os_errors(path):
        path.unlink(missing_ok=True)
        sync_directory(path.parent)


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files and directories that a killed process left in `directory`."""
    for path in directory.glob(f".*{TEMPORARY_SUFFIX}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for path in directory.glob(".*.removed"):
        shutil.rmtree(path, ignore_errors=True)


def sha256_of(
    path: Path,
    start: int = 0,
    end: int | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> str:
    """SHA-256, as hexadecimal text, of the bytes `start` to `end` of a file.

    `progress` is told the size of each block as it is done.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            file.seek(start)
            left = os.fstat(file.fileno()).st_size - start if end is None else end - start
            while left > 0 and (block := file.read(min(_HASH_BLOCK, left))):
                digest.update(block)
                left -= len(block)
                if progress is not None:
                    progress(len(block))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()


@contextlib.contextmanager
def exclusive_lock(path: Path, *, remove_empty: bool = False) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it when the process ends, however it ends.

    With `remove_empty`, a directory in which nothing but the lock came to be is removed at the end.

    Raises:
        UsageError: another process holds it.
    """
    with reporting_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed below, after the block
    with file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows has no flock
            pass
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise UsageError(
                f"{path.parent}: in use by another process (pid {owner}); wait for it or stop it"
            ) from error
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            if remove_empty and [entry.name for entry in path.parent.iterdir()] == [path.name]:
                path.unlink()
                path.parent.rmdir()
