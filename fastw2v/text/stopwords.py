"""English function words, and stop lists from files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from fastw2v.errors import DataError, UsageError
from fastw2v.io.storage import reporting_unreadable

_WORDS = """
    a an the this that these those such same other another each every either neither both all
    any
    some no none much many more most few fewer less least several enough own
    i me my mine myself we us our ours ourselves you your yours yourself yourselves
    he him his himself she her hers herself it its itself they them their theirs themselves
    who whom whose which what whoever whatever whichever one ones oneself
    someone somebody something anyone anybody anything everyone everybody everything nobody
    nothing
    am is are was were be been being do does did doing done have has had having
    can could may might must shall should will would ought cannot
    and or but nor so yet if then else because since although though unless until while
    whereas
    whether as than
    about above across after against along among amid around at before behind below beneath
    beside
    besides between beyond by down during except for from in inside into like near of off on
    onto out
    outside over past per through throughout to toward towards under up upon via with within
    without
    here there where when why how now again once ever never always often also too very just
    only even
    still already almost quite rather not further however therefore thus hence
    i'm i've i'd i'll you're you've you'd you'll he's he'd he'll she's she'd she'll it's it'd
    it'll
    we're we've we'd we'll they're they've they'd they'll that's that'll there's here's what's
    who's
    where's when's why's how's let's
    isn't aren't wasn't weren't don't doesn't didn't haven't hasn't hadn't can't couldn't
    mayn't
    mightn't mustn't shan't shouldn't won't wouldn't needn't oughtn't ain't
"""
ENGLISH = tuple(sorted(set(_WORDS.split())))


def load_stopwords(name: str | None, words_of: Callable[[str], list[str]]) -> list[str]:
    """The stop words that `stopwords` names, as `load_words` gives them."""
    return load_words("`stopwords`", name, ENGLISH, words_of)


def load_words(
    flag: str, name: str | None, english: Iterable[str], words_of: Callable[[str], list[str]]
) -> list[str]:
    """The words that the option `flag` names, tokenized by `words_of`, sorted, each once.

    Args:
        name: a file, "english" for the built-in list `english`, None for no words.

    Raises:
        UsageError: no such file, it cannot be read, or there is no word in it; whatever `words_of`
            raises.
        DataError: the file is not UTF-8.
    """
    if name is None:
        return []
    if name == "english":  # with capitals too, for text that keeps its case
        return sorted({w for word in english for w in words_of(f"{word} {word.capitalize()}")})
    path = Path(name)
    try:
        with reporting_unreadable(f"{flag}: {name}"):
            if not path.exists():
                raise UsageError(f"{flag}: {name}: no such file (the built-in list is 'english')")
            if not path.is_file():
                raise UsageError(f"{flag}: {name}: not a regular file")
            words = set(words_of(path.read_text(encoding="utf-8-sig")))
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: a list of words must be UTF-8 text ({error.reason})") from error
    if not words:
        raise UsageError(f"{flag}: {name}: no word in it")
    return sorted(words)
