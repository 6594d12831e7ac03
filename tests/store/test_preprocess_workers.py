"""The worker processes: reported when they die, gone with their parent, safe from the directory."""

from __future__ import annotations

import multiprocessing
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

import fastw2v
from fastw2v.errors import ResourceError
from fastw2v.io.store_directory import is_store
from fastw2v.store import workers
from fastw2v.store.pipeline import preprocess


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def test_a_worker_that_dies_at_its_start_is_reported(tmp_path, corpus, monkeypatch):
    real, killed = workers._Worker._start, []

    def start(worker):
        real(worker)
        if not killed:
            killed.append(worker._process)
            worker._process.kill()

    monkeypatch.setattr(workers._Worker, "_start", start)
    with pytest.raises(ResourceError, match=r"(a|b|c)\.txt.*died \(signal 9\).*threads"):
        preprocess(corpus, tmp_path / "s", threads=2, layout=SMALL)
    monkeypatch.undo()
    preprocess(corpus, tmp_path / "s", threads=2, layout=SMALL)


# A script without `if __name__ == "__main__"`, which must not be run again in the workers.
SCRIPT = """
import sys
from fastw2v import preprocess
from fastw2v.text.config import Layout
print("run", preprocess(sys.argv[1], sys.argv[2], threads=2, layout=Layout(unit_bytes=3000)).files)
"""


@pytest.mark.parametrize("way", ["file", "module", "stdin", "-c"])
def test_a_script_without_a_main_guard(tmp_path, corpus, way):
    (tmp_path / "script.py").write_text(SCRIPT)
    arguments = {"file": ["script.py"], "module": ["-m", "script"], "stdin": ["-"]}
    result = subprocess.run(
        [sys.executable, *arguments.get(way, ["-c", SCRIPT]), corpus[0].parent, tmp_path / "s"],
        input=SCRIPT,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)},
    )
    assert (result.stdout, result.stderr) == ("run 3\n", "")


def test_a_daemonic_process_has_no_workers(tmp_path, corpus):
    process = multiprocessing.get_context("spawn").Process(
        target=preprocess,
        args=(list(map(str, corpus)), tmp_path / "s"),
        kwargs={"threads": 2, "layout": SMALL},
        daemon=True,
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    assert is_store(tmp_path / "s")


def test_ctrl_c_is_the_parents_alone(tmp_path, corpus):
    """A terminal sends it to all processes of the group; only one line comes of it."""
    program = (
        "import sys, threading, time\n"
        "from fastw2v.store import workers\n"
        "from fastw2v.store.config import PreprocessConfig\n"
        "from fastw2v.store.settings import Settings\n"
        "from pathlib import Path\n"
        "settings = Settings.of(PreprocessConfig())\n"
        "with workers.WorkerPool(Path(sys.argv[1]), settings, 2) as pool:\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        time.sleep(0.5)\n"
        "        print(*(worker._process.exitcode for worker in pool._workers))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)  # the workers have just begun to start
    assert process.communicate(timeout=60) == ("None None\n", "")


def test_workers_end_with_their_parent(tmp_path, corpus):
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from fastw2v.store import workers\n"
        "from fastw2v.store.config import PreprocessConfig\n"
        "from fastw2v.store.settings import Settings\n"
        "pool = workers.WorkerPool(Path(sys.argv[1]), Settings.of(PreprocessConfig()), 2)\n"
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
