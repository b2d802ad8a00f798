"""Gaps are filled, lines lead over to others; what a family cannot do is told by its name."""

import pytest

from tests.helpers.families import trained
from tests.helpers.text_models import assert_one_line, run
from textgen.errors import UserError
from textgen.generator import TextGenerator
from textgen.rewriting import appearing, between, fill, near, revise

pytestmark = pytest.mark.slow


def load(family):
    return TextGenerator.load(trained(family))


def test_what_stands_around_a_gap_stays():
    for text in fill(load("diffusion"), "a big ___ in the ____", n=8, seed=3):
        words = text.split()
        assert words[:2] == ["a", "big"] and " in the " in text and "_" not in text
        assert 5 + 1 <= len(words) <= 4 + 8


def test_words_that_it_does_not_know_stay_as_typed(capsys):
    (text,) = fill(load("diffusion"), "A zyzzyva ___ outside", seed=1)
    assert text.startswith("A zyzzyva ") and text.endswith(" outside")
    _, out, err = run(capsys, "fill", "A zyzzyva ___ outside", "--model", trained("diffusion"))
    assert "zyzzyva" in err and out.startswith("A zyzzyva ")


def test_a_full_stop_may_follow_a_gap():
    assert all(line.endswith(".") for line in fill(load("diffusion"), "a ___.", 3))


def test_a_share_of_a_line_is_said_otherwise(capsys):
    line = "a small dog runs in the grass"
    found = revise(load("diffusion"), line, n=6, share=0.3, seed=2)
    assert all(len(text.split()) == 7 for text in found) and found == revise(
        load("diffusion"), line, 6, 0.3, seed=2
    )
    assert all(sum(a == b for a, b in zip(text.split(), line.split(), strict=True)) >= 5 for text in found)
    status, out, _ = run(
        capsys, "fill", line, "--revise", "0.3", "--model", trained("diffusion"), "-n", "6", "--seed", "2"
    )
    assert status == 0 and out.splitlines() == found


def test_gaps_may_begin_and_end_a_line_and_seeds_repeat():
    generator = load("diffusion")
    found = fill(generator, "___ dog ___", n=6, seed=3)
    assert all("dog" in text.split() for text in found)
    assert found == fill(generator, "___ dog ___", n=6, seed=3) and found[:2] == fill(
        generator, "___ dog ___", n=2, seed=3
    )
    greedy = fill(generator, "a ___ dog", n=3, temperature=0)
    assert all(text.startswith("a ") and text.endswith(" dog") for text in greedy)


def test_a_line_appears_word_by_word():
    stages = list(appearing(load("diffusion"), seed=2))
    hidden = [stage.split().count("▁") for stage in stages]
    assert hidden[0] > hidden[-1] == 0 and stages[-1]


@pytest.mark.parametrize("family", ["vae", "flow"])
def test_one_line_leads_over_to_another(family):
    generator = load(family)
    found = between(generator, "a small dog runs outside", "a big man sleeps on a bench", 5)
    assert len(found) == 5 and all(text.startswith("a ") for text in found)
    assert found[::-1] == between(generator, "a big man sleeps on a bench", "a small dog runs outside", 5)
    around = near(generator, "a small dog runs outside", 6, seed=1)
    assert len(around) == 6 and around == near(generator, "a small dog runs outside", 6, seed=1)


@pytest.mark.parametrize(
    ("family", "call", "message"),
    [
        ("transformer", lambda g: fill(g, "a ___"), "of the family transformer writes from left to right"),
        ("autoregressive", lambda g: near(g, "a dog"), "family autoregressive has no latent space"),
        ("diffusion", lambda g: between(g, "a", "b"), "family diffusion has no latent space"),
        ("diffusion", lambda g: fill(g, "a dog"), "has no gap; write one as ___"),
        ("diffusion", lambda g: fill(g, "a ___", n=0), "n: 0 is outside 1 to 100"),
        ("diffusion", lambda g: fill(g, "a ___", seed=-1), "seed: -1 must be 0 or more"),
        (
            "diffusion",
            lambda g: fill(g, "a ___ " + "dog " * 50),
            "is too long; this diffusion model's lines have",
        ),
        ("diffusion", lambda g: revise(g, "a ___ dog"), "has gaps, which are filled, not revised"),
        ("vae", lambda g: between(g, "a dog", " "), "text: is empty"),
        ("vae", lambda g: between(g, "a dog", "a cat", 1), "n: 1 is outside 2 to 100"),
    ],
)
def test_what_cannot_be_done_is_told(family, call, message):
    with pytest.raises(UserError, match=message):
        call(load(family))


def test_the_command_line_does_the_same(capsys):
    code, out, err = run(capsys, "fill", "a ___ dog", "--model", trained("diffusion"), "-n", "2")
    assert (code, err, len(out.splitlines())) == (0, "", 2)
    code, out, _ = run(capsys, "blend", "a dog runs", "a cat sits", "--model", trained("vae"), "-n", "4")
    assert code == 0 and len(out.splitlines()) == 4
    assert_one_line(run(capsys, "blend", "a", "b", "c", "--model", trained("vae"))[2], "blend: 3 lines given")
    assert_one_line(
        run(capsys, "fill", "a ___", "--model", trained("vae"))[2], "a diffusion model fills gaps"
    )
