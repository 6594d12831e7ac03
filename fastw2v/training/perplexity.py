"""The exact perplexity of a text under a model, by the kernels of the full softmax.

Skip-gram: the mean over the centers of the mean over their contexts of −log p(context | center).
CBOW: the mean over the centers of −log p(center | context). Nats a center; the perplexity is exp of
it. A center is a known word with another in its window. Windows are whole, half a window of the
model to each side, also for models that were trained with dynamic ones: so figures compare.

`fastw2v.vectors.model` defines p. Negative sampling is usually trained on text that
subsampling has thinned, and its p is that of the thinned text, where frequent words are rarer. With
kept(c) the share of the occurrences of c that training saw, p ∝ p_noise(c) · exp(score) / kept(c)
gives the predicted words the frequencies of the text as it stands; the windows they were met in
were cut from the thinned text all the same, so that this p is near that of the text, not equal to
it. The log of the factors is the bias of `evaluation.softmax_loss`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np

from fastw2v.errors import DataError, ResourceError, UsageError
from fastw2v.io.machine import available_memory, readable_bytes, usable_cores
from fastw2v.kernels.blocks import Weights
from fastw2v.kernels.primitives import new_matrix, padded_dim
from fastw2v.kernels.softmax_batch import new_softmax_workspace, softmax_workspace_bytes
from fastw2v.options import check_number, check_path
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.known_sequences import KnownSequences, Piece, is_store, open_sequences
from fastw2v.training.corpus import noted_config
from fastw2v.training.data import keep_thresholds, whole_stream
from fastw2v.training.evaluation import softmax_loss
from fastw2v.training.reporting import LogReporter, Reporter
from fastw2v.vectors.model import Model

SOFTMAX, WITH_NOISE = "softmax", "noise x exp(score)"
UNTHINNED = "noise x exp(score) / kept"
BATCH_CENTERS = 512
STREAM_TOKENS = 1_000_000
_BYTES_PER_STREAM_TOKEN = 40  # ids, their stream, and the pieces it is joined from


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a model makes of a text when its scores are read as probabilities in one way.

    probability: `SOFTMAX` of the scores, or ∝ `WITH_NOISE`, or ∝ `UNTHINNED`.
    loss: nats a center.
    """

    probability: str
    loss: float

    @property
    def perplexity(self) -> float:
        """exp(loss); infinite where that is too large for a float."""
        with np.errstate(over="ignore"):
            return float(np.exp(self.loss))


@dataclasses.dataclass(frozen=True)
class PerplexityResult:
    """The perplexity of a text.

    words: tokens of the text, stop words and short lines of the corpus's options left out.
    known: those of them that the model knows; the others are dropped before windows are cut.
    centers: known words that have another in their window, over which losses are means.
    readings: the model's own first. For a negative-sampling model that is `WITH_NOISE`; then come
        `UNTHINNED`, if it was trained with subsampling, and the raw `SOFTMAX`.
    """

    words: int
    known: int
    centers: int
    readings: tuple[Reading, ...]

    @property
    def loss(self) -> float:
        """Nats a center, as the model's type has it."""
        return self.readings[0].loss

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return self.readings[0].perplexity

    @property
    def coverage(self) -> float:
        """Share of the words that are known."""
        return self.known / self.words if self.words else 0.0


def perplexity(
    model: str | Path,
    text: str | Path,
    *,
    threads: int | None = None,
    tokenizer: str | None = None,
    reporter: Reporter | None = None,
) -> PerplexityResult:
    """The exact perplexity of `text` under `model`.

    Args:
        model: a model directory or one of its checkpoints.
        text: a token store, or text as `preprocess` takes it (a file, directory or glob pattern),
            which is tokenized as the model's own corpus was. Nothing is written. A store has the
            words of its own vocabulary only: `preprocess(..., vocabulary=model)` keeps the model's.
        threads: default: the usable cores.
        tokenizer: how to tokenize text, as in `preprocess`, instead of how the model's own was. To
            be given where that was a function of yours (module:function): a model cannot name code
            to run.
        reporter: receives the lines for the user, and the progress in units that depend on the
            text; default: the logger "fastw2v".

    Raises:
        UsageError: no model directory or text there, an empty text, no known word in it, less
            memory than the matrices and buffers need, a `tokenizer` that is none, not given where
            it is needed, or given for a token store.
        DataError: a damaged model or store; text that is not text.
        ResourceError: the text cannot be read.
    """
    reporter = reporter or LogReporter()
    check_path("text", text, "give one file, directory, glob pattern or token store a call")
    threads = usable_cores() if threads is None else check_number("`threads`", threads, minimum=1)
    if tokenizer is not None:
        PreprocessConfig(tokenizer=tokenizer)  # a wrong one is told before any work
        if is_store(text):
            raise UsageError(f"`tokenizer` is for text, and {text} is a token store; leave it out")
    loaded = Model.load(model, memory_map=True, on_damage=reporter.warning)
    sequences = open_sequences(
        text,
        loaded.vocabulary,
        lambda: noted_config(loaded.state, model, reporter, tokenizer),
        loaded.phrases,
    )
    if sequences.left_out:
        reporter.warning(_pruned(text, sequences, model))
    _check_memory(_memory_need(loaded, threads))
    with _numba_threads(threads):
        scorer = _Scorer(loaded)
        known = scorer.score(sequences, reporter.items)
    if not known or not scorer.centers:
        raise UsageError(_nothing_to_score(text, sequences.words, known))
    readings = tuple(
        Reading(name, loss / scorer.centers) for name, loss in scorer.loss_sums.items()
    )
    if not all(np.isfinite(reading.loss) for reading in readings):
        raise DataError(f"{model}: its vectors are not finite; train it again")
    return PerplexityResult(sequences.words, known, scorer.centers, readings)


class _Need(NamedTuple):
    """Bytes of the two padded matrices, and of all that is made beside them."""

    matrices: int
    buffers: int


def _memory_need(model: Model, threads: int) -> _Need:
    words = len(model.vocabulary)
    dim = padded_dim(int(model.config["vector_dim"]))
    half_window = _half_window(model)
    buffers = softmax_workspace_bytes(words, dim, BATCH_CENTERS, half_window, threads, 0)
    return _Need(2 * words * 4 * dim, buffers + STREAM_TOKENS * _BYTES_PER_STREAM_TOKEN)


def _check_memory(need: _Need) -> None:
    available = available_memory()
    if available is not None and sum(need) > available:
        raise ResourceError(
            f"scoring needs {readable_bytes(sum(need))} of memory "
            f"({readable_bytes(need.matrices)} for the two matrices) and "
            f"{readable_bytes(available)} are available; close other programs, or use a machine "
            "with more"
        )


def _half_window(model: Model) -> int:
    return (int(model.config["window"]) - 1) // 2


class _Scorer:
    """Adds up the losses of a text.

    loss_sums: nats over all centers by reading, the model's own first. centers: how many.
    """

    def __init__(self, model: Model) -> None:
        self._biases = _log_factors(model)
        self.loss_sums = dict.fromkeys(self._biases, 0.0)
        self.centers = 0
        self._skip_gram, self._half_window = model.skip_gram, _half_window(model)
        words, dim = model.input_vectors.shape
        self._weights = Weights(new_matrix(words, dim), new_matrix(words, dim))
        self._weights.input_vectors[:, :dim] = model.input_vectors
        self._weights.output_vectors[:, :dim] = model.output_vectors
        self._workspace = new_softmax_workspace(
            words,
            padded_dim(dim),
            BATCH_CENTERS,
            self._half_window,
            max_logit_bytes=0,  # which are needed once only
        )

    def score(self, sequences: KnownSequences, progress: Callable[[str, int, int], None]) -> int:
        """Score all of `sequences`; returns how many tokens they have."""
        known, before = 0, 0
        for piece in _gathered(sequences.pieces()):
            stream = whole_stream(piece.ids, piece.lengths, self._half_window)
            batches = range(0, len(piece.ids), BATCH_CENTERS)
            steps_done, steps = 0, len(self.loss_sums) * len(batches)
            for name, bias in self._biases.items():
                workspace, found = self._workspace._replace(bias=bias), 0
                for first in batches:
                    last = min(first + BATCH_CENTERS, len(piece.ids))
                    loss, centers = softmax_loss(
                        self._weights, stream, first, last, workspace, skip_gram=self._skip_gram
                    )
                    self.loss_sums[name] += loss
                    found += centers
                    steps_done += 1
                    done = before + (piece.done - before) * steps_done // steps
                    progress("scoring", done, sequences.total)
            self.centers += found  # the same for every reading
            known, before = known + len(piece.ids), piece.done
        return known


def _log_factors(model: Model) -> dict[str, np.ndarray]:
    """Reading -> log of the factor of exp(score), float32 (V,); (0,) where there is none."""
    none = np.empty(0, np.float32)
    if not model.negative_sampling:
        return {SOFTMAX: none}
    noise = model.log_noise()
    factors = {WITH_NOISE: noise.astype(np.float32)}
    if model.config["subsample"]:
        counts = model.vocabulary.counts
        thresholds = keep_thresholds(counts, int(counts.sum()), model.config["subsample"])
        kept = np.maximum(thresholds, np.uint64(1)) / 2.0**32
        factors[UNTHINNED] = (noise - np.log(kept)).astype(np.float32)
    return {**factors, SOFTMAX: none}


def _gathered(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The same sequences in pieces of about `STREAM_TOKENS` tokens."""
    waiting: list[Piece] = []
    tokens = 0
    for piece in pieces:
        if len(piece.ids):
            waiting.append(piece)
            tokens += len(piece.ids)
        if tokens >= STREAM_TOKENS:
            yield _joined(waiting)
            waiting, tokens = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(pieces: list[Piece]) -> Piece:
    ids, lengths, done = zip(*pieces, strict=True)
    return Piece(np.concatenate(ids), np.concatenate(lengths), done[-1])


@contextlib.contextmanager
def _numba_threads(threads: int) -> Iterator[None]:
    before = numba.get_num_threads()
    most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(threads, most))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def _pruned(text: str | Path, sequences: KnownSequences, model: str | Path) -> str:
    return (
        f"{text}: the store's own vocabulary leaves out {sequences.left_out:,} of "
        f"{sequences.words:,} words (`min_count`, `max_vocab`), whether the model knows them or "
        f"not; to keep the model's, preprocess the text with `vocabulary` {model}"
    )


def _nothing_to_score(text: str | Path, words: int, known: int) -> str:
    if not words:
        return f"{text}: no word in it; give a text with words"
    if not known:
        return f"{text}: none of its {words:,} words is in the model's vocabulary; give other text"
    return f"{text}: no known word has another in its window; give text with longer lines"
