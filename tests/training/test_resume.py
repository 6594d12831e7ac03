"""How a run begins: more epochs, another corpus, a vocabulary that grows, pretrained vectors."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import kill_helper
import numpy as np
import planted
import pytest
from click.testing import CliRunner
from preprocess_helper import content_of
from recorder import Recorder

import fastw2v
from fastw2v.cli.main import fastw2v as fastw2v_command
from fastw2v.errors import DataError, TrainingInterrupted, UsageError
from fastw2v.io import model_directory as layout
from fastw2v.io import storage
from fastw2v.store.format import TokenStore
from fastw2v.store.verify import verify_store
from fastw2v.text.config import Layout
from fastw2v.training import steppers as steps
from fastw2v.training.config import TrainConfig
from fastw2v.training.session import TrainingRun
from fastw2v.vectors.evaluation import AnalogyBenchmark, evaluate_analogies
from fastw2v.vectors.formats import VectorTable, write_vectors
from fastw2v.vectors.keyed_vectors import KeyedVectors

pytestmark = pytest.mark.usefixtures("quick_plots")

SMALL: dict[str, Any] = {
    "vector_dim": 12, "window": 5, "batch_size": 64, "subsample": 0.0, "threads": 1,
    "holdout": 0.0, "alpha": 0.05,
}  # fmt: skip
FIRST, SECOND = planted.sentences(120), planted.sentences(100, seed=5)
NOVEL = ["novel0", "novel1"]
RUN = {**os.environ, "PYTHONPATH": str(Path(fastw2v.__file__).parent.parent)}


def write_text(path: Path, sentences: list[list[str]]) -> Path:
    path.write_text("".join(" ".join(words) + "\n" for words in sentences))
    return path


def with_new_words(sentences: list[list[str]]) -> list[list[str]]:
    """Two new words in every fourth sentence, and one that comes once only."""
    changed = [
        [*words, *NOVEL] if number % 4 == 0 else words for number, words in enumerate(sentences)
    ]
    return [*changed, ["rare", "fruit0"]]


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    first = write_text(tmp_path / "first.txt", FIRST)
    return first, write_text(tmp_path / "second.txt", with_new_words(SECOND))


def train(data: Path, model: Path, **options: Any) -> tuple[fastw2v.Model, list[str]]:
    lines: list[str] = []
    return fastw2v.train(data, model, reporter=Recorder(lines), **options), lines


def first_model(texts: tuple[Path, Path], model: Path, **options: Any) -> fastw2v.Model:
    return train(texts[0], model, **{**SMALL, "epochs": 2, "min_count": 1, **options})[0]


def state_of(model: Path) -> dict[str, Any]:
    return layout.open_model(model).state


def bytes_of(model: Path) -> dict[str, str]:
    checksums = state_of(model)["sha256"]
    return {
        name: checksums[name]
        for name in ("input_vectors.npy", "output_vectors.npy", "vocabulary.parquet")
    }


def stopped_at(event: str) -> Any:
    """A callback that ends the run as a kill would: nothing more is saved."""

    def callback(progress: Any) -> None:
        if progress.event == event:
            raise KeyboardInterrupt

    return callback


def only(lines: list[str], words: str) -> str:
    found = [line for line in lines if words in line]
    assert len(found) == 1, lines
    return found[0]


# --- a vocabulary that grows, in the store ---


def test_new_words_come_behind_the_old_ones(tmp_path: Path) -> None:
    write_text(tmp_path / "a", [["b", "a", "c", "a", "b", "a"]])
    write_text(tmp_path / "b", [["z", "x", "c", "x", "y", "z", "x", "y", "w", "b"]] * 2 + [["v"]])
    fastw2v.preprocess(tmp_path / "a", tmp_path / "A", min_count=1)
    for most, words in ((None, 7), (5, 5)):
        report = fastw2v.preprocess(
            tmp_path / "b", tmp_path / "B", force=True, min_count=2, max_vocab=most,
            vocabulary=tmp_path / "A", update_vocab=True,
        )  # fmt: skip
        vocabulary = fastw2v.TokenStore.open(tmp_path / "B").vocabulary
        assert vocabulary.tokens == ["a", "b", "c", "x", "y", "z", "w"][:words]
        assert vocabulary.counts.tolist() == [3, 4, 3, 6, 4, 4, 2][:words]
        assert report.balanced
        assert report.tokens_below_min_count == 1
        assert report.tokens_beyond_max_vocab == (0 if most is None else 6)
        assert report.tokens_kept == 21 - 1 - report.tokens_beyond_max_vocab
        assert not verify_store(tmp_path / "B")


def test_old_words_count_however_rare_they_are(tmp_path: Path) -> None:
    """Their counts lie in many ranges and units, below --min-count in each."""
    cut = Layout(unit_bytes=200, small_unit_bytes=1, block_bytes=64, local_tokens=7)
    words = [[f"w{number}", "common", "common"] for number in range(60)]
    write_text(tmp_path / "a", words)
    write_text(tmp_path / "b", [[f"w{number}", "common", "fresh"] for number in range(30)])
    fastw2v.preprocess(tmp_path / "a", tmp_path / "A", min_count=1)
    stores = []
    for threads in (1, 2):
        report = fastw2v.preprocess(
            tmp_path / "b", tmp_path / f"B{threads}", vocabulary=tmp_path / "A", update_vocab=True,
            layout=cut, threads=threads,
        )  # fmt: skip
        stores.append(content_of(tmp_path / f"B{threads}"))
    assert stores[0] == stores[1]
    vocabulary = fastw2v.TokenStore.open(tmp_path / "B1").vocabulary
    old = fastw2v.TokenStore.open(tmp_path / "A").vocabulary
    assert vocabulary.tokens == [*old.tokens, "fresh"]
    counts = dict(zip(vocabulary.tokens, vocabulary.counts.tolist(), strict=True))
    assert (counts["common"], counts["fresh"], counts["w3"], counts["w59"]) == (150, 30, 2, 1)
    assert report.tokens_kept == report.tokens_read == 90


def test_an_interrupted_growth_goes_on(tmp_path: Path) -> None:
    write_text(tmp_path / "a", FIRST[:20])
    write_text(tmp_path / "b", with_new_words(SECOND[:60]))
    fastw2v.preprocess(tmp_path / "a", tmp_path / "A", min_count=1)
    cut = {"unit_bytes": 1500, "small_unit_bytes": 1}
    call = {
        "inputs": str(tmp_path / "b"), "vocabulary": str(tmp_path / "A"), "update_vocab": True,
        "min_count": 2, "layout": cut, "threads": 1,
    }  # fmt: skip
    with kill_helper.Runs(**call) as runs:
        assert runs.run(output=str(tmp_path / "whole")) == "done"
        steps_of_all = 2 * runs.steps
        for step in range(2, steps_of_all, max(1, steps_of_all // 12)):
            output = tmp_path / f"killed{step}"
            assert runs.run(output=str(output), kill_at=step) == "killed"
            assert runs.run(output=str(output)) == "done"
            assert content_of(output) == content_of(tmp_path / "whole")


def test_a_model_directory_is_a_vocabulary(texts: tuple[Path, Path], tmp_path: Path) -> None:
    model = first_model(texts, tmp_path / "m", epochs=1)
    fastw2v.preprocess(texts[1], tmp_path / "s", vocabulary=tmp_path / "m", update_vocab=True)
    tokens = fastw2v.TokenStore.open(tmp_path / "s").vocabulary.tokens
    assert tokens == [*model.vocabulary.tokens, *NOVEL]


def test_growth_with_approximate_counts_balances(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [[f"w{n}" for n in rng.integers(0, 3000, 10)] for _ in range(700)]
    write_text(tmp_path / "a", FIRST[:10])
    write_text(tmp_path / "b", words + FIRST[:50])
    fastw2v.preprocess(tmp_path / "a", tmp_path / "A", min_count=1)
    report = fastw2v.preprocess(
        tmp_path / "b", tmp_path / "B", vocabulary=tmp_path / "A", update_vocab=True,
        approximate_vocab=1000, min_count=2,
    )  # fmt: skip
    assert report.balanced
    assert report.count_error > 0
    assert report.tokens_outside_vocabulary > 0
    old = fastw2v.TokenStore.open(tmp_path / "A").vocabulary
    grown = fastw2v.TokenStore.open(tmp_path / "B").vocabulary
    assert grown.tokens[: len(old)] == old.tokens
    assert (grown.counts[: len(old)] > old.counts).all()
    assert not verify_store(tmp_path / "B")


def test_more_text_for_a_grown_store_keeps_its_vocabulary(tmp_path: Path) -> None:
    write_text(tmp_path / "a", [["b", "a"]])
    write_text(tmp_path / "b", [["x", "a"]] * 5)
    write_text(tmp_path / "c", [["x", "new", "b"]])
    fastw2v.preprocess(tmp_path / "a", tmp_path / "A", min_count=1)
    fastw2v.preprocess(tmp_path / "b", tmp_path / "B", vocabulary=tmp_path / "A", update_vocab=True)
    with pytest.raises(UsageError, match="`update_vocab`: `append` keeps"):
        fastw2v.preprocess(tmp_path / "c", tmp_path / "B", append=True, update_vocab=True)
    report = fastw2v.preprocess(tmp_path / "c", tmp_path / "B", append=True)
    assert (report.tokens_kept, report.tokens_outside_vocabulary) == (12, 1)
    assert not verify_store(tmp_path / "B")


def test_what_cannot_grow_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / "a", [["new", "york", "is", "it"]] * 20)
    fastw2v.preprocess(tmp_path / "a", tmp_path / "A", min_count=1)
    fastw2v.preprocess(
        tmp_path / "a", tmp_path / "P", min_count=1, phrases=1, phrase_threshold=0.0,
        phrase_min_count=1,
    )  # fmt: skip
    for options, message in (
        ({"update_vocab": True}, "give `vocabulary`"),
        ({"update_vocab": True, "vocabulary": tmp_path / "P"}, "has phrases"),
        ({"update_vocab": True, "vocabulary": tmp_path / "A", "phrases": 1}, "leave out `phrases`"),
        ({"update_vocab": True, "vocabulary": tmp_path / "A", "max_vocab": 3}, "less than the 4"),
        ({"vocabulary": tmp_path / "A", "min_count": 2}, "extend it with `update_vocab`"),
    ):
        with pytest.raises(UsageError, match=message):
            fastw2v.preprocess(tmp_path / "a", tmp_path / "out", **options)
    write_text(tmp_path / "b", [["other", "words"]])
    with pytest.raises(UsageError, match="none of the 2 tokens"):
        fastw2v.preprocess(
            tmp_path / "b", tmp_path / "out", vocabulary=tmp_path / "A", update_vocab=True
        )
    assert not (tmp_path / "out").exists()


# --- more epochs ---


def test_more_epochs_state_the_old_plan_and_the_new(
    texts: tuple[Path, Path], tmp_path: Path
) -> None:
    words = first_model(texts, tmp_path / "m").words_done
    began: list[float] = []

    def note(progress: Any) -> None:
        if progress.event == "start":
            began.append(progress.alpha)

    model, lines = train(texts[0], tmp_path / "m", epochs=4, callback=note)
    assert model.words_done == 2 * words
    assert only(lines, "resuming") == (
        f"resuming after {words:,} words, {words:,} to go; new learning rate: 0.05 to 5e-06 over "
        f"{2 * words:,} words, now 0.025 (it was 5e-06, of 0.05 to 5e-06 over {words:,} words)"
    )
    assert began == [pytest.approx(0.025, rel=1e-3)]
    _, lines = train(texts[0], tmp_path / "m")
    assert "nothing to do" in only(lines, "finished already")
    _, lines = train(texts[0], tmp_path / "m", epochs=6, alpha=0.02)
    assert "new learning rate: 0.02 to 2e-06" in only(lines, "resuming")


def test_an_unchanged_plan_is_not_planned_anew(texts: tuple[Path, Path], tmp_path: Path) -> None:
    def stop(progress: Any) -> bool:
        return progress.event != "interval"

    words = first_model(texts, tmp_path / "m", callback=stop, epochs=500).words_done
    _, lines = train(texts[0], tmp_path / "m", callback=stop)
    left = 500 * 1440 - words
    rate = 0.05 * left / (500 * 1440)
    assert 0 < left < 500 * 1440
    assert only(lines, "resuming") == (
        f"resuming after {words:,} words, {left:,} to go, at learning rate {rate:.3g}"
    )


def test_more_epochs_after_patience(tmp_path: Path) -> None:
    store = planted.make_store(tmp_path / "s", count=600)
    options = {**SMALL, "holdout": 0.1, "patience": 1, "type": "sgram_neg"}
    model, _ = train(store, tmp_path / "m", epochs=30, **options)
    assert state_of(tmp_path / "m")["finished"]
    _, lines = train(store, tmp_path / "m")
    assert "nothing to do" in only(lines, "finished already")
    longer, lines = train(store, tmp_path / "m", epochs=60)
    assert "constant 0.05 until the held-out loss no longer improves" in only(lines, "resuming")
    assert longer.words_done > model.words_done


def test_patience_may_be_asked_for_in_the_middle_of_a_run(tmp_path: Path) -> None:
    store = planted.make_store(tmp_path / "s", count=600)
    options = {**SMALL, "holdout": 0.1, "type": "sgram_neg", "epochs": 30}
    train(store, tmp_path / "m", max_words=2000, **options)
    model, lines = train(store, tmp_path / "m", patience=1)
    line = only(lines, "resuming after")
    assert "constant 0.05 until the held-out loss no longer improves" in line
    assert "at most" in line
    assert only(lines, "the learning rate decays")
    assert state_of(tmp_path / "m")["finished"]
    assert 2000 < model.words_done < 30 * planted_words(store)


def planted_words(store: Path) -> int:
    return TokenStore.open(store).num_tokens


def test_what_is_to_go_of_a_fall_that_patience_began(tmp_path: Path) -> None:
    store = planted.make_store(tmp_path / "s", count=600)
    options = {**SMALL, "holdout": 0.1, "patience": 1, "type": "sgram_neg"}

    def stop(progress: Any) -> None:
        if progress.event == "cooldown":
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(TrainingInterrupted):
        train(store, tmp_path / "m", epochs=300, callback=stop, **options)
    gone = state_of(tmp_path / "m")["words_done"]
    model, lines = train(store, tmp_path / "m")
    assert model.words_done < 300 * planted_words(store)
    told = int(re.findall(r"([0-9,]+) to go", only(lines, "resuming after"))[0].replace(",", ""))
    assert abs(model.words_done - gone - told) < 100  # it ends with a whole block


def test_a_learning_rate_that_is_given_is_not_halved_by_rollbacks_of_another(
    texts: tuple[Path, Path], tmp_path: Path
) -> None:
    model = tmp_path / "m"
    first_model(texts, model, max_words=300)
    change_state(model, schedule={**state_of(model)["schedule"], "rollbacks": 2})
    _, lines = train(texts[0], model, epochs=3)
    assert "new learning rate: 0.0125 " in only(lines, "resuming after")
    change_state(model, schedule={**state_of(model)["schedule"], "rollbacks": 2})
    _, lines = train(texts[0], model, epochs=4, alpha=0.02)
    assert "new learning rate: 0.02 " in only(lines, "resuming after")
    assert state_of(model)["schedule"]["rollbacks"] == 0


def change_state(model: Path, **values: Any) -> None:
    """As if the newest save had been made so."""
    path = layout.open_model(model).path / layout.STATE
    state = {**storage.read_json(path), **values}
    storage.write_json(path, {**state, "checksum": layout.state_checksum(state)})


# --- another corpus ---


def test_another_corpus_after_patience_does_not_say_that_words_are_missing(
    tmp_path: Path,
) -> None:
    store = planted.make_store(tmp_path / "s", count=600)
    options = {**SMALL, "holdout": 0.1, "patience": 1, "type": "sgram_neg"}
    train(store, tmp_path / "m", epochs=300, **options)
    assert state_of(tmp_path / "m")["words_done"] < state_of(tmp_path / "m")["total_words"]
    fastw2v.preprocess(SECOND, tmp_path / "other", vocabulary=str(tmp_path / "m"))
    _, lines = train(tmp_path / "other", tmp_path / "m", new_corpus=True, epochs=1)
    assert "of the previous corpus" not in only(lines, "new corpus: ")


def test_another_corpus_is_trained_on_from_the_models_vectors(
    texts: tuple[Path, Path], tmp_path: Path
) -> None:
    first = first_model(texts, tmp_path / "m")
    corpus = state_of(tmp_path / "m")["corpus_hash"]
    with pytest.raises(UsageError, match="`new_corpus`"):
        train(texts[1], tmp_path / "m")
    begun: list[np.ndarray] = []

    def note(progress: Any) -> None:
        if progress.event == "start":
            generation = layout.open_model(tmp_path / "m")
            begun.extend(np.array(generation.matrix(name)) for name in layout.MATRICES)
            assert generation.state["words_done"] == 0
            assert generation.state["position"] == {"epoch": 0, "row_group": 0, "center": 0}
            assert progress.alpha == 0.05

    model, lines = train(texts[1], tmp_path / "m", new_corpus=True, epochs=3, callback=note)
    np.testing.assert_array_equal(begun[0], first.input_vectors)
    np.testing.assert_array_equal(begun[1], first.output_vectors)
    state = state_of(tmp_path / "m")
    assert model.words_done == 3 * (100 * 12 + 1) == state["total_words"]
    assert state["words_before"] == first.words_done == 2 * 120 * 12
    assert state["corpus_hash"] != corpus
    assert state["corpus"]["settings"]["vocabulary"] == "m"
    assert model.vocabulary == first.vocabulary
    assert model.history[: len(first.history)] == first.history
    event = model.history[len(first.history)]
    assert (event["event"], event["loss"]) == ("new corpus", None)
    assert "51 (4.07 %) are not" in only(lines, "in the vocabulary")
    line = only(lines, "new corpus: ")
    assert "3,603 words to train, after 2,880" in line
    assert "the learning rate restarts: 0.05 to 5e-06 over 3,603 words (it was 5e-06)" in line
    names = sorted(path.name for path in (tmp_path / "m" / "checkpoints").glob("epoch-*"))
    assert names == ["epoch-0003", "epoch-0004", "epoch-0005"]


def test_the_same_command_does_not_begin_again(texts: tuple[Path, Path], tmp_path: Path) -> None:
    first_model(texts, tmp_path / "m")
    train(texts[1], tmp_path / "m", new_corpus=True, epochs=2)
    done = bytes_of(tmp_path / "m")
    for flag in (True, False):
        _, lines = train(texts[1], tmp_path / "m", new_corpus=flag, epochs=2)
        assert "nothing to do" in only(lines, "finished already")
        assert bytes_of(tmp_path / "m") == done
        assert any("being trained on this corpus already" in line for line in lines) == flag
    _, lines = train(texts[1], tmp_path / "m", epochs=3)
    assert "resuming after 2,402 words" in only(lines, "resuming")
    with pytest.raises(UsageError, match=r"have changed since.*`new_corpus`"):
        train(texts[0], tmp_path / "m", epochs=4)
    _, lines = train(texts[0], tmp_path / "m", new_corpus=True, epochs=1)  # and back
    assert "1,440 words to train, after 6,483" in only(lines, "new corpus: ")


def test_the_text_is_cut_as_the_models_was(tmp_path: Path) -> None:
    first = write_text(tmp_path / "a", [["Ab", "ab", "x-y", "Ab"]] * 30)
    second = write_text(tmp_path / "b", [["Ab", "x-y", "AB", "ab"]] * 30)
    options = {**SMALL, "epochs": 1, "lowercase": False, "tokenizer": "whitespace"}
    train(first, tmp_path / "m", **options)
    _, lines = train(second, tmp_path / "m", new_corpus=True)
    assert "90 words are in the vocabulary, 30 (25.00 %)" in only(lines, "in the vocabulary")
    _, lines = train(second, tmp_path / "m", new_corpus=True, lowercase=True)
    assert "120 words are in the vocabulary, 0 (0.00 %)" in only(lines, "in the vocabulary")


def test_the_store_of_the_new_text_takes_its_place_when_it_is_begun(
    texts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_model(texts, tmp_path / "m")
    before = {name: content_of(tmp_path / name) for name in ("m", "m.store")}
    with monkeypatch.context() as patch:

        def killed(run: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(TrainingRun, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            train(texts[1], tmp_path / "m", new_corpus=True)
    assert {name: content_of(tmp_path / name) for name in before} == before
    assert (tmp_path / "m.store.next" / "manifest.json").exists()
    _, lines = train(texts[0], tmp_path / "m", epochs=3)  # the old text goes on as if nothing was
    assert "resuming after" in only(lines, "resuming")
    stamp = (tmp_path / "m.store.next" / "manifest.json").stat().st_mtime_ns
    train(texts[1], tmp_path / "m", new_corpus=True, epochs=1)
    assert not (tmp_path / "m.store.next").exists()
    assert (tmp_path / "m.store" / "manifest.json").stat().st_mtime_ns == stamp
    assert fastw2v.TokenStore.open(tmp_path / "m.store").num_tokens == 1201


def test_a_killed_leg_goes_on_to_the_same_bytes(texts: tuple[Path, Path], tmp_path: Path) -> None:
    """Real processes, killed at any moment, with the flag and without it."""
    for name in ("whole", "killed"):
        first_model(texts, tmp_path / name)
    options = ["--new-corpus", "--update-vocab", "--min-count", "2", "--epochs", "20"]
    command = [
        sys.executable, "-m", "fastw2v", "train", str(texts[1]), "--threads", "1",
        "--save-interval", "0", "--save-every", "9", "--checkpoint-epochs", "0", *options,
    ]  # fmt: skip
    train(texts[1], tmp_path / "whole", threads=1, update_vocab=True, min_count=2, epochs=20)
    model, kills = tmp_path / "killed", 0
    while True:
        process = subprocess.Popen(
            [*command, "--model-file", str(model)], stderr=subprocess.PIPE, env=RUN
        )
        wait_for_save(model, process)
        if process.poll() is None and kills < 2:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        assert process.wait(timeout=60) == 0
        process.communicate()
        break
    assert kills == 2
    assert bytes_of(model) == bytes_of(tmp_path / "whole")
    assert not (tmp_path / "killed.store.next").exists()
    state = state_of(model)
    assert state["words_before"] == 2 * 120 * 12
    assert fastw2v.Model.load(model).vocabulary.tokens[-2:] == NOVEL


def wait_for_save(model: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the process has saved twice more than there was, or has ended."""

    def newest() -> int:
        numbers = [layout.number_of(path) for path in layout.generations(model)]
        return max(numbers, default=0)

    first, until = newest(), time.monotonic() + 60
    while newest() < first + 2 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)


def test_a_store_is_another_corpus_too(texts: tuple[Path, Path], tmp_path: Path) -> None:
    first_model(texts, tmp_path / "m")
    fastw2v.preprocess(texts[1], tmp_path / "other", min_count=1)
    fastw2v.preprocess(texts[1], tmp_path / "same", vocabulary=tmp_path / "m")
    fastw2v.preprocess(
        texts[1], tmp_path / "grown", vocabulary=tmp_path / "m", update_vocab=True, min_count=1
    )
    with pytest.raises(UsageError, match="preprocess it with `vocabulary`"):
        train(tmp_path / "other", tmp_path / "m", new_corpus=True)
    with pytest.raises(UsageError, match=r"3 new ones.*add `update_vocab`"):
        train(tmp_path / "grown", tmp_path / "m", new_corpus=True)
    with pytest.raises(UsageError, match="`min_count`: only for text"):
        train(tmp_path / "grown", tmp_path / "m", update_vocab=True, min_count=1)
    model, lines = train(tmp_path / "same", tmp_path / "m", new_corpus=True, epochs=1)
    assert "51 (4.07 %) are not" in only(lines, "in the vocabulary")
    assert model.words_done == 1201
    model, _ = train(tmp_path / "grown", tmp_path / "m", update_vocab=True, epochs=1)
    assert sorted(model.vocabulary.tokens[-3:]) == sorted([*NOVEL, "rare"])
    _, lines = train(tmp_path / "grown", tmp_path / "m", update_vocab=True)
    assert "nothing to do" in only(lines, "finished already")


def test_what_another_corpus_cannot_be_is_refused(texts: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no model"):
        train(texts[1], tmp_path / "none", new_corpus=True)
    assert not (tmp_path / "none").exists()
    first_model(texts, tmp_path / "m", epochs=1)
    done = bytes_of(tmp_path / "m")
    for options, message in (
        ({"overwrite_model": True}, "give one"),
        ({"min_count": 2}, "`min_count`: the model keeps its vocabulary"),
        ({"vocabulary": tmp_path / "m"}, "`vocabulary`: with `new_corpus`"),
        ({"phrases": 1}, "`phrases`: with `new_corpus`"),
        ({"vector_dim": 5}, "`vector_dim` 5 .the model has 12."),
    ):
        with pytest.raises(UsageError, match=message):
            train(texts[1], tmp_path / "m", new_corpus=True, **options)
    foreign = write_text(tmp_path / "foreign.txt", [["nothing", "known"]])
    with pytest.raises(UsageError, match="none of the 2 tokens"):
        train(foreign, tmp_path / "m", new_corpus=True)
    assert bytes_of(tmp_path / "m") == done


@pytest.mark.parametrize("model_type", ["sgram_neg", "sgram"])
def test_old_words_keep_their_vectors_and_new_ones_get_some(
    texts: tuple[Path, Path], tmp_path: Path, model_type: str
) -> None:
    first = first_model(texts, tmp_path / "m", type=model_type, alpha=0.01)
    with pytest.raises(KeyboardInterrupt):
        train(
            texts[1], tmp_path / "m", update_vocab=True, min_count=2, callback=stopped_at("start")
        )
    begun = fastw2v.Model.load(tmp_path / "m")
    old = len(first.vocabulary)
    assert begun.vocabulary.tokens == [*first.vocabulary.tokens, *NOVEL]
    added = np.array([sum(words.count(token) for words in with_new_words(SECOND))
                      for token in first.vocabulary.tokens])  # fmt: skip
    assert begun.vocabulary.counts[:old].tolist() == (first.vocabulary.counts + added).tolist()
    assert begun.vocabulary.counts[old:].tolist() == [25, 25]
    config = TrainConfig.create(**{**SMALL, "type": model_type})
    new = steps.initial_weights(old + 2, config)
    for name, rows in zip(layout.MATRICES, new, strict=True):
        np.testing.assert_array_equal(getattr(begun, name)[:old], getattr(first, name))
        np.testing.assert_array_equal(getattr(begun, name)[old:], rows[old:, :12])
    model, lines = train(texts[1], tmp_path / "m", epochs=2)
    assert "resuming after 0 words" in only(lines, "resuming")
    assert (model.input_vectors[old:] != begun.input_vectors[old:]).any(axis=1).all()


def test_stop_words_of_a_file_do_not_become_new_words(tmp_path: Path) -> None:
    stop = write_text(tmp_path / "stop.txt", [["the", "of"]])
    first = write_text(tmp_path / "a", [["the", "cat", "of", "dog", "cat"]] * 30)
    second = write_text(tmp_path / "b", [["the", "cat", "of", "cow", "dog"]] * 30)
    train(first, tmp_path / "m", **SMALL, epochs=1, stopwords=stop)
    with pytest.raises(
        UsageError, match=r"stop words of stop\.txt.*give them again as `stopwords`"
    ):
        train(second, tmp_path / "m", update_vocab=True)
    model, lines = train(second, tmp_path / "m", update_vocab=True, stopwords=stop, epochs=1)
    assert model.vocabulary.tokens == ["cat", "dog", "cow"]
    assert not [line for line in lines if line.startswith("warning: ")]


# --- pretrained vectors ---


def pretrained_table(dim: int = 12) -> VectorTable:
    words = ["fruit0", "unseen", "metal3", "fruit7"]
    vectors = np.random.default_rng(3).normal(size=(4, dim)).astype(np.float32)
    vectors[2, 0] = -0.0
    return VectorTable(words, vectors, np.array([4, 3, 2, 1]))


def begun_with(data: Path, model: Path, init: Path, **options: Any) -> fastw2v.Model:
    """The model before its first step."""
    with pytest.raises(KeyboardInterrupt):
        train(
            data, model, **{**SMALL, "min_count": 1, **options}, init=init,
            callback=stopped_at("start"),
        )  # fmt: skip
    return fastw2v.Model.load(model)


@pytest.mark.parametrize("suffix", [".bin", ".txt", ".vec", ".parquet", ".npy"])
def test_a_new_model_begins_with_the_vectors_of_a_file(
    texts: tuple[Path, Path], tmp_path: Path, suffix: str
) -> None:
    table = pretrained_table()
    write_vectors(tmp_path / f"pretrained{suffix}", table)
    model = begun_with(texts[0], tmp_path / "m", tmp_path / f"pretrained{suffix}")
    fresh = steps.initial_weights(20, TrainConfig.create(**SMALL)).input_vectors[:, :12]
    expected = np.array(fresh)
    for word, vector in zip(table.tokens, table.vectors, strict=True):
        if word != "unseen":
            expected[model.vocabulary.index[word]] = vector
    np.testing.assert_array_equal(model.input_vectors, expected)
    assert not model.output_vectors.any()
    assert not np.signbit(model.input_vectors[model.vocabulary.index["metal3"], 0])
    note = state_of(tmp_path / "m")["init"]
    assert (note["file"], note["words"]) == (f"pretrained{suffix}", 3)
    assert model.config["init"] == f"pretrained{suffix}"


def test_a_new_model_begins_with_both_matrices_of_a_model(
    texts: tuple[Path, Path], tmp_path: Path
) -> None:
    first = first_model(texts, tmp_path / "a")
    lines: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        fastw2v.train(
            texts[1], tmp_path / "b", **{**SMALL, "min_count": 1, "init": str(tmp_path / "a")},
            callback=stopped_at("start"), reporter=Recorder(lines),
        )  # fmt: skip
    model = fastw2v.Model.load(tmp_path / "b")
    rows = [model.vocabulary.index[token] for token in first.vocabulary.tokens]
    np.testing.assert_array_equal(model.input_vectors[rows], first.input_vectors)
    np.testing.assert_array_equal(model.output_vectors[rows], first.output_vectors)
    assert "vectors of 20 of the 23 words (87.0 %, 95.9 % of the tokens)" in only(
        lines, "at random"
    )


def test_dimensions_are_the_files_unless_given(texts: tuple[Path, Path], tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.bin", pretrained_table(dim=7))
    options = {name: value for name, value in SMALL.items() if name != "vector_dim"}
    model, _ = train(
        texts[0], tmp_path / "m", epochs=1, min_count=1, init=tmp_path / "v.bin", **options
    )
    assert model.input_vectors.shape == (20, 7)
    with pytest.raises(UsageError, match="7 dimensions, `vector_dim` is 12"):
        train(texts[0], tmp_path / "n", init=tmp_path / "v.bin", **SMALL)
    assert not (tmp_path / "n").exists()
    assert not (tmp_path / "n.store").exists()


def test_vectors_that_cannot_begin_a_model_are_refused(
    texts: tuple[Path, Path], tmp_path: Path
) -> None:
    table = pretrained_table()
    for name, rows, error, message in (
        ("nan.bin", np.full((4, 12), np.nan), DataError, "'fruit0' is not finite"),
        ("inf.bin", np.full((4, 12), np.inf), DataError, "'fruit0' is not finite"),
        ("long.bin", np.full((4, 12), 1e6), DataError, "longer than"),
    ):
        write_vectors(tmp_path / name, table._replace(vectors=rows.astype(np.float32)))
        with pytest.raises(error, match=message):
            train(texts[0], tmp_path / "m", init=tmp_path / name, min_count=1, **SMALL)
    write_vectors(tmp_path / "other.bin", table._replace(tokens=["w", "x", "y", "z"]))
    with pytest.raises(UsageError, match="none of the 20 words"):
        train(texts[0], tmp_path / "m", init=tmp_path / "other.bin", min_count=1, **SMALL)
    with pytest.raises(UsageError, match="must be a path; got 5"):
        train(texts[0], tmp_path / "m", init=5, **SMALL)
    for init, message in (("no.bin", "no such file"), (".", "not a fastw2v model")):
        with pytest.raises(UsageError, match=message):
            train(texts[0], tmp_path / "m", init=tmp_path / init, **SMALL)
    assert not (tmp_path / "m").exists()


def test_an_existing_model_keeps_its_own_vectors(texts: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("v.bin", "w.bin"):
        write_vectors(tmp_path / name, pretrained_table())
    options = {**SMALL, "min_count": 1, "epochs": 1}
    train(texts[0], tmp_path / "m", **options)
    with pytest.raises(UsageError, match="continues from its own vectors"):
        train(texts[0], tmp_path / "m", init=tmp_path / "v.bin", epochs=2)
    train(texts[0], tmp_path / "m", init=tmp_path / "v.bin", overwrite_model=True, **options)
    with pytest.raises(UsageError, match="continues from its own vectors"):
        train(texts[0], tmp_path / "m", init=tmp_path / "w.bin", epochs=2)
    model, lines = train(texts[0], tmp_path / "m", init=tmp_path / "v.bin", epochs=2)  # again
    assert "began with v.bin" in only(lines, "`init`")
    assert "resuming after" in only(lines, "resuming")
    assert (state_of(tmp_path / "m")["init"]["words"], model.config["init"]) == (3, "v.bin")
    train(texts[1], tmp_path / "m", new_corpus=True, epochs=1)
    assert state_of(tmp_path / "m")["init"]["file"] == "v.bin"


# --- ids that are not in the order of counts ---


def test_the_most_frequent_words_are_found_wherever_they_stand() -> None:
    words = ["rare", "king", "often", "queen", "man", "woman"]
    vectors = np.array([[1, 1.1], [1, 1], [1, -1], [2, 1.9], [1, 0.9], [1.9, 1.8]], np.float32)
    kv = KeyedVectors(words, vectors, np.array([1, 9, 20, 8, 7, 6]))
    assert kv.most_frequent(3) == ["often", "king", "queen"]
    near = kv.most_similar("king", restrict_vocab=5)
    assert [word for word, _ in near] == ["queen", "woman", "man", "often"]
    assert "rare" in [word for word, _ in kv.most_similar("king")]
    cosines = kv.most_similar("king", topn=None, restrict_vocab=2)
    assert np.isfinite(cosines).tolist() == [False, True, True, False, False, False]
    in_order = np.argsort(-kv.counts)
    sorted_kv = KeyedVectors([words[i] for i in in_order], vectors[in_order], kv.counts[in_order])
    questions = [("king", "queen", "man", "woman"), ("rare", "king", "man", "woman"),
                 ("queen", "king", "woman", "man")]  # fmt: skip
    benchmark = AnalogyBenchmark("test", questions, ["section"], np.zeros(3, np.int64))
    for restrict in (None, 5, 4):
        found, expected = (evaluate_analogies(x, benchmark, restrict) for x in (kv, sorted_kv))
        assert found.known.tolist() == expected.known.tolist()
        assert found.correct.tolist() == expected.correct.tolist()
    assert expected.known.tolist() == [False, False, False]
    assert evaluate_analogies(kv, benchmark, 5).known.tolist() == [True, False, True]


def test_info_tells_how_a_model_began(texts: tuple[Path, Path], tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.bin", pretrained_table())
    options = {**SMALL, "min_count": 1, "epochs": 1, "init": tmp_path / "v.bin"}
    train(texts[0], tmp_path / "m", **options)
    text = write_text(tmp_path / "third.txt", [["often", "fruit0"]] * 900)
    train(text, tmp_path / "m", update_vocab=True)
    lines = CliRunner().invoke(fastw2v_command, ["info", str(tmp_path / "m")]).output
    assert "initial vectors file\tv.bin\n" in lines
    assert "initial vectors words\t3\n" in lines
    assert "words on earlier corpora\t" in lines
    assert re.search(r"most frequent\W+fruit0 [\d,]+, often 900", lines)
