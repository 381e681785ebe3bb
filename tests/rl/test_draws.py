"""Randomness of a training: a function of update, epoch and step, whatever was asked before."""

import numpy as np
import pytest
from gymnasium import spaces
from motrix_rl.engine.draws import Draws
from motrix_rl.rl_module import RLModuleSpec
from motrix_rl.rl_module.numpy_module import PPONumpyRLModule


class Module(PPONumpyRLModule):
    """PPO's own module without any framework."""

    def get_train_action_dist_cls(self):
        return self._ppo_catalog.get_action_dist_cls(None)


@pytest.fixture(scope="module")
def make():
    box = spaces.Box(-1, 1, (2,), np.float32)
    module = RLModuleSpec(Module, box, box, model_config_dict={"free_log_std": True}).build()
    return lambda samples, seed=1: Draws(module, seed, 4, samples, epochs=5)


# Of the first, all epochs are drawn at once; of the second, two; of the third, one.
@pytest.mark.parametrize("samples", [64, 30_000, 70_000])
def test_permutations(make, samples):
    draws, rows = make(samples), np.arange(samples)
    orders = [draws.order(update, epoch) for update in range(2) for epoch in range(5)]
    for order in orders:
        assert order.dtype == np.int32
        assert np.array_equal(np.sort(order), rows)
    assert len({order.tobytes() for order in orders}) == 10
    again = make(samples)
    assert np.array_equal(again.order(1, 3), orders[8])
    assert np.array_equal(again.order(0, 4), orders[4])
    assert not np.array_equal(make(samples, seed=2).order(0, 0), orders[0])


def test_noise_is_normal_and_never_the_same(make):
    draws = make(64)
    noise = np.stack([draws.noise(update, step) for update in range(50) for step in range(16)])
    assert noise.shape == (800, 4, 2)
    assert len(np.unique(noise)) > 0.99 * noise.size
    assert abs(noise.mean()) < 0.05
    assert noise.std() == pytest.approx(1, abs=0.05)
    assert np.array_equal(make(64).noise(7, 9), noise[7 * 16 + 9])
