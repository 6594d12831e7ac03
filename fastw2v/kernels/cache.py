"""Where compiled kernels are kept: in a folder named after all that they are compiled from.

Numba keeps a kernel with the text of its own file, and does not see that a function of another file
which is compiled into it has changed. So machine code of an older version would run on after an
upgrade or an edit. Here the folder has the hash of all kernel sources, and the versions of what
compiles them, in its name.

Importing this module imports no Numba, so that `NUMBA_CACHE_DIR` can still be set after it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastw2v import __version__
from fastw2v.errors import FastW2VError
from fastw2v.io import storage

_KERNELS = Path(__file__).resolve().parent
_NAME = "fastw2v"
_KEPT_SECONDS = 30 * 86_400  # after the last use
_decorating = threading.Lock()


def kept(decorate: Callable[[Any], Any], function: Any) -> Any:
    """decorate(function), its machine code in `folder`, or where the user told Numba to have it.

    Numba chooses the place while it decorates; its setting is everybody's, and put back after that.
    """
    from numba import config

    with _decorating:  # or another thread would take our folder for the user's choice
        before = config.CACHE_DIR  # type: ignore[attr-defined]
        own = None if before else folder()
        try:
            if own is not None:
                config.CACHE_DIR = str(own)  # type: ignore[attr-defined]
            dispatcher = decorate(function)
        finally:
            config.CACHE_DIR = before  # type: ignore[attr-defined]
    _suppress_errors(dispatcher)
    return dispatcher


def _suppress_errors(dispatcher: Any) -> None:
    """Let a cache that cannot be read or written cost time only, not the run.

    The folder may go at any moment: who has newer sources removes it.
    """
    with contextlib.suppress(AttributeError):  # no dispatcher with NUMBA_DISABLE_JIT
        dispatcher._cache._guard_against_spurious_io_errors = lambda: contextlib.suppress(OSError)


@functools.cache
def folder() -> Path | None:
    """The folder of this process, marked as used, old ones removed; None: the choice is Numba's."""
    where = place()
    if where is None:
        return None
    try:
        own = where / f"{_NAME}-{_versions_hash()}-{source_hash()}"
    except OSError:  # no sources to read
        return None
    with contextlib.suppress(OSError):  # not there yet
        os.utime(own)
    remove_old(own)
    return own


def place() -> Path | None:
    """The directory in which folders of ours lie: where Numba itself would keep kernels.

    None where that cannot be written: then Numba finds another, without our folders.
    """
    beside = _KERNELS / "__pycache__"
    writable = os.access(beside if beside.is_dir() else _KERNELS, os.W_OK | os.X_OK)
    return beside if writable else None


def source_hash(kernels: Path = _KERNELS, *others: Path) -> str:
    """16 digits: names and contents of all Python files below `kernels`, and of `others`.

    Raises:
        OSError: a file cannot be read.
    """
    files = []
    for directory, rooms, names in os.walk(kernels):
        rooms[:] = [room for room in rooms if room != "__pycache__"]
        room = os.path.relpath(directory, kernels)
        files += [(f"{room}/{name}", directory) for name in names if name.endswith(".py")]
    found = [(name, Path(directory) / os.path.basename(name)) for name, directory in sorted(files)]
    digest = hashlib.sha256()
    for name, path in (*found, *((path.name, path) for path in others)):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _versions_hash() -> str:
    """8 digits: what compiles the sources."""
    import llvmlite
    import numba
    import numpy as np

    versions = (
        platform.python_version(), numba.__version__, llvmlite.__version__, np.__version__,
        __version__,
    )  # fmt: skip
    return hashlib.sha256(repr(versions).encode()).hexdigest()[:8]


def remove_old(own: Path) -> None:
    """Remove the folders beside `own` that nobody will want, as far as possible.

    Those are of other sources with the same versions, of any for 30 days unused, and half removed.
    """
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(own.parent)):
            with contextlib.suppress(OSError, FastW2VError):  # or another process was quicker
                if _is_old(entry, own.name):
                    storage.remove_directory(own.parent / entry.name)


def _is_old(entry: os.DirEntry[str], own: str) -> bool:
    name = entry.name.lstrip(".")
    if not name.startswith(f"{_NAME}-") or entry.name == own:
        return False
    if not entry.is_dir(follow_symlinks=False):
        return False
    half_removed = entry.name.startswith(".")
    same_versions = name.rpartition("-")[0] == own.rpartition("-")[0]
    unused = time.time() - entry.stat(follow_symlinks=False).st_mtime
    return half_removed or same_versions or unused > _KEPT_SECONDS
