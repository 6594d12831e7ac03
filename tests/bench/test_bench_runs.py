"""The benchmarks of estimates and of the costs of a run: what is measured, computed and kept."""

from __future__ import annotations

import json
import os

import pytest

from bench.lib import common, results
from bench.speed import costs, estimates
from bench.speed.estimates import Size


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    words = [f"w{number % 61}x{number % 7}" for number in range(9000)]
    lines = [" ".join(words[first : first + 30]) for first in range(0, len(words), 30)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def own_work(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "WORK", tmp_path / "work")


SIZE = Size("sgram_neg", 1, 1, None, 16, 1)


def test_words_to_train_are_epochs_or_a_part_of_one():
    assert estimates.length_of(26_000, 10_000) == {"epochs": 3}
    assert estimates.length_of(7000, 10_000) == {"epochs": 1}
    assert estimates.length_of(5000.4, 10_000) == {"epochs": 1, "max_words": 5000}
    assert estimates.length_of(0.1, 10_000)["max_words"] == 1


def test_options_of_a_run():
    options = estimates.options_of(SIZE, ["holdout=0.1"], 5.0)
    assert options == {"type": "sgram_neg", "vector_dim": 16, "threads": 1, "save_interval": 5.0,
                       "holdout": 0.1}  # fmt: skip
    every_core = estimates.options_of(SIZE._replace(threads=None), [], 5.0)
    assert every_core["threads"] == len(os.sched_getaffinity(0))


def test_errors_and_the_largest_of_them():
    runs = [
        {"estimated": {"memory": 130, "disk": 5}, "measured": {"memory": 100, "disk": 5}},
        {"estimated": {"memory": 80, "disk": 6}, "measured": {"memory": None, "disk": 5}},
    ]  # fmt: skip
    for run in runs:
        run["errors"] = estimates.errors_of(run)
    assert runs[1]["errors"]["memory"] is None
    largest = estimates.largest_errors(runs)
    assert largest == pytest.approx({"memory": 0.3, "disk": 0.2})
    none = estimates.largest_errors([runs[1]])
    assert none["memory"] is None


def test_links_count_once(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    (tmp_path / "below").mkdir()
    os.link(tmp_path / "a", tmp_path / "below" / "b")
    (tmp_path / "below" / "c").write_bytes(b"y" * 10)
    assert estimates.bytes_in(tmp_path) == 110


def test_estimates_of_a_real_run(text, own_work, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(estimates, "QUICK_SIZES", (SIZE,))
    monkeypatch.setitem(estimates._TRIED, "_neg", 9000)
    output = tmp_path / "found.json"
    estimates.main(["--text", str(text), "--quick", "--seconds", "0.05", "--output", str(output)])
    result = json.loads(output.read_text())
    (run,) = result["runs"]
    assert run["errors"]["memory"] == result["largest_errors"]["memory"]
    assert run["measured"]["memory"] > 100e6
    assert 0.5 < run["watched"] / run["measured"]["memory"] < 1.5
    a_save = 2 * run["vocabulary"] * 16 * 4
    assert 2 * a_save < run["measured"]["disk"] < 20 * a_save + 1e6
    printed = capsys.readouterr().out
    assert "largest error of disk: " in printed
    assert not results.partial_path(output).exists()


def saves_of(*costs_of_saves):
    return [
        {"saves": saves, "stalled_seconds": stalled, "helper_seconds": helper}
        for saves, stalled, helper in costs_of_saves
    ]


def test_what_saves_cost():
    run = {
        "saves": saves_of((1, 1, 0.9), (2, 1.1, 1.4), (3, 1.3, 2), (4, 2.3, 3), (4, 2.3, 3)),
        "training_seconds": 100.0,
        "matrix_bytes": 10**8,
    }  # fmt: skip
    found = costs.save_costs(run)
    assert found["share"] == pytest.approx(0.053)
    assert found["background_saves"] == 2
    assert found["background"] == pytest.approx((0.3 + 1.1) / 100)
    assert (found["stalled"], found["helper"]) == pytest.approx((0.15, 0.55))
    assert found["helper_a_byte"] == pytest.approx(5.5e-9)
    first_and_last = costs.save_costs({**run, "saves": saves_of((1, 1.0, 0.9), (2, 2.0, 1.8))})
    assert (first_and_last["background"], first_and_last["stalled"]) == (0.0, None)


def test_what_the_held_out_loss_costs():
    run = {
        "type": "cbow_neg", "training_seconds": 50.0, "scan_seconds": 0.1, "exact_seconds": 0.2,
        "evaluation_seconds": 0.4, "evaluations": 4, "heldout_tokens": 50_000,
        "words_per_second": 1e6,
    }  # fmt: skip
    found = costs.holdout_costs(run)
    assert (found["scan"], found["evaluations"], found["exact"]) == pytest.approx(
        (0.002, 0.008, 0.004)
    )
    assert found["share"] == pytest.approx(0.014)
    assert found["cost_words"] == pytest.approx(2.0)
    assert costs.holdout_costs(run | {"evaluations": 0, "heldout_tokens": 0})["cost_words"] is None


def test_costs_of_real_runs_and_a_part_that_is_kept(text, own_work, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(costs, "QUICK", (SIZE,))
    monkeypatch.setitem(estimates._TRIED, "_neg", 9000)
    output = tmp_path / "found.json"
    output.write_text(json.dumps({"saves": ["as it was"], "machine": {"commit": "of then"}}))
    arguments = ["--text", str(text), "--quick", "--seconds", "0.05", "--output", str(output)]
    costs.main([*arguments, "--parts", "holdout", "--ours", "holdout=0.2", "epochs=2"])
    result = json.loads(output.read_text())
    assert result["saves"] == ["as it was"]
    assert result["machines"]["saves"] == {"commit": "of then"}
    assert result["machines"]["holdout"] == result["machine"]
    (run,) = result["holdout"]
    assert run["evaluations"] >= 1
    assert run["evaluation_seconds"] > 0
    assert run["scan_seconds"] > 0
    assert run["exact_seconds"] > 0
    assert run["heldout_tokens"] > 500
    whole = run["saves"][-1]
    assert whole["saves"] >= 2
    assert whole["stalled_seconds"] > 0
    assert "words of training per held-out token" in capsys.readouterr().out


def test_a_run_ends_in_one_line_without_text(tmp_path):
    with pytest.raises(SystemExit, match="no text to train on"):
        costs.main(["--quick", "--text", str(tmp_path / "none.txt")])
