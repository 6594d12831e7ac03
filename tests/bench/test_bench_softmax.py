"""The benchmark of the full softmax: what is given to whom, checked, counted and reported."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import subprocess
import sys

import numpy as np
import pytest
import reference
from kernel_cases import make_sentences, make_stream, make_weights

from bench.lib import command_line, common, memory, results
from bench.peers import fasttext_softmax, numpy_softmax
from bench.report import tables
from bench.softmax import ready_batches, speed, training
from fastw2v.kernels.blocks import Objective

TORCH_PYTHON = os.environ.get("FASTW2V_TORCH_PYTHON") or sys.executable


@pytest.fixture
def stream():
    rng = np.random.default_rng(8)
    return make_stream(make_sentences(rng, 9, [5, 1, 12, 1, 1, 1, 2, 7]), 3)


def test_batches_have_the_contexts_that_the_kernels_see(stream):
    batches = ready_batches.cut(stream, 7, 4)
    assert [batch.words for batch in batches] == [7, 7, 7, 7]
    for number, batch in enumerate(batches):
        places = range(7 * number, 7 * number + 7)
        contexts = {pos: reference.contexts_of(stream, pos) for pos in places}
        trained = [pos for pos in places if contexts[pos]]
        assert batch.center_ids.tolist() == stream.token_ids[trained].tolist()
        assert batch.sizes.tolist() == [len(contexts[pos]) for pos in trained]
        flat = [stream.token_ids[other] for pos in trained for other in contexts[pos]]
        assert batch.context_ids.tolist() == flat
    assert [batch.words for batch in ready_batches.cut(stream, 16, 99)] == [16, 14]
    assert ready_batches.cut(stream, 1, 6)[-1].starts.tolist() == [0]  # nothing for position 5


def test_batches_are_read_as_they_were_saved(stream, tmp_path):
    batches = ready_batches.cut(stream, 7, 99)
    ready_batches.save(tmp_path / "batches.npz", batches)
    again = ready_batches.load(tmp_path / "batches.npz")
    assert len(again) == len(batches)
    for one, other in zip(batches, again, strict=True):
        assert one.words == other.words
        for name in ("center_ids", "context_ids", "starts"):
            assert np.array_equal(getattr(one, name), getattr(other, name))


def test_statistics_count_words_without_context_and_distinct_centers():
    batches = ready_batches.cut(make_stream([[3, 3, 4], [5], [3, 4]], 1), 4, 9)
    found = ready_batches.statistics(batches)
    assert found["trained"] == 5 / 6
    assert found["distinct"] == 4 / 5  # 3 twice in the first batch
    assert found["mean_contexts"] == 6 / 5


@pytest.mark.parametrize("skip_gram", [True, False])
def test_the_twin_is_that_of_the_kernels_tests(stream, skip_gram):
    weights = make_weights(np.random.default_rng(2), 9, 5)
    (batch,) = ready_batches.cut(stream, 64, 1)
    loss, after = ready_batches.twin(tuple(weights), batch, 0.1, skip_gram)
    update = reference.softmax_batch_update(
        weights, stream, 0, batch.words, Objective(3, 0, False, False), skip_gram, 0.1
    )
    assert loss == pytest.approx(update.loss, rel=1e-12)
    for matrix, before, change in zip(after, weights, (update.input, update.output), strict=True):
        np.testing.assert_allclose(matrix, before + change.total, rtol=0, atol=1e-12)


def test_the_small_problem_has_what_may_go_wrong():
    weights, batches = ready_batches.small_problem()
    again = ready_batches.small_problem()
    assert all(np.array_equal(a, b) for a, b in zip(weights, again[0], strict=True))
    sizes = np.concatenate([batch.sizes for batch in batches])
    assert sizes.min() == 1
    assert sizes.max() > 3
    parts = [part for b in batches for part in np.split(b.context_ids, b.starts[1:])]
    assert any(len(set(part)) < len(part) for part in parts)
    assert len(np.unique(batches[0].center_ids)) < len(batches[0].center_ids)


@pytest.mark.parametrize("name", numpy_softmax.RUNGS)
def test_numpy_rungs_are_their_twin_and_wrong_ones_are_not_timed(name, monkeypatch):
    rung = numpy_softmax.RUNGS[name]
    numpy_softmax.check(name, rung, {})

    def slower(inputs, outputs, alpha, request):
        return rung(inputs, outputs, 0.99 * alpha, request)

    with pytest.raises(AssertionError, match=r"slow: (loss|input_vectors|output_vectors)"):
        numpy_softmax.check("slow", slower, {})
    train = rung.train
    monkeypatch.setattr(rung, "train", lambda self, batch: 1.01 * train(self, batch))
    with pytest.raises(AssertionError, match="loud: loss"):
        numpy_softmax.check("loud", rung, {})
    monkeypatch.setattr(rung, "train", train)
    weights = rung.weights
    monkeypatch.setattr(rung, "weights", lambda self: (weights(self)[0], weights(self)[1] + 0.01))
    with pytest.raises(AssertionError, match=r"shifted: output_vectors.*not timed"):
        numpy_softmax.check("shifted", rung, {})


def test_a_context_that_repeats_in_a_batch_counts_each_time():
    (inputs, outputs), batches = ready_batches.small_problem()
    rung = numpy_softmax.NumpyRung(inputs.copy(), outputs.copy(), 0.05, {})

    def last_one_wins(batch, steps):
        rung.inputs[batch.context_ids] -= steps

    rung._subtract_from_inputs = last_one_wins
    losses = sum(rung.train(batch) for batch in batches[:1])
    with pytest.raises(AssertionError, match="input_vectors"):
        ready_batches.check(
            "one", (inputs, outputs), batches[:1], 0.05, False, losses, rung.weights()
        )


def has_torch():
    run = subprocess.run([TORCH_PYTHON, "-c", "import numpy, torch"], capture_output=True)
    return run.returncode == 0


def request_folder(folder, batches, weights):
    folder.mkdir()
    ready_batches.save(folder / "batches.npz", batches)
    for name, matrix in zip(("inputs", "outputs"), weights, strict=True):
        np.save(folder / f"{name}.npy", matrix)
    return {"folder": str(folder), "alpha": 0.05, "threads": 1, "seconds": 0.01}


def test_pytorch_is_checked_and_timed(tmp_path):
    if not has_torch():
        pytest.skip("no PyTorch: install it, or set FASTW2V_TORCH_PYTHON to a Python that has it")
    weights, batches = ready_batches.small_problem()
    request = request_folder(tmp_path / "case", batches, weights)
    found = common.in_own_process("bench.peers.torch_softmax:measure", request, python=TORCH_PYTHON)
    assert found["threads"] == 1
    assert found["words"] > 0
    assert 0 < found["loss"] < 10
    assert found["sgemm_gflops"] > 0
    broken = (
        "from bench.peers import numpy_softmax as n, torch_softmax as t\n"
        "n.check('torch', t.TorchRung, {'threads': 1})\n"
        "t.TorchRung.weights = lambda self: (self.output.weight.detach().numpy(),) * 2\n"
        "n.check('torch', t.TorchRung, {'threads': 1})\n"
    )
    run = subprocess.run(
        [TORCH_PYTHON, "-c", broken], cwd=common.ROOT, capture_output=True, text=True
    )
    assert "AssertionError: torch: input_vectors" in run.stderr


def test_the_clock_begins_after_the_warm_up_and_goes_round(monkeypatch):
    _, batches = ready_batches.small_problem()
    seen = []

    class Slow:
        def prepare(self, batch):
            return batch

        def train(self, batch):
            seen.append(batch.words)
            return 2.0 * len(batch.center_ids)

    moments = iter([100.0, 101.0, 102.0, 103.5])
    monkeypatch.setattr(numpy_softmax.time, "perf_counter", lambda: next(moments))
    found = numpy_softmax.clock(Slow(), batches, 3.0)
    assert seen == [23, 1, 40, 23, 1]
    assert found == {"words": 64, "seconds": 3.5, "batches": 3, "loss": 2.0}


def toy_options(model_type, **more):
    arguments = ["--ours", *(f"{name}={value}" for name, value in more.items())] if more else []
    chosen = speed.parse_arguments(arguments)
    return speed.options_of(model_type, chosen) | {"max_words": 5, "threads": 1}


@pytest.mark.parametrize("model_type", ["cbow", "sgram"])
def test_fastw2v_is_its_twin(tmp_path, model_type):
    training.check(toy_options(model_type), tmp_path)


def test_fastw2v_that_computes_something_else_is_not_timed(tmp_path):
    options = toy_options("cbow", cbow_gradient="word2vec")
    with pytest.raises(AssertionError, match="fastw2v: "):
        training.check(options, tmp_path)


@pytest.mark.skipif(
    memory.begin_peak() is None, reason="this system does not let a peak start over"
)
def test_the_peak_starts_anew():
    program = (
        "from bench.lib import memory as m\n"
        "room = b'x' * 150_000_000; del room; before = m.begin_peak()\n"
        "print(before, m.peak_memory()); room = b'x' * 50_000_000\n"
        "print(m.peak_memory())"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], cwd=common.ROOT, text=True)
    before, restarted, after = map(int, printed.split())
    assert restarted - before < 5e6
    assert 45e6 < after - before < 60e6
    assert memory.peak_memory() is not None


PROGRESS_OF_FASTTEXT = """
import sys, time
assert sys.argv[1:3] == ["-m", "bench.peers.fasttext_softmax"]
assert sys.argv[4:] == ["9", "3", "0.005", "2"]
print("Read 0M words\\nNumber of words:  77\\nNumber of labels: 0", file=sys.stderr, flush=True)
for rate in (900, 20, 30, 50, 40):
    print("\\rProgress:   0.0%% words/sec/thread: %7d lr:  0.005" % rate, end="", file=sys.stderr,
          flush=True)
    time.sleep(0.2)
time.sleep({after})
"""


@pytest.fixture
def fake_python(tmp_path, monkeypatch):
    def make(program):
        path = tmp_path / "python"
        path.write_text(f"#!{REAL_PYTHON}\n{program}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


REAL_PYTHON = sys.executable


@pytest.mark.parametrize("after", [60, 0])
def test_fasttext_is_stopped_and_rated_by_its_second_half(
    tmp_path, monkeypatch, fake_python, after
):
    program = fake_python(PROGRESS_OF_FASTTEXT.replace("{after}", str(after)))
    monkeypatch.setattr(sys, "executable", str(program))
    found = fasttext_softmax.run(
        tmp_path / "text", dim=9, reach=3, alpha=0.005, threads=2, seconds=0.7 if after else 99.0
    )
    assert found["words_per_second"] == 100
    assert found["own_vocabulary"] == 77
    assert 50 in found["printed"]
    assert 900 not in found["printed"]


def test_fasttext_that_fails_is_no_result(tmp_path, monkeypatch, fake_python):
    monkeypatch.setattr(sys, "executable", str(fake_python("print('no such file')")))
    with pytest.raises(RuntimeError, match=r"(?s)printed no rate.*no such file"):
        fasttext_softmax.run(tmp_path / "text", dim=9, reach=3, alpha=0.005, threads=2, seconds=1.0)


@pytest.mark.skipif(
    importlib.util.find_spec("fasttext") is None, reason="fastText is not installed"
)
def test_fasttext_itself_prints_what_is_read(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("".join(f"a b c d{number % 500} e\n" for number in range(40_000)))
    found = fasttext_softmax.run(text, dim=50, reach=3, alpha=0.005, threads=1, seconds=1.0)
    assert found["own_vocabulary"] == 505
    assert found["words_per_second"] > 0


def test_pytorch_that_is_not_there_is_left_out_or_refused(
    tmp_path, monkeypatch, fake_python, capsys
):
    monkeypatch.delenv("FASTW2V_TORCH_PYTHON", raising=False)
    bare = fake_python("import sys; sys.exit('No module named torch')")
    with pytest.raises(SystemExit, match=r"--torch-python .*python: cannot import.*named torch"):
        speed.torch_python(bare)
    with pytest.raises(SystemExit, match=r"nowhere: No such file"):
        speed.torch_python(tmp_path / "nowhere")
    monkeypatch.setattr(sys, "executable", str(bare))
    assert speed.torch_python(None) is None
    assert "PyTorch is left out" in capsys.readouterr().out
    with_torch = fake_python("print('9.9')")
    monkeypatch.setenv("FASTW2V_TORCH_PYTHON", str(with_torch))
    assert speed.torch_python(None) == (str(with_torch), "9.9")


def test_the_plan_has_sgram_for_fastw2v_alone_and_turns():
    chosen = speed.parse_arguments(["--trainers", "fastw2v", "torch", "numpy", "dense"])
    plan = speed.planned_runs(chosen, has_torch=True)
    types = [("fastw2v", "cbow"), ("fastw2v", "sgram"), ("torch", "cbow"), ("numpy", "cbow"),
             ("dense", "cbow")]  # fmt: skip
    assert plan == types
    assert ("torch", "cbow") not in speed.planned_runs(chosen, has_torch=False)
    assert command_line.turned(plan, 6) == types[1:] + types[:1]
    assert (chosen.vocabularies, chosen.repeats) == ([10_000, 25_000, 47_000], 3)


def sample_result():
    def run(trainer, rate, model_type="cbow", **more):
        flops = speed.flops_per_word(
            model_type, 1000, 10, {"trained": 0.5, "distinct": 0.4, "mean_contexts": 6.0}
        )
        return {"trainer": trainer, "type": model_type, "vocabulary": 1000, "flops_per_word": flops,
                "words_per_second": rate, "seconds": 1.0, **more}  # fmt: skip

    sgemm = {"gflops": 1.0, "best_gflops": 2.0}
    result = {
        "runs": [
            run("fastw2v", 20e3, buffers=5_000_000),
            run("fastw2v", 60e3, buffers=7_000_000),
            run("fastw2v", 40e3, buffers=6_000_000), run("torch", 10e3, sgemm_gflops=3.0),
            run("fasttext", 200.0),
            run("fastw2v", 80e3, "sgram", buffers=None),
        ],
        "ceilings": [{"vocabulary": v, "all_cores": {"sgemm": {k: f * x for k, x in sgemm.items()}}}
                     for v, f in ((1000, 1), (1000, 3), (1000, 2), (9, 100))],
        "machine": {"date": "d", "cpu": {"model": "m"}, "cores": 2}, "torch": "9.9",
        "settings": {"dim": 10, "window": 7, "batch_size": 512},
    }  # fmt: skip
    return result | {"summary": speed.summarize(result)}


def test_the_summary_sets_medians_against_sgemm_and_peers():
    ours, sgram, torch, fasttext = sample_result()["summary"]
    assert ours["repeats"] == 3
    assert (ours["median"], ours["slowest"], ours["fastest"]) == (40e3, 20e3, 60e3)
    assert ours["gflops"] == pytest.approx(6 * 1000 * 10 * 0.5 * 40e3 / 1e9)
    assert ours["sgemm_share"] == pytest.approx(ours["gflops"] / 2)
    assert ours["best_sgemm_share"] == pytest.approx(ours["gflops"] / 4)
    assert torch["fastw2v_is_times"] == 4
    assert fasttext["fastw2v_is_times"] == 200
    assert sgram["fastw2v_is_times"] == 0.5
    assert sgram["gflops"] == pytest.approx(6 * 1000 * 10 * 0.5 * 0.4 * 80e3 / 1e9)
    assert (ours["buffers"], torch["buffers"]) == (7_000_000, None)
    result = sample_result()
    (table,) = tables.softmax(result)
    assert table.rows[0] == ["1,000", "fastw2v, cbow", "40,000", "1.2", "60 %", "30 %", "", "7.0"]
    assert table.rows[2] == [
        "1,000",
        "PyTorch, cbow",
        "10,000",
        "0.3",
        "15 %",
        "8 %",
        "4.00 times",
        "",
    ]
    assert table.rows[3][6] == "200 times"
    assert "PyTorch is 9.9." in table.caption


def test_the_whole_benchmark_on_a_tiny_corpus(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(common, "WORK", tmp_path / "work")
    text = tmp_path / "text.txt"
    text.write_text("".join(" ".join(words) + "\n" for words in training.toy_sentences()))
    blas = [{"gflops": 100.0, "architecture": "a"}, {"gflops": 200.0, "architecture": "b"}]
    sgemm = {"gflops": 100.0, "best_gflops": 200.0, "runs": blas}
    monkeypatch.setattr(
        speed.ceilings, "measure", lambda **options: {"all_cores": {"sgemm": sgemm}}
    )
    peers = ["numpy", "dense", *(["fasttext"] if importlib.util.find_spec("fasttext") else [])]
    output = tmp_path / "speed.json"
    speed.main(
        ["--text", str(text), "--vocabularies", "30", "--dim", "12", "--seconds", "0.01",
         "--fasttext-seconds", "0.1", "--repeats", "1", "--types", "sgram", "--trainers", "fastw2v",
         *peers, "--output", str(output)]
    )  # fmt: skip
    result = json.loads(output.read_text())
    assert not results.partial_path(output).exists()
    runs = {(run["trainer"], run["type"]): run for run in result["runs"]}
    assert list(runs) == [("fastw2v", "sgram"), *((peer, "cbow") for peer in peers)]
    for (trainer, _), run in runs.items():
        assert run["vocabulary"] == 30
        assert run["words_per_second"] > 0
        assert trainer == "fasttext" or 2 < run["loss"] < 4  # ln 30 = 3.4
    assert [row["repeats"] for row in result["summary"]] == [1] * len(runs)
    assert str(tmp_path) not in output.read_text()
    assert "written:" in capsys.readouterr().out
