"""`train`: from data and options to a model. Finds or makes the token store, decides whether to
begin or to go on, checks that the run fits the machine, and runs it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fastw2v import model_directory as layout
from fastw2v import storage
from fastw2v.corpus.config import PreprocessConfig
from fastw2v.corpus.preprocess import inputs_unchanged, preprocess
from fastw2v.corpus.settings import settings_unchanged
from fastw2v.corpus.token_store import TokenStore, is_store
from fastw2v.errors import UsageError
from fastw2v.machine import usable_cores
from fastw2v.options import flag_of, option_fields, reject_unknown_options
from fastw2v.training import checkpoint
from fastw2v.training.config import TrainConfig, resumed_config, without_effect
from fastw2v.training.model import Model
from fastw2v.training.resources import check_resources, estimate
from fastw2v.training.run import Callback, TrainingRun, planned_words
from fastw2v.training.sampling import keep_thresholds, repeat_rate

_logger = logging.getLogger("fastw2v")

STORE_SUFFIX = ".store"


def train(
    data_file: str | Path | Iterable[str | Path],
    model_file: str | Path,
    *,
    overwrite_model: bool = False,
    callback: Callback | None = None,
    notify: Callable[[str], None] | None = None,
    preprocess_progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> Model:
    """Train a model, or go on training an existing one.

    Args:
        data_file: a token store, or text: files, globs or directories. Text is preprocessed into
            the store `MODEL_FILE.store` once, which is reused while the text does not change.
        model_file: the model directory. An existing model goes on from where it stopped.
        overwrite_model: start a new model in place of an existing one.
        callback: called with a `monitor.Progress` at each event; when it returns False at an
            "interval", training saves and ends.
        notify: called with each line meant for the user; by default they go to the logger
            "fastw2v", those that begin with "warning:" as warnings.
        preprocess_progress: see `preprocess`.
        **options: those of `TrainConfig`, and those of `PreprocessConfig` for text. None = not
            given: the default, or on an existing model what it was trained with.

    Returns:
        The model, also when it was finished before and nothing was trained.

    Raises:
        UsageError: options, data or place that cannot be; settings other than the stored model's.
        DataError: a damaged store or model.
        ResourceError: disk or memory gave out.
        DivergenceError: the loss or the weights left the finite numbers.
        TrainingInterrupted: a signal; the model was saved.
    """
    say = notify or _log
    model = Path(model_file)
    text_options, train_options = _split_options(options)
    if not (resuming := model.exists() and not overwrite_model):
        TrainConfig.create(**train_options)  # a wrong option is told before any work
    checkpoint.check_place(model)
    inputs = [data_file] if isinstance(data_file, str | Path) else list(data_file)
    store = _open_store(inputs, model, text_options, preprocess_progress, say)
    with storage.exclusive_lock(model / layout.LOCK, remove_empty=True):
        storage.remove_leftovers(model)
        generation = None
        if resuming and layout.is_model_directory(model):
            generation = layout.open_model(model, on_damage=lambda line: say(f"warning: {line}"))
            config = resumed_config(generation.config, train_options)
            _check_vocabulary(generation, store)
        else:
            config = _with_blocks(TrainConfig.create(**train_options), store)
        idle = without_effect(config, train_options)
        if idle:
            say(f"no effect with --type {config.type}: {', '.join(idle)}")
        if generation is not None and _finished(generation, config, store):
            say(_how_to_train_more(model, generation, config, store))
            return Model.load(model)
        threads = _threads(config, say)
        need = estimate(config, len(store.vocabulary), int(store.row_group_tokens.max()), threads)
        say(f"{threads} threads; {check_resources(need, model)}")
        if generation is not None:
            say(_going_on(generation, config, store))
        return TrainingRun(model, store, config, threads, generation, callback).run()


def _log(line: str) -> None:
    _logger.log(logging.WARNING if line.startswith("warning:") else logging.INFO, line)


def _split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options for text, options for training), those that are None left out."""
    names = {field.name for field in option_fields(PreprocessConfig)}
    given = {name: value for name, value in options.items() if value is not None}
    text = {name: value for name, value in given.items() if name in names}
    training = {name: value for name, value in given.items() if name not in names}
    reject_unknown_options(TrainConfig, training)
    return text, training


def _open_store(
    inputs: list[str | Path],
    model: Path,
    text_options: dict[str, Any],
    progress: Callable[[str, int, int], None] | None,
    say: Callable[[str], None],
) -> TokenStore:
    """The token store that was given, or the one beside the model, made or renewed from text."""
    if not inputs:
        raise UsageError("no data: give text files or a token store with --data-file")
    stores = [path for path in inputs if (Path(path) / "manifest.json").is_file()]
    if stores:
        if len(inputs) > 1:
            raise UsageError(f"{stores[0]}: a token store stands alone; give one store or text")
        if text_options:
            raise UsageError(
                f"{', '.join(map(flag_of, text_options))}: only for text; {stores[0]} is a token "
                "store, made with its own settings"
            )
        return TokenStore.open(stores[0])
    place = model.with_name(model.name + STORE_SUFFIX)
    if is_store(place):
        store = TokenStore.open(place)
        if settings_unchanged(store, text_options) and inputs_unchanged(store, inputs):
            return store
        say(f"{place}: the text or its options have changed; preprocessing it anew")
        text_options = {**store.manifest["settings"], **text_options}
    else:
        say(f"preprocessing the text into {place}")
    # The place is ours: what lies there is an older store of this model, or an unfinished one.
    preprocess(inputs, place, force=True, progress=progress, **text_options)
    return TokenStore.open(place)


def _check_vocabulary(generation: layout.Generation, store: TokenStore) -> None:
    if generation.state.get("vocabulary_hash") != store.vocabulary.hash:
        raise UsageError(
            f"{generation.path.parent}: trained on another vocabulary "
            f"({generation.state.get('vocabulary_size'):,} words) than {store.path} has "
            f"({len(store.vocabulary):,} words); give the same data, or start a new model with "
            "--overwrite-model"
        )


def _with_blocks(config: TrainConfig, store: TokenStore) -> TrainConfig:
    counts = store.vocabulary.counts
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
    return config.with_blocks(repeat_rate(counts, thresholds))


def _finished(generation: layout.Generation, config: TrainConfig, store: TokenStore) -> bool:
    return int(generation.state["words_done"]) >= planned_words(config, store.num_tokens)


def _how_to_train_more(
    model: Path, generation: layout.Generation, config: TrainConfig, store: TokenStore
) -> str:
    words = int(generation.state["words_done"])
    epochs = words / store.num_tokens
    return (
        f"{model}: finished before ({words:,} words, {epochs:.3g} epochs); nothing to do. To train "
        f"more: --epochs {int(epochs) + config.epochs} (the total)"
        + (" or a larger --max-words" if config.max_words is not None else "")
        + "; to start anew: --overwrite-model"
    )


def _going_on(generation: layout.Generation, config: TrainConfig, store: TokenStore) -> str:
    words, planned = int(generation.state["words_done"]), int(generation.state["total_words"])
    total = planned_words(config, store.num_tokens)
    line = f"going on after {words:,} words, {total - words:,} to go"
    if total != planned:
        line += f"; the learning rate is planned anew over {total:,} words"
    return line


def _threads(config: TrainConfig, say: Callable[[str], None]) -> int:
    cores = usable_cores()
    if config.threads is None:
        return cores
    if config.threads > cores:
        say(
            f"warning: --threads {config.threads} is more than the {cores} cores that this process "
            "may use; it will not be faster"
        )
    return config.threads
