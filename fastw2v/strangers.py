"""Files that may come from strangers: opened and read so that they are data and nothing else."""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from fastw2v.errors import DataError

_MOST_DIGITS = 20  # of a whole number in JSON


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading that is one: no pipe, at which to wait forever, and no device.

    Raises:
        DataError: missing, unreadable, or something else.
    """
    path = Path(path)
    try:
        # Looked at before it is opened: to open some devices does something, at pipes it waits.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise DataError(f"{path}: cannot be read (not a regular file)")
        return open(path, "rb")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason})") from error


def inside(directory: Path, name: str) -> Path:
    """`directory / name`, proven to lie in `directory`, which itself may be reached by a link.

    Raises:
        DataError: `name` is absolute, leads upwards, or meets a symbolic link.
    """
    parts = PurePosixPath(name).parts
    if not parts or ".." in parts or any(mark in name for mark in "\0\\:") or name[0] == "/":
        raise DataError(f"{directory}: the name {name!r} in it leads out of it; not opened")
    path = Path(directory)
    for part in parts:
        path /= part
        if path.is_symlink():
            raise DataError(
                f"{path}: a symbolic link, which may lead anywhere, so it is not followed; copy "
                "the directory with its links resolved (cp -rL)"
            )
    return path


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, read strictly.

    Raises:
        ValueError: it is none, or has a key twice in an object, NaN, an infinity, a whole number of
            more than 20 digits, or is nested too deeply.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)
