"""Draw docs/images/environments/<id>.png: moments of an episode.

uv run --all-packages tools/draw_environments.py dm-walker --policy results/dm-walker/motrix-jax
uv run --all-packages tools/draw_environments.py pendulum

Without a policy, actions are random.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from motrix_envs import registry
from motrix_envs.np.env import NpEnv
from motrix_envs.np.renderer import NpRenderer
from motrix_envs.np.state import NpEnvState
from motrix_rl.policy import load_policy
from numpy.typing import NDArray
from PIL import Image

FOLDER = Path(__file__).parents[1] / "docs" / "images" / "environments"
SIZE = (240, 200)  # pixels of each moment
MOMENTS = (0.0, 0.4, 0.8)  # s

Acting = Callable[[NpEnvState], NDArray[Any]]


def picture(name: str, moments: tuple[float, ...], policy: Path | None, seed: int) -> Image.Image:
    """Return moments of an episode side by side, given in s."""
    env = registry.make(name, num_envs=1, seed=seed)
    act = acting(env, policy)
    state = env.init_state()
    renderer = NpRenderer(env, window=False, size=SIZE)
    steps, frames = 0, []
    for moment in moments:
        while steps < round(moment / env.cfg.ctrl_dt):
            state = env.step(act(state))
            steps += 1
        frames.append(renderer.frame())
    renderer.close()
    env.close()
    return Image.fromarray(np.hstack(frames))


def acting(env: NpEnv, policy: Path | None) -> Acting:
    """Return what acts: a trained policy, or chance."""
    if policy is None:
        rng = np.random.default_rng(1)
        return lambda state: rng.uniform(-1, 1, (1, *env.action_space.shape))
    trained = load_policy(policy)
    return lambda state: trained.act(state.obs, state.done)


def main() -> None:
    """Draw the environments that are named."""
    parser = argparse.ArgumentParser(description="Draw moments of an episode.")
    parser.add_argument("names", nargs="+", help="ids")
    parser.add_argument("--policy", type=Path, help="run whose policy acts; of one id")
    parser.add_argument("--moments", type=float, nargs="+", default=MOMENTS, help="in s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        image = picture(name, tuple(args.moments), args.policy, args.seed)
        image.save(args.folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
