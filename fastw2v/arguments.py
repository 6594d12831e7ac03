"""Checks of what Python callers give; the command line checks its own."""

from __future__ import annotations

import operator
import reprlib
from pathlib import Path
from typing import Any

from fastw2v.errors import UsageError


def check_path(name: str, value: Any, instead: str) -> None:
    """Check that `value` is a path, which "" is not: as a `Path` it would be the working directory.

    Raises:
        UsageError: it is none; says what to give `instead`.
    """
    if not isinstance(value, str | Path) or not str(value):
        raise UsageError(f"{name}: {shown(value)} is not a path; {instead}")


def whole_number(name: str, value: Any) -> int:
    """`value` as an int.

    Raises:
        UsageError: not a whole number.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise UsageError(f"{name}: {shown(value)} is not a whole number") from None


def shown(value: Any) -> str:
    """`repr` on one line, shortened."""
    return " ".join(reprlib.repr(value).split())
