"""`train`: from data and options to a model. Finds or makes the token store, decides whether to
begin or to go on, checks that the run fits the machine, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fastw2v import model_directory as layout
from fastw2v import storage
from fastw2v.corpus.config import PreprocessConfig
from fastw2v.corpus.token_store import TokenStore
from fastw2v.errors import UsageError
from fastw2v.machine import usable_cores
from fastw2v.options import option_fields, reject_unknown_options
from fastw2v.training import checkpoint
from fastw2v.training.config import TrainConfig, resumed_config, without_effect
from fastw2v.training.model import Model
from fastw2v.training.notices import log_notice
from fastw2v.training.resources import check_resources, estimate
from fastw2v.training.run import Callback, TrainingRun, corpus_hash, planned_words
from fastw2v.training.sampling import keep_thresholds, repeat_rate, top_share
from fastw2v.training.text_store import open_store


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
    say = notify or log_notice
    inputs = _inputs(data_file)
    if not isinstance(model_file, str | Path) or not str(model_file):
        raise UsageError(f"--model-file: {model_file!r} is not a path")
    if callback is not None and not callable(callback):
        raise UsageError(f"callback: {callback!r} cannot be called")
    model = Path(model_file)
    text_options, train_options = _split_options(options)
    checkpoint.check_place(model)
    with storage.exclusive_lock(model / layout.LOCK, remove_empty=True):
        checkpoint.remove_leftovers(model)
        generation = None
        if layout.is_model_directory(model) and not overwrite_model:
            generation = layout.open_model(model, on_damage=lambda line: say(f"warning: {line}"))
            config = resumed_config(generation.config, train_options)
        else:
            config = TrainConfig.create(**train_options)
        store = open_store(
            inputs, model, text_options, generation is not None, preprocess_progress, say
        )
        if generation is None:
            config = _with_blocks(config, store)
        else:
            _check_same_data(generation, store)
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
        return TrainingRun(model, store, config, threads, generation, callback, say).run()


def _split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options for text, options for training), those that are None left out."""
    names = {field.name for field in option_fields(PreprocessConfig)}
    given = {name: value for name, value in options.items() if value is not None}
    text = {name: value for name, value in given.items() if name in names}
    training = {name: value for name, value in given.items() if name not in names}
    reject_unknown_options(TrainConfig, training)
    return text, training


def _check_same_data(generation: layout.Generation, store: TokenStore) -> None:
    """A position counts row groups and tokens of one corpus; going on needs the same."""
    state = generation.state
    if state.get("vocabulary_hash") != store.vocabulary.hash:
        raise UsageError(
            f"{generation.path.parent}: trained on another vocabulary "
            f"({state.get('vocabulary_size'):,} words) than {store.path} has "
            f"({len(store.vocabulary):,} words); give the same data, or start a new model with "
            "--overwrite-model"
        )
    if state.get("corpus_hash") != corpus_hash(store):
        raise UsageError(
            f"{generation.path.parent}: trained on other text than {store.path} holds; give the "
            "same data, or start a new model with --overwrite-model"
        )


def _inputs(data_file: str | Path | Iterable[str | Path]) -> list[str | Path]:
    inputs = [data_file] if isinstance(data_file, str | Path) else data_file
    paths = list(inputs) if isinstance(inputs, Iterable) else [inputs]
    for path in paths:
        if not isinstance(path, str | Path) or not str(path):
            raise UsageError(
                f"--data-file: {path!r} is not a path; make a token store of anything else first, "
                "with fastw2v.preprocess(data, STORE)"
            )
    return paths


def _with_blocks(config: TrainConfig, store: TokenStore) -> TrainConfig:
    counts = store.vocabulary.counts
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
    if float((counts * (thresholds / 2.0**32)).sum()) < 2:
        raise UsageError(
            f"--subsample: {config.subsample} leaves no words to train on; use a larger one, or 0"
        )
    return config.with_blocks(repeat_rate(counts, thresholds), top_share(counts, thresholds))


def _finished(generation: layout.Generation, config: TrainConfig, store: TokenStore) -> bool:
    return int(generation.state["words_done"]) >= planned_words(config, store.num_tokens)


def _how_to_train_more(
    model: Path, generation: layout.Generation, config: TrainConfig, store: TokenStore
) -> str:
    words = int(generation.state["words_done"])
    epochs = words / store.num_tokens
    more = (
        "a larger --max-words, or none"
        if words < config.epochs * store.num_tokens
        else f"--epochs {config.epochs + 5} (the total)"
    )
    return (
        f"{model}: finished before ({words:,} words, {epochs:.3g} epochs); nothing to do. To train "
        f"more: {more}; to start anew: --overwrite-model"
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
