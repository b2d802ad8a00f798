"""Promises of captioner.data.examples: pictures are found, every fault is counted or named, splits never leak."""

import json
import shutil
from pathlib import Path

import pytest

from captioner.data.examples import Dataset, load_dataset
from tests.helpers.captioned_folders import captions, coco, pictures, refuses, splits, table, write
from tests.helpers.paths import SHARED
from textgen.errors import UserError

FLICKR = SHARED / "flickr8k"


# --- where pictures are


def test_absolute_and_outside_names_in_ones_own_table_are_followed(tmp_path):
    pictures(tmp_path / "elsewhere", "a.jpg")
    pictures(tmp_path / "data", "b.jpg")
    here, there = tmp_path / "data" / "b.jpg", tmp_path / "elsewhere" / "a.jpg"
    table(tmp_path / "data", "../elsewhere/a.jpg,A", f"{here},B", name="m.csv")
    dataset = load_dataset(tmp_path / "data")
    assert captions(dataset) == {"../elsewhere/a.jpg": ("A",), "b.jpg": ("B",)}
    assert {e.path for e in dataset.examples} == {here, there}


def test_a_relative_folder_reads_like_an_absolute_one(tmp_path, monkeypatch):
    pictures(tmp_path, "a.jpg", "bare.jpg")
    table(tmp_path, "a.jpg,A")
    monkeypatch.chdir(tmp_path)
    for path in (".", "captions.txt"):
        assert load_dataset(path).hash == load_dataset(tmp_path).hash
        assert load_dataset(path).notes == load_dataset(tmp_path).notes


# --- row 14: faults counted or named


def test_bare_pictures_empty_and_long_captions_are_counted(tmp_path):
    pictures(tmp_path / "Images", "a.jpg", "b.jpg", "empty.jpg", "bare.PNG", "notes.md")
    table(
        tmp_path,
        "a.jpg,A",
        "a.jpg,",
        'a.jpg,"  "',
        "b.jpg," + "word " * 101,
        "b.jpg," + "word " * 100,
        "empty.jpg,",
    )
    dataset = load_dataset(tmp_path)
    assert captions(dataset)["a.jpg"] == ("A",)
    assert len(captions(dataset)["b.jpg"]) == 2
    assert set(captions(dataset)) == {"a.jpg", "b.jpg"}
    notes = "\n".join(dataset.notes)
    assert "2 pictures without caption left out (first: 'empty.jpg')" in notes
    assert "3 empty captions dropped" in notes
    assert "1 captions of more than 100 words" in notes


def test_a_coco_picture_without_annotation_counts_as_without_caption(tmp_path):
    pictures(tmp_path, "x.jpg", "y.jpg")
    coco(tmp_path, "captions_train2017.json", (1, "x.jpg", "A"), (2, "y.jpg", ""))
    assert "1 pictures without caption left out (first: '2')" in load_dataset(tmp_path).notes


def test_one_missing_picture_in_a_hundred_is_counted_and_two_are_refused(tmp_path):
    names = [f"{i:03}.jpg" for i in range(100)]
    pictures(tmp_path / "Images", *names[1:])
    table(tmp_path, *(f"{n},A dog" for n in names), "000.jpg,Once more")
    dataset = load_dataset(tmp_path)
    assert len(dataset.examples) == 99
    assert "2 captions of 1 missing pictures dropped (first: '000.jpg')" in dataset.notes
    (tmp_path / "Images" / "001.jpg").unlink()
    refuses(
        tmp_path,
        "2 of 100 pictures are missing",
        "'000.jpg'",
        "; put them beside the captions or into Images",
    )


def test_missing_pictures_that_split_files_leave_out_do_not_count_as_missing(tmp_path):
    pictures(tmp_path / "Images", "a.jpg")
    table(tmp_path, "a.jpg,A", "gone.jpg,B", "gone2.jpg,C")
    write(tmp_path / "Flickr_8k.trainImages.txt", "a.jpg\nneverseen.jpg\n")
    dataset = load_dataset(tmp_path)
    assert set(captions(dataset)) == {"a.jpg"}
    assert any(note.startswith("2 captioned pictures are in no split file") for note in dataset.notes)
    assert "1 pictures without caption left out (first: 'neverseen.jpg')" in dataset.notes


def test_an_annotation_of_no_listed_picture_counts_as_missing(tmp_path):
    pictures(tmp_path, "x.jpg")
    data = {"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": [{"image_id": 9, "caption": "A"}]}
    data["annotations"].append({"image_id": 1, "caption": "B"})
    write(tmp_path / "captions_train2017.json", json.dumps(data))
    refuses(tmp_path, "1 of 2 pictures are missing", "image_id 9")


@pytest.mark.parametrize("rows", [(), ("a.jpg,",), ("", "  ")])
def test_no_usable_picture_is_refused(tmp_path, rows):
    pictures(tmp_path, "a.jpg")
    table(tmp_path, *rows)
    refuses(tmp_path, "no captioned picture")


def test_a_picture_in_two_splits_is_refused_with_both(tmp_path):
    pictures(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "a.jpg,A,train", "b.jpg,A,dev", "./a.jpg,B,val", header="image,caption,split")
    refuses(tmp_path, "line 4", "'a.jpg' is in two splits", "train", "line 2", "dev")


def test_one_file_under_two_names_in_two_splits_is_refused(tmp_path):
    pictures(tmp_path / "Images", "a.jpg")
    table(tmp_path, "a.jpg,A,train", "Images/a.jpg,B,test", header="image,caption,split")
    refuses(tmp_path, "two splits", "train (as 'a.jpg')", "test (as 'Images/a.jpg')")
    (tmp_path / "captions.txt").unlink()
    coco(tmp_path, "captions_train2017.json", (1, "a.jpg", "A"))
    coco(tmp_path, "captions_val2017.json", (2, "a.jpg", "B"))
    (tmp_path / "a.jpg").touch()
    refuses(tmp_path, "two splits", "train (as '1')", "dev (as '2')")


def test_split_files_that_overlap_are_refused(tmp_path):
    pictures(tmp_path, "a.jpg")
    table(tmp_path, "a.jpg,A")
    write(tmp_path / "Flickr_8k.trainImages.txt", "a.jpg\n")
    write(tmp_path / "Flickr_8k.testImages.txt", "a.jpg\n")
    refuses(tmp_path, "'a.jpg' is in two splits", "test and train")


def test_a_split_given_for_some_pictures_only_or_unknown_is_refused(tmp_path):
    pictures(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "a.jpg,A,train", "b.jpg,B,", header="image,caption,split")
    refuses(tmp_path, "line 3", "'b.jpg' has no split")
    table(tmp_path, "a.jpg,A,trian", header="image,caption,split")
    refuses(tmp_path, "line 2", "'trian' is unknown")


# --- splits and hash


def test_the_hashed_split_is_by_picture_whatever_the_order_and_stays_when_pictures_are_added(tmp_path):
    names = [f"{i}.jpg" for i in range(300)]
    pictures(tmp_path, *names)
    table(tmp_path, *(f"{n},A" for n in names[:200]))
    first = load_dataset(tmp_path)
    table(tmp_path, *(f"{n},A" for n in reversed(names[:200])))
    assert load_dataset(tmp_path) == Dataset(
        first.format, first.examples, load_dataset(tmp_path).notes, first.hash
    )
    table(tmp_path, *(f"{n},A" for n in names))
    assert splits(first).items() <= splits(load_dataset(tmp_path)).items()
    assert 0.7 < len(first.split("train")) / 200 < 0.9
    assert len(first.split("dev")) > 10 < len(first.split("test"))
    assert any(note.startswith("split: 80/10/10") for note in first.notes)


@pytest.mark.parametrize("count", range(2, 12))
def test_however_few_the_pictures_train_and_dev_are_filled(tmp_path, count):
    for seed in range(6):
        folder = tmp_path / str(seed)
        names = [f"{seed}_{i}.jpg" for i in range(count)]
        pictures(folder, *names)
        table(folder, *(f"{n},A" for n in names))
        dataset = load_dataset(folder)
        assert dataset.split("train") and dataset.split("dev")
        assert len(dataset.split("all")) == count


def test_a_single_picture_is_for_training(tmp_path):
    for name in "abcdefghij":
        pictures(tmp_path / name, f"{name}.jpg")
        table(tmp_path / name, f"{name}.jpg,A")
        assert len(load_dataset(tmp_path / name).split("train")) == 1


def test_split_takes_common_names_and_lists_the_known_ones_otherwise(tmp_path):
    pictures(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, "a.jpg,A,train", "b.jpg,B,dev", header="image,caption,split")
    dataset = load_dataset(tmp_path)
    assert [e.id for name in ("dev", "val", "valid", "Validation") for e in dataset.split(name)] == [
        "b.jpg"
    ] * 4
    assert [e.id for e in dataset.split("all")] == ["a.jpg", "b.jpg"]
    with pytest.raises(UserError, match=r"'test' is empty; .*train \(1\), dev \(1\), test \(0\), all \(2\)"):
        dataset.split("test")
    with pytest.raises(UserError, match=r"'trian' is unknown; .*did you mean 'train'\?"):
        dataset.split("trian")


def test_the_hash_stays_when_the_folder_moves_and_changes_with_a_caption_or_a_split(tmp_path):
    old = tmp_path / "old"
    pictures(old, "a.jpg", "b.jpg")
    rows = (f"{old / 'a.jpg'},A dog,train", "b.jpg,B,dev")
    table(old, *rows, header="image,caption,split")
    before = load_dataset(old).hash
    new = tmp_path / "new"
    shutil.copytree(old, new)
    table(new, *(row.replace(str(old), str(new)) for row in rows), header="image,caption,split")
    (new / "a.jpg").write_bytes(b"other bytes")
    assert load_dataset(new).hash == before
    for other in (("a.jpg,A hog,train", "b.jpg,B,dev"), ("a.jpg,A dog,train", "b.jpg,B,test")):
        table(new, *other, header="image,caption,split")
        assert load_dataset(new).hash != before


@pytest.mark.skipif(not FLICKR.is_dir(), reason="the shared Flickr8k is not beside the repository")
def test_the_shared_flickr8k_has_6000_and_1000_pictures_of_five_captions(monkeypatch):
    asked = []
    monkeypatch.setattr(
        Path, "is_file", lambda path, *, _known=Path.is_file: asked.append(path) or _known(path)
    )
    dataset = load_dataset(FLICKR)
    assert len(asked) < 100  # not one a picture, which takes seconds on a network's disk
    assert (len(dataset.split("train")), len(dataset.split("dev"))) == (6000, 1000)
    assert {len(e.captions) for e in dataset.examples} == {5}
    assert dataset.notes == ("split: Flickr_8k.devImages.txt, Flickr_8k.trainImages.txt",)


def test_pictures_named_by_addresses_are_told_to_be_so(tmp_path):
    table(tmp_path, "https://example.org/a.jpg,a dog", "https://example.org/b.jpg,a cat")
    refuses(tmp_path, "2 of 2 pictures", "'https://example.org/a.jpg'", "an address, not a file; download")
    refuses("https://example.org/captions.csv", "https://example.org/captions.csv: an address, not a file")


def test_a_data_set_knows_all_files_that_it_is_made_of(tmp_path):
    pictures(tmp_path / "Images", "a.jpg", "b.jpg")
    table(tmp_path, "a.jpg,a dog", "b.jpg,a cat")
    for split, name in (("train", "a.jpg"), ("dev", "b.jpg")):
        write(tmp_path / f"Flickr_8k.{split}Images.txt", name + "\n")
    names = {path.relative_to(tmp_path).as_posix() for path in load_dataset(tmp_path).inputs}
    lists = {"Flickr_8k.trainImages.txt", "Flickr_8k.devImages.txt"}
    assert names == {"captions.txt", "Images/a.jpg", "Images/b.jpg"} | lists
