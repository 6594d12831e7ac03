"""Documents joined and sentences cut, wherever the blocks are cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastw2v.text.config import TextConfig
from fastw2v.text.lines import DocumentJoiner, SentenceCutter, cut_lines


def run(cutter, text: bytes, places=()) -> bytes:
    """Feed `text` cut at `places`."""
    found, at = [], 0
    for place in [*sorted(min(place, len(text)) for place in places), len(text)]:
        found.append(cutter.feed(text[at:place]))
        at = place
    return b"".join(found) + cutter.end()


def words(text: bytes) -> list[list[bytes]]:
    return [line.split() for line in text.split(b"\n")]


def naive_documents(text: bytes, separator: bytes) -> list[list[bytes]]:
    documents: list[list[bytes]] = [[]]
    for line in text.split(b"\n"):
        if line.removesuffix(b"\r") == separator:
            documents.append([])
        documents[-1] += [] if line.removesuffix(b"\r") == separator else line.split()
    return [document for document in documents if document]


PIECES = [b"a", b"\n", b"--", b"-", b"\r\n", b" ", b"\r", b"\n--\n", "é".encode()]


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join),
    st.lists(st.integers(0, 30), max_size=6),
    st.sampled_from([b"", b"--", b"-"]),
)
def test_documents_equal_plain_python_for_blocks_of_any_size(text, places, separator):
    joined = run(DocumentJoiner(separator), text, places)
    assert words(joined)[:-1] == naive_documents(text, separator)
    assert joined == b"" or joined.endswith(b"\n")


SIGNS = [
    "a", "J", "1", ".", " ", "!", "”", "。", "」", "\n", "\u3000", "É", "…", "'" * 9, "?" * 3,
    "x" * 50, " " * 40, "\t", "\r\n", "।", "\u00a0",
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(SIGNS), max_size=25).map("".join),
    st.lists(st.integers(0, 300), max_size=9),
)
def test_sentences_are_the_same_for_blocks_of_any_size(text, places):
    data = text.encode()
    between = [p for p in places if p < len(data) and data[p] & 0xC0 != 0x80]
    whole = run(SentenceCutter(), data)
    assert run(SentenceCutter(), data, between) == whole
    assert whole.decode().split() == "".join(whole.decode()).split()  # valid UTF-8
    squeezed = "".join(text.split()).replace("\u00a0", "")
    assert "".join(whole.decode().split()).replace("\u00a0", "") == squeezed  # nothing is lost


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello there. World!  Yes?", ["Hello there.", "World!", " Yes?"]),
        ("It is 3.14 or so. J. Smith and É. Noël know.", ["It is 3.14 or so.",
         "J. Smith and É. Noël know."]),
        ("J. Smith. A. B.", ["J. Smith.", "A. B."]),
        ("“Stop.” (Really!) Go", ["“Stop.”", "(Really!)", "Go"]),
        ("Wait... what?! Yes…no… maybe", ["Wait...", "what?!", "Yes…no…", "maybe"]),
        ("你好。世界！「好。」他说？！是", ["你好。", "世界！", "「好。」", "他说？！", "是"]),
        ("क ख। ग", ["क ख।", "ग"]),
        ("no end", ["no end"]),
        ("one. \ntwo.\r\nthree.", ["one. ", "two.", "three."]),
        ("U.S.A. is. Ok", ["U.S.A. is.", "Ok"]),
    ],
)  # fmt: skip
def test_the_rule_of_sentences(text, sentences):
    cut = run(SentenceCutter(), text.encode()).decode()
    assert [line.removesuffix("\r") for line in cut.split("\n")] == sentences


def test_no_word_is_cut_by_what_is_held_back():
    text = b"".join(b"word%d and more. " % n for n in range(3000))
    blocks = [text[at : at + 997] for at in range(0, len(text), 997)]
    for options in (
        TextConfig(sentences=True),
        TextConfig(document_separator=""),
        TextConfig(document_separator="--", sentences=True),
    ):
        found = list(cut_lines(blocks, options, 500))
        assert all(block.endswith((b" ", b"\n")) for block in found[:-1])
        assert max(map(len, found)) < 2500
        assert b"".join(found).split() == text.split()
    assert list(cut_lines(blocks, TextConfig(), 500)) == blocks


def test_very_long_runs_are_quick_and_bounded():
    """No white space, no line end, nothing but marks: what is held back stays small."""
    for sign in (b".", b"\n", b" ", "。".encode(), b"-", b"\r"):
        for cutter in (SentenceCutter(), DocumentJoiner(b"--")):
            for _ in range(20):
                cutter.feed(sign * 50_000)
                held = getattr(cutter, "_undecided")  # noqa: B009
                assert len(held) < 500
