"""The translating model: a recurrent encoder, and the decoder that speaks captions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from textgen.decoder.dropout import hide_tokens
from textgen.decoder.rnn import RNNDecoder
from textgen.sequences.encoder import RecurrentEncoder
from textgen.text.tokenizer import UNK


class TranslationModel(nn.Module):
    """Sentences to a context that the shared decoder speaks about.

    Both languages share one vocabulary, and encoder, decoder and output one embedding (Press and Wolf 2017).
    """

    def __init__(self, encoder: RecurrentEncoder, decoder: RNNDecoder, word_dropout: float = 0.1):
        """`word_dropout`: the share of a sentence's tokens that training hides from the encoder."""
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.word_dropout = word_dropout

    def context(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Context (B, L, D) of sentences `ids` (B, L), of which the first `lengths` (B,) count; 0 beyond them."""
        if self.training and self.word_dropout:
            ids = hide_tokens(ids, self.word_dropout, UNK)
        return self.encoder(self.decoder.embedding(ids), lengths)

    def seen(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The context that the decoder sees of them, and its lengths: one cell each where the encoder is pooled."""
        context = self.context(ids, lengths)
        if not self.encoder.config.pooled:
            return context, lengths
        return context.sum(dim=1, keepdim=True) / lengths[:, None, None], torch.ones_like(lengths)
