"""What a translator's `README.md` and a list of models say of it."""

from __future__ import annotations

from collections.abc import Iterator

from textgen.storage.box import Summary
from textgen.storage.bundle import Header


def translator_card(header: Header) -> str:
    """Markdown for a model's `README.md`, all of it from its `model.json`."""
    config, provenance = header["config"], header["provenance"]
    encoder, decoder, settings = config["encoder"], config["decoder"], provenance["settings"]
    lines = [
        f"# Translator, {' to '.join(config['languages'])}",
        "",
        f"Encoder: {encoder['num_layers']} x {encoder['cell'].upper()}-{encoder['hidden_size']}"
        f"{' in both directions' if encoder['bidirectional'] else ''}. "
        f"Decoder {'without' if encoder.get('pooled') else 'with'} attention: "
        f"{decoder['num_layers']} x {decoder['cell'].upper()}-{decoder['hidden_size']}. "
        f"{decoder['vocab_size']:,} subwords, shared.",
        *(["", header["notes"].strip()] if header.get("notes") else []),
        "",
        "## Trained by",
        "",
        *(f"    {command}" for command in reversed(list(_commands(provenance)))),
        "",
        f"- data: {', '.join(provenance['data'])}; {provenance['pairs']['train']:,} pairs to train on, judged by "
        f"{provenance['pairs']['dev']:,} of {', '.join(provenance['dev_data'])}; sha256 of all `{provenance['data_hash']}`",
        f"- seed {settings['seed']}, torch {provenance['torch']}; all settings are in `model.json`",
        "",
    ]
    if dev := provenance.get("dev"):
        lines += ["On the dev pairs, greedy, each sentence once with all its translations:", ""]
        lines += ["| data | BLEU | chrF |", "| --- | --- | --- |"]
        lines += [f"| {name} | {row['BLEU']:.1f} | {row['chrF']:.1f} |" for name, row in dev["data"].items()]
        lines += ["", f"Signatures: {', '.join(f'`{text}`' for text in dev['signatures'].values())}", ""]
    else:
        lines += ["Interrupted before its first evaluation.", ""]
    return "\n".join(lines)


def _commands(provenance: Header) -> Iterator[str]:
    """What made the model, the last first."""
    while provenance:
        if "narrowed" in provenance:
            yield provenance["narrowed"]
        yield provenance["command"]
        provenance = provenance.get("started_from") or {}


def translator_summary(header: Header) -> Summary:
    """A translator in a few words, from its `model.json`."""
    config, provenance = header["config"], header["provenance"]
    encoder, decoder = config["encoder"], config["decoder"]
    figures = [
        (f"greedy BLEU, {name}", f"{row['BLEU']:.1f}")
        for name, row in (provenance.get("dev") or {}).get("data", {}).items()
    ]
    made = f"{' to '.join(config['languages'])}, {encoder['cell'].upper()} {encoder['hidden_size']} + {decoder['hidden_size']}"
    return Summary(f"{made}, {decoder['vocab_size']:,} subwords", ", ".join(provenance["data"]), figures)
