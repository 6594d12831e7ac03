"""What a model notes of its corpus, so that other text can be tokenized like it.

The token store of a run: the one that was given, or the one beside the model, made from text.

Another text for a model that exists: cut as its text was, in its vocabulary or one that grows.

The text is preprocessed into `MODEL.store.next`, so that `MODEL.store` stays what the model was
trained on until there is a save that was begun on the new text; then it takes its place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastw2v.errors import DataError, UsageError
from fastw2v.io import storage
from fastw2v.io.model_directory import STATE, Generation, generations
from fastw2v.io.store_directory import is_store, is_unfinished_store, made_for_of, opens_as_store
from fastw2v.options import flag_of
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore
from fastw2v.store.pipeline import preprocess
from fastw2v.store.report import PreprocessReport
from fastw2v.store.settings import Settings, settings_unchanged
from fastw2v.store.sources import inputs_unchanged
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.text.config import TOKENIZER_OPTIONS
from fastw2v.text.custom_tokenizer import tokenizer_again
from fastw2v.training.data import corpus_hash

NOTE_KEY = "corpus"  # in the state of a save
_NOTED = ("source", "settings", "setting_files")
_OPTIONS = (*TOKENIZER_OPTIONS, "min_sequence_length", "max_sequence_length")


def corpus_note(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a save keeps of the manifest of its token store."""
    return {key: manifest[key] for key in _NOTED}


def noted_config(
    state: Mapping[str, Any],
    model: str | Path,
    say: Callable[[str], None],
    tokenizer: str | None = None,
) -> PreprocessConfig:
    """How the corpus of a save with this state was tokenized, its vocabulary apart.

    The defaults, with a warning to `say`, where the save does not tell. Of stop words in a file
    the model has no list, but they are not in its vocabulary either.

    Args:
        tokenizer: the user's own, instead of the one noted (with a warning where they differ).

    Raises:
        UsageError: a function of the user is noted, and `tokenizer` does not name it again.
    """
    note = state.get(NOTE_KEY, {})
    if note.get("source") != "text":
        say(
            f"warning: {model}: does not say how its text was tokenized; the defaults of "
            "fastw2v preprocess are used (for others, give a token store: preprocess --vocabulary)"
        )
        return PreprocessConfig() if tokenizer is None else PreprocessConfig(tokenizer=tokenizer)
    settings = note["settings"]
    values = {name: settings[name] for name in _OPTIONS if name in settings}
    recorded = values.get("tokenizer", "words")
    values["tokenizer"] = tokenizer_again(recorded, tokenizer, model)
    if values["tokenizer"] != recorded:
        say(f"warning: {model}: its own text was tokenized by {recorded}, not by {tokenizer}")
    if values.get("errors") == "strict":  # which is no way to read, but to refuse
        values["errors"] = "replace"
    config = PreprocessConfig(**values)
    if settings.get("stopwords") is None:
        return config
    built_in = dataclasses.replace(config, stopwords="english")
    if config.tokenizer != "characters":  # for which there is no built-in list
        hashes = Settings.of(built_in).files
        if hashes["stopwords"] == note["setting_files"].get("stopwords"):
            return built_in
    say(
        f"warning: {model}: was trained without the stop words of {settings['stopwords']}, which "
        "it does not keep; here they count as unknown words"
    )
    return config


STORE_SUFFIX = ".store"


def open_store(
    inputs: list[str | Path],
    model: Path,
    text_options: dict[str, Any],
    going_on: bool,
    progress: Callable[[str, int, int], None] | None,
    say: Callable[[str], None],
) -> TokenStore:
    """Open the token store `inputs`, or make (or reuse) `MODEL.store` from the text `inputs`.

    The store beside a model is made anew when the text or its options have changed, but never under
    a model that goes on (`going_on`; see `new_corpus`), and only if training made it for this very
    model.

    Raises:
        UsageError: no data, a store beside others, text options for a store, text that has changed
            under a model that goes on, something else in the place of the store.
        DataError: a damaged store.
    """
    store = given_store(inputs, text_options)
    if store is None:
        store = _store_beside(inputs, model, text_options, going_on, progress, say)
    return store


def given_store(inputs: list[str | Path], text_options: dict[str, Any]) -> TokenStore | None:
    """The token store that `inputs` are, None where they are text.

    Raises:
        UsageError: no data, a store beside others, text options for a store.
        DataError: a damaged store.
    """
    if not inputs:
        raise UsageError("no data: give text files or a token store with --data-file")
    stores = [path for path in map(Path, inputs) if opens_as_store(path)]
    if not stores:
        return None
    if len(inputs) > 1:
        raise UsageError(f"{stores[0]}: a token store stands alone; give one store or text")
    if text_options:
        raise UsageError(
            f"{', '.join(map(flag_of, text_options))}: only for text; {stores[0]} is a token "
            "store, made with its own settings"
        )
    return TokenStore.open(stores[0])


def name_of(model: Path) -> str:
    """What the stores of a model's text are named after."""
    return model.name if model.name not in ("", "..") else model.resolve().name


def place_beside(model: Path, suffix: str = STORE_SUFFIX) -> Path:
    """Where the store of a model's text is.

    Raises:
        UsageError: a store that was not made for this model is there.
    """
    named = model if model.name not in ("", "..") else model.resolve()
    place = named.with_name(named.name + suffix)
    if (is_store(place) or is_unfinished_store(place)) and made_for_of(place) != named.name:
        raise UsageError(
            f"{place}: a token store that was not made for {model}, in the place where that of its "
            "text would be; give it as --data-file, or choose another --model-file"
        )
    return place


def _store_beside(
    inputs: list[str | Path],
    model: Path,
    text_options: dict[str, Any],
    going_on: bool,
    progress: Callable[[str, int, int], None] | None,
    say: Callable[[str], None],
) -> TokenStore:
    place = place_beside(model)
    if is_store(place):
        store = TokenStore.open(place)
        # What is not given is the default for a new model, and the store's for one that goes on.
        wanted = text_options
        if not going_on:
            wanted = dataclasses.asdict(PreprocessConfig(**text_options))
        if settings_unchanged(store, wanted) and inputs_unchanged(store, inputs):
            return store
        if going_on:
            raise UsageError(
                f"{place}: the text or its options have changed since {model} was trained on it; "
                "give the same, or train on this text too with --new-corpus, or start a new model "
                "with --overwrite-model"
            )
        say(f"{place}: the text or its options have changed; preprocessing it anew")
    else:
        say(f"preprocessing the text into {place}")
    made_for = name_of(model)
    preprocess(inputs, place, force=True, progress=progress, made_for=made_for, **text_options)
    return TokenStore.open(place)


NEXT_SUFFIX = STORE_SUFFIX + ".next"
_MODELS_OWN = ("vocabulary", "phrases", "phrase_score", "phrase_threshold", "phrase_min_count",
               "phrase_separator", "connectors")  # fmt: skip
_OF_NEW_WORDS = ("min_count", "max_vocab", "approximate_vocab")


def is_models_corpus(state: Mapping[str, Any], store: TokenStore) -> bool:
    """Whether a save with this state was trained on `store`, so that its position is one in it."""
    same_words = state.get("vocabulary_hash") == store.vocabulary.hash
    return same_words and state.get("corpus_hash") == corpus_hash(store)


def open_new_corpus(
    inputs: list[str | Path],
    model: Path,
    saved: Generation,
    text_options: dict[str, Any],
    progress: Callable[[str, int, int], None] | None,
    say: Callable[[str], None],
) -> TokenStore:
    """The store of `inputs` for the model to go on with; its own one where they are its text.

    Args:
        saved: the model as it stands.
        text_options: those that were given; the others are as the model notes them. `update_vocab`
            lets the vocabulary grow.

    Raises:
        UsageError: options that do not go with it, a store with another vocabulary, text that has
            none of the words, something else in the place of the store.
        DataError: a damaged store, or text.
    """
    grows = bool(text_options.get("update_vocab"))
    _refuse_options(text_options, grows)
    rest = {name: value for name, value in text_options.items() if name != "update_vocab"}
    store = given_store(inputs, rest)
    if store is not None:
        if not is_models_corpus(saved.state, store):
            _check_vocabulary(store, model, saved, grows)
        return store
    own, place = place_beside(model), place_beside(model, NEXT_SUFFIX)
    if is_store(own):
        store = TokenStore.open(own)
        if is_models_corpus(saved.state, store) and _is_made_of(store, inputs, rest, grows):
            return store
    config = _config(model, saved, rest, grows, say)
    found = _open_if_sound(place) if is_store(place) else None
    wanted = dataclasses.asdict(config)
    if found and settings_unchanged(found, wanted) and inputs_unchanged(found, inputs):
        return found
    say(
        f"preprocessing the new text into {place}; it becomes {own} with the first save that is "
        "trained on it"
    )
    made_for = name_of(model)
    preprocess(inputs, place, force=True, progress=progress, made_for=made_for, **wanted)
    return TokenStore.open(place)


def _refuse_options(text_options: Mapping[str, Any], grows: bool) -> None:
    if given := [flag_of(name) for name in _MODELS_OWN if name in text_options]:
        raise UsageError(
            f"{', '.join(given)}: with --new-corpus vocabulary and phrases are the model's own; "
            "leave it out"
        )
    given = [flag_of(name) for name in _OF_NEW_WORDS if name in text_options]
    if given and not grows:
        raise UsageError(
            f"{', '.join(given)}: the model keeps its vocabulary; leave it out, or let the "
            "vocabulary grow with --update-vocab"
        )


def _check_vocabulary(store: TokenStore, model: Path, saved: Generation, grows: bool) -> None:
    """Refuse a store whose ids are not the model's rows."""
    if store.vocabulary.hash == saved.state["vocabulary_hash"]:
        return
    old, new = Vocabulary.load(saved.vocabulary_path).tokens, store.vocabulary.tokens
    if new[: len(old)] != old:
        raise UsageError(
            f"{store.path}: has another vocabulary than {model}; make it with: fastw2v preprocess "
            f"--vocabulary {model} (and --update-vocab, for new words to join it)"
        )
    if not grows:
        raise UsageError(
            f"{store.path}: has the words of {model}, {len(new) - len(old):,} new ones and other "
            "counts; add --update-vocab to take them over"
        )


def _is_made_of(
    store: TokenStore, inputs: list[str | Path], options: Mapping[str, Any], grows: bool
) -> bool:
    """Whether `store` was made of this text with these options, its vocabulary apart."""
    if grows and not store.manifest["settings"].get("update_vocab"):
        return False
    return settings_unchanged(store, options) and inputs_unchanged(store, inputs)


def _open_if_sound(place: Path) -> TokenStore | None:
    try:
        return TokenStore.open(place)
    except DataError:  # made anew
        return None


def _config(
    model: Path,
    saved: Generation,
    options: Mapping[str, Any],
    grows: bool,
    say: Callable[[str], None],
) -> PreprocessConfig:
    """The given options, and how the model's text was cut where they do not say."""
    state = dict(saved.state)
    note = dict(state.get(NOTE_KEY, {}))
    if "stopwords" in options and "settings" in note:  # those of the model are not asked for
        state[NOTE_KEY] = {**note, "settings": {**note["settings"], "stopwords": None}}
    if "ids_column" in options:  # nothing is cut
        noted = PreprocessConfig()
    else:
        noted = noted_config(state, model, say, options.get("tokenizer"))
    stopwords = state.get(NOTE_KEY, {}).get("settings", {}).get("stopwords")
    if grows and stopwords is not None and noted.stopwords is None:
        raise UsageError(
            f"--update-vocab: {model} was trained without the stop words of {stopwords}, which "
            f"would be new words here; give them again: --stopwords {stopwords}"
        )
    return dataclasses.replace(
        noted, **{**options, "vocabulary": str(model), "update_vocab": grows}
    )


def corpus_line(store: TokenStore, old_words: int) -> str:
    """What of the text is in the vocabulary, which had `old_words` words before."""
    known = {field.name for field in dataclasses.fields(PreprocessReport)}
    report = {name: v for name, v in store.manifest["report"].items() if name in known}
    counts = PreprocessReport(**report)
    unknown = (
        counts.tokens_outside_vocabulary
        + counts.tokens_below_min_count
        + counts.tokens_beyond_max_vocab
    )
    total = max(1, counts.tokens_kept + unknown)
    line = f"{store.path}: {counts.tokens_kept:,} words are in the vocabulary, {unknown:,} "
    line += f"({100 * unknown / total:.2f} %) are not and were left out"
    if len(store.vocabulary) > old_words:
        line += f"; {len(store.vocabulary) - old_words:,} new words join the {old_words:,}"
    return line


def settle_store(model: Path, state: Mapping[str, Any] | None = None) -> None:
    """Bring the store of the new text to its place, if a save of this state (default: that of the
    newest) was trained, or is to be trained, on it."""
    named = model if model.name not in ("", "..") else model.resolve()
    place = named.with_name(named.name + NEXT_SUFFIX)
    own = named.with_name(named.name + STORE_SUFFIX)
    if not is_store(place) or made_for_of(place) != named.name:
        return
    found = _open_if_sound(place)
    if state is None:
        state = _newest_state(model)
    if found is None or not is_models_corpus(state, found):
        return
    if is_store(own) or is_unfinished_store(own):
        if made_for_of(own) != named.name:
            return
        storage.remove_directory(own)
    if not own.exists():
        storage.move_directory(place, own)


def _newest_state(model: Path) -> Mapping[str, Any]:
    """Of the newest save, as it stands there; empty where there is none that can be read."""
    try:
        return storage.read_json(generations(model)[-1] / STATE)
    except (DataError, IndexError):
        return {}


def forget_next_store(model: Path) -> None:
    """Remove the store of a text that a model was to go on with, when it is begun anew instead."""
    named = model if model.name not in ("", "..") else model.resolve()
    place = named.with_name(named.name + NEXT_SUFFIX)
    if (is_store(place) or is_unfinished_store(place)) and made_for_of(place) == named.name:
        storage.remove_directory(place)
