"""More text for a finished token store: cut as its text was, with its vocabulary."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from fastw2v.errors import UsageError
from fastw2v.options import make_config, quoted
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore
from fastw2v.store.report import PreprocessReport
from fastw2v.store.settings import Settings
from fastw2v.text.config import Layout, TextConfig
from fastw2v.text.custom_tokenizer import tokenizer_again
from fastw2v.text.inputs import STDIN, InputFile
from fastw2v.text.shards import plan_shards
from fastw2v.text.streams import is_unchanged

_OF_THE_VOCABULARY = ("vocabulary", "update_vocab", "min_count", "max_vocab", "approximate_vocab")
_OF_THE_RUN = ("skip_bad_files", "max_unpacked")  # they do not change how text is cut
_NOT_ADDED_UP = ("different_tokens", "vocabulary_size", "count_error")


def settings_of(store: TokenStore, options: Mapping[str, Any]) -> Settings:
    """The settings with which text is added to `store`: its own, and its vocabulary.

    Args:
        options: those that were given; files (stop words, a tokenizer's module) have to be.

    Raises:
        UsageError: the store was not made from text; an option that is not the store's, or is
            missing because the store knows it by name only.
    """
    manifest = store.manifest
    if manifest["source"] != "text":
        raise UsageError(f"{store.path}: made from tokens; `append` is for stores made from text")
    if given := [quoted(name) for name in _OF_THE_VOCABULARY if name in options]:
        raise UsageError(f"{', '.join(given)}: `append` keeps the vocabulary; leave it out")
    recorded = {
        name: value
        for name, value in manifest["settings"].items()
        if name not in _OF_THE_VOCABULARY and not name.startswith("phrase") and name != "connectors"
    }
    stopwords = recorded.get("stopwords")
    if stopwords not in (None, "english") and "stopwords" not in options:
        raise UsageError(f"{store.path}: give its stop words again: `stopwords` {stopwords}")
    tokenizer_again(recorded.get("tokenizer", "words"), options.get("tokenizer"), str(store.path))
    values = {**recorded, **options}
    if manifest["settings"].get("vocabulary") is not None and values.get("ids_column"):
        values["vocabulary"] = str(store.path)  # where the names of ids are
    layout = Layout(**manifest["layout"])
    settings = Settings.of(make_config(PreprocessConfig, values), layout)
    _refuse_others(store, settings, options)
    return dataclasses.replace(
        settings,
        vocabulary=store.vocabulary,
        values=manifest["settings"],
        files=manifest["setting_files"],
    )


def _refuse_others(store: TokenStore, settings: Settings, options: Mapping[str, Any]) -> None:
    recorded, files = store.manifest["settings"], store.manifest["setting_files"]
    defaults = dataclasses.asdict(PreprocessConfig())
    for name in set(options) - set(_OF_THE_RUN):
        same = (
            settings.files.get(name) == files[name]
            if name in files
            else settings.values[name] == recorded.get(name, defaults[name])
        )
        if not same:
            raise UsageError(
                f"{quoted(name)}: the store {store.path} was made with "
                f"{recorded.get(name, defaults[name])!r}; text that is appended must be cut alike"
            )


def new_files(
    store: TokenStore, files: Sequence[InputFile], layout: Layout, config: TextConfig
) -> list[InputFile]:
    """The files that are not in the store yet; those that are, are left out.

    Raises:
        UsageError: a file of the store has other content now.
    """
    recorded: dict[str, list[dict[str, Any]]] = {}
    for entry in store.manifest["inputs"]:
        recorded.setdefault(entry["name"], []).append(entry)
    new = []
    for file in files:
        if file.name not in recorded or file.location == STDIN:
            new.append(file)
            continue
        segments = [s for shard in plan_shards([file], layout, config) for s in shard]
        entries = recorded[file.name]
        same = [(s.start, s.end) for s in segments] == [(e["start"], e["end"]) for e in entries]
        if not same or not all(map(is_unchanged, segments, entries)):
            raise UsageError(
                f"{file.shown}: a file {file.name} is in the store {store.path} already, "
                "with other content; rename the new one, or make the store anew with `force`"
            )
    return new


def added_up(before: Mapping[str, int], more: PreprocessReport) -> PreprocessReport:
    """The report of a store with what was appended."""
    sums = {
        name: before.get(name, 0) + (0 if name in _NOT_ADDED_UP else value)
        for name, value in more.as_manifest().items()
    }
    return PreprocessReport(**sums, seconds=more.seconds)
