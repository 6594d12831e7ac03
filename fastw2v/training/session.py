"""Ctrl-C and termination as a request that the training loop answers at its next step.

One training run: the only place where batches meet kernels.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from fastw2v.errors import DataError, DivergenceError, ResourceError, TrainingInterrupted
from fastw2v.training import checkpoint, sampling
from fastw2v.training import steppers as steps
from fastw2v.training.checkpoint import Saver
from fastw2v.training.config import DEFAULT_ALPHAS, TrainConfig
from fastw2v.training.corpus import NOTE_KEY, corpus_note
from fastw2v.training.data import (
    BATCHES_AT_ONCE,
    Batch,
    BatchSource,
    Position,
    ReadAhead,
    corpus_hash,
    planned_words,
)
from fastw2v.training.early_stopping import HeldOutWatch, new_holdout
from fastw2v.training.monitor import Monitor, check_weights
from fastw2v.training.reporting import Callback, Reporter
from fastw2v.training.resume import EPOCHS_BEFORE, Start, best_checkpoint, last_good, start_from
from fastw2v.training.schedule import MAX_ROLLBACKS, LearningRate
from fastw2v.vectors.model import Model

if TYPE_CHECKING:
    from fastw2v.store.format import TokenStore


class StopRequest:
    """Which signal asked to stop, None while none has."""

    signal_number: int | None = None

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, the shell's convention."""
        return 128 + (self.signal_number or 0)


@contextlib.contextmanager
def stop_on_signals(acknowledge: Callable[[], None]) -> Iterator[StopRequest]:
    """Catch the first SIGINT or SIGTERM as a request; a second one acts as usual, at once.

    `acknowledge` is called when the request comes, so that the user sees that it did.
    Outside the main thread signals cannot be caught, and nothing changes.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def remember(number: int, frame: FrameType | None) -> None:
        request.signal_number = number
        restore()
        acknowledge()

    def restore() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    for number in usual:
        signal.signal(number, remember)
    try:
        yield request
    finally:
        restore()


class TrainingRun:
    """Trains `store` into the model directory `path`, from a `Start`.

    Words are counted from the beginning of this corpus, held-out ones left out. The learning rate
    falls over `total_words`: `--epochs` times the corpus, or `--max-words`.
    """

    def __init__(
        self,
        path: Path,
        store: TokenStore,
        config: TrainConfig,
        threads: int,
        start: Start,
        callback: Callback | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.path, self.store, self.config, self.threads = path, store, config, threads
        self.say = say
        self.reporter = Reporter(path, config, callback, say)
        counts = store.vocabulary.counts
        self._keep_thresholds = sampling.keep_thresholds(
            counts, int(counts.sum()), config.subsample or 0.0
        )
        self._noise = sampling.noise_tables(counts, config.ns_exponent)
        self.holdout = new_holdout(store, config, say)
        self._source = BatchSource(store, config, self._keep_thresholds, self.holdout)
        self._fresh, self._notes = start.fresh, start.notes
        self._epochs_before = start.epochs_before
        self.weights, self.words_before = start.weights, start.words_before
        self._watch: HeldOutWatch | None = None
        if self.holdout is not None:
            epoch_words = self._source.num_words
            self._watch = HeldOutWatch(self.holdout, self.weights, config, epoch_words)
        self._resume(start)
        self.saver = Saver(path, self._saved)
        self._saves_told = 0
        self._last_save = time.monotonic()
        self._lap_began = time.perf_counter()
        self._centers_since_save = 0
        self._words_saved = -1
        self._went_back_to: int | None = None
        self._stopped = self._training = False
        self.compile_seconds = 0.0

    def _resume(self, start: Start) -> None:
        """Be where `start` is; its weights are in place."""
        config = self.config
        total_words = planned_words(config, self._source.num_words)
        self.position, self.words_done = start.position, start.words_done
        if self.position.row_group >= max(1, self.store.num_row_groups):
            raise DataError(f"{self.path}: its position lies beyond the corpus; it is damaged")
        self.rate = LearningRate.of(config, total_words, start.schedule)
        self.monitor = Monitor(start.history, self.words_before + self.words_done)
        if self._watch is not None:
            self._watch.resume(start)
        self._next_look = self._place_of_next_look()

    def run(self) -> Model:
        """Train to the end, or to a signal, or until the callback returns False.

        Raises:
            TrainingInterrupted: stopped by a signal; the model was saved.
            DivergenceError: NaN, infinity or exploding norms; the last good save is kept.
            ResourceError: the first save, the last or that of a rollback failed; the save before it
                is whole.
        """
        most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        numba.set_num_threads(min(self.threads, most))
        with stop_on_signals(self._acknowledge) as request, self.saver:
            try:
                while not self._sitting(request):
                    pass
            except DivergenceError:
                self.reporter.draw_loss(self.monitor.history, now=True)
                raise
            self.reporter.draw_loss(self.monitor.history, now=True)
            self._tell("end")
        if request.signal_number is not None and self.words_done < self.rate.end_words:
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

    @property
    def total_words(self) -> int:
        """The most words of the run."""
        return self.rate.total_words

    # --- the loop ---

    def _sitting(self, request: StopRequest) -> bool:
        """Train from the position to the end; False where it diverged and was rolled back."""
        upcoming = ReadAhead(
            self._source.batches(self.position, self.config.epochs),
            # The full softmax takes so long over a batch that the next is always ready.
            BATCHES_AT_ONCE if self.config.negative_sampling else 2,
        )
        try:
            with upcoming as batches:  # from here on: compilation and the first save hide it
                if self._words_saved < 0:
                    self._begin()
                self._train(batches, request)
                self._end()
        except DivergenceError as error:
            if self.config.on_divergence == "stop" or self.rate.rollbacks == MAX_ROLLBACKS:
                raise self._diverged(error) from error
            self._roll_back(error)
            return False
        return True

    def _begin(self) -> None:
        # While kernels are compiled. A run killed as it kept a checkpoint has to keep it now.
        self.saver.save(self._snapshot(self._ended_epoch), wait=False, unchanged=True)
        began = time.perf_counter()
        steps.warm_up(self.config, self.threads)
        if self._watch is not None:
            self._watch.warm_up()
        self.compile_seconds = time.perf_counter() - began
        self.saver.check()  # a disk that does not take the first save is no place to train
        self._after_save()
        self._hear_saver(wait=False)
        self._tell("start")

    def _train(self, batches: Iterable[Batch], request: StopRequest) -> None:
        stepper = steps.new_stepper(self.weights, self._noise, self.config, self.threads)
        self._lap_began, self._training = time.perf_counter(), True
        for batch in batches:
            if self.words_done >= self.rate.end_words:
                return
            if not self._train_batch(batch, stepper, request):
                return
            self._end_batch(batch)
            self._source.reuse(batch)

    def _train_batch(self, batch: Batch, stepper: steps.Stepper, request: StopRequest) -> bool:
        """Train a batch from the position on; False when the run is to stop before its end."""
        while self.position.center < batch.centers:
            if self._stopped or request.signal_number is not None:
                return False
            if self.words_done >= self.rate.end_words:
                return False
            first = self.position.center
            last = self._step_end(batch, first, stepper)
            schedule = self.rate.seen_from(batch.words_before)
            result = stepper.train(batch, first, last, schedule)
            self.monitor.add(*result, self._lap())
            self.words_done = batch.words_before + int(batch.stream.word_positions[last])
            self.position = dataclasses.replace(self.position, center=last)
            self._centers_since_save += last - first
            self._after_step()
        return True

    def _after_step(self) -> None:
        """What is due between two calls of the kernels, in the order that saves rely on."""
        if self.monitor.due:
            self._close_interval()
        if self.words_done >= self._next_look:
            self._look()
        self._hear_saver(wait=False)
        if self._save_due() and self.words_done < self.rate.end_words:  # there `_end` saves
            self._close_interval()
            self._save()

    def _step_end(self, batch: Batch, first: int, stepper: steps.Stepper) -> int:
        """Where the next kernel call ends: a place that depends on the run's position alone
        wherever something follows from it (evaluations, the fall of the learning rate, the end)."""
        centers = stepper.step_centers
        if self.config.save_interval == 0:  # saves follow batches alone
            left = self.config.save_every * self.config.centers_per_batch - self._centers_since_save
            centers = min(centers, max(1, -(-left // stepper.unit)) * stepper.unit)
        place = min(self.rate.end_words, self._next_look) - batch.words_before
        if place < batch.words:
            enough = int(np.searchsorted(batch.stream.word_positions, place))
            # Whole units, counted from the batch's first center.
            enough = max(first + 1, enough)
            centers = min(centers, -(-enough // stepper.unit) * stepper.unit - first)
        return min(first + centers, batch.centers)

    def _lap(self) -> float:
        """Seconds since the last lap: all of the loop's wall-clock, saves excepted."""
        now = time.perf_counter()
        seconds, self._lap_began = now - self._lap_began, now
        return seconds

    def _end_batch(self, batch: Batch) -> None:
        self.words_done = batch.words_before + batch.words
        if batch.row_group + 1 < self.store.num_row_groups:
            self.position = Position(batch.epoch, batch.row_group + 1, 0)
            return
        self.position = Position(batch.epoch + 1, 0, 0)
        self._close_interval()
        # At the end of the run `_end` saves, after the last evaluation.
        if self._ended_epoch is not None and self.words_done < self.rate.end_words:
            self._save(epoch=self._ended_epoch)
        self._tell("epoch", batch.epoch + 1)

    @property
    def _ended_epoch(self) -> int | None:
        """The epoch, from 1 over all corpora, whose checkpoint the position is the place of."""
        position, every = self.position, self.config.checkpoint_epochs
        if position.row_group or position.center or not position.epoch or not every:
            return None
        return None if position.epoch % every else self._epochs_before + position.epoch

    def _end(self) -> None:
        """The last row, the last evaluation and the last save."""
        self._training = False
        self._close_interval()
        watch = self._watch
        if watch is not None and self.words_done >= self.rate.end_words:
            if self.words_done != watch.evaluated_at:
                self._evaluate(watch)
            if self.config.negative_sampling:
                counts = self.store.vocabulary.counts
                self.monitor.note(holdout_softmax=watch.exact_softmax(counts, self.words_done))
        self._hear_saver(wait=True)
        if self.words_done != self._words_saved or self.words_done >= self.rate.end_words:
            self._save(wait=True, epoch=self._ended_epoch)
        if watch is not None and self.config.patience is not None and watch.best.words:
            kept = best_checkpoint(self.path, watch.best.words)
            self.say(
                f"least held-out loss {watch.best.loss:.4f} after {watch.best.words:,} words: "
                + (str(kept) if kept else "it was not kept")
            )

    # --- looking at the held-out loss ---

    def _place_of_next_look(self) -> int:
        """In words; never, where nothing is held out."""
        if self._watch is None:
            return 1 << 62
        return self._watch.next_place(self.words_done, self.rate)

    def _look(self) -> None:
        """Evaluate; with patience, decide whether the learning rate begins to fall."""
        watch = self._watch
        assert watch is not None
        self._evaluate(watch)
        if self.rate.fall_from is None:
            at_latest = self.words_done >= self.rate.latest_fall(self.config.cooldown)
            if watch.stalled or at_latest:
                self._begin_fall(watch.stalled)
        self._next_look = self._place_of_next_look()
        # After the decision, which a run that goes on does not make again; at the end `_end` saves.
        if watch.is_best(self.words_done) and self.words_done < self.rate.end_words:
            self._save()

    def _evaluate(self, watch: HeldOutWatch) -> None:
        self._close_interval()
        self.monitor.note(**watch.evaluate(self.words_done))
        self._lap_began = time.perf_counter()
        self._stopped |= self._tell("evaluation") is False

    def _begin_fall(self, stalled: bool) -> None:
        self.rate = self.rate.falling_from(self.words_done, self.config.cooldown)
        self.monitor.note_event("cooldown")
        why = (
            "the held-out loss gained no more than its noise since "
            f"{self.config.patience} evaluation{'s' * (self.config.patience != 1)} before"
            if stalled
            else "the last words of --epochs or --max-words begin"
        )
        self.say(
            f"after {self.words_done:,} words {why}: the learning rate falls from "
            f"{self.rate.start:.3g} to {self.config.min_alpha:.3g} over the last "
            f"{self.rate.end_words - self.words_done:,} words"
        )
        self._tell("cooldown")

    # --- saving ---

    def _save_due(self) -> bool:
        batches = self._centers_since_save / self.config.centers_per_batch
        if batches < self.config.save_every or self.config.save_interval == 0:
            return batches >= self.config.save_every
        if self.saver.busy:
            return False
        seconds = time.monotonic() - self._last_save
        return seconds >= max(self.config.save_interval, self.saver.pause)

    def _save(self, *, wait: bool = False, epoch: int | None = None) -> None:
        """Save; where training goes on (not `wait`), a disk that is full is told and no end."""
        self._hear_saver(wait=True)
        try:
            self.saver.save(self._snapshot(epoch), wait=wait)
        except ResourceError as error:
            if wait:
                raise
            self._not_saved(error)
        self._after_save()
        if wait:
            self._hear_saver(wait=True)

    def _after_save(self) -> None:
        self._fresh = False
        self._last_save, self._centers_since_save = time.monotonic(), 0
        self._lap_began = time.perf_counter()

    def _hear_saver(self, *, wait: bool) -> None:
        """Tell of saves that were written, and of those that were not.

        Raises:
            DivergenceError: what was to be saved had left the finite numbers.
        """
        try:
            self.saver.check() if wait else self.saver.raise_error()
        except ResourceError as error:
            self._not_saved(error)
        while self._saves_told < self.saver.cost.saves:
            self._saves_told += 1
            self._tell("save")

    def _not_saved(self, error: ResourceError) -> None:
        self.say(f"warning: not saved: {error}; training goes on, and the next save is due as ever")

    def _snapshot(self, epoch: int | None) -> checkpoint.Snapshot:
        watch = self._watch
        return checkpoint.Snapshot(
            self.weights,
            self.config.vector_dim,
            self.store.vocabulary,
            self.config.to_json(),
            self._state(),
            self.monitor.history,
            self.store.phrases,
            {} if watch is None else watch.arrays(),
            self._fresh,
            epoch,
            watch is not None and watch.is_best(self.words_done),
            self.config.keep_checkpoints,
        )

    def _state(self) -> dict[str, Any]:
        watch = self._watch
        return {
            **self._notes,
            "vocabulary_hash": self.store.vocabulary.hash,
            "corpus_hash": corpus_hash(self.store),
            NOTE_KEY: corpus_note(self.store.manifest),
            "position": dataclasses.asdict(self.position),
            "words_done": self.words_done,
            "words_before": self.words_before,
            EPOCHS_BEFORE: self._epochs_before,
            "corpus_words": self._source.num_words,
            "total_words": self.rate.total_words,
            "finished": self.words_done >= self.rate.end_words,
            "training_seconds": round(self.monitor.seconds, 3),
            "alpha": self.rate.at(self.words_done),
            "schedule": self.rate.as_json(),
            "best": {} if watch is None else watch.best.as_json(),
            "holdout": {} if self.holdout is None else self.holdout.describe(),
            "save_cost": dataclasses.asdict(self.saver.cost),
            "holdout_seconds": 0.0 if watch is None else watch.seconds,
        }

    def _saved(self, snapshot: checkpoint.Snapshot) -> None:
        """In the saver's thread."""
        self._words_saved = snapshot.state["words_done"]
        if self._training:  # at the end the curve is drawn when all is saved
            self.reporter.draw_loss(snapshot.history, now=False)

    # --- divergence ---

    def _roll_back(self, error: DivergenceError) -> None:
        """Go back to the last good save, with half the learning rate."""
        with contextlib.suppress(DivergenceError):
            self._hear_saver(wait=True)
        generation = last_good(self.path, corpus_hash(self.store), self._went_back_to)
        if generation is None:  # only a save of an earlier corpus is left
            raise self._diverged(error) from error
        start = start_from(generation, len(self.store.vocabulary), self.config)
        for matrix, saved in zip(self.weights, start.weights, strict=True):
            np.copyto(matrix, saved)
        start = dataclasses.replace(start, schedule=self._schedule_at(start.words_done))
        diverged_at, self._went_back_to = self.words_done, start.words_done
        rollbacks = self.rate.rollbacks + 1
        self._resume(start)
        self.rate = dataclasses.replace(self.rate, rollbacks=rollbacks)
        self.monitor.note_event("rollback")
        self.say(
            f"warning: training diverged after {diverged_at:,} words ({error}); back to the save "
            f"after {self.words_done:,} words, at half the learning rate, "
            f"{self.rate.at(self.words_done):.3g} (time {rollbacks} of {MAX_ROLLBACKS} at most)"
        )
        self._tell("rollback")
        try:
            self._save(wait=True)
        except DivergenceError as again:
            raise self._diverged(again) from again

    def _schedule_at(self, words: int) -> dict[str, Any]:
        """That of this run, as it was after `words` words: an older checkpoint may be of a run that
        had another end, or no patience."""
        begun = self.rate.fall_from is not None and self.rate.fall_from <= words
        return self.rate.as_json() if begun else {"fall_from": None, "fall_words": 0}

    def _diverged(self, error: DivergenceError) -> DivergenceError:
        assert self.config.alpha is not None
        # The rate at which the interval began: where in it the loss broke is not known.
        began = self.monitor.history[-1]["words"] if self.monitor.history else 0
        alpha = self.rate.at(max(0, began - self.words_before))
        smaller = min(self.rate.start / 4, DEFAULT_ALPHAS[self.config.type])
        rolled_back = f", also after {self.rate.rollbacks} rollbacks" if self.rate.rollbacks else ""
        again = f"start again with --overwrite-model and a smaller --alpha ({smaller:.2g}, say)"
        if self._words_saved > 0:
            kept = f"the save after {self._words_saved:,} words is kept"
        elif self.words_before:
            kept = "the model is kept as it was before this corpus"
            again = f"give the same command with a smaller --alpha ({smaller:.2g}, say)"
        else:
            kept = "nothing was learned before it (the save is the untrained start)"
        return DivergenceError(
            f"training diverged in epoch {self._epoch} at learning rate {alpha:.3g}{rolled_back}: "
            f"{error}; {kept}; {again}"
        )

    # --- telling ---

    def _close_interval(self) -> None:
        """End the running interval of the history, if it has anything; ask the callback."""
        # The row of a position at an epoch's start belongs to the epoch that just ended.
        at_start = self.position.row_group == self.position.center == 0
        epoch = max(1, self.position.epoch if at_start else self.position.epoch + 1)
        words, alpha = self.words_before + self.words_done, self.rate.at(self.words_done)
        if self.monitor.close_interval(epoch, words, alpha):
            check_weights(self.weights, all_rows=False)
            self._stopped |= self._tell("interval") is False

    @property
    def _epoch(self) -> int:
        return min(self.position.epoch + 1, self.config.epochs)

    def _tell(self, event: str, epoch: int | None = None) -> object:
        return self.reporter.tell(
            event,
            self.monitor.history,
            epoch=epoch or self._epoch,
            words=self.words_done,
            total_words=self.rate.end_words,
            alpha=self.rate.at(self.words_done),
            seconds=self.monitor.seconds,
        )

    def _acknowledge(self) -> None:
        self.say("warning: stopping and saving at the next step; once more to stop at once")

    def _interrupted(self, request: StopRequest) -> TrainingInterrupted:
        error = TrainingInterrupted(
            f"stopped in epoch {self._epoch} after {self.words_done:,} of {self.rate.end_words:,} "
            f"words; {self.path} is saved: the same command without --overwrite-model goes on"
        )
        error.exit_code = request.exit_code
        return error
