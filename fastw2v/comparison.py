"""Several trained models side by side: what differs, what it cost, and what came of it."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastw2v.errors import UsageError
from fastw2v.loss_history import LossHistory
from fastw2v.model_directory import Generation, read_model
from fastw2v.vectors.benchmarks import AnalogyBenchmark, PairBenchmark, read_analogies, read_pairs
from fastw2v.vectors.evaluate import Score, evaluate_analogies, evaluate_pairs
from fastw2v.vectors.keyed_vectors import KeyedVectors

LAST_SHARE = 0.05  # of the words of a run, over which its last training loss is the mean
HOLDOUT_LOSSES = "holdout_losses"
_PAIRS = {"WordSim-353": "wordsim353.tsv", "SimLex-999": "simlex999.txt"}
_ANALOGIES = {"analogies": "questions-words.txt"}
# What the training loss is a mean over, and of which text: models that differ in it have losses
# that do not compare.
_MEASURE = ("type", "window", "window_sampling", "neg_samples", "negatives_per", "ns_exponent",
            "subsample")  # fmt: skip

Benchmark = PairBenchmark | AnalogyBenchmark


class Interval(NamedTuple):
    """A figure with its 95 % interval; NaN where it is not known."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Run:
    """One model as far as it is trained.

    name: short, and unlike the others'. words: trained in all, on earlier corpora too.
    training_loss: mean over the last twentieth of the words; holdout: of the last evaluation;
        both of the present corpus, NaN where it has just begun.
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
        """Of training, over all sittings."""
        return float(self.state.get("training_seconds", 0))

    @property
    def words_per_second(self) -> float:
        """Over all sittings; NaN where nothing was trained."""
        return self.words / self.seconds if self.seconds > 0 else math.nan

    @property
    def best_holdout(self) -> float:
        """The least held-out loss of all evaluations on the present corpus."""
        losses = self.history.holdout_loss[_present(self.history)]
        losses = losses[np.isfinite(losses)]
        return float(losses.min()) if len(losses) else math.nan

    @property
    def holdout_softmax(self) -> float:
        """The exact softmax loss on the held-out text, as last measured."""
        known = np.isfinite(self.history.holdout_softmax) & _present(self.history)
        values = self.history.holdout_softmax[known]
        return float(values[-1]) if len(values) else math.nan

    @property
    def epochs(self) -> float:
        """Of the present corpus, with their fraction."""
        done = self.history.epochs_done[np.isfinite(self.history.epochs_done)]
        return float(done[-1]) if len(done) else math.nan

    @property
    def holdout_key(self) -> str | None:
        """What two models have in common whose held-out losses compare; None where there is none.

        The same text and share, so the same sequences, and the same type, so the same loss.
        """
        if math.isnan(self.holdout.value):
            return None
        corpus = self.state.get("corpus_hash")
        return repr((corpus, self.config.get("holdout"), self.config.get("type")))

    @property
    def measure(self) -> str:
        """What two models have in common whose training losses compare."""
        names = [name for name in _MEASURE if self._matters(name)]
        values = [(name, self.config.get(name)) for name in names]
        return repr((self.state.get("corpus_hash"), values))

    def _matters(self, name: str) -> bool:
        kind = str(self.config.get("type"))
        if name in ("neg_samples", "negatives_per", "ns_exponent") and not kind.endswith("_neg"):
            return False
        return name != "negatives_per" or kind == "sgram_neg"


def names_of(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart.

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
    found: dict[str, Benchmark] = {}
    for name, file in _PAIRS.items():
        if (place / file).is_file():
            found[name] = read_pairs(place / file)
    for name, file in _ANALOGIES.items():
        if (place / file).is_file():
            found[name] = read_analogies(place / file)
    return found


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
            run.scores[title] = _score(vectors, benchmark)
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
        vocabulary = saved.vocabulary()
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

    What was measured on an earlier corpus does not compare with what others were on this one.
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
    known = np.flatnonzero(np.isfinite(history.holdout_loss) & _present(history))
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    row = known[-1]
    figures = (history.holdout_loss, history.holdout_low, history.holdout_high)
    return Interval(*(float(figure[row]) for figure in figures))


def _sequence_losses(saved: Generation) -> np.ndarray | None:
    """float64 (2, m): nats and positives of each held-out sequence; None where not kept."""
    from fastw2v.npy_files import read_matrix

    file = f"{HOLDOUT_LOSSES}.npy"
    if file not in saved.state["sha256"]:
        return None
    losses = read_matrix(saved.path / file, memory_map=False)
    return losses.astype(np.float64) if losses.shape[0] == 2 else None


def _score(vectors: KeyedVectors, benchmark: Benchmark) -> Score:
    if isinstance(benchmark, PairBenchmark):
        return evaluate_pairs(vectors, benchmark).score()
    return evaluate_analogies(vectors, benchmark).score()


def holdout_difference(run: Run, base: Run) -> Interval | None:
    """The held-out loss of `run` less that of `base`, paired by sequence; None if not to be told.

    That needs the losses of the same sequences in both saves.
    """
    from fastw2v.training.holdout import ratio_interval

    if run.losses is None or base.losses is None or run.holdout_key != base.holdout_key:
        return None
    if run.losses.shape != base.losses.shape or (run.losses[1] != base.losses[1]).any():
        return None
    return Interval(*ratio_interval(run.losses[0] - base.losses[0], run.losses[1]))
