"""What is to be read: files of any place and kind, and segments of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

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
        place: LOCAL, REMOTE or STDIN.
        version: what a store of remote files calls its content now (an ETag, say); "" if nothing.
        ranges: whether parts of it can be read.
    """

    path: Path | str
    name: str
    size: int
    compression: str = ""
    kind: str = TEXT
    place: str = LOCAL
    version: str = ""
    ranges: bool = True

    @property
    def compressed(self) -> bool:
        """Whether it has to be unpacked."""
        return bool(self.compression)

    def segment(self, start: int = 0, end: int | None = None) -> Segment:
        """Its bytes `start` to `end`; all without these."""
        return Segment(
            self.path, self.name, start, self.size if end is None else end,
            self.compression, self.kind, self.place, self.version,
        )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Segment:
    """Bytes `start` to `end` of a file (of the compressed file, where it is one).

    The other attributes are those of `InputFile`. The end of standard input is not known: 0.
    """

    path: Path | str
    name: str
    start: int
    end: int
    compression: str = ""
    kind: str = TEXT
    place: str = LOCAL
    version: str = ""

    @property
    def compressed(self) -> bool:
        """Whether it has to be unpacked."""
        return bool(self.compression)

    @property
    def only_here(self) -> bool:
        """Whether only the process that was started can read it, once: standard input."""
        return self.place == STDIN

    @property
    def shown(self) -> str:
        """What messages call it; no password or signature of a URL."""
        return shown_path(self.path, self.place)

    def as_json(self) -> dict[str, Any]:
        """For a worker; `from_json` reads it."""
        return {**dataclasses.asdict(self), "path": str(self.path)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Segment:
        """What `as_json` made."""
        local = values.get("place", LOCAL) == LOCAL
        return cls(**{**values, "path": Path(values["path"]) if local else values["path"]})


def shown_path(path: Path | str, place: str) -> str:
    """What messages call a file; no password or signature of a URL."""
    if place == STDIN:
        return "standard input"
    if place == LOCAL:
        return str(path)
    scheme, _, rest = str(path).partition("://")
    rest = rest.partition("?")[0] if scheme in ("http", "https") else rest
    host, slash, tail = rest.partition("/")
    if scheme == "hf":  # where @ names a revision
        return f"{scheme}://{rest}"
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{tail}"
