"""The command `motrix`. `list` and `plugins` import nothing heavy; the others when they must."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from motrix_envs.errors import MotrixError

_USAGE = """\
motrix: train robots on the CPU

  motrix list                 environments, their owners and training presets
  motrix plugins              installed plugins, and what is wrong with them
  motrix train ENV            train a policy
  motrix eval RUN|ENV         evaluate a run, or the newest one of an environment

`motrix COMMAND --help` explains a command; `motrix train ENV --help` lists every field of the
environment and of the training configuration."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code.

    Errors that the platform raises on purpose are shown as one message; others keep their
    traceback.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    command, *rest = arguments
    try:
        return _command(command)(rest)
    except MotrixError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0  # `motrix list | head` is no error


def _command(name: str) -> Callable[[list[str]], int]:
    """Return the function behind a command, importing only what it needs."""
    match name:
        case "list":
            from motrix_rl.cli.listing import list_envs

            return list_envs
        case "plugins":
            from motrix_rl.cli.listing import list_plugins

            return list_plugins
        case "train":
            from motrix_rl.cli.train import train

            return train
        case "eval":
            from motrix_rl.cli.evaluate import evaluate

            return evaluate
    from motrix_envs.errors import did_you_mean

    raise MotrixError(
        f"no command '{name}'.{did_you_mean(name, ('list', 'plugins', 'train', 'eval'))}\n{_USAGE}"
    )


def parser(command: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of a light command."""
    return argparse.ArgumentParser(
        prog=f"motrix {command}", description=description, allow_abbrev=False
    )
