"""The tokenizer against a slow twin that looks at one character after the other."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastw2v.errors import DataError, UsageError
from fastw2v.text.config import TextConfig
from fastw2v.text.tokenizer import (
    ENGLISH,
    LINE_END,
    Tokenizer,
    UndecodableBytes,
    load_stopwords,
    valid_utf8,
)

JOINERS = "\u200c\u200d"


def words(text: str, **settings) -> list[str]:
    return Tokenizer(TextConfig(**settings)).words_of(text)


def naive_words(text: str) -> list[str]:
    """Letters, numbers, marks and inner apostrophes, lower case, NFC; one character at a time."""
    text = unicodedata.normalize("NFC", text.lower().replace("’", "'"))
    text = unicodedata.normalize("NFC", text.replace("\u00ad", ""))

    def kind(place: int) -> str:
        if not 0 <= place < len(text):
            return " "
        character = text[place]
        if character in JOINERS or unicodedata.category(character)[0] in "LMN":
            return "w"
        return character

    found, word = [], ""
    for place, character in enumerate(text):
        inner = kind(place) == "'" and kind(place - 1) == "w" and kind(place + 1) == "w"
        if kind(place) == "w" or inner:
            word += character
        else:
            found.append(word)
            word = ""
    trimmed = []
    for rest in [*found, word]:
        while rest and (rest[0] in JOINERS or unicodedata.category(rest[0])[0] == "M"):
            rest = rest[1:]
        trimmed.append(rest.rstrip(JOINERS))
    return [word for word in trimmed if word]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World! it's 3.5", ["hello", "world", "it's", "3", "5"]),
        ("'tis the dogs' rock'n'roll a''b", ["tis", "the", "dogs", "rock'n'roll", "a", "b"]),
        ("don’t “quote” word—word…", ["don't", "quote", "word", "word"]),
        ("snake_case e-mail\tx\ry\x0bz", ["snake", "case", "e", "mail", "x", "y", "z"]),
        ("हिन्दी में कुछ शब्द", ["हिन्दी", "में", "कुछ", "शब्द"]),
        ("اللُّغَة العربيّة", ["اللُّغَة", "العربيّة"]),
        ("نمی\u200cخواهم می\u200c", ["نمی\u200cخواهم", "می"]),
        ("Cafe\u0301 CAFÉ", ["café", "café"]),
        ("İstanbul ΟΔΟΣ Straße", ["i\u0307stanbul", "οδος", "straße"]),
        ("I ❤\ufe0f you 👩\u200d💻 ok", ["i", "you", "ok"]),
        ("exam\u00adple a\u00a0b x\u2028y", ["example", "a", "b", "x", "y"]),
        ("日本語、テスト 한국어", ["日本語", "テスト", "한국어"]),
        ("𝔘nicode 𐐀 x² ½", ["𝔘nicode", "𐐨", "x²", "½"]),
        ("...", []),
        ("", []),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_whitespace_leaves_tokens_as_they_are_but_for_case():
    text = "Foo-Bar, don’t\u00a0x_y\n ...\x1cz"
    assert words(text, tokenizer="whitespace") == ["foo-bar,", "don’t", "x_y", "...", "z"]
    assert words("Foo É", tokenizer="whitespace", lowercase=False) == ["Foo", "É"]


def test_case_is_kept_on_request():
    assert words("Hello ÉCOLE It’s", lowercase=False) == ["Hello", "ÉCOLE", "It's"]


def test_strip_accents_spares_vowel_signs():
    assert words("Ångström naïve ё Ώ हिन्दी 한국", strip_accents=True) == [
        "angstrom",
        "naive",
        "е",
        "ω",
        "हिन्दी",
        "한국",
    ]


def test_line_ends_are_chunks_of_their_own():
    chunks = Tokenizer(TextConfig()).split(b"a b\nc\0d\r\n\n")
    assert chunks == [b"a", b"b", LINE_END, b"c", b"d", LINE_END, LINE_END]


ALPHABET = "abZ '’-_.\n\té\u0301İΣ中ा्🙂\u200d\u200c\ufe0f\u00ad²𝔘\u2028"


@given(st.text(alphabet=ALPHABET, max_size=40) | st.text(max_size=40))
def test_words_equal_the_twin(text):
    text = text.encode("utf-8", "ignore").decode().replace("\0", " ")
    # A chunk ends at every ASCII separator: so does the context of lower-casing (final sigma).
    pieces = "".join(c if c.isalnum() or c == "'" or ord(c) > 127 else " " for c in text).split(" ")
    assert words(text) == [word for piece in pieces for word in naive_words(piece)]


def test_undecodable_bytes_are_counted_replaced_or_removed():
    block = b"ab\xffcd \xe2\x82 caf\xc3\xa9 \xed\xa0\x80"
    assert valid_utf8(block, "replace") == ("ab cd    café    ".encode(), 6)
    assert valid_utf8(block, "skip") == ("abcd  café ".encode(), 6)
    with pytest.raises(UndecodableBytes, match="0xff") as caught:
        valid_utf8(block, "strict")
    assert caught.value.offset == 2


def test_a_replacement_character_in_the_text_is_not_an_undecodable_byte():
    assert valid_utf8("a\ufffdb".encode(), "replace") == ("a\ufffdb".encode(), 0)


def test_english_stop_words_survive_the_tokenizer():
    assert len(ENGLISH) > 200
    assert set(load_stopwords("english", Tokenizer(TextConfig()).words_of)) == set(ENGLISH)
    assert "The" in load_stopwords("english", Tokenizer(TextConfig(lowercase=False)).words_of)


def test_stop_list_from_a_file(tmp_path):
    path = tmp_path / "stop.txt"
    path.write_text("\ufeffThe\nÜber and\n", encoding="utf-8")
    assert load_stopwords(str(path), Tokenizer(TextConfig()).words_of) == ["and", "the", "über"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="UTF-8"):
        load_stopwords(str(path), Tokenizer(TextConfig()).words_of)
    path.write_text(" \n")
    with pytest.raises(UsageError, match="no word"):
        load_stopwords(str(path), Tokenizer(TextConfig()).words_of)
    with pytest.raises(UsageError, match="no such file"):
        load_stopwords(str(tmp_path / "none"), Tokenizer(TextConfig()).words_of)
