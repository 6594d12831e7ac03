"""How many blocks of negative sampling make a round of `--deterministic`.

All terms of a round have the gradients of its first weights, so that a word which comes again and
again in it is pushed as often in the same direction. As with blocks (`TrainConfig.with_blocks`),
too many such pushes overshoot: rounds are shorter, the more the pushes of the most frequent word
(learning rate x terms that it is in) sum to. The limits are measured: bench/LOG.md.
"""

from __future__ import annotations

import numpy as np

from fastw2v.kernels.streams import Noise
from fastw2v.training.config import DEFAULT_ALPHAS, MOST_REPEATS, TrainConfig

# Numbers of blocks that a few threads can share out; a word's pushes in a round, and at which rate:
# at a higher one rows grow longer, and bear fewer.
_SIZES = (16, 12, 8, 6, 4, 3, 2, 1)
_MOST_CENTRES = 1024
_MOST_PUSH = 10.0
_UNDIVIDED_ALPHA = 0.05  # what CBOW with word2vec.c's gradient is trained with


def most_round_blocks(config: TrainConfig) -> int:
    """`round_blocks` at most."""
    assert config.block_size is not None
    return max(1, min(_SIZES[0], _MOST_CENTRES // config.block_size))


def round_blocks(config: TrainConfig, noise: Noise) -> int:
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
    most = _MOST_PUSH * min(1.0, usual / config.alpha)
    push = config.alpha * config.block_size * _terms_of_top_word(config, noise)
    return next(
        size for size in _SIZES if size <= max(1.0, min(most / push, most_round_blocks(config)))
    )


def _terms_of_top_word(config: TrainConfig, noise: Noise) -> float:
    """Terms a centre, on average, that move one row of the most frequent word, weighted."""
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
        return float(drawn.max()), min(1.0, MOST_REPEATS / config.block_size) ** 0.5
    logs = np.log(np.maximum(drawn, 2.0**-32 / words)) / config.ns_exponent
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    if config.subsample:
        ratio = config.subsample / shares
        shares *= np.minimum(1.0, np.sqrt(ratio) + ratio)
        shares /= shares.sum()
    return float(drawn.max()), float(shares.max())
