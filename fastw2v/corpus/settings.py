"""What the options of `preprocess` stand for: stop words and vocabularies read from their files."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from fastw2v.corpus.config import TEXT_OPTIONS, PreprocessConfig
from fastw2v.corpus.stopwords import load_stopwords
from fastw2v.corpus.token_store import VOCABULARY, TokenStore, is_store
from fastw2v.corpus.tokenizer import Tokenizer
from fastw2v.corpus.vocabulary import Vocabulary, load_text_vocabulary
from fastw2v.errors import UsageError
from fastw2v.model_directory import is_model_directory, open_model


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options with their files read.

    Attributes:
        config: the options.
        stopwords: sorted.
        vocabulary: the one to reuse, if any.
        for_manifest: the settings as the manifest has them: file contents by hash, no paths.
    """

    config: PreprocessConfig
    stopwords: list[str]
    vocabulary: Vocabulary | None
    for_manifest: dict[str, Any]

    @classmethod
    def of(cls, config: PreprocessConfig, *, text: bool = True) -> Settings:
        """Read the files; `text` is whether the options of text apply (not for given tokens).

        Raises:
            UsageError, DataError: a stop list or vocabulary that is missing or not one.
        """
        tokenizer = Tokenizer(config.tokenizer, config.lowercase, config.strip_accents)
        stopwords = load_stopwords(config.stopwords, tokenizer.words_of if text else str.split)
        vocabulary = load_vocabulary(config.vocabulary) if config.vocabulary else None
        shown = dataclasses.asdict(config)
        if config.stopwords is not None:
            shown["stopwords"] = {
                "name": Path(config.stopwords).name,
                "words": len(stopwords),
                "sha256": hashlib.sha256("\n".join(stopwords).encode()).hexdigest(),
            }
        if vocabulary is not None:
            shown["vocabulary"] = {"name": Path(str(config.vocabulary)).name}
            shown["vocabulary"]["hash"] = vocabulary.hash
            shown["min_count"] = None
        if not text:
            shown.update(dict.fromkeys(TEXT_OPTIONS))
        return cls(config, stopwords, vocabulary, shown)


def load_vocabulary(path: str | Path) -> Vocabulary:
    """The vocabulary of a token store, a model, a vocabulary.parquet or a text file of counts.

    Raises:
        UsageError: nothing there, or a directory that is neither; fewer than two words.
        DataError: damaged.
    """
    place = Path(path)
    if not place.exists():
        raise UsageError(f"--vocabulary: {path}: no such file or store")
    if is_store(place):
        vocabulary = Vocabulary.load(place / VOCABULARY)
    elif is_model_directory(place):
        vocabulary = open_model(place).vocabulary()
    elif place.is_dir():
        raise UsageError(f"--vocabulary: {path}: neither a finished token store nor a model")
    else:
        with open(place, "rb") as file:
            parquet = file.read(4) == b"PAR1"
        vocabulary = Vocabulary.load(place) if parquet else load_text_vocabulary(place)
    if len(vocabulary) < 2:
        raise UsageError(f"--vocabulary: {path}: fewer than two words in it")
    return vocabulary


def settings_unchanged(store: TokenStore, config: PreprocessConfig) -> bool:
    """Whether `store` was made from text with these options (and files of the same content)."""
    return store.manifest["settings"] == Settings.of(config).for_manifest
