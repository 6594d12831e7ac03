"""The benchmarks of speed: what is timed, counted, held to a core, validated and reported."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest

from bench import __main__
from bench.lib import command_line, common, host, memory
from bench.peers import compiled, trainers
from bench.quality import quality, robustness, validation
from bench.report import tables
from bench.speed import ceilings, kernels, rungs, scaling, throughput
from fastw2v.training import steppers as steps

needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not let a process choose cores"
)


@needs_affinity
def test_a_process_is_held_to_its_cores_and_let_go():
    before = os.sched_getaffinity(0)
    with host.held_to(1) as held:
        assert os.sched_getaffinity(0) == set(held)
        assert len(held) == 1
    assert os.sched_getaffinity(0) == before
    with host.held_to(None) as held:
        assert held is None


PROGRESS_OF_WORD2VEC = """
import pathlib, sys, time
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert pathlib.Path(options["-train"]).read_text() == "a b\\n"
assert options["-size"] == "7" and options["-cbow"] == "1" and options["-threads"] == "2", options
time.sleep(0.2)  # a vocabulary
for percent in (0.5, 20.5, 80.5):
    print("\\rAlpha: 0.05  Progress: %.2f%%  Words/thread/sec: 1k  " % percent, end="", flush=True)
    time.sleep(0.1)
time.sleep(0.2)  # saving
"""


@pytest.fixture
def binary(tmp_path):
    """Makes an executable Python script."""

    def make(program):
        path = tmp_path / "trainer"
        path.write_text(f"#!{sys.executable}\n{program}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


@pytest.fixture
def two_words(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("a b\n")
    return common.Corpus(tmp_path, text, 1000, 1, 10, [], {})


def test_a_word2vec_is_timed_by_its_progress_without_vocabulary_and_saving(binary, two_words):
    settings = trainers.settings_for("word2vec", "cbow_neg", dim=7, threads=2, epochs=2)
    result = compiled.run(settings, two_words, binary(PROGRESS_OF_WORD2VEC))
    assert result["words"] == 1600  # from 0.5 to 80.5 % of 2 epochs
    assert 0.15 < result["seconds"] < 0.3
    assert result["seconds_with_vocabulary_and_saving"] > 0.6
    assert result["timed_by"] == "progress lines, 0.50% to 80.50%"


def test_koan_is_timed_by_its_own_speed_of_kept_tokens(binary, two_words):
    printed = (
        "Epoch 0\n40.00% of tokens were retained while filtering.\n"
        "Epoch 1\n42.00% of tokens were retained while filtering.\n"
        "Overall speed was 410.0 toks/s\n"
    )
    program = binary(f"import sys\nassert '--cbow' in sys.argv\nprint({printed!r})")
    settings = trainers.settings_for("koan", "sgram_neg", epochs=2)
    result = compiled.run(settings, two_words, program)
    assert result["seconds"] == pytest.approx(2000 * 0.41 / 410)
    assert result["words_per_second"] == pytest.approx(1000)


def test_a_binary_that_fails_or_tells_nothing_is_no_result(binary, two_words):
    settings = trainers.settings_for("pword2vec", "sgram_neg")
    with pytest.raises(RuntimeError, match=r"(?s)pword2vec sgram_neg failed.*no such option"):
        compiled.run(settings, two_words, binary("import sys; sys.exit('no such option')"))
    with pytest.raises(RuntimeError, match=r"too little of its progress.*\(none\)"):
        compiled.run(settings, two_words, binary("print('done')"))
    few = "for p in (3.0, 30.0): print(f'Progress: {p}%', flush=True)"
    with pytest.raises(RuntimeError, match="too little of its progress"):
        compiled.run(settings, two_words, binary(few))


def test_the_flops_of_a_kept_token():
    assert ceilings.flops_per_token("sgram_neg", 100, 16, 4.5) == 6 * 100 * 20.5
    assert ceilings.flops_per_token("cbow_neg", 100, 16, 4.5) == 6 * 100 * 16
    terms = {"negatives": 5, "mean_contexts": 4.5, "block_size": 32, "pool_size": 16,
             "half_window": 5}  # fmt: skip
    assert kernels.flops_of("block", True, 100, terms) == 6 * 100 * 20.5
    assert kernels.flops_of("classic", True, 100, terms) == 6 * 100 * 4.5 * 6
    assert kernels.bytes_of("window_shared", True, 100, terms) == 400 * 2 * 10.5
    assert kernels.bytes_of("block", False, 100, terms) == 400 * 2 * 90 / 32


def test_contexts_are_counted_as_the_kernels_see_them():
    problem = validation.small_problem()
    for skip_gram in (True, False):
        *_, positives = validation.expected_update(problem, skip_gram)
        contexts = ceilings.context_count(problem.stream)
        assert contexts == positives if skip_gram else positives == 49  # one stands alone


def test_a_rung_that_computes_something_else_is_not_timed(monkeypatch):
    monkeypatch.setattr(validation, "_KEYS", 40)
    for skip_gram in (True, False):
        validation.check_rung("reference", rungs.train_numpy, skip_gram)

    def fewer_draws(job, threads):
        objective = job.objective._replace(negatives=job.objective.negatives - 1)
        return rungs.train_numpy(job._replace(objective=objective), threads)

    def last_center_lost(job, threads):
        plan = job.plan._replace(last=job.plan.last - 1)
        return rungs.train_numpy(job._replace(plan=plan), threads)

    with pytest.raises(AssertionError, match="less: mean update of input_vectors"):
        validation.check_rung("less", fewer_draws, True)
    with pytest.raises(AssertionError, match=r"lost: .* positives of"):
        validation.check_rung("lost", last_center_lost, True)
    train_targets = rungs._train_numpy_targets

    def no_draw_dropped(weights, hidden, positive_id, noise_ids, alpha):
        gradient, loss = train_targets(weights, hidden, positive_id, noise_ids, alpha)
        for word_id in noise_ids[noise_ids == positive_id]:
            row = weights.output_vectors[word_id]
            row -= np.float32(alpha / (1 + np.exp(-row @ hidden))) * hidden
        return gradient, loss

    monkeypatch.setattr(rungs, "_train_numpy_targets", no_draw_dropped)
    with pytest.raises(AssertionError, match="unmasked: mean update of output_vectors"):
        validation.check_rung("unmasked", rungs.train_numpy, True)


def test_the_second_table_sets_flops_threads_and_memory_in_proportion():
    def run(trainer, rate, threads, **more):
        settings = {"dim": 100, "type": "sgram_neg", "trainer": "fastw2v", "threads": threads}
        blocks = {"block_size": 32, "pool_size": 16}
        return {
            "trainer": trainer,
            "settings": settings,
            "words_per_second": rate,
            **blocks,
            **more,
        }

    sgemm = {"gflops": 100.0, "best_gflops": 200.0}
    result = {
        "runs": [
            run("fastw2v", 8e6, 2, beyond=2e8, startup_seconds=1.0),
            run("fastw2v, 1 thread", 4e6, 1),
            run("fastw2v", 8e6, 2, beyond=3e8, startup_seconds=0.5),
        ],
        "streams": {"sgram_neg": {"kept": 0.5, "mean_contexts": 4.0}},
        "ceilings": [{"one_core": {"sgemm": sgemm}, "all_cores": {"sgemm": sgemm}}],
    }
    (row,) = throughput.summarize_ours(result)
    assert row["speed_up"] == 2
    assert row["all_cores"]["gflops"] == pytest.approx(8e6 * 0.5 * 6 * 100 * 20 / 1e9)
    assert row["all_cores"]["best_sgemm_share"] == pytest.approx(48 / 200)
    assert row["one_core"]["sgemm_share"] == pytest.approx(24 / 100)
    assert (row["beyond"], row["startup_seconds"]) == (3e8, 1.0)
    row |= {"type": "sgram_neg", "dim": 100}
    _, table = tables.throughput({"summary": [], "ours": [row]})
    assert table.rows == [
        ["sgram_neg", "100", "32 x 16", "48", "48 %", "24 %", "2: 2.00", "300", "1.0"]
    ]


def test_scaling_sets_each_curve_against_its_own_start():
    def run(part, threads, times, rate, beyond):
        settings = {"type": "sgram_neg", "dim": 9, "threads": threads}
        return {"part": part, "times": times, "settings": settings, "words": 10 * times,
                "words_per_second": rate, "beyond": beyond}  # fmt: skip

    rows = scaling.summarize(
        [run("threads", 1, 1, 5.0, 1), run("threads", 2, 1, 9.0, 1),
         run("corpus", 2, 1, 8.0, 3), run("corpus", 2, 4, 4.0, 7), run("corpus", 2, 4, 4.0, 6)]
    )  # fmt: skip
    assert [row.get("speed_up") for row in rows] == [1.0, 1.8, None, None]
    assert [row.get("relative_cost") for row in rows] == [None, None, 1.0, 2.0]
    assert rows[-1]["beyond"] == 7
    assert command_line.thread_counts(1) == [1]
    assert command_line.thread_counts(6) == [1, 2, 4, 6]


def test_a_repeated_corpus_has_the_same_vocabulary(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "WORK", tmp_path / "work")
    shard = tmp_path / "a.txt"
    shard.write_text("the cat and the dog and the cow\nthe cow and the cat\n")
    once = scaling.repeated_corpus([shard], 1, 2)
    thrice = scaling.repeated_corpus([shard], 3, 2)
    assert (once.words, once.vocabulary) == (12, 4)
    assert (thrice.words, thrice.vocabulary) == (36, 4)


def test_the_small_texts_of_the_robustness_run(tmp_path):
    shard = tmp_path / "a.txt"
    shard.write_text("".join(f"line {number}\n" for number in range(250)))
    lines = list(robustness.every_hundredth_line([shard, shard]))
    assert lines == [f"line {number}\n" for number in (0, 100, 200, 50, 150)]
    assert list(robustness.first_words([shard], 5)) == ["line 0\n", "line 1\n", "line\n"]


def test_the_verdict_names_blocks_that_diverge_alone():
    def cell(blocks, classic):
        return {
            name: {"diverged": "it did" if loss is None else None, "loss": loss}
            for name, loss in (("blocks", blocks), ("classic", classic))
        }

    assert robustness.verdict_of(cell(None, 2.0)) == "BLOCKS DIVERGE, CLASSIC DOES NOT"
    assert robustness.verdict_of(cell(2.0, None)) == "only classic diverges"
    assert robustness.verdict_of(cell(None, None)) == "both diverge"
    assert robustness.verdict_of(cell(2.2, 2.0)) == "worse"
    assert robustness.verdict_of(cell(2.0, 2.0)) == "both train"
    for nothing in (None, float("nan"), float("inf")):
        for blocks, classic in ((nothing, 2.0), (2.0, nothing), (nothing, nothing)):
            ended = cell(blocks, classic)
            for method in robustness.METHODS:
                ended[method]["diverged"] = None
            assert robustness.verdict_of(ended) == "no result"


def test_the_table_of_robustness_has_every_verdict():
    def cell(blocks, classic, times):
        runs = {
            name: {"diverged": "so" if loss is None else None, "loss": loss}
            for name, loss in (("blocks", blocks), ("classic", classic))
        }
        cell = {"corpus": "few words", "model": "sgram_neg", "alpha_times": times, "alpha": 0.1}
        cell |= {"seed": 1, **runs}
        return {**cell, "verdict": robustness.verdict_of(cell)}

    nan = float("nan")
    cells = [
        cell(blocks, classic, times)
        for times, (blocks, classic) in enumerate(
            [(2.0, 2.0), (2.5, 2.0), (2.5, 2.0), (2.0, None), (None, None), (nan, 2.0)], start=1
        )
    ]
    assert robustness.count_verdicts(cells) == {"claim_broken": 0, "worse": 2, "no_result": 1}
    (table,) = tables.robustness({"cells": cells})
    assert table.rows == [["few words", "sgram_neg", "1", "2", "1", "1", "0", "1"]]


def test_the_fastest_sgemm_is_the_most_of_all_choices(monkeypatch, tmp_path):
    asked = []

    def measured(module, request, without=(), **environment):
        asked.append((tuple(without), environment))
        return {"gflops": float(len(asked)), "architecture": f"a{len(asked)}"}

    monkeypatch.setattr(common, "in_own_process", measured)
    monkeypatch.setattr(host, "describe_cpu", lambda: {"features": ["avx2", "avx512f"]})
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    found = ceilings._sgemm_rates(2, quick=True)
    assert (found["gflops"], found["best_gflops"]) == (1.0, 3.0)
    choices = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    assert asked == [((), {}), (choices, {}), (choices, {"OPENBLAS_CORETYPE": "SkylakeX"})]
    told = ceilings.describe({"one_core": {"sgemm": found}})
    assert told == "one core: sgemm 1 GFLOP/s with a1 kernels, 3 with a3 kernels"


def test_misuse_ends_in_one_line(capsys):
    with pytest.raises(
        SystemExit, match=r"^python -m bench\.speed\.kernels: --threads 9999: .*cores$"
    ):
        kernels.main(["--threads", "1", "9999"])
    for option, value in [("--repeats", "0"), ("--dims", "x"), ("--seconds", "nan")]:
        with pytest.raises(SystemExit) as caught:
            kernels.parse_arguments([option, value])
        assert caught.value.code == 2
        assert f"{value!r} is not a" in capsys.readouterr().err
    assert quality.parse_arguments(["--seeds", "0"]).seeds == [0]


def test_the_first_update_is_the_runs_own_not_the_warm_ups(monkeypatch):
    class Stepper:
        def train(self, batch):
            return batch

    monkeypatch.setattr(steps, "new_stepper", lambda threads: Stepper())
    ages = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(memory, "process_age", lambda: next(ages))
    noted = memory.note_first_updates()
    assert steps.new_stepper(2).train("toy") == "toy"
    stepper = steps.new_stepper(2)
    assert [stepper.train(batch) for batch in "abc"] == ["a", "b", "c"]
    assert noted == [1.0, 2.0]


@pytest.mark.skipif(memory.process_age() is None, reason="/proc does not tell a process's start")
def test_memory_and_age_are_those_of_this_process():
    program = (
        "import json, mmap; from bench.lib import memory; room = b'x' * 150_000_000;"
        "reserved = mmap.mmap(-1, 1 << 30);"  # never touched, so never resident
        "print(json.dumps([memory.process_age(), memory.peak_memory()]))"
    )
    age, peak = json.loads(subprocess.check_output(
        [sys.executable, "-c", program], cwd=common.ROOT, text=True
    ))  # fmt: skip
    assert 0 < age < 20
    assert 150_000_000 < peak < 260_000_000  # not this test's own, which is larger


def test_one_failed_benchmark_does_not_keep_the_others_from_running(monkeypatch, capsys):
    ran = []

    def no_corpus(arguments):
        raise SystemExit("no text to train on")

    monkeypatch.setattr(kernels, "main", no_corpus)
    monkeypatch.setattr(scaling, "main", ran.append)
    assert __main__.run_all(["kernels", "scaling"], ["--quick"]) == ["kernels"]
    assert ran == [["--quick"]]
    assert "kernels failed: no text to train on" in capsys.readouterr().err
