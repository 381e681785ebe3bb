"""What a plugin's author wants to know: is it found, does it behave, can it be learned?"""

import subprocess
import sys

import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_envs.errors import ConfigError
from motrix_rl import registry as training
from motrix_rl.evaluation import derived_seed, evaluate
from motrix_rl.policy import load_policy

BACKENDS = training.default.backends_for("acme-slide", "skrl")


def make(num_envs=32, **overrides):
    return envs.make("acme-slide", env_cfg_override=overrides, num_envs=num_envs, seed=1)


def test_it_is_found():
    owners = {record.name: record.owner.name for record in envs.default.envs()}
    presets = {(r.env_name, r.rllib): r.owner.name for r in training.default.presets()}
    assert owners["acme-slide"] == presets["acme-slide", "skrl"] == "acme-envs"


def test_listing_it_imports_none_of_it():
    code = """
import sys
from motrix_envs import registry
assert registry.contains("acme-slide")
print(sorted(name for name in sys.modules if name.startswith(("acme_envs", "numpy"))))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "['acme_envs', 'acme_envs.plugin']", run.stderr


def test_an_episode():
    env = make()
    state = env.init_state()
    assert state.obs.shape == (32, 3)
    assert env.observation_layout == {"position": 1, "velocity": 1, "error": 1}
    start = state.obs
    np.testing.assert_allclose(start[:, 2], state.info["target"][:, 0] - start[:, 0], atol=1e-6)
    for _ in range(149):
        state = env.step(np.zeros((32, 1)))
    assert not state.done.any()
    np.testing.assert_allclose(state.obs[:, 0], start[:, 0], atol=1e-5)
    state = env.step(np.zeros((32, 1)))
    assert state.truncated.all()
    assert (state.info["target"][:, 0] != start[:, 0] + start[:, 2]).any(), "new targets"


def test_pushing_moves_the_block():
    env = make()
    before = env.init_state().obs
    after = env.step(np.ones((32, 1))).obs
    assert (after[:, 0] > before[:, 0]).all()
    assert (after[:, 2] < before[:, 2]).all()


def test_the_end_of_the_rail_ends_the_episode():
    env = make()
    env.init_state()
    ended = np.zeros(32, bool)
    for _ in range(149):
        state = env.step(np.ones((32, 1)))
        ended |= state.terminated
    assert ended.all()
    assert not state.truncated.any()


def test_weights_of_the_reward():
    rewards = {}
    for effort in (-0.05, -1.0):
        env = make(**{"reward.effort": effort})
        env.init_state()
        state = env.step(np.full((32, 1), 0.5))
        rewards[effort] = state.reward
        np.testing.assert_allclose(state.info["Reward"]["effort"], effort * 0.25, rtol=1e-5)
    np.testing.assert_allclose(rewards[-0.05] - rewards[-1.0], 0.95 * 0.25, rtol=1e-4)
    with pytest.raises(ConfigError, match=r"Did you mean 'reward\.effort'"):
        make(**{"reward.efort": 0.0})


class Idle:
    def act(self, obs, started=None):
        return np.zeros((len(obs), 1), np.float32)


@pytest.mark.skipif(not BACKENDS, reason="no backend is installed: motrix-rl[torch] or [jax]")
def test_it_can_be_learned(tmp_path):
    trainer = training.default.trainer("skrl", BACKENDS[0])
    run = trainer("acme-slide", cfg_override={"seed": 1}, runs_root=tmp_path).train()
    env = envs.make("acme-slide", num_envs=64, seed=derived_seed(1, "report"))
    learned = evaluate(env, load_policy(run.path), episodes=128)
    idle = evaluate(env, Idle(), episodes=128)
    assert learned.success_rate > 0.7
    assert idle.success_rate < 0.2
    assert learned.mean > idle.mean + 20
