"""The command line: what it prints, where, and with which status."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from captioner.cli import main
from tests.conftest import draw
from tests.helpers.command_lines import assert_one_line_of, run_command
from tests.helpers.paths import EXAMPLES, MODEL_IN_THE_BOX


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in ("blue", "green", "red"):
        draw(colour, "circle").save(folder / f"{colour}.png")
    return folder


run = partial(run_command, main)
assert_one_line = partial(assert_one_line_of, "captioner")


def test_one_photo_prints_its_caption_and_nothing_else(capsys, tiny_model, photos):
    status, out, err = run(capsys, "caption", photos / "red.png", "--model", tiny_model)
    assert (status, err) == (0, "")
    assert out.count("\n") == 1 and ":" not in out


def test_folders_and_patterns_name_each_photo(capsys, tiny_model, photos):
    status, folder, _ = run(capsys, "caption", photos, "--model", tiny_model)
    assert status == 0
    assert [line.split(":")[0] for line in folder.splitlines()] == [
        str(photos / f"{c}.png") for c in ("blue", "green", "red")
    ]
    assert run(capsys, "caption", photos / "*.png", "--model", tiny_model) == (0, folder, "")


def test_several_captions_come_with_their_log_probabilities(capsys, tiny_model, photos):
    _, out, _ = run(capsys, "caption", photos / "red.png", "--model", tiny_model, "-n", 4)
    numbers = [float(line.split()[0]) for line in out.splitlines()]
    assert len(numbers) == 4 and all(number <= 0 for number in numbers)


def test_json_is_one_document_and_alone_on_standard_output(capsys, tiny_model, photos):
    (photos / "broken.jpg").write_bytes(b"<html></html>")
    command = ["caption", photos, "--model", tiny_model, "-n", 2, "--temperature", 0.9, "--seed", 1, "--json"]
    status, out, err = run(capsys, *command)
    document = json.loads(out)
    assert status == 1
    assert_one_line(err)
    assert [Path(photo["photo"]).name for photo in document["photos"]] == [
        "blue.png",
        "broken.jpg",
        "green.png",
        "red.png",
    ]
    assert "HTML" in document["photos"][1]["error"]
    assert all(len(photo["captions"]) == 2 for photo in document["photos"] if "captions" in photo)
    assert run(capsys, *command)[1] == out


def test_a_bad_photo_does_not_stop_the_others_and_only_bad_ones_are_status_2(capsys, tiny_model, photos):
    bad = photos / "bad.jpg"
    bad.write_bytes(b"")
    status, out, err = run(capsys, "caption", bad, photos / "red.png", "--model", tiny_model)
    assert status == 1 and "red.png" in out
    assert_one_line(err)
    status, out, err = run(capsys, "caption", bad, photos / "nowhere.jpg", "--model", tiny_model)
    assert (status, out) == (2, "") and err.count("\n") == 2


def test_attention_draws_a_tile_a_word(capsys, tiny_model, photos, tmp_path):
    sheet = tmp_path / "sheet.png"
    status, out, _ = run(capsys, "caption", photos / "red.png", "--model", tiny_model, "--attention", sheet)
    assert status == 0
    with Image.open(sheet) as image:
        tiles = (image.width // 232) * (image.height // 260)
    assert tiles >= len(out.split()) + 1
    status, _, err = run(capsys, "caption", photos, "--model", tiny_model, "--attention", sheet)
    assert status == 2
    assert_one_line(err)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["caption"], "no photo"),
        (["caption", "{photos}/red.png", "--model", "{tmp}/nowhere"], "nowhere"),
        (["caption", "{photos}/red.png", "-n", "0"], "n: 0"),
        (["caption", "{photos}/red.png", "--temperature", "-1"], "temperature"),
        (["caption", "{photos}/red.png", "--temperature", "nan"], "temperature"),
        (["caption", "{photos}/red.png", "--top-k", "5"], "temperature"),
        (["caption", "{photos}/red.png", "--beam", "three"], "three"),
        (["caption", "{photos}/red.png", "--beem", "3"], "--beem"),
        (["caption", "{photos}/*.gif"], "gif"),
        (["capton", "x.jpg"], "capton"),
        (["evaluate", "{tmp}/nowhere"], "nowhere"),
        (["evaluate", "{shapes}", "--split", "dve"], "dve"),
        (["evaluate", "{shapes}", "--split", "test"], "test"),
        (["info", "--model", "{tmp}"], "model.json"),
        (["train", "{photos}", "--out", "{tmp}/run"], "photos"),
        (["train", "{shapes}", "--out", "{tmp}/run", "--encoder", "mobilnet_v2"], "mobilenet_v2"),
        (["train", "{shapes}", "--out", "{tmp}/run", "--encoder-weights", "{tmp}/none.pth"], "none.pth"),
        (["train", "{shapes}", "--out", "{tmp}/run", "--device", "gpu"], "device"),
        (
            ["train", "{shapes}", "--out", "{tmp}/run", "--cell", "lstn", "--encoder-weights", "{weights}"],
            "cell",
        ),
        (["train", "{shapes}"], "--out"),
    ],
)
def test_misuse_is_one_line_and_status_2(capsys, argv, words, photos, shapes, weights_file, tmp_path):
    places = {"photos": photos, "tmp": tmp_path, "shapes": shapes, "weights": weights_file}
    status, out, err = run(capsys, *(word.format(**places) for word in argv))
    assert (status, out) == (2, "")
    assert words in err
    assert err.splitlines()[-1].startswith("captioner: ") and "Traceback" not in err
    assert not (tmp_path / "run" / "model.json").exists()


def test_evaluate_prints_the_scores_and_saves_coco_results(capsys, tiny_model, shapes, tmp_path):
    saved = tmp_path / "predictions.json"
    status, out, _ = run(capsys, "evaluate", shapes, "--model", tiny_model, "--save", saved)
    assert status == 0
    assert all(name in out for name in ("BLEU-4", "ROUGE-L", "CIDEr", "split:dev", "pictures a second"))
    assert {"image_id", "caption"} == set(json.loads(saved.read_text())[0])
    status, out, _ = run(capsys, "evaluate", shapes, "--model", tiny_model, "--json", "--split", "train")
    assert status == 0 and json.loads(out)["pictures"] == 40


def test_info_shows_the_card(capsys, tiny_model):
    status, out, _ = run(capsys, "info", "--model", tiny_model)
    assert status == 0 and "mobilenet_v3_small" in out and "CIDEr" in out
    status, out, _ = run(capsys, "info", "--model", tiny_model, "--json")
    assert "vocabulary" not in json.loads(out) and json.loads(out)["provenance"]["settings"]["seed"] == 1


@pytest.mark.slow
def test_train_from_the_command_line_leaves_a_model_that_captions(
    capsys, shapes, weights_file, photos, tmp_path
):
    settings = shlex.split(
        "--encoder mobilenet_v3_small --image-size 64 --hidden 16 --embedding 16 --context 16 --heads 2"
    )
    epochs = shlex.split("--epochs 1 --finetune-epochs 1 --min-count 1 --batch 8 --captions 2")
    out = tmp_path / "run"
    status, printed, err = run(
        capsys, "train", shapes, "--out", out, "--encoder-weights", weights_file, *settings, *epochs
    )
    assert (status, printed) == (0, "") and "CIDEr" in err
    assert len((out / "training" / "log.jsonl").read_text().splitlines()) == 2
    assert run(capsys, "caption", photos / "red.png", "--model", out)[0] == 0


def test_help_is_printed_without_loading_torch():
    script = "import sys; from captioner.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    script += "assert not {'torch', 'nltk', 'torchvision'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "evaluate" in done.stdout


# --- outputs that would destroy an input, in a folder of everything that a command may read


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        draw("red", "circle").save(folder / name)
    draw("red", "circle").save(folder / "a.png")
    draw("blue", "square").save(folder / "b.png")
    images = [{"id": number, "file_name": f"{name}.jpg"} for number, name in enumerate("ab")]
    truth = [{"image_id": number, "caption": f"picture {number} of two"} for number in range(2)]
    references = {"images": images, "annotations": truth}
    for name in ("captions_val.json", "ref.html"):
        (folder / name).write_text(json.dumps(references))
    for name in ("p.json", "p.html", "rival.html"):
        (folder / name).write_text(json.dumps(truth))
    (folder / "list.html").write_text("a.jpg\nb.jpg\n")
    (folder / "train.html").write_text("a picture\nanother\n")
    shutil.copytree(MODEL_IN_THE_BOX, folder / "model")
    (folder / "link.png").symlink_to("a.png")
    (folder / "hard.png").hardlink_to(folder / "a.png")
    (folder / "link.html").symlink_to("p.html")
    (folder / "weights.png").symlink_to("model/model.safetensors")
    (folder / "door").symlink_to(".")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "caption a.jpg --attention a.jpg",
        "caption a.jpg --attention b.jpg",
        "caption a.jpg --attention new.jpg",
        "caption a.jpg --attention new",
        "caption a.png --attention a.png",
        "caption a.png --attention ./door/../desk/a.png",
        "caption link.png --attention a.png",
        "caption a.png --attention link.png",
        "caption a.png --attention hard.png",
        "caption a.png --model model --attention weights.png",
        "score p.html captions_val.json --report p.html",
        "score p.html captions_val.json --report link.html",
        "score p.html captions_val.json --report door/p.html",
        "score p.json ref.html --report ref.html",
        "score p.json captions_val.json --other rival.html --report rival.html",
        "score p.json captions_val.json --pictures list.html --report list.html",
        "score p.json captions_val.json --train train.html --report train.html",
        "evaluate captions_val.json --split all --save captions_val.json",
        "evaluate . --split all --save captions_val.json",
        "evaluate door --split all --save captions_val.json",
        "evaluate . --split all --save a.jpg",
        "evaluate . --split all --model model --save model/model.json",
        "calibrate model . --report ref.json",
    ],
)
def test_an_output_that_is_an_input_is_refused_and_nothing_is_touched(capsys, desk, command):
    before = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    status, out, err = run(capsys, *shlex.split(command))
    assert (status, out) == (2, "")
    assert_one_line(err)
    assert {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()} == before
    assert (desk / "link.png").is_symlink() and (desk / "link.html").is_symlink()


def test_other_files_are_written_also_twice(capsys, desk):
    for _ in range(2):
        assert run(capsys, "evaluate", ".", "--split", "all", "--save", "said.json", "--bootstrap", 0)[0] == 0
        assert run(capsys, "caption", "a.jpg", "--attention", "sheet.PNG")[0] == 0
        assert run(capsys, "score", "said.json", ".", "--report", "report.html", "--bootstrap", 0)[0] == 0
    assert (desk / "sheet.PNG").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("command", ["export", "calibrate"])
def test_a_model_in_the_box_stays_as_it_is(capsys, tmp_path, command):
    (tmp_path / "link").symlink_to(MODEL_IN_THE_BOX)
    before = {path: path.stat().st_mtime_ns for path in MODEL_IN_THE_BOX.iterdir()}
    for folder in (
        MODEL_IN_THE_BOX,
        tmp_path / "link",
        f"{MODEL_IN_THE_BOX.parent}//{MODEL_IN_THE_BOX.name}/",
    ):
        data = [tmp_path] if command == "calibrate" else []
        status, _, err = run(capsys, command, folder, *data)
        assert status == 2
        assert_one_line(err, folder, "a model in the box", "copy")
    assert {path: path.stat().st_mtime_ns for path in MODEL_IN_THE_BOX.iterdir()} == before


# --- addresses, and what was typed


@pytest.mark.parametrize(
    "command",
    [
        "caption ADDRESS",
        "caption ADDRESS?x=[1]*",
        "caption {examples}/cat.jpg --model ADDRESS",
        "caption {examples}/cat.jpg --attention ADDRESS.png",
        "evaluate ADDRESS",
        "evaluate {examples} --model ADDRESS",
        "score ADDRESS refs.json",
        "score {examples}/SOURCES.md ADDRESS",
        "export ADDRESS",
        "calibrate ADDRESS data",
        "info --model ADDRESS",
        "app --model ADDRESS",
        "train ADDRESS --out run",
        "train data --out ADDRESS",
    ],
)
@pytest.mark.parametrize(
    "address", ["https://example.org/cat", "file:///photos/cat", "data:image/png;base64,AA//BB"]
)
def test_an_address_is_said_to_be_one_as_it_was_typed(capsys, monkeypatch, tmp_path, command, address):
    if command.startswith("app"):
        pytest.importorskip("streamlit", reason="streamlit is not installed")
    monkeypatch.chdir(tmp_path)
    typed = command.format(examples=EXAMPLES).replace("ADDRESS", address)
    status, out, err = run(capsys, *typed.split())
    assert (status, out) == (2, "")
    assert_one_line(
        err, next(word for word in typed.split() if word.startswith(address)), "an address, not a f"
    )
    assert not list(tmp_path.iterdir())


def test_names_are_shown_as_they_were_typed(capsys, monkeypatch, tmp_path):
    shutil.copy(EXAMPLES / "cat.jpg", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "caption", "photos//a.jpg")[2] == "captioner: photos//a.jpg: no such file\n"
    assert run(capsys, "score", "./p//q.json", "r.json")[2].startswith("captioner: ./p//q.json: ")
    _, out, _ = run(capsys, "caption", "./cat.jpg", "cat.jpg", ".//cat.jpg", tmp_path)
    assert [line.partition(": ")[0] for line in out.splitlines()] == ["./cat.jpg", str(tmp_path / "cat.jpg")]


# --- large photos


def test_the_limit_of_megapixels_is_an_option_and_named_where_it_refuses(capsys, tmp_path):
    draw("red", "circle", 1200).save(tmp_path / "large.png")
    status, _, err = run(capsys, "caption", tmp_path / "large.png", "--max-megapixels", 1)
    assert status == 2
    assert_one_line(err, "1.4 megapixels is more than the limit of 1 megapixels", "--max-megapixels")
    assert run(capsys, "caption", tmp_path / "large.png", "--max-megapixels", 1.5)[0] == 0
    for wrong in ("0", "-1", "nan", "many"):
        assert run(capsys, "caption", tmp_path / "large.png", "--max-megapixels", wrong)[0] == 2
