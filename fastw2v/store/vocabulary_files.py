"""Vocabulary files: `word count` lines as word2vec.c writes them, TSV, and our Parquet.

    word2vec   `word count`, after a first line `</s> 0` (word2vec.c -save-vocab, gensim's fvocab)
    tsv        a header `token count id`, then a line a word, between tabs
    parquet    token: string, count: int64; the row is the id; holds any word

What is written here is read back as it was. Reading knows a format by the content.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from fastw2v.errors import DataError, UsageError
from fastw2v.io import storage
from fastw2v.io.model_directory import is_model_directory, read_model
from fastw2v.io.storage import reporting_unreadable
from fastw2v.io.store_directory import VOCABULARY, is_store
from fastw2v.io.untrusted import open_regular
from fastw2v.store.vocabulary import Vocabulary, check_vocabulary

FORMATS = ("word2vec", "tsv", "parquet")
_FORMAT_OF_SUFFIX = {".txt": "word2vec", ".vocab": "word2vec", ".tsv": "tsv", ".parquet": "parquet"}
_TSV_HEADER = ["token", "count", "id"]  # files without ids are read, too
_LINE_END = "</s>"  # word2vec.c counts line ends as its word 0, and ends sentences at word 0
_MAX_DIGITS = 18  # of a count: below 2**63
_BLOCK_LINES = 1 << 14


def format_of_suffix(path: Path) -> str:
    """The format that the suffix of `path` names.

    Raises:
        UsageError: it names none.
    """
    try:
        return _FORMAT_OF_SUFFIX[path.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"{path}: the suffix {path.suffix!r} names no vocabulary format; use "
            f"{', '.join(_FORMAT_OF_SUFFIX)}, or say `file_format` {'|'.join(FORMATS)}"
        ) from None


def select_words(
    vocabulary: Vocabulary, *, top: int | None = None, min_count: int = 1
) -> np.ndarray:
    """Ids, int64 and rising, of words that occur `min_count` times; of them the `top` most frequent
    (of equally frequent ones those with the smaller id)."""
    ids = np.flatnonzero(vocabulary.counts >= min_count)
    if top is not None and top < len(ids):
        by_count = np.argsort(-vocabulary.counts[ids], kind="stable")
        ids = np.sort(ids[by_count[:top]])
    return ids


def check_words(tokens: Iterable[str], file_format: str, name: object) -> None:
    """Refuse words that `file_format` would break at; `name` is the file, for the message.

    Raises:
        UsageError: says how many there are and which format holds them.
    """
    if file_format == "word2vec":  # readers split at any white space (gensim) or at ASCII's
        bad = [token for token in tokens if token.split() != [token]]
        what, instead = "white space", "`file_format` tsv holds them"
        if any(mark in token for token in bad for mark in "\t\n\r"):
            instead = "`file_format` parquet holds them"
    elif file_format == "tsv":
        bad = [token for token in tokens if any(mark in token for mark in "\t\n\r")]
        what, instead = "tabs or line ends", "`file_format` parquet holds them"
    else:
        return
    if bad:
        raise UsageError(
            f"{name}: {what} in {len(bad):,} words ({bad[0]!r} is the first), which the format "
            f"{file_format} cannot hold; {instead}"
        )


def text_blocks(vocabulary: Vocabulary, ids: np.ndarray, file_format: str) -> Iterator[str]:
    """The text of a word2vec or TSV file of the words `ids`, in blocks of whole lines."""
    tsv = file_format == "tsv"
    if tsv:
        yield "\t".join(_TSV_HEADER) + "\n"
    elif _LINE_END not in vocabulary.index:
        yield f"{_LINE_END} 0\n"
    for start in range(0, len(ids), _BLOCK_LINES):
        rows = ids[start : start + _BLOCK_LINES]
        counts = vocabulary.counts[rows].tolist()
        tokens = [vocabulary.tokens[token_id] for token_id in rows.tolist()]
        if tsv:
            columns = zip(tokens, counts, rows.tolist(), strict=True)
            yield "".join(f"{token}\t{count}\t{row}\n" for token, count, row in columns)
        else:
            pairs = zip(tokens, counts, strict=True)
            yield "".join(f"{token} {count}\n" for token, count in pairs)


def write_vocabulary(path: Path, vocabulary: Vocabulary, ids: np.ndarray, file_format: str) -> None:
    """Write the words `ids`, in this order, atomically.

    Raises:
        UsageError: a word that the format cannot hold.
        ResourceError: it cannot be written.
    """
    tokens = [vocabulary.tokens[token_id] for token_id in ids.tolist()]
    check_words(tokens, file_format, path)
    if file_format == "parquet":
        Vocabulary(tokens, vocabulary.counts[ids]).save(path)
        return
    with (
        storage.atomic_file(path) as temporary,
        open(temporary, "w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(text_blocks(vocabulary, ids, file_format))


def read_vocabulary(path: str | Path, name: str | None = None) -> Vocabulary:
    """The vocabulary of a token store, a model, or a vocabulary file of any of the formats.

    Args:
        path: a directory or file.
        name: what errors call it (default: `path`).

    Raises:
        UsageError: nothing there, unreadable, or a directory that is neither.
        DataError: damaged, or no vocabulary.
    """
    path, name = Path(path), name or str(path)
    with reporting_unreadable(name):
        if not path.exists():
            raise UsageError(f"{name}: no such file or store")
        if is_store(path):
            return Vocabulary.load(path / VOCABULARY)
        if is_model_directory(path):
            return read_model(path, lambda saved: Vocabulary.load(saved.vocabulary_path))
        if path.is_dir():
            raise UsageError(f"{name}: neither a finished token store nor a model")
        with open_regular(path) as file:
            parquet = file.read(4) == b"PAR1"
    return Vocabulary.load(path) if parquet else load_text_vocabulary(path)


def load_text_vocabulary(path: str | Path) -> Vocabulary:
    """Read a word2vec or TSV vocabulary file; the order of its lines is that of the ids.

    Raises:
        DataError: a line that is not a token and a positive count; a token twice.
    """
    try:
        with open_regular(Path(path)) as file:
            lines = file.read().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable text file ({error})") from error
    columns = lines[0].rstrip("\r").split("\t")
    tsv = len(columns) >= 2 and columns == _TSV_HEADER[: len(columns)]
    tokens, counts = [], []
    for number, line in enumerate(lines[tsv:], start=1 + tsv):
        fields = line.rstrip("\r").split("\t") if tsv else _between_blanks(line)
        if fields in ([], [""], [_LINE_END, "0"]):
            continue
        if len(fields) != (len(columns) if tsv else 2) or not _is_count(fields[1]):
            found = f"{line[:60]!r}" + ("..." if len(line) > 60 else "")
            raise DataError(f"{path}: line {number}: expected a token and a count, found {found}")
        tokens.append(fields[0])
        counts.append(int(fields[1]))
    return check_vocabulary(path, Vocabulary(tokens, counts))


def _between_blanks(line: str) -> list[str]:
    """What word2vec.c would read: other white space, a no-break space say, is part of a word."""
    return [field for field in line.strip("\r").replace("\t", " ").split(" ") if field]


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS
