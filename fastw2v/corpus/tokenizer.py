"""Bytes to words.

Most text repeats itself, so Unicode is looked at once for each different *chunk* (what stands
between ASCII separators), not once for each occurrence: `split` is three C-speed passes over the
bytes of a block, and `tokens_of` does the careful work for a chunk that has not been seen yet.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata

from fastw2v.errors import DataError

# In the stream of chunks this one stands for the end of a line. NUL bytes became spaces before.
LINE_END = b"\0"

_ESCAPED = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of undecodable bytes
_WORD = re.compile(r"[^\s']+(?:'[^\s']+)*")
_JOINERS = "\u200c\u200d"  # Persian and Indic scripts use them inside words
_SOFT_HYPHEN = "\u00ad"
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


class _WordCharacters(dict[int, int]):
    """For `str.translate`: letters, marks, numbers, joiners and the apostrophe stay, all else
    becomes a space. Filled as characters are met."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        stays = unicodedata.category(character)[0] in "LMN" or character in _JOINERS + "'"
        self[code] = code if stays else ord(" ")
        return self[code]


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """How text becomes tokens (the options of `PreprocessConfig` of the same names)."""

    tokenizer: str = "words"
    lowercase: bool = True
    strip_accents: bool = False

    def __post_init__(self) -> None:
        table = bytearray(range(256))
        table[0] = ord(" ")
        for code in range(128):
            character = chr(code)
            if self.tokenizer == "words" and not character.isalnum() and character not in "'\n":
                table[code] = ord(" ")
            elif self.lowercase:
                table[code] = ord(character.lower()) if code else ord(" ")
        object.__setattr__(self, "_table", bytes(table))
        object.__setattr__(self, "_word_characters", _WordCharacters())

    def split(self, block: bytes) -> list[bytes]:
        """The chunks of a block of valid UTF-8, `LINE_END` for every line feed."""
        return block.translate(self._table).replace(b"\n", b" \0 ").split()  # type: ignore[attr-defined]

    def tokens_of(self, chunk: bytes) -> list[str]:
        """The tokens (none, one or more) of a chunk from `split`."""
        text = chunk.decode("utf-8")
        if not text.isascii():
            text = self._normalised(text)
        if self.tokenizer == "whitespace":
            return text.split()
        return [word for found in _WORD.findall(text) if (word := _trimmed(found))]

    def words_of(self, text: str) -> list[str]:
        """The tokens of `text`; line ends only separate them."""
        chunks = self.split(text.encode("utf-8"))
        return [token for chunk in chunks if chunk != LINE_END for token in self.tokens_of(chunk)]

    def _normalised(self, text: str) -> str:
        if self.lowercase:
            text = text.lower()
        if self.strip_accents:
            text = unicodedata.normalize("NFD", text).translate(_NO_DIACRITICS)
            text = unicodedata.normalize("NFC", text)
        if self.tokenizer == "whitespace":
            return text
        text = text.replace(_SOFT_HYPHEN, "").replace("\u2019", "'")
        text = unicodedata.normalize("NFC", text)
        return text.translate(self._word_characters)  # type: ignore[attr-defined]


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
    """A byte that is not UTF-8, at `position` in its block."""

    def __init__(self, position: int, value: int) -> None:
        super().__init__(f"byte 0x{value:02x} is not UTF-8")
        self.position = position
