"""Text files as codes (see `sequences`): read in blocks, made clean UTF-8, cut into tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from fastw2v.corpus.config import Layout
from fastw2v.corpus.sequences import ChunkCodes, TokenCodes
from fastw2v.corpus.shards import BYTE_ORDER_MARK, Segment, SegmentReader
from fastw2v.corpus.tokenizer import Tokenizer, UndecodableBytes, valid_utf8
from fastw2v.errors import DataError


class TextCodes:
    """Makes the codes of text with `tokens`.

    Args:
        tokens: gives the codes.
        errors: what to do with bytes that are not UTF-8, as in `PreprocessConfig`.
        stats: gets what was read and made clean added, by the names of `PreprocessReport`.
        progress: called with the bytes read from disk.
        block_bytes: text is read in blocks of about this size.

    Attributes:
        inputs: the segments read so far, with their SHA-256, for the manifest.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        tokens: TokenCodes,
        errors: str,
        stats: Counter[str],
        progress: Callable[[int], None],
        block_bytes: int = Layout.block_bytes,
    ) -> None:
        self._tokens = tokens
        self._chunks = ChunkCodes(tokenizer, tokens)
        self._errors, self._stats = errors, stats
        self._progress, self._block_bytes = progress, block_bytes
        self.inputs: list[dict[str, Any]] = []

    def batches(self, segments: Iterable[Segment]) -> Iterator[np.ndarray]:
        """The codes of each block, int64 (n,); each file's last line is ended.

        Raises:
            DataError: damaged, or not UTF-8 where `errors` is "strict".
            ResourceError: the disk cannot be read.
        """
        return (self._chunks.codes_of(block) for block in self._blocks(segments))

    def forget(self) -> None:
        """Look at every chunk anew, and count local ids from 0 again."""
        self._chunks.forget()
        self._tokens.forget()

    def _blocks(self, segments: Iterable[Segment]) -> Iterator[bytes]:
        """Blocks of clean UTF-8."""
        for segment in segments:
            reader = SegmentReader(segment, self._block_bytes, self._progress)
            last = b"\n"
            for offset, block in reader.blocks():
                self._stats["text_bytes"] += len(block)
                last = block[-1:]
                yield self._clean(segment, offset, block)
            if last != b"\n":
                yield b"\n"
            self.inputs.append(
                {
                    "name": segment.name,
                    "start": segment.start,
                    "end": segment.end,
                    "sha256": reader.sha256,
                }
            )

    def _clean(self, segment: Segment, offset: int, block: bytes) -> bytes:
        stats = self._stats
        removed = 0
        if offset == 0 and block.startswith(BYTE_ORDER_MARK):
            stats["byte_order_marks"] += 1
            removed = len(BYTE_ORDER_MARK)
            block = block[removed:]
        stats["nul_bytes"] += block.count(b"\0")
        stats["crlf_lines"] += block.count(b"\r\n")
        try:
            block, undecodable = valid_utf8(block, self._errors)
        except UndecodableBytes as error:
            where = offset + removed + error.position
            unpacked = " of the unpacked text" if segment.compressed else ""
            raise DataError(
                f"{segment.path}: at byte {where}{unpacked}: {error}; use --errors replace or skip"
            ) from None
        stats["undecodable_bytes"] += undecodable
        return block
