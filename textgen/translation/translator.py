"""`Translator`: a sentence in one language to the same in another."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Unpack, overload

import numpy as np

from textgen.decoding.beam import beam_search
from textgen.decoding.generate import Generated, generate, stream
from textgen.decoding.settings import Constraints
from textgen.engine.cores import cores
from textgen.engine.protocol import StepModel
from textgen.engine.reloading import Origin, Reloadable
from textgen.errors import UserError
from textgen.sequences.invisible import visible
from textgen.storage.bundle import Header
from textgen.text.batches import growing_blocks, padded
from textgen.text.encodings import split_lines
from textgen.text.subwords import PLACEHOLDERS, SubwordTokenizer
from textgen.text.tokenizer import BOS, EOS, PAD, UNK
from textgen.translation.alignment import Alignment, aligned
from textgen.translation.config import TranslationConfig, TranslationSettings
from textgen.translation.copying import hide, reveal, unpacked_words
from textgen.translation.stored import BOX, Encode, load_model

_WHOLE = 48  # tokens up to which a line is translated as it is; a longer one in parts, as sentences of training are short
_ROWS = 32  # sentences side by side
_AHEAD = 1024  # lines that are read before the first of them is translated: those of one length go together
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|(?<=[.!?…][\"')\]»”])\s+")
_CLAUSE = re.compile(r"(?<=[,;:])\s+")


_AS_IT_IS = Generated((), 0.0, True)


@dataclass(frozen=True)
class Translation:
    """One translation of a text; `str` is its text."""

    source: str
    text: str
    log_prob: float
    """Natural logarithm of the model's probability of the whole translation."""
    finished: bool
    """False when it was cut at the length limit."""
    others: tuple[Translation, ...] = ()
    """The next best ones, where more than one was asked for."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Part:
    """What is translated in one piece."""

    ids: tuple[int, ...]
    """Empty where nothing is to be translated, as of a row of dots: that stays as it is."""
    hidden: tuple[str, ...]
    """What stands behind its place holders."""
    text: str
    ended: bool = False
    """It had no end mark and was given one, which its translation loses again."""


@dataclass(frozen=True)
class _Line:
    """A line as it is translated: its white space at both ends stays."""

    text: str
    before: str
    after: str
    parts: tuple[_Part, ...]


class Translator(Reloadable):
    """A translating model ready for use; safe to call from several threads, in forked children, and to send to others."""

    def __init__(
        self, encode: Encode, model: StepModel, tokenizer: SubwordTokenizer, header: Header, hash: str
    ):
        self.encode = encode
        self.model = model
        """The decoder."""
        self.tokenizer = tokenizer
        self.header = header
        """The model's `model.json`: config and provenance."""
        self.hash = hash
        """sha256 of the weights' file."""
        self.languages: tuple[str, str] = tuple(header["config"]["languages"])
        """From which into which."""
        self._pooled = bool(header["config"]["encoder"].get("pooled"))
        # A translation of a line is a line.
        controls = (
            index for index, token in enumerate(tokenizer.tokens) if re.fullmatch(r"<0x[01].>", token)
        )
        self._banned = (PAD, BOS, UNK, *controls)
        self._places = tuple(tokenizer.ids[sign] for sign in PLACEHOLDERS)
        self._seen_words = unpacked_words(header["words"]) if header.get("words") else frozenset()
        self._sentences = bool(header.get("sentences"))
        """Whether what it learnt from begins with capitals and has end marks: without them it would not find an end."""
        self._known = lru_cache(maxsize=10_000)(tokenizer.knows)

    @classmethod
    def load(cls, model: str | os.PathLike[str] | None = None, engine: str = "auto") -> Translator:
        """A model in the box by its name, or any other by its folder; english-german unless told.

        `engine`: onnx, torch, or auto, which is the first where the model has graphs. Raises UserError.
        """
        folder = BOX.find(model)
        translator = cls(*load_model(folder, engine))
        translator.origin = Origin.of(folder, BOX, engine)
        return translator

    @overload
    def translate(self, text: str, **settings: Unpack[TranslationSettings]) -> Translation: ...

    @overload
    def translate(
        self, text: list[str] | tuple[str, ...], **settings: Unpack[TranslationSettings]
    ) -> list[Translation]: ...

    def translate(
        self, text: str | list[str] | tuple[str, ...], **settings: Unpack[TranslationSettings]
    ) -> Translation | list[Translation]:
        """The translation of a text, or of each in a list; `settings` are those of `TranslationConfig`.

        Lines of a text are translated one by one, and stay lines. Raises UserError for settings out of range.
        """
        single = isinstance(text, str)
        texts = [text] if isinstance(text, str) else list(text)
        lines = [split_lines(one) for one in texts]
        found = self.translate_each((line for one in lines for line in one), **settings)
        whole = [_joined(one, [next(found) for _ in each]) for one, each in zip(texts, lines, strict=True)]
        return whole[0] if single else whole

    def translate_each(
        self, lines: Iterable[str | None], **settings: Unpack[TranslationSettings]
    ) -> Iterator[Translation]:
        """The translation of each of `lines`, in order, in constant memory however many they are.

        None among them says that none is there at the moment: those before it are not kept waiting.
        """
        config = TranslationConfig(**settings)
        return self._each(lines, config)

    def _each(self, lines: Iterable[str | None], config: TranslationConfig) -> Iterator[Translation]:
        with ThreadPoolExecutor(cores()) as pool:
            for taken in growing_blocks(lines, _AHEAD):
                block = [self._read(line) for line in taken]
                groups = _groups(dict.fromkeys(part for line in block for part in line.parts if part.ids))
                # A single batch needs no other thread.
                run = pool.map if len(groups) > 1 else map
                results = run(partial(self._translate, config=config), groups)
                found: dict[_Part, list[Generated]] = {}
                for group, said in zip(groups, results, strict=True):
                    found |= dict(zip(group, said, strict=True))
                for line in block:
                    yield self._told(line, [found.get(part, [_AS_IT_IS]) for part in line.parts], config.n)

    def stream(self, text: str) -> Iterator[str]:
        """The greedy translation of a text, as it is spoken: what each step adds to it."""
        for place, line in enumerate(split_lines(text)):
            if place:
                yield "\n"
            read = self._read(line)
            yield read.before
            for index, part in enumerate(read.parts):
                if index:
                    yield " "
                yield from self._spoken(part)
            yield read.after

    def align(self, source: str, target: str) -> Alignment:
        """Which words of the line `source` each word of `target`, a translation of it, was read from: both as the decoder
        had them, with the capital and the full stop that a fragment is given, and a place holder for each name that is copied.

        Attention is where the decoder looked, which is near an alignment, and no proof of one. Raises UserError for what
        was not translated in one piece.
        """
        if self._pooled:
            raise UserError("this model's decoder has no attention")
        parts, spoken = self._read(source).parts, target.strip()
        if not parts or not spoken:
            raise UserError("a sentence and its translation are needed")
        if len(parts) > 1:
            raise UserError(
                f"the line is translated in {len(parts)} parts, each by itself; give a sentence at a time"
            )
        (part,) = parts
        if not part.ids:
            raise UserError("nothing in the line is translated; it stays as it is")
        said = self._said(spoken, part)
        context, lengths = self._seen([part.ids])
        _, state = self.model.prefill(np.array([[BOS, *said[:-1]]]), self.model.start(context, 1, lengths))
        looked = self.model.attention(state)  # (1, T, L)
        assert looked is not None, "a translator's decoder has a context"
        return aligned(self.tokenizer, part.ids, said, looked[0], part.hidden)

    def _said(self, text: str, part: _Part) -> list[int]:
        """The tokens of a part's translation, as the decoder said it: what `_text` undoes."""
        copied = zip(PLACEHOLDERS, part.hidden, strict=False)
        for sign, hidden in sorted(copied, key=lambda pair: -len(pair[1])):  # one may stand within another
            text = text.replace(hidden, sign, 1)
        ended = part.ended and (text[-1].isalnum() or text[-1] in PLACEHOLDERS)
        return self.tokenizer.encode(f"{text}." if ended else text)

    def _read(self, line: str) -> _Line:
        shown = visible(line)
        body = shown.strip()
        start = shown.find(body) if body else len(shown)
        before, after = shown[:start], shown[start + len(body) :]
        return _Line(line, before, after, tuple(self._parts(self._plain(body))) if body else ())

    def _plain(self, text: str) -> str:
        """A line with letters as the vocabulary has them, and one space for tabs and whatever else is one, however many: of two
        in a row models learn next to nothing."""
        whole = unicodedata.normalize("NFC", text)
        spaced = re.sub(r"\s", lambda sign: sign[0] if self._known(sign[0]) else " ", whole)
        return re.sub(" {2,}", " ", spaced)

    def _parts(self, text: str) -> Iterator[_Part]:
        """A line as it is translated: whole, or, where it is long, by sentences, clauses, words, letters."""
        for place, piece in enumerate(self._short(text, (_SENTENCE, _CLAUSE, re.compile(r"\s+")))):
            shown, hidden = hide(piece, self._known, self._seen_words)
            if not any(map(str.isalnum, shown)):
                yield _Part((), (), piece)
                continue
            ended = self._sentences and (shown[-1].isalnum() or shown[-1] in PLACEHOLDERS)
            if self._sentences and not place:
                shown = shown[:1].upper() + shown[1:]
            ids = self.tokenizer.encode(f"{shown}." if ended else shown)
            if len(ids) <= 2 * _WHOLE:
                yield _Part(tuple(ids), hidden, piece, ended)
                continue
            ids = self.tokenizer.encode(piece)  # one endless word
            for start in range(0, len(ids), _WHOLE):
                yield _Part(tuple(ids[start : start + _WHOLE]), (), piece)

    def _short(self, text: str, cuts: Sequence[re.Pattern[str]]) -> Iterator[str]:
        if not cuts or len(text) <= _WHOLE or len(self.tokenizer.encode(text)) <= _WHOLE:
            yield text
            return
        held, size = "", 0
        for piece in cuts[0].split(text):
            tokens = len(self.tokenizer.encode(piece))
            if held and size + tokens > _WHOLE:
                yield from self._short(held, cuts[1:])
                held, size = "", 0
            held, size = f"{held} {piece}" if held else piece, size + tokens
        yield from self._short(held, cuts[1:])

    def _seen(self, rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """What the decoder sees of sentences, (B, L, D), and how many cells of each count."""
        ids, lengths = padded(rows)
        context = self.encode(ids, lengths)
        if not self._pooled:
            return context, lengths
        return context.sum(axis=1, keepdims=True) / lengths[:, None, None].astype(np.float32), np.ones_like(
            lengths
        )

    def _constraints(self, places: int) -> Constraints:
        """What is hidden behind `places` place holders has to be said; no phrase three times."""
        return Constraints(
            banned=(*self._banned, *self._places[places:]),
            required=self._places[:places],
            min_length=1,
            no_repeat_ngram=4,
        )

    def _translate(self, parts: Sequence[_Part], config: TranslationConfig) -> list[list[Generated]]:
        """The best translations of parts of one length with as many place holders."""
        context, lengths = self._seen([part.ids for part in parts])
        constraints, most = self._constraints(_places(parts[0])), _longest(parts[0])
        prompts = np.full((len(parts), 1), BOS)
        if config.beam == config.n == 1 and not constraints.required:
            said = generate(
                self.model,
                prompts,
                context=context,
                lengths=lengths,
                constraints=constraints,
                end=EOS,
                max_length=most,
            )
            return [[one] for one in said]
        return beam_search(
            self.model,
            prompts,
            context=context,
            lengths=lengths,
            beam_size=config.beam,
            n_best=config.n,
            length_penalty=config.length_penalty,
            constraints=constraints,
            end=EOS,
            max_length=most,
        )

    def _told(self, line: _Line, parts: Sequence[Sequence[Generated]], count: int) -> Translation:
        """A line's translations; where it has several parts, the n-th best of each together."""
        found: list[Translation] = []
        for place in range(count if parts else 1):
            # Of a short text there may be fewer than were asked for.
            if place and all(place >= len(said) for said in parts):
                break
            chosen = [said[min(place, len(said) - 1)] for said in parts]
            texts = (
                self._text(said.ids, part) if part.ids else part.text
                for said, part in zip(chosen, line.parts, strict=True)
            )
            found.append(
                Translation(
                    line.text,
                    line.before + " ".join(texts) + line.after,
                    sum((said.log_prob for said in chosen), 0.0),
                    all(said.finished for said in chosen),
                )
            )
        best = found[0]
        return Translation(best.source, best.text, best.log_prob, best.finished, tuple(found[1:]))

    def _text(self, ids: Sequence[int], part: _Part) -> str:
        text = re.sub(r"[\r\n]", " ", reveal(self.tokenizer.decode(ids), part.hidden)).strip()
        return text.removesuffix(".") if part.ended else text

    def _spoken(self, part: _Part) -> Iterator[str]:
        if not part.ids:
            yield part.text
            return
        context, lengths = self._seen([part.ids])
        said: list[int] = []
        text = ""
        for column in stream(
            self.model,
            np.full((1, 1), BOS),
            context=context,
            lengths=lengths,
            constraints=self._constraints(_places(part)),
            end=EOS,
            max_length=_longest(part),
        ):
            if column.ids[0] == EOS:
                break
            said.append(int(column.ids[0]))
            now = self._text(said, part)
            # A letter that is spelled in bytes is whole only with its last one.
            if now.startswith(text) and not now.endswith("\ufffd"):
                yield now[len(text) :]
                text = now
        yield self._text(said, part)[len(text) :]


def _joined(text: str, lines: Sequence[Translation]) -> Translation:
    if len(lines) == 1:
        return lines[0]
    options = [(line, *line.others) for line in lines]
    found = [
        Translation(
            text,
            "\n".join(row[min(place, len(row) - 1)].text for row in options),
            sum(row[min(place, len(row) - 1)].log_prob for row in options),
            all(row[min(place, len(row) - 1)].finished for row in options),
        )
        for place in range(max(map(len, options)))
    ]
    return Translation(text, found[0].text, found[0].log_prob, found[0].finished, tuple(found[1:]))


def _groups(parts: Iterable[_Part]) -> list[list[_Part]]:
    """Parts of one length with as many place holders, a batch each: no translation depends on those beside it, but for
    the last digits of its probability, which torch adds up in another order."""
    kinds: dict[tuple[int, int], list[_Part]] = {}
    for part in parts:
        kinds.setdefault((len(part.ids), _places(part)), []).append(part)
    return [
        kind[start : start + _ROWS]
        for _, kind in sorted(kinds.items())
        for start in range(0, len(kind), _ROWS)
    ]


def _places(part: _Part) -> int:
    """Place holders that are among a part's tokens."""
    return len(part.hidden)


def _longest(part: _Part) -> int:
    """Tokens that its translation may have."""
    return 2 * len(part.ids) + 10
