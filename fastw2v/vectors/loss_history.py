"""The history of a run as arrays, and the smoothing and limits that make its curves readable."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

EVENTS = ("rollback", "cooldown", "new corpus")
MAX_POINTS = 1500  # more than the pixels of a picture's width: a longer curve is averaged down
_LARGEST = 1e18  # a figure beyond it comes from a damaged file, and would overflow sums


@dataclasses.dataclass(frozen=True)
class LossHistory:
    """The rows of a history, oldest first; every array is float64 (rows,), NaN where not known.

    words: trained in all. Where rows fall back without a rollback, they count the words of another
        corpus, and what was trained before is added.
    epoch: the number in the row, from 1; epochs_done: of the present corpus, with its fraction.
    seconds: of training. alpha: the learning rate.
    loss, holdout_loss, holdout_low, holdout_high, holdout_softmax: as `monitor.Monitor` has them.
    leg: int (rows,), counts the corpora from 0.
    given_up: bool (rows,), rows that a rollback undid.
    events: (words, one of EVENTS), in their order.
    """

    words: np.ndarray
    epoch: np.ndarray
    epochs_done: np.ndarray
    seconds: np.ndarray
    alpha: np.ndarray
    loss: np.ndarray
    holdout_loss: np.ndarray
    holdout_low: np.ndarray
    holdout_high: np.ndarray
    holdout_softmax: np.ndarray
    leg: np.ndarray
    given_up: np.ndarray
    events: list[tuple[float, str]]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]], words_an_epoch: float = np.nan) -> LossHistory:
        """Read the rows of a history.

        Args:
            words_an_epoch: by which an epoch that has not ended is measured, where none before has.
        """
        names = [row.get("event") for row in rows]
        told = np.maximum(_column(rows, "words"), 0.0)
        begins, rolled_back = _turns(told, names)
        words = told + _words_before(told, begins)
        epoch, leg = _column(rows, "epoch"), _legs(len(rows), begins, names)
        return cls(
            words=words,
            epoch=epoch,
            epochs_done=_epochs_done(words, epoch, leg, words_an_epoch),
            leg=leg,
            given_up=_given_up(words, _column(rows, "loss"), rolled_back),
            events=[
                (float(words[place]), str(name))
                for place, name in enumerate(names)
                if name in EVENTS and np.isfinite(words[place])
            ],
            **{
                name: _column(rows, name)
                for name in (
                    "seconds", "alpha", "loss", "holdout_loss", "holdout_low", "holdout_high",
                    "holdout_softmax",
                )
            },
        )  # fmt: skip

    @property
    def best_row(self) -> int | None:
        """The row with the least held-out loss of the corpus that was evaluated last.

        Rows that a rollback undid are left out; None without any.
        """
        known = np.flatnonzero(np.isfinite(self.holdout_loss) & ~self.given_up)
        if not len(known):
            return None
        known = known[self.leg[known] == self.leg[known[-1]]]
        return int(known[self.holdout_loss[known].argmin()])


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """One value a row, float64; NaN where it is missing, null, not finite or no number."""
    values = [row.get(name) for row in rows]
    try:
        column = np.array(values, dtype=np.float64)  # None becomes NaN
    except (TypeError, ValueError, OverflowError):  # an untrusted file
        numbers = [value if isinstance(value, float) else np.nan for value in values]
        column = np.array(numbers, dtype=np.float64)
    column[~np.isfinite(column)] = np.nan
    return np.clip(column, -_LARGEST, _LARGEST)


def _turns(words: np.ndarray, names: Sequence[object]) -> tuple[list[int], list[int]]:
    """Rows where the words fall back: as another corpus begins, and after a rollback."""
    known = np.flatnonzero(np.isfinite(words))
    begins, rolled_back = list[int](), list[int]()
    for fall in np.flatnonzero(np.diff(words[known]) < 0):
        before, place = int(known[fall]), int(known[fall + 1])
        undone = "rollback" in names[before : place + 1]
        (rolled_back if undone else begins).append(place)
    return begins, rolled_back


def _words_before(words: np.ndarray, begins: Sequence[int]) -> np.ndarray:
    """What was trained on other corpora before each row."""
    before = np.zeros(len(words))
    for place in begins:
        known = np.flatnonzero(np.isfinite(words[:place]))
        before[place:] = before[known[-1]] + words[known[-1]]
    return before


def _legs(count: int, begins: Sequence[int], names: Sequence[object]) -> np.ndarray:
    """The number of the corpus of each row."""
    starts = np.zeros(count, dtype=int)
    starts[list(begins)] = 1
    for place, name in enumerate(names):
        # The event may stand in the row before the words fall back, too.
        if name == "new corpus" and place and not starts[place : place + 2].any():
            starts[place] = 1
    return np.cumsum(starts)


def _given_up(words: np.ndarray, loss: np.ndarray, rolled_back: Sequence[int]) -> np.ndarray:
    """Rows that lie further than where a later row went back to."""
    given_up = np.zeros(len(words), dtype=bool)
    for place in rolled_back:
        before = words[:place]
        trained_again = np.isfinite(loss[place])  # else the row only marks the place
        given_up[:place] |= before >= words[place] if trained_again else before > words[place]
    return given_up


def _epochs_done(
    words: np.ndarray, epoch: np.ndarray, leg: np.ndarray, words_an_epoch: float
) -> np.ndarray:
    """Epochs with their fraction; a row closes its interval, so an epoch's last row is its end."""
    done = np.full(len(words), np.nan)
    numbers = np.floor(epoch)
    known = np.isfinite(words + numbers)
    start = 0.0
    for number_of_leg in np.unique(leg):
        of_leg = known & (leg == number_of_leg)
        length = words_an_epoch
        for number in np.unique(numbers[of_leg]):
            rows = np.flatnonzero(of_leg & (numbers == number))
            end = words[rows].max()
            if number < numbers[of_leg].max() or not length > 0:
                length = end - start
            share = (words[rows] - start) / length if length > 0 else np.ones(len(rows))
            done[rows] = number - 1 + np.clip(share, 0, 1)
            start = end
    return done


def averaged_down(*columns: np.ndarray, most: int = MAX_POINTS) -> tuple[np.ndarray, ...]:
    """The points that all the columns know, at most `most`: means of equally many neighbors."""
    known = np.isfinite(np.sum(columns, axis=0))
    columns = tuple(column[known] for column in columns)
    if len(columns[0]) <= most:
        return columns
    starts = np.linspace(0, len(columns[0]), most, endpoint=False).astype(int)
    sizes = np.diff(np.append(starts, len(columns[0])))
    return tuple(np.add.reduceat(column, starts) / sizes for column in columns)


def smoothed(values: np.ndarray) -> np.ndarray:
    """Centered moving mean over a twentieth of the curve.

    The window shrinks at the beginning, where the curve is steep; over its last half the
    least-squares line continues to the end.
    """
    half = len(values) // 40
    sums = np.append(0.0, np.cumsum(values))
    middle = np.arange(len(values))
    reach = np.minimum(half, np.minimum(middle, len(values) - 1 - middle))
    means = (sums[middle + reach + 1] - sums[middle - reach]) / (2 * reach + 1)
    if half:
        window = np.arange(-half, half + 1)
        last = values[-len(window) :]
        slope = (window * last).sum() / (window * window).sum()
        means[-half:] = last.mean() + slope * window[-half:]
    return means


def readable_limits(values: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest value worth the room; outliers do not flatten a curve.

    Outliers lie further beyond the middle 85 % of the values than these span, or above ten times
    the median.
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    least, low, median, high, most = np.percentile(values, [5, 10, 50, 90, 95])
    bottom, top = low - (most - low), high + (high - least)
    if median > 0:
        top = min(top, 10 * median)
    kept = values[(values >= bottom) & (values <= top)]
    return float(kept.min()), float(kept.max())
