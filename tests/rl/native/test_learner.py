"""The learner without a framework: what it takes over, and what it leaves alone."""

import numpy as np
import pytest
from gymnasium import spaces
from motrix_rl import registry as rl
from motrix_rl.checkpoint import read_hash
from motrix_rl.engine import reference
from motrix_rl.engine.actor_critic import ActorCritic
from motrix_rl.engine.native import CHUNK, NativeLearner, NativeWay, native_way
from motrix_rl.native import kernels
from motrix_rl.rl_module import Columns, RLModuleSpec, states
from motrix_rl.rl_module.numpy_module import PPONumpyRLModule
from motrix_rl.skrl.cfg import PPOCfg

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


class Module(PPONumpyRLModule):
    """PPO's own module without any framework."""

    PORTABLE_KIND = PPONumpyRLModule.PORTABLE_KIND

    def get_train_action_dist_cls(self):
        return self._ppo_catalog.get_action_dist_cls(None)


class Another(Module):
    """May do anything in its forward pass."""


def module_with(module_class=Module, state_space=None, **options):
    return RLModuleSpec(
        module_class, box(4), box(2), state_space=state_space, model_config_dict=OPTIONS | options
    ).build()


def logits_of(module):
    return lambda obs: module.forward_inference({Columns.OBS: obs})[Columns.ACTION_DIST_INPUTS]


def way_of(module, cfg=None):
    return native_way(module, cfg or PPOCfg(), logits_of(module))


KNOWN = {
    "elu": {},
    "relu": {"fcnet_activation": "relu"},
    "tanh": {"fcnet_activation": "tanh"},
    "shared": {"vf_share_layers": True},
    "shared and odd": {"vf_share_layers": True, "fcnet_hiddens": [9, 21]},
    "more in the heads": {"post_fcnet_hiddens": [8], "post_fcnet_activation": "tanh"},
    "nothing before the heads": {"fcnet_hiddens": []},
    "nothing to share": {"fcnet_hiddens": [], "vf_share_layers": True},
    "raw observations": {"normalize_observations": False},
    "privileged critic": {"state_space": box(6)},
    "log-std at its bound": {"initial_log_std": 2.5},
}


@pytest.mark.parametrize("case", KNOWN)
def test_what_is_known(case):
    module = module_with(**KNOWN[case])
    assert way_of(module) is not None
    assert way_of(module, PPOCfg(clip_predicted_values=False)) is not None
    assert way_of(module, PPOCfg(value_clip=0.05, ratio_clip=0.05, entropy_loss_scale=0.1))


UNKNOWN = {
    "its slope needs the sum": {"fcnet_activation": "silu"},
    "layer norm": {"fcnet_use_layernorm": True},
    "bounded by tanh": {"squash_actions": True},
    "log-std from the observation": {"free_log_std": False},
    "somebody's own": {"module_class": Another},
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_what_is_left_to_the_framework(case):
    assert way_of(module_with(**UNKNOWN[case])) is None


def test_wrong_gradients_are_noticed(monkeypatch):
    options = {"fcnet_activation": "tanh", "fcnet_hiddens": [13]}  # nobody else's: code is kept
    monkeypatch.setitem(kernels.SLOPES, "tanh", lambda e, out: e.number(0.9))
    assert way_of(module_with(**options)) is None


def test_wrong_actions_are_noticed():
    module = module_with()
    assert native_way(module, PPOCfg(), lambda obs: logits_of(module)(obs) + 0.01) is None


@pytest.fixture(scope="module")
def samples():
    rows, draw = 3 * CHUNK + 5, np.random.default_rng(2).normal
    scalars = ("log_probs", "values", "advantages", "targets")
    shapes = {"obs": (rows, 4), "actions": (rows, 2), **dict.fromkeys(scalars, (rows,))}
    made = {name: draw(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return made | {"log_probs": made["log_probs"] * 0.1 - 3}


def gradient(samples, threads, cfg=None):
    module = module_with()
    learner = NativeLearner(module, cfg or PPOCfg(), ActorCritic.of(module), threads)
    learner.load(samples)
    order = np.random.default_rng(3).permutation(len(samples["obs"])).astype(np.int32)
    return learner, *learner.gradient(order)


def test_any_number_of_threads_gives_the_same_bits(samples):
    _, one, parts = gradient(samples, 1)
    for threads in (2, 5):
        _, other, told = gradient(samples, threads)
        assert np.array_equal(one, other)
        assert told == parts


def test_chunks_add_up(samples):
    cfg = PPOCfg(entropy_loss_scale=0.1)
    learner, found, parts = gradient(samples, 1, cfg)
    state = states.flatten(learner.module.get_state())
    told, right, _ = reference.loss_and_gradient(state, samples, cfg)
    assert parts == pytest.approx(told, rel=1e-4)
    for path, view in learner.networks.views(found).items():
        largest = np.abs(right[path]).max()
        np.testing.assert_allclose(view, right[path], rtol=1e-3, atol=1e-4 * largest, err_msg=path)


def test_the_module_has_the_weights_when_somebody_asks(samples):
    learner, found, _ = gradient(samples, 1)
    before = learner.module.get_state()["pi"]["log_std"].copy()
    learner._step(found, [0.1, 1.0])
    learner.get_state()
    after = learner.module.get_state()["pi"]["log_std"]
    assert not np.array_equal(after, before)
    assert np.array_equal(after, learner.networks.log_std(learner._weights))


@pytest.mark.torch
@pytest.mark.jax
@pytest.mark.parametrize("env", ["cartpole", "pendulum"])
def test_both_frameworks_train_to_the_same_bits(env, tmp_path):
    hashes = []
    for backend in ("torch", "jax"):
        pytest.importorskip(f"motrix_rl_{backend}")
        trainer = rl.default.trainer("motrix", backend)
        changes = {"num_envs": 16, "max_env_steps": 16 * 64, "select_episodes": 2, "seed": 1}
        run = trainer(env, cfg_override=changes, runs_root=tmp_path / backend).train()
        assert run.record["compute"]["update"] == NativeWay(None, None).describe()
        hashes.append([read_hash(run.checkpoint_folder(step)) for step in run.checkpoints()])
    assert hashes[0] == hashes[1]
    assert hashes[0]
