"""Gradients by chunks and compiled: the same numbers, whoever works them out."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from motrix_rl.rl_module import RLModuleSpec
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl_torch import gradients
from motrix_rl_torch.engine import GivenOps
from motrix_rl_torch.gradients import CHUNK, Gradients, Loss, can_compile, pays_back
from motrix_rl_torch.rl_module.ppo import PPOTorchRLModule

pytestmark = pytest.mark.torch
ROWS = 2 * CHUNK + 3


@pytest.fixture(scope="module")
def loss():
    options = {"fcnet_hiddens": [16, 16], "fcnet_activation": "elu", "free_log_std": True}
    options |= {"normalize_observations": True, "vf_share_layers": False, "seed": 1}
    move, seen = (spaces.Box(-9, 9, (n,), np.float32) for n in (2, 4))
    module = RLModuleSpec(PPOTorchRLModule, seen, move, model_config_dict=options).build()
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
    """The gradient without chunks, by autograd."""
    return Gradients(loss).over(samples, torch.arange(ROWS))


def same(found, expected, **tolerance):
    np.testing.assert_allclose(found[0], expected[0], **tolerance)
    for name, part in expected[1].items():
        np.testing.assert_allclose(found[1][name], part, **tolerance, err_msg=name)


def test_chunks_add_up(loss, samples, whole):
    same(Gradients(loss, threads=2).over(samples, torch.arange(ROWS)), whole, rtol=2e-4, atol=1e-6)


def test_any_number_of_threads_gives_the_same_bits(loss, samples):
    rows = torch.from_numpy(np.random.default_rng(3).permutation(ROWS))
    one, *others = (Gradients(loss, threads).over(samples, rows) for threads in (1, 2, 5))
    for other in others:
        assert torch.equal(one[0], other[0])
        assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])


def test_compiled_gradients_follow_the_weights(loss, samples, monkeypatch):
    if not can_compile():
        pytest.skip("torch cannot compile here")
    monkeypatch.setattr(gradients, "CHUNK", ROWS)
    compiled = Gradients(loss, threads=1, compiled=True)
    rows = torch.arange(512)
    same(compiled.over(samples, rows), Gradients(loss).over(samples, rows), rtol=2e-4, atol=1e-6)
    with torch.no_grad():
        for parameter in loss.parameters():
            parameter.mul_(0.9)
    loss.module.update_normalizer(np.random.default_rng(4).normal(3, 2, (50, 4)))
    same(compiled.over(samples, rows), Gradients(loss).over(samples, rows), rtol=2e-4, atol=1e-6)


def test_only_long_trainings_compile():
    short, long = (PPOCfg(max_env_steps=steps) for steps in (10**6, 10**9))
    assert not pays_back(short, 50_000)
    assert pays_back(long, 50_000)
