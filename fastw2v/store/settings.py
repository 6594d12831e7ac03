"""The options of `preprocess` with the files that they name read: stop words and vocabularies."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastw2v.errors import UsageError
from fastw2v.options import make_config
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore
from fastw2v.store.phrases.phrases import find_phrases
from fastw2v.store.phrases.search import PhraseSettings, load_connectors
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.store.vocabulary_files import read_vocabulary
from fastw2v.text.config import TEXT_OPTIONS, Layout
from fastw2v.text.custom_tokenizer import source_hash
from fastw2v.text.tokenizer import Tokenizer, load_stopwords


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options with their files read: made once, and handed on as they are, also to workers.

    Attributes:
        config: the options.
        layout: how work and files are cut.
        stopwords: sorted.
        vocabulary: the one to reuse, if any.
        phrases: how to look for phrases, if at all.
        values: for the manifest: the options that apply, file names without directories.
        files: for the manifest: SHA-256 of the content of those files, and of the module of a
            user's tokenizer.
    """

    config: PreprocessConfig
    layout: Layout
    stopwords: list[str]
    vocabulary: Vocabulary | None
    phrases: PhraseSettings | None
    values: dict[str, Any]
    files: dict[str, str]

    @classmethod
    def of(
        cls, config: PreprocessConfig, layout: Layout | None = None, *, text: bool = True
    ) -> Settings:
        """Read the files; `text` is whether the options of text apply (not for given tokens).

        Raises:
            UsageError, DataError: a stop list, vocabulary, tokenizer or stemmer that is missing or
                not one.
        """
        stopwords = _load_stopwords(config, text)
        vocabulary = load_vocabulary(config.vocabulary) if config.vocabulary else None
        if config.update_vocab and find_phrases(str(config.vocabulary)) is not None:
            raise UsageError(
                f"`update_vocab`: {config.vocabulary} has phrases, which are not looked for anew, "
                "so that words beside them cannot be counted; leave it out"
            )
        values = config.as_settings()
        files = {}
        if config.stopwords is not None:
            values["stopwords"] = Path(config.stopwords).name
            files["stopwords"] = hashlib.sha256("\n".join(stopwords).encode()).hexdigest()
        if vocabulary is not None:
            values["vocabulary"] = Path(str(config.vocabulary)).name
            files["vocabulary"] = vocabulary.hash
        connectors = load_connectors(config.connectors, _words_of(config, text))
        if config.connectors is not None:
            values["connectors"] = Path(config.connectors).name
            files["connectors"] = hashlib.sha256("\n".join(connectors).encode()).hexdigest()
        if text and (code := source_hash(config.tokenizer)):
            files["tokenizer"] = code
        for name in () if text else TEXT_OPTIONS:
            del values[name]
        phrases = PhraseSettings.of(config, connectors)
        return cls(config, layout or Layout(), stopwords, vocabulary, phrases, values, files)


def _words_of(config: PreprocessConfig, text: bool) -> Callable[[str], list[str]]:
    """Cuts the text of a list as that of the corpus is cut."""
    if not text or config.ids_column is not None:
        return str.split
    return Tokenizer(config).words_of


def _load_stopwords(config: PreprocessConfig, text: bool) -> list[str]:
    """The stop words as they are in the text before it is stemmed; given tokens are not cut."""
    if not text or config.ids_column is not None:
        return load_stopwords(config.stopwords, str.split)
    Tokenizer(config)  # with its stemmer: an error if that is missing
    tokenizer = Tokenizer(dataclasses.replace(config, stem=None))
    if config.tokenizer == "characters" and config.stopwords == "english":
        raise UsageError(
            "`stopwords`: english is a list of words, and `tokenizer` characters makes no words; "
            "give a file of characters"
        )
    return load_stopwords(config.stopwords, tokenizer.words_of)


def load_vocabulary(path: str | Path) -> Vocabulary:
    """The vocabulary of a token store, a model, or a vocabulary file (`vocabulary_files`).

    Raises:
        UsageError: nothing there, unreadable, or a directory that is neither; fewer than two words.
        DataError: damaged.
    """
    vocabulary = read_vocabulary(path, f"`vocabulary`: {path}")
    if len(vocabulary) < 2:
        raise UsageError(f"`vocabulary`: {path}: contains fewer than two words")
    return vocabulary


def settings_unchanged(store: TokenStore, options: Mapping[str, Any]) -> bool:
    """Whether these options of `preprocess` are those of `store`; those not given are taken to be.

    Files (stop words, vocabulary, the module of a tokenizer) are compared by content. A store that
    was made before there was an option has its default.

    Raises:
        UsageError, DataError: a wrong option, a file that is missing or not what it should be.
    """
    text = store.manifest["source"] == "text"
    settings = Settings.of(make_config(PreprocessConfig, options), text=text)
    recorded, files = store.manifest["settings"], store.manifest["setting_files"]
    defaults = dataclasses.asdict(PreprocessConfig())

    def unchanged(name: str) -> bool:
        if settings.files.get(name) != files.get(name):
            return False
        if name in ("stopwords", "vocabulary", "connectors"):
            return True
        values = settings.values
        return name in values and values[name] == recorded.get(name, defaults[name])

    return all(map(unchanged, options))
