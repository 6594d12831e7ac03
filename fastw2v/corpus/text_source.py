"""The text of `preprocess`: its files, cut into units, and whether a store was made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

from fastw2v.corpus.config import Layout, PreprocessConfig
from fastw2v.corpus.inputs import (
    BadFiles,
    InputFile,
    ReadOptions,
    Segment,
    find_files,
    is_unchanged,
    plan_units,
)
from fastw2v.corpus.token_store import TokenStore, read_manifest
from fastw2v.errors import UsageError


@dataclasses.dataclass(frozen=True)
class TextSource:
    """Text files, cut into units."""

    files: int
    skipped_files: int
    units: list[list[Segment]]
    bad_files: BadFiles = dataclasses.field(default_factory=list)  # left out before they are read

    @classmethod
    def find(
        cls,
        inputs: Iterable[str | Path],
        layout: Layout,
        config: PreprocessConfig,
        choose: Callable[[list[InputFile]], list[InputFile]] = lambda files: files,
    ) -> TextSource:
        """The text of `inputs`, of the files that `choose` leaves."""
        options, bad = ReadOptions.of(config), BadFiles()
        files, skipped = find_files(inputs, options, bad if config.skip_bad_files else None)
        files = choose(files)
        return cls(len(files), skipped, plan_units(files, layout, options), bad)


def inputs_unchanged(store: TokenStore, inputs: str | Path | Iterable[str | Path]) -> bool:
    """Whether `store` was made from these text files as they are now (their bytes are read).

    Raises:
        UsageError, DataError: the inputs are missing or not text.
    """
    manifest = store.manifest
    if manifest["source"] != "text":
        return False
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    options = ReadOptions.from_settings(manifest["settings"])
    skips = manifest["settings"].get("skip_bad_files", False)
    left_out = {file["name"] for file in manifest.get("bad_files", [])}
    files, _ = find_files(paths, options, BadFiles() if skips else None)
    files = [file for file in files if file.name not in left_out]
    units = plan_units(files, Layout(**manifest["layout"]), options)
    segments = [segment for unit in units for segment in unit]
    recorded = manifest["inputs"]
    if [(s.name, s.start, s.end) for s in segments] != [
        (entry["name"], entry["start"], entry["end"]) for entry in recorded
    ]:
        return False
    return all(map(is_unchanged, segments, recorded))


def refuse_changed(output: Path, text: TextSource) -> None:
    """Say of a finished store at `output` what of its text has changed, or is new.

    Raises:
        UsageError: something is.
    """
    manifest = read_manifest(output)
    recorded = manifest["inputs"]
    entries = {(entry["name"], entry["start"], entry["end"]): entry for entry in recorded}
    names = {entry["name"] for entry in recorded}
    left_out = {file["name"] for file in manifest.get("bad_files", [])}
    for segment in (segment for unit in text.units for segment in unit):
        if segment.name in left_out:
            continue
        if segment.name not in names:
            raise UsageError(
                f"{output}: a token store is there already, without {segment.name}; add it with "
                "--append, or make the store anew with --force"
            )
        entry = entries.get((segment.name, segment.start, segment.end))
        if entry is None or not is_unchanged(segment, entry):
            raise UsageError(
                f"{segment.shown}: has changed since the token store {output} was made of it; make "
                "the store anew with --force"
            )
