"""The full softmax beside negative sampling: what is trained for how long, scored and said."""

from __future__ import annotations

import itertools
import json

import numpy as np
import planted
import pytest

import fastw2v
from bench.lib import common, results, scoring, split
from bench.report import tables
from bench.softmax import quality, training
from bench.softmax.quality import EQUAL_EPOCHS, EQUAL_TIME, ROLES, SOFTMAX
from fastw2v.errors import UsageError
from fastw2v.store.format import TokenStore
from fastw2v.training.config import DEFAULT_ALPHAS
from fastw2v.vectors.evaluation import AnalogyBenchmark, PairBenchmark
from fastw2v.vectors.keyed_vectors import KeyedVectors

WORDS = [word for group in planted.GROUPS for word in group]
ORIGIN = {"date": "2026-01-02", "cpu": "some CPU", "cores": 2, "commit": "0123456789",
          "uncommitted_changes": False}  # fmt: skip


def some_benchmarks():
    rng = np.random.default_rng(1)
    pairs = [(WORDS[i], WORDS[-1 - i]) for i in range(9)] + [("unknown", WORDS[1])]
    questions = [tuple(rng.choice(WORDS, 4, replace=False).tolist()) for _ in range(40)]
    gold = np.arange(10.0)
    return {
        "WordSim-353": PairBenchmark("p", pairs, gold),
        "SimLex-999": PairBenchmark("q", pairs[::-1], gold[::-1].copy()),
        "analogies": AnalogyBenchmark("a", questions, ["s"], np.zeros(40, dtype=np.int64)),
    }


def some_vectors(noise):
    """Vectors that answer the pairs in the right order, but for noise."""
    rng = np.random.default_rng(5)
    angles = np.concatenate([np.zeros(10), np.linspace(0.2, 3.0, 10)])
    found = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return KeyedVectors(WORDS, (found + noise * rng.normal(size=(20, 2))).astype(np.float32))


def run_of(family, role, seed=1, noise=0.0, **more):
    (settings,) = (
        settings
        for settings in quality.planned_runs(arguments("--seeds", str(seed)))
        if (settings["family"], settings["role"]) == (family, role)
    )
    losses = {"own": 3.0, "raw": 5.0, "known": 1234}
    return {
        "settings": settings, "epochs": 1, "seconds": 10.0, "words": 1000,
        "words_per_second": 100.0, "config": {"alpha": 0.25},
        "scores": scoring.score(some_vectors(noise), some_benchmarks()),
        "perplexity": {"thinned": losses, "whole": {"own": 2.0, "raw": 2.0, "known": 2000}},
        **ORIGIN, **more,
    }  # fmt: skip


def arguments(*given):
    return quality.parse_arguments(list(given))


def split_of(tmp_path, share=0.1):
    store = planted.open_store(tmp_path / "corpus.store", count=800)
    corpus = common.Corpus(store.path, tmp_path / "none", 0, 0, 0, ["shard"], {})
    return split.prepare(corpus, share)


def sentences_of(path):
    store = TokenStore.open(path)
    tokens, found = store.vocabulary.tokens, []
    for group in range(store.num_row_groups):
        ids, offsets = store.read_row_group(group)
        for start, end in itertools.pairwise(offsets.tolist()):
            found.append([tokens[token_id] for token_id in ids[start:end]])
    return found


def test_every_softmax_comes_before_its_negative_samplings():
    chosen = arguments("--seeds", "3", "4", "3", "--alpha", "cbow=0.5", "sgram_neg=0.125",
                       "--epochs", "2", "--threads", "1")  # fmt: skip
    plan = quality.planned_runs(chosen)
    assert [(run["seed"], run["type"], run["role"]) for run in plan[:6]] == [
        (3, "sgram", SOFTMAX), (3, "sgram_neg", EQUAL_EPOCHS), (3, "sgram_neg", EQUAL_TIME),
        (3, "cbow", SOFTMAX), (3, "cbow_neg", EQUAL_EPOCHS), (3, "cbow_neg", EQUAL_TIME),
    ]  # fmt: skip
    assert [run["seed"] for run in plan] == [3] * 6 + [4] * 6
    options = [quality.options_of(run, 7) for run in plan[:6]]
    assert [each.get("alpha") for each in options] == [None, 0.125, 0.125, 0.5, None, None]
    assert {each["subsample"] for each in options} == {1e-4}
    assert {each["epochs"] for each in options} == {7}
    assert (chosen.max_vocab, chosen.dim, chosen.shards) == (10_000, 300, None)
    assert (arguments("--quick").max_vocab, arguments("--quick").shards) == (2000, 1)


@pytest.mark.parametrize("given", ["word2vec=0.1", "cbow", "cbow=", "cbow=-1", "cbow=nan"])
def test_an_alpha_is_of_a_type(given, capsys):
    with pytest.raises(SystemExit):
        arguments("--alpha", given)
    assert "--alpha" in capsys.readouterr().err


def test_epochs_go_into_the_time_at_the_measured_speed():
    measured = {"epochs": 2, "seconds": 3.0}
    assert quality.epochs_within(30.0, measured) == 20
    assert quality.epochs_within(32.3, measured) == 22
    assert quality.epochs_within(0.1, measured) == 1


def test_held_out_text_is_thinned_as_training_thins(tmp_path):
    data = split_of(tmp_path)
    subsample = 0.02
    texts = quality.prepare_texts(data, subsample)
    held, offsets, _ = data.holdout.sequences
    names = [data.tokens[token_id] for token_id in held]
    whole = [names[a:b] for a, b in itertools.pairwise(offsets.tolist())]
    assert sentences_of(texts["whole"]) == whole
    thinned = sentences_of(texts["thinned"])
    rest = iter(thinned)
    part = next(rest)
    for sentence in whole:  # each is a part of its sentence, in its order
        words = iter(sentence)
        if part is not None and all(word in words for word in part):
            part = next(rest, None)
    assert part is None
    counts = TokenStore.open(data.train.store).vocabulary.counts
    vocabulary = TokenStore.open(data.train.store).vocabulary.tokens
    for word, share in zip(vocabulary, counts / counts.sum(), strict=True):
        before = sum(sentence.count(word) for sentence in whole)
        after = sum(sentence.count(word) for sentence in thinned)
        ratio = subsample / share
        keep = min(1.0, np.sqrt(ratio) + ratio)
        assert abs(after - keep * before) <= 4 * np.sqrt(before * keep * (1 - keep)) + 1e-9, word
    written = (texts["thinned"] / "manifest.json").stat().st_mtime_ns
    again = quality.prepare_texts(data, subsample)
    assert again == texts
    assert (texts["thinned"] / "manifest.json").stat().st_mtime_ns == written
    assert quality.prepare_texts(data, 0.01)["thinned"] != texts["thinned"]


def test_a_vocabulary_that_benchmarks_do_not_know_is_refused():
    benchmarks = some_benchmarks()
    quality.check_known(benchmarks, WORDS)
    with pytest.raises(UsageError, match=r"WordSim-353: .* only 2 of 10 .* the 4 .*--max-vocab"):
        quality.check_known(benchmarks, [*WORDS[:2], *WORDS[-2:]])


@pytest.mark.parametrize("model_type", ["cbow", "sgram_neg"])
def test_a_model_is_trained_and_its_perplexity_measured(tmp_path, model_type):
    store = planted.make_store(tmp_path / "a.store", count=60)
    held = planted.make_store(tmp_path / "b.store", count=9, seed=3)
    options = {"type": model_type, "vector_dim": 8, "epochs": 2, "threads": 1, "subsample": 0.05}
    request = {"store": str(store), "model": str(tmp_path / "model"), "options": options,
               "texts": {"thinned": str(held), "whole": str(store)}}  # fmt: skip
    found = (
        common.in_own_process("bench.softmax.training:measure_perplexity", request)
        if model_type == "cbow"
        else training.measure_perplexity(request)
    )
    assert found["words"] == 2 * 60 * 12
    assert found["seconds"] > 0
    assert found["config"]["alpha"] == DEFAULT_ALPHAS[model_type]
    assert found["threading_layer"] is None
    expected = fastw2v.perplexity(tmp_path / "model", held, threads=1)
    thinned = found["perplexity"]["thinned"]
    assert (thinned["own"], thinned["known"]) == (pytest.approx(expected.loss), 9 * 12)
    raw = {reading.probability: reading.loss for reading in expected.readings}["softmax"]
    assert thinned["raw"] == pytest.approx(raw)
    assert (thinned["own"] == thinned["raw"]) == (model_type == "cbow")
    assert found["perplexity"]["whole"]["known"] == 60 * 12


def fake_runs(monkeypatch, seconds):
    """`train_and_score` that takes `seconds[role]` an epoch; returns what it was asked for."""
    asked = []

    def train_and_score(settings, epochs, *_):
        asked.append((settings["type"], settings["role"], epochs))
        took = seconds[settings["role"]] * epochs
        run = run_of(settings["family"], settings["role"], settings["seed"])
        return {**run, "settings": settings, "epochs": epochs, "seconds": took, "code": "c"}

    monkeypatch.setattr(quality, "train_and_score", train_and_score)
    monkeypatch.setattr(
        quality, "identity_of", lambda settings, data: {"settings": settings, "code": "c"}
    )
    return asked


def test_equal_time_is_that_of_the_softmax_and_runs_are_kept(tmp_path, monkeypatch):
    seconds = {SOFTMAX: 40.0, EQUAL_EPOCHS: 1.5, EQUAL_TIME: 1.5}
    asked = fake_runs(monkeypatch, seconds)
    plan = quality.planned_runs(arguments("--types", "cbow", "--epochs", "3"))
    path = tmp_path / "r.json"

    def measure(runs):
        asked.clear()
        result = {"version": quality.VERSION, "runs": runs}
        quality.measure(plan, None, {}, path, result)
        return result["runs"]

    runs = measure([])
    everything = [
        ("cbow", SOFTMAX, 3), ("cbow_neg", EQUAL_EPOCHS, 3), ("cbow_neg", EQUAL_TIME, 80)
    ]  # fmt: skip
    assert asked == everything
    partial = json.loads(results.partial_path(path).read_text())
    assert [run["settings"]["role"] for run in partial["runs"]] == list(ROLES)
    assert quality.kept_runs(path, plan, None) == runs
    assert measure(runs) == runs
    assert asked == []
    # A softmax that takes longer now leaves more time to negative sampling.
    seconds[SOFTMAX] = 60.0
    runs = measure([run for run in runs if run["settings"]["role"] != SOFTMAX])
    assert asked == [everything[0], ("cbow_neg", EQUAL_TIME, 120)]
    assert sorted(run["settings"]["role"] for run in runs) == sorted(ROLES)
    # Other code or other settings: nothing is kept.
    changed = [{**run, "code": "d"} for run in runs]
    results.write_partial(path, {"version": quality.VERSION, "runs": changed})
    assert quality.kept_runs(path, plan, None) == []
    results.write_partial(path, {"version": quality.VERSION, "runs": runs})
    other = quality.planned_runs(arguments("--types", "cbow", "--epochs", "4"))
    assert quality.kept_runs(path, other, None) == []


def test_differences_are_negative_samplings_less_the_softmaxs():
    runs = [run_of("sgram", EQUAL_TIME, noise=0.0), run_of("sgram", SOFTMAX, noise=9.0),
            run_of("sgram", EQUAL_EPOCHS, noise=9.0), run_of("cbow", SOFTMAX)]  # fmt: skip
    comparisons = quality.compare(runs, some_benchmarks())
    assert {(row["family"], row["role"]) for row in comparisons} == {
        ("sgram", EQUAL_EPOCHS), ("sgram", EQUAL_TIME)
    }  # fmt: skip
    rows = quality.summarize(runs)
    assert [row["role"] for row in rows] == [SOFTMAX, EQUAL_EPOCHS, EQUAL_TIME, SOFTMAX]
    found = {(row["family"], row["role"], row["comparison"]): row for row in comparisons}
    same, better = (found["sgram", role, scoring.MEAN] for role in (EQUAL_EPOCHS, EQUAL_TIME))
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    means = [row["scores"][scoring.MEAN] for row in rows]
    assert better["difference"] == pytest.approx(means[2] - means[0])
    assert better["difference"] > 0.1
    assert found["sgram", EQUAL_TIME, "WordSim-353"]["low"] > 0
    assert rows[0]["known"]["WordSim-353"] == (9, 10)


def test_the_summary_averages_seeds():
    losses = [
        {"thinned": {"own": 2.0, "raw": 4.0}, "whole": {"own": 1.0}},
        {"thinned": {"own": 4.0, "raw": 2e3}, "whole": {"own": 3.0}},
    ]
    runs = [
        run_of("cbow", EQUAL_TIME, 1, epochs=30, seconds=1.0, perplexity=losses[0]),
        run_of("cbow", EQUAL_TIME, 2, epochs=1200, seconds=4.0, perplexity=losses[1]),
    ]
    (row,) = quality.summarize(runs)
    assert (row["epochs"], row["seeds"], row["seconds"]) == ([30, 1200], 2, 2.5)
    assert row["perplexity"] == pytest.approx(np.exp(3.0))
    assert row["whole_perplexity"] == pytest.approx(np.exp(2.0))
    assert row["raw_perplexity"] == np.inf


def sample_result(tmp_path):
    runs = [
        run_of(family, role, noise=0.0 if role == EQUAL_TIME else 9.0)
        for family, role in itertools.product(("sgram", "cbow"), ROLES)
    ]
    runs[2]["seconds"] = 12.0
    runs[1]["seconds"], runs[1]["perplexity"] = 0.125, {
        "thinned": {"own": 3.5, "raw": 7.0, "known": 1}, "whole": {"own": 2.0}
    }  # fmt: skip
    result = {
        "machine": {"date": "d", "cpu": {"model": "m"}, "cores": 2},
        "corpus": {"vocabulary": 20, "words": 2_340_000, "shards": ["a", "b"]},
        "settings": {"dim": 8, "window": 11, "subsample": 1e-4, "threads": 2},
        "runs": runs,
    }
    path = tmp_path / "quality.json"
    plan = [run["settings"] for run in runs]
    quality.finish(result, plan, some_benchmarks(), path)
    return path


def test_the_table_is_made(tmp_path):
    path = sample_result(tmp_path)
    stored = json.loads(path.read_text())
    (table,) = tables.softmax_quality(stored)
    assert "20 most frequent words, 2,340,000 words per epoch, dim 8" in table.caption
    assert "Known items: WordSim-353 9 of 10" in table.caption
    assert len(table.rows) == 6
    assert table.rows[0][:5] == ["sgram", "0.25", "1", "10.0", "100"]
    assert table.rows[0][-3:] == ["", "20.1", ""]
    assert table.rows[1][:4] == ["sgram_neg, equal epochs", "0.25", "1", "0.12"]
    assert table.rows[1][-3:] == ["+0.0 (+0.0 to +0.0)", "33.1", "1,097"]
    stored["summary"][1] |= {"epochs": [30, 1200], "raw_perplexity": float("inf")}
    (table,) = tables.softmax_quality(stored)
    assert (table.rows[1][2], table.rows[1][-1]) == ("30 to 1,200", "inf")
    assert tables.softmax_quality({**stored, "summary": []}) == []


def test_the_whole_benchmark_on_a_toy_corpus(tmp_path, monkeypatch, capsys):
    text = tmp_path / "text.txt"
    text.write_text("".join(" ".join(words) + "\n" for words in planted.sentences(2500)))
    monkeypatch.setattr(common, "WORK", tmp_path / "work")
    monkeypatch.setattr(quality, "SUBSAMPLE", 0.1)
    monkeypatch.setattr(scoring, "read_benchmarks", some_benchmarks)
    monkeypatch.setattr(
        common, "in_own_process", lambda module, request: training.measure_perplexity(request)
    )
    output = tmp_path / "result.json"
    given = ["--text", str(text), "--dim", "8", "--types", "cbow", "--threads", "1",
             "--alpha", "cbow=0.001",
             "--output", str(output)]  # fmt: skip
    quality.main(given)
    result = json.loads(output.read_text())
    softmax, epochs, seconds = result["runs"]
    assert [run["settings"]["role"] for run in result["runs"]] == list(ROLES)
    assert (softmax["epochs"], epochs["epochs"]) == (1, 1)
    assert seconds["epochs"] == max(1, round(softmax["seconds"] / epochs["seconds"]))
    assert seconds["words"] == seconds["epochs"] * epochs["words"] == seconds["epochs"] * (
        result["corpus"]["words"]
    )  # fmt: skip
    assert not results.partial_path(output).exists()
    assert len(result["comparisons"]) == 2 * len(scoring.COMPARISONS)
    assert "0 of 3 runs kept" in capsys.readouterr().out
    quality.main([*given, "--only-new"])
    assert "3 of 3 runs kept" in capsys.readouterr().out
    assert json.loads(output.read_text())["runs"] == result["runs"]
