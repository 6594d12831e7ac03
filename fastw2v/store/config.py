"""The options that shape a token store."""

from __future__ import annotations

import dataclasses

from fastw2v.errors import UsageError
from fastw2v.options import check_options, flag_of, option
from fastw2v.text.custom_tokenizer import check_name

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
    approximate_vocab: int | None = option(
        None,
        "Count at most this many different words for each piece of the text (64 MB, or as many "
        "words as twice this), the most frequent: for less disk and time where new words never "
        "end. The report says by how much a count may be too low.",
        kind=int,
        minimum=1000,
        maximum=_LARGEST,
        metavar="WORDS",
        shown_default="off: counts are exact",
    )
    lowercase: bool = option(True, "Fold text to lower case.", kind=bool)
    strip_accents: bool = option(
        False,
        "Remove accents (diacritics of Latin, Greek, Cyrillic; vowel signs of other scripts stay).",
        kind=bool,
    )
    tokenizer: str = option(
        "words",
        "words: runs of letters, digits and combining marks with inner apostrophes. whitespace: "
        "whatever stands between white space, for text that is tokenized already. characters: "
        "every character but white space; combining marks, joiners and skin tones stay with what "
        "they follow. regex:PATTERN: what PATTERN (of Python's re) matches in a line, or its first "
        "group. module:function: your own, called with each line, gives a list of strings; the "
        "module may lie in the working directory. The last two see lines after normalization, so "
        "in lower case without --no-lowercase.",
        metavar="[words|whitespace|characters|regex:PATTERN|module:function]",
    )
    unicode: str | None = option(
        None,
        "Unicode normalization. nfkc also makes ligatures, full-width and other variants of "
        "characters plain. The order is: this, lower case, accents, digits, cut into tokens, "
        "length, stop words, stem.",
        choices=("nfc", "nfkc"),
        shown_default="nfc; for whitespace, text as it stands",
    )
    digits: str = option(
        "keep",
        "zero: every decimal digit of any script becomes 0, so that numbers of one shape are one "
        "token.",
        choices=("keep", "zero"),
    )
    min_token_length: int = option(
        1,
        "Leave out tokens of fewer characters (Unicode code points).",
        kind=int,
        minimum=1,
        maximum=_LARGEST,
    )
    max_token_length: int | None = option(
        None,
        "Leave out tokens of more characters; none is cut off.",
        kind=int,
        minimum=1,
        maximum=_LARGEST,
        shown_default="no limit",
    )
    stem: str | None = option(
        None,
        "Replace words by their Snowball stems, in a language such as english; for text in lower "
        "case. Stop words are left out before. Needs the extra `stem` (PyStemmer).",
        metavar="LANGUAGE",
        shown_default="none",
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
        metavar="FILE|STORE|MODEL",
        shown_default="counted from the text",
    )
    update_vocab: bool = option(
        False,
        "Let the vocabulary that is reused grow: behind its words come the new ones of this text "
        "that occur --min-count times, and counts are those of both. --max-vocab is of all words.",
        kind=bool,
    )
    phrases: int = option(
        0,
        "Join words that belong together (new york) into one token: passes over the text. One pass "
        "finds phrases of two words, two of up to four. 0 = off.",
        kind=int,
        minimum=0,
        maximum=8,
        metavar="PASSES",
    )
    phrase_score: str = option(
        "default",
        "What makes a b a phrase. default: word2phrase's (n_ab - D) / (n_a n_b) * N, with N the "
        "tokens of the text and D = --phrase-min-count. npmi: ln(p_ab / (p_a p_b)) / -ln(p_ab), "
        "p = n / N: from -1 to 1 (always together).",
        choices=("default", "npmi"),
    )
    phrase_threshold: float | None = option(
        None,
        "A phrase scores more than this, in every pass. Higher: fewer phrases.",
        kind=float,
        minimum=-1,
        metavar="SCORE",
        shown_default="100, or 0.5 for npmi",
    )
    phrase_min_count: int = option(
        5,
        "Words that come together less often than this, or than --min-count, are no phrase.",
        kind=int,
        minimum=1,
        maximum=_LARGEST,
    )
    phrase_separator: str = option("_", "What stands between the words of a phrase's token.")
    connectors: str | None = option(
        None,
        "Words that may stand inside a phrase (end of the day), but neither begin nor end it: "
        "those of a text file (one or more a line), or the built-in English list.",
        metavar="FILE|english",
        shown_default="none",
    )
    errors: str = option(
        "replace",
        "Bytes that are not UTF-8. replace: they separate words; skip: they are removed; "
        "strict: they are refused.",
        choices=("replace", "skip", "strict"),
    )
    text_column: str | None = option(
        None,
        "The column or field that holds the text, of Parquet, JSON Lines (.jsonl, .ndjson) and "
        "datasets saved by Hugging Face; a.b for b within a. A row is a sequence. Nulls are left "
        "out and counted; so are bad lines of JSON, unless --errors strict.",
        metavar="NAME",
        shown_default="none",
    )
    ids_column: str | None = option(
        None,
        "The column of Parquet or a saved dataset that holds lists of tokens, taken as they are, "
        "or of token ids: rows of --vocabulary, or else the token is the number.",
        metavar="NAME",
        shown_default="none",
    )
    document_separator: str | None = option(
        None,
        'A line equal to this ("": an empty line) ends a document, which is one sequence; the '
        "line ends within it become spaces.",
        metavar="TEXT",
        shown_default="every line is one",
    )
    sentences: bool = option(
        False,
        "Cut lines and documents into sentences: behind . ! ? … (closing quotes and brackets "
        "included) and white space, but not behind a single letter (J. Smith); behind 。！？ also "
        "without white space.",
        kind=bool,
    )
    max_unpacked: int = option(
        500,
        "Refuse a compressed file that unpacks to more than this many times its size (and to more "
        "than 64 MB). 0 = no limit.",
        kind=int,
        minimum=0,
        maximum=_LARGEST,
        metavar="TIMES",
    )

    skip_bad_files: bool = option(
        False,
        "Leave out files that are damaged, or no text, or on which a worker dies, and list them, "
        "where otherwise the first ends the run.",
        kind=bool,
    )

    def __post_init__(self) -> None:
        for name in ("stopwords", "vocabulary", "connectors"):  # Python callers may pass a Path
            value = getattr(self, name)
            if hasattr(value, "__fspath__"):
                object.__setattr__(self, name, str(value))
        check_options(self)
        check_name(self.tokenizer)
        if self.max_token_length is not None and self.max_token_length < self.min_token_length:
            raise UsageError(
                f"--max-token-length: {self.max_token_length} is less than --min-token-length "
                f"({self.min_token_length})"
            )
        chosen = (self.max_vocab, self.approximate_vocab) != (None, None) or self.min_count != 5
        if self.vocabulary is not None and chosen and not self.update_vocab:
            raise UsageError(
                "--vocabulary is taken as it is; leave out --min-count, --max-vocab and "
                "--approximate-vocab, or let it grow with --update-vocab"
            )
        if self.update_vocab and self.vocabulary is None:
            raise UsageError("--update-vocab: no vocabulary that could grow; give --vocabulary")
        self._check_phrases()
        self._check_reading()

    def _check_phrases(self) -> None:
        if self.phrases and self.approximate_vocab is not None:
            raise UsageError("--phrases: needs exact counts; leave out --approximate-vocab")
        if self.phrases and self.vocabulary is not None:
            raise UsageError("--vocabulary brings its own phrases; leave out --phrases")
        names = ("score", "threshold", "min_count", "separator")
        fields = {field.name: field for field in dataclasses.fields(self)}
        for name in (*(f"phrase_{name}" for name in names), "connectors"):
            if not self.phrases and getattr(self, name) != fields[name].default:
                raise UsageError(f"{flag_of(name)}: only with --phrases PASSES; give both or none")
        threshold = self.phrase_threshold
        if threshold is not None and self.phrase_score == "npmi" and threshold >= 1:
            raise UsageError(f"--phrase-threshold: {threshold:g} is too large; npmi is 1 at most")
        if threshold is not None and self.phrase_score != "npmi" and threshold < 0:
            raise UsageError(f"--phrase-threshold: {threshold:g} is too small; the least is 0")
        if not self.phrase_separator or any(c.isspace() for c in self.phrase_separator):
            raise UsageError(
                f"--phrase-separator: {self.phrase_separator!r} is empty or has white space in it"
            )

    def _check_reading(self) -> None:
        separator = self.document_separator
        if separator is not None and ("\n" in separator or len(separator) > 1000):
            raise UsageError("--document-separator: must be one line of at most 1,000 characters")
        if "" in (self.text_column, self.ids_column):
            raise UsageError("--text-column, --ids-column: an empty name; name a column")
        if self.ids_column is None:
            return
        fields = {field.name: field for field in dataclasses.fields(self)}
        others = ("text_column", "document_separator", "sentences", *TEXT_OPTIONS)
        for name in others:
            if getattr(self, name) != fields[name].default:
                raise UsageError(f"{flag_of(name)}: only for text; --ids-column is taken as it is")


# Options that decide how inputs are cut into sequences; see `inputs.ReadOptions`.
READ_OPTIONS = ("text_column", "ids_column", "document_separator", "sentences", "max_unpacked")

# Options that decide how bytes become tokens; tokens that are given as such do not need them.
TEXT_OPTIONS = (
    "lowercase",
    "strip_accents",
    "tokenizer",
    "unicode",
    "digits",
    "min_token_length",
    "max_token_length",
    "stem",
    "errors",
)
