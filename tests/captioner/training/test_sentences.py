"""Sentences without pictures, which a decoder learns beside its captions."""

import json
from itertools import count

import numpy as np
import pytest
import torch

from captioner.network.stored import read_model
from captioner.train import train
from captioner.training import phases
from captioner.training.config import TrainConfig
from captioner.training.phases import dev_metrics
from captioner.training.sentences import Sentences
from textgen.decoder.config import DecoderConfig
from textgen.decoder.rnn import RNNDecoder
from textgen.errors import UserError
from textgen.text.tokenizer import WordTokenizer

WORDS = ("one", "two", "three", "four", "five")


@pytest.fixture
def tokenizer():
    return WordTokenizer.fit(WORDS, 1, punctuation=False)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "sentences.txt"
    path.write_text("One two three.\n\nFour five\n  \ntwo two two two\n")
    return path


def decoder_for(tokenizer):
    torch.manual_seed(3)
    return RNNDecoder(
        DecoderConfig(
            len(tokenizer), embedding_size=8, hidden_size=12, context_size=6, attention_heads=2, dropout=0.0
        )
    )


def test_lines_are_sentences_and_a_step_decides_which_are_learnt(tokenizer, file):
    sentences = Sentences(file, tokenizer, 3, batch=2)
    assert len(sentences) == 3
    decoder, context = decoder_for(tokenizer), torch.randn(2, 5, 6)
    first, again, other = (sentences.loss(decoder, context, (1, step), 0.0).item() for step in (0, 0, 1))
    assert first == again != other


def test_nothing_is_learnt_of_the_pictures_from_them(tokenizer, file):
    sentences = Sentences(file, tokenizer, 12, batch=8)
    decoder, context = decoder_for(tokenizer), torch.randn(2, 5, 6, requires_grad=True)
    loss = sentences.loss(decoder, context, (1, 0), 0.1)
    loss.backward()
    assert context.grad is None and decoder.embedding.weight.grad.abs().sum() > 0
    # What matters of the pictures is their mean.
    mean = context.detach().mean(0, keepdim=True)
    assert torch.allclose(sentences.loss(decoder, mean, (1, 0), 0.1), loss, atol=1e-6)


@pytest.mark.slow
def test_a_decoder_that_learns_them_expects_what_stands_in_them(shapes, tiny_settings, tmp_path, monkeypatch):
    """A turn of words that no caption has: "circle red a"."""
    later = count(1.0)  # each epoch is the best so far: the last one is kept
    monkeypatch.setattr(
        phases, "dev_metrics", lambda dev, texts: {**dev_metrics(dev, texts), "CIDEr": next(later)}
    )
    turned = tmp_path / "turned.txt"
    colours = ("red", "green", "blue", "yellow")
    turned.write_text("".join(f"circle {colour} a\n" for colour in colours))
    settings = {**tiny_settings, "epochs": 8, "finetune_epochs": 0, "scst_epochs": 0, "average_with": None}

    def nats(name, **more):
        train(shapes, tmp_path / name, TrainConfig(**settings, **more))
        model, tokenizer, *_ = read_model(tmp_path / name)
        sentences = Sentences(turned, tokenizer, 12, batch=8)
        with torch.inference_mode():
            context = torch.zeros(1, 4, model.decoder.config.context_size)
            return sentences.loss(model.eval().decoder, context, (0, 0), 0.0).item()

    with_them, without = nats("with", sentences=turned, sentence_share=1.0), nats("without")
    assert with_them < 0.6 * without
    settings = json.loads((tmp_path / "with" / "model.json").read_text())["provenance"]["settings"]
    assert settings["sentences"] == "turned.txt"  # the folder is nobody else's concern
    turned.write_text("circle red a\n")
    with pytest.raises(UserError, match=r"turned\.txt: not the data"):
        train(shapes, tmp_path / "with", TrainConfig(), resume=True)


def test_what_is_wrong_with_them_is_said(tokenizer, shapes, tiny_settings, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("\n \n...\n")
    with pytest.raises(UserError, match=r"empty.txt: no sentences \(--sentences\)"):
        Sentences(empty, tokenizer, 12, batch=8)
    with pytest.raises(UserError, match=r"absent.txt: cannot be read"):
        Sentences(tmp_path / "absent.txt", tokenizer, 12, batch=8)
    empty.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(UserError, match=r"empty.txt"):
        train(shapes, tmp_path / "out", TrainConfig(**{**tiny_settings, "sentences": empty}))
    assert not (tmp_path / "out" / "model.json").exists()
    with pytest.raises(UserError, match="sentences: are learnt in cross-entropy and fine-tuning"):
        TrainConfig(sentences=empty, epochs=0, finetune_epochs=0, scst_epochs=1)
    for share in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(UserError, match="sentence_share: "):
            TrainConfig(sentence_share=share)
    for power in (-0.1, 1.1, np.nan):
        with pytest.raises(UserError, match="caption_power: "):
            TrainConfig(caption_power=power)
