"""Both frameworks' trainers keep the contract of backends."""

from importlib.util import find_spec

import pytest
from motrix_rl.testing import BackendContract


def needs(name):
    package = f"motrix_rl_{name}"
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


class SkrlContract(BackendContract):
    rllib = "skrl"
    tiny = {
        "num_envs": 4,
        "rollouts": 4,
        "mini_batches": 1,
        "learning_epochs": 2,
        "policy_hidden_layer_sizes": [8],
        "value_hidden_layer_sizes": [8],
        "share_policy_value_features": False,
    }
    env_changes = {"max_episode_seconds": 0.1}


@pytest.mark.torch
@needs("torch")
class TestTorch(SkrlContract):
    backend = "torch"


@pytest.mark.jax
@needs("jax")
@pytest.mark.usefixtures("compiled_once")
class TestJax(SkrlContract):
    backend = "jax"
