"""The options of phrases with their files read, and the scores of pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np

from fastw2v.corpus.config import PreprocessConfig
from fastw2v.corpus.stopwords import load_words
from fastw2v.errors import UsageError

WORD2PHRASE_THRESHOLD, NPMI_THRESHOLD = 100.0, 0.5
_WORDS = """
    a an and as at by for from in into of on or per the to upon with without
"""
ENGLISH = tuple(_WORDS.split())

_MOST_CONNECTORS = 1000
_NPMI_DECIMALS = 6  # logarithms differ in their last bit from one machine to another


def load_connectors(name: str | None, words_of: Callable[[str], list[str]]) -> list[str]:
    """The words that `--connectors` names, as `load_words` gives them.

    Raises:
        UsageError: more than 1,000.
    """
    words = load_words("--connectors", name, ENGLISH, words_of)
    if len(words) > _MOST_CONNECTORS:
        raise UsageError(
            f"--connectors: {name}: {len(words):,} words; at most {_MOST_CONNECTORS:,} can be "
            "connectors (a stop list is for --stopwords)"
        )
    return words


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
