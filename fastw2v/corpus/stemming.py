"""Stems of words, by Snowball's algorithms."""

from __future__ import annotations

from collections.abc import Callable

from fastw2v.errors import UsageError


def stemmer(language: str) -> Callable[[str], str]:
    """word -> stem, in a language of Snowball.

    Raises:
        UsageError: PyStemmer is not installed, or it does not know the language.
    """
    try:
        import Stemmer
    except ImportError:
        raise UsageError("--stem needs PyStemmer: pip install 'fastw2v[stem]'") from None
    languages = Stemmer.algorithms()
    if language not in languages:
        raise UsageError(f"--stem: {language!r} is not one of {', '.join(languages)}")
    stem: Callable[[str], str] = Stemmer.Stemmer(language).stemWord
    return stem
