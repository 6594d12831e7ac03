"""What a run will use of the machine, compared with what the machine has, before it starts:
memory, disk, and for the full softmax whether it is a matter of hours."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from fastw2v.errors import ResourceError
from fastw2v.io.machine import available_memory, free_disk, readable_bytes, resident_memory
from fastw2v.kernels.blocks import BlockShape, block_workspace_bytes
from fastw2v.kernels.deterministic import round_workspace_bytes
from fastw2v.kernels.primitives import padded_dim
from fastw2v.kernels.softmax_batch import softmax_workspace_bytes
from fastw2v.training.checkpoint import SHARE_OF_MEMORY
from fastw2v.training.config import TrainConfig
from fastw2v.training.data import BATCHES_AT_ONCE
from fastw2v.training.evaluation import evaluation_bytes
from fastw2v.training.steppers import LOGIT_BYTES, max_blocks_per_round

# Measured: bench/speed/estimates.py.
_BASE = 285_000_000  # Python and the libraries, that of the loss curve too, kernels compiled
_BYTES_PER_TOKEN = 200  # a vocabulary entry: string, dict entry, count, tables
_BYTES_PER_STREAM_TOKEN = 24  # of a row group: what is kept of it lies in memory as a stream,
_KEPT = 0.6  # as much of it where words are subsampled, usually;
_BYTES_PER_READ_TOKEN = 16  # and a row group that is being read
_GENERATIONS = 3  # the last two saves, and the one that is being written
_CORE_FLOPS = 6e10  # of one core, per second, roughly
# The full softmax reaches more on any core of the last ten years, so that a run takes less.
_SLOW_CORE_FLOPS = 2e10
_LONG_RUN = 3600.0  # seconds


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Bytes that a run needs.

    matrices: the two weight matrices; base: the process before it has anything; buffers: all else
    in memory, the copy of the matrices for saves apart, which is made where there is room for it.
    disk: the model directory at its largest.
    """

    matrices: int
    buffers: int
    disk: int
    base: int = 0

    @property
    def memory(self) -> int:
        """Without that copy."""
        return self.base + self.matrices + self.buffers


def estimate(
    config: TrainConfig,
    vocabulary_size: int,
    row_group_tokens: int,
    threads: int,
    epoch_words: int,
) -> Estimate:
    """Estimate a run over `epoch_words` words in row groups of at most `row_group_tokens`."""
    row = 4 * padded_dim(config.vector_dim)
    buffers = vocabulary_size * _BYTES_PER_TOKEN
    streams = BATCHES_AT_ONCE if config.negative_sampling else 2
    stream_bytes = (
        round((streams + 1) * _kept(config) * _BYTES_PER_STREAM_TOKEN) + _BYTES_PER_READ_TOKEN
    )
    buffers += row_group_tokens * stream_bytes
    buffers += _kernel_bytes(config, vocabulary_size, threads)
    if config.holdout:
        buffers += evaluation_bytes(config, vocabulary_size, threads)
    saved = 2 * vocabulary_size * config.vector_dim * 4 + vocabulary_size * 16
    disk = saved * _max_saves(config, vocabulary_size, threads, epoch_words)
    return Estimate(2 * vocabulary_size * row, buffers, disk, _BASE)


def _kept(config: TrainConfig) -> float:
    return _KEPT if config.subsample else 1.0


def _kernel_bytes(config: TrainConfig, vocabulary_size: int, threads: int) -> int:
    """What the kernels write besides the weights."""
    columns, half_window = padded_dim(config.vector_dim), config.half_window
    if config.negative_sampling:
        assert config.block_size is not None
        assert config.pool_size is not None
        shape = BlockShape(config.block_size, config.pool_size, half_window, columns)
        if config.deterministic:
            return round_workspace_bytes(threads, max_blocks_per_round(config), shape)
        return threads * block_workspace_bytes(shape)
    batch_size = config.centers_per_batch
    return softmax_workspace_bytes(
        vocabulary_size, columns, batch_size, half_window, threads, LOGIT_BYTES
    )


def _max_saves(config: TrainConfig, vocabulary_size: int, threads: int, epoch_words: int) -> int:
    """The most saves that are on the disk at once, checkpoints included.

    The last two generations stay beside the one that is being written. A checkpoint shares its
    files with the save that it was made of: all of them do if an epoch takes less than
    `save_interval`, as nothing is saved between two checkpoints then.
    """
    every, made = config.checkpoint_epochs, 0
    if every:
        words = min(config.epochs * epoch_words, config.max_words or math.inf)
        made = int(words / epoch_words) // every
    kept = min(config.keep_checkpoints or made, made)
    rows = config.pool_size if config.negative_sampling else vocabulary_size
    assert rows is not None
    flops = 6.0 * config.vector_dim * rows * every * epoch_words * _kept(config)
    if config.patience is None and flops / (threads * _CORE_FLOPS) < config.save_interval:
        # A held-out loss measured at the end is a reason to save once more.
        return max(_GENERATIONS, 1 + min(kept, made if config.holdout else made - 1))
    at_the_end = made > 0 and config.epochs % every == 0
    return _GENERATIONS + min(kept, made - at_the_end) + (config.patience is not None)


def check_resources(need: Estimate, model: Path) -> str:
    """One line that says what the run will use of what there is.

    Raises:
        ResourceError: it cannot fit; names the option that would help.
    """
    memory, disk = available_memory(), free_disk(model) + _bytes_in(model)
    if memory is not None:
        memory += min(need.base, resident_memory())  # which is part of the need, and there already
    if memory is not None and need.memory > memory:
        raise ResourceError(
            f"the run needs {readable_bytes(need.memory)} of memory "
            f"({readable_bytes(need.matrices)} for the two matrices) and {readable_bytes(memory)} "
            "are available; a smaller "
            + (
                "`vector_dim`, or fewer words (`max_vocab` or a larger `min_count`), would help"
                if need.matrices > need.buffers
                else "`batch_size` or `window`, or fewer `threads`, would help"
            )
        )
    if need.disk > disk:
        raise ResourceError(
            f"{model}: saves and checkpoints need up to {readable_bytes(need.disk)} of disk and "
            f"{readable_bytes(disk)} are available (including what the model uses); fewer "
            "checkpoints (`keep_checkpoints`, `checkpoint_epochs` 0) or a smaller `vector_dim` "
            "would help"
        )
    copied = copy_bytes(need, memory)
    copy = f"their copy for saves {readable_bytes(copied)}" if copied else "no room for a copy"
    has = "" if memory is None else f" of {readable_bytes(memory)} available"
    return (
        f"memory {readable_bytes(need.memory + copied)}{has} (matrices "
        f"{readable_bytes(need.matrices)}, {copy}), disk up to {readable_bytes(need.disk)} of "
        f"{readable_bytes(disk)} free" + ("" if copied else "; saves stop training meanwhile")
    )


def copy_bytes(need: Estimate, memory: int | None) -> int:
    """The copy of the matrices for saves, 0 where `memory` is short of it; see `saver`."""
    if memory is not None and need.matrices > SHARE_OF_MEMORY * (memory - need.memory):
        return 0
    return need.matrices


def long_run_warning(
    config: TrainConfig, vocabulary_size: int, kept_words: float, threads: int, resumed: bool
) -> str | None:
    """A line that names quicker settings for a full softmax that may take more than an hour.

    Each word costs 6·V·D floating-point operations: three matrix products.

    Args:
        kept_words: words to be trained, those that subsampling drops left out.
        resumed: the model exists, with its type and its vocabulary.
    """
    if config.negative_sampling:
        return None
    flops = 6.0 * vocabulary_size * config.vector_dim * kept_words
    hours = flops / (threads * _SLOW_CORE_FLOPS) / _LONG_RUN
    if hours < 1:
        return None
    line = (
        f"{config.type} over {vocabulary_size:,} words at {config.vector_dim} dimensions may take "
        f"up to {hours:,.0f} hours on {threads} threads ({flops:.2g} floating-point operations)"
    )
    if resumed:
        return line
    return (
        f"{line}; `type` {config.type}_neg takes minutes, and a smaller vocabulary (`max_vocab`) "
        "proportionally less"
    )


def _bytes_in(directory: Path) -> int:
    """Bytes of the files below `directory`, hard links counted once: what a save will replace."""
    sizes = {}
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())
