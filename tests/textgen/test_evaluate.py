"""Judging a model: evaluate, sweep and info, after a training from the command line."""

import json
import math
import subprocess
import sys

import pytest

import textgen.text.corpus as corpora
import textgen.train
from tests.helpers.text_models import assert_one_line, corpus, generator, lines, run, story, trained
from textgen.errors import Interrupted
from textgen.sweep import PROMPTS, cycles, sweep
from textgen.sweep_config import SweepConfig
from textgen.text.encodings import LargeText

TRAIN = (
    "--hidden 16 --embedding 8 --layers 1 --batch 8 --sequence 25 --epochs 1 --device cpu --precision float32"
)


def figures(out):
    """Nats a token, perplexity and bits a character of what evaluate prints."""
    return [float(line.split()[-1]) for line in out.splitlines()[1:4]]


def test_a_model_is_trained_judged_compared_and_shown_from_the_command_line(capsys, tmp_path):
    (tmp_path / "story.txt").write_text(story(15))
    status, out, err = run(capsys, "train", tmp_path / "story.txt", "--out", tmp_path / "run", *TRAIN.split())
    assert (status, out) == (0, "") and "held-out" in err and f"the model is in {tmp_path / 'run'}" in err
    stated = json.loads((tmp_path / "run" / "model.json").read_text())["provenance"]["held_out"]
    model = ["--model", tmp_path / "run"]

    status, out, err = run(capsys, "evaluate", tmp_path / "story.txt", *model)
    assert (status, err) == (0, "") and out.startswith("held-out (last 10 % of the characters); ")
    names = ("nats", "perplexity", "bits_per_character")
    assert figures(out) == pytest.approx([stated[name] for name in names], rel=2e-3)

    status, out, err = run(capsys, "sweep", "Tom", *model, "--length", 9, "--temperatures", 0, 1)
    assert (status, err) == (0, "") and out.startswith("'Tom'\n  0    ")
    assert len(out.split("\n\n")[1].splitlines()) == 3

    status, out, err = run(capsys, "info", tmp_path / "run")
    assert (status, err) == (0, "") and f"| {stated['nats']:.4f} |" in out
    document = json.loads(run(capsys, "info", tmp_path / "run", "--json")[1])
    assert document["kind"] == "textgen" and "vocabulary" not in document


def test_a_corpus_in_three_files_is_trained_on_and_its_test_file_judged_once(capsys, tmp_path):
    parts = {name: tmp_path / f"{name}.txt" for name in ("train", "valid", "test")}
    for seed, path in enumerate(parts.values(), 1):
        path.write_text(story(12 + seed))
    options = ["--dev", parts["valid"], "--test", parts["test"], "--graphs", "none"]
    status, _, err = run(capsys, "train", parts["train"], "--out", tmp_path / "run", *options, *TRAIN.split())
    assert status == 0 and err.count("test: ") == 1
    provenance = json.loads((tmp_path / "run" / "model.json").read_text())["provenance"]
    assert provenance["split"] == "valid.txt"
    assert provenance["tokens"]["train"] == len(parts["train"].read_text())
    for part, stated in (("valid", "held_out"), ("test", "test")):
        out = run(capsys, "evaluate", parts[part], "--split", "all", "--model", tmp_path / "run")[1]
        assert figures(out)[0] == pytest.approx(provenance[stated]["nats"], rel=2e-3)
    card = run(capsys, "info", tmp_path / "run")[1]
    assert "Test, judged once" in card and f"| {provenance['test']['nats']:.4f} |" in card


@pytest.mark.parametrize(
    ("name", "text", "options", "said"),
    [
        ("marks.txt", "___", ["--level", "word"], "marks.txt (--test): text: is empty"),
        ("head.csv", "said,n\n", ["--columns", "said"], "head.csv: no row has text in these columns"),
    ],
)
def test_a_test_file_without_text_is_told_before_the_training(capsys, tmp_path, name, text, options, said):
    corpus = tmp_path / ("train.csv" if "--columns" in options else "train.txt")
    corpus.write_text("said,n\n" + "a red dog,1\n" * 40 if "--columns" in options else story(15))
    (tmp_path / name).write_text(text)
    out = tmp_path / "run"
    status, _, err = run(
        capsys, "train", corpus, "--out", out, "--test", tmp_path / name, *options, *TRAIN.split()
    )
    assert status == 2 and not out.exists()
    assert_one_line(err, said)


def test_a_run_goes_on_with_the_files_that_it_began_with(capsys, tmp_path):
    train, dev = tmp_path / "train.txt", tmp_path / "dev.txt"
    train.write_text(story(15))
    dev.write_text(story(13))
    command = ["train", train, "--out", tmp_path / "run", "--graphs", "none", *TRAIN.split()]
    assert run(capsys, *command, "--dev", dev)[0] == 0
    status, _, err = run(capsys, *command, "--resume")
    assert status == 2
    assert_one_line(err, "or not the split")
    assert run(capsys, *command, "--dev", dev, "--resume")[0] == 0


def test_a_words_perplexity_is_over_the_words_that_are_stated(capsys, tmp_path):
    text = " ".join(story(9).split())
    (tmp_path / "text.txt").write_text(text)
    report = json.loads(
        run(
            capsys, "evaluate", tmp_path / "text.txt", "--split", "all", "--json", "--model", trained("char")
        )[1]
    )
    nats = report["nats_per_character"] * report["characters"]
    assert report["words"] == len(text.split())
    assert report["word_perplexity"] == pytest.approx(math.exp(nats / report["words"]), rel=1e-6)
    out = run(capsys, "evaluate", tmp_path / "text.txt", "--split", "all", "--model", trained("char"))[1]
    assert f"{report['word_perplexity']:.2f}; {report['words']:,} words between white space" in out
    (tmp_path / "lines.txt").write_text("Tom runs\n\nAnn sits\n")
    report = json.loads(
        run(
            capsys,
            "evaluate",
            tmp_path / "lines.txt",
            "--split",
            "all",
            "--json",
            "--model",
            trained("lines"),
        )[1]
    )
    assert report["words"] == 6  # four, and two line ends


def test_an_interrupted_training_is_one_line_and_status_130(capsys, tmp_path, monkeypatch):
    def stopped(*arguments):
        raise Interrupted("stopped in epoch 1; continue with --resume")

    monkeypatch.setattr(textgen.train, "train", stopped)
    status, out, err = run(capsys, "train", corpus("char"), "--out", tmp_path / "run")
    assert (status, out) == (130, "")
    assert_one_line(err, "continue with --resume")


# --- evaluate


def test_evaluate_scores_a_split_as_the_model_does(capsys):
    text = corpus("char").read_text()
    cut = int(len(text) * 0.9)
    for split, part in (("held-out", text[cut:]), ("train", text[:cut])):
        command = ["evaluate", corpus("char"), "--model", trained("char"), "--split", split, "--streams", 1]
        status, out, err = run(capsys, *command, "--json")
        document, score = json.loads(out), generator("char").score(part)
        assert (status, err, document["notes"]) == (0, "", [])
        assert document["split"] == f"{split} (last 10 % of the characters)"
        assert {name: document[name] for name in score.to_json()} == pytest.approx(score.to_json())
        assert (document["unknown_rate"], document["vocabulary"]) == (0, len(generator("char").tokenizer))
        assert document["model"] == generator("char").hash
        assert document["corpus"] == generator("char").header["provenance"]["data_hash"]


def test_evaluate_reads_lines_and_counts_what_is_unknown(capsys, tmp_path):
    (tmp_path / "lines.txt").write_text(lines(5) + "\nQUITE UNKNOWN\n")
    command = ["evaluate", tmp_path / "lines.txt", "--model", trained("lines"), "--held-out", 0.5, "--json"]
    document = json.loads(run(capsys, *command, "--split", "all")[1])
    assert document["split"] == "all (last 50 % of the lines)"
    assert document["characters"] == len(lines(5)) + 14
    assert document["unknown"] == 12 and document["unknown_rate"] == 12 / document["tokens"]


@pytest.mark.parametrize("split", ["held-out", "train", "all"])
def test_a_large_corpus_is_judged_as_it_was_in_training(capsys, tmp_path, monkeypatch, split):
    monkeypatch.setattr(corpora, "_LARGE", 1)
    monkeypatch.setattr(corpora, "_JUDGED", 150)
    (tmp_path / "story.txt").write_text(story(30))
    (tmp_path / "run" / "training").mkdir(parents=True)
    (tmp_path / "run" / "training" / "tokens-old.bin").touch()  # a start with another corpus was killed
    command = ["train", tmp_path / "story.txt", "--out", tmp_path / "run", "--graphs", "none", *TRAIN.split()]
    assert run(capsys, *command)[0] == 0
    (mapped,) = (tmp_path / "run" / "training").glob("tokens-*.bin")
    assert mapped.name != "tokens-old.bin"
    monkeypatch.setattr(LargeText, "__str__", bounded(LargeText.__str__))
    command = ["evaluate", tmp_path / "story.txt", "--model", tmp_path / "run", "--split", split]
    status, out, err = run(capsys, *command)
    assert status == 0 and ", 150 characters" in out
    assert_one_line(err, "story.txt: of so large a file the first 150 characters")
    stated = json.loads((tmp_path / "run" / "model.json").read_text())["provenance"]["held_out"]["nats"]
    assert (figures(out)[0] == pytest.approx(stated, rel=2e-3)) == (split == "held-out")


def bounded(whole):
    def read(text):
        assert len(text) <= 150, "all of a large text in memory"
        return whole(text)

    return read


def test_evaluate_notes_another_corpus_or_split(capsys, tmp_path):
    (tmp_path / "other.txt").write_text(story(5, seed=8))
    for command in ([tmp_path / "other.txt"], [corpus("char"), "--held-out", 0.2]):
        status, out, err = run(capsys, "evaluate", *command, "--model", trained("char"))
        assert status == 0 and len(figures(out)) == 3
        assert_one_line(err, "not the corpus, or not the split, that the model was trained on")


def test_a_table_needs_columns_and_says_which_rows_are_left_out(capsys, tmp_path):
    (tmp_path / "t.csv").write_text("id,said\n1,red moon\n2,\n3,blue lamp\n")
    command = ["evaluate", tmp_path / "t.csv", "--model", trained("lines"), "--split", "all"]
    status, out, err = run(capsys, *command)
    assert (status, out) == (2, "")
    assert_one_line(err, "columns", "id")
    status, _, err = run(capsys, *command, "--columns", "said")
    assert status == 0 and "1 rows without text" in err


# --- sweep


def test_a_sweep_compares_temperatures_on_the_same_prompts():
    config = SweepConfig(temperatures=(0.0, 1.0, 3.0), length=40, n=2)
    report = sweep(generator("char"), ["Tom", "The "], config)
    assert report["prompts"] == ["Tom", "The "] and report["model"] == generator("char").hash
    figures = report["rows"]
    assert [row["temperature"] for row in figures] == [0.0, 1.0, 3.0]
    assert figures[0]["perplexity"] < figures[1]["perplexity"] < figures[2]["perplexity"]
    assert all(
        0 < row[f"distinct_{n}"] <= 1 and 0 <= row["cycles"] <= 1 for row in figures for n in (1, 2, 3)
    )
    for row in figures:
        texts = generator("char").generate(
            ["Tom", "The "], n=2, length=40, temperature=row["temperature"], seed=0
        )
        assert row["texts"] == [of_prompt[0].text for of_prompt in texts]
        nats = [-text.log_prob for of_prompt in texts for text in of_prompt]
        assert row["perplexity"] == pytest.approx(math.exp(sum(nats) / 160), rel=1e-3)


def test_a_sweep_shows_the_longest_stretch_of_the_training_text():
    model = generator("char")
    row = sweep(model, ["In the evening"], SweepConfig(temperatures=(0.0,), length=60))["rows"][0]
    longest, whole = row["longest_copied"], corpus("char").read_text()
    assert longest["tokens"] == len(longest["text"]) >= 24 and longest["text"] in row["texts"][0]
    assert all(longest["text"][i : i + 16] in whole for i in range(0, longest["tokens"] - 15, 8))


@pytest.mark.parametrize("kind", ["char", "word", "lines"])
def test_a_sweep_of_no_prompts_takes_some_that_suit_the_model(capsys, kind):
    command = ["sweep", "--model", trained(kind), "--temperatures", 0.5, "--length", 4]
    document = json.loads(run(capsys, *command, "--json")[1])
    wanted = [""] if kind == "lines" else list(PROMPTS[kind])
    assert document["prompts"] == wanted
    assert all(len(row["texts"]) == len(wanted) for row in document["rows"])
    _, out, _ = run(capsys, *command)
    assert all(repr(prompt) in out for prompt in document["prompts"])
    shown = out.splitlines()[-1]
    assert shown.startswith("0.5 ") and ("no index" in shown) == (kind == "lines")


def test_a_plot_is_a_png(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    command = ["sweep", "Tom", "--model", trained("char"), "--length", 5, "--plot", tmp_path / "plot.png"]
    status, out, _ = run(capsys, *command)
    assert status == 0 and out
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_plot_without_matplotlib_says_which_extra(capsys, tmp_path, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    command = ["sweep", "Tom", "--model", trained("char"), "--length", 5, "--plot", tmp_path / "plot.png"]
    status, out, err = run(capsys, *command)
    assert (status, out) == (2, "") and not (tmp_path / "plot.png").exists()
    assert_one_line(err, "--plot: needs matplotlib", "captioner[plot]")


@pytest.mark.parametrize(
    ("ids", "looping"),
    [
        ("", False),
        ("a", False),
        ("aa", False),
        ("aaa", True),
        ("abcdefghi", False),
        ("abcdefaaa", True),
        ("abcdefgaa", False),
        ("xyabababababab", True),
        ("abcdefghabab", False),
        ("the and the and the and ", True),
        ("it was so and the day and the day and the day", True),
        ("and the day and the day and the day was over then", False),
    ],
)
def test_a_text_cycles_when_its_last_third_is_one_stretch_over_and_over(ids, looping):
    assert cycles(ids) is looping


def test_help_is_printed_without_loading_torch():
    script = "import sys; from textgen.cli import main\ntry: main(['generate', '--help'])\nexcept SystemExit: pass\n"
    script += "assert not {'torch', 'nltk', 'matplotlib'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--temperature" in done.stdout


def test_the_perplexity_of_lines_counts_their_ends():
    model = generator("lines")
    row = sweep(model, [""], SweepConfig(temperatures=(1.0,), length=60, n=20))["rows"][0]
    texts = model.generate(n=20, length=60, temperature=1.0, seed=0)
    assert all(text.finished for text in texts)
    assert row["perplexity"] == pytest.approx(model.score([text.text for text in texts]).perplexity, rel=0.02)
