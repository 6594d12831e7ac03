"""Bytes to tokens.

Most text repeats itself, so Unicode is looked at once for each different *chunk* (what stands
between ASCII separators), not once for each occurrence: `table` tells where chunks end, `own_token`
which of them are tokens as they stand, and `tokens_of` does the careful work for the others. Where
tokens may span white space, lines take the place of chunks.

The steps, in this order: Unicode form, lower case, accents, digits, cut into tokens, length, stop
words, stem.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable

from fastw2v.corpus import cutting
from fastw2v.corpus.config import PreprocessConfig
from fastw2v.corpus.named_tokenizer import Cut, by_line, cut_by
from fastw2v.corpus.normalise import Normaliser
from fastw2v.corpus.stemming import stemmer
from fastw2v.errors import DataError

# In the stream of chunks this one stands for the end of a line. NUL bytes became spaces before.
LINE_END = b"\0"

_STOP_MARK = "\0"  # no token holds one
_ESCAPED = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of undecodable bytes


@dataclasses.dataclass(frozen=True)
class Tokenizer:
    """How text becomes tokens (the options of `PreprocessConfig` of the same names).

    Attributes:
        stopwords: needed for stemming only, which spares them.
        table: what each byte becomes before chunks are cut at ASCII white space (256 bytes).
        own_token: 1 for every byte of which tokens can consist, 2 for one that may stand between
            two of those; a chunk of such bytes alone is one token, itself (256 bytes, all 0 where
            every chunk has to be looked at).
        by_line: whether lines are tokenised (`tokens_of_line`) and not chunks.
        stop_tokens: what `tokens_of` gives for each of `stopwords`.

    Raises:
        UsageError: a function, module or language of stems that is not there.
    """

    tokenizer: str = "words"
    lowercase: bool = True
    strip_accents: bool = False
    unicode: str | None = None
    digits: str = "keep"
    min_token_length: int = 1
    max_token_length: int | None = None
    stem: str | None = None
    stopwords: tuple[str, ...] = ()
    table: bytes = dataclasses.field(init=False, repr=False, compare=False)
    own_token: bytes = dataclasses.field(init=False, repr=False, compare=False)
    by_line: bool = dataclasses.field(init=False, repr=False, compare=False)
    stop_tokens: tuple[str, ...] = dataclasses.field(init=False, repr=False, compare=False)
    _normalise: Normaliser = dataclasses.field(init=False, repr=False, compare=False)
    _cut: Cut = dataclasses.field(init=False, repr=False, compare=False)
    _stem: Callable[[str], str] | None = dataclasses.field(init=False, repr=False, compare=False)
    _stop_token_of: dict[str, str] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        form = self.unicode or (None if self.tokenizer == "whitespace" else "nfc")
        zero_digits = self.digits == "zero"
        # A stem may look like a stop word ("canned", "can"), but a mark can only be a stop word's.
        mark = _STOP_MARK if self.stem else ""
        values = {
            "table": _table(self.tokenizer == "words", self.lowercase, zero_digits),
            "own_token": self._own_bytes(),
            "by_line": by_line(self.tokenizer),
            "stop_tokens": tuple(mark + word for word in self.stopwords),
            "_normalise": Normaliser(form, self.lowercase, self.strip_accents, zero_digits),
            "_cut": _cut_of(self.tokenizer),
            "_stem": stemmer(self.stem) if self.stem else None,
            "_stop_token_of": {word: mark + word for word in self.stopwords},
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, config: PreprocessConfig, stopwords: Iterable[str] = ()) -> Tokenizer:
        """The tokenizer of these options; `stopwords` are those that `config.stopwords` names.

        Raises:
            UsageError: as the class.
        """
        return cls(
            config.tokenizer,
            config.lowercase,
            config.strip_accents,
            config.unicode,
            config.digits,
            config.min_token_length,
            config.max_token_length,
            config.stem,
            tuple(stopwords),
        )

    def tokens_of(self, chunk: bytes) -> list[str | None]:
        """The tokens (none, one or more) of a chunk; None for one that is too short or too long.

        Stop words are among them, as `stop_tokens` has them.
        """
        text = chunk.decode("utf-8")
        if text.isascii() and self.tokenizer == "words":  # `table` has normalised ASCII
            return self._finished(cutting.words_of_ascii(text))
        if self.tokenizer == "words":
            text = cutting.with_plain_apostrophes(text)
        return self._finished(self._cut(text if text.isascii() else self._normalise(text)))

    def tokens_of_line(self, line: str) -> list[str | None]:
        """The same for a line, without its line end, where `by_line` is set.

        Raises:
            FunctionFailed: the user's function fails, or gives something else than strings.
        """
        line = line.removesuffix("\r").replace("\0", " ")
        return self._finished(self._cut(self._normalise(line)))

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

    def _own_bytes(self) -> bytes:
        looked_at = (
            self.tokenizer not in ("words", "whitespace")
            or self.min_token_length > 1
            or self.max_token_length is not None
            or self.stem is not None
        )
        if looked_at:
            return bytes(256)
        words = self.tokenizer == "words"
        own = bytearray(
            code < 128 and (chr(code).isalnum() if words else 32 < code < 127)
            for code in range(256)
        )
        if words:
            own[ord("'")] = 2
        return bytes(own)

    def _finished(self, tokens: list[str]) -> list[str | None]:
        """After the cut: length, stop words, stem."""
        least, most, stem = self.min_token_length, self.max_token_length, self._stem
        if least == 1 and most is None and stem is None:
            return tokens  # type: ignore[return-value]
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
        return cutting.words
    if tokenizer == "whitespace":
        return str.split
    return cutting.characters if tokenizer == "characters" else cut_by(tokenizer)


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
