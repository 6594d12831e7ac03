"""Input files: what they are (by first bytes and name), and the segments of them that are read."""

from __future__ import annotations

import dataclasses
from pathlib import Path, PurePosixPath

from fastw2v.errors import DataError, UsageError
from fastw2v.text.config import TextConfig

LOCAL, REMOTE, STDIN = "local", "remote", "stdin"
TEXT, JSONL, PARQUET, ARROW = "text", "jsonl", "parquet", "arrow"


@dataclasses.dataclass(frozen=True)
class InputFile:
    """A file to read.

    Attributes:
        path: of a local file; the URL of a remote one; "-" for standard input.
        name: what the manifest calls it (no directories of the machine).
        size: bytes; 0 for standard input.
        compression: "", "gzip", "bzip2", "xz" or "zstd".
        kind: TEXT, JSONL, PARQUET or ARROW.
        location: LOCAL, REMOTE or STDIN.
        version: the remote store's identifier of its content (an ETag, say); "" if there is none.
        ranges: whether byte ranges of it are readable.
    """

    path: Path | str
    name: str
    size: int
    compression: str = ""
    kind: str = TEXT
    location: str = LOCAL
    version: str = ""
    ranges: bool = True

    @property
    def shown(self) -> str:
        """What messages call it; no password or signature of a URL."""
        return shown_path(self.path, self.location)

    def segment(self, start: int = 0, end: int | None = None) -> Segment:
        """Its bytes `start` to `end`; all by default."""
        return Segment(self, start, self.size if end is None else end)


@dataclasses.dataclass(frozen=True)
class Segment:
    """Bytes `start` to `end` of a file, as they are stored: of a compressed file the compressed
    ones. The end of standard input is unknown: 0."""

    file: InputFile
    start: int
    end: int

    @property
    def name(self) -> str:
        """What the manifest calls its file."""
        return self.file.name

    @property
    def shown(self) -> str:
        """What messages call its file."""
        return self.file.shown

    @property
    def only_here(self) -> bool:
        """Whether only the process that was started can read it, once: standard input."""
        return self.file.location == STDIN


def shown_path(path: Path | str, location: str) -> str:
    """What messages call a file; no password or signature of a URL."""
    if location == STDIN:
        return "standard input"
    if location == LOCAL:
        return str(path)
    scheme, _, rest = str(path).partition("://")
    rest = rest.partition("?")[0] if scheme in ("http", "https") else rest
    host, slash, tail = rest.partition("/")
    if scheme == "hf":  # where @ names a revision
        return f"{scheme}://{rest}"
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{tail}"


HEAD_BYTES = 8192
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_SUFFIXES = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd", ".zstd": "zstd"}
_PARQUET_MAGIC = b"PAR1"
_ARROW_STREAM = b"\xff\xff\xff\xff"  # the mark of every message of a stream
_FOREIGN = {
    b"PK\x03\x04": "a zip file; unpack it with unzip",
    b"\x93NUMPY": "a NumPy file",
    b"%PDF-": "a PDF file; extract its text",
    b"ARROW1\0\0": "an Arrow file (Feather); write it as Parquet",
    b"7z\xbc\xaf\x27\x1c": "a 7z file; unpack it",
}
_TAR_MAGIC, _TAR_OFFSET = b"ustar", 257


def compression_of(head: bytes) -> str:
    """By the first bytes: "" or one of the values of `COMPRESSIONS`."""
    skippable = head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F  # as pzstd begins
    if skippable:
        return "zstd"
    return next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), "")


def kind_of(head: bytes, name: str, shown: str, config: TextConfig) -> tuple[str, str]:
    """(kind, compression) of a file that begins with `head`.

    Raises:
        DataError: the format is not supported, or differs from the file name's suffix.
        UsageError: a column is named, but files of this kind have none.
    """
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    compression = compression_of(head)
    promised = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    if promised and promised != compression:
        raise DataError(f"{shown}: named {suffixes[-1]}, but not a {promised} file")
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{shown}: {what}; {_READ}")
    kind = _kind(head, suffixes[:-1] if promised else suffixes, config)
    if kind == PARQUET and len(head) < 12:
        raise DataError(f"{shown}: truncated or damaged (too short for a Parquet file)")
    _check_column(kind, shown, config)
    return kind, compression


_READ = "supported are plain, gz, bz2, xz and zst text, JSON Lines, Parquet and saved datasets"


def _kind(head: bytes, suffixes: list[str], config: TextConfig) -> str:
    if head.startswith(_PARQUET_MAGIC):
        return PARQUET
    if head.startswith(_ARROW_STREAM):
        return ARROW
    suffix = suffixes[-1] if suffixes else ""
    json = suffix in (".jsonl", ".ndjson") or (suffix == ".json" and config.text_column)
    return JSONL if json else TEXT


def _check_column(kind: str, shown: str, config: TextConfig) -> None:
    if kind == TEXT and config.column is not None:
        raise UsageError(
            f"{shown}: plain text has no columns; leave out {config.column_flag}, or name only "
            "JSON Lines (.jsonl, .ndjson), Parquet or saved datasets"
        )
    if kind == JSONL and config.ids_column is not None:
        raise UsageError(f"{shown}: `ids_column` is for Parquet and saved datasets")


def looks_binary(head: bytes) -> bool:
    """Whether a file is certainly not text: a known binary format, or NULs among many bytes that
    are not UTF-8. A file with a few stray NULs or invalid bytes still counts as text.
    """
    if head.startswith((*UTF_16_MARKS, _PARQUET_MAGIC, _ARROW_STREAM)) or compression_of(head):
        return False  # to be read, or refused with a message of its own
    nuls = head.count(b"\0")
    wrong = len(head) - len(head.decode("utf-8", "ignore").encode())
    return head.startswith(tuple(_FOREIGN)) or (nuls > 0 and nuls + wrong > len(head) // 10)


def check_text(block: bytes, shown: str) -> None:
    """Refuse, by its first block, unpacked content that is not text.

    Raises:
        DataError: UTF-16, a tar archive, a packed Parquet file.
    """
    if block.startswith(UTF_16_MARKS):
        raise DataError(
            f"{shown}: UTF-16 text; convert it to UTF-8, for example with: iconv -f UTF-16 -t UTF-8"
        )
    if block[_TAR_OFFSET : _TAR_OFFSET + len(_TAR_MAGIC)] == _TAR_MAGIC:
        raise DataError(f"{shown}: a tar archive; unpack it with tar -x")
    if block.startswith((_PARQUET_MAGIC, _ARROW_STREAM)):
        raise DataError(
            f"{shown}: Parquet and Arrow are read from plain files only; write it to one (unpacked)"
        )


@dataclasses.dataclass
class ReadCounts:
    """What was found in text while it was read and cut; the fields are those of the report of
    `preprocess` with the same names."""

    text_bytes: int = 0
    lines: int = 0
    empty_lines: int = 0
    short_lines: int = 0
    split_lines: int = 0
    crlf_lines: int = 0
    byte_order_marks: int = 0
    nul_bytes: int = 0
    undecodable_bytes: int = 0
    bad_json_lines: int = 0
    null_texts: int = 0
    null_tokens: int = 0
    tokens_read: int = 0
    tokens_stopwords: int = 0
    tokens_too_short_or_long: int = 0
    tokens_in_short_lines: int = 0

    @property
    def tokens_in_sequences(self) -> int:
        """The tokens of sequences, before a vocabulary leaves some out."""
        dropped = self.tokens_stopwords + self.tokens_too_short_or_long + self.tokens_in_short_lines
        return self.tokens_read - dropped

    def add(self, other: ReadCounts) -> None:
        """Add the counts of other text."""
        for field in dataclasses.fields(self):
            total = getattr(self, field.name) + getattr(other, field.name)
            setattr(self, field.name, total)
