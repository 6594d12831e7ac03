"""`train`: from data and options to a model. Finds or makes the token store, decides whether to
begin or to go on, checks that the run fits the machine, and runs it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastw2v.errors import UsageError
from fastw2v.io import model_directory as layout
from fastw2v.io import storage
from fastw2v.io.machine import usable_cores
from fastw2v.options import option_fields, reject_unknown_options
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore
from fastw2v.training import checkpoint
from fastw2v.training import resume as going_on
from fastw2v.training.config import TrainConfig, resumed_config, without_effect
from fastw2v.training.corpus import (
    corpus_line,
    forget_next_store,
    is_models_corpus,
    open_new_corpus,
    open_store,
    settle_store,
)
from fastw2v.training.data import planned_words
from fastw2v.training.monitor import log_notice
from fastw2v.training.resources import check_resources, estimate, long_run_warning
from fastw2v.training.resume import Start, check_saved, new_start, start_on_new_corpus
from fastw2v.training.sampling import keep_thresholds, repeat_rate, top_share
from fastw2v.training.session import Callback, TrainingRun
from fastw2v.training.warm_start import Pretrained, found_line
from fastw2v.vectors.model import Model

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class _Call:
    """What `train` was called with.

    text_options, train_options: those that were given.
    """

    inputs: list[str | Path]
    model: Path
    new_corpus: bool
    text_options: dict[str, Any]
    train_options: dict[str, Any]
    preprocess_progress: Callable[[str, int, int], None] | None
    say: Say


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What is to be trained.

    saved: the model that goes on, None for a new one. begins: whether on another corpus.
    pretrained: where a new model's first vectors come from, if not at random.
    """

    config: TrainConfig
    store: TokenStore
    saved: layout.Generation | None = None
    begins: bool = False
    pretrained: Pretrained | None = None


def train(
    data_file: str | Path | Iterable[str | Path],
    model_file: str | Path,
    *,
    overwrite_model: bool = False,
    new_corpus: bool = False,
    callback: Callback | None = None,
    notify: Say | None = None,
    preprocess_progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> Model:
    """Train a model, or go on training an existing one.

    Args:
        data_file: a token store, or text: files, globs or directories. Text is preprocessed into
            the store `MODEL_FILE.store` once, which is reused while the text does not change.
        model_file: the model directory. An existing model goes on from where it stopped.
        overwrite_model: start a new model in place of an existing one.
        new_corpus: the data is, or may be, another corpus than that of the existing model: train on
            it from the model's vectors, with its vocabulary (which `update_vocab` lets grow),
            `epochs` times, the learning rate planned anew. Where the model is being trained on this
            data already, it goes on: the same call may be repeated until it is done.
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
    if new_corpus and overwrite_model:
        raise UsageError("--new-corpus goes on with a model, --overwrite-model does not: give one")
    model = Path(model_file)
    call = _Call(inputs, model, new_corpus, *_split_options(options), preprocess_progress, say)
    checkpoint.check_place(model)
    with storage.exclusive_lock(model / layout.LOCK, remove_empty=True):
        if half_written := checkpoint.remove_leftovers(model):
            say(f"a run was killed while it wrote: removed half of {', '.join(half_written)}")
        goes_on = layout.is_model_directory(model) and not overwrite_model
        plan = _plan_to_go_on(call) if goes_on else _plan_anew(call)
        config, store, saved = plan.config, plan.store, plan.saved
        idle = without_effect(config, call.train_options)
        if idle:
            say(f"no effect with --type {config.type}: {', '.join(idle)}")
        if saved is not None and not plan.begins and going_on.is_finished(saved, config, store):
            say(going_on.how_to_train_more(model, saved, config, store))
            return Model.load(model)
        threads = _threads(config, say)
        tokens, largest = store.num_tokens, int(store.row_group_tokens.max())
        need = estimate(config, len(store.vocabulary), largest, threads, tokens)
        say(f"{threads} threads; {check_resources(need, model)}")
        start = _start(plan, say)
        kept = _kept_counts(config, store).sum() / store.vocabulary.total
        kept_words = kept * (planned_words(config, tokens) - start.words_done)
        resumed = saved is not None
        if slow := long_run_warning(config, len(store.vocabulary), kept_words, threads, resumed):
            say(f"warning: {slow}")
        run = TrainingRun(model, store, config, threads, start, callback, say)
        if saved is not None:
            line_of = going_on.new_corpus_line if plan.begins else going_on.going_on_line
            say(line_of(saved, config, start, run.total_words))
        try:
            return run.run()
        finally:
            if plan.begins:
                settle_store(model)


def _plan_anew(call: _Call) -> _Plan:
    """A new model."""
    model, options = call.model, dict(call.train_options)
    if call.new_corpus:
        raise UsageError(f"--new-corpus: there is no model {model} to go on with; leave it out")
    pretrained = None
    if options.get("init") is not None:
        pretrained = Pretrained.find(options["init"], call.say)
        options.setdefault("vector_dim", pretrained.dim)
    config = TrainConfig.create(**options)
    if pretrained is not None and pretrained.dim != config.vector_dim:
        raise UsageError(
            f"--init: {pretrained.path} has vectors of {pretrained.dim} dimensions, --vector-dim "
            f"is {config.vector_dim}; leave --vector-dim out, or begin with other vectors"
        )
    if pretrained is not None:  # its place is of no use to whom the model is given
        config = dataclasses.replace(config, init=pretrained.name)
    forget_next_store(model)
    store = open_store(
        call.inputs, model, call.text_options, False, call.preprocess_progress, call.say
    )
    return _Plan(_with_blocks(config, store), store, pretrained=pretrained)


def _plan_to_go_on(call: _Call) -> _Plan:
    """The model that is there, on its corpus or another."""
    model, say, options = call.model, call.say, dict(call.train_options)
    saved = layout.open_model(model, on_damage=lambda line: say(f"warning: {line}"))
    check_saved(saved)
    began_with = going_on.check_init(saved, model, options.pop("init", None), say)
    config = dataclasses.replace(resumed_config(saved.config, options), init=began_with)
    settle_store(model, saved.state)
    text, progress = call.text_options, call.preprocess_progress
    if not call.new_corpus and not text.get("update_vocab"):
        store = open_store(call.inputs, model, text, True, progress, say)
        going_on.check_same_data(saved, store)
        return _Plan(config, store, saved)
    store = open_new_corpus(call.inputs, model, saved, text, progress, say)
    begins = not is_models_corpus(saved.state, store)
    if begins:
        say(corpus_line(store, saved.state["vocabulary_size"]))
    else:
        say(f"{store.path}: is the corpus that {model} is trained on already; not begun again")
    return _Plan(config, store, saved, begins)


def _start(plan: _Plan, say: Say) -> Start:
    """The weights, and where to begin."""
    config, words = plan.config, len(plan.store.vocabulary)
    if plan.saved is not None:
        if plan.begins:
            return start_on_new_corpus(plan.saved, words, config)
        return going_on.start_to_go_on(plan.saved, words, config)
    if plan.pretrained is None:
        return new_start(words, config)
    shared = plan.pretrained.shared_with(plan.store.vocabulary)
    say(found_line(shared.note, plan.store.vocabulary))
    return new_start(words, config, shared)


def _split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(options for text, options for training), those that are None left out."""
    names = {field.name for field in option_fields(PreprocessConfig)}
    given = {name: value for name, value in options.items() if value is not None}
    text = {name: value for name, value in given.items() if name in names}
    training = {name: value for name, value in given.items() if name not in names}
    reject_unknown_options(TrainConfig, training)
    if isinstance(training.get("init"), os.PathLike):
        training["init"] = os.fspath(training["init"])
    if not isinstance(training.get("init", ""), str):
        raise UsageError(f"--init: {training['init']!r} is not a path")
    return text, training


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
    if _kept_counts(config, store).sum() < 2:
        raise UsageError(
            f"--subsample: {config.subsample} leaves no words to train on; use a larger one, or 0"
        )
    return config.with_blocks(repeat_rate(counts, thresholds), top_share(counts, thresholds))


def _kept_counts(config: TrainConfig, store: TokenStore) -> np.ndarray:
    """float64 (V,): how often each word is kept by subsampling, in an epoch."""
    counts = store.vocabulary.counts
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
    return np.asarray(counts * (thresholds / 2.0**32))


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
