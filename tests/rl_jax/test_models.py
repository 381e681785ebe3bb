"""An RLModule as skrl's models in JAX: policy and value function apart, buffers on the way."""

import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("motrix_rl_jax")

import numpy as np  # noqa: E402
from motrix_envs import registry as envs  # noqa: E402
from motrix_envs.errors import ConfigError  # noqa: E402
from motrix_rl.rl_module import states  # noqa: E402
from motrix_rl.skrl.cfg import PPOCfg  # noqa: E402
from motrix_rl.skrl.modules import build_module  # noqa: E402
from motrix_rl_jax.models import WithBuffers, collect, make_models  # noqa: E402
from motrix_rl_jax.rl_module.module import FlaxRLModule  # noqa: E402
from motrix_rl_jax.skrl_ppo import Trainer  # noqa: E402
from skrl import config  # noqa: E402

pytestmark = pytest.mark.jax

CPU = jax.devices("cpu")[0]


@pytest.fixture
def module():
    env = envs.make("cartpole", num_envs=3, seed=0)
    cfg = PPOCfg(
        policy_hidden_layer_sizes=(8, 6),
        value_hidden_layer_sizes=(5,),
        share_policy_value_features=False,
        initial_log_std=-0.5,
    )
    yield build_module(cfg, env, "jax", 1)
    env.close()


@pytest.fixture
def models(module, tmp_path):
    with Trainer("cartpole", runs_root=tmp_path).seeded(3):
        yield make_models(module, CPU)


def test_every_parameter_belongs_to_one_of_the_two(models, module):
    paths = [set(states.flatten(models[role].state_dict.params)) for role in ("policy", "value")]
    assert not paths[0] & paths[1]
    assert paths[0] | paths[1] == set(states.flatten(module.params))
    assert {path for path in paths[1] if path.endswith("kernel")} == {
        "encoder/critic/0/kernel",
        "vf/out/kernel",
    }


def test_what_the_models_learnt_comes_back(models, module):
    before = states.flatten(module.params)
    for model in models.values():
        learnt = jax.tree.map(lambda x: x + 1, model.state_dict.params)
        model.state_dict = model.state_dict.replace(params=learnt)
    collect(module, models)
    after = states.flatten(module.params)
    assert after.keys() == before.keys()
    for path in before:
        np.testing.assert_allclose(after[path], before[path] + 1, rtol=1e-6)


def test_compiled_models_see_new_buffers(models, module):
    send = WithBuffers(module, CPU)
    obs = jax.numpy.ones((3, 4))
    run = jax.jit(models["value"].apply, static_argnums=2)
    params = models["value"].state_dict.params
    before = run(params, {"observations": send(obs)}, "value")
    module.update_normalizer(np.random.default_rng(0).normal(3, 2, (50, 4)))
    after = run(params, {"observations": send(obs)}, "value")
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after[:, 0], module.compute_values({"obs": obs}), rtol=1e-5)


def test_log_probabilities_of_taken_actions(models, module):
    inputs = {"observations": WithBuffers(module, CPU)(jax.numpy.ones((3, 4))), "states": None}
    policy = models["policy"]
    actions, outputs = policy.act(inputs, role="policy")
    more, _ = policy.act(inputs, role="policy")
    assert not np.array_equal(actions, more), "every draw has a key of its own"
    _, again = policy.act({**inputs, "taken_actions": actions}, role="policy")
    np.testing.assert_allclose(again["log_prob"], outputs["log_prob"], rtol=1e-5)
    np.testing.assert_allclose(outputs["stddev"], np.exp(-0.5), rtol=1e-6)
    expected = 0.5 + 0.5 * np.log(2 * np.pi) - 0.5
    np.testing.assert_allclose(policy.get_entropy(outputs["stddev"]), expected, rtol=1e-5)


class WithoutParts(FlaxRLModule):
    def _forward_inference(self, batch, **kwargs):
        return {}

    _forward_exploration = _forward_train = _forward_inference


def test_a_module_that_does_not_tell_its_parts_apart():
    with pytest.raises(ConfigError, match="add InferenceOnlyAPI, or train with torch"):
        make_models(WithoutParts(), CPU)


def test_shared_features_are_refused():
    with pytest.raises(ConfigError, match=r"needs backend 'torch'.*Set it to False"):
        Trainer("cartpole", cfg_override={"share_policy_value_features": True})


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_any_seed_makes_a_key_and_the_old_one_comes_back(seed):
    before = config.jax._key
    with Trainer("cartpole").seeded(seed):
        inside = np.asarray(config.jax.key)
    assert inside[-1] == seed
    assert config.jax._key is before
