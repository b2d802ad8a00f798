"""Temperatures compared: quality, by the model's own perplexity, against diversity, by distinct n-grams."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from textgen.generator import GeneratedText, TextGenerator
from textgen.report.plots import new_figure, save_png
from textgen.sweep_config import SweepConfig
from textgen.text.tokenizer import CharTokenizer

_SHOWN = 160  # characters of a text in the table
PROMPTS = {
    "char": ("ROMEO:\n", "To be, or not to be", "The king", "O, ", "My lord, "),
    "word": ("It was", "She said", "Holmes looked", "In the morning", "My dear"),
}


class Copied(TypedDict):
    """The longest stretch of a text that stands in the training text."""

    tokens: int
    text: str


def sweep(generator: TextGenerator, prompts: Sequence[str], config: SweepConfig) -> dict[str, Any]:
    """Texts of each prompt at each temperature, and of each temperature the figures over all prompts.

    `perplexity` is the model's own, at temperature 1, of a generated token; `distinct_n` the share of a text's
    n-grams of words that are distinct, and `cycles` the share of texts that repeat one stretch to their end;
    `longest_copied` is the longest stretch that stands in the training text, None where the model carries no index.
    """
    level = "char" if isinstance(generator.tokenizer, CharTokenizer) else "word"
    prompts = tuple(prompts) or (("",) if generator.lines else PROMPTS[level])
    rows = []
    for temperature in config.temperatures:
        found = generator.generate(
            prompts, n=config.n, length=config.length, temperature=temperature, seed=config.seed
        )
        texts = [text for of_prompt in found for text in of_prompt]
        words = [text.text.split() for text in texts]
        # The end token is in the log-probability, and not among the ids.
        nats = -sum(text.log_prob for text in texts) / sum(len(text.ids) + text.finished for text in texts)
        rows.append(
            {
                "temperature": temperature,
                "perplexity": math.exp(min(nats, 700.0)),
                **{f"distinct_{n}": float(np.mean([distinct(w, n) for w in words])) for n in (1, 2, 3)},
                "cycles": float(np.mean([cycles(text.ids) for text in texts])),
                "longest_copied": _longest_copied(generator, texts),
                "texts": [of_prompt[0].text for of_prompt in found],
            }
        )
    return {"model": generator.hash, "level": level, "prompts": list(prompts), "rows": rows}


def cycles(ids: Sequence[int]) -> bool:
    """Whether the last third of `ids`, or more, is one stretch over and over: what greedy decoding falls into."""
    size = len(ids)
    needed = -(-size // 3)
    for period in range(1, size // 3 + 1):
        same = 0
        while same < size - period and ids[size - 1 - same] == ids[size - 1 - same - period]:
            same += 1
        if same + period >= needed and same >= 2 * period:
            return True
    return False


def _longest_copied(generator: TextGenerator, texts: Sequence[GeneratedText]) -> Copied | None:
    if generator.copied is None:
        return None
    longest: Copied = {"tokens": 0, "text": ""}
    for text in texts:
        start, length = generator.copied.longest(np.array(text.ids))
        if length > longest["tokens"]:
            copied = generator.tokenizer.decode(text.ids[start : start + length])
            longest = {"tokens": length, "text": copied}
    return longest


def table(report: Mapping[str, Any]) -> str:
    """A sweep as text: the beginning of what was generated, then a line of figures a temperature."""
    lines = []
    for index, prompt in enumerate(report["prompts"]):
        lines.append(f"{prompt!r}")
        for row in report["rows"]:
            text = " / ".join(line.strip() for line in row["texts"][index].splitlines() if line.strip())
            lines.append(f"  {row['temperature']:<4g} {textwrap.shorten(text, _SHOWN, placeholder=' ...')}")
        lines.append("")
    unit = {"char": "characters", "word": "words"}[report["level"]]
    lines.append("temperature  perplexity  distinct-1  distinct-2  distinct-3  cycles  longest copied")
    for row in report["rows"]:
        copied = row["longest_copied"]
        shown = "no index" if copied is None else f"{copied['tokens']} {unit}" if copied["tokens"] else "none"
        lines.append(
            f"{row['temperature']:<11g}  {row['perplexity']:10.2f}  "
            + "  ".join(f"{row[f'distinct_{n}']:10.2f}" for n in (1, 2, 3))
            + f"  {row['cycles']:6.0%}  {shown}"
        )
    return "\n".join(lines)


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Quality against diversity, a point a temperature, as a PNG. Raises UserError without matplotlib."""
    figure = new_figure("--plot", 6, 4)
    axes = figure.subplots()
    x = [row["distinct_1"] for row in report["rows"]]
    y = [row["perplexity"] for row in report["rows"]]
    axes.plot(x, y, "o-", color="tab:blue")
    for row, place in zip(report["rows"], zip(x, y, strict=True), strict=True):
        axes.annotate(
            f"{row['temperature']:g}", place, xytext=(-8, 4), textcoords="offset points", ha="right"
        )
    axes.set(xlabel="diversity: share of distinct words", ylabel="the model's own perplexity", yscale="log")
    axes.margins(0.1)
    for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter("{x:g}")
    axes.set_title("Temperature: quality against diversity", loc="left")
    save_png(figure, path)


def distinct(pieces: Sequence[Hashable], n: int) -> float:
    """Share of the n-grams of `pieces` that are distinct (Li et al. 2016): 1 repeats nothing; a loop comes near 0."""
    ngrams = [tuple(pieces[i : i + n]) for i in range(len(pieces) - n + 1)]
    return len(set(ngrams)) / len(ngrams) if ngrams else 1.0
