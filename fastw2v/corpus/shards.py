"""Find text files, cut them into units of work, and read a unit in blocks that end with lines."""

from __future__ import annotations

import dataclasses
import glob
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fastw2v.corpus.config import Layout
from fastw2v.corpus.os_errors import reporting_unreadable
from fastw2v.corpus.store_layout import is_damaged_store, is_store, is_unfinished_store
from fastw2v.errors import DataError, FastW2VError, ResourceError, UsageError
from fastw2v.model_directory import is_model_directory

GZIP_MAGIC = b"\x1f\x8b"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_FOREIGN = {
    b"PAR1": "a Parquet file",
    b"BZh": "a bzip2 file; unpack it with bunzip2",
    b"\xfd7zXZ\x00": "an xz file; unpack it with unxz",
    b"\x28\xb5\x2f\xfd": "a zstd file; unpack it with unzstd",
    b"PK\x03\x04": "a zip file; unpack it with unzip",
    b"\x93NUMPY": "a NumPy file",
    b"%PDF-": "a PDF file; extract its text",
}
_HEAD_BYTES = 8192


@dataclasses.dataclass(frozen=True)
class TextFile:
    """A file to read; `name` is what the manifest calls it (no directories of the machine)."""

    path: Path
    name: str
    size: int
    compressed: bool


@dataclasses.dataclass(frozen=True)
class Segment:
    """Bytes `start` to `end` of a file (of the compressed file, where it is one)."""

    path: Path
    name: str
    start: int
    end: int
    compressed: bool

    def as_json(self) -> dict[str, Any]:
        """For a worker; `from_json` reads it."""
        return {**dataclasses.asdict(self), "path": str(self.path)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Segment:
        """What `as_json` made."""
        return cls(**{**values, "path": Path(values["path"])})


def find_files(inputs: Iterable[str | Path]) -> tuple[list[TextFile], int]:
    """The text files that paths, directories and glob patterns name, and how many were passed over.

    A file that is named must be text. In a directory, which is searched recursively and in sorted
    order, hidden, empty and binary files and what fastw2v itself wrote are passed over.

    Raises:
        UsageError: nothing there, an empty file, a file twice, a directory without text, one of
            fastw2v's own, or what cannot be read.
        DataError: a file that is named is not text.
    """
    files: list[TextFile] = []
    passed_over = 0
    for item in inputs:
        with reporting_unreadable(item):
            found, skipped = _files_of(item)
        files += found
        passed_over += skipped
    if not files:
        raise UsageError("no input: name text files, directories or glob patterns")
    _refuse_repeats(files)
    return files, passed_over


def _files_of(item: str | Path) -> tuple[list[TextFile], int]:
    if not os.fspath(item):  # as a Path it would be the working directory
        raise UsageError("input: empty path; name text files, directories or glob patterns")
    path = Path(item)
    if path.is_dir():
        return _files_in(path)
    if path.exists():
        return [_text_file(path, path.name)], 0
    if not glob.has_magic(str(item)):
        raise UsageError(f"{item}: no such file or directory")
    matches = [Path(match) for match in sorted(glob.glob(str(item), recursive=True))]
    found = [_text_file(match, match.name) for match in matches if not match.is_dir()]
    if not found:
        raise UsageError(f"{item}: no file matches this pattern")
    return found, 0


def _refuse_repeats(files: list[TextFile]) -> None:
    seen: set[Path] = set()
    for file in files:
        resolved = file.path.resolve()
        if resolved in seen:
            raise UsageError(f"{file.path}: given twice; its words would be counted twice")
        seen.add(resolved)


def _files_in(directory: Path) -> tuple[list[TextFile], int]:
    _refuse_ours(directory)
    files, passed_over = [], 0
    for folder, folders, names in os.walk(directory, onerror=_refuse_folder):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if f[0] != "." and not _is_ours(here / f))
        for name in sorted(names):
            path = here / name
            if name[0] == "." or not path.is_file():
                continue
            if path.stat().st_size == 0 or _looks_binary(path):
                passed_over += 1
                continue
            files.append(_text_file(path, path.relative_to(directory).as_posix()))
    if not files:
        raise UsageError(f"{directory}: no text in this directory")
    return sorted(files, key=lambda file: file.name), passed_over


def _refuse_folder(error: OSError) -> None:
    """Without this, the text of a folder that cannot be read would be missing silently."""
    with reporting_unreadable(error.filename):
        raise error


def _refuse_ours(directory: Path) -> None:
    """Say of a directory that is named and is no text what it is instead.

    Raises:
        UsageError: a token store, a model or a checkpoint.
    """
    if is_store(directory):
        raise UsageError(
            f"{directory}: is a token store; give it to train: fastw2v train --data-file "
            f"{directory}"
        )
    if is_unfinished_store(directory):
        raise UsageError(
            f"{directory}: is an unfinished token store; run the same fastw2v preprocess command "
            "again to finish it"
        )
    if is_damaged_store(directory):
        raise UsageError(
            f"{directory}: is a token store whose manifest is damaged; make it anew from its text "
            "(fastw2v preprocess --force)"
        )
    if is_model_directory(directory.resolve()):  # which does not look behind a link
        raise UsageError(f"{directory}: is a model, not text; name the text it was trained on")


def _is_ours(directory: Path) -> bool:
    kinds = (is_store, is_unfinished_store, is_damaged_store, is_model_directory)
    return any(is_kind(directory) for is_kind in kinds)


def _head(path: Path) -> bytes:
    with reporting_unreadable(path), open(path, "rb") as file:
        return file.read(_HEAD_BYTES)


def _looks_binary(path: Path) -> bool:
    """Whether a file is surely not text: a known format, or NULs among much that is not UTF-8.

    A stray NUL or a wrong byte here and there is text all the same.
    """
    head = _head(path)
    if head.startswith((GZIP_MAGIC, *_UTF_16_MARKS)):
        return False  # text, or refused by name below
    nuls = head.count(b"\0")
    wrong = len(head) - len(head.decode("utf-8", "ignore").encode())
    return head.startswith(tuple(_FOREIGN)) or (nuls > 0 and nuls + wrong > len(head) // 10)


def _text_file(path: Path, name: str) -> TextFile:
    if not path.is_file():
        raise UsageError(f"{path}: not a regular file; write the text to a file first")
    size = path.stat().st_size
    if size == 0:
        raise UsageError(f"{path}: an empty file")
    head = _head(path)
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            raise DataError(f"{path}: {what}; plain text or .gz is read")
    compressed = head.startswith(GZIP_MAGIC)
    if path.suffix == ".gz" and not compressed:
        raise DataError(f"{path}: named .gz, but not a gzip file")
    return TextFile(path, name, size, compressed)


def plan_units(files: Iterable[TextFile], layout: Layout) -> list[list[Segment]]:
    """Cut files into units of work, each a list of segments, by their sizes and line ends alone."""
    units: list[list[Segment]] = []
    room = 0  # what still fits into the last unit, when it is one of small files
    for file in files:
        whole = Segment(file.path, file.name, 0, file.size, file.compressed)
        if file.size <= room:
            units[-1].append(whole)
            room -= file.size
        elif file.compressed or file.size <= layout.unit_bytes:
            units.append([whole])
            room = max(0, layout.small_unit_bytes - file.size)
        else:
            units += [[segment] for segment in _split(whole, layout.unit_bytes)]
            room = 0
    return units


def _split(whole: Segment, unit_bytes: int) -> Iterator[Segment]:
    """Ranges of about `unit_bytes` that end behind a line feed."""
    start = 0
    with reporting_unreadable(whole.path), open(whole.path, "rb") as file:
        while whole.end - start > unit_bytes:
            file.seek(start + unit_bytes)
            end = start + unit_bytes
            while block := file.read(1 << 16):
                line_end = block.find(b"\n")
                end += len(block) if line_end < 0 else line_end + 1
                if line_end >= 0:
                    break
            end = min(end, whole.end)
            yield dataclasses.replace(whole, start=start, end=end)
            start = end
    if start < whole.end:
        yield dataclasses.replace(whole, start=start)


class _RangeReader(io.RawIOBase):
    """The bytes of a segment as they are on disk, hashed and counted on their way."""

    def __init__(self, segment: Segment, on_bytes: Callable[[int], None]) -> None:
        super().__init__()
        self._file = open(segment.path, "rb", buffering=0)  # noqa: SIM115 - closed in close()
        self._file.seek(segment.start)
        self._left = segment.end - segment.start
        self._on_bytes = on_bytes
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)[: self._left]
        count = self._file.readinto(view) or 0
        self.digest.update(view[:count])
        self._left -= count
        self._on_bytes(count)
        return count

    def finish(self) -> None:
        """Read what the decompressor left unread (padding), so that the hash is of all bytes."""
        while self.read(1 << 16):
            pass
        if self._left:
            raise EOFError("the file became shorter while it was read")

    def close(self) -> None:
        self._file.close()
        super().close()


class SegmentReader:
    """Reads one segment. `blocks` gives (offset in the text, bytes); then `sha256` is known.

    A block ends with a line, but a line that is longer than a block is cut behind white space (or,
    where there is none, between characters), and goes on in the next block.
    """

    def __init__(
        self,
        segment: Segment,
        block_bytes: int = Layout.block_bytes,
        on_bytes: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._segment = segment
        self._block_bytes = block_bytes
        self._on_bytes = on_bytes
        self.sha256 = ""

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Yield the segment's text.

        Raises:
            DataError: truncated or damaged, or UTF-16.
        """
        segment = self._segment
        try:
            with _RangeReader(segment, self._on_bytes) as raw:
                stream: Any = gzip.GzipFile(fileobj=raw) if segment.compressed else raw  # type: ignore[arg-type]
                # Named, so that it lives (and keeps `raw` open) until the end of this block.
                buffered = io.BufferedReader(stream, self._block_bytes)
                offset = segment.start
                for block in self._cut(buffered):
                    if offset == 0 and block.startswith(_UTF_16_MARKS):
                        raise DataError(
                            f"{segment.path}: UTF-16 text; convert it to UTF-8, for example with: "
                            "iconv -f UTF-16 -t UTF-8"
                        )
                    yield offset, block
                    offset += len(block)
                raw.finish()
                self.sha256 = raw.digest.hexdigest()
        except FastW2VError:
            raise
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{segment.path}: truncated or damaged ({error})") from error
        except OSError as error:
            raise ResourceError(
                f"{segment.path}: cannot be read ({error.strerror or error})"
            ) from error

    def _cut(self, stream: io.BufferedReader) -> Iterator[bytes]:
        rest = b""
        while data := stream.read(self._block_bytes):
            data = rest + data
            end = data.rfind(b"\n") + 1
            if not end and len(data) >= 2 * self._block_bytes:
                end = _place_to_cut(data)
            if end:
                yield data[:end]
            rest = data[end:]
        if rest:
            yield rest


def _place_to_cut(data: bytes) -> int:
    """Behind the last space or tab; else before the last character that may be incomplete."""
    end = max(data.rfind(b" "), data.rfind(b"\t")) + 1
    if end:
        return end
    end = len(data)
    for back in range(1, min(4, len(data))):
        if data[-back] & 0xC0 != 0x80:  # the first byte of the last character
            return end - back or end
    return end
