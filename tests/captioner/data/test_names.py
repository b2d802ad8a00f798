"""Names as other machines write them lead to the pictures that are here, each to its own."""

import unicodedata

import pytest

from captioner.data.examples import load_dataset
from captioner.data.names import base_name, normal_name
from captioner.data.scorable import read_scorable
from tests.helpers.captioned_folders import write
from textgen.errors import UserError

NFC, NFD = (unicodedata.normalize(form, "Möwe é.jpg") for form in ("NFC", "NFD"))


def pictures(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(folder, *names, header="image,caption", encoding="utf-8"):
    """The files that a table of these names leads to, in its order."""
    rows = [header, *(f'"{name}",a picture' for name in names)]
    (folder / "captions.csv").write_bytes(("\n".join(rows) + "\n").encode(encoding))
    examples = {normal_name(example.id): example.path for example in load_dataset(folder).examples}
    inside = str(folder) + "/"
    return [examples[normal_name(name).removeprefix(inside)].relative_to(folder).as_posix() for name in names]


@pytest.mark.parametrize(
    "prefix", ["", "Images/", "Images\\", "C:\\me\\Images\\", "/home/me/Images/", "D:/x/y/", "..\\"]
)
def test_folders_of_other_machines_do_not_matter(tmp_path, prefix):
    pictures(tmp_path, "Images/a.jpg", "Images/b.jpg")
    assert found(tmp_path, f"{prefix}a.jpg", f"{prefix}b.jpg") == ["Images/a.jpg", "Images/b.jpg"]


@pytest.mark.parametrize(("told", "there"), [(NFC, NFD), (NFD, NFC), (NFC, NFC), (NFD, NFD)])
def test_letters_in_one_piece_or_several_are_the_same(tmp_path, told, there):
    pictures(tmp_path, f"Images/{there}", "Images/b.jpg")
    assert found(tmp_path, told, "b.jpg") == [f"Images/{there}", "Images/b.jpg"]


@pytest.mark.parametrize(("told", "there"), [("a.jpg", "a.JPG"), ("A.JPG", "a.jpg"), ("a.JPEG", "A.jpeg")])
def test_case_does_not_matter_where_one_file_fits(tmp_path, told, there):
    pictures(tmp_path, f"Images/{there}")
    assert found(tmp_path, told) == [f"Images/{there}"]


def test_the_file_as_it_is_written_comes_first(tmp_path):
    pictures(tmp_path, "Images/a.jpg", "Images/A.JPG", "Images/x/a.jpg", "Images/y\\a.jpg")
    names = ["a.jpg", "A.JPG", "x/a.jpg"]
    assert found(tmp_path, *names) == ["Images/a.jpg", "Images/A.JPG", "Images/x/a.jpg"]
    assert found(tmp_path, "y\\a.jpg") == ["Images/y\\a.jpg"]


def test_of_two_files_that_fit_alike_none_is_taken(tmp_path):
    pictures(tmp_path, "Images/a.JPG", "Images/A.jpg")
    with pytest.raises(UserError, match="1 of 1 pictures are missing"):
        found(tmp_path, "a.jpg")


def test_pictures_of_two_folders_that_are_not_here_are_not_taken_for_one(tmp_path):
    pictures(tmp_path, "Images/a.jpg", "Images/b.jpg")
    with pytest.raises(UserError, match=r"would both be .*a\.jpg; put the pictures into those folders"):
        found(tmp_path, "/one/a.jpg", "/two/a.jpg", "/two/b.jpg")


def test_split_files_may_name_pictures_otherwise(tmp_path):
    pictures(tmp_path, f"Images/{NFD}", "Images/b.jpg")
    write(tmp_path / "Flickr_8k.trainImages.txt", f"{NFC}\n")
    write(tmp_path / "Flickr_8k.devImages.txt", "b.jpg\n")
    write(tmp_path / "captions.txt", f"image,caption\nImages\\{NFD},a gull\nImages\\b.jpg,a dog\n")
    dataset = load_dataset(tmp_path)
    assert {e.path.name: e.split for e in dataset.examples} == {NFD: "train", "b.jpg": "dev"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("first", ["", "sep=;\n"])
def test_spreadsheets_tables_are_read(tmp_path, encoding, first):
    pictures(tmp_path, "Images/a.jpg", "Images/b.jpg")
    table = f"{first}image;caption\na.jpg;a cat\nb.jpg;a dog; running\n"
    (tmp_path / "captions.csv").write_bytes(table.encode(encoding))
    assert [e.captions for e in load_dataset(tmp_path).examples] == [("a cat",), ("a dog; running",)]


@pytest.mark.parametrize(
    ("said", "truth"),
    [
        (NFD, NFC),
        (NFC, NFD),
        (f"Images\\{NFD}", NFC),
        (f"C:\\x\\{NFC}", NFD),
    ],
)
def test_captions_to_score_may_name_pictures_otherwise(tmp_path, said, truth):
    predictions = write(tmp_path / "p.csv", f"image,caption\n{said},a gull\nb.jpg,a dog\n")
    references = write(tmp_path / "r.csv", f"image,caption\n{truth},a white gull\nb.jpg,a dog runs\n")
    assert list(read_scorable(predictions, [references]).predictions.values()) == ["a gull", "a dog"]


@pytest.mark.parametrize(
    ("name", "normal", "base"),
    [
        ("a//./b.jpg", "a/b.jpg", "b.jpg"),
        ("a\\b.jpg", "a/b.jpg", "b.jpg"),
        (NFD, NFC, NFC),
        ("C:\\a\\b/c.jpg", "C:/a/b/c.jpg", "c.jpg"),
        ("x/y\\z.jpg", "x/y\\z.jpg", "z.jpg"),
        ("https://x.org//a.jpg", "https://x.org//a.jpg", "a.jpg"),
    ],
)
def test_names_have_one_form(name, normal, base):
    assert normal_name(name) == normal and base_name(name) == base


def test_a_file_is_named_once_in_a_message(tmp_path):
    write(tmp_path / "captions.csv", "one,two\n1,2\n")
    with pytest.raises(UserError) as caught:
        load_dataset(tmp_path)
    assert str(caught.value).count("captions.csv begins") == 1
