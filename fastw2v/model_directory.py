"""The layout of a model directory, and how to read it.

    MODEL/
      CURRENT                 one line: the name of the newest complete generation
      gen-000017/             a generation; never changed once it has this name
        config.json           the training options
        state.json            position, words done, learning rate, SHA-256 of the other files
        vocabulary.parquet    token, count; the row is the id
        phrases.parquet       the phrases that were joined, where some were
        input_vectors.npy     float32 (vocabulary, dim), C order
        output_vectors.npy    float32 (vocabulary, dim), C order
        history.jsonl         one JSON object an interval
      checkpoints/epoch-0001/ the same layout, hard-linked where the file system can
      loss.png                the loss curve

`fastw2v.training.checkpoint` writes it; both training and vectors read it through this module.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastw2v import storage
from fastw2v.errors import DataError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from fastw2v.corpus.phrases import Phrases
    from fastw2v.corpus.vocabulary import Vocabulary

Result = TypeVar("Result")

FORMAT = "fastw2v model"
FORMAT_VERSION = 1
CURRENT = "CURRENT"
LOCK = ".lock"
CHECKPOINTS = "checkpoints"
LOSS_PLOT = "loss.png"
CONFIG, STATE, VOCABULARY, HISTORY = (
    "config.json",
    "state.json",
    "vocabulary.parquet",
    "history.jsonl",
)
PHRASES = "phrases.parquet"
_READ_ATTEMPTS = 5
MATRICES = ("input_vectors", "output_vectors")
CHECKED_FILES = (CONFIG, VOCABULARY, HISTORY, *(f"{name}.npy" for name in MATRICES))
OPTIONAL_FILES = (PHRASES,)


@dataclasses.dataclass(frozen=True)
class Generation:
    """One complete saved state of a model, read from `path`."""

    path: Path
    config: dict[str, Any]
    state: dict[str, Any]

    def vocabulary(self) -> Vocabulary:
        """The vocabulary; row = id = row of both matrices."""
        from fastw2v.corpus.vocabulary import Vocabulary

        return Vocabulary.load(self.path / VOCABULARY)

    def phrases(self) -> Phrases | None:
        """The phrases that were joined in the text, None where none were looked for."""
        if PHRASES not in self.state["sha256"]:
            return None
        from fastw2v.corpus.phrases import load_phrases

        return load_phrases(self.path / PHRASES)

    def matrix(self, name: str, *, memory_map: bool = False) -> np.ndarray:
        """`input_vectors` or `output_vectors`: float32, shape (vocabulary, dim).

        Raises:
            DataError: the file is damaged or its shape does not fit the config.
        """
        import numpy as np

        path = self.path / f"{name}.npy"
        try:
            values = np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: not a readable matrix ({error})") from error
        expected = (self.state.get("vocabulary_size"), self.config.get("vector_dim"))
        if values.dtype != np.float32 or values.shape != expected:
            raise DataError(
                f"{path}: expected float32 of shape {expected}, "
                f"found {values.dtype} of shape {values.shape}"
            )
        return values

    def history(self) -> list[dict[str, Any]]:
        """The loss history, one dict an interval, oldest first."""
        path = self.path / HISTORY
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable history ({error})") from error


def is_model_directory(path: Path) -> bool:
    """Whether `path` is a directory that fastw2v made for a model."""
    path = Path(path)
    if path.is_symlink() or not path.is_dir():
        return False
    return (path / CURRENT).is_file() or any(is_generation(save) for save in _candidates(path))


def is_generation(path: Path) -> bool:
    """Whether `path` looks like one generation or checkpoint."""
    return (path / STATE).is_file() and (path / CONFIG).is_file()


def read_generation(path: Path) -> Generation:
    """Read one generation and verify every file of it against its checksum.

    Raises:
        DataError: a file is missing, damaged or of another format version.
    """
    state = storage.read_json(path / STATE)
    if state.get("format") != FORMAT or state.get("version") != FORMAT_VERSION:
        raise DataError(f"{path}: not a fastw2v model of format version {FORMAT_VERSION}")
    checksums = state.get("sha256")
    if not isinstance(checksums, dict) or set(checksums) - {*OPTIONAL_FILES} != {*CHECKED_FILES}:
        raise DataError(f"{path / STATE}: no complete list of checksums; the file is damaged")
    for name in checksums:
        if storage.sha256_of(path / name) != checksums[name]:
            raise DataError(f"{path / name}: does not match its checksum; the file is damaged")
    return Generation(path, storage.read_json(path / CONFIG), state)


def generations(model: Path) -> list[Path]:
    """The generations of a model directory, oldest first; other names are none of ours."""
    return _numbered(model, "gen")


def checkpoints(model: Path) -> list[Path]:
    """The epoch checkpoints of a model directory, oldest first."""
    return _numbered(model / CHECKPOINTS, "epoch")


def number_of(path: Path) -> int:
    """17 for gen-000017, 3 for epoch-0003."""
    return int(path.name.rpartition("-")[2])


def _numbered(directory: Path, kind: str) -> list[Path]:
    # By number, not by name: epoch-10000 comes after epoch-9999.
    ours = re.compile(rf"{kind}-[0-9]+")
    return sorted(
        (path for path in directory.glob(f"{kind}-*") if ours.fullmatch(path.name)), key=number_of
    )


def _current(model: Path) -> str:
    """What CURRENT says, "" where there is none."""
    try:
        return (model / CURRENT).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""


def _candidates(model: Path) -> list[Path]:
    """Generations and checkpoints of a model directory, the best first."""
    if is_generation(model):
        return [model]
    # A name with a path in it is no name of ours: CURRENT must not lead out of the directory.
    named = _current(model)
    newest_first = generations(model)[::-1]
    newest_first.sort(key=lambda path: path.name != named)
    return newest_first + checkpoints(model)[::-1]


def open_model(path: str | Path, *, on_damage: Callable[[str], None] | None = None) -> Generation:
    """Read the newest good generation of the model directory `path` (or one checkpoint's).

    When the newest is damaged, `on_damage` gets a line that says so, and the next good generation
    or checkpoint is read.

    Raises:
        UsageError: there is no model at `path`.
        DataError: the model is damaged and has no good checkpoint left.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(
            f"{path}: no such model; train one with: fastw2v train --model-file {path}"
        )
    if not is_model_directory(path.resolve()):
        raise UsageError(f"{path}: not a fastw2v model directory (it has no {CURRENT} file)")
    problems: list[str] = []
    if not is_generation(path) and not (path / f"{_current(path)}/{STATE}").is_file():
        problems.append(f"{path / CURRENT}: names no save that is there")
    for candidate in _candidates(path):
        try:
            generation = read_generation(candidate)
        except DataError as error:
            problems.append(str(error))
            continue
        if problems and on_damage:
            on_damage(f"{problems[0]}; going on with the last good save, {candidate.name}")
        return generation
    first = problems[0] if problems else f"{path}: no generation in it"
    raise DataError(f"{first}; no good checkpoint is left (start anew: --overwrite-model)")


def read_model(
    path: str | Path,
    read: Callable[[Generation], Result],
    *,
    on_damage: Callable[[str], None] | None = None,
) -> Result:
    """`read(open_model(path))`, also while the model trains.

    A save removes the generation before it, perhaps while that is being read: where CURRENT has
    moved on meanwhile, the reading starts over.

    Raises:
        UsageError, DataError: as `open_model`.
    """
    for attempt in range(_READ_ATTEMPTS):
        before, lines = _current(Path(path)), list[str]()
        try:
            result = read(open_model(path, on_damage=lines.append))
        except DataError:
            if _current(Path(path)) == before or attempt == _READ_ATTEMPTS - 1:
                raise
            continue
        if not lines or _current(Path(path)) == before:
            break
    for line in lines:
        if on_damage:
            on_damage(line)
    return result
