"""NpEnv: a batch of environments in NumPy over the simulation seam."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from motrix_envs import registry
from motrix_envs.base import ABEnv, ActionSpace, EnvCfg
from motrix_envs.errors import ConfigError, ModelError, show
from motrix_envs.np.actions import legal_actions
from motrix_envs.np.state import (
    NpEnvState,
    StateError,
    all_finite,
    by_name,
    checked,
    flatten,
    joined,
    layout,
    unflatten,
    with_rows,
    write_rows,
)
from motrix_envs.rng import RowStreams
from motrix_envs.sim import Model, Simulation
from motrix_envs.sim.memory import check_batch, check_memory
from motrix_envs.sim.viewer import Camera

__all__ = ["Camera", "NpEnv"]

ZERO = np.float32(0)


class NpEnv(ABEnv):
    """A batch of environments that step together and reset by themselves.

    An author names the parts, in this order: `setup` declares what is read from the simulation;
    *readers* are small methods of the author's own that name quantities; `apply_action` sets the
    controls; `reset` starts episodes; `observe`, `rewards` and `terminate` say what is seen,
    earned and lost. `step` calls them, and looks after time limits, divergence, final
    observations and resets.

    Parts work on all rows at once and never mix them: a row's numbers must not depend on how many
    others there are. They return new arrays and keep memory in `state.info` alone.
    `update_state` may be overridden whole where parts do not fit.

    Args:
        cfg: Configuration, validated.
        num_envs: Number of copies.
        seed: Key of every random draw; None draws one from the operating system.
        engine: Class of the simulation; None takes the default engine.
        row_offset: Number of the first row, for processes that share one numbering.

    Attributes:
        episode_limit: Steps until an episode is cut off, None for never; a training may lower it.
    """

    camera: ClassVar[Camera] = Camera()
    success_metric: ClassVar[str] = "the episode lasts until the time limit"

    def __init__(
        self,
        cfg: EnvCfg,
        num_envs: int = 1,
        *,
        seed: int | None = None,
        engine: type[Simulation] | None = None,
        row_offset: int = 0,
    ) -> None:
        check_batch(num_envs)
        engine = engine or registry.default.simulation_class(None)
        self._cfg = cfg
        self._num_envs = num_envs
        self.seed = secrets.randbits(32) if seed is None else seed
        self.streams = RowStreams(self.seed, num_envs, row_offset)
        model = self.make_model()
        if not isinstance(model, Model):
            raise ModelError(f"make_model() must return a Model, not {show(model)}")
        check_memory(num_envs, lambda rows: engine(model, rows, cfg.sim_dt))
        self.sim = engine(model, num_envs, cfg.sim_dt)
        self.ctrl = np.zeros((num_envs, self.sim.model.num_actuators), np.float32)
        self._state: NpEnvState | None = None
        self._steps = np.zeros(num_envs, np.uint64)
        self.episode_limit = cfg.max_episode_steps
        self.setup()

    # What an author writes

    def make_model(self) -> Model:
        """Return the model; by default the file that the configuration names."""
        if self._cfg.model_file is None:
            raise ConfigError(f"{type(self._cfg).__name__}.model_file is not set")
        return Model.from_file(self._cfg.model_file)

    def setup(self) -> None:
        """Declare what is read from the simulation: `self.reads = self.sim.declare(...)`."""

    @abstractmethod
    def apply_action(self, actions: NDArray[Any], state: NpEnvState) -> NpEnvState:
        """Write the controls of this step into `self.ctrl`.

        Args:
            actions: Finite and within the action space: float32 (num_envs, action_dim) of a Box,
                int64 (num_envs,) of Discrete, int64 (num_envs, k) of MultiDiscrete.
            state: The state before the step.
        """

    def init_info(self) -> dict[str, Any]:
        """Return this environment's memory at the start: full-size arrays by name."""
        return {}

    @abstractmethod
    def reset(
        self, data: Simulation, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32] | None, dict[str, Any]]:
        """Start new episodes in some rows: draw their states and call `data.reset`.

        Args:
            data: The simulation.
            rows: Which environments, (k,).

        Returns:
            Their first observations, (k, obs_dim), or None to have `observe` asked; and their
            memory, arrays (k, ...) under the names of `init_info`.
        """

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return the components of the observation in order, (num_envs, k) each.

        Args:
            state: The state so far. `state.info` holds the memory of all rows.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define observe()")

    def observe_privileged(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return what only the critic sees, (num_envs, k) each; nothing by default."""
        return {}

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return the reward terms by name before weighting, (num_envs,) each.

        A term is multiplied by the field of its name in `cfg.reward`, where there is one.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define rewards()")

    def terminate(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Return the rows whose episode is over for good, (num_envs,); none by default."""
        return np.zeros(self._num_envs, bool)

    def metrics(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return numbers worth logging by name, (num_envs,) each; none by default."""
        return {}

    def conventions(self) -> dict[str, Any]:
        """Return what numbers mean beyond names, widths and bounds, as plain JSON values.

        Scale factors of observations, scale and zero of actions, the order of joints: whatever a
        policy must find again to act the same. Part of the contract that is saved with it.
        """
        return {}

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Return whether an episode that ends now is a success, (num_envs,).

        `success_metric` says the same in words. Only rows that end are asked, and diverged ones
        never succeed.
        """
        return state.truncated

    # What everybody uses

    @property
    def cfg(self) -> EnvCfg:
        """The resolved configuration."""
        return self._cfg

    @property
    def num_envs(self) -> int:
        """How many copies step together."""
        return self._num_envs

    @property
    def state(self) -> NpEnvState | None:
        """The state after the last step; None before the first."""
        return self._state

    @property
    def render_spacing(self) -> float:
        """Distance between neighbours in a rendered grid in m."""
        return self._cfg.render_spacing

    @cached_property
    def observation_layout(self) -> dict[str, int]:
        """Names and widths of the observation's components in order."""
        found = layout("observe", self.observe(self._blank_state()), self._num_envs)
        if not found:
            raise StateError(f"{type(self).__name__}.observe() returns nothing to see")
        return found

    @cached_property
    def state_layout(self) -> dict[str, int]:
        """Names and widths of the privileged components in order; empty if there are none."""
        components = self.observe_privileged(self._blank_state())
        return layout("observe_privileged", components, self._num_envs)

    @cached_property
    def observation_space(self) -> gymnasium.spaces.Box:
        """Unbounded box of one row's observation."""
        return _unbounded(self.observation_layout)

    @cached_property
    def state_space(self) -> gymnasium.spaces.Box | None:
        """Unbounded box of one row's privileged observation, or None."""
        return _unbounded(self.state_layout) if self.state_layout else None

    def init_state(self) -> NpEnvState:
        """Start all episodes afresh and return the first observations, with zero rewards."""
        self._steps = np.zeros(self._num_envs, np.uint64)
        seen, privileged = self.observation_space, self.state_space  # whose components are checked
        blank = self._blank_state()
        blank.validate(self._num_envs, 0)
        if not isinstance(self.action_space, ActionSpace):
            raise StateError(
                f"{type(self).__name__} needs a Box, Discrete or MultiDiscrete action_space, not "
                f"{show(self.action_space)}"
            )
        state = self._restart(blank, np.arange(self._num_envs))
        state.validate(self._num_envs, seen.shape[0])
        if privileged is not None:
            checked("state", state.info["state"], (self._num_envs, privileged.shape[0]))
        self._state = state
        return state

    def stagger(self) -> NpEnvState:
        """Start all episodes, as if each had a random part of its time limit behind it."""
        state = self.init_state()
        if limit := self.episode_limit:
            passed = self.streams.uniform("stagger", np.arange(self._num_envs), 1, 0.0, limit)
            self._steps = np.minimum(passed[:, 0], limit - 1).astype(np.uint64)
            state.info["steps"] = self._steps
        return state

    def step(self, actions: NDArray[Any]) -> NpEnvState:
        """Advance every row by one control step; rows that end begin their next episode.

        Args:
            actions: One action per row, (num_envs, *action_space.shape). In a Box, values outside
                are clipped, and NaN becomes 0.

        Raises:
            ValueError: The actions have another shape, or a choice does not exist.
        """
        legal = legal_actions(actions, self.action_space, self._num_envs)
        before = self._state or self.init_state()
        state = before.copy()
        state = self._returned("apply_action", self.apply_action(legal, state))
        diverged = self.physics_step()
        self._steps = self._steps + 1
        self.streams.step += 1
        state.reward = np.zeros(self._num_envs, np.float32)
        state.terminated = np.zeros(self._num_envs, bool)
        state.truncated = np.zeros(self._num_envs, bool)
        state = self._returned("update_state", self.update_state(state))
        state = self._settle(state, before, diverged)
        self._state = self._reset_done(state)
        return self._state

    def physics_step(self) -> NDArray[np.bool_]:
        """Advance the physics by one control step; return the diverged rows, (num_envs,)."""
        return self.sim.step(self.ctrl, self._cfg.sim_substeps)

    def update_state(self, state: NpEnvState) -> NpEnvState:
        """Return the state with this step's termination, reward and observation, in this order.

        Rewards and flags are zero and false until then.
        """
        n = self._num_envs
        state.terminated = checked("terminate()", self.terminate(state), (n,), "b")
        state.reward, state.info["Reward"] = self._weigh(by_name("rewards", self.rewards(state), n))
        state.info["metrics"] = by_name("metrics", self.metrics(state), n)
        state.obs = joined(self.observe(state))
        if privileged := self.observe_privileged(state):
            state.info["state"] = joined(privileged)
        return state

    def close(self) -> None:
        """Release the simulation."""
        self.sim.close()

    # How it works

    def _blank_state(self) -> NpEnvState:
        n, memory = self._num_envs, self.init_info()
        if not isinstance(memory, Mapping):
            raise StateError(f"init_info() must return arrays by name, not {show(memory)}")
        return NpEnvState(
            data=self.sim,
            obs=np.zeros((n, 0), np.float32),
            reward=np.zeros(n, np.float32),
            terminated=np.zeros(n, bool),
            truncated=np.zeros(n, bool),
            info={"Reward": {}, "metrics": {}, **memory},
        )

    def _returned(self, part: str, state: NpEnvState | None) -> NpEnvState:
        if state is None:
            raise StateError(f"{type(self).__name__}.{part}() must return the state")
        return state

    def _weigh(
        self, terms: Mapping[str, NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
        """Return the total reward and the weighted terms."""
        weights = self._reward_weights
        weighted = {
            name: np.multiply(term, weights.get(name, 1.0), dtype=np.float32)
            for name, term in terms.items()
        }
        return sum(weighted.values(), start=np.zeros(self._num_envs, np.float32)), weighted

    @cached_property
    def _reward_weights(self) -> dict[str, float]:
        group = getattr(self._cfg, "reward", None)
        return {item.name: getattr(group, item.name) for item in fields(group)} if group else {}

    def _settle(
        self, state: NpEnvState, before: NpEnvState, diverged: NDArray[np.bool_]
    ) -> NpEnvState:
        """Add what no author should have to think of: time limit, divergence, success."""
        if not (all_finite(state.obs) and all_finite(state.reward)):
            finite = np.isfinite(state.obs).all(axis=1) & np.isfinite(state.reward)
            diverged = diverged | ~finite
        if limit := self.episode_limit:
            state.truncated = state.truncated | (self._steps >= limit)
        counted = self._none_diverged
        if np.count_nonzero(diverged):
            self._quarantine(state, before, diverged)
            counted = diverged.astype(np.float32)
        state.truncated = state.truncated & ~state.terminated
        info = state.info
        info["metrics"] = {**info["metrics"], "diverged": counted}
        info["_final_obs"] = state.done
        succeeded = checked("succeeded()", self.succeeded(state), (self._num_envs,), "b")
        info["success"] = succeeded & info["_final_obs"] & ~diverged
        info["steps"] = self._steps
        return state

    @cached_property
    def _none_diverged(self) -> NDArray[np.float32]:
        """What the metric says as long as all is well; shared, hence read-only."""
        zeros = np.zeros(self._num_envs, np.float32)
        zeros.flags.writeable = False
        return zeros

    def _quarantine(
        self, state: NpEnvState, before: NpEnvState, diverged: NDArray[np.bool_]
    ) -> None:
        """Let diverged rows earn nothing and end with the last observation they could trust."""
        info = state.info
        for group in ("Reward", "metrics"):
            info[group] = {k: np.where(diverged, ZERO, term) for k, term in info[group].items()}
        if "state" in info:
            info["state"] = np.where(diverged[:, None], before.info["state"], info["state"])
        state.obs = np.where(diverged[:, None], before.obs, state.obs)
        state.reward = np.where(diverged, ZERO, state.reward)
        state.terminated = state.terminated | diverged

    def _reset_done(self, state: NpEnvState) -> NpEnvState:
        """Keep the final observations and start the next episode of every row that ended."""
        info = state.info
        info["final_obs"] = state.obs
        if "state" in info:
            info["final_state"] = info["state"]
        (rows,) = info["_final_obs"].nonzero()
        return self._restart(state, rows) if len(rows) else state

    def _restart(self, state: NpEnvState, rows: NDArray[np.int64]) -> NpEnvState:
        """Start new episodes in some rows and put what they see into the state."""
        self.streams.episode[rows] += 1
        self.streams.step[rows] = 0
        self._steps = self._steps.copy()
        self._steps[rows] = 0
        match self.reset(self.sim, rows):
            case (obs, dict() as part):
                pass
            case other:
                raise StateError(f"reset() must return (obs or None, dict), not {show(other)}")
        info = state.info
        info["steps"] = self._steps
        write_rows(info, rows, part)
        if privileged := self.observe_privileged(state):
            info["state"] = with_rows(info.get("state"), rows, joined(privileged, rows))
        if obs is None:
            obs = joined(self.observe(state), rows)
        state.obs = with_rows(state.obs if state.obs.size else None, rows, obs)
        return state

    # Snapshots

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return everything the future of the batch depends on, as flat arrays by name.

        Seed and row offset belong to the configuration: a snapshot continues in an environment
        that was made with the same ones.
        """
        state = self._state or self.init_state()
        mine = {name: getattr(state, name) for name in _STATE}
        return flatten(
            {
                "env": {**mine, "steps": self._steps, "ctrl": self.ctrl},
                "info": state.info,
                "sim": self.sim.snapshot(),
                "streams": self.streams.state(),
            }
        )

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> NpEnvState:
        """Return to a snapshot of the same environment; stepping goes on bit for bit.

        Raises:
            SnapshotError: The snapshot is of another engine, version, model or batch size.
        """
        parts = unflatten(snapshot)
        self.sim.restore(parts.get("sim", {}))
        self.streams.restore(parts["streams"])
        mine, blank = parts["env"], self._blank_state()
        self._steps, self.ctrl = mine["steps"], mine["ctrl"]
        self._state = blank.replace(
            **{name: mine[name] for name in _STATE},
            info={**blank.info, **parts.get("info", {})},
        )
        return self._state


_STATE = ("obs", "reward", "terminated", "truncated")


def _unbounded(layout: Mapping[str, int]) -> gymnasium.spaces.Box:
    return gymnasium.spaces.Box(-np.inf, np.inf, (sum(layout.values()),), np.float32)
