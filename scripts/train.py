"""Train an environment: the flags of MotrixLab-S1, a thin door to `motrix train`."""

from __future__ import annotations

import sys

from motrix_rl.cli import main
from seed_flags import make_parser, options


def arguments() -> list[str]:
    """Return the command line of `motrix` for these flags."""
    parser = make_parser(__doc__)
    parser.add_argument("--render", action="store_true", help="draw the environments")
    parser.add_argument("--train-backend", help="jax or torch; by default the best installed one")
    flags, further = parser.parse_known_args()
    render = ["--render"] if flags.render else []
    return ["train", flags.env, *options(flags, backend=flags.train_backend), *render, *further]


if __name__ == "__main__":
    sys.exit(main(arguments()))
