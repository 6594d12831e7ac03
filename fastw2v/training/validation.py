"""The held-out loss: sequences that no run trains on, and one way to score any model on them.

Whatever the options of a run, it is scored alike: no subsampling, 5 words a side (all of them), 5
negatives a positive from count**0.75 that are fixed by the sequence itself, a draw that equals its
positive dropped. Nats per positive: pairs of center and context for skip-gram, centers for CBOW.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numba
import numpy as np

from fastw2v.errors import UsageError
from fastw2v.kernels.streams import Noise, new_noise
from fastw2v.kernels.validation import (
    NEGATIVES,
    RADIUS,
    Sequences,
    hash_sequences,
    holdout_losses,
)
from fastw2v.store.vocabulary import noise_distribution
from fastw2v.vectors.evaluation import ratio_interval

if TYPE_CHECKING:
    from fastw2v.store.format import TokenStore

SHARE = 0.005  # of the sequences
MAX_TOKENS = 500_000
NS_EXPONENT = 0.75
_READERS = 2  # threads that read row groups while they are looked at


class HoldoutLoss(NamedTuple):
    """A model's held-out loss in nats per positive, with its 95 % interval.

    losses: float64 (m,), nats of each held-out sequence; positives: int64 (m,), what they are over.
    """

    loss: float
    low: float
    high: float
    losses: np.ndarray
    positives: np.ndarray


def hashes_of(token_ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """uint64 (m,): the hash by which a sequence is held out or not; of its ids and their order.

    Args:
        token_ids: int32 (n,); offsets: int64 (m + 1,).
    """
    hashes = np.empty(len(offsets) - 1, np.uint64)
    hash_sequences(token_ids, offsets, hashes)
    return hashes


@dataclasses.dataclass(frozen=True)
class Holdout:
    """The held-out sequences of a corpus, in the order of their hashes.

    sequences: `kernels.holdout.Sequences`.
    limit: a sequence is held out if its hash is below this; uint64.
    noise: what negatives are drawn from.
    places: int64 arrays, by row group of the store: the numbers of its held-out sequences.
    group_tokens: int64 (row groups,), the tokens that they have.
    """

    sequences: Sequences
    limit: np.uint64
    noise: Noise
    places: tuple[np.ndarray, ...]
    group_tokens: np.ndarray

    @classmethod
    def of(cls, store: TokenStore, share: float = SHARE, max_tokens: int = MAX_TOKENS) -> Holdout:
        """Choose from a token store; nothing but the sequences themselves decides.

        Those whose hash is in the lowest `share` of all hashes; of these, in the order of their
        hashes, as many as have `max_tokens` tokens or fewer. Equal sequences go together.

        Raises:
            UsageError: `share` is not between 0 and 1, or no sequence is held out.
            DataError: the store is damaged.
        """
        if not 0 < share < 1:
            raise UsageError(
                f"`holdout` must be a share of the sequences above 0 and below 1; got {share}"
            )
        limit = np.uint64(int(share * 2.0**64))
        chosen = Sequences(np.empty(0, np.int32), np.zeros(1, np.int64), np.empty(0, np.uint64))
        candidates = []  # of each row group, as far as the limit is known
        for token_ids, offsets in _row_groups(store):
            hashes = hashes_of(token_ids, offsets)
            places = np.flatnonzero(hashes < limit)
            candidates.append((places, hashes[places], np.diff(offsets)[places]))
            found = _choose(token_ids, offsets, hashes, limit)
            chosen, limit = _within(_joined(chosen, found), limit, max_tokens)
        if not len(chosen.token_ids):
            raise UsageError(
                f"`holdout`: a share of {share} of {store.num_sentences:,} sequences (at most "
                f"{max_tokens:,} tokens) selects no sequence; use a larger one, or more text"
            )
        held = [(p[h < limit], lengths[h < limit]) for p, h, lengths in candidates]
        return cls(
            chosen,
            limit,
            new_noise(noise_distribution(store.vocabulary.counts, NS_EXPONENT)),
            tuple(places for places, _ in held),
            np.array([lengths.sum() for _, lengths in held], np.int64),
        )

    def is_held_out(self, token_ids: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """bool (m,): which of these sequences are held out."""
        return hashes_of(token_ids, offsets) < self.limit

    @property
    def num_sequences(self) -> int:
        """How many sequences are held out."""
        return len(self.sequences.hashes)

    @property
    def num_tokens(self) -> int:
        """How many tokens they have."""
        return len(self.sequences.token_ids)

    def evaluate(
        self, input_vectors: np.ndarray, output_vectors: np.ndarray, *, skip_gram: bool
    ) -> HoldoutLoss:
        """The loss of a model of any trainer, on as many threads as Numba is set to.

        Args:
            input_vectors, output_vectors: float32 (V, any dim), rows in the vocabulary's order.
            skip_gram: score as skip-gram (else as CBOW).

        Raises:
            UsageError: matrices that do not fit each other or the vocabulary.
        """
        matrices = [_plain(matrix) for matrix in (input_vectors, output_vectors)]
        words = len(self.noise.thresholds)
        if matrices[0].shape != matrices[1].shape or len(matrices[0]) != words:
            raise UsageError(
                f"held-out loss: matrices of shapes {matrices[0].shape} and {matrices[1].shape}, "
                f"but the vocabulary has {words:,} words"
            )
        losses = np.empty(self.num_sequences)
        positives = np.empty(self.num_sequences, np.int64)
        threads = numba.get_num_threads()
        holdout_losses(*matrices, self.sequences, self.noise, skip_gram, threads, losses, positives)
        return HoldoutLoss(*ratio_interval(losses, positives), losses, positives)

    def describe(self) -> dict[str, float | int]:
        """What the loss is measured on and how, as plain values."""
        return {
            "sequences": self.num_sequences,
            "tokens": self.num_tokens,
            "reach": RADIUS,
            "negatives": NEGATIVES,
            "ns_exponent": NS_EXPONENT,
        }


def _row_groups(store: TokenStore) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All row groups; the next ones are read while one is looked at."""
    with ThreadPoolExecutor(_READERS) as readers:
        coming = collections.deque(
            readers.submit(store.read_row_group, group)
            for group in range(min(_READERS, store.num_row_groups))
        )
        for group in range(_READERS, store.num_row_groups + _READERS):
            if not coming:
                return
            found = coming.popleft().result()
            if group < store.num_row_groups:
                coming.append(readers.submit(store.read_row_group, group))
            yield found


def _plain(matrix: np.ndarray) -> np.ndarray:
    """The matrix as the kernels take it: a copy only where it is not float32 in C order."""
    return np.asarray(np.ascontiguousarray(matrix, np.float32))


def _choose(
    token_ids: np.ndarray, offsets: np.ndarray, hashes: np.ndarray, limit: np.uint64
) -> Sequences:
    """The sequences whose hash is below `limit`, in the order of their hashes."""
    places = np.flatnonzero(hashes < limit)
    places = places[np.argsort(hashes[places], kind="stable")]
    lengths = np.diff(offsets)[places]
    ends = np.cumsum(lengths)
    within = np.arange(lengths.sum()) - np.repeat(ends - lengths, lengths)
    return Sequences(
        token_ids[np.repeat(offsets[places], lengths) + within],
        np.concatenate([[0], ends]).astype(np.int64),
        hashes[places],
    )


def _joined(first: Sequences, second: Sequences) -> Sequences:
    return Sequences(
        np.concatenate([first.token_ids, second.token_ids]),
        np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        np.concatenate([first.hashes, second.hashes]),
    )


def _within(sequences: Sequences, limit: np.uint64, max_tokens: int) -> tuple[Sequences, np.uint64]:
    """Lower the limit until what is below it has `max_tokens` tokens or fewer.

    More sequences can only lower it further, so this may be done as they come.
    """
    in_order = _choose(*sequences, limit)
    if len(in_order.token_ids) > max_tokens:
        first_beyond = int(np.searchsorted(in_order.offsets[1:], max_tokens, side="right"))
        limit = in_order.hashes[first_beyond]
        in_order = _choose(*in_order, limit)
    return in_order, limit
