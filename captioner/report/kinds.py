"""What a system is good and bad at: its scores by kind of picture, told by the words of the references."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from captioner.metrics import SCORES, Corpus
from captioner.metrics.checks import Key
from captioner.metrics.statistics import corpus_scores

_SHARE = 0.5  # of a picture's references that must have a word of the kind
KINDS = {
    kind: frozenset(words.split())
    for kind, words in {
        "people": """people person man men woman women boy boys girl girls child children kid kids baby lady guy player
        players couple crowd group""",
        "animals": """dog dogs puppy cat cats kitten horse horses cow cows sheep bird birds elephant elephants giraffe
        giraffes zebra zebras bear bears duck ducks goat goats monkey fish butterfly animal animals""",
        "food": """food pizza cake sandwich meal plate plates bowl fruit fruits vegetables salad cheese bread meat soup
        banana bananas apple apples orange oranges broccoli donut donuts dessert coffee tea breakfast eating""",
        "indoor": """room kitchen bathroom bedroom bed couch sofa desk table chair chairs toilet sink refrigerator oven
        shelf office laptop computer television tv lamp inside indoors""",
        "vehicles": """car cars truck trucks bus buses train trains motorcycle motorcycles bicycle bicycles bike bikes
        boat boats ship airplane airplanes plane planes jet van scooter helicopter""",
        "sport": """tennis baseball soccer football basketball hockey frisbee skateboard skateboarder skateboarding surfing
        surfer surfboard ski skis skiing skier snowboard snowboarder racket bat ball game race swimming""",
        "street": """street road sidewalk city traffic building buildings town intersection bridge sign signs parking
        downtown highway station""",
    }.items()
}
"""Kind -> words of captions that tell it; a picture may be of several kinds."""
OTHERS = "none of these"


def by_kind(corpus: Corpus[Key]) -> dict[str, dict[str, float]]:
    """Kind -> `pictures` and `SCORES` (x100) of a system's captions.

    A picture is of a kind when half of its references have a word of it. CIDEr is the mean over the kind's pictures,
    its document frequencies those of all pictures, so that kinds can be compared.
    """
    references, statistics = corpus.reference_tokens, corpus.statistics
    members = {
        kind: np.array([_tells(captions, words) for captions in references]) for kind, words in KINDS.items()
    }
    members[OTHERS] = ~np.any(list(members.values()), axis=0)
    return {
        kind: {
            "pictures": int(chosen.sum()),
            **dict(zip(SCORES, corpus_scores(statistics[chosen]).tolist(), strict=True)),
        }
        for kind, chosen in members.items()
        if chosen.any()
    }


def _tells(captions: Sequence[Sequence[str]], words: frozenset[str]) -> bool:
    return sum(not words.isdisjoint(caption) for caption in captions) >= _SHARE * len(captions)
