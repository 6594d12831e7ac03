"""Saves to go back to: that of a run that diverged, and the best one of a run with patience."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fastw2v import model_directory as layout
from fastw2v.errors import DataError
from fastw2v.training.saved_state import check_saved

_OF_THE_CORPUS = ("corpus_hash", "words_before")  # the same text may come twice


def last_good(
    model: Path, corpus_hash: str, went_back_to: int | None = None
) -> layout.Generation | None:
    """The newest save of a run on this corpus, None where there is none.

    A save can lie on the brink: its numbers are finite, and the next are not. So where the run went
    back to the newest save before and came no further (`went_back_to`: its words), the newest
    checkpoint behind it is taken instead, if there is one.

    Raises:
        DataError: no save of the model is whole.
    """
    newest = layout.open_model(model)
    if newest.state["corpus_hash"] != corpus_hash:
        return None
    if went_back_to is None or newest.state["words_done"] > went_back_to:
        return newest
    for path in layout.checkpoints(model)[::-1]:
        with contextlib.suppress(DataError):
            older = layout.open_model(path)
            check_saved(older)
            same = [older.state.get(name) == newest.state.get(name) for name in _OF_THE_CORPUS]
            if all(same) and older.state["words_done"] < went_back_to:
                return older
    return newest


def best_checkpoint(model: Path, words: int) -> Path | None:
    """The best checkpoint, if it is that after `words` words: its save may have failed."""
    path = model / layout.CHECKPOINTS / layout.BEST
    with contextlib.suppress(DataError):
        if layout.read_generation(path).state["words_done"] == words:
            return path
    return None
