"""Modules of every kind are trained, saved, and act: PPO's own, somebody's own, choices."""

import json
from contextlib import closing

import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_envs.errors import ConfigError
from motrix_rl import registry as rl
from motrix_rl.checkpoint import read_hash
from motrix_rl.evaluation import derived_seed, evaluate
from motrix_rl.policy import load_policy
from motrix_rl.rl_module import RLModuleSpec
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl.skrl.modules import check_module

OBS = np.random.default_rng(0).normal(0, 2, (9, 4)).astype(np.float32)


# A module of one's own


def test_a_module_by_import_string(make_trainer, own_module, backend):
    run = make_trainer(rl_module="own_nets:Doubled").train()
    record = json.loads((run.path / "run.json").read_text())
    assert record["rl"]["rl_module"] == "own_nets:Doubled"
    policy = load_policy(run.path, trusted=("own_nets",))
    assert type(policy.module) is own_module
    assert policy.act(OBS).shape == (9, 1)


@pytest.mark.parametrize("rllib", ["skrl", "motrix"])
def test_scoring_it_leaves_the_training_alone(make_trainer, own_module, backend, rllib):
    """It acts in its framework, beside the one that is trained."""
    cls = rl.default.trainer(rllib, backend)
    runs = [
        make_trainer(cls=cls, rl_module="own_nets:Doubled", select_episodes=number).train()
        for number in (0, 3)
    ]
    first, second = (read_hash(run.checkpoint_folder("latest")) for run in runs)
    assert first == second
    policy = load_policy(runs[1].path, trusted=("own_nets",))
    with closing(envs.make("cartpole", num_envs=3, seed=derived_seed(1, "select"))) as env:
        assert runs[1].record["best"]["score"]["return_mean"] == evaluate(env, policy, 3).mean


@pytest.mark.parametrize("rllib", ["skrl", "motrix"])
def test_who_names_a_class_trusts_it(make_trainer, own_module, backend, rllib):
    """The evaluation after a training, and `play`, import what the user named for training."""
    cls = rl.default.trainer(rllib, backend)
    assert make_trainer(cls=cls, rl_module="own_nets:Doubled").trusted == ("own_nets",)
    assert make_trainer(cls=cls).trusted == ()


def test_a_declared_module_by_name(make_trainer, own_module, backend, monkeypatch):
    monkeypatch.setattr(rl.default, "table", dict(rl.default.table))
    rl.default.module("own-net", "own_nets:Doubled")
    assert make_trainer(rl_module="own-net", max_env_steps=32).train().checkpoints() == [32]
    with pytest.raises(Exception, match=r"no RLModule named 'own-nte'.*own-net"):
        make_trainer(rl_module="own-nte").train()


def test_a_spec_with_options_of_its_own(make_trainer, backend):
    options = {"fcnet_hiddens": [7], "vf_share_layers": False, "fcnet_use_layernorm": True}
    spec = RLModuleSpec(model_config_dict=options)
    tensors = make_trainer(rl_module=spec, max_env_steps=32).train().load().module.tensors
    assert tensors["encoder/actor/0/kernel"].shape == (4, 7)
    assert "encoder/actor/0_norm/scale" in tensors
    assert not any("normalizer" in name for name in tensors)
    assert tensors["pi/out/kernel"].shape == (7, 2), "the spread depends on the observation"


@pytest.mark.parametrize("rllib", ["skrl", "motrix"])
def test_policies_without_hidden_layers_train(make_trainer, backend, rllib):
    options = {"fcnet_hiddens": [], "vf_share_layers": False, "free_log_std": True}
    cls = rl.default.trainer(rllib, backend)
    spec = RLModuleSpec(model_config_dict=options)
    act = load_policy(make_trainer(cls=cls, rl_module=spec).train().path).act
    np.testing.assert_allclose(act(2 * OBS) + act(-2 * OBS), 2 * act(0 * OBS), atol=1e-5)


def test_squashed_actions_train(make_trainer, backend):
    options = {"fcnet_hiddens": [7], "vf_share_layers": False, "squash_actions": True}
    spec = RLModuleSpec(model_config_dict=options)
    run = make_trainer(rl_module=spec, max_env_steps=32).train()
    assert np.abs(load_policy(run.path).act(100 * OBS)).max() <= 3
    with pytest.raises(ConfigError, match="set entropy_loss_scale = 0"):
        make_trainer(rl_module=spec, entropy_loss_scale=0.1).train()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("nowhere:Net", "cannot be imported: No module named 'nowhere'"),
        ("motrix_rl.registry:Nothing", "has no attribute 'Nothing'"),
        ("motrix_rl.registry:RlRegistry", "is no RLModule class"),
        ("motrix_rl.rl_module:PPONumpyRLModule", "PPONumpyRLModule is a module of numpy"),
    ],
)
def test_what_is_no_module_for_this_trainer(make_trainer, tmp_path, choice, message):
    with pytest.raises(ConfigError, match=message):
        make_trainer(rl_module=choice).train()
    assert not list(tmp_path.iterdir())


def test_a_module_of_another_framework_names_the_backend_to_choose():
    class Foreign:
        framework = "torch"

    with pytest.raises(ConfigError, match="'jax' cannot train it; choose --backend torch"):
        check_module(Foreign(), PPOCfg(), "jax")


def test_recurrent_modules_act_but_nobody_trains_them_yet(make_trainer, backend, tmp_path):
    options = {"fcnet_hiddens": [8], "use_lstm": True, "lstm_cell_size": 8}
    spec = RLModuleSpec(model_config_dict={**options, "vf_share_layers": False})
    with pytest.raises(ConfigError, match=r"is recurrent\. .*choose options without use_lstm"):
        make_trainer(rl_module=spec).train()
    assert not list(tmp_path.iterdir())


# Choices


@pytest.mark.parametrize("name", ["test-choice", "test-choices"])
def test_choices_are_learnt(make_trainer, backend, name):
    trainer = make_trainer(
        name,
        num_envs=16,
        rollouts=16,
        mini_batches=4,
        learning_epochs=4,
        max_env_steps=16 * 16 * 12,
        learning_rate=1e-2,
        entropy_loss_scale=0.001,
        learning_rate_scheduler_kl_threshold=0.0,
    )
    run = trainer.train()
    env = envs.make(name, num_envs=16, seed=5)
    result = evaluate(env, load_policy(run.path), episodes=16)
    assert result.mean == result.length == 4, "every choice of every step is right"
    env.close()
    last = run.metrics()[-1]
    assert 0 < last["policy/entropy"] < 2
    assert "policy/standard_deviation" not in last


# Between frameworks


def test_a_policy_goes_to_another_framework_and_is_trained_on(make_trainer, backend, tmp_path):
    """Weights and normaliser of one backend are the start of a training in the other."""
    other = {"torch": "jax", "jax": "torch"}[backend]
    pytest.importorskip(f"motrix_rl_{other}")
    first = make_trainer(max_env_steps=32).train()
    obs = np.random.default_rng(0).normal(0, 2, (100, 4)).astype(np.float32)
    here, there = (load_policy(first.path, framework=name) for name in (backend, other))
    np.testing.assert_allclose(here.act(obs), there.act(obs), atol=1e-6, rtol=1e-6)

    kept = []

    class Spy(rl.default.trainer("skrl", other)):
        def _inherit(self, module, env):
            lineage = super()._inherit(module, env)
            kept.append(module.act(obs)[0])
            return lineage

    changes = make_trainer().cfg.replace(max_env_steps=32)
    override = {name: getattr(changes, name) for name in ("num_envs", "rollouts", "mini_batches")}
    override |= {
        "max_env_steps": 32,
        "policy_hidden_layer_sizes": (8, 6),
        "value_hidden_layer_sizes": (8, 6),
        "share_policy_value_features": False,
        "seed": 2,
    }
    second = Spy(
        "cartpole", cfg_override=override, runs_root=tmp_path, init_from=first.path
    ).train()
    np.testing.assert_allclose(kept[0], here.act(obs), atol=1e-6, rtol=1e-6)
    lineage = second.record["lineage"]
    assert lineage["init_from"] == str(first.checkpoint_folder())
    count = second.load().module.tensors["normalizer/count"]
    assert count == 64, "the normaliser goes on counting"


def test_a_policy_earns_the_same_wherever_it_acts(make_trainer, backend):
    run = make_trainer(max_env_steps=32).train()
    returns = set()
    for framework in ("numpy", "torch", "jax"):
        if framework != "numpy":
            pytest.importorskip(f"motrix_rl_{framework}")
        env = envs.make("cartpole", num_envs=16, seed=7)
        result = evaluate(env, load_policy(run.path, framework=framework), episodes=16)
        returns.add((result.mean, result.interval, result.length))
        env.close()
    assert len(returns) == 1
