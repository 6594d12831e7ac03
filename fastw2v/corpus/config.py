"""The options that shape a token store."""

from __future__ import annotations

import dataclasses

from fastw2v.errors import UsageError
from fastw2v.options import check_options, option

_LARGEST = 1 << 62  # counts and lengths are kept as int64


@dataclasses.dataclass(frozen=True)
class PreprocessConfig:
    """Options of `fastw2v preprocess`, of `fastw2v.preprocess`, and of training on text.

    Raises:
        UsageError: a value that is not allowed, or options that exclude each other.
    """

    min_count: int = option(
        5, "Leave out words that occur less often than this.", kind=int, minimum=1, maximum=_LARGEST
    )
    max_vocab: int | None = option(
        None,
        "Keep at most this many words, the most frequent.",
        kind=int,
        minimum=2,
        maximum=_LARGEST,
        shown_default="no limit",
    )
    lowercase: bool = option(True, "Fold text to lower case.", kind=bool)
    strip_accents: bool = option(
        False,
        "Remove accents (diacritics of Latin, Greek, Cyrillic; vowel signs of other scripts stay).",
        kind=bool,
    )
    tokenizer: str = option(
        "words",
        "words: runs of letters, digits and combining marks with inner apostrophes, Unicode NFC. "
        "whitespace: whatever stands between white space, for text that is tokenised already.",
        choices=("words", "whitespace"),
    )
    min_sequence_length: int = option(
        1,
        "Drop lines with fewer words (counted after stop words, before the vocabulary).",
        kind=int,
        minimum=1,
        maximum=_LARGEST,
    )
    max_sequence_length: int = option(
        10000,
        "Split longer lines into sequences of this many words; nothing is cut off. 0 = no limit.",
        kind=int,
        minimum=0,
        maximum=_LARGEST,
    )
    stopwords: str | None = option(
        None,
        "Leave out stop words: those of a text file (one or more a line), or the built-in "
        "English list.",
        metavar="FILE|english",
        shown_default="none",
    )
    vocabulary: str | None = option(
        None,
        "Reuse a vocabulary, its order and counts kept: a token store, a model, a "
        "vocabulary.parquet or a text file of `word count` lines.",
        metavar="FILE|STORE",
        shown_default="counted from the text",
    )
    errors: str = option(
        "replace",
        "Bytes that are not UTF-8. replace: they separate words; skip: they are removed; "
        "strict: they are refused.",
        choices=("replace", "skip", "strict"),
    )

    def __post_init__(self) -> None:
        for name in ("stopwords", "vocabulary"):  # Python callers may pass a Path
            value = getattr(self, name)
            if hasattr(value, "__fspath__"):
                object.__setattr__(self, name, str(value))
        check_options(self)
        if self.vocabulary is not None and (self.min_count != 5 or self.max_vocab is not None):
            raise UsageError(
                "--vocabulary is taken as it is; leave out --min-count and --max-vocab"
            )


# Options that decide how bytes become tokens; tokens that are given as such do not need them.
TEXT_OPTIONS = ("lowercase", "strip_accents", "tokenizer", "errors")


@dataclasses.dataclass(frozen=True)
class Layout:
    """How work and files are cut: by the input alone, so the store's bytes depend on nothing else.

    Attributes:
        unit_bytes: a larger plain file is split into units of this size, at line ends.
        small_unit_bytes: smaller files that follow one another share a unit up to this size.
        block_bytes: text is read in blocks of about this size.
        row_group_tokens: tokens of a row group, the unit of reading in training.
        local_tokens: different words that a unit holds in memory before it starts a new table.
    """

    unit_bytes: int = 64_000_000
    small_unit_bytes: int = 4_000_000
    block_bytes: int = 1 << 20
    row_group_tokens: int = 1_000_000
    local_tokens: int = 2_000_000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise UsageError(f"layout: {field.name} must be at least 1")
