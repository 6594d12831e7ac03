"""The worker processes: reported when they die, gone with their parent, safe from the directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from preprocess_helper import (
    SMALL,
    run_python,
    write_corpus,
)

from fastw2v.errors import ResourceError
from fastw2v.store import workers as worker_pool
from fastw2v.store.pipeline import preprocess


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def test_a_dead_worker_is_reported_with_its_file(tmp_path, corpus, monkeypatch):
    real = worker_pool.subprocess.Popen
    killed = []

    def start(*arguments, **options):
        process = real(*arguments, **options)
        if not killed:
            killed.append(process)
            process.kill()
        return process

    monkeypatch.setattr(worker_pool.subprocess, "Popen", start)
    with pytest.raises(ResourceError, match=r"(a|b|c)\.txt.*died \(signal 9.*--threads"):
        preprocess(corpus, tmp_path / "s", threads=2, layout=SMALL)
    monkeypatch.undo()
    preprocess(corpus, tmp_path / "s", threads=2, layout=SMALL)


def test_workers_end_with_their_parent(tmp_path, corpus):
    program = (
        "import os, signal, sys\n"
        "from fastw2v.store import workers as worker_pool\n"
        "from fastw2v.store.jobs import UnitSettings\n"
        "settings = UnitSettings(sys.argv[1], {})\n"
        "settings.work.mkdir(parents=True)\n"
        "pool = worker_pool.WorkerPool(settings, 2)\n"
        "print(*(worker._process.pid for worker in pool._workers), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = run_python(program, tmp_path, check=False)
    pids = [int(word) for word in result.stdout.split()]
    assert len(pids) == 2, result.stderr  # else the loop below would prove nothing
    for pid in pids:
        for _ in range(100):
            try:
                state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
            except FileNotFoundError:
                break
            if state == "Z":
                break
            subprocess.run(["sleep", "0.1"], check=True)
        else:
            os.kill(pid, signal.SIGKILL)
            pytest.fail("a worker outlived its parent")


def test_modules_of_the_working_directory_do_not_stand_in_for_libraries(
    tmp_path, corpus, monkeypatch
):
    if sys.version_info < (3, 11):
        pytest.skip("Python 3.10 cannot be told to leave the working directory out")
    (tmp_path / "numpy.py").write_text("raise SystemExit('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    assert preprocess(corpus, "s", threads=2, layout=SMALL).files == 3
