"""What is learned from: bootstraps, borders of episodes, scales, and the options of skrl."""

from types import SimpleNamespace

import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_rl.skrl.options import SkrlParts, loop_options, ppo_options

GAMMA, LAMBDA, ROLLOUT = 0.9, 0.8, 9
SHORT = {"mini_batches": 2, "discount_factor": GAMMA, "lambda_param": LAMBDA}


class Enough(Exception):
    """Ends an update once advantages are known."""


class KnownValue:
    """A value function that is 10 times the clock plus the row; a freshly reset row is worth 1000.

    Nothing may ever be bootstrapped from an observation after a reset.
    """

    def act(self, inputs, role):
        obs = inputs["observations"]
        obs = obs[0] if isinstance(obs, tuple) else obs  # JAX sends the module's buffers along
        clock, row = obs[:, :1], obs[:, 1:2]
        return 10 * clock + row + 1000 * (clock == 0), {}

    def enable_training_mode(self, enabled):
        pass


def value(clock, row):
    return 10 * clock + row + 1000 * (clock == 0)


@pytest.fixture
def collect(make_trainer, monkeypatch):
    """Return what a rollout of the clock environment leaves in skrl's memory, as NumPy arrays."""

    def run(rollouts=ROLLOUT, **changes):
        trainer = make_trainer("test-clock", **SHORT, rollouts=rollouts, **changes)
        with trainer._all_seeded(1), trainer._open_env(4, 1, "train") as env:
            wrapped = trainer.wrap(env, None)
            module = trainer.build_module(env, 1)
            agent = trainer.make_agent(module, wrapped, SimpleNamespace(record=lambda: None))
            agent.init()
            agent.enable_training_mode(True)
            agent.value = KnownValue()
            monkeypatch.setattr(agent, "_value_preprocessor", agent._empty_preprocessor)
            _roll(agent, wrapped, rollouts)
            monkeypatch.setattr(agent.memory, "sample", _enough)
            with pytest.raises(Enough):
                agent.update(timestep=rollouts, timesteps=rollouts)
            names = ("rewards", "terminated", "truncated", "values", "returns")
            return {name: _numpy(agent.memory.get_tensor_by_name(name)) for name in names}

    return run


def _numpy(tensor):
    return np.array(tensor)[:, :, 0].astype(float)


def _roll(agent, wrapped, rollouts):
    observations, _ = wrapped.reset()
    for step in range(rollouts):
        clock = {"timestep": step, "timesteps": rollouts}
        actions, _ = agent.act(observations, None, **clock)
        following, rewards, terminated, truncated, infos = wrapped.step(
            actions.detach() if hasattr(actions, "detach") else actions
        )
        agent.record_transition(
            observations=observations,
            states=None,
            actions=actions.detach() if hasattr(actions, "detach") else actions,
            rewards=rewards,
            next_observations=following,
            next_states=None,
            terminated=terminated,
            truncated=truncated,
            infos=infos,
            **clock,
        )
        observations = following


def _enough(*_args, **_kwargs):
    raise Enough


def clocks():
    """Return the clock after each step, (ROLLOUT, 4), and which steps terminate or truncate."""
    steps = np.arange(ROLLOUT)[:, None]
    length = np.array([4, 3, 4, 3])
    clock = steps % length + 1
    ends = clock == length
    odd = np.array([False, True, False, True])
    return clock, ends & odd, ends & ~odd


def reference(scale, bootstrap):
    """Return rewards and lambda-returns by the textbook (Schulman et al. 2016), in float64."""
    clock, terminated, truncated = clocks()
    rows = np.arange(4)
    rewards = scale * (clock + rows)
    values = value(clock - 1, rows)
    lost = terminated if bootstrap else terminated | truncated
    following = np.where(lost, 0.0, value(clock, rows))  # of the observation before any reset
    advantages, advantage = np.zeros_like(following), 0.0
    for step in reversed(range(ROLLOUT)):
        going_on = ~(terminated | truncated)[step]
        delta = rewards[step] + GAMMA * following[step] - values[step]
        advantage = delta + GAMMA * LAMBDA * going_on * advantage
        advantages[step] = advantage
    return rewards, advantages + values


@pytest.mark.parametrize("bootstrap", [True, False])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_returns_at_the_borders_of_episodes(collect, bootstrap, scale):
    memory = collect(time_limit_bootstrap=bootstrap, rewards_shaper_scale=scale)
    clock, terminated, truncated = clocks()
    rewards, returns = reference(scale, bootstrap)
    extra = GAMMA * value(clock, np.arange(4)) * truncated if bootstrap else 0 * truncated
    np.testing.assert_allclose(memory["rewards"], rewards + extra, rtol=1e-6)
    np.testing.assert_allclose(memory["returns"], returns, rtol=1e-5)
    np.testing.assert_array_equal(memory["truncated"], truncated)
    ends = terminated if bootstrap else terminated | truncated
    np.testing.assert_array_equal(memory["terminated"], ends)


def test_the_last_step_of_a_rollout_may_be_a_time_limit(collect):
    """Nine steps end in the middle of an episode, eight of them at the limit of the even rows."""
    clock, _, truncated = clocks()
    assert truncated[7].any()
    assert not truncated[8].any()
    memory = collect(rollouts=8)
    assert memory["truncated"][7].tolist() == [1, 0, 1, 0]
    even = value(clock[7], np.arange(4))[[0, 2]] * GAMMA
    plain = (clock[7] + np.arange(4))[[0, 2]]
    np.testing.assert_allclose(memory["rewards"][7, [0, 2]], plain + even, rtol=1e-6)
    np.testing.assert_allclose(memory["returns"][7, [0, 2]], plain + even, rtol=1e-5)


# Options


@pytest.fixture
def options(make_trainer):
    def make(**changes):
        trainer = make_trainer(**changes)
        env = SimpleNamespace(
            observation_space="obs", state_space=None, action_space="act", device="cpu"
        )
        return ppo_options(trainer.cfg, trainer.parts, env)

    return make


def test_clip_predicted_values_switches_the_value_clip(options):
    assert options(value_clip=0.3)["value_clip"] == 0.3
    assert options(value_clip=0.3, clip_predicted_values=False)["value_clip"] == 0


def test_no_threshold_no_schedule(options):
    assert "learning_rate_scheduler" not in options(learning_rate_scheduler_kl_threshold=0.0)
    kwargs = options(learning_rate_scheduler_kl_threshold=0.02)["learning_rate_scheduler_kwargs"]
    assert kwargs == {"kl_threshold": 0.02}


def test_every_option_is_one_of_skrl(trainer_class, make_trainer):
    trainer = make_trainer(rewards_shaper_scale=0.1)
    assert isinstance(trainer.parts, SkrlParts)
    with trainer._open_env(4, 1, "train") as env:
        wrapped = trainer.wrap(env, None)
        cfg = trainer.parts.cfg(**ppo_options(trainer.cfg, trainer.parts, wrapped))
    cfg.expand()
    assert cfg.rewards_shaper(5.0, 0, 0) == 0.5
    assert cfg.gae_lambda == trainer.cfg.lambda_param


def test_the_loop_neither_closes_nor_logs_by_itself():
    options = loop_options(32, render=False)
    assert options["timesteps"] == 32
    assert options["headless"]
    assert not options["close_environment_at_exit"]
    assert loop_options(1, render=True)["headless"] is False


def test_the_training_stream_is_not_the_seed_itself(make_trainer):
    trainer = make_trainer()
    with trainer._open_env(1, 1, "train") as env:
        assert env.seed not in (0, 1)
    assert envs.contains("test-clock")
