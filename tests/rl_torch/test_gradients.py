"""Gradients by chunks and by hand: the same numbers, whoever works them out."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from motrix_rl.rl_module import RLModuleSpec
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl_torch.engine import GivenOps
from motrix_rl_torch.gradients import CHUNK, Gradients, Loss, by_hand_agrees
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


def loss_with(cfg=None, module_class=PPOTorchRLModule, state_space=None, **options):
    """Return the loss of a module of 4 observations and 2 actions."""
    module = RLModuleSpec(
        module_class, box(4), box(2), state_space=state_space, model_config_dict=OPTIONS | options
    ).build()
    dist_cls = bound(module.get_train_action_dist_cls(), GivenOps)
    return Loss(module, dist_cls, cfg or PPOCfg(entropy_loss_scale=0.1))


@pytest.fixture(scope="module")
def loss():
    return loss_with()


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
    """The gradient without chunks, by autograd."""
    return Gradients(loss).over(samples, torch.arange(ROWS))


def same(found, expected, **tolerance):
    np.testing.assert_allclose(found[0], expected[0], **tolerance)
    for name, part in expected[1].items():
        np.testing.assert_allclose(found[1][name], part, **tolerance, err_msg=name)


@pytest.mark.parametrize("by_hand", [False, True])
def test_chunks_add_up(loss, samples, whole, by_hand):
    chunks = Gradients(loss, threads=2, by_hand=by_hand)
    same(chunks.over(samples, torch.arange(ROWS)), whole, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("by_hand", [False, True])
def test_any_number_of_threads_gives_the_same_bits(loss, samples, by_hand):
    rows = torch.from_numpy(np.random.default_rng(3).permutation(ROWS))
    one, *others = (Gradients(loss, n, by_hand).over(samples, rows) for n in (1, 2, 5))
    for other in others:
        assert torch.equal(one[0], other[0])
        assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])


BY_HAND = {
    "elu": {},
    "relu": {"fcnet_activation": "relu"},
    "tanh": {"fcnet_activation": "tanh"},
    "shared": {"vf_share_layers": True},
    "more in the heads": {"post_fcnet_hiddens": [8], "post_fcnet_activation": "tanh"},
    "linear heads": {"fcnet_hiddens": []},
    "wide observations": {"fcnet_hiddens": [3, 16]},
    "raw observations": {"normalize_observations": False},
    "privileged critic": {"state_space": box(6)},
    "log-std at its bound": {"initial_log_std": 2.5},
    "values unclipped": {"cfg": PPOCfg(clip_predicted_values=False)},
    "values clipped": {"cfg": PPOCfg(value_clip=0.05, ratio_clip=0.05)},
}


@pytest.mark.parametrize("case", BY_HAND)
def test_by_hand_and_by_autograd(case, samples):
    loss = loss_with(**BY_HAND[case])
    assert by_hand_agrees(loss)
    batch = {name: column[:300] for name, column in samples.items()}
    batch["state"] = torch.linspace(-2, 2, 300 * 6).reshape(300, 6).sin()
    by_hand = Gradients(loss, by_hand=True)
    for _ in range(2):  # the second time in used memory, after the weights have moved
        same(by_hand.of(batch), Gradients(loss).of(batch), rtol=2e-4, atol=1e-6)
        values = Gradients(loss, 2, by_hand=True).values(batch)
        np.testing.assert_allclose(values, Gradients(loss).values(batch), rtol=2e-4, atol=1e-6)
        with torch.no_grad():
            for parameter in loss.trained():
                parameter += 0.1 * parameter.sin()


class Another(PPOTorchRLModule):
    """May do anything in its forward pass."""


AUTOGRAD = {
    "its slope needs the sum": {"fcnet_activation": "silu"},
    "bounded by tanh": {"squash_actions": True},
    "log-std from the observation": {"free_log_std": False},
    "somebody's own": {"module_class": Another},
}


@pytest.mark.parametrize("case", AUTOGRAD)
def test_what_is_left_to_autograd(case):
    assert not by_hand_agrees(loss_with(**AUTOGRAD[case]))


def test_frozen_parameters_are_left_to_autograd():
    loss = loss_with()
    loss.module.vf.requires_grad_(False)
    assert not by_hand_agrees(loss)


def test_wrong_gradients_are_noticed(loss, monkeypatch):
    monkeypatch.setattr("motrix_rl_torch.backprop._HALF_LOG_2PI", 1.0)
    assert not by_hand_agrees(loss)
