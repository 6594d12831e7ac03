"""The training loop: the only place where batches meet kernels. Between two kernel calls comes what
is due: a row of the history, an evaluation, the decay of the learning rate, a save.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numba
import numpy as np

from fastw2v.errors import DataError, DivergenceError, ResourceError, TrainingInterrupted
from fastw2v.training import checkpoint, resume
from fastw2v.training import steppers as steps
from fastw2v.training.checkpoint import Saver
from fastw2v.training.config import TrainConfig
from fastw2v.training.corpus import corpus_state
from fastw2v.training.data import (
    BATCHES_AT_ONCE,
    Batch,
    BatchSource,
    Position,
    ReadAhead,
    corpus_hash,
    keep_thresholds,
    noise_tables,
    planned_words,
)
from fastw2v.training.evaluation import Validation, choose_holdout
from fastw2v.training.reporting import (
    Callback,
    History,
    LossCurve,
    Progress,
    Reporter,
    check_weights,
)
from fastw2v.training.resume import Start
from fastw2v.training.schedule import MAX_ROLLBACKS, LearningRate
from fastw2v.training.signals import StopRequest, stop_on_signals
from fastw2v.vectors.model import Model

if TYPE_CHECKING:
    from fastw2v.store.format import TokenStore


class TrainingRun:
    """Trains `store` into the model directory `path`, from a `Start`.

    Words are counted from the beginning of this corpus, held-out ones left out. The learning rate
    decays over `rate.total_words`: `epochs` times the corpus, or `max_words`.
    """

    def __init__(
        self,
        path: Path,
        store: TokenStore,
        config: TrainConfig,
        threads: int,
        start: Start,
        reporter: Reporter,
        callback: Callback | None = None,
    ) -> None:
        self.path, self.store, self.config, self.threads = path, store, config, threads
        self.reporter, self._callback = reporter, callback
        self._curve = LossCurve(path, config, reporter)
        counts = store.vocabulary.counts
        keep = keep_thresholds(counts, int(counts.sum()), config.subsample or 0.0)
        self._noise = noise_tables(counts, config.ns_exponent)
        holdout = choose_holdout(store, config, reporter)
        self._source = BatchSource(store, config, keep, holdout)
        self.weights, self._fresh = start.weights, start.fresh
        self.words_before, self._epochs_before = start.words_before, start.epochs_before
        self._constant_state = {
            **start.constant_state(),
            **corpus_state(store),
            "corpus_words": self._source.num_words,
        }
        self.validation = Validation(holdout, self.weights, config, self._source.num_words)
        self._continue_from(start)
        self.saver = Saver(path, self._saved)
        self._saves_reported = 0
        self._last_save = time.monotonic()
        self._lap_began = time.perf_counter()
        self._centers_since_save = 0
        self._words_saved = -1
        self._went_back_to: int | None = None
        self._training = False
        self._stop = StopRequest()
        self.compile_seconds = 0.0

    def _continue_from(self, start: Start) -> None:
        """Be where `start` is; its weights are in place."""
        self.position, self.words_done = start.position, start.words_done
        if self.position.row_group >= max(1, self.store.num_row_groups):
            raise DataError(f"{self.path}: its position is beyond the corpus; it is damaged")
        total_words = planned_words(self.config, self._source.num_words)
        self.rate = LearningRate.of(self.config, total_words, start.schedule)
        self.history = History(start.history, self.words_before + self.words_done)
        self.validation.resume(start.best, start.holdout_losses, start.patience_losses)
        self._next_evaluation = self.validation.next_place(self.words_done, self.rate)

    def run(self) -> Model:
        """Train to the end, or until a signal or the callback asks to stop.

        Raises:
            TrainingInterrupted: stopped by a signal; the model was saved.
            DivergenceError: NaN, infinity or exploding norms; the last good save is kept.
            ResourceError: the first save, the last or that of a rollback failed; the save before it
                is whole.
        """
        most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        numba.set_num_threads(min(self.threads, most))
        with stop_on_signals(self._acknowledge) as self._stop, self.saver:
            try:
                while not self._train_or_roll_back():
                    pass
            except DivergenceError:
                self._curve.draw(self.history.rows, now=True)
                raise
            self._curve.draw(self.history.rows, now=True)
            self._report("end")
        if self._stop.signal_number is not None and self.words_done < self.rate.end_words:
            error = TrainingInterrupted(
                f"stopped in epoch {self._epoch} after {self.words_done:,} of "
                f"{self.rate.end_words:,} words; {self.path} is saved: the same call without "
                "`overwrite_model` resumes it"
            )
            error.exit_code = self._stop.exit_code
            raise error
        return self.model()

    def model(self) -> Model:
        """The model as it is now."""
        dim = self.config.vector_dim
        return Model(
            self.path,
            self.config.to_json(),
            self.store.vocabulary,
            self.weights.input_vectors[:, :dim],
            self.weights.output_vectors[:, :dim],
            self.history.rows,
            self.words_done,
            self.history.seconds,
            self.compile_seconds,
            self.store.phrases,
        )

    # --- the loop ---

    def _train_or_roll_back(self) -> bool:
        """Train from the position to the end; False where it diverged and was rolled back."""
        upcoming = ReadAhead(
            self._source.batches(self.position, self.config.epochs),
            # The full softmax takes so long over a batch that the next is always ready.
            BATCHES_AT_ONCE if self.config.negative_sampling else 2,
        )
        try:
            with upcoming as batches:  # read while kernels are compiled and the first save is made
                if self._words_saved < 0:
                    self._begin()
                self._train(batches)
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
        self.validation.warm_up()
        self.compile_seconds = time.perf_counter() - began
        self.saver.check()  # a disk that does not take the first save is no place to train
        self._after_save()
        self._check_saver(wait=False)
        self._report("start")

    def _train(self, batches: Iterable[Batch]) -> None:
        stepper = steps.new_stepper(self.weights, self._noise, self.config, self.threads)
        self._lap_began, self._training = time.perf_counter(), True
        for batch in batches:
            if not self._train_batch(batch, stepper):
                return
            self._end_batch(batch)
            self._source.reuse(batch)

    def _train_batch(self, batch: Batch, stepper: steps.Stepper) -> bool:
        """Train a batch from the position on; False when the run is to stop before its end."""
        if self.words_done >= self.rate.end_words:
            return False
        while self.position.center < batch.centers:
            if self._stop.requested or self.words_done >= self.rate.end_words:
                return False
            first = self.position.center
            last = self._step_end(batch, first, stepper)
            result = stepper.train(batch, first, last, self.rate.seen_from(batch.words_before))
            self.history.add(*result, self._lap())
            self.words_done = batch.words_before + int(batch.stream.word_positions[last])
            self.position = dataclasses.replace(self.position, center=last)
            self._centers_since_save += last - first
            self._after_step()
        return True

    def _after_step(self) -> None:
        """What is due between two calls of the kernels, in the order that saves rely on."""
        if self.history.due:
            self._close_interval()
        if self.words_done >= self._next_evaluation:
            self._evaluate()
            self._after_evaluation()
        self._check_saver(wait=False)
        if self._save_due() and self.words_done < self.rate.end_words:  # there `_end` saves
            self._close_interval()
            self._save()

    def _step_end(self, batch: Batch, first: int, stepper: steps.Stepper) -> int:
        """Where the next kernel call ends: a place that depends on the run's position alone if
        something follows from it (an evaluation, the decay of the learning rate, the end)."""
        centers = stepper.step_centers
        if self.config.save_interval == 0:  # saves follow batches alone
            left = self.config.save_every * self.config.centers_per_batch - self._centers_since_save
            centers = min(centers, max(1, -(-left // stepper.unit)) * stepper.unit)
        place = min(self.rate.end_words, self._next_evaluation) - batch.words_before
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
        self._report("epoch", batch.epoch + 1)

    @property
    def _epoch(self) -> int:
        return min(self.position.epoch + 1, self.config.epochs)

    @property
    def _ended_epoch(self) -> int | None:
        """The epoch, from 1 over all corpora, whose checkpoint belongs at the position."""
        position, every = self.position, self.config.checkpoint_epochs
        if position.row_group or position.center or not position.epoch or not every:
            return None
        return None if position.epoch % every else self._epochs_before + position.epoch

    def _end(self) -> None:
        """The last row, the last evaluation and the last save."""
        self._training = False
        self._close_interval()
        validation = self.validation
        if validation.holdout is not None and self.words_done >= self.rate.end_words:
            if self.words_done != validation.evaluated_at:
                self._evaluate()
            if self.config.negative_sampling:
                counts = self.store.vocabulary.counts
                exact = validation.exact_softmax(counts, self.words_done)
                self.history.note(holdout_softmax=exact)
        self._check_saver(wait=True)
        if self.words_done != self._words_saved or self.words_done >= self.rate.end_words:
            self._save(wait=True, epoch=self._ended_epoch)
        if self.config.patience is not None and validation.best.words:
            kept = resume.best_checkpoint(self.path, validation.best.words)
            self.reporter.info(
                f"lowest held-out loss {validation.best.loss:.4f} after "
                f"{validation.best.words:,} words: {kept or 'its save failed'}"
            )

    def _evaluate(self) -> None:
        """Measure the held-out loss."""
        self._close_interval()
        self.history.note(**self.validation.evaluate(self.words_done))
        self._lap_began = time.perf_counter()
        self._report("evaluation")

    def _after_evaluation(self) -> None:
        """With early stopping, begin the decay where it is time; keep the best."""
        if self.rate.decay_from is None:
            at_latest = self.words_done >= self.rate.latest_decay(self.config.cooldown)
            if self.validation.stalled or at_latest:
                self._begin_decay()
        self._next_evaluation = self.validation.next_place(self.words_done, self.rate)
        # After the decision, which a resumed run does not make again; at the end `_end` saves.
        if self.validation.is_best(self.words_done) and self.words_done < self.rate.end_words:
            self._save()

    def _begin_decay(self) -> None:
        self.rate = self.rate.decaying_from(self.words_done, self.config.cooldown)
        self.history.note_event("cooldown")
        why = "the last words of `epochs` or `max_words` begin"
        if self.validation.stalled:
            why = (
                "the held-out loss improved by no more than its noise over the last "
                f"{self.config.patience} evaluation{'s' * (self.config.patience != 1)}"
            )
        self.reporter.info(
            f"after {self.words_done:,} words {why}: the learning rate decays, {self.rate.course()}"
        )
        self._report("cooldown")

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
        """Save; while training continues (not `wait`), a full disk is a warning, not the end."""
        self._check_saver(wait=True)
        try:
            self.saver.save(self._snapshot(epoch), wait=wait)
        except ResourceError as error:
            if wait:
                raise
            self._warn_not_saved(error)
        self._after_save()
        if wait:
            self._check_saver(wait=True)

    def _after_save(self) -> None:
        self._fresh = False
        self._last_save, self._centers_since_save = time.monotonic(), 0
        self._lap_began = time.perf_counter()

    def _check_saver(self, *, wait: bool) -> None:
        """Report saves that were written, and those that were not.

        Raises:
            DivergenceError: the weights of a save were not finite.
        """
        try:
            self.saver.check() if wait else self.saver.raise_error()
        except ResourceError as error:
            self._warn_not_saved(error)
        while self._saves_reported < self.saver.cost.saves:
            self._saves_reported += 1
            self._report("save")

    def _warn_not_saved(self, error: ResourceError) -> None:
        self.reporter.warning(f"not saved: {error}; training continues until the next save is due")

    def _snapshot(self, epoch: int | None) -> checkpoint.Snapshot:
        state = {
            **self._constant_state,
            **self.rate.state(self.words_done),
            **self.validation.state(),
            "position": dataclasses.asdict(self.position),
            "words_done": self.words_done,
            "training_seconds": round(self.history.seconds, 3),
            "save_cost": dataclasses.asdict(self.saver.cost),
        }
        return checkpoint.Snapshot(
            self.weights,
            self.config.vector_dim,
            self.store.vocabulary,
            self.config.to_json(),
            state,
            self.history.rows,
            self.store.phrases,
            self.validation.arrays(),
            fresh=self._fresh,
            epoch=epoch,
            best=self.validation.is_best(self.words_done),
            keep_checkpoints=self.config.keep_checkpoints,
        )

    def _saved(self, snapshot: checkpoint.Snapshot) -> None:
        """In the saver's thread."""
        self._words_saved = snapshot.state["words_done"]
        if self._training:  # at the end the curve is drawn when all is saved
            self._curve.draw(snapshot.history, now=False)

    # --- divergence ---

    def _roll_back(self, error: DivergenceError) -> None:
        """Go back to the last good save, with half the learning rate."""
        with contextlib.suppress(DivergenceError):
            self._check_saver(wait=True)
        saved = resume.last_good(self.path, corpus_hash(self.store), self._went_back_to)
        if saved is None:  # only a save of an earlier corpus is left
            raise self._diverged(error) from error
        start = resume.roll_back(saved, len(self.store.vocabulary), self.config, self.rate)
        for matrix, values in zip(self.weights, start.weights, strict=True):
            np.copyto(matrix, values)
        diverged_at, self._went_back_to = self.words_done, start.words_done
        self._continue_from(start)
        self.history.note_event("rollback")
        self.reporter.warning(
            f"training diverged after {diverged_at:,} words ({error}); back to the save after "
            f"{self.words_done:,} words, at half the learning rate, "
            f"{self.rate.at(self.words_done):.3g} (rollback {self.rate.rollbacks} of "
            f"{MAX_ROLLBACKS})"
        )
        self._report("rollback")
        try:
            self._save(wait=True)
        except DivergenceError as again:
            raise self._diverged(again) from again

    def _diverged(self, error: DivergenceError) -> DivergenceError:
        # The rate at which the interval began: where in it the loss broke is not known.
        rows = self.history.rows
        began = max(0, (rows[-1]["words"] if rows else 0) - self.words_before)
        return resume.divergence(
            error,
            self.config,
            self.rate,
            epoch=self._epoch,
            alpha=self.rate.at(began),
            words_saved=self._words_saved,
            words_before=self.words_before,
        )

    # --- reporting ---

    def _close_interval(self) -> None:
        """End the running interval of the history, if it has any words."""
        # The row of a position at an epoch's start belongs to the epoch that just ended.
        at_start = self.position.row_group == self.position.center == 0
        epoch = max(1, self.position.epoch if at_start else self.position.epoch + 1)
        words, alpha = self.words_before + self.words_done, self.rate.at(self.words_done)
        if self.history.close_interval(epoch, words, alpha):
            check_weights(self.weights, all_rows=False)
            self._report("interval")

    def _report(self, event: str, epoch: int | None = None) -> None:
        """Pass an event to the caller, who may ask to stop."""
        progress: Progress = self.history.progress(
            event,
            epoch=epoch or self._epoch,
            epochs=self.config.epochs,
            words=self.words_done,
            total_words=self.rate.end_words,
            alpha=self.rate.at(self.words_done),
        )
        if self._callback is None:
            self.reporter.training(progress)
        elif self._callback(progress) is False:
            self._stop.requested = True

    def _acknowledge(self) -> None:
        self.reporter.warning("stopping and saving at the next step; once more to stop at once")
