"""Tokenizers that the user names: patterns, functions; and what of them a file may ask for."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import sys

import pytest
from recorder import Recorder

import fastw2v
from fastw2v.errors import UsageError
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.format import TokenStore
from fastw2v.store.settings import Settings, settings_unchanged
from fastw2v.text.config import Layout, TextConfig
from fastw2v.text.tokenizer import Tokenizer
from fastw2v.training.corpus import corpus_note, noted_config


def tokens(text: str, tokenizer: str, **options) -> list[str]:
    return Tokenizer(PreprocessConfig(tokenizer=tokenizer, **options)).words_of(text)


# --- wrong names ---


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokenizer": "spacy"}, "'spacy' is not one of words, whitespace, characters, regex:"),
        ({"tokenizer": "a b:c"}, "is not one of"),
        ({"tokenizer": "../x:f"}, "is not one of"),
        ({"tokenizer": "m:"}, "is not one of"),
        ({"tokenizer": "regex:"}, "needs a pattern"),
        ({"tokenizer": "regex:(a"}, r"regex:\(a: bad pattern \(missing \)"),
        ({"tokenizer": "regex:a{9999999999999}"}, "bad pattern"),
        ({"tokenizer": "regex:\udcff"}, "not UTF-8"),
        ({"tokenizer": "__main__:f"}, "put it into a module"),
        ({"tokenizer": print}, "`tokenizer` must be a string"),
        ({"unicode": "nfd"}, "`unicode` must be one of nfc, nfkc; got 'nfd'"),
        ({"digits": "drop"}, "`digits` must be one of"),
        ({"min_token_length": 0}, "`min_token_length` must be"),
        ({"max_token_length": 0}, "`max_token_length` must be"),
        ({"min_token_length": 4, "max_token_length": 3}, r"at least `min_token_length` \(4"),
    ],
)
def test_wrong_options_are_told_in_one_line(options, message):
    with pytest.raises(UsageError, match=message) as caught:
        PreprocessConfig(**options)
    assert "\n" not in str(caught.value)


# --- functions of the user ---


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the working directory; its name is its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    before = set(sys.modules)

    def write(name: str, source: str) -> str:
        (tmp_path / f"{name}.py").write_text(source)
        return name

    yield write
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) == str(tmp_path / f"{name}.py"):
            del sys.modules[name]


def test_a_function_of_the_working_directory(module):
    module(
        "mycut",
        "class Cut:\n    @staticmethod\n    def dots(line):\n        yield from line.split('.')\n",
    )
    name = "mycut:Cut.dots"
    assert tokens("A b.C..d\ne", tokenizer=name) == ["a b", "c", "d", "e"]
    assert tokens("A b.C", tokenizer=name, lowercase=False, min_token_length=2) == ["A b"]
    assert tokens("Ab.running dogs", tokenizer="regex:[^.]+", stem="english") == [
        "ab",
        "running dog",
    ]
    assert Tokenizer(TextConfig(tokenizer=name)).by_line


def test_no_module_of_the_working_directory_stands_in_for_a_library(module):
    module("colorsys", "def f(line):\n    return line.split()\n")
    with pytest.raises(UsageError, match=r"no 'f' in colorsys \(.*colorsys.py\)"):
        Tokenizer(TextConfig(tokenizer="colorsys:f"))


def test_checking_a_name_imports_nothing(module):
    module("noisycut", "raise AssertionError\n")
    PreprocessConfig(tokenizer="noisycut:f")
    assert "noisycut" not in sys.modules


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("def f(line):\n    return 1 / 0", UsageError,
         "cut1:f: ZeroDivisionError: division by zero (cut1.py line 2), for the line that b"),
        ("def f(line):\n    yield 'a'\n    raise ValueError('x\\ny')", UsageError,
         "ValueError: x y (cut1.py line 3), for"),
        ("def f(line):\n    raise SystemExit(3)", UsageError, "SystemExit: 3"),
        ("def f(line):\n    return None", UsageError, "TypeError"),
        ("def f(line):\n    return line", UsageError, "must return a list of strings; got"),
        ("def f(line):\n    return [1]", UsageError, "gave 1; it must return strings, not int"),
        ("def f(line):\n    return [b'x']", UsageError, "not bytes"),
        ("def f(line):\n    return ['\\ud800']", UsageError, "lone surrogates and NUL"),
        ("def f(line):\n    return ['a\\0']", UsageError, "lone surrogates and NUL"),
        ("def f():\n    return []", UsageError, "TypeError"),
    ],
)  # fmt: skip
def test_functions_that_fail(module, source, error, message):
    # A name of its own a case: what is imported once stays imported.
    name = module("cut1", source)
    with pytest.raises(error) as caught:
        tokens("One two\n" + 100 * "x", tokenizer=f"{name}:f")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_long_line_is_shown_by_its_first_characters(module):
    module("cut2", "def f(line):\n    raise KeyError\n")
    with pytest.raises(UsageError) as caught:
        tokens("x" * 1000, tokenizer="cut2:f")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("absentcut:f", None, "no module 'absentcut' in the working directory"),
        ("cut3:g", "def f(line): ...", r"no 'g' in cut3 \(.*cut3.py\)"),
        ("cut3:f", "f = 3", "is not a function"),
        ("cut3:f", "def f(:", "importing it failed .SyntaxError"),
        ("cut3:f", "import absentcut", "importing it failed .ModuleNotFoundError: .*absentcut"),
        ("cut3:f", "raise SystemExit(2)", "importing it failed .SystemExit: 2"),
    ],
)
def test_functions_that_are_not_there(module, name, source, message):
    if source is not None:
        module("cut3", source)
    with pytest.raises(UsageError, match=message) as caught:
        Settings.of(PreprocessConfig(tokenizer=name))
    assert "\n" not in str(caught.value)


def test_workers_find_the_function_where_this_process_does(module, tmp_path, monkeypatch):
    module("cut4", "def f(line):\n    return line.split('-')\n")
    hidden = tmp_path / "modules"
    hidden.mkdir()
    (tmp_path / "cut4.py").rename(hidden / "cut4.py")
    monkeypatch.syspath_prepend(str(hidden))
    (tmp_path / "text").write_text("a-b\n" * 100)
    found, _ = stored(tmp_path / "text", tmp_path / "s", 2, tokenizer="cut4:f")
    assert found == [["a", "b"]] * 100


def test_the_settings_have_the_content_of_the_module(module, tmp_path):
    module("cut5", "def f(line):\n    return line.split()\n")
    config = PreprocessConfig(tokenizer="cut5:f")
    before = Settings.of(config)
    assert before.values["tokenizer"] == "cut5:f"
    (tmp_path / "cut5.py").write_text("def f(line):\n    return list(line)\n")
    assert Settings.of(config).files["tokenizer"] != before.files["tokenizer"]
    assert Settings.of(PreprocessConfig()).files == {}


# --- other text like that of a store or model ---


def note(settings=(), **files):
    values = dataclasses.asdict(PreprocessConfig()) | dict(settings)
    manifest = {"source": "text", "settings": values, "setting_files": files}
    return {"corpus": corpus_note(manifest)}


def test_a_noted_function_is_never_imported(module):
    module("cut6", "raise AssertionError('imported')\n")
    with pytest.raises(
        UsageError, match=r"m: .*cut6:f.*`tokenizer` cut6:f \(tokenizer= in P"
    ) as told:
        noted_config(note({"tokenizer": "cut6:f"}), "m", Recorder())
    assert "\n" not in str(told.value)
    assert "cut6" not in sys.modules


def test_a_noted_function_is_used_when_it_is_named_again(module):
    module("cut7", "def f(line):\n    return line.split('-')\n")
    config = noted_config(
        note({"tokenizer": "cut7:f", "digits": "zero"}), "m", Recorder(), "cut7:f"
    )
    assert Tokenizer(config).words_of("A-1") == ["a", "0"]


def test_another_tokenizer_than_the_noted_one_is_told():
    said: list[str] = []
    assert noted_config(note(), "m", Recorder(said), "characters").tokenizer == "characters"
    assert said == ["warning: m: its own text was tokenized by words, not by characters"]
    assert noted_config({}, "m", Recorder(said), "characters").tokenizer == "characters"
    assert "does not record" in said[1]


def test_all_options_of_text_are_noted():
    options = {"unicode": "nfkc", "digits": "zero", "min_token_length": 2, "max_token_length": 9,
               "stem": "english", "tokenizer": r"regex:\w+"}  # fmt: skip
    heard = Recorder()
    assert noted_config(note(options), "m", heard) == PreprocessConfig(**options)
    assert heard.lines == []


def test_stop_characters_of_a_file_are_told_to_be_gone(tmp_path):
    said: list[str] = []
    settings = {"tokenizer": "characters", "stopwords": "stop.txt"}
    config = noted_config(note(settings, stopwords="0"), "m", Recorder(said))
    assert config.stopwords is None
    assert "stop.txt" in said[0]


def test_a_store_of_before_an_option_has_its_default(tmp_path):
    text = tmp_path / "t.txt"
    text.write_text("a b a b\n" * 9)
    fastw2v.preprocess(text, tmp_path / "s")
    store = TokenStore.open(tmp_path / "s")
    del store.manifest["settings"]["digits"]
    assert settings_unchanged(store, dataclasses.asdict(PreprocessConfig()))
    assert not settings_unchanged(store, {"digits": "zero"})


# --- whole runs ---


def stored(text, place, threads=1, **options):
    """Sentences and report of a store made of `text`, in this process or in workers."""
    report = fastw2v.preprocess(
        text, place, min_count=1, threads=threads, layout=Layout(unit_bytes=200), **options
    )
    assert report.balanced
    store = TokenStore.open(place)
    names = store.vocabulary.tokens
    found = []
    for row_group in range(store.num_row_groups):
        ids, offsets = store.read_row_group(row_group)
        found += [[names[i] for i in ids[a:b]] for a, b in itertools.pairwise(offsets)]
    return found, report


@pytest.mark.parametrize("threads", [1, 2])
def test_a_store_by_a_function(module, tmp_path, threads):
    module("cut8", "def f(line):\n    return line.split('.')\n")
    text = tmp_path / "text"
    text.write_bytes(b"New York.is\0big\r\nA.b. \n\n" * 20 + b"last.New York")
    found, report = stored(text, tmp_path / "s", threads, tokenizer="cut8:f")
    assert found == [["new york", "is big"], ["a", "b", " "]] * 20 + [["last", "new york"]]
    assert report.tokens_read == 102
    assert TokenStore.open(tmp_path / "s").manifest["settings"]["tokenizer"] == "cut8:f"
    module("cut9", "def f(line):\n    return [line][line.index('w'):]\n")
    with pytest.raises(UsageError, match=r"text: line 2: .*cut9:f: ValueError: .* begins 'a.b. '"):
        fastw2v.preprocess(text, tmp_path / "t", tokenizer="cut9:f", threads=threads)


FAILING = """
def f(line):
    tokens = line.split()
    if "odd" in tokens:
        return tokens[99]
    return tokens if "number" not in tokens else [1]
"""


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("ended", [True, False])
def test_a_function_that_fails_ends_the_run_with_file_and_line(module, tmp_path, threads, ended):
    """It is no fault of the file: --skip-bad-files does not hide it."""
    module("cut10", FAILING)
    lines = [f"word{n % 7} some more words" for n in range(400)]
    lines[7] = "a line longer than a block " * 9
    (tmp_path / "in").mkdir()
    layout = Layout(unit_bytes=3000, small_unit_bytes=1, block_bytes=128)
    call = {"tokenizer": "cut10:f", "threads": threads, "layout": layout, "skip_bad_files": True}
    for name in "ab":
        (tmp_path / "in" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "in" / "c.txt.gz").write_bytes(b"\x1f\x8b no gzip")
    for bad in (3, 8, 250, 399) if threads == 1 else (250,):
        text = "\n".join([*lines[:bad], "An odd line", *lines[bad + 1 :]])
        (tmp_path / "in" / "b.txt").write_text(text + ("\n" if ended else ""))
        with pytest.raises(UsageError) as told:
            fastw2v.preprocess(tmp_path / "in", tmp_path / "s", **call)
        assert str(told.value) == (
            f"{tmp_path}/in/b.txt: line {bad + 1}: `tokenizer`: cut10:f: IndexError: list index "
            "out of range (cut10.py line 5), for the line that begins 'an odd line'"
        )
        assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("name", "write", "options", "where"),
    [
        ("t.gz", gzip.compress, {}, "t.gz: line 3 of the unpacked text: "),
        ("t.txt", bytes, {"sentences": True}, "t.txt: near line "),
        (
            "t.jsonl",
            lambda text: b"".join(b'{"t": "%s"}\n' % line for line in text.splitlines()),
            {"text_column": "t"},
            "t.jsonl: line 3 of its texts: ",
        ),
    ],
)
def test_a_function_that_fails_in_other_files(module, tmp_path, name, write, options, where):
    module("cut11", FAILING)
    (tmp_path / name).write_bytes(write(b"one\ntwo\na number\nfour\n"))
    with pytest.raises(UsageError) as told:
        fastw2v.preprocess(tmp_path / name, tmp_path / "s", tokenizer="cut11:f", **options)
    assert where in str(told.value)
    assert "cut11:f: gave 1; it must return strings, not int" in str(told.value)


def test_stems_lengths_and_stop_words_of_a_store_balance(tmp_path):
    text = tmp_path / "text"
    text.write_text("The canned dogs can be running a internationalization\n" * 30)
    stop = tmp_path / "stop"
    stop.write_text("the can be")
    found, report = stored(
        text, tmp_path / "s", 2, stem="english", stopwords=str(stop), min_token_length=2,
        max_token_length=10,
    )  # fmt: skip
    assert found == [["can", "dog", "run"]] * 30
    assert report.tokens_stopwords == 90
    assert report.tokens_too_short_or_long == 60


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tokenizer": "characters"}, ["日", "本", "a", "1", "."]),
        ({"tokenizer": r"regex:\w+ \w+|\S"}, ["日本 a1", "."]),
        ({"digits": "zero"}, ["日本", "a0"]),
        ({"unicode": "nfkc", "tokenizer": "whitespace"}, ["日本", "a1."]),
    ],
)
def test_a_store_by_the_other_options(tmp_path, options, expected):
    text = tmp_path / "text"
    text.write_text("日本 A1.\n" * 3, encoding="utf-8")
    assert stored(text, tmp_path / "s", **options)[0] == [expected] * 3
