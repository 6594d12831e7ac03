"""What a run will use of the machine, compared with what the machine has, before it starts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fastw2v.errors import UsageError
from fastw2v.kernels.scratch import scratch_bytes
from fastw2v.kernels.softmax_room import buffer_bytes
from fastw2v.machine import available_memory, free_disk, readable_bytes
from fastw2v.training.config import TrainConfig
from fastw2v.training.steps import LOGIT_BYTES, padded_dim

_BYTES_A_TOKEN = 200  # a vocabulary entry: string, dict entry, count, tables
_BYTES_A_STREAM_TOKEN = 40  # ids, order and stream of a row group
_ROW_GROUPS_IN_MEMORY = 4  # those of `ReadAhead`, and the one that is being read


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Bytes that a run needs.

    matrices: the two weight matrices; buffers: all else in memory; disk: the model directory at its
    largest (two generations during a save, and the checkpoints).
    """

    matrices: int
    buffers: int
    disk: int


def estimate(
    config: TrainConfig, vocabulary_size: int, row_group_tokens: int, threads: int
) -> Estimate:
    """Estimate a run over row groups of at most `row_group_tokens` tokens."""
    row = 4 * padded_dim(config.vector_dim)
    matrices = 2 * vocabulary_size * row
    buffers = vocabulary_size * _BYTES_A_TOKEN
    buffers += _ROW_GROUPS_IN_MEMORY * row_group_tokens * _BYTES_A_STREAM_TOKEN
    if config.negative_sampling:
        assert config.block_size is not None
        assert config.pool_size is not None
        buffers += threads * scratch_bytes(
            config.block_size, config.pool_size, config.half_window, padded_dim(config.vector_dim)
        )
    else:
        buffers += buffer_bytes(
            vocabulary_size,
            row // 4,
            config.centres_a_batch,
            config.half_window,
            threads,
            LOGIT_BYTES,
        )
    saved = 2 * vocabulary_size * config.vector_dim * 4 + vocabulary_size * 16
    checkpoints = 0
    if config.checkpoint_epochs:
        checkpoints = config.epochs // config.checkpoint_epochs
        if config.keep_checkpoints:
            checkpoints = min(checkpoints, config.keep_checkpoints)
    return Estimate(matrices, buffers, saved * (2 + checkpoints))


def check_resources(need: Estimate, model: Path) -> str:
    """One line that says what the run will use of what there is.

    Raises:
        UsageError: it cannot fit; names the option that would help.
    """
    memory, disk = available_memory(), free_disk(model) + _bytes_in(model)
    wanted = need.matrices + need.buffers
    if memory is not None and wanted > memory:
        raise UsageError(
            f"the run needs {readable_bytes(wanted)} of memory ({readable_bytes(need.matrices)} "
            f"for the two matrices) and {readable_bytes(memory)} are available; a smaller "
            + (
                "--vector-dim, or fewer words (--max-vocab or a larger --min-count), would help"
                if need.matrices > need.buffers
                else "--batch-size or --window, or fewer --threads, would help"
            )
        )
    if need.disk > disk:
        raise UsageError(
            f"{model}: saves and checkpoints need up to {readable_bytes(need.disk)} of disk and "
            f"{readable_bytes(disk)} are free or the model's already; fewer checkpoints "
            "(--keep-checkpoints, --checkpoint-epochs 0) or a smaller --vector-dim would help"
        )
    has = "" if memory is None else f" of {readable_bytes(memory)} available"
    return (
        f"memory {readable_bytes(wanted)}{has} (matrices {readable_bytes(need.matrices)}), disk up "
        f"to {readable_bytes(need.disk)} of {readable_bytes(disk)} free"
    )


def _bytes_in(directory: Path) -> int:
    """Bytes of the files below `directory`, hard links counted once: what a save will replace."""
    sizes = {}
    for path in directory.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())
