"""`KeyedVectors`: read-only word vectors with gensim's method names and meanings.

The functions above it (lengths, directions, the best of many scores) take and return arrays.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastw2v.errors import DataError, UsageError
from fastw2v.io.model_directory import Generation, read_model
from fastw2v.options import check_choice, check_number
from fastw2v.store.phrases.phrases import saved_phrases
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.vectors import formats
from fastw2v.vectors.unknown_word import UnknownWordError, joined_words, match_case, matched_phrase

if TYPE_CHECKING:
    from fastw2v.store.phrases.phrases import Phrases

CHUNK_ROWS = 1 << 14


def row_norms(vectors: np.ndarray) -> np.ndarray:
    """Euclidean length of every row, float32; summed in float64, so that nothing overflows."""
    lengths = np.empty(len(vectors), dtype=np.float32)
    for start in range(0, len(vectors), CHUNK_ROWS):
        rows = vectors[start : start + CHUNK_ROWS].astype(np.float64)
        lengths[start : start + CHUNK_ROWS] = np.sqrt(np.einsum("rd,rd->r", rows, rows))
    return lengths


def unit(vector: np.ndarray) -> np.ndarray:
    """`vector` scaled to length 1, float32; zeros stay zeros."""
    wide = np.asarray(vector, dtype=np.float64)
    length = np.sqrt(wide @ wide)
    return (wide / length if length > 0 else wide).astype(np.float32)


def mean_of(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(first + second) / 2, float32, in chunks: the matrices may be memory-mapped."""
    mean = np.empty(first.shape, dtype=np.float32)
    for start in range(0, len(mean), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        mean[rows] = (first[rows] + second[rows]) * np.float32(0.5)
    return mean


def most_frequent(counts: np.ndarray | None, words: int, number: int | None) -> slice | np.ndarray:
    """Ids of the `number` (None: all) most frequent of `words` words, the most frequent first.

    Without counts the ids are taken to be in that order, as those of vector files are. So are those
    of a model, unless its vocabulary has grown: then the result is an int64 array, and not a slice.
    """
    number = words if number is None else min(number, words)
    if counts is None or (counts[1:] <= counts[:-1]).all():
        return slice(0, number)
    return np.argsort(-counts, kind="stable")[:number]


def best_rows(scores: np.ndarray, topn: int) -> np.ndarray:
    """Rows of the `topn` highest scores, best first, equal ones by row; never NaN or -inf."""
    if topn < 1:
        return np.empty(0, dtype=np.intp)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    candidates = np.arange(len(scores))
    if topn < len(scores):
        least = np.partition(scores, len(scores) - topn)[len(scores) - topn]
        candidates = np.flatnonzero(scores >= least)
    best = candidates[np.argsort(-scores[candidates], kind="stable")][:topn]
    return best[scores[best] > -np.inf]


_LOG = logging.getLogger(__name__)
__all__ = ["KeyedVectors", "UnknownWordError"]

VECTOR_CHOICES = ("input", "output", "mean")

Query = Any  # a key, a vector, or a (key or vector, weight) tuple


class KeyedVectors:
    """Word vectors and the questions one can ask them; row = id, most frequent word first (but
    for the words of a vocabulary that has grown, which come last).

    Args:
        index_to_key: the words, in id order; each once.
        vectors: shape (words, dim); kept as a read-only float32 view, not copied where possible.
        counts: how often each word occurred, shape (words,), or None where not known.
        phrases: those of the text, if any: a query of words with spaces between them ("new york")
            that are one of its phrases is a query of that phrase ("new_york").

    Raises:
        UsageError: the shapes do not fit, or a word comes twice.
    """

    def __init__(
        self,
        index_to_key: Sequence[str],
        vectors: np.ndarray,
        counts: np.ndarray | None = None,
        phrases: Phrases | None = None,
    ):
        self.phrases = phrases
        self.index_to_key = list(index_to_key)
        self.vectors = np.asarray(vectors, dtype=np.float32).view()
        self.vectors.flags.writeable = False
        self.counts = None if counts is None else np.asarray(counts, dtype=np.int64)
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.index_to_key):
            raise UsageError(
                f"{len(self.index_to_key)} words need a matrix of as many rows, "
                f"found shape {self.vectors.shape}"
            )
        if self.counts is not None and self.counts.shape != (len(self.index_to_key),):
            raise UsageError(
                f"{len(self.index_to_key)} words, but counts of shape {self.counts.shape}"
            )
        self.key_to_index = {key: row for row, key in enumerate(self.index_to_key)}
        if len(self.key_to_index) != len(self.index_to_key):
            raise UsageError(
                f"the word {formats.first_duplicate(self.index_to_key)!r} occurs twice"
            )

    @classmethod
    def load(
        cls,
        path: str | Path,
        vectors: str = "input",
        *,
        on_damage: Callable[[str], None] | None = None,
    ) -> KeyedVectors:
        """Read a model directory (memory-mapped), or a file that `save` or a peer wrote.

        Args:
            path: a model directory, one of its checkpoints, or a file with a suffix of `save`.
            vectors: `input`, `output` or `mean` (of both matrices); files hold one matrix only.
            on_damage: gets a line when the newest save is damaged and an older one is read.

        Raises:
            UsageError: nothing at `path`, or not a thing that can be read.
            DataError: damaged or foreign content.
        """
        check_choice("`vectors`", vectors, VECTOR_CHOICES)
        path = Path(path)
        if path.is_dir() or not (path.exists() or path.suffix.lower() in formats.SUFFIXES):
            return read_model(
                path, lambda saved: cls._of_model(saved, vectors), on_damage=on_damage
            )
        if vectors != "input":
            raise UsageError(f"{path}: a file holds one matrix; {vectors} needs a model directory")
        return cls(*formats.read_vectors(path))

    @classmethod
    def _of_model(cls, generation: Generation, vectors: str) -> KeyedVectors:
        vocabulary = Vocabulary.load(generation.vocabulary_path)
        names = ("input", "output") if vectors == "mean" else (vectors,)
        matrices = [generation.matrix(f"{name}_vectors", memory_map=True) for name in names]
        if len(matrices[0]) != len(vocabulary.tokens):
            raise DataError(
                f"{generation.path}: {len(vocabulary.tokens)} words in the vocabulary, "
                f"{len(matrices[0])} rows in the matrix; they do not belong together"
            )
        matrix = matrices[0] if len(matrices) == 1 else mean_of(*matrices)
        return cls(vocabulary.tokens, matrix, vocabulary.counts, saved_phrases(generation))

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write the vectors; the suffix chooses the format (see `fastw2v.vectors.formats`).

        Raises:
            UsageError: an unknown suffix, an output that exists (without `force`), a word that
                the format cannot hold.
            ResourceError: the disk is full or not writable.
        """
        table = formats.VectorTable(self.index_to_key, self.vectors, self.counts)
        formats.write_vectors(Path(path), table, force=force)

    def __len__(self) -> int:
        return len(self.index_to_key)

    def __contains__(self, key: object) -> bool:
        return self._key_of(key) in self.key_to_index

    def __iter__(self) -> Iterator[str]:
        """The words, in id order."""
        return iter(self.index_to_key)

    def __repr__(self) -> str:
        return f"KeyedVectors({len(self):,} words, {self.vector_size} dimensions)"

    def __getitem__(self, key_or_keys: str | int | Iterable[str | int]) -> np.ndarray:
        if isinstance(key_or_keys, (str, int, np.integer)):
            return self.get_vector(key_or_keys)
        rows = [self.get_index(key) for key in key_or_keys]
        return self.vectors[np.array(rows, dtype=np.intp)]

    @property
    def vector_size(self) -> int:
        """Dimensions of a vector."""
        return int(self.vectors.shape[1])

    @functools.cached_property
    def norms(self) -> np.ndarray:
        """Euclidean length of every vector, float32, shape (words,)."""
        return row_norms(self.vectors)

    def get_index(self, key: str | int) -> int:
        """The row of a key; an int that is no key is taken as a row.

        Raises:
            UnknownWordError: no such key (a `KeyError` too).
        """
        row = self.key_to_index.get(self._key_of(key))
        if row is not None:
            return row
        if isinstance(key, (int, np.integer)) and 0 <= key < len(self):
            return int(key)
        raise UnknownWordError(key, self.key_to_index)

    def _key_of(self, key: Any) -> Any:
        """The key of a phrase given as words with spaces between them; any other as it is."""
        if self.phrases is None or key in self.key_to_index:
            return key
        return matched_phrase(key, self.key_to_index, self.phrases) or key

    def match_case(self, word: str) -> str | None:
        """`word` as it stands if the vocabulary has it, else its lower-case form, else the phrase
        that its words are, else None."""
        found = match_case(word, self.key_to_index)
        return found or matched_phrase(word, self.key_to_index, self.phrases)

    def join_phrases(self, words: Iterable[str]) -> list[str]:
        """`words` with those joined that are a phrase of the vocabulary: new york -> new_york."""
        return joined_words(list(words), self.key_to_index, self.phrases)

    def get_vector(self, key: str | int, norm: bool = False) -> np.ndarray:
        """The vector of a key, float32, shape (dim,); with `norm`, scaled to length 1."""
        vector = self.vectors[self.get_index(key)]
        return unit(vector) if norm else vector

    def get_mean_vector(
        self,
        keys: Sequence[Query],
        weights: Sequence[float] | None = None,
        pre_normalize: bool = True,
        post_normalize: bool = False,
        ignore_missing: bool = True,
    ) -> np.ndarray:
        """The weighted mean of the vectors of keys (or of vectors given as arrays).

        Raises:
            UsageError: no key, a string instead of a list, another number of weights, or a vector
                of another length.
            UnknownWordError: an unknown key (with `ignore_missing`: only if all are).
        """
        _refuse_text(keys)
        weights = [1.0] * len(keys) if weights is None else weights
        if not len(keys) or len(weights) != len(keys):
            raise UsageError(f"cannot take the mean of {len(keys)} words, {len(weights)} weights")
        total, mean = 0.0, np.zeros(self.vector_size)
        for key, weight in zip(keys, weights, strict=True):
            if isinstance(key, np.ndarray):
                if key.shape != mean.shape:
                    raise UsageError(f"expected a vector of shape {mean.shape}; got {key.shape}")
                vector = key
            elif ignore_missing and key not in self and isinstance(key, str):
                continue
            else:
                vector = self.get_vector(key, norm=pre_normalize)
            mean += weight * vector
            total += abs(weight)
        if total == 0.0 and not any(key in self for key in keys if isinstance(key, str)):
            raise UnknownWordError(keys[0], self.key_to_index)
        mean = (mean / total if total else mean).astype(np.float32)
        return unit(mean) if post_normalize else mean

    def similarity(self, w1: str, w2: str) -> float:
        """Cosine of the angle between two words' vectors; 0 if one of them is all zeros."""
        return float(self.get_vector(w1, norm=True) @ self.get_vector(w2, norm=True))

    def distance(self, w1: str, w2: str) -> float:
        """1 - `similarity`."""
        return 1.0 - self.similarity(w1, w2)

    def n_similarity(self, ws1: Sequence[str], ws2: Sequence[str]) -> float:
        """Cosine between the mean vectors of two lists of words; unknown words are left out."""
        means = [self.get_mean_vector(ws, pre_normalize=False) for ws in (ws1, ws2)]
        return float(unit(means[0]) @ unit(means[1]))

    def cosines(self, vector: np.ndarray, end: int | None = None) -> np.ndarray:
        """Cosine of `vector` with the first `end` (all) words, float32; 0 for zero vectors."""
        end = len(self) if end is None else min(end, len(self))
        if not np.isfinite(vector).all():
            raise DataError("the query vector is not finite; the model is damaged")
        direction = unit(vector)
        with np.errstate(all="ignore"):  # rows may hold NaN or infinity
            products = self.vectors[:end] @ direction
            return np.divide(products, self.norms[:end], where=self.norms[:end] != 0, out=products)

    def most_similar(
        self,
        positive: Query | Sequence[Query] = (),
        negative: Query | Sequence[Query] = (),
        topn: int | None = 10,
        restrict_vocab: int | None = None,
    ) -> Any:
        """The words nearest to the mean of `positive` minus `negative` (3CosAdd).

        Args:
            positive, negative: a word, a vector, or a list of words, vectors or (word or vector,
                weight) tuples. The words themselves are never among the answers.
            topn: how many; None for the cosines with all words as one array.
            restrict_vocab: look only at so many of the most frequent words; of an array, these are
                the first, or in a vocabulary that has grown those that are not -inf.

        Returns:
            list of (word, cosine), nearest first, equal ones by id; words with NaN are left out.

        Raises:
            UnknownWordError: an unknown word.  UsageError: nothing to look for, or a number
                that is not whole.
        """
        keys: list[Any] = []
        weights: list[float] = []
        for queries, sign in ((positive, 1.0), (negative, -1.0)):
            for query in _as_list(queries):
                weighted = isinstance(query, tuple)
                keys.append(query[0] if weighted else query)
                weights.append(float(query[1]) if weighted else sign)
        if topn is not None:
            topn = check_number("`topn`", topn)
        if restrict_vocab is not None:
            restrict_vocab = check_number("`restrict_vocab`", restrict_vocab, minimum=1)
        mean = self.get_mean_vector(keys, weights, ignore_missing=False)
        scores = self._cosines_of_frequent(mean, restrict_vocab)
        if topn is None:
            return scores
        given = [self.get_index(key) for key in keys if not isinstance(key, np.ndarray)]
        scores[[row for row in given if row < len(scores)]] = -np.inf
        return [(self.index_to_key[row], float(scores[row])) for row in best_rows(scores, topn)]

    def _cosines_of_frequent(self, vector: np.ndarray, number: int | None) -> np.ndarray:
        if number is None:
            return self.cosines(vector)
        frequent = most_frequent(self.counts, len(self), number)
        if isinstance(frequent, slice):
            return self.cosines(vector, frequent.stop)
        cosines = np.full(len(self), -np.inf, np.float32)
        cosines[frequent] = self.cosines(vector)[frequent]
        return cosines

    def most_frequent(self, number: int) -> list[str]:
        """The `number` most frequent words, the most frequent first."""
        rows = np.arange(len(self))[most_frequent(self.counts, len(self), number)]
        return [self.index_to_key[row] for row in rows]

    def similar_by_key(
        self, key: str, topn: int | None = 10, restrict_vocab: int | None = None
    ) -> Any:
        """`most_similar` for one word."""
        return self.most_similar([key], topn=topn, restrict_vocab=restrict_vocab)

    similar_by_word = similar_by_key

    def similar_by_vector(
        self, vector: np.ndarray, topn: int | None = 10, restrict_vocab: int | None = None
    ) -> Any:
        """`most_similar` for a vector, shape (dim,)."""
        return self.most_similar([np.asarray(vector)], topn=topn, restrict_vocab=restrict_vocab)

    def rank(self, key1: str, key2: str) -> int:
        """The place of `key2` among the words nearest to `key1`, from 1."""
        row1, row2 = self.get_index(key1), self.get_index(key2)
        scores = self.cosines(self.vectors[row1])
        nearer = scores > scores[row2]
        nearer[row1] = False
        return int(nearer.sum()) + 1

    def doesnt_match(self, words: Sequence[str]) -> str:
        """The word farthest from the mean of all; unknown words are left out, with a log line.

        Raises:
            UsageError: a string instead of a list, or fewer than two words that are known.
            UnknownWordError: all are unknown.
        """
        _refuse_text(words)
        known = [word for word in words if word in self]
        if len(known) < len(words):
            _LOG.warning("left out as unknown: %s", ", ".join(sorted(set(words) - set(known))))
        mean = self.get_mean_vector(words, post_normalize=True)
        if len(known) < 2:
            raise UsageError(
                f"doesnt_match: only {known[0]!r} is known; give at least two known words"
            )
        units = np.stack([self.get_vector(word, norm=True) for word in known])
        return known[int(np.argmin(units @ mean))]


def _refuse_text(words: Any) -> None:
    """A string would be taken for a list of its characters."""
    if isinstance(words, str):
        raise UsageError(f"expected a list of words; got the string {words!r}")


def _as_list(queries: Any) -> list[Any]:
    """One key, vector or list of queries as a list (None is none)."""
    if queries is None:
        return []
    if isinstance(queries, (str, int, np.integer)):
        return [queries]
    if isinstance(queries, np.ndarray):
        return [queries] if queries.ndim == 1 else list(queries)
    return list(queries)
