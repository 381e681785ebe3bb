"""Watch a trained policy: the flags of MotrixLab-S1, a thin door to `motrix play`."""

from __future__ import annotations

import sys

from motrix_rl.cli import main
from seed_flags import make_parser, options


def arguments() -> list[str]:
    """Return the command line of `motrix` for these flags."""
    parser = make_parser(__doc__)
    parser.add_argument("--policy", help="run folder; by default the environment's newest run")
    flags, further = parser.parse_known_args()
    return ["play", flags.policy or flags.env, *options(flags), *further]


if __name__ == "__main__":
    sys.exit(main(arguments()))
