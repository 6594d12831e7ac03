"""Cut files into units of work, by their sizes and by what stands in them alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from fastw2v.corpus.config import Layout
from fastw2v.corpus.inputs.options import ReadOptions
from fastw2v.corpus.inputs.places import read_range
from fastw2v.corpus.inputs.segments import ARROW, PARQUET, TEXT, InputFile, Segment
from fastw2v.corpus.os_errors import reporting_unreadable

_SEARCHED_BYTES = 1 << 16  # at a time


def plan_units(
    files: Iterable[InputFile], layout: Layout, options: ReadOptions | None = None
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
                bounds = [0, *_cuts(file, layout.unit_bytes, options or ReadOptions()), file.size]
            units += [[file.segment(start, end)] for start, end in itertools.pairwise(bounds)]
            room = 0
    return units


def _cuts(file: InputFile, unit_bytes: int, options: ReadOptions) -> Iterator[int]:
    """Where to cut a file into ranges of about `unit_bytes`: neither at 0 nor at its end."""
    if file.kind in (PARQUET, ARROW):
        yield from _cuts_of_bounds(_bounds(file), unit_bytes)
        return
    separator = options.document_separator if file.kind == TEXT else None
    at = 0
    while file.size - at > unit_bytes:
        at = _line_end(file, at + unit_bytes, separator)
        if at < file.size:
            yield at


def _bounds(file: InputFile) -> list[int]:
    from fastw2v.corpus.inputs import columns  # Arrow, where it is needed

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
