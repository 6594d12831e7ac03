"""Training that begins with the vectors of a model or file.

Another corpus for an existing model: tokenized as its text was, in its vocabulary or one that
grows. The text is preprocessed into `MODEL.store.next`, so that `MODEL.store` stays what the model
was trained on until there is a save that was begun on the new text; then it takes its place.

Pretrained vectors for a new model: those of a file, or of another model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastw2v.errors import DataError, ResourceError, UsageError
from fastw2v.io import storage
from fastw2v.io.machine import available_memory, readable_bytes
from fastw2v.io.model_directory import (
    MATRICES,
    STATE,
    Generation,
    generations,
    is_generation,
    is_model_directory,
)
from fastw2v.io.store_directory import is_store, is_unfinished_store, made_for_of
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore
from fastw2v.store.report import PreprocessReport
from fastw2v.store.settings import settings_unchanged
from fastw2v.store.sources import inputs_unchanged
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.training.config import TrainConfig
from fastw2v.training.corpus import (
    NOTE_KEY,
    STORE_SUFFIX,
    backticked,
    given_store,
    is_corpus_of,
    make_store,
    named,
    noted_config,
    place_beside,
)
from fastw2v.training.data import Position
from fastw2v.training.reporting import NEW_CORPUS, NORM_LIMIT, Reporter
from fastw2v.training.resume import EPOCHS_BEFORE, INIT_NOTE, Start, load_weights, open_save
from fastw2v.training.schedule import LearningRate
from fastw2v.training.steppers import initial_weights
from fastw2v.vectors.formats import read_vectors, shape_of

# --- another corpus ---

NEXT_SUFFIX = STORE_SUFFIX + ".next"
_MODELS_OWN = ("vocabulary", "phrases", "phrase_score", "phrase_threshold", "phrase_min_count",
               "phrase_separator", "connectors")  # fmt: skip
_OF_NEW_WORDS = ("min_count", "max_vocab", "approximate_vocab")


def start_on_new_corpus(saved: Generation, vocabulary_size: int, config: TrainConfig) -> Start:
    """The beginning of another corpus, from the weights of a save.

    If the vocabulary has grown, the words of the save come first and keep their vectors; the new
    words have those of a new model.

    Raises:
        DataError: the save is damaged.
    """
    state, history = saved.state, saved.history()
    position = Position(**state["position"])
    begun = position.epoch + (position.row_group > 0 or position.center > 0)
    if history:
        holdout = {name: None for name in history[-1] if name.startswith("holdout")}
        history.append(history[-1] | holdout | {"epoch": 1, "loss": None, "event": NEW_CORPUS})
    return Start(
        load_weights(saved, vocabulary_size, config),
        words_before=int(state.get("words_before", 0)) + int(state["words_done"]),
        history=history,
        epochs_before=int(state.get(EPOCHS_BEFORE, 0)) + begun,
        init_note=state.get(INIT_NOTE),
    )


def new_corpus_line(saved: Generation, start: Start, rate: LearningRate) -> str:
    """What another corpus begins with."""
    state = saved.state
    done, planned = int(state["words_done"]), int(state["total_words"])
    line = (
        f"new corpus: the learning rate restarts: {rate.course()} (it was {state['alpha']:.3g}); "
        f"{rate.total_words:,} words to train, after {start.words_before:,}"
    )
    if done < planned and not state.get("finished"):  # early stopping may have ended it before
        line += f" ({done:,} of {planned:,} of the previous corpus)"
    return line


def open_new_corpus(
    inputs: list[str | Path], model: Path, saved: Generation, text_options: Mapping[str, Any],
    reporter: Reporter,
) -> TokenStore:  # fmt: skip
    """The store of `inputs` to train the model on; its own store if they are its own text.

    Args:
        saved: the model as it is.
        text_options: the given ones; the others are those of the model's text. `update_vocab` lets
            the vocabulary grow.

    Raises:
        UsageError: options that contradict the model, a store with another vocabulary, text without
            any word of the model, something else in the place of the store.
        DataError: a damaged store, or text.
    """
    grows = bool(text_options.get("update_vocab"))
    _refuse_options(text_options, grows)
    rest = {name: value for name, value in text_options.items() if name != "update_vocab"}
    store = given_store(inputs, rest)
    if store is not None:
        if not is_corpus_of(saved.state, store):
            _check_vocabulary(store, model, saved, grows)
        return store
    own, place = place_beside(model), place_beside(model, NEXT_SUFFIX)
    if is_store(own):
        store = TokenStore.open(own)
        if is_corpus_of(saved.state, store) and _is_made_of(store, inputs, rest, grows):
            return store
    config = _config(model, saved, rest, grows, reporter)
    found = _open_if_sound(place) if is_store(place) else None
    wanted = dataclasses.asdict(config)
    if found and settings_unchanged(found, wanted) and inputs_unchanged(found, inputs):
        return found
    line = (
        f"preprocessing the new text into {place}; it becomes {own} with the first save that is "
        "trained on it"
    )
    return make_store(inputs, place, model, wanted, line, reporter)


def _refuse_options(text_options: Mapping[str, Any], grows: bool) -> None:
    if given := [name for name in _MODELS_OWN if name in text_options]:
        raise UsageError(
            f"{backticked(given)}: with `new_corpus` vocabulary and phrases are the model's own; "
            "leave it out"
        )
    given = [name for name in _OF_NEW_WORDS if name in text_options]
    if given and not grows:
        raise UsageError(
            f"{backticked(given)}: the model keeps its vocabulary; leave it out, or let the "
            "vocabulary grow with `update_vocab`"
        )


def _check_vocabulary(store: TokenStore, model: Path, saved: Generation, grows: bool) -> None:
    """Refuse a store whose ids are not the model's rows."""
    if store.vocabulary.hash == saved.state["vocabulary_hash"]:
        return
    old, new = Vocabulary.load(saved.vocabulary_path).tokens, store.vocabulary.tokens
    if new[: len(old)] != old:
        raise UsageError(
            f"{store.path}: has another vocabulary than {model}; preprocess it with `vocabulary` "
            f"{model} (and `update_vocab` to add new words)"
        )
    if not grows:
        raise UsageError(
            f"{store.path}: has the words of {model}, {len(new) - len(old):,} new ones and other "
            "counts; add `update_vocab` to accept them"
        )


def _is_made_of(
    store: TokenStore, inputs: list[str | Path], options: Mapping[str, Any], grows: bool
) -> bool:
    """Whether `store` was made of this text with these options, except for its vocabulary."""
    if grows and not store.manifest["settings"].get("update_vocab"):
        return False
    return settings_unchanged(store, options) and inputs_unchanged(store, inputs)


def _open_if_sound(place: Path) -> TokenStore | None:
    try:
        return TokenStore.open(place)
    except DataError:  # made again
        return None


def _config(
    model: Path, saved: Generation, options: Mapping[str, Any], grows: bool, reporter: Reporter
) -> PreprocessConfig:
    """The given options, the others as the model's text was preprocessed with."""
    state = dict(saved.state)
    note = dict(state.get(NOTE_KEY, {}))
    if "stopwords" in options and "settings" in note:  # the model's are not needed
        state[NOTE_KEY] = {**note, "settings": {**note["settings"], "stopwords": None}}
    if "ids_column" in options:  # nothing is tokenized
        noted = PreprocessConfig()
    else:
        noted = noted_config(state, model, reporter, options.get("tokenizer"))
    stopwords = state.get(NOTE_KEY, {}).get("settings", {}).get("stopwords")
    if grows and stopwords is not None and noted.stopwords is None:
        raise UsageError(
            f"`update_vocab`: {model} was trained without the stop words of {stopwords}, which "
            f"would be new words here; give them again as `stopwords`"
        )
    return dataclasses.replace(
        noted, **{**options, "vocabulary": str(model), "update_vocab": grows}
    )


def corpus_line(store: TokenStore, old_words: int) -> str:
    """How much of the text is in the vocabulary, which had `old_words` words before."""
    known = {field.name for field in dataclasses.fields(PreprocessReport)}
    report = {name: v for name, v in store.manifest["report"].items() if name in known}
    counts = PreprocessReport(**report)
    unknown = (
        counts.tokens_outside_vocabulary
        + counts.tokens_below_min_count
        + counts.tokens_beyond_max_vocab
    )
    total = max(1, counts.tokens_kept + unknown)
    line = f"{store.path}: {counts.tokens_kept:,} words are in the vocabulary, {unknown:,} "
    line += f"({100 * unknown / total:.2f} %) are not and were dropped"
    if len(store.vocabulary) > old_words:
        line += f"; {len(store.vocabulary) - old_words:,} new words are added to the {old_words:,}"
    return line


def settle_store(model: Path, state: Mapping[str, Any] | None = None) -> None:
    """Move the store of the new text to its place, if a save with this state (default: that of the
    newest save) was trained, or is to be trained, on it."""
    path = named(model)
    place, own = _next_store(model), path.with_name(path.name + STORE_SUFFIX)
    if place is None or not is_store(place):
        return
    found = _open_if_sound(place)
    if state is None:
        state = _newest_state(model)
    if found is None or not is_corpus_of(state, found):
        return
    if is_store(own) or is_unfinished_store(own):
        if made_for_of(own) != path.name:
            return
        storage.remove_directory(own)
    if not own.exists():
        storage.move_directory(place, own)


def forget_next_store(model: Path) -> None:
    """Remove the store of a new corpus for a model that is replaced by a new one."""
    if place := _next_store(model):
        storage.remove_directory(place)


def _next_store(model: Path) -> Path | None:
    """The store of a new corpus, finished or not, None where there is none of this model."""
    path = named(model)
    place = path.with_name(path.name + NEXT_SUFFIX)
    there = is_store(place) or is_unfinished_store(place)
    return place if there and made_for_of(place) == path.name else None


def _newest_state(model: Path) -> Mapping[str, Any]:
    """Of the newest save, verified or not; empty where there is none that can be read."""
    try:
        return storage.read_json(generations(model)[-1] / STATE)
    except (DataError, IndexError):
        return {}


# --- pretrained vectors ---


class SharedVectors(NamedTuple):
    """The vectors of the words that a vocabulary shares with a file or model.

    ids: int64 (n,), ascending, of the vocabulary. matrices: float32 (n, dim), for the input
    vectors, and where there are some, the output vectors. note: what the state of a save keeps.
    """

    ids: np.ndarray
    matrices: list[np.ndarray]
    note: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Where vectors are to come from.

    path: as given. words, dim: of the vectors. saved: the model, None for a file.
    """

    path: Path
    words: int
    dim: int
    saved: Generation | None = None

    @classmethod
    def find(cls, path: str | Path, reporter: Reporter) -> Pretrained:
        """Open a file that `fastw2v.vectors.formats` reads, a model directory, or a checkpoint.

        Raises:
            UsageError: nothing there, no suffix that names a format, or a directory that is no
                model. DataError: damaged.
        """
        path = Path(path)
        if is_model_directory(path) or is_generation(path):
            saved = open_save(path, reporter)
            return cls(path, saved.state["vocabulary_size"], saved.config["vector_dim"], saved)
        if path.is_dir():
            raise UsageError(f"`init`: {path}: a directory, but not a fastw2v model")
        if not path.exists():
            raise UsageError(f"`init`: {path}: no such file or model")
        return cls(path, *shape_of(path))

    @property
    def name(self) -> str:
        """Without its directories."""
        return self.path.resolve().name

    def shared_with(self, vocabulary: Vocabulary) -> SharedVectors:
        """Read the vectors of the words of `vocabulary`; words are compared exactly.

        Raises:
            UsageError: it has none of them, or does not fit into memory.
            DataError: damaged; a vector that is not finite, or longer than any useful one.
        """
        tokens, matrices = self._read()
        index = vocabulary.index
        pairs = sorted((index[token], row) for row, token in enumerate(tokens) if token in index)
        if not pairs:
            raise UsageError(
                f"`init`: {self.path}: has none of the {len(vocabulary):,} words of the text (the "
                f"first of its {len(tokens):,} are {', '.join(map(repr, tokens[:3]))}, those of "
                f"the text {', '.join(map(repr, vocabulary.tokens[:3]))})"
            )
        ids, rows = np.array(pairs, np.int64).T
        chosen = [self._checked(matrix[rows], vocabulary, ids) for matrix in matrices]
        note = {
            "file": self.name,
            "words": len(ids),
            "token_share": round(float(vocabulary.counts[ids].sum() / vocabulary.total), 6),
        }
        return SharedVectors(ids, chosen, note)

    def _read(self) -> tuple[list[str], list[np.ndarray]]:
        if self.saved is not None:
            matrices = [self.saved.matrix(name, memory_map=True) for name in MATRICES]
            return Vocabulary.load(self.saved.vocabulary_path).tokens, matrices
        size, memory = 4 * self.words * self.dim, available_memory()
        if memory is not None and size > memory:
            raise ResourceError(
                f"`init`: {self.path}: {self.words:,} vectors of {self.dim} dimensions need "
                f"{readable_bytes(size)} of memory and {readable_bytes(memory)} are available; "
                "give a file of fewer words"
            )
        table = read_vectors(self.path)
        return table.tokens, [table.vectors]

    def _checked(self, rows: np.ndarray, vocabulary: Vocabulary, ids: np.ndarray) -> np.ndarray:
        rows = rows + np.float32(0.0)  # a copy, in which -0.0 is 0.0
        squares = np.einsum("ij,ij->i", rows, rows)
        bad = np.flatnonzero(~(squares <= NORM_LIMIT**2))  # NaN and infinity too
        if len(bad):
            raise DataError(
                f"`init`: {self.path}: the vector of {vocabulary.tokens[ids[bad[0]]]!r} is not "
                f"finite, or longer than {NORM_LIMIT:,.0f}"
            )
        return np.asarray(rows)


def start_with_vectors(
    pretrained: Pretrained, vocabulary: Vocabulary, config: TrainConfig, reporter: Reporter
) -> Start:
    """A new model, with pretrained vectors where there are some.

    Raises:
        UsageError, DataError: as `Pretrained.shared_with`.
    """
    shared = pretrained.shared_with(vocabulary)
    weights = initial_weights(len(vocabulary), config)
    for matrix, rows in zip(weights, shared.matrices, strict=False):
        matrix[shared.ids, : config.vector_dim] = rows
    note, share = shared.note, len(shared.ids) / len(vocabulary)
    others = "; the others begin at random" if share < 1 else ""
    reporter.info(
        f"{note['file']}: has vectors of {note['words']:,} of the {len(vocabulary):,} words "
        f"({100 * share:.1f} %, {100 * note['token_share']:.1f} % of the tokens){others}"
    )
    return Start(weights, fresh=True, init_note=note)
