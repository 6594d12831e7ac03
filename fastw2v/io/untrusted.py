"""Files of unknown origin: opened and read so that they are data and nothing else.

Sizes, paths, links and JSON are checked, and matrices in .npy files before memory is allocated.
"""

from __future__ import annotations

import json
import math
import os
import stat
import tokenize
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from fastw2v.errors import DataError

if TYPE_CHECKING:
    import numpy as np

_MAX_DIGITS = 20  # of a whole number in JSON


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; pipes (which may block forever) and devices are refused.

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
    """`directory / name`, proven to be inside `directory`, which itself may be a link.

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
        ValueError: not JSON, or a key twice in an object, NaN, an infinity, a whole number of
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
        raise ValueError("a key occurs twice in an object")
    return value


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


# What NumPy's reading of a header, a Python literal of at most 10,000 characters, can end with.
HEADER_ERRORS = (
    ValueError, TypeError, KeyError, SyntaxError, OverflowError, RecursionError, MemoryError,
    EOFError, AttributeError, tokenize.TokenError,
)  # fmt: skip


def read_matrix(
    path: Path, *, memory_map: bool, expected: tuple[object, object] | None = None
) -> np.ndarray:
    """A float32 matrix, at least one column wide, of a .npy file.

    Args:
        expected: its shape, where that is known.

    Raises:
        DataError: another kind of file, another shape, or another size than the header says.
    """
    import numpy as np

    with open_regular(path) as file:
        shape, order, start = _header(path, file)
        if expected is not None and shape != expected:
            raise DataError(
                f"{path}: expected float32 of shape {expected}, found float32 of shape {shape}"
            )
        found = os.fstat(file.fileno()).st_size
        # Whole numbers of Python: no product of a header's sizes can overflow.
        size = start + 4 * shape[0] * shape[1]
        if size != found:
            raise DataError(
                f"{path}: {shape[0]} rows of {shape[1]} float32 make {size} bytes, found {found}; "
                "truncated or damaged"
            )
        if not shape[0]:
            return np.empty(shape, dtype=np.float32)
        if memory_map:
            return np.memmap(path, np.float32, "r", start, shape, order)
        try:
            values = np.fromfile(file, np.float32, shape[0] * shape[1])
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(values) != shape[0] * shape[1]:
        raise DataError(f"{path}: truncated while being read")
    return values.reshape(shape, order=order)


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, int], Literal["C", "F"], int]:
    """(shape, "C" or "F", where the values begin)."""
    import numpy as np

    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise ValueError(f"version {version}")
        shape, fortran_order, dtype = readers[version](file)
    except HEADER_ERRORS as error:
        reason = " ".join(str(error).split())[:160]
        raise DataError(f"{path}: not a readable .npy matrix ({reason})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if dtype != np.dtype(np.float32) or len(shape) != 2:
        found = f"{str(dtype)[:80]} of shape {str(shape)[:80]}"
        raise DataError(f"{path}: expected a float32 matrix, found {found}")
    if not all(type(length) is int and length >= 0 for length in shape) or not shape[1]:
        raise DataError(f"{path}: a matrix of shape {str(shape)[:80]} cannot be")
    return shape, "F" if fortran_order else "C", file.tell()
