"""The footer and the page headers of a Parquet file, checked before pyarrow reads the file.

pyarrow alone is not enough for files of unknown origin (tried with 26.0.1, thrift limits set):

* It makes room for all that pages claim to unpack to; 208 kB of zstd can truly hold 2 GB. Here
  the unpacked sizes of all pages that are about to be read are added up first, and limited.
* `metadata.row_group(0).column(0).statistics` ends the process (SIGABRT, an uncaught exception of
  C++) where the statistics of a column are damaged. Row groups are read from the footer here.
* Files that Python has opened must not be read ahead (`pre_buffer`, the default): its threads still
  hold pieces of them when a short process ends, and abort it in about one of fifty runs.

The check costs about a hundred microseconds per megabyte of values.

Format: parquet.thrift of apache/parquet-format, in Thrift's compact protocol.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from typing import Any, BinaryIO, NamedTuple

_MAX_DEPTH = 12
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def read_struct(data: bytes, position: int = 0, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The struct at `position`: its fields by number, and its end.

    Raises:
        IndexError: it extends beyond the end of `data`.
        ValueError: not a struct.
    """
    fields: dict[int, Any] = {}
    number = 0
    if depth > _MAX_DEPTH:
        raise ValueError("a struct that is nested too deeply")
    while (byte := data[position]) != 0:
        position += 1
        kind, step = byte & 15, byte >> 4
        if step:
            number += step
        else:
            number, position = _signed(data, position)
        if number in fields:
            raise ValueError("duplicate field in a struct")
        if kind in (_TRUE, _FALSE):  # a field's is in its kind
            fields[number] = kind == _TRUE
        else:
            fields[number], position = _value(data, position, kind, depth)
    return fields, position + 1


def _value(data: bytes, position: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        return _signed(data, position)
    if kind in (_TRUE, _FALSE, _BYTE):
        return data[position], position + 1
    if kind == _BINARY:
        length, position = _unsigned(data, position)
        if position + length > len(data):
            raise IndexError
        return data[position : position + length], position + length
    if kind == _STRUCT:
        return read_struct(data, position, depth + 1)
    if kind in (_LIST, _SET):
        return _list(data, position, depth)
    if kind == _DOUBLE:
        if position + 8 > len(data):
            raise IndexError
        return None, position + 8
    raise ValueError("a struct with a field of no known kind")


def _list(data: bytes, position: int, depth: int) -> tuple[list[Any], int]:
    if depth > _MAX_DEPTH:
        raise ValueError("a list that is nested too deeply")
    length, kind = data[position] >> 4, data[position] & 15
    position += 1
    if length == 15:
        length, position = _unsigned(data, position)
    if length > len(data) - position:  # an element has a byte at least
        raise IndexError
    values = []
    for _ in range(length):
        value, position = _value(data, position, kind, depth + 1)
        values.append(value)
    return values, position


def _unsigned(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number that does not end")


def _signed(data: bytes, position: int) -> tuple[int, int]:
    value, position = _unsigned(data, position)
    return (value >> 1) ^ -(value & 1), position


MAX_UNPACKED = 128 << 20  # bytes, whatever the size of the file
MAX_EXPANSION = 100  # times the size of the file, beyond that
_BYTES_PER_VALUE = 16  # levels, offsets and the value itself, where it is not in the page as such
_MAX_FOOTER = 16 << 20  # bytes: of a hundred thousand row groups

_DATA_PAGE, _INDEX_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = range(4)
_HEADER_OF = {_DATA_PAGE: 5, _DICTIONARY_PAGE: 7, _DATA_PAGE_V2: 8}  # field of the page's own part
_TYPE, _UNPACKED, _PACKED, _CRC = 1, 2, 3, 4
_NUM_VALUES, _ENCODING = 1, 2
_ENCODING_V2 = 4
_RLE, _DELTA_BYTE_ARRAY = 3, 7
_HEADER_BYTES = (1 << 9, 1 << 17)  # one with statistics of long strings needs more than the first


class Column(NamedTuple):
    """One column of a row group: its name, its values, where its pages are, and its
    unpacked size, as recorded in the footer."""

    name: str
    num_values: int
    start: int
    end: int
    has_dictionary: bool
    unpacked: int


class RowGroup(NamedTuple):
    """One row group."""

    num_rows: int
    columns: list[Column]


def read_footer(file: BinaryIO) -> list[RowGroup]:
    """The row groups of an open Parquet file.

    Raises:
        ValueError: no such footer, or impossible offsets or counts.
    """
    size = file.seek(0, os.SEEK_END)
    if size < 12:
        raise ValueError(f"{size} bytes, too few for a Parquet file")
    file.seek(size - 8)
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != b"PAR1" or not 0 < length <= min(size - 12, _MAX_FOOTER):
        raise ValueError("no footer of a Parquet file at its end")
    file.seek(size - 8 - length)
    return list(_row_groups(file.read(length), size))


@functools.lru_cache(maxsize=2)  # a file that is read in parts is opened for each of them
def _row_groups(data: bytes, size: int) -> tuple[RowGroup, ...]:
    try:
        footer, _ = read_struct(data)
        groups = [_row_group(group, size) for group in footer[4]]
        num_rows = footer[3]
    except (IndexError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("a damaged footer") from None
    if sum(group.num_rows for group in groups) != num_rows:
        raise ValueError("the rows of its row groups are not those of its footer")
    return tuple(groups)


def _row_group(group: dict[int, Any], size: int) -> RowGroup:
    columns = [_column(chunk, size) for chunk in group[1]]
    num_rows = group[3]
    if not all(0 <= num_rows <= column.num_values for column in columns):
        raise ValueError(f"{num_rows} rows in its footer")
    return RowGroup(num_rows, columns)


def _column(chunk: dict[int, Any], size: int) -> Column:
    about = chunk[3]
    name = b".".join(about[3]).decode("utf-8", "replace")
    num_values, start, dictionary = about[5], about[9], about.get(11)
    if about[6] < 0:
        raise ValueError(f"the column {name} has {about[6]} bytes")
    if 1 in chunk:
        raise ValueError(f"the column {name} is said to be in another file")
    if dictionary is not None and 0 < dictionary < start:
        start = dictionary
    end = start + about[7]
    if num_values and not 0 < start <= end <= size:
        raise ValueError(f"a column at bytes {start} to {end} of {size}")
    return Column(name, num_values, start, end, dictionary is not None, about[6])


def max_unpacked(file: BinaryIO) -> int:
    """The bytes that a file may make, unpacked."""
    return max(MAX_UNPACKED, MAX_EXPANSION * os.fstat(file.fileno()).st_size)


def with_dictionaries(groups: Iterable[RowGroup]) -> list[str]:
    """Columns of which a row group has a dictionary: each of its strings may stand for many.

    Strings of others are in pages as such. Read these as dictionaries, and look at what they make
    before they are made that.
    """
    return sorted({c.name for group in groups for c in group.columns if c.has_dictionary})


def check_pages(file: BinaryIO, groups: Iterable[RowGroup], *, ours: bool = False) -> None:
    """Measure row groups of an open Parquet file, which are about to be read together.

    Args:
        ours: pages must be such as fastw2v writes, which are harder to damage unseen: with a
            checksum each and no dictionaries.

    Raises:
        ValueError: a size or count that does not fit the file, or the rest of it; more unpacked
            than 128 MiB and a hundred times the file.
    """
    left = max_unpacked(file)
    for group in groups:
        for column in group.columns:
            left -= _BYTES_PER_VALUE * column.num_values
            if left >= 0:
                left -= _unpacked_size(file, column, left, ours=ours)
            if left < 0:
                raise ValueError("it claims to be far larger, unpacked, than a file of its size is")


def _unpacked_size(file: BinaryIO, column: Column, left: int, *, ours: bool) -> int:
    """The unpacked bytes of the pages of one column of a row group; it may stop beyond `left`."""
    if not column.num_values:  # there are no pages to read
        return 0
    start, end = column.start, column.end
    values = unpacked = 0
    while start < end and unpacked <= left and (ours or values < column.num_values):
        header, length = _page_header(file, start, end)
        start += length + header[_PACKED]
        if start > end:
            raise ValueError("a page that is longer than its column")
        unpacked += header[_UNPACKED]
        values += _values_of(header, ours=ours)
        if header[_TYPE] == _DICTIONARY_PAGE and not column.has_dictionary:
            raise ValueError("a dictionary that its footer does not know")
    if unpacked <= left and (values != column.num_values or (ours and start != end)):
        raise ValueError(f"{values} values in its pages, {column.num_values} in its footer")
    return unpacked


def _values_of(header: dict[int, Any], *, ours: bool) -> int:
    """How many values a page holds, proven to be of a kind that can be measured."""
    kind = header[_TYPE]
    if kind == _INDEX_PAGE and not ours:
        return 0
    part = header.get(_HEADER_OF.get(kind, -1))
    if not isinstance(part, dict) or not isinstance(part.get(_NUM_VALUES), int):
        raise ValueError("a page header of no known kind")
    encoding = part.get(_ENCODING_V2 if kind == _DATA_PAGE_V2 else _ENCODING)
    if encoding == _DELTA_BYTE_ARRAY:  # its strings repeat each other's beginnings: no size is told
        raise ValueError("the encoding DELTA_BYTE_ARRAY is not read; write it PLAIN")
    if ours:
        levels = [part.get(3, _RLE), part.get(4, _RLE)]
        if kind != _DATA_PAGE or _CRC not in header or levels != [_RLE, _RLE]:
            raise ValueError("a page of another kind than fastw2v writes")
    if part[_NUM_VALUES] < 0:
        raise ValueError("a negative number of values")
    return 0 if kind == _DICTIONARY_PAGE else int(part[_NUM_VALUES])


def _page_header(file: BinaryIO, start: int, end: int) -> tuple[dict[int, Any], int]:
    """The header at `start`, fields by number, and its length."""
    for most in _HEADER_BYTES:
        file.seek(start)
        data = file.read(min(most, end - start))
        try:
            header, length = read_struct(data)
        except IndexError:  # it goes on behind what was read
            continue
        sizes = [header.get(field) for field in (_TYPE, _UNPACKED, _PACKED)]
        if not all(type(number) is int and number >= 0 for number in sizes):
            raise ValueError("a page header without its sizes")
        return header, length
    raise ValueError("unterminated page header")
