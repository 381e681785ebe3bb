"""Rules of the training configurations."""

import math
from dataclasses import dataclass, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st
from motrix_envs.errors import ConfigError
from motrix_rl import registry
from motrix_rl.base import BaseRLCfg
from motrix_rl.skrl.cfg import PPOCfg

SEED = {
    "seed": None,
    "num_envs": 2048,
    "play_num_envs": 16,
    "max_env_steps": 20_480_000,
    "check_point_interval": 1000,
    "policy_hidden_layer_sizes": (256, 128, 64),
    "value_hidden_layer_sizes": (256, 128, 64),
    "share_policy_value_features": True,
    "rollouts": 32,
    "learning_epochs": 2,
    "mini_batches": 32,
    "discount_factor": 0.99,
    "lambda_param": 0.95,
    "learning_rate": 1e-3,
    "learning_rate_scheduler_kl_threshold": 0.008,
    "random_timesteps": 0,
    "learning_starts": 0,
    "grad_norm_clip": 1.0,
    "time_limit_bootstrap": True,
    "ratio_clip": 0.2,
    "value_clip": 0.2,
    "clip_predicted_values": True,
    "entropy_loss_scale": 0.0,
    "value_loss_scale": 2.0,
    "kl_threshold": 0,
    "rewards_shaper_scale": 1.0,
}


def test_every_field_of_the_seed_with_its_default():
    cfg = PPOCfg()
    cfg.validate()
    assert {name: getattr(cfg, name) for name in SEED} == SEED


COUNTS = ["num_envs", "play_num_envs", "max_env_steps", "check_point_interval"]
PPO_COUNTS = ["rollouts", "learning_epochs", "mini_batches"]
POSITIVE = ["learning_rate", "ratio_clip", "rewards_shaper_scale"]
NOT_NEGATIVE = [
    "learning_rate_scheduler_kl_threshold",
    "grad_norm_clip",
    "value_clip",
    "entropy_loss_scale",
    "value_loss_scale",
    "kl_threshold",
]
FLOATS = [item.name for item in fields(PPOCfg) if isinstance(getattr(PPOCfg(), item.name), float)]
WRONG = [
    *((name, value) for name in [*COUNTS, *PPO_COUNTS] for value in (0, -1)),
    *((name, value) for name in POSITIVE for value in (0.0, -1e-3)),
    *((name, -1e-3) for name in NOT_NEGATIVE),
    *((name, value) for name in ("discount_factor", "lambda_param") for value in (-0.1, 1.1)),
    *((name, value) for name in FLOATS for value in (math.nan, math.inf)),
    *((name, 1) for name in ("random_timesteps", "learning_starts")),
    *((f"{role}_hidden_layer_sizes", value) for role in ("policy", "value")
      for value in ((), (0,), (32, -1))),
    ("seed", -1),
    ("seed", 2**32),
    ("mini_batches", 33),
    ("mini_batches", 2**20),
    ("policy_hidden_layer_sizes", (32, 32)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_cannot_be_trained_with(name, value):
    with pytest.raises(ConfigError, match=r"PPOCfg\.\w+ = ") as caught:
        PPOCfg().replace(**{name: value}).validate()
    shared = "share_policy_value_features"
    assert name in str(caught.value) or shared in str(caught.value)
    assert isinstance(caught.value, ValueError)


RIGHT = [
    *((name, 0.0) for name in NOT_NEGATIVE),
    *((name, value) for name in ("discount_factor", "lambda_param") for value in (0, 1.0)),
    ("initial_log_std", -1.0),
    ("seed", 0),
    ("seed", 2**32 - 1),
    ("mini_batches", 16 * 2048),
    ("check_point_interval", 1),
    ("max_env_steps", 1),
]


@pytest.mark.parametrize(("name", "value"), RIGHT)
def test_what_can(name, value):
    PPOCfg().replace(**{name: value}).validate()


def test_different_networks_are_not_shared():
    cfg = PPOCfg(policy_hidden_layer_sizes=(32,), share_policy_value_features=False)
    cfg.validate()


def test_replace_copies_and_knows_its_fields():
    cfg = PPOCfg()
    assert cfg.replace(num_envs=4).num_envs == 4
    assert cfg.num_envs == 2048
    assert type(cfg.replace()) is PPOCfg
    with pytest.raises(TypeError, match="num_env"):
        cfg.replace(num_env=4)


STEPS = st.integers(1, 10**12)
COUNT = st.integers(1, 10**5)


@given(max_env_steps=STEPS, num_envs=COUNT, rollouts=COUNT, interval=COUNT)
def test_lengths_are_whole_rollouts_and_never_zero(max_env_steps, num_envs, rollouts, interval):
    cfg = PPOCfg(
        max_env_steps=max_env_steps,
        num_envs=num_envs,
        rollouts=rollouts,
        check_point_interval=interval,
    )
    steps = cfg.max_batch_env_steps
    assert steps >= rollouts
    assert steps % rollouts == 0
    if steps > rollouts:
        assert abs(steps * num_envs - max_env_steps) <= rollouts * num_envs / 2 * (1 + 1e-9)
    assert interval <= cfg.checkpoint_steps < interval + rollouts
    assert cfg.checkpoint_steps % rollouts == 0


def test_a_run_shorter_than_one_interval_trains():
    cfg = PPOCfg(max_env_steps=100_000, num_envs=2048)
    assert cfg.max_batch_env_steps == 64
    assert BaseRLCfg(max_env_steps=10, num_envs=2048).max_batch_env_steps == 1


def test_every_preset_is_valid():
    for preset in registry.default.presets():
        backend = preset.backend or "torch"
        cfg = registry.default_rl_cfg(preset.env_name, preset.rllib, backend, preset.algo)
        cfg.validate()


def test_a_preset_for_all_backends_shares_no_features():
    # Only torch can share them; a preset for both must not ask for it.
    for preset in registry.default.presets():
        if preset.backend is None and preset.algo == "ppo":
            cfg = registry.default_rl_cfg(preset.env_name, preset.rllib, "jax")
            assert not cfg.share_policy_value_features


def test_a_variant_says_only_what_differs():
    @dataclass
    class Variant(PPOCfg):
        rollouts: int = 16

    assert Variant().rollout_steps == 16
    assert Variant().learning_rate == PPOCfg().learning_rate
