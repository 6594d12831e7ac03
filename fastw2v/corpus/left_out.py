"""The files that a store leaves out because they cannot be read (--skip-bad-files)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fastw2v.corpus.inputs import BadFiles, Segment
from fastw2v.corpus.inputs.segments import LOCAL
from fastw2v.corpus.units import read_result, write_result
from fastw2v.errors import FastW2VError

_BAD_FILES = "bad-files.json"


class LeftOutFiles:
    """What is left out of a store in the making; remembered in its unfinished work, `work`."""

    def __init__(self, work: Path) -> None:
        self._path = work / _BAD_FILES
        self._bad: dict[str, dict[str, str]] = {}  # name and reason, by path

    def take_over(self) -> None:
        """Leave out what an earlier run left out."""
        self._bad = read_result(self._path) or {}

    def note(self, files: BadFiles) -> None:
        """Note files that are left out before they are read."""
        for path, name, error in files:
            self._bad[os.path.abspath(path)] = _entry(name, path, error)

    def add(self, failures: Iterable[tuple[Segment, FastW2VError]]) -> None:
        """Leave the files of these segments out from now on."""
        for segment, error in failures:
            entry = _entry(segment.name, segment.shown, error)
            self._bad.setdefault(_key(segment), entry)
        write_result(self._path, self._bad)

    def without(self, unit: Iterable[Segment]) -> list[Segment]:
        """The segments of a unit whose files can be read, as far as is known."""
        return [segment for segment in unit if _key(segment) not in self._bad]

    def num_files_of(self, units: Iterable[Iterable[Segment]]) -> int:
        """How many of the files of `units` are left out."""
        return len({_key(segment) for unit in units for segment in unit} & self._bad.keys())

    def listed(self, before: Iterable[dict[str, str]], read: Iterable[str]) -> list[dict[str, str]]:
        """All that are left out, name and reason, by name.

        Args:
            before: what the store to which text is added has left out.
            read: the names of the files that are added; what was bad then is none of them.
        """
        now = list(self._bad.values())
        settled = {*read, *(entry["name"] for entry in now)}
        old = [entry for entry in before if entry["name"] not in settled]
        return sorted([*old, *now], key=lambda entry: (entry["name"], entry["reason"]))


def _entry(name: str, shown: str, error: FastW2VError) -> dict[str, str]:
    return {"name": name, "reason": " ".join(str(error).split()).replace(shown, name)}


def _key(segment: Segment) -> str:
    """What a file is remembered by, from wherever it is named."""
    return os.path.abspath(segment.path) if segment.place == LOCAL else str(segment.path)
