"""Acting: observations in, actions out, all in NumPy, exactly as the module was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from motrix_rl.rl_module.aliases import Batch
from motrix_rl.rl_module.columns import Columns
from motrix_rl.rl_module.distributions.ops import ArrayOps, NumpyOps
from motrix_rl.rl_module.nested import aligned, leaves, rebuild, transform

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
    obs = transform(at_most_float32, obs)
    batch = {Columns.OBS: module.to_tensor(obs)}
    if module.is_stateful():
        start = initial_states(module, len(next(leaves(obs)))) if state is None else state
        batch[Columns.STATE_IN] = module.to_tensor(start)
    actions, state = decide(module, batch, deterministic=deterministic, rng=rng)
    return clip(module.to_numpy(actions), module.action_space), module.to_numpy(state)


def decide(
    module: RLModule, batch: Batch, *, deterministic: bool = True, rng: Any = None
) -> tuple[Any, Any]:
    """Return the actions of a batch, not yet clipped, and the next state, as tensors.

    Args:
        module: See `act`.
        batch: What `forward_inference` takes.
        deterministic: See `act`.
        rng: See `act`.

    Raises:
        ValueError: The module has no action distribution.
    """
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
    return actions, output.get(Columns.STATE_OUT, {})


def at_most_float32(obs: Any) -> Any:
    """Return observations as modules take them: float64 becomes float32."""
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


def clip(actions: Any, space: gym.Space[Any] | None, ops: type[ArrayOps] = NumpyOps) -> Any:
    """Return (nested) actions inside the boxes of their space, starts of integers added.

    A distribution counts its categories from zero; a Discrete space may start elsewhere.

    Args:
        actions: Arrays, or tensors of a framework.
        space: The space that they belong to.
        ops: The framework's operations.
    """
    if isinstance(space, spaces.Tuple):
        return tuple(clip(a, inner, ops) for a, inner in zip(actions, space.spaces, strict=True))
    if isinstance(space, spaces.Dict):
        return {name: clip(actions[name], inner, ops) for name, inner in space.spaces.items()}
    if isinstance(space, spaces.Box):
        if space.dtype.kind == "f":
            actions = ops.cast(actions, space.dtype)  # first, so that the bounds lose no digit
        low, high = (ops.constant(bound, actions) for bound in (space.low, space.high))
        return ops.cast(ops.xp.clip(actions, low, high), space.dtype)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        actions = ops.cast(actions, space.dtype)
        return actions + ops.constant(space.start, actions)
    return actions
