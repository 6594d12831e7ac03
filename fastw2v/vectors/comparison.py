"""Several models side by side: their losses, cost, quality, and the settings that differ."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastw2v.errors import UsageError
from fastw2v.io.model_directory import Generation, read_model
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.vectors.evaluation import (
    AnalogyBenchmark,
    PairBenchmark,
    Score,
    evaluate_analogies,
    evaluate_pairs,
    ratio_interval,
    read_analogies,
    read_pairs,
)
from fastw2v.vectors.keyed_vectors import KeyedVectors
from fastw2v.vectors.loss_history import LossHistory

Benchmark = PairBenchmark | AnalogyBenchmark

LAST_SHARE = 0.05  # of the words of a run, over which its last training loss is the mean
HOLDOUT_LOSSES = "holdout_losses"
_BENCHMARKS: dict[str, tuple[str, Callable[[Path], Benchmark]]] = {  # the file and its reader
    "WordSim-353": ("wordsim353.tsv", read_pairs),
    "SimLex-999": ("simlex999.txt", read_pairs),
    "analogies": ("questions-words.txt", read_analogies),
}
# The options that define the training loss; losses are comparable only where these are equal.
_MEASURE = ("type", "window", "window_sampling", "neg_samples", "negatives_per", "ns_exponent",
            "subsample")  # fmt: skip


class Interval(NamedTuple):
    """A figure with its 95 % interval; NaN if unknown."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Run:
    """One model as far as it is trained.

    name: short and unique. words: trained in all, earlier corpora included.
    training_loss: mean over the last twentieth of the words; holdout: the last evaluation;
        both on the present corpus, NaN before its first interval ends.
    losses: float64 (2, m), nats and positives of the held-out sequences in the last evaluation.
    scores: by benchmark.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    state: Mapping[str, Any]
    vocabulary_size: int
    history: LossHistory
    training_loss: float
    holdout: Interval
    losses: np.ndarray | None
    scores: dict[str, Score]

    @property
    def words(self) -> int:
        """Words trained."""
        counts = (self.state.get(name, 0) for name in ("words_before", "words_done"))
        return sum(count for count in counts if isinstance(count, int))

    @property
    def seconds(self) -> float:
        """Training time over all sessions."""
        return float(self.state.get("training_seconds", 0))

    @property
    def words_per_second(self) -> float:
        """Mean over all sessions; NaN where nothing was trained."""
        return self.words / self.seconds if self.seconds > 0 else math.nan

    @property
    def best_holdout(self) -> float:
        """The lowest held-out loss of all evaluations on the present corpus."""
        losses = _known(self.history.holdout_loss[_present(self.history)])
        return float(losses.min()) if len(losses) else math.nan

    @property
    def holdout_softmax(self) -> float:
        """The exact softmax loss on the held-out text, as last measured."""
        return _last(self.history.holdout_softmax[_present(self.history)])

    @property
    def epochs(self) -> float:
        """Epochs over the present corpus, with their fraction."""
        return _last(self.history.epochs_done)

    @property
    def holdout_key(self) -> str | None:
        """Equal for two models whose held-out losses are comparable; None without a held-out loss.

        The same text and share, so the same sequences, and the same type, so the same loss.
        """
        if math.isnan(self.holdout.value):
            return None
        corpus = self.state.get("corpus_hash")
        return repr((corpus, self.config.get("holdout"), self.config.get("type")))

    @property
    def measure(self) -> str:
        """Equal for two models whose training losses are comparable."""
        names = [name for name in _MEASURE if self._matters(name)]
        values = [(name, self.config.get(name)) for name in names]
        return repr((self.state.get("corpus_hash"), values))

    def _matters(self, name: str) -> bool:
        kind = str(self.config.get("type"))
        if name in ("neg_samples", "negatives_per", "ns_exponent") and not kind.endswith("_neg"):
            return False
        return name != "negatives_per" or kind == "sgram_neg"


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _last(values: np.ndarray) -> float:
    """The last finite value; NaN without any."""
    known = _known(values)
    return float(known[-1]) if len(known) else math.nan


def names_of(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that are distinct.

    Raises:
        UsageError: one is given twice.
    """
    parts = [path.resolve().parts for path in paths]
    for place, found in enumerate(parts):
        if found in parts[:place]:
            raise UsageError(f"{paths[place]}: given twice; name different models")
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(found[-length:]) for found in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def common_benchmarks() -> dict[str, Benchmark]:
    """WordSim-353, SimLex-999 and the Google analogies from gensim's data, where it is installed.

    Raises:
        DataError: they are damaged.
    """
    spec = importlib.util.find_spec("gensim")
    if spec is None or not spec.submodule_search_locations:
        return {}
    place = Path(spec.submodule_search_locations[0]) / "test" / "test_data"
    return {
        name: read(place / file)
        for name, (file, read) in _BENCHMARKS.items()
        if (place / file).is_file()
    }


def read_run(
    path: Path,
    name: str,
    benchmarks: Mapping[str, Benchmark],
    on_damage: Callable[[str], None] | None = None,
) -> Run:
    """Read a model, also one that is training now, and score its input vectors.

    Raises:
        UsageError: no model there. DataError: damaged, and no good checkpoint is left.
    """
    run, vectors = read_model(
        path, lambda saved: _read(saved, path, name, bool(benchmarks)), on_damage=on_damage
    )
    if vectors is not None:
        for title, benchmark in benchmarks.items():
            run.scores[title] = (
                evaluate_pairs(vectors, benchmark).score()
                if isinstance(benchmark, PairBenchmark)
                else evaluate_analogies(vectors, benchmark).score()
            )
    return run


def _read(
    saved: Generation, path: Path, name: str, with_vectors: bool
) -> tuple[Run, KeyedVectors | None]:
    config, state = saved.config, saved.state
    corpus_words = state.get("corpus_words")
    words_an_epoch = float(corpus_words) if isinstance(corpus_words, int) else math.nan
    history = LossHistory.of(saved.history(), words_an_epoch)
    vectors = None
    if with_vectors:
        vocabulary = Vocabulary.load(saved.vocabulary_path)
        matrix = saved.matrix("input_vectors")
        vectors = KeyedVectors(vocabulary.tokens, matrix, vocabulary.counts)
    size = int(state["vocabulary_size"])
    run = Run(
        name, path, config, state, size, history, _last_training_loss(history),
        _last_holdout(history), _sequence_losses(saved), {},
    )  # fmt: skip
    return run, vectors


def _present(history: LossHistory) -> np.ndarray:
    """bool (rows,): rows of the present corpus that no rollback undid.

    Losses on an earlier corpus are not comparable with those on this one.
    """
    return (history.leg == history.leg.max(initial=0)) & ~history.given_up


def _last_training_loss(history: LossHistory) -> float:
    known = np.flatnonzero(np.isfinite(history.loss + history.words) & ~history.given_up)
    here = _present(history)[known]
    if not here.any():
        return math.nan
    sizes = np.diff(history.words[known], prepend=0.0)[here]
    words, loss = history.words[known][here], history.loss[known][here]
    late = words > words[-1] * (1 - LAST_SHARE)
    late[-1] = True
    if sizes[late].sum() <= 0:
        return float(loss[-1])
    return float(np.average(loss[late], weights=np.maximum(sizes[late], 0)))


def _last_holdout(history: LossHistory) -> Interval:
    known = np.isfinite(history.holdout_loss) & _present(history)
    figures = (history.holdout_loss, history.holdout_low, history.holdout_high)
    return Interval(*(float(column[known][-1]) if known.any() else math.nan for column in figures))


def _sequence_losses(saved: Generation) -> np.ndarray | None:
    """float64 (2, m): nats and positives of each held-out sequence; None where not kept."""
    from fastw2v.io.untrusted import read_matrix

    file = f"{HOLDOUT_LOSSES}.npy"
    if file not in saved.state["sha256"]:
        return None
    losses = read_matrix(saved.path / file, memory_map=False)
    return losses.astype(np.float64) if losses.shape[0] == 2 else None


def holdout_difference(run: Run, base: Run) -> Interval | None:
    """The held-out loss of `run` minus that of `base`, paired by sequence.

    None unless both saves have the losses of the same sequences.
    """
    if run.losses is None or base.losses is None or run.holdout_key != base.holdout_key:
        return None
    if run.losses.shape != base.losses.shape or (run.losses[1] != base.losses[1]).any():
        return None
    return Interval(*ratio_interval(run.losses[0] - base.losses[0], run.losses[1]))


# Options with rows of their own among the figures of the run.
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
    """A comparison: its rows, and notes on what is not comparable."""

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
    """Tabulate the metrics of models."""
    runs = list(runs)
    notes: list[str] = []
    rows = _about_runs(runs) + _losses(runs, notes) + _quality(runs, notes)
    if any(run.history.events for run in runs):
        kinds = [", ".join(kind for _, kind in run.history.events) for run in runs]
        rows.append(Row("run", "events", [kind or None for kind in kinds], kinds))
    order = ("run", "loss", "quality")
    rows.sort(key=lambda row: order.index(row.about))
    return Table(runs, rows + _settings(runs), notes)


_RUN_ROWS: tuple[tuple[str, Callable[[Run], Any], str, Callable[..., Any] | None], ...] = (
    ("type", lambda run: run.config.get("type"), "{}", None),
    ("dimensions", lambda run: run.config.get("vector_dim"), "{:,}", None),
    ("vocabulary", lambda run: run.vocabulary_size, "{:,}", None),
    ("words trained", lambda run: run.words, "{:,}", None),
    ("epochs", lambda run: run.epochs, "{:.3g}", None),
    ("training seconds", lambda run: run.seconds, "{:,.1f}", None),
    ("words/s", lambda run: run.words_per_second, "{:,.0f}", max),
)


def _about_runs(runs: Sequence[Run]) -> list[Row]:
    return [
        _row("run", name, [value(run) for run in runs], form.format, better)
        for name, value, form, better in _RUN_ROWS
    ]


def _row(
    about: str,
    name: str,
    values: Sequence[Any],
    text: Callable[[Any], str],
    better: Callable[..., Any] | None = None,
) -> Row:
    """A row of values or intervals, unknown ones made None.

    better: min or max; None where no value is better than another.
    """
    figures = [_plain(value.value if isinstance(value, Interval) else value) for value in values]
    known = [
        None if figure is None else value for figure, value in zip(figures, values, strict=True)
    ]
    plain = [
        {part: _plain(number) for part, number in value._asdict().items()}
        if isinstance(value, Interval)
        else value
        for value in known
    ]
    texts = ["" if value is None else text(value) for value in known]
    return Row(about, name, plain, texts, _best(figures, better))


def _plain(value: Any) -> Any:
    """`value`; None for a float that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _best(values: Sequence[Any], better: Callable[..., Any] | None) -> tuple[int, ...]:
    """The indices of the best value; none if all known values are equal."""
    known = [value for value in values if value is not None]
    if better is None or len(set(known)) < 2:
        return ()
    best = better(known)
    return tuple(index for index, value in enumerate(values) if value == best)


def _losses(runs: Sequence[Run], notes: list[str]) -> list[Row]:
    same_measure = len({run.measure for run in runs}) == 1
    if not same_measure:
        notes.append(
            "training losses are not comparable: the models differ in text, type, windows, "
            "negatives or subsampling"
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
        notes.append("held-out losses are comparable: they are of the same sequences")
    better = min if len(keys) == 1 else None
    losses = [run.holdout for run in runs]
    rows.append(_row("loss", "held-out loss", losses, lambda x: _with_half(x, ".4f"), better))
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
    """Why held-out losses are not comparable."""
    texts = {repr((run.state.get("corpus_hash"), run.config.get("holdout"))) for run in runs}
    types = {str(run.config.get("type")) for run in runs}
    reasons = ["the held-out sequences differ"] if len(texts) > 1 else []
    if len(types) > 1:
        reasons.append(f"each type has its own loss ({', '.join(sorted(types))})")
    return "held-out losses are not all comparable: " + ", and ".join(reasons)


def _with_half(found: Interval, form: str, scale: float = 1.0, *, signed: bool = False) -> str:
    """`2.8887 ± 0.0128`: half the interval's width stands for it."""
    half = scale * (found.high - found.low) / 2
    text = f"{scale * found.value:{'+' if signed else ''}{form}}"
    return text if math.isnan(half) else f"{text} ± {half:{form}}"


def _differences(runs: Sequence[Run], group: Sequence[Run]) -> list[Row]:
    """The held-out loss of each run of a group minus that of its first run."""
    if len(group) < 2:
        return []
    base = group[0]
    found = [
        holdout_difference(run, base) if run is not base and run in group else None for run in runs
    ]
    if not any(found):
        return []

    name = f"held-out, minus {base.name}'s"
    return [_row("loss", name, found, lambda d: _with_half(d, ".4f", signed=True))]


def _quality(runs: Sequence[Run], notes: list[str]) -> list[Row]:
    """Scores times 100, on the items whose words a model knows."""
    rows = []
    for name in runs[0].scores:
        scores = [run.scores[name] for run in runs]
        percents = [Interval(100 * s.score, 100 * s.low, 100 * s.high) for s in scores]
        known, items = {score.known for score in scores}, scores[0].items
        title = f"{name} x100, of {max(known):,}" if len(known) == 1 else f"{name} x100"
        rows.append(_row("quality", title, percents, lambda p: _with_half(p, ".1f"), max))
        if len(known) > 1:
            rows.append(
                _row("quality", f"{name}, known of {items:,}", [s.known for s in scores],
                     "{:,}".format)
            )  # fmt: skip
    if any("known of" in row.name for row in rows):
        notes.append(
            "quality: the models know different items, and each is scored on those it knows"
        )
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
