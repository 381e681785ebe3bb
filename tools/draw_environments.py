"""Draw docs/images/environments/<id>.png: an episode's start, and how random actions go on.

uv run --all-packages tools/draw_environments.py dm-walker dm-cheetah
"""

import argparse
from pathlib import Path

import numpy as np
from motrix_envs import registry
from motrix_envs.np.renderer import NpRenderer
from PIL import Image

FOLDER = Path(__file__).parents[1] / "docs" / "images" / "environments"
SIZE = (288, 240)  # pixels of each moment
MOMENTS = (0.0, 0.4, 0.8)  # s


def picture(name: str, strength: float) -> Image.Image:
    """Return the moments side by side, under actions in ±strength."""
    env = registry.make(name, num_envs=1, seed=1)
    env.init_state()
    renderer = NpRenderer(env, window=False, size=SIZE)
    rng, steps, frames = np.random.default_rng(1), 0, []
    for moment in MOMENTS:
        while steps < round(moment / env.cfg.ctrl_dt):
            env.step(rng.uniform(-strength, strength, (1, *env.action_space.shape)))
            steps += 1
        frames.append(renderer.frame())
    renderer.close()
    env.close()
    return Image.fromarray(np.hstack(frames))


def main() -> None:
    """Draw the environments that are named."""
    parser = argparse.ArgumentParser(description="Draw pictures of environments.")
    parser.add_argument("names", nargs="+", help="ids")
    parser.add_argument("--strength", type=float, default=1.0, help="largest action")
    args = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in args.names:
        picture(name, args.strength).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
