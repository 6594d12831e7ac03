"""What a run takes over from a save, proven to be what a run writes: saves may be a stranger's."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from fastw2v.errors import DataError
from fastw2v.model_directory import CONFIG, HISTORY, STATE, Generation
from fastw2v.training.batches import Position
from fastw2v.training.config import FIXED_ON_RESUME
from fastw2v.training.learning_rate import MOST_ROLLBACKS

_MOST = 1 << 62
_OPTIONS = {*FIXED_ON_RESUME, "alpha", "min_alpha", "epochs"} - {"holdout"}  # older ones have none


def check_saved(saved: Generation) -> None:
    """Make sure that training can go on from `saved`, whose files are those that were written.

    Raises:
        DataError: names what is missing or cannot be.
    """
    state = saved.state
    missing = sorted(_OPTIONS - set(saved.config))
    if missing:
        raise DataError(f"{saved.path / CONFIG}: has no {missing[0]!r}; {_WHAT_TO_DO}")
    for name in ("words_done", "total_words", "alpha"):  # numbers, by `model_directory`
        state[name]
    sound = {
        "position": _is_position(state["position"]),
        "schedule": _is_schedule(state.get("schedule", {})),
        "best": _is_best(state.get("best", {})),
        "init": _is_init(state.get("init", {})),
        "corpus_words": _is_whole(state.get("corpus_words", 1), least=1),
        **{name: _is_whole(state.get(name, 0)) for name in ("words_before", "epochs_before")},
    }
    for name, is_sound in sound.items():
        if not is_sound:
            found = str(state.get(name))[:80]
            raise DataError(f"{saved.path / STATE}: {name} cannot be {found}; {_WHAT_TO_DO}")
    last = saved.history()[-1:]
    if last and not (_is_whole(last[0].get("words")) and _is_real(last[0].get("seconds"))):
        raise DataError(f"{saved.path / HISTORY}: its last row is none of a run; {_WHAT_TO_DO}")


_WHAT_TO_DO = (
    "the file is damaged or of another version, and training cannot go on from it (start anew: "
    "--overwrite-model)"
)


def _is_whole(value: object, least: int = 0, most: int = _MOST) -> bool:
    return type(value) is int and least <= value < most


def _is_real(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _is_position(value: Mapping[str, Any]) -> bool:
    names = {field.name for field in dataclasses.fields(Position)}
    return set(value) == names and all(map(_is_whole, value.values()))


def _is_schedule(value: object) -> bool:
    """Whether it is what `LearningRate.as_json` gives; {} of a save before there was any."""
    if not isinstance(value, dict):
        return False
    begun = value.get("fall_from") is not None
    return (
        (not begun or _is_whole(value["fall_from"]))
        and _is_whole(value.get("fall_words", 1), least=1 if begun else 0)
        and _is_whole(value.get("rollbacks", 0), most=MOST_ROLLBACKS + 1)
    )


def _is_best(value: object) -> bool:
    """Whether it is what `Best.as_json` gives."""
    if not isinstance(value, dict):
        return False
    return not value or (
        set(value) == {"loss", "words"} and _is_real(value["loss"]) and _is_whole(value["words"])
    )


def _is_init(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("file", ""), str)
