"""What an environment promises about actions, ends of episodes and rewards."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from motrix_envs.np.env import NpEnv
from motrix_envs.testing.case import EnvCase
from motrix_envs.testing.rollout import (
    Arrays,
    extreme_actions,
    first_difference,
    identical,
    random_actions,
    run_of,
    steps_of,
)

ABSURD_SPEED = 1e12  # m/s or rad/s: an engine that takes this for physics is broken

PUBLIC = {"info/final_obs", "info/final_state", "info/state", "info/steps"}
"""What is known of every row; other arrays in `info` are the environment's own memory."""


class BehaviourTests(EnvCase):
    """One test for each promise about a step."""

    # Actions

    def test_survives_random_actions(self, name: str) -> None:
        """Everything stays finite under random actions."""
        env = self.make(name, self.short(name, 3 * self.steps))
        self._require_finite(run_of(env, random_actions(env, 2 * self.steps)), "random")
        env.close()

    def test_survives_extreme_actions(self, name: str) -> None:
        """Everything stays finite when actions rest at their limits."""
        env = self.make(name, self.short(name, 3 * self.steps))
        self._require_finite(run_of(env, extreme_actions(env, 2 * self.steps)), "extreme")
        env.close()

    def test_survives_nan_actions(self, name: str) -> None:
        """Everything stays finite when a policy has become NaN or infinite."""
        env = self.make(name, self.short(name))
        actions = random_actions(env, self.steps).copy()
        actions[:, 0], actions[1::2, 1], actions[::2, 2] = np.nan, np.inf, -1e30
        self._require_finite(run_of(env, actions), "NaN and infinite")
        env.close()

    def _require_finite(self, run: list[Arrays], kind: str) -> None:
        private = {name for name in run[-1] if name.startswith("info/")} - PUBLIC
        for step, arrays in enumerate(run):
            for name, array in arrays.items():
                if name in private and not name.startswith(("info/Reward/", "info/metrics/")):
                    continue  # the environment's own memory
                assert np.isfinite(array).all(), (
                    f"{name} is {array} after {step} steps of {kind} actions: bound it where it is "
                    "computed, or terminate the row"
                )

    def test_actions_are_made_legal(self, name: str) -> None:
        """Actions beyond their limits act like the limits, NaN like 0; no such choice raises."""
        given, legal = self.make(name, self.short(name)), self.make(name, self.short(name))
        space = given.action_space
        if not isinstance(space, spaces.Box):
            _require_no_such_choice(given)
            legal.close()
            return
        wild = random_actions(given, self.steps).copy()
        wild[:, 0], wild[:, 1], wild[:, 2] = np.nan, np.inf, space.low - 1
        tame = wild.copy()
        tame[:, 0], tame[:, 1], tame[:, 2] = space.low * 0, space.high, space.low
        tame = np.clip(tame, space.low, space.high)
        difference = first_difference(run_of(given, wild), run_of(legal, tame))
        assert not difference, (
            f"illegal actions are not clipped ({difference}): leave step() to NpEnv and use the "
            "actions that apply_action() receives"
        )
        given.close()
        legal.close()

    # Ends of episodes

    def test_time_limit(self, name: str) -> None:
        """Rows that did not terminate are truncated at the time limit, not before and not after.

        `info["steps"]` counts the steps of the episode.
        """
        env = self.make(name, self.short(name))
        env.init_state()
        age = np.zeros(env.num_envs, int)
        for action in random_actions(env, self.steps):
            state = env.step(action)
            age += 1
            due = (age >= self.episode_steps) & ~state.terminated
            assert np.array_equal(state.truncated, due), (
                f"the time limit is {self.episode_steps} steps; of rows {age.tolist()} steps old "
                f"{state.truncated.tolist()} are truncated: leave time limits to NpEnv"
            )
            age[state.done] = 0
            assert np.array_equal(state.info["steps"], age), (
                f"info['steps'] is {state.info['steps']} where {age} steps were made since the "
                "episode began: rows that end must begin their next episode in the same step"
            )
        env.close()

    def test_truncated_only_without_terminated(self, name: str) -> None:
        """A row that terminates is not truncated too, at the time limit either."""
        for limit in (1, self.episode_steps, 3 * self.steps):
            env = self.make(name, self.short(name, limit))
            for arrays in run_of(env, extreme_actions(env, 2 * self.steps)):
                both = arrays["terminated"] & arrays["truncated"]
                assert not both.any(), (
                    f"rows {np.flatnonzero(both)} are terminated and truncated at once: leave "
                    "truncation to NpEnv; terminate() says where nothing more can be earned"
                )
            env.close()

    def test_rows_that_end_start_again(self, name: str) -> None:
        """The observation of a row that ended belongs to its next episode, in the same step."""
        env = self.make(name, self.short(name))
        ended = 0
        for arrays in run_of(env, random_actions(env, self.steps))[1:]:
            done = arrays["terminated"] | arrays["truncated"]
            ended += int(done.sum())
            assert np.array_equal(arrays["info/_final_obs"], done), (
                "info['_final_obs'] must be true exactly where an episode ended"
            )
            for row in np.flatnonzero(done):
                assert not identical(arrays["obs"][row], arrays["info/final_obs"][row]), (
                    f"row {row} ended and still shows its last observation: reset() must put the "
                    "rows that it is given into a new state, by data.reset(rows, ...)"
                )
        assert ended, f"no episode ended within {self.steps} steps, though the limit is shorter"
        env.close()

    def test_final_observations(self, name: str) -> None:
        """`info["final_obs"]` is what a row would have seen if its time were not up."""
        limit = self.episode_steps
        env = self.make(name, self.short(name, limit))
        longer = self.make(name, self.short(name, 2 * limit))
        *before, last = run_of(env, random_actions(env, limit))
        *longer_before, on = run_of(longer, random_actions(longer, limit))
        alone = last["truncated"] & ~(on["terminated"] | on["truncated"])
        seen_alike = all(
            identical(a["obs"], b["obs"]) for a, b in zip(before, longer_before, strict=True)
        )
        if seen_alike:  # otherwise the time limit itself is observed
            assert identical(last["info/final_obs"][alone], on["obs"][alone]), (
                f"final_obs is {last['info/final_obs'][alone]}; without the time limit the rows "
                f"would have seen {on['obs'][alone]}: let NpEnv keep it, before the reset"
            )
        env.close()
        longer.close()

    def test_divergence_ends_the_episode(self, name: str) -> None:
        """A row whose physics explodes terminates with reward 0, and no other row notices."""
        env, twin = self.make(name), self.make(name)
        action, sick = random_actions(env, 1)[0], 1
        for each in (env, twin):
            each.init_state()
        speed = np.full((1, env.sim.model.num_velocities), ABSURD_SPEED, np.float32)
        env.sim.reset(np.array([sick]), env.sim.model.default_positions[None], speed)
        [found], [healthy] = steps_of(env, [action]), steps_of(twin, [action])
        assert found["terminated"][sick], (
            "the physics of a row exploded and its episode goes on: leave the rows that "
            "physics_step() returns to NpEnv"
        )
        assert found["reward"][sick] == 0, "a row whose physics exploded earns something"
        self._require_finite([found], "ordinary")
        rest = np.arange(env.num_envs) != sick
        assert identical(found["obs"][rest], healthy["obs"][rest]), (
            "other rows change when one explodes: do not mix rows"
        )
        env.close()
        twin.close()

    # Rewards

    def test_reward_terms(self, name: str) -> None:
        """The weighted terms in `info["Reward"]` add up to the reward; their names stay."""
        env = self.make(name, self.short(name))
        names: set[str] = set()
        for arrays in run_of(env, random_actions(env, self.steps))[1:]:
            terms = {k: v for k, v in arrays.items() if k.startswith("info/Reward/")}
            assert terms, "rewards() names no term: return {'alive': ...} with one at least"
            names = names or set(terms)
            assert names == set(terms), f"the terms change: {sorted(names ^ set(terms))}"
            for title, term in terms.items():
                assert term.shape == (env.num_envs,), f"{title} has shape {term.shape}"
            total = np.sum(list(terms.values()), axis=0, dtype=np.float64)
            scale = np.sum(np.abs(list(terms.values())), axis=0, dtype=np.float64)
            assert (np.abs(total - arrays["reward"]) <= 1e-5 * (1 + scale)).all(), (
                f"the terms add up to {total}, but the reward is {arrays['reward']}: make the "
                "rest a term of rewards() too"
            )
        env.close()


def _require_no_such_choice(env: NpEnv) -> None:
    legal = random_actions(env, 1)[0]
    for illegal in (legal + 10**6, legal - 10**6, legal + 0.5):
        try:
            env.step(illegal)
        except ValueError:
            continue
        raise AssertionError(
            f"the choices {illegal} do not exist, and step() took them: leave step() to NpEnv"
        )
    env.close()
