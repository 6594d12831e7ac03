"""fastw2v with the full softmax in a process of its own: checked and timed, or scored.

`measure`: the check is a training run through the same API, on a toy corpus, whose weights must be
those of `ready_batches.twin`. It also loads everything that training needs (kernels, Parquet,
matplotlib for the loss curve), so that what the timed run adds to the memory of the process is its
own: `buffers` are that, less the two matrices. Streams that are read ahead, the vocabulary and the
buffers for saving are in it.

`measure_perplexity`: a model for bench/softmax/quality.py, and its perplexity.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bench.lib import memory
from bench.softmax import ready_batches

_TOY_WORDS, _TOY_SENTENCES = 40, 60


def toy_sentences() -> list[list[str]]:
    """Sentences of 1 to 9 words, some of them frequent; the same every time."""
    import numpy as np

    generator = np.random.default_rng(5)
    sentences = []
    for length in generator.integers(1, 10, _TOY_SENTENCES):
        ids = generator.integers(_TOY_WORDS, size=length)
        ids[::3] %= 5
        sentences.append([f"word{word_id}" for word_id in ids])
    return sentences


def check(options: dict[str, Any], scratch: Path) -> None:
    """Train the toy corpus with `options`, but for size and alpha.

    Raises:
        AssertionError: fastw2v computes something else than it should.
    """
    import fastw2v
    from fastw2v.training import steppers as steps
    from fastw2v.training.config import TrainConfig

    fastw2v.preprocess(toy_sentences(), scratch / "toy.store", min_count=1)
    options = options | {"vector_dim": 24, "batch_size": 64, "epochs": 1, "max_words": 1 << 30,
                         "holdout": 0}  # fmt: skip
    options |= dict.fromkeys(("alpha", "min_alpha"), ready_batches.ALPHA)
    config = TrainConfig.create(**options)
    model = fastw2v.train(scratch / "toy.store", scratch / "toy.model", **options)
    found = model.input_vectors, model.output_vectors
    batches = ready_batches.from_store(scratch / "toy.store", config, len(toy_sentences()))
    start = steps.initial_weights(len(found[0]), config)
    inputs, outputs = (matrix[:, : config.vector_dim] for matrix in start)
    examples = sum(len(batch.center_ids) for batch in batches)
    # The history has means over intervals of time: one, unless the machine is busy.
    loss = model.history[0]["loss"] * examples if len(model.history) == 1 else None
    ready_batches.check(
        "fastw2v", (inputs, outputs), batches, ready_batches.ALPHA, config.skip_gram, loss, found
    )


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Check and time `fastw2v.train(store, **options)`.

    Returns:
        `words`, `seconds` (`training_seconds`: no compilation, no saving), `compile_seconds`,
        `loss` (of the last interval), `buffers` and `matrices` in bytes, and the thread layer.
    """
    import numba

    import fastw2v
    from fastw2v.kernels.primitives import padded_dim

    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-") as folder:
        scratch = Path(folder)
        check(request["options"], scratch)
        before = memory.begin_peak()
        # All words are trained, as the others do.
        options = {"holdout": 0, **request["options"]}
        model = fastw2v.train(request["store"], scratch / "model", **options)
        peak = memory.peak_memory()
    words = int(model.words_done)
    vocabulary, dim = model.input_vectors.shape
    matrices = 2 * vocabulary * padded_dim(dim) * 4
    return {
        "words": words,
        "seconds": float(model.training_seconds),
        "compile_seconds": model.compile_seconds,
        "loss": model.history[-1]["loss"],
        "matrices": matrices,
        "buffers": None if before is None or peak is None else peak - before - matrices,
        "threading_layer": numba.threading_layer() if request["options"]["threads"] > 1 else None,
    }


def measure_perplexity(request: dict[str, Any]) -> dict[str, Any]:
    """Train `store` with `options`, leave the model at `model`, and score the `texts`.

    Returns:
        `words`, `seconds` (`training_seconds`: no compilation, no saving), `compile_seconds`,
        `loss` (of the last interval), `config`, the thread layer, and `perplexity`: by text what
        `perplexity_of` has.
    """
    import numba

    import fastw2v

    options = {"holdout": 0, **request["options"]}
    model = fastw2v.train(request["store"], request["model"], **options)
    return {
        "words": int(model.words_done),
        "seconds": float(model.training_seconds),
        "compile_seconds": model.compile_seconds,
        "loss": model.history[-1]["loss"],
        "config": model.config,
        "perplexity": {
            name: perplexity_of(model.path, Path(text), options["threads"])
            for name, text in request["texts"].items()
        },
        "threading_layer": numba.threading_layer() if options["threads"] > 1 else None,
    }


def perplexity_of(model: Path, text: Path, threads: int) -> dict[str, Any]:
    """The exact losses of a text, nats a center: `own` by the rule of the model's type, `raw` by
    the softmax of its scores, and all `readings` by name; with how much was scored."""
    from fastw2v.training.perplexity import SOFTMAX, perplexity

    found = perplexity(model, text, threads=threads)
    readings = {reading.probability: reading.loss for reading in found.readings}
    return {
        "own": found.loss,
        "raw": readings[SOFTMAX],
        "readings": readings,
        "words": found.words,
        "known": found.known,
        "centers": found.centers,
    }
