"""The entry of the command `motrix`."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from motrix_envs._plugins import resolve
from motrix_envs.errors import MotrixError, did_you_mean

_USAGE = """\
motrix: train robots on the CPU

  motrix list                 environments, their owners and training presets
  motrix plugins              installed plugins, and what is wrong with them
  motrix train ENV            train a policy
  motrix train --resume RUN   go on with a training that was stopped or killed
  motrix eval RUN|ENV         evaluate a run, or the newest one of an environment
  motrix view ENV             watch an environment that takes random actions
  motrix play [RUN|ENV]       watch a trained policy, by default the newest one
  motrix record RUN|ENV       write a video of a trained policy
  motrix export RUN|ENV       write a trained policy as a file that runs without Motrix
  motrix bench ENV            compare the physics engines that are installed

`motrix COMMAND --help` explains a command; `motrix train ENV --help` lists every field of the
environment and of the training configuration."""


_COMMANDS = {
    "list": "motrix_rl.cli.listing:list_envs",
    "plugins": "motrix_rl.cli.listing:list_plugins",
    "train": "motrix_rl.cli.train:train",
    "eval": "motrix_rl.cli.evaluate:evaluate",
    "view": "motrix_rl.cli.watch:view",
    "play": "motrix_rl.cli.watch:play",
    "record": "motrix_rl.cli.watch:record",
    "export": "motrix_rl.cli.export:export",
    "bench": "motrix_rl.cli.bench:bench",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code.

    Errors that the platform raises on purpose are shown as one message, and so is what the system
    refuses: a file, or memory. Others keep their traceback.
    """
    _print_anything()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    command, *rest = arguments
    _reach_working_folder()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _command(command)(rest)
    except MotrixError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0  # `motrix list | head` is no error
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: cannot use '{error.filename}': {error.strerror}", file=sys.stderr)
        return 1
    except MemoryError as error:
        advice = "Ask for fewer environments, episodes or steps at a time."
        print(f"error: not enough memory: {error or 'none is left'}. {advice}", file=sys.stderr)
        return 1


def _print_anything() -> None:
    """Show a name that the terminal cannot spell in escapes, instead of failing over it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _reach_working_folder() -> None:
    """Let classes be named that lie in files of the working folder; installed packages win."""
    if not {"", str(Path.cwd())}.intersection(sys.path):
        sys.path.append(str(Path.cwd()))


def _command(name: str) -> Callable[[list[str]], int]:
    """Return the function behind a command, importing that alone."""
    if name not in _COMMANDS:
        raise MotrixError(f"no command '{name}'.{did_you_mean(name, _COMMANDS)}\n{_USAGE}")
    command: Callable[[list[str]], int] = resolve(_COMMANDS[name])
    return command


def _show_warning(message: Warning | str, *where: object, **kwargs: object) -> None:
    """Show a warning as a user needs it: the message, without the line that gave it."""
    print(f"warning: {message}", file=sys.stderr)
