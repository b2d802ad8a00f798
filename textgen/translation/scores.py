"""How good translations are: sacrebleu's BLEU and chrF with its own signatures (Post 2018), never figures of our own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, TypedDict

from textgen.errors import UserError


class TranslationScores(TypedDict):
    """Of a list of translations, out of 100."""

    BLEU: float
    chrF: float
    signatures: dict[str, str]
    """How each was computed, as sacrebleu says it."""


class PairedScores(TypedDict):
    """Of one of two systems on the same sentences, by a paired bootstrap (Koehn 2004)."""

    system: str
    BLEU: float
    chrF: float
    BLEU_p: float
    """Probability of a difference as large as this if there were none; of the first system it is 1."""
    chrF_p: float


def require_sacrebleu() -> None:
    """Raises UserError where sacrebleu is not installed."""
    if find_spec("sacrebleu") is None:
        raise UserError(
            "scores of translations need sacrebleu, not installed here: pip install 'captioner[scores]'"
        )


def translation_scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> TranslationScores:
    """BLEU (13a, cased) and chrF2 of `hypotheses`, each against its own `references`, one or more."""
    require_sacrebleu()
    bleu, chrf = _metrics(_streams(references))
    found = {
        name: metric.corpus_score(list(hypotheses), None).score
        for name, metric in (("BLEU", bleu), ("chrF", chrf))
    }
    return {
        "BLEU": float(found["BLEU"]),
        "chrF": float(found["chrF"]),
        "signatures": {"BLEU": str(bleu.get_signature()), "chrF": str(chrf.get_signature())},
    }


def paired_bootstrap(
    systems: Sequence[tuple[str, Sequence[str]]], references: Sequence[Sequence[str]], samples: int = 1000
) -> list[PairedScores]:
    """The scores of `systems`, names and translations, and how likely their difference from the first one is chance."""
    require_sacrebleu()
    from sacrebleu.significance import PairedTest

    bleu, chrf = _metrics(_streams(references))
    # Two may have one name, by which the test would take them for one.
    named: list[tuple[str, Sequence[str]]] = [
        (str(place), list(said)) for place, (_, said) in enumerate(systems)
    ]
    test = PairedTest(
        named, {"BLEU": bleu, "chrF2": chrf}, references=None, test_type="bs", n_samples=samples
    )
    found: dict[str, Any] = test()[1]

    def p_value(metric: str, result: Any) -> float:
        # sacrebleu counts the differences that are larger: of none at all it would say that it is no chance.
        same = result.score == found[metric][0].score
        return 1.0 if same or result.p_value is None else float(result.p_value)

    return [
        {
            "system": name,
            "BLEU": float(b.score),
            "chrF": float(c.score),
            "BLEU_p": p_value("BLEU", b),
            "chrF_p": p_value("chrF2", c),
        }
        for (name, _), b, c in zip(systems, found["BLEU"], found["chrF2"], strict=True)
    ]


def _streams(references: Sequence[Sequence[str]]) -> Any:
    """As sacrebleu wants them: the first reference of each sentence, then the second, None where there is none."""
    most = max(map(len, references))
    return [[row[place] if place < len(row) else None for row in references] for place in range(most)]


def _metrics(references: Any) -> tuple[Any, Any]:
    from sacrebleu.metrics import BLEU, CHRF

    return BLEU(references=references), CHRF(references=references)
