"""Writing without spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

# Kana, Han with its extensions, Thai, Lao, Tibetan, Burmese, Khmer; no Hangul: Korean has spaces.
_LETTERS = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\u0e01-\u0e4e\u0e81-\u0ece\u0f40-\u0fbc\u1000-\u109f\u1780-\u17d3\U00020000-\U0003ffff]+"
)
_LOOKED_AT = 2000  # texts
_RUN = 4.0  # letters in a row, on average: split into words they are about two


def without_spaces(texts: Iterable[str]) -> bool:
    """Whether texts are mostly in a script that puts no spaces between words, and have none."""
    runs, letters, others = 0, 0, 0
    for text in islice(texts, _LOOKED_AT):
        found = _LETTERS.findall(text[:10_000])
        runs += len(found)
        own = sum(map(len, found))
        letters += own
        others += sum(sign.isalpha() for sign in text[:10_000]) - own
    return letters > others and letters > _RUN * runs
