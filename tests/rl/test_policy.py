"""A saved policy acts in plain NumPy, and only where it belongs."""

import copy
import json
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_rl.checkpoint import Checkpoint, write_checkpoint
from motrix_rl.errors import CheckpointError, RunError
from motrix_rl.loading import load_policy
from motrix_rl.policy import MlpPolicy, check_contract, contract, describe_policy, policy_shapes
from motrix_rl.runs import Run


@pytest.fixture(scope="module")
def env():
    env = envs.make("cartpole", num_envs=3, seed=0)
    yield env
    env.close()


@pytest.fixture
def module(env):
    return json.loads(json.dumps(describe_policy("cartpole", env, (5, 4))))


@pytest.fixture
def tensors(module):
    random = np.random.default_rng(0)
    drawn = {k: random.normal(size=s).astype(np.float32) for k, s in policy_shapes(module).items()}
    return {**drawn, "observation/variance": random.uniform(0.5, 2, 4)}


def test_mean_action(module, tensors):
    obs = np.random.default_rng(1).normal(0, 3, (10, 4)).astype(np.float32)
    x = (obs - tensors["observation/mean"]) / (np.sqrt(tensors["observation/variance"]) + 1e-8)
    x = np.clip(x, -5, 5).astype(float)
    for layer in ("0", "1"):
        x = x @ tensors[f"actor/{layer}/kernel"].astype(float) + tensors[f"actor/{layer}/bias"]
        x = np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)
    expected = x @ tensors["actor/mean/kernel"] + tensors["actor/mean/bias"]
    actions = MlpPolicy(module, tensors).act(obs)
    assert (actions.dtype, actions.shape) == (np.float32, (10, 1))
    np.testing.assert_allclose(actions, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_huge_observations_are_clipped_without_a_warning(module, tensors):
    obs = np.full((2, 4), 1e30, np.float32)
    assert np.isfinite(MlpPolicy(module, tensors).act(obs)).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "transformer"}, "kind 'transformer'"),
        ({"activation": "relu"}, "activation 'relu'"),
        ({"hidden": [5, 7]}, r"actor/1/kernel: expected \(5, 7\), found \(5, 4\)"),
        ({"hidden": None}, "incomplete or misshapen"),
        ({"action": {}}, "incomplete or misshapen: 'size'"),
    ],
)
def test_a_description_that_does_not_fit(module, tensors, change, message):
    with pytest.raises(CheckpointError, match=message):
        MlpPolicy({**module, **change}, tensors)


def test_a_missing_and_a_foreign_tensor_are_named(module, tensors):
    del tensors["actor/mean/bias"]
    tensors["critic/0/bias"] = np.zeros(3)
    with pytest.raises(CheckpointError) as caught:
        MlpPolicy(module, tensors)
    assert "actor/mean/bias: expected (1,), found nothing" in str(caught.value)
    assert "critic/0/bias: expected nothing, found (3,)" in str(caught.value)


# The contract


def test_a_policy_of_this_environment_is_welcome(module, env):
    check_contract(module, env)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("ctrl_dt",), 0.02, "ctrl_dt: the policy has 0.02, the environment 0.01"),
        (("action", "high"), [1.0], r"action.high: the policy has \[1.0\], .* \[3.0\]"),
        (("observation", "size"), 5, "observation.size: the policy has 5, the environment 4"),
        (
            ("observation", "layout"),
            {"velocities": 2, "positions": 2},
            r"layout \(order\): the policy has velocities, positions, the environment positions, v",
        ),
        (
            ("observation", "layout"),
            {"positions": 2, "angle": 2},
            "layout.velocities: the policy has nothing, the environment 2",
        ),
        (("action",), None, "action: the policy has None"),
    ],
)
def test_another_contract_is_refused_readably(module, env, path, value, message):
    node = module = copy.deepcopy(module)
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    with pytest.raises(CheckpointError, match=message):
        check_contract(module, env)


def test_an_unbounded_action_has_a_contract_that_json_holds(env):
    space = gymnasium.spaces.Box(np.float32([-np.inf, -1]), np.float32([np.inf, 1]))
    other = SimpleNamespace(
        action_space=space,
        observation_layout=env.observation_layout,
        observation_space=env.observation_space,
        cfg=env.cfg,
    )
    action = contract(other)["action"]
    assert action == {"size": 2, "low": [None, -1.0], "high": [None, 1.0]}
    json.dumps(action, allow_nan=False)


# Loading


def test_loading_from_a_run_or_a_checkpoint(tmp_path, module, tensors):
    run = Run.create(tmp_path, "cartpole", "skrl", "torch", 1, {})
    for step in (1, 2):
        run.save(step, Checkpoint(module, {**tensors, "actor/log_std": np.full(1, step)}))
    for path, which, step in (
        (run.path, "latest", 2),
        (str(run.path), 1, 1),
        (run.checkpoint_folder(1), "latest", 1),
    ):
        found, weights = load_policy(path, which)
        assert found == module
        assert weights["actor/log_std"].tolist() == [step]
    write_checkpoint(tmp_path / "copied", run.load(1))
    assert load_policy(tmp_path / "copied")[0] == module


def test_loading_from_nowhere(tmp_path):
    with pytest.raises(RunError, match="no run at"):
        load_policy(tmp_path / "nothing")
