"""Models of lines side by side: what they write is judged by what neither wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.families import LINES, corpus, trained
from tests.helpers.text_models import generator as text_model
from tests.helpers.text_models import run
from textgen.compare import _Judges, compare
from textgen.compare_config import CompareConfig
from textgen.errors import UserError
from textgen.generator import TextGenerator
from textgen.line_commands import CompareCommand
from textgen.report.comparison import comparison_page, table
from textgen.text.encoding import drawn_lines
from textgen.text.kneser_ney import LineNgrams

TRAIN, HELD_OUT = LINES[::2] * 2, LINES[1::2]
CONFIG = CompareConfig(samples=60, temperatures=(0.5, 1.0, 3.0), judged=50)


@pytest.fixture(scope="module")
def report():
    names = ("autoregressive", "vae")
    return compare({name: TextGenerator.load(trained(name)) for name in names}, TRAIN, HELD_OUT, CONFIG)


@pytest.mark.slow
def test_figures_are_where_they_should_be(report):
    for model in report["models"]:
        low, middle, high = model["temperatures"]
        # The hotter, the less like what people write.
        assert low["quality"] < middle["quality"] < high["quality"]
        assert high["quality"] > report["real"]["quality"]
        for row in (low, middle, high):
            assert row["intervals"]["quality"][0] <= row["quality"] <= row["intervals"]["quality"][1]
            assert 0 <= row["copied"] <= 1 and 0 < row["self_bleu"] <= 100 and len(row["texts"]) == 20
            assert row["longest_copied"] <= row["words"] and row["samples_per_second"] > 0
        assert low["self_bleu"] > high["self_bleu"]
        assert model["interval"][0] < model["nats_per_token"] < model["interval"][1]
    assert report["real"]["longest_copied"] > 3 and "copied" not in report["real"]
    exact, bound = report["models"]
    assert (exact["likelihood"], bound["likelihood"]) == ("exact", "upper bound")
    generator = TextGenerator.load(trained("autoregressive"))
    lines = drawn_lines(HELD_OUT, 50)
    assert exact["nats_per_token"] == pytest.approx(generator.score(lines).nats_per_token)


@pytest.mark.slow
def test_the_report_is_a_table_and_a_page_that_needs_nothing_else(report):
    text = table(report)
    assert (
        "At temperature 1." in text
        and "≤ " in text
        and "real text" in text
        and report["models"][1]["temperatures"][1]["texts"][0] in text
    )
    page = comparison_page(report)
    assert page.startswith("<!doctype html>") and "http" not in page.replace("http-equiv", "")
    assert page.count("<circle") == 6 and "temperature 0.5" in page
    assert all(text in page for text in report["models"][0]["temperatures"][1]["texts"])
    assert json.loads(json.dumps(report)) == report


@pytest.mark.slow
def test_the_command_line_writes_all_of_it(tmp_path, capsys):
    train, held_out = tmp_path / "train.txt", tmp_path / "dev.txt"
    train.write_text("\n".join(TRAIN))
    held_out.write_text("\n".join(HELD_OUT))
    options = ("--train", train, "--held-out", held_out, "--samples", "30", "--temperatures", "1.0")
    page, plot = tmp_path / "report.html", tmp_path / "plot.png"
    code, out, _ = run(
        capsys,
        "compare",
        trained("autoregressive"),
        trained("transformer"),
        *options,
        "--report",
        page,
        "--plot",
        plot,
    )
    assert code == 0 and out.startswith(" ") and page.read_text().startswith("<!doctype html>")
    assert plot.read_bytes()[:4] == b"\x89PNG"
    code, out, _ = run(capsys, "compare", trained("transformer"), *options, "--json")
    assert code == 0 and json.loads(out)["models"][0]["family"] == "transformer"


@pytest.mark.slow
def test_what_is_copied_is_told_by_words_and_other_vocabularies_by_a_note(report):
    judges = _Judges(TRAIN, HELD_OUT, 0)
    told = judges.judge([TRAIN[0], TRAIN[1].replace("dog", "qqq").replace("cat", "qqq"), "nothing of it"])
    assert told["copied"] == pytest.approx(1 / 3) or told["copied"] == pytest.approx(2 / 3)
    told = judges.judge(["zzz qqq", "qqq zzz"])
    assert told["copied"] == told["longest_copied"] == 0
    assert (
        report["notes"] == [] and report["models"][0]["unknown"] == 0 and report["models"][0]["bytes"] > 1000
    )
    assert report["models"][0]["parameters"] > 1000


def test_what_cannot_be_compared_is_told():
    with pytest.raises(UserError, match="name a model or more"):
        CompareCommand((), Path("train.txt"), Path("dev.txt")).run()
    lines = TextGenerator.load(trained("autoregressive"))
    with pytest.raises(UserError, match="stream: not a model of lines"):
        compare({"stream": text_model("word")}, TRAIN, HELD_OUT)
    with pytest.raises(UserError, match="99 held out are too few"):
        compare({"lines": lines}, TRAIN, HELD_OUT[:99])
    for wrong in (
        {"samples": 1},
        {"samples": 10_001},
        {"temperatures": ()},
        {"temperatures": (-1.0,)},
        {"seed": -1},
        {"judged": 0},
    ):
        with pytest.raises(UserError, match=next(iter(wrong)).rstrip("s")):
            CompareConfig(**wrong)


def test_lines_to_judge_by_are_drawn_not_every_kth():
    lines = [f"{picture} {place}" for picture in range(200) for place in range(5)]
    drawn = drawn_lines(lines, 200)
    assert len(drawn) == 200 and drawn == sorted(drawn, key=lines.index) == drawn_lines(lines, 200)
    assert len({line.split()[1] for line in drawn}) == 5 and drawn != drawn_lines(lines, 200, seed=1)
    assert drawn_lines(lines, 1000) == lines


def test_n_grams_of_lines_begin_anew_and_count_their_ends():
    rng = np.random.default_rng(0)
    lines = [[*rng.integers(4, 12, size=rng.integers(1, 6)).tolist(), 2] for _ in range(200)]
    model = LineNgrams(lines, 12, 3)
    nats = model.nats(lines)
    for place in (0, 7, 199):
        assert model.nats([lines[place]])[0] == pytest.approx(nats[place])
    # The probabilities of a line's first token, and its end, sum to one.
    first = sum(np.exp(-model.nats([[token]]))[0] for token in range(12))
    assert first == pytest.approx(1)
    assert len(model.nats([])) == 0 and corpus().exists()
