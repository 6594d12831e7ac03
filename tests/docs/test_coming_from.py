"""Each row of docs/coming-from.md, tried: theirs where gensim is, ours always."""

from __future__ import annotations

import inspect
import re
import shlex

import numpy as np
import pytest
from click.testing import CliRunner
from document_blocks import ROOT

import fastw2v
from fastw2v.cli.main import fastw2v as program
from fastw2v.cli.options import given_options
from fastw2v.store.config import PreprocessConfig
from fastw2v.training.config import PRESETS, TrainConfig

PAGE = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
# Of word2vec.c, word2phrase.c and fastText; neither is installed by pip for the tests.
WORD2VEC_C = {
    *("-train", "-output", "-size", "-window", "-sample", "-hs", "-negative", "-threads", "-iter"),
    *("-min-count", "-alpha", "-classes", "-debug", "-binary", "-save-vocab", "-read-vocab"),
    *("-cbow", "-threshold"),
}
FASTTEXT = {
    *("-input", "-output", "-dim", "-ws", "-epoch", "-lr", "-neg", "-loss", "-t", "-thread"),
    *("-minCount", "-pretrainedVectors"),
}


def rows_of(section: str, title: str) -> list[tuple[str, str]]:
    """The (theirs, ours) cells of the table whose first title is `title`, in a section."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    (table,) = [t for t in re.split(r"\n\n", text) if t.lstrip().startswith(f"| {title} |")]
    rows = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    return [(theirs, ours) for theirs, ours in rows]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def config_of(command: str, arguments: list[str]) -> dict:
    """The options that a command line gives, checked as the command checks them."""
    parsed = program.commands[command].make_context(command, arguments)
    given = given_options(parsed, parsed.params)
    if command == "train":
        names = {field.name for field in TrainConfig.__dataclass_fields__.values()}
        values = {name: given[name] for name in given if name in names}
        return {**TrainConfig.create(**values).to_json(), "_given": values}
    names = {field.name for field in PreprocessConfig.__dataclass_fields__.values()}
    values = {name: given[name] for name in given if name in names}
    PreprocessConfig(**values)
    return {"_given": values}


def try_ours(cell: str, number: int) -> None:
    """Parse options of `train`, run everything else."""
    for text in code(cell):
        words = shlex.split(text)
        if words[0].startswith("--"):
            assert config_of("train", ["corpus.store", "any.model", *words])["_given"]
            continue
        command, *rest = words
        if command not in program.commands:
            continue
        if command == "preprocess":
            rest += ["corpus.txt", "--output", f"row-{number}.store"]
        if command == "train":
            rest += ["--vector-dim", "8", "--max-words", "2000", "--force", "--quiet"]
        if "--output" in rest and command != "train":
            rest += ["--force"]
        result = CliRunner().invoke(program, [command, *rest])
        assert result.exit_code == 0, f"{text}\n{result.output}"


GENSIM_OPTIONS = rows_of("gensim", "gensim `Word2Vec(...)`")
GENSIM_CALLS = rows_of("gensim", "gensim call")
GENSIM_QUERIES = rows_of("gensim", "gensim `KeyedVectors`")


def test_gensim_options(place):
    word2vec = pytest.importorskip("gensim.models.word2vec")
    known = inspect.signature(word2vec.Word2Vec.__init__).parameters
    theirs_all = {}
    for number, (theirs, ours) in enumerate(GENSIM_OPTIONS):
        theirs = eval(f"dict({code(theirs)[0]})")
        assert set(theirs) <= set(known)
        theirs_all |= theirs
        (value,) = theirs.values()
        words = shlex.split(code(ours)[0])
        if words[0] == "preprocess":
            given = config_of("preprocess", ["x", "--output", "y", *words[1:]])["_given"]
        else:
            given = config_of("train", ["x", "y", *words])["_given"]
        (mine,) = given.values()
        numeric = not isinstance(mine, str)
        assert not numeric or mine == (2 * value + 1 if "window" in given else value)
        try_ours(ours, number)
    model = word2vec.Word2Vec(corpus_file="corpus.txt", **theirs_all)
    assert model.vector_size == 50


def test_the_names_of_presets():
    assert set(re.findall(r"`--preset ([\w.]+)`", PAGE)) <= set(PRESETS)


def test_gensim_files_and_calls(place):
    gensim = pytest.importorskip("gensim")
    rows = {code(theirs)[0].partition("(")[0]: ours for theirs, ours in GENSIM_CALLS}
    assert "fastw2v.train" in rows["Word2Vec"]
    try_ours(rows["Phrases"], 100)
    theirs = gensim.models.KeyedVectors.load_word2vec_format("vectors.bin", binary=True)
    wv = fastw2v.KeyedVectors.load("vectors.bin")
    for line in [ours for theirs, ours in GENSIM_CALLS if "wv.save" in ours]:
        eval(code(line)[0], {"wv": wv})
    for name, binary in (("copy.bin", True), ("copy.txt", False)):
        again = gensim.models.KeyedVectors.load_word2vec_format(name, binary=binary)
        assert np.allclose(again.vectors, theirs.vectors, atol=1e-6)


@pytest.mark.parametrize(("theirs", "ours"), GENSIM_QUERIES)
def test_gensim_queries(everything, theirs, ours):
    theirs, ours = code(theirs)[0], code(ours)[0]
    gensim = pytest.importorskip("gensim")
    wv = fastw2v.KeyedVectors.load(everything / "my.model")
    peer = gensim.models.KeyedVectors.load_word2vec_format(
        str(everything / "vectors.bin"), binary=True
    )
    for word in peer.index_to_key:
        peer.set_vecattr(word, "count", int(wv.counts[wv.get_index(word)]))
    mine, other = eval(ours, {"wv": wv}), eval(theirs, {"wv": peer})
    if isinstance(other, list) and isinstance(other[0], tuple):
        assert [word for word, _ in mine] == [word for word, _ in other]
        mine, other = ([score for _, score in answers] for answers in (mine, other))
    if isinstance(other, str | bool | dict) or (
        isinstance(other, list) and isinstance(other[0], str)
    ):
        assert mine == other
    else:
        assert np.allclose(mine, other, atol=1e-5)


@pytest.mark.parametrize(
    ("section", "title", "known"),
    [("word2vec.c", "word2vec.c", WORD2VEC_C), ("fastText", "fastText", FASTTEXT)],
)
def test_rows_of_command_lines(place, section, title, known):
    rows = rows_of(section, title)
    assert len(rows) > 14
    for number, (theirs, ours) in enumerate(rows):
        options = [word for word in shlex.split(code(theirs)[0]) if re.match(r"-[a-zA-Z]", word)]
        assert set(options) <= known, theirs
        assert code(ours), theirs
        try_ours(ours, number)
