"""Typed options for whatever fields an environment and a training configuration have."""

from __future__ import annotations

import argparse
import dataclasses
import typing
import warnings
from collections.abc import Sequence
from dataclasses import make_dataclass
from typing import Any, TypeVar

import tyro
from motrix_envs.base import describe_fields
from motrix_envs.errors import MotrixError

T = TypeVar("T")


def subject(command: str, what: str, argv: list[str], options: type) -> tuple[str, list[str]]:
    """Split off the first argument, which decides what options there are.

    Args:
        command: Name of the command.
        what: What the first argument is; its last word is how the help calls it.
        argv: The arguments.
        options: The command's own options, which `--help` explains without a first argument.

    Raises:
        MotrixError: It is missing.
    """
    placeholder = what.split()[-1]
    if argv and argv[0] in ("-h", "--help"):
        parse(options, argv[:1], prog=f"motrix {command} {placeholder}")
    if not argv or argv[0].startswith("-"):
        raise MotrixError(
            f"`motrix {command}` takes {what} first, and then its options; "
            f"`motrix {command} {placeholder} --help` lists them"
        )
    return argv[0], argv[1:]


def peek(argv: Sequence[str], *names: str) -> dict[str, str | None]:
    """Return the values of options that decide what other options there are, None where absent."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in names:
        parser.add_argument(f"--{name}", dest=name, nargs="?")
    known, _ = parser.parse_known_args(list(argv))
    return vars(known)


def parse(
    options: type[T], argv: Sequence[str], prog: str, **groups: Any
) -> tuple[T, dict[str, dict[str, Any]]]:
    """Parse a command line; on `--help` and on errors explain and exit, as commands do.

    Args:
        options: Keyword-only dataclass of the command's own options; all have defaults.
        argv: The arguments.
        prog: How the command is called.
        **groups: Default configurations by name: `env=cfg` gives options such as `--env.ctrl-dt`.

    Returns:
        The options, and for each group the fields that were changed, by dotted name.
    """
    fields = [(name, type(cfg)) for name, cfg in groups.items()]
    whole = make_dataclass(options.__name__, fields, bases=(options,), kw_only=True)
    with warnings.catch_warnings():
        # Of defaults that do not have their declared type: whoever uses the value says so better.
        warnings.filterwarnings("ignore", "The field .* is annotated", UserWarning)
        parsed: Any = tyro.cli(
            whole,
            default=whole(**groups),
            args=list(argv),
            prog=prog,
            description=options.__doc__,
            registry=_text_where_possible(),
        )
    return parsed, {name: _changed(cfg, getattr(parsed, name)) for name, cfg in groups.items()}


def _text_where_possible() -> tyro.constructors.ConstructorRegistry:
    """Return rules by which a field that takes text or an object takes text on a command line."""
    registry = tyro.constructors.ConstructorRegistry()

    @registry.primitive_rule
    def text(info: tyro.constructors.PrimitiveTypeInfo) -> Any:
        choices = typing.get_args(info.type)
        if str not in choices or not any(dataclasses.is_dataclass(choice) for choice in choices):
            return None
        return tyro.constructors.PrimitiveConstructorSpec(
            nargs=1,
            metavar="TEXT",
            instance_from_str=lambda words: words[0],
            is_instance=lambda value: True,
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _changed(default: Any, parsed: Any) -> dict[str, Any]:
    before = describe_fields(default)
    return {name: value for name, value in describe_fields(parsed).items() if value != before[name]}
