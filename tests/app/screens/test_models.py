"""The Models page: what models say of themselves, which is used, and folders that are none."""

import json
import shutil

import pytest

from captioner.network.card import training_phases
from tests.helpers.app_pages import assert_fine, opened, the_error
from textgen.errors import UserError

pytest.importorskip("streamlit", reason="streamlit is not installed")

from app.cards import curves
from app.work.limits import Limits
from app.work.model_info import read_info
from tests.helpers.paths import MODEL_IN_THE_BOX, MODELS

LOG = [
    {"phase": "text", "epoch": 1, "loss": 2.5, "nats": 2.1, "perplexity": 8.2, "seconds": 3.0},
    {"phase": "text", "epoch": 2, "loss": 1.5, "nats": 1.6, "perplexity": 5.0, "seconds": 3.1},
]


@pytest.fixture
def page(monkeypatch):
    monkeypatch.setattr("app.work.limits.limits", lambda: Limits(open_folders=1))
    return opened("models")


FAMILIES = ("diffusion", "energy", "flow", "gan", "lstm", "transformer", "vae")
BOXED = ["Photo captions", "Novels", "Shakespeare", "English-french", "English-german", "Authors"]
BOXED += [f"Captions-{name}" for name in FAMILIES]


@pytest.fixture
def copied(tmp_path):
    """A model of somebody's own: the box's, with a log of its training and a card that is not to be trusted."""
    folder = tmp_path / "mine"
    shutil.copytree(MODELS / "shakespeare", folder)
    (folder / "training").mkdir()
    (folder / "training" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    card = "# Mine\n\n<script>alert(1)</script>![x](http://example.com/x.png) <b>bold</b>\n\n## Trained by\n\nme\n"
    (folder / "README.md").write_text(card)
    return folder


def header_of(folder):
    return json.loads((folder / "model.json").read_text(encoding="utf-8"))


def open_folder(page, text):
    page.text_input(key="models-folder").set_value(str(text))
    (button,) = [button for button in page.button if button.label == "Open"]
    button.click().run()


def titles(page):
    return [heading.value for heading in page.header]


def test_the_models_in_the_box_are_shown_with_their_own_figures(page):
    assert_fine(page)
    assert [title.replace("\\", "") for title in titles(page)][: len(BOXED)] == BOXED
    shown = {metric.label: metric.value for metric in reversed(list(page.metric))}  # the first of a name
    dev = header_of(MODEL_IN_THE_BOX)["provenance"]["dev"]["averaging"]
    for source in ("flickr8k", "general"):
        for score in ("CIDEr", "BLEU-4"):
            assert shown[f"{score}, {source}"] == f"{dev[f'{source} {score}']:.1f}"
    for name, unit in (("novels", "word"), ("shakespeare", "character")):
        held_out = header_of(MODELS / name)["provenance"]["held_out"]
        assert shown[f"Perplexity a {unit}"] == f"{held_out['perplexity']:.2f}"


def test_a_model_that_is_chosen_is_used_by_the_other_pages(page):
    button = next(button for button in page.button if button.label == "Use for text")
    button.click().run()
    assert_fine(page)
    assert page.session_state["chosen_text_model"] == MODELS / "novels"
    page.switch_page("screens/text.py").run()
    assert_fine(page)
    assert page.slider(key="text-length-words").label == "Length, in words"


def test_a_folder_becomes_the_model_in_use(page, copied):
    charts = len(page.get("vega_lite_chart"))
    open_folder(page, f' "{copied}" ')
    assert_fine(page)
    assert page.session_state["chosen_text_model"] == copied and "Mine" in titles(page)
    assert len(page.get("vega_lite_chart")) == charts + 1
    page.switch_page("screens/text.py").run()
    assert_fine(page)
    assert page.segmented_control(key="text-model").value == copied


@pytest.mark.parametrize("text", ["", "   ", "/no/such/folder", "\0", "~nobody-here/x", "x" * 5000])
def test_what_is_no_folder_is_one_sentence(page, text):
    open_folder(page, text)
    error = the_error(page)
    assert "our side" not in error and error.isprintable()
    assert "chosen_text_model" not in page.session_state and len(titles(page)) == len(BOXED) + 1


def test_a_file_is_no_folder(page, copied):
    open_folder(page, copied / "README.md")
    assert the_error(page).endswith("README.md: not a folder; give the folder of a model.")


def test_names_are_shown_as_they_are_and_told_apart(page, copied):
    twins = [copied.with_name("my *x* <b>novel"), copied.parent / "other" / "shakespeare"]
    for twin in twins:
        shutil.copytree(copied, twin)
        open_folder(page, twin)
        assert_fine(page)
    shown = [title.replace("\\", "") for title in titles(page)]
    assert shown[:-1] == [
        "Photo captions",
        *BOXED[1:],
        "Shakespeare (other)",
        "My *x* <b>novel",
    ]
    assert "\\*x\\*" in titles(page)[len(BOXED) + 1]
    page.switch_page("screens/text.py").run()
    assert_fine(page)
    page.text_area[0].set_value("mine").run()
    page.segmented_control(key="text-model").set_value(MODELS / "novels").run()
    assert page.text_area[0].value == "It was"


def damage_weights(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def damage_header(folder):
    header = header_of(folder)
    del header["config"]["decoder"]["cell"]
    (folder / "model.json").write_text(json.dumps(header))


def pickle_instead(folder):
    (folder / "model.safetensors").write_bytes(b"\x80\x04\x95\x0f\x00cos\nsystem\n.")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (damage_weights, "model.safetensors: not a safetensors file, or truncated"),
        (pickle_instead, "model.safetensors: not a safetensors file, or truncated"),
        (damage_header, "model.json: damaged"),
        (lambda folder: (folder / "model.json").write_text("[1]"), "model.json: not a model of this program"),
        (lambda folder: (folder / "model.json").unlink(), "not a model folder"),
        (lambda folder: (folder / "training" / "log.jsonl").write_text("x\n"), "log.jsonl, line 1"),
    ],
)
def test_a_damaged_model_is_named_and_not_chosen(page, copied, damage, told):
    damage(copied)
    open_folder(page, copied)
    assert told in the_error(page)
    assert "chosen_text_model" not in page.session_state and "Mine" not in titles(page)


def test_a_page_for_strangers_opens_no_folders():
    page = opened("models")
    assert_fine(page)
    assert not page.text_input and len(titles(page)) == len(BOXED)


def test_a_card_is_shown_without_markup_that_fetches_or_runs(copied):
    card = read_info(copied).card
    assert "<" not in card and "![" not in card
    assert "\n### Trained by" in card and "# Mine" not in card


def test_a_model_of_a_kind_that_nobody_knows_is_refused(copied):
    (copied / "model.json").write_text(json.dumps({**header_of(copied), "kind": "other"}))
    with pytest.raises(UserError, match="a model of kind 'other'"):
        read_info(copied)


# --- charts


def drawn(chart):
    """The rows of a chart's table."""
    (rows,) = chart.to_dict()["datasets"].values()
    return rows


def test_a_text_runs_loss_is_drawn_beside_the_held_out_one(copied):
    log = read_info(copied).log
    assert curves.figures(log) == ["nats a token", "perplexity"]
    rows = drawn(curves.log_chart(log, "nats a token"))
    assert [(row["line"], row["evaluation"], row["value"]) for row in rows] == [
        ("training", 1, 2.5),
        ("held out", 1, 2.1),
        ("training", 2, 1.5),
        ("held out", 2, 1.6),
    ]


def test_a_captioners_run_is_drawn_a_line_a_phase_with_cider_first():
    log = [
        {"phase": "cross-entropy", "epoch": 1, "loss": 4.0, "CIDEr": 30.0},
        {"phase": "cross-entropy", "epoch": 2, "loss": 3.5, "CIDEr": 40.0},
        {"phase": "averaging", "share": 0.1, "CIDEr": 41.0},
    ]
    assert curves.figures(log) == ["CIDEr", "loss"]
    rows = drawn(curves.log_chart(log, "CIDEr"))
    assert [(row["line"], row["evaluation"], row["value"]) for row in rows] == [
        ("cross-entropy", 1, 30.0),
        ("cross-entropy", 2, 40.0),
        ("averaging", 3, 41.0),
    ]
    assert len(drawn(curves.log_chart(log, "loss"))) == 2


def test_the_phases_of_the_captioner_are_drawn_in_their_order():
    phases = training_phases(header_of(MODEL_IN_THE_BOX))
    names = [
        "cross-entropy",
        "fine-tuning",
        "self-critical",
        "averaging",
        "fine-tuning",
        "averaging",
        "averaging",
        "fine-tuning",
        "averaging",
        "self-critical",
        "averaging",
    ]
    assert [name for name, _ in phases] == names
    told = [*names[:4], "fine-tuning 2", "averaging 2", "averaging 3"]
    told += ["fine-tuning 3", "averaging 4", "self-critical 2", "averaging 5"]
    assert [row["phase"] for row in drawn(curves.phase_chart(phases))] == told
    scores = [61.92, 67.2, 69.89, 71.77, 68.08, 73.44, 75.64, 72.1, 73.57, 73.88, 75.31]
    assert [row["CIDEr"] for row in drawn(curves.phase_chart(phases))] == scores
