"""Every family is trained, stored, exported and used by what the others use."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.helpers.families import LINES, corpus, settings, trained
from textgen.decoding.likelihood import BOUND, ESTIMATE, EXACT
from textgen.errors import Interrupted, UserError
from textgen.families import training as module
from textgen.families.stored import FAMILIES, PARTS, export_model, load_any
from textgen.families.training import train_family
from textgen.families.training_config import SIZES, FamilyConfig
from textgen.generator import TextGenerator
from textgen.storage.bundle import HEADER, WEIGHTS

pytestmark = pytest.mark.slow

KINDS = {"vae": BOUND, "flow": BOUND, "diffusion": BOUND, "energy": ESTIMATE}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_trained_writes_lines_and_finds_them_likely(family):
    generator = TextGenerator.load(trained(family))
    texts = generator.generate(n=40, length=12, temperature=0.5, seed=1)
    words = {word for line in LINES for word in line.split()}
    assert all(set(text.text.split()) <= words for text in texts)
    assert np.mean([text.text.split()[0] == "a" for text in texts]) > 0.6
    found, odd = generator.score(LINES[:40]), generator.score(["bench the in sleeps big a"] * 40)
    assert found.likelihood == KINDS.get(family, EXACT)
    assert found.nats_per_token < 2.9 < odd.nats_per_token  # 25 words: 3.2


@pytest.mark.parametrize("family", FAMILIES)
def test_both_engines_write_and_judge_alike(family):
    by_torch, by_onnx = (TextGenerator.load(trained(family), engine) for engine in ("torch", "onnx"))
    nats = [generator.score(LINES[:20]).nats_per_token for generator in (by_torch, by_onnx)]
    assert nats[0] == pytest.approx(nats[1], rel=0.02)
    texts = [
        generator.generate(n=20, length=12, temperature=0.0, seed=1) for generator in (by_torch, by_onnx)
    ]
    assert np.mean([a.text == b.text for a, b in zip(*texts, strict=True)]) > 0.7  # 8 bits may tip a balance


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_depends_on_its_seed_and_not_on_the_batch(family):
    generator = TextGenerator.load(trained(family))
    many = [text.text for text in generator.generate(n=70, length=12, seed=5)]
    assert many == [text.text for text in generator.generate(n=70, length=12, seed=5)]
    assert many[:3] == [text.text for text in generator.generate(n=3, length=12, seed=5)]
    assert many != [text.text for text in generator.generate(n=70, length=12, seed=6)]
    greedy = [text.text for text in generator.generate(n=3, length=12, temperature=0)]
    assert len(set(greedy)) == 1 and greedy == [
        text.text for text in generator.generate(n=3, length=12, temperature=0)
    ]
    nats = generator.writer.line_nats([[*generator.tokenizer.encode(line), 2] for line in LINES[:9]])
    alone = [generator.writer.line_nats([[*generator.tokenizer.encode(line), 2]])[0] for line in LINES[3:5]]
    assert alone == pytest.approx(nats[3:5], rel=1e-5)
    assert "".join(generator.stream(length=12, seed=5)) == many[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_are_read_on_or_refused(family):
    generator = TextGenerator.load(trained(family))
    if family in ("vae", "flow"):
        with pytest.raises(UserError, match=f"a {family} begins each line itself"):
            generator.generate("a small")
        return
    texts = generator.generate(["a small dog", "a big"], n=3, length=12, seed=2)
    assert all(str(text).startswith(text.prompt) for of_prompt in texts for text in of_prompt)
    for together, alone in zip(texts[1], generator.generate("a big", n=3, length=12, seed=2), strict=True):
        assert together.ids == alone.ids
        assert together.log_prob == pytest.approx(alone.log_prob, abs=1e-4)


@pytest.mark.parametrize("family", sorted(SIZES))
def test_a_resumed_run_is_the_uninterrupted_one(family, tmp_path, monkeypatch):
    config = settings(family, epochs=2, graphs="none")
    whole = train_family([corpus()], tmp_path / "whole", config)
    calls = iter(range(1000))
    make = module.recipe_of

    def stopping(*args):
        recipe = make(*args)
        loss = recipe.loss

        def counted(batch, step):
            if next(calls) == 20:
                raise Interrupted("stopped")
            return loss(batch, step)

        return replace(recipe, loss=counted)

    monkeypatch.setattr(module, "recipe_of", stopping)
    with pytest.raises(Interrupted):
        train_family([corpus()], tmp_path / "parts", config)
    monkeypatch.setattr(module, "recipe_of", make)
    assert train_family([corpus()], tmp_path / "parts", config, resume=True) == whole
    assert (tmp_path / "parts" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()


def test_a_flow_leaves_the_vae_as_it_is_and_fits_its_vectors_better():
    vae, flow = (load_any(trained(family), "torch").writer for family in ("vae", "flow"))
    lines = [[*load_any(trained("vae")).tokenizer.encode(line), 2] for line in LINES[:60]]
    before, after = vae.posterior(lines), flow.posterior(lines)
    np.testing.assert_allclose(before.mean, after.mean, atol=0.05)
    assert flow.log_prior(before.mean).mean() > vae.log_prior(before.mean).mean()


def test_a_flow_a_gan_and_an_energy_need_a_base_of_the_right_family(tmp_path):
    with pytest.raises(UserError, match="a flow starts from a trained vae model; name it by --base"):
        FamilyConfig("flow")
    with pytest.raises(UserError, match="a transformer starts from nothing; leave --base out"):
        FamilyConfig("transformer", trained("vae"))
    with pytest.raises(UserError, match="a model of the family vae; a gan starts from autoregressive"):
        train_family([corpus()], tmp_path, FamilyConfig("gan", trained("vae")))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"family": "markov"}, "family: unknown 'markov'; known: transformer, vae"),
        ({"level": "byte"}, "level: unknown 'byte'"),
        ({"latent": 0}, "latent: 0 must be 1 or more"),
        ({"dropout": 1.0}, "dropout: 1.0 is outside 0 to 1"),
        ({"hidden": 0}, "hidden: 0 must be 1 or more"),
        ({"learning_rate": -1.0}, "learning_rate: -1.0 must be 0 or more"),
        ({"seed": -1}, "seed: -1 is outside"),
        ({"max_line": 1}, "max_line: 1 must be 2 or more"),
        ({"policy_rate": 0.5}, "policy_rate: a vae has no such setting; leave it out"),
        ({"family": "flow", "base": "x", "vocabulary": 20}, "vocabulary: a flow has no such setting"),
        ({"family": "gan", "base": "x", "latent": 5}, "latent: a gan has no such setting"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        FamilyConfig(**{"family": "vae", **wrong})


def test_a_line_that_is_too_long_for_a_diffusion_is_told_before_it_begins(tmp_path):
    with pytest.raises(UserError, match=r"max_line: a line has 7 tokens.*give --max-line 8"):
        train_family([corpus()], tmp_path / "out", settings("diffusion", max_line=5))
    assert not (tmp_path / "out" / HEADER).exists()


@pytest.mark.parametrize("family", sorted(PARTS))
def test_damage_is_told_by_the_file(family, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained(family), folder)
    header = json.loads((folder / HEADER).read_text())
    for change, message in (
        ({"family": "markov"}, "config: unknown family 'markov'"),
        ({"lines": False}, "lines must be true"),
        ({"vocab_size": 3}, "the vocabulary has"),
        ({PARTS[family][-1]: {"cell": "lstn", "num_layers": 0}}, HEADER),
        ({"vocab_size": None}, HEADER),
        ({"places": 24.5}, "places must be" if family == "diffusion" else ""),
        ({"log_partition": 5}, HEADER if family == "energy" else ""),
        ({"latent": {"latent_size": 4, "couplings": 2.5}}, HEADER if family in ("vae", "flow") else ""),
    ):
        changed = {**header, "config": {**header["config"], **change}}
        (folder / HEADER).write_text(json.dumps(changed))
        for engine in ("torch", "onnx") if message else ():
            with pytest.raises(UserError, match=message):
                load_any(folder, engine)
    (folder / HEADER).write_text(json.dumps(header))
    (folder / WEIGHTS).write_bytes((trained("autoregressive") / WEIGHTS).read_bytes())
    for engine in ("onnx", "torch"):
        with pytest.raises(UserError, match=r"model\.(safetensors|json)"):
            load_any(folder, engine)


@pytest.mark.parametrize("family", sorted(PARTS))
def test_exported_again_in_float32_it_is_the_same_model(family, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(trained(family), folder)
    export_model(folder, "float32")
    found = [TextGenerator.load(folder, engine).score(LINES[:10]).nats for engine in ("torch", "onnx")]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_steps_are_a_diffusions_and_refused_by_the_others(family):
    generator = TextGenerator.load(trained(family))
    if family == "diffusion":
        assert generator.generate(n=2, length=12, seed=1, steps=1) != generator.generate(
            n=2, length=12, seed=1
        )
        with pytest.raises(UserError, match="steps: -1 is outside"):
            generator.generate(steps=-1)
        with pytest.raises(UserError, match="repetition_penalty"):
            generator.generate(repetition_penalty=1.2)
    else:
        with pytest.raises(UserError, match="steps: only a diffusion model"):
            generator.generate(steps=3)
        generator.generate(length=5, repetition_penalty=1.2, seed=1)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_was_cut_has_the_log_probability_of_what_is_left(family):
    generator = TextGenerator.load(trained(family))
    whole, cut = (generator.generate(length=length, seed=4)[0] for length in (12, 2))
    assert len(cut.ids) == 2 and not cut.finished and cut.ids == whole.ids[:2]
    assert whole.log_prob < cut.log_prob < 0


def test_lines_may_be_said_of_every_family_and_a_run_stays_of_its_own(tmp_path, capsys):
    from tests.helpers.text_models import run

    options = ["--hidden", "12", "--epochs", "1", "--graphs", "none", "--lines", "--out", tmp_path / "run"]
    status, _, err = run(capsys, "train", corpus(), "--family", "transformer", *options)
    assert status == 0, err
    status, _, err = run(capsys, "train", corpus(), "--family", "vae", *options, "--resume")
    assert status == 2 and "a run of the family transformer, not vae" in err


def test_autoregressive_is_a_family_by_its_name(tmp_path, monkeypatch, capsys):
    from tests.helpers.text_models import run

    for place, words in enumerate((["--family", "autoregressive"], ["--family=autoregressive"])):
        out = tmp_path / str(place)
        options = [
            "--lines",
            "--level",
            "word",
            "--hidden",
            "8",
            "--layers",
            "1",
            "--epochs",
            "1",
            "--graphs",
            "none",
        ]
        status, _, err = run(capsys, "train", corpus(), *words, *options, "--out", out)
        assert status == 0 and (out / HEADER).exists(), err
