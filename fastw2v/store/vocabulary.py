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

from fastw2v.errors import DataError, UsageError
from fastw2v.io import storage
from fastw2v.io.parquet_check import check_pages, max_unpacked, read_footer, with_dictionaries
from fastw2v.io.untrusted import open_regular

SCHEMA = pa.schema(
    [
        pa.field("token", pa.string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)

PARQUET_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "use_dictionary": False,
    "write_page_checksum": True,
    "write_statistics": False,
}
PARQUET_ERRORS = (
    pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError, MemoryError
)  # fmt: skip
_LARGEST_TOTAL = 1 << 62  # of all counts: sums of them stay within int64


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
        tokens = pa.array(counts.keys(), pa.large_string())
        table = pa.table({"token": tokens, "count": pa.array(counts.values(), pa.int64())})
        return cls.from_table(table, min_count, max_vocab)

    @classmethod
    def from_table(
        cls, counts: pa.Table, min_count: int = 1, max_vocab: int | None = None
    ) -> Vocabulary:
        """The same for columns `token` and `count`."""
        kept = counts.filter(pc.greater_equal(counts["count"], max(1, min_count)))
        # Bytes of UTF-8 are in the order of code points.
        kept = kept.sort_by([("count", "descending"), ("token", "ascending")])[:max_vocab]
        return cls(kept["token"].to_pylist(), kept["count"].to_numpy())

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
        with storage.atomic_file(Path(path)) as temporary:
            temporary.write_bytes(self.as_parquet)

    @functools.cached_property
    def as_parquet(self) -> bytes:
        """The file that `save` writes."""
        table = pa.table([pa.array(self.tokens, pa.string()), self.counts], schema=SCHEMA)
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, **PARQUET_OPTIONS)
        return bytes(buffer.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read what `save` wrote, in its order.

        Raises:
            DataError: missing, damaged or foreign: another schema, nulls, tokens that are empty
                or occur twice, counts that are not positive; far larger than its file.
        """
        table = read_table(Path(path), ours=False)
        types = (pa.string(), pa.int64()), (pa.large_string(), pa.int64())
        if table.column_names != SCHEMA.names or tuple(table.schema.types) not in types:
            found = ", ".join(f"{field.name}: {field.type}" for field in table.schema)
            raise DataError(
                f"{path}: not a vocabulary; expected columns token: string, count: int64, "
                f"found {found or 'none'}"
            )
        if table["token"].null_count or table["count"].null_count:
            raise DataError(f"{path}: a vocabulary without nulls is expected, but it has some")
        return check_vocabulary(path, cls(table["token"].to_pylist(), table["count"].to_numpy()))


def read_table(path: Path, *, ours: bool = True) -> pa.Table:
    """All of a Parquet file that fastw2v wrote (or, not `ours`, another), texts proven to be UTF-8.

    Raises:
        DataError: missing, damaged or foreign; far larger than its file.
    """
    # Opened here, because pyarrow takes no names that are not UTF-8.
    with open_regular(path) as raw:
        try:
            groups = read_footer(raw)
            check_pages(raw, groups, ours=ours)
            raw.seek(0)
            with pq.ParquetFile(
                raw,
                pre_buffer=False,  # see `parquet_check`
                page_checksum_verification=True,
                read_dictionary=with_dictionaries(groups),
            ) as file:
                table = spelled_out(file.read(use_threads=False), max_unpacked(raw))
                table.validate(full=True)
                return table
        except PARQUET_ERRORS as error:
            raise DataError(f"{path}: not a readable Parquet file ({first_line(error)})") from error


def spelled_out(table: pa.Table, most: int) -> pa.Table:
    """`table` with dictionaries of strings replaced by the strings.

    Raises:
        ValueError: they would have more than `most` bytes.
    """
    for place, column in enumerate(table.columns):
        if not pa.types.is_dictionary(column.type):
            continue
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary).take(chunk.indices)
            most -= pc.sum(lengths).as_py() or 0
        if most < 0:
            raise ValueError("it claims to be far larger, unpacked, than a file of its size is")
        name, spelled = table.column_names[place], column.cast(column.type.value_type)
        table = table.set_column(place, name, spelled)
    return table


def first_line(error: BaseException) -> str:
    """What pyarrow says, which may go on for lines."""
    return (str(error).strip().splitlines() or ["empty"])[0][:200]


def check_vocabulary(path: str | Path, vocabulary: Vocabulary) -> Vocabulary:
    """Refuse what a vocabulary file must not hold.

    Raises:
        DataError: a token twice, an empty token, a count that is not positive, a sum of counts that
            is no int64.
    """
    if len(vocabulary.index) != len(vocabulary):
        seen: set[str] = set()
        twice = next(t for t in vocabulary.tokens if t in seen or seen.add(t))  # type: ignore[func-returns-value]
        raise DataError(f"{path}: the token {twice!r} is in the vocabulary twice")
    if "" in vocabulary.index:
        raise DataError(f"{path}: the vocabulary has an empty token")
    if len(vocabulary) and vocabulary.counts.min() < 1:
        token = vocabulary.tokens[int(vocabulary.counts.argmin())]
        raise DataError(f"{path}: the count of {token!r} is not positive")
    if vocabulary.counts.sum(dtype=np.float64) >= _LARGEST_TOTAL:
        raise DataError(f"{path}: its counts add up to more than {_LARGEST_TOTAL:,}")
    return vocabulary


def load_tokens(path: Path) -> pa.Array:
    """The tokens of a file of `Vocabulary.save`, in its order, as large strings."""
    return read_table(path)["token"].cast(pa.large_string()).combine_chunks()


def noise_distribution(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Negative sampling's p ∝ count**exponent, float64 (V,) (Mikolov et al. 2013: 0.75)."""
    weights = counts.astype(np.float64) ** exponent
    return np.asarray(weights / weights.sum())
