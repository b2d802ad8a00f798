"""Tables record by record: what is quoted may go over lines, and an open quotation mark swallows no row."""

import pytest

from textgen.errors import UserError
from textgen.text.corpus import load_corpus
from textgen.text.tables import MalformedRow, declared_delimiter, likely_delimiter, records


def read(text, delimiter=",", **options):
    return [record.cells for record in records(text.split("\n"), delimiter, **options)]


def test_a_quoted_cell_holds_delimiters_marks_and_lines():
    text = 'a,b\n1,"one, two"\n2,"say ""so"""\n3,"first\nsecond, and\n\nlast"\n4,x\n'
    assert read(text) == [
        ["a", "b"],
        ["1", "one, two"],
        ["2", 'say "so"'],
        ["3", "first\nsecond, and\n\nlast"],
        ["4", "x"],
    ]
    assert [record.line for record in records(text.split("\n"), ",")] == [1, 2, 3, 4, 8]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("row", [0, 100, 398, 399])
@pytest.mark.parametrize("quoted", [False, True], ids=["others plain", "others quoted"])
def test_an_open_mark_swallows_no_row(delimiter, column, row, quoted):
    rows = [[f"title {n}", f"number {n} is a line of news"] for n in range(400)]
    marks = '"' * quoted
    lines = [delimiter.join(f"{marks}{cell}{marks}" for cell in cells) for cells in rows]
    broken = [f"{marks}{cell}{marks}" for cell in rows[row]]
    broken[column] = '"' + rows[row][column]
    lines[row] = delimiter.join(broken)
    try:
        found = read("\n".join(["title" + delimiter + "text", *lines, ""]), delimiter)
    except MalformedRow as error:
        assert error.line == row + 2 and "quotation mark" in error.reason
        return
    assert len(found) == 401 and max(len(cell) for cells in found for cell in cells) < 60


def test_the_line_of_an_open_mark_is_named(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text('title,text\n1,fine\n2,"open, and more\n3,fine\n')
    with pytest.raises(UserError) as caught:
        load_corpus([path], columns=["text"])
    said = str(caught.value)
    assert said.startswith(f"{path}, line 3: a quotation mark is opened and not closed in its row")


def test_an_open_mark_in_a_row_of_the_right_width_stays_in_its_cell(tmp_path):
    path = tmp_path / "news.csv"
    path.write_text("title,text\n" + "".join(f"{n},{chr(34) * (n == 100)}number {n}\n" for n in range(400)))
    corpus = load_corpus([path], columns=["text"])
    texts = [*corpus.train, *corpus.held_out]
    assert len(texts) == 400 and texts[100] == '"number 100'


def test_a_width_is_kept_and_a_last_cell_may_hold_delimiters():
    assert read("a.jpg,A dog, running", width=2, open_end=True) == [["a.jpg", "A dog, running"]]
    assert read("a.jpg,A dog,,", width=2) == [["a.jpg", "A dog"]]
    for text in ("a.jpg", "A dog, running,a.jpg"):
        with pytest.raises(MalformedRow):
            read(text, width=2)


def test_with_bars_marks_mean_nothing():
    assert read('1.jpg| 0| "A dog', "|", width=3, open_end=True) == [["1.jpg", "0", '"A dog']]


@pytest.mark.parametrize(
    ("text", "declared", "likely"),
    [
        ("sep=;\na;b", ";", ";"),
        ('"sep=\t"\na\tb', "\t", ","),
        ("a;b;c\n", None, ";"),
        ("a\tb, c\td\n", None, "\t"),
        ("\n\na|b\n", None, "|"),
        ("alone\n", None, ","),
    ],
)
def test_the_delimiter_is_declared_or_the_one_that_parts_most(text, declared, likely):
    lines = text.split("\n")
    assert declared_delimiter(lines) == declared and likely_delimiter(lines) == likely


@pytest.mark.parametrize("text", ["title;text\n1;a cat\n2;a dog\n", "sep=;\ntitle;text\n1;a cat\n2;a dog\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("columns", [["text"], ["2"]])
def test_a_corpus_may_have_semicolons_and_say_so(tmp_path, text, encoding, columns):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode(encoding))
    corpus = load_corpus([path], columns=columns, held_out=0.5)
    texts = [*corpus.train, *corpus.held_out]
    assert texts[-2:] == ["a cat", "a dog"]


def test_rows_with_too_many_cells_are_counted(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("title,text\n1,a cat\n2,a dog, running\n3,a bird\n4,a fish\n")
    (note,) = load_corpus([path], columns=["text"]).notes
    assert note.startswith(f"{path}: 1 rows have more cells than the first")


def test_a_table_of_tabs_is_no_prose(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("title\ttext\n1\ta cat\n")
    with pytest.raises(UserError, match="choose --columns"):
        load_corpus([path])


def swallowing(kind):
    """400 rows, in one of which a quotation mark is opened, and in another one closed."""
    rows = [f"{n},text number {n} of the play" for n in range(400)]
    rows[100], rows[300] = '100,"it is open', '300,and closed"'
    match kind:
        case "a blank line between":
            rows[200] = ""
        case "a row with too many cells":
            rows[200] = "200,a,b"
        case "prose with a comma":
            rows[200] = "200,a, b"
        case "spaces after delimiters":
            rows = [row.replace(",", ", ") for row in rows]
        case "closed two rows on":
            rows[300], rows[102] = "300,fine", '102,and closed"'
        case "closed in the next row":
            rows[300], rows[101] = "300,fine", '101,and closed"'
    return rows


@pytest.mark.parametrize(
    "kind",
    [
        "as it is",
        "a blank line between",
        "a row with too many cells",
        "prose with a comma",
        "spaces after delimiters",
        "closed two rows on",
        "closed in the next row",
    ],
)
def test_two_stray_marks_swallow_no_row_between_them(kind):
    rows = swallowing(kind)
    try:
        found = read("\n".join(["id,text", *rows]))
    except MalformedRow as error:
        assert error.line in (102, 302)
        return
    assert len(found) == len([row for row in rows if row]) + 1


def test_a_poem_in_a_cell_is_whole():
    text = 'n,text\n1,"a,b\nc,d\ne,f\ng,h"\n2,"one\ntwo\nthree, four\n"\n'
    assert [cells[0] for cells in read(text)] == ["n", "1", "2"]
