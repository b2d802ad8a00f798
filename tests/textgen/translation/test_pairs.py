"""Pairs of sentences from tables, aligned files and TMX; what is left out is said."""

import pytest

from textgen.errors import UserError
from textgen.translation.pairs import grouped, load_pairs


def load(*paths, columns=()):
    (group,) = grouped(paths)
    return load_pairs(group, columns)


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


TMX = """<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header/><body>
<tu><tuv xml:lang="en-GB"><seg>A <hi>red</hi> boat</seg></tuv><tuv xml:lang="de"><seg>Ein rotes
 Boot</seg></tuv></tu>
<tu><tuv xml:lang="en-GB"><seg>Alone</seg></tuv></tu>
<tu><tuv xml:lang="fr"><seg>Deux</seg></tuv><tuv xml:lang="de"><seg>Zwei</seg></tuv><tuv xml:lang="en-GB"><seg>Two</seg></tuv></tu>
</body></tmx>"""


def test_a_table_gives_its_first_two_columns(tmp_path):
    path = write(tmp_path / "a.tsv", "Go.\tGeh.\tCC-BY 2.0\r\nStop!\tHalt!\r\n")
    assert load(path).pairs == (("Go.", "Geh."), ("Stop!", "Halt!"))


def test_columns_are_taken_by_the_names_in_the_first_line(tmp_path):
    path = write(tmp_path / "a.tsv", "english\tgerman\tfrench\nTwo\tZwei\tDeux\n")
    assert load(path, columns=("english", "french")).pairs == (("Two", "Deux"),)
    assert load(path, columns=("french", "german")).pairs == (("Deux", "Zwei"),)
    with pytest.raises(UserError, match="its first line has no english and czech: english, german, french"):
        load(path, columns=("english", "czech"))
    with pytest.raises(UserError, match="columns: two are wanted"):
        load(path, columns=("english",))


def test_two_columns_without_names_are_what_they_are(tmp_path):
    path = write(tmp_path / "a.tsv", "Go.\tGeh.\n")
    assert load(path, columns=("english", "german")).pairs == (("Go.", "Geh."),)


def test_aligned_files_are_read_line_by_line(tmp_path):
    english = write(tmp_path / "a.en", "One\nTwo\n\nFour\n")
    german = write(tmp_path / "a.de", "Eins\nZwei\nDrei\nVier")
    found = load(english, german)
    assert found.pairs == (("One", "Eins"), ("Two", "Zwei"), ("Four", "Vier"))
    assert found.notes == ("1 pairs with an empty side are left out",)
    assert found.names == ("a.en", "a.de")
    with pytest.raises(UserError, match="has 4 lines"):
        load(write(tmp_path / "a.en", "One\nTwo\nThree\n"), german)
    with pytest.raises(UserError, match="has no tab between a sentence and its translation"):
        load(english)


def test_a_tmx_gives_two_languages(tmp_path):
    path = write(tmp_path / "a.tmx", TMX)
    found = load(path)
    assert found.pairs == (("A red boat", "Ein rotes Boot"), ("Two", "Zwei"))
    assert "1 units without both of en-gb and de are left out" in found.notes[0]
    assert load(path, columns=("en", "fr")).pairs == (("Two", "Deux"),)
    with pytest.raises(UserError, match="no pair of sentences in it in en"):
        load(path, columns=("en", "cs"))
    with pytest.raises(UserError, match="line 4: not XML, or damaged"):
        load(write(path, TMX.replace("</seg></tuv><tuv", "<tuv", 1)))


def test_a_few_lines_without_a_tab_are_counted_and_many_are_no_pairs(tmp_path):
    rows = [f"{n}\t{n}." for n in range(40)]
    rows[6] = "no tab here"
    found = load(write(tmp_path / "a.tsv", "\n".join(rows)))
    assert (
        len(found.pairs) == 39 and "1 lines have no tab and are left out, line 7 the first" in found.notes[0]
    )
    with pytest.raises(UserError, match="line 1: has no tab, as 20 of 40 lines"):
        load(write(tmp_path / "a.tsv", "\n".join(["none"] * 20 + rows[20:])))


def test_pairs_are_taken_once_and_references_together(tmp_path):
    found = load(write(tmp_path / "a.tsv", "Go.\tGeh.\nGo.\tGeh.\nGo.\tGehen Sie.\nRun.\tLauf.\n"))
    assert found.references() == {"Go.": ["Geh.", "Gehen Sie."], "Run.": ["Lauf."]}
    assert found.notes == ("1 pairs that stand there twice are taken once",)


def test_files_of_several_kinds_are_grouped(tmp_path):
    table, tmx = write(tmp_path / "a.tsv", "a\tb"), write(tmp_path / "b.tmx", TMX)
    one, other = write(tmp_path / "c.en", "a"), write(tmp_path / "c.de", "b")
    assert grouped([table, one, other, tmx]) == [(table,), (one, other), (tmx,)]


@pytest.mark.parametrize("text", ["", "\n\n", "\t\n", " \t \n"])
def test_nothing_is_one_line(tmp_path, text):
    with pytest.raises(UserError):
        load(write(tmp_path / "a.tsv", text))


def test_columns_are_found_in_any_case_and_told_where_there_are_none(tmp_path):
    path = write(tmp_path / "a.tsv", "German\tEnglish\nZwei\tTwo\n")
    assert load(path, columns=("english", "german")).pairs == (("Two", "Zwei"),)
    found = load(write(tmp_path / "b.tsv", "Go.\tGeh.\n"), columns=("english", "german"))
    assert found.notes == (
        f"{tmp_path}/b.tsv: its first line has no english and german; it is taken for a pair, the first column as "
        "english: Go. | Geh.",
    )
    with pytest.raises(UserError, match="columns: two are wanted"):
        load(path, columns=("english", "english"))


def test_languages_in_the_first_line_are_the_columns(tmp_path):
    path = write(tmp_path / "a.tsv", "english\tgerman\tfrench\nTwo dogs\tZwei Hunde\tDeux chiens\n")
    (group,) = grouped([path])
    found = load_pairs(group, languages=("English", "French"))
    assert found.pairs == (("Two dogs", "Deux chiens"),)
    assert found.notes == (f"{path}: its first line names columns; English and French are taken",)
    found = load_pairs(group, ("english", "german"), languages=("English", "French"))
    assert found.pairs == (("Two dogs", "Zwei Hunde"),)
    found = load_pairs(group, languages=("English", "Czech"))
    assert found.pairs[0] == ("english", "german") and "is taken for a pair" in found.notes[0]


def test_a_first_line_that_could_be_names_is_told(tmp_path):
    found = load(write(tmp_path / "a.tsv", "en\tde\nTwo dogs.\tZwei Hunde.\n"))
    assert len(found.pairs) == 2 and "if it names columns, tell --columns: en | de" in found.notes[0]
    for rows in ("dog\tHund\ncat\tKatze\n", "Go.\tGeh.\nRun!\tLauf!\n"):
        assert not load(write(tmp_path / "b.tsv", rows)).notes


def test_codes_within_a_sentence_are_no_text(tmp_path):
    text = '<seg>Press <bpt i="1">&lt;b&gt;</bpt>OK<ept i="1">&lt;/b&gt;</ept> <ph>{0}</ph>now <hi>at once</hi></seg>'
    path = write(tmp_path / "a.tmx", TMX.replace("<seg>Two</seg>", text))
    assert ("Press OK now at once", "Zwei") in load(path).pairs or ("Zwei", "Press OK now at once") in load(
        path
    ).pairs


@pytest.mark.parametrize("encoding", ["gb2312", "Shift_JIS", "no-such"])
def test_an_encoding_that_xml_cannot_read_is_one_line(tmp_path, encoding):
    path = write(tmp_path / "a.tmx", TMX.replace("UTF-8", encoding))
    with pytest.raises(UserError, match="encoding"):
        load(path)


def test_a_pipe_is_refused(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a file"):
        grouped([tmp_path / "pipe"])


def test_line_ends_of_other_machines_stay_where_they_are(tmp_path):
    english = write(tmp_path / "a.en", b"One\rmore\nTwo\r\n")
    german = write(tmp_path / "a.de", "Eins\nZwei\n")
    assert load(english, german).pairs == (("One\rmore", "Eins"), ("Two", "Zwei"))
