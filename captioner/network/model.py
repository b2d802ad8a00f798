"""The captioning model: encoder, bridge, decoder."""

from __future__ import annotations

from torch import Tensor, nn

from captioner.network.encoder import Encoder
from textgen.decoder.dropout import Dropout
from textgen.decoder.rnn import RNNDecoder


class CaptionModel(nn.Module):
    """Pictures to a context that the shared decoder speaks about.

    The bridge brings the backbone's features to the decoder's width, so a decoder's size does not
    depend on the backbone.
    """

    def __init__(self, encoder: Encoder, decoder: RNNDecoder, feature_dropout: float = 0.2):
        super().__init__()
        self.encoder = encoder
        self.bridge = nn.Sequential(
            Dropout(feature_dropout),
            nn.Linear(encoder.feature_size, decoder.config.context_size),
            nn.ReLU(),
        )
        self.decoder = decoder

    def context(self, pixels: Tensor) -> Tensor:
        """Context (B, L, D) of `pixels` (B, S, S, 3), uint8."""
        return self.bridge(self.encoder(pixels))
