"""The Evaluate page: the report that the command line gives, in the visitor's own names, and nothing kept."""

import io
import json
import re
import sys
import tempfile
import zipfile
from functools import partial

import pytest

from captioner import Captioner
from captioner.data.examples import load_dataset
from captioner.evaluate import evaluate
from captioner.score import score
from captioner.score_config import ReportConfig
from tests.helpers.app_pages import assert_fine, opened, the_error
from tests.helpers.captioned_folders import table, write

pytest.importorskip("streamlit", reason="streamlit is not installed")

from app.work.gate import Gate
from app.work.jobs import Job, Stopped
from app.work.limits import Limits
from app.work.scoring import Files, score_uploads
from tests.helpers.paths import EXAMPLES

SAID = {"a.jpg": "a dog runs", "b.jpg": "two men ride bikes", "c.jpg": "a cat on a mat"}
TRUTH = [
    ("a.jpg", "A dog is running."),
    ("a.jpg", "the dog runs"),
    ("b.jpg", "Two men ride their bikes."),
    ("b.jpg", "two cyclists"),
    ("c.jpg", "The cat is on the mat."),
    ("c.jpg", "a cat sits on a mat"),
]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The folder in which the page may put files, for as long as a job runs."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not list(folder.glob("captioner-*"))


@pytest.fixture
def files(tmp_path):
    """Predictions and references in three forms."""
    rows = [f"{name},{caption}" for name, caption in TRUTH]
    notes = [{"image_id": ord(name[0]), "id": i, "caption": text} for i, (name, text) in enumerate(TRUTH)]
    images = [{"id": ord(name[0]), "file_name": name} for name in SAID]
    results = [{"image_id": ord(name[0]), "caption": text} for name, text in SAID.items()]
    annotations = {"images": images, "annotations": notes}
    odd, even = TRUTH[::2], TRUTH[1::2]
    lines = ["\n".join(text for _, text in some) + "\n" for some in (odd, even)]
    return {
        "table": (
            table(tmp_path, *(f"{n},{c}" for n, c in SAID.items()), name="said.csv"),
            [table(tmp_path, *rows, name="truth.csv")],
        ),
        "coco": (
            write(tmp_path / "results.json", json.dumps(results)),
            [write(tmp_path / "annotations.json", json.dumps(annotations))],
        ),
        "lines": (
            write(tmp_path / "said.txt", "\n".join(SAID.values())),
            [write(tmp_path / f"truth{i}.txt", text) for i, text in enumerate(lines)],
        ),
    }


@pytest.fixture
def page():
    return opened("evaluate")


def upload(page, key, *paths):
    given = [(path.name, path.read_bytes(), "application/octet-stream") for path in paths]
    uploader = page.file_uploader(key=f"evaluate-{key}")
    uploader.set_value(given if uploader.accept_multiple_files else given[0])


def press(page):
    (button,) = [button for button in page.button if button.label in ("Score", "Caption and score")]
    button.click().run()


def the_report(page):
    assert_fine(page)
    found = page.session_state["evaluate_scored_" + page.segmented_control(key="evaluate-way").value]
    (shown,) = page.get("iframe")
    assert shown.proto.srcdoc == found.page and "<!doctype html>" in found.page
    assert json.loads(found.json) == found.report
    return found


def without_notes(report):
    return {name: value for name, value in report.items() if name not in ("notes", "speed", "unreadable")}


def same(found, expected):
    assert without_notes(found) == without_notes(json.loads(json.dumps(expected)))


# --- files of captions


@pytest.mark.parametrize("form", ["table", "coco", "lines"])
def test_the_report_is_the_command_lines(page, files, form):
    predictions, references = files[form]
    upload(page, "predictions", predictions)
    upload(page, "references", *references)
    press(page)
    found = the_report(page)
    same(found.report, score(predictions, references))
    assert found.name == predictions.name


def test_a_second_system_a_split_a_list_and_training_captions_count(page, files, tmp_path):
    rows = [f"{name},{caption},{'test' if name != 'c.jpg' else 'train'}" for name, caption in TRUTH]
    truth = table(tmp_path, *rows, header="image,caption,split", name="split.csv")
    other = table(tmp_path, "a.jpg,a dog", "b.jpg,two men", name="other.csv")
    said = table(tmp_path, "a.jpg,a dog runs", "b.jpg,two men ride bikes", name="mine.csv")
    listed = write(tmp_path / "names.txt", "a.jpg\nb.jpg\n")
    upload(page, "predictions", said)
    upload(page, "references", truth)
    upload(page, "other", other)
    upload(page, "pictures", listed)
    upload(page, "train", truth)
    page.selectbox(key="evaluate-split").set_value("test")
    press(page)
    expected = score(said, [truth], other=other, split="test", pictures=listed, train=truth)
    found = the_report(page)
    same(found.report, expected)
    assert found.report["other"]["name"] == "other.csv" and found.report["diversity"]["copied"] is not None


def test_files_are_called_as_the_visitor_calls_them(page, files, tmp_path, temporary):
    stems = [{"image_id": name.removesuffix(".jpg"), "caption": text} for name, text in SAID.items()]
    stems = write(tmp_path / "stems.json", json.dumps(stems))
    upload(page, "predictions", stems)
    upload(page, "references", files["table"][1][0])
    press(page)
    found = the_report(page)
    assert any(note.startswith("stems.json: ids are") for note in found.report["notes"])
    assert str(temporary) not in found.page + found.json and "stems.json: ids are" in found.page


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"", "said.csv: is empty"),
        (b"image,caption\na.jpg,a dog\n", "said.csv: no prediction for 2 of 3 pictures"),
        (b"image,caption\n\xff\xfe,x\n", "said.csv: line 2, byte 14 is not UTF-8"),
        ((EXAMPLES / "cat.jpg").read_bytes(), "said.csv: line 1, byte 4 is NUL: not a text file"),
        (b'{"a": 1', "said.csv: no captions recognised|said.csv, .*not JSON"),
        (b"image,caption\na.jpg,x\na.jpg,y\n", "said.csv: picture 'a.jpg' has two captions"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence_with_the_visitors_name(
    page, files, tmp_path, temporary, said, told
):
    upload(page, "predictions", write(tmp_path / "wrong" / "said.csv", said))
    upload(page, "references", *files["table"][1])
    press(page)
    error = the_error(page)
    assert re.match(told, error, re.IGNORECASE) and str(temporary) not in error
    assert not page.get("iframe")


def test_missing_files_are_asked_for(page, files):
    press(page)
    assert "give the captions to score" in the_error(page).lower()


def test_a_file_over_the_limit_is_refused_on_our_side_too(files, tmp_path, monkeypatch):
    monkeypatch.setattr("app.work.limits.limits", lambda: Limits(upload_mb=1))
    page = opened("evaluate")
    upload(page, "predictions", write(tmp_path / "large.csv", b"image,caption\n" + b"x" * 1_000_001))
    upload(page, "references", *files["table"][1])
    press(page)
    assert the_error(page) == "large.csv: more than the limit of 1 MB."


class Upload(io.BytesIO):
    def __init__(self, name, text):
        super().__init__(text.encode())
        self.name, self.size = name, len(text)


def test_a_score_that_nobody_waits_for_ends_clears_its_desk_and_gives_its_place_back(temporary):
    rows = [f"{number}.jpg,a{number} dog{number} runs{number} home{number}\n" for number in range(20_000)]
    said = Upload("said.csv", "image,caption\n" + "".join(rows))
    truth = Upload("truth.csv", "image,caption\n" + "".join(5 * rows))
    gate = Gate(Limits(inferences=1, queue=1, wait_seconds=5))  # the whole score would take a minute
    with Job(partial(score_uploads, Files(said, [truth]), ReportConfig(), Limits()), gate) as job:
        while not list(temporary.glob("captioner-*")):
            assert not job.done(0.01)
    with gate.place():
        assert not list(temporary.glob("captioner-*"))
    with pytest.raises(Stopped):
        job.result()


# --- a model's captions


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of the examples with captions, one broken among none."""
    folder = tmp_path_factory.mktemp("photos")
    names = sorted(path.name for path in EXAMPLES.glob("*.jpg"))
    for name in names:
        (folder / name).write_bytes((EXAMPLES / name).read_bytes())
    table(
        folder, *(f"{name},a {name.removesuffix('.jpg')} on a table" for name in names), name="captions.csv"
    )
    return folder


@pytest.fixture
def model_page(page):
    page.segmented_control(key="evaluate-way").set_value("A model's captions").run()
    return page


def packed(folder, path, top=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, top + file.name)
        archive.writestr("__MACOSX/._captions.csv", b"\0")
    return path


@pytest.mark.parametrize("form", ["files", "zip", "zip of a folder", "folder"])
def test_a_models_report_is_that_of_the_command_line(model_page, photos, tmp_path, form):
    if form.startswith("zip"):
        archive = packed(photos, tmp_path / "photos.zip", "holiday/" if "folder" in form else "")
        upload(model_page, "data", archive)
    else:
        upload(model_page, "folder" if form == "folder" else "data", *sorted(photos.iterdir()))
    press(model_page)
    expected, _ = evaluate(
        Captioner.load(), load_dataset(photos), "all", name="model in the box", report_config=ReportConfig()
    )
    found = the_report(model_page)
    same(found.report, expected)
    assert found.page.count("data:image/jpeg;base64,") == 3 and "data-look" in found.page


def test_both_ways_keep_their_own_report(model_page, photos, files):
    upload(model_page, "data", *sorted(photos.iterdir()))
    press(model_page)
    model_report = the_report(model_page)
    model_page.segmented_control(key="evaluate-way").set_value("My captions").run()
    assert not model_page.get("iframe")
    model_page.segmented_control(key="evaluate-way").set_value("A model's captions").run()
    assert model_page.get("iframe")[0].proto.srcdoc == model_report.page


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("photos.zip", b"PK\x03\x04 no archive", "photos.zip: is damaged, or no ZIP archive"),
        (
            "cat.jpg",
            (EXAMPLES / "cat.jpg").read_bytes(),
            "your folder: no captions recognised; give a table (captions.csv)",
        ),
        (
            "captions.csv",
            b"image,caption\na.jpg,a dog\n",
            "1 of 1 pictures are missing (first: 'a.jpg'); put them beside the captions.",
        ),
    ],
)
def test_what_is_no_folder_of_captioned_photos_is_one_sentence(
    model_page, tmp_path, temporary, name, data, told
):
    upload(model_page, "data", write(tmp_path / name, data))
    press(model_page)
    error = the_error(model_page)
    assert told.lower() in error.lower() and str(temporary) not in error


def test_a_broken_photo_is_named(model_page, photos, tmp_path, temporary):
    upload(
        model_page,
        "data",
        write(tmp_path / "cat.jpg", b"<html>no picture</html>"),
        *(path for path in sorted(photos.iterdir()) if path.name != "cat.jpg"),
    )
    press(model_page)
    error = the_error(model_page)
    assert "cat.jpg: not a picture: looks like HTML" in error and str(temporary) not in error


def test_a_visitor_is_not_told_to_install_anything(model_page, photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(64)
    others = [path for path in sorted(photos.iterdir()) if path.name != "cat.jpg"]
    upload(model_page, "data", write(tmp_path / "cat.jpg", heic), *others)
    press(model_page)
    error = the_error(model_page)
    assert "cat.jpg: HEIC photos cannot be read here; save it as JPEG." in error and "pip" not in error
