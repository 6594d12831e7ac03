"""Normalised text to tokens: the tokenizers `words` and `characters`."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator

_WORD = re.compile(r"[^\s']+(?:'[^\s']+)*")
_JOINERS = "\u200c\u200d"  # Persian and Indic scripts use them inside words
_SOFT_HYPHEN = "\u00ad"
_FLAG_LETTERS = "\U0001f1e6-\U0001f1ff"
_SKIN_TONES = "\U0001f3fb-\U0001f3ff"
_PICTURES = "\u2190-\u2bff\U0001f000-\U0001f1e5\U0001f200-\U0001f3fa\U0001f400-\U0001faff"
_NOT_BMP = "\U00010000-\U0010ffff"


class _WordCharacters(dict[int, int]):
    """For `str.translate`: letters, marks, numbers, joiners and the apostrophe stay, all else
    becomes a space. Filled as characters are met."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        stays = unicodedata.category(character)[0] in "LMN" or character in _JOINERS + "'"
        self[code] = code if stays else ord(" ")
        return self[code]


_WORD_CHARACTERS = _WordCharacters()


def with_plain_apostrophes(text: str) -> str:
    """Before text is normalised for `words`: ’ as ', and no soft hyphens."""
    return text.replace(_SOFT_HYPHEN, "").replace("\u2019", "'")


def words_of_ascii(text: str) -> list[str]:
    """As `words`, for ASCII in which all that separates words is white space by now."""
    return _WORD.findall(text)


def words(text: str) -> list[str]:
    """Runs of letters, digits and marks with inner apostrophes."""
    found = _WORD.findall(text.translate(_WORD_CHARACTERS))
    return [word for run in found if (word := _trimmed(run))]


def _trimmed(word: str) -> str:
    """`word` without marks and joiners that have no letter before them, or joiners at its end.

    An emoji leaves its variation selector or joiner behind, for example.
    """
    if word.isascii():
        return word
    start, end = 0, len(word)
    while start < end and (word[start] in _JOINERS or unicodedata.category(word[start])[0] == "M"):
        start += 1
    while end > start and word[end - 1] in _JOINERS:
        end -= 1
    return word[start:end]


def characters(text: str) -> list[str]:
    """Every character that is not white space, near to what readers take for one.

    Combining marks, joiners and skin tones stay with what they follow, and so does a picture after
    a joiner; two flag letters are a flag. (Of Unicode's grapheme clusters, UAX 29, these leave out
    prepended marks, the conjuncts of Indic scripts, and jamo that NFC does not compose.)
    """
    if text.isascii() and text.isprintable() and " " not in text:
        return list(text)
    return _character_finder()(text)


@functools.cache
def _character_finder() -> Callable[[str], list[str]]:
    marks = list(_marks())
    plane_0 = "".join(f"{chr(a)}-{chr(b)}" for a, b in marks if b < 0x10000)
    others = "".join(f"{chr(a)}-{chr(b)}" for a, b in marks if a >= 0x10000)
    # A class of plane 0 alone is looked up in a table; one with others is gone through.
    follows = f"(?:[{plane_0}{_JOINERS}]|(?=[{_NOT_BMP}])[{others}{_SKIN_TONES}])*"
    joined = f"(?:(?<=\u200d)[{_PICTURES}]{follows})*"
    pattern = rf"(?:[{_FLAG_LETTERS}]{{2}}|\S){follows}{joined}"
    return re.compile(pattern).findall


def _marks() -> Iterator[tuple[int, int]]:
    """First and last of every run of combining marks, which stand in planes 0, 1 and 14."""
    first = None
    for code in (*range(0x300, 0x20000), *range(0xE0000, 0xE1000)):
        is_mark = unicodedata.category(chr(code))[0] == "M"
        if is_mark and first is None:
            first = code
        elif not is_mark and first is not None:
            yield first, code - 1
            first = None
