"""Subwords by byte-pair encoding (Sennrich et al. 2016), as SentencePiece has it: any text goes in and comes out whole.

SentencePiece (Kudo and Richardson 2018) takes 6 MB and nothing beside it; `tokenizers` is as quick and takes three times
as much, with a client of a model hub. What no piece covers is spelled in bytes, so there is no unknown token.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from textgen.errors import UserError
from textgen.text.tokenizer import BOS, EOS, PAD, SPECIAL_TOKENS, UNK, Tokenizer

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

SPACE = "\u2581"  # what SentencePiece writes for a space
_OWN_SPACE = "\ufdd0"  # no character: stands for that sign where a text has it
PLACEHOLDERS = tuple(chr(0xF0000 + index) for index in range(8))
"""Private characters, each a token: what stands for words that are copied as they are."""
_LONGEST = 2000  # characters of a line to learn from
_LEAST = len(SPECIAL_TOKENS) + 256 + len(PLACEHOLDERS)


class SubwordTokenizer(Tokenizer):
    """Pieces of words; case, punctuation and spaces are kept."""

    kind = "subword"
    break_token = "\n"

    def __init__(self, model: bytes):
        """`model`: a SentencePiece model whose special tokens have our ids. Raises UserError when it is none."""
        from sentencepiece import SentencePieceProcessor

        try:
            self._processor: SentencePieceProcessor = SentencePieceProcessor(model_proto=model)
        except (RuntimeError, ValueError) as error:
            raise UserError("vocabulary: not a SentencePiece model, or damaged") from error
        processor, self._model = self._processor, model
        ids = (processor.pad_id(), processor.bos_id(), processor.eos_id(), processor.unk_id())
        if ids != (PAD, BOS, EOS, UNK):
            raise UserError("vocabulary: a SentencePiece model with other special tokens than ours")
        super().__init__(
            [processor.id_to_piece(i) for i in range(len(SPECIAL_TOKENS), processor.vocab_size())]
        )

    @classmethod
    def fit(cls, texts: Iterable[str], size: int) -> SubwordTokenizer:
        """At most `size` tokens, the special ones, 256 bytes and the place holders among them, learnt from `texts`.

        Raises UserError when there is too little text, or `size` is too small for its letters.
        """
        from sentencepiece import SentencePieceTrainer

        if size <= _LEAST:
            raise UserError(f"vocabulary: {size} subwords are too few; give more than {_LEAST}")
        lines = [part for text in texts for line in _escaped(text).split("\n") for part in _cut(line)]
        if not lines:
            raise UserError("vocabulary: there is no text to learn subwords from")
        model = io.BytesIO()
        try:
            SentencePieceTrainer.train(
                sentence_iterator=iter(lines),
                model_writer=model,
                model_type="bpe",
                vocab_size=size,
                hard_vocab_limit=False,  # of little text there are fewer
                character_coverage=0.99995,
                byte_fallback=True,
                split_digits=True,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                user_defined_symbols=list(PLACEHOLDERS),
                max_sentence_length=8 * _LONGEST,  # in bytes
                pad_id=PAD,
                bos_id=BOS,
                eos_id=EOS,
                unk_id=UNK,
                minloglevel=2,
            )
        except RuntimeError as error:
            told = re.search(
                r"(\d+) vs (\d+)", str(error)
            )  # what was asked for, what all letters and bytes take
            advice = (
                f"its letters alone take {told[2]}; give as many or more" if told else "give another number"
            )
            raise UserError(f"vocabulary: {size} subwords do not fit the text: {advice}") from error
        return cls(model.getvalue())

    def split(self, text: str) -> list[str]:
        return list(self._processor.encode(_escaped(text), out_type=str))

    def encode(self, text: str) -> list[int]:
        return list(self._processor.encode(_escaped(text)))

    def encode_all(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each, in one call."""
        return list(self._processor.encode([_escaped(text) for text in texts]))

    def text_after(self, previous: str | None, piece: str) -> str:
        """As `Tokenizer` has it; a byte alone is no letter, and adds nothing: `join` has whole ones."""
        if self._is_byte(piece):
            return ""
        text = piece.replace(SPACE, " ").replace(_OWN_SPACE, SPACE)
        return text.removeprefix(" ") if previous is None else text

    def join(self, pieces: Sequence[str]) -> str:
        return self._processor.decode_pieces(list(pieces)).replace(_OWN_SPACE, SPACE)

    def decode(self, ids: Iterable[int]) -> str:
        kept = [int(index) for index in ids if index >= len(SPECIAL_TOKENS)]
        return self._processor.decode(kept).replace(_OWN_SPACE, SPACE)

    def knows(self, text: str) -> bool:
        """Whether no letter of `text` has to be spelled in bytes."""
        return not any(map(self._is_byte, self.split(text)))

    @staticmethod
    def _is_byte(piece: str) -> bool:
        return len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "model": base64.b64encode(self._model).decode("ascii")}

    @classmethod
    def restored(cls, data: dict[str, Any]) -> SubwordTokenizer:
        if set(data) != {"kind", "model"} or not isinstance(data["model"], str):
            raise UserError("vocabulary: a subword vocabulary has a model, and nothing else")
        try:
            return cls(base64.b64decode(data["model"], validate=True))
        except binascii.Error as error:
            raise UserError("vocabulary: not a SentencePiece model, or damaged") from error


def _cut(line: str) -> Iterator[str]:
    """A line in parts that SentencePiece takes, at its spaces where it has some: of longer ones it would learn nothing."""
    start = 0
    while start < len(line):
        end = start + _LONGEST
        if end < len(line):
            end = max(line.rfind(" ", start + 1, end), start) or end
            end = end if end > start else start + _LONGEST
        if line[start:end].strip():
            yield line[start:end]
        start = end


def _escaped(text: str) -> str:
    # Half a character, as of an argument that is no UTF-8, has no bytes in UTF-8.
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return unicodedata.normalize("NFC", whole).replace(SPACE, _OWN_SPACE)
