"""Writes the README's results section from the committed files in bench/results/.

python -m bench.readme
"""

from __future__ import annotations

from typing import Any

from bench import ROOT, common, quality
from fastw2v import storage

README = ROOT / "README.md"
BEGIN = "<!-- results: begin (written by `python -m bench.readme` from bench/results/) -->"
END = "<!-- results: end -->"
_NAMES = {"fastw2v": "fastw2v", "gensim": "gensim", "fasttext": "fastText"}


def _where(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return f"{machine['date']}, {machine['cpu']['model']}, {machine['cores']} cores"


def throughput_section(result: dict[str, Any]) -> list[str]:
    """Words/s of every trainer, and fastw2v as a multiple of it."""
    lines = [
        "Training speed in words read a second (before subsampling; building the vocabulary,",
        "compiling and saving excluded), all trainers in one run, medians of interleaved repeats:",
        "",
        "| model | dim | trainer | words/s | fastw2v is |",
        "|---|---|---|---|---|",
    ]
    for row in result["summary"]:
        ratio = row["fastw2v_is_times"]
        ours = row["trainer"] == "fastw2v"
        lines.append(
            f"| {row['type']} | {row['dim']} | {_NAMES[row['trainer']]} | {row['median']:,.0f} | "
            + ("" if ours or ratio is None else f"{ratio:.1f} times as fast")
            + " |"
        )
    lines += ["", f"`python -m bench.throughput`, {_where(result)}."]
    return lines


def quality_section(result: dict[str, Any]) -> list[str]:
    """Scores of every trainer at equal hyperparameters, and the paired differences."""
    rows = quality.summarise(result["runs"])
    tests = list(rows[0]["scores"])
    settings = result["runs"][0]["settings"]
    lines = [
        f"Quality at equal hyperparameters ({settings['epochs']} epochs, dim {settings['dim']}, "
        f"{settings['reach']} words a side drawn,",
        f"{settings['negatives']} negatives a pair, subsample {settings['subsample']:g}), the same "
        "evaluator for all; Spearman and accuracy times",
        "100, means over the seeds:",
        "",
        f"| model | trainer | seeds | words/s | {' | '.join(tests)} |",
        f"|---|---|---|---|{'---|' * len(tests)}",
    ]
    for row in rows:
        scores = " | ".join(f"{100 * row['scores'][test]:.1f}" for test in tests)
        lines.append(
            f"| {row['type']} | {_NAMES[row['trainer']]} | {row['seeds']} | "
            f"{row['words_per_second']:,.0f} | {scores} |"
        )
    lines += ["", "fastw2v less the peer, with the 95 % interval of a paired bootstrap:", ""]
    lines += [
        f"- {row['type']}, {row['comparison']}: {100 * row['difference']:+.1f} "
        f"({100 * row['low']:+.1f} to {100 * row['high']:+.1f}) against {_NAMES[row['peer']]}"
        for row in result["comparisons"]
    ]
    types = " ".join(dict.fromkeys(run["settings"]["type"] for run in result["runs"]))
    lines += ["", f"`python -m bench.quality --types {types}`, {_where(result)}."]
    return lines


def results_section() -> str:
    """The whole section, from whichever result files there are."""
    lines = [BEGIN]
    for name, section in (("throughput", throughput_section), ("quality", quality_section)):
        path = common.RESULTS / f"{name}.json"
        if path.exists():
            lines += ["", *section(storage.read_json(path))]
    return "\n".join([*lines, "", END])


def rewrite() -> None:
    """Put the section in its place in the README."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    storage.write_text(README, before + results_section() + after)


if __name__ == "__main__":
    rewrite()
