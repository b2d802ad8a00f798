"""Labelled texts from the columns of a CSV, and passages of books."""

import pytest

from textgen.classification.examples import load_labelled
from textgen.classification.passages import AUTHORS, chapters, passages, write_passages
from textgen.errors import UserError


def write(path, text):
    path.write_text(text)
    return path


def test_columns_are_taken_by_name_or_number(tmp_path):
    named = write(tmp_path / "a.csv", 'kind,title,text\n1,"A, b",c\n2,d,e\n')
    found = load_labelled([named], ("title", "text"), "kind")
    assert (found.texts, found.labels, found.classes) == (("A, b c", "d e"), ("1", "2"), ("1", "2"))
    plain = write(tmp_path / "b.csv", '"1","A, b","c"\n"2","d","e"\n')
    assert load_labelled([plain], ("2", "3"), "1").texts == found.texts
    tabs = write(tmp_path / "c.tsv", "text\tlabel\nx y\tp\nz\tq\n")
    assert load_labelled([tabs, tabs], ("text",), "label").labels == ("p", "q", "p", "q")


def test_rows_without_a_text_or_label_are_counted(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\na,p\n,p\nb,\nc\nd,q\n")
    found = load_labelled([path], ("text",), "label")
    assert found.texts == ("a", "d") and "3 rows without a text or a label are left out" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("text,label\na,p\nb,p\n", "all rows have the label 'p'"),
        ("text,label\n,\n", "no row has a text and a label"),
        ("text,kind\na,p\n", "--text, --label: no column 'label'; there are: text, kind"),
    ],
)
def test_what_cannot_be_learnt_is_said(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load_labelled([write(tmp_path / "a.csv", text)], ("text",), "label")


def test_labels_that_are_none_are_refused(tmp_path):
    rows = "".join(f"text {n},{n}\n" for n in range(3000))
    with pytest.raises(UserError, match="3,000 labels of 3,000 rows are no classes"):
        load_labelled([write(tmp_path / "a.csv", "text,label\n" + rows)], ("text",), "label")


def test_a_share_is_held_out_by_the_seed(tmp_path):
    rows = "".join(f"text {n},{n % 3}\n" for n in range(50))
    whole = load_labelled([write(tmp_path / "a.csv", "text,label\n" + rows)], ("text",), "label")
    train, dev = whole.split(0.1, 4)
    assert (len(train), len(dev)) == (45, 5) and set(train.texts) | set(dev.texts) == set(whole.texts)
    assert whole.split(0.1, 4)[1] == dev != whole.split(0.1, 5)[1]
    with pytest.raises(UserError, match="held_out"):
        whole.split(0.001, 1)


BOOK = "Title\n\nCHAPTER I\n\n{}\n\nChapter II. The Sea\n{}\n"


def test_passages_never_cross_a_chapter(tmp_path):
    first, second = " ".join(["one"] * 250), " ".join(["two"] * 199)
    found = [list(passages(chapter)) for chapter in chapters(BOOK.format(first, second))]
    assert [len(part) for part in found] == [2, 1]
    assert all(len(text.split()) == 100 and len(set(text.split())) == 1 for part in found for text in part)
    assert chapters("no heading at all") == ["no heading at all"]


def test_books_become_two_tables_by_chapters(tmp_path):
    for name in list(AUTHORS)[:2]:
        text = "".join(f"\nCHAPTER {n}\n" + " ".join([f"word{n}"] * 120) for n in range(1, 12))
        write(tmp_path / f"{name}.txt", text)
    assert write_passages(tmp_path, tmp_path / "out") == {"train": 20, "dev": 2}
    train, dev = (
        load_labelled([tmp_path / "out" / f"{name}.csv"], ("text",), "label") for name in ("train", "dev")
    )
    assert not set(train.texts) & set(dev.texts) and set(dev.labels) == {"Charles Dickens", "Lewis Carroll"}
    with pytest.raises(UserError, match="none of the books"):
        write_passages(tmp_path / "out", tmp_path)


def test_files_to_judge_by_may_have_one_label(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\na,p\n")
    assert load_labelled([path], ("text",), "label", least=1).labels == ("p",)
    with pytest.raises(UserError, match="'text' is among the columns of the texts"):
        load_labelled([path], ("text",), "text")
    with pytest.raises(UserError, match="is empty"):
        load_labelled([write(tmp_path / "b.csv", "")], ("text",), "label")
