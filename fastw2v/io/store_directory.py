"""What a token store is made of: names, the kinds of directory, and the shape of the manifest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastw2v.errors import DataError
from fastw2v.io import storage

FORMAT = "fastw2v token store"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.parquet"
PHRASES = "phrases.parquet"
TOKENS = "tokens"
UNFINISHED = "unfinished"
PLAN = "plan.json"

_PLAIN_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9]+)+")  # of a file beside the manifest
_LARGEST = 1 << 62  # of a number in a manifest: sums of them stay within int64


def part_name(number: int) -> str:
    """`tokens/part-00000.parquet` for part 0."""
    return f"{TOKENS}/part-{number:05d}.parquet"


def is_store(path: Path) -> bool:
    """Whether `path` is a directory that carries a token store's manifest."""
    return _has_format(path / MANIFEST)


def opens_as_store(path: Path) -> bool:
    """Whether `path`, given as data, is to be opened as a token store and not read as text.

    This includes a directory with a foreign manifest, so that opening it reports the error.
    """
    return is_unfinished_store(path) or (path / MANIFEST).is_file()


def is_unfinished_store(path: Path) -> bool:
    """Whether `path` is a token store that `preprocess` has begun and not finished."""
    return not is_store(path) and has_plan(path)


def is_damaged_store(path: Path) -> bool:
    """Whether `path` is a token store but for its manifest, which is no JSON object.

    Strict, because such a directory may be replaced: nothing but what `preprocess` writes is in it.
    """
    try:
        if has_plan(path) or not (path / MANIFEST).is_file() or not (path / VOCABULARY).is_file():
            return False
        names = {entry.name for entry in path.iterdir()}
        parts = sorted(entry.name for entry in (path / TOKENS).iterdir())
        storage.read_json(path / MANIFEST)
    except DataError as error:
        unreadable = not isinstance(error.__cause__, OSError)
    except OSError:
        return False
    else:
        return False
    expected = [Path(part_name(number)).name for number in range(len(parts))]
    ours = names <= {MANIFEST, VOCABULARY, PHRASES, TOKENS, UNFINISHED}
    return unreadable and ours and parts == expected and len(parts) > 0


def has_plan(path: Path) -> bool:
    """Whether `path` carries the plan of a store in the making.

    Not so where a directory in it is a symbolic link: what is written there would go elsewhere.
    """
    linked = any((path / name).is_symlink() for name in (UNFINISHED, TOKENS))
    return not linked and _has_format(path / UNFINISHED / PLAN)


def made_for_of(path: Path) -> str | None:
    """The `made_for` that `preprocess` was given for the store `path`, finished or not.

    None if it was not given, or if there is no readable store of either kind.
    """
    header = _header(path / MANIFEST) or _header(path / UNFINISHED / PLAN)
    made_for = header.get("made_for")
    return made_for if isinstance(made_for, str) else None


def _has_format(path: Path) -> bool:
    return bool(_header(path))


def _header(path: Path) -> dict[str, Any]:
    """The content of a manifest or plan; empty where it is missing, unreadable or not one."""
    try:
        content = storage.read_json(path) if path.is_file() else {}
    except (DataError, OSError):
        return {}
    return content if content.get("format") == FORMAT else {}


def check_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """Prove the shape of the manifest once, so that the rest may rely on it."""
    try:
        sound = _files_are_sound(manifest) and _notes_are_sound(manifest)
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise damaged_manifest(path)


def _files_are_sound(manifest: dict[str, Any]) -> bool:
    """Whether files have the expected names, and numbers add up."""
    files = [manifest["vocabulary"], *manifest["parts"]]
    numbers = [entry["bytes"] for entry in files] + [manifest["vocabulary"]["size"]]
    numbers.append(manifest["vocabulary"].get("total", 0))
    sums_agree = len(manifest["parts"]) > 0
    for key in ("sentences", "tokens"):
        for part in manifest["parts"]:
            groups = [group[key] for group in part["row_groups"]]
            numbers += [*groups, part[key]]
            sums_agree = sums_agree and part[key] == sum(groups)
        total = sum(part[key] for part in manifest["parts"])
        numbers += [total, manifest.get(key, total)]
        sums_agree = sums_agree and manifest.get(key, total) == total
    phrases = manifest.get("phrases") or {"file": PHRASES, "bytes": 0, "sha256": ""}
    numbers.append(phrases["bytes"])
    others = [
        entry
        for name, entry in manifest.items()
        if isinstance(entry, dict) and "file" in entry and name not in ("vocabulary", "phrases")
    ]
    numbers += [entry.get("bytes", 0) for entry in others]
    listed = [*files, phrases, *others]
    texts = [entry[key] for entry in listed for key in ("file", "sha256")]
    texts.append(manifest["vocabulary"]["hash"])
    expected = [VOCABULARY, *(part_name(n) for n in range(len(files) - 1))]
    return (
        all(type(number) is int and 0 <= number <= _LARGEST for number in numbers)
        and sums_agree
        and all(isinstance(text, str) for text in texts)
        and [entry["file"] for entry in files] == expected
        and phrases["file"] == PHRASES
        and all(_PLAIN_NAME.fullmatch(entry["file"]) for entry in others)
    )


def _notes_are_sound(manifest: dict[str, Any]) -> bool:
    """Whether the settings and the report have values of the right types."""
    settings, report, layout = (manifest[name] for name in ("settings", "report", "layout"))
    numbers = [*report.values(), *layout.values(), settings.get("min_count", 1)]
    numbers.append(settings.get("max_vocab") or 0)
    numbers.append(manifest.get("appended_parts", 0))
    inputs = manifest["inputs"]
    spans = [entry[name] for entry in inputs for name in ("start", "end")]
    texts = [manifest["source"], *manifest["setting_files"].values()]
    texts += [manifest.get("made_for") or ""]
    texts += [entry[name] for entry in inputs for name in ("name", "sha256")]
    bad_files = manifest.get("bad_files", [])
    texts += [file[name] for file in bad_files for name in ("name", "reason")]
    return (
        all(type(number) is int and 0 <= number <= _LARGEST for number in numbers)
        and (bool(manifest.get("phrases")) or not settings.get("phrases"))
        and all(type(span) is int for span in spans)
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(value, str | int | float | None) for value in settings.values())
    )


def damaged_manifest(path: Path) -> DataError:
    """The error for a manifest with invalid content."""
    return DataError(f"{path}: damaged; make the store anew (fastw2v preprocess --force)")
