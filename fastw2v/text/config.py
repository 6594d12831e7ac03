"""The options of reading text, and the layout of shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fastw2v.errors import UsageError
from fastw2v.options import check_options, option, quoted
from fastw2v.text.custom_tokenizer import check_name

MAX_INTEGER = 1 << 62  # counts and lengths are kept as int64


@dataclasses.dataclass(frozen=True)
class TextConfig:
    """How input files are read and cut into tokens.

    Raises:
        UsageError: a value that is not allowed, or options that exclude each other.
    """

    lowercase: bool = option(True, "Convert text to lower case.", kind=bool)
    strip_accents: bool = option(
        False,
        "Remove accents (diacritics of Latin, Greek and Cyrillic; vowel signs of other scripts "
        "stay).",
        kind=bool,
    )
    tokenizer: str = option(
        "words",
        "words: runs of letters, digits and combining marks with inner apostrophes. whitespace: "
        "split at white space, for text that is tokenized already. characters: every character "
        "except white space; combining marks, joiners and skin tones stay with the character "
        "before them. regex:PATTERN: the matches of PATTERN (syntax of Python's re) in a line, or "
        "its first group. module:function: your own function, called with each line, returns a "
        "list of strings; the module may be in the working directory. The last two receive "
        "normalized lines: in lower case unless `lowercase` is off.",
        metavar="[words|whitespace|characters|regex:PATTERN|module:function]",
    )
    unicode: str | None = option(
        None,
        "Unicode normalization form. nfkc also replaces ligatures, full-width forms and other "
        "compatibility characters by plain ones. Steps are applied in this order: Unicode form, "
        "lower case, accents, digits, tokenizer, token length, stop words, stemming.",
        choices=("nfc", "nfkc"),
        shown_default="nfc; unchanged for whitespace",
    )
    digits: str = option(
        "keep",
        "zero: replace every decimal digit of any script by 0, so that numbers with the same "
        "number of digits are one token.",
        choices=("keep", "zero"),
    )
    min_token_length: int = option(
        1,
        "Drop tokens of fewer characters (Unicode code points).",
        kind=int,
        minimum=1,
        maximum=MAX_INTEGER,
    )
    max_token_length: int | None = option(
        None,
        "Drop tokens of more characters; tokens are never truncated.",
        kind=int,
        minimum=1,
        maximum=MAX_INTEGER,
        shown_default="no limit",
    )
    stem: str | None = option(
        None,
        "Replace words by their Snowball stems, in a language such as english; for lower-case "
        "text. Stop words are removed before. Needs the extra `stem` (PyStemmer).",
        metavar="LANGUAGE",
        shown_default="none",
    )
    errors: str = option(
        "replace",
        "How bytes that are not UTF-8 are handled. replace: they separate words; skip: they are "
        "removed; strict: the file is refused.",
        choices=("replace", "skip", "strict"),
    )
    text_column: str | None = option(
        None,
        "The column or field with the text, in Parquet, JSON Lines (.jsonl, .ndjson) and datasets "
        "saved by Hugging Face; a.b means b within a. Each row is a sequence. Nulls are skipped "
        "and counted, and so are invalid lines of JSON unless `errors` is strict.",
        metavar="NAME",
        shown_default="none",
    )
    ids_column: str | None = option(
        None,
        "The column with lists of tokens, used unchanged, or lists of token ids, in Parquet or a "
        "saved dataset. An id is a row of `vocabulary`; without one, its number is the token.",
        metavar="NAME",
        shown_default="none",
    )
    document_separator: str | None = option(
        None,
        'A line equal to this ("": an empty line) ends a document. A document is one sequence; '
        "its line ends become spaces.",
        metavar="TEXT",
        shown_default="none: each line is a sequence",
    )
    sentences: bool = option(
        False,
        "Split lines and documents into sentences: after . ! ? … (with closing quotes and "
        "brackets) followed by white space, except after a single letter (J. Smith); after 。！？ "
        "also without white space.",
        kind=bool,
    )
    max_unpacked: int = option(
        500,
        "Refuse a compressed file that decompresses to more than this many times its size (and to "
        "more than 64 MB). 0 = no limit.",
        kind=int,
        minimum=0,
        maximum=MAX_INTEGER,
        metavar="TIMES",
    )

    def __post_init__(self) -> None:
        check_options(self)
        check_name(self.tokenizer)
        longest = self.max_token_length
        if longest is not None and longest < self.min_token_length:
            raise UsageError(
                f"`max_token_length` must be at least `min_token_length` "
                f"({self.min_token_length}); got {longest}"
            )
        separator = self.document_separator
        if separator is not None and ("\n" in separator or len(separator) > 1000):
            raise UsageError("`document_separator` must be one line of at most 1,000 characters")
        for name in ("text_column", "ids_column"):
            if getattr(self, name) == "":
                raise UsageError(f"`{name}` must be the name of a column; got an empty name")
        if self.ids_column is not None:
            self._check_ids_column()

    def _check_ids_column(self) -> None:
        for field in dataclasses.fields(TextConfig):
            allowed = field.name in ("ids_column", "max_unpacked")
            if not allowed and getattr(self, field.name) != field.default:
                raise UsageError(
                    f"`{field.name}` applies to text only; leave it out where `ids_column` is "
                    "given, whose tokens are used unchanged"
                )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> TextConfig:
        """Its options among the settings of a manifest (of an older one: the defaults for those
        that it lacks)."""
        return cls(**{name: settings[name] for name in TEXT_OPTIONS if name in settings})

    @property
    def column(self) -> str | None:
        """The column to read, of either kind."""
        return self.text_column if self.ids_column is None else self.ids_column

    @property
    def column_flag(self) -> str:
        """The option that names the column."""
        return quoted("text_column" if self.ids_column is None else "ids_column")


TEXT_OPTIONS = tuple(field.name for field in dataclasses.fields(TextConfig))
# Those of the tokens alone, wherever the text comes from.
TOKENIZER_OPTIONS = TEXT_OPTIONS[: TEXT_OPTIONS.index("errors") + 1]


@dataclasses.dataclass(frozen=True)
class Layout:
    """How text and store are cut: by the input alone, so that a store's bytes depend on nothing
    else.

    Attributes:
        unit_bytes: a larger plain file is split into shards of this size, at line ends.
        small_unit_bytes: smaller files that follow one another share a shard up to this size.
        block_bytes: text is read in blocks of about this size.
        row_group_tokens: tokens of a row group, the unit of reading in training.
        local_tokens: different words that a job holds in memory before it starts a new table.
    """

    unit_bytes: int = 64_000_000
    small_unit_bytes: int = 4_000_000
    block_bytes: int = 1 << 19
    row_group_tokens: int = 1_000_000
    local_tokens: int = 1_000_000

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise UsageError(f"layout: {field.name} must be at least 1")
