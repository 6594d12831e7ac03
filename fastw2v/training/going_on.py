"""What is said, checked and refused when a model that exists is trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastw2v.corpus.token_store import TokenStore
from fastw2v.errors import UsageError
from fastw2v.model_directory import Generation
from fastw2v.training.config import TrainConfig, resumed_config
from fastw2v.training.learning_rate import LearningRate
from fastw2v.training.run import corpus_hash, planned_words
from fastw2v.training.start import INIT_NOTE, Start, start_from


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
