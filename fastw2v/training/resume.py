"""What a run takes over from a save, proven to be what a run writes: saves may be a stranger's.

How a run begins: from new weights, from a save, or from a save's weights on another corpus.

Saves to go back to: that of a run that diverged, and the best one of a run with patience.

What is said, checked and refused when a model that exists is trained on.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastw2v.errors import DataError, UsageError
from fastw2v.io import model_directory as layout
from fastw2v.io.model_directory import CONFIG, HISTORY, STATE, Generation
from fastw2v.kernels.negative_sampling import Weights
from fastw2v.store.format import TokenStore
from fastw2v.training import steppers as steps
from fastw2v.training.config import FIXED_ON_RESUME, TrainConfig, resumed_config
from fastw2v.training.data import Position, corpus_hash, planned_words
from fastw2v.training.schedule import MAX_ROLLBACKS, LearningRate
from fastw2v.training.warm_start import SharedVectors

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


INIT_NOTE = "init"  # in the state of a save: whose vectors the model began with
EPOCHS_BEFORE = "epochs_before"
NEW_CORPUS = "new corpus"  # the event of a row of the history in which nothing is trained


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run begins with.

    weights: of the store's vocabulary and the config's dim; the run changes them.
    position, words_done: in the present corpus.
    words_before: words that were trained on other corpora before.
    history: the rows so far.
    fresh: whether it is a new model, so that what lies in its place belongs to another.
    schedule: `LearningRate.as_json` of the run that goes on, {} where it begins.
    epochs_before: epochs on other corpora before, a broken-off one included: checkpoints are
        numbered on.
    notes: what every save keeps in its state: `INIT_NOTE`.
    best: `patience.Best` of the run that goes on, as a dict, {} where there is none.
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
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    holdout_losses: np.ndarray | None = None
    patience_losses: np.ndarray | None = None


def new_start(
    vocabulary_size: int, config: TrainConfig, shared: SharedVectors | None = None
) -> Start:
    """A new model, with the vectors of another where `shared` has them."""
    weights = steps.initial_weights(vocabulary_size, config)
    if shared is None:
        return Start(weights, fresh=True)
    for matrix, rows in zip(weights, shared.matrices, strict=False):
        matrix[shared.ids, : config.vector_dim] = rows
    return Start(weights, fresh=True, notes={INIT_NOTE: shared.note})


def start_from(generation: layout.Generation, vocabulary_size: int, config: TrainConfig) -> Start:
    """Where a save left off.

    Raises:
        DataError: the save is damaged.
    """
    state = generation.state
    return Start(
        loaded_weights(generation, vocabulary_size, config),
        Position(**state["position"]),
        int(state["words_done"]),
        int(state.get("words_before", 0)),
        generation.history(),
        schedule=state.get("schedule", {}),
        epochs_before=int(state.get(EPOCHS_BEFORE, 0)),
        notes=_notes(state),
        best=state.get("best", {}),
        holdout_losses=generation.array("holdout_losses"),
        patience_losses=generation.array("patience_losses"),
    )


def start_on_new_corpus(
    generation: layout.Generation, vocabulary_size: int, config: TrainConfig
) -> Start:
    """The beginning of another corpus, from the weights of a save.

    Of a vocabulary that has grown, the words of the save are the first, and their vectors are kept;
    the new ones have those of a new model.

    Raises:
        DataError: the save is damaged.
    """
    state, history = generation.state, generation.history()
    position = Position(**state["position"])
    begun = position.epoch + (position.row_group > 0 or position.center > 0)
    if history:
        holdout = {name: None for name in history[-1] if name.startswith("holdout")}
        history.append(history[-1] | holdout | {"epoch": 1, "loss": None, "event": NEW_CORPUS})
    return Start(
        loaded_weights(generation, vocabulary_size, config),
        words_before=int(state.get("words_before", 0)) + int(state["words_done"]),
        history=history,
        epochs_before=int(state.get(EPOCHS_BEFORE, 0)) + begun,
        notes=_notes(state),
    )


def _notes(state: dict[str, Any]) -> dict[str, Any]:
    return {INIT_NOTE: state[INIT_NOTE]} if INIT_NOTE in state else {}


def loaded_weights(
    generation: layout.Generation, vocabulary_size: int, config: TrainConfig
) -> Weights:
    """The weights of a save; behind its rows those of a new model.

    Raises:
        DataError: the save is damaged.
    """
    saved_rows = int(generation.state["vocabulary_size"])
    if saved_rows < vocabulary_size:
        weights = steps.initial_weights(vocabulary_size, config)
    else:
        weights = Weights(
            steps.new_matrix(vocabulary_size, config.vector_dim),
            steps.new_matrix(vocabulary_size, config.vector_dim),
        )
    for name, matrix in zip(layout.MATRICES, weights, strict=True):
        matrix[:saved_rows, : config.vector_dim] = generation.matrix(name, memory_map=True)
    return weights


_OF_THE_CORPUS = ("corpus_hash", "words_before")  # the same text may come twice


def last_good(
    model: Path, corpus_hash: str, went_back_to: int | None = None
) -> layout.Generation | None:
    """The newest save of a run on this corpus, None where there is none.

    A save can lie on the brink: its numbers are finite, and the next are not. So where the run went
    back to the newest save before and came no further (`went_back_to`: its words), the newest
    checkpoint behind it is taken instead, if there is one.

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


def best_checkpoint(model: Path, words: int) -> Path | None:
    """The best checkpoint, if it is that after `words` words: its save may have failed."""
    path = model / layout.CHECKPOINTS / layout.BEST
    with contextlib.suppress(DataError):
        if layout.read_generation(path).state["words_done"] == words:
            return path
    return None


def check_same_data(generation: Generation, store: TokenStore) -> None:
    """A position counts row groups and tokens of one corpus; going on needs the same.

    Raises:
        UsageError: `store` is another corpus than that of the save.
    """
    state, model = generation.state, generation.path.parent
    if state.get("vocabulary_hash") != store.vocabulary.hash:
        raise UsageError(
            f"{model}: trained on another vocabulary ({state.get('vocabulary_size'):,} words) than "
            f"{store.path} has ({len(store.vocabulary):,} words); give the same data, or other "
            "text and --new-corpus (and --update-vocab for its new words), or start a new model "
            "with --overwrite-model"
        )
    if state.get("corpus_hash") != corpus_hash(store):
        raise UsageError(
            f"{model}: trained on other text than {store.path} holds; give the same data, or train "
            "on this too with --new-corpus, or start a new model with --overwrite-model"
        )


def check_init(
    generation: Generation, model: Path, init: str | None, say: Callable[[str], None]
) -> str | None:
    """The file whose vectors the model began with, if any; `init` may only be that.

    Raises:
        UsageError: it is another.
    """
    note = generation.state.get(INIT_NOTE)
    began_with = note.get("file") if isinstance(note, dict) else None
    if init is None:
        return began_with
    if Path(init).resolve().name != began_with:
        raise UsageError(
            f"--init: {model} exists and goes on from its own vectors; leave it out, or start a "
            "new model with --overwrite-model"
        )
    say(f"--init: {model} began with {began_with}; it goes on from its own vectors")
    return began_with


def saved_schedule(generation: Generation, config: TrainConfig) -> dict[str, Any]:
    """`LearningRate.as_json` of the save, as far as it holds under `config`.

    A run without patience has its fall planned from the beginning, which is no fall that patience
    has begun; and what rollbacks halved was another learning rate than one that is given now.
    """
    schedule, before = dict(generation.state.get("schedule", {})), generation.config
    if config.patience is not None and before.get("patience") is None:
        schedule["fall_from"] = None
    if config.alpha != before.get("alpha"):
        schedule["rollbacks"] = 0
    return schedule


def is_finished(generation: Generation, config: TrainConfig, store: TokenStore) -> bool:
    """Whether all that the options ask for has been trained."""
    state = generation.state
    if _ended_by_patience(generation, config):
        return bool(config.epochs <= generation.config["epochs"])
    total = planned_words(config, int(state.get("corpus_words", store.num_tokens)))
    return int(state["words_done"]) >= total


def _ended_by_patience(generation: Generation, config: TrainConfig) -> bool:
    state = generation.state
    if config.patience is None:
        return False
    schedule = saved_schedule(generation, config)
    rate = LearningRate.of(config, int(state["total_words"]), schedule)
    return rate.fall_from is not None and int(state["words_done"]) >= rate.end_words


def start_to_go_on(generation: Generation, vocabulary_size: int, config: TrainConfig) -> Start:
    """Where the save left off. Where patience has ended the run, and more epochs are asked for, the
    learning rate is constant again until patience ends it once more.

    Raises:
        DataError: the save is damaged.
    """
    start = start_from(generation, vocabulary_size, config)
    schedule = saved_schedule(generation, config)
    if not _ended_by_patience(generation, config):
        return dataclasses.replace(start, schedule=schedule)
    schedule["fall_from"] = None
    return dataclasses.replace(start, schedule=schedule, patience_losses=None)


def how_to_train_more(
    model: Path, generation: Generation, config: TrainConfig, store: TokenStore
) -> str:
    """The line for a model that is finished."""
    state = generation.state
    words, epochs = int(state["words_done"]), state["position"]["epoch"]
    passes = words / max(1, state.get("corpus_words", store.num_tokens))
    more = f"--epochs {config.epochs + 5} (the total)"
    if config.max_words is not None and epochs < config.epochs:
        more = "a larger --max-words, or none"
    return (
        f"{model}: finished before ({words:,} words, {passes:.3g} epochs); "
        f"nothing to do. To train more: {more}; on other text: --new-corpus; to start anew: "
        "--overwrite-model"
    )


def going_on_line(
    generation: Generation, config: TrainConfig, start: Start, total_words: int
) -> str:
    """Where training goes on, and at which learning rate; the old and the new plan of it where they
    differ."""
    state, words = generation.state, start.words_done
    stored = resumed_config(generation.config, {})
    old = LearningRate.of(stored, int(state["total_words"]), state.get("schedule", {}))
    new = LearningRate.of(config, total_words, start.schedule)
    at_most = "at most " if new.fall_from is None else ""
    line = f"going on after {words:,} words, {at_most}{max(0, new.end_words - words):,} to go"
    if new == old:
        return f"{line}, at learning rate {new.at(words):.3g}"
    return (
        f"{line}; the learning rate, planned {_course(old)}, stood at {state['alpha']:.3g}; it is "
        f"planned anew {_course(new)}: it goes on at {new.at(words):.3g}"
    )


def new_corpus_line(
    generation: Generation, config: TrainConfig, start: Start, total_words: int
) -> str:
    """What another corpus begins with."""
    state = generation.state
    done, planned = int(state["words_done"]), int(state["total_words"])
    line = f"another corpus begins: {total_words:,} words to train, after {start.words_before:,}"
    if done < planned and not state.get("finished"):  # patience may have ended it before
        line += f" (of the corpus before, {done:,} of {planned:,})"
    course = _course(LearningRate.of(config, total_words, start.schedule))
    return f"{line}; the learning rate stood at {state['alpha']:.3g} and is planned anew {course}"


def _course(rate: LearningRate) -> str:
    if rate.fall_from is None:
        return f"to stay at {rate.start:.3g} until the held-out loss falls no more"
    if rate.start == rate.min_alpha:
        return f"to stay at {rate.start:.3g}"
    return (
        f"to fall from {rate.start:.3g} to {min(rate.min_alpha, rate.start):.3g} over "
        f"{rate.fall_words:,} words"
    )
