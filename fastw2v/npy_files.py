"""Matrices in .npy files, which may come from strangers: proven before anything is allocated."""

from __future__ import annotations

import os
import tokenize
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from fastw2v.errors import DataError
from fastw2v.strangers import open_regular

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
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
        raise DataError(f"{path}: truncated while it was read")
    return values.reshape(shape, order=order)


def _header(path: Path, file: BinaryIO) -> tuple[tuple[int, int], Literal["C", "F"], int]:
    """(shape, "C" or "F", where the values begin)."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"version {version}")
        shape, fortran_order, dtype = _HEADERS[version](file)
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
