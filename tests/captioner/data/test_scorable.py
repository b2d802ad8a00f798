"""Promises of captioner.data.scorable: each caption meets its own picture's references, or a line says why not."""

import json

import pytest

from captioner.data.examples import load_dataset
from captioner.data.scorable import Scorable, read_captions, read_scorable
from tests.helpers.captioned_folders import coco, pictures, refused, table, write
from tests.helpers.paths import SHARED

FLICKR = SHARED / "flickr8k"
SPLIT_ROWS = [f"{i}.jpg,A {i},{s}" for i, s in enumerate(("train", "train", "train", "dev", "dev", "test"))]


def predicted(folder, captions, name="p.json"):
    """A results file; a list of ids stands for captions "P <id>"."""
    captions = captions if isinstance(captions, dict) else {i: f"P {i}" for i in captions}
    rows = [{"image_id": i, "caption": c} for i, c in captions.items()]
    return write(folder / name, json.dumps(rows))


def unscorable(predictions, references, *words, **options):
    refused(lambda: read_scorable(predictions, references, **options), *words)


@pytest.fixture
def data(tmp_path):
    """0 to 2 train, 3 and 4 dev, 5 test."""
    return table(tmp_path / "data", *SPLIT_ROWS, header="image,caption,split")


# --- what is scored


def test_predictions_come_with_their_references_in_the_references_order(tmp_path):
    table(tmp_path, "b.jpg,B  one", "a.jpg,A one", "b.jpg,B two")
    pictures(tmp_path / "Images", "a.jpg")
    predictions = predicted(tmp_path, {"a.jpg": " A  dog", "b.jpg": ""})
    other = predicted(tmp_path, {"b": "other b", "a": "other a"}, "q.json")
    got = read_scorable(predictions, [tmp_path / "captions.txt"], other=other)
    assert got == Scorable(
        {"b.jpg": "", "a.jpg": "A dog"},
        {"b.jpg": ("B one", "B two"), "a.jpg": ("A one",)},
        {"a.jpg": tmp_path / "Images" / "a.jpg"},
        (f"{other}: ids are file names without extension, as 'b' for 'b.jpg'",),
        {"b.jpg": "other b", "a.jpg": "other a"},
    )
    assert list(got.predictions) == list(got.references) == list(got.other) == ["b.jpg", "a.jpg"]
    assert (
        read_scorable(predictions, [tmp_path]).references == got.references
    )  # a folder as load_dataset takes


@pytest.mark.parametrize(
    "split, ids", [(None, "012345"), ("all", "012345"), ("dev", "34"), ("Val", "34"), ("test", "5")]
)
def test_a_split_is_scored_alone(tmp_path, data, split, ids):
    got = read_scorable(predicted(tmp_path, [f"{i}.jpg" for i in ids]), [data], split=split)
    assert got.references == {f"{i}.jpg": (f"A {i}",) for i in ids}
    assert got.predictions == {f"{i}.jpg": f"P {i}.jpg" for i in ids}
    assert got.other is None
    assert got.files == {}
    assert got.notes == (("split: as given in captions.txt",) if split else ())


def test_a_list_of_pictures_narrows_what_is_scored_and_counts_what_the_split_leaves_out(tmp_path, data):
    listed = write(tmp_path / "list.txt", "images/3.jpg\r\n\r\nimages/0.jpg\n")
    got = read_scorable(predicted(tmp_path, ["0.jpg", "3.jpg"]), [data], pictures=listed)
    assert list(got.predictions) == list(got.references) == ["0.jpg", "3.jpg"]
    got = read_scorable(predicted(tmp_path, ["3.jpg"]), [data], pictures=listed, split="dev")
    assert list(got.references) == ["3.jpg"]
    assert f"{listed}: 1 of 2 pictures are not in split dev, left out" in got.notes


def test_pictures_in_no_split_file_are_scored_only_without_a_split(tmp_path):
    table(tmp_path, "a.jpg,A", "b.jpg,B", "c.jpg,C")
    write(tmp_path / "Flickr_8k.devImages.txt", "a.jpg\nbare.jpg\n")
    write(tmp_path / "Flickr_8k.trainImages.txt", "b.jpg\n")
    assert list(read_scorable(predicted(tmp_path, "abc"), [tmp_path]).references) == [
        "a.jpg",
        "b.jpg",
        "c.jpg",
    ]
    got = read_scorable(predicted(tmp_path, ["a.jpg"]), [tmp_path], split="dev")
    assert got.references == {"a.jpg": ("A",)}
    assert "1 captioned pictures are in no split file, left out (first: 'c.jpg')" in got.notes
    assert "1 pictures of the split files have no captions, left out (first: 'bare.jpg')" in got.notes
    unscorable(predicted(tmp_path, "ab"), [tmp_path], "1 of 3", "'c.jpg'", "add --split all")
    bare = predicted(tmp_path, ["a.jpg", "bare.jpg"])
    unscorable(bare, [tmp_path], "1 of 2 ids are not in", "'bare.jpg'", split="dev")


def test_data_without_splits_is_split_as_in_training(tmp_path):
    names = [f"{i}.jpg" for i in range(60)]
    pictures(tmp_path, *names)
    table(tmp_path, *(f"{name},A" for name in names))
    dev = {e.id for e in load_dataset(tmp_path).split("dev")}
    got = read_scorable(predicted(tmp_path, sorted(dev)), [tmp_path], split="dev")
    assert set(got.references) == dev
    assert set(got.files) == dev


# --- ids


@pytest.mark.parametrize(
    "ids, scheme",
    [
        (("7", "12"), None),
        ((7, 12), None),
        (("val/COCO_val2014_000000000007.jpg", "val/COCO_val2014_000000000012.jpg"), "file names"),
        (("./val/COCO_val2014_000000000007.jpg", "val//COCO_val2014_000000000012.jpg"), "file names"),
        (("COCO_val2014_000000000007.jpg", "COCO_val2014_000000000012.jpg"), "file names without folder"),
        (("C:\\x\\COCO_val2014_000000000007.jpg", "COCO_val2014_000000000012.jpg"), "file names without folder"),
        (("COCO_val2014_000000000007", "/x/COCO_val2014_000000000012.png"), "file names without extension"),
        (("000000000007", "000000000012"), "numbers, as the references' own"),
        (("7.0", "12.jpg"), "numbers, as the references' own"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("turned", [False, True])
def test_coco_ids_are_matched_however_they_are_written(tmp_path, ids, scheme, turned):
    name = "val/COCO_val2014_0000000000{:02}.jpg"
    file = coco(tmp_path, "captions_val.json", (7, name.format(7), "Seven"), (12, name.format(12), "Twelve"))
    captions = dict(zip(ids, ("seven", "twelve"), strict=True))
    first = next(reversed(captions)) if turned else ids[0]
    path = predicted(tmp_path, dict(reversed(captions.items())) if turned else captions)
    got = read_scorable(path, [file])
    assert got.predictions == {"7": "seven", "12": "twelve"}
    assert got.references == {"7": ("Seven",), "12": ("Twelve",)}
    own = "12" if turned else "7"
    assert got.notes == ((f"{path}: ids are {scheme}, as {first!r} for {own!r}",) if scheme else ())


@pytest.mark.parametrize("of, ids", [("imgid", ("0", "1")), ("cocoid", (71, 72)), (None, ("a.jpg", "b.jpg"))])
def test_karpathys_pictures_go_by_file_name_imgid_or_cocoid(tmp_path, of, ids):
    images = [
        {"filename": f"{n}.jpg", "imgid": i, "cocoid": 71 + i, "split": "val", "sentences": [{"raw": n}]}
        for i, n in enumerate("ab")
    ]
    file = write(tmp_path / "dataset_coco.json", json.dumps({"images": images}))
    got = read_scorable(predicted(tmp_path, ids), [file], split="val")
    assert got.predictions == {"a.jpg": f"P {ids[0]}", "b.jpg": f"P {ids[1]}"}
    assert any(f"ids are {of}, as {str(ids[0])!r} for 'a.jpg'" in note for note in got.notes) == bool(of)


def test_numbers_in_file_names_are_the_last_resort(tmp_path):
    file = table(tmp_path, "COCO_val2014_000000000007.jpg,Seven", "000000000012.jpg,Twelve")
    assert read_scorable(predicted(tmp_path, (12, 7)), [file]).predictions == {
        "COCO_val2014_000000000007.jpg": "P 7",
        "000000000012.jpg": "P 12",
    }


def test_only_the_ending_of_a_picture_is_an_extension(tmp_path):
    file = table(tmp_path, "v1.a.jpg,A", "v1.b.JPG,B")
    got = read_scorable(predicted(tmp_path, ["v1.a", "v1.b"]), [file])
    assert got.predictions == {"v1.a.jpg": "P v1.a", "v1.b.JPG": "P v1.b"}


def test_names_without_folder_that_two_pictures_share_match_neither(tmp_path):
    rows = ("x/1.jpg,A,train", "y/1.jpg,B,dev")
    file = table(tmp_path, *rows, header="image,caption,split")
    one = predicted(tmp_path, ["1.jpg"])
    unscorable(one, [file], "1 of 1 ids are not in", "like 'x/1.jpg'")
    assert read_scorable(one, [file], split="dev").predictions == {"y/1.jpg": "P 1.jpg"}


def test_one_picture_under_two_spellings_has_two_captions(tmp_path, data):
    ids = ["0.jpg", "1.jpg", "./0.jpg"]
    words = ("'0.jpg' has two captions, in entry 1 ('0.jpg') and entry 3 ('./0.jpg'); keep one",)
    unscorable(predicted(tmp_path, ids), [data], *words)


# --- what does not fit


@pytest.mark.parametrize(
    "ids, filters, words",
    [
        ("01234", {}, ["no prediction for 1 of 6 pictures, the first is '5.jpg'; add them", "--pictures"]),
        ("34", {}, ["no prediction for 4 of 6", "'0.jpg'; they are the pictures of split dev: add --split dev"]),
        ("34", {"split": "test"}, ["2 of 2 captions are of pictures outside split test, the first is '3'",
                                   "they are the pictures of split dev: give --split dev"]),
        ("013", {"split": "dev"}, ["2 of 3 captions", "outside split dev, the first is '0'; leave out --split"]),
        ("3", {"split": "dev"}, ["no prediction for 1 of 2 pictures", "'4.jpg'; add them"]),
        ("01", {"pictures": "0.jpg\n"}, ["1 of 2 captions", "outside the list", "list.txt", "leave out --pictures"]),
        ("012345", {"split": "dev", "pictures": "4\n"}, ["outside split dev and the list", "--split or --pictures"]),
        ("12345x", {}, ["1 of 6 ids are not in", "captions.txt, the first is 'x'; add references"]),
        ("xy", {}, ["2 of 2 ids are not in", "'x'; write them as there, like '0.jpg'"]),
        ("0", {"split": "trian"}, ["split 'trian' is unknown; there are train (3), dev (2), test (1), all (6)", "'train'?"]),
        ("0", {"pictures": "0.jpg\nz.jpg\n"}, ["list.txt: 1 of 2 pictures are not in", "the first is 'z.jpg'"]),
        ("0", {"pictures": "\n"}, ["list.txt: names no picture;"]),
        ("0", {"pictures": "0\n", "split": "dev"}, ["list.txt: names no picture of split dev"]),
    ],
)  # fmt: skip
def test_captions_not_of_the_pictures_wanted_are_refused_with_a_remedy(tmp_path, data, ids, filters, words):
    file = predicted(tmp_path, list(ids), "q.json")
    if "pictures" in filters:
        filters = {**filters, "pictures": write(tmp_path / "list.txt", filters["pictures"])}
    unscorable(file, [data], *words, **filters)
    if not filters:
        good = predicted(tmp_path, list("012345"))
        unscorable(good, [data], str(file), *words, other=file)


def test_a_split_that_most_captions_are_of_is_named(tmp_path):
    rows = [f"{i}.jpg,A,{'dev' if i < 20 else 'train'}" for i in range(100)]
    file = table(tmp_path, *rows, header="image,caption,split")
    few, most, nearly_all = (predicted(tmp_path, range(n), f"{n}.json") for n in (12, 19, 99))
    unscorable(most, [file], "most are of split dev: add --split dev")
    unscorable(few, [file], "add them")
    unscorable(most, [file], "add them", split="dev")
    unscorable(nearly_all, [file], "add them")


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("r.csv", "image,caption\na,A\na,\n", ["r.csv, line 3: empty reference of picture 'a'"]),
        ("r.json", '{"a": ["A", " "]}', ["r.json, entry 1: empty reference"]),
        ("r.json", '{"b": ["B"], "a": []}', ["r.json, entry 2: picture 'a' has no reference", "--pictures"]),
        ("r.json", '{"images": [{"id": 1, "file_name": "a"}], "annotations": []}', ["images[0]: picture '1' has no"]),
        ("r.json", '{"a": ["\\ud800"]}', ["entry 1", "surrogate"]),
    ],
)  # fmt: skip
def test_an_empty_reference_or_none_is_refused_unless_its_picture_is_not_scored(tmp_path, name, text, words):
    file = write(tmp_path / name, text)
    unscorable(predicted(tmp_path, "a"), [file], *words)
    if "no reference" in words[0] and "'a'" in words[0]:
        listed = write(tmp_path / "list.txt", "b")
        assert read_scorable(predicted(tmp_path, "b"), [file], pictures=listed).references == {"b": ("B",)}


# --- plain lines


@pytest.mark.parametrize("text", ["A\n\nC\n", "\ufeffA\r\n\r\nC", "A\n\nC\n\n"])
def test_plain_lines_meet_the_references_of_the_same_line(tmp_path, text):
    references = [write(tmp_path / f"r.{i}", "".join(f"{n} {i}\n" for n in "abc")) for i in range(2)]
    file = write(tmp_path / "p.txt", text)
    got = read_scorable(file, references, other=references[0])
    assert got.references == {"1": ("a 0", "a 1"), "2": ("b 0", "b 1"), "3": ("c 0", "c 1")}
    assert got.predictions == {"1": "A", "2": "", "3": "C"}
    assert got.other == {"1": "a 0", "2": "b 0", "3": "c 0"}
    assert (got.files, got.notes) == ({}, ())


def test_a_blank_last_line_is_an_empty_prediction_where_the_references_have_one_more(tmp_path):
    references = [write(tmp_path / "r.txt", "a\nb\n")]
    assert read_scorable(write(tmp_path / "p.txt", "A\n\n"), references).predictions == {"1": "A", "2": ""}


def test_plain_lines_that_do_not_fit_are_refused(tmp_path, data):
    plain, ids = write(tmp_path / "p.txt", "A\nB\n"), predicted(tmp_path, "ab")
    one, three = write(tmp_path / "r.txt", "a\nb\n"), write(tmp_path / "r3.txt", "a\nb\nc\n")
    unscorable(plain, [three], "p.txt: 2 lines", "r3.txt has 3", "a line for every picture")
    unscorable(plain, [one], "r3.txt: 3 lines", "r.txt has 2", other=three)
    unscorable(plain, [data], "p.txt: plain lines, but", "captions.txt has captions by picture")
    unscorable(ids, [one], "p.json: captions by picture, but", "r.txt has plain lines", "both")
    unscorable(plain, [one], "p.json: captions by picture", other=ids)
    unscorable(plain, [one], "--split: plain lines", split="dev")
    unscorable(plain, [one], "--pictures: plain lines", pictures=one)


# --- training captions, and real data


def test_training_captions_are_those_of_the_train_split_or_all_where_there_is_none(tmp_path, data):
    assert read_captions(data) == read_captions(data.parent) == ["A 0", "A 1", "A 2"]
    assert read_captions(data, "dev") == ["A 3", "A 4"]
    assert read_captions(write(tmp_path / "t.txt", "A  dog\n\nA cat\n")) == ["A dog", "A cat"]
    assert read_captions(write(tmp_path / "t.json", '{"a": ["A", ""], "b": "B"}')) == ["A", "B"]
    dev = coco(tmp_path, "captions_val2014.json", (1, "a.jpg", "A"))
    refused(
        lambda: read_captions(dev),
        "captions_val2014.json: split 'train' is empty; there are train (0), dev (1)",
    )
    refused(lambda: read_captions(write(tmp_path / "t.txt", "\n \n")), "t.txt: holds no caption")
    refused(lambda: read_captions(tmp_path / "none"), "none: cannot be read")


@pytest.mark.skipif(not FLICKR.is_dir(), reason="the shared Flickr8k is not beside the repository")
def test_the_shared_flickr8k_gives_load_datasets_dev_split(tmp_path):
    dev = {e.id: (e.captions, e.path) for e in load_dataset(FLICKR).split("dev")}
    file = predicted(tmp_path, {key: captions[0] for key, (captions, _) in dev.items()})
    got = read_scorable(file, [FLICKR], split="dev")
    assert len(got.references) == 1000
    assert {len(captions) for captions in got.references.values()} == {5}
    assert {key: (captions, got.files[key]) for key, captions in got.references.items()} == dev
    assert got.predictions == {key: captions[0] for key, (captions, _) in dev.items()}
    unscorable(file, [FLICKR], "6,000 of 7,000", "they are the pictures of split dev: add --split dev")
    assert len(read_captions(FLICKR)) == 30_000


def test_addresses_are_ids_as_they_are_written(tmp_path):
    named = ["https://example.org//a.jpg", "https://example.org/b.jpg"]
    said = write(tmp_path / "said.json", json.dumps([{"image_id": n, "caption": "a dog"} for n in named]))
    truth = coco(tmp_path, "captions.json", (1, named[0], "a dog"), (2, named[1], "a cat"))
    assert set(read_scorable(said, [truth]).predictions) == {"1", "2"}
    by_name = table(tmp_path, *(f"{name},a dog" for name in named))
    assert set(read_scorable(said, [by_name]).predictions) == set(named)
