"""One training run: the only place where batches meet kernels."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numba
import numpy as np

from fastw2v import model_directory as layout
from fastw2v.errors import DivergenceError, ResourceError, TrainingInterrupted
from fastw2v.kernels.negative_sampling import Weights
from fastw2v.training import checkpoint, sampling, steps
from fastw2v.training.batches import BATCHES_AT_ONCE, Batch, BatchSource, Position, ReadAhead
from fastw2v.training.config import DEFAULT_ALPHAS, TrainConfig
from fastw2v.training.corpus_note import NOTE_KEY, corpus_note
from fastw2v.training.model import Model
from fastw2v.training.monitor import Monitor, Progress, check_weights
from fastw2v.training.signals import StopRequest, stop_on_signals
from fastw2v.training.softmax_time import estimate_time, time_line

if TYPE_CHECKING:
    from fastw2v.corpus.token_store import TokenStore

Callback = Callable[[Progress], object]

_PLOT_PAUSE = 1.0  # seconds between two drawings of the loss curve, at least


class TrainingRun:
    """Trains `store` into the model directory `path`, from a saved generation or from new weights.

    The learning rate falls over `total_words`: `--epochs` times the corpus, or `--max-words`.
    """

    def __init__(
        self,
        path: Path,
        store: TokenStore,
        config: TrainConfig,
        threads: int,
        generation: layout.Generation | None,
        callback: Callback | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.path, self.store, self.config, self.threads = path, store, config, threads
        self.say = say
        self.total_words = planned_words(config, store.num_tokens)
        self.callback = callback
        self._fresh = generation is None
        self.position, self.words_done = Position(), 0
        history = []
        vocabulary_size = len(store.vocabulary)
        if generation is None:
            self.weights = steps.initial_weights(vocabulary_size, config)
        else:
            self.position = Position(**generation.state["position"])
            self.words_done = int(generation.state["words_done"])
            history = generation.history()
            self.weights = _loaded_weights(generation, vocabulary_size, config)
        self.monitor = Monitor(history, self.words_done)
        counts = store.vocabulary.counts
        self._keep_thresholds = sampling.keep_thresholds(
            counts, int(counts.sum()), config.subsample or 0.0
        )
        self._source = BatchSource(store, config, self._keep_thresholds)
        self._noise = sampling.noise_tables(counts, config.ns_exponent)
        self._last_save = time.monotonic()
        self._lap_began = time.perf_counter()
        self._last_plot = -_PLOT_PAUSE
        self._centres_since_save = 0
        self._words_saved = -1
        self._stopped = False
        self.compile_seconds = 0.0

    def run(self) -> Model:
        """Train to the end, or to a signal, or until the callback returns False.

        Raises:
            TrainingInterrupted: stopped by a signal; the model was saved.
            DivergenceError: NaN, infinity or exploding norms; the last good save is kept.
            ResourceError: a save failed; the save before it is whole.
        """
        most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        numba.set_num_threads(min(self.threads, most))
        upcoming = ReadAhead(
            self._source.batches(self.position, self.config.epochs),
            # The full softmax takes so long over a batch that the next is always ready.
            BATCHES_AT_ONCE if self.config.negative_sampling else 2,
        )
        with (
            stop_on_signals(self._acknowledge) as request,
            upcoming as batches,  # from here on, so that compilation and the first save hide it
        ):
            began = time.perf_counter()
            steps.warm_up(self.config, self.threads)
            self.compile_seconds = time.perf_counter() - began
            self._estimate_time()
            self._save()
            self._tell("start")
            try:
                self._train(batches, request)
                self._close_interval()
                if self.words_done != self._words_saved:
                    self._save()
            except DivergenceError as error:
                raise self._diverged(error) from error
            self._draw_loss(now=True)
            self._tell("end")
        if request.signal_number is not None and self.words_done < self.total_words:
            raise self._interrupted(request)
        return self.model()

    def model(self) -> Model:
        """The model as it stands."""
        dim = self.config.vector_dim
        return Model(
            self.path,
            self.config.to_json(),
            self.store.vocabulary,
            self.weights.input_vectors[:, :dim],
            self.weights.output_vectors[:, :dim],
            self.monitor.history,
            self.words_done,
            self.monitor.seconds,
            self.compile_seconds,
        )

    def _estimate_time(self) -> None:
        """Say how long a full-softmax run will take; the other types take minutes."""
        if self.config.negative_sampling:
            return
        words = self.total_words - self.words_done
        found = estimate_time(self.store, self.config, self._keep_thresholds, words)
        if found is not None:
            going_on = self.words_done > 0
            self.say(time_line(found, len(self.store.vocabulary), self.config, going_on))

    def _train(self, batches: Iterable[Batch], request: StopRequest) -> None:
        stepper = steps.new_stepper(self.weights, self._noise, self.config, self.threads)
        self._lap_began = time.perf_counter()
        for batch in batches:
            if not self._train_batch(batch, stepper, request):
                return
            self._end_batch(batch)
            self._source.reuse(batch)
            if self.words_done >= self.total_words:
                return

    def _train_batch(self, batch: Batch, stepper: steps.Stepper, request: StopRequest) -> bool:
        """Train a batch from the position on; False when the run is to stop before its end."""
        first = self.position.centre
        stop = self._last_centre(batch, stepper.unit)
        while first < stop:
            if self._stopped or request.signal_number is not None:
                return False
            last = min(first + self._step_centres(stepper), stop)
            result = stepper.train(batch, first, last, self.total_words)
            self.monitor.add(*result, self._lap())
            self.words_done = batch.words_before + int(batch.stream.word_positions[last])
            self.position = dataclasses.replace(self.position, centre=last)
            self._centres_since_save += last - first
            first = last
            if self.monitor.due:
                self._close_interval()
            if self._save_due():
                self._close_interval()
                self._save()
        return stop == batch.centres

    def _lap(self) -> float:
        """Seconds since the last lap: all of the loop's wall-clock, saves excepted."""
        now = time.perf_counter()
        seconds, self._lap_began = now - self._lap_began, now
        return seconds

    def _step_centres(self, stepper: steps.Stepper) -> int:
        """Centres of the next kernel call: up to the next save where saves follow batches alone."""
        if self.config.save_interval > 0:
            return stepper.step_centres
        left = self.config.save_every * self.config.centres_a_batch - self._centres_since_save
        units = max(1, -(-left // stepper.unit))
        return min(stepper.step_centres, units * stepper.unit)

    def _last_centre(self, batch: Batch, unit: int) -> int:
        """Where this batch ends for the run: at --max-words, rounded up to a whole unit."""
        words_left = self.total_words - batch.words_before
        if batch.words <= words_left:
            return batch.centres
        enough = int(np.searchsorted(batch.stream.word_positions, words_left))
        return min(batch.centres, -(-enough // unit) * unit)

    def _end_batch(self, batch: Batch) -> None:
        self.words_done = batch.words_before + batch.words
        if batch.row_group + 1 < self.store.num_row_groups:
            self.position = Position(batch.epoch, batch.row_group + 1, 0)
            return
        self.position = Position(batch.epoch + 1, 0, 0)
        self._close_interval()
        epoch = batch.epoch + 1
        every = self.config.checkpoint_epochs
        if every and epoch % every == 0:
            generation = self._save()
            checkpoint.keep_checkpoint(self.path, generation, epoch, self.config.keep_checkpoints)
        self._tell("epoch", epoch)

    def _save_due(self) -> bool:
        batches = self._centres_since_save / self.config.centres_a_batch
        seconds = time.monotonic() - self._last_save
        return batches >= self.config.save_every and seconds >= self.config.save_interval

    def _save(self) -> Path:
        """Check the weights and save them; draw the loss curve."""
        alpha = steps.alpha_at(self.config, self.words_done, self.total_words)
        check_weights(self.weights, all_rows=True)
        snapshot = checkpoint.Snapshot(
            self.weights,
            self.config.vector_dim,
            self.store.vocabulary,
            self.config.to_json(),
            {
                "vocabulary_hash": self.store.vocabulary.hash,
                "corpus_hash": corpus_hash(self.store),
                NOTE_KEY: corpus_note(self.store.manifest),
                "position": dataclasses.asdict(self.position),
                "words_done": self.words_done,
                "total_words": self.total_words,
                "training_seconds": round(self.monitor.seconds, 3),
                "alpha": alpha,
            },
            self.monitor.history,
            self.store.phrases,
        )
        generation = checkpoint.save(self.path, snapshot, replace_model=self._fresh)
        self._fresh = False
        self._words_saved = self.words_done
        self._draw_loss(now=False)
        self._last_save, self._centres_since_save = time.monotonic(), 0
        self._lap_began = time.perf_counter()
        self._tell("save")
        return generation

    def _draw_loss(self, *, now: bool) -> None:
        """Draw the loss curve; unless `now`, at most once in `_PLOT_PAUSE`."""
        if not self.monitor.history:
            return
        if not now and time.monotonic() - self._last_plot < _PLOT_PAUSE:
            return
        from fastw2v.plots import plot_loss

        title = f"{self.path.name}: training loss of {self.config.type}"
        try:
            plot_loss(self.monitor.history, self.path / layout.LOSS_PLOT, title)
        except ResourceError as error:  # a picture is no reason to stop
            self.say(f"warning: {error}")
        self._last_plot = time.monotonic()

    def _close_interval(self) -> None:
        """End the running interval of the history, if it has anything; ask the callback."""
        alpha = steps.alpha_at(self.config, self.words_done, self.total_words)
        # The row of a position at an epoch's start belongs to the epoch that just ended.
        at_start = self.position.row_group == self.position.centre == 0
        epoch = max(1, self.position.epoch if at_start else self.position.epoch + 1)
        if self.monitor.close_interval(epoch, self.words_done, alpha):
            check_weights(self.weights, all_rows=False)
            self._stopped |= self._tell("interval") is False

    @property
    def _epoch(self) -> int:
        return min(self.position.epoch + 1, self.config.epochs)

    def _tell(self, event: str, epoch: int | None = None) -> object:
        if self.callback is None:
            return None
        row = self.monitor.history[-1] if self.monitor.history else {}
        speed = float(row.get("words_per_second", float("nan")))
        loss = row.get("loss")
        return self.callback(
            Progress(
                event=event,
                epoch=epoch or self._epoch,
                epochs=self.config.epochs,
                words=self.words_done,
                total_words=self.total_words,
                words_per_second=speed,
                loss=float("nan") if loss is None else loss,
                alpha=steps.alpha_at(self.config, self.words_done, self.total_words),
                seconds=self.monitor.seconds,
                seconds_left=max(0, self.total_words - self.words_done) / (speed or math.nan),
            )
        )

    def _acknowledge(self) -> None:
        self.say("warning: stopping and saving at the next step; once more to stop at once")

    def _diverged(self, error: DivergenceError) -> DivergenceError:
        assert self.config.alpha is not None
        # The rate at which the interval began: where in it the loss broke is not known.
        began = self.monitor.history[-1]["words"] if self.monitor.history else 0
        alpha = steps.alpha_at(self.config, began, self.total_words)
        smaller = min(self.config.alpha / 4, DEFAULT_ALPHAS[self.config.type])
        kept = (
            f"the save after {self._words_saved:,} words is kept"
            if self._words_saved > 0
            else "nothing was learnt before it (the save is the untrained start)"
        )
        return DivergenceError(
            f"training diverged in epoch {self._epoch} at learning rate {alpha:.3g}: {error}; "
            f"{kept}; start again with --overwrite-model and a smaller --alpha ({smaller:.2g}, say)"
        )

    def _interrupted(self, request: StopRequest) -> TrainingInterrupted:
        error = TrainingInterrupted(
            f"stopped in epoch {self._epoch} after {self.words_done:,} of {self.total_words:,} "
            f"words; {self.path} is saved: the same command without --overwrite-model goes on"
        )
        error.exit_code = request.exit_code
        return error


def corpus_hash(store: TokenStore) -> str:
    """What a position refers to: SHA-256 over the checksums of the store's parts."""
    checksums = [part["sha256"] for part in store.manifest["parts"]]
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def planned_words(config: TrainConfig, corpus_words: int) -> int:
    """The words of the whole run."""
    words = config.epochs * corpus_words
    return words if config.max_words is None else min(words, config.max_words)


def _loaded_weights(
    generation: layout.Generation, vocabulary_size: int, config: TrainConfig
) -> Weights:
    weights = Weights(
        steps.new_matrix(vocabulary_size, config.vector_dim),
        steps.new_matrix(vocabulary_size, config.vector_dim),
    )
    for name, matrix in zip(layout.MATRICES, weights, strict=True):
        matrix[:, : config.vector_dim] = generation.matrix(name, memory_map=True)
    return weights
