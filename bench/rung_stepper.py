"""`fastw2v.train` on a slower rung: the same batches, schedule and files, another kernel."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastw2v.kernels.hogwild import BlockPlan, Schedule
from fastw2v.kernels.negative_sampling import Weights
from fastw2v.kernels.streams import Noise
from fastw2v.training import steppers as steps
from fastw2v.training.config import TrainConfig
from fastw2v.training.data import Batch

_STEP_CENTERS = 1 << 16


class RungStepper:
    """A `steps.Stepper` whose kernel is a rung: negative sampling without blocks."""

    unit = 1
    step_centers = _STEP_CENTERS

    def __init__(
        self, rung: Any, weights: Weights, noise: Noise, config: TrainConfig, threads: int
    ) -> None:
        self._rung, self._weights, self._noise = rung, weights, noise
        self._config, self._threads = config, threads
        self._settings = steps._settings(config)

    def train(self, batch: Batch, first: int, last: int, schedule: Schedule) -> steps.StepResult:
        """See `steps.Stepper`."""
        config = self._config
        plan = BlockPlan(first, last, 1, 1, np.uint64(batch.key))
        sums = self._rung(
            self._weights, batch.stream, self._noise, self._settings, schedule, plan,
            config.skip_gram, self._threads,
        )  # fmt: skip
        return steps.StepResult(float(sums[:, 0].sum()), float(sums[:, 1].sum()))


@contextlib.contextmanager
def in_place_of_blocks(rung: Callable[..., Any]) -> Iterator[None]:
    """Within the block, `fastw2v.train` trains the `_neg` types with this rung."""
    before = steps.new_stepper

    def new_stepper(
        weights: Weights, noise: Noise, config: TrainConfig, threads: int
    ) -> steps.Stepper:
        if not config.negative_sampling:
            return before(weights, noise, config, threads)
        return RungStepper(rung, weights, noise, config, threads)

    steps.new_stepper = new_stepper
    try:
        yield
    finally:
        steps.new_stepper = before
