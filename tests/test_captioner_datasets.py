"""Promises of captioner.datasets: every form is read, every fault is counted or named, splits never leak."""

import json
import shutil
import time
from pathlib import Path

import pytest

from captioner.datasets import Dataset, load_dataset
from textgen.errors import UserError

FLICKR = Path(__file__).resolve().parent.parent.parent / "shared" / "flickr8k"


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def write(file: Path, text: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def table(folder: Path, *rows: str, header: str = "image,caption", name: str = "captions.txt") -> Path:
    return write(folder / name, "\n".join([header, *rows]) + "\n")


def captions(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    return {e.id: e.captions for e in dataset.examples}


def splits(dataset: Dataset) -> dict[str, str]:
    return {e.id: e.split for e in dataset.examples}


def refuses(path: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        load_dataset(path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def coco(folder: Path, name: str, *items: tuple[int, str, str]) -> Path:
    images = [{"id": i, "file_name": f} for i, f, _ in items]
    notes = [{"image_id": i, "caption": c} for i, _, c in items if c]
    return write(folder / name, json.dumps({"info": {}, "images": images, "annotations": notes}))


# --- every form


@pytest.mark.parametrize(
    "folder", ["Images", "images", "Flicker8k_Dataset", "Flickr8k_Dataset/Flickr8k_Dataset", "."]
)
def test_flickr_csv_is_read_with_its_split_files_wherever_the_pictures_lie(tmp_path, folder):
    pictures(tmp_path / folder, "a.jpg", "b.jpg")
    table(tmp_path, "a.jpg,A dog .", 'a.jpg,"A dog , running"', "b.jpg,A cat")
    write(tmp_path / "Flickr_8k.trainImages.txt", "a.jpg\r\n")
    write(tmp_path / "Flickr_8k.devImages.txt", "b.jpg")
    dataset = load_dataset(tmp_path)
    assert dataset.format == "csv"
    assert captions(dataset) == {"a.jpg": ("A dog .", "A dog , running"), "b.jpg": ("A cat",)}
    assert splits(dataset) == {"a.jpg": "train", "b.jpg": "dev"}
    assert all(e.path.is_file() for e in dataset.examples)
    assert dataset.notes == ("split: Flickr_8k.devImages.txt, Flickr_8k.trainImages.txt",)


@pytest.mark.parametrize(
    "line, caption",
    [
        ("a.jpg,one , two, three", "one , two, three"),
        ('a.jpg,"one , two, three"', "one , two, three"),
        ('"a.jpg","say ""hi"", twice"', 'say "hi", twice'),
        ('"a.jpg",one, two', "one, two"),
        ('a.jpg,"Stop" says a sign , in red', '"Stop" says a sign , in red'),
        ('a.jpg,a 6" pipe', 'a 6" pipe'),
        ('a.jpg,"two\nlines"', "two lines"),
        ("a.jpg,  much   space ", "much space"),
        ("a.jpg,café\u2028東京", "café 東京"),
    ],
)
def test_csv_captions_with_commas_and_quotes_come_out_as_meant(tmp_path, line, caption):
    pictures(tmp_path, "a.jpg", "b.jpg")
    table(tmp_path, line, "b.jpg,next")
    assert captions(load_dataset(tmp_path)) == {"a.jpg": (caption,), "b.jpg": ("next",)}


def test_flickr30k_results_with_bars_are_read_even_where_a_bar_is_lacking(tmp_path):
    pictures(tmp_path / "flickr30k_images", "a.jpg")
    rows = ['a.jpg| 0| "Two , men', "a.jpg| 4   A dog ."]
    table(tmp_path, *rows, header="image_name| comment_number| comment", name="results.csv")
    assert captions(load_dataset(tmp_path)) == {"a.jpg": ('"Two , men', "A dog .")}


@pytest.mark.parametrize("folder", ["", "Flickr8k_text"])
def test_the_original_token_file_is_read_and_its_bogus_name_is_left_out_with_a_note(tmp_path, folder):
    pictures(tmp_path / "Flicker8k_Dataset", "a.jpg", "b.jpg")
    text = "a.jpg#0\tA dog , running\na.jpg#1\tA dog\nb.jpg#0\tA cat\n2258277193_586949ec62.jpg.1#0\tNobody\n"
    write(tmp_path / folder / "Flickr8k.token.txt", text)
    write(tmp_path / folder / "Flickr_8k.trainImages.txt", "a.jpg\n")
    write(tmp_path / folder / "Flickr_8k.testImages.txt", "b.jpg\n")
    dataset = load_dataset(tmp_path)
    assert dataset.format == "token"
    assert captions(dataset) == {"a.jpg": ("A dog , running", "A dog"), "b.jpg": ("A cat",)}
    assert splits(dataset) == {"a.jpg": "train", "b.jpg": "test"}
    assert any("1 captioned pictures are in no split file" in n and "586949ec62" in n for n in dataset.notes)


def test_captions_txt_beside_the_token_file_is_read_alone_and_the_note_says_so(tmp_path):
    pictures(tmp_path, "a.jpg")
    table(tmp_path, "a.jpg,From the table")
    write(tmp_path / "Flickr8k.token.txt", "a.jpg#0\tFrom the tokens\n")
    dataset = load_dataset(tmp_path)
    assert captions(dataset) == {"a.jpg": ("From the table",)}
    assert any("Flickr8k.token.txt not read" in note for note in dataset.notes)
    assert captions(load_dataset(tmp_path / "Flickr8k.token.txt")) == {"a.jpg": ("From the tokens",)}


@pytest.mark.parametrize("folder", ["", "annotations"])
def test_coco_files_give_the_split_by_their_names(tmp_path, folder):
    pictures(tmp_path / "train2017", "x.jpg", "y.jpg")
    pictures(tmp_path / "val2017", "z.jpg")
    coco(tmp_path / folder, "captions_train2017.json", (1, "x.jpg", "A dog"), (2, "y.jpg", "A cat"))
    coco(tmp_path / folder, "captions_val2017.json", (3, "z.jpg", "A bus"))
    dataset = load_dataset(tmp_path)
    assert dataset.format == "coco"
    assert splits(dataset) == {"1": "train", "2": "train", "3": "dev"}
    assert captions(dataset)["3"] == ("A bus",)
    assert dataset.examples[2].path == tmp_path / "val2017" / "z.jpg"
    only = load_dataset(tmp_path / folder / "captions_val2017.json")
    assert captions(only) == {"3": ("A bus",)}
    assert not any("without caption" in note for note in only.notes)  # train2017 is out of the question


def test_karpathys_splits_are_read_and_restval_is_train(tmp_path):
    pictures(tmp_path / "val2014", "r.jpg", "v.jpg", "t.jpg")
    images = [
        {
            "filename": f"{s[0]}.jpg",
            "filepath": "val2014",
            "split": s,
            "sentences": [{"raw": "A"}, {"raw": "B"}],
        }
        for s in ("restval", "val", "test")
    ]
    write(tmp_path / "dataset_coco.json", json.dumps({"images": images, "dataset": "coco"}))
    dataset = load_dataset(tmp_path)
    assert dataset.format == "karpathy"
    assert splits(dataset) == {"r.jpg": "train", "v.jpg": "dev", "t.jpg": "test"}
    assert captions(dataset)["r.jpg"] == ("A", "B")


@pytest.mark.parametrize(
    "header", ["image,caption,split", "filename,text,split", "file;caption;split", "path\ttext\tsplit"]
)
def test_ones_own_table_is_read_under_common_column_names(tmp_path, header):
    pictures(tmp_path / "images", "a.png", "b.png")
    mark = next(c for c in ",;\t" if c in header)
    rows = [mark.join(cells) for cells in (("a.png", "A dog", "Train"), ("b.png", "A cat", "validation"))]
    write(tmp_path / "mine.csv", ("\ufeff" + "\r\n".join([header, *rows])).encode())
    dataset = load_dataset(tmp_path)
    assert splits(dataset) == {"a.png": "train", "b.png": "dev"}
    assert captions(dataset) == {"a.png": ("A dog",), "b.png": ("A cat",)}


def test_jsonl_is_read_with_one_caption_or_a_list(tmp_path):
    pictures(tmp_path, "a.jpg", "b.jpg")
    write(
        tmp_path / "mine.jsonl",
        '{"image": "a.jpg", "captions": ["A", "B"], "split": "train"}\r\n\n'
        '{"file_name": "b.jpg", "text": "C", "split": "val"}\n',
    )
    dataset = load_dataset(tmp_path)
    assert dataset.format == "jsonl"
    assert captions(dataset) == {"a.jpg": ("A", "B"), "b.jpg": ("C",)}
    assert splits(dataset) == {"a.jpg": "train", "b.jpg": "dev"}


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


# --- recognising


def test_a_folder_of_no_known_form_is_refused_with_the_forms_and_what_was_seen(tmp_path):
    refuses(tmp_path, str(tmp_path), "captions.txt", "Flickr8k.token.txt", "dataset_*.json", "*.jsonl")
    table(tmp_path, "a.jpg,A", header="foo,bar")
    refuses(tmp_path, "captions.txt begins 'foo,bar")
    refuses(tmp_path / "captions.txt", "foo,bar")
    refuses(tmp_path / "nowhere", "no such folder")


def test_two_files_that_fit_equally_are_refused_until_one_is_given(tmp_path):
    pictures(tmp_path, "a.jpg")
    table(tmp_path, "a.jpg,One", name="one.csv")
    table(tmp_path, "a.jpg,Two", name="two.csv")
    refuses(tmp_path, "one.csv, two.csv", "give the one to read")
    assert captions(load_dataset(tmp_path / "two.csv")) == {"a.jpg": ("Two",)}
    coco(tmp_path, "captions_val2017.json", (1, "a.jpg", "A"))
    table(tmp_path, "a.jpg,Three")
    refuses(tmp_path, "captions_val2017.json", "captions.txt")


def test_a_stray_table_beside_captions_txt_is_no_second_dataset(tmp_path):
    pictures(tmp_path, "a.jpg")
    table(tmp_path, "a.jpg,Right")
    table(tmp_path, "a.jpg,Wrong", name="predictions.csv")
    assert captions(load_dataset(tmp_path)) == {"a.jpg": ("Right",)}


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
    refuses(tmp_path, "2 of 100 pictures are missing", "'000.jpg'", "Images")


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


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("captions.txt", "image,caption\na.jpg,A\nb.jpg\n", ["line 3", "malformed"]),
        ("captions.txt", 'image,caption\na.jpg,"A dog\nb.jpg,A\n', ["line 2", "malformed"]),
        ("captions.txt", "image,caption\n,A dog\n", ["line 2", "no picture is named"]),
        ("m.csv", "caption,image\nA dog, running,a.jpg\n", ["line 2", "malformed"]),
        ("captions.txt", b"image,caption\r\na.jpg,A\r\nb.jpg,caf\xe9\r\n", ["line 3", "byte 33", "UTF-8"]),
        ("Flickr8k.token.txt", "a.jpg#0\tA\na.jpg 1 B\n", ["line 2", "malformed"]),
        ("m.jsonl", '{"image": "a.jpg", "caption": "A"}\n{"image": \n', ["line 2", "not JSON"]),
        ("m.jsonl", '{"image": "a.jpg", "caption": 7}\n', ["line 1", "'caption'", "int"]),
        ("m.jsonl", '{"image": "a.jpg"}\n', ["line 1", "'caption'"]),
        ("m.jsonl", '{"image": "a.jpg", "captions": ["A", null]}\n', ["line 1", "'captions'"]),
        ("m.jsonl", '{"image": "a.jpg", "caption": "A"}\n7\n', ["line 2", "'image'"]),
        ("m.jsonl", '{"image": "a.jpg", "caption": "\\ud800"}\n', ["line 1", "surrogate"]),
        ("captions_val2017.json", '{"images": [{"id": 1}], "annotations": []}', ["images[0]", "'file_name'"]),
        ("captions_val2017.json", '{"annotations": []}', ["'images'", "list"]),
        ("captions_val2017.json", '{"annotations": [', ["line 1", "not JSON", "cut short"]),
        ("captions_val2017.json", '{"annotations": ' + "[" * 100_000, ["JSON"]),
        ("dataset.json", '{"images": [{"filename": "a.jpg", "sentences": []}]}', ["images[0]", "'split'"]),
    ],
)
def test_a_malformed_place_is_named_by_file_and_line(tmp_path, name, text, words):
    pictures(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path / name, text)
    refuses(tmp_path, name, *words)


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
def test_the_shared_flickr8k_has_6000_and_1000_pictures_of_five_captions():
    start = time.perf_counter()
    dataset = load_dataset(FLICKR)
    assert (
        time.perf_counter() - start < 3
    )  # 0.4 s on an idle core; the limit guards against a stat per picture
    assert (len(dataset.split("train")), len(dataset.split("dev"))) == (6000, 1000)
    assert {len(e.captions) for e in dataset.examples} == {5}
    assert dataset.notes == ("split: Flickr_8k.devImages.txt, Flickr_8k.trainImages.txt",)
