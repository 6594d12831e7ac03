"""Another text for a model that exists: cut as its text was, in its vocabulary or one that grows.

The text is preprocessed into `MODEL.store.next`, so that `MODEL.store` stays what the model was
trained on until there is a save that was begun on the new text; then it takes its place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastw2v import storage
from fastw2v.corpus.config import PreprocessConfig
from fastw2v.corpus.preprocess import preprocess
from fastw2v.corpus.report import PreprocessReport
from fastw2v.corpus.settings import settings_unchanged
from fastw2v.corpus.store_layout import is_store, is_unfinished_store, made_for_of
from fastw2v.corpus.text_source import inputs_unchanged
from fastw2v.corpus.token_store import TokenStore
from fastw2v.errors import DataError, UsageError
from fastw2v.model_directory import STATE, Generation, generations
from fastw2v.options import flag_of
from fastw2v.training.corpus_note import NOTE_KEY, noted_config
from fastw2v.training.run import corpus_hash
from fastw2v.training.text_store import (
    STORE_SUFFIX,
    given_store,
    name_of,
    place_beside,
)

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
    old, new = saved.vocabulary().tokens, store.vocabulary.tokens
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
