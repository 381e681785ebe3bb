"""One mini-batch of PPO: torch, JAX, machine code and the reference come to the same numbers."""

import functools
import itertools

import jax
import numpy as np
import pytest
import torch
from gymnasium import spaces
from motrix_rl.engine import reference
from motrix_rl.engine.actor_critic import ActorCritic
from motrix_rl.engine.draws import Draws
from motrix_rl.engine.loss import adam_scales
from motrix_rl.engine.native import NativeLearner
from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module import RLModuleSpec, states
from motrix_rl.rl_module.frameworks import ppo_module
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl_jax.engine import FlaxLearner
from motrix_rl_torch.engine import TorchLearner

pytestmark = [pytest.mark.torch, pytest.mark.jax]

SIZE, ROWS = 48, 12
OBS, STATE, MOVE = (spaces.Box(-9, 9, (n,), np.float32) for n in (5, 3, 2))
CASES = {
    "separate": {},
    "shared": {"share": True},
    "privileged": {"state": True},
    "no value clip": {"clip_predicted_values": False},
    "narrow clips": {"value_clip": 0.02, "ratio_clip": 0.02},
    "entropy": {"entropy_loss_scale": 0.3, "grad_norm_clip": 0.0},
    "tight norm clip": {"grad_norm_clip": 1e-3},
    "all at once": {"share": True, "entropy_loss_scale": 0.1, "value_clip": 0.05},
}
by_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def learners(share=False, state=False, **changes):
    """Return the config, and a learner of torch, of JAX and of none, all with equal weights."""
    cfg = PPOCfg(learning_epochs=3, mini_batches=4, rollouts=4, num_envs=ROWS, **changes)
    options = {
        "fcnet_hiddens": [8, 7],
        "vf_fcnet_hiddens": [8, 7],
        "fcnet_activation": "elu",
        "vf_share_layers": share,
        "free_log_std": True,
        "initial_log_std": -0.3,
        "normalize_observations": True,
        "seed": 3,
    }
    made = []
    for framework in ("torch", "jax", "torch"):
        spec = RLModuleSpec(ppo_module(framework), OBS, MOVE, model_config_dict=options)
        spec.state_space = STATE if state else None
        module = spec.build()
        module.update_normalizer(*seen(state))
        made.append(module)
    device = jax.devices("cpu")[0]
    return (
        cfg,
        TorchLearner(made[0], cfg, torch.device("cpu")),
        FlaxLearner(made[1], cfg, device),
        NativeLearner(made[2], cfg, ActorCritic.of(made[2])),
    )


def seen(state):
    draw = np.random.default_rng(4).normal
    return draw(1, 2, (90, 5)), draw(-1, 3, (90, 3)) if state else None


def samples(learner, state=False):
    """Return a rollout as the module itself would have acted, a little out of date."""
    draw = np.random.default_rng(7).normal
    obs = draw(1, 2, (SIZE, 5)).astype(np.float32)
    privileged = draw(-1, 3, (SIZE, 3)).astype(np.float32) if state else None
    parts = [
        learner.act(obs[i : i + ROWS], None if privileged is None else privileged[i : i + ROWS], n)
        for i, n in zip(
            range(0, SIZE, ROWS), draw(size=(4, ROWS, 2)).astype(np.float32), strict=True
        )
    ]
    actions, log_probs = (np.concatenate(column) for column in zip(*parts, strict=True))
    values = learner.values(obs, privileged)
    columns = {
        "obs": obs,
        "actions": actions,
        "log_probs": log_probs + draw(0, 0.1, SIZE),
        "values": values + draw(0, 0.1, SIZE),
        "advantages": draw(size=SIZE),
        "targets": draw(size=SIZE),
    }
    columns |= {} if privileged is None else {"state": privileged}
    return {name: np.asarray(array, np.float32) for name, array in columns.items()}


def weights(learner):
    learner.publish()
    return {k: np.array(v) for k, v in states.flatten(learner.module.get_state()).items()}


@by_case
def test_one_mini_batch(case):
    cfg, *all_three = learners(**case)
    ours, *others = (samples(learner, case.get("state", False)) for learner in all_three)
    for name, column in ours.items():
        for theirs in others:
            np.testing.assert_allclose(theirs[name], column, rtol=1e-4, atol=1e-5, err_msg=name)
    start, rate = weights(all_three[0]), 1e-3
    losses, gradient, log_probs = reference.loss_and_gradient(start, ours, cfg)
    assert 0.05 < np.abs(log_probs - ours["log_probs"]).max() < 0.6, "the noise of `samples`"
    gradient = reference.clipped(gradient, cfg.grad_norm_clip)
    zeros = {path: np.zeros_like(array) for path, array in gradient.items()}
    expected, mean, variance = reference.adam_step(start, gradient, zeros, zeros, 1, rate)
    for learner in all_three:
        learner.load(ours)
        order = np.arange(SIZE, dtype=np.int32)[None]
        parts, taken = learner.run_epoch(order, np.array([adam_scales(1, rate)]))
        assert taken.tolist() == [True]
        told = {name: float(values[0]) for name, values in parts.items()}
        wanted = losses if cfg.entropy_loss_scale else {k: losses[k] for k in told}
        assert told == pytest.approx(wanted, rel=2e-5, abs=2e-6)
        moments, after = learner.moments(), weights(learner)
        assert moments.keys() == {f"{n}/{k}" for n in ("mean", "variance") for k in gradient}
        for path, slope in gradient.items():
            known = np.abs(slope) > 1e-6
            assert known.any(), path
            pairs = (
                (moments[f"mean/{path}"], mean[path], 1e-7),
                (moments[f"variance/{path}"], variance[path], 1e-12),
                (after[path][known], expected[path][known], 2e-6),
            )
            for found, right, atol in pairs:
                np.testing.assert_allclose(found, right, rtol=3e-4, atol=atol, err_msg=path)
            assert not np.array_equal(after[path], start[path])


@pytest.mark.parametrize(("schedule", "limit"), [("kl", 0.0), ("linear", 0.006), ("fixed", 0.0)])
def test_whole_updates_stay_together(schedule, limit):
    """Two rollouts of three epochs: weights, learning rate, steps, normaliser, what is told."""
    _, *all_three = learners(
        learning_rate_schedule=schedule,
        learning_rate_scheduler_kl_threshold=0.002,
        kl_threshold=limit,
    )
    ours, *others = all_three
    batch, told = samples(ours), {}
    draws = Draws(ours.module, 5, ROWS, SIZE, 3)
    for learner, update in itertools.product(all_three, range(2)):
        targets = learner.targets(batch["targets"].astype(np.float64) * 3 + 1)
        order = functools.partial(draws.order, update)
        told[learner] = learner.update({**batch, "targets": targets}, order, update / 2)
    assert (ours.steps < 2 * 3 * 4) == (limit > 0)
    expected = {"kl": 1e-3 / 1.5**6, "linear": 5e-4, "fixed": 1e-3}
    assert ours.rate == pytest.approx(expected[schedule])
    for theirs in others:
        assert (theirs.steps, theirs.rate) == (ours.steps, ours.rate)
        assert theirs.value_moments == ours.value_moments
        assert told[theirs].keys() == told[ours].keys()
        for name, values in told[ours].items():
            found = told[theirs][name]
            np.testing.assert_allclose(found, values, rtol=1e-3, atol=1e-4, err_msg=name)
        found = weights(theirs)
        for path, array in weights(ours).items():
            np.testing.assert_allclose(found[path], array, rtol=1e-3, atol=1e-4, err_msg=path)


def test_a_stop_leaves_the_weights_alone():
    _, *all_three = learners(kl_threshold=1e-6)
    batch = samples(all_three[0])
    for learner in all_three:
        before = weights(learner)
        learner.load(batch)
        parts, taken = learner.run_epoch(
            np.arange(SIZE, dtype=np.int32).reshape(4, -1), learner._scales()
        )
        assert taken.tolist() == [False]
        assert len(parts["kl"]) == 1
        assert parts["kl"][0] > 1e-6
        assert all(np.array_equal(array, before[k]) for k, array in weights(learner).items())
        learner.update(batch, lambda epoch: np.arange(SIZE, dtype=np.int32), 0.0)
        assert learner.steps == 0


def test_a_learner_goes_on_in_the_other_framework():
    """Names and layout of a learner's state are the same in all."""
    _, ours, theirs, without = learners()
    batch = samples(ours)
    order = np.arange(SIZE, dtype=np.int32)
    ours.update(batch, lambda epoch: order, 0.0)
    for learner in (theirs, without):
        learner.module.set_state(ours.module.get_state())
    theirs = FlaxLearner(theirs.module, theirs.cfg, jax.devices("cpu")[0])
    without = NativeLearner(without.module, without.cfg, without.networks)
    for learner in (theirs, without):
        learner.set_state(ours.get_state())
        for name, array in ours.get_state().items():
            np.testing.assert_array_equal(learner.get_state()[name], array, err_msg=name)
    for learner in (ours, theirs, without):
        learner.update(batch, lambda epoch: order, 0.0)
    for path, array in weights(ours).items():
        for learner in (theirs, without):
            found = weights(learner)[path]
            np.testing.assert_allclose(found, array, rtol=1e-3, atol=2e-5, err_msg=path)


def test_the_state_of_another_learner_is_refused():
    _, *all_three = learners()
    for learner in all_three:
        state = learner.get_state()
        del state["adam/mean/pi/log_std"]
        with pytest.raises(CheckpointError, match="adam/mean/pi/log_std is missing or too much"):
            learner.set_state(state)


def test_the_value_normaliser():
    _, learner, *_ = learners()
    rng = np.random.default_rng(0)
    returns = [rng.normal(30, 4, (4, ROWS)) for _ in range(2)]
    targets = [learner.targets(one) for one in returns][-1]
    together = np.concatenate(returns)
    np.testing.assert_allclose(learner.value_moments["mean"], together.mean())
    np.testing.assert_allclose(learner.value_moments["variance"], together.var())
    np.testing.assert_allclose(learner.in_reward_units(targets), returns[1], rtol=1e-5)
