"""The sections of the README about the full softmax, each from its result file."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from bench import softmax_quality_summary as quality_summary
from bench.readme_speed import prose, table, where
from bench.softmax_summary import SHOWN, TITLES, cells_of, estimate_range, memory_of, sgram_speed


def softmax_section(result: dict[str, Any]) -> list[str]:
    """Words/s and GFLOP/s of every trainer by size of the vocabulary, and the memory."""
    summary, settings = result["summary"], result["settings"]
    if not summary:
        return []
    rows = [
        [f"{row['vocabulary']:,}", SHOWN[row["trainer"], row["type"]], *cells_of(row)]
        for row in summary
    ]
    names = {row["trainer"] for row in summary}
    excepted = ", fastText excepted" if "fasttext" in names else ""
    lines = [
        *prose(
            "The full softmax, words read a second in training (building the vocabulary, compiling",
            f"and saving excluded), dim {settings['dim']}, batches of {settings['batch_size']},",
            f"window {settings['window']}, no subsampling; one run, medians of interleaved",
            "repeats. Flops are counted as 6 · vocabulary · dim a softmax, of which `cbow` has one",
            "a center word and `sgram` one for each distinct center word of a batch, and set",
            "against the machine's own sgemm, as NumPy has it there and with the fastest of",
            f"OpenBLAS's kernels.{_pytorch(result)} Each was validated before it was",
            f"timed{excepted}:",
        ),
        "",
        *table(["vocabulary", "trainer", *TITLES], rows),
    ]
    notes = []
    if faster := sgram_speed(summary):
        found = ", ".join(f"{times:.2f} at {words:,} words" for words, times in faster.items())
        notes.append(f"`sgram` as a multiple of `cbow` in words/s: {found}.")
    if errors := estimate_range(summary):
        low, high = (f"{100 * error:+.0f} %" for error in errors)
        notes.append(f"The time that is said before a run starts was off by {low} to {high}.")
    if most := memory_of(summary):
        notes.append(
            f"Memory beyond the two matrices and the libraries, at the most: "
            f"{most['buffers'] / 1e6:.0f} MB (`{most['type']}`, {most['vocabulary']:,} words)."
        )
    if notes:
        lines += ["", *prose(*notes)]
    return [*lines, "", f"`python -m bench.softmax`, {where(result)}."]


def _pytorch(result: dict[str, Any]) -> str:
    """Its version and the sgemm that it has itself, where it ran."""
    runs = [run for run in result["runs"] if run["trainer"] == "torch"]
    if not runs:
        return ""
    sgemm = statistics.median(run["sgemm_gflops"] for run in runs)
    return f" PyTorch is {result['torch']}, whose own sgemm reaches {sgemm:.0f} GFLOP/s."


def softmax_quality_section(result: dict[str, Any]) -> list[str]:
    """Scores and perplexity of the full softmax and of negative sampling, and their differences."""
    summary, comparisons = result["summary"], result["comparisons"]
    if not summary:
        return []
    rows = []
    for row in summary:
        found = quality_summary.difference_of(comparisons, row)
        cells = quality_summary.cells_of(row)
        less = quality_summary.points(found) if found else ""
        name, alpha = quality_summary.title_of(row), f"{row['alpha']:g}"
        rows.append([name, alpha, *cells[:-2], less, *cells[-2:]])
    titles = quality_summary.TITLES
    return [
        "**When is the full softmax worth it?**",
        "",
        *_how_measured(result),
        "",
        *table(["model", "alpha", *titles[:-2], "less the softmax's", *titles[-2:]], rows),
        "",
        *prose(*_answers(summary, comparisons)),
        "",
        f"`python -m bench.softmax_quality`, {where(result)}.",
    ]


def _how_measured(result: dict[str, Any]) -> list[str]:
    """What the columns of the table are."""
    settings, corpus, summary = result["settings"], result["corpus"], result["summary"]
    several = max(row["seeds"] for row in summary) > 1
    return prose(
        f"The {corpus['vocabulary']:,} most frequent words, {_text_of(corpus)}, dim",
        f"{settings['dim']}, window {settings['window']}, subsample {settings['subsample']:g},",
        f"{settings['threads']} threads. Negative sampling for as many epochs as the softmax, and",
        "for as many as go into its training time.",
        "Means over the seeds." if several else "One seed.",
        "Spearman and accuracy times 100 (known items:",
        f"{quality_summary.known_items(summary)}), their mean, and that less the softmax's, with",
        f"the 95 % interval of a bootstrap over items{' and seeds' if several else ''}.",
        f"Perplexity is exact, on {_scored_tokens(result):,} tokens that no model saw, thinned as",
        "in training: by the softmax of the scores for `sgram` and `cbow`, by",
        "p ∝ p_noise · exp(score) for negative sampling, whose raw softmax stands last (skip-gram",
        "is asked for context words, CBOW for the center: not to be compared with each other):",
    )


def _text_of(corpus: dict[str, Any]) -> str:
    """How much text, of how many files."""
    files = len(corpus["shards"])
    words = corpus["words"]
    shown = f"{words / 1e6:.1f} million" if words >= 1e6 else f"{words:,}"
    return f"{shown} words an epoch ({files} file{'s' if files > 1 else ''})"


def _scored_tokens(result: dict[str, Any]) -> int:
    return int(result["runs"][0]["perplexity"][quality_summary.TEXT]["known"])


def _answers(summary: list[dict[str, Any]], comparisons: list[dict[str, Any]]) -> list[str]:
    """Which side's mean is higher beyond its interval, at equal epochs, then at equal time."""
    softmax = {row["family"]: row for row in summary if row["role"] == quality_summary.SOFTMAX}
    said = []
    for row in sorted(summary, key=lambda row: quality_summary.ROLES.index(row["role"])):
        found = quality_summary.difference_of(comparisons, row)
        if not found:
            continue
        other = softmax[row["family"]]
        difference, low, high = (100 * found[name] for name in ("difference", "low", "high"))
        verdict = {1: "scores higher than", 0: "cannot be told from", -1: "scores lower than"}
        said.append(
            f"At {row['role']}, `{row['type']}` {verdict[quality_summary.verdict_of(found)]} "
            f"`{row['family']}` ({difference:+.1f} points; {low:+.1f} to {high:+.1f}), with "
            f"{row['seconds'] / other['seconds']:.2g} times its training time and "
            f"{row['perplexity'] / other['perplexity']:.2f} times its perplexity."
        )
    return said


SECTIONS: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "softmax": softmax_section,
    "softmax_quality": softmax_quality_section,
}
