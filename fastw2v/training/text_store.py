"""The token store of a run: the one that was given, or the one beside the model, made from text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastw2v.corpus.config import PreprocessConfig
from fastw2v.corpus.preprocess import preprocess
from fastw2v.corpus.settings import settings_unchanged
from fastw2v.corpus.store_layout import is_store, is_unfinished_store, made_for_of, opens_as_store
from fastw2v.corpus.text_source import inputs_unchanged
from fastw2v.corpus.token_store import TokenStore
from fastw2v.errors import UsageError
from fastw2v.options import flag_of

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
