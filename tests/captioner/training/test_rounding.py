"""A decoder that is trained as what it will be computed: rounded, upon eyes in 8 bits."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from captioner.train import train
from captioner.training.config import TrainConfig
from captioner.training.rounding import RoundedDecoder
from textgen.decoder.config import DecoderConfig
from textgen.decoder.rnn import RNNDecoder
from textgen.engine.onnx_weights import stored_steps
from textgen.errors import UserError
from textgen.storage.bundle import WEIGHTS
from textgen.storage.weights import rounded


@pytest.fixture
def decoder():
    torch.manual_seed(3)
    return RNNDecoder(
        DecoderConfig(vocab_size=20, embedding_size=8, hidden_size=12, context_size=6, attention_heads=2)
    )


def loss_of(decoder):
    ids = torch.tensor([[1, 5, 7, 3], [1, 9, 2, 0]])
    logits, _ = decoder.eval()(ids, decoder.start(torch.linspace(-1, 1, 2 * 5 * 6).view(2, 5, 6), 2))
    return logits.log_softmax(-1)[..., 4].sum()


def test_a_lent_decoder_has_the_weights_of_its_graphs_and_gives_them_back(decoder):
    before = {name: value.clone() for name, value in decoder.state_dict().items()}
    steps = stored_steps(decoder.config)
    lent = RoundedDecoder(decoder).lend(lambda d: {n: p.detach().clone() for n, p in d.named_parameters()})
    for name, value in before.items():
        expected = value.numpy()
        if name in steps:
            whole, scale = rounded(expected, steps[name])
            expected = whole * scale[:, None]
            assert not np.array_equal(expected, value.numpy())
        assert np.allclose(lent[name].numpy(), expected, rtol=0, atol=1e-6)
        assert torch.equal(decoder.state_dict()[name], value)


def test_gradients_go_straight_through_the_rounding(decoder):
    RoundedDecoder(decoder).lend(loss_of).backward()
    found = {name: parameter.grad.clone() for name, parameter in decoder.named_parameters()}
    steps = stored_steps(decoder.config)
    with torch.no_grad():
        for name, parameter in decoder.named_parameters():
            if name in steps:
                whole, scale = rounded(parameter.numpy(), steps[name])
                parameter.copy_(torch.from_numpy(whole * scale[:, None]))
    decoder.zero_grad()
    loss_of(decoder).backward()
    for name, parameter in decoder.named_parameters():
        assert torch.allclose(found[name], parameter.grad, atol=1e-4), name


@pytest.mark.slow
def test_the_decoder_learns_upon_an_encoder_that_stays_as_it_is(
    narrow_model, shapes, tiny_settings, tmp_path
):
    settings = {**tiny_settings, "epochs": 0, "finetune_epochs": 0, "scst_epochs": 15, "scst_samples": 5}
    settings |= {"scst_rate": 5e-3, "graphs": "int8", "start_from": narrow_model, "scst_rounded": True}
    train(shapes, tmp_path / "next", TrainConfig(**settings, beat_start=False))
    lines = (tmp_path / "next" / "training" / "log.jsonl").read_text().splitlines()
    rewards = [json.loads(line)["reward"] for line in lines]
    assert sum(rewards[-3:]) / 3 > 1.5 * rewards[0]
    before, after = (load_file(folder / WEIGHTS) for folder in (narrow_model, tmp_path / "next"))
    changed = {name for name in before if not np.allclose(before[name], after[name], atol=1e-3)}
    assert changed and all(name.startswith("decoder.") for name in changed)


@pytest.mark.slow
def test_an_average_of_rounded_decoders_keeps_the_encoder(
    narrow_model, tiny_model, shapes, tiny_settings, tmp_path
):
    settings = {**tiny_settings, "epochs": 0, "finetune_epochs": 0, "scst_epochs": 0, "graphs": "int8"}
    settings |= {
        "start_from": narrow_model,
        "scst_rounded": True,
        "average_with": tiny_model,
        "average_share": 0.5,
    }
    metrics = train(shapes, tmp_path / "next", TrainConfig(**settings, beat_start=False))
    assert metrics["share"] == 0.5
    assert len((tmp_path / "next" / "training" / "log.jsonl").read_text().splitlines()) == 1
    before, after = (load_file(folder / WEIGHTS) for folder in (narrow_model, tmp_path / "next"))
    assert all(
        np.array_equal(before[name], after[name]) for name in before if not name.startswith("decoder.")
    )
    bias, ours, theirs = (
        load_file(folder / WEIGHTS)["decoder.output_bias"]
        for folder in (tmp_path / "next", narrow_model, tiny_model)
    )
    assert np.allclose(bias, (ours.astype(np.float32) + theirs) / 2, atol=1e-3)


def test_what_it_needs_is_said(tiny_model, narrow_model, shapes, tiny_settings, tmp_path):
    settings = {**tiny_settings, "epochs": 0, "finetune_epochs": 0, "scst_rounded": True}
    for other in (
        {},
        {"start_from": narrow_model, "epochs": 1},
        {"start_from": narrow_model, "scst_encoder_rate": 1e-5},
    ):
        with pytest.raises(UserError, match="needs --start-from"):
            TrainConfig(**{**settings, **other})
    with pytest.raises(UserError, match="average_share: "):
        TrainConfig(**{**settings, "scst_rounded": False}, average_share=0.5)
    with pytest.raises(UserError, match=r"has no ONNX graphs.*captioner export"):
        train(shapes, tmp_path / "a", TrainConfig(**settings, start_from=tiny_model))
    wide = shutil.copytree(narrow_model, tmp_path / "wide")
    (wide / "encoder8.onnx").rename(wide / "encoder.onnx")
    (wide / "model.json").write_text((wide / "model.json").read_text().replace('"encoder8"', '"encoder"'))
    with pytest.raises(UserError, match=r"its encoder is not in 8 bits.*captioner export"):
        train(shapes, tmp_path / "a", TrainConfig(**settings, start_from=wide))
    with pytest.raises(UserError, match="96 is not the 64 pixels"):
        train(shapes, tmp_path / "b", TrainConfig(**{**settings, "image_size": 96}, start_from=narrow_model))
