"""Training a translator on pairs of sentences; the best model by BLEU on the dev pairs is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from textgen.decoder.rnn import DecoderConfig, RNNDecoder
from textgen.engine.torch import TorchEngine
from textgen.errors import UserError
from textgen.sequences.config import EncoderConfig
from textgen.sequences.encoder import RecurrentEncoder
from textgen.sequences.torch_encoder import TorchEncoder
from textgen.storage.bundle import Header
from textgen.text.subwords import SubwordTokenizer
from textgen.training.export import export_trained
from textgen.training.losses import next_token_loss
from textgen.training.opening import opened
from textgen.training.processes import first, joined, shared_out, together
from textgen.training.runs import RunFolder, read_notes, say, without_folders
from textgen.training.whole import fit_whole
from textgen.translation.batches import PairBatch, PairBatches
from textgen.translation.copying import Renaming, are_sentences, packed_words, seen_words, unpacked_words
from textgen.translation.model import TranslationModel
from textgen.translation.pairs import Pair, Pairs, grouped, load_pairs
from textgen.translation.scores import require_sacrebleu, translation_scores
from textgen.translation.start import settled
from textgen.translation.stored import BOX, export_model, model_header, read_network, write_model
from textgen.translation.training_config import PairsConfig
from textgen.translation.translator import Translator

_COST = 0.2  # BLEU that 8 bits may cost
_SHOWN = 4  # translations to look at


@dataclass(frozen=True)
class _Run:
    """What a run's parts share."""

    config: PairsConfig
    folder: RunFolder
    pairs: list[Pair]
    data: tuple[str, ...]
    """The names of the files of the pairs."""
    dev: list[tuple[str, Pairs]]
    """What it is judged by, with names."""
    hash: str
    tokenizer: SubwordTokenizer
    model: TranslationModel
    words: str
    """What of the first language is learnt from, as `packed_words` has it."""
    sentences: bool
    """Whether that has capitals and end marks."""
    parent: Header | None = None
    """The provenance of the model that it starts from."""

    def header(self, metrics: dict[str, float]) -> Header:
        provenance: Header = {
            "command": self.folder.command,
            "data": list(self.data),
            "dev_data": [name for name, _ in self.dev],
            "data_hash": self.hash,
            "pairs": {"train": len(self.pairs), "dev": sum(len(pairs.pairs) for _, pairs in self.dev)},
            "settings": without_folders(self.config),
            "torch": torch.__version__,
        }
        if self.parent:
            provenance["started_from"] = self.parent
        if metrics:
            rows = {
                name: {score: metrics[f"{name} {score}"] for score in ("BLEU", "chrF")}
                for name, _ in self.dev
            }
            several = any(len(known) > 1 for _, pairs in self.dev for known in pairs.references().values())
            signatures = translation_scores(["a", "b"], [["a"], ["b", "c"] if several else ["b"]])[
                "signatures"
            ]
            provenance["dev"] = {"data": rows, "signatures": signatures}
        notes = read_notes(self.config.notes)
        return model_header(
            self.model,
            self.tokenizer,
            self.config.languages,
            provenance,
            notes,
            self.words,
            self.sentences,
        )


@joined()
def train_pairs(
    paths: Sequence[Path],
    dev: Sequence[Path],
    out: Path,
    config: PairsConfig,
    resume: bool = False,
) -> dict[str, float]:
    """Trains on the pairs of `paths`, leaves the best model in `out` and the run's state in `out/training`.

    It is judged by BLEU on the files `dev`, each by itself; the mean selects. Sentences that stand there are not
    learnt. Returns the best metrics. With `resume` the run's own settings continue, whatever `config` says. Raises
    UserError for bad data or a folder in use, `Interrupted` when a signal stopped it.
    """
    require_sacrebleu()
    folder, config, device = opened(out, "textgen", config, resume)
    with together():
        run = _prepare(paths, dev, folder, config)
        config = run.config
        run.model.to(device)
        renaming = Renaming(run.pairs, config.renaming) if config.renaming else None
        batches = PairBatches(
            run.pairs, run.tokenizer, config.tokens, config.max_length, renaming, config.seed
        )
        folder.begin(config, " ".join(map(str, [*paths, *dev])), run.hash)
    say(
        f"{len(run.pairs):,} pairs to train on, {sum(len(pairs.pairs) for _, pairs in run.dev):,} to judge by, "
        f"{len(run.tokenizer):,} subwords, {sum(p.numel() for p in run.model.parameters()) / 1e6:.1f} million "
        f"parameters, {device}"
    )
    if config.start_from and not resume:
        say(f"before training: BLEU {_judge(run)['score']:.1f}")

    def loss(batch: PairBatch, step: int) -> tuple[Tensor, dict[str, float]]:
        sources, lengths, inputs, targets = (
            torch.from_numpy(array).to(device)
            for array in (batch.sources, batch.lengths, batch.inputs, batch.targets)
        )
        context, cells = run.model.seen(sources, lengths)
        state = run.model.decoder.start(context, len(context), cells)
        return next_token_loss(run.model.decoder, state, inputs, targets, config.label_smoothing), {}

    def keep(metrics: dict[str, float]) -> None:
        write_model(out, run.model, run.header(metrics))

    best = fit_whole(
        run.model,
        batches,
        loss,
        config,
        folder,
        evaluate=partial(_judge, run),
        keep=keep,
        resume=resume,
        label="translation",
    )
    if not first():
        return best
    keep(best)
    exports = {
        "8 bits": partial(export_model, out, "int8", pack=True),
        "float32": partial(export_model, out, "float32"),
    }
    export_trained(
        out,
        config.graphs,
        exports,
        lambda: _scores(run, partial(_translations, Translator.load(out, "onnx")))["score"],
        best["score"],
        _COST,
    )
    say(f"best: BLEU {best['score']:.1f} on dev; the model is in {out}")
    return best


def _prepare(paths: Sequence[Path], dev: Sequence[Path], folder: RunFolder, config: PairsConfig) -> _Run:
    if not dev:
        raise UserError("--dev: name one or more files of pairs to judge by")
    start = read_network(BOX.find(config.start_from)) if config.start_from else None
    if start:
        config = settled(config, start[0], start[2])
    files = grouped(dev)
    judged = [(_name(group, files), load_pairs(group, config.columns, config.languages)) for group in files]
    known = {_key(source) for _, pairs in judged for source, _ in pairs.pairs}
    groups = grouped(paths)
    repeat = config.repeat or (1,) * len(groups)
    if len(repeat) != len(groups):
        raise UserError(f"repeat: {len(repeat)} numbers for {len(groups)} files of pairs; give one for each")
    learnt: list[Pair] = []
    left_out = 0
    loaded = [load_pairs(group, config.columns, config.languages) for group in groups]
    for note in dict.fromkeys(note for pairs in (*loaded, *(p for _, p in judged)) for note in pairs.notes):
        say(note)
    for pairs, times in zip(loaded, repeat, strict=True):
        kept = [pair for pair in pairs.pairs if _key(pair[0]) not in known]
        left_out += len(pairs.pairs) - len(kept)
        learnt += kept * times
    if left_out:
        say(f"{left_out:,} pairs whose sentence is among those to judge by are left out")
    if not learnt:
        raise UserError("pairs: none is left to train on")
    digest = hashlib.sha256(
        "".join([*(pairs.hash for pairs in loaded), *(p.hash for _, p in judged)]).encode()
    )
    words = seen_words(learnt)
    parent = None
    if start:
        model, tokenizer, header = start
        model.word_dropout = config.word_dropout
        parent = header["provenance"]
        words |= unpacked_words(header["words"]) if header.get("words") else frozenset()
    else:
        tokenizer = SubwordTokenizer.fit((text for pair in learnt for text in pair), config.vocabulary)
        torch.manual_seed(config.seed)
        model = _model(config, len(tokenizer))
    told = ([_name(group, groups)] if len(group) == 1 else [file.name for file in group] for group in groups)
    names = tuple(name for group in told for name in group)
    return _Run(
        config,
        folder,
        learnt,
        names,
        judged,
        digest.hexdigest(),
        tokenizer,
        model,
        packed_words(words),
        are_sentences(learnt),
        parent,
    )


def _name(group: Sequence[Path], groups: Sequence[Sequence[Path]]) -> str:
    """What a dev file is called: by its name, or, where several have that, with its folder's."""
    same = sum(other[0].name == group[0].name for other in groups) > 1
    return f"{group[0].parent.name}/{group[0].name}" if same else group[0].name


def _key(sentence: str) -> str:
    """A sentence without what near-duplicates differ in: case, spaces and punctuation."""
    return "".join(filter(str.isalnum, sentence.casefold()))


def _model(config: PairsConfig, vocab_size: int) -> TranslationModel:
    encoder = RecurrentEncoder(
        EncoderConfig(
            cell=config.cell,
            num_layers=config.encoder_layers,
            embedding_size=config.embedding,
            hidden_size=config.encoder_hidden,
            bidirectional=config.bidirectional,
            pooled=not config.attention,
            dropout=config.dropout,
        )
    )
    decoder = RNNDecoder(
        DecoderConfig(
            vocab_size=vocab_size,
            cell=config.cell,
            num_layers=config.layers,
            embedding_size=config.embedding,
            hidden_size=config.hidden,
            context_size=encoder.config.output_size,
            summary_size=config.summary,
            context_lengths=True,
            attention_heads=config.heads,
            dropout=config.dropout,
        )
    )
    return TranslationModel(encoder, decoder, config.word_dropout)


def _judge(run: _Run) -> dict[str, float]:
    """Dev metrics of greedy translations, and some of them to look at."""
    run.model.eval()
    engine = TorchEngine(run.model.decoder)
    translator = Translator(
        TorchEncoder(run.model, run.model.decoder.output_bias.device),
        engine,
        run.tokenizer,
        run.header({}),
        hash="",
    )
    metrics = _scores(run, partial(shared_out, work=partial(_translations, translator)))
    for name, pairs in run.dev if first() else ():
        for source in islice(pairs.references(), _SHOWN):
            say(f"  {source} -> {translator.translate(source, beam=1)}")
        say(f"  {name}: BLEU {metrics[f'{name} BLEU']:.1f}, chrF {metrics[f'{name} chrF']:.1f}")
    return metrics


def _translations(translator: Translator, sentences: Sequence[str]) -> list[str]:
    return [str(found) for found in translator.translate(list(sentences), beam=1)]


def _scores(run: _Run, translations: Callable[[Sequence[str]], Sequence[str]]) -> dict[str, Any]:
    metrics: dict[str, float] = {}
    for name, pairs in run.dev:
        every = list(pairs.references().items())
        chosen = dict(
            every[:: -(-len(every) // run.config.judged)]
        )  # spread over all: files are sorted, some
        scores = translation_scores(translations(list(chosen)), list(chosen.values()))
        metrics |= {f"{name} BLEU": round(scores["BLEU"], 2), f"{name} chrF": round(scores["chrF"], 2)}
    mean = sum(metrics[f"{name} BLEU"] for name, _ in run.dev) / len(run.dev)
    return {"score": round(mean, 3), **metrics}
