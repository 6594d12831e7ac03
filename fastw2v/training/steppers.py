"""The four model types behind one face: weights, and training a stretch of a batch."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from fastw2v.kernels.blocks import BlockShape, Objective, Weights, new_block_workspaces
from fastw2v.kernels.deterministic import new_round_workspace, train_in_rounds
from fastw2v.kernels.hogwild import (
    BlockJob,
    BlockPlan,
    Schedule,
    learning_rate,
    train_negative_sampling,
)
from fastw2v.kernels.llvm.simd import ROW_FLOATS
from fastw2v.kernels.primitives import new_matrix
from fastw2v.kernels.softmax import softmax_batch_update
from fastw2v.kernels.softmax_batch import new_softmax_workspace
from fastw2v.kernels.streams import Noise
from fastw2v.training.config import DEFAULT_ALPHAS, MAX_REPEATS, TrainConfig
from fastw2v.training.data import Batch, make_stream, new_stream_buffer

LOGIT_BYTES = 128 << 20  # logits kept between the passes of the full softmax, at most
SOFTMAX_INIT = 1.0  # initial entries are uniform on ± this / √dim: bench/LOG.md, "Initialization"
_STEP_CENTERS = 1 << 18  # negative sampling: centers a kernel call; 60 ms of work for two cores


class StepResult(NamedTuple):
    """loss_sum: nats; targets: positives (negative sampling) or centers (softmax) it is over."""

    loss_sum: float
    targets: float


class Stepper(Protocol):
    """Trains stretches of batches.

    step_centers: centers that one call should train; a multiple of `unit`.
    unit: a stretch must begin at a multiple of this.
    """

    step_centers: int
    unit: int

    def train(self, batch: Batch, first: int, last: int, schedule: Schedule) -> StepResult:
        """Train the centers first … last − 1 of `batch`; `schedule` counts words from its first."""
        ...


def _checked(weights: Weights) -> Weights:
    """The weights, if kernels may reach their rows by address: tiles read whole vectors.

    Raises:
        ValueError: not matrices as `new_matrix` makes them; kernels would read and write past the
            end of such rows.
    """
    for name, matrix in zip(Weights._fields, weights, strict=True):
        good = matrix.dtype == np.float32 and matrix.ndim == 2 and matrix.shape[1] % ROW_FLOATS == 0
        flags = matrix.flags
        if not (good and flags.c_contiguous and flags.aligned and flags.writeable):
            raise ValueError(
                f"{name}: expected a writable float32 matrix in C order with rows of a multiple of "
                f"{ROW_FLOATS}, not {matrix.dtype} {matrix.shape} with strides {matrix.strides}"
            )
    return weights


def initial_weights(vocabulary_size: int, config: TrainConfig) -> Weights:
    """New weights: word2vec's for negative sampling; see `_softmax_scale` for the full softmax.

    Negative sampling: input U(−½, ½)/dim, output 0 (word2vec.c). Full softmax: both matrices
    uniform on ±`SOFTMAX_INIT`/√dim. Zero output vectors give the input no gradient at first, and
    the loss sits at ln V for hundreds of batches (bench/LOG.md, "Initialization").
    """
    weights = Weights(
        new_matrix(vocabulary_size, config.vector_dim),
        new_matrix(vocabulary_size, config.vector_dim),
    )
    generator = np.random.Generator(np.random.Philox(config.seed))
    if config.negative_sampling:
        bounds = (0.5 / config.vector_dim, 0.0)
    else:
        bounds = (SOFTMAX_INIT / config.vector_dim**0.5,) * 2
    for matrix, bound in zip(weights, bounds, strict=True):
        if bound:
            for row in range(0, vocabulary_size, 4096):
                block = matrix[row : row + 4096, : config.vector_dim]
                block[:] = generator.uniform(-bound, bound, block.shape)
    return weights


def objective_of(config: TrainConfig) -> Objective:
    """The kernels' part of the options."""
    return Objective(
        half_window=config.half_window,
        negatives=config.neg_samples,
        per_pair=config.negatives_per == "pair",
        undivided=config.cbow_gradient == "word2vec",
    )


class _BlockStepper:
    """What the two steppers of negative sampling share."""

    def __init__(
        self, weights: Weights, noise: Noise, config: TrainConfig, threads: int, blocks: int
    ) -> None:
        assert config.block_size is not None
        assert config.pool_size is not None
        self._weights, self._noise, self._config = _checked(weights), noise, config
        self._threads = threads
        self._objective = objective_of(config)
        self._shape = BlockShape(
            config.block_size,
            config.pool_size,
            config.half_window,
            weights.input_vectors.shape[1],
        )
        self.unit = blocks * config.block_size
        self.step_centers = max(1, _STEP_CENTERS // self.unit) * self.unit

    def _job(self, batch: Batch, first: int, last: int, schedule: Schedule) -> BlockJob:
        block_size, pool_size = self._shape[:2]
        return BlockJob(
            weights=self._weights,
            stream=batch.stream,
            noise=self._noise,
            objective=self._objective,
            schedule=schedule,
            plan=BlockPlan(first, last, block_size, pool_size, np.uint64(batch.key)),
            skip_gram=self._config.skip_gram,
        )


class NegativeSamplingStepper(_BlockStepper):
    """sgram_neg and cbow_neg: Hogwild over blocks."""

    def __init__(self, weights: Weights, noise: Noise, config: TrainConfig, threads: int) -> None:
        super().__init__(weights, noise, config, threads, blocks=1)
        self._workspaces = new_block_workspaces(threads, self._shape)

    def train(self, batch: Batch, first: int, last: int, schedule: Schedule) -> StepResult:
        """See `Stepper`."""
        job = self._job(batch, first, last, schedule)
        sums = train_negative_sampling(job, self._threads, self._workspaces)
        return StepResult(float(sums[:, 0].sum()), float(sums[:, 1].sum()))


class DeterministicStepper(_BlockStepper):
    """sgram_neg and cbow_neg in rounds: the same bytes every time, at any number of threads."""

    def __init__(self, weights: Weights, noise: Noise, config: TrainConfig, threads: int) -> None:
        round_size = blocks_per_round(config, noise)
        super().__init__(weights, noise, config, threads, blocks=round_size)
        self._workspace = new_round_workspace(threads, round_size, self._shape)

    def train(self, batch: Batch, first: int, last: int, schedule: Schedule) -> StepResult:
        """See `Stepper`."""
        job = self._job(batch, first, last, schedule)
        sums = train_in_rounds(job, self._threads, self._workspace)
        loss, positives = sums.cumsum(axis=0)[-1]  # one after another, where `sum` pairs them
        return StepResult(float(loss), float(positives))


class SoftmaxStepper:
    """sgram and cbow: one batch a call, all threads together on it."""

    def __init__(
        self, weights: Weights, config: TrainConfig, max_logit_bytes: int = LOGIT_BYTES
    ) -> None:
        self._weights, self._config = _checked(weights), config
        self._objective = objective_of(config)
        self.unit = self.step_centers = config.centers_per_batch
        vocabulary_size, dim = weights.output_vectors.shape
        self._workspace = new_softmax_workspace(
            vocabulary_size, dim, config.centers_per_batch, config.half_window, max_logit_bytes
        )

    def train(self, batch: Batch, first: int, last: int, schedule: Schedule) -> StepResult:
        """See `Stepper`."""
        loss_sum, centers = 0.0, 0
        for start in range(first, last, self.unit):
            alpha = np.float32(learning_rate(schedule, batch.stream.word_positions[start]))
            loss, found = softmax_batch_update(
                self._weights,
                batch.stream,
                start,
                min(self.unit, last - start),
                self._objective,
                self._config.skip_gram,
                alpha,
                self._workspace,
            )
            loss_sum += loss
            centers += found
        return StepResult(loss_sum, float(centers))


def new_stepper(weights: Weights, noise: Noise, config: TrainConfig, threads: int) -> Stepper:
    """The stepper of the config's type."""
    if config.negative_sampling:
        kind = DeterministicStepper if config.deterministic else NegativeSamplingStepper
        return kind(weights, noise, config, threads)
    return SoftmaxStepper(weights, config)


def warm_up(config: TrainConfig, threads: int) -> None:
    """Compile the kernels of this type (or load them from the cache) on a toy batch."""
    rows = 4
    weights = Weights(new_matrix(rows, 16), new_matrix(rows, 16))
    noise = Noise(np.zeros(rows, np.uint32), np.zeros(rows, np.int32))
    everything = np.full(rows, 1 << 32, np.uint64)
    ids, offsets, key = np.zeros(2, np.int32), np.array([0, 2]), np.uint64(1)
    buffer = new_stream_buffer(len(ids))
    stream = make_stream(ids, offsets, key, everything, config, buffer)
    batch = Batch(0, 0, key, stream, 0, buffer)
    new_stepper(weights, noise, config, threads).train(batch, 0, 2, Schedule(0.0, 0.0, 1.0, 0.0))


# --- the rounds of --deterministic ---
#
# All terms of a round have the gradients of its first weights, so that a word which comes again and
# again in it is pushed as often in the same direction. As with blocks (`TrainConfig.with_blocks`),
# too many such pushes overshoot: rounds are shorter, the more the pushes of the most frequent word
# (learning rate x terms that it is in) sum to. The limits are measured: bench/LOG.md.

# Numbers of blocks that a few threads can share out; a word's pushes in a round, and at which rate:
# at a higher one rows grow longer, and bear fewer.
_SIZES = (16, 12, 8, 6, 4, 3, 2, 1)
_MAX_CENTERS = 1024
_MAX_PUSH = 10.0
_UNDIVIDED_ALPHA = 0.05  # what CBOW with word2vec.c's gradient is trained with


def max_blocks_per_round(config: TrainConfig) -> int:
    """`blocks_per_round` is no larger."""
    assert config.block_size is not None
    return max(1, min(_SIZES[0], _MAX_CENTERS // config.block_size))


def blocks_per_round(config: TrainConfig, noise: Noise) -> int:
    """Blocks of a round; it depends on options and word counts alone.

    Args:
        config: with its blocks chosen.
        noise: what it draws from.
    """
    assert config.alpha is not None
    assert config.block_size is not None
    usual = DEFAULT_ALPHAS[config.type]
    if not config.skip_gram and config.cbow_gradient == "word2vec":
        usual = _UNDIVIDED_ALPHA
    most = _MAX_PUSH * min(1.0, usual / config.alpha)
    push = config.alpha * config.block_size * _terms_of_top_word(config, noise)
    return next(
        size for size in _SIZES if size <= max(1.0, min(most / push, max_blocks_per_round(config)))
    )


def _terms_of_top_word(config: TrainConfig, noise: Noise) -> float:
    """Terms a center, on average, that move one row of the most frequent word, weighted."""
    drawn, kept = _top_shares(config, noise)
    contexts = config.half_window * (1 if config.window_sampling == "dynamic" else 2)
    contexts += config.window_sampling == "dynamic"
    negatives = config.neg_samples
    if not config.skip_gram:
        divided = 1 if config.cbow_gradient == "mean" else contexts
        return max(negatives * drawn + kept, (negatives + 1) * kept * divided)
    if config.negatives_per == "pair":
        negatives *= contexts
    return max(negatives * drawn + contexts * kept, (negatives + contexts) * kept)


def _top_shares(config: TrainConfig, noise: Noise) -> tuple[float, float]:
    """Shares of the most frequent word: in the draws, and in the kept tokens.

    Word counts follow from what is drawn, in proportion to count ** exponent.
    """
    words = len(noise.thresholds)
    own = noise.thresholds / 2.0**32
    drawn = (own + np.bincount(noise.aliases, 1.0 - own, words)) / words
    if config.ns_exponent == 0:  # they do not: what blocks are made for, at most
        assert config.block_size is not None
        return float(drawn.max()), min(1.0, MAX_REPEATS / config.block_size) ** 0.5
    logs = np.log(np.maximum(drawn, 2.0**-32 / words)) / config.ns_exponent
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    if config.subsample:
        ratio = config.subsample / shares
        shares *= np.minimum(1.0, np.sqrt(ratio) + ratio)
        shares /= shares.sum()
    return float(drawn.max()), float(shares.max())
