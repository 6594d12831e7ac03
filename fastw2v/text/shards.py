"""Shards: the pieces of text that jobs read.

`plan_shards` cuts the files into shards, by their sizes and content alone.
`SegmentReader` reads one segment of a shard: as blocks of clean lines, ready for the tokenizer, or
as codes of the tokens that its rows list.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from fastw2v.errors import DataError, FastW2VError, ResourceError, UsageError
from fastw2v.io.storage import reporting_unreadable
from fastw2v.text import streams
from fastw2v.text.config import Layout, TextConfig
from fastw2v.text.inputs import (
    ARROW,
    BYTE_ORDER_MARK,
    JSONL,
    PARQUET,
    TEXT,
    InputFile,
    ReadCounts,
    Segment,
    check_text,
    compression_of,
)
from fastw2v.text.json_lines import LONGEST_LINE, BadLine, JsonLines
from fastw2v.text.lines import cut_lines, line_blocks, whole_lines
from fastw2v.text.streams import RangeReader, read_range
from fastw2v.text.tables import CodesOfTokens, TokenRows, as_lines, column_batches, text_rows
from fastw2v.text.tokenizer import UndecodableBytes, valid_utf8

Shard: TypeAlias = list[Segment]
_TABLES = (PARQUET, ARROW)
_DAMAGES: tuple[type[Exception], ...] = (OSError, *streams.DAMAGES)
_SEARCHED_BYTES = 1 << 16  # at a time, for a line end


def plan_shards(
    files: Iterable[InputFile], layout: Layout, config: TextConfig | None = None
) -> list[Shard]:
    """Cut files into shards.

    Large plain files are split at line ends (or document separators), tables at row groups or
    record batches; compressed files are not split. Small files that follow one another share a
    shard.
    """
    shards: list[Shard] = []
    room = 0  # what still fits into the last shard, when it is one of small files
    for file in files:
        if file.size <= room and file.size:
            shards[-1].append(file.segment())
            room -= file.size
        elif file.compression or not file.ranges or file.size <= layout.unit_bytes:
            shards.append([file.segment()])
            room = max(0, layout.small_unit_bytes - file.size) if file.size else 0
        else:
            with reporting_unreadable(file.shown):
                bounds = [0, *_cuts(file, layout.unit_bytes, config or TextConfig()), file.size]
            shards += [[file.segment(start, end)] for start, end in itertools.pairwise(bounds)]
            room = 0
    return shards


def _cuts(file: InputFile, shard_bytes: int, config: TextConfig) -> Iterator[int]:
    """Where to cut a file into ranges of about `shard_bytes`: neither at 0 nor at its end."""
    if file.kind in _TABLES:
        start = 0
        for bound in _table_bounds(file)[1:-1]:
            if bound - start >= shard_bytes:
                yield bound
                start = bound
        return
    separator = config.document_separator if file.kind == TEXT else None
    at = 0
    while file.size - at > shard_bytes:
        at = _line_end(file, at + shard_bytes, separator)
        if at < file.size:
            yield at


def _table_bounds(file: InputFile) -> list[int]:
    from fastw2v.text import tables

    with tables.reporting_damage(file.shown):
        return tables.batch_bounds(file) if file.kind == ARROW else tables.group_bounds(file)


def _line_end(file: InputFile, wanted: int, separator: str | None) -> int:
    """The offset after the first line end from `wanted` on, of a line equal to `separator` if one
    is given; the end of the file if there is none."""
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


class SegmentReader:
    """Reads one segment, once: by `lines`, by `blocks` or, if it has an ids column, by `codes`.

    Args:
        segment: what to read.
        config: how to read it.
        stats: counters of what was read and cleaned, by the names of `PreprocessReport`.
        block_bytes: text comes in blocks of about this size.
        on_bytes: called with the number of bytes read from the file.
        on_block: called with the offset of each block of `lines` before it is looked at.

    Attributes:
        sha256: of the bytes as they are stored, when all are read; "" before.
    """

    def __init__(
        self,
        segment: Segment,
        config: TextConfig | None = None,
        *,
        stats: ReadCounts | None = None,
        block_bytes: int = Layout.block_bytes,
        on_bytes: Callable[[int], None] = lambda count: None,
        on_block: Callable[[int], None] = lambda offset: None,
    ) -> None:
        self._segment, self._file = segment, segment.file
        self._config = config or TextConfig()
        self._stats = ReadCounts() if stats is None else stats
        self._block_bytes = block_bytes
        self._on_bytes, self._on_block = on_bytes, on_block
        self._end = segment.end
        self._offset = 0  # of the block that `lines` has read last
        self.sha256 = ""

    @property
    def shown(self) -> str:
        """What messages call the segment's file."""
        return self._file.shown

    def entry(self) -> dict[str, Any]:
        """What the manifest notes of the segment when it is read (see `streams.is_unchanged`)."""
        segment, version = self._segment, self._file.version
        entry = {
            "name": segment.name, "start": segment.start, "end": self._end, "sha256": self.sha256
        }  # fmt: skip
        return {**entry, "version": version} if version else entry

    # --- reading ---

    def lines(self) -> Iterator[bytes]:
        """Blocks of clean UTF-8 lines, each line a sequence: documents joined, sentences split,
        the last line ended. A line that is longer than a block goes on in the next.

        Raises:
            DataError: as `blocks`, or not UTF-8 where `errors` is "strict".
            ResourceError, UsageError: as `blocks`.
        """
        last = b"\n"
        for block in cut_lines(self._clean_blocks(), self._config, self._block_bytes):
            last = block[-1:] or last
            yield block
        if last != b"\n":
            yield b"\n"

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield (offset in the text, bytes).

        A block ends with a line, but a line that is longer than a block is cut after white space
        (or, if it has none, between characters), and goes on in the next block. Bytes are those
        of the input, UTF-8 or not.

        Raises:
            DataError: truncated, damaged, UTF-16, too much unpacked, an invalid line of JSON.
            ResourceError: it cannot be read. UsageError: standard input is empty.
        """
        with self._reading() as raw:
            offset = self._segment.start if self._file.kind == TEXT else 0
            for block in line_blocks(self._texts(raw), self._block_bytes):
                if offset == 0 and self._file.kind == TEXT:
                    check_text(block, self.shown)
                yield offset, block
                offset += len(block)

    def codes(
        self, codes_of_tokens: CodesOfTokens, names: list[str] | None = None
    ) -> Iterator[np.ndarray]:
        """The lists of the ids column as codes (`store.encoder`), int32 (n,), each list ended by 0.

        Args:
            codes_of_tokens: gives the codes of tokens.
            names: the tokens of integer ids; None: the token of an id is its decimal number.

        Raises:
            DataError, ResourceError: as `blocks`, or an id that is not a row of `names`.
        """
        rows = TokenRows(codes_of_tokens, names, self._stats, self.shown)
        with self._reading() as raw:
            for batch in column_batches(self._segment, raw, self._config):
                yield rows.codes_of(batch)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[RangeReader]:
        try:
            with RangeReader(self._segment, self._on_bytes) as raw:
                yield raw
                raw.finish()
                self._end = self._segment.start + raw.count
                self.sha256 = raw.digest.hexdigest()
                if self._segment.only_here and not raw.count:
                    raise UsageError("standard input is empty; pipe text into preprocess -")
        except FastW2VError:
            raise
        except (pa.ArrowException, *streams.DAMAGES) as error:
            if isinstance(error, MemoryError):
                raise
            raise self._damaged(error) from error
        except OSError as error:
            if error.errno is None:  # raised by Arrow or bz2 for damaged content
                raise self._damaged(error) from error
            raise ResourceError(f"{self.shown}: cannot be read ({error.strerror})") from error

    def _damaged(self, error: Exception) -> DataError:
        reason = " ".join(str(error).split())
        return DataError(f"{self.shown}: truncated or damaged ({reason})")

    def _texts(self, raw: RangeReader) -> Iterator[bytes]:
        """The text in pieces of any size."""
        if self._file.kind in _TABLES:
            batches = column_batches(self._segment, raw, self._config)
            return as_lines(text_rows(batches, self._stats), self._config)
        return self._json_texts(raw) if self._file.kind == JSONL else self._plain(raw)

    def _plain(self, raw: RangeReader) -> Iterator[bytes]:
        """The bytes, decompressed."""
        compression, only_here = self._file.compression, self._segment.only_here
        pieces = raw.pieces(streams.PACKED_BYTES if compression else self._block_bytes)
        if only_here:
            first = next(pieces, b"")
            compression = compression_of(first) if first else ""
            pieces = itertools.chain([first] if first else [], pieces)
        if not compression:
            return pieces
        plain = streams.unpacked(pieces, compression, self._block_bytes)
        size = (lambda: raw.count) if only_here else (lambda: self._segment.end)
        return streams.within_limit(plain, self.shown, self._config.max_unpacked, size)

    def _json_texts(self, raw: RangeReader) -> Iterator[bytes]:
        parser = JsonLines(self._config, self.shown, self._stats)
        blocks = whole_lines(self._plain(raw), LONGEST_LINE, self.shown)
        try:
            for number, block in enumerate(blocks):
                if number == 0 and self._segment.start == 0:
                    check_text(block, self.shown)
                    block = block.removeprefix(BYTE_ORDER_MARK)
                yield from as_lines([parser.texts(block)], self._config)
        except BadLine as error:
            number = error.number + self._lines_before()
            raise DataError(
                f"{self.shown}: line {number}: {error.reason}; to skip and count such lines, set "
                "`errors` to replace or skip"
            ) from None

    # --- cleaning ---

    def _clean_blocks(self) -> Iterator[bytes]:
        for offset, block in self.blocks():
            self._on_block(offset)
            self._offset = offset
            yield self._clean(offset, block)
            self._offset = offset + len(block)

    def _clean(self, offset: int, block: bytes) -> bytes:
        """A block as valid UTF-8, without a byte order mark; counts what was changed."""
        stats = self._stats
        stats.text_bytes += len(block)
        removed = 0
        if offset == 0 and block.startswith(BYTE_ORDER_MARK):
            stats.byte_order_marks += 1
            removed = len(BYTE_ORDER_MARK)
            block = block[removed:]
        if b"\0" in block:  # a search is far quicker than a count
            stats.nul_bytes += block.count(b"\0")
        if b"\r" in block:
            stats.crlf_lines += block.count(b"\r\n")
        try:
            block, undecodable = valid_utf8(block, self._config.errors)
        except UndecodableBytes as error:
            at = offset + removed + error.offset
            raise DataError(
                f"{self.shown}: {self.line_at(at)}, byte {at}{self._of_what}: {error}; to accept "
                "such bytes, set `errors` to replace or skip"
            ) from None
        stats.undecodable_bytes += undecodable
        return block

    # --- where something is, for messages ---

    @property
    def _of_what(self) -> str:
        """What offsets count in: "" for the file itself."""
        if self._file.kind != TEXT:
            return " of its texts"
        return " of the unpacked text" if self._file.compression else ""

    def here(self, lines_before: int) -> str:
        """The file and line that `lines` is at, `lines` lines after the start of its block."""
        rewritten = self._config.sentences or self._config.document_separator is not None
        line = self.line_at(self._offset, 0 if rewritten else lines_before)
        near = "near " if rewritten or line.startswith("byte") else ""
        return f"{self.shown}: {near}{line}{self._of_what}"

    def line_at(self, offset: int, lines: int = 0) -> str:
        """ "line N" for an offset of `blocks`, or `lines` lines after it. The text before it is
        read again; if that fails, the answer is "byte offset"."""
        line = 1 + lines
        if self._segment.only_here:
            return f"byte {offset:,}"
        reader = SegmentReader(self._segment, self._config, block_bytes=self._block_bytes)
        try:
            for start, block in reader.blocks():
                line += block.count(b"\n", 0, max(0, offset - start))
                if start + len(block) > offset:
                    break
            before = self._lines_before() if self._file.kind == TEXT else 0
        except FastW2VError:
            return f"byte {offset:,}"
        return f"line {line + before:,}"

    def _lines_before(self) -> int:
        """Lines of the file before the segment; counted only when an error needs it."""
        start, step = self._segment.start, 1 << 22
        ranges = ((at, min(at + step, start)) for at in range(0, start, step))
        return sum(read_range(self._file, *bounds).count(b"\n") for bounds in ranges)

    def head(self, size: int) -> bytes:
        """About the first `size` bytes of the unpacked content, before any column is read.

        Raises:
            DataError: damaged. ResourceError: it cannot be read.
        """
        pieces: list[bytes] = []
        with contextlib.closing(RangeReader(self._segment, self._on_bytes)) as raw:
            try:
                for piece in self._plain(raw):
                    pieces.append(piece)
                    if sum(map(len, pieces)) >= size:
                        break
            except _DAMAGES as error:
                if getattr(error, "errno", None) is not None:
                    raise
                raise self._damaged(error) from error
        return b"".join(pieces)
