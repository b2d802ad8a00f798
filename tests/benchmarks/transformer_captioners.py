"""The architectures of Hugging Face's usual captioners, with random weights: time does not depend on them.

ViT-GPT2 is nlpconnect/vit-gpt2-image-captioning (beam 4, as its page shows it), BLIP Salesforce/blip-image-captioning-base
(beam 3). Photos are prepared as in `tutorial_captioners`, which is quicker than their own processors.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch

TOKENS = 12
MISSING = "left out: transformers is not installed (extra [bench])"


def transformers_installed() -> bool:
    return find_spec("transformers") is not None


def vit_gpt2(beams: int = 4) -> Callable[[bytes], object]:
    from transformers import GPT2Config, VisionEncoderDecoderConfig, VisionEncoderDecoderModel, ViTConfig

    decoder = GPT2Config(add_cross_attention=True, is_decoder=True)
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(ViTConfig(), decoder)
    config.decoder_start_token_id = config.pad_token_id = config.eos_token_id = decoder.eos_token_id
    return _caption(
        VisionEncoderDecoderModel(config), 224, beams, decoder_start_token_id=decoder.bos_token_id
    )


def blip(beams: int = 3) -> Callable[[bytes], object]:
    from transformers import BlipConfig, BlipForConditionalGeneration

    return _caption(BlipForConditionalGeneration(BlipConfig()), 384, beams)


def _caption(model, size: int, beams: int, **options) -> Callable[[bytes], object]:
    from tests.benchmarks.tutorial_captioners import pixels

    model.eval()
    options |= {"num_beams": beams, "min_new_tokens": TOKENS, "max_new_tokens": TOKENS}

    @torch.no_grad()
    def caption(photo: bytes):
        found = model.generate(pixel_values=pixels(photo, size), **options)
        return found

    return caption
