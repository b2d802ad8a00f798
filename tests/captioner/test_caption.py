"""`Captioner`: one answer for a picture, however it is asked."""

from __future__ import annotations

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from captioner import Captioner
from captioner.evaluate import evaluate, save_predictions
from captioner.network.decoding_config import DecodingConfig
from captioner.pictures.refusals import ImageError
from tests.conftest import draw
from tests.helpers.image_files import encoded
from tests.helpers.paths import EXAMPLES, MODEL_IN_THE_BOX
from textgen.errors import UserError


@pytest.fixture(scope="module")
def tiny(tiny_model) -> Captioner:
    return Captioner.load(tiny_model)


@pytest.fixture(scope="module")
def box() -> Captioner:
    return Captioner.load()


@pytest.fixture
def pictures(shapes) -> list[Path]:
    return sorted((shapes / "Images").iterdir())[::5]


def test_path_bytes_file_and_image_give_the_same_captions(tiny, pictures):
    data = pictures[0].read_bytes()
    sources = [pictures[0], str(pictures[0]), data, io.BytesIO(data), Image.open(pictures[0])]
    found = [tiny.caption(source, n=2) for source in sources]
    assert all(captions == found[0] for captions in found)
    assert [[c.text for c in cs] for cs in tiny.caption(sources, n=2)] == [
        [c.text for c in cs] for cs in found
    ]


def test_a_batch_equals_singles(tiny, pictures):
    for settings in ({}, {"temperature": 1.0, "seed": 3, "n": 3}, {"n": 4, "beam": 2}):
        singles = [tiny.caption(picture, **settings) for picture in pictures]
        for batch in (1, 3, 64):
            together = tiny.caption(pictures, batch=batch, **settings)
            assert [[c.text for c in cs] for cs in together] == [[c.text for c in cs] for cs in singles]


def test_same_seed_same_captions_and_another_seed_others(tiny, pictures):
    def texts(seed):
        return [c.text for cs in tiny.caption(pictures, n=5, temperature=1.5, seed=seed) for c in cs]

    assert texts(1) == texts(1) != texts(2)


def test_temperature_0_is_one_beam(tiny, pictures):
    greedy = tiny.caption(pictures, temperature=0)
    beam = tiny.caption(pictures, beam=1)
    assert [cs[0].text for cs in greedy] == [cs[0].text for cs in beam]


@pytest.mark.parametrize(
    "settings", [{"n": 7}, {"n": 7, "beam": 1}, {"n": 7, "temperature": 1.0}, {"n": 7, "max_length": 1}]
)
def test_n_captions_asked_n_given(tiny, pictures, settings):
    captions = tiny.caption(pictures[0], **settings)
    assert len(captions) == 7
    assert all(caption.text and "<" not in caption.text for caption in captions)
    assert all(caption.log_prob <= 0 for caption in captions)
    if settings.get("max_length") == 1:
        assert not all(caption.finished for caption in captions)


def test_attention_is_a_distribution_over_the_grid_for_each_word(tiny, pictures):
    caption = tiny.caption(pictures[0], attention=True)[0]
    assert caption.attention.shape == (len(caption.words), 2, 2)
    assert np.allclose(caption.attention.sum(axis=(1, 2)), 1, atol=1e-5)
    assert tiny.caption(pictures[0])[0].attention is None


def test_a_bad_picture_is_an_error_alone_and_a_gap_among_others(tiny, pictures, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"<html>")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        tiny.caption([pictures[0], bad])
    found = list(tiny.caption_each([bad, *pictures[:3], bad, bad], batch=2))
    assert [isinstance(item, ImageError) for item in found] == [True, False, False, False, True, True]
    assert found[0].__traceback__ is found[0].__cause__ is None  # frames would hold the picture
    assert [cs[0].text for cs in found[1:4]] == [cs[0].text for cs in tiny.caption(pictures[:3])]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"n": 0}, "n:"),
        ({"beam": 0}, "beam:"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": 1.0, "top_p": 1.5}, "top_p"),
        ({"temperature": 1.0, "top_k": -1}, "top_k"),
        ({"temperature": 1.0, "seed": -1}, "seed"),
        ({"top_k": 5}, "temperature"),
        ({"max_length": 0}, "max_length"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(tiny, pictures, settings, name):
    with pytest.raises(UserError, match=name):
        tiny.caption(pictures[0], **settings)


def test_no_pictures_no_captions(tiny):
    assert tiny.caption([]) == []


def test_threads_give_what_one_thread_gives(tiny, pictures):
    alone = [tiny.caption(picture)[0].text for picture in pictures]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda picture: tiny.caption(picture)[0].text, pictures * 3))
    assert found == alone * 3


def test_odd_shapes_are_captioned(tiny):
    for size in ((1, 1), (1, 4000), (20000, 10)):
        assert tiny.caption(Image.new("RGB", size))[0].text


def test_the_model_in_the_box_sees_what_is_in_the_examples(box):
    found = {path.stem: box.caption(path, n=5) for path in sorted(EXAMPLES.glob("*.jpg"))}
    assert set(found) == {"cat", "coffee", "photographer"}
    for name, words in (("cat", {"cat"}), ("coffee", {"cup", "coffee"}), ("photographer", {"man", "camera"})):
        assert words & set(found[name][0].words)
    assert len({captions[0].text for captions in found.values()}) == 3
    assert all(caption.finished for captions in found.values() for caption in captions)


def test_the_model_in_the_box_needs_no_torchvision_download_and_fits_its_folder():
    files = list(MODEL_IN_THE_BOX.iterdir())
    assert sum(file.stat().st_size for file in files) <= 20_000_000


def test_a_photo_taken_sideways_gets_the_caption_of_the_upright_one(box, tmp_path):
    upright = Image.open(EXAMPLES / "cat.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to view
    sideways = tmp_path / "sideways.png"
    upright.transpose(Image.Transpose.ROTATE_90).save(sideways, exif=exif)
    upright.save(tmp_path / "upright.png")
    assert box.caption(sideways)[0].text == box.caption(tmp_path / "upright.png")[0].text


def test_evaluation_reports_scores_and_where_they_come_from(tiny, shapes, tmp_path):
    from captioner.data.examples import load_dataset

    dataset = load_dataset(shapes)
    report, predictions = evaluate(tiny, dataset, "dev", DecodingConfig())
    assert report["pictures"] == len(predictions) == 8
    assert report["CIDEr"] == pytest.approx(
        list(tiny.header["provenance"]["dev"].values())[-1]["CIDEr"], abs=0.01
    )
    for part in ("split:dev", "beam:3", tiny.hash[:12], dataset.hash[:12]):
        assert part in report["signature"]
    save_predictions(tmp_path / "p.json", predictions)
    import json

    rows = json.loads((tmp_path / "p.json").read_text())
    assert {row["image_id"]: row["caption"] for row in rows} == predictions


def test_evaluation_stops_when_too_many_pictures_are_unreadable(tiny, tmp_path):
    from captioner.data.examples import load_dataset
    from tests.conftest import world

    data = world(tmp_path / "data", copies=2)
    draw("red", "circle").save(data / "Images" / "blue-circle-0.png")
    (data / "Images" / "red-circle-0.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"red-circle-0\.png"):
        evaluate(tiny, load_dataset(data), "dev", DecodingConfig())


def test_captions_come_while_pictures_do_and_few_are_taken_ahead(tiny, pictures):
    taken = []

    def endless():
        while True:
            taken.append(None)
            yield pictures[len(taken) % len(pictures)]

    found = tiny.caption_each(endless(), batch=2)
    for wanted in range(1, 9):
        next(found)
        assert len(taken) <= wanted + 2 * 2 * tiny.workers
    found.close()


def test_the_last_pictures_are_shared_out_among_the_workers(tiny, pictures, monkeypatch):
    sizes = []
    monkeypatch.setattr(tiny, "workers", 2)
    encode = tiny.encode
    monkeypatch.setattr(tiny, "encode", lambda pixels: sizes.append(len(pixels)) or encode(pixels))
    many = (pictures * 9)[:21]
    assert len(tiny.caption(many, batch=8)) == 21
    assert sorted(sizes) == [2, 3, 8, 8]


def test_no_more_pictures_are_captioned_at_a_time_than_there_are_workers(tiny, pictures, monkeypatch):
    now, most, lock = 0, 0, threading.Lock()
    encode = tiny.encode

    def counting(pixels):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        found = encode(pixels)
        with lock:
            now -= 1
        return found

    monkeypatch.setattr(tiny, "encode", counting)
    with ThreadPoolExecutor(tiny.workers + 6) as pool:
        list(pool.map(tiny.caption, pictures * 4))
    assert 1 <= most <= tiny.workers


def test_who_reads_slowly_keeps_nobody_waiting(tiny, pictures):
    arrived, data = threading.Event(), pictures[0].read_bytes()

    class Slow(io.BytesIO):
        def read(self, *size):
            assert arrived.wait(60)
            return super().read(*size)

    with ThreadPoolExecutor(tiny.workers + 1) as pool:
        slow = [pool.submit(tiny.caption, Slow(data)) for _ in range(tiny.workers + 1)]
        expected = tiny.caption(pictures[0])
        arrived.set()
        assert [future.result() for future in slow] == [expected] * len(slow)


@pytest.fixture(scope="module")
def frames() -> list[Image.Image]:
    """The examples in one size, as an animation's frames."""
    return [Image.open(path).convert("RGB").resize((320, 240)) for path in sorted(EXAMPLES.glob("*.jpg"))]


@pytest.fixture(scope="module")
def alone(box, frames) -> list[str]:
    return [box.caption(frame)[0].text for frame in frames]


@pytest.fixture
def two_workers(box, monkeypatch) -> Captioner:
    monkeypatch.setattr(box, "workers", 2)
    return box


def said(found) -> list[str]:
    return [captions[0].text for captions in found]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "GIF"])
def test_a_picture_or_file_that_stands_in_a_list_twice_is_right_each_time(two_workers, frames, format):
    data = encoded(frames[2].resize((1600, 1200)), format)
    for make in (lambda: Image.open(io.BytesIO(data)), lambda: io.BytesIO(data), lambda: bytearray(data)):
        right = two_workers.caption(make())[0].text
        for _ in range(3):
            assert said(two_workers.caption([make()] * 4)) == [right] * 4


def test_an_iterator_that_yields_one_object_anew_is_taken_as_it_is_then(two_workers, frames, alone):
    animation = Image.open(io.BytesIO(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])))
    assert said(two_workers.caption_each(ImageSequence.Iterator(animation))) == alone

    def filled_anew(file, buffer):
        for frame in frames:
            data = encoded(frame)
            file.seek(0)
            file.truncate()
            file.write(data)
            buffer[:] = data
            yield from (file, buffer)

    twice = [text for text in alone for _ in range(2)]
    assert said(two_workers.caption_each(filled_anew(io.BytesIO(), bytearray()))) == twice

    def drawn_over(canvas):
        for frame in frames:
            canvas.paste(frame)
            yield canvas

    assert said(two_workers.caption_each(drawn_over(Image.new("RGB", frames[0].size)))) == alone


def test_files_that_their_owner_closes_after_they_were_yielded_are_captioned(
    two_workers, frames, alone, tmp_path
):
    def opened():
        for number, frame in enumerate(frames):
            frame.save(tmp_path / f"{number}.png")
            with open(tmp_path / f"{number}.png", "rb") as file:
                yield file

    assert said(two_workers.caption_each(opened())) == alone


def test_what_an_open_file_or_an_iterator_cannot_give_is_named(two_workers, frames, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"<html>")
    with open(tmp_path / "bad.jpg", "rb") as file:
        good, bad = two_workers.caption_each([frames[0], file])
        (passing,) = two_workers.caption_each(Image.new("RGB", (0, 1)) for _ in range(1))
    assert good and str(bad) == f"{tmp_path / 'bad.jpg'}: not a picture: looks like HTML"
    assert "no pixels" in str(passing)
    with pytest.raises(TypeError, match="ndarray"):
        two_workers.caption([np.zeros((224, 224, 3), np.uint8)])


def test_captions_and_pictures_that_two_threads_take_at_once_are_refused(box, frames):
    def endless():
        while True:
            time.sleep(0.001)
            yield frames[0]

    told = []

    def take(found):
        with pytest.raises(UserError, match="taken by two threads at once") as caught:
            for _ in found:
                if told:  # the other was refused, and this one may not have met it
                    raise UserError("taken by two threads at once")
        told.append(str(caught.value))

    pictures, captions = endless(), box.caption_each(endless())
    for pair in ([box.caption_each(pictures), box.caption_each(pictures)], [captions, captions]):
        told.clear()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(take, pair))
        assert len(told) == 2
    with pytest.raises(UserError, match="these captions are taken"):
        next(captions)


def test_the_limit_of_megapixels_is_an_option(box, frames):
    large = frames[2].resize((8, 6))
    with pytest.raises(ImageError, match="limit of 4e-05 megapixels"):
        box.caption(large, max_megapixels=0.00004)
    assert box.caption([large], max_megapixels=0.00005)[0][0].text
    for wrong in (0, -1, float("nan"), float("inf"), 1e9):
        with pytest.raises(UserError, match="max_megapixels"):
            box.caption(large, max_megapixels=wrong)


def test_a_file_that_is_open_as_text_is_the_programs_mistake(box):
    for encoding in ("utf-8", "latin-1"):
        with open(EXAMPLES / "cat.jpg", encoding=encoding) as file:
            for sources in (file, [file]):
                with pytest.raises(TypeError, match="open it with mode 'rb'"):
                    box.caption(sources)


def test_a_file_that_an_iterator_overwrites_is_captioned_as_it_was(tmp_path):
    """As a camera's snapshot, which has one name."""
    captioner, path = Captioner.load(), tmp_path / "now.jpg"
    names = ["cat", "coffee", "photographer"] * 7
    expected = {name: captioner.caption(EXAMPLES / f"{name}.jpg")[0].text for name in set(names)}

    def snapshots():
        for name in names:
            path.write_bytes((EXAMPLES / f"{name}.jpg").read_bytes())
            yield path

    found = [captions[0].text for captions in captioner.caption_each(snapshots())]
    assert found == [expected[name] for name in names]
