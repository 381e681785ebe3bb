"""Every environment for Gymnasium: as a vector environment, and as a single one.

    gymnasium.make_vec("motrix_envs:motrix/cartpole", num_envs=8)
    gymnasium.make("motrix_envs:motrix/cartpole")

Both take further keyword arguments: `sim_backend` and `env_cfg_override` as `registry.make` does,
`seed`, and `render_mode` (`"rgb_array"` or `"human"`). The time limit is that of the configuration;
Gymnasium adds none.

The first form steps all rows at once and is the fast one. Gymnasium's own way of vectorising works
too, one process for each environment: `vectorization_mode="async"` with
`vector_kwargs={"context": "spawn"}`, because a physics engine does not survive a fork.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from motrix_envs import registry
from motrix_envs._gymnasium import register_all
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from motrix_envs.np.renderer import NpRenderer
from motrix_envs.np.state import NpEnvState
from motrix_envs.rng import RowStreams

__all__ = ["MotrixEnv", "MotrixVectorEnv", "register_all"]

METADATA: dict[str, Any] = {"render_modes": ["human", "rgb_array"]}
DRAWN_ENVS = 16  # more of them would be too small to see

Array = NDArray[Any]
Info = dict[str, Any]


class MotrixVectorEnv(VectorEnv[Array, Array, Array]):
    """A batch of environments as Gymnasium's vector environment.

    Rows that end begin their next episode in the same step, as the metadata says. What they saw
    last is in `infos["final_obs"]` and what is known of that step in `infos["final_info"]`, in
    rows where `infos["_final_obs"]` is true; the keys are there when at least one row ends.

    `infos` holds `Reward` (weighted reward terms), `metrics` and `success` of the step, `steps`
    (control steps since the episode began) and, if the environment has one, `state` (privileged
    observation); each key has its mask `_key`. An array belongs to the caller.

    Args:
        name: An id of the motrix registry.
        num_envs: Number of copies.
        sim_backend: See `registry.make`.
        env_cfg_override: See `registry.make`.
        seed: Key of every random draw, until `reset` gives another.
        render_mode: None, `"rgb_array"` or `"human"`; draws the first environments in a grid.

    Raises:
        MotrixError: As `registry.make` does.
        ConfigError: There is no such render mode.
    """

    metadata = METADATA | {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(
        self,
        name: str,
        num_envs: int = 1,
        sim_backend: str | None = None,
        env_cfg_override: Mapping[str, Any] | None = None,
        seed: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        _check_render_mode(render_mode)
        self.np_env = registry.make(name, sim_backend, env_cfg_override, num_envs, seed)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": _fps(self.np_env)}
        # Copies: a space has a random stream, and the environment's may belong to its class.
        self.single_observation_space = copy.deepcopy(self.np_env.observation_space)
        self.single_action_space = copy.deepcopy(self.np_env.action_space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._picture = _Picture(self.np_env, render_mode)
        super().reset(seed=self.np_env.seed)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, Info]:
        """Start all episodes afresh.

        Args:
            seed: Key of every random draw from now on: the same seed gives the same episodes.
                None goes on with the next episodes of the present key.
            options: There are none.

        Returns:
            First observations, (num_envs, obs_dim), and infos.

        Raises:
            ConfigError: An option is given.
            gymnasium.error.Error: The seed is not an integer >= 0.
        """
        super().reset(seed=seed)
        state = _restart(self.np_env, seed, options)
        self._picture.follow()
        return state.obs.copy(), _masked(_of_episode(state), np.ones(self.num_envs, bool))

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, Info]:
        """Advance every row by one control step.

        Args:
            actions: (num_envs, action_dim); clipped to the action space.

        Returns:
            Observations (num_envs, obs_dim), rewards, terminations and truncations (num_envs,),
            infos. Rows that ended show the first observation of their next episode.

        Raises:
            ValueError: The actions have another shape.
            gymnasium.error.ResetNeeded: There was no `reset` yet.
        """
        length = _steps(self.np_env) + 1
        state = self.np_env.step(actions)
        self._picture.follow()
        return (
            state.obs.copy(),
            state.reward.copy(),
            state.terminated.copy(),
            state.truncated.copy(),
            self._infos(state, length),
        )

    def _infos(self, state: NpEnvState, length: NDArray[np.int64]) -> Info:
        """Return what SyncVectorEnv would make of the infos of single environments."""
        done, all_rows = state.done, np.ones(self.num_envs, bool)
        infos = _masked(_of_step(state), ~done) | _masked(_of_episode(state), all_rows)
        if done.any():
            final_obs = np.full(self.num_envs, None, object)
            for row in np.flatnonzero(done):
                final_obs[row] = state.info["final_obs"][row].copy()
            infos |= {"final_obs": final_obs, "_final_obs": done}
            infos |= {"final_info": _masked(_of_end(state, length), done)}
            infos |= {"_final_info": done.copy()}
        return infos

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return one picture of the first environments in a grid, (height, width, 3) in a tuple.

        In mode `"human"` the window is drawn by `step` and `reset`, and this returns None.

        Raises:
            RenderError: There is no graphics driver; the message says what to install.
        """
        frame = self._picture.frame()
        return None if frame is None else (frame,)

    def close_extras(self, **kwargs: Any) -> None:
        """Release window and simulation; called once, by `close`."""
        self._picture.close()
        self.np_env.close()


class MotrixEnv(gymnasium.Env[Array, Array]):
    """One environment as Gymnasium's ordinary one: row 0 of a vector environment.

    With the same seed and actions it goes through the same episodes as row 0 of
    `MotrixVectorEnv`. `info` has the same keys, without masks. After the last step of an episode
    `render` shows the start of the next one already.

    Args:
        name: An id of the motrix registry.
        sim_backend: See `registry.make`.
        env_cfg_override: See `registry.make`.
        seed: Key of every random draw, until `reset` gives another.
        render_mode: None, `"rgb_array"` or `"human"`.

    Raises:
        MotrixError: As `registry.make` does.
        ConfigError: There is no such render mode.
    """

    metadata = METADATA

    def __init__(
        self,
        name: str,
        sim_backend: str | None = None,
        env_cfg_override: Mapping[str, Any] | None = None,
        seed: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        _check_render_mode(render_mode)
        self.np_env = registry.make(name, sim_backend, env_cfg_override, 1, seed)
        self.render_mode = render_mode
        self.metadata = {**self.metadata, "render_fps": _fps(self.np_env)}
        self.observation_space = copy.deepcopy(self.np_env.observation_space)
        self.action_space: gymnasium.Space[Any] = copy.deepcopy(self.np_env.action_space)
        self._picture = _Picture(self.np_env, render_mode)
        self._next: NpEnvState | None = None  # an episode that has begun by itself
        super().reset(seed=self.np_env.seed)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, Info]:
        """Start an episode.

        Args:
            seed: Key of every random draw from now on: the same seed gives the same episodes.
                None goes on with the next episode of the present key.
            options: There are none.

        Returns:
            First observation, (obs_dim,), and info.

        Raises:
            ConfigError: An option is given.
            gymnasium.error.Error: The seed is not an integer >= 0.
        """
        super().reset(seed=seed)
        state = self._next if seed is None and not options else None
        state = state or _restart(self.np_env, seed, options)
        self._next = None
        self._picture.follow()
        return state.obs[0].copy(), _first_row(_of_episode(state))

    def step(self, action: Array) -> tuple[Array, float, bool, bool, Info]:
        """Advance by one control step.

        Args:
            action: (action_dim,); clipped to the action space.

        Returns:
            Observation (obs_dim,), reward, terminated, truncated, info.

        Raises:
            ValueError: The action has another shape.
            gymnasium.error.ResetNeeded: There was no `reset` yet.
        """
        length = _steps(self.np_env) + 1
        state = self.np_env.step(np.asarray(action)[None])
        self._picture.follow()
        done = bool(state.done[0])
        self._next = state if done else None
        obs = state.info["final_obs"] if done else state.obs
        info = _of_end(state, length) if done else _of_step(state) | _of_episode(state)
        return (
            obs[0].copy(),
            float(state.reward[0]),
            bool(state.terminated[0]),
            bool(state.truncated[0]),
            _first_row(info),
        )

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture, (height, width, 3).

        In mode `"human"` the window is drawn by `step` and `reset`, and this returns None.

        Raises:
            RenderError: There is no graphics driver; the message says what to install.
        """
        return self._picture.frame()

    def close(self) -> None:
        """Release window and simulation; once is enough, more do no harm."""
        self._picture.close()
        self.np_env.close()


# Seeds and options


def _restart(env: NpEnv, seed: int | None, options: dict[str, Any] | None) -> NpEnvState:
    """Start all episodes, under a new key if there is a seed.

    What an environment drew when it was made, such as a terrain, stays as it is.
    """
    if options:
        raise ConfigError(
            f"reset takes no option '{next(iter(options))}': motrix environments have none. "
            "Change the configuration with env_cfg_override when the environment is made."
        )
    if seed is not None:
        env.seed, env.streams = seed, RowStreams(seed, env.num_envs)
    return env.init_state()


def _steps(env: NpEnv) -> NDArray[np.int64]:
    if env.state is None:
        raise gymnasium.error.ResetNeeded("call reset() before the first step()")
    steps: NDArray[np.int64] = env.state.info["steps"].astype(np.int64)
    return steps


# What a caller is told, as arrays of all rows by name


def _of_step(state: NpEnvState) -> Info:
    """Return what belongs to the step that was made."""
    return {key: state.info[key] for key in ("Reward", "metrics", "success")}


def _of_episode(state: NpEnvState) -> Info:
    """Return what belongs to the episode that a row is in now."""
    info: Info = {"steps": state.info["steps"].astype(np.int64)}
    return info | ({"state": state.info["state"]} if "state" in state.info else {})


def _of_end(state: NpEnvState, length: NDArray[np.int64]) -> Info:
    """Return what belongs to the last step of the rows that end; `length` counts their steps."""
    info = {**_of_step(state), "steps": length}
    return info | ({"state": state.info["final_state"]} if "state" in state.info else {})


def _masked(info: Mapping[str, Any], mask: NDArray[np.bool_]) -> Info:
    """Return copies, zero outside of the mask, and the mask under `_key` beside each."""
    masked: Info = {}
    for key, value in info.items() if mask.any() else ():
        if isinstance(value, Mapping):
            masked[key] = _masked(value, mask)
        else:
            rows = mask.reshape(-1, *[1] * (value.ndim - 1))
            masked[key] = np.where(rows, value, value.dtype.type(0))
        masked[f"_{key}"] = mask.copy()
    return masked


def _first_row(info: Mapping[str, Any]) -> Info:
    """Return copies of row 0."""
    row: Info = {}
    for key, value in info.items():
        if isinstance(value, Mapping):
            row[key] = _first_row(value)
        else:
            row[key] = bool(value[0]) if value.dtype == bool else value[0].copy()
    return row


# Pictures


def _fps(env: NpEnv) -> int:
    return max(1, round(1 / env.cfg.ctrl_dt))


def _check_render_mode(mode: str | None) -> None:
    if mode is not None and mode not in METADATA["render_modes"]:
        raise ConfigError(f"render_mode = {mode!r} must be None, 'human' or 'rgb_array'")


class _Picture:
    """Draws a batch, from the first time that somebody looks."""

    def __init__(self, env: NpEnv, mode: str | None) -> None:
        self._env, self._mode = env, mode
        self._renderer: NpRenderer | None = None
        self._due = 0.0

    def _open(self) -> NpRenderer:
        if self._renderer is None:
            window = self._mode == "human"
            self._renderer = NpRenderer(self._env, DRAWN_ENVS, window=window)
        return self._renderer

    def follow(self) -> None:
        """Draw the window, where there is one, at the pace of real time."""
        if self._mode == "human":
            self._open().render()
            time.sleep(max(0.0, self._due - time.monotonic()))
            self._due = time.monotonic() + self._env.cfg.ctrl_dt

    def frame(self) -> NDArray[np.uint8] | None:
        """Return a picture, (height, width, 3), or None in a mode without pictures."""
        return self._open().frame().copy() if self._mode == "rgb_array" else None

    def close(self) -> None:
        """Release the window and the graphics device."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
