"""An encoder is timm's backbone, too, with its own size, mean and deviation; what gives no grid is one line."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from captioner.network.encoder import build_encoder, pretrained_encoder
from tests.helpers.encoders import assert_close, refusal
from tests.helpers.paths import SHARED

pytestmark = pytest.mark.slow  # builds encoders

LITE = "timm/tf_efficientnet_lite0"


def timm_model(name):
    """A model of random weights whose norms have something to fold."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = timm.create_model(name.removeprefix("timm/"), pretrained=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def timm_features(model, pixels):
    """What timm itself makes of RGB bytes (B, S, S, 3): (B, L, D)."""
    settings = model.pretrained_cfg
    mean, std = (torch.tensor(settings[name]).view(3, 1, 1) for name in ("mean", "std"))
    with torch.no_grad():
        features = model.forward_features((pixels.permute(0, 3, 1, 2) / 255 - mean) / std)
    if str(getattr(model, "output_fmt", "")).endswith("NHWC"):
        features = features.permute(0, 3, 1, 2)
    return features.flatten(2).transpose(1, 2)


@pytest.mark.parametrize(
    "name",
    [
        LITE,
        *map(
            "timm/{}".format,
            ("resnet18", "mobilenetv3_small_050", "convnext_atto", "resnetv2_50", "ghostnet_050"),
        ),
    ],
)
@pytest.mark.parametrize("size", [64, 97])
def test_a_folded_timm_encoder_is_timms_own_features(tmp_path, name, size):
    model = timm_model(name)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    expected = timm_features(model, pixels)
    encoder = pretrained_encoder(name, tmp_path / "weights.safetensors")
    with torch.no_grad():
        assert_close(encoder(pixels), expected)
        filled = build_encoder(name)
        filled.load_state_dict(encoder.state_dict())
        assert torch.equal(filled(pixels), encoder(pixels))


def test_every_norm_of_a_lite_encoder_is_folded_and_every_activation_stays():
    model = timm_model(LITE)
    active = sum(isinstance(module, torch.nn.ReLU6) for module in model.modules())
    encoder = build_encoder(LITE)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in encoder.modules())
    assert sum(isinstance(module, torch.nn.ReLU6) for module in encoder.modules()) == active > 20


def test_a_timm_encoder_knows_its_own_size_and_normalisation():
    encoder = build_encoder("timm/tf_efficientnet_lite2")
    assert encoder.size == 260 and encoder.feature_size == 1280
    assert torch.equal(encoder.mean, torch.full((3, 1, 1), 127.5)) and torch.equal(encoder.mean, encoder.std)
    assert build_encoder("mobilenet_v3_small").size == 224


def test_features_kept_last_are_a_grid_all_the_same():
    pytest.importorskip("timm")
    encoder = build_encoder("timm/swin_tiny_patch4_window7_224")
    pixels = torch.zeros(1, 224, 224, 3, dtype=torch.uint8)
    with torch.no_grad():
        assert encoder(pixels).shape == (1, 49, encoder.feature_size)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/tf_efficientnet_lite22", "did you mean timm/tf_efficientnet_lite2?"),
        ("timm/", "unknown 'timm/'"),
        ("timm/vit_tiny_patch16_224", "no grid"),
    ],
)
def test_what_timm_cannot_give_is_one_line(name, said):
    pytest.importorskip("timm")
    assert said in refusal(build_encoder, name)


def test_without_timms_download_the_flag_for_a_file_is_named(monkeypatch):
    timm = pytest.importorskip("timm")
    real = timm.create_model

    def fail(name, pretrained):
        if pretrained:
            raise OSError("We couldn't connect to the hub\nmore of it")
        return real(name, pretrained=False)

    monkeypatch.setattr(timm, "create_model", fail)
    message = refusal(pretrained_encoder, LITE)
    assert "(We couldn't connect to the hub)" in message and message.endswith("--encoder-weights FILE")


@pytest.mark.skipif(
    not (SHARED / "encoders").is_dir(), reason="the weights lie beside the checkout, in shared"
)
def test_the_lite2_weights_beside_the_checkout_are_read():
    path = SHARED / "encoders" / "efficientnet_lite2_imagenet.safetensors"
    timm = pytest.importorskip("timm")
    model = timm.create_model("tf_efficientnet_lite2", pretrained=False)
    model.load_state_dict({key: value.float() for key, value in load_file(path).items()}, strict=False)
    pixels = torch.randint(0, 256, (1, 260, 260, 3), dtype=torch.uint8)
    with torch.no_grad():
        assert_close(
            pretrained_encoder("timm/tf_efficientnet_lite2", path)(pixels),
            timm_features(model.eval(), pixels),
        )
