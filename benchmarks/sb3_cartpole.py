"""Stable-Baselines3's PPO learns cartpole through Gymnasium's vector interface.

    uv run sb3_cartpole.py --seed 1

Stable-Baselines3 has a vector interface of its own, older than Gymnasium's; the class `Adapter`
turns one into the other and is all that is needed for other environments too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

ENV = "motrix_envs:motrix/cartpole"
BEST_RETURN = 1000
HELD_OUT_SEED = 10_000  # evaluation starts that training has not seen


class Adapter(VecEnv):
    """A Gymnasium vector environment that resets in the same step, as SB3 expects one.

    SB3 wants one info dict for each environment, and in those that end the last observation as
    `terminal_observation`; where `TimeLimit.truncated` is set, its value is bootstrapped.
    """

    def __init__(self, envs: VectorEnv) -> None:
        if envs.metadata.get("autoreset_mode") is not AutoresetMode.SAME_STEP:
            raise ValueError(f"{envs} must reset in the same step (AutoresetMode.SAME_STEP)")
        self.envs = envs
        self.render_mode = envs.render_mode
        self._seed: int | None = None
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Use this seed at the next reset; one seed is enough for all rows."""
        self._seed = seed
        return [seed] * self.num_envs

    def reset(self) -> NDArray[Any]:
        """Start all episodes and return the first observations."""
        obs, _ = self.envs.reset(seed=self._seed)
        self._seed = None
        return obs

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions."""
        self.actions = actions

    def step_wait(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        """Step with them."""
        obs, reward, terminated, truncated, infos = self.envs.step(self.actions)
        dones = terminated | truncated
        rows: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(dones):
            rows[row] = {
                "terminal_observation": infos["final_obs"][row],
                "TimeLimit.truncated": bool(truncated[row]),
            }
        return obs, reward, dones, rows

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    # What SB3 asks of single environments: here all rows are one object.

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute once for every row."""
        return [getattr(self.envs, attr_name) for _ in self._rows(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: rows share everything."""
        raise NotImplementedError(f"'{attr_name}' cannot be set for some rows")

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method of the whole batch; its result once for every row."""
        result = getattr(self.envs, method_name)(*args, **kwargs)
        return [result for _ in self._rows(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """No row has a wrapper of its own."""
        return [False for _ in self._rows(indices)]

    def _rows(self, indices: Any) -> Iterable[int]:
        return self._get_indices(indices)


def train(args: argparse.Namespace) -> tuple[PPO, VecNormalize]:
    """Train PPO with settings usual for a task of this size."""
    envs = VecNormalize(Adapter(gymnasium.make_vec(ENV, num_envs=args.num_envs)), gamma=0.99)
    model = PPO(
        "MlpPolicy",
        envs,
        n_steps=32,
        batch_size=512,
        n_epochs=8,
        learning_rate=lambda remaining: 1e-3 * remaining,
        gamma=0.99,
        gae_lambda=0.95,
        policy_kwargs={"log_std_init": -1.0},
        seed=args.seed,
        device="cpu",
    )
    model.learn(args.steps)
    envs.close()
    return model, envs


def returns(model: PPO, scaling: VecNormalize, episodes: int) -> NDArray[np.float64]:
    """Return the returns of one deterministic episode in each of `episodes` rows."""
    envs = gymnasium.make_vec(ENV, num_envs=episodes)
    obs, _ = envs.reset(seed=HELD_OUT_SEED)
    total, running = np.zeros(episodes), np.ones(episodes, bool)
    while running.any():
        actions, _ = model.predict(scaling.normalize_obs(obs), deterministic=True)
        obs, reward, terminated, truncated, _ = envs.step(actions)
        total += reward * running
        running &= ~(terminated | truncated)
    envs.close()
    return total


def main() -> None:
    """Train, then evaluate on starts that training has not seen."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=500_000, help="environment steps in all")
    parser.add_argument("--num-envs", type=int, default=64)
    parser.add_argument("--episodes", type=int, default=64, help="episodes of the evaluation")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(1)  # the network is too small for more
    start = time.perf_counter()
    model, scaling = train(args)
    seconds = time.perf_counter() - start
    found = returns(model, scaling, args.episodes)
    print(
        f"seed {args.seed}: return {found.mean():.1f} (lowest {found.min():.0f}) of {BEST_RETURN} "
        f"over {args.episodes} episodes, after {model.num_timesteps} steps in {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
