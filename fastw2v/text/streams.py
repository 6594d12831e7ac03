"""The bytes of input files: opened wherever they are, hashed and counted, and decompressed.

gz, bz2 and xz share one loop over their members. The decompressor objects of `zlib`, `bz2` and
`lzma` release the GIL and give pieces of the size asked for; zero padding after a member is
accepted, anything else is an error. (The file classes of `bz2` and `lzma` ignore what follows the
last member, Arrow reads no xz and refuses padding, and `gzip.GzipFile` is slower.)
"""

from __future__ import annotations

import bz2
import contextlib
import hashlib
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from fastw2v.errors import DataError, UsageError
from fastw2v.io import storage
from fastw2v.io.machine import readable_bytes
from fastw2v.text import remote
from fastw2v.text.inputs import LOCAL, REMOTE, STDIN, InputFile, Segment

_gzip_library: Any = zlib
with contextlib.suppress(ImportError):  # twice as fast, where it is installed
    from isal import isal_zlib

    _gzip_library = isal_zlib

PACKED_BYTES = 1 << 18  # read at a time
FREE_BYTES = 64_000_000  # any file may unpack to so much
_XZ_MEMORY = 1 << 29  # bytes; xz -9 asks for 65 MB
DAMAGES: tuple[type[Exception], ...] = (EOFError, zlib.error, _gzip_library.error, lzma.LZMAError)


class _Gzip:
    """`zlib`'s decompressor with the interface of those of `bz2` and `lzma`."""

    def __init__(self, library: Any = None) -> None:
        self._inner = (library or _gzip_library).decompressobj(wbits=31)
        self._full = False

    def decompress(self, data: bytes, max_length: int) -> bytes:
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self._full = len(piece) >= max_length
        return bytes(piece)

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail and not self._full

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)


def _xz() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


_MEMBERS: dict[str, tuple[Callable[[], Any], bytes]] = {
    "gzip": (_Gzip, b"\x1f\x8b"),
    "bzip2": (bz2.BZ2Decompressor, b"BZh"),
    "xz": (_xz, b"\xfd7zXZ\x00"),
}


def unpacked(packed: Iterator[bytes], compression: str, most: int) -> Iterator[bytes]:
    """The plain bytes, in pieces of at most `most`.

    Args:
        packed: the compressed bytes, in pieces of any size.
        compression: "gzip", "bzip2", "xz" or "zstd".

    Raises:
        One of `DAMAGES`, or an OSError without a number: truncated or damaged.
    """
    if compression == "zstd":
        return _zstd(packed, most)
    return _members(packed, *_MEMBERS[compression], most)


def _members(
    packed: Iterator[bytes], new: Callable[[], Any], magic: bytes, most: int
) -> Iterator[bytes]:
    data = next(packed, b"")
    while data:
        member = new()
        while not member.eof:
            if member.needs_input and not data and not (data := next(packed, b"")):
                raise EOFError("the file ends too early")
            try:
                piece, data = member.decompress(data, most), b""
            except OSError as error:  # how bz2 calls damage
                raise EOFError(str(error)) from error
            if piece:
                yield piece
        data = member.unused_data.lstrip(b"\0")  # padding
        while len(data) < len(magic) and (more := next(packed, b"")):
            data = (data + more).lstrip(b"\0")
        if data and not data.startswith(magic):
            raise EOFError("unexpected data after its end")


def _zstd(packed: Iterator[bytes], most: int) -> Iterator[bytes]:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.PythonFile(_Pieces(packed), mode="r"), "zstd") as stream:
        while piece := stream.read(most):
            yield piece


class _Pieces(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def within_limit(
    pieces: Iterable[bytes], shown: str, times: int, packed_bytes: Callable[[], int]
) -> Iterator[bytes]:
    """`pieces`, unless there are too many of them.

    Args:
        times: how many times its packed size a file may unpack to; 0: any.
        packed_bytes: gives the packed size.

    Raises:
        DataError: names the file and the limit.
    """
    total = 0
    for piece in pieces:
        total += len(piece)
        if times and total > FREE_BYTES and total > times * packed_bytes():
            raise DataError(
                f"{shown}: unpacks to more than {times} times its size of "
                f"{readable_bytes(packed_bytes())}; if that is right, raise `max_unpacked` "
                "(0 = no limit)"
            )
        yield piece


_HASH_BYTES = 4 << 20


def open_bytes(file: InputFile, *, sequential: bool = True) -> BinaryIO:
    """A file, from its beginning; closing it leaves standard input open.

    Raises:
        UsageError: there is no standard input. OSError, or the errors of `remote`.
    """
    if file.location == LOCAL:
        return open(file.path, "rb", buffering=0)  # type: ignore[return-value]
    if file.location == REMOTE:
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


def read_range(file: InputFile, start: int, end: int) -> bytes:
    """Bytes `start` to `end` of a local or remote file (fewer where it ends before)."""
    end = min(end, file.size)
    if start >= end:
        return b""
    if file.location == REMOTE:
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
        self._path, self._remote = segment.file.path, segment.file.location == REMOTE
        self._file = open_bytes(segment.file)
        if segment.start:
            self._file.seek(segment.start)
        self._endless = segment.only_here
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
            if self._remote:
                with remote.reading(self._path):
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
        """Read the unused rest (padding), so that the hash covers all bytes.

        Raises:
            EOFError: there are fewer than there were.
        """
        for _ in self.pieces(1 << 16):
            pass
        if self._left and not self._endless:
            raise EOFError("the file shrank while being read")

    def close(self) -> None:
        """Close the file, but not standard input."""
        if not self.closed:
            self._file.close()
        super().close()


def segment_sha256(segment: Segment) -> str | None:
    """SHA-256, as hexadecimal text, of a segment's bytes as they are stored now.

    None for standard input, which cannot be read again.

    Raises:
        DataError: the file cannot be read, or has changed since the segment was planned.
        ResourceError: a store cannot be reached.
    """
    file = segment.file
    if file.location == STDIN:
        return None
    if file.location == LOCAL:
        return storage.sha256_of(file.path, segment.start, segment.end)  # type: ignore[arg-type]
    with RangeReader(segment, lambda count: None) as reader:
        for _ in reader.pieces(_HASH_BYTES):
            pass
        return reader.digest.hexdigest()


def is_unchanged(segment: Segment, entry: dict[str, Any]) -> bool:
    """Whether a segment is what `SegmentReader.entry` has noted of it; never so standard input.

    A remote file whose version is unchanged is not read again.
    """
    if segment.file.version and segment.file.version == entry.get("version"):
        return True
    return segment_sha256(segment) == entry["sha256"]
