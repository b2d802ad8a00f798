"""The flow can be inverted, and its density is exact."""

import numpy as np
import pytest
import torch

from textgen.errors import UserError
from textgen.families.flow import FlowConfig, NumpyFlow, log_normal
from textgen.families.flow_network import CouplingFlow
from textgen.storage.bundle import weights_of

CONFIGS = [
    FlowConfig(2, couplings=4, hidden_size=16),
    FlowConfig(5, couplings=3, hidden_size=8),
    FlowConfig(32),
]


def flow(config, seed=0):
    torch.manual_seed(seed)
    made = CouplingFlow(config).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.5)
    weights = {name: value.detach().numpy() for name, value in made.state_dict().items()}
    return made, NumpyFlow(config, weights)


def vectors(config, count=6, seed=1):
    return np.random.default_rng(seed).normal(size=(count, config.size))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_inverse_is_the_inverse(config):
    _, made = flow(config)
    z = vectors(config)
    np.testing.assert_allclose(made.inverse(made.forward(z)[0]), z, atol=1e-5)
    np.testing.assert_allclose(made.forward(made.inverse(z))[0], z, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS[:2], ids=str)
def test_the_log_determinant_is_that_of_finite_differences(config):
    _, made = flow(config)
    z, step = vectors(config), 1e-6
    _, found = made.forward(z)
    for row in range(len(z)):
        moved = z[row] + step * np.eye(config.size)
        back = z[row] - step * np.eye(config.size)
        jacobian = (made.forward(moved)[0] - made.forward(back)[0]) / (2 * step)
        assert found[row] == pytest.approx(np.log(abs(np.linalg.det(jacobian))), abs=1e-4)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_torch_and_numpy_agree(config):
    network, made = flow(config)
    z = vectors(config)
    with torch.no_grad():
        u, log_det = network(torch.from_numpy(z))
        density = network.log_density(torch.from_numpy(z))
    for found, expected in zip((*made.forward(z), made.log_density(z)), (u, log_det, density), strict=True):
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-9)


def test_it_begins_as_the_identity():
    config = FlowConfig(6)
    made = NumpyFlow(config, weights_of(CouplingFlow(config)))
    z = vectors(config)
    np.testing.assert_allclose(made.forward(z)[0], z)
    np.testing.assert_allclose(made.log_density(z), log_normal(z))


def test_the_density_integrates_to_one():
    _, made = flow(FlowConfig(2, couplings=2, hidden_size=8), seed=3)
    side = np.linspace(-40, 40, 801)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    assert np.exp(made.log_density(grid)).sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=0.01)


def test_wrong_sizes_are_named():
    with pytest.raises(UserError, match="size: 1 must be 2 or more"):
        FlowConfig(1)
    with pytest.raises(UserError, match="couplings: 0"):
        FlowConfig(4, couplings=0)
