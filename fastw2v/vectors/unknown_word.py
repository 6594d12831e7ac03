"""Looking words up: other case, phrases, and the nearest spellings of an unknown word."""

from __future__ import annotations

import difflib
import heapq
import itertools
from typing import TYPE_CHECKING

from fastw2v.errors import UsageError, one_line

if TYPE_CHECKING:
    from fastw2v.store.phrases.phrases import Phrases

_SPELLINGS_AMONG = 30_000  # the most frequent words: keeps the search under about 0.3 s
_MIN_RATIO = 0.65


def match_case(word: str, key_to_index: dict[str, int]) -> str | None:
    """`word` as it stands if the vocabulary has it, else its lower-case form, else None."""
    if word in key_to_index:
        return word
    return lower if (lower := word.lower()) in key_to_index else None


def joined_words(
    words: list[str], key_to_index: dict[str, int], phrases: Phrases | None
) -> list[str]:
    """`words` with those joined that are a phrase of the vocabulary; each as `match_case` finds it.

    "new", "york" becomes "new_york", and so does "new york".
    """
    if phrases is None:
        return words
    single = [matched_phrase(word, key_to_index, phrases) or word for word in words]
    return phrases.join_known(single, key_to_index)


def matched_phrase(
    word: object, key_to_index: dict[str, int], phrases: Phrases | None
) -> str | None:
    """The key of the phrase whose words, separated by spaces, are `word`; None if unknown."""
    if phrases is None or not isinstance(word, str) or len(word.split()) < 2:
        return None
    joined = phrases.join_known(word.split(), key_to_index)
    return joined[0] if len(joined) == 1 and joined[0] in key_to_index else None


class UnknownWordError(UsageError, KeyError):
    """A word that is not in the vocabulary; the message names the nearest spellings."""

    def __init__(self, word: object, key_to_index: dict[str, int]):
        super().__init__(word)
        self.word = word
        self._key_to_index = key_to_index

    def __str__(self) -> str:  # searched for only when read: callers may expect and catch this
        shown = repr(self.word)
        shown = shown if len(shown) <= 60 else f"{shown[:56]}...{shown[-1]}"
        near = nearest_spellings(self.word, self._key_to_index)
        if near:
            spellings = one_line(", ".join(near))
            return f"{shown} is not in the vocabulary; nearest spellings: {spellings}"
        words = len(self._key_to_index)
        return f"{shown} is not in the vocabulary of {words:,} words; try another word"


def nearest_spellings(word: object, key_to_index: dict[str, int], count: int = 3) -> list[str]:
    """Up to `count` keys spelled like `word`: case variants, then the closest frequent words."""
    if not isinstance(word, str) or not word:
        return []
    variants = (word.lower(), word.capitalize(), word.upper())
    found = [variant for variant in variants if variant in key_to_index]
    close = _close_keys(word, key_to_index) or _close_keys(word.lower(), key_to_index)
    found += [key for *_, key in heapq.nsmallest(count, close)]
    return list(dict.fromkeys(found))[:count]


def _close_keys(word: str, key_to_index: dict[str, int]) -> list[tuple[float, bool, int, str]]:
    """Frequent keys like `word`; they sort by likeness, same first letter, then frequency."""
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(word)
    close = []
    for row, key in enumerate(itertools.islice(key_to_index, _SPELLINGS_AMONG)):
        if abs(len(key) - len(word)) > 2:
            continue
        matcher.set_seq1(key)
        if min(matcher.real_quick_ratio(), matcher.quick_ratio()) < _MIN_RATIO:
            continue
        if (ratio := matcher.ratio()) >= _MIN_RATIO:
            close.append((-ratio, key[:1] != word[:1], row, key))
    return close
