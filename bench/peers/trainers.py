"""Every trainer behind one function: fastw2v, gensim and fastText, each in a process of its own.

What is timed is training alone. "words" are the words of the store read by the trainer, before
subsampling, over all epochs; words/s is that over the wall-clock time of all threads together.

fastw2v     `training_seconds` of the model: without compilation, reading options and saving.
gensim      `Word2Vec.train` in corpus_file mode, its fastest; `build_vocab` is not timed. There, W
            workers lower alpha by their own sentences over `total_examples`, that is by 1/W of the
            way within an epoch, where that is the corpus's. It is given a worker's share, so that
            alpha falls to its end as everybody's does.
fastText    what it prints itself at the end, words/s a thread since its threads started; loading
            the file and building the vocabulary are not in it. It counts the end of each line as a
            word (`</s>`), which is taken off again here. Without subwords (maxn=0), which makes it
            word2vec with a noise exponent of 0.5. It is PyPI's `fasttext-community`: `fasttext`
            itself has no wheels, and `fasttext-wheel` none for current Pythons; where both run
            (Python 3.11) their speeds were equal within noise. Neither takes a seed here.
classic, window_shared
            fastw2v with another kernel in place of its blocks: see bench/speed/rungs.py.
one         fastw2v with blocks of one center.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.lib.common import Corpus, end_of, in_own_process

if TYPE_CHECKING:
    from fastw2v.vectors.keyed_vectors import KeyedVectors

TRAINERS = ("fastw2v", "gensim", "fasttext")
RUNGS = ("classic", "window_shared", "one")
OURS = ("fastw2v", *RUNGS)  # what has our options, our pipeline and our threads
# The types that a peer has.
TYPES = {
    "fastw2v": ("sgram_neg", "cbow_neg", "sgram", "cbow"),
    "gensim": ("sgram_neg", "cbow_neg"),
    "fasttext": ("sgram_neg", "cbow_neg"),
    **dict.fromkeys(RUNGS, ("sgram_neg", "cbow_neg")),
}
ALPHAS = {"sgram_neg": 0.025, "cbow_neg": 0.05}
_FASTTEXT_PROGRESS = re.compile(r"Progress:\s*100\.0%\s+words/sec/thread:\s*(\d+)")


@dataclasses.dataclass(frozen=True)
class Settings:
    """One training run, in terms that all trainers share.

    `reach` is the context on each side (the peers' window=5; fastw2v's --window 11). `alpha` None
    is fastw2v's default, for the types that no peer has. `ours` are further options of fastw2v.
    """

    trainer: str
    type: str
    dim: int = 300
    reach: int = 5
    negatives: int = 5
    subsample: float = 1e-4
    epochs: int = 1
    alpha: float | None = None
    threads: int = 1
    seed: int = 1
    ours: dict[str, Any] = dataclasses.field(default_factory=dict)


def settings_for(trainer: str, model_type: str, **values: Any) -> Settings:
    """Settings with the alpha that peers use for the type; `ours` only reaches `OURS`."""
    ours = dict(values.pop("ours", {}))
    if trainer not in OURS:
        ours.clear()
    if trainer == "one":
        ours["block_size"] = 1
    values.setdefault("alpha", ALPHAS.get(model_type))
    return Settings(trainer, model_type, **values, ours=ours)


def run(settings: Settings, corpus: Corpus, vectors: Path | None = None) -> dict[str, Any]:
    """Train in a new process; returns `words`, `seconds`, `words_per_second` and details.

    With `vectors`, a directory, both matrices are left there for `load_vectors`, `load_outputs`.

    Raises:
        RuntimeError: the trainer failed; with the end of what it printed.
    """
    environment = {}
    if settings.trainer not in OURS:  # their own threads are all that they should have
        environment = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="fastw2v-bench-") as scratch:
        request = {
            "settings": dataclasses.asdict(settings),
            "store": str(corpus.store),
            "text": str(corpus.text),
            "tokens_read": (corpus.words + corpus.sentences) * settings.epochs,
            "words": corpus.words * settings.epochs,
            "scratch": scratch,
            "vectors": str(vectors) if vectors else None,
        }
        try:
            result = in_own_process("bench.peers.trainers:train", request, **environment)
        except RuntimeError as error:
            printed = str(error).partition("\n")[2]
            raise RuntimeError(f"{settings.trainer} {settings.type} failed:\n{printed}") from error
    result["words_per_second"] = result["words"] / result["seconds"]
    return result


def load_vectors(directory: Path) -> KeyedVectors:
    """What a trainer left in `directory`, as fastw2v's `KeyedVectors`."""
    import numpy as np

    from fastw2v.vectors.keyed_vectors import KeyedVectors

    keys = json.loads((directory / "keys.json").read_text(encoding="utf-8"))
    return KeyedVectors(keys, np.load(directory / "vectors.npy", allow_pickle=False))


def load_outputs(directory: Path) -> Any:
    """The output vectors beside `load_vectors`: float32, the same rows."""
    import numpy as np

    return np.load(directory / "outputs.npy", allow_pickle=False)


def _leave_vectors(directory: str | None, keys: list[str], matrix: Any, outputs: Any) -> None:
    import numpy as np

    if directory is not None:
        place = Path(directory)
        place.mkdir(parents=True, exist_ok=True)
        for name, values in (("vectors", matrix), ("outputs", outputs)):
            values = np.asarray(values, dtype=np.float32)
            np.save(place / f"{name}.npy", values, allow_pickle=False)
        (place / "keys.json").write_text(json.dumps(keys, ensure_ascii=False), encoding="utf-8")


def _train_fastw2v(settings: Settings, job: dict[str, Any]) -> dict[str, Any]:
    import numba

    from bench.lib import memory
    from fastw2v.training.api import train

    ages = memory.note_first_updates()
    options: dict[str, Any] = {
        "type": settings.type,
        "window": 2 * settings.reach + 1,
        "vector_dim": settings.dim,
        "epochs": settings.epochs,
        "alpha": settings.alpha,
        "threads": settings.threads,
        "seed": settings.seed,
        "save_interval": 1e9,
        "checkpoint_epochs": 0,
    }
    if settings.type.endswith("_neg"):
        options |= {"neg_samples": settings.negatives, "subsample": settings.subsample}
    if settings.type.startswith("cbow"):
        options["cbow_gradient"] = "word2vec"  # the peers'
    options |= {"holdout": 0, **settings.ours}  # all words are trained, as the others do
    began = time.perf_counter()
    model = train(
        job["store"],
        Path(job["scratch"]) / "model",
        **{name: value for name, value in options.items() if value is not None},
    )
    whole = time.perf_counter() - began
    account = memory.account(model, ages)
    _leave_vectors(
        job["vectors"], list(model.wv.index_to_key), model.wv.vectors, model.output_vectors
    )
    return {
        "words": int(model.words_done),
        "seconds": float(model.training_seconds),
        "compile_seconds": model.compile_seconds,
        "seconds_with_compilation_and_saving": whole,
        "threading_layer": numba.threading_layer() if settings.threads > 1 else None,
        "losses": [row["loss"] for row in model.history],
        "block_size": model.config["block_size"],
        "pool_size": model.config["pool_size"],
        **account,
    }


def _train_rung(settings: Settings, job: dict[str, Any]) -> dict[str, Any]:
    from bench.speed import rungs

    with rungs.in_place_of_blocks(rungs.RUNGS[settings.trainer]):
        return _train_fastw2v(settings, job)


def _train_gensim(settings: Settings, job: dict[str, Any]) -> dict[str, Any]:
    from gensim.models import word2vec

    if word2vec.CORPUSFILE_VERSION < 0:
        raise RuntimeError("gensim without its compiled corpus_file mode is no fair peer")
    model = word2vec.Word2Vec(
        vector_size=settings.dim,
        window=settings.reach,
        min_count=1,  # the text holds only words of the vocabulary
        sample=settings.subsample,
        sg=int(settings.type == "sgram_neg"),
        hs=0,
        negative=settings.negatives,
        ns_exponent=0.75,
        cbow_mean=1,
        alpha=settings.alpha,
        min_alpha=settings.alpha / 10_000 if settings.alpha else None,
        workers=settings.threads,
        seed=settings.seed,
        epochs=settings.epochs,
    )
    model.build_vocab(corpus_file=job["text"])
    began = time.perf_counter()
    _, read = model.train(
        corpus_file=job["text"],
        # Each worker sets the sentences that it alone has read against this to lower alpha, so it
        # is a worker's share. Nothing else hangs on it: where a worker ends, total_words says.
        total_examples=-(-model.corpus_count // settings.threads),
        total_words=model.corpus_total_words,
        epochs=settings.epochs,
    )
    seconds = time.perf_counter() - began
    _leave_vectors(job["vectors"], list(model.wv.index_to_key), model.wv.vectors, model.syn1neg)
    words = model.corpus_total_words * settings.epochs
    if read < 0.99 * words:
        raise RuntimeError(f"gensim read {read:,} of {words:,} words; its time means nothing")
    return {"words": words, "seconds": seconds}


def fasttext_seconds(printed: str, tokens: int, threads: int) -> float:
    """Seconds of training by the rate that fastText prints last, over the tokens that it read."""
    rates = _FASTTEXT_PROGRESS.findall(printed)
    if not rates:
        raise RuntimeError(f"fasttext printed no final words/sec/thread:\n{end_of(printed)}")
    return tokens / (int(rates[-1]) * threads)


@contextlib.contextmanager
def _standard_error() -> Iterator[Callable[[], str]]:
    """Gives a function that reads, inside the block, what it wrote to standard error, C++ too."""
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 1 << 30, 0).decode("utf-8", "replace")
        finally:
            os.dup2(before, 2)
            os.close(before)


def _train_fasttext(settings: Settings, job: dict[str, Any]) -> dict[str, Any]:
    import fasttext

    began = time.perf_counter()
    with _standard_error() as printed:
        model = fasttext.train_unsupervised(
            job["text"],
            model="skipgram" if settings.type == "sgram_neg" else "cbow",
            dim=settings.dim,
            ws=settings.reach,
            neg=settings.negatives,
            t=settings.subsample,
            lr=settings.alpha,
            epoch=settings.epochs,
            minCount=1,
            minn=0,
            maxn=0,
            loss="ns",
            thread=settings.threads,
            verbose=2,  # prints the words/s that are read here
        )
        rates = printed()
    whole = time.perf_counter() - began
    words = len(model.words)
    inputs, outputs = model.get_input_matrix()[:words], model.get_output_matrix()[:words]
    _leave_vectors(job["vectors"], list(model.words), inputs, outputs)
    seconds = fasttext_seconds(rates, job["tokens_read"], settings.threads)
    return {"words": job["words"], "seconds": seconds, "seconds_with_vocabulary": whole}


_TRAIN = {
    "fastw2v": _train_fastw2v,
    "one": _train_fastw2v,
    "classic": _train_rung,
    "window_shared": _train_rung,
    "gensim": _train_gensim,
    "fasttext": _train_fasttext,
}


def train(request: dict[str, Any]) -> dict[str, Any]:
    """Train as `run` asks for, in the process that it starts."""
    settings = Settings(**request["settings"])
    return _TRAIN[settings.trainer](settings, request)
