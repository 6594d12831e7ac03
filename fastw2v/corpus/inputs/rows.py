"""Rows of a column as what `TextCodes` works with: texts as lines, lists of tokens as codes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fastw2v.corpus.inputs.options import ReadOptions
from fastw2v.errors import DataError

CodesOfTokens = Callable[[list[str]], list[int]]


def text_rows(batches: Iterable[pa.Array], stats: Counter[str]) -> Iterator[pa.Array]:
    """Texts as large_binary (n,), without nulls, which are counted as `null_texts`."""
    for batch in batches:
        array = batch.dictionary_decode() if pa.types.is_dictionary(batch.type) else batch
        stats["null_texts"] += array.null_count
        yield array.cast(pa.large_binary()).drop_null()


def as_lines(texts: Iterable[pa.Array], options: ReadOptions) -> Iterator[bytes]:
    """Each text a line, its own line ends made spaces.

    With a document separator the line ends stay, and each text ends with the separator: so
    `DocumentJoiner` cuts within texts and between them.
    """
    separator = options.document_separator
    for rows in texts:
        if not len(rows):
            continue
        if separator is None:
            rows = pc.replace_substring(rows, b"\n", b" ")
            end = b"\n"
        else:
            end = b"\n" + separator.encode() + b"\n"
        whole = pa.LargeListArray.from_arrays(pa.array([0, len(rows)], pa.int64()), rows)
        yield pc.binary_join(whole, pa.scalar(end, rows.type))[0].as_buffer().to_pybytes() + end


class TokenRows:
    """Makes codes (`fastw2v.corpus.sequences`) of lists of tokens, every list a line.

    Args:
        codes_of_tokens: gives the codes of tokens.
        names: the tokens of integer ids; None: the token of an id is its decimal number.
        stats: gets `null_texts` (lists) and `null_tokens` (null or empty ones in lists) added.
        shown: what messages call the file.
    """

    def __init__(
        self,
        codes_of_tokens: CodesOfTokens,
        names: list[str] | None,
        stats: Counter[str],
        shown: str,
    ) -> None:
        self._codes_of, self._names = codes_of_tokens, names
        self._stats, self._shown = stats, shown

    def codes_of(self, rows: pa.Array) -> np.ndarray:
        """int32 (n,): the codes of the tokens, 0 behind each list.

        Raises:
            DataError: an id that is no row of the vocabulary, or a token that is not UTF-8.
        """
        self._stats["null_texts"] += rows.null_count
        rows = rows.drop_null()
        lengths = pc.list_value_length(rows).to_numpy(zero_copy_only=False).astype(np.int64)
        values = pc.list_flatten(rows)
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        indices = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        code_of = self._codes_of_tokens(values.dictionary)
        codes = code_of[indices]  # the last one stands for null
        kept = codes >= 0
        if not kept.all():
            self._stats["null_tokens"] += int(np.count_nonzero(~kept))
            row = np.repeat(np.arange(len(lengths)), lengths)[kept]
            lengths, codes = np.bincount(row, minlength=len(lengths)), codes[kept]
        result = np.zeros(len(codes) + len(lengths), dtype=np.int32)
        result[np.arange(len(codes)) + np.repeat(np.arange(len(lengths)), lengths)] = codes
        return result

    def _codes_of_tokens(self, dictionary: pa.Array) -> np.ndarray:
        """int32 (different tokens + 1,); -1 for those that are null or empty, and at the end."""
        try:
            tokens = self._names_of(dictionary)
        except (UnicodeDecodeError, pa.ArrowInvalid) as error:
            raise DataError(f"{self._shown}: a token that is not UTF-8 ({error})") from error
        there = np.flatnonzero([*map(bool, tokens)])
        codes = np.full(len(tokens) + 1, -1, dtype=np.int32)
        codes[there] = self._codes_of([token for token in tokens if token])
        return codes

    def _names_of(self, dictionary: pa.Array) -> list[str | None]:
        if not pa.types.is_integer(dictionary.type):
            names: list[str | None] = dictionary.cast(pa.large_string()).to_pylist()
            return names
        ids = dictionary.to_pylist()
        if self._names is None:
            return [None if token_id is None else str(token_id) for token_id in ids]
        most = len(self._names) - 1
        for token_id in ids:
            if token_id is not None and not 0 <= token_id <= most:
                raise DataError(
                    f"{self._shown}: id {token_id} is no row of the vocabulary, 0..{most}"
                )
        return [None if token_id is None else self._names[token_id] for token_id in ids]
