"""How a run begins: from new weights, from a save, or from a save's weights on another corpus."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fastw2v import model_directory as layout
from fastw2v.kernels.negative_sampling import Weights
from fastw2v.training import steps
from fastw2v.training.batches import Position
from fastw2v.training.config import TrainConfig
from fastw2v.training.initial_vectors import SharedVectors

INIT_NOTE = "init"  # in the state of a save: whose vectors the model began with
EPOCHS_BEFORE = "epochs_before"
NEW_CORPUS = "new corpus"  # the event of a row of the history in which nothing is trained


@dataclasses.dataclass(frozen=True)
class Start:
    """What a run begins with.

    weights: of the store's vocabulary and the config's dim; the run changes them.
    position, words_done: in the present corpus.
    words_before: words that were trained on other corpora before.
    history: the rows so far.
    fresh: whether it is a new model, so that what lies in its place belongs to another.
    schedule: `LearningRate.as_json` of the run that goes on, {} where it begins.
    epochs_before: epochs on other corpora before, a broken-off one included: checkpoints are
        numbered on.
    notes: what every save keeps in its state: `INIT_NOTE`.
    best: `patience.Best` of the run that goes on, as a dict, {} where there is none.
    holdout_losses, patience_losses: see `model_directory.OPTIONAL_ARRAYS`.
    """

    weights: Weights
    position: Position = dataclasses.field(default_factory=Position)
    words_done: int = 0
    words_before: int = 0
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    fresh: bool = False
    schedule: dict[str, Any] = dataclasses.field(default_factory=dict)
    epochs_before: int = 0
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    best: dict[str, Any] = dataclasses.field(default_factory=dict)
    holdout_losses: np.ndarray | None = None
    patience_losses: np.ndarray | None = None


def new_start(
    vocabulary_size: int, config: TrainConfig, shared: SharedVectors | None = None
) -> Start:
    """A new model, with the vectors of another where `shared` has them."""
    weights = steps.initial_weights(vocabulary_size, config)
    if shared is None:
        return Start(weights, fresh=True)
    for matrix, rows in zip(weights, shared.matrices, strict=False):
        matrix[shared.ids, : config.vector_dim] = rows
    return Start(weights, fresh=True, notes={INIT_NOTE: shared.note})


def start_from(generation: layout.Generation, vocabulary_size: int, config: TrainConfig) -> Start:
    """Where a save left off.

    Raises:
        DataError: the save is damaged.
    """
    state = generation.state
    return Start(
        loaded_weights(generation, vocabulary_size, config),
        Position(**state["position"]),
        int(state["words_done"]),
        int(state.get("words_before", 0)),
        generation.history(),
        schedule=state.get("schedule", {}),
        epochs_before=int(state.get(EPOCHS_BEFORE, 0)),
        notes=_notes(state),
        best=state.get("best", {}),
        holdout_losses=generation.array("holdout_losses"),
        patience_losses=generation.array("patience_losses"),
    )


def start_on_new_corpus(
    generation: layout.Generation, vocabulary_size: int, config: TrainConfig
) -> Start:
    """The beginning of another corpus, from the weights of a save.

    Of a vocabulary that has grown, the words of the save are the first, and their vectors are kept;
    the new ones have those of a new model.

    Raises:
        DataError: the save is damaged.
    """
    state, history = generation.state, generation.history()
    position = Position(**state["position"])
    begun = position.epoch + (position.row_group > 0 or position.centre > 0)
    if history:
        holdout = {name: None for name in history[-1] if name.startswith("holdout")}
        history.append(history[-1] | holdout | {"epoch": 1, "loss": None, "event": NEW_CORPUS})
    return Start(
        loaded_weights(generation, vocabulary_size, config),
        words_before=int(state.get("words_before", 0)) + int(state["words_done"]),
        history=history,
        epochs_before=int(state.get(EPOCHS_BEFORE, 0)) + begun,
        notes=_notes(state),
    )


def _notes(state: dict[str, Any]) -> dict[str, Any]:
    return {INIT_NOTE: state[INIT_NOTE]} if INIT_NOTE in state else {}


def loaded_weights(
    generation: layout.Generation, vocabulary_size: int, config: TrainConfig
) -> Weights:
    """The weights of a save; behind its rows those of a new model.

    Raises:
        DataError: the save is damaged.
    """
    saved_rows = int(generation.state["vocabulary_size"])
    if saved_rows < vocabulary_size:
        weights = steps.initial_weights(vocabulary_size, config)
    else:
        weights = Weights(
            steps.new_matrix(vocabulary_size, config.vector_dim),
            steps.new_matrix(vocabulary_size, config.vector_dim),
        )
    for name, matrix in zip(layout.MATRICES, weights, strict=True):
        matrix[:saved_rows, : config.vector_dim] = generation.matrix(name, memory_map=True)
    return weights
