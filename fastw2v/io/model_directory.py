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
        holdout_losses.npy    of the held-out sequences, where some are (`OPTIONAL_ARRAYS`)
      gen-000016/             the save before it, in case the newest is damaged
      checkpoints/epoch-0001/ the same layout, hard-linked where the file system can
      checkpoints/best/       with `patience`: the save with the least held-out loss
      loss.png                the loss curve

`fastw2v.training.checkpoint` writes it; both training and vectors read it through this module.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastw2v.errors import DataError, UsageError
from fastw2v.io import storage
from fastw2v.io.untrusted import inside, open_regular, parse_json

if TYPE_CHECKING:
    import numpy as np

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
_CURRENT_BYTES = 256
_CHECKSUM = "checksum"  # of the rest of state.json, in it
_TYPES = ("sgram", "cbow", "sgram_neg", "cbow_neg")
MATRICES = ("input_vectors", "output_vectors")
CHECKED_FILES = (CONFIG, VOCABULARY, HISTORY, *(f"{name}.npy" for name in MATRICES))
# float32 matrices of the m held-out sequences: nats and positives of the last evaluation, (2, m);
# the nats of the evaluations that --patience looks back to, (n, m).
OPTIONAL_ARRAYS = ("holdout_losses", "patience_losses")
OPTIONAL_FILES = (PHRASES, *(f"{name}.npy" for name in OPTIONAL_ARRAYS))
BEST = "best"


class _Record(dict[str, Any]):
    """A JSON object of a save; a missing key is reported as damage.

    Raises:
        DataError: on access of a key that is not there.
    """

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise DataError(
            f"{self._path}: has no {key!r}; the file is damaged or from another version"
        )


@dataclasses.dataclass(frozen=True)
class Generation:
    """One complete saved state of a model, read from `path`."""

    path: Path
    config: dict[str, Any]
    state: dict[str, Any]

    @property
    def vocabulary_path(self) -> Path:
        """The file of the vocabulary; row = id = row of both matrices."""
        return self.path / VOCABULARY

    @property
    def phrases_path(self) -> Path | None:
        """The file of the phrases that were joined in the text, None where there are none."""
        return self.path / PHRASES if PHRASES in self.state["sha256"] else None

    def matrix(self, name: str, *, memory_map: bool = False) -> np.ndarray:
        """`input_vectors` or `output_vectors`: float32, shape (vocabulary, dim).

        Raises:
            DataError: the file is damaged or its shape does not fit the config.
        """
        from fastw2v.io.untrusted import read_matrix

        expected = (self.state["vocabulary_size"], self.config["vector_dim"])
        return read_matrix(self.path / f"{name}.npy", memory_map=memory_map, expected=expected)

    def array(self, name: str) -> np.ndarray | None:
        """One of `OPTIONAL_ARRAYS`, float32 (any, any), None where the save has none.

        Raises:
            DataError: the file is damaged.
        """
        from fastw2v.io.untrusted import read_matrix

        file = f"{name}.npy"
        if file not in self.state["sha256"]:
            return None
        return read_matrix(self.path / file, memory_map=False)

    def history(self) -> list[dict[str, Any]]:
        """The loss history, one dict an interval, oldest first."""
        path = self.path / HISTORY
        try:
            with open_regular(path) as file:
                lines = file.read().decode("utf-8").split("\n")
            rows = [parse_json(line) for line in lines[:-1]]
            if lines[-1] or not all(map(_is_history_row, rows)):
                raise ValueError("a line that is not a history row")
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a readable history ({error})") from error
        return rows


def _is_history_row(row: Any) -> bool:
    """Whether it is a JSON object of numbers, texts and nulls, what is drawn being numbers."""
    if not isinstance(row, dict):
        return False
    drawn = [row.get(name) for name in ("epoch", "words", "seconds", "alpha", "loss")]
    return all(isinstance(v, str | int | float | None) for v in row.values()) and not any(
        isinstance(value, str | bool) for value in drawn
    )


def is_model_directory(path: Path) -> bool:
    """Whether `path` is a directory that fastw2v made for a model."""
    path = Path(path)
    if path.is_symlink() or not path.is_dir():
        return False
    return (path / CURRENT).is_file() or any(is_generation(save) for save in saves_of(path))


def is_generation(path: Path) -> bool:
    """Whether `path` looks like one generation or checkpoint."""
    return (path / STATE).is_file() and (path / CONFIG).is_file()


def state_checksum(state: dict[str, Any]) -> str:
    """What `checksum` in state.json has to be: SHA-256 over the rest of it."""
    rest = {key: value for key, value in state.items() if key != _CHECKSUM}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_state(path: Path) -> dict[str, Any]:
    """The state.json of one generation, with its list of checksums; other files are not read.

    Raises:
        DataError: it is missing, damaged, a symbolic link, or of another format version.
    """
    state = storage.read_json(inside(path, STATE))
    if state.get("format") != FORMAT or state.get("version") != FORMAT_VERSION:
        raise DataError(f"{path}: not a fastw2v model of format version {FORMAT_VERSION}")
    # Saves of earlier versions have none.
    if _CHECKSUM in state and state[_CHECKSUM] != state_checksum(state):
        raise DataError(f"{path / STATE}: does not match its own checksum; the file is damaged")
    checksums = state.get("sha256")
    if not isinstance(checksums, dict) or set(checksums) - {*OPTIONAL_FILES} != {*CHECKED_FILES}:
        raise DataError(f"{path / STATE}: no complete list of checksums; the file is damaged")
    return state


def generation_of(path: Path, state: dict[str, Any]) -> Generation:
    """The generation at `path`, whose `state` is read; its config is read, checksums are not.

    Raises:
        DataError: the config is damaged; a value of either file is invalid.
    """
    config = storage.read_json(inside(path, CONFIG))
    if not _is_sound(state, config):
        raise DataError(f"{path}: {STATE} or {CONFIG} contains an invalid value; it is damaged")
    return Generation(path, _Record(path / CONFIG, config), _Record(path / STATE, state))


def read_generation(path: Path) -> Generation:
    """Read one generation and verify every file of it against its checksum.

    Raises:
        DataError: a file is missing, damaged, a symbolic link, or of another format version.
    """
    state = read_state(path)
    for name, checksum in state["sha256"].items():
        if storage.sha256_of(inside(path, name)) != checksum:
            raise DataError(f"{path / name}: does not match its checksum; the file is damaged")
    return generation_of(path, state)


def _is_sound(state: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether the values that reading relies on are of their kinds, as far as they are there."""
    whole = [state.get("vocabulary_size"), config.get("vector_dim")]
    whole += [state.get(name, 0) for name in ("words_done", "total_words")]
    whole += [config.get(name, 1) for name in ("window", "epochs")]
    reals = [state.get("training_seconds", 0), state.get("alpha", 0), config.get("alpha") or 0]
    reals += [config.get("ns_exponent", 0), config.get("subsample") or 0]
    records = [state.get(name, {}) for name in ("position", "corpus")]
    return (
        all(type(number) is int and 0 <= number < 1 << 62 for number in whole)
        and all(type(number) in (int, float) and math.isfinite(number) for number in reals)
        and all(isinstance(record, dict) for record in records)
        and all(type(number) is int for number in records[0].values())
        and all(isinstance(records[1].get(name, {}), dict) for name in ("settings", "report"))
        and config.get("type") in _TYPES
    )


def generations(model: Path) -> list[Path]:
    """The generations of a model directory, oldest first; other names are ignored."""
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


def current(model: Path) -> str:
    """The content of CURRENT, "" if it is missing or not a line of this format."""
    try:
        with open_regular(model / CURRENT) as file:
            said = file.read(_CURRENT_BYTES).decode("utf-8", errors="replace").strip()
    except (DataError, OSError):
        return ""
    # A name with a path in it is no name of ours: CURRENT must not lead out of the directory.
    return said if re.fullmatch(r"gen-[0-9]+", said) else ""


def saves_of(model: Path) -> list[Path]:
    """All saves of a model directory, the best first: that of CURRENT, other generations from the
    newest, checkpoints from the newest. Of a single save, itself."""
    if is_generation(model):
        return [model]
    named = current(model)
    newest_first = generations(model)[::-1]
    newest_first.sort(key=lambda path: path.name != named)
    return newest_first + checkpoints(model)[::-1]


def _read_candidate(model: Path, candidate: Path) -> Generation:
    """`read_generation`, of a directory inside the model, without symbolic links."""
    if candidate != model:
        inside(model, candidate.relative_to(model).as_posix())
    return read_generation(candidate)


def check_is_model(path: Path) -> None:
    """Refuse what is not a model directory, or one save of it.

    Raises:
        UsageError: nothing is there, or something else.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such model; train one with: fastw2v train TEXT {path}")
    if not is_model_directory(path.resolve()):
        raise UsageError(f"{path}: not a fastw2v model directory (it has no {CURRENT} file)")


def names_a_save(path: Path) -> bool:
    """Whether CURRENT of a model directory names a generation that is there; a save needs none."""
    return is_generation(path) or (path / current(path) / STATE).is_file()


def open_model(path: str | Path, *, on_damage: Callable[[str], None] | None = None) -> Generation:
    """Read the newest good generation of the model directory `path` (or one checkpoint's).

    When the newest is damaged, `on_damage` gets a line that says so, and the next good generation
    or checkpoint is read.

    Raises:
        UsageError: there is no model at `path`.
        DataError: the model is damaged and has no good checkpoint left.
    """
    path = Path(path)
    check_is_model(path)
    problems: list[str] = []
    if not names_a_save(path):
        problems.append(f"{path / CURRENT}: names no save that is there")
    for candidate in saves_of(path):
        try:
            generation = _read_candidate(path, candidate)
        except DataError as error:
            problems.append(str(error))
            continue
        if problems and on_damage:
            on_damage(f"{problems[0]}; going on with the last good save, {candidate.name}")
        return generation
    first = problems[0] if problems else f"{path}: no generation in it"
    raise DataError(
        f"{first}; no good checkpoint is left (start a new model with `overwrite_model`)"
    )


def read_model(
    path: str | Path,
    read: Callable[[Generation], Result],
    *,
    on_damage: Callable[[str], None] | None = None,
) -> Result:
    """`read(open_model(path))`, also while the model trains.

    The second save from now removes a generation, perhaps while it is being read: where CURRENT has
    moved on meanwhile, the reading starts over.

    Raises:
        UsageError, DataError: as `open_model`.
    """
    for attempt in range(_READ_ATTEMPTS):
        before, lines = current(Path(path)), list[str]()
        try:
            result = read(open_model(path, on_damage=lines.append))
        except DataError:
            if current(Path(path)) == before or attempt == _READ_ATTEMPTS - 1:
                raise
            continue
        if not lines or current(Path(path)) == before:
            break
    for line in lines:
        if on_damage:
            on_damage(line)
    return result
