"""Vector files: the suffix chooses the format, for writing and for reading.

    .bin      word2vec binary                      float32 exact
    .txt      word2vec text                        shortest decimals that read back exactly
    .vec      fastText text, the same layout
    .parquet  token, count, vector                 float32 exact, holds any word
    .npy      the matrix, memory-mappable; NAME.vocab.tsv (token, count) beside it

Rows are in id order: the most frequent word first, but those by which a vocabulary has grown last.
Writes are streamed, atomic, and refuse to replace a file unless forced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastw2v.errors import DataError, UsageError
from fastw2v.io import storage
from fastw2v.io.parquet_check import check_pages, max_unpacked, read_footer, with_dictionaries
from fastw2v.io.untrusted import open_regular, read_matrix
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
        raise UsageError(f"{path}: exists already; choose another name, or replace it with `force`")


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
        DataError: truncated, damaged or foreign content; a word that comes twice; far larger than
            its file. The formats but Parquet have no checksums: of damage to the bits of a number
            or of a letter nothing can be seen.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        with open_regular(path) as file:
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
        raise DataError(f"{path}: the word {first_duplicate(table.tokens)!r} occurs twice in it")
    return table


def shape_of(path: Path) -> tuple[int, int]:
    """(words, dimensions) of a vector file, from its header if it has one.

    Raises:
        UsageError, DataError: as `read_vectors`.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        with open_regular(path) as file:
            head = file.read(word2vec_format.LONGEST_HEADER)
        if head.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
            words, dim = _parquet_shape(path)
        elif head.startswith(b"\x93NUMPY") or path.suffix.lower() == ".npy":
            words, dim = read_matrix(path, memory_map=True).shape
        else:
            _format_of(path)
            words, dim = word2vec_format.shape_in(path, head)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    return int(words), int(dim)


def _write_parquet(temporary: Path, table: VectorTable) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    dim = table.vectors.shape[1]
    schema = pa.schema(
        {"token": pa.string(), "count": pa.int64(), "vector": pa.list_(pa.float32(), dim)}
    )
    step = max(1, _PARQUET_ROW_GROUP_VALUES // dim)
    with pq.ParquetWriter(
        temporary, schema, compression="zstd", use_dictionary=False, write_page_checksum=True
    ) as writer:
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
    import pyarrow.parquet as pq

    from fastw2v.store.vocabulary import PARQUET_ERRORS

    try:
        with open_regular(path) as raw:
            groups = read_footer(raw)
            check_pages(raw, groups)
            raw.seek(0)
            with pq.ParquetFile(
                raw,
                pre_buffer=False,  # see `parquet_check`
                page_checksum_verification=True,
                read_dictionary=[name for name in with_dictionaries(groups) if name == "token"],
            ) as file:
                dim = _dim_of_schema(path, file.schema_arrow)
                return _read_parquet_rows(path, file, dim, max_unpacked(raw))
    except PARQUET_ERRORS as error:
        reason = str(error).split("\n")[0][:160]
        raise DataError(f"{path}: not a readable Parquet file ({reason})") from error


def _parquet_shape(path: Path) -> tuple[int, int]:
    """(words, dimensions); all is read where the columns do not tell."""
    import pyarrow.parquet as pq

    from fastw2v.store.vocabulary import PARQUET_ERRORS

    try:
        with open_regular(path) as raw:
            metadata = pq.read_metadata(raw)
            dim = _dim_of_schema(path, metadata.schema.to_arrow_schema())
    except PARQUET_ERRORS as error:
        reason = str(error).split("\n")[0][:160]
        raise DataError(f"{path}: not a readable Parquet file ({reason})") from error
    return (metadata.num_rows, dim) if dim is not None else _read_parquet(path).vectors.shape


def _dim_of_schema(path: Path, schema) -> int | None:  # type: ignore[no-untyped-def]
    """The dimensions that the columns tell, None where they are lists of any length."""
    import pyarrow as pa

    expected = "expected the columns token (string), count, vector (float32 list)"
    if not {"token", "vector"} <= set(schema.names) or len(set(schema.names)) < len(schema.names):
        raise DataError(f"{path}: {expected}, found {', '.join(schema.names)[:200]}")
    kind, token = schema.field("vector").type, schema.field("token").type
    fixed = pa.types.is_fixed_size_list(kind)
    if not (fixed or pa.types.is_list(kind)) or kind.value_type != pa.float32():
        raise DataError(f"{path}: {expected}, found vector of type {kind!s:.80}")
    if pa.types.is_dictionary(token):
        token = token.value_type
    if token not in (pa.string(), pa.large_string()):
        raise DataError(f"{path}: {expected}, found another type of token")
    if "count" in schema.names and not pa.types.is_integer(schema.field("count").type):
        raise DataError(f"{path}: {expected}, found count of another type")
    return kind.list_size if fixed else None


def _read_parquet_rows(path: Path, file, dim: int | None, most: int) -> VectorTable:  # type: ignore[no-untyped-def]
    words, filled = file.metadata.num_rows, 0
    has_counts = "count" in file.schema_arrow.names
    tokens: list[str] = []
    counts, vectors = np.zeros(0, dtype=np.int64), None
    columns = ["token", "vector", "count"] if has_counts else ["token", "vector"]
    for batch in file.iter_batches(batch_size=1 << 14, columns=columns):
        batch.validate(full=True)
        token, vector = batch.column("token"), batch.column("vector")
        values = vector.flatten()
        if token.null_count or vector.null_count or values.null_count:
            raise DataError(f"{path}: a missing word or vector after row {filled}")
        if vectors is None:
            dim = len(values) // batch.num_rows if dim is None else dim
            if not 0 < dim <= word2vec_format.MAX_DIMENSIONS or 4 * dim * words > most:
                raise DataError(f"{path}: {words} vectors of {dim} dimensions cannot be in it")
            counts = np.zeros(words, dtype=np.int64)
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
        tokens += _tokens_of(path, token)
        filled = rows.stop
    if vectors is None or filled != words:
        raise DataError(f"{path}: {filled} vectors in it, {words} in its footer")
    return VectorTable(tokens, vectors, counts if has_counts else None)


def _tokens_of(path: Path, column) -> list[str]:  # type: ignore[no-untyped-def]
    """The words of a column; of a dictionary each may stand for one row, for each word comes once:
    so that a long one cannot be made many."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        if pc.count_distinct(column.indices).as_py() != len(column):
            raise DataError(f"{path}: a word occurs twice in it")
        column = column.dictionary_decode()
    return list(column.to_pylist())


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
    vectors = read_matrix(path, memory_map=True)
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
        with open_regular(path) as file:
            lines = file.read().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; the file is damaged") from error
    rows = [line.split("\t") for line in lines[1:-1]]
    if lines[0] != _TSV_HEADER or lines[-1] or any(len(row) != 2 for row in rows):
        raise DataError(
            f"{path}: expected the line {_TSV_HEADER!r}, then a word and its count each"
        )
    tokens = [row[0] for row in rows]
    if not any(row[1] for row in rows):
        return tokens, None
    for number, row in enumerate(rows, start=2):
        if not (row[1].isascii() and row[1].isdecimal() and len(row[1]) < 19):
            raise DataError(f"{path}: line {number}: {row[1][:60]!r} is not a count")
    return tokens, np.array([int(row[1]) for row in rows], dtype=np.int64)
