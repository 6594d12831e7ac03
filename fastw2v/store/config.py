"""The options that shape a token store."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastw2v.errors import UsageError
from fastw2v.options import option, quoted
from fastw2v.text.config import MAX_INTEGER, TEXT_OPTIONS, TextConfig


@dataclasses.dataclass(frozen=True)
class PreprocessConfig(TextConfig):
    """Options of `fastw2v preprocess`, of `fastw2v.preprocess`, and of training on text: how
    text is read, and how the store is made from it.

    Raises:
        UsageError: a value that is not allowed, or options that exclude each other.
    """

    min_count: int = option(
        5,
        "Leave out words that occur less often than this.",
        kind=int,
        minimum=1,
        maximum=MAX_INTEGER,
    )
    max_vocab: int | None = option(
        None,
        "Keep at most this many words, the most frequent.",
        kind=int,
        minimum=2,
        maximum=MAX_INTEGER,
        shown_default="no limit",
    )
    approximate_vocab: int | None = option(
        None,
        "Count at most this many different words for each piece of the text (64 MB, or as many "
        "words as twice this), the most frequent. Saves disk space and time for unbounded "
        "vocabularies. The report states by how much a count may be too low.",
        kind=int,
        minimum=1000,
        maximum=MAX_INTEGER,
        metavar="WORDS",
        shown_default="off: counts are exact",
    )
    min_sequence_length: int = option(
        1,
        "Drop lines with fewer words (counted after stop words, before the vocabulary).",
        kind=int,
        minimum=1,
        maximum=MAX_INTEGER,
    )
    max_sequence_length: int = option(
        10000,
        "Split longer lines into sequences of this many words; nothing is cut off. 0 = no limit.",
        kind=int,
        minimum=0,
        maximum=MAX_INTEGER,
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
        "Extend the reused vocabulary: words of this text that are new and occur at least "
        "`min_count` times are appended, and counts are added up. `max_vocab` limits all words.",
        kind=bool,
    )
    phrases: int = option(
        0,
        "Join words that belong together (new york) into one token, in this many passes over the "
        "text. One pass finds phrases of two words, two passes phrases of up to four. 0 = off.",
        kind=int,
        minimum=0,
        maximum=8,
        metavar="PASSES",
    )
    phrase_score: str = option(
        "default",
        "How a phrase a b is scored. default: word2phrase's (n_ab - D) / (n_a n_b) * N, with N "
        "the tokens of the text and D = `phrase_min_count`. npmi: ln(p_ab / (p_a p_b)) / "
        "-ln(p_ab), p = n / N: from -1 to 1 (always together).",
        choices=("default", "npmi"),
    )
    phrase_threshold: float | None = option(
        None,
        "Join words that score more than this, in every pass. Higher values give fewer phrases.",
        kind=float,
        minimum=-1,
        metavar="SCORE",
        shown_default="100, or 0.5 for npmi",
    )
    phrase_min_count: int = option(
        5,
        "Words that occur together less often than this or `min_count` do not form a phrase.",
        kind=int,
        minimum=1,
        maximum=MAX_INTEGER,
    )
    phrase_separator: str = option("_", "The text between the words of a phrase's token.")
    connectors: str | None = option(
        None,
        "Words that may occur inside a phrase (end of the day), but neither begin nor end it: "
        "those of a text file (one or more a line), or the built-in English list.",
        metavar="FILE|english",
        shown_default="none",
    )

    skip_bad_files: bool = option(
        False,
        "Skip and list files that are damaged, are not text or crash a worker. By default, the "
        "first such file ends the run.",
        kind=bool,
    )

    def __post_init__(self) -> None:
        for name in ("stopwords", "vocabulary", "connectors"):  # Python callers may pass a Path
            value = getattr(self, name)
            if hasattr(value, "__fspath__"):
                object.__setattr__(self, name, str(value))
        super().__post_init__()
        chosen = (self.max_vocab, self.approximate_vocab) != (None, None) or self.min_count != 5
        if self.vocabulary is not None and chosen and not self.update_vocab:
            raise UsageError(
                "`vocabulary` is taken as it is; leave out `min_count`, `max_vocab` and "
                "`approximate_vocab`, or extend it with `update_vocab`"
            )
        if self.update_vocab and self.vocabulary is None:
            raise UsageError("`update_vocab` needs a vocabulary to extend; give `vocabulary`")
        self._check_phrases()

    def as_settings(self) -> dict[str, Any]:
        """All options by name, in the order in which manifests list them."""
        values = dataclasses.asdict(self)
        own = [name for name in values if name not in TEXT_OPTIONS]
        errors, sequences = TEXT_OPTIONS.index("errors"), own.index("min_sequence_length")
        names = [*own[:sequences], *TEXT_OPTIONS[:errors], *own[sequences:-1]]
        names += [*TEXT_OPTIONS[errors:], own[-1]]
        return {name: values[name] for name in names}

    def _check_phrases(self) -> None:
        if self.phrases and self.approximate_vocab is not None:
            raise UsageError("`phrases` needs exact counts; leave out `approximate_vocab`")
        if self.phrases and self.vocabulary is not None:
            raise UsageError("`vocabulary` brings its own phrases; leave out `phrases`")
        names = ("score", "threshold", "min_count", "separator")
        fields = {field.name: field for field in dataclasses.fields(self)}
        for name in (*(f"phrase_{name}" for name in names), "connectors"):
            if not self.phrases and getattr(self, name) != fields[name].default:
                raise UsageError(
                    f"{quoted(name)} applies only with `phrases`; give both or neither"
                )
        threshold = self.phrase_threshold
        if threshold is not None and self.phrase_score == "npmi" and threshold >= 1:
            raise UsageError(f"`phrase_threshold` must be less than 1 for npmi; got {threshold:g}")
        if threshold is not None and self.phrase_score != "npmi" and threshold < 0:
            raise UsageError(f"`phrase_threshold` must be at least 0; got {threshold:g}")
        if not self.phrase_separator or any(c.isspace() for c in self.phrase_separator):
            raise UsageError(
                "`phrase_separator` must be non-empty and without white space; "
                f"got {self.phrase_separator!r}"
            )
