"""Where a run that diverged goes back to."""

from __future__ import annotations

import contextlib
from pathlib import Path

from fastw2v import model_directory as layout
from fastw2v.errors import DataError


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
            state = older.state
            if state["corpus_hash"] == corpus_hash and state["words_done"] < went_back_to:
                return older
    return newest
