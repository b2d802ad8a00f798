"""Promises of captioner.data.formats, by way of load_dataset: every form is read, every fault is named."""

import json

import pytest

from captioner.data.examples import load_dataset
from tests.helpers.captioned_folders import captions, coco, pictures, refuses, splits, table, write

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


# --- recognising


def test_a_folder_of_no_known_form_is_refused_with_the_forms_and_what_was_seen(tmp_path):
    refuses(tmp_path, str(tmp_path), "captions.csv", "Flickr8k.token.txt", "dataset.json", ".jsonl")
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


# --- faults


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
        (
            "m.jsonl",
            '{"image": "a.jpg", "caption": 7}\n',
            ["line 1", "'caption' is a whole number; write a text"],
        ),
        ("m.jsonl", '{"image": "a.jpg"}\n', ["line 1: 'caption' is missing; write a text or a list"]),
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
