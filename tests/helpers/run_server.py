"""The process behind `kill_helper.Runs`: it has imported and compiled everything, and forks a child
for each run that it is asked for, a JSON object a line."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

steps = 0  # changes of directories, and files that are synced

_write, _fsync = os.write, os.fsync


def kill_at(step: int) -> None:
    """Before (even) or after (odd) one of the steps, or within it where it writes a small file, let
    this process and its workers end."""
    from fastw2v.io import storage

    def killing(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            global steps
            steps += 1
            if 2 * steps == step:
                os.killpg(0, signal.SIGKILL)
            result = real(*arguments, **options)
            if 2 * steps + 1 == step:
                os.killpg(0, signal.SIGKILL)
            return result

        return call

    def writes_half(path: Path, text: str, **options: Any) -> Any:
        global steps
        steps += 1
        if 2 * steps in (step, step - 1):
            write_text(path, text[: len(text) // 2], **options)
            os.killpg(0, signal.SIGKILL)
        return write_text(path, text, **options)

    changes = (os, "replace"), (os, "rename"), (os, "link"), (storage.shutil, "rmtree")
    for module, name in *changes, (storage, "sync_file"):
        setattr(module, name, killing(getattr(module, name)))
    write_text, Path.write_text = Path.write_text, writes_half  # type: ignore[assignment]


# --- what runs are of ---


def run_preprocess(call: dict[str, Any], note: Any) -> str:
    from fastw2v.store.pipeline import preprocess
    from fastw2v.text.config import Layout

    layout = None if call.get("append") else Layout(**call["layout"])
    preprocess(**{**call, "layout": layout})
    return "done"


def run_training(call: dict[str, Any], note: Any) -> str:
    """Train; what is trained, saved and said is noted."""
    from quick_plot import write_picture
    from recorder import Recorder

    import fastw2v
    from fastw2v.plots import loss as loss_plot
    from fastw2v.training import checkpoint
    from fastw2v.training import steppers as steps

    model = Path(call["model"])
    real_stepper, real_save = steps.new_stepper, checkpoint.save

    class CountingStepper:
        def __init__(self, *arguments: Any) -> None:
            self._stepper = real_stepper(*arguments)
            self.unit, self.step_centers = self._stepper.unit, self._stepper.step_centers

        def train(self, batch: Any, first: int, last: int, schedule: Any) -> Any:
            result = self._stepper.train(batch, first, last, schedule)
            place = [batch.epoch, batch.row_group, first, last, batch.centers]
            note(trained=place, targets=float(result.targets))
            return result

    def save(path: Path, snapshot: Any, *arguments: Any) -> Path:
        note(begun=snapshot.state["words_done"])
        return real_save(path, snapshot, *arguments)

    def tell(progress: Any) -> None:
        if progress.event == "save":
            name = (model / "CURRENT").read_text().strip()
            state = json.loads((model / name / "state.json").read_text())
            note(saved=state["words_done"])

    steps.new_stepper, checkpoint.save = CountingStepper, save  # type: ignore[assignment,misc]
    steps.warm_up = lambda config, threads: None
    loss_plot.plot_loss = write_picture
    lines = Recorder()
    lines.info = lambda line: note(said=line)  # type: ignore[method-assign]
    lines.warning = lambda line: note(said=f"warning: {line}")  # type: ignore[method-assign]
    found = fastw2v.train(**call, callback=tell, reporter=lines)
    return f"done: {found.words_done}"


RUNS = {"preprocess": run_preprocess, "train": run_training}


def warm_up(kind: str, place: Path) -> None:
    """Load what every child would have to."""
    from fastw2v.store.pipeline import preprocess

    text = place / "text"
    text.write_text("a b don't c-d e\n" * 99)
    preprocess(text, place / "store", min_count=1, threads=1)
    if kind == "train":
        import fastw2v

        for model_type in ("sgram_neg", "cbow_neg", "sgram", "cbow"):
            for more in {}, {"deterministic": True} if model_type.endswith("_neg") else {}:
                options = {"epochs": 1, "vector_dim": 20, "holdout": 0.1, "subsample": 0.0, **more}
                fastw2v.train(place / "store", place / f"m{len(more)}", type=model_type, threads=2,
                              overwrite_model=True, **options)  # fmt: skip


# --- runs ---


def run(call: dict[str, Any], answer: int) -> None:
    """One run, in the child; its answer is the outcome and the number of steps."""
    from fastw2v.errors import FastW2VError

    os.setsid()
    print(os.getpid(), flush=True)
    notes = os.open(call.pop("notes"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(**values: Any) -> None:
        _write(notes, json.dumps(values).encode() + b"\n")

    kind, faults = call.pop("kind"), None
    if at := call.pop("kill_at"):
        kill_at(at)
    elif layer := call.pop("faults", None):
        from fault_layer import Faults

        faults = Faults(Path(layer.pop("root")), **layer).install()
    else:
        kill_at(0)
    call.pop("faults", None)
    try:
        outcome = RUNS[kind](call, note)
    except FastW2VError as error:
        outcome = f"{type(error).__name__}: {error}"
    calls = [] if faults is None else faults.calls
    if faults is not None:
        note(calls=calls)
    _write(answer, json.dumps([outcome, len(calls) or steps]).encode())
    os._exit(0)


def main(kind: str) -> None:
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # no machine is switched off
    with tempfile.TemporaryDirectory() as name:
        warm_up(kind, Path(name))
    print("ready", flush=True)
    for line in sys.stdin:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(reading)
            run(json.loads(line), writing)
        os.close(writing)
        _, status = os.waitpid(pid, 0)
        answer = os.read(reading, 1 << 16).decode()
        os.close(reading)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(answer or json.dumps(["killed" if killed else f"died: {status}", 0]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
