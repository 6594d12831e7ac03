"""Which words a model expects beside the given ones, with probabilities.

CBOW: the center word, given its context; exactly the model's p(center | context), whose hidden
vector is the mean of the context's input vectors. Skip-gram: a context word, given the center word;
exactly the model's p(context | center) for one given word. For several, skip-gram defines nothing:
here it is the softmax of their mean score, which is the geometric mean of their distributions,
scaled to sum to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastw2v.errors import DataError, UsageError
from fastw2v.options import check_number, shown
from fastw2v.vectors.keyed_vectors import CHUNK_ROWS, best_rows
from fastw2v.vectors.model import Model
from fastw2v.vectors.unknown_word import UnknownWordError, joined_words, match_case

GAP = "_"


class Prediction(NamedTuple):
    """A word and its probability.

    probability: as the model's type has it (`vectors.model`): of a softmax model the softmax
        of the scores, of a negative-sampling model ∝ p_noise · exp(score).
    softmax: of a negative-sampling model also the softmax of the scores, which leaves out how
        frequent a word is; None for a softmax model, whose probability it is.
    """

    word: str
    probability: float
    softmax: float | None


def predict(
    model: str | Path,
    words: Iterable[str],
    topn: int = 10,
    *,
    on_damage: Callable[[str], None] | None = None,
) -> list[Prediction]:
    """The most probable words beside `words`, the most probable first.

    Args:
        model: a model directory or one of its checkpoints.
        words: those around the gap, as they stand or in lower case; one given twice counts twice.
            A "_" may mark the gap; its position makes no difference, as these models ignore word
            order, except that words on one side of it that form a phrase of the model count as that
            phrase. The words themselves may be among the answers.
        topn: how many, at least 1.
        on_damage: gets a line when the newest save is damaged and an older one is read.

    Raises:
        UsageError: no model there, no word, more than one gap, or arguments of other types.
        UnknownWordError: an unknown word.
        DataError: the model is damaged.
    """
    given = _given_words(words)
    topn = check_number("`topn`", topn, minimum=1)
    loaded = Model.load(model, memory_map=True, on_damage=on_damage)
    index = loaded.vocabulary.index
    joined = joined_words(given, index, loaded.phrases)
    rows = [_row_of(word, index) for word in joined if word != GAP]
    scores = _scores(loaded, rows)
    if not np.isfinite(scores).all():
        raise DataError(f"{model}: its vectors are not finite; train it again")
    softmax = _normalized(scores)
    negative = loaded.negative_sampling
    own = _normalized(scores + loaded.log_noise()) if negative else softmax
    return [
        Prediction(
            loaded.vocabulary.tokens[row],
            float(own[row]),
            float(softmax[row]) if negative else None,
        )
        for row in best_rows(own, topn).tolist()
    ]


def _given_words(words: Iterable[str]) -> list[str]:
    """`words`, checked: strings, with at most one gap among them."""
    if isinstance(words, str | bytes) or not isinstance(words, Iterable):
        raise UsageError(f"expected a list of words; got {shown(words)}")
    everything = list(words)
    for word in everything:
        if not isinstance(word, str):
            raise UsageError(f"{shown(word)} is not a word; give words as strings")
    gaps = everything.count(GAP)
    if gaps > 1:
        raise UsageError(f"{GAP} marks the word to predict; give it at most once")
    if gaps == len(everything):
        raise UsageError(f"no word to predict from; give at least one beside {GAP}")
    return everything


def _row_of(word: str, index: dict[str, int]) -> int:
    found = match_case(word, index)
    if found is None:
        raise UnknownWordError(word, index)
    return index[found]


def _scores(model: Model, rows: list[int]) -> np.ndarray:
    """Output vectors times the mean of the input vectors `rows`, float64 (V,)."""
    outputs = model.output_vectors
    hidden = model.input_vectors[rows].mean(axis=0, dtype=np.float64)
    scores = np.empty(len(outputs))
    with np.errstate(all="ignore"):  # the caller reports what is not finite
        for start in range(0, len(outputs), CHUNK_ROWS):
            chunk = outputs[start : start + CHUNK_ROWS].astype(np.float64)
            scores[start : start + CHUNK_ROWS] = chunk @ hidden
    return scores


def _normalized(log_weights: np.ndarray) -> np.ndarray:
    """exp(log_weights) scaled to sum to 1."""
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())
