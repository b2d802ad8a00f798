"""What a classifier's `README.md` and a list of models say of it."""

from __future__ import annotations

from textgen.storage.box import Summary
from textgen.storage.bundle import Header


def classifier_card(header: Header) -> str:
    """Markdown for a model's `README.md`, all of it from its `model.json`."""
    config, provenance = header["config"], header["provenance"]
    encoder, settings = config["encoder"], provenance["settings"]
    lines = [
        f"# Classifier of {len(config['classes'])} classes",
        "",
        f"{', '.join(config['classes'])}. Encoder: {encoder['num_layers']} x {encoder['cell'].upper()}-"
        f"{encoder['hidden_size']}{' in both directions' if encoder['bidirectional'] else ''}, "
        f"{config['vocab_size']:,} subwords.",
        *(["", header["notes"].strip()] if header.get("notes") else []),
        "",
        "## Trained by",
        "",
        f"    {provenance['command']}",
        "",
        f"- data: {', '.join(provenance['data'])}; {provenance['texts']['train']:,} texts to train on, "
        f"{provenance['texts']['dev']:,} held out ({provenance['split']}); sha256 of all `{provenance['data_hash']}`",
        f"- seed {settings['seed']}, torch {provenance['torch']}; all settings are in `model.json`",
        "",
    ]
    if dev := provenance.get("dev"):
        lines += ["On the held-out texts:", "", "| | accuracy, % | macro F1, % |", "| --- | --- | --- |"]
        lines.append(f"| this model | {dev['accuracy']:.1f} | {dev['macro F1']:.1f} |")
        if baseline := provenance.get("baseline"):
            told = "TF-IDF + logistic regression (scikit-learn)"
            lines.append(f"| {told} | {baseline['accuracy']:.1f} | {baseline['macro F1']:.1f} |")
        if config["temperature"]:
            lines += [
                "",
                f"Probabilities are calibrated on them: logits are divided by {config['temperature']:.2f}.",
            ]
        lines.append("")
    else:
        lines += ["Interrupted before its first evaluation.", ""]
    return "\n".join(lines)


def classifier_summary(header: Header) -> Summary:
    """A classifier in a few words, from its `model.json`."""
    config, provenance = header["config"], header["provenance"]
    encoder, dev = config["encoder"], provenance.get("dev") or {}
    figures = [
        (name[:1].upper() + name[1:], f"{dev[name]:.1f} %")
        for name in ("accuracy", "macro F1")
        if name in dev
    ]
    made = f"{len(config['classes'])} classes, {encoder['cell'].upper()} {encoder['hidden_size']}"
    return Summary(f"{made}, {config['vocab_size']:,} subwords", ", ".join(provenance["data"]), figures)
