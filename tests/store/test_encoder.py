"""Text to codes: the table of chunks against tokenizing line by line, chunk by chunk."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastw2v.store import encoder as word_codes
from fastw2v.store import string_table as chunk_table
from fastw2v.store.encoder import TextEncoder
from fastw2v.store.vocabulary import Vocabulary
from fastw2v.text.config import TextConfig
from fastw2v.text.tokenizer import Tokenizer

STOPWORDS = ("the", "it's", "é", "a-b")
TOKENIZERS = {
    "words": Tokenizer(TextConfig(), STOPWORDS),
    "cased": Tokenizer(TextConfig(lowercase=False), STOPWORDS),
    "accents, digits": Tokenizer(TextConfig(strip_accents=True, digits="zero"), STOPWORDS),
    "lengths": Tokenizer(TextConfig(min_token_length=2, max_token_length=4), STOPWORDS),
    "stems": Tokenizer(TextConfig(stem="english"), STOPWORDS),
    "whitespace": Tokenizer(TextConfig(tokenizer="whitespace"), STOPWORDS),
    "characters": Tokenizer(TextConfig(tokenizer="characters"), STOPWORDS),
    "regex": Tokenizer(TextConfig(tokenizer=r"regex:\w+(?: of \w+)?"), STOPWORDS),
}

# Words that are plain, that are found inside other chunks, that are stop words; all kinds of white
# space; marks, apostrophes, ligatures, the letter that has two in lower case.
PIECES = [
    " ", " ", "\n", "\n", "\t", "\r\n", "\v", "\f", "\0", "\x1c", "\x85", "\u2028", "\u3000",
    "the", "The", "it's", "it\u2019s", "don't", "don\u2019t", "é", "e\u0301", "É", "a-b", "a", "b",
    "'", "''", "-", ".", "…", "x'", "'x", "x''y", "cats of dogs", "running", "runs", "٣", "12",
    "１", "ﬁ", "İ", "ß", "Σ", "σ", "हिन्दी", "中文", "𝔘", "👩\u200d👧", "\ufeff", "\ufffd", "\x7f",
    "abcdefgh", "abcdefghi", "w" * 200,
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


def naive_tokens(tokenizer, blocks):
    """The tokens of blocks, None for one that is too short or too long, "\n" for a line end.

    A block ends no line, but it ends a chunk.
    """
    for line in ("" if tokenizer.by_line else " ").join(blocks).split("\n"):
        if tokenizer.by_line:
            yield from tokenizer.tokens_of_line(line)
        else:
            for chunk in line.encode().translate(tokenizer.table).split():
                yield from tokenizer.tokens_of(chunk)
        yield "\n"


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=40, deadline=None)
@given(blocks=st.lists(TEXTS, max_size=4))
def test_codes_are_those_of_tokens_one_by_one(name, blocks):
    tokenizer = TOKENIZERS[name]
    expected = list(naive_tokens(tokenizer, blocks))
    stop = dict(zip(tokenizer.stop_tokens, STOPWORDS, strict=True))
    for first in (1, 1 << 14):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chunk_table, "_FIRST_ENTRIES", first)
            patch.setattr(word_codes, "_MAX_REMEMBERED", 1 + first // 5)
            codes = TextEncoder(tokenizer, tokenizer.stop_tokens)
            found = []
            for block in [*blocks, "\n"]:
                before = codes.first_word + codes.num_words
                found += codes.codes_of(block.encode()).tolist()
                # Ids are given one after another.
                new = {code for code in found if code >= before}
                assert new == {*range(before, codes.first_word + codes.num_words)}
        words = codes.words().to_pylist()
        names = ["\n", *STOPWORDS, None, *words]
        assert [names[code] for code in found] == [stop.get(token, token) for token in expected]
        assert len(words) == len(set(words)) == codes.num_words  # no word has two ids
        assert not {None, "\n", *stop} & set(words)


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_forgetting_leaves_the_stop_words_and_nothing_else(texts):
    used = TextEncoder(TOKENIZERS["words"], STOPWORDS)
    for text in texts:
        used.forget()
        assert (used.num_words, used.words().to_pylist()) == (0, [])
        fresh = TextEncoder(TOKENIZERS["words"], STOPWORDS)
        block = text.encode()
        assert used.codes_of(block).tolist() == fresh.codes_of(block).tolist()
        assert used.words() == fresh.words()


def test_open_words_are_given_their_new_ids():
    """What `spill_codes` does with the words of the open line when a table ends."""
    codes = TextEncoder(TOKENIZERS["words"], STOPWORDS)
    found = codes.codes_of("b don't ü ü\u2019s c".encode()) - codes.first_word
    assert codes.words_at(found) == ["b", "don't", "ü", "ü's", "c"]
    last = codes.words_at(found[[3, 0, 3]])
    codes.forget()
    again = codes.codes_of_tokens(last)
    assert again == [codes.first_word + n for n in (1, 0, 1)]  # plain words first
    assert codes.words().to_pylist() == ["b", "ü's"]
    assert codes.codes_of(b"b the").tolist() == [again[1], 1]


# Words that no tokenizer here makes, too: they are not found in text that looks like them.
VOCABULARY = Vocabulary(
    ["fig", "the", "pear", "don't", "naïve", "a-b", "x''y", "x'"], range(8, 0, -1)
)


@pytest.mark.parametrize("name", ["words", "whitespace", "lengths", "regex"])
@settings(max_examples=40, deadline=None)
@given(
    blocks=st.lists(TEXTS | st.just("fig pear the a-b naïve don\u2019t ruby x''y x'"), max_size=5)
)
def test_with_a_vocabulary_nothing_is_learned(name, blocks):
    tokenizer = TOKENIZERS[name]
    codes = TextEncoder(tokenizer, tokenizer.stop_tokens, VOCABULARY)
    code_of = {None: codes.length_code, "\n": 0}
    code_of |= {token: codes.first_word + row for token, row in VOCABULARY.index.items()}
    code_of |= dict(zip(STOPWORDS, itertools.count(1)))  # stop words win
    unknown = codes.first_word + len(VOCABULARY)
    expected = [code_of.get(token, unknown) for token in naive_tokens(tokenizer, blocks)]
    for most in (0, 1 << 20):  # forgetting before each block, or never
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(word_codes, "_MAX_UNKNOWN", most)
            found = [codes.codes_of(block.encode()).tolist() for block in [*blocks, "\n"]]
        assert list(itertools.chain(*found)) == expected
        assert codes.num_words == 0


def test_memory_does_not_grow_with_unknown_words(monkeypatch):
    monkeypatch.setattr(word_codes, "_MAX_UNKNOWN", 1000)
    codes = TextEncoder(TOKENIZERS["words"], STOPWORDS, VOCABULARY)
    forgotten, forget = [], codes.forget
    monkeypatch.setattr(codes, "forget", lambda: forgotten.append(len(codes._chunks)) or forget())
    for block in range(40):
        text = " ".join(f"w{block}x{n}" for n in range(200)) + " the pear"
        found = codes.codes_of(text.encode()).tolist()
        assert found == [codes.first_word + len(VOCABULARY)] * 200 + [1, codes.first_word + 2]
    assert len(forgotten) >= 4
    assert max(forgotten) < 1400


def test_special_chunks_are_tokenized_once_even_when_tables_begin_anew(monkeypatch):
    calls = []
    real = Tokenizer.tokens_of

    def noted(self, chunk):
        calls.append(chunk)
        return real(self, chunk)

    monkeypatch.setattr(Tokenizer, "tokens_of", noted)
    codes = TextEncoder(Tokenizer(TextConfig()), ())
    long = "é" * 100
    for _ in range(3):
        for _ in range(2):
            codes.codes_of(f"naïve plain don't naïve ü {long} plain".encode())
        codes.forget()
    assert sorted(calls) == sorted([w.encode() for w in ("naïve", "ü", *[long] * 3)])


def test_codes_are_int32_and_empty_blocks_have_none():
    codes = TextEncoder(Tokenizer(TextConfig()), ())
    for block in (b"", b" ", b"  .. "):
        found = codes.codes_of(block)
        assert (found.dtype, found.tolist()) == (np.int32, [])
    assert codes.codes_of(b"\n\n").tolist() == [0, 0]
    assert codes.codes_of_tokens([]) == []
