"""The parts of the benchmarks that can be wrong without anybody noticing."""

from __future__ import annotations

import json
import sys

import pytest

from bench.lib import common, host
from bench.peers import trainers
from bench.speed import throughput


def test_fasttext_is_timed_by_the_rate_that_it_prints_last():
    printed = (
        "\rProgress: 100.0% words/sec/thread:   77 lr:  0.02 avg.loss:  2.1 ETA:   0h 0m 9s"
        "\rProgress: 100.0% words/sec/thread:   50 lr:  0.00 avg.loss:  2.0 ETA:   0h 0m 0s\n"
    )
    assert trainers.fasttext_seconds(printed, 2000, 4) == 2000 / (50 * 4)
    with pytest.raises(RuntimeError, match=r"(?s)no final.*Read 1M words"):
        trainers.fasttext_seconds("Read 1M words", 2000, 4)


def test_fasttext_itself_prints_what_is_read(tmp_path):
    pytest.importorskip("fasttext")
    text = tmp_path / "text.txt"
    text.write_text("".join(f"a b c d{number % 500} e\n" for number in range(4000)))
    corpus = common.Corpus(tmp_path, text, 20_000, 4000, 504, [], {})
    found = trainers.run(trainers.settings_for("fasttext", "cbow_neg", dim=8), corpus)
    assert found["words"] == 20_000
    assert found["words_per_second"] > 0


def test_a_failed_trainer_is_reported_with_what_it_printed(tmp_path):
    corpus = common.Corpus(tmp_path / "none.store", tmp_path / "none.txt", 1, 1, 1, [], {})
    with pytest.raises(RuntimeError, match=r"(?s)fastw2v sgram_neg failed.*none\.store"):
        trainers.run(trainers.settings_for("fastw2v", "sgram_neg"), corpus)


def test_the_medians_and_ratios_of_interleaved_repeats():
    runs = [
        {"settings": {"dim": 9, "type": "sgram_neg", "trainer": name}, "words_per_second": rate}
        for name, rate in [("fastw2v", 6.0), ("gensim", 2.0), ("fastw2v", 8.0), ("gensim", 1.0),
                           ("fastw2v", 60.0), ("gensim", 4.0)]
    ]  # fmt: skip
    ours, theirs = throughput.summarize(runs)
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


def test_trainers_take_turns_and_streams_are_those_of_fastw2v(monkeypatch):
    chosen = throughput.parse_arguments(
        ["--trainers", "gensim", "fastw2v", "--ours", "subsample=0.01", "--threads", "1"]
    )
    plan = throughput.planned_runs(chosen)
    turns = [[run.trainer for run in throughput.in_order_of(plan, n)] for n in (1, 2, 3)]
    assert turns == [["gensim", "fastw2v"] * 4, ["fastw2v", "gensim"] * 4, turns[0]]
    assert sorted(map(repr, throughput.in_order_of(plan, 2))) == sorted(map(repr, plan))
    seen = []
    monkeypatch.setattr(
        throughput.ceilings, "stream_statistics", lambda store, **options: seen.append(options)
    )
    corpus = common.Corpus(common.ROOT, common.ROOT, 1, 1, 1, [], {})
    throughput.stream_statistics(plan, dict.fromkeys(("sgram_neg", "cbow_neg"), corpus))
    assert [options["subsample"] for options in seen] == [0.01, 0.01]
    others = [run for run in plan if run.trainer == "gensim"]
    assert throughput.stream_statistics(others, {}) == {}


def test_gensims_alpha_falls_by_a_workers_share(tmp_path, monkeypatch):
    word2vec = pytest.importorskip("gensim.models.word2vec")
    text = tmp_path / "text.txt"
    text.write_text("".join(f"a b c d{number % 7} e\n" for number in range(60_001)))
    given, train = [], word2vec.Word2Vec.train

    def note(model, **options):
        given.append(options["total_examples"])
        result = train(model, **options)
        given.append(result)
        return result

    monkeypatch.setattr(word2vec.Word2Vec, "train", note)
    job = {"text": str(text), "vectors": None}
    settings = trainers.settings_for(
        "gensim", "sgram_neg", dim=8, threads=2, epochs=2, subsample=0.0
    )
    found = trainers._train_gensim(settings, job)
    assert found["words"] == 2 * 5 * 60_001
    examples, (trained, read) = given
    assert examples == 30_001
    assert read == pytest.approx(found["words"], rel=0.05)
    assert trained == pytest.approx(found["words"], rel=0.05)


def test_the_machine_is_described_without_names_and_paths():
    text = json.dumps(host.describe_machine())
    assert str(common.ROOT) not in text
    assert "numba" in text
