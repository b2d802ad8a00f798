"""A text model's card: what it is, where it comes from, how good it is."""

from __future__ import annotations

from textgen.storage.box import Summary
from textgen.storage.bundle import Header


def model_card(header: Header) -> str:
    """Markdown for a model's `README.md`, all of it from its `model.json`."""
    decoder, provenance = header["config"]["decoder"], header["provenance"]
    settings, held_out = provenance["settings"], provenance["held_out"]
    pieces = {"char": "characters", "word": "words"}[settings["level"]]
    lines = [
        "# Text model",
        "",
        f"{decoder['num_layers']} x {decoder['cell'].upper()}-{decoder['hidden_size']} over "
        f"{decoder['vocab_size']:,} {pieces}.",
        *(["", header["notes"].strip()] if header.get("notes") else []),
        "",
        "## Trained by",
        "",
        f"    {provenance['command']}",
        "",
        f"- data: {', '.join(provenance['data'])}; {provenance['tokens']['train']:,} tokens to train on, "
        f"{provenance['tokens']['held-out']:,} held out ({provenance['split']}); sha256 of texts and split "
        f"`{provenance['data_hash']}`",
        f"- outside the vocabulary: {_share(provenance, 'train')} of the training tokens, "
        f"{_share(provenance, 'held-out')} of the held-out ones",
        f"- seed {settings['seed']}, torch {provenance['torch']}; all settings are in `model.json`",
        "",
    ]
    if held_out:
        lines += [
            "Held-out, by the best epoch:",
            "",
            "| nats a token | perplexity a token | bits a character |",
            "| --- | --- | --- |",
            _row(held_out),
            "",
        ]
        if test := provenance.get("test"):
            lines += ["Test, judged once, at the end:", "", *lines[-4:-2], _row(test), ""]
    else:
        lines += ["Interrupted before its first evaluation.", ""]
    return "\n".join(lines)


def model_summary(header: Header) -> Summary:
    """A model in a few words, from its `model.json`."""
    decoder, provenance = header["config"]["decoder"], header["provenance"]
    unit = "character" if header["vocabulary"]["kind"] == "char" else "word"
    held_out = provenance.get("held_out")
    figures = []
    if held_out:
        figures = [
            (f"Perplexity a {unit}", f"{held_out['perplexity']:.2f}"),
            ("Bits a character", f"{held_out['bits_per_character']:.2f}"),
        ]
    layers = f"{decoder['num_layers']} x {decoder['cell'].upper()} {decoder['hidden_size']}"
    names = provenance["data"]
    data = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    return Summary(f"{layers}, {decoder['vocab_size']:,} {unit}s", data, figures)


def _row(metrics: dict[str, float]) -> str:
    return f"| {metrics['nats']:.4f} | {metrics['perplexity']:.2f} | {metrics['bits_per_character']:.3f} |"


def _share(provenance: Header, part: str) -> str:
    return f"{provenance['unknown'][part] / provenance['tokens'][part]:.2%}"
