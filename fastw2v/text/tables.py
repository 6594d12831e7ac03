"""A column of Parquet files, and of the Arrow streams that Hugging Face `datasets` saves.

Texts become lines, lists of tokens become codes (`store.encoder`). Both formats are read in
consecutive ranges of bytes, as text is, and hashed like text: of Parquet the row groups, of a
stream the record batches that begin in a range.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from fastw2v.errors import DataError, UsageError
from fastw2v.io.parquet_check import RowGroup, read_footer
from fastw2v.text.config import TextConfig
from fastw2v.text.inputs import LOCAL, PARQUET, InputFile, ReadCounts, Segment
from fastw2v.text.json_lines import missing_column
from fastw2v.text.streams import RangeReader, open_bytes

CodesOfTokens = Callable[[list[str]], list[int]]


def text_rows(batches: Iterable[pa.Array], stats: ReadCounts) -> Iterator[pa.Array]:
    """Texts as large_binary (n,), without nulls, which are counted as `null_texts`."""
    for batch in batches:
        array = batch.dictionary_decode() if pa.types.is_dictionary(batch.type) else batch
        stats.null_texts += array.null_count
        yield array.cast(pa.large_binary()).drop_null()


def as_lines(texts: Iterable[pa.Array], config: TextConfig) -> Iterator[bytes]:
    """Each text a line, its own line ends made spaces.

    With a document separator the line ends stay, and each text ends with the separator: so
    `DocumentJoiner` cuts within texts and between them.
    """
    separator = config.document_separator
    for rows in texts:
        if not len(rows):
            continue
        if separator is None:
            rows = pc.replace_substring(rows, b"\n", b" ")
            end = b"\n"
        else:
            end = b"\n" + separator.encode() + b"\n"
        whole = pa.LargeListArray.from_arrays(pa.array([0, len(rows)], pa.int64()), rows)
        yield pc.binary_join(whole, pa.scalar(end, rows.type))[0].as_buffer().to_pybytes() + end


class TokenRows:
    """Makes codes (`fastw2v.store.encoder`) of lists of tokens, every list a line.

    Args:
        codes_of_tokens: gives the codes of tokens.
        names: the tokens of integer ids; None: the token of an id is its decimal number.
        stats: gets `null_texts` (lists) and `null_tokens` (null or empty ones in lists) added.
        shown: what messages call the file.
    """

    def __init__(
        self,
        codes_of_tokens: CodesOfTokens,
        names: list[str] | None,
        stats: ReadCounts,
        shown: str,
    ) -> None:
        self._codes_of, self._names = codes_of_tokens, names
        self._stats, self._shown = stats, shown

    def codes_of(self, rows: pa.Array) -> np.ndarray:
        """int32 (n,): the codes of the tokens, 0 behind each list.

        Raises:
            DataError: an id that is not a row of the vocabulary, or a token that is not UTF-8.
        """
        self._stats.null_texts += rows.null_count
        rows = rows.drop_null()
        lengths = pc.list_value_length(rows).to_numpy(zero_copy_only=False).astype(np.int64)
        values = pc.list_flatten(rows)
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        indices = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        code_of = self._codes_of_tokens(values.dictionary)
        codes = code_of[indices]  # the last one stands for null
        kept = codes >= 0
        if not kept.all():
            self._stats.null_tokens += int(np.count_nonzero(~kept))
            row = np.repeat(np.arange(len(lengths)), lengths)[kept]
            lengths, codes = np.bincount(row, minlength=len(lengths)), codes[kept]
        result = np.zeros(len(codes) + len(lengths), dtype=np.int32)
        result[np.arange(len(codes)) + np.repeat(np.arange(len(lengths)), lengths)] = codes
        return result

    def _codes_of_tokens(self, dictionary: pa.Array) -> np.ndarray:
        """int32 (different tokens + 1,); -1 for those that are null or empty, and at the end."""
        try:
            tokens = self._names_of(dictionary)
        except (UnicodeDecodeError, pa.ArrowInvalid) as error:
            raise DataError(f"{self._shown}: a token that is not UTF-8 ({error})") from error
        there = np.flatnonzero([*map(bool, tokens)])
        codes = np.full(len(tokens) + 1, -1, dtype=np.int32)
        codes[there] = self._codes_of([token for token in tokens if token])
        return codes

    def _names_of(self, dictionary: pa.Array) -> list[str | None]:
        if not pa.types.is_integer(dictionary.type):
            names: list[str | None] = dictionary.cast(pa.large_string()).to_pylist()
            return names
        ids = dictionary.to_pylist()
        if self._names is None:
            return [None if token_id is None else str(token_id) for token_id in ids]
        most = len(self._names) - 1
        for token_id in ids:
            if token_id is not None and not 0 <= token_id <= most:
                raise DataError(
                    f"{self._shown}: ids must be rows of the vocabulary, 0..{most}; got {token_id}"
                )
        return [None if token_id is None else self._names[token_id] for token_id in ids]


_IN_MEMORY = 1 << 28  # bytes; larger row groups are hashed and then read again
_MAX_ROWS = 1 << 16
_BATCH_BYTES = 1 << 20
_BATCH_TOKENS = 1_000_000


@contextlib.contextmanager
def reporting_damage(shown: str) -> Iterator[None]:
    """Name the file in errors of Arrow about damaged data.

    Raises:
        DataError: it is damaged. OSError: the system cannot read it.
    """
    try:
        yield
    except (pa.ArrowException, EOFError, OSError) as error:
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise
        reason = " ".join(str(error).split())
        raise DataError(f"{shown}: truncated or damaged ({reason})") from error


def check_column(file: InputFile, config: TextConfig) -> None:
    """Check that a file has the requested column, of a supported type.

    Raises:
        UsageError: names the columns there are. ArrowInvalid, OSError: damaged.
    """
    with open_bytes(file, sequential=False) as source:
        if file.kind == PARQUET:
            schema = pq.ParquetFile(source, pre_buffer=False).schema_arrow
        else:
            schema = pa.ipc.open_stream(pa.PythonFile(source, mode="r")).schema
    leaves = list(_leaves(schema))
    kinds = {name: _use_of(kind) for name, kind in leaves}
    readable = [name for name, use in kinds.items() if use] or list(kinds)
    if config.column is None:
        listed = ", ".join(f"{kinds[name]} {name}" for name in readable[:20] if kinds[name])
        raise UsageError(
            f"{file.shown}: name the column to read: {listed or 'no column has a supported type'}"
        )
    if config.column not in kinds:
        raise missing_column(config, file.shown, readable)
    if kinds[config.column] != config.column_flag:
        kind = dict(leaves)[config.column]
        use = f"; give it as {kinds[config.column]}" if kinds[config.column] else ""
        raise UsageError(f"{file.shown}: {config.column_flag} {config.column} has type {kind}{use}")


def _leaves(schema: Any, prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """(dotted name, type) of all columns, those within structs too."""
    for field in schema:
        yield prefix + field.name, field.type
        if pa.types.is_struct(field.type):
            yield from _leaves(field.type, f"{prefix}{field.name}.")


def _use_of(kind: pa.DataType) -> str:
    """The flag that a column of this type goes with; "" for none."""
    if _is_text(kind):
        return "`text_column`"
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "`ids_column`" if _is_text(kind.value_type) or _is_integer(kind) else ""
    return ""


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    view = getattr(pa.types, "is_string_view", lambda kind: False)
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, view)
    return any(test(kind) for test in (*tests, pa.types.is_large_binary))


def _is_integer(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind.value_type))


def column_batches(segment: Segment, raw: RangeReader, config: TextConfig) -> Iterator[pa.Array]:
    """The column's rows of a segment, some at a time; `raw` reads the segment.

    Raises:
        ArrowInvalid, OSError: damaged.
    """
    column = str(config.column)
    batches = (
        _parquet(segment, raw, column) if segment.file.kind == PARQUET else _stream(segment, raw)
    )
    for batch in batches:
        array = _picked(batch, column)
        if len(array):
            yield array


def _picked(batch: pa.RecordBatch, column: str) -> pa.Array:
    if column in batch.schema.names:
        return batch.column(column)
    outer, *path = column.split(".")
    return pc.struct_field(batch.column(outer), path)


def group_bounds(file: InputFile) -> list[int]:
    """`row_group_bounds` of a Parquet file.

    Raises:
        ArrowInvalid, OSError: damaged.
    """
    with open_bytes(file, sequential=False) as source:
        return row_group_bounds(_footer(source), file.size)


def _footer(source: BinaryIO) -> list[RowGroup]:
    """`read_footer`: pyarrow ends the process over damaged statistics of a column.

    Raises:
        ArrowInvalid: damaged.
    """
    try:
        return read_footer(source)
    except ValueError as error:
        raise pa.ArrowInvalid(str(error)) from error


def row_group_bounds(groups: Sequence[RowGroup], size: int) -> list[int]:
    """Where each row group begins, from 0 on, and `size` last; one range where they are mixed."""
    starts = [min((column.start for column in group.columns), default=0) for group in groups]
    inner = starts[1:]
    mixed = any(a >= b for a, b in zip([0, *inner], [*inner, size], strict=True))
    return [0, size] if mixed else [0, *inner, size]


def _parquet(segment: Segment, raw: RangeReader, column: str) -> Iterator[pa.RecordBatch]:
    with open_bytes(segment.file, sequential=False) as source:
        size = source.seek(0, io.SEEK_END)
        metadata, footer = pq.read_metadata(source), _footer(source)
        bounds = row_group_bounds(footer, size)
        groups = [
            number for number, at in enumerate(bounds[:-1]) if segment.start <= at < segment.end
        ]
        for number in groups:
            start, end = bounds[number], bounds[number + 1]
            here = range(len(footer)) if len(bounds) == 2 else [number]
            if end - start <= _IN_MEMORY:
                file: Any = _Part(raw.read(end - start), start, size)
            else:
                left = end - start
                while left and (piece := raw.read(min(left, 1 << 20))):
                    left -= len(piece)
                file = source
            for group in here:
                rows = _rows_of(footer[group], column)
                parquet = pq.ParquetFile(file, metadata=metadata, pre_buffer=False)
                yield from parquet.iter_batches(rows, [group], [column], use_threads=False)


def _rows_of(group: RowGroup, column: str) -> int:
    """The number of rows of a batch, from the column's metadata.

    Batches of lists are larger: each different token of a batch is processed once.
    """
    own = [chunk for chunk in group.columns if f"{chunk.name}.".startswith(f"{column}.")]
    size = sum(chunk.unpacked for chunk in own)
    values = sum(chunk.num_values for chunk in own)
    wanted = group.num_rows * _BATCH_BYTES // max(1, size)
    if values > group.num_rows:
        wanted = group.num_rows * _BATCH_TOKENS // values
    return int(min(max(1, wanted), _MAX_ROWS))


class _Part(io.RawIOBase):
    """A file of `size` bytes of which only those from `start` on are there."""

    def __init__(self, data: bytes, start: int, size: int) -> None:
        super().__init__()
        self._data, self._start, self._size, self._at = memoryview(data), start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence, self._size)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        at = self._at - self._start
        part = self._data[at : at + len(buffer)] if at >= 0 else b""
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def _stream(segment: Segment, raw: RangeReader) -> Iterator[pa.RecordBatch]:
    """The record batches that begin in a segment; the schema is at the beginning of the file."""
    head = b""
    if segment.start:
        with open_bytes(segment.file, sequential=False) as source:
            pa.ipc.open_stream(pa.PythonFile(source, mode="r"))
            head = _schema_bytes(source)
    stream = pa.PythonFile(_Behind(head, raw), mode="r")
    yield from pa.ipc.open_stream(stream)


def _schema_bytes(source: Any) -> bytes:
    source.seek(0)
    file = pa.PythonFile(source, mode="r")
    pa.ipc.read_message(file)
    end = file.tell()
    source.seek(0)
    return bytes(source.read(end))


class _Behind(io.RawIOBase):
    """`head`, and behind it what `raw` reads."""

    def __init__(self, head: bytes, raw: RangeReader) -> None:
        super().__init__()
        self._head, self._raw = memoryview(head), raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._head:
            return self._raw.readinto(buffer)
        count = min(len(buffer), len(self._head))
        buffer[:count], self._head = self._head[:count], self._head[count:]
        return count


def batch_bounds(file: InputFile) -> list[int]:
    """Where the messages of a local stream begin, from 0 (the schema and first batch) to its size.

    One range where batches need dictionaries that come before them, or the file is not local.
    """
    if file.location != LOCAL:
        return [0, file.size]
    with pa.memory_map(str(file.path)) as source:
        schema = pa.ipc.read_schema(pa.ipc.read_message(source))
        if any(pa.types.is_dictionary(kind) for _, kind in _leaves(schema)):
            return [0, file.size]
        bounds = [0]
        while True:
            try:
                message = pa.ipc.read_message(source)
            except EOFError:
                break
            if message.type != "record batch":
                return [0, file.size]
            bounds.append(source.tell())
    if len(bounds) == 1:
        return [0, file.size]
    return [*bounds[:-1], file.size]
