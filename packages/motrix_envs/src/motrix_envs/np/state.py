"""What an environment knows after a step, as arrays with one row per environment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.sim import Simulation


@dataclass
class NpEnvState:
    """The state of a batch. Arrays handed out here are never written to again by the environment.

    Keys of `info` that mean something to everybody:

    - `steps` (num_envs,): control steps since the episode began.
    - `final_obs` (num_envs, obs_dim): observations before the automatic reset, valid where
      `_final_obs` (num_envs,) is true; `final_state` likewise where there is a `state`.
    - `Reward`: weighted reward terms by name, (num_envs,) each, of the step itself.
    - `metrics`: numbers worth logging by name, (num_envs,) each.
    - `success` (num_envs,): whether the episode that ends here succeeded.
    - `state` (num_envs, state_dim): privileged observations for the critic, if there are any.

    Everything else is the environment's own memory per row: commands, last actions, ...
    """

    data: Simulation
    """The simulation behind the batch."""
    obs: NDArray[np.float32]
    """Observations after the automatic reset, (num_envs, obs_dim)."""
    reward: NDArray[np.float32]
    """Rewards of the step, (num_envs,)."""
    terminated: NDArray[np.bool_]
    """Rows whose episode ended for good, (num_envs,): nothing more could be earned there."""
    truncated: NDArray[np.bool_]
    """Rows cut off by the time limit, (num_envs,); never also terminated."""
    info: dict[str, Any]
    """Everything else."""

    @property
    def done(self) -> NDArray[np.bool_]:
        """Rows whose episode ended either way, (num_envs,)."""
        return self.terminated | self.truncated

    def replace(self, **changes: Any) -> NpEnvState:
        """Return a shallow copy with some fields changed."""
        return replace(self, **changes)

    def validate(self, num_envs: int, obs_dim: int) -> None:
        """Check the shapes that an environment returned.

        Raises:
            ValueError: One of them is not as documented above.
        """
        shapes = {
            "obs": (num_envs, obs_dim),
            "reward": (num_envs,),
            "terminated": (num_envs,),
            "truncated": (num_envs,),
        }
        for name, shape in shapes.items():
            found = np.shape(getattr(self, name))
            if found != shape:
                raise ValueError(f"{name} has shape {found}; the environment must return {shape}")


def write_rows(info: dict[str, Any], rows: NDArray[np.int64], part: dict[str, Any]) -> None:
    """Put the rows of a partial reset into `info`, replacing arrays instead of writing to them.

    Args:
        info: Arrays of all rows by name, nested dicts allowed; changed in place.
        rows: The rows that were reset, (k,).
        part: Arrays of these rows alone, (k, ...), under the same names.
    """
    for key, value in part.items():
        if isinstance(value, dict):
            info[key] = dict(info.get(key, {}))
            write_rows(info[key], rows, value)
            continue
        value = np.asarray(value)
        whole = info.get(key)
        if whole is None:
            raise KeyError(
                f"reset() returned info['{key}'], which init_info() does not provide; "
                "give it a full-size array there"
            )
        info[key] = np.array(whole)
        info[key][rows] = value
