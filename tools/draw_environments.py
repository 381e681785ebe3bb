"""Draw docs/images/environments/<id>.png: moments of an episode of the policy in results/.

uv run --all-packages tools/draw_environments.py dm-walker dm-cheetah

Another policy, other moments and other starts are options. Some of the pictures are put together
for README, as docs/images/suite.png.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from motrix_envs import registry
from motrix_envs.np.renderer import NpRenderer
from motrix_rl.policy import load_policy
from PIL import Image

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "images" / "environments"
SIZE = (240, 200)  # pixels of each moment

MOMENTS = {
    "pendulum": (0, 1.5, 3, 4, 5, 6),
    "acrobot": (0, 1, 2, 3, 4, 6),
    "point_mass": (0, 0.4, 0.8, 1, 2, 4),
    "dm-cartpole-balance": (0, 0.2, 0.4, 0.8, 2, 4),
    "dm-cartpole-swingup": (0, 0.5, 1, 1.5, 2, 4),
    "dm-reacher": (0, 0.3, 0.6, 1, 2, 4),
    "dm-reacher-hard": (0, 0.3, 0.6, 1, 2, 4),
    "dm-stander": (0, 0.5, 1, 1.5, 2, 10),
    "dm-walker": (0, 1, 2, 4, 4.2, 4.4),
    "dm-runner": (0, 1, 2, 4, 4.1, 4.2),
    "dm-cheetah": (0, 1, 3, 3.1, 3.2, 3.3),
    "dm-hopper-stand": (0, 0.6, 1, 1.5, 2, 10),
    "dm-hopper-hop": (4, 4.4, 4.6, 4.8, 5.2, 5.4),
    "bounce_ball": (0, 0.3, 0.42, 0.48, 0.6, 0.8),
}
"""What shows best what the policy does, in s."""
SHEET = ("dm-walker", "dm-cheetah", "dm-cartpole-swingup", "bounce_ball")
"""What README shows."""
SEEDS = {"pendulum": 5}
"""Of starts that show more than the first one does."""


def picture(name: str, policy: Path, moments: Sequence[float], seed: int) -> Image.Image:
    """Return moments of an episode side by side."""
    env, actor = registry.make(name, num_envs=1, seed=seed), load_policy(policy)
    state = env.init_state()
    renderer = NpRenderer(env, window=False, size=SIZE)
    steps, frames = 0, []
    for moment in moments:
        while steps < round(moment / env.cfg.ctrl_dt):
            state = env.step(actor.act(state.obs, state.done))
            steps += 1
        frames.append(renderer.frame())
    renderer.close()
    env.close()
    return Image.fromarray(np.hstack(frames))


def sheet() -> Image.Image:
    """Return the pictures of README, one above the other."""
    return Image.fromarray(np.vstack([Image.open(FOLDER / f"{name}.png") for name in SHEET]))


def main() -> None:
    """Draw the environments that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", choices=list(MOMENTS), metavar="ID")
    parser.add_argument("--policy", type=Path, help="run whose policy acts")
    parser.add_argument("--moments", type=float, nargs="+", help="in s")
    parser.add_argument("--seed", type=int, help="of the start")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where pictures go")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        policy = args.policy or ROOT / "results" / name / "motrix-jax"
        seed = SEEDS.get(name, 1) if args.seed is None else args.seed
        image = picture(name, policy, args.moments or MOMENTS[name], seed)
        image.save(args.folder / f"{name}.png", optimize=True)
    sheet().save(FOLDER.with_name("suite.png"), optimize=True)


if __name__ == "__main__":
    main()
