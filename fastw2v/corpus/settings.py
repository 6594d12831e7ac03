"""What the options of `preprocess` stand for: stop words and vocabularies read from their files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastw2v.corpus.config import TEXT_OPTIONS, PreprocessConfig
from fastw2v.corpus.os_errors import reporting_unreadable
from fastw2v.corpus.stopwords import load_stopwords
from fastw2v.corpus.store_layout import VOCABULARY, is_store
from fastw2v.corpus.token_store import TokenStore
from fastw2v.corpus.tokenizer import Tokenizer
from fastw2v.corpus.vocabulary import Vocabulary, load_text_vocabulary
from fastw2v.errors import UsageError
from fastw2v.model_directory import is_model_directory, open_model
from fastw2v.options import make_config


@dataclasses.dataclass(frozen=True)
class Settings:
    """Options with their files read.

    Attributes:
        config: the options.
        stopwords: sorted.
        vocabulary: the one to reuse, if any.
        values: for the manifest: the options that apply, file names without directories.
        files: for the manifest: the content of those files, by hash.
    """

    config: PreprocessConfig
    stopwords: list[str]
    vocabulary: Vocabulary | None
    values: dict[str, Any]
    files: dict[str, str]

    @classmethod
    def of(cls, config: PreprocessConfig, *, text: bool = True) -> Settings:
        """Read the files; `text` is whether the options of text apply (not for given tokens).

        Raises:
            UsageError, DataError: a stop list or vocabulary that is missing or not one.
        """
        tokenizer = Tokenizer(config.tokenizer, config.lowercase, config.strip_accents)
        stopwords = load_stopwords(config.stopwords, tokenizer.words_of if text else str.split)
        vocabulary = load_vocabulary(config.vocabulary) if config.vocabulary else None
        values = dataclasses.asdict(config)
        files = {}
        if config.stopwords is not None:
            values["stopwords"] = Path(config.stopwords).name
            files["stopwords"] = hashlib.sha256("\n".join(stopwords).encode()).hexdigest()
        if vocabulary is not None:
            values["vocabulary"] = Path(str(config.vocabulary)).name
            files["vocabulary"] = vocabulary.hash
        for name in () if text else TEXT_OPTIONS:
            del values[name]
        return cls(config, stopwords, vocabulary, values, files)


def load_vocabulary(path: str | Path) -> Vocabulary:
    """The vocabulary of a token store, a model, a vocabulary.parquet or a text file of counts.

    Raises:
        UsageError: nothing there, unreadable, or a directory that is neither; fewer than two words.
        DataError: damaged.
    """
    with reporting_unreadable(f"--vocabulary: {path}"):
        vocabulary = _load_vocabulary(Path(path))
    if len(vocabulary) < 2:
        raise UsageError(f"--vocabulary: {path}: fewer than two words in it")
    return vocabulary


def _load_vocabulary(path: Path) -> Vocabulary:
    if not path.exists():
        raise UsageError(f"--vocabulary: {path}: no such file or store")
    if is_store(path):
        return Vocabulary.load(path / VOCABULARY)
    if is_model_directory(path):
        return open_model(path).vocabulary()
    if path.is_dir():
        raise UsageError(f"--vocabulary: {path}: neither a finished token store nor a model")
    with open(path, "rb") as file:
        parquet = file.read(4) == b"PAR1"
    return Vocabulary.load(path) if parquet else load_text_vocabulary(path)


def settings_unchanged(store: TokenStore, options: Mapping[str, Any]) -> bool:
    """Whether these options of `preprocess` are those of `store`; those not given are taken to be.

    Files (stop words, vocabulary) are compared by content.

    Raises:
        UsageError, DataError: a wrong option, a file that is missing or not what it should be.
    """
    text = store.manifest["source"] == "text"
    settings = Settings.of(make_config(PreprocessConfig, options), text=text)
    recorded, files = store.manifest["settings"], store.manifest["setting_files"]
    return all(
        settings.files.get(name) == files.get(name)
        if name in ("stopwords", "vocabulary")
        else name in recorded and settings.values[name] == recorded[name]
        for name in options
    )
