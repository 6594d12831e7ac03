"""The training options: one frozen dataclass, checked once, and the presets of other systems."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from fastw2v.errors import UsageError
from fastw2v.options import check_options, option, option_fields, reject_unknown_options

# What each system does when its user says nothing, in this program's terms. `alpha` may differ
# between skip-gram and CBOW there; options that a system does not have are left out.
PRESETS: dict[str, dict[str, Any]] = {
    "seed": {
        "window_sampling": "fixed",
        "negatives_per": "window",
        "subsample": 0.0,
        "min_alpha": "alpha",
        "cbow_gradient": "mean",
    },
    "word2vec.c": {
        "vector_dim": 100,
        "window": 11,
        "neg_samples": 5,
        "subsample": 1e-3,
        "epochs": 5,
        "alpha": {"sgram_neg": 0.025, "cbow_neg": 0.05},
        "cbow_gradient": "word2vec",
    },
    "gensim": {
        "vector_dim": 100,
        "window": 11,
        "neg_samples": 5,
        "subsample": 1e-3,
        "epochs": 5,
        "alpha": {"sgram_neg": 0.025, "cbow_neg": 0.025},
        "min_alpha": 1e-4,
        "cbow_gradient": "word2vec",
    },
    "fasttext": {
        "vector_dim": 100,
        "window": 11,
        "neg_samples": 5,
        "subsample": 1e-4,
        "epochs": 5,
        "alpha": {"sgram_neg": 0.05, "cbow_neg": 0.05},
        "min_alpha": 0.0,
        "ns_exponent": 0.5,
        "cbow_gradient": "word2vec",
    },
    "koan": {
        "vector_dim": 200,
        "window": 11,
        "neg_samples": 5,
        "subsample": 1e-3,
        "epochs": 1,
        "alpha": {"sgram_neg": 0.025, "cbow_neg": 0.075},
        "min_alpha": 1e-4,
        "cbow_gradient": "mean",
    },
}


TYPES = ("cbow", "cbow_neg", "sgram", "sgram_neg")
SGRAM_TYPES = ("sgram", "sgram_neg")
NEGATIVE_TYPES = ("cbow_neg", "sgram_neg")

# Measured on the reviews corpus: see bench/LOG.md, "Learning rates".
DEFAULT_ALPHAS = {"cbow": 0.2, "cbow_neg": 0.15, "sgram": 0.1, "sgram_neg": 0.025}
DEFAULT_BATCH = 512
# Centers and draws of a block, by type: see bench/LOG.md, "Block and pool sizes".
DEFAULT_BLOCKS = {"sgram_neg": (48, 24), "cbow_neg": (64, 16)}
# Limits that keep the summed gradients of a block from overshooting: see `TrainConfig.with_blocks`.
MAX_REPEATS = 0.3
MAX_PULL = 1.5
MAX_PUSH = 0.8
MIN_ALPHA_RATIO = 1e-4


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Options of `fastw2v.train` and `fastw2v train`; make one with `TrainConfig.create`.

    Raises:
        UsageError: a value that is not allowed.
    """

    type: str = option(
        "sgram_neg",
        "Model: CBOW or skip-gram (sgram), with full softmax or negative sampling (_neg).",
        choices=TYPES,
    )
    window: int = option(
        11,
        "Full length of the context window, center word included; must be odd. (gensim's window=5 "
        "is 11.)",
        kind=int,
        minimum=3,
    )
    window_sampling: str = option(
        "dynamic",
        "dynamic: the radius of each window is drawn uniformly from 1 to half the window, as in "
        "word2vec.c; fixed: always the whole window.",
        choices=("dynamic", "fixed"),
    )
    vector_dim: int = option(300, "Length of a word vector.", kind=int, minimum=1, maximum=65536)
    epochs: int = option(
        5, "Passes over the corpus in total, including those already trained.", kind=int, minimum=1
    )
    alpha: float | None = option(
        None,
        "Initial learning rate.",
        kind=float,
        above=0,
        shown_default=", ".join(f"{alpha} {name}" for name, alpha in DEFAULT_ALPHAS.items()),
    )
    min_alpha: float | None = option(
        None,
        "Final learning rate; it decays linearly over the words of the whole run. Equal to "
        "`alpha`: constant.",
        kind=float,
        minimum=0,
        shown_default="alpha / 10,000",
    )
    batch_size: int | None = option(
        None,
        "Softmax types: center words whose gradients are summed before an update. _neg types: "
        "upper bound of `block_size`, and the unit of `save_every`.",
        kind=int,
        minimum=1,
        maximum=1 << 20,
        shown_default=f"{DEFAULT_BATCH}; softmax types: fewer for a large alpha or a very frequent "
        "word",
    )
    neg_samples: int = option(
        5,
        "Noise words for each positive pair (or window, see `negatives_per`); _neg types.",
        kind=int,
        minimum=1,
        maximum=1000,
        aliases=("k", "negative"),
    )
    negatives_per: str = option(
        "pair",
        "What `neg_samples` counts for skip-gram: pair: per pair of center and context, as in "
        "word2vec.c; window: per center, shared by its contexts.",
        choices=("pair", "window"),
    )
    ns_exponent: float = option(
        0.75,
        "Noise words are drawn in proportion to count ** exponent; _neg types.",
        kind=float,
        minimum=-4,
        maximum=4,
    )
    subsample: float | None = option(
        None,
        "Threshold t of frequent-word subsampling; 0 = off.",
        kind=float,
        minimum=0,
        shown_default="0.0001 for _neg types, 0 for softmax types",
    )
    cbow_gradient: str = option(
        "mean",
        "mean: a context word's gradient is divided by the number of contexts (exact); word2vec: "
        "it is not, as in word2vec.c, gensim and fastText.",
        choices=("mean", "word2vec"),
    )
    block_size: int | None = option(
        None,
        "Centers that share one pool of noise words (_neg types).",
        kind=int,
        minimum=1,
        maximum=4096,
        shown_default=", ".join(f"{sizes[0]} {name}" for name, sizes in DEFAULT_BLOCKS.items())
        + ", fewer for a small vocabulary, a large alpha, a large window or many negatives",
    )
    pool_size: int | None = option(
        None,
        "Noise words in the pool of a block (_neg types); weighted to count as `neg_samples`.",
        kind=int,
        minimum=1,
        maximum=4096,
        shown_default=", ".join(f"{sizes[1]} {name}" for name, sizes in DEFAULT_BLOCKS.items()),
    )
    seed: int = option(
        1,
        "Seed of all random draws. With `threads` 1 or `deterministic` it fixes every bit of the "
        "vectors; with more threads the _neg types race (Hogwild) and runs differ slightly.",
        kind=int,
        minimum=0,
        maximum=(1 << 63) - 1,
    )
    threads: int | None = option(
        None,
        "Number of threads.",
        kind=int,
        minimum=1,
        maximum=1024,
        shown_default="the cores that this process may use",
    )
    max_words: int | None = option(
        None,
        "Stop after this many words in total (counted before subsampling), whatever `epochs` is.",
        kind=int,
        minimum=1,
        shown_default="no limit",
    )
    save_every: int = option(10, "Save the model every N batches.", kind=int, minimum=1)
    save_interval: float = option(
        30.0,
        "Minimum seconds between saves; large models are saved less often, so that saving takes at "
        "most 2 % of the time. 0 = no minimum.",
        kind=float,
        minimum=0,
    )
    checkpoint_epochs: int = option(
        1, "Keep a checkpoint every N epochs; 0 = none.", kind=int, minimum=0
    )
    keep_checkpoints: int = option(
        3, "Number of checkpoints to keep, the latest; 0 = all.", kind=int, minimum=0
    )
    holdout: float = option(
        0.005,
        "Share of the sequences that are held out of training, chosen by hash, at most 500,000 "
        "tokens: the held-out loss is measured on them. 0 = none.",
        kind=float,
        minimum=0,
        maximum=0.5,
    )
    patience: int | None = option(
        None,
        "Early stopping: keep the learning rate constant until the held-out loss has improved by "
        "no more than its noise over the last N evaluations, then let it decay to `min_alpha` (see "
        "`cooldown`) and end. `epochs` is the maximum.",
        kind=int,
        minimum=1,
        maximum=1000,
        shown_default="off",
    )
    cooldown: float = option(
        0.2,
        "With `patience`: length of the final decay of the learning rate, as a share of the words "
        "trained before it.",
        kind=float,
        above=0,
        maximum=10,
    )
    on_divergence: str = option(
        "stop",
        "stop: end with an error and keep the last good save; rollback: return to it (or further "
        "back, if that did not help) and continue at half the learning rate, up to three times.",
        choices=("stop", "rollback"),
    )
    deterministic: bool = option(
        False,
        "Identical bytes in every run, at any number of threads, for the _neg types too, at some "
        "cost in speed. The softmax types are always deterministic.",
        kind=bool,
    )
    init: str | None = option(
        None,
        "Initial vectors: a model or file (.bin, .txt, .vec, .parquet, .npy); other words start "
        "from random vectors.",
        metavar="PATH",
        shown_default="random vectors",
    )
    preset: str | None = option(
        None,
        "Use the defaults of another system (table below); other given options override them.",
        choices=tuple(PRESETS),
        shown_default="none",
    )

    @classmethod
    def create(cls, **given: Any) -> TrainConfig:
        """A complete config: given options over the preset's over the defaults; None = not given.

        Raises:
            UsageError: an unknown option or a value that is not allowed.
        """
        reject_unknown_options(cls, given)
        given = {name: value for name, value in given.items() if value is not None}
        model_type = given.get("type", "sgram_neg")
        preset = given.get("preset")
        values = {**_preset_values(preset, model_type), **given}
        if values.get("min_alpha") == "alpha":  # constant
            values["min_alpha"] = values.get("alpha", DEFAULT_ALPHAS.get(model_type))
        return cls(**values)._completed()

    def __post_init__(self) -> None:
        check_options(self)
        if self.window % 2 == 0:
            raise UsageError(
                f"`window` must be odd and at least 3, as it is the full length with the center "
                f"word in the middle (gensim's window=5 is 11); got {self.window}"
            )
        if self.alpha is not None and self.min_alpha is not None and self.min_alpha > self.alpha:
            raise UsageError(
                f"`min_alpha` must be at most `alpha`, {self.alpha}; got {self.min_alpha}"
            )
        if self.patience is not None and not self.holdout:
            raise UsageError("`patience` needs a held-out loss: `holdout` must be above 0; got 0")

    def _completed(self) -> TrainConfig:
        """Fill in what depends on other options."""
        alpha = DEFAULT_ALPHAS[self.type] if self.alpha is None else self.alpha
        values: dict[str, Any] = {"alpha": alpha}
        if self.min_alpha is None:
            values["min_alpha"] = alpha * MIN_ALPHA_RATIO
        if self.block_size is not None:
            values["block_size"] = min(self.block_size, self.batch_size or DEFAULT_BATCH)
        if self.subsample is None:
            values["subsample"] = 1e-4 if self.negative_sampling else 0.0
        return dataclasses.replace(self, **values)

    def with_blocks(self, repeat_rate: float, top_share: float) -> TrainConfig:
        """The same config with `batch_size`, `block_size` and `pool_size` chosen where not given.

        Gradients of a batch or a block are summed at its first weights, so a large one can push one
        row too far. A block shrinks until, on average, a center's word comes again `MAX_REPEATS`
        times, and until the weights with which it pushes one pool row (learning rate x negatives
        that the draw stands for) sum to `MAX_PULL`. A batch of the full softmax shrinks until the
        pushes of its most frequent word (learning rate x how often it comes) sum to `MAX_PUSH`.
        The limits are measured: bench/LOG.md.

        Args:
            repeat_rate: the chance that two kept tokens of the corpus are the same word.
            top_share: the share of the most frequent word in the kept tokens.
        """
        assert self.alpha is not None
        batch_size = DEFAULT_BATCH
        if not self.negative_sampling:
            batch_size = int(max(1, min(batch_size, MAX_PUSH / (self.alpha * top_share))))
        batch_size = self.batch_size or batch_size
        block_size, pool_size = DEFAULT_BLOCKS.get(self.type, (batch_size, 1))
        pool_size = self.pool_size or pool_size
        if self.negative_sampling:
            pull = self.alpha * self._negatives_per_center / pool_size
            block_size = int(max(1, min(block_size, MAX_REPEATS / repeat_rate, MAX_PULL / pull)))
        return dataclasses.replace(
            self,
            batch_size=batch_size,
            block_size=min(self.block_size or block_size, batch_size),
            pool_size=pool_size,
        )

    @property
    def centers_per_batch(self) -> int:
        """`batch_size`, once it is chosen."""
        assert self.batch_size is not None
        return self.batch_size

    @property
    def _negatives_per_center(self) -> float:
        """Mean number of noise words that a center stands against."""
        if not self.skip_gram or self.negatives_per == "window":
            return float(self.neg_samples)
        dynamic = self.window_sampling == "dynamic"
        contexts = self.half_window + 1 if dynamic else 2 * self.half_window
        return float(self.neg_samples * contexts)

    @property
    def skip_gram(self) -> bool:
        """Whether the model predicts contexts from the center word."""
        return self.type in SGRAM_TYPES

    @property
    def negative_sampling(self) -> bool:
        """Whether the loss is negative sampling's (else the full softmax's)."""
        return self.type in NEGATIVE_TYPES

    @property
    def half_window(self) -> int:
        """Most context words to each side."""
        return (self.window - 1) // 2

    def to_json(self) -> dict[str, Any]:
        """All options as plain values."""
        return dataclasses.asdict(self)


# Options that a resumed run cannot change.
FIXED_ON_RESUME = (
    "type",
    "vector_dim",
    "window",
    "window_sampling",
    "neg_samples",
    "negatives_per",
    "ns_exponent",
    "subsample",
    "cbow_gradient",
    "batch_size",
    "block_size",
    "pool_size",
    "seed",
    "holdout",
)
# Options of one call, not of the model: not kept from the stored run.
_OF_THE_CALL = ("threads", "max_words", "preset", "init")
# Options that the softmax types do not use.
_NEGATIVE_SAMPLING_ONLY = (
    "neg_samples",
    "negatives_per",
    "ns_exponent",
    "block_size",
    "pool_size",
)


def _preset_values(preset: str | None, model_type: str) -> dict[str, Any]:
    if preset is not None and preset not in PRESETS:
        raise UsageError(f"`preset` must be one of {', '.join(PRESETS)}; got {preset!r}")
    values = dict(PRESETS[preset]) if preset else {}
    if isinstance(values.get("alpha"), Mapping):
        negative = "sgram_neg" if model_type in SGRAM_TYPES else "cbow_neg"
        values["alpha"] = values["alpha"][negative]
        if model_type not in NEGATIVE_TYPES:  # no other system has these types at these rates
            del values["alpha"]
    return values


def without_effect(config: TrainConfig, given: Mapping[str, Any]) -> list[str]:
    """The options that were given but mean nothing for the config's type."""
    return [name for name in _idle_options(config) if given.get(name) is not None]


def _idle_options(config: TrainConfig) -> list[str]:
    """The options that mean nothing for the config's type."""
    idle = list(_NEGATIVE_SAMPLING_ONLY) if not config.negative_sampling else []
    # CBOW has one positive a center, so that a pair and a window are the same.
    idle.append("cbow_gradient" if config.skip_gram else "negatives_per")
    return list(dict.fromkeys(idle))


def resumed_config(stored: Mapping[str, Any], given: Mapping[str, Any]) -> TrainConfig:
    """The config for resuming a stored run: its own options, overridden by the given ones.

    Raises:
        UsageError: a given option differs from the stored one and must not (all are named).
    """
    known = {field.name for field in option_fields(TrainConfig)}
    kept = {name: stored[name] for name in stored if name in known and name not in _OF_THE_CALL}
    kept.setdefault("holdout", 0.0)  # a model of before there was any
    given = {name: value for name, value in given.items() if value is not None}
    if "preset" in given:
        given = {**_preset_values(given["preset"], kept["type"]), **given}
    if "alpha" in given and "min_alpha" not in given:
        del kept["min_alpha"]
    requested = TrainConfig.create(**{**kept, **given})
    differing = [
        f"`{name}` {getattr(requested, name)} (the model has {kept[name]})"
        for name in FIXED_ON_RESUME
        if name not in _idle_options(requested) and getattr(requested, name) != kept[name]
    ]
    if differing:
        raise UsageError(
            f"cannot resume training with different settings: {', '.join(differing)}; leave them "
            "out, or start a new model with `overwrite_model` or in another directory"
        )
    return requested
