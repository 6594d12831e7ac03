"""The tables of every benchmark, made of the dictionary in its result file.

Benchmarks print these tables at their end; `bench.report` writes them to docs/benchmarks.md.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any, NamedTuple

from bench.lib.tables import Table, interval, megabytes, percent, rate
from fastw2v.io.machine import readable_bytes

Row = dict[str, Any]
ONE_CORE = "fastw2v, 1 thread"
# Names in tables and pictures where they are not the trainer's own.
SHOWN = {"fasttext": "fastText", "word2vec": "word2vec.c", "pword2vec": "pWord2Vec"}
SOFTMAX_SHOWN = {
    ("fastw2v", "cbow"): "fastw2v, cbow",
    ("fastw2v", "sgram"): "fastw2v, sgram",
    ("torch", "cbow"): "PyTorch, cbow",
    ("numpy", "cbow"): "NumPy, float32, cbow",
    ("dense", "cbow"): "NumPy, float64, one-hots, cbow",
    ("fasttext", "cbow"): "fastText -loss softmax, cbow",
}
RUNGS = ("reference", "classic", "window_shared", "block")
TESTS = ("WordSim-353", "SimLex-999", "analogies")
MEAN, LOSS = "mean of the three", "held-out loss"


# --- speed ---


def throughput(result: Row) -> list[Table]:
    """Words/s of every trainer; flops, threads, memory and start-up of fastw2v."""
    trainers = []
    for row in result["summary"]:
        if row["trainer"] != ONE_CORE:  # a column of the second table
            times = row["fastw2v_is_times"]
            trainers.append([
                row["type"], str(row["dim"]), SHOWN.get(row["trainer"], row["trainer"]),
                rate(row["median"]), f"{rate(row['slowest'])} to {rate(row['fastest'])}",
                "" if row["trainer"] == "fastw2v" or not times else f"{times:.1f} times",
            ])  # fmt: skip
    ours = [
        [
            row["type"], str(row["dim"]), _of(row, "{block_size} x {pool_size}"),
            _of(row, "{all_cores[gflops]:.0f}"),
            *(percent((row.get("all_cores") or {}).get(name))
              for name in ("sgemm_share", "best_sgemm_share")),
            _of(row, "{threads}: {speed_up:.2f}"), megabytes(row.get("beyond")),
            _of(row, "{startup_seconds:.1f}"),
        ]
        for row in result.get("ours", ())
    ]  # fmt: skip
    return [
        Table(
            "Words read per second, before subsampling; building the vocabulary, compiling and "
            "saving are excluded. All trainers in one run; medians and ranges of interleaved "
            "repeats.",
            ["model", "dim", "trainer", "words/s", "range", "fastw2v is"],
            trainers,
        ),
        Table(
            "fastw2v in the same run. Block: centers x noise words. GFLOP/s: 6 · dim · (noise "
            "words + mean contexts) per kept token (CBOW: without contexts), as a share of "
            "NumPy's sgemm as installed and with the fastest OpenBLAS kernels. Threads: all "
            "against one held to a core. Memory: beyond matrices and vocabulary. Start-up: from "
            "the start of the process to the first update.",
            ["model", "dim", "block", "GFLOP/s", "of sgemm", "of the fastest sgemm",
             "threads: speed-up", "memory, MB", "start-up, s"],
            ours,
        ),
    ]  # fmt: skip


def _of(row: Row, template: str) -> str:
    """The template filled in; "" where something in it was not measured."""
    try:
        return template.format(**row)
    except (KeyError, TypeError):
        return ""


def kernels(result: Row) -> list[Table]:
    """Kept tokens/s of the rungs of the ladder."""
    groups: dict[tuple[str, int, int], dict[str, str]] = {}
    for row in result["rows"]:
        cells = groups.setdefault((row["type"], row["dim"], row["threads"]), {})
        cells[row["rung"]] = f"{rate(row['kept_tokens_per_second'])} ({row['gflops']:.3g})"
    rungs = [rung for rung in RUNGS if any(rung in cells for cells in groups.values())]
    rows = [
        [*map(str, group), *(cells.get(rung, "") for rung in rungs)]
        for group, cells in groups.items()
    ]
    caption = (
        "The kernels alone: tokens kept by subsampling per second (GFLOP/s of each one's work). "
        "`reference` and `classic`: word2vec's updates in NumPy and in Numba; `window_shared`: "
        "noise words shared by a window, as in pWord2Vec; `block`: the kernel that trains. Each "
        "is validated before it is timed."
    )
    return [Table(caption, ["model", "dim", "threads", *rungs], rows)]


def scaling(result: Row) -> list[Table]:
    """Speed by threads; time and memory by size of the corpus."""
    threads, sizes = [], []
    for row in result["rows"]:
        cells = [row["type"], str(row["dim"])]
        if row["part"] == "threads":
            times = row.get("speed_up")
            threads.append([*cells, str(row["threads"]), rate(row["words_per_second"]),
                            "" if times is None else f"{times:.2f}"])  # fmt: skip
        else:
            sizes.append([*cells, f"{row['times']} x", f"{row['words'] / 1e6:.1f} M",
                          f"{1e9 / row['words_per_second']:.0f}",
                          megabytes(row["beyond"])])  # fmt: skip
    return [
        Table("Speed by threads; t threads are held to t cores.",
              ["model", "dim", "threads", "words/s", "speed-up"], threads),
        Table("Cost by size of the corpus, at the same vocabulary. Memory: beyond matrices and "
              "vocabulary.",
              ["model", "dim", "corpus", "words", "ns per word", "memory, MB"], sizes),
    ]  # fmt: skip


# --- what a run costs ---


def _name(run: Row) -> str:
    threads = run["threads"]
    return f"{run['type']}, dim {run['dim']}, {threads} thread{'s' * (threads != 1)}"


def costs(result: Row) -> list[Table]:
    """What saves and the held-out loss take of a run's time."""
    saves = [
        [
            _name(run), megabytes(run["matrix_bytes"]), f"{run['training_seconds']:.0f}",
            str(run["saves"][-1]["saves"]), percent(run["costs"]["background"], 2),
            percent(run["costs"]["share"], 2),
        ]
        for run in result.get("saves", ())
    ]  # fmt: skip
    holdout = [
        [
            _name(run), f"{run['vocabulary']:,}", f"{run['training_seconds']:.0f}",
            str(run["evaluations"]),
            *(percent(run["costs"][name], 2) for name in ("scan", "evaluations", "exact", "share")),
        ]
        for run in result.get("holdout", ())
    ]  # fmt: skip
    return [
        Table(
            "Saves every 30 seconds: seconds that training stands still plus CPU seconds of the "
            "writing thread, as a share of training time. The first and the last save count in "
            "`all` only.",
            ["model", "matrices, MB", "training, s", "saves", "between first and last", "all"],
            saves,
        ),
        Table(
            "Held-out loss, as a share of training time: the scan for held-out sequences before "
            "the start, the evaluations, and the exact softmax loss at the end of the `_neg` "
            "types.",
            ["model", "vocabulary", "training, s", "evaluations", "scan", "evaluating", "exact",
             "all"],
            holdout,
        ),
    ]  # fmt: skip


def estimates(result: Row) -> list[Table]:
    """Memory and disk as checked before a run, against what it then takes."""
    rows = [
        [_name(run), f"{run['vocabulary']:,}",
         *(cell for name in ("memory", "disk")
           for cell in (megabytes(run["measured"][name]), error(run["errors"][name])))]
        for run in result["runs"]
    ]  # fmt: skip
    caption = (
        "Memory and disk that are checked before a run starts, against what it then takes "
        "(error: estimated / measured - 1). Memory: the peak of the process; disk: the most that "
        "the model directory takes."
    )
    titles = ["model", "vocabulary", "memory, MB", "error", "disk, MB", "error"]
    return [Table(caption, titles, rows)]


def error(share: float | None) -> str:
    """estimated / measured - 1 in percent."""
    return "" if share is None else f"{100 * share:+.0f} %"


def deterministic(result: Row) -> list[Table]:
    """The price of deterministic training."""
    rows = []
    for row in result["rows"]:
        both = [row[method] for method in ("hogwild", "deterministic")]
        rows.append([
            row["type"], str(row["dim"]), str(row["threads"]),
            *(rate(each["words_per_second"]) for each in both),
            "{:.2f} ({:.2f} to {:.2f})".format(*row["ratio"]),
            *(f"{each['holdout_loss']:.3f}" for each in both),
        ])  # fmt: skip
    caption = (
        "The price of `--deterministic`: words/s and held-out loss beside the default's. Medians "
        "of interleaved repeats; the ratio's median and range are over neighboring runs. All "
        "deterministic runs of a model end with the same bytes at any number of threads."
    )
    titles = ["model", "dim", "threads", "default, words/s", "deterministic, words/s", "ratio",
              "loss, default", "loss, deterministic"]  # fmt: skip
    return [Table(caption, titles, rows)]


# --- quality ---


def quality(result: Row) -> list[Table]:
    """Scores of every trainer and their differences from gensim, a table per dim and epochs."""
    summary = result["summary"]
    if not summary:
        return []
    found = {
        (row["dim"], row["epochs"], row["model"], row["trainer"], row["comparison"]): row
        for row in result["comparisons"]
    }
    titles = ["model", "trainer", "alpha", "seeds", *TESTS, "mean", "mean less gensim's",
              LOSS, "loss less gensim's"]  # fmt: skip
    tables = []
    for dim, epochs in dict.fromkeys((row["dim"], row["epochs"]) for row in summary):
        rows = []
        for row in summary:
            if (row["dim"], row["epochs"]) == (dim, epochs):
                key = (dim, epochs, row["model"], row["trainer"])
                mean, loss = found.get((*key, MEAN)), found.get((*key, LOSS))
                rows.append([
                    row["model"], _trainer(row), f"{row['settings']['alpha']:g}",
                    str(row["seeds"]), *(f"{100 * score:.1f}" for score in row["scores"].values()),
                    interval(mean, 1, 100) if mean else "", f"{row['holdout']:.3f}",
                    interval(loss, 3) if loss else "",
                ])  # fmt: skip
        tables.append(Table(f"**dim {dim}, {_epochs(epochs)}**", titles, rows))
    return [tables[0]._replace(caption=f"{_quality_caption(result)}\n\n{tables[0].caption}"),
            *tables[1:]]  # fmt: skip


def _quality_caption(result: Row) -> str:
    held_out, summary = result["corpus"]["holdout"], result["summary"]

    def values(name: str) -> str:
        return " or ".join(f"{value:g}" for value in sorted({r["settings"][name] for r in summary}))

    return (
        f"Equal hyperparameters (1 to {values('reach')} words a side, uniformly; "
        f"{values('negatives')} negatives per pair; subsample {values('subsample')}; "
        f"{values('threads')} threads) and one evaluator for all. Spearman and accuracy times "
        f"100, and their mean; held-out loss in nats per positive on {held_out['tokens']:,} tokens "
        "that no trainer saw. Means over the seeds; 95 % intervals of a bootstrap over items and "
        "seeds. `classic`: word2vec.c's update in our pipeline; `one`: our blocks with one "
        "center. `cbow_neg`: the peers' gradient and alpha; `cbow_neg_mean`: our defaults."
    )


def _epochs(epochs: int) -> str:
    return f"{epochs} epoch{'s' if epochs > 1 else ''}"


def _trainer(row: Row) -> str:
    """The trainer, with the options that neither its name nor the model's implies."""
    implied = {"cbow_gradient", *(["block_size"] if row["trainer"] == "one" else [])}
    ours = row["settings"]["ours"]
    more = ", ".join(f"{name} {ours[name]}" for name in sorted(ours) if name not in implied)
    name = SHOWN.get(row["trainer"], str(row["trainer"]))
    return f"{name} ({more})" if more else name


def sweep(result: Row) -> list[Table]:
    """Mean score, held-out loss and speed by T and N, a table per model."""
    summary, tables = result["summary"], []
    groups = dict.fromkeys((row["dim"], row["epochs"], row["model"]) for row in summary)
    for dim, epochs, model in groups:
        rows = [r for r in summary if (r["dim"], r["epochs"], r["model"]) == (dim, epochs, model)]
        cells = {(row["block_size"], row["pool_size"]): _sweep_cell(row) for row in rows}
        pools, blocks = (sorted({key[place] for key in cells}) for place in (1, 0))
        tables.append(Table(
            f"{model}, dim {dim}, {_epochs(epochs)}, {rows[0]['seeds']} seed"
            f"{'s' if rows[0]['seeds'] > 1 else ''}: mean of the three times 100, held-out loss, "
            "million words/s.",
            ["centers per block T", *(f"N = {pool}" for pool in pools)],
            [[f"T = {block}", *(cells.get((block, pool), "") for pool in pools)]
             for block in blocks],
        ))  # fmt: skip
    return tables


def _sweep_cell(row: Row) -> str:
    if row["mean"] is None:
        return "diverged"
    figures = f"{100 * row['mean']:.1f}, {row['holdout']:.3f}, {row['words_per_second'] / 1e6:.1f}"
    return figures + (f" ({row['diverged']} diverged)" if row["diverged"] else "")


def robustness(result: Row) -> list[Table]:
    """How many pairs of runs end in which way."""
    verdicts = {
        "both train": "both train", "worse": "both train, blocks at a higher loss",
        "both diverge": "both diverge", "only classic diverges": "only classic diverges",
        "BLOCKS DIVERGE, CLASSIC DOES NOT": "only blocks diverge", "no result": "no result",
    }  # fmt: skip
    groups: dict[tuple[str, str], collections.Counter[str]] = {}
    for cell in result["cells"]:
        key = cell["corpus"], cell["model"]
        groups.setdefault(key, collections.Counter())[cell["verdict"]] += 1
    most = max((cell["alpha_times"] for cell in result["cells"]), default=1)
    caption = (
        f"Small corpora and learning rates up to {most:g} times the default: pairs of runs, one "
        "with our blocks and one with word2vec's own updates (`classic`), by how they end."
    )
    rows = [[*key, *(str(found[name]) for name in verdicts)] for key, found in groups.items()]
    return [Table(caption, ["corpus", "model", *verdicts.values()], rows)]


# --- the full softmax ---


def softmax(result: Row) -> list[Table]:
    """Words/s and GFLOP/s of every trainer by size of the vocabulary."""
    rows = []
    for row in result["summary"]:
        times, name = row["fastw2v_is_times"], (row["trainer"], row["type"])
        rows.append([
            f"{row['vocabulary']:,}", SOFTMAX_SHOWN[name], rate(row["median"]),
            f"{row['gflops']:.3g}", percent(row["sgemm_share"]), percent(row["best_sgemm_share"]),
            "" if name == ("fastw2v", "cbow") or times is None
            else f"{times:.{2 if times < 10 else 0}f} times",
            megabytes(row["buffers"]),
        ])  # fmt: skip
    settings = result["settings"]
    torch = f" PyTorch is {result['torch']}." if result.get("torch") else ""
    caption = (
        f"Words read per second in training with the full softmax; dim {settings['dim']}, batches "
        f"of {settings['batch_size']}, window {settings['window']}, no subsampling. Medians of "
        "interleaved repeats. Flops: 6 · vocabulary · dim per softmax; `cbow` has one per center "
        "word, `sgram` one per distinct center word of a batch. Memory: beyond the matrices and "
        f"the libraries.{torch} Each trainer but fastText is validated before it is timed."
    )
    titles = ["vocabulary", "trainer", "words/s", "GFLOP/s", "of sgemm", "of the fastest sgemm",
              "fastw2v's cbow is", "memory, MB"]  # fmt: skip
    return [Table(caption, titles, rows)]


SOFTMAX_ROLE = "softmax"


def softmax_quality(result: Row) -> list[Table]:
    """Scores and perplexity of the full softmax and of negative sampling."""
    summary, settings = result["summary"], result["settings"]
    if not summary:
        return []
    found = {
        (row["family"], row["role"]): row
        for row in result["comparisons"]
        if row["comparison"] == MEAN
    }
    rows = []
    for row in summary:
        difference = found.get((row["family"], row["role"]))
        own = row["role"] == SOFTMAX_ROLE
        fewest, most = row["epochs"]
        rows.append([
            row["type"] if own else f"{row['type']}, {row['role']}", f"{row['alpha']:g}",
            f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}",
            f"{row['seconds']:,.{1 if row['seconds'] >= 10 else 2}f}",
            rate(row["words_per_second"]),
            *(f"{100 * score:.1f}" for score in row["scores"].values()),
            interval(difference, 1, 100) if difference else "",
            perplexity(row["perplexity"]), "" if own else perplexity(row["raw_perplexity"]),
        ])  # fmt: skip
    known = ", ".join(f"{test} {k:,} of {n:,}" for test, (k, n) in summary[0]["known"].items())
    caption = (
        f"The {result['corpus']['vocabulary']:,} most frequent words, "
        f"{result['corpus']['words']:,} words per epoch, dim {settings['dim']}, window "
        f"{settings['window']}, subsample {settings['subsample']:g}, {settings['threads']} threads."
        " Negative sampling for as many epochs as the softmax, and for as many as fit into its "
        f"training time. Seeds: {max(row['seeds'] for row in summary)}. Known items: {known}. The "
        "difference has the 95 % interval of a bootstrap over items and seeds. Perplexity is "
        "exact, on held-out text subsampled as in training: by the softmax of the scores for "
        "`sgram` and `cbow`, by p ∝ p_noise · exp(score) for negative sampling, whose raw softmax "
        "is in the last column. Skip-gram predicts context words and CBOW the center: do not "
        "compare the two."
    )
    titles = ["model", "alpha", "epochs", "seconds", "words/s", *TESTS, "mean",
              "less the softmax's", "perplexity", "raw softmax's"]  # fmt: skip
    return [Table(caption, titles, rows)]


def perplexity(value: float) -> str:
    """In three or more figures."""
    if value >= 1e6:
        return f"{value:.2g}"
    return f"{value:,.{1 if value < 100 else 0}f}"


# --- preprocess ---


def part_of(summary: list[Row], part: str) -> list[Row]:
    """The rows of a part; those of part size from the smallest text on."""
    rows = [row for row in summary if row["part"] == part]
    return sorted(rows, key=lambda row: row["size"]) if part == "size" else rows


def ours_of(summary: list[Row], tokenizer: str, form: str = "shards") -> list[Row]:
    """fastw2v's rows of part speed, from the fewest workers on."""
    facts = ("fastw2v", tokenizer, form)
    rows = part_of(summary, "speed")
    rows = [r for r in rows if (r["work"], r.get("tokenizer"), r.get("form")) == facts]
    return sorted(rows, key=lambda row: row["workers"])


def preprocess(result: Row) -> list[Table]:
    """Speed beside the peers, phases, ratios, cost by size, and text of new words only."""
    summary, settings = result["summary"], result["settings"]
    speed, sizes = part_of(summary, "speed"), part_of(summary, "size")
    timed = ours_of(summary, "words") + ours_of(summary, "whitespace")
    phases = list(dict.fromkeys(phase for row in timed for phase in row["phases"]))
    return [
        Table(
            "Text to a finished token store, MB/s of uncompressed text over the whole call. "
            f"{settings['size']:g} GB in {settings['shards']} shards, read from the page cache. "
            "The peers only count words between white space; last column: our `whitespace` as a "
            "multiple, store included. Medians of interleaved repeats; peak MB: resident in all "
            "processes together.",
            ["", "MB/s", "range", "MB/s per core", "CPU s per GB", "peak MB", "whitespace is"],
            [[row["name"], *_speed_cells(summary, row)] for row in speed],
        ),
        Table("Seconds by phase.", ["", *phases],
              [[row["name"], *(f"{row['phases'].get(phase, 0.0):.2f}" for phase in phases)]
               for row in timed]),
        Table("Ratios of the rates above.", ["", "ratio"],
              [[name, f"{value:.2f}"] for name, value in preprocess_ratios(summary).items()]),
        Table(
            "Cost by size of the text, in shards of "
            f"{readable_bytes(settings['size_shard'])}. Private: memory that no file backs; disk: "
            "the most that the run took, its store included, its text not.",
            ["text", "seconds", "MB/s", "ns per byte", "ns per further byte", "peak MB",
             "private MB", "disk, MB"],
            [_size_cells(sizes, place) for place in range(len(sizes))],
        ),
        Table(
            "Random words, nearly all of them new, with a min-count of 5. Exact counts are "
            "checked against the known ones.",
            ["counts", "text, MB", "seconds", "MB/s", "peak MB", "private MB", "disk, MB",
             "different", "vocabulary", "largest count error"],
            [_new_words_cells(row) for row in part_of(summary, "new_words")],
        ),
    ]  # fmt: skip


def _speed_cells(summary: list[Row], row: Row) -> list[str]:
    rate_, disk = row["bytes_per_second"], row["work"] == "disk"
    seconds = None if disk else row["cpu_seconds"]
    ours = ours_of(summary, "whitespace")
    times = ""
    if ours and row["work"] in ("gensim", "word2vec", "counter"):
        most, one = (each["bytes_per_second"] / rate_ for each in (ours[-1], ours[0]))
        times = f"{most:.1f} times (1 worker: {one:.1f})"
    return [
        megabytes(rate_), f"{megabytes(row['slowest'])}–{megabytes(row['fastest'])}",
        megabytes(rate_ / row["workers"] if "workers" in row else None),
        "" if seconds is None else f"{1e9 * seconds / row['text_bytes']:.1f}",
        megabytes(None if disk else row["peak_memory"]), times,
    ]  # fmt: skip


def _size_cells(rows: list[Row], place: int) -> list[str]:
    """A row; a further byte: the seconds for each byte more than in the row before."""
    row, further = rows[place], ""
    if place:
        seconds, size = (row[name] - rows[place - 1][name] for name in ("seconds", "size"))
        further = f"{1e9 * seconds / size:.2f}"
    return [
        readable_bytes(row["size"]), f"{row['seconds']:.1f}", megabytes(row["bytes_per_second"]),
        f"{1e9 / row['bytes_per_second']:.2f}", further, megabytes(row["peak_memory"]),
        megabytes(row["private_memory"]), megabytes(row["disk"]),
    ]  # fmt: skip


def _new_words_cells(row: Row) -> list[str]:
    names = ("different_tokens", "vocabulary_size", "count_error")
    return [
        row["form"], megabytes(row["text_bytes"]), f"{row['seconds']:.1f}",
        *(megabytes(row[name])
          for name in ("bytes_per_second", "peak_memory", "private_memory", "disk")),
        *(f"{row['report'][name]:,}" for name in names),
    ]  # fmt: skip


def preprocess_ratios(summary: list[Row]) -> dict[str, float]:
    """What the rates come to: more workers, one file, gz against its bound, a larger text.

    The bound of gz is the plain text's time after that of unpacking alone: what would be reached
    if nothing overlapped.
    """

    def last(rows: list[Row]) -> float | None:
        return rows[-1]["bytes_per_second"] if rows else None

    found = {}
    for tokenizer in ("words", "whitespace"):
        rows = ours_of(summary, tokenizer)
        if len(rows) > 1 and rows[0]["workers"] == 1:
            times = rows[-1]["bytes_per_second"] / rows[0]["bytes_per_second"]
            found[f"{rows[-1]['workers']} workers to 1, {tokenizer}"] = times
    plain, whole = last(ours_of(summary, "words")), last(ours_of(summary, "words", "one file"))
    packed = last(ours_of(summary, "words", "gz"))
    unpack = last([row for row in part_of(summary, "speed") if row["work"] == "unpack"])
    if plain and whole:
        found["one file to shards"] = whole / plain
    if plain and packed and unpack:
        found["gz to the bound of unpacking first"] = packed * (1 / plain + 1 / unpack)
    sizes = part_of(summary, "size")
    if len(sizes) > 1:
        first, other = sizes[0], sizes[-1]
        name = f"cost per byte, {readable_bytes(other['size'])} to {readable_bytes(first['size'])}"
        found[name] = first["bytes_per_second"] / other["bytes_per_second"]
    return found


class Section(NamedTuple):
    """One result file in the document."""

    title: str
    command: str
    tables: Callable[[Row], list[Table]]
    version: int = 1  # of the file's layout


SECTIONS = {
    "throughput": Section("Training speed", "bench.speed.throughput", throughput),
    "quality": Section("Quality", "bench.quality.quality", quality, 3),
    "sweep": Section("Quality by block and pool size", "bench.quality.sweep", sweep, 3),
    "kernels": Section("Kernels", "bench.speed.kernels", kernels),
    "scaling": Section("Threads and size of the corpus", "bench.speed.scaling", scaling),
    "deterministic": Section("Deterministic training", "bench.speed.deterministic", deterministic),
    "softmax": Section("Full softmax", "bench.softmax.speed", softmax),
    "softmax_quality": Section(
        "Full softmax or negative sampling", "bench.softmax.quality", softmax_quality
    ),
    "preprocess": Section("Preprocessing", "bench.preprocess.speed", preprocess),
    "robustness": Section("Large learning rates", "bench.quality.robustness", robustness),
    "costs": Section("Saves and held-out loss", "bench.speed.costs", costs),
    "estimates": Section("Memory and disk", "bench.speed.estimates", estimates),
}
