"""One model of bench/softmax_quality.py in a process of its own: trained, then its perplexity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench import softmax_rung


def measure(request: dict[str, Any]) -> dict[str, Any]:
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


if __name__ == "__main__":
    softmax_rung.main(measure)
