"""Acting: observations in, actions out, all in NumPy, exactly as the module was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from motrix_rl.rl_module.columns import Columns
from motrix_rl.rl_module.nested import aligned, rebuild, transform

if TYPE_CHECKING:
    from motrix_rl.rl_module.module import RLModule


def act(
    module: RLModule, obs: Any, state: Any = None, *, deterministic: bool = True, rng: Any = None
) -> tuple[Any, Any]:
    """Return what a module does, as its environment takes it.

    Args:
        module: Any module with action distributions.
        obs: Observations, (num_envs, ...).
        state: What the last call returned; None at the start of an episode.
        deterministic: Take the distribution's own decision instead of a sample.
        rng: Source of randomness of a sample, in the kind of the module's framework.

    Returns:
        Actions (num_envs, ...), clipped to the Box that they belong to, and the next state, `{}`
        for a stateless module.
    """
    obs = transform(_at_most_float32, obs)
    batch = {Columns.OBS: module.to_tensor(obs)}
    if module.is_stateful():
        start = initial_states(module, len(obs)) if state is None else state
        batch[Columns.STATE_IN] = module.to_tensor(start)
    # Also for samples: what only the critic sees is not asked for.
    output = module.forward_inference(batch)
    dist_cls = (
        module.get_inference_action_dist_cls()
        if deterministic
        else module.get_exploration_action_dist_cls()
    )
    if dist_cls is None:
        raise ValueError(f"{type(module).__name__} has no action distribution: it cannot act")
    dist = dist_cls.from_logits(output[Columns.ACTION_DIST_INPUTS])
    actions = dist.to_deterministic().sample() if deterministic else dist.sample(rng=rng)
    return clip(module.to_numpy(actions), module.action_space), module.to_numpy(
        output.get(Columns.STATE_OUT, {})
    )


def _at_most_float32(obs: Any) -> Any:
    array = np.asarray(obs)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def initial_states(module: RLModule, rows: int) -> Any:
    """Return the initial state of a module for several rows, (rows, ...)."""
    state = module.to_numpy(module.get_initial_state())
    return transform(lambda leaf: np.broadcast_to(leaf, (rows, *leaf.shape)).copy(), state)


def restarted(module: RLModule, state: Any, rows: NDArray[np.bool_]) -> Any:
    """Return a recurrent state with some rows, (num_envs,), at the start of an episode again."""
    fresh = initial_states(module, len(rows))

    def choose(new: Any, old: Any) -> Any:
        return np.where(rows.reshape(-1, *[1] * (np.ndim(old) - 1)), new, old)

    return rebuild(state, [choose(new, old) for new, old in aligned(fresh, state)])


def clip(actions: Any, space: gym.Space[Any] | None) -> Any:
    """Return (nested) actions inside the boxes of their space, starts of integers added.

    A distribution counts its categories from zero; a Discrete space may start elsewhere.
    """
    if isinstance(space, spaces.Tuple):
        return tuple(clip(a, inner) for a, inner in zip(actions, space.spaces, strict=True))
    if isinstance(space, spaces.Dict):
        return {name: clip(actions[name], inner) for name, inner in space.spaces.items()}
    if isinstance(space, spaces.Box):
        return np.clip(actions, space.low, space.high).astype(space.dtype)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return (np.asarray(actions) + space.start).astype(space.dtype)
    return actions
