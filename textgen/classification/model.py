"""The classifying model: a recurrent encoder, pooled, to the classes."""

from __future__ import annotations

from torch import Tensor, nn

from textgen.decoder.dropout import Dropout, hide_tokens
from textgen.sequences.encoder import RecurrentEncoder, pool
from textgen.text.tokenizer import UNK


class ClassificationModel(nn.Module):
    """Texts to logits of classes: the mean and the largest of each feature over a text's tokens, and one matrix."""

    def __init__(
        self,
        encoder: RecurrentEncoder,
        vocab_size: int,
        classes: int,
        dropout: float = 0.5,
        word_dropout: float = 0.1,
    ):
        """`word_dropout`: the share of a text's tokens that training hides."""
        super().__init__()
        config = encoder.config
        self.embedding = nn.Embedding(vocab_size, config.embedding_size)
        nn.init.normal_(self.embedding.weight, std=config.embedding_size**-0.5)
        self.encoder = encoder
        self.output = nn.Linear(2 * config.output_size, classes)
        self.dropout = Dropout(dropout)
        self.word_dropout = word_dropout

    def context(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encoded tokens (B, L, D) of `ids` (B, L), of which the first `lengths` (B,) count; 0 beyond them."""
        if self.training and self.word_dropout:
            ids = hide_tokens(ids, self.word_dropout, UNK)
        return self.encoder(self.embedding(ids), lengths)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits (B, C)."""
        logits: Tensor = self.output(self.dropout(pool(self.context(ids, lengths), lengths)))
        return logits
