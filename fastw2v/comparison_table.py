"""The rows that tell models apart, the best of each, and what does not compare."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from fastw2v.comparison import Interval, Run, holdout_difference

# The settings of a row of their own, and those that change nothing of the model.
_SHOWN_ANYWAY = ("type", "vector_dim")
_NAMES_OF_HASHES = {"corpus_hash": "corpus", "vocabulary_hash": "vocabulary"}


@dataclasses.dataclass(frozen=True)
class Row:
    """A figure of every model.

    about: "run", "loss", "quality" or "settings". values: plain, None where not known.
    texts: the same for people; "" where not known. best: which models have the best value.
    """

    about: str
    name: str
    values: list[Any]
    texts: list[str]
    best: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Table:
    """What `compare` found: its rows, and notes on what they do not say."""

    runs: list[Run]
    rows: list[Row]
    notes: list[str]

    def as_json(self) -> dict[str, Any]:
        """As plain values; what is not known is None."""
        names = [run.name for run in self.runs]
        return {
            "models": [{"name": run.name, "path": str(run.path)} for run in self.runs],
            "rows": [
                {
                    "about": row.about,
                    "name": row.name,
                    "values": dict(zip(names, row.values, strict=True)),
                    "best": [names[place] for place in row.best],
                }
                for row in self.rows
            ],
            "notes": self.notes,
        }


def compare_runs(runs: Sequence[Run]) -> Table:
    """Set models side by side."""
    runs = list(runs)
    notes: list[str] = []
    rows = _about_runs(runs) + _losses(runs, notes) + _quality(runs, notes)
    if any(run.history.events for run in runs):
        kinds = [", ".join(kind for _, kind in run.history.events) for run in runs]
        rows.append(Row("run", "events", [kind or None for kind in kinds], kinds))
    order = ("run", "loss", "quality")
    rows.sort(key=lambda row: order.index(row.about))
    return Table(runs, rows + _settings(runs), notes)


def _about_runs(runs: Sequence[Run]) -> list[Row]:
    return [
        _row("run", "type", [run.config.get("type") for run in runs], str),
        _row("run", "dimensions", [run.config.get("vector_dim") for run in runs], "{:,}".format),
        _row("run", "vocabulary", [run.vocabulary_size for run in runs], "{:,}".format),
        _row("run", "words trained", [run.words for run in runs], "{:,}".format),
        _row("run", "epochs", [run.epochs for run in runs], "{:.3g}".format),
        _row("run", "training seconds", [run.seconds for run in runs], "{:,.1f}".format),
        _row("run", "words/s", [run.words_per_second for run in runs], "{:,.0f}".format, max),
    ]


def _row(
    about: str,
    name: str,
    values: Sequence[Any],
    text: Callable[[Any], str],
    better: Callable[..., float] | None = None,
) -> Row:
    """A row of plain values, NaN made None; `better` is min, max, or None where none is better."""
    plain = [None if _unknown(value) else value for value in values]
    texts = ["" if value is None else text(value) for value in plain]
    return Row(about, name, plain, texts, _best(plain, better))


def _interval_row(
    about: str,
    name: str,
    intervals: Sequence[Interval | None],
    text: Callable[[Interval], str],
    better: Callable[..., float] | None = None,
) -> Row:
    known = [None if one is None or math.isnan(one.value) else one for one in intervals]
    values = [
        None if one is None else {n: _plain(v) for n, v in one._asdict().items()} for one in known
    ]
    texts = ["" if one is None else text(one) for one in known]
    return Row(
        about, name, values, texts, _best([one and one.value for one in known], better)
    )  # fmt: skip


def _unknown(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _plain(value: Any) -> Any:
    return None if _unknown(value) else value


def _best(values: Sequence[Any], better: Callable[..., float] | None) -> tuple[int, ...]:
    """Where the best value stands; nowhere if all that are known are the same."""
    known = [value for value in values if value is not None]
    if better is None or len(set(known)) < 2:
        return ()
    best = better(known)
    return tuple(place for place, value in enumerate(values) if value == best)


def _losses(runs: Sequence[Run], notes: list[str]) -> list[Row]:
    same_measure = len({run.measure for run in runs}) == 1
    if not same_measure:
        notes.append(
            "training losses do not compare: the models differ in their text, type, windows, "
            "negatives or subsampling, of which it is a mean"
        )
    rows = [
        _row("loss", "training loss", [run.training_loss for run in runs], "{:.4f}".format,
             min if same_measure else None)
    ]  # fmt: skip
    with_holdout = [run for run in runs if run.holdout_key is not None]
    if not with_holdout:
        return rows
    keys = list(dict.fromkeys(run.holdout_key for run in with_holdout))
    if len(keys) > 1:
        notes.append(_why_not(with_holdout))
    elif len(with_holdout) > 1:
        notes.append("held-out losses compare: they are of the same sequences")
    better = min if len(keys) == 1 else None
    losses = [run.holdout for run in runs]
    rows.append(
        _interval_row("loss", "held-out loss", losses, lambda x: _with_half(x, ".4f"), better)
    )
    best = [run.best_holdout for run in runs]
    if any(run.holdout.value > least for run, least in zip(runs, best, strict=True)):
        rows.append(_row("loss", "best held-out loss", best, "{:.4f}".format, better))
    rows += _softmax_losses(runs)
    for key in keys:
        rows += _differences(runs, [run for run in with_holdout if run.holdout_key == key])
    return rows


def _softmax_losses(runs: Sequence[Run]) -> list[Row]:
    """The exact softmax loss on the held-out text, which is of one unit for all the types."""
    losses = [run.holdout_softmax for run in runs]
    if all(map(math.isnan, losses)):
        return []
    families = {
        repr((run.state.get("corpus_hash"), run.config.get("holdout"), str(run.config["type"])[0]))
        for run in runs
        if not math.isnan(run.holdout_softmax)
    }
    better = min if len(families) == 1 else None
    return [_row("loss", "held-out softmax loss", losses, "{:.4f}".format, better)]


def _why_not(runs: Sequence[Run]) -> str:
    """Why held-out losses do not compare."""
    texts = {repr((run.state.get("corpus_hash"), run.config.get("holdout"))) for run in runs}
    types = {str(run.config.get("type")) for run in runs}
    reasons = ["the held-out sequences are not the same"] if len(texts) > 1 else []
    if len(types) > 1:
        reasons.append(f"each type has a loss of its own ({', '.join(sorted(types))})")
    return "held-out losses do not compare between all the models: " + ", and ".join(reasons)


def _with_half(found: Interval, form: str, scale: float = 1.0, *, signed: bool = False) -> str:
    """`2.8887 ± 0.0128`: half the interval's width stands for it."""
    half = scale * (found.high - found.low) / 2
    text = f"{scale * found.value:{'+' if signed else ''}{form}}"
    return text if math.isnan(half) else f"{text} ± {half:{form}}"


def _differences(runs: Sequence[Run], group: Sequence[Run]) -> list[Row]:
    """How the others of a group with one held-out text differ from its first."""
    if len(group) < 2:
        return []
    base = group[0]
    found = [
        holdout_difference(run, base) if run is not base and run in group else None for run in runs
    ]
    if not any(found):
        return []

    name = f"held-out, less {base.name}'s"
    return [_interval_row("loss", name, found, lambda d: _with_half(d, ".4f", signed=True))]


def _quality(runs: Sequence[Run], notes: list[str]) -> list[Row]:
    """Scores times 100, on the items whose words a model knows."""
    rows = []
    for name in runs[0].scores:
        scores = [run.scores[name] for run in runs]
        percents = [Interval(100 * s.score, 100 * s.low, 100 * s.high) for s in scores]
        known, items = {score.known for score in scores}, scores[0].items
        title = f"{name} x100, of {max(known):,}" if len(known) == 1 else f"{name} x100"
        rows.append(_interval_row("quality", title, percents, lambda p: _with_half(p, ".1f"), max))
        if len(known) > 1:
            rows.append(
                _row("quality", f"{name}, known of {items:,}", [s.known for s in scores],
                     "{:,}".format)
            )  # fmt: skip
    if any("known of" in row.name for row in rows):
        notes.append("quality: each model is scored on the items that it knows, which differ")
    return rows


def _settings(runs: Sequence[Run]) -> list[Row]:
    """The options that differ, of training and of the text, and whether the text does."""
    rows = []
    for key, name in _NAMES_OF_HASHES.items():
        rows.append((name, [str(run.state.get(key, ""))[:8] or None for run in runs]))
    names = dict.fromkeys(name for run in runs for name in run.config)
    rows += [
        (name.replace("_", "-"), [run.config.get(name) for run in runs])
        for name in names
        if name not in _SHOWN_ANYWAY
    ]
    texts = [(run.state.get("corpus") or {}).get("settings") or {} for run in runs]
    of_text = dict.fromkeys(name for text in texts for name in text)
    rows += [
        ("text: " + name.replace("_", "-"), [text.get(name) for text in texts]) for name in of_text
    ]
    return [
        _row("settings", name, values, _setting)
        for name, values in rows
        if any(value != values[0] for value in values[1:])
    ]


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
