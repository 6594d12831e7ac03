"""Where a worker process is in its text, in a small file: it can be read when the worker has died.

It is written before each block is looked at, far more often than a message to the parent is worth.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType

Place = tuple[int, int]  # the number of the segment, and an offset of `SegmentReader.blocks`
_RECORD = struct.Struct("<qqq")  # unit, and the place


class LastPlace:
    """The worker's end. A context manager."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0))

    def __enter__(self) -> LastPlace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def note(self, unit: int, place: Place) -> None:
        """The job of `unit` is at this place."""
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, _RECORD.pack(unit, *place))


def last_place(path: Path, unit: int) -> Place | None:
    """The last place of the job of `unit`; None where it had not begun to read."""
    try:
        record = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(record) != _RECORD.size:
        return None
    of_unit, segment, offset = _RECORD.unpack(record)
    return (segment, offset) if of_unit == unit else None
