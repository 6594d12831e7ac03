"""The token store that a run trains on, and what a model notes of it.

The store is the one that was given, or `MODEL.store` beside the model, made from text. The note
lets other text be tokenized like the model's own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fastw2v.errors import UsageError
from fastw2v.io import storage
from fastw2v.io.store_directory import is_store, is_unfinished_store, made_for_of, opens_as_store
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.settings import Settings, settings_unchanged
from fastw2v.store.sources import inputs_unchanged
from fastw2v.text.config import TOKENIZER_OPTIONS
from fastw2v.text.custom_tokenizer import tokenizer_again
from fastw2v.training.data import corpus_hash
from fastw2v.training.reporting import Reporter

NOTE_KEY = "corpus"  # in the state of a save
_NOTED = ("source", "settings", "setting_files")
_OPTIONS = (*TOKENIZER_OPTIONS, "min_sequence_length", "max_sequence_length")


def corpus_note(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a save keeps of the manifest of its token store."""
    return {key: manifest[key] for key in _NOTED}


def noted_config(
    state: Mapping[str, Any],
    model: str | Path,
    reporter: Reporter,
    tokenizer: str | None = None,
) -> PreprocessConfig:
    """How the corpus of a save with this state was tokenized, except for its vocabulary.

    The defaults, with a warning, where the save has no note. A model does not keep the stop words
    of a file, but they are not in its vocabulary either.

    Args:
        tokenizer: the user's own, instead of the one noted (with a warning where they differ).

    Raises:
        UsageError: a function of the user is noted, and `tokenizer` does not name it again.
    """
    note = state.get(NOTE_KEY, {})
    if note.get("source") != "text":
        reporter.warning(
            f"{model}: does not record how its text was tokenized; the defaults are used (for "
            "other settings, give a token store, preprocessed with the model as `vocabulary`)"
        )
        return PreprocessConfig() if tokenizer is None else PreprocessConfig(tokenizer=tokenizer)
    settings = note["settings"]
    values = {name: settings[name] for name in _OPTIONS if name in settings}
    recorded = values.get("tokenizer", "words")
    values["tokenizer"] = tokenizer_again(recorded, tokenizer, model)
    if values["tokenizer"] != recorded:
        reporter.warning(f"{model}: its own text was tokenized by {recorded}, not by {tokenizer}")
    if values.get("errors") == "strict":  # that refuses text rather than reads it
        values["errors"] = "replace"
    config = PreprocessConfig(**values)
    if settings.get("stopwords") is None:
        return config
    built_in = dataclasses.replace(config, stopwords="english")
    if config.tokenizer != "characters":  # for which there is no built-in list
        hashes = Settings.of(built_in).files
        if hashes["stopwords"] == note["setting_files"].get("stopwords"):
            return built_in
    reporter.warning(
        f"{model}: was trained without the stop words of {settings['stopwords']}, a list that it "
        "does not keep; here they count as unknown words"
    )
    return config


STORE_SUFFIX = ".store"


def corpus_state(store: TokenStore) -> dict[str, Any]:
    """What the state of a save says of the store that it was trained on."""
    return {
        "vocabulary_hash": store.vocabulary.hash,
        "corpus_hash": corpus_hash(store),
        NOTE_KEY: corpus_note(store.manifest),
    }


def is_corpus_of(state: Mapping[str, Any], store: TokenStore) -> bool:
    """Whether a save with this state was trained on `store`, so that its position is one in it."""
    same_words = state.get("vocabulary_hash") == store.vocabulary.hash
    return same_words and state.get("corpus_hash") == corpus_hash(store)


def given_store(inputs: list[str | Path], text_options: Mapping[str, Any]) -> TokenStore | None:
    """The token store that `inputs` are, None where they are text.

    Raises:
        UsageError: no data, a store beside others, text options for a store.
        DataError: a damaged store.
    """
    if not inputs:
        raise UsageError("no data: give text files or a token store")
    stores = [path for path in map(Path, inputs) if opens_as_store(path)]
    if not stores:
        return None
    if len(inputs) > 1:
        raise UsageError(f"{stores[0]}: a token store must be the only input; give one, or text")
    if text_options:
        raise UsageError(
            f"{backticked(text_options)}: only for text; {stores[0]} is a token store, made with "
            "its own settings"
        )
    return TokenStore.open(stores[0])


def open_store(
    inputs: list[str | Path], model: Path, text_options: Mapping[str, Any], reporter: Reporter
) -> TokenStore:
    """The store of a new model: `inputs`, or `MODEL.store`, made from text.

    `MODEL.store` is made again when the text or its options have changed.

    Raises:
        UsageError: no data, a store beside others, text options for a store, something else in the
            place of the store. DataError: a damaged store.
    """
    store = given_store(inputs, text_options)
    if store is not None:
        return store
    place = place_beside(model)
    line = f"preprocessing the text into {place}"
    if is_store(place):
        store = TokenStore.open(place)
        # An option that is not given has its default, whatever the store has.
        wanted = dataclasses.asdict(PreprocessConfig(**text_options))
        if settings_unchanged(store, wanted) and inputs_unchanged(store, inputs):
            return store
        line = f"{place}: the text or its options have changed; preprocessing again"
    return make_store(inputs, place, model, text_options, line, reporter)


def reopen_store(
    inputs: list[str | Path], model: Path, saved_state: Mapping[str, Any],
    text_options: Mapping[str, Any], reporter: Reporter,
) -> TokenStore:  # fmt: skip
    """The store of a model that is resumed: `inputs`, or `MODEL.store` if it was made from them.

    If `MODEL.store` is missing, it is made again, and removed if it is not the model's corpus.

    Raises:
        UsageError: as `open_store`, and a store or text that the model was not trained on.
        DataError: a damaged store.
    """
    store = given_store(inputs, text_options)
    if store is not None:
        _check_same_data(store, model, saved_state)
        return store
    place = place_beside(model)
    if not is_store(place):
        line = f"preprocessing the text into {place}"
        store = make_store(inputs, place, model, text_options, line, reporter)
        try:
            _check_same_data(store, model, saved_state)
        except UsageError:
            storage.remove_directory(place)
            raise
        return store
    store = TokenStore.open(place)
    # An option that is not given is as the store has it.
    if not (settings_unchanged(store, text_options) and inputs_unchanged(store, inputs)):
        raise UsageError(
            f"{place}: the text or its options have changed since {model} was trained on it; give "
            "the same, or train on this text too with `new_corpus`, or start a new model with "
            "`overwrite_model`"
        )
    _check_same_data(store, model, saved_state)
    return store


def _check_same_data(store: TokenStore, model: Path, state: Mapping[str, Any]) -> None:
    """A position counts row groups and tokens of one corpus; resuming needs the same."""
    if is_corpus_of(state, store):
        return
    if state.get("vocabulary_hash") != store.vocabulary.hash:
        raise UsageError(
            f"{model}: trained with another vocabulary ({state.get('vocabulary_size'):,} words) "
            f"than that of {store.path} ({len(store.vocabulary):,} words); give the same data, or "
            "other text with `new_corpus` (and `update_vocab` for its new words), or start a new "
            "model with `overwrite_model`"
        )
    raise UsageError(
        f"{model}: trained on other text than that of {store.path}; give the same data, or train "
        "on this text too with `new_corpus`, or start a new model with `overwrite_model`"
    )


def make_store(
    inputs: list[str | Path], place: Path, model: Path, options: Mapping[str, Any], line: str,
    reporter: Reporter,
) -> TokenStore:  # fmt: skip
    """Preprocess text into `place` for `model`; `line` is reported once the text is found."""
    announced = False

    def show(phase: str, done: int, total: int) -> None:
        nonlocal announced
        if not announced:
            announced = True
            reporter.info(line)
        reporter.bytes(phase, done, total)

    made_for = named(model).name
    preprocess(inputs, place, force=True, progress=show, made_for=made_for, **options)
    return TokenStore.open(place)


def named(model: Path) -> Path:
    """The model with a name: stores are named after it."""
    return model if model.name not in ("", "..") else model.resolve()


def place_beside(model: Path, suffix: str = STORE_SUFFIX) -> Path:
    """Where the store of a model's text is.

    Raises:
        UsageError: a store that was not made for this model is there.
    """
    path = named(model)
    place = path.with_name(path.name + suffix)
    if (is_store(place) or is_unfinished_store(place)) and made_for_of(place) != path.name:
        raise UsageError(
            f"{place}: a token store that was not made for {model} is where the store of its text "
            "would be; give that store as the data, or choose another model directory"
        )
    return place


def backticked(names: Iterable[str]) -> str:
    """Option names for a message."""
    return ", ".join(f"`{name}`" for name in names)
