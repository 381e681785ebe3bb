"""The part of skrl's environment wrapper that is the same in every framework."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from gymnasium import spaces
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from numpy.typing import NDArray

from motrix_rl.rl_module.acting import clip


class NpWrapping:
    """Turns an `NpEnv` into what skrl steps; a framework adds the device and two conversions.

    Observations and rewards are float32, flags bool; rewards and flags are columns,
    (num_envs, 1). `info["final_obs"]` holds the observations before the automatic reset.

    Args:
        env: The environments.
        renderer: An `NpRenderer`, or None.
        device: Where arrays go, as the framework spells it; None takes its best device.

    Raises:
        ValueError: `env` is no `NpEnv`.
        ConfigError: There is no such device.
    """

    def __init__(self, env: NpEnv, renderer: Any = None, device: str | None = None) -> None:
        if not isinstance(env, NpEnv):
            raise ValueError(f"wrap_env takes an NpEnv, not a {type(env).__name__}")
        super().__init__(env)  # type: ignore[call-arg]
        self._np_env = env
        self._renderer = renderer
        self._has_reset_itself = False
        self._device = self.find_device(device)

    @staticmethod
    @abstractmethod
    def find_device(name: str | None) -> Any:
        """Return a device of the framework; raises ConfigError where there is none."""

    @abstractmethod
    def to_device(self, array: NDArray[Any]) -> Any:
        """Return an array of the framework on its device."""

    @abstractmethod
    def to_numpy(self, array: Any) -> NDArray[np.float32]:
        """Return an array of the framework as NumPy."""

    def adopt(self) -> None:
        """Let the next `reset` take over episodes that have begun, if any have."""
        self._has_reset_itself = True

    def reset(self) -> tuple[Any, dict[str, Any]]:
        """Start all episodes afresh; return observations (num_envs, obs_dim) and info."""
        # skrl resets a lone environment after each episode, which the environment has just done.
        state = self._np_env.state
        if state is None or not self._has_reset_itself:
            state = self._np_env.init_state()
        self._has_reset_itself = False
        return self._floats(state.obs), dict(state.info)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Step all environments; return observations, rewards, terminated, truncated, info."""
        state = self._np_env.step(self._as_taken(self.to_numpy(actions)))
        self._has_reset_itself = self.num_envs == 1 and bool(state.done.any())
        obs = self._floats(state.obs)
        return (
            obs,
            self._floats(state.reward[:, None]),
            self._flags(state.terminated[:, None]),
            self._flags(state.truncated[:, None]),
            self._info(state, obs),
        )

    def _as_taken(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return actions as the environment takes them: skrl knows rows of floats only."""
        space = self._np_env.action_space
        if isinstance(space, spaces.Box):
            return actions
        chosen: NDArray[Any] = clip(actions.reshape(-1, *(space.shape or ())), space)
        return chosen

    def _info(self, state: NpEnvState, obs: Any) -> dict[str, Any]:
        info = dict(state.info)
        final = info["final_obs"]
        info["final_obs"] = obs if final is state.obs else self._floats(final)
        if "final_state" in info:
            info["final_state"] = self._floats(info["final_state"])
        return info

    def _floats(self, array: NDArray[Any]) -> Any:
        return self.to_device(np.asarray(array, np.float32))

    def _flags(self, array: NDArray[Any]) -> Any:
        return self.to_device(np.asarray(array, bool))

    def state(self) -> Any:
        """Return the privileged observations, (num_envs, state_dim), or None."""
        state = self._np_env.state
        if state is None or "state" not in state.info:
            return None
        return self._floats(state.info["state"])

    def render(self, *args: Any, **kwargs: Any) -> Any:
        """Draw the environments, if they are to be drawn and the window is still there."""
        if self._renderer is None or self._renderer.closed:
            return None
        return self._renderer.render()

    def close(self) -> None:
        """Release the environments."""
        self._np_env.close()

    @property
    def num_envs(self) -> int:
        """How many environments step together."""
        return self._np_env.num_envs
