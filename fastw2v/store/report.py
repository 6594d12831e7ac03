"""What a run of `preprocess` read, kept and left out; every token is accounted for."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class PreprocessReport:
    """Counts of one token store; all but `seconds` are in its manifest, too.

    tokens_read = tokens_kept + tokens_below_min_count + tokens_beyond_max_vocab +
    tokens_outside_vocabulary + tokens_joined + tokens_stopwords + tokens_too_short_or_long +
    tokens_in_short_lines.

    Attributes:
        files, skipped_files: read; passed over in directories (empty or binary).
        bad_files: left out because they cannot be read (`skip_bad_files`).
        text_bytes: bytes of text, after unpacking.
        tokens_outside_vocabulary: only with a given vocabulary (`vocabulary`, `append`) or with
            approximate counts.
        tokens_joined: less than before phrases were joined: 1 for a phrase of two words. The other
            reasons count tokens of the joined text.
        count_error: by how much a count of the vocabulary may be too low (approximate counts).
        different_tokens: before the vocabulary was pruned.
        sentences: stored sequences (a line is one, unless it is split or nothing of it is kept).
        seconds: wall-clock of this call.
    """

    files: int = 0
    skipped_files: int = 0
    bad_files: int = 0
    text_bytes: int = 0
    lines: int = 0
    empty_lines: int = 0
    short_lines: int = 0
    split_lines: int = 0
    crlf_lines: int = 0
    byte_order_marks: int = 0
    nul_bytes: int = 0
    undecodable_bytes: int = 0
    bad_json_lines: int = 0
    null_texts: int = 0
    null_tokens: int = 0
    tokens_read: int = 0
    tokens_kept: int = 0
    tokens_below_min_count: int = 0
    tokens_beyond_max_vocab: int = 0
    tokens_outside_vocabulary: int = 0
    tokens_joined: int = 0
    tokens_stopwords: int = 0
    tokens_too_short_or_long: int = 0
    tokens_in_short_lines: int = 0
    different_tokens: int = 0
    vocabulary_size: int = 0
    count_error: int = 0
    sentences: int = 0
    seconds: float = 0.0

    @property
    def balanced(self) -> bool:
        """Whether every token read is accounted for."""
        return self.tokens_read == (
            self.tokens_kept
            + self.tokens_below_min_count
            + self.tokens_beyond_max_vocab
            + self.tokens_outside_vocabulary
            + self.tokens_joined
            + self.tokens_stopwords
            + self.tokens_too_short_or_long
            + self.tokens_in_short_lines
        )

    def as_manifest(self) -> dict[str, int]:
        """The counts without the time."""
        values = dataclasses.asdict(self)
        del values["seconds"]
        return values

    def rows(self) -> list[tuple[str, str, int, str]]:
        """(about, label, number, remark) for people; the rows that are always of interest, and the
        others where they are not zero."""
        return [
            (about, label, value, self._share(name, value))
            for about, name, label, always in _ROWS
            if (value := getattr(self, name)) or always
        ]

    def _share(self, name: str, value: Any) -> str:
        if not name.startswith("tokens_") or name == "tokens_read" or not self.tokens_read:
            return ""
        return f"{100 * value / self.tokens_read:.2f} %"


_ROWS = (
    ("input", "files", "files", False),
    ("input", "skipped_files", "files passed over (empty or binary)", False),
    ("input", "bad_files", "bad files, left out", False),
    ("input", "text_bytes", "bytes of text", False),
    ("input", "lines", "lines", True),
    ("input", "empty_lines", "empty lines", False),
    ("input", "short_lines", "short lines, dropped", False),
    ("input", "split_lines", "long lines, split", False),
    ("input", "crlf_lines", "CRLF line ends", False),
    ("input", "byte_order_marks", "byte-order marks, removed", False),
    ("input", "nul_bytes", "NUL bytes, made spaces", False),
    ("input", "undecodable_bytes", "undecodable bytes", True),
    ("input", "bad_json_lines", "bad lines of JSON, left out", False),
    ("input", "null_texts", "rows without a text or list", False),
    ("input", "null_tokens", "null or empty tokens in lists", False),
    ("tokens", "tokens_read", "read", True),
    ("tokens", "tokens_kept", "kept", True),
    ("tokens", "tokens_below_min_count", "below min-count", True),
    ("tokens", "tokens_beyond_max_vocab", "beyond max-vocab", False),
    ("tokens", "tokens_outside_vocabulary", "not in the vocabulary", False),
    ("tokens", "tokens_joined", "gone into phrases", False),
    ("tokens", "tokens_stopwords", "stop words", True),
    ("tokens", "tokens_too_short_or_long", "too short or too long", False),
    ("tokens", "tokens_in_short_lines", "in short lines", True),
    ("store", "different_tokens", "different tokens", True),
    ("store", "vocabulary_size", "vocabulary", True),
    ("store", "count_error", "largest error of a count", False),
    ("store", "sentences", "sequences", True),
)
