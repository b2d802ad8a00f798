"""METEOR 1.5 and SPICE by their authors' Java programs, as pycocoevalcap runs them; nothing else has these names here."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from urllib.error import URLError

from textgen.errors import UserError

Sentences = dict[str, list[str]]


def meteor(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> float:
    """METEOR 1.5 of the corpus (Denkowski and Lavie 2014), x100, of tokens as `bleu` takes them.

    Raises UserError where pycocoevalcap or Java is missing, or the program fails.
    """
    return _run("METEOR 1.5", _meteor, hypotheses, references)


def spice(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> float:
    """SPICE (Anderson et al. 2016), x100: the mean F-score of scene graphs. Arguments and errors as in `meteor`.

    Its first use downloads Stanford CoreNLP; it is made for Java 8.
    """
    return _run("SPICE", _spice, hypotheses, references)


def _meteor(references: Sentences, hypotheses: Sentences) -> float:
    from pycocoevalcap.meteor.meteor import Meteor

    return float(Meteor().compute_score(references, hypotheses)[0])


def _spice(references: Sentences, hypotheses: Sentences) -> float:
    from pycocoevalcap.spice.spice import Spice

    return float(Spice().compute_score(references, hypotheses)[0])


def _run(
    name: str,
    score: Callable[[Sentences, Sentences], float],
    hypotheses: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
) -> float:
    if not shutil.which("java"):
        raise UserError(f"{name}: Java is not there; install it (a JRE is enough), or leave this score out")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # pycocoevalcap prints the progress of a download
            return 100 * score(
                {str(index): list(map(_line, others)) for index, others in enumerate(references)},
                {str(index): [_line(tokens)] for index, tokens in enumerate(hypotheses)},
            )
    except ImportError as error:
        raise UserError(
            f"{name}: pycocoevalcap is not there; pip install 'captioner[coco]', or leave this score out"
        ) from error
    except URLError as error:
        raise UserError(f"{name}: Stanford CoreNLP cannot be downloaded for it: {error.reason}") from error
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        raise UserError(f"{name}: its Java program failed: {error}; leave this score out") from error


def _line(tokens: Sequence[str]) -> str:
    # The program's own separator between sentences.
    return " ".join(token for token in tokens if token != "|||")
