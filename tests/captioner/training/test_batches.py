"""Batches of captions and pictures: what a step learns from, how much each caption weighs, how pictures are varied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from captioner.data.examples import Example, load_dataset
from captioner.train import train
from captioner.training import phases
from captioner.training.augmentation import augment, can_mirror
from captioner.training.batches import CaptionBatch, FeatureBatches, PictureBatches
from captioner.training.config import TrainConfig
from captioner.training.phases import _caption_loss
from tests.conftest import draw
from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.errors import UserError
from textgen.rows import Rows
from textgen.text.batches import pad_rows
from textgen.text.tokenizer import BOS, EOS, PAD

ALL = Rows(0, 1, 1)  # this process has all of a batch


def test_padding_does_not_change_the_loss():
    torch.manual_seed(0)
    decoder = RNNDecoder(
        DecoderConfig(20, hidden_size=16, embedding_size=8, context_size=8, attention_heads=2)
    ).eval()
    context = torch.randn(2, 4, 8)
    rows = [[5, 6, EOS], [7, EOS]]

    def loss(inputs, targets):
        return _caption_loss(
            decoder,
            context,
            CaptionBatch(None, None, inputs, targets, np.arange(2), np.ones(2, np.float32), ALL, ALL),
            0.1,
        )

    inputs, targets = pad_rows(rows)
    wider = [np.pad(a, ((0, 0), (0, 4)), constant_values=PAD) for a in (inputs, targets)]
    assert torch.allclose(loss(inputs, targets), loss(*wider), atol=1e-6)
    assert inputs.tolist() == [[BOS, 5, 6], [BOS, 7, PAD]]


def test_an_epoch_does_not_depend_on_where_it_was_begun(shapes):
    examples = load_dataset(shapes).split("train")
    batches = PictureBatches(examples, [[[5, EOS], [6, EOS]]] * len(examples), 8, 2, 3, 32, 0.7, 0.5)
    whole = list(batches.epoch(1, 0))
    part = list(batches.epoch(1, 2))
    assert len(whole) == len(batches) and len(part) == len(batches) - 2
    for one, other in zip(whole[2:], part, strict=True):
        assert (one.pictures == other.pictures).all() and (one.inputs == other.inputs).all()


def test_mirroring_spares_pictures_that_speak_of_left_or_right(shapes):
    def example(caption: str) -> Example:
        return Example("a", Path("a"), (caption, "a dog"), "train")

    assert can_mirror(example("a man who left-handedly leftovers")) is False  # "left" stands alone before "-"
    assert can_mirror(example("a dog on the Left .")) is False
    assert can_mirror(example("a bright leftover")) is True


def test_a_crop_of_everything_is_the_whole_picture():
    image = draw("red", "circle", 48)
    whole = np.asarray(image.resize((32, 32), 2))
    assert (augment(image, 32, 1.0, True, np.array([0, 0.5, 0, 0, 0.9])) == whole).all()
    assert (augment(image, 32, 1.0, True, np.array([0, 0.5, 0, 0, 0.1])) == whole[:, ::-1]).all()
    assert (augment(image, 32, 1.0, False, np.array([0, 0.5, 0, 0, 0.1])) == whole).all()


# --- pictures with few and many captions


@pytest.mark.parametrize("power", [0, 0.5, 1])
def test_pictures_have_between_one_and_as_many_captions_as_are_asked_for(power):
    ids = [[[5, EOS]], [[6, EOS], [7, EOS]], [[n, EOS] for n in range(10, 17)]]
    features = np.zeros((3, 1, 4, 8), np.float16)
    (batch,) = FeatureBatches(features, ids, batch=3, captions=5, seed=0, power=power).epoch(0, 0)
    counts = np.bincount(batch.owners, minlength=3)
    assert dict(zip(batch.indices.tolist(), counts.tolist(), strict=True)) == {0: 1, 1: 2, 2: 5}
    assert np.allclose(batch.weights, counts[batch.owners] ** -float(power))
    for place, index in enumerate(batch.indices):
        mine = [row[row != PAD].tolist() for row in batch.targets[batch.owners == place]]
        assert len({tuple(row) for row in mine}) == len(mine)  # none twice
        assert all(row in ids[index] for row in mine)


def test_captions_weigh_from_alike_to_as_many_as_their_pictures_have():
    for power in (-0.1, 1.1, np.nan):
        with pytest.raises(UserError, match=r"caption_power: .* is outside 0"):
            TrainConfig(caption_power=power)


@pytest.mark.slow
def test_they_weigh_so_in_both_phases_that_learn_from_captions(shapes, tiny_settings, tmp_path, monkeypatch):
    weights = []

    def fit(model, groups, batches, loss, *arguments, evaluate, **options):
        weights.append(next(iter(batches.epoch(0, 0))).weights)
        return evaluate()

    monkeypatch.setattr(phases, "fit", fit)
    settings = {**tiny_settings, "epochs": 1, "finetune_epochs": 1, "scst_epochs": 0, "captions": 2}
    train(shapes, tmp_path / "next", TrainConfig(**settings, caption_power=1.0))
    assert [set(found.tolist()) for found in weights] == [{0.5}, {0.5}]  # each picture has two captions


def test_a_caption_is_learnt_with_its_own_picture():
    torch.manual_seed(0)
    decoder = RNNDecoder(
        DecoderConfig(20, hidden_size=16, embedding_size=8, context_size=8, attention_heads=2)
    ).eval()
    context = torch.randn(3, 4, 8)
    inputs, targets = pad_rows([[5, EOS], [6, EOS], [7, 8, EOS], [9, EOS]])
    owners, weights = np.array([0, 1, 1, 2]), np.array([1, 0.5, 0.5, 1], np.float32)

    def loss(rows, weights):
        batch = CaptionBatch(None, None, inputs[rows], targets[rows], owners[rows], weights, ALL, ALL)
        return _caption_loss(decoder, context, batch, 0.0)

    alone = torch.stack([loss([row], np.ones(1, np.float32)) for row in range(4)])
    words = torch.tensor([2, 2, 3, 2]) * torch.from_numpy(weights)
    assert torch.allclose(loss(slice(None), weights), (alone * words).sum() / words.sum(), atol=1e-6)
