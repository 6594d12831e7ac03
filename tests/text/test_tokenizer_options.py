"""The built-in tokenizers and the normalization of their text, against slow and simple twins."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastw2v.errors import UsageError
from fastw2v.store.config import PreprocessConfig
from fastw2v.store.settings import Settings
from fastw2v.text.config import TextConfig
from fastw2v.text.tokenizer import Tokenizer

ALPHABET = (
    "abZI9 '’-_.\n\té\u0301\u0307İΣ中ा्🙂\u200d\u200c\ufe0f\u00ad²"
    "ﬁ①５٣Ａ\u00a0\x1c\x85\u2028\u0323㏂ſ"
)
TEXTS = st.text(alphabet=ALPHABET, max_size=40) | st.text(max_size=40)
JOINERS = "\u200c\u200d"


def tokens(text: str, **options) -> list[str]:
    return tokenizer_of(**options).words_of(text)


def tokenizer_of(**options) -> Tokenizer:
    """The way of the workers: options as JSON."""
    values = json.loads(json.dumps(dataclasses.asdict(PreprocessConfig(**options))))
    config = PreprocessConfig(**values)
    return Tokenizer(config, Settings.of(config).stopwords)


def chunk_tokens(text: str, **options) -> list[str]:
    """As the scanner does it: chunks of `own_token` bytes are tokens, the others are looked at."""
    tokenizer = tokenizer_of(**options)
    if tokenizer.by_line:
        found = [token for line in text.split("\n") for token in tokenizer.tokens_of_line(line)]
        return [token for token in found if token is not None]
    found = []
    for chunk in text.encode("utf-8").translate(tokenizer.table).split():
        kinds = bytes(tokenizer.own_token[byte] for byte in chunk)
        own = re.fullmatch(b"\1+(\2\1+)*", kinds)  # 2 is for inner bytes
        found += [chunk.decode("ascii")] if own else tokenizer.tokens_of(chunk)
    left_out = {None, *tokenizer.stop_tokens}
    return [token for token in found if token not in left_out]


def naive_normalized(text: str, unicode, lowercase, strip_accents, digits) -> str:
    """One step after the other, over the whole of a text."""
    if unicode:
        text = unicodedata.normalize(unicode.upper(), text)
    if lowercase:
        text = text.lower()
    if strip_accents:
        decomposed = unicodedata.normalize("NFD", text)
        accents = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
        text = unicodedata.normalize("NFC", re.sub(accents, "", decomposed))
    if digits == "zero":
        text = "".join("0" if c.isdecimal() else c for c in text)
    return unicodedata.normalize(unicode.upper(), text) if unicode else text


def naive_words(text: str) -> list[str]:
    """Letters, numbers, marks and inner apostrophes."""
    spaced = "".join(
        c if c in "'" + JOINERS or unicodedata.category(c)[0] in "LMN" else " " for c in text
    )
    found = []
    for run in spaced.split():
        # Apostrophes at an edge or in a row are no inner ones.
        word = ""
        for part in run.split("'"):
            if part and word:
                word += "'" + part
            elif part:
                word = part
            elif word:
                found.append(word)
                word = ""
        found.append(word)
    trimmed = []
    for word in found:
        while word and (word[0] in JOINERS or unicodedata.category(word[0])[0] == "M"):
            word = word[1:]
        trimmed.append(word.rstrip(JOINERS))
    return [word for word in trimmed if word]


def naive_characters(text: str) -> list[str]:
    found: list[str] = []
    before = " "
    for c in text:
        follows = unicodedata.category(c)[0] == "M" or c in JOINERS or "🏻" <= c <= "🏿"
        follows |= before == "\u200d" and bool(re.match("[\u2190-\u2bff\U0001f000-\U0001faff]", c))
        flags = "🇦" <= c <= "🇿" and "🇦" <= before <= "🇿" and found[-1] == before
        if c.isspace():
            pass
        elif (follows and not before.isspace()) or flags:
            found[-1] += c
        else:
            found.append(c)
        before = c
    return found


NORMALIZATION = st.fixed_dictionaries(
    {
        "lowercase": st.booleans(),
        "strip_accents": st.booleans(),
        "unicode": st.sampled_from([None, "nfc", "nfkc"]),
        "digits": st.sampled_from(["keep", "zero"]),
    }
)


def whole(text: str, tokenizer: str, options) -> list[str]:
    """The tokens of a text that is normalized as a whole, and not chunk by chunk."""
    unicode = options["unicode"] or (None if tokenizer == "whitespace" else "nfc")
    text = text.replace("\0", " ")
    if tokenizer == "words":  # which ends the context of a final sigma at every ASCII separator
        text = re.sub(r"[^\w'\n]|_", " ", text, flags=re.ASCII) if text.isascii() else "".join(
            c if ord(c) > 127 or c.isalnum() or c in "'\n" else " " for c in text
        )  # fmt: skip
        text = text.replace("’", "'").replace("\u00ad", "")
    text = naive_normalized(text, unicode, options["lowercase"], options["strip_accents"],
                            options["digits"])  # fmt: skip
    if tokenizer == "words":
        return naive_words(text)
    return text.split() if tokenizer == "whitespace" else naive_characters(text)


@pytest.mark.parametrize("tokenizer", ["words", "whitespace", "characters"])
def test_tokens_by_chunks_are_those_of_the_whole_text(tokenizer):
    @given(TEXTS, NORMALIZATION)
    @example("ㅤAΣ's Σ. ﬁ½ ㏂", {"lowercase": True, "strip_accents": True, "unicode": "nfkc",
                              "digits": "zero"})  # fmt: skip
    def check(text, options):
        text = text.encode("utf-8", "ignore").decode()
        found = chunk_tokens(text, tokenizer=tokenizer, **options)
        assert found == whole(text, tokenizer, options)
        assert found == tokens(text, tokenizer=tokenizer, **options)
        assert not any(c.isspace() for token in found for c in token)
        assert all(found)

    check()


@given(TEXTS, NORMALIZATION, st.integers(1, 4), st.none() | st.integers(4, 6))
def test_lengths_and_stems_of_chunks_are_those_of_their_words(text, options, least, most):
    text = text.encode("utf-8", "ignore").decode()
    every = tokenizer_of(**options)
    limited = tokenizer_of(**options, min_token_length=least, max_token_length=most)
    expected = [w if least <= len(w) <= (most or 99) else None for w in every.words_of(text)]
    found = []
    for chunk in text.encode("utf-8").translate(limited.table).split():
        assert (most is None and least == 1) or not any(limited.own_token)
        found += limited.tokens_of(chunk)
    assert found == expected


@given(TEXTS)
def test_normalizing_what_is_normalized_changes_nothing(text):
    text = text.encode("utf-8", "ignore").decode()
    for options in ({"unicode": "nfkc"}, {"strip_accents": True}, {"digits": "zero"}):
        for tokenizer in ("whitespace", "characters"):
            once = tokens(text, tokenizer=tokenizer, **options)
            again = [t for word in once for t in tokens(word, tokenizer=tokenizer, **options)]
            assert again == once
    bare = tokens(text, strip_accents=True)
    assert not re.search("[\u0300-\u036f]", unicodedata.normalize("NFD", "".join(bare)))


@given(st.text(alphabet=ALPHABET + "bcd", max_size=30))
def test_regex_tokens_are_the_matches_in_each_line(text):
    pattern = r"[a-z] [a-z]|\S"
    lines = unicodedata.normalize("NFC", text.lower()).split("\n")
    expected = [match for line in lines for match in re.findall(pattern, line)]
    assert chunk_tokens(text, tokenizer=f"regex:{pattern}") == expected
    assert tokens(text, tokenizer=f"regex:{pattern}") == expected


# --- one example each ---


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        ({"tokenizer": "characters"}, "Né ok!\nत्री", ["n", "é", "o", "k", "!", "त्", "री"]),
        ({"tokenizer": "characters"}, "日本 語", ["日", "本", "語"]),
        ({"tokenizer": "characters"}, "a\u200cb葛\U000e0100c",
         ["a\u200c", "b", "葛\U000e0100", "c"]),
        ({"tokenizer": "characters"}, "👩🏽\u200d❤\ufe0f\u200d👨x",
         ["👩🏽\u200d❤\ufe0f\u200d👨", "x"]),
        ({"tokenizer": "characters"}, "👩\u200d💻👍🏽🇩🇪🇫🇷x\u0323",
         ["👩\u200d💻", "👍🏽", "🇩🇪", "🇫🇷", "x̣"]),
        ({"tokenizer": r"regex:\w+@\w+|\w+"}, "A@B c-d", ["a@b", "c", "d"]),
        ({"tokenizer": r"regex:<(\w+)>"}, "<a> b <c>\n<d", ["a", "c"]),
        ({"tokenizer": r"regex:(a)|(b)"}, "ab", ["a"]),
        ({"tokenizer": r"regex:x*"}, "axxb", ["xx"]),
        ({"tokenizer": r"regex:new york|\w+"}, "New York is\nnew\nyork\r\n",
         ["new york", "is", "new", "york"]),
        ({"tokenizer": r"regex:.+", "lowercase": False}, "A b\r\nc\0d\n", ["A b", "c d"]),
        ({"unicode": "nfkc"}, "ﬁn Ａ① ㏂ x²", ["fin", "a1", "a", "m", "x2"]),
        ({"unicode": "nfc"}, "ﬁn ²", ["ﬁn", "²"]),
        ({"tokenizer": "whitespace"}, "Cafe\u0301 ﬁ", ["cafe\u0301", "ﬁ"]),
        ({"tokenizer": "whitespace", "unicode": "nfc"}, "Cafe\u0301 ﬁ", ["café", "ﬁ"]),
        ({"tokenizer": "whitespace", "unicode": "nfkc"}, "Cafe\u0301 ﬁ\u00a0x",
         ["café", "fi", "x"]),
        ({"digits": "zero"}, "b52 in 1984, ٣४５ x²", ["b00", "in", "0000", "000", "x²"]),
        ({"digits": "zero", "unicode": "nfkc"}, "x²", ["x0"]),
        ({"digits": "zero", "tokenizer": "whitespace"}, "1.5 ٣", ["0.0", "0"]),
        ({"digits": "zero", "tokenizer": "characters"}, "7a", ["0", "a"]),
        ({"digits": "zero", "tokenizer": r"regex:\d+"}, "a10 ٣", ["00", "0"]),
        ({"min_token_length": 3}, "a an the über", ["the", "über"]),
        ({"max_token_length": 4}, "a über longer", ["a", "über"]),
        ({"min_token_length": 2, "max_token_length": 2}, "a bb ccc", ["bb"]),
        ({"min_token_length": 2, "tokenizer": "whitespace"}, "a bb 中 中文", ["bb", "中文"]),
        ({"min_token_length": 2, "tokenizer": "regex:[^,]+"}, "a,b c", ["b c"]),
    ],
)  # fmt: skip
def test_options(options, text, expected):
    assert chunk_tokens(text, **options) == expected
    assert tokens(text, **options) == expected


def test_tokens_of_the_wrong_length_are_none_in_their_places():
    tokenizer = Tokenizer(TextConfig(min_token_length=2, max_token_length=3))
    assert tokenizer.tokens_of("é’éé’abcd’ab".encode()) == [None]  # one word with apostrophes
    assert tokenizer.tokens_of("é—abc—abcd—ab".encode()) == [None, "abc", None, "ab"]
    by_line = Tokenizer(TextConfig(tokenizer=r"regex:\w+", min_token_length=2))
    assert by_line.tokens_of_line("a bc d") == [None, "bc", None]


def test_plain_chunks_never_come_to_python_where_no_option_wants_them():
    words = Tokenizer(TextConfig()).own_token
    assert words.index(2) == ord("'")
    assert bytes(b for b in range(256) if words[b] == 1).decode() == (
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    )
    whitespace = Tokenizer(TextConfig(tokenizer="whitespace")).own_token
    assert [b for b in range(256) if whitespace[b]] == list(range(33, 127))
    for options in ({"tokenizer": "characters"}, {"stem": "english"}, {"max_token_length": 9}):
        assert not any(Tokenizer(TextConfig(**options)).own_token)
    assert Tokenizer(TextConfig()).table == Tokenizer(TextConfig(unicode="nfkc")).table
    assert Tokenizer(TextConfig(digits="zero")).table.translate(Tokenizer(TextConfig()).table)[
        ord("7")
    ] == ord("0")


# --- stems and stop words ---


def test_stems_of_words_but_not_of_stop_words(tmp_path):
    stop = tmp_path / "stop"
    stop.write_text("having can\n")
    tokenizer = tokenizer_of(stem="english", stopwords=str(stop))
    found = [token for chunk in b"running having has canned can".split()
             for token in tokenizer.tokens_of(chunk)]  # fmt: skip
    # "canned" has the stem "can", and is no stop word for that.
    can, having = tokenizer.stop_tokens
    assert found == ["run", having, "has", "can", can]
    assert {can, having}.isdisjoint({"can", "having", "have"})
    assert tokenizer.words_of("Running having has canned can") == ["run", "has", "can"]


def test_stop_words_are_themselves_without_stems():
    tokenizer = tokenizer_of(stopwords="english")
    assert "the" in tokenizer.stop_tokens
    assert tokenizer.tokens_of(b"the") == ["the"]
    assert tokenizer.words_of("the cat's here") == ["cat's"]


def test_stop_words_are_normalized_like_text(tmp_path):
    stop = tmp_path / "stop"
    stop.write_text("Ürün ﬁn 2 ok\n", encoding="utf-8")
    config = PreprocessConfig(
        stopwords=str(stop), strip_accents=True, unicode="nfkc", digits="zero", min_token_length=2
    )
    assert Settings.of(config).stopwords == ["fin", "ok", "urun"]


def test_stemmers_that_are_not_there(monkeypatch):
    with pytest.raises(UsageError, match=r"`stem`: 'klingon' is not one of .*english.*turkish"):
        Tokenizer(TextConfig(stem="klingon"))
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    with pytest.raises(UsageError, match=r"pip install 'fastw2v\[stem\]'"):
        Tokenizer(TextConfig(stem="english"))
    Settings.of(PreprocessConfig(stem="english"), text=False)  # for tokens it would do nothing


def test_a_word_without_a_stem_stays():
    assert tokens("ـ كتاب", stem="arabic")[0] == "ـ"


def test_the_english_list_is_not_for_characters():
    with pytest.raises(UsageError, match="english is a list of words"):
        Settings.of(PreprocessConfig(tokenizer="characters", stopwords="english"))
