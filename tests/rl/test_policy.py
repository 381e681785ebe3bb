"""A saved policy acts wherever it can, and only where it belongs."""

import copy
import json
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_rl.checkpoint import Checkpoint, write_checkpoint
from motrix_rl.contract import check_contract, contract
from motrix_rl.errors import CheckpointError, ContractError, RunError
from motrix_rl.policy import Policy, load_policy, warm_start, with_contract
from motrix_rl.rl_module import NumpyRLModule, PPONumpyRLModule, StateMismatchError
from motrix_rl.rl_module.errors import FrameworkNotFoundError
from motrix_rl.rl_module.folders import Content
from motrix_rl.runs import Run


@pytest.fixture(scope="module")
def env():
    env = envs.make("cartpole", num_envs=3, seed=0)
    yield env
    env.close()


@pytest.fixture
def module(env):
    options = {"hidden": [5, 4], "free_log_std": True, "normalize_observations": True, "seed": 1}
    return PPONumpyRLModule(
        observation_space=env.observation_space,
        action_space=env.action_space,
        model_config=options,
    )


@pytest.fixture
def saved(tmp_path, module, env):
    """A run with checkpoints 1 and 2, told apart by their normalisers."""
    run = Run.create(tmp_path, "cartpole", "skrl", "torch", 1, {})
    for step in (1, 2):
        module.update_normalizer(np.random.default_rng(step).normal(size=(50, 4)))
        run.save(step, Checkpoint(with_contract(module.to_content(), contract(env))))
    return run


OBS = np.random.default_rng(1).normal(0, 3, (10, 4)).astype(np.float32)


# Loading


def test_loading_from_a_run_or_a_checkpoint(saved, module, env, tmp_path):
    write_checkpoint(tmp_path / "copied", saved.load(1))
    for path, which, count in (
        (saved.path, "latest", 100),
        (str(saved.path), 1, 50),
        (saved.checkpoint_folder(1), "latest", 50),
        (tmp_path / "copied", "latest", 50),
    ):
        policy = load_policy(path, which)
        assert policy.module.get_state("normalizer")["normalizer"]["count"] == count
        assert policy.module.inference_only
        assert policy.contract == json.loads(json.dumps(contract(env)))
    np.testing.assert_array_equal(load_policy(saved.path).act(OBS), module.act(OBS)[0])


def test_loading_from_nowhere(tmp_path):
    with pytest.raises(RunError, match="no run at"):
        load_policy(tmp_path / "nothing")


def test_the_module_folder_is_a_checkpoint_by_itself(saved, module):
    alone = PPONumpyRLModule.from_checkpoint(saved.checkpoint_folder() / "module")
    np.testing.assert_array_equal(alone.act(OBS)[0], module.act(OBS)[0])


def test_a_module_without_contract_is_no_policy(saved, module, tmp_path):
    write_checkpoint(tmp_path / "bare", Checkpoint(module.to_content()))
    with pytest.raises(CheckpointError, match="has no contract"):
        load_policy(tmp_path / "bare")


def test_a_framework_that_is_not_there(saved):
    with pytest.raises(FrameworkNotFoundError, match="no installed backend is called 'torhc'"):
        load_policy(saved.path, framework="torhc")


class OwnNet(NumpyRLModule):
    """A module of somebody's own: it can act in one framework only."""


def test_a_class_of_elsewhere_is_not_imported_unasked(saved, tmp_path):
    content = saved.load().module
    document = {**content.document, "class": f"{__name__}:OwnNet", "kind": None}
    write_checkpoint(tmp_path / "own", Checkpoint(Content(document, content.tensors)))
    with pytest.raises(CheckpointError, match=r"If you trust it: trusted="):
        load_policy(tmp_path / "own")
    with pytest.raises(CheckpointError, match=r"is a OwnNet, which acts in numpy and not in torch"):
        load_policy(tmp_path / "own", framework="torch", trusted=(__name__,))


# Acting


class Counting(PPONumpyRLModule):
    """Stateful: acts by the number of steps since the start of the episode."""

    def get_initial_state(self):
        return {"steps": np.zeros(1, np.float32)}

    def act(self, obs, state=None, *, deterministic=True, rng=None):
        steps = np.zeros((len(obs), 1), np.float32) if state is None else state["steps"]
        return steps, {"steps": steps + 1}


def test_recurrent_state_starts_again_with_an_episode(module):
    policy = Policy(Counting(module.config), {})
    obs = np.zeros((3, 4), np.float32)
    nobody, middle = np.zeros(3, bool), np.array([False, True, False])
    acted = [policy.act(obs, started)[:, 0].tolist() for started in (nobody, nobody, middle, None)]
    assert acted == [[0, 0, 0], [1, 1, 1], [2, 0, 2], [3, 1, 3]]


# The contract


def test_a_policy_of_this_environment_is_welcome(env):
    check_contract(json.loads(json.dumps(contract(env))), env)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("ctrl_dt",), 0.02, "ctrl_dt: the policy has 0.02, the environment 0.01"),
        (("action", "high"), [1.0], r"action.high: the policy has \[1.0\], .* \[3.0\]"),
        (("action", "kind"), "discrete", "action.kind: the policy has discrete, .* box"),
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
        (
            ("conventions", "action_scale"),
            0.25,
            "conventions.action_scale: the policy has 0.25, the environment nothing",
        ),
    ],
)
def test_another_contract_is_refused_readably(env, path, value, message):
    node = of_policy = copy.deepcopy(contract(env))
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = value
    with pytest.raises(ContractError, match=message):
        check_contract(of_policy, env)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (
            gymnasium.spaces.Box(np.float32([-np.inf, -1]), np.float32([np.inf, 1])),
            {"kind": "box", "size": 2, "low": [None, -1.0], "high": [None, 1.0]},
        ),
        (
            gymnasium.spaces.Discrete(3, start=-1),
            {"kind": "discrete", "choices": [3], "start": [-1]},
        ),
        (
            gymnasium.spaces.MultiDiscrete([3, 2]),
            {"kind": "multi-discrete", "choices": [3, 2], "start": [0, 0]},
        ),
    ],
)
def test_every_kind_of_action_has_a_contract_that_json_holds(env, space, expected):
    other = SimpleNamespace(
        action_space=space,
        observation_layout=env.observation_layout,
        observation_space=env.observation_space,
        cfg=env.cfg,
        conventions=dict,
    )
    assert contract(other)["action"] == expected
    json.dumps(expected, allow_nan=False)


# Warm starts


def test_a_warm_start_takes_weights_and_normaliser(saved, module, env):
    other = PPONumpyRLModule(module.config)
    assert not np.array_equal(other.act(OBS)[0], module.act(OBS)[0])
    lineage = warm_start(other, saved.path, env)
    np.testing.assert_array_equal(other.act(OBS)[0], module.act(OBS)[0])
    assert lineage["init_from"] == str(saved.checkpoint_folder())
    assert len(lineage["hash"]) == 64


def test_a_warm_start_of_other_networks_or_another_environment_is_refused(saved, module, env):
    wide = {**module.model_config, "hidden": [6, 4]}
    other = PPONumpyRLModule(
        observation_space=env.observation_space, action_space=env.action_space, model_config=wide
    )
    with pytest.raises(StateMismatchError, match="encoder/shared/0/kernel"):
        warm_start(other, saved.path, env)
    slow = envs.make("cartpole", env_cfg_override={"ctrl_dt": 0.02})
    with pytest.raises(ContractError, match="ctrl_dt"):
        warm_start(module, saved.path, slow)
    slow.close()
