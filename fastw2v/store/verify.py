"""Compare a token store or a model with its checksums, file by file, and list all damage."""

from __future__ import annotations

import dataclasses
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastw2v.errors import DataError, one_line
from fastw2v.io import model_directory as layout
from fastw2v.io import storage
from fastw2v.io.machine import Meter, Progress, map_in_threads
from fastw2v.io.store_directory import MANIFEST, UNFINISHED
from fastw2v.io.untrusted import inside
from fastw2v.store.format import TokenPart, read_manifest
from fastw2v.store.phrases.phrases import load_phrases
from fastw2v.store.report import PreprocessReport
from fastw2v.store.vocabulary import Vocabulary

_SHOWN_PROBLEMS = 3  # of one file
_VALUES_AT_ONCE = 1 << 20  # of a matrix, checked to be finite
_SPARSE = 8  # ids of a row group times this: of a larger vocabulary they are counted by sorting


@dataclasses.dataclass(frozen=True)
class Finding:
    """What is wrong with one file of a store or model.

    Attributes:
        path: the file.
        problem: what is wrong with it, one line.
        damage: False for a file that does not belong to the store or model, which is sound then.
    """

    path: Path
    problem: str
    damage: bool = True

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


def verify_store(
    path: str | Path, progress: Progress | None = None, *, threads: int | None = None
) -> list[Finding]:
    """Read every byte of the token store at `path`; one finding per faulty file.

    Compared with the manifest: size and SHA-256 of each file, the hash of the vocabulary, sequences
    and tokens of each row group. Checked besides: page checksums, ids within the vocabulary, and
    the counts of a vocabulary that was counted from this text against the ids in the parts.

    Args:
        path: the store.
        progress: called as progress(phase, done_bytes, total_bytes), from any thread.
        threads: default: the usable cores.

    Returns:
        Findings of damage in the order of the manifest, then files that it does not list. Empty
        for a store that is sound.

    Raises:
        UsageError: `path` is missing, not a token store, or an unfinished one.
    """
    path = Path(path)
    try:
        manifest = read_manifest(path)
    except DataError as error:
        return [Finding(path / MANIFEST, _reason(error, path / MANIFEST, path))]
    return _Verification(path, manifest, progress).run(threads)


def _reason(error: Exception, *paths: Path) -> str:
    """The message on one line, without the path that it begins with."""
    message = " ".join(str(error).split())
    for path in paths:
        message = message.removeprefix(one_line(f"{path}: "))
    return message


def listed_files(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The entries of all files that a manifest lists: the vocabulary, the parts, any others."""
    others = [
        entry
        for name, entry in manifest.items()
        if name != "vocabulary" and isinstance(entry, dict) and {"file", "sha256"} <= set(entry)
    ]
    return [manifest["vocabulary"], *manifest["parts"], *others]


class _Verification:
    """One run; `problems` by file name."""

    def __init__(self, path: Path, manifest: dict[str, Any], progress: Progress | None) -> None:
        self._path, self._manifest = path, manifest
        self._entries = {entry["file"]: entry for entry in listed_files(manifest)}
        self._parts: dict[str, TokenPart] = {}
        self._problems: dict[str, list[str]] = defaultdict(list)
        total = sum(entry.get("bytes", 0) for entry in self._entries.values())
        self._meter = Meter(progress, "verifying", total)
        self._num_words: int = manifest["vocabulary"]["size"]
        self._counts: _IdCounts | None = None

    def run(self, threads: int | None) -> list[Finding]:
        """Check all files."""
        if not _report_balances(self._manifest["report"]):
            self._problems[MANIFEST].append("its account of tokens does not balance")
        present = [name for name, entry in self._entries.items() if self._is_there(name, entry)]
        vocabulary = self._load_vocabulary()
        if vocabulary is not None and counted_here(self._manifest):
            self._counts = _IdCounts(len(vocabulary))
        jobs: list[tuple[str, int | None]] = []
        for name in present:
            jobs.append((name, None))
            jobs += [(name, group) for group in range(self._open_part(name))]
        results = map_in_threads(lambda job: self._check(*job), jobs, self._meter, threads)
        for (name, _), problem in zip(jobs, results, strict=True):
            if problem:
                self._problems[name].append(problem)
        if vocabulary is not None and self._counts and not any(self._problems.values()):
            name = self._manifest["vocabulary"]["file"]
            self._problems[name] += self._counts.differences(vocabulary)
        found = [
            Finding(self._path / name, _joined(self._problems[name]))
            for name in (MANIFEST, *self._entries)
            if self._problems.get(name)
        ]
        return found + list(_extra_files(self._path, set(self._entries)))

    def _is_there(self, name: str, entry: Mapping[str, Any]) -> bool:
        try:
            path = inside(self._path, name)
        except DataError as error:
            self._problems[name].append(_reason(error, self._path / name))
            return False
        size = path.stat().st_size if path.is_file() else None
        if size is not None and size == entry.get("bytes", size):
            return True
        self._meter.add(entry.get("bytes", 0))
        self._problems[name].append(
            "missing, but the manifest lists it"
            if size is None
            else f"{size} bytes, but the manifest says {entry['bytes']}"
        )
        return False

    def _load_vocabulary(self) -> Vocabulary | None:
        """The vocabulary that the manifest names, None where it is not there."""
        entry = self._manifest["vocabulary"]
        path, problems = self._path / entry["file"], self._problems[entry["file"]]
        if path.is_symlink() or not path.is_file():
            return None
        try:
            vocabulary = Vocabulary.load(path)
        except DataError as error:
            problems.append(_reason(error, path))
            return None
        found = vocabulary.hash, len(vocabulary), vocabulary.total
        if found == (entry["hash"], entry["size"], entry.get("total", vocabulary.total)):
            return vocabulary
        problems.append("not the vocabulary that the manifest names")
        return None

    def _open_part(self, name: str) -> int:
        """Check the footer of a part; its number of row groups, 0 if it is unreadable."""
        entry, path, problems = self._entries[name], self._path / name, self._problems[name]
        if "row_groups" not in entry:
            return 0
        try:
            part = TokenPart.open(path)
            sizes = part.row_group_sizes()
        except DataError as error:
            problems.append(_reason(error, path))
            return 0
        if part.vocabulary_hash != self._manifest["vocabulary"]["hash"]:
            problems.append("its ids belong to another vocabulary")
        if sizes != [(group["sentences"], group["tokens"]) for group in entry["row_groups"]]:
            problems.append("its row groups are not those of the manifest")
        self._parts[name] = part
        return len(sizes)

    def _check(self, name: str, group: int | None) -> str | None:
        """Check the bytes of a file, or one row group of a part; what is wrong."""
        part = self._parts.get(name)
        try:
            if group is not None and part is not None:
                return self._check_row_group(part, group, self._entries[name])
            share = 0.5 if part else 1.0  # of the work on a part the other half is decoding it
            digest = storage.sha256_of(
                self._path / name, progress=lambda size: self._meter.add(share * size)
            )
        except DataError as error:
            return _reason(error, self._path / name)
        return None if digest == self._entries[name]["sha256"] else "does not match its SHA-256"

    def _check_row_group(self, part: TokenPart, group: int, entry: Mapping[str, Any]) -> str | None:
        try:
            ids, offsets = part.read(group, self._num_words)
        finally:
            self._meter.add(0.5 * entry["bytes"] / len(part.row_groups))
        if self._counts:
            self._counts.add(ids)
        if (len(offsets) - 1, len(ids)) != part.row_group_sizes()[group]:
            return f"row group {group} does not hold what the footer says"
        if (np.diff(offsets) < 1).any():
            return f"row group {group} has an empty sequence"
        return None


def counted_here(manifest: Mapping[str, Any]) -> bool:
    """Whether the vocabulary's counts must be those of the ids in the parts.

    Not so where it was reused from elsewhere, is approximate, or text was added under it.
    """
    settings = manifest["settings"]
    return (
        settings.get("vocabulary") is None
        and not settings.get("approximate_vocab")
        and not manifest.get("appended_parts")
    )


def _report_balances(report: Mapping[str, Any]) -> bool:
    try:
        return PreprocessReport(**report).balanced
    except TypeError:  # of another version: with numbers that this one cannot place
        return True


def _joined(problems: list[str]) -> str:
    more = len(problems) - _SHOWN_PROBLEMS
    shown = "; ".join(problems[:_SHOWN_PROBLEMS])
    return f"{shown}; and {more} more like that" if more > 0 else shown


class _IdCounts:
    """How often each id occurs, added up by several threads."""

    def __init__(self, size: int) -> None:
        self._counts = np.zeros(size, dtype=np.int64)
        self._lock = threading.Lock()

    def add(self, ids: np.ndarray) -> None:
        """Count `ids`, int32 (n,), all within the vocabulary."""
        if len(self._counts) <= _SPARSE * len(ids):
            counts = np.bincount(ids)
            with self._lock:
                self._counts[: len(counts)] += counts
        else:
            different, counts = np.unique(ids, return_counts=True)
            with self._lock:
                self._counts[different] += counts

    def differences(self, vocabulary: Vocabulary) -> Iterator[str]:
        """What the counts of `vocabulary`, of the same size, have wrong: nothing or one line."""
        wrong = np.flatnonzero(self._counts != vocabulary.counts)
        if len(wrong):
            word, count = vocabulary.tokens[wrong[0]], vocabulary.counts[wrong[0]]
            yield (
                f"the counts of {len(wrong):,} words are not those of the parts: {word!r} is "
                f"counted {count:,} times and occurs {self._counts[wrong[0]]:,} times"
            )


def _extra_files(store: Path, listed: set[str]) -> Iterator[Finding]:
    """Files in the directory that the manifest does not list."""
    for path in sorted(store.rglob("*")):
        name = path.relative_to(store)
        if name.as_posix() == UNFINISHED:
            problem = "work that an interrupted preprocess left; fastw2v preprocess removes it"
            yield Finding(path, problem, damage=False)
        elif name.parts[0] == UNFINISHED or name.as_posix() in {MANIFEST, *listed}:
            continue
        elif not path.is_dir():
            yield Finding(path, "the manifest does not list it", damage=False)


def verify_model(
    path: str | Path, progress: Progress | None = None, *, threads: int | None = None
) -> list[Finding]:
    """Read every byte of the model directory `path`, or of one save of it; one finding per file.

    All generations and checkpoints are read. Compared with the `state.json` of each: the SHA-256 of
    its files, the number of words, the shape of the matrices. Checked besides: that CURRENT names a
    save, that matrices are finite, and that vocabulary, phrases and history are readable.

    Args:
        path: the model directory, or one of its generations or checkpoints.
        progress: called as progress(phase, done_bytes, total_bytes), from any thread.
        threads: default: the usable cores.

    Returns:
        Findings of damage, newest save first, then files that no save lists. Empty for a sound
        model. A save that a training run removes meanwhile is left out.

    Raises:
        UsageError: `path` is missing or not a model.
    """
    path = Path(path)
    layout.check_is_model(path)
    saves = layout.saves_of(path)
    best = path / layout.CHECKPOINTS / layout.BEST
    if layout.is_generation(best):
        saves.append(best)
    findings = []
    if not layout.names_a_save(path):
        findings.append(Finding(path / layout.CURRENT, "names no save that is there"))
    files: list[_SavedFile] = []
    for save in saves:
        try:
            state = layout.read_state(_reached(path, save))
        except DataError as error:
            findings.append(Finding(save / layout.STATE, _reason(error, save / layout.STATE, save)))
            continue
        files += [_SavedFile(save, name, state) for name in state["sha256"]]
    meter = Meter(progress, "verifying", sum(file.size for file in files))
    problems = map_in_threads(lambda file: file.check(meter), files, meter, threads)
    for file, problem in zip(files, problems, strict=True):
        if problem and file.save.exists():
            findings.append(Finding(file.path, problem))
    return findings + list(_unlisted_files(path, saves, {file.path for file in files}))


def _reached(model: Path, save: Path) -> Path:
    """`save`, which is in `model` without symbolic links."""
    return save if save == model else inside(model, save.relative_to(model).as_posix())


class _SavedFile(NamedTuple):
    """One file that the `state` of the save at `save` lists."""

    save: Path
    name: str
    state: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.save / self.name

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def check(self, meter: Meter) -> str | None:
        """What is wrong with its bytes or its content."""
        try:
            digest = storage.sha256_of(inside(self.save, self.name), progress=meter.add)
            if digest != self.state["sha256"][self.name]:
                return "does not match its SHA-256"
            return self._check_content()
        except DataError as error:
            return _reason(error, self.path, self.save)

    def _check_content(self) -> str | None:
        if self.name == layout.VOCABULARY:
            words, expected = len(Vocabulary.load(self.path)), self.state["vocabulary_size"]
            return (
                None if words == expected else f"{words} words, but {layout.STATE} says {expected}"
            )
        if self.name == layout.PHRASES:
            load_phrases(self.path)
            return None
        try:
            saved = layout.generation_of(self.save, self.state)
        except DataError:
            if self.name == layout.CONFIG:
                raise
            return None  # a finding of its own
        stem = self.name.removesuffix(".npy")
        if self.name == layout.HISTORY:
            saved.history()
        elif stem in layout.OPTIONAL_ARRAYS:
            saved.array(stem)
        elif stem in layout.MATRICES:
            return _not_finite(saved.matrix(stem, memory_map=True))
        return None


def _not_finite(matrix: np.ndarray) -> str | None:
    rows = max(1, _VALUES_AT_ONCE // matrix.shape[1])
    for start in range(0, len(matrix), rows):
        finite = np.isfinite(matrix[start : start + rows]).all(axis=1)
        if not finite.all():
            return f"row {start + int(finite.argmin())} has values that are not finite"
    return None


def _unlisted_files(model: Path, saves: list[Path], listed: set[Path]) -> Iterator[Finding]:
    """The files in the directory of a model that neither it nor one of its saves lists."""
    own = {model / name for name in (layout.CURRENT, layout.LOCK, layout.LOSS_PLOT)}
    own |= listed | {save / layout.STATE for save in saves}
    for path in sorted(model.rglob("*")):
        if path not in own and not path.is_dir():
            yield Finding(path, "no save of the model lists it", damage=False)
