"""Train an environment: the flags of MotrixLab-S1, a thin door to `motrix train`."""

from __future__ import annotations

import argparse
import secrets
import sys

from motrix_rl.cli import main


def arguments() -> list[str]:
    """Return the command line of `motrix` for these flags."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--env", default="cartpole", help="environment")
    parser.add_argument("--sim-backend", help="physics engine; by default MotrixSim")
    parser.add_argument("--num-envs", type=int, help="environments that step together")
    parser.add_argument("--render", action="store_true", help="draw the environments")
    parser.add_argument("--train-backend", help="jax or torch; by default the best installed one")
    parser.add_argument("--seed", type=int, help="key of every random draw")
    parser.add_argument("--rand-seed", action="store_true", help="draw a seed; beats --seed")
    flags, further = parser.parse_known_args()
    seed = secrets.randbits(32) if flags.rand_seed else flags.seed
    options = {
        "--sim-backend": flags.sim_backend,
        "--num-envs": flags.num_envs,
        "--backend": flags.train_backend,
        "--seed": seed,
    }
    given = [
        word for name, value in options.items() if value is not None for word in (name, str(value))
    ]
    return ["train", flags.env, *given, *(["--render"] if flags.render else []), *further]


if __name__ == "__main__":
    sys.exit(main(arguments()))
