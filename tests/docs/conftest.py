"""A folder with everything that the commands of the documents read, small."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from quick_plot import write_picture

from fastw2v import preprocess, train

WORDS = [
    *("king", "queen", "man", "woman", "the", "cat", "sat", "on", "mat", "of", "coffee", "tea"),
    *("city", "capital", "great", "new", "york", "good", "better", "bad"),
]


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    draw = random.Random(1)
    lines = [" ".join(draw.choices(WORDS, k=12)) for _ in range(900)]
    text = "\n".join(lines) + "\n"
    for name in ("corpus", "new"):
        (folder / name).mkdir()
    for place in range(3):
        packed = gzip.compress("\n".join(lines[place::3]).encode(), mtime=0)
        (folder / "corpus" / f"part-0{place}.txt.gz").write_bytes(packed)
    (folder / "new" / "more.txt").write_text(text.replace("coffee", "cocoa"))
    for name in ("text.txt", "corpus.txt", "held-out.txt"):
        (folder / name).write_text(text)
    records = "".join(json.dumps({"text": f"{line}. {line}."}) + "\n" for line in lines)
    with pa.CompressedOutputStream(str(folder / "dump.jsonl.zst"), "zstd") as stream:
        stream.write(records.encode())
    pyarrow.parquet.write_table(pa.table({"text": lines}), folder / "table.parquet")
    pairs = [f"{a}\t{b}\t{score}" for score, (a, b) in enumerate(itertools.pairwise(WORDS))]
    (folder / "wordsim353.tsv").write_text("\n".join(pairs))
    questions = ": royal\nman king woman queen\nking man queen woman\n"
    (folder / "questions-words.txt").write_text(questions)
    preprocess(str(folder / "corpus"), folder / "corpus.store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastw2v.plots.loss.plot_loss", write_picture)
        model = train(folder / "corpus.store", folder / "my.model", vector_dim=20, epochs=1)
    for suffix in ("bin", "vec", "txt"):
        model.wv.save(folder / f"vectors.{suffix}")
    counts = zip(model.vocabulary.tokens, model.vocabulary.counts, strict=True)
    (folder / "vocabulary.txt").write_text("".join(f"{word} {count}\n" for word, count in counts))
    return folder


@pytest.fixture
def place(everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, the working directory."""
    folder = tmp_path / "place"
    shutil.copytree(everything, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("fastw2v.plots.loss.plot_loss", write_picture)
    monkeypatch.setattr("fastw2v.demo.WORDS_WANTED", 20_000)
    return folder
