"""The options of phrases with their files read, and the scores of pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from fastw2v.corpus.config import PreprocessConfig
from fastw2v.corpus.os_errors import reporting_unreadable
from fastw2v.errors import DataError, UsageError

WORD2PHRASE_THRESHOLD, NPMI_THRESHOLD = 100.0, 0.5
_WORDS = """
    a an and as at by for from in into of on or per the to upon with without
"""
ENGLISH = tuple(_WORDS.split())

_MOST_CONNECTORS = 1000
_NPMI_DECIMALS = 6  # logarithms differ in their last bit from one machine to another


def load_connectors(name: str | None, words_of: Callable[[str], list[str]]) -> list[str]:
    """The words that `--connectors` names, tokenised by `words_of`, sorted, each once.

    Raises:
        UsageError: no such file, it cannot be read, no word in it, or more than 1,000.
        DataError: the file is not UTF-8.
    """
    if name is None:
        return []
    if name == "english":  # with capitals too, for text that keeps its case
        return sorted({w for word in ENGLISH for w in words_of(f"{word} {word.capitalize()}")})
    path = Path(name)
    try:
        with reporting_unreadable(f"--connectors: {name}"):
            if not path.exists():
                raise UsageError(
                    f"--connectors: {name}: no such file (the built-in list is 'english')"
                )
            if not path.is_file():
                raise UsageError(f"--connectors: {name}: not a regular file")
            words = set(words_of(path.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: connector words must be UTF-8 text ({error.reason})") from error
    if not words:
        raise UsageError(f"--connectors: {name}: no word in it")
    if len(words) > _MOST_CONNECTORS:
        raise UsageError(
            f"--connectors: {name}: {len(words):,} words; at most {_MOST_CONNECTORS:,} can be "
            "connectors (a stop list is for --stopwords)"
        )
    return sorted(words)


@dataclasses.dataclass(frozen=True)
class PhraseSettings:
    """The options of phrases, and the connector words themselves.

    Attributes:
        passes, score, threshold, delta, separator: the options `phrases`, `phrase_score`,
            `phrase_threshold`, `phrase_min_count`, `phrase_separator`.
        min_count: the least count of a pair; a phrase rarer than --min-count has no row anyway.
        connectors: sorted.
    """

    passes: int
    score: str
    threshold: float
    delta: int
    min_count: int
    separator: str
    connectors: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: PreprocessConfig, connectors: Iterable[str] = ()) -> PhraseSettings | None:
        """The settings of `config`, None where it asks for no phrases."""
        if not config.phrases:
            return None
        threshold = config.phrase_threshold
        if threshold is None:
            npmi = config.phrase_score == "npmi"
            threshold = NPMI_THRESHOLD if npmi else WORD2PHRASE_THRESHOLD
        return cls(
            passes=config.phrases,
            score=config.phrase_score,
            threshold=threshold,
            delta=config.phrase_min_count,
            min_count=max(config.phrase_min_count, config.min_count),
            separator=config.phrase_separator,
            connectors=tuple(sorted(set(connectors))),
        )

    def scores(
        self, pairs: np.ndarray, left: np.ndarray, right: np.ndarray, total: int
    ) -> np.ndarray:
        """Scores, float64 (n,), from counts of pairs and of their words, int64 (n,)."""
        if self.score == "npmi":
            together = pairs / total
            ratio = together / ((left / total) * (right / total))
            return np.asarray(np.round(np.log(ratio) / -np.log(together), _NPMI_DECIMALS))
        product = left.astype(np.float64) * right.astype(np.float64)
        return np.asarray((pairs - self.delta) / product * total)
