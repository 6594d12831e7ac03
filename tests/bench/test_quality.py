"""The quality benchmarks: what result files keep, what is compared, what is trained on."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import planted
import pytest

from bench.lib import common, host, identity, results, scoring, split
from bench.peers import trainers
from bench.quality import quality, sweep
from bench.report import tables
from fastw2v.errors import UsageError
from fastw2v.store.format import TokenStore
from fastw2v.training import validation as holdout
from fastw2v.vectors.evaluation import (
    AnalogyBenchmark,
    PairBenchmark,
    evaluate_pairs,
    paired_difference,
)
from fastw2v.vectors.keyed_vectors import KeyedVectors

ORIGIN = {"date": "2026-01-02", "cpu": "some CPU", "cores": 2, "commit": "0123456789",
          "uncommitted_changes": False}  # fmt: skip
WORDS = [f"w{number}" for number in range(20)]


def some_benchmarks() -> dict:
    rng = np.random.default_rng(1)
    pairs = [(WORDS[i], WORDS[-1 - i]) for i in range(9)] + [("unknown", "w1")]
    questions = [tuple(rng.choice(WORDS, 4, replace=False).tolist()) for _ in range(11)]
    gold = np.arange(10.0)
    return {
        "WordSim-353": PairBenchmark("p", pairs, gold),
        "SimLex-999": PairBenchmark("q", pairs[::-1], gold),
        "analogies": AnalogyBenchmark("a", questions, ["s"], np.zeros(11, dtype=np.int64)),
    }


def vectors_of(seed: int) -> KeyedVectors:
    rng = np.random.default_rng(seed)
    return KeyedVectors(WORDS, rng.normal(size=(20, 4)).astype(np.float32))


def held_out(seed: int, level: float = 2.0) -> dict:
    """A held-out loss as a run has it."""
    rng = np.random.default_rng(3)
    positives = rng.integers(5, 30, split.GROUPS)
    noise = np.random.default_rng(seed).normal(size=split.GROUPS)
    sums = level * positives + noise
    ratio, low, high = holdout.ratio_interval(sums, positives)
    packing = {
        "groups": results.pack(sums, "<f4"),
        "group_positives": results.pack(positives, "<u4"),
    }
    return {"loss": ratio, "low": low, "high": high, **packing}


def run_of(trainer: str, seed: int, model: str = "sgram_neg", loss: float = 2.0) -> dict:
    settings = quality.settings_of(trainer, model, {}, dim=10, epochs=1, seed=seed)
    return {
        "settings": dataclasses.asdict(settings),
        "scores": scoring.score(vectors_of(seed), some_benchmarks()),
        "holdout": held_out(seed, loss),
        "words_per_second": 100.0 * seed,
        **ORIGIN,
    }


def test_arrays_survive_the_result_file():
    rng = np.random.default_rng(2)
    bits = rng.random(77) < 0.2
    assert np.array_equal(results.unpack_bits(results.pack_bits(bits), 77), bits)
    values = rng.normal(size=50).round(1)  # some are equal
    values[[3, 30]] = np.nan
    ranks = results.unpack_ranks(results.pack_ranks(values))
    for one, other in itertools.combinations(range(50), 2):
        if not np.isnan(values[[one, other]]).any():
            assert np.sign(ranks[one] - ranks[other]) == np.sign(values[one] - values[other])
    assert np.array_equal(np.isnan(ranks), np.isnan(values))


def test_scores_survive_the_result_file():
    benchmarks = some_benchmarks()
    scores = json.loads(json.dumps(scoring.score(vectors_of(1), benchmarks)))
    for name, benchmark in benchmarks.items():
        whole = scoring.restore(name, scores, benchmark).score()
        assert whole.score == scores[name]["score"]
        assert whole.known == scores[name]["known"] == (11 if name == "analogies" else 9)
    # Differences are those of the similarities, of which the file only has the order.
    pairs = benchmarks["WordSim-353"]
    other = scoring.score(vectors_of(2), benchmarks)
    restored = [scoring.restore("WordSim-353", side, pairs) for side in (scores, other)]
    direct = [evaluate_pairs(vectors_of(seed), pairs) for seed in (1, 2)]
    assert paired_difference([restored[0]], [restored[1]]) == paired_difference(
        [direct[0]], [direct[1]]
    )


def test_every_trainer_is_compared_with_gensim():
    runs = [run_of("gensim", 1), run_of("gensim", 2), run_of("classic", 1), run_of("classic", 2)]
    runs += [run_of("fastw2v", 1, loss=1.9)]
    rows = scoring.compare(runs, scoring.group_of(runs[0]), some_benchmarks())
    assert [row["comparison"] for row in rows] == 2 * [*scoring.COMPARISONS, scoring.LOSS]
    equal, ours = rows[:5], rows[5:]
    assert all(row["difference"] == 0.0 and row["low"] <= 0 <= row["high"] for row in equal)
    assert [row["trainer"] for row in rows] == ["classic"] * 5 + ["fastw2v"] * 5
    three = [row["difference"] for row in ours[1:4]]
    assert ours[0]["difference"] == pytest.approx(np.mean(three))
    assert ours[0]["difference"] != 0
    assert ours[4]["difference"] == pytest.approx(-0.1, abs=0.02)
    assert ours[4]["low"] < ours[4]["difference"] < ours[4]["high"] < 0
    assert scoring.compare(runs[2:], scoring.group_of(runs[0]), some_benchmarks()) == []


def test_both_gradients_of_cbow_are_compared_with_gensims_one():
    runs = [run_of("gensim", 1, "cbow_neg"), run_of("gensim", 2, "cbow_neg")]
    runs += [run_of("fastw2v", 1, "cbow_neg"), run_of("fastw2v", 1, "cbow_neg_mean")]
    assert [scoring.group_of(run).model for run in runs] == 3 * ["cbow_neg"] + ["cbow_neg_mean"]
    for group in {scoring.group_of(run) for run in runs}:
        rows = scoring.compare(runs, group, some_benchmarks())
        assert {row["model"] for row in rows} == {group.model}
        assert {(row["trainer"], *row["seeds"]) for row in rows} == {("fastw2v", 1, 2)}
    summary = scoring.summarize(runs)
    assert [(row["model"], row["trainer"], row["seeds"]) for row in summary] == [
        ("cbow_neg", "gensim", 2), ("cbow_neg", "fastw2v", 1), ("cbow_neg_mean", "fastw2v", 1)
    ]  # fmt: skip
    assert summary[0]["words_per_second"] == 150.0
    means = [summary[0]["scores"][test] for test in scoring.TESTS]
    assert summary[0]["scores"][scoring.MEAN] == pytest.approx(np.mean(means))


def test_the_plan_is_balanced_and_has_no_run_twice():
    chosen = quality.parse_arguments(["--ours", "pool_size=8", "--threads", "1"])
    plan = quality.planned_runs(chosen)
    assert len(plan) == 3 * 2 * 2 * 11
    assert [run.seed for run in plan] == sorted(run.seed for run in plan)
    assert len({json.dumps(dataclasses.asdict(run), sort_keys=True) for run in plan}) == len(plan)
    first = [(run.trainer, run.type, run.alpha, run.ours) for run in plan[:11]]
    mean = {"cbow_gradient": "mean", "pool_size": 8}
    alpha = quality.DEFAULT_ALPHAS["cbow_neg"]
    assert first[:4] == [
        ("gensim", "sgram_neg", 0.025, {}),
        ("classic", "sgram_neg", 0.025, {"pool_size": 8}),
        ("one", "sgram_neg", 0.025, {"pool_size": 8, "block_size": 1}),
        ("fastw2v", "sgram_neg", 0.025, {"pool_size": 8}),
    ]
    assert first[8:] == [
        ("classic", "cbow_neg", alpha, mean),
        ("one", "cbow_neg", alpha, {**mean, "block_size": 1}),
        ("fastw2v", "cbow_neg", alpha, mean),
    ]
    quick = quality.planned_runs(quality.parse_arguments(["--quick"]))
    assert {(run.dim, run.epochs, run.seed) for run in quick} == {(100, 1, 1)}


def kept_runs(path, data) -> list[dict]:
    return identity.kept_runs(path, lambda settings: identity.identity_of(settings, data))


def small_split(tmp_path) -> tuple[TokenStore, split.Split]:
    path = tmp_path / "corpus.store"
    store = TokenStore.open(path) if path.exists() else planted.open_store(path, count=400)
    corpus = common.Corpus(store.path, tmp_path / "none", 0, 0, 0, ["shard"], {})
    return store, split.prepare(corpus, 0.1)


def sentences_of(store: TokenStore) -> list[tuple[str, ...]]:
    tokens, found = store.vocabulary.tokens, []
    for group in range(store.num_row_groups):
        ids, offsets = store.read_row_group(group)
        for start, end in itertools.pairwise(offsets.tolist()):
            found.append(tuple(tokens[token_id] for token_id in ids[start:end]))
    return found


def test_trainers_see_everything_but_what_is_held_out(tmp_path):
    store, data = small_split(tmp_path)
    train = TokenStore.open(data.train.store)
    held, offsets, _ = data.holdout.sequences
    out = [
        tuple(store.vocabulary.tokens[token_id] for token_id in part)
        for part in np.split(held, offsets[1:-1])
    ]
    assert 20 < len(out) < 70
    assert sorted(sentences_of(train) + out) == sorted(sentences_of(store))
    assert not set(sentences_of(train)) & set(out)
    text = data.train.text.read_text(encoding="utf-8").splitlines()
    assert [tuple(line.split()) for line in text] == sentences_of(train)
    assert data.train.words == sum(map(len, sentences_of(train))) == train.vocabulary.total
    written = data.train.text.stat().st_mtime_ns
    again = small_split(tmp_path)[1]  # reused
    assert again.describe() == data.describe()
    assert again.train.text.stat().st_mtime_ns == written


def test_rows_are_put_in_the_order_of_the_vocabulary(tmp_path):
    _, data = small_split(tmp_path)
    rng = np.random.default_rng(8)
    inputs, outputs = (rng.normal(size=(20, 5)).astype(np.float32) for _ in range(2))
    expected = data.holdout.evaluate(inputs, outputs, skip_gram=True)
    order = rng.permutation(20)
    keys = [data.tokens[row] for row in order]
    found = data.loss_of(keys, inputs[order], outputs[order], skip_gram=True)
    assert (found["loss"], found["low"], found["high"]) == expected[:3]
    sums = results.unpack(found["groups"], "<f4")  # few sequences: each by itself
    assert np.array_equal(sums, expected.losses.astype(np.float32))
    # One word without a row: zeros.
    inputs[order[0]] = outputs[order[0]] = 0
    zeroed = data.holdout.evaluate(inputs, outputs, skip_gram=True)
    found = data.loss_of(keys[1:], inputs[order[1:]], outputs[order[1:]], skip_gram=True)
    assert found["loss"] == zeroed.loss
    better = split.loss_difference([found], [found])
    assert better == (0.0, 0.0, 0.0)


def test_groups_give_about_the_intervals_of_sequences():
    rng = np.random.default_rng(4)
    positives = rng.integers(1, 60, size=3000)
    losses = positives * rng.normal(2.5, 0.4, size=3000)
    found = holdout.HoldoutLoss(*holdout.ratio_interval(losses, positives), losses, positives)
    loss = split.packed_loss(found)
    assert len(results.unpack(loss["groups"], "<f4")) == split.GROUPS
    zero = {**loss, "groups": results.pack(np.zeros(split.GROUPS), "<f4")}
    difference, low, high = split.loss_difference([loss], [zero])
    assert difference == pytest.approx(found.loss, rel=1e-6)
    assert high - low == pytest.approx(found.high - found.low, rel=0.25)


def test_runs_are_kept_while_nothing_that_made_them_has_changed(tmp_path, monkeypatch):
    _, data = small_split(tmp_path)
    settings = [
        dataclasses.asdict(trainers.settings_for(trainer, "sgram_neg"))
        for trainer in ("gensim", "classic", "fastw2v")
    ]
    runs = [identity.identity_of(each, data) for each in settings]
    path, versions = tmp_path / "quality.json", host.versions()

    def kept() -> list[str]:
        results.finish(path, {"version": identity.VERSION, "runs": runs})
        return [run["settings"]["trainer"] for run in kept_runs(path, data)]

    assert kept() == ["gensim", "classic", "fastw2v"]
    with monkeypatch.context() as changed:
        changed.setattr(identity, "_OURS", ("fastw2v/errors.py",))
        assert kept() == ["gensim"]
    for library in ("gensim", "numba"):
        with monkeypatch.context() as changed:
            changed.setattr(host, "versions", lambda: {**versions, library: "0"})  # noqa: B023
            assert kept() == []
    with monkeypatch.context() as changed:
        changed.setattr(identity, "_OURS", ("fastw2v/moved.py",))
        with pytest.raises(FileNotFoundError, match=r"fastw2v/moved\.py: no such file"):
            kept()
    with monkeypatch.context() as changed:
        changed.setattr(host, "describe_cpu", lambda: {"model": "another"})
        assert kept() == []
    runs[0]["corpus"] = "another"
    assert kept() == ["classic", "fastw2v"]
    partial = [{**runs[1], "later": True}]
    results.write_partial(path, {"version": identity.VERSION, "runs": partial})
    assert [run.get("later") for run in kept_runs(path, data)] == [True, None]
    results.finish(path, {"runs": runs})  # an older layout; the partial file goes
    assert kept_runs(path, data) == []


def test_a_run_that_diverges_is_a_cell_of_the_sweep(monkeypatch):
    def fail(*_):
        raise RuntimeError(
            "fastw2v failed:\nfastw2v.errors.DivergenceError: training diverged in …"
        )

    cell = quality.settings_of("fastw2v", "cbow_neg", {"block_size": 9, "pool_size": 3})
    monkeypatch.setattr(quality, "train_and_score", fail)
    monkeypatch.setattr(identity, "identity_of", lambda settings, data: {"settings": settings})
    lost = sweep.train_cell(cell, None, {})
    good = run_of("fastw2v", 1, "cbow_neg")
    ours = {"block_size": 9, "pool_size": 4}
    good["settings"] |= {"dim": 300, "epochs": 1, "ours": ours}
    other = {**good, "settings": {**good["settings"], "threads": 7}}
    with pytest.raises(UsageError, match="fastw2v differ in threads"):
        sweep.summarize([good, other])
    rows = sweep.summarize([lost, good, good])
    assert [(row["pool_size"], row["diverged"], row["seeds"]) for row in rows] == [
        (3, 1, 1), (4, 0, 2)
    ]  # fmt: skip
    assert rows[0]["mean"] is None
    assert rows[1]["mean"] == pytest.approx(
        np.mean([score["score"] for score in good["scores"].values()])
    )
    monkeypatch.setattr(quality, "train_and_score", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sweep.train_cell(cell, None, {})


def test_runs_of_the_plan_are_shown(tmp_path):
    models = ("sgram_neg", "cbow_neg", "cbow_neg_mean")
    runs = [
        run_of(trainer, 1, model)
        for trainer, model in itertools.product(("gensim", "classic", "fastw2v"), models)
        if (trainer, model) != ("gensim", "cbow_neg_mean")
    ]
    machine = {"date": "today", "cpu": {"model": "some CPU"}, "cores": 2}
    corpus = {"holdout": {"tokens": 1000, "reach": 5, "negatives": 5}}
    stray = run_of("fastw2v", 9)  # kept, but not of the plan
    stray["settings"]["alpha"] = 0.5
    result = {"machine": machine, "corpus": corpus, "runs": [*runs, stray]}
    runs[-1]["date"], runs[-1]["uncommitted_changes"] = "2026-01-05", True
    plan = [trainers.Settings(**run["settings"]) for run in runs]
    path = tmp_path / "quality.json"
    results.write_partial(path, result)
    quality.finish(result, plan, some_benchmarks(), path)
    assert not results.partial_path(path).exists()
    stored = json.loads(path.read_text())
    assert len(stored["runs"]) == len(runs) + 1
    assert {row["seeds"] for row in stored["summary"]} == {1}
    cells = [run for run in runs if run["settings"]["trainer"] == "fastw2v"]
    for run in cells:
        run["settings"]["ours"] |= {"block_size": 8, "pool_size": 4}
    summary = sweep.summarize(cells)
    (table,) = tables.sweep({"summary": [row for row in summary if row["model"] == "cbow_neg"]})
    assert [row[0] for row in table.rows] == ["T = 8"]


def test_settings_that_differ_are_no_seeds_of_one_trainer():
    runs = [run_of("gensim", 1), run_of("fastw2v", 1), run_of("fastw2v", 2)]
    runs[2]["settings"]["alpha"] = 0.1
    with pytest.raises(UsageError, match="fastw2v differ in alpha"):
        scoring.summarize(runs)
    with pytest.raises(UsageError, match="fastw2v differ in alpha"):
        scoring.compare(runs, scoring.group_of(runs[0]), some_benchmarks())


def test_the_default_sweep_has_a_grid_for_each_model():
    plan = sweep.planned_runs(sweep.parse_arguments(["--threads", "1"]))
    assert len(plan) == 5 * 4 + 2 * 4 * 3
    assert {(run.dim, run.epochs, run.seed) for run in plan} == {(300, 5, 1)}
    few = sweep.planned_runs(sweep.parse_arguments(["--blocks", "3", "--pools", "2", "4"]))
    assert [(run.ours["block_size"], run.ours["pool_size"]) for run in few] == 3 * [(3, 2), (3, 4)]


def test_an_interrupted_benchmark_keeps_its_runs_and_the_last_whole_file(tmp_path, monkeypatch):
    _, data = small_split(tmp_path)
    path = tmp_path / "results" / "quality.json"
    results.finish(path, {"whole": True})
    trained = []

    def train(settings, *_):
        if trained:
            raise RuntimeError("gensim failed:\nTraceback\nValueError: no")
        trained.append(settings)
        run = run_of(settings.trainer, settings.seed)
        return {**run, **identity.identity_of(dataclasses.asdict(settings), data)}

    monkeypatch.setattr(quality, "prepare_split", lambda chosen: data)
    monkeypatch.setattr(quality, "train_and_score", train)
    monkeypatch.setattr(scoring, "read_benchmarks", some_benchmarks)
    arguments = ["--quick", "--types", "sgram_neg", "--output", str(path)]
    arguments += ["--trainers", "gensim", "fastw2v"]
    with pytest.raises(
        SystemExit, match=r"^python -m bench\.quality\.quality: gensim failed: ValueError: no$"
    ):
        quality.main(arguments)
    assert json.loads(path.read_text()) == {"whole": True}
    (kept,) = kept_runs(path, data)
    assert kept["settings"] == dataclasses.asdict(trained[0])
    trained.clear()
    quality.main([*arguments, "--only-new"])
    assert [settings.trainer for settings in trained] == ["fastw2v"]
    assert len(json.loads(path.read_text())["summary"]) == 2
    assert not results.partial_path(path).exists()
