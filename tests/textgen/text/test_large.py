"""Text that is too large for memory is learnt as any other."""

import numpy as np
import pytest

import textgen.text.corpus as corpora
import textgen.text.encodings as encodings
import textgen.text.tokenizer as tokenizers
from textgen.errors import UserError
from textgen.text.corpus import load_corpus
from textgen.text.encoding import encode_texts, map_texts, release
from textgen.text.encodings import LargeText, read_text
from textgen.text.tokenizer import CharTokenizer, ProseTokenizer

TEXT = (
    "\ufeffOnce upon a time, “she” said: déjà vu 🐈.\r\n\r\nA dog ran.  It ran\rfar.\n \n\nThe end was near. "
    * 9
)


@pytest.fixture(params=[1, 3, 7, 64, 10_000])
def file(request, tmp_path, monkeypatch):
    """A file that is read in blocks of so many bytes."""
    monkeypatch.setattr(encodings, "_BLOCK", max(4, request.param))
    path = tmp_path / "book.txt"
    path.write_bytes(TEXT.encode())
    return path


def test_blocks_are_the_text_wherever_they_end(file):
    text = LargeText(file)
    whole = read_text(file)
    assert str(text) == whole and len(text) == len(whole)
    for start, end in [(0, 5), (3, 4), (10, 200), (17, None), (len(whole), None)]:
        assert str(text.part(start, end)) == whole[start:end]
        assert str(text.part(2).part(start, end)) == whole[2:][start:end]


@pytest.mark.parametrize("chunk", [1, 30, 1000])
@pytest.mark.parametrize("kind", [CharTokenizer, ProseTokenizer])
def test_ids_on_disk_are_those_in_memory(file, kind, chunk, tmp_path, monkeypatch):
    monkeypatch.setattr(tokenizers, "_CHUNK", chunk)
    texts, whole = [LargeText(file), LargeText(file).part(7, 300)], [read_text(file), read_text(file)[7:300]]
    tokenizer = kind.fit(texts, 2)
    assert tokenizer == kind.fit(whole, 2)
    mapped, known = map_texts(tokenizer, texts, tmp_path / "ids"), encode_texts(tokenizer, whole, lines=False)
    assert isinstance(mapped.ids, np.memmap) and np.array_equal(mapped.ids, known.ids)
    assert (mapped.tokens, mapped.unknown, mapped.characters) == (
        known.tokens,
        known.unknown,
        known.characters,
    )
    release(mapped.ids)
    assert np.array_equal(mapped.ids, known.ids)  # read anew


@pytest.mark.parametrize("whole_words", [False, True])
def test_a_large_file_is_split_and_hashed_as_a_small_one(file, whole_words, monkeypatch):
    small = load_corpus([file], whole_words=whole_words)
    monkeypatch.setattr(corpora, "_LARGE", 1)
    large = load_corpus([file], whole_words=whole_words, large=True)
    assert isinstance(large.train[0], LargeText)
    assert (tuple(map(str, large.train)), large.held_out) == (small.train, small.held_out)
    assert (large.hash, large.split) == (small.hash, small.split)
    monkeypatch.setattr(corpora, "_JUDGED", 20)
    judged = load_corpus([file], whole_words=whole_words, large=True)
    assert judged.held_out == (small.held_out[0][:20],) and "20 characters" in judged.notes[0]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"good \xff\xfe bad", "no UTF-8"),
        (b"a\0b", "NUL"),
        ("wide".encode("utf-16"), "as UTF-8"),
        (b"cut \xc3", "no UTF-8"),
    ],
)
def test_what_is_no_text_is_refused(data, told, tmp_path):
    (tmp_path / "bad.txt").write_bytes(data)
    with pytest.raises(UserError, match=f"bad.txt: .*{told}"):
        LargeText(tmp_path / "bad.txt")


def test_prose_without_a_blank_line_comes_in_parts(monkeypatch):
    monkeypatch.setattr(tokenizers, "_CHUNK", 10)
    monkeypatch.setattr(tokenizers, "_LONGEST", 80)
    parts = list(ProseTokenizer([]).chunks("one two three\n" * 100 + "x" * 300))
    assert "".join(parts) == "one two three\n" * 100 + "x" * 300
    assert max(map(len, parts)) <= 80
