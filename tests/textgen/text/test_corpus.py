"""A corpus is read whole or refused in one line that says what is wrong where, and its tail is held out."""

import csv
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.paths import SHARED
from textgen.errors import UserError
from textgen.text.corpus import load_corpus
from textgen.text.encodings import decode_text, read_text

SHAKESPEARE = SHARED / "text" / "tinyshakespeare.txt"


@pytest.fixture(autouse=True)
def small_cells():
    csv.field_size_limit(131_072)  # Python's own, whatever another test has set


def file(folder, text, name="book.txt"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(paths, **options):
    """The one line with which a corpus is refused."""
    with pytest.raises(UserError) as error:
        load_corpus(paths if isinstance(paths, list) else [paths], **options)
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 800
    return message


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize(
    "data", [b"", b" ", b"\n\r\n\t  \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n", "\u2003".encode()]
)
def test_a_file_without_text_is_refused(tmp_path, data, lines):
    path = file(tmp_path, data)
    assert refusal(path, lines=lines) == f"{path}: is empty; give a file with text in it"


@pytest.mark.parametrize(
    ("data", "place", "byte", "advice"),
    [
        (b"\xff", "line 1, byte 0", "ff", "save it as UTF-8"),
        (b"abc\xe9 def", "line 1, byte 3", "e9", "if 'abcé def' is right, it is WINDOWS-1252"),
        (b"one\ntwo\n\xe9", "line 3, byte 8", "e9", "save it as UTF-8"),
        (b"one\r\ntwo\r\nx\xe9\r\n", "line 3, byte 11", "e9", "if 'xé' is right, it is WINDOWS-1252"),
        (b"\xef\xbb\xbf\xe9", "line 1, byte 3", "e9", "save it as UTF-8"),
        (b"\xef\xbb\xbfone\r\ntwo \x93so\x94", "line 2, byte 12", "93", "save it as UTF-8"),
        ("犬é\n".encode() + b"\x80", "line 2, byte 6", "80", "the rest is; mend it there"),
        ("犬".encode()[:2], "line 1, byte 0", "e7", "save it as UTF-8"),  # cut inside a character
        (b"ab\xed\xa0\x80", "line 1, byte 2", "ed", "save it as UTF-8"),  # half a surrogate pair
        (b"a" * 100_000 + b"\n\xc0\x80", "line 2, byte 100001", "c0", "save it as UTF-8"),
    ],
)
def test_bytes_that_are_not_utf8_are_refused_with_line_offset_and_advice(tmp_path, data, place, byte, advice):
    path = file(tmp_path, data)
    assert refusal(path).startswith(f"{path}: {place} is not UTF-8 (0x{byte}); {advice}")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_text_is_read_by_its_mark_and_refused_by_its_nuls(tmp_path, encoding):
    path = file(tmp_path, ("some text, 犬\r\nand more " * 9).encode(encoding))
    if encoding in ("utf-16", "utf-32"):
        assert "".join(load_corpus([path]).train).startswith("some text, 犬\nand more")
        assert "not the UTF-16 that it begins as" in refusal(file(tmp_path, b"\xff\xfea"))
    else:
        assert "is NUL" in refusal(path)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"\0", "line 1, byte 0"),
        (b"a\nb\r\nc\0d\0", "line 3, byte 6"),
        (b"\xef\xbb\xbfa\0\xff", "line 1, byte 4"),
    ],
)
def test_a_nul_is_refused_with_line_and_offset(tmp_path, data, place):
    path = file(tmp_path, data)
    assert refusal(path) == f"{path}: {place} is NUL: not a text file; text must be UTF-8"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfa", "a"),
        (b"\xef\xbb\xbf\xef\xbb\xbfa", "\ufeffa"),
        (b"a\xef\xbb\xbf", "a\ufeff"),
        (b"a\r\nb\r\n", "a\nb\n"),
        (b"a\rb\r", "a\nb\n"),
        (b"a\r\n\rb\n\r\n", "a\n\nb\n\n"),
        ("é 犬 🙂 👩‍👩‍👧\u2028\x0c".encode(), "é 犬 🙂 👩‍👩‍👧\u2028\x0c"),
    ],
)
def test_the_mark_is_dropped_and_line_ends_are_alike(tmp_path, data, text):
    assert read_text(file(tmp_path, data)) == text


@given(st.binary(max_size=30))
@settings(deadline=None, database=None, derandomize=True)
def test_any_bytes_are_text_without_carriage_returns_or_a_refusal_of_one_line(data):
    try:
        text = decode_text(data, "standard input")
    except UserError as error:
        assert str(error).isprintable()
        assert str(error).startswith("standard input: ")
    else:
        wide = data.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff"))
        whole = data.decode("utf-16" if wide else "utf-8-sig")
        assert text == whole.replace("\r\n", "\n").replace("\r", "\n")


def test_what_cannot_be_read_is_named_with_the_reason(tmp_path):
    book, ring = file(tmp_path, "text"), tmp_path / "ring.txt"
    ring.symlink_to(ring)
    for path, reason in [
        (tmp_path / "none.txt", "No such file or directory"),
        (book / "book.txt", "Not a directory"),
        (ring, "Too many levels of symbolic links"),
        (tmp_path / ("a" * 300), "File name too long"),
    ]:
        assert refusal([book, path]) == f"{path}: cannot be read: {reason}"


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_is_named(tmp_path):
    path = file(tmp_path, "text")
    path.chmod(0)
    assert refusal(path) == f"{path}: cannot be read: Permission denied"


def test_a_folder_is_its_text_files_in_order_of_name(tmp_path):
    for name in ("b.txt", "a.txt", "c.md", "d.csv"):
        file(tmp_path, f"{name[0] * 10}", name)
    corpus = load_corpus([tmp_path])
    assert corpus.names == ("a.txt", "b.txt")
    assert corpus.train == ("a" * 9, "b" * 9)
    assert corpus.held_out == ("a", "b")


def test_a_folder_without_text_files_and_no_file_at_all_are_refused(tmp_path):
    file(tmp_path, "text", "a.md")
    assert refusal(tmp_path) == f"{tmp_path}: no .txt file in this folder"
    assert refusal([]) == "no corpus given; name one or more text files"
    (tmp_path / "folder.txt").mkdir()
    assert refusal(tmp_path) == f"{tmp_path / 'folder.txt'}: cannot be read: Is a directory"


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_a_share_out_of_range_is_refused(tmp_path, share):
    assert refusal(file(tmp_path, "text"), held_out=share).startswith(
        f"held_out: {share} must be between 0 and 1"
    )


@given(st.text(min_size=1, max_size=60).filter(str.strip), st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9]))
@settings(deadline=None, database=None, derandomize=True)
def test_the_last_characters_are_held_out_and_none_is_lost(tmp_path_factory, text, share):
    text = text.replace("\0", "").replace("\r", "").removeprefix("\ufeff") + "."
    path = file(tmp_path_factory.mktemp("corpus"), text)
    corpus = load_corpus([path], held_out=share)
    assert corpus.train + corpus.held_out == (
        text[: int(len(text) * (1 - share))],
        text[int(len(text) * (1 - share)) :],
    )
    words = load_corpus([path], held_out=share, whole_words=True)
    assert words.train[0] + words.held_out[0] == text
    assert not words.held_out[0] or words.held_out[0][0].isspace()
    assert len(words.train[0].split()) + len(words.held_out[0].split()) == len(text.split())


@pytest.mark.skipif(not SHAKESPEARE.exists(), reason="tinyshakespeare is not beside the checkout")
def test_tinyshakespeare_is_split_as_its_peers_split_it():
    corpus = load_corpus([SHAKESPEARE])
    assert (len(corpus.train[0]), len(corpus.held_out[0])) == (1_003_854, 111_540)
    assert corpus.train[0] + corpus.held_out[0] == SHAKESPEARE.read_text()
    assert corpus.split == "last 10 % of the characters"


def test_each_file_has_its_own_tail(tmp_path):
    paths = [file(tmp_path, letter * size, f"{letter}.txt") for letter, size in (("b", 20), ("a", 10))]
    corpus = load_corpus(paths)
    assert corpus.train == ("b" * 18, "a" * 9)
    assert corpus.held_out == ("b" * 2, "a")
    assert corpus.names == ("b.txt", "a.txt")
    assert corpus.split == "last 10 % of the characters of each file"
    assert not corpus.lines


def test_a_single_character_leaves_nothing_to_train_on(tmp_path):
    corpus = load_corpus([file(tmp_path, "🙂")])
    assert (corpus.train, corpus.held_out) == (("",), ("🙂",))
    with pytest.raises(UserError, match="split: train is empty; choose another"):
        corpus.part("train")


def test_lines_are_texts_of_their_own_without_blank_ones(tmp_path):
    corpus = load_corpus([file(tmp_path, "\n".join(f"  {i} x\t\n\n \r" for i in range(10)))], lines=True)
    assert corpus.train == tuple(f"{i} x" for i in range(9))
    assert corpus.held_out == ("9 x",)
    assert (corpus.lines, corpus.split) == (True, "last 10 % of the lines")


def test_part_names_the_parts(tmp_path):
    corpus = load_corpus([file(tmp_path, "0123456789")])
    assert corpus.part("train") == ("012345678",)
    assert corpus.part("held-out") == ("9",)
    assert corpus.part("all") == ("0123456789",)
    with pytest.raises(UserError, match="split: unknown 'test'; known: held-out, train, all"):
        corpus.part("test")


def test_the_hash_tells_texts_and_splits_apart(tmp_path):
    text = file(tmp_path, "one two three four")
    same = file(tmp_path, b"\xef\xbb\xbfone two three four", "other.txt")
    fours = file(tmp_path, "one\ntwo\nthree\nfour", "b.txt")
    kinds = [(text, {}), (text, {"held_out": 0.2}), (text, {"whole_words": True}), (fours, {})]
    kinds += [(fours, {"lines": True, "held_out": share}) for share in (0.25, 0.5)]
    hashes = {load_corpus([path], **options).hash for path, options in kinds}
    assert len(hashes) == len(kinds)
    assert load_corpus([text]).hash == load_corpus([same]).hash
    assert load_corpus([text, text]).hash not in hashes


TABLE = '''title,text,year
"A, b",first,1
B,"two
 lines",2
C,,3
"He said ""so""",last
'''


@pytest.mark.parametrize(
    ("columns", "rows", "left_out"),
    [
        (["text"], ["first", "two lines", "last"], 1),
        (["title", "text"], ["A, b first", "B two lines", "C", 'He said "so" last'], 0),
        (["text", "title"], ["first A, b", "two lines B", "C", 'last He said "so"'], 0),
        (["2"], ["text", "first", "two lines", "last"], 1),
        (["3", "1"], ["year title", "1 A, b", "2 B", "3 C", 'He said "so"'], 0),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_the_chosen_cells_of_a_row_are_one_line(tmp_path, columns, rows, left_out, end):
    table = TABLE.replace("two\n", "two\0").replace("\n", end).replace("\0", "\n")
    path = file(tmp_path, "\ufeff" + table, "table.csv")
    corpus = load_corpus([path], columns=columns, held_out=0.5)
    assert [*corpus.train, *corpus.held_out] == rows
    assert len(corpus.train) == round(len(rows) / 2)
    assert (corpus.lines, corpus.split) == (True, "last 50 % of the rows")
    note = f"{path}: {left_out} rows without text in these columns are left out"
    assert corpus.notes == ((note,) if left_out else ())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["body"], "no column 'body'; there are: title, text, year; without a header, choose by number"),
        (["text", "body"], "no column 'body'; there are: title, text, year; "),
        (["1", "4"], "there are columns 1 to 3"),
        (["0"], "there are columns 1 to 3"),
    ],
)
def test_a_missing_column_is_named_with_those_there_are(tmp_path, columns, message):
    path = file(tmp_path, TABLE, "table.csv")
    assert refusal(path, columns=columns).startswith(f"{path}: --columns: {message}")


@pytest.mark.parametrize(
    ("table", "first"),
    [
        (TABLE, "['title', 'text', 'year']"),
        ('\n\n"two\nlines",b\n', r"['two\nlines', 'b']"),
        ("x" * 200_000, "['xxx"),
        ('"' + "x\n" * 1000 + '"', r"['x\nx\n"),
    ],
)
@pytest.mark.parametrize("name", ["table.csv", "TABLE.CSV"])
def test_a_table_without_columns_is_refused_with_its_first_row(tmp_path, table, first, name):
    asked = "a CSV; choose --columns by number or name; its first row is"
    assert f"{name}: {asked} {first}" in refusal(file(tmp_path, table, name))


@pytest.mark.parametrize("header", ['"two\nlines",b', "x" * 200_000, ",,"])
def test_any_header_is_shown_in_one_line(tmp_path, header):
    assert "there are: " in refusal(file(tmp_path, f"{header}\n1,2", "table.csv"), columns=["text"])


def test_a_huge_cell_is_read_whole(tmp_path):
    cell = "word " * 100_000
    corpus = load_corpus([file(tmp_path, f'text,n\n"{cell}",1\nb,2\n', "table.csv")], columns=["text"])
    assert corpus.train[0] == cell.strip()


# --- files for dev and test


def three(tmp_path):
    return [
        file(tmp_path, text, name)
        for name, text in (("train.txt", "a b\nc\n"), ("valid.txt", "d\n"), ("test.txt", "e\n"))
    ]


@pytest.mark.parametrize("lines", [True, False])
def test_files_for_dev_and_test_leave_all_of_train_to_learn_from(tmp_path, lines):
    train, dev, test = three(tmp_path)
    corpus = load_corpus([train], lines=lines, dev=[dev], test=[test])
    texts = (("a b", "c"), ("d",), ("e",)) if lines else (("a b\nc\n",), ("d\n",), ("e\n",))
    assert (corpus.train, corpus.held_out, corpus.test) == texts
    assert corpus.split == "valid.txt" and corpus.names == ("train.txt",)


def test_a_test_file_alone_leaves_the_tail_held_out(tmp_path):
    train, _, test = three(tmp_path)
    corpus = load_corpus([train], held_out=0.5, test=[test])
    assert "".join((*corpus.train, *corpus.held_out)) == "a b\nc\n" and corpus.test == ("e\n",)


def test_every_part_is_in_the_hash(tmp_path):
    train, dev, test = three(tmp_path)
    parts = [
        {},
        {"dev": [dev]},
        {"test": [test]},
        {"dev": [dev], "test": [test]},
        {"dev": [test], "test": [dev]},
    ]
    assert len({load_corpus([train], **part).hash for part in parts}) == len(parts)


@pytest.mark.parametrize("part", ["dev", "test"])
def test_a_file_in_two_parts_is_refused(tmp_path, part):
    train, *_ = three(tmp_path)
    assert f"is among the train files and the {part} files" in refusal(
        [train], **{part: [tmp_path / "." / "train.txt"]}
    )


@pytest.mark.parametrize("part", ["dev", "test"])
def test_a_missing_or_empty_file_is_named(tmp_path, part):
    train, *_ = three(tmp_path)
    assert "none.txt: cannot be read" in refusal([train], **{part: [tmp_path / "none.txt"]})
    assert "blank.txt: is empty" in refusal([train], **{part: [file(tmp_path, " ", "blank.txt")]})
