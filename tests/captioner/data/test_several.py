"""Several data sets are one: names kept apart, splits kept, and no picture learnt in one that another is judged by."""

import shutil

import pytest

from captioner.data.examples import load_dataset
from captioner.data.several import load_datasets
from captioner.pictures.load import load_image
from tests.helpers.paths import PHOTOS
from textgen.errors import UserError


def folder(path, **pictures):
    """A CSV data set: name -> photo and split."""
    path.mkdir(parents=True)
    lines = ["image,caption,split"]
    for name, (photo, split) in pictures.items():
        load_image(photo).resize((160, 120)).save(path / f"{name}.png")
        lines += [f"{name}.png,a photo of {name},{split}"]
    (path / "captions.csv").write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def two(tmp_path):
    """Two sets; a photo of the second's train is the dev photo of the first under another name."""
    first = folder(tmp_path / "first", a=(PHOTOS[0], "train"), b=(PHOTOS[1], "dev"))
    second = folder(tmp_path / "second", a=(PHOTOS[2], "train"), c=(PHOTOS[1], "train"), d=(PHOTOS[3], "dev"))
    return first, second


def test_one_set_alone_is_as_it_is(two):
    assert load_datasets(two[:1]) == load_dataset(two[0])


def test_names_and_splits_are_kept_apart(two):
    dataset = load_datasets(two)
    assert dataset.sources == ["first", "second"]
    found = {example.id: (example.split, example.source) for example in dataset.examples}
    assert found["first/a.png"] == ("train", "first") and found["second/a.png"] == ("train", "second")
    assert [example.id for example in dataset.split("dev")] == ["first/b.png", "second/d.png"]


def test_a_picture_that_another_set_is_judged_by_is_left_out_of_train_and_told(two):
    dataset = load_datasets(two)
    assert "second/c.png" not in {example.id for example in dataset.examples}
    (told,) = [note for note in dataset.notes if "left out of train" in note]
    assert told.startswith("1 pictures") and "'second/c.png' is 'first/b.png'" in told


def test_copies_in_the_train_splits_of_both_stay(tmp_path):
    sets = [
        folder(tmp_path / name, x=(PHOTOS[0], "train"), y=(PHOTOS[at], "dev"))
        for at, name in ((1, "p"), (2, "q"))
    ]
    assert len(load_datasets(sets).examples) == 4


def test_sets_of_one_name_are_told_apart(tmp_path, two):
    moved = tmp_path / "other" / "first"
    shutil.copytree(two[1], moved)
    assert len(load_datasets([two[0], moved]).sources) == 2


def test_the_hash_is_that_of_all(two):
    hashes = {load_datasets(sets).hash for sets in (two, two[:1], two[1:], two[::-1])}
    assert len(hashes) == 4


def test_what_is_wrong_is_one_line(two, tmp_path):
    for paths, said in (
        ([two[0], two[0]], "given twice"),
        ([], "no data given"),
        ([two[0], tmp_path / "none"], "none"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            load_datasets(paths)
        assert "\n" not in str(caught.value)
