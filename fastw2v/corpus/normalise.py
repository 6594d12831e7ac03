"""One spelling for what is the same to the reader: Unicode forms, case, accents, digits."""

from __future__ import annotations

import dataclasses
import unicodedata

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
class Normaliser:
    """Called with a text, gives it normalised.

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
