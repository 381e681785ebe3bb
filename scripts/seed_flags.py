"""What the scripts with the flags of MotrixLab-S1 share: those flags, as options of `motrix`."""

from __future__ import annotations

import argparse
import secrets


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the flags that all scripts have."""
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--env", default="cartpole", help="environment")
    parser.add_argument("--sim-backend", help="physics engine; by default MotrixSim")
    parser.add_argument("--num-envs", type=int, help="environments that step together")
    parser.add_argument("--seed", type=int, help="key of every random draw")
    parser.add_argument("--rand-seed", action="store_true", help="draw a seed; beats --seed")
    return parser


def options(flags: argparse.Namespace, **more: object) -> list[str]:
    """Return the words for the flags that were given, and for `more` options."""
    values = {
        "--sim-backend": flags.sim_backend,
        "--num-envs": flags.num_envs,
        "--seed": secrets.randbits(32) if flags.rand_seed else flags.seed,
        **{f"--{name}": value for name, value in more.items()},
    }
    given = {name: value for name, value in values.items() if value is not None}
    return [word for name, value in given.items() for word in (name, str(value))]
