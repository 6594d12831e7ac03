"""The texts of JSON Lines: one field of each object.

Arrow parses whole blocks. A block that it rejects is parsed line by line with `json`, which also
gives the line and the reason of an error.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from fastw2v.errors import DataError, UsageError
from fastw2v.text.config import TextConfig
from fastw2v.text.inputs import ReadCounts

LONGEST_LINE = 1 << 28  # bytes
_BLANK = b" \t\r\n"
_SHOWN_COLUMNS = 20


class JsonLines:
    """Takes the texts out of blocks of whole lines.

    Args:
        config: `text_column`, and whether bad lines are refused.
        shown: what messages call the file.
        stats: gets `bad_json_lines` and `null_texts` added.
    """

    def __init__(self, config: TextConfig, shown: str, stats: ReadCounts) -> None:
        self._column = str(config.text_column)
        self._strict = config.errors == "strict"
        self._shown, self._stats = shown, stats
        self._schema = _schema_for(self._column)
        self.lines = 0  # gone through so far

    def texts(self, block: bytes) -> pa.Array:
        """The texts of a block, large_binary (n,), without nulls.

        Raises:
            BadLine: a line is not an object with a text, and `errors` is "strict".
        """
        lines = block.count(b"\n") + (not block.endswith(b"\n"))
        texts = self._parsed(block, lines)
        if texts is None:
            texts = self._line_by_line(block)
        self.lines += lines
        self._stats.null_texts += texts.null_count
        return texts.drop_null()

    def _parsed(self, block: bytes, lines: int) -> pa.Array | None:
        """A text or null for each line; None if Arrow cannot decide."""
        try:
            table = pyarrow.json.read_json(
                pa.BufferReader(block),
                read_options=pyarrow.json.ReadOptions(
                    use_threads=False, block_size=max(1, len(block))
                ),
                parse_options=pyarrow.json.ParseOptions(
                    explicit_schema=self._schema, unexpected_field_behavior="ignore"
                ),
            )
        except pa.ArrowInvalid:
            return None
        # Blank lines, two objects on a line or one on two lines make another number of rows.
        if table.num_rows != lines:
            return None
        found = [
            _nested(table[field.name], self._column if field.name != self._column else field.name)
            for field in self._schema
        ]
        whole = found[0] if len(found) == 1 else pc.coalesce(*found)
        return pa.concat_arrays([chunk.cast(pa.large_binary()) for chunk in whole.chunks])

    def _line_by_line(self, block: bytes) -> pa.Array:
        texts: list[bytes | None] = []
        for number, line in enumerate(block.split(b"\n"), self.lines + 1):
            if not line.strip(_BLANK):
                continue
            try:
                text = field_of(_loaded(line), self._column)
                if text is not None and not isinstance(text, str):
                    raise ValueError(f"{self._column} is a {type(text).__name__}, not a string")
            except (ValueError, RecursionError) as error:
                if self._strict:
                    raise BadLine(number, str(error)) from None
                self._stats.bad_json_lines += 1
            else:
                texts.append(None if text is None else _encoded(text))
        return pa.array(texts, pa.large_binary())


class BadLine(DataError):  # noqa: N818 - named by what was found
    """A line of JSON Lines that cannot be read; `number` counts from 1 in its segment."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"line {number}: {reason}")
        self.number, self.reason = number, reason


def _schema_for(column: str) -> pa.Schema:
    """For Arrow: the field of this very name, and the one that a dotted path leads to."""
    fields = [pa.field(column, pa.string())]
    if "." in column:
        *outer, inner = column.split(".")
        field = pa.field(inner, pa.string())
        for name in reversed(outer):
            field = pa.field(name, pa.struct([field]))
        fields.append(field)
    return pa.schema(fields)


def _nested(column: pa.ChunkedArray, path: str) -> pa.ChunkedArray:
    if not pa.types.is_struct(column.type):
        return column
    return pc.struct_field(column, path.split(".")[1:])


def _loaded(line: bytes) -> dict[str, Any]:
    value = json.loads(line.decode("utf-8", "surrogateescape"))
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def field_of(value: dict[str, Any], column: str) -> Any:
    """The value of a field, by its name or a dotted path; None where it is not."""
    found: Any = value.get(column)
    if found is None and "." in column:
        found = value
        for name in column.split("."):
            found = found.get(name) if isinstance(found, dict) else None
    return found


def _encoded(text: str) -> bytes:
    """UTF-8 with undecodable bytes restored; lone surrogates become invalid bytes."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def check_column(head: bytes, config: TextConfig, shown: str) -> None:
    """Check, by the first lines of a file, that it has objects, and the requested column.

    Raises:
        UsageError: names the available columns. DataError: no line is an object.
    """
    columns: dict[str, None] = {}
    bad = 0
    for line in head[: head.rfind(b"\n") + 1].split(b"\n"):
        if not line.strip(_BLANK):
            continue
        try:
            value = _loaded(line)
        except (ValueError, RecursionError):
            bad += 1
            continue
        if config.text_column is not None and (
            config.text_column in value or field_of(value, config.text_column) is not None
        ):
            return
        strings = [name for name in value if isinstance(value[name], str)]
        columns.update(dict.fromkeys([*strings, *value]))
    if columns:
        raise missing_column(config, shown, list(columns))
    if bad or config.text_column is None:
        raise DataError(f"{shown}: not JSON Lines: no JSON object in its first lines")


def missing_column(config: TextConfig, shown: str, columns: list[str]) -> UsageError:
    """The error for a column that is not named, or not there."""
    there = ", ".join(columns[:_SHOWN_COLUMNS]) + (", ..." if len(columns) > _SHOWN_COLUMNS else "")
    if config.column is None:
        return UsageError(f"{shown}: name the column to read with `text_column`: {there}")
    return UsageError(f"{shown}: has no column {config.column}; it has: {there}")
