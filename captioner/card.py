"""The model card: what a model is, where it comes from, how good it is, what it is bad at."""


def model_card(header: dict) -> str:
    """Markdown for a model's `README.md`, all of it from its `model.json`."""
    config, provenance = header["config"], header["provenance"]
    decoder, settings = config["decoder"], provenance["settings"]
    lines = [
        "# Caption model",
        "",
        f"{config['encoder']} at {header['preprocessing']['size']} pixels, {decoder['num_layers']} x "
        f"{decoder['cell'].upper()}-{decoder['hidden_size']} with {decoder['attention_heads']}-head attention, "
        f"{decoder['vocab_size']} words.",
        "",
        "## Trained by",
        "",
        f"    {provenance['command']}",
        "",
        f"- data: {provenance['data']}, {provenance['pictures']['train']} train and "
        f"{provenance['pictures']['dev']} dev pictures, sha256 of ids, captions and splits `{provenance['data_hash']}`",
        f"- encoder started from: {settings['encoder_weights']}",
        f"- seed {settings['seed']}, torch {provenance['torch']}; all settings are in `model.json`",
        "",
        "## Dev split, beam 3, coco-caption's protocol",
        "",
        "| phase | BLEU-1 | BLEU-2 | BLEU-3 | BLEU-4 | ROUGE-L | CIDEr |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    names = ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr")
    for phase, metrics in provenance["dev"].items():
        lines.append(f"| {phase} | " + " | ".join(f"{metrics[name]:.2f}" for name in names) + " |")
    return "\n".join([*lines, ""])
