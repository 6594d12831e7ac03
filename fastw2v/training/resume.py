"""How a run begins, and whether a model can be resumed.

What is read from a save is proven to be what a run writes, as saves may come from anywhere; the
data and the options have to be the same. A run that diverged goes back to an earlier save.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastw2v.errors import DataError, DivergenceError, UsageError
from fastw2v.io import model_directory as layout
from fastw2v.io.model_directory import CONFIG, HISTORY, STATE, Generation
from fastw2v.kernels.blocks import Weights
from fastw2v.kernels.primitives import new_matrix
from fastw2v.training import steppers as steps
from fastw2v.training.config import DEFAULT_ALPHAS, FIXED_ON_RESUME, TrainConfig, resumed_config
from fastw2v.training.data import Position, planned_words
from fastw2v.training.reporting import Reporter
from fastw2v.training.schedule import MAX_ROLLBACKS, LearningRate

INIT_NOTE = "init"  # in the state of a save: whose vectors the model began with
EPOCHS_BEFORE = "epochs_before"
_MAX = 1 << 62
_OPTIONS = {*FIXED_ON_RESUME, "alpha", "min_alpha", "epochs"} - {"holdout"}  # older ones have none
_OF_THE_CORPUS = ("corpus_hash", "words_before")  # the same text may come twice
_WHAT_TO_DO = (
    "the file is damaged or from another version, and training cannot be resumed from it; start a "
    "new model (`overwrite_model`)"
)


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run begins with.

    weights: of the store's vocabulary and the config's dim; the run changes them.
    position, words_done: in the present corpus.
    words_before: words that were trained on other corpora before.
    history: the rows so far.
    fresh: whether it is a new model, so that files in its place belong to another.
    schedule: `LearningRate.as_json` of the run that is resumed, {} for a new one.
    epochs_before: epochs on other corpora before, including an unfinished one: checkpoints are
        numbered on.
    init_note: the value of `INIT_NOTE` in the state of every save; None where there is none.
    best: `Best.as_json` of the run that is resumed.
    holdout_losses, patience_losses: see `model_directory.OPTIONAL_ARRAYS`.
    """

    weights: Weights
    position: Position = dataclasses.field(default_factory=Position)
    words_done: int = 0
    words_before: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    fresh: bool = False
    schedule: dict[str, Any] = dataclasses.field(default_factory=dict)
    epochs_before: int = 0
    init_note: dict[str, Any] | None = None
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    holdout_losses: np.ndarray | None = None
    patience_losses: np.ndarray | None = None

    def constant_state(self) -> dict[str, Any]:
        """What all saves of the run keep of its start."""
        note = {} if self.init_note is None else {INIT_NOTE: self.init_note}
        return {**note, "words_before": self.words_before, EPOCHS_BEFORE: self.epochs_before}


# --- reading a save ---


def open_save(path: str | Path, reporter: Reporter) -> Generation:
    """The newest good save of a model directory, or a checkpoint; damage is a warning.

    Raises:
        UsageError: there is no model at `path`. DataError: no good save is left.
    """
    return layout.open_model(path, on_damage=reporter.warning)


def check_saved(saved: Generation) -> None:
    """Check that training can be resumed from `saved`, whose files match their checksums.

    Raises:
        DataError: names the key that is missing or the value that is not allowed.
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
            raise DataError(f"{saved.path / STATE}: {name} is {found}; {_WHAT_TO_DO}")
    last = saved.history()[-1:]
    if last and not (_is_whole(last[0].get("words")) and _is_real(last[0].get("seconds"))):
        raise DataError(f"{saved.path / HISTORY}: its last row is invalid; {_WHAT_TO_DO}")


def _is_whole(value: object, least: int = 0, most: int = _MAX) -> bool:
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
        and _is_whole(value.get("rollbacks", 0), most=MAX_ROLLBACKS + 1)
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


def load_weights(saved: Generation, vocabulary_size: int, config: TrainConfig) -> Weights:
    """The weights of a save; rows beyond its vocabulary are those of a new model.

    Raises:
        DataError: the save is damaged.
    """
    saved_rows = int(saved.state["vocabulary_size"])
    if saved_rows < vocabulary_size:
        weights = steps.initial_weights(vocabulary_size, config)
    else:
        weights = Weights(
            new_matrix(vocabulary_size, config.vector_dim),
            new_matrix(vocabulary_size, config.vector_dim),
        )
    for name, matrix in zip(layout.MATRICES, weights, strict=True):
        matrix[:saved_rows, : config.vector_dim] = saved.matrix(name, memory_map=True)
    return weights


def _start_at(saved: Generation, vocabulary_size: int, config: TrainConfig) -> Start:
    """Where a save left off."""
    state = saved.state
    return Start(
        load_weights(saved, vocabulary_size, config),
        Position(**state["position"]),
        int(state["words_done"]),
        int(state.get("words_before", 0)),
        saved.history(),
        schedule=state.get("schedule", {}),
        epochs_before=int(state.get(EPOCHS_BEFORE, 0)),
        init_note=state.get(INIT_NOTE),
        best=state.get("best", {}),
        holdout_losses=saved.array("holdout_losses"),
        patience_losses=saved.array("patience_losses"),
    )


# --- resuming ---


def start_anew(vocabulary_size: int, config: TrainConfig) -> Start:
    """A new model."""
    return Start(steps.initial_weights(vocabulary_size, config), fresh=True)


def resume(saved: Generation, vocabulary_size: int, config: TrainConfig) -> Start:
    """Where the save left off. If early stopping ended the run, and more epochs are asked for, the
    learning rate is constant again until early stopping ends it once more.

    Raises:
        DataError: the save is damaged.
    """
    start = _start_at(saved, vocabulary_size, config)
    schedule = saved_schedule(saved, config)
    if not _ended_early(saved, config):
        return dataclasses.replace(start, schedule=schedule)
    schedule["fall_from"] = None
    return dataclasses.replace(start, schedule=schedule, patience_losses=None)


def saved_schedule(saved: Generation, config: TrainConfig) -> dict[str, Any]:
    """`LearningRate.as_json` of the save, as far as it holds under `config`.

    Without early stopping the decay is planned from the beginning, which early stopping, if it is
    new, has not begun; and rollbacks halved another learning rate than one that is given now.
    """
    schedule, before = dict(saved.state.get("schedule", {})), saved.config
    if config.patience is not None and before.get("patience") is None:
        schedule["fall_from"] = None
    if config.alpha != before.get("alpha"):
        schedule["rollbacks"] = 0
    return schedule


def check_init(saved: Generation, model: Path, init: str | None, reporter: Reporter) -> str | None:
    """The file whose vectors the model began with, if any; `init` may only be that one.

    Raises:
        UsageError: it is another.
    """
    note = saved.state.get(INIT_NOTE)
    began_with = note.get("file") if isinstance(note, dict) else None
    if init is None:
        return began_with
    if Path(init).resolve().name != began_with:
        raise UsageError(
            f"`init`: {model} exists and continues from its own vectors; leave it out, or start a "
            "new model with `overwrite_model`"
        )
    reporter.info(f"`init`: {model} began with {began_with} and continues from its own vectors")
    return began_with


def is_finished(saved: Generation, config: TrainConfig, epoch_words: int) -> bool:
    """Whether all that the options ask for has been trained.

    Args:
        epoch_words: words of the store, for a save that does not have those of an epoch.
    """
    state = saved.state
    if _ended_early(saved, config):
        return bool(config.epochs <= saved.config["epochs"])
    total = planned_words(config, int(state.get("corpus_words", epoch_words)))
    return int(state["words_done"]) >= total


def _ended_early(saved: Generation, config: TrainConfig) -> bool:
    state = saved.state
    if config.patience is None:
        return False
    rate = LearningRate.of(config, int(state["total_words"]), saved_schedule(saved, config))
    return rate.decay_from is not None and int(state["words_done"]) >= rate.end_words


def finished_line(model: Path, saved: Generation, config: TrainConfig, epoch_words: int) -> str:
    """The line for a model that is finished: how to train more."""
    state = saved.state
    words, epochs = int(state["words_done"]), state["position"]["epoch"]
    passes = words / max(1, state.get("corpus_words", epoch_words))
    more = f"`epochs` {config.epochs + 5} (the total)"
    if config.max_words is not None and epochs < config.epochs:
        more = "a larger `max_words`, or none"
    return (
        f"{model}: finished already ({words:,} words, {passes:.3g} epochs); nothing to do. To "
        f"train more: {more}; on other text: `new_corpus`; to start a new model: `overwrite_model`"
    )


def resumed_line(saved: Generation, start: Start, rate: LearningRate) -> str:
    """Where training resumes, and at which learning rate; both plans of it where they differ."""
    state, words = saved.state, start.words_done
    stored = resumed_config(saved.config, {})
    old = LearningRate.of(stored, int(state["total_words"]), state.get("schedule", {}))
    at_most = "at most " if rate.decay_from is None else ""
    left = max(0, rate.end_words - words)
    line = f"resuming after {words:,} words, {at_most}{left:,} to go"
    if rate == old:
        return f"{line}, at learning rate {rate.at(words):.3g}"
    return (
        f"{line}; new learning rate: {rate.course()}, now {rate.at(words):.3g} (it was "
        f"{state['alpha']:.3g}, of {old.course()})"
    )


# --- going back after a divergence ---


def last_good(model: Path, corpus_hash: str, went_back_to: int | None = None) -> Generation | None:
    """The newest save of a run on this corpus, None where there is none.

    The numbers of a save can be finite and the next ones not. So if the run went back to the newest
    save before and came no further (`went_back_to`: its words), the newest checkpoint before it is
    taken instead, if there is one.

    Raises:
        DataError: no save of the model is whole.
    """
    newest = layout.open_model(model)
    if newest.state["corpus_hash"] != corpus_hash:
        return None
    if went_back_to is None or newest.state["words_done"] > went_back_to:
        return newest
    for path in layout.checkpoints(model)[::-1]:
        with contextlib.suppress(DataError):
            older = layout.open_model(path)
            check_saved(older)
            same = [older.state.get(name) == newest.state.get(name) for name in _OF_THE_CORPUS]
            if all(same) and older.state["words_done"] < went_back_to:
                return older
    return newest


def roll_back(
    saved: Generation, vocabulary_size: int, config: TrainConfig, rate: LearningRate
) -> Start:
    """Where the save left off, at half the learning rate of the run that diverged at `rate`.

    The schedule is that of this run, as it was then: an older checkpoint may be of a run with
    another end, or without early stopping.
    """
    start = _start_at(saved, vocabulary_size, config)
    schedule = rate.as_json()
    if rate.decay_from is None or rate.decay_from > start.words_done:
        schedule |= {"fall_from": None, "fall_words": 0}
    return dataclasses.replace(start, schedule=schedule | {"rollbacks": rate.rollbacks + 1})


def best_checkpoint(model: Path, words: int) -> Path | None:
    """The best checkpoint, if it is that after `words` words: its save may have failed."""
    path = model / layout.CHECKPOINTS / layout.BEST
    with contextlib.suppress(DataError):
        if layout.read_generation(path).state["words_done"] == words:
            return path
    return None


def divergence(
    error: DivergenceError,
    config: TrainConfig,
    rate: LearningRate,
    *,
    epoch: int,
    alpha: float,
    words_saved: int,
    words_before: int,
) -> DivergenceError:
    """The error that ends a run: what diverged, what is kept, and what to do.

    Args:
        alpha: the learning rate at which the last interval began.
        words_saved: those of the newest save, 0 or less: none that was trained.
        words_before: as in `Start`.
    """
    smaller = min(rate.start / 4, DEFAULT_ALPHAS[config.type])
    rolled_back = f", also after {rate.rollbacks} rollbacks" if rate.rollbacks else ""
    again = f"start again with `overwrite_model` and a smaller `alpha`, such as {smaller:.2g}"
    if words_saved > 0:
        kept = f"the save after {words_saved:,} words is kept"
    elif words_before:
        kept = "the model is kept as it was before this corpus"
        again = f"repeat the call with a smaller `alpha`, such as {smaller:.2g}"
    else:
        kept = "nothing had been learned (the save is the untrained model)"
    return DivergenceError(
        f"training diverged in epoch {epoch} at learning rate {alpha:.3g}{rolled_back}: {error}; "
        f"{kept}; {again}"
    )
