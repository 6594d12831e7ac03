"""word2vec's binary and text files (fastText's `.vec` has the text layout), streamed both ways.

Both start with a line `WORDS DIM`. Binary rows are `word`, a space, DIM little-endian float32, a
newline; text rows are the word and DIM decimal numbers, separated by single spaces.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fastw2v.errors import DataError, UsageError
from fastw2v.io.untrusted import open_regular

_CHUNK_VALUES = 1 << 20  # values converted at a time, bounds the memory of a write
_TEXT_BLOCK = 8 << 20
_UNHOLDABLE = re.compile(r"[ \t\n\v\f\r]|^$")
LONGEST_HEADER = 64  # bytes
_HEADER = re.compile(rb"([1-9]\d{0,11}) ([1-9]\d{0,8}) ?\r?\n")
MAX_DIMENSIONS = 1 << 16  # as in training; no file of anyone's has more
_MAX_WORD_BYTES = 1 << 16
_FASTTEXT_BINARY = (793712314).to_bytes(4, "little")


def check_tokens(path: Path, tokens: Sequence[str]) -> None:
    """Refuse words that the format would break at: empty ones and those with white space.

    Raises:
        UsageError: names the first such word and the format that can hold it.
    """
    for row, token in enumerate(tokens):
        if _UNHOLDABLE.search(token):
            raise UsageError(
                f"{path}: word {row}, {token!r}, cannot stand in a word2vec file (empty, or has "
                "white space); write to a .parquet file, which holds any word"
            )


def _chunks(vectors: np.ndarray) -> Iterator[slice]:
    step = max(1, _CHUNK_VALUES // vectors.shape[1])
    for start in range(0, len(vectors), step):
        yield slice(start, min(start + step, len(vectors)))


def write_binary(temporary: Path, tokens: Sequence[str], vectors: np.ndarray) -> None:
    """Write word2vec binary to `temporary`, vectors of shape (words, dim) float32 as they are."""
    with open(temporary, "wb") as file:
        file.write(b"%d %d\n" % vectors.shape)
        for rows in _chunks(vectors):
            block = np.ascontiguousarray(vectors[rows], dtype="<f4")
            for token, vector in zip(tokens[rows], block, strict=True):
                file.write(token.encode() + b" " + vector.tobytes() + b"\n")


def write_text(temporary: Path, tokens: Sequence[str], vectors: np.ndarray) -> None:
    """Write word2vec text to `temporary`; numbers are the shortest that read back exactly."""
    import pyarrow as pa
    import pyarrow.compute as pc

    dim = vectors.shape[1]
    with open(temporary, "wb") as file:
        file.write(b"%d %d\n" % vectors.shape)
        for rows in _chunks(vectors):
            block = np.ascontiguousarray(vectors[rows])
            numbers = pa.array(block.ravel()).cast(pa.string())
            offsets = np.arange(0, block.size + 1, dim, dtype=np.int32)
            joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), numbers), " ")
            words = pa.array(tokens[rows], type=pa.string())
            lines = pc.binary_join_element_wise(words, joined, " ").to_pylist()
            file.write(("\n".join(lines) + "\n").encode())


def _read_header(path: Path, head: bytes) -> tuple[int, int, int]:
    """(words, dim, length of the header) of a file that begins with `head`."""
    match = _HEADER.match(head)
    if match:
        words, dim = int(match[1]), int(match[2])
        if dim > MAX_DIMENSIONS:
            raise DataError(
                f"{path}: {dim} dimensions in its first line, {MAX_DIMENSIONS} at most are read"
            )
        return words, dim, match.end()
    if head.startswith(_FASTTEXT_BINARY):
        raise DataError(f"{path}: a fastText model, not word vectors; read its .vec file instead")
    found = head.split(b"\n")[0][:40].decode(errors="replace")
    raise DataError(
        f"{path}: expected a first line of two numbers, words and dimensions, found "
        f"{found!r}; not a word2vec file (a GloVe file needs that line added)"
    )


def shape_in(path: Path, head: bytes) -> tuple[int, int]:
    """(words, dimensions) of the file `path`, which begins with `head`, of `LONGEST_HEADER` bytes.

    Raises:
        DataError: it has no header of a word2vec file.
    """
    words, dim, _ = _read_header(path, head)
    return words, dim


def read_binary(path: Path) -> tuple[list[str], np.ndarray]:
    """Words and vectors, shape (words, dim) float32, of a word2vec binary file.

    Raises:
        DataError: not such a file, truncated, or longer than its header says. There is no checksum
            in the format: of damage to the bits of a number or a letter nothing can be seen.
    """
    with open_regular(path) as file:
        words, dim, start = _read_header(path, file.read(LONGEST_HEADER))
        file.seek(0, 2)
        size, row_bytes = file.tell(), 4 * dim
        # Before the matrix is allocated: a damaged header must not ask for all the memory.
        if size - start < words * (row_bytes + 1):
            raise DataError(
                f"{path}: truncated: {words} words of {dim} dimensions need at least "
                f"{start + words * (row_bytes + 1)} bytes, found {size}"
            )
        vectors = np.empty((words, dim), dtype=np.float32)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            tokens, end = _read_binary_rows(path, content, start, vectors)
            if end != size:
                raise DataError(f"{path}: more bytes after the {words} words of its first line")
    return tokens, vectors


def _read_binary_rows(
    path: Path, content: mmap.mmap, start: int, vectors: np.ndarray
) -> tuple[list[str], int]:
    """Fill `vectors` from the rows at `start`; the words, and where the last row ends.

    word2vec.c writes a newline after each row, gensim none. All rows must do as the first does: so
    a byte too many or too few is seen.
    """
    tokens, row_bytes = [], 4 * vectors.shape[1]
    newline = -1
    for row in range(len(vectors)):
        space = content.find(b" ", start, start + _MAX_WORD_BYTES)
        if space < 0 or space + 1 + row_bytes > len(content):
            raise DataError(
                f"{path}: truncated: expected {len(vectors)} words, the file ends in word {row + 1}"
            )
        try:
            tokens.append(content[start:space].decode())
        except UnicodeDecodeError:
            raise DataError(f"{path}: word {row + 1} is not UTF-8; the file is damaged") from None
        if _UNHOLDABLE.search(tokens[-1]):
            raise DataError(
                f"{path}: word {row + 1}, {tokens[-1][:60]!r}, is empty or has white space; the "
                "file is damaged"
            )
        start = space + 1 + row_bytes
        vectors[row] = np.frombuffer(content[space + 1 : start], dtype="<f4")
        if newline < 0:
            newline = int(content[start : start + 1] == b"\n")
        if newline and content[start : start + 1] not in (b"\n", b""):  # none at the very end
            raise DataError(f"{path}: no line end after word {row + 1}, as after the others")
        start = min(start + newline, len(content))
    return tokens, start


def read_text(path: Path) -> tuple[list[str], np.ndarray]:
    """Words and vectors, shape (words, dim) float32, of a word2vec or fastText text file.

    Raises:
        DataError: not such a file, truncated, or longer than its header says; as `read_binary`.
    """
    import pyarrow as pa

    with open_regular(path) as file:
        words, dim, start = _read_header(path, file.read(LONGEST_HEADER))
        file.seek(0, 2)
        if file.tell() - start < words * (2 * dim + 1):
            raise DataError(
                f"{path}: truncated: too short for {words} words of {dim} dimensions, "
                "as its first line says"
            )
        file.seek(-1, 2)
        if file.read(1) != b"\n":  # else a number cut short would pass for another number
            raise DataError(f"{path}: truncated: its last line has no line end")
        file.seek(start)
        first = file.readline().rstrip(b"\r\n")
    tokens: list[str] = []
    vectors = np.empty((words, dim), dtype=np.float32)
    try:
        for batch in _text_batches(path, dim, ends_in_space=first.endswith(b" ")):
            rows = slice(len(tokens), len(tokens) + batch.num_rows)
            if rows.stop > words:
                raise DataError(f"{path}: more rows than the {words} of its first line")
            tokens += batch.column(0).to_pylist()
            for column in range(dim):
                vectors[rows, column] = batch.column(column + 1).to_numpy()
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        reason = str(error).split("\n")[0][:160]
        raise DataError(
            f"{path}: expected a word and {dim} numbers a line, "
            f"cannot read on after line {len(tokens) + 1} ({reason})"
        ) from None
    if len(tokens) != words:
        raise DataError(f"{path}: truncated: expected {words} words, found {len(tokens)}")
    return tokens, vectors


def _text_batches(path: Path, dim: int, *, ends_in_space: bool) -> Iterator:
    """Record batches of a text file below its header: the word, then `dim` float32 columns."""
    import pyarrow as pa
    from pyarrow import csv

    names = ["word", *(str(column) for column in range(dim))]
    types = {name: pa.float32() for name in names} | {"word": pa.string()}
    if ends_in_space:  # fastText ends its lines so
        names.append("end")
        types["end"] = pa.string()
    yield from csv.open_csv(
        path,
        csv.ReadOptions(column_names=names, skip_rows=1, block_size=max(_TEXT_BLOCK, 64 * dim)),
        csv.ParseOptions(delimiter=" ", quote_char=False, double_quote=False),
        csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
    )
