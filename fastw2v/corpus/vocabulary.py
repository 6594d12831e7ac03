"""The vocabulary: which tokens have a row, how often each occurred; loaded and saved as Parquet."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fastw2v import storage
from fastw2v.errors import DataError, UsageError

SCHEMA = pa.schema(
    [
        pa.field("token", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
# Counts on their way to a vocabulary; `large_string` because they may pass 2 GB of text.
COUNTS_SCHEMA = pa.schema([("token", pa.large_string()), ("count", pa.int64())])

PARQUET_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    # On ids of Zipf frequencies plain pages cost 7 % of size and save two thirds of the time.
    "use_dictionary": False,
    "write_page_checksum": True,
    "write_statistics": False,
}
PARQUET_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, IndexError)


class Vocabulary:
    """Tokens and their counts; the place of a token is its id. Never changed once made.

    Attributes:
        tokens: list of V different, non-empty strings.
        counts: int64 (V,), all positive, read-only.
    """

    def __init__(self, tokens: Iterable[str], counts: Any) -> None:
        self.tokens = list(tokens)
        self.counts = np.array(counts, dtype=np.int64)
        self.counts.flags.writeable = False
        if self.counts.shape != (len(self.tokens),):
            raise UsageError(
                f"vocabulary: {len(self.tokens)} tokens but counts of shape {self.counts.shape}"
            )

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], min_count: int = 1, max_vocab: int | None = None
    ) -> Vocabulary:
        """The tokens that occur at least `min_count` times, at most `max_vocab` of them.

        Order: count descending, then token by code point.
        """
        kept = [(token, count) for token, count in counts.items() if count >= max(1, min_count)]
        kept.sort(key=lambda item: (-item[1], item[0]))
        kept = kept[:max_vocab]
        return cls([token for token, _ in kept], [count for _, count in kept])

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens, total {self.total})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """Token -> id."""
        return {token: token_id for token_id, token in enumerate(self.tokens)}

    @functools.cached_property
    def total(self) -> int:
        """Sum of the counts."""
        return int(self.counts.sum())

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 (hexadecimal) over the tokens and counts in order."""
        encoded = [token.encode("utf-8") for token in self.tokens]
        digest = hashlib.sha256()
        # Lengths first, so that no two vocabularies join to the same bytes.
        digest.update(np.array([len(token) for token in encoded], dtype="<i8").tobytes())
        digest.update(b"".join(encoded))
        digest.update(self.counts.astype("<i8").tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write as Parquet (`token: string`, `count: int64`), atomically.

        Raises:
            ResourceError: it cannot be written.
        """
        table = pa.table([pa.array(self.tokens, pa.string()), self.counts], schema=SCHEMA)
        with storage.atomic_file(Path(path)) as temporary:
            pq.write_table(table, temporary, **PARQUET_OPTIONS)

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what `save` wrote, in its order.

        Raises:
            DataError: missing, damaged or foreign: another schema, nulls, tokens that are empty
                or occur twice, counts that are not positive.
        """
        table = _read_table(Path(path))
        types = (pa.string(), pa.int64()), (pa.large_string(), pa.int64())
        if table.column_names != SCHEMA.names or tuple(table.schema.types) not in types:
            found = ", ".join(f"{field.name}: {field.type}" for field in table.schema)
            raise DataError(
                f"{path}: not a vocabulary; expected columns token: string, count: int64, "
                f"found {found or 'none'}"
            )
        if table["token"].null_count or table["count"].null_count:
            raise DataError(f"{path}: a vocabulary without nulls is expected, but it has some")
        return _checked(path, cls(table["token"].to_pylist(), table["count"].to_numpy()))


def _read_table(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(use_threads=False)
    except PARQUET_ERRORS as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "empty"
        raise DataError(f"{path}: not a readable Parquet file ({reason})") from error


def _checked(path: str | Path, vocabulary: Vocabulary) -> Vocabulary:
    """Refuse what a vocabulary file must not hold."""
    if len(vocabulary.index) != len(vocabulary):
        seen: set[str] = set()
        twice = next(t for t in vocabulary.tokens if t in seen or seen.add(t))  # type: ignore[func-returns-value]
        raise DataError(f"{path}: the token {twice!r} stands in the vocabulary twice")
    if "" in vocabulary.index:
        raise DataError(f"{path}: the vocabulary has an empty token")
    if len(vocabulary) and vocabulary.counts.min() < 1:
        token = vocabulary.tokens[int(vocabulary.counts.argmin())]
        raise DataError(f"{path}: the count of {token!r} is not positive")
    return vocabulary


def load_text_vocabulary(path: str | Path) -> Vocabulary:
    """Read a text file of `token count` lines (what word2vec.c's `-save-vocab` writes), in order.

    Raises:
        DataError: a line that is not a token, white space and a positive count; a token twice.
    """
    tokens, counts = [], []
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable text file ({error})") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields == ["</s>", "0"]:  # word2vec.c writes that where no line ended
            continue
        if len(fields) != 2 or not fields[1].isdecimal() or len(fields[1]) > 18:
            raise DataError(f"{path}: line {number}: expected a token and a count, found {line!r}")
        tokens.append(fields[0])
        counts.append(int(fields[1]))
    return _checked(path, Vocabulary(tokens, counts))


def save_counts(path: Path, tokens: Iterable[str], counts: np.ndarray) -> None:
    """Write token counts (any order; zero allowed) for `merge_counts`, atomically."""
    table = pa.table([pa.array(tokens, pa.large_string()), counts], schema=COUNTS_SCHEMA)
    with storage.atomic_file(path) as temporary:
        pq.write_table(table, temporary, **PARQUET_OPTIONS)


def load_counted_tokens(path: Path) -> pa.ChunkedArray:
    """The tokens of a file of `save_counts`, in its order."""
    return _read_table(path)["token"]


def merge_counts(paths: Iterable[Path]) -> pa.Table:
    """Add up files of `save_counts`; one row a token that occurs, order of rows not defined."""
    merged = COUNTS_SCHEMA.empty_table()
    for path in paths:
        table = _read_table(path)
        if table.schema.names != COUNTS_SCHEMA.names:
            raise DataError(f"{path}: not a file of token counts")
        grouped = pa.concat_tables([merged, table]).group_by("token", use_threads=False)
        merged = grouped.aggregate([("count", "sum")]).rename_columns(["token", "count"])
    return merged.filter(pc.greater(merged["count"], 0))


def noise_distribution(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Negative sampling's p ∝ count**exponent, float64 (V,) (Mikolov et al. 2013: 0.75)."""
    weights = counts.astype(np.float64) ** exponent
    return np.asarray(weights / weights.sum())
