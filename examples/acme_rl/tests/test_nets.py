"""The network trains under somebody else's PPO, is saved, and acts within bounds."""

import numpy as np
import pytest

pytest.importorskip("motrix_rl_torch", reason="acme-rl[torch] is not installed")

from acme_rl.nets import Residual
from motrix_envs import registry as envs
from motrix_rl import registry
from motrix_rl.policy import load_policy

pytestmark = [
    pytest.mark.torch,
    # skrl splits tensors into mini-batches by NumPy, which calls what torch offers it outdated.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

TINY = {
    "rl_module": "acme-residual",
    "num_envs": 8,
    "rollouts": 16,
    "mini_batches": 2,
    "max_env_steps": 256,
    "policy_hidden_layer_sizes": (8, 8),
    "value_hidden_layer_sizes": (6, 6, 6),
    "seed": 1,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    trainer = registry.default.trainer("skrl", "torch")
    return trainer("cartpole", cfg_override=TINY, runs_root=tmp_path_factory.mktemp("runs")).train()


def test_it_is_trained_by_its_name(run):
    tensors = run.load().module.tensors
    assert run.record["rl"]["rl_module"] == "acme-residual"
    assert tensors["pi/0/kernel"].shape == (4, 8)
    assert tensors["vf/3/layer/kernel"].shape == (6, 6)
    assert tensors["normalizer/count"] == 256


def test_it_acts_within_bounds(run):
    policy = load_policy(run.path)
    assert type(policy.module) is Residual
    assert not hasattr(policy.module, "vf"), "acting needs no value function"
    far = 1e6 * np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    actions = policy.act(far)
    assert np.isfinite(actions).all()
    assert np.abs(actions).max() <= 3.0


def test_means_reach_the_bounds_and_no_further():
    """By tanh and not by clipping: the mean itself stays inside."""
    env = envs.make("cartpole", num_envs=1, seed=1)
    module = Residual(observation_space=env.observation_space, action_space=env.action_space)
    state = module.get_state()
    state["pi"]["4"]["bias"] += 100
    module.set_state(state)
    outputs = module.forward_inference({"obs": module.to_tensor(np.ones((2, 4), np.float32))})
    np.testing.assert_allclose(outputs["action_dist_inputs"][:, 0], 3.0)
    env.close()
