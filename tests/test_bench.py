"""The parts of the benchmarks that can be wrong without anybody noticing."""

from __future__ import annotations

import json
import sys

import pytest

from bench import common, peers, readme, throughput


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
        ["--types", "sgram", "cbow_neg", "--ours", "block_size=8", "cbow-gradient=mean",
         "--dims", "9", "--threads", "3", "--pword2vec", sys.executable, "--koan", sys.executable]
    )  # fmt: skip
    plan = throughput.planned_runs(chosen)
    runs = [(run.trainer, run.settings.type, run.settings.ours) for run in plan]
    ours = {"block_size": 8, "cbow_gradient": "mean"}
    assert runs == [
        ("fastw2v", "sgram", {"max_words": throughput.SOFTMAX_WORDS, **ours}),
        ("fastw2v", "cbow_neg", ours),
        ("fastw2v, 1 thread", "cbow_neg", ours),
        ("gensim", "cbow_neg", {}),
        ("fasttext", "cbow_neg", {}),
        ("koan", "cbow_neg", {}),
    ]
    assert [run.settings.threads for run in plan] == [3, 3, 1, 3, 3, 3]
    assert [run.cores for run in plan] == [None, None, 1, None, None, None]


def test_the_machine_is_described_without_names_and_paths():
    text = json.dumps(common.describe_machine())
    assert str(common.ROOT) not in text
    assert "numba" in text


def test_the_readmes_figures_are_those_of_the_result_files():
    assert readme.results_section() in readme.README.read_text(encoding="utf-8")
