"""Structs in Thrift's compact protocol, as Parquet has them: read as numbers, bytes and lists."""

from __future__ import annotations

from typing import Any

_MOST_DEPTH = 12
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def read_struct(data: bytes, position: int = 0, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The struct at `position`: its fields by number, and where it ends.

    Raises:
        IndexError: it goes on behind the end of `data`.
        ValueError: it is none.
    """
    fields: dict[int, Any] = {}
    number = 0
    if depth > _MOST_DEPTH:
        raise ValueError("a struct that is nested too deeply")
    while (byte := data[position]) != 0:
        position += 1
        kind, step = byte & 15, byte >> 4
        if step:
            number += step
        else:
            number, position = _signed(data, position)
        if number in fields:
            raise ValueError("a struct with a field twice")
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
    if depth > _MOST_DEPTH:
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
