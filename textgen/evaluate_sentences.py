"""How good a translator is on pairs of sentences, and a classifier on labelled texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from operator import methodcaller
from pathlib import Path
from typing import Any

from textgen.classification.baseline import baseline_labels
from textgen.classification.classifier import Classifier
from textgen.classification.examples import load_labelled
from textgen.classification.judged import judge, judge_labels, table
from textgen.errors import UserError
from textgen.output import complain, print_json
from textgen.storage.files import atomic_write, check_output
from textgen.text.encodings import lines_of
from textgen.translation.config import TranslationConfig
from textgen.translation.pairs import grouped, load_pairs
from textgen.translation.scores import PairedScores, paired_bootstrap, require_sacrebleu, translation_scores
from textgen.translation.translator import Translator


def evaluate_pairs(
    files: Sequence[Path],
    model: str | None,
    engine: str,
    columns: Sequence[str],
    config: TranslationConfig,
    save: Path | None,
    against: Path | None,
    as_json: bool,
) -> None:
    """Translates the sentences of pairs, each once, and prints the scores. Raises UserError."""
    require_sacrebleu()
    if not files:
        raise UserError("--pairs: name one or more files")
    if config.n > 1:
        raise UserError("--n: one translation a sentence is scored")
    check_output(save, "--save", (".txt",), [*files, *([against] if against else [])])
    groups = grouped(files)
    translator = Translator.load(model, engine)
    references: dict[str, list[str]] = {}
    for group in groups:
        pairs = load_pairs(group, columns, translator.languages)
        for note in pairs.notes:
            complain("textgen", note)
        for source, targets in pairs.references().items():
            known = references.setdefault(source, [])
            known += (target for target in targets if target not in known)
    theirs = list(lines_of(against)) if against else []
    if against and len(theirs) != len(references):
        raise UserError(f"{against}: has {len(theirs):,} lines for {len(references):,} sentences (--against)")
    said = [str(found) for found in translator.translate(list(references), **asdict(config))]
    if save:
        atomic_write(save, methodcaller("write", "".join(f"{text}\n" for text in said).encode()))
    true = list(references.values())
    report: dict[str, Any] = {
        "model": translator.hash,
        "languages": list(translator.languages),
        **asdict(config),
        "sentences": len(said),
        "references": sum(map(len, true)),
        "all_references": translation_scores(said, true),
        "one_reference": translation_scores(said, [row[:1] for row in true]),
        **(
            {"against": paired_bootstrap([("this model", said), (against.name, theirs)], true)}
            if against
            else {}
        ),
    }
    if as_json:
        return print_json(report)
    print(f"{report['sentences']:,} sentences, {report['references']:,} references, beam {config.beam}")
    for name in ("all references", "one reference"):
        scores = report[name.replace(" ", "_")]
        print(f"{name:15} BLEU {scores['BLEU']:.1f}, chrF {scores['chrF']:.1f}")
        print(*(f"  {signature}" for signature in scores["signatures"].values()), sep="\n")
    _print_paired(report.get("against", []))


def _print_paired(found: Sequence[PairedScores]) -> None:
    for row in found:
        name = row["system"]
        print(
            f"{name:15} BLEU {row['BLEU']:.1f} (p {row['BLEU_p']:.3f}), chrF {row['chrF']:.1f} (p {row['chrF_p']:.3f})"
        )


def score_translations(said: Path, references: Sequence[Path], other: Path | None, as_json: bool) -> None:
    """Prints sacrebleu's scores of translations, a line each, whose `references` are files with as many lines; beside
    those of an `other` system, where there is one. Raises UserError."""
    require_sacrebleu()
    if not references:
        raise UserError(
            f"{said}: no references given; name one or more files with a line for each of its lines"
        )
    texts = list(lines_of(said))
    rows = [list(lines_of(path)) for path in references]
    theirs = list(lines_of(other)) if other else []
    for path, lines in [*zip(references, rows, strict=True), *([(other, theirs)] if other else [])]:
        if len(lines) != len(texts):
            raise UserError(
                f"{path}: has {len(lines):,} lines, {said} has {len(texts):,}; a line is a sentence"
            )
    if not texts:
        raise UserError(f"{said}: is empty; give a translation a line")
    true = [list(row) for row in zip(*rows, strict=True)]
    report: dict[str, Any] = {"sentences": len(texts), "scores": translation_scores(texts, true)}
    if other:
        report["against"] = paired_bootstrap([(said.name, texts), (other.name, theirs)], true)
    if as_json:
        return print_json(report)
    scores = report["scores"]
    print(f"{len(texts):,} sentences, {len(rows)} references each")
    print(f"BLEU {scores['BLEU']:.1f}, chrF {scores['chrF']:.1f}")
    print(*(f"  {signature}" for signature in scores["signatures"].values()), sep="\n")
    _print_paired(report.get("against", []))


def evaluate_classes(
    files: Sequence[Path],
    model: str | None,
    engine: str,
    text: Sequence[str],
    label: str,
    held_out: float,
    seed: int,
    baseline: Sequence[Path],
    as_json: bool,
) -> None:
    """Classifies labelled texts and prints the figures. Raises UserError."""
    if not 0 <= held_out < 1:
        raise UserError(f"held_out: {held_out} is outside 0 to 1")
    texts = load_labelled(files, text, label, least=1)
    train = load_labelled(baseline, text, label) if baseline else None
    for note in dict.fromkeys([*texts.notes, *(train.notes if train else ())]):
        complain("textgen", note)
    same = set(map(Path.resolve, baseline)) & set(map(Path.resolve, files))
    if same and not held_out:
        raise UserError(
            f"{next(iter(same))}: the baseline would be judged by what it learnt; give --held-out"
        )
    if held_out:
        rest, texts = texts.split(held_out, seed)
        # Of the very files it is judged by, the baseline learns what is not held out.
        train = rest if same else train
    classifier = Classifier.load(model, engine)
    figures = judge(classifier.classify(list(texts.texts)), texts.labels)
    beside = None
    if train is not None:
        beside = judge_labels(baseline_labels(train, texts.texts), texts.labels, classifier.classes)
    if as_json:
        document = {"model": classifier.hash, **figures.to_json()}
        print_json(document | ({"baseline": beside.to_json()} if beside else {}))
    else:
        print(table(figures, beside))
