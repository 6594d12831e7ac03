"""Bytes in pieces of any size, as blocks that end with a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastw2v.errors import DataError


def line_blocks(pieces: Iterable[bytes], block_bytes: int) -> Iterator[bytes]:
    """Blocks of about `block_bytes` that end with a line.

    A line that is longer than a block is cut behind white space (or, where there is none, between
    characters), and goes on in the next block.
    """
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        for start in range(0, len(piece), block_bytes):
            part = piece if len(piece) <= block_bytes else piece[start : start + block_bytes]
            held.append(part)
            size += len(part)
            if size < block_bytes:
                continue
            data = held[0] if len(held) == 1 else b"".join(held)
            end = data.rfind(b"\n") + 1
            if not end and len(data) >= 2 * block_bytes:
                end = _place_to_cut(data)
            if end:
                yield data[:end]
            rest = data[end:]
            held, size = [rest] if rest else [], len(rest)
    if held:
        yield b"".join(held)


def _place_to_cut(data: bytes) -> int:
    """Behind the last space or tab; else before the last character that may be incomplete."""
    end = max(data.rfind(b" "), data.rfind(b"\t")) + 1
    if end:
        return end
    end = len(data)
    for back in range(1, min(4, len(data))):
        if data[-back] & 0xC0 != 0x80:  # the first byte of the last character
            return end - back or end
    return end


def whole_lines(pieces: Iterable[bytes], longest: int, shown: str) -> Iterator[bytes]:
    """Blocks of whole lines, each as large as a piece or a line is.

    Raises:
        DataError: a line longer than `longest` bytes.
    """
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        end = piece.rfind(b"\n") + 1
        if end:
            yield b"".join([*held, piece[:end]])
            held, size = [], 0
        held.append(piece[end:])
        size += len(piece) - end
        if size > longest:
            raise DataError(
                f"{shown}: a line of more than {longest:,} bytes; JSON Lines has one object a line"
            )
    if size:
        yield b"".join(held)
