"""Text files as codes (see `sequences`): read in blocks, made clean UTF-8, cut into tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from fastw2v.corpus.config import Layout
from fastw2v.corpus.inputs import (
    BYTE_ORDER_MARK,
    ReadOptions,
    Segment,
    SegmentReader,
    cut_lines,
)
from fastw2v.corpus.named_tokenizer import FunctionFailed
from fastw2v.corpus.settings import load_vocabulary
from fastw2v.corpus.tokenizer import UndecodableBytes, valid_utf8
from fastw2v.corpus.word_codes import WordCodes
from fastw2v.errors import DataError, UsageError

Progress = Callable[..., None]  # (bytes read), or (0, place)


class TextCodes:
    """Makes the codes of text with `words`.

    Args:
        options: how to read, and what to do with bytes that are not UTF-8.
        stats: gets what was read and made clean added, by the names of `PreprocessReport`.
        progress: called with the bytes read from where they are stored, and with 0 and the
            `Place` of each block before it is looked at.
        block_bytes: text is read in blocks of about this size.

    Attributes:
        inputs: the segments read so far, with their SHA-256, for the manifest.
    """

    def __init__(
        self,
        words: WordCodes,
        options: ReadOptions,
        stats: Counter[str],
        progress: Progress,
        block_bytes: int = Layout.block_bytes,
    ) -> None:
        self._words = words
        self._options, self._stats = options, stats
        self._progress, self._block_bytes = progress, block_bytes
        self.inputs: list[dict[str, Any]] = []

    def batches(self, segments: Iterable[Segment]) -> Iterator[np.ndarray]:
        """The codes of each block, int32 (n,); each file's last line is ended.

        Raises:
            DataError: damaged, or not UTF-8 where `errors` is "strict".
            ResourceError: the disk cannot be read.
            UsageError: the user's function fails; with the line where it does.
        """
        if self._options.ids_column is not None:
            return self._listed(segments)
        return self._coded(segments)

    def _coded(self, segments: Iterable[Segment]) -> Iterator[np.ndarray]:
        for block in self._blocks(segments):
            try:
                codes = self._words.codes_of(block)
            except FunctionFailed as error:
                raise UsageError(f"{self._line(error.lines_before)}: {error}") from error
            yield codes

    def _line(self, lines_before: int) -> str:
        """The file and the line that comes so many lines after the one of `_at`, for messages."""
        reader, offset = self._at
        cut_anew = self._options.sentences or self._options.document_separator is not None
        line = reader.line_at(offset, 0 if cut_anew else lines_before)
        near = "near " if cut_anew or line.startswith("byte") else ""
        return f"{reader.shown}: {near}{line}{reader.offset_of}"

    def _listed(self, segments: Iterable[Segment]) -> Iterator[np.ndarray]:
        """The codes of tokens that stand in lists."""
        path = self._options.vocabulary
        names = load_vocabulary(path).tokens if path is not None else None
        for number, segment in enumerate(segments):
            self._progress(0, (number, 0))
            reader = self._reader(segment)
            yield from reader.codes(self._words.codes_of_tokens, names)
            self.inputs.append(reader.entry())

    def _reader(self, segment: Segment) -> SegmentReader:
        return SegmentReader(segment, self._block_bytes, self._progress, self._options, self._stats)

    def _blocks(self, segments: Iterable[Segment]) -> Iterator[bytes]:
        """Blocks of clean UTF-8."""
        for number, segment in enumerate(segments):
            reader = self._reader(segment)
            clean = self._clean_blocks(reader, number)
            last = b"\n"
            for block in cut_lines(clean, self._options, self._block_bytes):
                last = block[-1:] or last
                yield block
            if last != b"\n":
                yield b"\n"
            self.inputs.append(reader.entry())

    def _clean_blocks(self, reader: SegmentReader, segment: int) -> Iterator[bytes]:
        self._progress(0, (segment, 0))
        for offset, block in reader.blocks():
            self._progress(0, (segment, offset))
            self._at = reader, offset
            yield self._clean(reader, offset, block)
            self._at = reader, offset + len(block)

    def _clean(self, reader: SegmentReader, offset: int, block: bytes) -> bytes:
        stats = self._stats
        stats["text_bytes"] += len(block)
        removed = 0
        if offset == 0 and block.startswith(BYTE_ORDER_MARK):
            stats["byte_order_marks"] += 1
            removed = len(BYTE_ORDER_MARK)
            block = block[removed:]
        if b"\0" in block:  # to look is far quicker than to count
            stats["nul_bytes"] += block.count(b"\0")
        if b"\r" in block:
            stats["crlf_lines"] += block.count(b"\r\n")
        try:
            block, undecodable = valid_utf8(block, self._options.errors)
        except UndecodableBytes as error:
            where = offset + removed + error.position
            raise DataError(
                f"{reader.shown}: {reader.line_at(where)}, byte {where}{reader.offset_of}: "
                f"{error}; use --errors replace or skip"
            ) from None
        stats["undecodable_bytes"] += undecodable
        return block
