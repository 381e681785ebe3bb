"""The learner without a framework: what it takes over, and what it leaves alone."""

import numpy as np
import pytest
from gymnasium import spaces
from motrix_rl import registry as rl
from motrix_rl.checkpoint import read_hash
from motrix_rl.engine import reference
from motrix_rl.engine.actor_critic import ActorCritic
from motrix_rl.engine.native import CHUNK, NativeLearner
from motrix_rl.engine.native_way import NativeWay, native_way
from motrix_rl.native import acting, adam, kernels, network, plan, ppo, products, records
from motrix_rl.native.compiler import Processor
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


def module_with(module_class=Module, state_space=None, action_space=None, **options):
    spec = RLModuleSpec(module_class, box(4), action_space or box(2))
    spec.state_space, spec.model_config_dict = state_space, OPTIONS | options
    return spec.build()


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
    "more actions than lanes": {"action_space": box(21)},
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


@pytest.mark.parametrize("slope", [0.9, np.nan])
def test_wrong_gradients_are_noticed(monkeypatch, slope):
    monkeypatch.setattr(network, "compiled_backward", kernels.compiled_backward.__wrapped__)
    monkeypatch.setitem(kernels.SLOPES, "tanh", lambda e, out: e.number(slope))
    assert way_of(module_with(fcnet_activation="tanh")) is None


def test_wrong_actions_are_noticed():
    module = module_with()
    assert native_way(module, PPOCfg(), lambda obs: logits_of(module)(obs) + 0.01) is None


@pytest.mark.parametrize("cpu", [Processor("avx", 8, 16), Processor("sse", 4, 16)])
def test_other_processors(monkeypatch, cpu):
    """Everything is written for as many lanes as there are."""
    for module in (acting, adam, kernels, network, plan, ppo, products, records):
        if hasattr(module, "processor"):
            monkeypatch.setattr(module, "processor", lambda: cpu)
        for name, function in vars(module).items():
            if "compiled" in name:
                monkeypatch.setattr(module, name, function.__wrapped__)
    assert way_of(module_with(action_space=box(5)))


def test_observations_in_any_order_and_type(samples):
    learner, *_ = gradient(samples, 1)
    obs, noise = samples["obs"][:50], samples["actions"][:50]
    expected = learner.sample(obs, None, noise), learner.values(obs, None)
    for other in (np.asfortranarray(obs), obs.astype(np.float64), np.repeat(obs, 2, 1)[:, ::2]):
        found = learner.sample(other, None, noise), learner.values(other, None)
        assert np.array_equal(found[0][0], expected[0][0])
        assert np.array_equal(found[1], expected[1])


@pytest.mark.parametrize("column", ["advantages", "log_probs", "obs"])
def test_what_is_no_number_is_told(samples, column):
    broken = {**samples, column: samples[column].copy()}
    broken[column][7] = np.nan
    module = module_with(normalize_observations=False)
    learner = NativeLearner(module, PPOCfg(), ActorCritic.of(module))
    learner.load(broken)
    found, parts = learner.gradient(np.arange(64, dtype=np.int32))
    assert np.isnan(found).any()
    assert any(np.isnan(value) for value in parts.values())


@pytest.fixture(scope="module")
def samples():
    rows, draw = 3 * CHUNK + 5, np.random.default_rng(2).normal
    scalars = ("log_probs", "values", "advantages", "targets")
    shapes = {
        "obs": (rows, 4),
        "state": (rows, 6),
        "actions": (rows, 2),
        **dict.fromkeys(scalars, (rows,)),
    }
    made = {name: draw(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return made | {"log_probs": made["log_probs"] * 0.1 - 3}


def gradient(samples, threads, cfg=None, **options):
    module = module_with(**options)
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


@pytest.mark.parametrize("case", ["elu", "shared and odd", "privileged critic"])
def test_chunks_add_up(samples, case):
    cfg = PPOCfg(entropy_loss_scale=0.1)
    learner, found, parts = gradient(samples, 1, cfg, **KNOWN[case])
    state = states.flatten(learner.module.get_state())
    seen = {n: c for n, c in samples.items() if n != "state" or "state_space" in KNOWN[case]}
    told, right, _ = reference.loss_and_gradient(state, seen, cfg)
    assert parts == pytest.approx(told, rel=1e-4)
    for path, view in learner.networks.views(found).items():
        largest = np.abs(right[path]).max()
        np.testing.assert_allclose(view, right[path], rtol=1e-3, atol=1e-4 * largest, err_msg=path)


def test_the_module_has_the_weights_when_somebody_asks(samples):
    learner, found, _ = gradient(samples, 1)
    before = learner.module.get_state()["pi"]["log_std"].copy()
    learner.descend(found, [0.1, 1.0])
    learner.publish()
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
