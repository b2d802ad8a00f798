"""What decides a training; apart from `train`, so that the command line can show it without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from textgen.errors import UserError
from textgen.training.export import check_graphs


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training; kept in the run's folder and in the model card."""

    encoder: str = "mobilenet_v2"
    """Backbone: a classification model of torchvision, or timm/NAME for one of timm's."""
    encoder_weights: Path | None = None
    """Local file of the backbone's ImageNet weights, where they cannot be downloaded."""
    start_from: Path | None = None
    """Start from this trained model, a folder or a name in the box, with its vocabulary, backbone and sizes, instead of a new one."""
    notes: Path | None = None
    """Markdown for the model's card: what it is bad at, licences, whatever its users should know."""
    skip_bad: bool = False
    """Leave out pictures that cannot be read, and say which, instead of refusing to begin."""
    image_size: int | None = None
    """Pixels a side of the square that the whole picture is resized to; unless told, as many as the backbone was made
    for, or the model that is started from."""
    cell: str = "lstm"
    """lstm, gru or rnn."""
    layers: int = 2
    """Recurrent layers."""
    hidden: int = 512
    """Features of a recurrent state."""
    embedding: int = 384
    """Features of a word."""
    context: int = 512
    """Features of a grid cell as the decoder sees it."""
    heads: int = 8
    """Attention heads."""
    dropout: float = 0.4
    """Share of activations dropped in the decoder."""
    feature_dropout: float = 0.2
    """Share of the picture's features dropped."""
    min_count: int = 5
    """Words seen less often in train become unknown."""
    max_length: int = 16
    """Words a caption is cut to in training: what one caption in ten has beyond costs all the others padding."""
    batch: int = 32
    """Pictures a step."""
    captions: int = 5
    """Captions a picture and step, at most."""
    caption_power: float = 0.5
    """A caption of a picture that has n of them in a step weighs n to minus this power, in cross-entropy and fine-tuning: at 0
    all captions count alike, at 1 all pictures."""
    label_smoothing: float = 0.1
    """Share of the target spread over the vocabulary."""
    epochs: int = 8
    """Epochs of cross-entropy on the frozen encoder's cached features."""
    learning_rate: float = 1e-3
    """Peak rate of those epochs."""
    finetune_epochs: int = 20
    """Epochs of cross-entropy through the whole model; 0 skips them."""
    finetune_encoder_rate: float = 2e-4
    """Peak rate of the encoder."""
    frozen_layers: int = 0
    """Layers of the encoder, counted from the picture, that stay as they are: the first ones see edges and colours in any
    photo, and their large maps cost the most time."""
    finetune_rate: float = 4e-4
    """Peak rate of the rest."""
    scst_epochs: int = 0
    """Epochs of self-critical training (Rennie et al. 2017) on CIDEr-D; 0 skips them."""
    scst_encoder_rate: float = 0.0
    """Peak rate of the encoder; 0 freezes it."""
    scst_rate: float = 5e-5
    """Peak rate of the rest."""
    scst_samples: int = 5
    """Captions sampled a picture; each one's baseline is the mean of the others."""
    scst_rounded: bool = False
    """Let the decoder learn as what it will be computed: its weights rounded, upon the encoder in 8 bits of the model that
    is started from, which stays as it is."""
    beat_start: bool = True
    """Whether the model that is started from is the one to beat, and kept where no epoch does; else the best epoch is kept, to
    be averaged with it or trained further."""
    average_with: Path | None = None
    """Average the weights with this model's, of the same kind, in the share that is best on the dev split
    (Wortsman et al. 2022): a self-critical model with the one it started from generalises better than either."""
    average_share: float | None = None
    """Share of the other model in that average, from 0 to 1, instead of the best of the tenths: where training goes on from it,
    a middle one may be the better start."""
    crop: float = 0.7
    """Smallest share of a picture's area that augmentation keeps."""
    ema: float = 0.998
    """Decay a step of the averaged weights, from fine-tuning on."""
    seed: int = 1
    precision: str = "auto"
    """auto, float32 or bfloat16."""
    device: str = "auto"
    """auto, cpu or cuda."""
    save_minutes: float = 5.0
    """Minutes between checkpoints within an epoch."""
    graphs: str = "auto"
    """ONNX graphs at the end: int8, float32, none, or auto, which is int8 where it costs nothing that can be measured."""

    def __post_init__(self) -> None:
        check_graphs(self.graphs)
        if self.scst_samples < 2:
            raise UserError(
                f"scst_samples: {self.scst_samples} must be 2 or more: samples are compared with each other"
            )
        more = self.epochs or self.finetune_epochs or self.scst_encoder_rate
        if self.scst_rounded and (more or self.start_from is None):
            raise UserError(
                "scst_rounded: trains the decoder of a model alone: it needs --start-from, and --epochs 0, --finetune-epochs 0 "
                "and no --scst-encoder-rate"
            )
        if not 0 <= self.caption_power <= 1:
            raise UserError(
                f"caption_power: {self.caption_power} is outside 0, where all captions count alike, to 1, where all "
                "pictures do"
            )
        for name in ("min_count", "max_length", "batch", "captions"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: {getattr(self, name)} must be 1 or more")
        for name in ("epochs", "finetune_epochs", "frozen_layers", "scst_epochs"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}: {getattr(self, name)} must be 0 or more")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed: {self.seed} is outside 0 to {2**32 - 1}")
        if self.image_size is not None and not 32 <= self.image_size <= 1024:
            raise UserError(f"image_size: {self.image_size} is outside 32 to 1024 pixels")
        if self.average_share is not None and not (self.average_with and 0 <= self.average_share <= 1):
            raise UserError(
                f"average_share: {self.average_share} must be from 0 to 1, and needs --average-with"
            )
        if not 0 < self.crop <= 1:
            raise UserError(f"crop: {self.crop} must be above 0 and at most 1")
