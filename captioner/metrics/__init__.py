"""BLEU, ROUGE-L and CIDEr-D by coco-caption's protocol, without Java, and reports built on them. Every score is x100.

The numbers equal those of coco-caption (github.com/tylin/coco-caption, packaged as pycocoevalcap). Sentences are
sequences of hashable tokens: words for evaluation, ids for a training reward. B is the number of pictures;
`references[b]` holds every reference sentence of picture b.
"""

from captioner.metrics.bleu import BleuScore, bleu
from captioner.metrics.checks import BadReferences
from captioner.metrics.cider import CiderD, cider
from captioner.metrics.report import Corpus, corpus_report
from captioner.metrics.rouge import rouge_l
from captioner.metrics.statistics import SCORES
from captioner.metrics.tokens import tokenize

__all__ = [
    "SCORES",
    "BadReferences",
    "BleuScore",
    "CiderD",
    "Corpus",
    "bleu",
    "cider",
    "corpus_report",
    "rouge_l",
    "tokenize",
]
