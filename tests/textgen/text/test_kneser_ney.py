"""The n-gram baseline is modified Kneser-Ney: a dictionary implementation, written from the paper, is the referee."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from textgen.text.kneser_ney import KneserNey, perplexity

WORDS = 12


def habits(count, seed=0, words=WORDS - 1):
    """A text in which each word has a few that like to follow it; id 11 is never in it."""
    likes = np.random.default_rng(99).integers(words, size=(words, 3))
    rng = np.random.default_rng(seed)
    ids = [0]
    for _ in range(count - 1):
        likely = likes[ids[-1], rng.integers(3)]
        ids.append(likely if rng.random() < 0.85 else rng.integers(words))
    return np.array(ids, dtype=np.uint16)


class Slow:
    """Equations 24 to 26 of Chen and Goodman (1999), a dictionary an order; the lowest goes on to uniform."""

    def __init__(self, ids, vocab_size, order):
        self.vocab_size, self.order = vocab_size, order
        ids = [int(word) for word in ids]
        self.counts, self.discounts, self.followers = {}, {}, {}
        for k in range(1, order + 1):
            if k == order:
                counts = Counter(tuple(ids[i : i + k]) for i in range(len(ids) - k + 1))
            else:
                before = defaultdict(set)
                for i in range(1, len(ids) - k + 1):
                    before[tuple(ids[i : i + k])].add(ids[i - 1])
                counts = Counter({gram: len(words) for gram, words in before.items()})
            self.counts[k] = counts
            self.discounts[k] = self.estimate(Counter(counts.values()))
            self.followers[k] = defaultdict(dict)
            for gram, count in counts.items():
                self.followers[k][gram[:-1]][gram[-1]] = count

    @staticmethod
    def estimate(of):
        """0 and D1 to D3 from how many n-grams have a count; the stated fallback where there are too few."""
        try:
            y = of[1] / (of[1] + 2 * of[2])
            found = [1 - 2 * y * of[2] / of[1], 2 - 3 * y * of[3] / of[2], 3 - 4 * y * of[4] / of[3]]
        except ZeroDivisionError:
            found = [0]
        return [0, *(found if min(found) > 0 else [0.5, 1, 1.5])]

    def probability(self, word, context, k=None):
        k = min(self.order, len(context) + 1) if k is None else k
        if k == 0:
            return 1 / self.vocab_size
        followers = self.followers[k].get(tuple(context[len(context) - k + 1 :]), {})
        lower = self.probability(word, context, k - 1)
        if not followers:
            return lower
        total, discounts = sum(followers.values()), self.discounts[k]
        own = followers.get(word, 0)
        left = sum(discounts[min(count, 3)] for count in followers.values())
        return (own - discounts[min(own, 3)] + left * lower) / total


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [5, 30, 2000])
def test_equals_the_slow_one(order, count):
    train, text = habits(count), habits(150, seed=1)
    text[::40] = WORDS - 1
    slow = Slow(train, WORDS, order)
    expected = [slow.probability(int(word), text[:place].tolist()) for place, word in enumerate(text)]
    found = KneserNey(train, WORDS, order).probabilities(text)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert perplexity(train, text, WORDS, order) == pytest.approx(math.exp(-np.log(expected).mean()))


def test_both_kinds_of_discounts_were_compared():
    fallback = [0, 0.5, 1, 1.5]
    assert Slow(habits(30), WORDS, 5).discounts[5] == fallback
    large = Slow(habits(2000), WORDS, 5).discounts
    assert large[1] == fallback and all(large[k] != fallback for k in (3, 4, 5))


@pytest.mark.parametrize("order", [3, 5])
def test_probabilities_sum_to_1(order):
    train = habits(2000)
    model = KneserNey(train, WORDS, order)
    rng = np.random.default_rng(2)
    seen = [train[place : place + order - 1] for place in rng.integers(len(train) - order, size=20)]
    unseen = [rng.integers(WORDS, size=size) for size in range(order + 2) for _ in range(5)]
    never, last = [WORDS - 1] * order, train[-order:]
    for context in [*seen, *unseen, never, last]:
        found = model.distribution(context)
        assert found.shape == (WORDS,) and (found > 0).all()
        assert found.sum() == pytest.approx(1, abs=1e-12)


def test_a_distribution_is_that_of_the_text():
    train, text = habits(2000), habits(60, seed=1)
    model = KneserNey(train, WORDS, 5)
    found = [model.distribution(text[:place])[word] for place, word in enumerate(text)]
    np.testing.assert_allclose(model.probabilities(text), found, rtol=1e-12)


def test_a_word_of_one_context_is_unlikely_elsewhere():
    """The Francisco of San Francisco: frequent, but only ever after San."""
    san, francisco, other, unseen = 0, 1, 2, 9
    text = [word for i in range(30) for word in (san, francisco, 3 + i % 6, other)]
    model = KneserNey(np.array(text), 10, 3)
    assert model.distribution([san]).argmax() == francisco
    assert model.distribution([unseen])[francisco] < model.distribution([unseen])[other] / 3


def test_beats_a_unigram_on_a_text_with_habits():
    train, text = habits(20_000), habits(2000, seed=1)
    found = {order: perplexity(train, text, WORDS, order) for order in (1, 2, 5)}
    assert found[1] < WORDS
    # What follows depends on one word only: more of them tell nothing, and cost little.
    assert found[2] < found[5] < 1.1 * found[2] < 0.7 * found[1]


def test_a_text_shorter_than_the_order_is_refused():
    with pytest.raises(ValueError, match="too few"):
        KneserNey(np.arange(4), WORDS, 5)
