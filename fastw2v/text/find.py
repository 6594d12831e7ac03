"""Find what inputs name: local files, directories and patterns, URLs, standard input."""

from __future__ import annotations

import dataclasses
import functools
import glob
import json
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fastw2v.errors import DataError, UsageError
from fastw2v.io.model_directory import is_model_directory
from fastw2v.io.storage import reporting_unreadable
from fastw2v.io.store_directory import is_damaged_store, is_store, is_unfinished_store
from fastw2v.text import remote
from fastw2v.text.config import TextConfig
from fastw2v.text.inputs import (
    ARROW,
    HEAD_BYTES,
    JSONL,
    LOCAL,
    PARQUET,
    REMOTE,
    STDIN,
    TEXT,
    InputFile,
    kind_of,
    looks_binary,
)

_CHECKED_BYTES = 1 << 18  # of JSON Lines, for the column
_DATASET = {"dataset_info.json", "state.json"}  # beside the data-*.arrow of a saved dataset
_SPLITS = "dataset_dict.json"
BadFiles = list[tuple[str, str, DataError]]  # path, name, what is wrong
_NO_DATA = {"_metadata", "_common_metadata"}  # of Parquet datasets: a schema alone
_NOTHING = "no input: name text files, directories, glob patterns, URLs, or - (standard input)"


class _Found(NamedTuple):
    """A file whose kind is not known yet."""

    path: Path | str
    name: str
    size: int
    head: bytes
    location: str
    version: str = ""
    ranges: bool = True


def find_files(
    inputs: Iterable[str | Path], config: TextConfig | None = None, bad: BadFiles | None = None
) -> tuple[list[InputFile], int]:
    """The files that `inputs` name, and how many files were skipped.

    A file that is named must be of a supported format. Directories are searched recursively, in
    sorted order; hidden, empty and binary files in them, and directories written by fastw2v, are
    skipped. Of a dataset saved by Hugging Face `datasets`, only the data files are read.

    Args:
        bad: if given, files of an unsupported format are appended here, each with its error,
            instead of raising.

    Raises:
        UsageError: an input does not exist, cannot be read, is empty, is given twice, holds no
            text or was written by fastw2v; the column is missing or of the wrong type.
        DataError: a file that is named is of an unsupported format or damaged.
    """
    files: list[InputFile] = []
    skipped_files = 0
    for item in inputs:
        with reporting_unreadable(_shown(item)):
            found, skipped = _files_of(item, config or TextConfig(), bad)
        files += found
        skipped_files += skipped
    if not files and bad:
        raise bad[0][2]
    if not files:
        raise UsageError(_NOTHING)
    _refuse_repeats(files)
    return files, skipped_files


def _shown(item: str | Path) -> str:
    return remote.shown_url(str(item)) if remote.is_url(item) else str(item)


def _files_of(
    item: str | Path, config: TextConfig, bad: BadFiles | None
) -> tuple[list[InputFile], int]:
    if not os.fspath(item):  # as a Path it would be the working directory
        raise UsageError(f"input: empty path; {_NOTHING.partition(': ')[2]}")
    if os.fspath(item) == "-":
        if config.ids_column is not None:
            raise UsageError("standard input: `ids_column` is for Parquet and saved datasets")
        kind = TEXT if config.text_column is None else JSONL
        return [InputFile("-", "stdin", 0, kind=kind, location=STDIN, ranges=False)], 0
    if remote.is_url(item):
        return _remote_files(str(item), config, bad)
    path = Path(item)
    if path.is_dir():
        return _files_in(path, config, bad)
    if path.exists():
        return _files([_local(path, path.name)], config, bad), 0
    if not glob.has_magic(str(item)):
        raise UsageError(f"{item}: no such file or directory")
    matches = [Path(match) for match in sorted(glob.glob(str(item), recursive=True))]
    found = [_local(match, match.name) for match in matches if not match.is_dir()]
    if not found:
        raise UsageError(f"{item}: no file matches this pattern")
    return _files(found, config, bad), 0


def _refuse_repeats(files: list[InputFile]) -> None:
    seen: set[Path | str] = set()
    for file in files:
        path = file.path.resolve() if isinstance(file.path, Path) else file.path
        if path in seen:
            raise UsageError(f"{file.shown}: given twice; its words would count twice")
        seen.add(path)


def _remote_files(
    url: str, config: TextConfig, bad: BadFiles | None
) -> tuple[list[InputFile], int]:
    listed, directory = remote.list_files(url)
    if directory:
        by_folder: dict[str, list[str]] = {}
        for file in listed:
            folder, name = posixpath.split(file.name)
            if not any(part.startswith(".") for part in file.name.split("/")):
                by_folder.setdefault(folder, []).append(name)
        root = url.rstrip("/")
        wanted = set()
        for folder, names in by_folder.items():
            at = posixpath.join(root, folder) if folder else root
            state = f"{at}/state.json"
            chosen = _data_names(names, at, functools.partial(remote.read_all, state))
            wanted |= {posixpath.join(folder, name) for name in chosen}
        listed = [file for file in listed if file.name in wanted]
    heads = remote.heads_of(listed, HEAD_BYTES)
    found = [
        _Found(file.url, file.name, file.size, head, REMOTE, file.version, file.ranges)
        for file, head in zip(listed, heads, strict=True)
    ]
    if directory:
        return _readable(found, remote.shown_url(url), config, bad)
    return _files(found, config, bad), 0


def _files_in(
    directory: Path, config: TextConfig, bad: BadFiles | None
) -> tuple[list[InputFile], int]:
    _refuse_ours(directory)
    found = [_local(path, path.relative_to(directory).as_posix()) for path in _walk(directory)]
    return _readable(found, str(directory), config, bad)


def _readable(
    found: list[_Found], directory: str, config: TextConfig, bad: BadFiles | None
) -> tuple[list[InputFile], int]:
    """The text files among the files of a directory, and how many others there are."""
    text = [file for file in found if file.size > 0 and not looks_binary(file.head)]
    if not text:
        raise UsageError(f"{directory}: no text in this directory")
    files = _files(text, config, bad)
    return sorted(files, key=lambda file: file.name), len(found) - len(text)


def _walk(directory: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(directory, onerror=_refuse_folder):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if f[0] != "." and not _is_ours(here / f))
        shown = [name for name in names if name[0] != "."]
        for name in _data_names(shown, folder, (here / "state.json").read_bytes):
            if (here / name).is_file():
                yield here / name


def _data_names(names: list[str], folder: str, state: Callable[[], bytes]) -> list[str]:
    """The names in a folder that may be text; of a saved dataset, those of its data files.

    Raises:
        DataError: a saved dataset whose data files are not listed, or are incomplete.
    """
    if not set(names) >= _DATASET:
        return sorted(set(names) - {_SPLITS} - _NO_DATA)
    try:
        content = json.loads(state())
        files = [str(entry["filename"]) for entry in content["_data_files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{folder}/state.json: does not list the data files of a saved dataset ({error!r})"
        ) from error
    if content.get("_indices_data_files") or content.get("_indices_files"):
        raise DataError(
            f"{folder}: a dataset with an indices mapping (after select or shuffle); call "
            "flatten_indices() and save it again"
        )
    if missing := set(files) - set(names):
        raise DataError(f"{folder}: {min(missing)} of this saved dataset is missing")
    return files


def _refuse_folder(error: OSError) -> None:
    """Raise: by default, unreadable folders are skipped silently."""
    with reporting_unreadable(error.filename):
        raise error


def _refuse_ours(directory: Path) -> None:
    """Refuse a directory that fastw2v has written.

    Raises:
        UsageError: a token store, a model or a checkpoint.
    """
    if is_store(directory):
        raise UsageError(
            f"{directory}: is a token store; give it to train: fastw2v train {directory} MODEL"
        )
    if is_unfinished_store(directory):
        raise UsageError(
            f"{directory}: is an unfinished token store; run the same fastw2v preprocess command "
            "again to finish it"
        )
    if is_damaged_store(directory):
        raise UsageError(
            f"{directory}: is a token store with a damaged manifest; make it again from its text "
            "(fastw2v preprocess --force)"
        )
    if is_model_directory(directory.resolve()):  # which does not look behind a link
        raise UsageError(f"{directory}: is a model, not text; name the text it was trained on")


def _is_ours(directory: Path) -> bool:
    kinds = (is_store, is_unfinished_store, is_damaged_store, is_model_directory)
    return any(is_kind(directory) for is_kind in kinds)


def _local(path: Path, name: str) -> _Found:
    with reporting_unreadable(path):
        if not path.is_file():
            raise UsageError(f"{path}: not a regular file; write the text to a file first")
        with open(path, "rb") as file:
            return _Found(path, name, path.stat().st_size, file.read(HEAD_BYTES), LOCAL)


def _files(found: list[_Found], config: TextConfig, bad: BadFiles | None) -> list[InputFile]:
    files = []
    for file in found:
        if bad is not None and file.size == 0:
            bad.append((str(file.path), file.name, DataError(f"{file.path}: an empty file")))
            continue
        try:
            files.append(_file(file, config))
        except DataError as error:
            if bad is None:
                raise
            bad.append((str(file.path), file.name, error))
    return files


def _file(found: _Found, config: TextConfig) -> InputFile:
    """What a file is.

    Raises:
        UsageError: empty, or without the requested column. DataError: not read.
    """
    file = InputFile(
        found.path, found.name, found.size, "", TEXT, found.location, found.version, found.ranges
    )
    shown = file.shown
    if found.size == 0:
        raise UsageError(f"{shown}: an empty file")
    bare = posixpath.basename(found.name)
    kind, compression = kind_of(found.head, bare, shown, config)
    file = dataclasses.replace(file, kind=kind, compression=compression)
    if kind != TEXT:
        _check_column(file, config)
    return file


def _check_column(file: InputFile, config: TextConfig) -> None:
    # Imported here: plain text needs neither Arrow's JSON nor its Parquet.
    from fastw2v.text import json_lines as jsonl
    from fastw2v.text import tables as columns
    from fastw2v.text.shards import SegmentReader

    shown = file.shown
    if file.kind in (PARQUET, ARROW) and not file.ranges:
        raise UsageError(f"{shown}: the server does not support range requests; download it first")
    if file.kind == JSONL:
        head = SegmentReader(file.segment(), config).head(_CHECKED_BYTES)
        jsonl.check_column(head.removeprefix(b"\xef\xbb\xbf"), config, shown)
        return
    with columns.reporting_damage(shown):
        columns.check_column(file, config)
