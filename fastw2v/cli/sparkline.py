"""The loss so far as one line of characters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-~=*%#"
_MOST_BUCKETS = 256


class LossTrace:
    """The losses of a run in at most 256 means of equally many, however long it becomes."""

    def __init__(self) -> None:
        self._means: list[float] = []
        self._size = 1  # losses a mean
        self._sum, self._count = 0.0, 0

    def add(self, loss: float) -> None:
        """Take the loss of the next interval; one that is not finite is left out."""
        if not math.isfinite(loss):
            return
        self._sum, self._count = self._sum + loss, self._count + 1
        if self._count < self._size:
            return
        self._means.append(self._sum / self._count)
        self._sum, self._count = 0.0, 0
        if len(self._means) == _MOST_BUCKETS:
            pairs = zip(self._means[::2], self._means[1::2], strict=True)
            self._means = [(first + second) / 2 for first, second in pairs]
            self._size *= 2

    def sparkline(self, width: int, encoding: str | None) -> str:
        """The losses in at most `width` characters that `encoding` has; "" for fewer than two."""
        means = list(self._means)
        if self._count:
            means.append(self._sum / self._count)
        if width < 2 or len(means) < 2:
            return ""
        return _drawn(_at_most(means, width), _BLOCKS if can_show(_BLOCKS, encoding) else _ASCII)


def can_show(text: str, encoding: str | None) -> bool:
    """Whether `text` can be written in this encoding."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _at_most(means: Sequence[float], width: int) -> list[float]:
    """Means of neighbours, `width` of them or as many as there are."""
    count = min(width, len(means))
    bounds = [place * len(means) // count for place in range(count + 1)]
    spans = itertools.pairwise(bounds)
    return [sum(means[first:last]) / (last - first) for first, last in spans]


def _drawn(values: Sequence[float], levels: str) -> str:
    """A character a value, the lowest first; the steep start does not flatten what follows."""
    low, high = min(values), sorted(values)[math.ceil(0.9 * (len(values) - 1))]
    scale = (len(levels) - 1) / (high - low) if high > low else 0.0
    return "".join(levels[round((min(value, high) - low) * scale)] for value in values)
