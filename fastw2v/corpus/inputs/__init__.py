"""Inputs of any place and kind, as units of segments, and segments as blocks of text lines."""

from __future__ import annotations

from fastw2v.corpus.inputs.documents import cut_lines
from fastw2v.corpus.inputs.find import BadFiles, find_files
from fastw2v.corpus.inputs.kinds import BYTE_ORDER_MARK
from fastw2v.corpus.inputs.options import ReadOptions
from fastw2v.corpus.inputs.places import is_unchanged, segment_sha256
from fastw2v.corpus.inputs.plan import plan_units
from fastw2v.corpus.inputs.reader import SegmentReader
from fastw2v.corpus.inputs.segments import InputFile, Segment

__all__ = [
    "BYTE_ORDER_MARK",
    "BadFiles",
    "InputFile",
    "ReadOptions",
    "Segment",
    "SegmentReader",
    "cut_lines",
    "find_files",
    "is_unchanged",
    "plan_units",
    "segment_sha256",
]
