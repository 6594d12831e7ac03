"""Files of any place that fsspec reaches, by URL: s3://, gs://, hf://, https:// and the rest."""

from __future__ import annotations

import contextlib
import functools
import posixpath
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from fastw2v.errors import DataError, FastW2VError, ResourceError, UsageError
from fastw2v.text.inputs import REMOTE, InputFile, shown_path

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+://")
_READ_AHEAD = 8 << 20  # bytes asked for at a time
# What stores call the state of a file's content; the first that there is.
_VERSIONS = (
    "ETag",
    "etag",
    "blob_id",
    "md5Hash",
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
)


class Listed(NamedTuple):
    """A remote file as its store lists it; `name` without the directory that was asked for."""

    url: str
    name: str
    size: int
    version: str
    ranges: bool


def is_url(item: object) -> bool:
    """Whether an input is a URL, not a path."""
    return isinstance(item, str) and _URL.match(item) is not None


def shown_url(url: str) -> str:
    """`url` for messages, without passwords and signatures."""
    return shown_path(url, REMOTE)


@contextlib.contextmanager
def _reporting(url: str, error_class: type[FastW2VError]) -> Iterator[None]:
    """Storage clients raise errors of any class: make one line of them."""
    try:
        yield
    except (FastW2VError, EOFError):
        raise
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{shown_url(url)}: {reason}; pip install it beside fastw2v") from error
    except FileNotFoundError as error:
        raise UsageError(f"{shown_url(url)}: no such file or directory") from error
    except Exception as error:
        reason = " ".join(str(error).split()).replace(url, shown_url(url)) or type(error).__name__
        raise error_class(f"{shown_url(url)}: cannot be read ({reason[:300]})") from error


def _file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise UsageError(
            f"{shown_url(url)}: URLs need fsspec: pip install 'fastw2v[remote]'"
        ) from error
    if "::" in url:
        raise UsageError(f"{shown_url(url)}: chained URLs are not supported; name the file itself")
    with _reporting(url, UsageError):
        system, path = url_to_fs(url)
    return system, path


def list_files(url: str) -> tuple[list[Listed], bool]:
    """The files that a URL, a directory's URL or a pattern names, sorted; whether a directory.

    Raises:
        UsageError: nothing there, no permission, or the store is unreachable.
    """
    system, path = _file_system(url)
    signs = "*" if url.startswith(("http://", "https://")) else "*?["
    pattern = any(sign in path for sign in signs)
    with _reporting(url, UsageError):
        system.invalidate_cache()
        if pattern:
            infos = system.glob(path, detail=True)
        else:
            info = system.info(path)
            if info.get("type") != "directory":
                return [_listed(system, url, posixpath.basename(_bare(url)), info)], False
            infos = system.find(path, detail=True)
    root = "" if pattern else path.rstrip("/") + "/"
    found = []
    for found_path, info in sorted(infos.items()):
        if info.get("type") != "directory":
            name = found_path.removeprefix(root) if root else posixpath.basename(found_path)
            found.append(
                _listed(system, system.unstrip_protocol(found_path), name.lstrip("/"), info)
            )
    if pattern and not found:
        raise UsageError(f"{shown_url(url)}: no file matches this pattern")
    return found, not pattern


def _bare(url: str) -> str:
    return url.partition("?")[0] if url.startswith(("http://", "https://")) else url


def _listed(system: Any, url: str, name: str, info: dict[str, Any]) -> Listed:
    size = info.get("size")
    if size is None:
        raise UsageError(
            f"{shown_url(url)}: the server does not give its size; download it, or pipe it into: "
            "fastw2v preprocess -"
        )
    return Listed(url, name, int(size), _version(info), _gives_ranges(url, info))


def _gives_ranges(url: str, info: dict[str, Any]) -> bool:
    """Web servers need not give ranges, and some do not declare that they lack them."""
    return bool(info.get("partial")) if url.startswith(("http://", "https://")) else True


def _version(info: dict[str, Any]) -> str:
    return next((f"{key} {info[key]}" for key in _VERSIONS if info.get(key)), "")


def heads_of(files: list[Listed], count: int) -> list[bytes]:
    """The first `count` bytes of each file, asked for together where the store can.

    Raises:
        UsageError: one cannot be read.
    """
    if not files:
        return []
    system, _ = _file_system(files[0].url)
    with _reporting(files[0].url, UsageError):
        if all(file.ranges for file in files):
            paths = [system._strip_protocol(file.url) for file in files]
            ends = [min(count, file.size) for file in files]
            return list(system.cat_ranges(paths, [0] * len(paths), ends, on_error="raise"))
        heads = []
        for listed in files:
            with _open(listed.url, listed.ranges, sequential=True) as file:
                heads.append(file.read(count))
        return heads


@contextlib.contextmanager
def reading(path: object) -> Iterator[None]:
    """Around reads of a remote file.

    Raises:
        ResourceError: the store cannot be reached or fails.
    """
    with _reporting(str(path), ResourceError):
        yield


def _open(url: str, ranges: bool, *, sequential: bool) -> BinaryIO:
    """A remote file, read ahead in large parts if `sequential`; only forwards without `ranges`."""
    system, path = _file_system(url)
    how: dict[str, Any] = {}
    if not ranges:
        how = {"block_size": 0}
    elif sequential:
        how = {"cache_type": "readahead", "block_size": _READ_AHEAD}
    file: BinaryIO = system.open(path, "rb", **how)
    return file


def read_all(url: str) -> bytes:
    """The whole of a small file."""
    system, path = _file_system(url)
    with reading(url):
        return bytes(system.cat_file(path))


def open_unchanged(file: InputFile, *, sequential: bool) -> BinaryIO:
    """Open a file, if it is unchanged since the work was planned.

    Raises:
        DataError: it has changed.
    """
    url = str(file.path)
    system, path = _file_system(url)
    with reading(url):
        system.invalidate_cache()
        info = system.info(path)
        # A listing may give another kind of version than a request for one file.
        kind = file.version.partition(" ")[0]
        version = _version({kind: info.get(kind)})
        if version and version != file.version:
            raise DataError(
                f"{shown_url(url)}: has changed since this run began; start the same command again"
            )
        return _open(url, _gives_ranges(url, info), sequential=sequential)


def read_range(url: str, start: int, end: int) -> bytes:
    """Bytes `start` to `end`, by one request."""
    system, path = _cached_file_system(url)
    with reading(url):
        return bytes(system.cat_file(path, start=start, end=end))


_cached_file_system = functools.lru_cache(maxsize=64)(_file_system)
