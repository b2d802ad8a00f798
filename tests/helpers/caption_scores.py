"""Captions to score, and coco-caption's own scores of them: the referee of `captioner.metrics`."""

import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from captioner.metrics import tokenize

WORDS = tokenize(
    "a the dog cat man red small runs jumps sits on in with of grass water ball café 犬 don't two"
)


def invented(seed, pictures=40):
    """Hypotheses and references: unrelated, shuffled, copied, of 0 to 3 words, of another length."""
    draw = random.Random(seed)

    def sentence(low, high):
        return draw.choices(WORDS, k=draw.randint(low, high))

    references = [[sentence(4, 14) for _ in range(draw.randint(1, 6))] for _ in range(pictures)]
    makers = [
        lambda others: sentence(4, 20),
        lambda others: draw.sample(others[0], len(others[0])),
        lambda others: list(draw.choice(others)),
        lambda others: sentence(0, 3),
        lambda others: others[0][: draw.randint(0, 5)] + sentence(0, 6),
        lambda others: others[0] * 3,
    ]
    return [makers[index % len(makers)](others) for index, others in enumerate(references)], references


def coco(hypotheses, references):
    """pycocoevalcap's values x100: BLEU-1 to 4, ROUGE-L by picture, CIDEr by picture."""
    bleu_module = pytest.importorskip("pycocoevalcap.bleu.bleu")
    rouge_module = pytest.importorskip("pycocoevalcap.rouge.rouge")
    cider_module = pytest.importorskip("pycocoevalcap.cider.cider")
    results = {index: [" ".join(tokens)] for index, tokens in enumerate(hypotheses)}
    truths = {index: [" ".join(tokens) for tokens in others] for index, others in enumerate(references)}
    scores, _ = bleu_module.Bleu(4).compute_score(truths, results, verbose=0)
    _, rouges = rouge_module.Rouge().compute_score(truths, results)
    _, ciders = cider_module.Cider().compute_score(truths, results)
    return 100 * np.array(scores), 100 * rouges, 100 * ciders


def ptb(captions):
    """Captions by id as coco-caption tokenises them, in Java: lists of one string of tokens each."""
    module = pytest.importorskip("pycocoevalcap.tokenizer.ptbtokenizer")
    jar = Path(module.__file__).with_name(module.STANFORD_CORENLP_3_4_1_JAR)
    if not shutil.which("java") or not jar.is_file():
        pytest.skip("needs java and the Stanford tokeniser")
    return module.PTBTokenizer().tokenize(
        {key: [{"caption": text} for text in texts] for key, texts in captions.items()}
    )
