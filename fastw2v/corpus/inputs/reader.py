"""Reads one segment of any kind as blocks of text lines, or as codes of the tokens it lists."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from fastw2v.corpus.config import Layout
from fastw2v.corpus.inputs import unpack
from fastw2v.corpus.inputs.columns import column_batches
from fastw2v.corpus.inputs.jsonl import LONGEST_LINE, BadLine, JsonLines
from fastw2v.corpus.inputs.kinds import BYTE_ORDER_MARK, check_text, compression_of
from fastw2v.corpus.inputs.lines import line_blocks, whole_lines
from fastw2v.corpus.inputs.options import ReadOptions
from fastw2v.corpus.inputs.places import RangeReader, read_range
from fastw2v.corpus.inputs.rows import CodesOfTokens, TokenRows, as_lines, text_rows
from fastw2v.corpus.inputs.segments import (
    ARROW,
    JSONL,
    PARQUET,
    STDIN,
    TEXT,
    Segment,
)
from fastw2v.errors import DataError, FastW2VError, ResourceError, UsageError

_TABLES = (PARQUET, ARROW)
_DAMAGES: tuple[type[Exception], ...] = (OSError, *unpack.DAMAGES)


class SegmentReader:
    """Reads one segment, once: by `blocks` or, where an ids column is named, by `codes`.

    Args:
        segment: what to read.
        block_bytes: text comes in blocks of about this size.
        on_bytes: called with the bytes read from where they are stored.
        options: how to read.
        stats: gets `bad_json_lines`, `null_texts` and `null_tokens` added.

    Attributes:
        sha256: of the bytes as they are stored, when all are read; "" before.
    """

    def __init__(
        self,
        segment: Segment,
        block_bytes: int = Layout.block_bytes,
        on_bytes: Callable[[int], None] = lambda count: None,
        options: ReadOptions | None = None,
        stats: Counter[str] | None = None,
    ) -> None:
        self._segment = segment
        self._block_bytes = block_bytes
        self._on_bytes = on_bytes
        self._options = options or ReadOptions()
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
            for batch in column_batches(self._segment, raw, self._options):
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
            batches = column_batches(self._segment, raw, self._options)
            yield from as_lines(text_rows(batches, self._stats), self._options)
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
        return unpack.within_limit(plain, segment.shown, self._options.max_unpacked, size)

    def _json_lines(self, raw: RangeReader) -> Iterator[bytes]:
        shown = self._segment.shown
        parser = JsonLines(self._options, shown, self._stats)
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
            yield from as_lines(texts(), self._options)
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
        reader = SegmentReader(self._segment, self._block_bytes, options=self._options)
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


def first_text(segment: Segment, options: ReadOptions, most: int) -> bytes:
    """About the first `most` bytes of a segment's unpacked content.

    Raises:
        DataError: damaged. ResourceError: it cannot be read.
    """
    reader = SegmentReader(segment, 1 << 16, options=options)
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
