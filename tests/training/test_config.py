from __future__ import annotations

import pytest

from fastw2v.errors import UsageError
from fastw2v.training.config import (
    DEFAULT_ALPHAS,
    DEFAULT_BATCH,
    DEFAULT_BLOCKS,
    PRESETS,
    TYPES,
    TrainConfig,
    resumed_config,
    without_effect,
)


@pytest.mark.parametrize("model_type", TYPES)
def test_defaults_are_complete(model_type: str) -> None:
    config = TrainConfig.create(type=model_type)
    assert config.alpha == DEFAULT_ALPHAS[model_type]
    assert config.min_alpha == pytest.approx(config.alpha / 10_000)
    assert config.subsample == (1e-4 if config.negative_sampling else 0)
    assert config.half_window == 5


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("model_type", TYPES)
def test_preset_sets_defaults_and_given_options_win(preset: str, model_type: str) -> None:
    config = TrainConfig.create(type=model_type, preset=preset, epochs=7, window=5)
    assert (config.epochs, config.window) == (7, 5)
    for name in ("subsample", "cbow_gradient", "ns_exponent", "vector_dim"):
        if name in PRESETS[preset]:
            assert getattr(config, name) == PRESETS[preset][name]


def test_seed_preset_is_a_constant_rate() -> None:
    config = TrainConfig.create(preset="seed", alpha=0.1)
    assert config.min_alpha == config.alpha == 0.1
    assert (config.window_sampling, config.negatives_per) == ("fixed", "window")


def test_preset_alpha_depends_on_type() -> None:
    assert TrainConfig.create(preset="koan", type="cbow_neg").alpha == 0.075
    assert TrainConfig.create(preset="koan", type="sgram_neg").alpha == 0.025


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 8}, "`window` must be odd"),
        ({"window": 1}, "`window` must be at least 3; got 1"),
        ({"vector_dim": 0}, "`vector_dim` must be at least 1; got 0"),
        ({"vector_dim": 2.5}, "`vector_dim` must be a whole number; got 2.5"),
        ({"alpha": float("nan")}, "`alpha` must be a finite number; got nan"),
        ({"alpha": -1.0}, "`alpha` must be greater than 0; got -1.0"),
        ({"alpha": float("inf")}, "`alpha` must be a finite number; got inf"),
        ({"alpha": 0.01, "min_alpha": 0.02}, "`min_alpha` must be at most"),
        ({"batch_size": 0}, "`batch_size` must be at least 1; got 0"),
        ({"neg_samples": -3}, "`neg_samples` must be at least 1; got -3"),
        ({"subsample": -1e-4}, "`subsample` must be at least 0"),
        ({"epochs": 0}, "`epochs` must be at least 1; got 0"),
        ({"type": "glove"}, "sgram_neg; got 'glove'"),
        ({"preset": "spacy"}, "`preset` must be one of"),
        ({"vector_dims": 3}, "did you mean vector_dim?"),
        ({"threads": 0}, "`threads` must be at least 1; got 0"),
        ({"seed": -1}, "`seed` must be at least 0; got -1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainConfig.create(**options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_block_size_is_capped_by_batch_size_and_repeats() -> None:
    config = TrainConfig.create(type="sgram_neg")
    assert config.with_blocks(1e-4, 0.05).block_size == DEFAULT_BLOCKS["sgram_neg"][0]
    assert config.with_blocks(0.09, 0.05).block_size == 3
    assert config.with_blocks(1.0, 0.05).block_size == 1
    assert config.with_blocks(1.0, 0.05).batch_size == DEFAULT_BATCH
    assert TrainConfig.create(batch_size=10).with_blocks(1e-4, 0.05).block_size == 10
    assert TrainConfig.create(block_size=20, pool_size=9).with_blocks(0.5, 0.05).block_size == 20


@pytest.mark.parametrize("model_type", ["cbow", "sgram"])
def test_batch_of_the_softmax_shrinks_with_alpha_and_the_most_frequent_word(
    model_type: str,
) -> None:
    def batch(top_share: float, **options: float) -> int | None:
        config = TrainConfig.create(type=model_type, **options)
        return config.with_blocks(0.01, top_share).batch_size

    assert batch(0.0009, alpha=0.2) == DEFAULT_BATCH
    assert batch(0.0497, alpha=0.1) == 160
    assert batch(0.05, alpha=0.005) == DEFAULT_BATCH  # the seed's rates keep the seed's batch
    assert batch(0.9, alpha=5.0) == 1
    assert batch(0.05, alpha=0.2, batch_size=300) == 300  # what is given stands


def test_resume_takes_over_what_is_not_given() -> None:
    stored = TrainConfig.create(type="cbow_neg", window=7, epochs=3, alpha=0.1, threads=1).to_json()
    config = resumed_config(stored, {"epochs": 9})
    assert (config.type, config.window, config.epochs, config.alpha) == ("cbow_neg", 7, 9, 0.1)
    assert config.threads is None  # a thing of the call, not of the model


def test_resume_with_a_new_alpha_plans_min_alpha_anew() -> None:
    stored = TrainConfig.create(alpha=0.1).to_json()
    assert resumed_config(stored, {"alpha": 0.01}).min_alpha == pytest.approx(1e-6)


@pytest.mark.parametrize(
    "changed",
    [{"window": 9}, {"vector_dim": 10}, {"neg_samples": 4}, {"seed": 2}, {"block_size": 8},
     {"type": "cbow_neg"}, {"subsample": 0.0}, {"preset": "gensim"}],
)  # fmt: skip
def test_resume_names_what_differs(changed: dict[str, object]) -> None:
    stored = TrainConfig.create(type="sgram_neg").to_json()
    with pytest.raises(UsageError, match="cannot resume") as caught:
        resumed_config(stored, changed)
    if "preset" not in changed:
        assert f"`{next(iter(changed))}`" in str(caught.value)


def test_idle_options_are_named() -> None:
    sgram = TrainConfig.create(type="sgram")
    assert without_effect(sgram, {"neg_samples": 15}) == ["neg_samples"]
    assert without_effect(TrainConfig.create(type="sgram_neg"), {"neg_samples": 15}) == []
    assert without_effect(TrainConfig.create(type="sgram_neg"), {"cbow_gradient": "mean"})
