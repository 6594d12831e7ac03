"""Kills `fastw2v preprocess` and `fastw2v train` at random moments, resumes them, and compares.

Every life is a store that is made and a model that is trained on it, by processes that are killed
(SIGKILL, now and then SIGINT or SIGTERM) until one comes to its end. With one thread, or
--deterministic, or a full softmax, its vectors have to be those of a run that nothing disturbed, to
the byte; with two racing threads all words have to be trained and the held-out loss to be as low.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastw2v
from fastw2v import demo
from fastw2v.io import model_directory as layout
from fastw2v.store.format import TokenStore

WORDS = 1_000_000
NEGATIVE = "--vector-dim 40 --epochs 4 --subsample 1e-3 --save-every 25"
SOFTMAX = "--vector-dim 16 --max-words 500_000 --alpha 0.005 --save-every 25"
COMMON = "--window 5 --save-interval 0 --holdout 0.002"
KILLS_PER_STORE, KILLS_PER_MODEL = 4, 12  # then it may come to its end: all types are to be killed


_THERE = "a token store is there already"


@dataclass(frozen=True)
class Kind:
    """A model to train. exact: whether its bytes have to be the same."""

    name: str
    options: str
    exact: bool = True

    @property
    def arguments(self) -> list[str]:
        """Of the command."""
        return f"{self.options} {COMMON}".replace("_000", "000").split()


KINDS = (
    Kind("sgram_neg, 1 thread", f"--type sgram_neg --threads 1 {NEGATIVE}"),
    Kind("cbow_neg, 1 thread", f"--type cbow_neg --threads 1 {NEGATIVE} --patience 2"),
    Kind("sgram, 1 thread", f"--type sgram --threads 1 {SOFTMAX}"),
    Kind("cbow, 1 thread", f"--type cbow --threads 1 {SOFTMAX}"),
    Kind("sgram_neg, 2 threads", f"--type sgram_neg --threads 2 {NEGATIVE}", exact=False),
    Kind("cbow_neg, 2, deterministic",
         f"--type cbow_neg --threads 2 --deterministic {NEGATIVE}"),
    Kind("sgram, 2 threads", f"--type sgram --threads 2 {SOFTMAX}"),
)  # fmt: skip


class Difference(Exception):  # noqa: N818 - what this script is there to find
    """Something was lost, or is not the same."""


class Soak:
    """Counts what happens. deadline: of `time.monotonic`, after which no life begins."""

    def __init__(self, place: Path, texts: list[str], seed: int, kills: int, deadline: float):
        self.place, self.texts = place, texts
        self.rng, self.kills, self.deadline = random.Random(seed), kills, deadline
        self.counts: Counter[str] = Counter()
        self.seconds: dict[str, float] = {}
        self.expected: dict[str, Any] = {}

    @property
    def is_over(self) -> bool:
        """Whether there were kills enough, or minutes."""
        return self.counts["kills"] >= self.kills or time.monotonic() > self.deadline

    # --- processes ---

    def start(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        """A process group of its own; what it says goes to the file `said`."""
        with open(self.place / "said", "wb") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "fastw2v", *arguments],
                stdout=said, stderr=said, start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)},
            )  # fmt: skip

    def said(self) -> str:
        """What the last process said."""
        return (self.place / "said").read_text(errors="replace")

    def undisturbed(self, name: str, arguments: list[str]) -> None:
        """Run a process to its end."""
        began = time.monotonic()
        if self.start(arguments).wait():
            raise Difference(f"undisturbed, {name}: {self.said()}")
        self.took(name, time.monotonic() - began)

    def took(self, name: str, seconds: float) -> None:
        """The least is what counts: at first there is much to compile."""
        self.seconds[name] = min(seconds, self.seconds.get(name, seconds))

    def disturbed(
        self, name: str, arguments: list[str], watch: Callable[[], None], within: float = 1.0
    ) -> bool:
        """A process that gets a signal at a random time; whether it came to its end before.

        within: the latest time, in times of an undisturbed run. `watch` is called just before.
        """
        began = time.monotonic()
        process = self.start(arguments)
        moment = began + self.rng.uniform(0, self.seconds[name] * within)
        number = self.rng.choices([signal.SIGKILL, signal.SIGINT, signal.SIGTERM], [18, 1, 1])[0]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, moment - time.monotonic()))
        if process.returncode is None:
            watch()
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(process.pid, number)
                else:
                    process.send_signal(number)
        code = process.wait()
        if code == 0:
            return True
        if code == -signal.SIGKILL:
            self.counts["kills"] += 1
        elif number != signal.SIGKILL and code in (-number, 128 + number):
            self.counts["stops by SIGINT or SIGTERM"] += 1
        else:
            raise Difference(f"{name}: exit code {code}: {self.said()}")
        self.counts["resumes"] += 1
        return False

    # --- stores ---

    def preprocess(self, store: Path, workers: int) -> list[str]:
        """The arguments that make a store."""
        return ["preprocess", "--quiet", "--min-count", "40", "--threads", str(workers),
                "--output", str(store), *self.texts]  # fmt: skip

    def make_store(self, store: Path) -> None:
        """Make a store, disturbed, and compare it."""
        done, most = False, self.counts["kills"] + KILLS_PER_STORE
        while not done and self.counts["kills"] < most and not self.is_over:
            workers = self.rng.choice([1, 2])
            arguments = self.preprocess(store, workers)
            done = self.disturbed("preprocess", arguments, lambda: None)
            if not done and (store / "manifest.json").exists():
                # Killed behind its end: the next start tidies up, and refuses to do it again.
                TokenStore.open(store)
                done = self.start(arguments).wait() == 0 or _THERE in self.said()
            elif not done and any(store.glob("**/*.partial*")):
                self.counts["kills that hit a write"] += 1
        if not done:
            self.undisturbed("preprocess", self.preprocess(store, 1))
        if content_of(store) != self.expected["store"]:
            raise Difference(f"{store}: is not the store that an undisturbed run makes")
        self.counts["stores compared"] += 1

    # --- models ---

    def train(self, kind: Kind, store: Path, model: Path) -> list[str]:
        """The arguments that train a model."""
        return ["train", "--quiet", "--data-file", str(store), "--model-file", str(model),
                *kind.arguments]  # fmt: skip

    def make_model(self, kind: Kind, store: Path, model: Path) -> None:
        """Train a model, disturbed, and compare it."""
        done, words, idle = False, -1, 0
        most = self.counts["kills"] + KILLS_PER_MODEL

        def watch() -> None:
            nonlocal words
            words = max(words, words_now(model))

        while not done and self.counts["kills"] < most and not self.is_over:
            kills, before = self.counts["kills"], words
            left = 1 - max(0, words) / self.expected[kind.name]["total_words"]
            # Longer after those that did not come beyond their start, or none might ever.
            within = max(0.4, left) * (1 + idle / 3)
            done = self.disturbed(kind.name, self.train(kind, store, model), watch, within)
            if self.counts["kills"] > kills and was_saving(model):
                self.counts["kills that hit a save"] += 1
            words = self.check_save(model, words)
            idle = 0 if words > before else idle + 1
        if not done:
            self.undisturbed("the rest of it", self.train(kind, store, model))
        found, expected = fingerprint(model, exact=kind.exact), self.expected[kind.name]
        if different := [name for name in expected if found.get(name) != expected[name]]:
            raise Difference(f"{model}: differs from an undisturbed run's in {different}")
        if not kind.exact:
            check_loss(kind, model, self.place / f"whole-{KINDS.index(kind)}")
        self.counts[f"models compared ({'bytes' if kind.exact else 'words, loss'})"] += 1

    def check_save(self, model: Path, words: int) -> int:
        """What is there is whole, and no older than what was there; the words that it has."""
        if not layout.is_model_directory(model):
            if words >= 0:
                raise Difference(f"{model}: is gone")
            return words
        lines: list[str] = []
        found = layout.open_model(model, on_damage=lines.append).state["words_done"]
        fastw2v.Model.load(model)
        if lines and "names no save" not in lines[0]:
            raise Difference(f"{model}: {lines[0]}")
        if found < words:
            raise Difference(f"{model}: has {found:,} words, and had {words:,}")
        self.counts["saves looked at"] += 1
        return int(found)

    # --- all of it ---

    def prepare(self) -> None:
        """The runs that nothing disturbs; models twice, as the first one may have to compile."""
        store = self.place / "whole.store"
        self.undisturbed("preprocess", self.preprocess(store, 2))
        self.undisturbed("again", self.preprocess(self.place / "again.store", 1))
        self.expected["store"] = content_of(store)
        if content_of(self.place / "again.store") != self.expected["store"]:
            raise Difference("two undisturbed runs of preprocess differ")
        for number, kind in enumerate(KINDS):
            model = self.place / f"whole-{number}"
            self.undisturbed(kind.name, self.train(kind, store, self.place / f"cold-{number}"))
            self.undisturbed(kind.name, self.train(kind, store, model))
            self.expected[kind.name] = fingerprint(model, exact=kind.exact)
            print(f"undisturbed: {kind.name}: {self.seconds[kind.name]:.1f} s", flush=True)

    def run(self) -> None:
        """Live life after life."""
        self.prepare()
        life = 0
        while not self.is_over:
            kind, place = KINDS[life % len(KINDS)], self.place / f"life-{life}"
            place.mkdir()
            self.make_store(place / "s")
            self.make_model(kind, place / "s", place / "m")
            shutil.rmtree(place)
            life += 1
            print(
                f"{self.counts['kills']:>4} of {self.kills} kills, {self.counts['resumes']} "
                f"resumes, {life} lives: {kind.name}: no difference",
                flush=True,
            )


# --- what is compared ---


def content_of(directory: Path) -> dict[str, bytes]:
    """The files below a directory."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def fingerprint(model: Path, *, exact: bool) -> dict[str, Any]:
    """All that is to be the same in the end."""
    found = layout.open_model(model)
    names = ("words_done", "total_words", "position", "finished", "alpha", "schedule")
    values = {name: found.state[name] for name in names}
    history = found.history()
    words = [row["words"] for row in history]
    if words != sorted(set(words)) or words[-1] != found.state["words_done"]:
        raise Difference(f"{model}: rows of its history overlap or lack words")
    evaluated = [row for row in history if row["holdout_loss"] is not None]
    values["evaluated at"] = [row["words"] for row in evaluated]
    saves = {path.name: path for path in (model / layout.CHECKPOINTS).glob("*")}
    values["checkpoints"] = sorted(saves)
    if exact:
        values["losses"] = [row["holdout_loss"] for row in evaluated]
        for name, path in {**saves, "vectors": found.path}.items():
            sums = layout.read_generation(path).state["sha256"]
            values[name] = {file: sums[file] for file in sums if file.endswith(("npy", "parquet"))}
    return values


def check_loss(kind: Kind, model: Path, whole: Path) -> None:
    """The same quality: the intervals of the last held-out losses meet."""
    rows = [layout.open_model(place).history()[-1] for place in (model, whole)]
    if rows[0]["holdout_low"] > rows[1]["holdout_high"]:
        raise Difference(f"{kind.name}: held-out loss {rows[0]}, undisturbed {rows[1]}")


def words_now(model: Path) -> int:
    """Words of the newest save, -1 for none."""
    with contextlib.suppress(Exception):  # it may be replaced while it is read
        return int(layout.open_model(model).state["words_done"])
    return -1


def was_saving(model: Path) -> bool:
    """Whether the process that ended was at a save."""
    hidden = [path.name for path in model.rglob(".*") if path.name != layout.LOCK]
    newest = layout.generations(model)[-1:]
    return bool(hidden) or [path.name for path in newest] != [layout.current(model)]


# --- the command ---


def parse() -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.split("\n\n")[0])
    parser.add_argument("kills", nargs="?", type=int, default=200, help="how many (200)")
    parser.add_argument("--text", nargs="+", help="text (the documentation that Python carries)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    parser.add_argument("--minutes", type=float, default=60, help="the most that it takes (60)")
    return parser.parse_args()


def own_text(place: Path) -> list[str]:
    """The demonstration's text, as files."""
    lines, _ = demo.gather_texts(demo.find_sources(), words_wanted=WORDS)
    paths = [place / f"text-{number}.txt" for number in range(4)]
    for number, path in enumerate(paths):
        path.write_text("\n".join(lines[number::4]) + "\n", errors="replace")
    return [str(path) for path in paths]


def main() -> int:
    """Soak, and print the figures; 1 where there was a difference."""
    options = parse()
    # A shell starts a background job with SIGINT ignored, and so would be what is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = Path(tempfile.mkdtemp(prefix="fastw2v-soak-"))
    began = time.monotonic()
    texts = options.text or own_text(place)
    soak = Soak(place, texts, options.seed, options.kills, began + 60 * options.minutes)
    difference = ""
    try:
        soak.run()
    except Difference as error:
        difference = str(error)
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes, seed {options.seed}:")
    for name, count in sorted(soak.counts.items()):
        print(f"{count:>6} {name}")
    print(f"{bool(difference):>6} differences")
    if difference:
        print(f"DIFFERENCE: {difference}\nleft for a look: {place}")
        return 1
    shutil.rmtree(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
