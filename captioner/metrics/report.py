"""Captions and references to everything that a report says of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any, Generic

import numpy as np

from captioner.metrics import bootstrap
from captioner.metrics.anchors import anchors
from captioner.metrics.bleu import BleuScore, bleu
from captioner.metrics.checks import BadReferences, Key, checked_ids, looks_different, refuse_empty
from captioner.metrics.diversity import UNKNOWN, diversity, lengths
from captioner.metrics.ngrams import ORDERS
from captioner.metrics.pairs import Pairs
from captioner.metrics.statistics import SCORES, corpus_scores, statistics
from captioner.metrics.stopping import Check, go_on
from captioner.metrics.tokens import TOKENISERS, tokenize
from captioner.version import __version__
from textgen.errors import UserError
from textgen.text.scripts import without_spaces

_FEW = 50  # pictures; intervals of fewer are too narrow
_LEAK = 0.2  # share of predictions that are one of their references word for word
_MANY = 10_000  # pictures; beyond, what runs side by side takes too much memory
_ROUNDING = 1e-9
_SHOWN = 5  # pictures where two systems differ most, each way
_KEPT = {
    "have capitals": {"lowercase": False},
    "end in full stops": {"full_stops": True},
}  # how to keep what is dropped


@dataclass(frozen=True, eq=False)
class Corpus(Generic[Key]):
    """One caption a picture beside its references, tokenised, counted and scored once."""

    ids: list[Key]
    """The pictures (B), sorted."""
    predictions: list[str]
    references: list[Sequence[str]]
    hypotheses: list[list[str]] = field(repr=False)
    """(B,) tokens of the predictions."""
    reference_tokens: list[list[list[str]]] = field(repr=False)
    """(B,) tokens of the references."""
    tokenizer: str = "ptb"
    """One of `captioner.metrics.tokens.TOKENISERS`."""

    @classmethod
    def of(
        cls,
        predictions: Mapping[Key, str],
        references: Mapping[Key, Sequence[str]],
        check: Check = go_on,
        tokenizer: str = "ptb",
    ) -> Corpus[Key]:
        """Raises UserError for what cannot be scored; see `corpus_report`. What `check` raises ends it half way."""
        if tokenizer not in TOKENISERS:
            raise UserError(f"tokenizer: unknown {tokenizer!r}; known: {', '.join(TOKENISERS)}")
        ids = checked_ids(predictions, references)
        if tokenizer != "char" and without_spaces(chain.from_iterable(references[key] for key in ids)):
            raise BadReferences(
                "the captions have no spaces between words; score characters: --tokenizer char (in Python tokenizer='char'), "
                "or put spaces between the words and give --tokenizer none"
            )
        # Sorted, so that neither hash nor anchors depend on the order in a file.
        captions: list[Sequence[str]] = [sorted(references[key]) for key in ids]
        corpus = cls(
            ids,
            [predictions[key] for key in ids],
            captions,
            _tokens([predictions[key] for key in ids], check, tokenizer=tokenizer),
            [_tokens(texts, check, tokenizer=tokenizer) for texts in captions],
            tokenizer,
        )
        refuse_empty(ids, corpus.reference_tokens)
        return corpus

    @cached_property
    def pairs(self) -> Pairs:
        return Pairs.of(self.hypotheses, self.reference_tokens)

    @cached_property
    def statistics(self) -> np.ndarray:
        """By picture (B, 12), as `captioner.metrics.statistics` has them."""
        return statistics(self.pairs)

    @property
    def rouge_l(self) -> np.ndarray:
        """By picture (B,), x100."""
        return self.statistics[:, -2]

    @property
    def cider(self) -> np.ndarray:
        """By picture (B,), x100."""
        return self.statistics[:, -1]

    def spoken_by(self, predictions: Mapping[Key, str], check: Check = go_on) -> Corpus[Key]:
        """Another system's predictions beside the same references; what `check` raises ends it half way."""
        ids = checked_ids(predictions, dict(zip(self.ids, self.references, strict=True)))
        captions = [predictions[key] for key in ids]
        return replace(
            self, predictions=captions, hypotheses=_tokens(captions, check, tokenizer=self.tokenizer)
        )

    def furthest(self, other: Corpus[Key], most: int) -> tuple[list[int], list[int]]:
        """The pictures, as places in `ids`, where CIDEr is furthest ahead of `other`'s, and furthest behind."""
        gain = self.cider - other.cider
        order = np.argsort(gain, kind="stable")
        # The same caption may differ in the last digit, as n-grams have other numbers beside another system.
        ahead, behind = order[gain[order] > _ROUNDING][::-1], order[gain[order] < -_ROUNDING]
        return ahead[:most].tolist(), behind[:most].tolist()

    def worst(self, most: int) -> list[int]:
        """The pictures, as places in `ids`, of lowest CIDEr, the lowest first; ROUGE-L decides where it does not."""
        order: list[int] = np.lexsort((self.rouge_l, self.cider))[:most].tolist()
        return order

    def report(
        self,
        *,
        draws: int = 0,
        seed: int = 0,
        with_anchors: bool = False,
        train: Iterable[str] | None = None,
        other: Corpus[Key] | None = None,
        check: Check = go_on,
    ) -> dict[str, Any]:
        """As `corpus_report`; what `check` raises ends it half way."""
        if isinstance(train, str):
            raise UserError("train: is a string; give the training captions, in a list")
        if draws < 0 or seed < 0:
            raise UserError(f"draws, seed: {draws}, {seed} must be 0 or more")
        draws = draws if len(self.ids) > 1 else 0  # one picture says nothing of others
        copied = None if train is None else _tokens(train, check, tokenizer=self.tokenizer)
        check()
        scored = self.statistics
        check()
        # numpy lets other threads run: the two longest parts go side by side.
        with ThreadPoolExecutor(2 if len(self.ids) <= _MANY else 1) as threads:
            anchored = threads.submit(anchors, self.pairs, seed, check) if with_anchors else None
            warned = threads.submit(self._warnings, check)
            sampled = bootstrap.draws(scored, draws, seed, check) if draws else None
            report = {
                "pictures": len(self.ids),
                "references": [min(map(len, self.reference_tokens)), max(map(len, self.reference_tokens))],
                **self._scores(sampled, copied),
                "anchors": anchored.result() if anchored else [],
                "other": None,
                "signature": self._signature(draws, seed),
                "warnings": warned.result(),
            }
        if other is not None:
            check()
            other_sampled = bootstrap.draws(other.statistics, draws, seed, check) if draws else None
            report["other"] = other._scores(other_sampled, copied)
            ours, theirs = (corpus_scores(one.statistics) for one in (self, other))
            found = (
                bootstrap.differences(ours, theirs, sampled, other_sampled)
                if sampled is not None and other_sampled is not None
                else {}
            )
            report["other"]["differences"] = found
            for where, places in zip(("ahead", "behind"), self.furthest(other, _SHOWN), strict=True):
                report["other"][where] = [self._beside(other, place) for place in places]
            report["signature"] += f"|other:{_hash(other.ids, other.predictions)}"
            warnings = other._warnings(check)
            report["warnings"] += [f"of the other predictions: {warning}" for warning in warnings]
            if other.predictions == self.predictions:
                report["warnings"].append("the other predictions are the very same captions")
        return report

    def _beside(self, other: Corpus[Key], place: int) -> dict[str, Any]:
        """What both systems say of one picture."""
        systems = {"": self, "other_": other}
        rows: dict[str, str | float] = {
            f"{of}caption": system.predictions[place] for of, system in systems.items()
        }
        rows |= {f"{of}CIDEr": float(system.cider[place]) for of, system in systems.items()}
        return {"id": self.ids[place], **rows}

    def _scores(self, sampled: np.ndarray | None, train: Sequence[Sequence[str]] | None) -> dict[str, Any]:
        score = BleuScore.from_statistics(self.statistics[:, :-2])
        return {
            **dict(zip(SCORES, corpus_scores(self.statistics).tolist(), strict=True)),
            "precisions": list(score.precisions),
            "brevity_penalty": score.brevity_penalty,
            "length_ratio": score.length_ratio,
            "hypothesis_length": score.hypothesis_length,
            "reference_length": score.reference_length,
            "intervals": {} if sampled is None else bootstrap.intervals(sampled),
            "diversity": diversity(self.hypotheses, train),
            "lengths": {
                "predictions": lengths(self.hypotheses),
                "references": lengths(chain.from_iterable(self.reference_tokens)),
            },
        }

    def _signature(self, draws: int, seed: int) -> str:
        counts = sorted({len(sentences) for sentences in self.reference_tokens})
        return "|".join(
            [
                f"n:{len(self.ids)}",
                "refs:" + "-".join(map(str, counts if len(counts) < 3 else (counts[0], counts[-1]))),
                f"tok:{TOKENISERS[self.tokenizer]}",
                "case:lower",
                f"punctuation:{'dropped' if self.tokenizer == 'ptb' else 'kept'}",
                "bleu:corpus",
                "smooth:none",
                "length:closest",
                "cider:D",
                "cider-idf:these-references",
                *([f"bootstrap:{draws}", f"seed:{seed}"] if draws else []),
                f"predictions:{_hash(self.ids, self.predictions)}",
                f"references:{_hash(self.ids, self.references)}",
                f"captioner:{__version__}",
                f"numpy:{np.__version__}",
            ]
        )

    def _warnings(self, check: Check) -> list[str]:
        warnings = []
        pictures = len(self.ids)
        empty = [key for key, tokens in zip(self.ids, self.hypotheses, strict=True) if not tokens]
        if empty:
            count = f"{len(empty):,}, the first is {empty[0]!r}"
            warnings.append(f"predictions without a word, which score 0: {count}")
        if unknown := sum(not UNKNOWN.isdisjoint(tokens) for tokens in self.hypotheses):
            warnings.append(f"predictions with an unknown word's sign, which matches nothing: {unknown:,}")
        same = sum(bool(tokens) and tokens in some for tokens, some in self._beside_references())
        if same > _LEAK * pictures:
            warnings.append(
                f"{same:,} of {pictures:,} predictions are word for word one of their own references: "
                "are the references among what is scored?"
            )
        correct = self.statistics[:, 2 : 2 + ORDERS].sum(axis=0)
        if not correct.all():
            order = int(np.argmin(correct)) + 1
            words = "a word" if order == 1 else f"{order} words in a row"
            those = "BLEU is" if order == 1 else f"BLEU-{order} and what is above it, unsmoothed, are"
            warnings.append(
                f"no prediction shares {words} with a reference: {those} 0, or coco-caption's constants"
            )
        if pictures == 1:
            warnings.append("CIDEr needs several pictures: with one, every n-gram weighs log(1/1) = 0")
        elif pictures < _FEW:
            warnings.append(
                f"{pictures} pictures are few: the true intervals are wider, and CIDEr is another"
            )
        if max(map(len, self.reference_tokens)) == 1:
            warnings.append(
                "one reference a picture: the usual figures are on five, where BLEU-4 is two to three times as high"
            )
        if different := looks_different(self.predictions, list(chain.from_iterable(self.references))):
            how = "; ".join(
                f"the {with_it} {' and '.join(what)}, the {without} do not"
                for (with_it, without), what in different.items()
            )
            keep = {
                option: value for what in chain(*different.values()) for option, value in _KEPT[what].items()
            }
            here = f"{corpus_scores(self.statistics)[ORDERS - 1]:.2f}"
            kept = f"{self._keeping(check, **keep):.2f}"
            if kept != here:
                warnings.append(
                    f"{how}: that does not count here, so nothing is lost; a script that keeps it would give "
                    f"BLEU-4 {kept} instead of {here}"
                )
        return warnings

    def _beside_references(self) -> Iterable[tuple[list[str], list[list[str]]]]:
        return zip(self.hypotheses, self.reference_tokens, strict=True)

    def _keeping(self, check: Check, **what: bool) -> float:
        """BLEU-4 with something kept that the protocol drops."""
        hypotheses = _tokens(self.predictions, check, self.tokenizer, **what)
        others = [_tokens(texts, check, self.tokenizer, **what) for texts in self.references]
        return bleu(hypotheses, others).scores[-1]


def _tokens(texts: Iterable[str], check: Check, tokenizer: str = "ptb", **kept: bool) -> list[list[str]]:
    """Of each text; `check` is called before each, since odd ones take long."""
    found = []
    for text in texts:
        check()
        found.append(tokenize(text, tokenizer=tokenizer, **kept))
    return found


def corpus_report(
    predictions: Mapping[Key, str],
    references: Mapping[Key, Sequence[str]],
    *,
    draws: int = 0,
    seed: int = 0,
    with_anchors: bool = False,
    train: Iterable[str] | None = None,
    other: Mapping[Key, str] | None = None,
    tokenizer: str = "ptb",
) -> dict[str, Any]:
    """All that can be said of one caption a picture, from raw strings.

    Args:
        predictions: picture id -> caption; an empty caption is allowed and scores 0.
        references: picture id -> its reference captions.
        draws: bootstrap samples for the 95 % intervals, 1,000 as a rule; 0 leaves them out.
        seed: of the bootstrap and of the shuffle among the anchors.
        with_anchors: adds what humans, shuffled captions and a constant caption score here.
        train: the training captions, to count the predictions that copy one.
        other: another system's captions of the same pictures, for a paired comparison.
        tokenizer: `ptb`, coco-caption's words; `char`, characters, for scripts without spaces; `none`, white space.

    Returns:
        `pictures`; `references`, fewest and most a picture;
        `BLEU-1` to `BLEU-4`, `ROUGE-L`, `CIDEr` and `precisions`, x100, unrounded; `brevity_penalty`,
        `length_ratio`; `hypothesis_length`, `reference_length`, tokens; `intervals`: score -> [low, high];
        `diversity`, see `captioner.metrics.diversity`; `lengths`: words -> captions, of both sides;
        `anchors`: rows of the same scores; `other`: the other system's, with `differences`, the pictures furthest
        `ahead` of it and furthest `behind`;
        `signature`: how the numbers were made, in one line;
        `warnings`: sentences about numbers that do not mean what they seem to.

    Raises:
        UserError: ids missing or unknown, a picture without references, an empty reference, a caption that is
            not a string, special tokens or pieces of words; it names the first id and counts the others.
    """
    corpus = Corpus.of(predictions, references, tokenizer=tokenizer)
    rival = None
    if other is not None:
        try:
            rival = corpus.spoken_by(other)
        except UserError as error:
            raise UserError(f"of the other predictions: {error}") from error
    return corpus.report(draws=draws, seed=seed, with_anchors=with_anchors, train=train, other=rival)


def _hash(ids: Sequence[Hashable], captions: Sequence[Sequence[str]]) -> str:
    """12 hexadecimal digits of what was scored, in whatever order it came."""
    rows = sorted([str(key), text] for key, text in zip(ids, captions, strict=True))
    return hashlib.sha256(json.dumps(rows, ensure_ascii=True).encode()).hexdigest()[:12]
