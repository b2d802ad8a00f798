"""`captioner score`: files in, one report out, on the terminal, as JSON and as a page."""

import json
import shutil
import subprocess
import sys
from functools import partial

import pytest
import sacrebleu

from captioner.cli import main
from captioner.metrics import SCORES, corpus_report
from captioner.score import score
from captioner.score_config import ReportConfig
from tests.conftest import draw
from tests.helpers.captioned_folders import table, write
from tests.helpers.command_lines import assert_one_line_of, run_command

run = partial(run_command, main)
assert_one_line = partial(assert_one_line_of, "captioner")

REFERENCES = {
    "1.jpg": ["a brown dog runs over the grass", "a dog is running outside"],
    "2.jpg": ["two men ride bikes down a hill", "people on bikes"],
    "3.jpg": ["a girl in a red dress jumps into the pool", "the girl jumps into water"],
    "4.jpg": ["a boy kicks a ball", "a child plays soccer on a field"],
}
SPOKEN = {
    "1.jpg": "a dog runs over the grass",
    "2.jpg": "two men on a hill",
    "3.jpg": "a girl jumps into the pool",
    "4.jpg": "a dog with a ball",
}
RIVAL = SPOKEN | {"1.jpg": "a cat", "4.jpg": "a boy kicks a ball"}


@pytest.fixture
def files(tmp_path):
    rows = [{"image_id": key, "caption": text} for key, text in SPOKEN.items()]
    said = write(tmp_path / "said.json", json.dumps(rows))
    write(
        tmp_path / "rival.csv", "image,caption\n" + "".join(f"{key},{text}\n" for key, text in RIVAL.items())
    )
    truth = table(tmp_path, *(f"{key},{text}" for key, others in REFERENCES.items() for text in others))
    return said, truth


def test_the_scores_are_those_of_the_library(capsys, files):
    status, out, err = run(capsys, "score", *files, "--json", "--bootstrap", "100")
    report = json.loads(out)
    assert (status, err) == (0, "")
    expected = corpus_report(SPOKEN, REFERENCES, draws=100, with_anchors=True)
    assert {name: report[name] for name in SCORES} == {name: expected[name] for name in SCORES}
    assert report["signature"] == expected["signature"]
    assert report["intervals"] == expected["intervals"]
    assert report["anchors"] == expected["anchors"]


def test_the_terminal_shows_signature_scores_intervals_and_anchors(capsys, files, tmp_path):
    train = write(tmp_path / "train.txt", "a girl jumps into the pool\nanother caption\n")
    status, out, _ = run(capsys, "score", *files, "--train", train)
    report = corpus_report(SPOKEN, REFERENCES, draws=1000, with_anchors=True)
    assert status == 0 and out.splitlines()[0] == report["signature"]
    for name in SCORES:
        low, high = report["intervals"][name]
        line = next(line for line in out.splitlines() if line.startswith(name))
        assert line.split() == [name, f"{report[name]:.2f}", f"{low:.2f}", "to", f"{high:.2f}"]
    for words in ("precisions", "brevity penalty", "length ratio", "4 distinct captions of 4", "1 copied"):
        assert words in out
    for row in report["anchors"]:
        line = next(line for line in out.splitlines() if line.startswith(row["name"]))
        assert line.split()[-6:] == [f"{row[name]:.2f}" for name in SCORES]


def test_without_a_bootstrap_there_are_no_intervals(capsys, files):
    _, out, _ = run(capsys, "score", *files, "--bootstrap", "0")
    assert "interval" not in out and "bootstrap" not in out and "CIDEr" in out


def test_two_systems_are_compared(capsys, files, tmp_path):
    argv = ["score", *files, "--other", tmp_path / "rival.csv"]
    status, out, _ = run(capsys, *argv)
    report = json.loads(run(capsys, *argv, "--json")[1])
    found = report["other"]["differences"]["CIDEr"]
    assert status == 0
    assert report["other"]["name"] == "rival.csv"
    assert found["difference"] == pytest.approx(report["CIDEr"] - report["other"]["CIDEr"])
    line = next(line for line in out.splitlines() if line.startswith("CIDEr"))
    assert f"{found['difference']:+.2f}" in line and f"{report['other']['CIDEr']:.2f}" in line
    assert f"{found['p']:.3f}" in line


def test_where_two_systems_differ_most_is_shown(capsys, files, tmp_path):
    _, out, _ = run(capsys, "score", *files, "--other", tmp_path / "rival.csv")
    ahead, behind = out.split("furthest ahead")[1].split("furthest behind")
    assert "1.jpg" in ahead and "a dog runs over the grass" in ahead and "a cat" in ahead
    assert "4.jpg" in behind and "a dog with a ball" in behind and "a boy kicks a ball" in behind
    assert "2.jpg" not in ahead + behind


def test_lines_against_parallel_references(capsys, tmp_path):
    said = write(tmp_path / "said.txt", "".join(f"{text}\n" for text in SPOKEN.values()))
    truths = [
        write(
            tmp_path / f"reference{turn}.txt", "".join(f"{others[turn]}\n" for others in REFERENCES.values())
        )
        for turn in range(2)
    ]
    status, out, _ = run(capsys, "score", said, *truths, "--json")
    report = json.loads(out)
    assert status == 0
    assert {name: report[name] for name in SCORES} == {
        name: corpus_report(SPOKEN, REFERENCES)[name] for name in SCORES
    }


def test_a_page_shows_the_pictures_that_are_at_hand(capsys, files, tmp_path):
    (tmp_path / "Images").mkdir()
    draw("red", "circle").save(tmp_path / "Images" / "1.jpg")
    (tmp_path / "Images" / "2.jpg").write_bytes(b"no picture")
    page = tmp_path / "report.html"
    status, out, _ = run(
        capsys, "score", *files, "--other", tmp_path / "rival.csv", "--report", page, "--bootstrap", "100"
    )
    html = page.read_text(encoding="utf-8")
    assert status == 0
    assert html.replace("<wbr>", "").count(out.splitlines()[0]) == 1
    assert html.count('src="data:image/jpeg;base64,') == 2  # 1.jpg among all, and where the two differ
    assert all(
        text in html for text in (*SPOKEN.values(), *RIVAL.values(), "a child plays soccer on a field")
    )


def test_a_model_gets_the_same_report_and_its_looks_are_on_the_page(capsys, tiny_model, shapes, tmp_path):
    page, saved = tmp_path / "report.html", tmp_path / "said.json"
    options = ["--report", page, "--save", saved, "--json", "--bootstrap", "100"]
    status, out, _ = run(capsys, "evaluate", shapes, "--model", tiny_model, *options)
    report, html = json.loads(out), page.read_text(encoding="utf-8")
    assert status == 0
    assert html.count('src="data:image/jpeg;base64,') == 8
    first = json.loads(saved.read_text())[0]["caption"].split()
    assert html.count("data-look=") >= 8 and f">{first[0]}</button>" in html
    _, out, _ = run(capsys, "score", saved, shapes, "--split", "dev", "--json", "--bootstrap", "100")
    again = json.loads(out)
    assert report["signature"].startswith(again["signature"])
    assert all(
        report[key] == again[key] for key in (*SCORES, "intervals", "anchors", "precisions", "lengths")
    )
    assert report["diversity"]["copied"] is not None and report["diversity"]["cut"] == 0


def test_warnings_are_loud_and_beside_the_scores(capsys, files, tmp_path):
    cased = {key: [text.capitalize() for text in others] for key, others in REFERENCES.items()}
    truth = write(tmp_path / "cased.json", json.dumps(cased))
    status, out, err = run(capsys, "score", files[0], truth)
    assert status == 0 and "CIDEr" in out
    assert "captioner: WARNING: the references have capitals" in err
    assert all(line.startswith("captioner: WARNING: ") for line in err.splitlines())


def test_a_missing_file_an_unequal_count_and_a_special_token_are_one_line_each(capsys, files, tmp_path):
    said, truth = files
    lines = write(tmp_path / "lines.txt", "one\ntwo\n")
    fewer = write(tmp_path / "fewer.txt", "one\n")
    marked = write(
        tmp_path / "marked.json", json.dumps({key: f"{text} <end>" for key, text in SPOKEN.items()})
    )
    bad = write(tmp_path / "bad.json", json.dumps({key: ["a <pad> dog"] for key in REFERENCES}))
    page = tmp_path / "nowhere" / "report.html"
    for argv, words in (
        ([tmp_path / "none.json", truth], ["none.json"]),
        ([said, tmp_path / "none.json"], ["none.json"]),
        ([lines, fewer], ["lines.txt", "fewer.txt", "2", "1"]),
        ([marked, truth], ["marked.json", "special token", "<end>"]),
        ([said, truth, "--other", marked], ["marked.json", "special token"]),
        ([said, truth, "--report", page], ["nowhere", "--report"]),
        ([said, truth, "--report", tmp_path], ["--report"]),
        ([said, truth, "--report", said], ["said.json", "--report"]),
        ([said, bad], ["bad.json", "<pad>", "of picture '1.jpg'"]),
        ([said, truth, "--bootstrap", "1"], ["bootstrap"]),
        ([said, truth, "--bootstrap", "-1"], ["bootstrap"]),
        ([said, truth, "--seed", "-1"], ["seed"]),
        ([said, truth, "--split", "dve"], ["dve"]),
        ([said, truth, "--train", tmp_path / "none.txt"], ["none.txt"]),
    ):
        status, out, err = run(capsys, "score", *argv)
        assert (status, out) == (2, ""), argv
        assert_one_line(err, *words)
    assert run(capsys, "score", said)[0] == 2  # no references
    assert json.loads(said.read_text())  # as it was
    assert not page.exists()


def test_meteor_is_its_authors_program_or_refused(capsys, files, monkeypatch):
    pytest.importorskip("pycocoevalcap")
    monkeypatch.setenv("PATH", "")
    status, out, err = run(capsys, "score", *files, "--meteor")
    assert (status, out) == (2, "")
    assert_one_line(err, "METEOR 1.5", "Java")
    status, _, err = run(capsys, "score", *files, "--spice")
    assert status == 2
    assert_one_line(err, "SPICE", "Java")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("java"), reason="needs Java")
def test_meteor_is_that_of_pycocoevalcap(capsys, files):
    module = pytest.importorskip("pycocoevalcap.meteor.meteor")
    expected, _ = module.Meteor().compute_score(REFERENCES, {key: [text] for key, text in SPOKEN.items()})
    status, out, _ = run(capsys, "score", *files, "--meteor", "--json", "--bootstrap", "0")
    assert status == 0 and json.loads(out)["extra"] == {"METEOR 1.5": pytest.approx(100 * expected)}
    assert "METEOR 1.5" in run(capsys, "score", *files, "--meteor", "--bootstrap", "0")[1]


def test_kinds_are_shown_on_the_terminal_in_json_and_on_the_page(capsys, files, tmp_path):
    page = tmp_path / "report.html"
    argv = ["score", *files, "--kinds", "--bootstrap", "0"]
    _, out, _ = run(capsys, *argv, "--report", page)
    found = json.loads(run(capsys, *argv, "--json")[1])["kinds"]
    assert found["people"]["pictures"] == 3 and found["animals"]["pictures"] == 1
    line = next(line for line in out.splitlines() if line.startswith("people"))
    assert line.split() == ["people", "3", *(f"{found['people'][name]:.2f}" for name in SCORES)]
    assert "By kind of picture" in page.read_text("utf-8")
    assert "kinds" not in json.loads(run(capsys, "score", *files, "--json")[1])


def test_the_worst_captions_stand_beside_a_reference_the_worst_first(capsys, files):
    argv = ["score", *files, "--worst", "2", "--bootstrap", "0"]
    worst = json.loads(run(capsys, *argv, "--json")[1])["worst"]
    assert [row["id"] for row in worst] == ["4.jpg", "2.jpg"] and worst[0]["CIDEr"] < worst[1]["CIDEr"]
    out = run(capsys, *argv)[1]
    shown = out[out.index("worst, by CIDEr") :].splitlines()[1:4]
    assert shown[0] == "4.jpg" and shown[1].endswith(f"  {SPOKEN['4.jpg']}")
    assert shown[2].strip() in REFERENCES["4.jpg"]
    assert_one_line(run(capsys, "score", *files, "--worst", "-1")[2], "worst: -1 must be 0 or more")


def test_captions_without_spaces_are_scored_by_characters_when_asked(capsys, tmp_path):
    said = ["一只棕色的狗在草地上奔跑", "两个男人骑自行车下山", "一个女孩坐在红色的椅子上"]
    truth = ["一只狗在草地上跑", "两个人骑自行车下山", "女孩坐在一张红椅子上"]
    predictions, references = (
        write(tmp_path / "p.txt", "\n".join(said)),
        write(tmp_path / "r.txt", "\n".join(truth)),
    )
    for options in ([], ["--tokenizer", "none"]):
        status, out, err = run(capsys, "score", predictions, references, *options)
        assert (status, out) == (2, "")
        assert_one_line(err, "no spaces between words", "--tokenizer char")
    report = json.loads(run(capsys, "score", predictions, references, "--tokenizer", "char", "--json")[1])
    bleu = sacrebleu.corpus_bleu(said, [truth], tokenize="char", smooth_method="none")
    assert [report[f"BLEU-{order}"] for order in (4,)] == [pytest.approx(bleu.score)]
    assert "tok:char|case:lower|punctuation:kept" in report["signature"]


def test_words_that_are_split_already_may_be_taken_as_they_are(capsys, files):
    report = json.loads(run(capsys, "score", *files, "--tokenizer", "none", "--json", "--bootstrap", "0")[1])
    assert (
        report["BLEU-1"] == corpus_report(SPOKEN, REFERENCES)["BLEU-1"] and "tok:none" in report["signature"]
    )
    for options, words in (
        (["--tokenizer", "zh"], "tokenizer: unknown 'zh'; known: ptb, char, none"),
        (["--tokenizer", "char", "--meteor"], "meteor: knows English words only"),
    ):
        assert_one_line(run(capsys, "score", *files, *options)[2], words)


def test_scoring_loads_no_torch_and_no_pictures(files):
    said, truth = map(str, files)
    script = "import sys; from captioner.cli import main; main(sys.argv[1:]);"
    script += "sys.exit(bool({'torch', 'torchvision', 'nltk', 'safetensors', 'PIL'} & set(sys.modules)))"
    command = [sys.executable, "-c", script, "score", said, truth, "--train", truth]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "CIDEr" in done.stdout, done.stderr


def test_a_score_ends_at_whatever_part_its_check_raises(files, tmp_path):
    said, truth = files

    class Enough(Exception):
        pass

    def parts(most):
        """How many parts a score has; it ends before the part of that number."""
        seen = []

        def check():
            seen.append(None)
            if len(seen) > most:
                raise Enough

        report = tmp_path / "report.html"
        score(said, [truth], ReportConfig(report=report), other=tmp_path / "rival.csv", check=check)
        return len(seen)

    count = parts(1000)
    assert count >= 20
    for most in range(count):
        (tmp_path / "report.html").unlink(missing_ok=True)
        with pytest.raises(Enough):
            parts(most)
        assert not (tmp_path / "report.html").exists()
