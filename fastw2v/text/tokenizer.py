"""Bytes to tokens: normalization, the built-in tokenizers, token length, stop words, stemming.

Text repeats itself, so Unicode is handled once for each different *chunk* (bytes between ASCII
separators), not once for each occurrence: `table` defines where chunks end, `own_token` which of
them are tokens unchanged, and `tokens_of` handles the others. For tokenizers whose tokens may span
white space, lines take the place of chunks.

The steps, in this order: Unicode form, lower case, accents, digits, tokenizer, token length, stop
words, stemming.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fastw2v.errors import DataError, UsageError
from fastw2v.io.storage import reporting_unreadable
from fastw2v.text.config import TextConfig
from fastw2v.text.custom_tokenizer import Cut, by_line, cut_by

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


def stemmer(language: str) -> Callable[[str], str]:
    """word -> stem, in a language of Snowball.

    Raises:
        UsageError: PyStemmer is not installed, or it does not know the language.
    """
    try:
        import Stemmer
    except ImportError:
        raise UsageError("`stem` needs PyStemmer: pip install 'fastw2v[stem]'") from None
    languages = Stemmer.algorithms()
    if language not in languages:
        raise UsageError(f"`stem`: {language!r} is not one of {', '.join(languages)}")
    stem: Callable[[str], str] = Stemmer.Stemmer(language).stemWord
    return stem


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
    """Before text is normalized for `words`: ’ as ', and no soft hyphens."""
    return text.replace(_SOFT_HYPHEN, "").replace("\u2019", "'")


def words_of_ascii(text: str) -> list[str]:
    """As `words`, for ASCII in which all that separates words is white space by now."""
    return _WORD.findall(text)


def cut_words(text: str) -> list[str]:
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


def cut_characters(text: str) -> list[str]:
    """Every character that is not white space, close to what readers perceive as one.

    Combining marks, joiners and skin tones stay with the character before them, and so does a
    picture after a joiner; two flag letters are a flag. (Of Unicode's grapheme clusters, UAX 29,
    these leave out prepended marks, the conjuncts of Indic scripts, and jamo that NFC does not
    compose.)
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
    """First and last of every run of combining marks, in planes 0, 1 and 14."""
    first = None
    for code in (*range(0x300, 0x20000), *range(0xE0000, 0xE1000)):
        is_mark = unicodedata.category(chr(code))[0] == "M"
        if is_mark and first is None:
            first = code
        elif not is_mark and first is not None:
            yield first, code - 1
            first = None


_DIACRITIC_BLOCKS = (
    (0x0300, 0x036F),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F),
)
_NO_DIACRITICS = {
    code: None for first, last in _DIACRITIC_BLOCKS for code in range(first, last + 1)
}


class _ZeroDigits(dict[int, int]):
    """For `str.translate`: every decimal digit becomes 0. Filled as characters are met."""

    def __missing__(self, code: int) -> int:
        self[code] = ord("0") if unicodedata.category(chr(code)) == "Nd" else code
        return self[code]


_ZERO_DIGITS = _ZeroDigits()


@dataclasses.dataclass(frozen=True)
class Normalizer:
    """Called with a text, gives it normalized.

    unicode: "nfc", "nfkc", or None, which leaves text in the form that it has (but without accents
    it is always in NFC).
    """

    unicode: str | None
    lowercase: bool
    strip_accents: bool
    zero_digits: bool

    def __call__(self, text: str) -> str:
        """NFKC first, for it makes capitals, accents and digits; the form again at the end, for the
        other steps can leave it. NFC in front would change nothing that NFC at the end does not."""
        if self.unicode == "nfkc":
            text = unicodedata.normalize("NFKC", text)
        if self.lowercase:
            text = text.lower()
        if self.strip_accents:
            text = unicodedata.normalize("NFD", text).translate(_NO_DIACRITICS)
        if self.zero_digits:
            text = text.translate(_ZERO_DIGITS)
        form = self.unicode or ("nfc" if self.strip_accents else None)
        if form == "nfc":
            return unicodedata.normalize("NFC", text)
        return unicodedata.normalize("NFKC", text) if form else text


# In the stream of chunks this one stands for the end of a line. NUL bytes became spaces before.
LINE_END = b"\0"

_STOP_MARK = "\0"  # no token holds one
_ESCAPED = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of undecodable bytes


class Tokenizer:
    """How text becomes tokens.

    Args:
        config: the options.
        stopwords: needed for stemming only, which leaves them unchanged.

    Attributes:
        table: what each byte becomes before chunks are cut at ASCII white space (256 bytes).
        own_token: 1 for every byte of which tokens can consist, 2 for one that may stand between
            two of those; a chunk of such bytes alone is one token, itself (256 bytes, all 0 where
            every chunk has to be looked at).
        by_line: whether lines are tokenized (`tokens_of_line`) and not chunks.
        stop_tokens: what `tokens_of` gives for each of `stopwords`.

    Raises:
        UsageError: the function, module or language of stems does not exist.
    """

    def __init__(self, config: TextConfig, stopwords: Iterable[str] = ()) -> None:
        name, zero_digits = config.tokenizer, config.digits == "zero"
        self._is_words = name == "words"
        self._min_length, self._max_length = config.min_token_length, config.max_token_length
        self._cut = _cut_of(name)
        self._stem = stemmer(config.stem) if config.stem else None
        form = config.unicode or (None if name == "whitespace" else "nfc")
        self._normalize = Normalizer(form, config.lowercase, config.strip_accents, zero_digits)
        # A stem may look like a stop word ("canned", "can"), but a mark can only be a stop word's.
        mark = _STOP_MARK if self._stem else ""
        self._stop_token_of = {word: mark + word for word in stopwords}
        self._finishes = bool(config.min_token_length > 1 or config.max_token_length or self._stem)
        self.stop_tokens = tuple(self._stop_token_of.values())
        self.table = _table(self._is_words, config.lowercase, zero_digits)
        self.own_token = self._own_bytes(name)
        self.by_line = by_line(name)

    def tokens_of(self, chunk: bytes) -> list[str | None]:
        """The tokens (none, one or more) of a chunk; None for one that is too short or too long.

        Stop words are among them, as `stop_tokens` has them.
        """
        text = chunk.decode("utf-8")
        if text.isascii() and self._is_words:  # `table` has normalized ASCII
            return self._finished(words_of_ascii(text))
        if self._is_words:
            text = with_plain_apostrophes(text)
        return self._finished(self._cut(text if text.isascii() else self._normalize(text)))

    def tokens_of_line(self, line: str) -> list[str | None]:
        """The same for a line, without its line end, where `by_line` is set.

        Raises:
            FunctionFailed: the user's function fails, or returns something other than strings.
        """
        line = line.removesuffix("\r").replace("\0", " ")
        return self._finished(self._cut(self._normalize(line)))

    def split(self, block: bytes) -> list[bytes]:
        """The chunks of a block of valid UTF-8, `LINE_END` for every line feed."""
        return block.translate(self.table).replace(b"\n", b" \0 ").split()

    def words_of(self, text: str) -> list[str]:
        """The tokens of `text` that are kept, one after the other, the slow and simple way."""
        if self.by_line:
            tokens = [token for line in text.split("\n") for token in self.tokens_of_line(line)]
        else:
            chunks = [chunk for chunk in self.split(text.encode("utf-8")) if chunk != LINE_END]
            tokens = [token for chunk in chunks for token in self.tokens_of(chunk)]
        left_out = {None, *self.stop_tokens}
        return [token for token in tokens if token not in left_out]  # type: ignore[misc]

    def _own_bytes(self, name: str) -> bytes:
        if name not in ("words", "whitespace") or self._finishes:
            return bytes(256)
        own = bytearray(
            code < 128 and (chr(code).isalnum() if self._is_words else 32 < code < 127)
            for code in range(256)
        )
        if self._is_words:
            own[ord("'")] = 2
        return bytes(own)

    def _finished(self, tokens: list[str]) -> list[str | None]:
        """After the cut: length, stop words, stem."""
        if not self._finishes:
            return tokens  # type: ignore[return-value]
        least, most, stem = self._min_length, self._max_length, self._stem
        kept = [
            token if least <= len(token) and (most is None or len(token) <= most) else None
            for token in tokens
        ]
        if stem is None:
            return kept
        stop_token_of = self._stop_token_of
        return [
            token and (stop_token_of.get(token) or stem(token) or token)  # "ـ" has no Arabic stem
            for token in kept
        ]


def _table(words: bool, lowercase: bool, zero_digits: bool) -> bytes:
    table = bytearray(range(256))
    table[0] = ord(" ")
    for code in range(1, 128):
        character = chr(code)
        if words and not character.isalnum() and character not in "'\n":
            table[code] = ord(" ")
        elif zero_digits and character.isdigit():
            table[code] = ord("0")
        elif lowercase:
            table[code] = ord(character.lower())
    return bytes(table)


def _cut_of(tokenizer: str) -> Cut:
    if tokenizer == "words":
        return cut_words
    if tokenizer == "whitespace":
        return str.split
    return cut_characters if tokenizer == "characters" else cut_by(tokenizer)


def valid_utf8(block: bytes, errors: str) -> tuple[bytes, int]:
    """`block` with undecodable bytes made spaces (`replace`) or removed (`skip`), and their number.

    Raises:
        UndecodableBytes: `errors` is "strict" and there are some.
    """
    try:
        block.decode("utf-8")
    except UnicodeDecodeError as error:
        if errors == "strict":
            raise UndecodableBytes(error.start, block[error.start]) from None
    else:
        return block, 0
    text, count = _ESCAPED.subn(
        " " if errors == "replace" else "", block.decode("utf-8", "surrogateescape")
    )
    return text.encode("utf-8"), count


class UndecodableBytes(DataError):  # noqa: N818 - named by what was found
    """A byte that is not UTF-8, at `offset` in its block."""

    def __init__(self, offset: int, value: int) -> None:
        super().__init__(f"byte 0x{value:02x} is not UTF-8")
        self.offset = offset
