"""Weights in 8 bits: a scale a row, no drift when they are rounded again, and float16 beside them as before."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from textgen.errors import UserError
from textgen.storage import bundle
from textgen.storage.weights import SCALE, Weights, pack, rounded

RNG = np.random.default_rng(0)
WEIGHTS = {
    "layer.weight": RNG.normal(size=(6, 5)).astype(np.float32)
    * np.logspace(-4, 2, 6, dtype=np.float32)[:, None],
    "convolution.weight": RNG.normal(size=(4, 3, 2, 2)).astype(np.float32),
    "layer.bias": RNG.normal(size=6).astype(np.float32),
    "flat.scale": RNG.normal(size=3).astype(np.float32),  # a name of the model's own
}
STEPS = {"layer.weight": 64, "convolution.weight": 127}
HEADER = {"kind": "test", "config": {}, "vocabulary": {}, "provenance": {}}


@pytest.mark.parametrize("steps", [64, 127])
def test_a_row_is_off_by_half_a_step_at_most_and_rounded_again_the_same(steps):
    array = WEIGHTS["layer.weight"]
    whole, scale = rounded(array, steps)
    assert whole.dtype == np.int8 and np.abs(whole).max() == steps
    wide = whole * scale[:, None]
    assert (np.abs(wide - array) <= scale[:, None] * 0.5001).all()
    again, same = rounded(wide, steps)
    assert np.array_equal(again, whole) and np.allclose(same, scale, rtol=1e-6)


def test_a_row_of_zeros_stays_zeros():
    whole, scale = rounded(np.zeros((2, 3), np.float32), 64)
    assert not whole.any() and not (whole * scale[:, None]).any()


def test_what_is_packed_comes_back_in_float32_under_its_own_names():
    weights = Weights(pack(WEIGHTS, STEPS))
    assert list(weights) == list(WEIGHTS) and len(weights) == len(WEIGHTS)
    for name, array in WEIGHTS.items():
        found = weights[name]
        assert found.dtype == np.float32 and found.shape == array.shape
        assert np.allclose(found, array, atol=np.abs(array).max() / 100)
    assert "layer.weight" + SCALE not in weights
    with pytest.raises(KeyError):
        weights["layer.weight" + SCALE]
    whole, scale = weights.rows("layer.weight")
    assert whole.dtype == np.int8 and scale.shape == (6,) and weights.rows("layer.bias") is None
    part = weights.part("layer.")
    assert sorted(part) == ["bias", "weight"] and np.array_equal(part["weight"], weights["layer.weight"])


def test_a_model_in_8_bits_is_stored_read_and_of_a_newer_format(tmp_path):
    bundle.write(tmp_path / "wide", HEADER, WEIGHTS, "")
    bundle.write(tmp_path / "narrow", HEADER, WEIGHTS, "", STEPS)
    formats = [
        json.loads((tmp_path / name / "model.json").read_text())["format"] for name in ("wide", "narrow")
    ]
    assert formats == [1, bundle.FORMAT]
    assert {array.dtype for array in load_file(tmp_path / "wide" / bundle.WEIGHTS).values()} == {
        np.dtype(np.float16)
    }
    stored = bundle.read(tmp_path / "narrow", "test")
    assert all(np.array_equal(stored.weights[name], Weights(pack(WEIGHTS, STEPS))[name]) for name in WEIGHTS)


@pytest.mark.parametrize("damage", ["no scale", "another length", "whole scale", "NaN"])
def test_scales_that_do_not_fit_are_one_line_that_names_the_file(tmp_path, damage):
    bundle.write(tmp_path, HEADER, WEIGHTS, "", STEPS)
    path, name = tmp_path / bundle.WEIGHTS, "layer.weight" + SCALE
    arrays = load_file(path)
    if damage == "no scale":
        del arrays[name]
    else:
        arrays[name] = {
            "another length": arrays[name][:-1],
            "whole scale": arrays[name].astype(np.int32),
            "NaN": np.full_like(arrays[name], np.nan),
        }[damage]
    save_file(arrays, path)
    with pytest.raises(UserError) as caught:
        bundle.read(tmp_path, "test")
    assert str(caught.value).startswith(f"{path}: ") and "layer.weight" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_finite_is_not_written(tmp_path):
    with pytest.raises(UserError, match=r"layer\.weight: not finite"):
        bundle.write(tmp_path, HEADER, {**WEIGHTS, "layer.weight": np.full((6, 5), np.inf)}, "", STEPS)
    assert not (tmp_path / bundle.WEIGHTS).exists()
