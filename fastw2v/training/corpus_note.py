"""What a model notes of its corpus, so that other text can be tokenised like it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastw2v.corpus.config import TEXT_OPTIONS, PreprocessConfig
from fastw2v.corpus.named_tokenizer import tokenizer_again
from fastw2v.corpus.settings import Settings

NOTE_KEY = "corpus"  # in the state of a save
_NOTED = ("source", "settings", "setting_files")
_OPTIONS = (*TEXT_OPTIONS, "min_sequence_length", "max_sequence_length")


def corpus_note(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a save keeps of the manifest of its token store."""
    return {key: manifest[key] for key in _NOTED}


def noted_config(
    state: Mapping[str, Any],
    model: str | Path,
    say: Callable[[str], None],
    tokenizer: str | None = None,
) -> PreprocessConfig:
    """How the corpus of a save with this state was tokenised, its vocabulary apart.

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
            f"warning: {model}: does not say how its text was tokenised; the defaults of "
            "fastw2v preprocess are used (for others, give a token store: preprocess --vocabulary)"
        )
        return PreprocessConfig() if tokenizer is None else PreprocessConfig(tokenizer=tokenizer)
    settings = note["settings"]
    values = {name: settings[name] for name in _OPTIONS if name in settings}
    recorded = values.get("tokenizer", "words")
    values["tokenizer"] = tokenizer_again(recorded, tokenizer, model)
    if values["tokenizer"] != recorded:
        say(f"warning: {model}: its own text was tokenised by {recorded}, not by {tokenizer}")
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
