"""dm_control beside our environments: which task is which, and how its physics is set."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

TASKS = {
    "pendulum": ("pendulum", "swingup"),
    "acrobot": ("acrobot", "swingup"),
    "point_mass": ("point_mass", "easy"),
    "dm-cartpole-balance": ("cartpole", "balance"),
    "dm-cartpole-swingup": ("cartpole", "swingup"),
    "dm-reacher": ("reacher", "easy"),
    "dm-reacher-hard": ("reacher", "hard"),
    "dm-stander": ("walker", "stand"),
    "dm-walker": ("walker", "walk"),
    "dm-runner": ("walker", "run"),
    "dm-cheetah": ("cheetah", "run"),
    "dm-hopper-stand": ("hopper", "stand"),
    "dm-hopper-hop": ("hopper", "hop"),
}


def load_suite() -> Any:
    """Import dm_control's suite; no graphics driver is loaded."""
    os.environ.setdefault("MUJOCO_GL", "disable")
    import mujoco

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of GLFW, where there is no display
        from dm_control import suite
        from dm_control.mujoco.wrapper.mjbindings import sizes
    # dm_control 1.0.50 lists arrays that MuJoCo 4 does not have any more.
    for struct, cls in (("mjmodel", mujoco.MjModel), ("mjdata", mujoco.MjData)):
        arrays = sizes.array_sizes[struct]
        for name in [name for name in arrays if not hasattr(cls, name)]:
            del arrays[name]
    return suite


class Original:
    """A task of dm_control.

    Args:
        name: Our name of it, one of `TASKS`.
        seed: What its starts are drawn from.
    """

    def __init__(self, name: str, seed: int = 1) -> None:
        self.env = load_suite().load(*TASKS[name], task_kwargs={"random": seed})
        self.physics, self.task = self.env.physics, self.env.task

    @property
    def model(self) -> Any:
        """The compiled model, `mujoco.MjModel`."""
        return self.physics.model.ptr

    def start(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Begin an episode; return positions and velocities."""
        self.env.reset()
        return self.physics.data.qpos.copy(), self.physics.data.qvel.copy()

    def go(self, action: ArrayLike) -> float:
        """Take one control step; return its reward."""
        return float(self.env.step(action).reward)

    def put(self, positions: ArrayLike, velocities: ArrayLike, ctrl: ArrayLike) -> None:
        """Put the physics into a state."""
        with self.physics.reset_context():
            self.physics.data.qpos[:], self.physics.data.qvel[:] = positions, velocities
        self.physics.set_control(ctrl)

    def seen(self) -> NDArray[np.float64]:
        """Return the present observation in one row."""
        parts = self.task.get_observation(self.physics).values()
        return np.concatenate([np.ravel(part) for part in parts])

    def paid(self) -> float:
        """Return the present reward."""
        return float(self.task.get_reward(self.physics))
