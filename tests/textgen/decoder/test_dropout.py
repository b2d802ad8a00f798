"""Dropout drops the share it is told, keeps the mean, and repeats with torch's seed."""

import pytest
import torch

from textgen.decoder.dropout import Dropout


@pytest.mark.parametrize("p", [0.05, 0.4, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_share_of_zeros_and_the_mean_are_right(p, dtype):
    torch.manual_seed(0)
    x = torch.ones(401, 503, dtype=dtype, requires_grad=True)
    out = Dropout(p).train()(x)
    assert out.dtype == dtype
    assert (out == 0).float().mean().item() == pytest.approx(p, abs=0.005)
    assert out.float().mean().item() == pytest.approx(1, abs=0.02 / (1 - p))
    kept = out[out != 0]
    assert (kept == kept[0]).all()
    out.sum().backward()
    assert torch.equal(x.grad, out)  # of ones: the gradient is the mask


def test_every_element_is_drawn_for_itself():
    torch.manual_seed(0)
    zeros = (Dropout(0.5).train()(torch.ones(64, 1000)) == 0).float()
    assert (zeros.mean(dim=1) - 0.5).abs().max() < 0.07
    for shift in range(1, 17):
        agree = (zeros[:, shift:] == zeros[:, :-shift]).float().mean().item()
        assert agree == pytest.approx(0.5, abs=0.01)


def test_the_seed_decides():
    def drop(seed):
        torch.manual_seed(seed)
        return Dropout(0.5).train()(torch.ones(7, 9))

    assert torch.equal(drop(1), drop(1))
    assert not torch.equal(drop(1), drop(2))


@pytest.mark.parametrize("module", [Dropout(0.5).eval(), Dropout(0.0).train(), Dropout(0.001).train()])
def test_nothing_is_dropped_when_nothing_is_to_be(module):
    x = torch.randn(5, 6)
    assert torch.equal(module(x), x) or module.p == 0.001


def test_a_share_of_nearly_all_leaves_something():
    torch.manual_seed(0)
    assert torch.isfinite(Dropout(0.9999).train()(torch.ones(1000))).all()
