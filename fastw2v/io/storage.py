"""The only module that writes, renames, syncs, links, locks or removes files.

Everything that fastw2v leaves on disk arrives by one pattern: write under a temporary name in
the same directory, flush and fsync, rename over the final name, fsync the directory. A reader
sees the old state or the new one, never a part of either.

Directories may be of unknown origin: what is read is checked to be a regular file inside the
directory, and nothing is written through a symbolic link.

System errors are raised as those of `fastw2v.errors`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from fastw2v.errors import DataError, ResourceError, UsageError
from fastw2v.io.untrusted import open_regular, parse_json

TEMPORARY_SUFFIX = ".partial"
_HASH_BLOCK = 1 << 20
_LARGEST_JSON = 1 << 30  # bytes; the manifest of a store of ten million row groups has less
_LOCK_ATTEMPTS, _LOCK_PAUSE = 20, 0.01  # seconds; until the owner of a lock has said who it is


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


def _make_directory(path: Path) -> None:
    """Create a directory and its parents, durably; an existing directory is no error."""
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Make the content of `path` durable."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


@contextlib.contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to; on success it replaces `path`, on failure it is removed.

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
            _make_directory(path.parent)
            temporary.unlink(missing_ok=True)  # a link of that name would be written through
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
    """Read a JSON object (strictly: see `parse_json`).

    Raises:
        DataError: the file is missing, unreadable or not one JSON object.
    """
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _LARGEST_JSON:
                raise DataError(f"{path}: too large for a fastw2v JSON file; not read")
            value = parse_json(file.read().decode("utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); the file is damaged") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: must be a JSON object; got {type(value).__name__}")
    return value


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary directory to fill; on success it is synced and renamed to `path`.

    `path` itself must not exist. On failure the temporary directory is removed.

    Raises:
        ResourceError: as `reporting_os_errors`.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")
    with reporting_os_errors(path):
        try:
            _remove_tree(temporary)
            _make_directory(path.parent)
            temporary.mkdir()
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
            if file.is_symlink():
                raise DataError(f"{file}: a symbolic link; saves never contain any; not copied")
            try:
                os.link(file, temporary / file.name)
            except OSError:  # another file system, or one without hard links
                shutil.copy2(file, temporary / file.name)


def remove_directory(path: Path) -> None:
    """Remove a directory tree of ours; it is renamed first, so that no partial tree keeps the name.

    Of symbolic links, in it or at its place, the link is removed and not what it points to.
    """
    doomed = path.with_name(f".{path.name}.{os.getpid()}.removed")
    with reporting_os_errors(path):
        os.rename(path, doomed)
        sync_directory(path.parent)  # or a power cut could give the name back to half of it
        _remove_tree(doomed)


def _remove_tree(path: Path) -> None:
    """Remove what is at `path`, as far as possible; links are removed and never followed."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def remove_file(path: Path) -> None:
    """Remove a file of fastw2v, durably; a missing file is no error.

    Raises:
        ResourceError: it cannot be removed.
    """
    with reporting_os_errors(path):
        path.unlink(missing_ok=True)
        sync_directory(path.parent)


def move_file(source: Path, target: Path) -> None:
    """Give a file of ours another name in the same directory, durably; `target` is replaced.

    Raises:
        ResourceError: as `reporting_os_errors`.
    """
    with reporting_os_errors(target):
        os.replace(source, target)
        sync_directory(target.parent)


def move_directory(source: Path, target: Path) -> None:
    """Give a directory of ours another name beside it, durably; `target` must not exist.

    Raises:
        ResourceError: as `reporting_os_errors`.
    """
    with reporting_os_errors(target):
        os.rename(source, target)
        sync_directory(target.parent)


def remove_leftovers(directory: Path) -> list[str]:
    """Remove temporary files and directories that a killed process left in `directory`.

    Returns:
        The names of those that were half-written, as they would have been.
    """
    half_written = sorted(directory.glob(f".*{TEMPORARY_SUFFIX}*"))
    for path in half_written:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    for path in directory.glob(".*.removed"):
        _remove_tree(path)
    before_pid = rf"(\.[0-9]+)?{re.escape(TEMPORARY_SUFFIX)}.*"
    return [re.sub(before_pid, "", path.name[1:]) for path in half_written]


def sha256_of(
    path: Path,
    start: int = 0,
    end: int | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> str:
    """SHA-256, as hexadecimal text, of the bytes `start` to `end` of a file.

    `progress` is called with the size of each block after it is hashed.

    Raises:
        DataError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open_regular(path) as file:
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
def exclusive_lock(
    path: Path, *, of: Path | None = None, remove: bool = False, remove_empty: bool = False
) -> Iterator[None]:
    """Hold the lock file `path`; the system releases it when the process ends, however it ends.

    Args:
        of: the name that messages use; None: the directory of `path`.
        remove: remove the lock file at the end.
        remove_empty: remove the directory if it holds nothing but the lock.

    Raises:
        UsageError: another process holds it, whose id and host are named.
        ResourceError: it cannot be written, or the file system has no locks.
    """
    with _locked_file(path, path.parent if of is None else of) as file:
        try:
            with reporting_os_errors(path):
                file.truncate(0)
                file.write(f"{os.getpid()}\n{platform.node()}\n".encode())
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows removes no open files
                if remove:
                    path.unlink()
                if remove_empty and [entry.name for entry in path.parent.iterdir()] == [path.name]:
                    path.unlink()
                    path.parent.rmdir()


def _locked_file(path: Path, of: Path) -> IO[bytes]:
    """The lock file, open and locked.

    A lock on a file that was removed between open and lock is void: the next process creates a
    new file. It is therefore opened again.
    """
    patience = _LOCK_ATTEMPTS
    while True:
        with reporting_os_errors(path):
            _make_directory(path.parent)
            _refuse_links(path)
            file = open(path, "a+b", buffering=0)  # noqa: SIM115
        try:
            if _try_lock(file, path):
                if _is_at(file, path):
                    return file
            else:
                owner = _owner(file)
                patience -= 1
                if owner or not patience:
                    raise UsageError(
                        f"{of}: in use by another process ({owner or 'pid unknown'}); wait for it "
                        "or stop it"
                    )
                time.sleep(_LOCK_PAUSE)  # it has just begun, or just ends
        except BaseException:
            file.close()
            raise
        file.close()


def _refuse_links(path: Path) -> None:
    """Refuse to lock what would lead elsewhere: the lock is written to, and so is its directory."""
    for place in (path.parent, path):
        if place.is_symlink():
            raise UsageError(f"{place}: a symbolic link; nothing is written through it")
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):  # asked once: its owner may remove it now
            raise UsageError(f"{path}: not a regular file; remove it")


def _try_lock(file: IO[bytes], path: Path) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows has no flock
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        with reporting_os_errors(path):
            raise
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _owner(file: IO[bytes]) -> str:
    """ "pid 1 on HOST"; "" where the owner has not written it yet."""
    file.seek(0)
    pid, _, host = file.read(200).decode("utf-8", "replace").strip().partition("\n")
    return f"pid {pid} on {host}" if host else f"pid {pid}" if pid else ""


@contextlib.contextmanager
def reporting_unreadable(what: object) -> Iterator[None]:
    """Turn an `OSError` on the way to an input into one line that begins with `what`.

    Raises:
        UsageError: no permission, a name that is too long, a failing disk.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"{what}: cannot be read ({error.strerror or error})") from error
