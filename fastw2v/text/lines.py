"""Blocks of lines: pieces of bytes cut at line ends, lines joined into documents, and documents
split into sentences.

Documents and sentences are made block by block from valid UTF-8. The result does not depend on
where the blocks were cut: the few bytes that a block cannot decide are kept until the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from fastw2v.errors import DataError
from fastw2v.text.config import TextConfig


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
                end = _cut_offset(data)
            if end:
                yield data[:end]
            rest = data[end:]
            held, size = [rest] if rest else [], len(rest)
    if held:
        yield b"".join(held)


def _cut_offset(data: bytes) -> int:
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


class Cutter(Protocol):
    """Makes lines, each a sequence, of blocks of text."""

    def feed(self, block: bytes) -> bytes:
        """What is decided with `block`."""
        ...

    def end(self) -> bytes:
        """What was held back; the cutter is as new then."""
        ...


def cut_lines(blocks: Iterable[bytes], config: TextConfig, block_bytes: int) -> Iterable[bytes]:
    """The blocks of one segment with documents joined and sentences cut, as `config` says.

    The result is cut into blocks as by `lines.line_blocks`.

    Args:
        blocks: of valid UTF-8.
    """
    cutters: list[Cutter] = []
    if config.document_separator is not None:
        cutters.append(DocumentJoiner(config.document_separator.encode()))
    if config.sentences:
        cutters.append(SentenceCutter())
    return line_blocks(_through(blocks, cutters), block_bytes) if cutters else blocks


def _through(blocks: Iterable[bytes], cutters: list[Cutter]) -> Iterator[bytes]:
    for block in blocks:
        data = block
        for cutter in cutters:
            data = cutter.feed(data)
        if data:
            yield data
    data = b""
    for cutter in cutters:
        data = cutter.feed(data) + cutter.end()
    if data:
        yield data


class DocumentJoiner:
    """Puts a document on one line: up to a line equal to `separator`, line ends become spaces.

    Documents of white space alone are left out, so that separators may follow one another. A
    carriage return at the end of a line belongs to its end.
    """

    def __init__(self, separator: bytes) -> None:
        self._mark = b"\n" + separator + b"\n"
        # The last line feed stays, for it begins the next line, which may be a separator too.
        self._separator = re.compile(b"\n" + re.escape(separator) + b"(?=\n)")
        self._undecided = b"\n"  # a line begins here
        self._open = False  # whether the document has text

    def feed(self, block: bytes) -> bytes:
        """See `Cutter`."""
        data = (self._undecided + block).replace(b"\r\n", b"\n")
        return self._join(data, self._first_undecided(data))

    def end(self) -> bytes:
        """See `Cutter`."""
        # A separator need not end with a line feed where the text ends.
        data = self._undecided.removesuffix(b"\r") + b"\n"
        joined = self._join(data, len(data))
        if self._open:
            joined += b"\n"
        self._undecided, self._open = b"\n", False
        return joined

    def _first_undecided(self, data: bytes) -> int:
        """Where the last line begins (at the feed before it), if it may become a separator."""
        body = data.removesuffix(b"\r")
        at = body.rfind(b"\n", max(0, len(body) - len(self._mark)))
        return at if at >= 0 and self._mark.startswith(body[at:]) else len(body)

    def _join(self, data: bytes, end: int) -> bytes:
        """Documents of `data[:end]`, the last of them open."""
        self._undecided = data[end:]
        if self._undecided.startswith(b"\n"):
            parts = self._separator.split(data[: end + 1])
            parts[-1] = parts[-1][:-1]
        else:
            parts = self._separator.split(data[:end])
        joined = []
        for number, part in enumerate(parts):
            self._open = self._open or not (part.isspace() or not part)
            ends = number < len(parts) - 1
            if self._open:
                joined += [part.replace(b"\n", b" "), b"\n" if ends else b""]
            self._open = self._open and not ends
        return b"".join(joined)


# Sentence marks that need white space behind them, and those that do not, as UTF-8.
_MARK = rb"[.!?]|\xe2\x80\xa6|\xd8\x9f|\xe0\xa5\xa4"  # . ! ? ellipsis, Arabic ?, danda
_CJK_MARK = rb"\xe3\x80\x82|\xef\xbc\x81|\xef\xbc\x8e|\xef\xbc\x9f|\xef\xbd\xa1"
_CLOSER = (
    rb"[\"')\]}]|\xe2\x80[\x99\x9d]|\xc2\xbb|\xe2\x80\xba"
    rb"|\xe3\x80[\x8b\x8d\x8f\x91]|\xef\xbc\x89|\xef\xbd\xa3"
)
_SPACE = rb"[ \t\r\x0b\x0c]|\xc2\xa0|\xe3\x80\x80"
# A letter alone before the full stop: an initial. Two bytes: Latin with accents to Cyrillic.
_NO_INITIAL = (
    rb"(?<![^0-9A-Za-z\x80-\xff][A-Za-z]\.)(?<![^0-9A-Za-z\x80-\xff][\xc3-\xd5][\x80-\xbf]\.)"
)
_SENTENCE_END = re.compile(
    rb"[.!?\xd8\xe0\xe2\xe3\xef]"  # the first byte of a mark, which `re` finds quickly
    rb"(?:(?:(?<=[.!?])|(?<=\xe2)\x80\xa6|(?<=\xd8)\x9f|(?<=\xe0)\xa5\xa4)" + _NO_INITIAL + rb""
    rb"(?:" + _CLOSER + rb"){0,8}(?=" + _SPACE + rb")"
    rb"|(?:(?<=\xe3)\x80\x82|(?<=\xef)(?:\xbc[\x81\x8e\x9f]|\xbd\xa1))"
    rb"(?:" + _CLOSER + rb"){0,8}(?!" + _MARK + rb"|" + _CJK_MARK + rb"|" + _CLOSER + rb"))"
    rb"((?:" + _SPACE + rb")?)(?!(?:" + _SPACE + rb"){0,30}(?:\n|\Z))"
)
_LOOK_AHEAD = 160  # bytes; more than a match and what it looks at behind it
_CONTEXT = 4  # bytes; more than it looks at before


class SentenceCutter:
    """Ends a line after each sentence: after . ! ? and similar marks, any closing quotes and
    brackets, and white space; after Chinese and Japanese marks also without white space.

    Not after a single letter (J. Smith).
    """

    def __init__(self) -> None:
        self._before, self._undecided = b"\n", b""

    def feed(self, block: bytes) -> bytes:
        """See `Cutter`."""
        data = self._before + self._undecided + block
        decided = len(data) if data.endswith(b"\n") else len(data) - _LOOK_AHEAD
        return self._cut(data, decided)

    def end(self) -> bytes:
        """See `Cutter`."""
        data = self._before + self._undecided
        cut = self._cut(data, len(data))
        self._before = b"\n"
        return cut

    def _cut(self, data: bytes, decided: int) -> bytes:
        """Cut at the ends that begin before `decided`."""
        at = len(self._before)
        decided = max(decided, at)
        pieces = []
        for found in _SENTENCE_END.finditer(data, at):
            if found.start() >= decided:
                break
            start, end = found.span(1)
            pieces.append(data[at:start])
            at = end
        last = max(at, decided)
        while last < len(data) and data[last] & 0xC0 == 0x80:
            last += 1  # not inside a character
        pieces.append(data[at:last])
        self._before, self._undecided = data[max(0, last - _CONTEXT) : last], data[last:]
        return b"\n".join(pieces)
