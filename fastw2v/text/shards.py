"""Reads one segment of any kind as blocks of text lines, or as codes of the tokens it lists.

Cut files into units of work, by their sizes and by what stands in them alone.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from fastw2v.errors import DataError, FastW2VError, ResourceError, UsageError
from fastw2v.io.storage import reporting_unreadable
from fastw2v.text import streams as unpack
from fastw2v.text.config import Layout, TextConfig
from fastw2v.text.inputs import (
    ARROW,
    BYTE_ORDER_MARK,
    JSONL,
    PARQUET,
    STDIN,
    TEXT,
    InputFile,
    Segment,
    check_text,
    compression_of,
)
from fastw2v.text.json_lines import LONGEST_LINE, BadLine, JsonLines
from fastw2v.text.lines import line_blocks, whole_lines
from fastw2v.text.streams import RangeReader, read_range
from fastw2v.text.tables import CodesOfTokens, TokenRows, as_lines, column_batches, text_rows

_TABLES = (PARQUET, ARROW)
_DAMAGES: tuple[type[Exception], ...] = (OSError, *unpack.DAMAGES)


class SegmentReader:
    """Reads one segment, once: by `blocks` or, where an ids column is named, by `codes`.

    Args:
        segment: what to read.
        block_bytes: text comes in blocks of about this size.
        on_bytes: called with the bytes read from where they are stored.
        config: how to read.
        stats: gets `bad_json_lines`, `null_texts` and `null_tokens` added.

    Attributes:
        sha256: of the bytes as they are stored, when all are read; "" before.
    """

    def __init__(
        self,
        segment: Segment,
        block_bytes: int = Layout.block_bytes,
        on_bytes: Callable[[int], None] = lambda count: None,
        config: TextConfig | None = None,
        stats: Counter[str] | None = None,
    ) -> None:
        self._segment = segment
        self._block_bytes = block_bytes
        self._on_bytes = on_bytes
        self._config = config or TextConfig()
        self._stats: Counter[str] = Counter() if stats is None else stats
        self._end = segment.end
        self.sha256 = ""

    @property
    def shown(self) -> str:
        """What messages call the segment's file."""
        return self._segment.shown

    @property
    def offset_of(self) -> str:
        """What the offsets of `blocks` count in, for messages: "" for the file itself."""
        if self._segment.kind != TEXT:
            return " of its texts"
        return " of the unpacked text" if self._segment.compressed else ""

    def entry(self) -> dict[str, Any]:
        """What to note of the segment when it is read (see `places.is_unchanged`)."""
        segment = self._segment
        entry = {
            "name": segment.name, "start": segment.start, "end": self._end, "sha256": self.sha256
        }  # fmt: skip
        return {**entry, "version": segment.version} if segment.version else entry

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield (offset in the text, bytes).

        A block ends with a line, but a line that is longer than a block is cut behind white space
        (or, where there is none, between characters), and goes on in the next block. Bytes are as
        they stand in the input, UTF-8 or not.

        Raises:
            DataError: truncated, damaged, UTF-16, too much unpacked, a bad line of JSON.
            ResourceError: it cannot be read. UsageError: nothing came from standard input.
        """
        with self._reading() as raw:
            offset = self._segment.start if self._segment.kind == TEXT else 0
            for block in line_blocks(self._texts(raw), self._block_bytes):
                if offset == 0 and self._segment.kind == TEXT:
                    check_text(block, self._segment.shown)
                yield offset, block
                offset += len(block)

    def codes(
        self, codes_of_tokens: CodesOfTokens, names: list[str] | None = None
    ) -> Iterator[np.ndarray]:
        """The lists of the ids column as codes (`sequences`), int32 (n,), each list ended by 0.

        Args:
            codes_of_tokens: gives the codes of tokens.
            names: the tokens of integer ids; None: the token of an id is its decimal number.

        Raises:
            DataError, ResourceError: as `blocks`, or an id that is no row of `names`.
        """
        rows = TokenRows(codes_of_tokens, names, self._stats, self._segment.shown)
        with self._reading() as raw:
            for batch in column_batches(self._segment, raw, self._config):
                yield rows.codes_of(batch)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[RangeReader]:
        segment = self._segment
        try:
            with RangeReader(segment, self._on_bytes) as raw:
                yield raw
                raw.finish()
                self._end = segment.start + raw.count
                self.sha256 = raw.digest.hexdigest()
                if segment.place == STDIN and not raw.count:
                    raise UsageError("standard input is empty; pipe text into preprocess -")
        except FastW2VError:
            raise
        except (pa.ArrowException, *unpack.DAMAGES) as error:
            if isinstance(error, MemoryError):
                raise
            raise self._damaged(error) from error
        except OSError as error:
            if error.errno is None:  # Arrow found it damaged
                raise self._damaged(error) from error
            raise ResourceError(f"{segment.shown}: cannot be read ({error.strerror})") from error

    def _damaged(self, error: Exception) -> DataError:
        reason = " ".join(str(error).split())
        return DataError(f"{self._segment.shown}: truncated or damaged ({reason})")

    def _texts(self, raw: RangeReader) -> Iterator[bytes]:
        if self._segment.kind in _TABLES:
            batches = column_batches(self._segment, raw, self._config)
            yield from as_lines(text_rows(batches, self._stats), self._config)
        elif self._segment.kind == JSONL:
            yield from self._json_lines(raw)
        else:
            yield from self._plain(raw)

    def _plain(self, raw: RangeReader) -> Iterator[bytes]:
        segment, compression = self._segment, self._segment.compression
        pieces = raw.pieces(unpack.PACKED_BYTES if compression else self._block_bytes)
        if segment.place == STDIN:
            first = next(pieces, b"")
            compression = compression_of(first) if first else ""
            pieces = itertools.chain([first] if first else [], pieces)
        if not compression:
            return pieces
        plain = unpack.unpacked(pieces, compression, self._block_bytes)
        size = (lambda: raw.count) if segment.place == STDIN else (lambda: segment.end)
        return unpack.within_limit(plain, segment.shown, self._config.max_unpacked, size)

    def _json_lines(self, raw: RangeReader) -> Iterator[bytes]:
        shown = self._segment.shown
        parser = JsonLines(self._config, shown, self._stats)
        first = self._segment.start == 0

        def texts() -> Iterator[pa.Array]:
            nonlocal first
            for block in whole_lines(self._plain(raw), LONGEST_LINE, shown):
                if first:
                    check_text(block, shown)
                    block = block.removeprefix(BYTE_ORDER_MARK)
                    first = False
                yield parser.texts(block)

        try:
            yield from as_lines(texts(), self._config)
        except BadLine as error:
            number = error.number + self._lines_before()
            raise DataError(
                f"{shown}: line {number}: {error.reason}; such lines are left out with "
                "--errors replace or skip"
            ) from None

    def line_at(self, offset: int, lines: int = 0) -> str:
        """ "line N" for an offset of `blocks`, or so many `lines` after it, for messages; what is
        before it is read again, and where that cannot be, it is "byte offset"."""
        line = 1 + lines
        if self._segment.only_here:
            return f"byte {offset:,}"
        reader = SegmentReader(self._segment, self._block_bytes, config=self._config)
        try:
            for start, block in reader.blocks():
                line += block.count(b"\n", 0, max(0, offset - start))
                if start + len(block) > offset:
                    break
            before = self._lines_before() if self._segment.kind == TEXT else 0
        except FastW2VError:
            return f"byte {offset:,}"
        return f"line {line + before:,}"

    def _lines_before(self) -> int:
        """Lines of the file before the segment; counted only when an error needs it."""
        start, step = self._segment.start, 1 << 22
        ranges = ((at, min(at + step, start)) for at in range(0, start, step))
        return sum(read_range(self._segment, *bounds).count(b"\n") for bounds in ranges)


def first_text(segment: Segment, config: TextConfig, most: int) -> bytes:
    """About the first `most` bytes of a segment's unpacked content.

    Raises:
        DataError: damaged. ResourceError: it cannot be read.
    """
    reader = SegmentReader(segment, 1 << 16, config=config)
    held, size = [], 0
    with contextlib.closing(RangeReader(segment, lambda count: None)) as raw:
        try:
            for piece in reader._plain(raw):
                held.append(piece)
                size += len(piece)
                if size >= most:
                    break
        except _DAMAGES as error:
            if getattr(error, "errno", None) is not None:
                raise
            raise reader._damaged(error) from error
    return b"".join(held)


_SEARCHED_BYTES = 1 << 16  # at a time


def plan_units(
    files: Iterable[InputFile], layout: Layout, config: TextConfig | None = None
) -> list[list[Segment]]:
    """Units of work, each a list of segments.

    Plain files that are large are split at line ends (or document separators), tables at row
    groups or record batches; compressed files are not. Small files that follow one another share a
    unit.
    """
    units: list[list[Segment]] = []
    room = 0  # what still fits into the last unit, when it is one of small files
    for file in files:
        if file.size <= room and file.size:
            units[-1].append(file.segment())
            room -= file.size
        elif file.compressed or not file.ranges or file.size <= layout.unit_bytes:
            units.append([file.segment()])
            room = max(0, layout.small_unit_bytes - file.size) if file.size else 0
        else:
            with reporting_unreadable(file.segment().shown):
                bounds = [0, *_cuts(file, layout.unit_bytes, config or TextConfig()), file.size]
            units += [[file.segment(start, end)] for start, end in itertools.pairwise(bounds)]
            room = 0
    return units


def _cuts(file: InputFile, unit_bytes: int, config: TextConfig) -> Iterator[int]:
    """Where to cut a file into ranges of about `unit_bytes`: neither at 0 nor at its end."""
    if file.kind in (PARQUET, ARROW):
        yield from _cuts_of_bounds(_bounds(file), unit_bytes)
        return
    separator = config.document_separator if file.kind == TEXT else None
    at = 0
    while file.size - at > unit_bytes:
        at = _line_end(file, at + unit_bytes, separator)
        if at < file.size:
            yield at


def _bounds(file: InputFile) -> list[int]:
    from fastw2v.text import tables as columns

    with columns.reporting_damage(file.segment().shown):
        return columns.batch_bounds(file) if file.kind == ARROW else columns.group_bounds(file)


def _cuts_of_bounds(bounds: list[int], unit_bytes: int) -> Iterator[int]:
    start = 0
    for bound in bounds[1:-1]:
        if bound - start >= unit_bytes:
            yield bound
            start = bound


def _line_end(file: InputFile, wanted: int, separator: str | None) -> int:
    """Behind the first line end from `wanted` on, of a line equal to `separator` where that is
    given; the end of the file where there is none."""
    line = b"" if separator is None else rb"\n" + re.escape(separator.encode()) + rb"\r?"
    end = re.compile(line + rb"\n")
    overlap = 0 if separator is None else len(separator.encode()) + 2
    at = max(0, wanted - overlap)
    data = b""
    while block := read_range(file, at, at + _SEARCHED_BYTES):
        data += block
        at += len(block)
        for found in end.finditer(data):
            if at - len(data) + found.end() > wanted:
                return at - len(data) + found.end()
        data = data[max(0, len(data) - overlap) :]
    return file.size
