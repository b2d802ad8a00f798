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
    assert judged.held_out == (small.held_out[0][:20],) and "first 20 characters" in judged.notes[0]
    assert judged.part("train") == (small.train[0][:20],)
    assert judged.part("all") == (small.part("all")[0][:20],)


@pytest.mark.parametrize("part", ["dev", "test"])
def test_of_a_large_file_to_judge_by_the_beginning_is_read(file, part, tmp_path, monkeypatch):
    monkeypatch.setattr(corpora, "_LARGE", 1)
    monkeypatch.setattr(corpora, "_JUDGED", 20)
    (tmp_path / "train.txt").write_text("A dog ran. " * 9)
    corpus = load_corpus([tmp_path / "train.txt"], large=True, **{part: [file]})
    assert (corpus.held_out if part == "dev" else corpus.test) == (read_text(file)[:20],)
    assert any(note.startswith(f"{file}: ") and "first 20 characters" in note for note in corpus.notes)


def refusal(read, path):
    with pytest.raises(UserError) as caught:
        read(path)
    return str(caught.value)


@pytest.mark.parametrize("block", [4, 7, 10_000])
@pytest.mark.parametrize(
    "data",
    [
        b"good\n \xff\xfe bad",
        b"\xef\xbb\xbfone\r\ntwo \x93so\x94",
        b"a\nb\nab\0b",
        b"\xef\xbb\xbf\0",
        b"cut\n \xc3",
        "one\ntwo 犬犬".encode()[:-1],
        "犬\n犬".encode() + b"\xe7a",
        b"\x1f\x8b\x08\x00 as gzip begins",
    ],
)
def test_what_is_no_text_is_refused_with_its_place_as_in_a_small_file(data, block, tmp_path, monkeypatch):
    monkeypatch.setattr(encodings, "_BLOCK", block)
    (tmp_path / "bad.txt").write_bytes(data)
    small, large = (refusal(read, tmp_path / "bad.txt") for read in (read_text, LargeText))
    assert large.partition(";")[0] == small.partition(";")[0] or b"\x8b" in data
    assert "UTF-8" in large and "byte" in large


def test_wide_text_is_to_be_saved_as_utf_8(tmp_path):
    (tmp_path / "bad.txt").write_bytes("wide".encode("utf-16"))
    assert "save it as UTF-8" in refusal(LargeText, tmp_path / "bad.txt")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("news.csv", "title,text\n1,a cat\n" * 9, "a CSV; choose --columns"),
        ("news.csv", 'title,text\n"open and never closed', "its first row is ['title', 'text']"),
        ("NEWS.TSV", "title\ttext\n1\ta cat\n", "a CSV; choose --columns"),
        ("blank.txt", " \n\t\r\n" * 9, "is empty"),
    ],
)
@pytest.mark.parametrize("part", ["train", "dev", "test"])
def test_a_large_file_that_is_no_running_text_is_refused_as_a_small_one(
    name, text, told, part, tmp_path, monkeypatch
):
    (tmp_path / "book.txt").write_text("A dog ran. " * 9)
    (tmp_path / name).write_text(text)
    given = {part: [tmp_path / name]}
    given = {"paths": given.pop("train", [tmp_path / "book.txt"]), **given}
    for least in (corpora._LARGE, 1):
        monkeypatch.setattr(corpora, "_LARGE", least)
        assert told in refusal(lambda path: load_corpus(**given, large=True), tmp_path / name)


def test_prose_without_a_blank_line_comes_in_parts(monkeypatch):
    monkeypatch.setattr(tokenizers, "_CHUNK", 10)
    monkeypatch.setattr(tokenizers, "_LONGEST", 80)
    parts = list(ProseTokenizer([]).chunks("one two three\n" * 100 + "x" * 300))
    assert "".join(parts) == "one two three\n" * 100 + "x" * 300
    assert max(map(len, parts)) <= 80
