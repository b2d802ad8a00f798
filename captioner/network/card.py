"""The model card: what a model is, where it comes from, how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from textgen.storage.box import Summary
from textgen.storage.bundle import Header


def model_card(header: Header) -> str:
    """Markdown for a model's `README.md`, all of it from its `model.json`."""
    config = header["config"]
    decoder = config["decoder"]
    lines = [
        "# Caption model",
        "",
        f"{config['encoder']} at {header['preprocessing']['size']} pixels, {decoder['num_layers']} x "
        f"{decoder['cell'].upper()}-{decoder['hidden_size']} with {decoder['attention_heads']}-head attention, "
        f"{decoder['vocab_size']} words.",
        *(["", header["notes"].strip()] if header.get("notes") else []),
    ]
    for stage in _stages(header):
        lines += _stage(stage)
    return "\n".join([*lines, ""])


def model_summary(header: Header) -> Summary:
    """A model in a few words, from its `model.json`."""
    config, provenance = header["config"], header["provenance"]
    decoder, phases = config["decoder"], training_phases(header)
    best = phases[-1][1] if phases else {}
    layers = f"{decoder['num_layers']} x {decoder['cell'].upper()} {decoder['hidden_size']}"
    return Summary(
        f"{config['encoder']} and {layers}, {decoder['vocab_size']:,} words",
        f"{provenance['pictures']['train']:,} pictures",
        _figures(best, provenance.get("sources", ())),
    )


def _figures(best: dict[str, float], sources: Iterable[str]) -> list[tuple[str, str]]:
    """The scores that are told of a model: of each of its data sets, where there are several."""
    told = [
        (f"{name}, {source}", source_score(source, name))
        for source in sources
        for name in ("CIDEr", "BLEU-4")
    ]
    found = told or [(name, name) for name in ("CIDEr", "BLEU-4")]
    return [(shown, f"{best[name]:.1f}") for shown, name in found if name in best]


def training_phases(header: Header) -> list[tuple[str, dict[str, float]]]:
    """Every phase of a model's training, the first first, with its scores on the dev split at their best.

    A further training starts where the one before it ended: only the very first has its start among them.
    """
    stages = list(_stages(header))[::-1]
    return [
        (phase, metrics)
        for number, stage in enumerate(stages)
        for phase, metrics in stage["dev"].items()
        if phase != "start" or number == 0
    ]


def source_score(source: str, name: str) -> str:
    """What the score `name` on one of several data sets is called among the metrics of a phase."""
    return f"{source} {name}"


def _stages(header: Header) -> Iterator[Header]:
    """The provenance of each of its trainings, the last first."""
    stage = header["provenance"]
    while stage:
        yield stage
        stage = stage.get("started_from")


def _stage(provenance: Header) -> list[str]:
    from captioner.metrics import SCORES  # who captions needs none of that

    settings, pictures = provenance["settings"], provenance["pictures"]
    start = settings["start_from"] and "the model below"
    lines = [
        "",
        "## Trained by",
        "",
        f"    {provenance['command']}",
        "",
        f"- data: {provenance['data']}, {pictures['train']} train and {pictures['dev']} dev pictures, "
        f"sha256 of ids, captions and splits `{provenance['data_hash']}`",
        *(
            f"    - {source}: {counts['train']} train and {counts['dev']} dev pictures"
            for source, counts in provenance.get("sources", {}).items()
        ),
        f"- started from: {start or settings['encoder_weights'] or 'the weights that torchvision downloads'}",
        *([f"- averaged with {settings['average_with']}"] if settings.get("average_with") else []),
        f"- seed {settings['seed']}, torch {provenance['torch']}; all settings are in `model.json`",
        "",
        "Dev split, beam 3, coco-caption's protocol, best epoch of each phase:",
        "",
        f"| phase | {' | '.join(SCORES)} |",
        "| --- " * (len(SCORES) + 1) + "|",
    ]
    for phase, metrics in provenance["dev"].items():
        lines.append(f"| {phase} | " + " | ".join(f"{metrics[name]:.2f}" for name in SCORES) + " |")
        for source in provenance.get("sources", ()):
            found = [metrics[source_score(source, name)] for name in SCORES]
            lines.append(f"| {phase}: {source} | " + " | ".join(f"{value:.2f}" for value in found) + " |")
    return lines
