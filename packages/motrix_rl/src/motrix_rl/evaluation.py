"""How good a policy is: whole episodes, held-out seeds, intervals."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from motrix_envs.base import EnvCfg
from motrix_envs.errors import ConfigError
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from numpy.typing import NDArray

from motrix_rl.policy import Actor

MOST_EPISODES = 1_000_000
RESAMPLES = 2000
NORMAL_95 = 1.959964  # quantile of the standard normal distribution for a two-sided 95 %


@dataclass(frozen=True)
class Evaluation:
    """Results over a fixed number of episodes per environment.

    Attributes:
        episodes: Number of episodes.
        mean: Mean return.
        interval: 95 % bootstrap interval of the mean return; of one episode, that episode.
        std: Standard deviation of the returns.
        lowest: Lowest return.
        highest: Highest return.
        length: Mean length of an episode in steps.
        success_rate: Share of episodes that succeeded.
        success_interval: 95 % Wilson interval of the success rate.
        success_metric: What a success is.
        seed: Key of the random draws.
    """

    episodes: int
    mean: float
    interval: tuple[float, float]
    std: float
    lowest: float
    highest: float
    length: float
    success_rate: float
    success_interval: tuple[float, float]
    success_metric: str
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return the results as plain JSON values."""
        return asdict(self)


def derived_seed(seed: int, purpose: str) -> int:
    """Return the key of a purpose: `"train"`, `"select"` and `"report"` never share a draw.

    Args:
        seed: The run's seed.
        purpose: What the draws are for.

    Returns:
        An integer of 64 bits.
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def evaluate(env: NpEnv, policy: Actor, episodes: int) -> Evaluation:
    """Return how good a policy is over whole episodes; see `play_episodes`."""
    returns, lengths, successes = play_episodes(env, policy, episodes)
    rate = float(successes.mean())
    return Evaluation(
        episodes=returns.size,
        mean=float(returns.mean()),
        interval=bootstrap_interval(returns),
        std=float(returns.std()),
        lowest=float(returns.min()),
        highest=float(returns.max()),
        length=float(lengths.mean()),
        success_rate=rate,
        success_interval=wilson_interval(rate, returns.size),
        success_metric=env.success_metric,
        seed=env.seed,
    )


def play_episodes(
    env: NpEnv, policy: Actor, episodes: int, start: NpEnvState | None = None
) -> tuple[NDArray[np.float64], ...]:
    """Let a policy play whole episodes from fresh starts.

    Every row plays the same number of episodes: taking the first ones to finish would favour
    short ones. A row that is done with its episodes steps on and is not counted.

    Args:
        env: The environments; their seed decides the starts.
        policy: What acts.
        episodes: At least this many, rounded up to the same number for every row.
        start: The environments' state, if all episodes have just begun; None begins them.

    Returns:
        Returns, lengths in steps, and successes as 0 or 1, (episodes,) each.

    Raises:
        ConfigError: See `check_episodes`.
    """
    check_episodes(episodes, env.cfg)
    record = _EpisodeRecord(env.num_envs, math.ceil(episodes / env.num_envs))
    state = env.init_state() if start is None else start
    while not record.complete:
        state = env.step(policy.act(state.obs, state.done))
        record.add(state.reward, state.done, state.info["success"])
    return tuple(array.ravel() for array in record.columns)


def check_episodes(episodes: int, cfg: EnvCfg) -> None:
    """Check that so many episodes can be played to their end.

    Args:
        episodes: How many.
        cfg: The environment's configuration.

    Raises:
        ConfigError: There are too few or too many of them, or the environment has no time limit:
            an episode of a good policy would never end.
    """
    if not 1 <= episodes <= MOST_EPISODES:
        raise ConfigError(f"episodes = {episodes} must lie between 1 and {MOST_EPISODES}")
    if cfg.max_episode_steps is None:
        raise ConfigError(
            f"{type(cfg).__name__} has no time limit, so that a good policy's episode never ends: "
            "set max_episode_seconds of the environment to evaluate it"
        )


class _EpisodeRecord:
    """Returns, lengths and successes of the first episodes of each row, (num_envs, per_row)."""

    def __init__(self, num_envs: int, per_row: int) -> None:
        self.columns = tuple(np.zeros((num_envs, per_row)) for _ in range(3))
        self._finished = np.zeros(num_envs, int)
        self._return = np.zeros(num_envs)
        self._length = np.zeros(num_envs)

    @property
    def complete(self) -> bool:
        return bool((self._finished >= self.columns[0].shape[1]).all())

    def add(
        self, reward: NDArray[np.float32], done: NDArray[np.bool_], success: NDArray[np.bool_]
    ) -> None:
        self._return += reward
        self._length += 1
        rows = np.flatnonzero(done & (self._finished < self.columns[0].shape[1]))
        for column, values in zip(self.columns, (self._return, self._length, success), strict=True):
            column[rows, self._finished[rows]] = values[rows]
        self._finished[rows] += 1
        self._return[done] = 0
        self._length[done] = 0


def bootstrap_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % percentile-bootstrap interval of the mean (Efron 1979).

    The resamples are drawn from a fixed seed: equal values give equal intervals.
    """
    generator = np.random.default_rng(0)
    means = [generator.choice(values, values.size).mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def wilson_interval(rate: float, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a success rate (Wilson 1927); right for 0 and 1 too."""
    z2 = NORMAL_95**2 / trials
    centre = (rate + z2 / 2) / (1 + z2)
    half = math.sqrt(rate * (1 - rate) * z2 + z2**2 / 4) / (1 + z2)
    return max(0.0, centre - half), min(1.0, centre + half)
