"""The benchmark of `preprocess`: its texts, what it sums up, what it shows, and one quick run."""

from __future__ import annotations

import collections
import gzip
import itertools
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.lib import command_line, common, host, memory
from bench.lib.tables import print_tables
from bench.preprocess import figures, speed, texts, works
from bench.report import tables
from fastw2v.errors import ResourceError, UsageError

LINES = b"".join(b"line %d of the text\n" % number for number in range(100))


# --- texts ---


@pytest.mark.parametrize("size", [1, 30, len(LINES) - 1, len(LINES), 5 * len(LINES) // 2])
@pytest.mark.parametrize("share", [0.0, 0.37, 0.999999])
def test_rotated_text_is_whole_lines_in_order_from_elsewhere_on(share, size):
    text = b"".join(texts.rotated(LINES, share, size))
    assert size <= len(text) < size + 30
    numbers = [int(line.split()[1]) for line in text.splitlines()]
    assert text.endswith(b" text\n")
    assert all(b == (a + 1) % 100 for a, b in itertools.pairwise(numbers))
    assert abs(numbers[0] - 100 * share) < 3 or numbers[0] == 0


def test_shards_differ_and_beyond_the_variants_they_are_links(tmp_path):
    paths = texts.write_shards(LINES, tmp_path / "shards", 12 * 500, 12, 4)
    assert len({path.name for path in paths}) == 12
    assert len({path.read_bytes() for path in paths}) == 4
    assert len({path.stat().st_ino for path in paths}) == 4
    assert 6000 <= texts.bytes_of(paths) < 6000 + 12 * 30
    whole = texts.join(paths, tmp_path / "whole.txt")
    assert whole.read_bytes() == b"".join(path.read_bytes() for path in paths)
    packed = texts.compress(paths, tmp_path / "packed")
    assert [gzip.decompress(path.read_bytes()) for path in packed] == [
        path.read_bytes() for path in paths
    ]


def test_files_are_read_unpacked_and_empty_ones_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"no end of line")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"packed\n"))
    (tmp_path / "c.txt").write_bytes(b"")
    files = sorted(tmp_path.iterdir())
    assert texts.read_lines(files) == b"no end of line\npacked\n"
    with pytest.raises(UsageError, match="no text"):
        texts.read_lines(files[2:])


@pytest.mark.parametrize("count", [3, 999, 60_000])
def test_the_random_words_have_the_counts_that_are_expected(tmp_path, count):
    expected = texts.write_new_words(tmp_path / "words.txt", count)
    counts = collections.Counter((tmp_path / "words.txt").read_text().split())
    kept = {word: number for word, number in counts.items() if number >= 5}
    assert expected == {
        "tokens_read": counts.total(),
        "tokens_kept": sum(kept.values()),
        "different_tokens": len(counts),
        "vocabulary_size": len(kept),
    }
    assert sum(number == 1 for number in counts.values()) >= 5 * (count // 5)
    assert sum(number == 4 for number in counts.values()) == texts.DROPPED
    assert all(re.fullmatch("[a-z2-7]{13}", word) for word in kept)
    lines = (tmp_path / "words.txt").read_text().splitlines()
    assert max(len(line.split()) for line in lines) == 10


def test_a_full_disk_is_told_in_one_line_before_anything_is_written(tmp_path):
    with pytest.raises(ResourceError, match=r"are free, the text may take 9000\.0 TB; .*--scratch"):
        texts.require_free(tmp_path, 9e15, "the text")
    chosen = ["--scratch", str(tmp_path), "--text", str(tmp_path / "t.txt"), "--size", "1e9"]
    (tmp_path / "t.txt").write_bytes(LINES)
    with pytest.raises(
        SystemExit, match=r"^python -m bench\.preprocess\.speed: .*are free"
    ) as failure:
        speed.main(chosen)
    assert "\n" not in str(failure.value)
    assert [path.name for path in tmp_path.iterdir()] == ["t.txt"]


def test_the_disk_that_is_needed_follows_from_the_parts():
    def needed(*arguments):
        return speed.disk_needed(speed.parse_arguments(list(arguments)))

    assert needed("--parts", "size", "--sizes", "0.1", "10") == 1e9 + 15e9
    assert needed("--parts", "speed", "--size", "3") == 3 * needed(
        "--parts", "speed", "--size", "1"
    )
    assert needed("--parts", "new_words", "--new-words", "1000") == 7 * 14_000


# --- memory and phases ---


@pytest.mark.skipif(
    not os.path.exists("/proc/self/task"), reason="this system has no /proc to watch processes in"
)
def test_the_memory_of_a_process_and_of_its_children_is_added_up(tmp_path):
    child = "import time; room = bytearray(60_000_000); time.sleep(0.6)"
    program = (
        "import subprocess, sys; room = bytearray(50_000_000)\n"
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    mine = bytearray(200_000_000)  # not counted: of this process
    with memory.Watch(tmp_path) as watch:
        # It holds our memory before it has a program of its own: no memory of its own.
        subprocess.run(
            [sys.executable, "-c", program], check=True, preexec_fn=lambda: time.sleep(0.2)
        )
    found = watch.describe()
    assert len(mine) == 200_000_000
    assert 110e6 < found["private_memory"] < 150e6
    assert found["private_memory"] < found["peak_memory"] < 190e6
    assert found["processes"] == 2
    assert list(memory.descendants(2**30)) == []
    assert memory.resident(2**30) == (0, 0)


def test_without_proc_no_memory_is_claimed(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_PROC", tmp_path)
    with memory.Watch(tmp_path) as watch:
        subprocess.run([sys.executable, "-c", ""], check=True)
    assert watch.describe()["peak_memory"] is None


def test_phases_and_what_lies_between_them_add_up(monkeypatch):
    moments = iter([10.0, 11.0, 12.0, 14.0, 18.0, 19.0])
    monkeypatch.setattr(works.time, "perf_counter", lambda: next(moments))
    timeline = works.Timeline()
    for phase in ("reading", "reading", "reading", "writing", "writing"):
        timeline.note(phase, 0, 0)
    assert timeline.phases(10.0) == {
        "before reading": 1.0, "reading": 3.0, "after reading": 4.0, "writing": 1.0,
        "after writing": 1.0,
    }  # fmt: skip
    assert works.Timeline.phases(_empty_timeline(), 3.0) == {}


def _empty_timeline():
    timeline = works.Timeline.__new__(works.Timeline)
    timeline._spans = {}
    return timeline


# --- summaries ---


def run(part="speed", work="fastw2v", rate=1.0, **more):
    facts = {"fastw2v": {"tokenizer": "words", "form": "shards", "workers": 2}}.get(work, {})
    report = {"tokens_read": 70, "different_tokens": 9, "vocabulary_size": 5, "count_error": 0}
    values = {
        "part": part, "work": work, **facts, "bytes_per_second": rate * 1e6, "text_bytes": 10**9,
        "seconds": 1000 / rate, "process_seconds": 1001 / rate, "cpu_seconds": 30.0, "disk": 7e6,
        "peak_memory": 5e8, "private_memory": 3e8, "process_memory": 2e8, "largest_worker": 1e8,
    }  # fmt: skip
    if work not in ("disk", "unpack"):
        values["report"] = report
    if work == "fastw2v":
        values["phases"] = {"reading": 4.0, "after reading": 1.0}
    return {**values, **more}


def all_runs():
    return [
        run(rate=100.0, peak_memory=6e8),
        run(rate=140.0, phases={"reading": 2.0, "after reading": 3.0}),
        run(rate=120.0),
        run(rate=63.0, workers=1),
        run(rate=160.0, tokenizer="whitespace"),
        run(rate=80.0, tokenizer="whitespace", workers=1),
        run(rate=108.0, form="one file"),
        run(rate=60.0, form="gz"),
        run(work="unpack", rate=240.0, form="gz", workers=2),
        run(work="gensim", rate=16.0, workers=1),
        run(work="counter", rate=20.0, workers=1),
        run(work="disk", rate=900.0),
        run("size", rate=100.0, size=2e9),
        run("size", rate=125.0, size=1e8),
        run("new_words", rate=40.0, form="exact"),
        run("new_words", rate=50.0, form="approximate, 9 words"),
    ]


def test_medians_ranges_and_the_most_memory():
    first = figures.summarize(all_runs())[0]
    assert first["name"] == "words, 2 workers"
    assert (first["repeats"], first["bytes_per_second"]) == (3, 120e6)
    assert (first["slowest"], first["fastest"]) == (100e6, 140e6)
    assert first["peak_memory"] == 6e8
    assert first["phases"] == {"reading": 4.0, "after reading": 1.0}


def test_the_ratios_of_the_rates():
    summary = figures.summarize(all_runs())
    ratios = tables.preprocess_ratios(summary)
    assert ratios == pytest.approx({
        "2 workers to 1, words": 120 / 63,
        "2 workers to 1, whitespace": 2.0,
        "one file to shards": 0.9,
        "gz to the bound of unpacking first": 60 / 80,  # 1/120 + 1/240
        "cost per byte, 2.0 GB to 100.0 MB": 1.25,
    })  # fmt: skip
    assert tables.preprocess_ratios(summary[:1]) == tables.preprocess_ratios([]) == {}


def test_a_further_byte_is_without_the_start():
    runs = [run("size", seconds=2.0 + 8.0 * size / 1e9, size=size) for size in (3e9, 1e9)]
    summary = figures.summarize(runs)
    settings = {"size": 2.0, "shards": 32, "size_shard": 25_000_000}
    *_, sizes, _ = tables.preprocess({"summary": summary, "settings": settings})
    assert [row[0] for row in sizes.rows] == ["1.0 GB", "3.0 GB"]
    assert [row[4] for row in sizes.rows] == ["", "8.00"]


def test_peers_that_count_other_tokens_are_told():
    runs = all_runs()
    assert figures.disagreements(figures.summarize(runs)) == []
    gensim = next(each for each in runs if each["work"] == "gensim")
    gensim["report"] = {**gensim["report"], "tokens_read": 71}
    assert figures.disagreements(figures.summarize(runs)) == [
        "gensim `build_vocab` counted 71 tokens, fastw2v 70"
    ]


@pytest.mark.parametrize("without", [(), ("speed",), ("size", "new_words"), ("speed", "size")])
@pytest.mark.parametrize("hidden", [False, True])
def test_tables_of_any_parts(capsys, without, hidden):
    runs = [each for each in all_runs() if each["part"] not in without]
    if hidden:  # a system that does not tell memory
        for each in runs:
            each.update(dict.fromkeys(("peak_memory", "private_memory", "cpu_seconds")))
    summary = figures.summarize(runs)
    settings = {"size": 2.0, "shards": 32, "size_shard": 25_000_000}
    print_tables(tables.preprocess({"summary": summary, "settings": settings}))
    printed = capsys.readouterr().out
    assert ("2.0 GB  " in printed) == ("size" not in without)
    assert ("approximate, 9 words" in printed) == ("new_words" not in without)
    assert ("10.0 times (1 worker: 5.0)" in printed) == ("speed" not in without)


# --- plans and runs ---


def plan_of(tmp_path, *arguments, cores=4):
    chosen = speed.parse_arguments(["--quick", *arguments])
    return [
        each
        for part in chosen.parts
        for each in speed.PARTS[part](chosen, LINES, _made(tmp_path / part))
    ]


def _made(folder):
    folder.mkdir()
    return folder


def test_everybody_reads_the_same_bytes_and_few_workers_get_few_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(speed.machine, "usable_cores", lambda: 4)
    plan = plan_of(tmp_path, "--new-words", "1000", "--word2vec", sys.executable)
    names = [figures.name_of(each.facts) for each in plan]
    assert len(set(zip(names, (each.part for each in plan), strict=True))) == len(plan)
    assert names[:4] == ["words, 4 workers", "words, 2 workers", "words, 1 worker",
                         "whitespace, 4 workers"]  # fmt: skip
    assert [each.cores for each in plan[:4]] == [None, 2, 1, None]
    assert "word2vec.c's vocabulary" in names
    timed = [each for each in plan if each.part == "speed" and each.facts["work"] == "fastw2v"]
    forms = {
        each.facts["form"]: b"".join(
            texts.read_lines([Path(path)]) for path in each.request["inputs"]
        )
        for each in timed
    }
    assert set(forms) == {"shards", "one file", "gz"}
    assert len(set(forms.values())) == 1
    peer_texts = {each.request["text"] for each in plan if "text" in each.request}
    assert [Path(path).read_bytes() for path in peer_texts] == [forms["shards"]]
    sizes = [each.facts["size"] for each in plan if each.part == "size"]
    assert sizes == pytest.approx([4e6, 16e6], rel=1e-3)
    exact, approximate = (each for each in plan if each.part == "new_words")
    assert set(exact.expected) >= {"vocabulary_size", "different_tokens", "tokens_kept"}
    assert approximate.request["options"]["approximate_vocab"] == 1000


def test_runs_take_turns_and_a_wrong_count_is_no_result():
    plan = [speed.Run("speed", {}, {"work": name}) for name in ("gensim", "counter")]
    assert command_line.turned(plan, 0) == plan
    assert command_line.turned(plan, 1) == plan[::-1]
    checked = speed.Run("speed", {}, {"work": "gensim"}, expected={"tokens_read": 1000})
    speed.check(checked, {"report": {"tokens_read": 1000}})
    with pytest.raises(RuntimeError, match="tokens_read is 1,001, and should be 1,000"):
        speed.check(checked, {"report": {"tokens_read": 1001}})


def test_word2vec_is_asked_for_its_vocabulary_and_nothing_else(tmp_path):
    text, binary = tmp_path / "text.txt", tmp_path / "word2vec"
    text.write_text("a b a c\na\n")
    binary.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "options = dict(zip(sys.argv[1::2], sys.argv[2::2]))\n"
        "assert options.pop('-min-count') == '5' and '-output' not in options\n"
        "assert open(options['-train']).read().startswith('a b')\n"
        "open(options['-save-vocab'], 'w').write('</s> 2\\na 3\\nb 1\\n')\n"
    )
    binary.chmod(0o755)
    request = {"work": "word2vec", "text": str(text), "binary": str(binary)}
    found = works.perform(request, tmp_path, None)
    assert found["report"] == {"tokens_kept": 4, "vocabulary_size": 2}
    assert found["text_bytes"] == 10
    binary.write_text(f"#!{sys.executable}\nprint('no memory'); raise SystemExit(1)")
    with pytest.raises(RuntimeError, match=r"(?s)wrote no vocabulary.*no memory"):
        works.perform(request, tmp_path, None)


def test_the_whole_of_it_on_little_text(tmp_path, capsys, monkeypatch):
    own_process = common.in_own_process

    def mostly_here(function, request):  # a process for each run would take half a minute
        if request["work"] == "counter":
            return own_process(function, request)
        return works.measure(request)

    monkeypatch.setattr(common, "in_own_process", mostly_here)
    (tmp_path / "text.txt").write_bytes(LINES)
    scratch, output = tmp_path / "scratch", tmp_path / "found.json"
    peers = ["--peers", "counter"]
    with host.held_to(1):  # fewer runs, and none with workers
        speed.main(
            ["--quick", "--text", str(tmp_path / "text.txt"), "--size", "2e-4", "--shards", "2",
             "--sizes", "1e-4", "--new-words", "60_000", "--scratch", str(scratch),
             "--output", str(output), *peers]
        )  # fmt: skip
    assert list(scratch.iterdir()) == []  # texts and stores are gone
    result = json.loads(output.read_text())
    runs = {(each["part"], figures.name_of(each)): each for each in result["runs"]}
    counted = runs["speed", "Python's `Counter`"]["report"]["tokens_read"]
    ours = [each for each in result["runs"] if each["work"] == "fastw2v"]
    for each in ours:
        assert sum(each["phases"].values()) == pytest.approx(each["seconds"], rel=1e-6)
        assert each["store_bytes"] > 0
        assert each["process_seconds"] > each["seconds"]
        if each["part"] == "speed":
            assert each["report"]["tokens_read"] == counted
    assert runs["speed", "unpacking gz alone"]["text_bytes"] == ours[0]["report"]["text_bytes"]
    assert len(result["summary"]) == len(result["runs"])
    assert "warning" not in capsys.readouterr().out
