"""Opens the bytes of a segment wherever they are, and hashes and counts them on their way."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from fastw2v import storage
from fastw2v.corpus.inputs import remote
from fastw2v.corpus.inputs.segments import LOCAL, REMOTE, STDIN, InputFile, Segment
from fastw2v.errors import UsageError

_HASH_BYTES = 4 << 20


def open_bytes(file: InputFile | Segment, *, sequential: bool = True) -> BinaryIO:
    """The file of a segment, from its beginning; closing it leaves standard input open.

    Raises:
        UsageError: there is no standard input. OSError, or the errors of `remote`.
    """
    if file.place == LOCAL:
        return open(file.path, "rb", buffering=0)  # type: ignore[return-value]
    if file.place == REMOTE:
        return remote.open_unchanged(file, sequential=sequential)
    stream = getattr(sys.stdin, "buffer", sys.stdin)
    if stream is None:
        raise UsageError("standard input is closed; name files instead of -")
    return _LeftOpen(stream)  # type: ignore[return-value]


class _LeftOpen(io.RawIOBase):
    """A stream that stays open when this is closed."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.readinto(buffer) or 0


def read_range(file: InputFile | Segment, start: int, end: int) -> bytes:
    """Bytes `start` to `end` of a local or remote file (fewer where it ends before)."""
    end = min(end, file.size) if isinstance(file, InputFile) else end
    if start >= end:
        return b""
    if file.place == REMOTE:
        return remote.read_range(str(file.path), start, end)
    with open(file.path, "rb") as local:
        local.seek(start)
        return local.read(end - start)


class RangeReader(io.RawIOBase):
    """The bytes of a segment as they are stored.

    Attributes:
        digest: of what was read; count: bytes read.
    """

    def __init__(self, segment: Segment, on_bytes: Callable[[int], None]) -> None:
        super().__init__()
        self._segment = segment
        self._file = open_bytes(segment)
        if segment.start:
            self._file.seek(segment.start)
        self._endless = segment.place == STDIN
        self._left = segment.end - segment.start
        self._on_bytes = on_bytes
        self.digest = hashlib.sha256()
        self.count = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills `buffer` but at the end: a pipe may give less at a time."""
        view = memoryview(buffer)
        view = view if self._endless else view[: self._left]
        count = 0
        while count < len(view):
            if self._segment.place == REMOTE:
                with remote.reading(self._segment.path):
                    more = self._file.readinto(view[count:])  # type: ignore[attr-defined]
            else:
                more = self._file.readinto(view[count:])  # type: ignore[attr-defined]
            if not more:
                break
            count += more
        self.digest.update(view[:count])
        self._left -= count
        self.count += count
        self._on_bytes(count)
        return count

    def pieces(self, size: int) -> Iterator[bytes]:
        """All that is left, `size` bytes at a time."""
        while piece := self.read(size):
            yield piece

    def finish(self) -> None:
        """Read what nobody needed (padding), so that the hash is of all bytes.

        Raises:
            EOFError: there are fewer than there were.
        """
        for _ in self.pieces(1 << 16):
            pass
        if self._left and not self._endless:
            raise EOFError("the file became shorter while it was read")

    def close(self) -> None:
        """Close the file, but not standard input."""
        if not self.closed:
            self._file.close()
        super().close()


def segment_sha256(segment: Segment) -> str | None:
    """SHA-256, as hexadecimal text, of a segment's bytes as they are stored now.

    None for standard input, which cannot be read again.

    Raises:
        DataError: the file cannot be read, or is another one than when the segment was planned.
        ResourceError: a store cannot be reached.
    """
    if segment.place == STDIN:
        return None
    if segment.place == LOCAL:
        return storage.sha256_of(segment.path, segment.start, segment.end)  # type: ignore[arg-type]
    with RangeReader(segment, lambda count: None) as reader:
        for _ in reader.pieces(_HASH_BYTES):
            pass
        return reader.digest.hexdigest()


def is_unchanged(segment: Segment, entry: dict[str, Any]) -> bool:
    """Whether a segment is what `SegmentReader.entry` has noted of it; never so standard input.

    A remote file that its store says is the same is not read again.
    """
    if segment.version and segment.version == entry.get("version"):
        return True
    return segment_sha256(segment) == entry["sha256"]
