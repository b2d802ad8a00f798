"""The commands of sentences: translate, classify, and what trains and scores models that do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from textgen.arguments import MaybePath, MaybeText, Model
from textgen.classification.training_config import ClassesConfig
from textgen.engine.choice import require_train
from textgen.translation.config import TranslationConfig
from textgen.translation.training_config import PairsConfig


@dataclass(frozen=True)
class TranslateCommand:
    """Translate a text, or the lines of a file. Without TEXT, or with "-", lines are read from standard input.

    Every line becomes a line. The models in the box learnt from sentences of tatoeba.org (CC BY 2.0 FR).
    """

    text: Annotated[Positional[MaybeText], arg(metavar="TEXT")] = None
    """What is translated, each of its lines by itself."""
    file: Annotated[MaybePath, arg(metavar="FILE")] = None
    """Translate the lines of this file, however long it is."""
    model: Model = None
    """A model in the box, english-german or english-french, or a trained model's folder; english-german unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    config: OmitArgPrefixes[TranslationConfig] = TranslationConfig()
    attention: Annotated[MaybePath, arg(metavar="OUT.PNG")] = None
    """Draw which words each word was read from; needs the extra [plot]."""
    json: bool = False
    """Print one JSON document."""
    jsonl: bool = False
    """Print a JSON document a line, as they are done."""

    def run(self) -> int:
        from textgen.translate import translate

        return translate(
            self.text, self.file, self.model, self.engine, self.config, self.attention, self.json, self.jsonl
        )


@dataclass(frozen=True)
class ClassifyCommand:
    """Say which class a text is of, with its probability. Without TEXT, or with "-", lines are read from standard input.

    The model in the box tells whose words they are, of six authors of novels.
    """

    text: Annotated[Positional[MaybeText], arg(metavar="TEXT")] = None
    """One text, whatever lines it has."""
    file: Annotated[MaybePath, arg(metavar="FILE")] = None
    """Classify the lines of this file, however long it is."""
    model: Model = None
    """A model in the box, authors, or a trained model's folder; authors unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    words: bool = False
    """Print what each word did for the class, by leaving it out."""
    json: bool = False
    """Print one JSON document."""
    jsonl: bool = False
    """Print a JSON document a text, as they are done."""

    def run(self) -> int:
        from textgen.classify import classify

        return classify(self.text, self.file, self.model, self.engine, self.words, self.json, self.jsonl)


@dataclass(frozen=True)
class TrainPairsCommand:
    """Train a translator on pairs of sentences.

    Ctrl-C leaves a checkpoint that --resume continues; the best model so far, by BLEU on --dev, is always in --out.
    """

    pairs: Annotated[tuple[Path, ...], arg(metavar="FILE...")]
    """Tables with a tab between a sentence and its translation, TMX, or two files aligned line by line."""
    dev: Annotated[tuple[Path, ...], arg(metavar="FILE...")]
    """Judge by these, each by itself; what stands in them is not learnt."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for the model; its state while it trains is in DIR/training."""
    resume: bool = False
    """Go on with an interrupted run, with the run's own settings."""
    config: OmitArgPrefixes[PairsConfig] = PairsConfig()

    def run(self) -> None:
        require_train("train")
        from textgen.training.memory import keep_freed_memory

        keep_freed_memory()
        from textgen.translation.training import train_pairs

        train_pairs(self.pairs, self.dev, self.out, self.config, self.resume)


@dataclass(frozen=True)
class TrainClassesCommand:
    """Train a classifier on labelled texts, the rows of a CSV.

    Ctrl-C leaves a checkpoint that --resume continues; the best model so far, by accuracy, is always in --out.
    """

    classes: Annotated[tuple[Path, ...], arg(metavar="FILE...")]
    """CSVs or TSVs with a column of texts, or several, and one of labels."""
    out: Annotated[Path, arg(metavar="DIR")]
    """Folder for the model; its state while it trains is in DIR/training."""
    dev: Annotated[tuple[Path, ...], arg(metavar="FILE...")] = ()
    """Judge by these, files as --classes, instead of holding out a share of that."""
    resume: bool = False
    """Go on with an interrupted run, with the run's own settings."""
    config: OmitArgPrefixes[ClassesConfig] = ClassesConfig()

    def run(self) -> None:
        require_train("train")
        from textgen.training.memory import keep_freed_memory

        keep_freed_memory()
        from textgen.classification.training import train_classes

        train_classes(self.classes, self.dev, self.out, self.config, self.resume)


@dataclass(frozen=True)
class EvaluatePairsCommand:
    """Score a translator by pairs of sentences: sacrebleu's BLEU and chrF, with their signatures.

    Each sentence is translated once and compared with all its translations; beside that with the first one alone.
    """

    pairs: Annotated[tuple[Path, ...], arg(metavar="FILE...")]
    """Tables with a tab between a sentence and its translation, TMX, or two files aligned line by line."""
    model: Model = None
    """A model in the box, english-german or english-french, or a trained model's folder; english-german unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    columns: Annotated[tuple[str, ...], arg(metavar="COLUMN COLUMN")] = ()
    """Columns of tables, by the names in their first line, or language codes of a TMX; unless told, those that have the names
    of the languages, or the first two."""
    config: OmitArgPrefixes[TranslationConfig] = TranslationConfig()
    save: Annotated[MaybePath, arg(metavar="OUT.TXT")] = None
    """Write the translations, a line a sentence, in the order of the pairs."""
    against: Annotated[MaybePath, arg(metavar="FILE")] = None
    """Another system's translations, as --save writes them: compared by a paired bootstrap."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> int:
        from textgen.evaluate_sentences import evaluate_pairs

        evaluate_pairs(
            self.pairs, self.model, self.engine, self.columns, self.config, self.save, self.against, self.json
        )
        return 0


@dataclass(frozen=True)
class EvaluateClassesCommand:
    """Score a classifier by labelled texts: accuracy, macro F1, confusions, and how far its probabilities can be trusted."""

    classes: Annotated[tuple[Path, ...], arg(metavar="FILE...")]
    """CSVs or TSVs with a column of texts, or several, and one of labels."""
    model: Model = None
    """A model in the box, authors, or a trained model's folder; authors unless told."""
    engine: str = "auto"
    """onnx (ONNX Runtime), torch, or auto: the first where the model has graphs."""
    text: Annotated[tuple[str, ...], arg(metavar="COLUMN...")] = ("text",)
    """Columns of the texts, by name or by number from 1; several are joined by a space."""
    label: Annotated[str, arg(metavar="COLUMN")] = "label"
    """Column of the classes, by name or by number from 1."""
    held_out: float = 0.0
    """Judge by this share only, drawn by --seed as training draws it; 0 is all."""
    seed: int = 1
    """Of that draw."""
    baseline: Annotated[tuple[Path, ...], arg(metavar="FILE...")] = ()
    """Labelled texts to train TF-IDF and logistic regression on, for the same report; with --held-out, of FILE the rest
    is taken unless told. Needs the extra [baseline]."""
    json: bool = False
    """Print one JSON document."""

    def run(self) -> int:
        from textgen.evaluate_sentences import evaluate_classes

        evaluate_classes(
            self.classes,
            self.model,
            self.engine,
            self.text,
            self.label,
            self.held_out,
            self.seed,
            self.baseline,
            self.json,
        )
        return 0
