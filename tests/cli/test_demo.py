"""The demonstration's text gathering and directory rules; the whole run is in scripts/demo."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from fastw2v import demo
from fastw2v.cli.main import fastw2v
from fastw2v.errors import ResourceError, UsageError
from fastw2v.io import storage

MODULE = '''
"""The module's own text.

Another paragraph of it,
on two lines.

>>> an_example()
42

Heading
-------
"""
raise RuntimeError("this file must never be imported")

class Thing:
    """A thing with text."""

    def act(self):
        """Act on the thing."""

    async def wait(self):
        "Wait for the thing."

def silent():
    x = "not documentation"

add_newdoc("numpy", "sum", """Sum of the elements.""")
add_newdoc("numpy", "ndarray", ("T", "View of the transpose."))
add_newdoc(place, make(), "Text beside arguments that are no literals.")
'''


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def source_of(*files, tests=()):
    return demo.Source("here", tuple(files), tuple(tests))


def test_documentation_is_read_from_every_place_that_has_some(tmp_path):
    lines, words = demo.gather_texts([source_of(write(tmp_path / "m.py", MODULE))])
    assert sorted(lines) == sorted(
        [
            "The module's own text.",
            "Another paragraph of it, on two lines.",
            "Heading",
            "A thing with text.",
            "Act on the thing.",
            "Wait for the thing.",
            "Sum of the elements.",
            "View of the transpose.",
            "Text beside arguments that are no literals.",
        ]
    )
    assert words == sum(len(line.replace("'", " ").split()) for line in lines)


def test_the_language_reference_is_read_from_its_dict(tmp_path):
    path = write(
        tmp_path / "pydoc_data" / "topics.py",
        "# generated\ntopics = {'assert': 'The assert statement\\n\\nIt asserts.', 'n': 3}\n",
    )
    assert demo.gather_texts([source_of(path)])[0] == ["The assert statement", "It asserts."]


def test_repeated_paragraphs_are_kept_once_in_order(tmp_path):
    first = write(tmp_path / "a.py", '"""Shared.\n\nOne."""')
    second = write(tmp_path / "b.py", '"""Shared.\n\nTwo."""')
    assert demo.gather_texts([source_of(first, second)]) == (["Shared.", "One.", "Two."], 3)


def test_files_that_cannot_be_parsed_are_passed_over(tmp_path):
    bad = write(tmp_path / "bad.py", "def (:\n")
    (tmp_path / "nul.py").write_bytes(b'"""text"""\0')
    (tmp_path / "latin.py").write_bytes(b'"""caf\xe9"""')
    files = (bad, tmp_path / "nul.py", tmp_path / "latin.py", tmp_path / "gone.py")
    assert demo.gather_texts([source_of(*files)]) == ([], 0)


def test_test_suites_are_read_only_where_words_are_missing(tmp_path):
    main = write(tmp_path / "a.py", '"""Four words are here."""')
    test = write(tmp_path / "tests" / "b.py", '"""A test."""')
    source = source_of(main, tests=[test])
    assert demo.gather_texts([source], words_wanted=4)[1] == 4
    assert demo.gather_texts([source], words_wanted=5)[1] == 6


def test_sources_separate_test_suites_and_other_peoples_packages(tmp_path, monkeypatch):
    for name in ("pkg/__init__.py", "pkg/core/x.py", "pkg/tests/y.py", "pkg/_vendor/z.py"):
        write(tmp_path / name, "")
    monkeypatch.syspath_prepend(str(tmp_path))
    library, package = demo.find_sources(["pkg", "no_such_package_anywhere"])
    assert library.name == "the standard library"
    assert [path.name for path in package.files] == ["__init__.py", "x.py"]
    assert [path.name for path in package.test_files] == ["y.py"]
    assert not any("site-packages" in path.parts for path in library.files)


def test_this_python_has_a_million_words_and_no_package_is_imported_for_them():
    # Every fourth file stands for all; to read them takes ten seconds.
    script = (
        "import dataclasses, sys\n"
        "from fastw2v import demo\n"
        "sources = [dataclasses.replace(source, files=source.files[::4])\n"
        "           for source in demo.find_sources()]\n"
        "lines, words = demo.gather_texts(sources, words_wanted=0)\n"
        "loaded = [name for name in ('numpy', 'scipy', 'matplotlib', 'numba', 'pyarrow')\n"
        "          if name in sys.modules]\n"
        "print(words, len(lines) == len(set(lines)), loaded)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    words, distinct, loaded = run.stdout.split(maxsplit=2)
    assert 4 * int(words) >= demo.WORDS_WANTED
    assert distinct == "True"
    assert loaded.strip() == "[]"


def test_shards_hold_every_line_once_in_order(tmp_path):
    lines = [f"line {number}" for number in range(21)] + ["a lone surrogate \udc80"]
    paths = demo.write_shards(lines, tmp_path / "text", shards=4)
    read = [path.read_text(encoding="utf-8").splitlines() for path in paths]
    assert [len(part) for part in read] == [5, 6, 5, 6]
    assert [line for part in read for line in part] == [*lines[:-1], "a lone surrogate ?"]


def test_a_new_or_empty_directory_is_marked(tmp_path):
    demo.prepare_directory(tmp_path)
    demo.prepare_directory(tmp_path / "new" / "deep")
    assert (tmp_path / demo.MARKER).is_file()
    assert (tmp_path / "new" / "deep" / demo.MARKER).is_file()


def test_an_earlier_demonstration_is_started_over_and_other_files_in_it_are_kept(tmp_path):
    demo.prepare_directory(tmp_path)
    for name in (demo.TEXT, demo.STORE, demo.MODEL):
        write(tmp_path / name / "old", "old")
    write(tmp_path / "notes.txt", "mine")
    demo.prepare_directory(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [demo.MARKER, "notes.txt"]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format": "another program"}'])
def test_a_directory_that_is_not_ours_is_refused_and_untouched(tmp_path, content):
    write(tmp_path / "text" / "precious", "mine")
    if content is not None:
        write(tmp_path / demo.MARKER, content)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match="not an earlier demonstration"):
        demo.prepare_directory(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_file_in_the_way_is_refused_in_one_line_with_exit_code_2(tmp_path):
    path = write(tmp_path / "taken", "mine")
    result = CliRunner().invoke(fastw2v, ["demo", "--output", str(path)])
    assert result.exit_code == 2
    assert "choose another --output" in result.output
    assert "Traceback" not in result.output
    assert path.read_text() == "mine"


def test_a_python_without_documentation_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "find_sources", list)
    with pytest.raises(UsageError, match="0 words of documentation"):
        demo.run_demo(tmp_path / "out")


def test_a_full_disk_is_reported_and_leaves_no_part_of_a_shard(tmp_path, monkeypatch):
    def no_space(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "sync_file", no_space)
    with pytest.raises(ResourceError, match="no space left"):
        demo.write_shards(["a"], tmp_path / "text", shards=1)
    assert list((tmp_path / "text").iterdir()) == []
