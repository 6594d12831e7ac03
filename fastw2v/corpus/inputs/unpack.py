"""Compressed bytes to plain ones: gz, bz2, xz, zst, with all their members, within a limit.

One loop for all, because `zlib`'s, `bz2`'s and `lzma`'s own objects unpack without holding Python's
lock, in pieces as large as asked for; `gzip.GzipFile` is slower.
"""

from __future__ import annotations

import bz2
import contextlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastw2v.errors import DataError
from fastw2v.machine import readable_bytes

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
                raise EOFError("its end is missing")
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
            raise EOFError("something else follows its end")


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
                f"{readable_bytes(packed_bytes())}; if that is right, raise --max-unpacked "
                "(0 = no limit)"
            )
        yield piece
