"""A text model's card: what it is, where it comes from, how good it is."""

from __future__ import annotations

from textgen.storage.box import Summary
from textgen.storage.bundle import Header

_LIKELIHOODS = {
    "vae": " (an upper bound)",
    "flow": " (an upper bound)",
    "diffusion": " (an upper bound)",
    "energy": " (an estimate)",
}


def model_card(header: Header) -> str:
    """Markdown for a model's `README.md`, all of it from its `model.json`."""
    provenance = header["provenance"]
    settings, held_out = provenance["settings"], provenance["held_out"]
    kind = _LIKELIHOODS.get(header["config"].get("family", ""), "")
    pieces = "characters" if header["vocabulary"]["kind"] == "char" else "words"
    lines = [
        "# Text model",
        "",
        f"{_made_of(header)} over {_vocabulary(header):,} {pieces}.",
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
            f"Held-out, by the best epoch{kind}:",
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
    provenance = header["provenance"]
    unit = "character" if header["vocabulary"]["kind"] == "char" else "word"
    held_out = provenance.get("held_out")
    figures = []
    if held_out:
        figures = [
            (f"Perplexity a {unit}", f"{held_out['perplexity']:.2f}"),
            ("Bits a character", f"{held_out['bits_per_character']:.2f}"),
        ]
    names = provenance["data"]
    data = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    return Summary(f"{_made_of(header)}, {_vocabulary(header):,} {unit}s", data, figures)


def _made_of(header: Header) -> str:
    """The networks of a model, its family first where it names one."""
    config = header["config"]
    names = []
    for part in ("decoder", "transformer", "denoiser", "encoder", "critic"):
        if part in config:
            sizes = config[part]
            both = "both ways " if sizes.get("bidirectional") else ""
            beside = f" ({part})" if part in ("encoder", "critic") else ""
            what = "Transformer" if part == "transformer" else sizes["cell"].upper()
            names.append(f"{sizes['num_layers']} x {both}{what} {sizes['hidden_size']}{beside}")
    if latent := config.get("latent"):
        names.append(f"{latent['latent_size']} latent features")
        names += [f"{latent['couplings']} couplings"] if latent["couplings"] else []
    family = f"{config['family']}: " if "family" in config else ""
    return family + ", ".join(names)


def _vocabulary(header: Header) -> int:
    config = header["config"]
    size: int = config["vocab_size"] if "vocab_size" in config else config["decoder"]["vocab_size"]
    return size


def _row(metrics: dict[str, float]) -> str:
    return f"| {metrics['nats']:.4f} | {metrics['perplexity']:.2f} | {metrics['bits_per_character']:.3f} |"


def _share(provenance: Header, part: str) -> str:
    return f"{provenance['unknown'][part] / provenance['tokens'][part]:.2%}"
