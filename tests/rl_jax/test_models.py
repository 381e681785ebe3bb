"""Networks in Flax: two of them, with an activation before every head."""

import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("motrix_rl_jax")

import numpy as np  # noqa: E402
from motrix_envs import registry as envs  # noqa: E402
from motrix_envs.errors import ConfigError  # noqa: E402
from motrix_rl.skrl.cfg import PPOCfg  # noqa: E402
from motrix_rl_jax.models import make_models  # noqa: E402
from motrix_rl_jax.skrl_ppo import Trainer  # noqa: E402
from motrix_rl_jax.wrap_np import wrap_env  # noqa: E402
from skrl import config  # noqa: E402

pytestmark = pytest.mark.jax


@pytest.fixture
def models(tmp_path):
    trainer = Trainer("cartpole", runs_root=tmp_path)
    with trainer.seeded(3):
        env = envs.make("cartpole", num_envs=3, seed=0)
        cfg = PPOCfg(
            policy_hidden_layer_sizes=(8, 6), value_hidden_layer_sizes=(8, 6), initial_log_std=-0.5
        )
        yield make_models(cfg, wrap_env(env, device="cpu"))
        env.close()


def parameters(model):
    return model.state_dict.params["params"]


@pytest.mark.parametrize("role", ["policy", "value"])
def test_layers(models, role):
    shapes = {k: v["kernel"].shape for k, v in parameters(models[role]).items() if "Dense" in k}
    assert shapes == {"Dense_0": (4, 8), "Dense_1": (8, 6), "Dense_2": (6, 1)}


@pytest.mark.parametrize("role", ["policy", "value"])
def test_no_two_linear_maps_in_a_row(models, role):
    """The output is not linear in what the last hidden layer gives before its activation."""
    model = models[role]
    obs = jax.numpy.asarray(np.random.default_rng(0).normal(size=(5, 4)), "float32")
    jaxpr = jax.make_jaxpr(lambda x: model.apply(model.state_dict.params, {"observations": x})[0])
    names = [str(eqn.primitive) + str(eqn.params.get("name", "")) for eqn in jaxpr(obs).eqns]
    kinds = ["linear" if "dot" in n else "elu" for n in names if "dot" in n or "elu" in n]
    assert kinds == ["linear", "elu", "linear", "elu", "linear"]


def test_the_two_networks_start_differently(models):
    first, second = (np.asarray(parameters(models[r])["Dense_0"]["kernel"]) for r in models)
    assert not np.array_equal(first, second)


def test_initial_log_std(models):
    assert np.asarray(parameters(models["policy"])["log_std"]).tolist() == [-0.5]


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
