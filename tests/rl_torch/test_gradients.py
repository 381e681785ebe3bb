"""Gradients in chunks: the same numbers as in one piece, on any number of threads."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from motrix_rl.rl_module import RLModuleSpec
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl_torch.engine import GivenOps
from motrix_rl_torch.gradients import CHUNK, Gradients, Loss
from motrix_rl_torch.rl_module.ppo import PPOTorchRLModule

pytestmark = pytest.mark.torch
ROWS = 2 * CHUNK + 3
OPTIONS = {
    "fcnet_hiddens": [16, 16],
    "fcnet_activation": "elu",
    "free_log_std": True,
    "normalize_observations": True,
    "vf_share_layers": False,
    "seed": 1,
}


def box(size):
    return spaces.Box(-9, 9, (size,), np.float32)


@pytest.fixture(scope="module")
def loss():
    """The loss of a module of 4 observations and 2 actions."""
    module = RLModuleSpec(PPOTorchRLModule, box(4), box(2), model_config_dict=OPTIONS).build()
    dist_cls = bound(module.get_train_action_dist_cls(), GivenOps)
    return Loss(module, dist_cls, PPOCfg(entropy_loss_scale=0.1))


@pytest.fixture(scope="module")
def samples():
    draw = np.random.default_rng(2).normal
    shapes = {"obs": (ROWS, 4), "actions": (ROWS, 2)}
    scalars = ("log_probs", "values", "advantages", "targets")
    shapes |= dict.fromkeys(scalars, (ROWS,))
    made = {
        name: torch.tensor(draw(size=shape), dtype=torch.float32) for name, shape in shapes.items()
    }
    return made | {"log_probs": made["log_probs"] * 0.1 - 3}


@pytest.fixture(scope="module")
def whole(loss, samples):
    """The gradient without chunks."""
    return Gradients(loss).over(samples, torch.arange(ROWS))


def same(found, expected, **tolerance):
    np.testing.assert_allclose(found[0], expected[0], **tolerance)
    for name, part in expected[1].items():
        np.testing.assert_allclose(found[1][name], part, **tolerance, err_msg=name)


def test_chunks_add_up(loss, samples, whole):
    chunks = Gradients(loss, threads=2)
    same(chunks.over(samples, torch.arange(ROWS)), whole, rtol=2e-4, atol=1e-6)


def test_any_number_of_threads_gives_the_same_bits(loss, samples):
    rows = torch.from_numpy(np.random.default_rng(3).permutation(ROWS))
    one, *others = (Gradients(loss, n).over(samples, rows) for n in (1, 2, 5))
    for other in others:
        assert torch.equal(one[0], other[0])
        assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])
