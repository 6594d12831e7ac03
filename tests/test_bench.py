"""The parts of the benchmarks that can be wrong without anybody noticing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench import common, peers, quality, readme, throughput
from fastw2v.vectors.benchmarks import AnalogyBenchmark, PairBenchmark
from fastw2v.vectors.keyed_vectors import KeyedVectors

WORDS = [f"w{number}" for number in range(20)]


def test_scores_survive_the_result_file():
    rng = np.random.default_rng(1)
    vectors = KeyedVectors(WORDS, rng.normal(size=(20, 4)).astype(np.float32))
    pairs = [(WORDS[i], WORDS[-1 - i]) for i in range(9)] + [("unknown", "w1")]
    questions = [tuple(rng.choice(WORDS, 4, replace=False).tolist()) for _ in range(11)]
    gold = np.arange(10.0)
    benchmarks = {
        "WordSim-353": PairBenchmark("p", pairs, gold),
        "SimLex-999": PairBenchmark("q", pairs[::-1], gold),
        "analogies": AnalogyBenchmark("a", questions, ["s"], np.zeros(11, dtype=np.int64)),
    }
    scores = json.loads(json.dumps(quality.score(vectors, benchmarks)))
    for name, benchmark in benchmarks.items():
        restored = quality.restore(name, scores, benchmark)
        whole = restored.score()
        assert whole.score == scores[name]["score"]
        assert whole.known == scores[name]["known"] == (11 if name == "analogies" else 9)
    runs = [
        {"settings": {"type": "sgram_neg", "trainer": trainer}, "scores": scores}
        for trainer in ("fastw2v", "gensim")
    ]
    rows = quality.compare(runs, benchmarks)
    assert [row["comparison"] for row in rows] == list(quality.COMPARISONS)
    assert all(row["difference"] == 0.0 for row in rows)


def test_fasttext_seconds_count_the_line_ends_that_it_reads(tmp_path):
    corpus = common.Corpus(tmp_path, tmp_path, 900, 100, 10, [], {})
    settings = peers.settings_for("fasttext", "cbow_neg", epochs=2, threads=4)
    printed = (
        "\rProgress: 100.0% words/sec/thread:   77 lr:  0.02 avg.loss:  2.1 ETA:   0h 0m 9s"
        "\rProgress: 100.0% words/sec/thread:   50 lr:  0.00 avg.loss:  2.0 ETA:   0h 0m 0s\n"
    )
    assert peers._fasttext_seconds(printed, settings, corpus) == 2 * 1000 / (50 * 4)
    with pytest.raises(RuntimeError, match="no final"):
        peers._fasttext_seconds("Read 1M words", settings, corpus)


def test_a_failed_trainer_is_reported_with_what_it_printed(tmp_path):
    corpus = common.Corpus(tmp_path / "none.store", tmp_path / "none.txt", 1, 1, 1, [], {})
    with pytest.raises(RuntimeError, match=r"(?s)fastw2v sgram_neg failed.*none\.store"):
        peers.run(peers.settings_for("fastw2v", "sgram_neg"), corpus)


def test_the_medians_and_ratios_of_interleaved_repeats():
    runs = [
        {"settings": {"dim": 9, "type": "sgram_neg", "trainer": name}, "words_per_second": rate}
        for name, rate in [("fastw2v", 6.0), ("gensim", 2.0), ("fastw2v", 8.0), ("gensim", 1.0),
                           ("fastw2v", 60.0), ("gensim", 4.0)]
    ]  # fmt: skip
    ours, theirs = throughput.summarise(runs)
    assert (ours["median"], ours["slowest"], ours["fastest"], ours["repeats"]) == (8, 6, 60, 3)
    assert (theirs["median"], theirs["fastw2v_is_times"]) == (2, 4)


def test_every_trainer_gets_the_types_that_it_has():
    chosen = throughput.parse_arguments(
        ["--types", "sgram", "cbow_neg", "--ours", "block_size=8", "cbow-gradient=mean"]
    )
    runs = [(run.trainer, run.type, run.ours) for run in throughput.planned_runs(chosen)]
    ours = {"block_size": 8, "cbow_gradient": "mean"}
    assert runs == [
        ("fastw2v", "sgram", {"max_words": throughput.SOFTMAX_WORDS, **ours}),
        ("fastw2v", "cbow_neg", ours),
        ("gensim", "cbow_neg", {}),
        ("fasttext", "cbow_neg", {}),
    ]


def test_the_machine_is_described_without_names_and_paths():
    text = json.dumps(common.describe_machine())
    assert str(common.ROOT) not in text
    assert "numba" in text


def test_the_readmes_figures_are_those_of_the_result_files():
    assert readme.results_section() in readme.README.read_text(encoding="utf-8")
