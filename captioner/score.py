"""A corpus to its whole report: what `captioner score` and `captioner evaluate` print and write alike."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captioner.metrics import BadReferences, Corpus
from captioner.metrics.checks import Key
from captioner.metrics.stopping import Check, go_on
from captioner.pictures.files import told_apart
from captioner.report.kinds import by_kind
from captioner.score_config import ReportConfig, check_report
from textgen.errors import UserError
from textgen.storage.files import atomic_write

if TYPE_CHECKING:
    from captioner.report.gallery import Look


def score(
    predictions: Path,
    references: Sequence[Path],
    config: ReportConfig = ReportConfig(),
    *,
    other: Path | None = None,
    split: str | None = None,
    pictures: Path | None = None,
    train: Path | None = None,
    check: Check = go_on,
) -> dict[str, Any]:
    """The report of `predictions` against `references`, files as `captioner.data.scorable` reads them.

    `other` is a second system's file, `split` and `pictures` choose among the references, and `train` holds the
    training captions; what `check` raises ends it half way. Raises UserError naming the file for what cannot be read, matched or scored.
    """
    from captioner.data.scorable import read_captions, read_scorable

    found = read_scorable(predictions, references, split=split, pictures=pictures, other=other)
    given = [path for path in (predictions, *references, other, pictures, train) if path]
    check_report(config.report, [*given, *found.read, *found.files.values()])
    with _naming(predictions, references[0]):
        corpus = Corpus.of(found.predictions, found.references, check, config.tokenizer)
    rival = None
    if other is not None and found.other is not None:
        with _naming(other, references[0]):
            rival = corpus.spoken_by(found.other, check)
    names = told_apart([path for path in (predictions, other) if path])
    report = full_report(
        corpus,
        config,
        names[0],
        train=read_captions(train, by_hash=split is not None) if train else None,
        other=rival,
        other_name=names[-1],
        notes=found.notes,
        check=check,
    )
    check()
    if config.report:
        write_page(config.report, report, corpus, found.files, other=rival)
    return report


@contextlib.contextmanager
def _naming(predictions: Path, references: Path) -> Iterator[None]:
    try:
        yield
    except BadReferences as error:
        raise UserError(f"{references}: {error}") from error
    except UserError as error:
        raise UserError(f"{predictions}: {error}") from error


def full_report(
    corpus: Corpus[Key],
    config: ReportConfig,
    name: str,
    *,
    train: Iterable[str] | None = None,
    other: Corpus[Key] | None = None,
    other_name: str = "",
    notes: Sequence[str] = (),
    check: Check = go_on,
) -> dict[str, Any]:
    """`Corpus.report` with `name`, `notes`, what else `config` asks for and, as `extra`, the scores that Java makes.

    `other` and `other_name` are a second system, to be compared; what `check` raises ends it half way.
    """
    report = corpus.report(
        draws=config.bootstrap,
        seed=config.seed,
        with_anchors=True,
        train=train,
        other=other,
        check=check,
    )
    report = {"name": name, **report, "extra": _extra(corpus, config), "notes": list(notes)}
    if config.kinds:
        report["kinds"] = by_kind(corpus)
    if config.worst:
        report["worst"] = [
            {
                "id": corpus.ids[place],
                "caption": corpus.predictions[place],
                "CIDEr": float(corpus.cider[place]),
                "reference": corpus.references[place][0],
            }
            for place in corpus.worst(config.worst)
        ]
    if other is not None:
        report["other"] = {"name": other_name, **report["other"], "extra": _extra(other, config)}
    if report["extra"]:
        report["signature"] += f"|{'|'.join(report['extra'])}:pycocoevalcap-{version('pycocoevalcap')}"
    return report


def _extra(corpus: Corpus[Key], config: ReportConfig) -> dict[str, float]:
    from captioner.metrics.java import meteor, spice

    wanted = {"METEOR 1.5": config.meteor and meteor, "SPICE": config.spice and spice}
    return {
        name: metric(corpus.hypotheses, corpus.reference_tokens) for name, metric in wanted.items() if metric
    }


def write_page(
    path: Path,
    report: Mapping[str, Any],
    corpus: Corpus[Key],
    files: Mapping[Key, Path],
    *,
    other: Corpus[Key] | None = None,
    look: Look | None = None,
) -> None:
    """The report as a page with a gallery of pictures; `files` and `look` as in `captioner.report.gallery`."""
    from captioner.report.gallery import gallery
    from captioner.report.page import report_page

    page = report_page(report, gallery(corpus, files, other, look), f"Captions: {report['name']}")
    atomic_write(path, lambda file: file.write(page.encode()))
