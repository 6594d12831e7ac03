"""`train`: from data and options to a model.

In order: options, the model in place, the token store, the start, what the machine has, the run.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
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
from fastw2v.training import checkpoint, resources, resume, warm_start
from fastw2v.training.config import TrainConfig, resumed_config, without_effect
from fastw2v.training.corpus import backticked, is_corpus_of, open_store, reopen_store
from fastw2v.training.data import keep_thresholds, planned_words, repeat_rate, top_share
from fastw2v.training.reporting import Callback, LogReporter, Reporter
from fastw2v.training.session import TrainingRun
from fastw2v.vectors.model import Model


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
    reporter: Reporter


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What is to be trained.

    saved: the existing model, None for a new one. begins: whether it begins another corpus.
    pretrained: where a new model's first vectors come from, if not at random.
    """

    config: TrainConfig
    store: TokenStore
    saved: layout.Generation | None = None
    begins: bool = False
    pretrained: warm_start.Pretrained | None = None

    def start(self, reporter: Reporter) -> resume.Start:
        """The weights, and where to begin."""
        config, vocabulary = self.config, self.store.vocabulary
        if self.saved is not None:
            begin = warm_start.start_on_new_corpus if self.begins else resume.resume
            return begin(self.saved, len(vocabulary), config)
        if self.pretrained is not None:
            return warm_start.start_with_vectors(self.pretrained, vocabulary, config, reporter)
        return resume.start_anew(len(vocabulary), config)


def train(
    data: str | Path | Iterable[str | Path],
    model: str | Path,
    *,
    overwrite_model: bool = False,
    new_corpus: bool = False,
    callback: Callback | None = None,
    reporter: Reporter | None = None,
    **options: Any,
) -> Model:
    """Train a model, or resume training an existing one.

    Args:
        data: a token store, or text: files, globs or directories. Text is preprocessed once into
            the store `MODEL.store`, which is reused while the text does not change.
        model: the model directory. An existing model is resumed where it stopped.
        overwrite_model: start a new model in place of an existing one.
        new_corpus: the data is, or may be, another corpus than that of the existing model: train on
            it from the model's vectors, with its vocabulary (which `update_vocab` lets grow),
            `epochs` times, with a learning rate that starts again. If the model is being trained on
            this data already, it is resumed: the same call may be repeated until it is done.
        callback: called with a `Progress` at each event: at the start, at least every 10 seconds,
            at each save, evaluation and epoch, and at the end. When it returns False, training
            stops at the next step (a second or less), saves, and the model is returned; the same
            call resumes it. An exception ends the run without a save.
        reporter: receives the lines for the user and the progress of preprocessing, and without
            `callback` that of training; default: the logger "fastw2v" (warnings; at level INFO
            also what is done, epochs and losses).
        **options: those of `TrainConfig`, and those of `PreprocessConfig` for text. None = not
            given: the default, or for an existing model what it was trained with.

    Returns:
        The model, also when it was finished before and nothing was trained.

    Raises:
        UsageError: options, data or a place that cannot be used; options other than those that the
            existing model was trained with.
        DataError: a damaged store or model.
        ResourceError: disk or memory ran out.
        DivergenceError: the loss or the weights are no longer finite.
        TrainingInterrupted: a signal; the model was saved.
    """
    reporter = reporter or LogReporter()
    inputs = _paths(data)
    if not isinstance(model, str | Path) or not str(model):
        raise UsageError(f"`model` must be a path; got {model!r}")
    if callback is not None and not callable(callback):
        raise UsageError(f"`callback` must be callable; got {callback!r}")
    if new_corpus and overwrite_model:
        raise UsageError("`new_corpus` continues a model, `overwrite_model` replaces it: give one")
    path = Path(model)
    call = _Call(inputs, path, new_corpus, *_split_options(options), reporter)
    checkpoint.check_place(path)
    with storage.exclusive_lock(path / layout.LOCK, remove_empty=True):
        if partial := checkpoint.remove_leftovers(path):
            reporter.info(f"removed what a killed run left unfinished: {', '.join(partial)}")
        exists = layout.is_model_directory(path) and not overwrite_model
        plan = _plan_existing(call) if exists else _plan_new(call)
        return _run(plan, call, callback)


def _run(plan: _Plan, call: _Call, callback: Callback | None) -> Model:
    """Train what is planned, unless it is finished or does not fit the machine."""
    config, store, saved, reporter = plan.config, plan.store, plan.saved, call.reporter
    if idle := without_effect(config, call.train_options):
        reporter.info(f"no effect with `type` {config.type}: {backticked(idle)}")
    if saved and not plan.begins and resume.is_finished(saved, config, store.num_tokens):
        reporter.info(resume.finished_line(call.model, saved, config, store.num_tokens))
        return Model.load(call.model)
    threads = _threads(config, reporter)
    words, largest = len(store.vocabulary), int(store.row_group_tokens.max())
    need = resources.estimate(config, words, largest, threads, store.num_tokens)
    reporter.info(f"{threads} threads; {resources.check_resources(need, call.model)}")
    start = plan.start(reporter)
    kept = _kept_counts(config, store).sum() / store.vocabulary.total
    kept_words = kept * (planned_words(config, store.num_tokens) - start.words_done)
    if slow := resources.long_run_warning(config, words, kept_words, threads, saved is not None):
        reporter.warning(slow)
    run = TrainingRun(call.model, store, config, threads, start, reporter, callback)
    if saved is not None:
        line_of = warm_start.new_corpus_line if plan.begins else resume.resumed_line
        reporter.info(line_of(saved, start, run.rate))
    try:
        return run.run()
    finally:
        if plan.begins:
            warm_start.settle_store(call.model)


def _plan_new(call: _Call) -> _Plan:
    """A new model."""
    options, reporter = dict(call.train_options), call.reporter
    if call.new_corpus:
        raise UsageError(f"`new_corpus`: there is no model {call.model}; leave it out")
    pretrained = None
    if options.get("init") is not None:
        pretrained = warm_start.Pretrained.find(options["init"], reporter)
        options.setdefault("vector_dim", pretrained.dim)
    config = TrainConfig.create(**options)
    if pretrained is not None and pretrained.dim != config.vector_dim:
        raise UsageError(
            f"`init`: {pretrained.path} has vectors of {pretrained.dim} dimensions, `vector_dim` "
            f"is {config.vector_dim}; leave `vector_dim` out, or give other vectors"
        )
    if pretrained is not None:  # its directory means nothing to a recipient of the model
        config = dataclasses.replace(config, init=pretrained.name)
    warm_start.forget_next_store(call.model)
    store = open_store(call.inputs, call.model, call.text_options, reporter)
    return _Plan(_with_blocks(config, store), store, pretrained=pretrained)


def _plan_existing(call: _Call) -> _Plan:
    """The existing model, on its corpus or another."""
    model, reporter, options = call.model, call.reporter, dict(call.train_options)
    saved = resume.open_save(model, reporter)
    resume.check_saved(saved)
    began_with = resume.check_init(saved, model, options.pop("init", None), reporter)
    config = dataclasses.replace(resumed_config(saved.config, options), init=began_with)
    warm_start.settle_store(model, saved.state)
    text = call.text_options
    if not call.new_corpus and not text.get("update_vocab"):
        store = reopen_store(call.inputs, model, saved.state, text, reporter)
        return _Plan(config, store, saved)
    store = warm_start.open_new_corpus(call.inputs, model, saved, text, reporter)
    begins = not is_corpus_of(saved.state, store)
    if begins:
        reporter.info(warm_start.corpus_line(store, saved.state["vocabulary_size"]))
    else:
        reporter.info(f"{store.path}: {model} is being trained on this corpus already; resuming")
    return _Plan(config, store, saved, begins)


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
        raise UsageError(f"`init` must be a path; got {training['init']!r}")
    return text, training


def _paths(data: str | Path | Iterable[str | Path]) -> list[str | Path]:
    inputs = [data] if isinstance(data, str | Path) else data
    paths = list(inputs) if isinstance(inputs, Iterable) else [inputs]
    for path in paths:
        if not isinstance(path, str | Path) or not str(path):
            raise UsageError(
                f"`data` must be paths; got {path!r}; make a token store of anything else first, "
                "with fastw2v.preprocess(data, STORE)"
            )
    return paths


def _with_blocks(config: TrainConfig, store: TokenStore) -> TrainConfig:
    counts = store.vocabulary.counts
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
    if _kept_counts(config, store).sum() < 2:
        raise UsageError(
            f"`subsample`: {config.subsample} leaves no words to train on; use a larger one, or 0"
        )
    return config.with_blocks(repeat_rate(counts, thresholds), top_share(counts, thresholds))


def _kept_counts(config: TrainConfig, store: TokenStore) -> np.ndarray:
    """float64 (V,): how often each word is kept by subsampling, in an epoch."""
    counts = store.vocabulary.counts
    thresholds = keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
    return np.asarray(counts * (thresholds / 2.0**32))


def _threads(config: TrainConfig, reporter: Reporter) -> int:
    cores = usable_cores()
    if config.threads is None:
        return cores
    if config.threads > cores:
        reporter.warning(
            f"`threads`: {config.threads} is more than the {cores} cores that this process may "
            "use; training will not be faster"
        )
    return config.threads
