"""Watch random actions: the flags of MotrixLab-S1, a thin door to `motrix view`."""

from __future__ import annotations

import sys

from motrix_rl.cli import main
from seed_flags import make_parser, options


def arguments() -> list[str]:
    """Return the command line of `motrix` for these flags."""
    parser = make_parser(__doc__)
    parser.set_defaults(num_envs=1)
    flags, further = parser.parse_known_args()
    return ["view", flags.env, *options(flags), *further]


if __name__ == "__main__":
    sys.exit(main(arguments()))
