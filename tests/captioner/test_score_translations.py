"""`captioner score --translation`: sacrebleu's own figures of lines."""

import json

import pytest

from captioner.cli import main
from tests.helpers.command_lines import assert_one_line_of, run_command

sacrebleu = pytest.importorskip("sacrebleu")
SAID = ["Ein rotes Boot sinkt.", "Der Mond geht auf.", "Tom hat gelacht."]
TRUE = ["Das rote Boot sinkt.", "Der Mond geht auf.", "Tom lachte."]
OTHER = ["Ein rotes Boot sank.", "Der Mond geht.", "Tom hat gelacht."]


@pytest.fixture
def files(tmp_path):
    for name, lines in (("said", SAID), ("true", TRUE), ("other", OTHER), ("short", TRUE[:2]), ("none", [])):
        (tmp_path / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return tmp_path


def score(capsys, files, *names, json_=False):
    said, *rest = (files / f"{name}.txt" if not name.startswith("-") else name for name in names)
    argv = ["score", said, *rest, "--translation", *(["--json"] if json_ else [])]
    return run_command(main, capsys, *argv)


def test_the_figures_are_sacrebleus(capsys, files):
    status, out, _ = score(capsys, files, "said", "true")
    assert status == 0 and "3 sentences, 1 references each" in out and "tok:13a" in out
    _, out, _ = score(capsys, files, "said", "true", "other", json_=True)
    found = json.loads(out)["scores"]
    assert found["BLEU"] == pytest.approx(sacrebleu.corpus_bleu(SAID, [TRUE, OTHER]).score)
    assert "nrefs:2" in found["signatures"]["BLEU"]


def test_another_system_stands_beside_it(capsys, files):
    _, out, _ = score(capsys, files, "said", "true", "--other", "other", json_=True)
    found = json.loads(out)["against"]
    assert [row["system"] for row in found] == ["said.txt", "other.txt"]
    assert found[0]["BLEU"] > found[1]["BLEU"] and 0 < found[1]["BLEU_p"] <= 1


@pytest.mark.parametrize("option", [("--split", "dev"), ("--report", "a.html"), ("--bootstrap", "0")])
def test_options_of_captions_are_refused(capsys, files, option):
    argv = ["score", files / "said.txt", files / "true.txt", "--translation", *option]
    status, _, err = run_command(main, capsys, *argv)
    assert status == 2
    assert_one_line_of("captioner", err, "--translation: takes no other option than --other and --json")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("said", "short"), "short.txt: has 2 lines"),
        (("none", "none"), "is empty"),
        (("said",), "said.txt: no references given"),
    ],
)
def test_what_does_not_fit_is_one_line(capsys, files, names, words):
    status, _, err = score(capsys, files, *names)
    assert status == 2
    assert_one_line_of("captioner", err, words)
