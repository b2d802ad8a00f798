"""Captioners as tutorials write them: eager torch, NCHW, `LSTMCell` in a Python loop, a beam search on tensors.

`same_model` computes what ours does, from the same weights. `sgrvinod` has the sizes and the code path of
github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning (ResNet-101 at 256 pixels, attention, LSTM 512) and random
weights. Photos are decoded whole and resized by PIL.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision import models, transforms

from captioner.caption import Captioner
from captioner.network.backbones import MEAN, STD, build_backbone
from tests.benchmarks.our_models import stored
from textgen.text.tokenizer import BOS, EOS

State = tuple[Tensor, ...]  # each with a row a beam
Step = Callable[[Tensor, State], tuple[Tensor, State]]


def pixels(photo: bytes, size: int, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> Tensor:
    prepare = transforms.Compose(
        [transforms.Resize((size, size)), transforms.ToTensor(), transforms.Normalize(mean, std)]
    )
    return prepare(Image.open(io.BytesIO(photo)).convert("RGB")).unsqueeze(0)


def beam_search(step: Step, state: State, width: int, start: int, end: int, most: int) -> list[int]:
    """The best sequence, as caption.py of sgrvinod's tutorial finds it; finished beams leave the batch."""
    beams = width
    sequences = words = torch.full((beams, 1), start)
    best = torch.zeros(beams, 1)
    complete: list[tuple[float, list[int]]] = []
    for count in range(1, most + 1):
        logits, state = step(words.squeeze(1), state)
        scores = best.expand_as(logits) + F.log_softmax(logits, dim=1)
        if count == 1:
            best, chosen = scores[0].topk(beams, 0, True, True)
        else:
            best, chosen = scores.view(-1).topk(beams, 0, True, True)
        before, following = chosen // logits.shape[1], chosen % logits.shape[1]
        sequences = torch.cat([sequences[before], following.unsqueeze(1)], dim=1)
        going = [index for index, word in enumerate(following) if word != end]
        done = sorted(set(range(len(following))) - set(going))
        complete += [(best[index].item(), sequences[index].tolist()) for index in done]
        beams -= len(done)
        if beams == 0:
            break
        sequences = sequences[going]
        state = tuple(part[before[going]] for part in state)
        best, words = best[going].unsqueeze(1), following[going].unsqueeze(1)
    complete = complete or [(best[0].item(), sequences[0].tolist())]
    return max(complete)[1]


class _SameDecoder(nn.Module):
    """Two `LSTMCell`s with attention between them; the parameters are those of `textgen.decoder.rnn.RNNDecoder`."""

    def __init__(self, config):
        super().__init__()
        hidden, self.heads = config.hidden_size, config.attention_heads
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.initial = nn.Linear(config.context_size, 4 * hidden)
        self.query = nn.Linear(hidden, hidden)
        self.key, self.value = (nn.Linear(config.context_size, hidden) for _ in range(2))
        self.cells = nn.ModuleList(nn.LSTMCell(config.layer_input(i), hidden) for i in range(2))
        self.project = nn.Linear(2 * hidden, config.embedding_size)
        self.output_bias = nn.Parameter(torch.zeros(config.vocab_size))

    def start(self, context: Tensor) -> State:
        rows, places, _ = context.shape
        keys, values = (
            linear(context).view(rows, places, self.heads, -1).transpose(1, 2)
            for linear in (self.key, self.value)
        )
        return (*torch.tanh(self.initial(context.mean(1))).chunk(4, dim=1), keys, values)

    def step(self, words: Tensor, state: State) -> tuple[Tensor, State]:
        h1, c1, h2, c2, keys, values = state
        h1, c1 = self.cells[0](self.embedding(words), (h1, c1))
        query = self.query(h1).view(len(h1), self.heads, 1, -1)
        weights = F.softmax(query @ keys.transpose(2, 3) / query.shape[-1] ** 0.5, dim=-1)
        attended = (weights @ values).reshape(len(h1), -1)
        h2, c2 = self.cells[1](torch.cat([h1, attended], dim=1), (h2, c2))
        features = self.project(torch.cat([h2, attended], dim=1))
        return F.linear(features, self.embedding.weight, self.output_bias), (h1, c1, h2, c2, keys, values)


def same_model(folder: Path | None, width: int = 3) -> Callable[[bytes], str]:
    """Our model, its backbone as it comes with a decoder of two LSTM layers, run the tutorials' way."""
    from textgen.decoder.config import DecoderConfig

    ours = Captioner.load(folder)
    weights = {name: torch.from_numpy(array) for name, array in stored(folder).weights.items()}
    backbone = build_backbone(ours.header["config"]["encoder"])
    encoder = backbone.module.eval()
    bridge = nn.Linear(weights["bridge.1.weight"].shape[1], weights["bridge.1.weight"].shape[0])
    decoder = _SameDecoder(DecoderConfig(**ours.header["config"]["decoder"])).eval()
    with torch.no_grad():
        _unfold(encoder, weights)
        bridge.load_state_dict({name: weights[f"bridge.1.{name}"] for name in ("weight", "bias")})
        own = decoder.state_dict()
        for name, parameter in own.items():
            kept = name.replace("cells.", "layers.")
            kept += "_l0" if kept != name else ""
            parameter.copy_(weights[f"decoder.{kept}"])

    @torch.no_grad()
    def caption(photo: bytes) -> str:
        features = encoder(pixels(photo, ours.size, backbone.mean, backbone.std)).flatten(2).transpose(1, 2)
        context = F.relu(bridge(features)).expand(width, -1, -1)
        ids = beam_search(decoder.step, decoder.start(context), width, BOS, EOS, most=30)
        return ours.tokenizer.decode([index for index in ids if index not in (BOS, EOS)])

    return caption


def _unfold(encoder: nn.Module, weights: dict[str, Tensor]) -> None:
    """Folded convolutions into those before folding; their batch norms, which follow them, add the biases and nothing else."""
    convolutions = [
        (name, module) for name, module in encoder.named_modules() if isinstance(module, nn.Conv2d)
    ]
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    for (name, convolution), norm in zip(convolutions, norms, strict=True):
        convolution.weight.copy_(weights[f"encoder.backbone.{name}.weight"])
        norm.weight.fill_((1 + norm.eps) ** 0.5)
        norm.bias.copy_(weights[f"encoder.backbone.{name}.bias"])


class _Sgrvinod(nn.Module):
    """Encoder and decoder with attention, models.py of the tutorial."""

    def __init__(self, vocab_size: int, size: int = 512, features: int = 2048):
        super().__init__()
        self.resnet = nn.Sequential(*list(models.resnet101(weights=None).children())[:-2])
        self.pool = nn.AdaptiveAvgPool2d((14, 14))
        self.encoder_att, self.decoder_att = nn.Linear(features, size), nn.Linear(size, size)
        self.full_att = nn.Linear(size, 1)
        self.embedding = nn.Embedding(vocab_size, size)
        self.cell = nn.LSTMCell(size + features, size)
        self.init_h, self.init_c = nn.Linear(features, size), nn.Linear(features, size)
        self.f_beta, self.fc = nn.Linear(size, features), nn.Linear(size, vocab_size)

    def see(self, photo: bytes) -> Tensor:
        return self.pool(self.resnet(pixels(photo, 256))).permute(0, 2, 3, 1).flatten(1, 2)

    def step(self, words: Tensor, state: State) -> tuple[Tensor, State]:
        h, c, seen = state
        scores = self.full_att(F.relu(self.encoder_att(seen) + self.decoder_att(h).unsqueeze(1))).squeeze(2)
        attended = (seen * F.softmax(scores, dim=1).unsqueeze(2)).sum(dim=1)
        attended = torch.sigmoid(self.f_beta(h)) * attended
        h, c = self.cell(torch.cat([self.embedding(words), attended], dim=1), (h, c))
        return self.fc(h), (h, c, seen)


def sgrvinod(width: int = 5, words: int = 12) -> Callable[[bytes], list[int]]:
    """The architecture of sgrvinod's tutorial, for captions of `words` words."""
    model = _Sgrvinod(vocab_size=9490).eval()

    @torch.no_grad()
    def caption(photo: bytes) -> list[int]:
        seen = model.see(photo).expand(width, -1, -1)
        state = (model.init_h(seen.mean(dim=1)), model.init_c(seen.mean(dim=1)), seen)
        return beam_search(model.step, state, width, 0, -1, words)

    return caption
