"""Vector files: the suffix chooses the format, for writing and for reading.

    .bin      word2vec binary                      float32 exact
    .txt      word2vec text                        shortest decimals that read back exactly
    .vec      fastText text, the same layout
    .parquet  token, count, vector                 float32 exact, holds any word
    .npy      the matrix, memory-mappable; NAME.vocab.tsv (token, count) beside it

Rows are in id order. Writes are streamed, atomic, and refuse to replace a file unless forced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastw2v import storage
from fastw2v.errors import DataError, UsageError
from fastw2v.vectors import word2vec_format

SUFFIXES = (".bin", ".txt", ".vec", ".parquet", ".npy")
_PARQUET_ROW_GROUP_VALUES = 1 << 22
_NPY_BLOCK_VALUES = 1 << 20
_TSV_HEADER = "token\tcount"


class VectorTable(NamedTuple):
    """What a vector file holds: words (id order), vectors (words, dim) float32, counts or None."""

    tokens: list[str]
    vectors: np.ndarray
    counts: np.ndarray | None


def first_duplicate(tokens: Sequence[str]) -> str | None:
    """The first token that comes a second time, None if all differ."""
    seen: set[str] = set()
    for token in tokens:
        if token in seen:
            return token
        seen.add(token)
    return None


def vocabulary_beside(path: Path) -> Path:
    """The vocabulary file of a `.npy` matrix: `NAME.vocab.tsv`."""
    return path.with_suffix(".vocab.tsv")


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(
            f"{path}: the suffix {suffix!r} names no vector format; use {', '.join(SUFFIXES)}"
        )
    return suffix


def check_output(path: Path, force: bool) -> None:
    """Refuse an output that is there already.

    Raises:
        UsageError: it exists and `force` is false, or it is a directory.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a directory; name a file")
    if not force and (path.exists() or path.is_symlink()):
        raise UsageError(f"{path}: exists already; choose another name, or replace it with --force")


def check_writable(path: Path, tokens: Sequence[str], force: bool) -> str:
    """The suffix of `path`, after all that can be refused before a byte is written.

    Raises:
        UsageError: an unknown suffix, an existing output, or a word the format cannot hold.
    """
    suffix = _format_of(path)
    check_output(path, force)
    if suffix == ".npy":
        check_output(vocabulary_beside(path), force)
        _check_tsv_tokens(path, tokens)
    elif suffix != ".parquet":
        word2vec_format.check_tokens(path, tokens)
    try:
        "\n".join(tokens).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{path}: a word is not valid Unicode ({error.reason})") from None
    return suffix


def _check_tsv_tokens(path: Path, tokens: Sequence[str]) -> None:
    for row, token in enumerate(tokens):
        if any(mark in token for mark in "\t\n\r"):
            raise UsageError(
                f"{path}: word {row}, {token!r}, has a tab or line end and cannot stand in the "
                ".vocab.tsv file; write to a .parquet file, which holds any word"
            )


def write_vectors(path: Path, table: VectorTable, *, force: bool = False) -> None:
    """Write `table` to `path` in the format of its suffix.

    Raises:
        UsageError: as `check_writable`.
        ResourceError: the disk is full or not writable.
    """
    suffix = check_writable(path, table.tokens, force)
    with contextlib.ExitStack() as stack:
        vocabulary = None
        if suffix == ".npy":  # the outer block, so renamed last: both are whole by then
            vocabulary = stack.enter_context(storage.atomic_file(vocabulary_beside(path)))
        temporary = stack.enter_context(storage.atomic_file(path))
        if suffix == ".parquet":
            _write_parquet(temporary, table)
        elif vocabulary is not None:
            _write_npy(temporary, table.vectors)
            _write_tsv(vocabulary, table)
        elif suffix == ".bin":
            word2vec_format.write_binary(temporary, table.tokens, table.vectors)
        else:
            word2vec_format.write_text(temporary, table.tokens, table.vectors)


def read_vectors(path: Path) -> VectorTable:
    """Read a vector file; Parquet and npy are known by their content, the rest by suffix.

    Raises:
        UsageError: no such file, or no suffix that names a format.
        DataError: truncated, damaged or foreign content; a word that comes twice.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        with open(path, "rb") as file:
            magic = file.read(8)
        if magic.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
            table = _read_parquet(path)
        elif magic.startswith(b"\x93NUMPY") or path.suffix.lower() == ".npy":
            table = _read_npy(path)
        elif _format_of(path) == ".bin":
            table = VectorTable(*word2vec_format.read_binary(path), None)
        else:
            table = VectorTable(*word2vec_format.read_text(path), None)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(set(table.tokens)) != len(table.tokens):
        raise DataError(f"{path}: the word {first_duplicate(table.tokens)!r} comes twice in it")
    return table


def _write_parquet(temporary: Path, table: VectorTable) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    dim = table.vectors.shape[1]
    schema = pa.schema(
        {"token": pa.string(), "count": pa.int64(), "vector": pa.list_(pa.float32(), dim)}
    )
    step = max(1, _PARQUET_ROW_GROUP_VALUES // dim)
    with pq.ParquetWriter(temporary, schema, compression="zstd", use_dictionary=False) as writer:
        for start in range(0, len(table.tokens), step):
            rows = slice(start, start + step)
            block = np.ascontiguousarray(table.vectors[rows])
            counts = [None] * len(block) if table.counts is None else table.counts[rows]
            columns = [
                pa.array(table.tokens[rows], type=pa.string()),
                pa.array(counts, type=pa.int64()),
                pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), dim),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))


def _read_parquet(path: Path) -> VectorTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    expected = "expected the columns token (string), count, vector (float32 list)"
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            if not {"token", "vector"} <= set(schema.names):
                raise DataError(f"{path}: {expected}, found {', '.join(schema.names)[:200]}")
            kind = schema.field("vector").type
            fixed = pa.types.is_fixed_size_list(kind)
            if not (fixed or pa.types.is_list(kind)) or kind.value_type != pa.float32():
                raise DataError(f"{path}: {expected}, found vector of type {kind}")
            if schema.field("token").type not in (pa.string(), pa.large_string()):
                raise DataError(f"{path}: {expected}, found another type of token")
            return _read_parquet_rows(path, file, kind.list_size if fixed else None)
    except pa.ArrowException as error:
        reason = str(error).split("\n")[0][:160]
        raise DataError(f"{path}: not a readable Parquet file ({reason})") from error


def _read_parquet_rows(path: Path, file, dim: int | None) -> VectorTable:  # type: ignore[no-untyped-def]
    words, filled = file.metadata.num_rows, 0
    has_counts = "count" in file.schema_arrow.names
    tokens: list[str] = []
    counts = np.zeros(words, dtype=np.int64)
    vectors = None if dim is None else np.empty((words, dim), dtype=np.float32)
    columns = ["token", "vector", "count"] if has_counts else ["token", "vector"]
    for batch in file.iter_batches(batch_size=1 << 14, columns=columns):
        token, vector = batch.column("token"), batch.column("vector")
        values = vector.flatten()
        if token.null_count or vector.null_count or values.null_count:
            raise DataError(f"{path}: a missing word or vector after row {filled}")
        if vectors is None:
            dim = len(values) // batch.num_rows
            vectors = np.empty((words, dim), dtype=np.float32)
        ends = vector.value_lengths().to_numpy()
        if (ends != dim).any():
            raise DataError(f"{path}: vectors of different lengths after row {filled}")
        rows = slice(filled, filled + batch.num_rows)
        vectors[rows] = values.to_numpy(zero_copy_only=False).reshape(-1, vectors.shape[1])
        if has_counts and batch.column("count").null_count:
            has_counts = False
        elif has_counts:
            counts[rows] = batch.column("count").to_numpy()
        tokens += token.to_pylist()
        filled = rows.stop
    if vectors is None or not len(vectors):
        raise DataError(f"{path}: no vectors in it")
    return VectorTable(tokens, vectors, counts if has_counts else None)


def _write_npy(temporary: Path, vectors: np.ndarray) -> None:
    """What `np.save` writes, whose own error on a full disk does not say that it is full."""
    header = {"descr": "<f4", "fortran_order": False, "shape": vectors.shape}
    step = max(1, _NPY_BLOCK_VALUES // max(1, vectors.shape[1]))
    with open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(vectors), step):
            file.write(np.ascontiguousarray(vectors[start : start + step], dtype="<f4").data)


def _write_tsv(temporary: Path, table: VectorTable) -> None:
    counts = [""] * len(table.tokens) if table.counts is None else table.counts.tolist()
    with open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(_TSV_HEADER + "\n")
        file.writelines(f"{t}\t{n}\n" for t, n in zip(table.tokens, counts, strict=True))


def _read_npy(path: Path) -> VectorTable:
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"{path}: not a readable .npy matrix ({error})") from error
    if vectors.dtype != np.float32 or vectors.ndim != 2:
        raise DataError(
            f"{path}: expected a float32 matrix, found {vectors.dtype} of shape {vectors.shape}"
        )
    tokens, counts = _read_tsv(vocabulary_beside(path))
    if len(tokens) != len(vectors):
        raise DataError(
            f"{path}: {len(vectors)} rows, but {len(tokens)} words in {vocabulary_beside(path)}"
        )
    return VectorTable(tokens, vectors, counts)


def _read_tsv(path: Path) -> tuple[list[str], np.ndarray | None]:
    if not path.is_file():
        raise DataError(f"{path}: missing; a .npy matrix needs its vocabulary beside it")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; the file is damaged") from error
    rows = [line.split("\t") for line in lines[1:-1]]
    if lines[0] != _TSV_HEADER or lines[-1] or any(len(row) != 2 for row in rows):
        raise DataError(
            f"{path}: expected the line {_TSV_HEADER!r}, then a word and its count each"
        )
    tokens = [row[0] for row in rows]
    if not rows or not all(row[1].isdecimal() and len(row[1]) < 19 for row in rows):
        return tokens, None
    return tokens, np.array([int(row[1]) for row in rows], dtype=np.int64)
