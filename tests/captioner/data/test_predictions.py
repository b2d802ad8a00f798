"""Promises of captioner.data.predictions: captions of any origin are read, by content; every fault is named."""

import json

import pytest

from captioner.data.predictions import read_any, read_predictions, read_references
from captioner.data.sets import CaptionSet
from tests.helpers.captioned_folders import coco, refused, write

DOCUMENT = {
    "model": "0" * 64,
    "photos": [
        {"photo": "trip/a.jpg", "captions": [{"text": "A dog", "log_prob": -1.5}, {"text": "a hog"}]},
        {"photo": "trip/gone.jpg", "error": "gone.jpg: no such file"},
        {"photo": "C:\\trip\\b.jpg", "captions": [{"text": ""}]},
    ],
}
RESULTS = [{"image_id": "a.jpg", "caption": "A dog"}, {"image_id": "b.jpg", "caption": ""}]
KARPATHY = {
    "images": [
        {"filename": "a.jpg", "imgid": 0, "cocoid": 71, "split": "val", "sentences": [{"raw": "A dog"}]},
        {"filename": "b.jpg", "imgid": 1, "cocoid": 72, "split": "test", "sentences": [{"raw": "A"}]},
    ]
}


@pytest.mark.parametrize(
    "name, text",
    [
        ("p.json", json.dumps(RESULTS)),
        ("p.json", json.dumps(RESULTS, indent=2)),
        ("p.txt", json.dumps(RESULTS)),
        ("p.json", json.dumps({"info": {}, "annotations": RESULTS})),
        ("p.json", json.dumps(DOCUMENT)),
        ("p.json", json.dumps({"a.jpg": "A dog", "b.jpg": ""})),
        ("p.json", json.dumps({"a.jpg": ["A dog"], "b.jpg": [""]}, indent=1)),
        ("p.jsonl", "\n".join(map(json.dumps, RESULTS)) + "\n\n"),
        ("p.json", "\n".join(map(json.dumps, RESULTS))),
        ("p", '{"id": "a.jpg", "text": "A dog"}\n{"file_name": "b.jpg", "prediction": ""}'),
        ("p.jsonl", '{"image": "a.jpg", "caption": "a reference", "prediction": "A dog"}\n'
                    '{"image": "b.jpg", "captions": ["one", "two"], "prediction": ""}'),
        ("p.csv", "image,caption\na.jpg,A dog\nb.jpg,"),
        ("p.csv", '\ufeff"image_id";"prediction"\r\n"a.jpg";"A dog"\r\n"b.jpg";""\r\n'),
        ("p.tsv", "text\tid\nA dog\ta.jpg\n\tb.jpg\n"),
        ("p.txt", "file,caption,prediction\na.jpg,a reference,A dog\nb.jpg,a reference,\n"),
        ("p.txt", "a.jpg#0\tA  dog \nb.jpg#0\t\n"),
    ],
)  # fmt: skip
def test_predictions_of_any_form_are_told_by_their_content(tmp_path, name, text):
    read = read_predictions(write(tmp_path / name, text))
    assert read.captions == {"a.jpg": "A dog", "b.jpg": ""}
    assert not read.plain
    assert read.notes == ((f"{tmp_path / name}: up to 2 captions a photo, of which the first is taken",)
                          if "photos" in text else ())  # fmt: skip


@pytest.mark.parametrize("text", ["[{}]", "{}", "{}\n"])
@pytest.mark.parametrize("indent", [None, 2])
def test_ids_are_strings_and_a_single_entry_is_no_mapping(tmp_path, text, indent):
    entry = json.dumps({"id": 1, "image_id": 7, "caption": "A"}, indent=indent)
    assert read_predictions(write(tmp_path / "p.json", text.replace("{}", entry))).captions == {"7": "A"}


@pytest.mark.parametrize(
    "text, captions",
    [
        ("A dog\nA cat\n", ["A dog", "A cat"]),
        ("\ufeffA dog\r\nA cat", ["A dog", "A cat"]),
        ("\n A  dog\u2028runs\x85 on \n\n", ["", "A dog runs on", ""]),
        ("[a dog] , he said\n{ he\n", ["[a dog] , he said", "{ he"]),
        ("a dog,running\nanother", ["a dog,running", "another"]),
    ],
)
def test_everything_else_is_a_caption_a_line(tmp_path, text, captions):
    read = read_predictions(write(tmp_path / "p.txt", text))
    assert read.plain
    assert read.captions == {str(n): caption for n, caption in enumerate(captions, 1)}


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("p.json", "", ["is empty", "give a file"]),
        ("p.json", "[]", ["holds no caption"]),
        ("p.json", "{}", ["holds no caption"]),
        ("p.csv", "image,caption\n", ["holds no caption"]),
        ("p.json", '[{"image_id": 1,\n "caption": }]', ["line 2, column 13", "not JSON"]),
        ("p.json", '[{"image_id": 1, "caption": "A"}]]', ["line 1, column 34", "not JSON"]),
        ("p.json", "[" * 100_000, ["not the JSON of captions"]),
        ("p.jsonl", '{"image_id": 1, "caption": "A"}\n{"image_id": \n', ["line 2", "not JSON"]),
        ("p.json", '[{"image_id": 1, "caption": "A"}, {"image_id": 2}]', ["entry 2: 'caption' is missing; write a text"]),
        ("p.json", '{"image_id": 1}\n{"image_id": 2, "caption": "A"}', ["line 1", "'caption'"]),
        ("p.json", '[{"caption": "A"}]', ["entry 1: 'image' is missing; write a whole number or a text"]),
        ("p.json", '[{"image_id": 1, "caption": 3}]', ["entry 1: 'caption' is a whole number; write a text"]),
        ("p.json", '[{"image_id": 1, "caption": null}]', ["entry 1: 'caption' is null; write a text"]),
        ("p.json", '[{"image_id": 1.5, "caption": "A"}]', ["entry 1: 'image_id' is a number; write a whole number or a text"]),
        ("p.json", '["A dog"]', ["entry 1", "'image'"]),
        ("p.json", '{"1": "A", "2": 7}', ["entry 2: '2' has no text; give it a caption"]),
        ("p.json", '{"1": "A", "2": ["A", {}]}', ["entry 2", "a list of captions"]),
        ("p.json", '{"1": "A", "2": "B", "1": "C"}', ["'1' has two captions, in entry 1 and entry 3; keep one (or are", "swapped?"]),
        ("p.json", '{"1": ["A", "B"]}', ["entry 1: several captions, or one in tokens; write one"]),
        ("p.json", '[{"image_id": 1, "caption": "A"}, {"image_id": "1", "caption": "A"}]', ["in entry 1 and entry 2"]),
        ("p.json", '{"photos": [{"captions": []}]}', ["entry 1", "'photo'"]),
        ("p.json", '{"photos": [{"photo": "a.jpg", "captions": [{}]}]}', ["entry 1", "'text'"]),
        ("p.jsonl", '{"id": 1, "text": "A"}\n\n{"id": 1, "text": "B"}', ["in line 1 and line 3"]),
        ("p.json", '{"1": "\\ud800"}', ["entry 1", "surrogate"]),
        ("p.json", '{"\\udfff": "A"}', ["entry 1", "surrogate"]),
        ("p.csv", "image,caption\na.jpg,A\n,B\n", ["line 3", "no picture is named"]),
        ("p.csv", "caption,image\nA , B,a.jpg\n", ["line 2", "malformed", "2 columns"]),
        ("p.csv", "a.jpg,A dog\n", ["no captions recognised", "'a.jpg,A dog", "image_id", "caption"]),
        ("p.json", "A dog\n", ["no captions recognised", "'A dog"]),
        ("p.csv", b"image,caption\na.jpg,caf\xe9\n", ["line 2", "UTF-8"]),
        ("p.txt", b"A dog\nA caf\xe9\n", ["line 2", "UTF-8"]),
        ("p.txt", "A dog\nA café\n".encode("utf-16-le"), ["line 1", "NUL", "UTF-8"]),
        ("p.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0", ["not a text file"]),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_file_and_place(tmp_path, name, text, words):
    file = write(tmp_path / name, text)
    refused(lambda: read_predictions(file), str(file), *words)


def test_a_missing_file_and_a_folder_of_predictions_are_refused(tmp_path):
    refused(lambda: read_predictions(tmp_path / "p.json"), "p.json: cannot be read")
    refused(lambda: read_predictions(tmp_path), str(tmp_path), "cannot be read")
    refused(lambda: read_any(tmp_path / "r.json"), "r.json: cannot be read")


# --- references


@pytest.mark.parametrize(
    "name, text",
    [
        ("r.json", json.dumps({"a.jpg": ["A dog", "A hog"], "b.jpg": ["A cat"]})),
        ("r.json", json.dumps([{"image_id": i, "caption": c} for i, c in
                               (("a.jpg", "A dog"), ("b.jpg", "A cat"), ("a.jpg", "A hog"))])),
        ("r.json", json.dumps({"annotations": [{"image_id": i, "id": n, "caption": c} for n, (i, c) in
                               enumerate((("a.jpg", "A dog"), ("a.jpg", "A hog"), ("b.jpg", "A cat")))]})),
        ("r.jsonl", '{"image": "a.jpg", "captions": ["A dog", "A hog"]}\n{"id": "b.jpg", "reference": "A cat"}'),
        ("r.jsonl", '{"id": "a.jpg", "references": ["A dog", "A hog"], "prediction": "x"}\n{"id": "b.jpg", "text": "A cat"}'),
        ("r.csv", "image_id,caption\na.jpg,A dog\na.jpg,A hog\nb.jpg,A cat\n"),
        ("captions.txt", "\ufeffimage,caption\r\na.jpg,A dog\r\na.jpg,A hog\r\nb.jpg,A cat"),
        ("Flickr8k.token.txt", "a.jpg#0\tA dog\na.jpg#1\tA hog\nb.jpg#0\tA cat\n"),
    ],
)  # fmt: skip
def test_references_of_any_form_are_read_by_picture(tmp_path, name, text):
    found = read_references([write(tmp_path / name, text)])
    assert isinstance(found, CaptionSet)
    assert {key: p.captions for key, p in found.pictures.items()} == {
        "a.jpg": ["A dog", "A hog"],
        "b.jpg": ["A cat"],
    }


def test_coco_and_karpathy_give_every_name_of_a_picture(tmp_path):
    found = read_references([coco(tmp_path, "instances.json", (7, "x/a.jpg", "A dog"))])
    assert [(p.id, p.name, p.captions) for p in found.pictures.values()] == [("7", "x/a.jpg", ["A dog"])]
    found = read_references([write(tmp_path / "k.json", json.dumps(KARPATHY, indent=1))])
    assert found.pictures["a.jpg"].also == {"imgid": "0", "cocoid": "71"}
    assert {p.split for p in found.split_up()} == {"dev", "test"}


def test_annotations_alone_have_the_split_that_the_file_name_tells(tmp_path):
    file = write(
        tmp_path / "captions_val2014.json", json.dumps({"annotations": [{"image_id": 1, "caption": "A"}]})
    )
    assert read_references([file]).pictures["1"].split == "dev"


def test_parallel_files_become_references_by_line(tmp_path):
    one = write(tmp_path / "r.0", "A dog\r\nA  cat\r\n\r\n")
    two = write(tmp_path / "r.1", "A hog\nA tabby")
    assert read_references([one]) == {"1": ("A dog",), "2": ("A cat",)}
    assert read_references([one, two]) == {"1": ("A dog", "A hog"), "2": ("A cat", "A tabby")}


@pytest.mark.parametrize(
    "files, words",
    [
        ({}, ["no references given"]),
        ({"r.txt": ""}, ["r.txt: is empty"]),
        ({"r.txt": "\n"}, ["r.txt: holds no reference"]),
        ({"r.json": "{}"}, ["r.json: holds no reference"]),
        ({"r.0": "A\nB\n", "r.1": "A\n\nC\n"}, ["r.1, line 2", "empty reference"]),
        ({"r.0": "A\nB\n", "r.1": "A\nB\nC\n"}, ["r.1: 3 lines", "r.0 has 2"]),
        ({"r.0": "A\nB\n", "r.json": '{"1": "A"}'}, ["r.json: captions by picture, one of 2 reference files"]),
        ({"r.csv": "image,caption\na,A\n", "s.csv": "image,caption\nb,A\n"}, ["r.csv: captions by picture", "one file"]),
    ],
)  # fmt: skip
def test_references_at_fault_are_named(tmp_path, files, words):
    paths = [write(tmp_path / name, text) for name, text in files.items()]
    refused(lambda: read_references(paths), *words)
