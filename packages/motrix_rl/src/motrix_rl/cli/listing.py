"""`motrix list` and `motrix plugins`: what is there, read from declarations alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from typing import Any

from motrix_envs import _plugins
from motrix_envs import registry as envs
from motrix_envs._plugins import Plugin
from motrix_envs._registry import Failure, PluginRegistry
from motrix_envs.errors import PluginError
from motrix_envs.registry import EnvRecord

from motrix_rl import registry
from motrix_rl.cli.quiet import quiet_plugins


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    # argparse and not tyro, whose import takes longer than the whole listing.
    return argparse.ArgumentParser(
        prog=f"motrix {command}", description=description, allow_abbrev=False
    )


def list_envs(argv: list[str]) -> int:
    """Print every environment with its owner and presets."""
    options = _parser("list", "List environments, their owners and training presets.")
    options.add_argument("-v", "--verbose", action="store_true", help="spaces and config fields")
    options.add_argument("--json", action="store_true", help="print JSON")
    chosen = options.parse_args(argv)
    with quiet_plugins():
        rows = [_describe(record) for record in sorted(envs.default.envs(), key=lambda r: r.name)]
    if chosen.verbose:
        for row in rows:
            row |= _look_inside(row["name"])
    if chosen.json:
        print(json.dumps(rows, indent=2))
        return 0
    _print_table(
        ("ENVIRONMENT", "OWNER", "PRESETS"),
        [(row["name"], row["owner"], _spell_presets(row["presets"])) for row in rows],
    )
    if chosen.verbose:
        _print_details(rows)
    _mention_failures()
    return 0


def _describe(record: EnvRecord) -> dict[str, Any]:
    rllibs = {preset.rllib for preset in registry.default.presets()}
    rllibs |= {trainer.name[0] for trainer in registry.default.backends()}
    presets = {lib: registry.default.backends_for(record.name, lib) for lib in sorted(rllibs)}
    return {"name": record.name, "owner": str(record.owner), "presets": presets}


def _spell_presets(presets: dict[str, list[str]]) -> str:
    return "; ".join(f"{lib}: {', '.join(names)}" for lib, names in presets.items() if names) or "-"


def _look_inside(name: str) -> dict[str, Any]:
    """Import an environment and build one; return its spaces and the fields of its config."""
    from motrix_envs.base import describe_fields

    try:
        env = envs.make(name)
    except PluginError as error:
        return {"error": str(error)}
    fields = {key: str(value) for key, value in describe_fields(env.cfg).items()}
    details = {
        "observation": env.observation_layout,
        "action": str(env.action_space),
        "state": env.state_layout,
        "success": env.success_metric,
        "config": fields,
    }
    env.close()
    return details


def _print_details(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        print(f"\n{row['name']}")
        if "error" in row:
            print(f"  {row['error']}")
            continue
        layout = ", ".join(f"{name} ({size})" for name, size in row["observation"].items())
        print(f"  observation  {layout}")
        print(f"  action       {row['action']}")
        print(f"  success      {row['success']}")
        for name, value in row["config"].items():
            print(f"  --env.{name.replace('_', '-')} {value}")


def list_plugins(argv: list[str]) -> int:
    """Print every plugin with its distribution and state; return 1 if one failed."""
    options = _parser("plugins", "List installed plugins, and what is wrong with them.")
    options.add_argument("--check", action="store_true", help="import every declared module too")
    chosen = options.parse_args(argv)
    registries: tuple[PluginRegistry, ...] = (envs.default, registry.default)
    with quiet_plugins():
        envs.default.envs(), registry.default.presets()
        if chosen.check:
            for owner in registries:
                owner.complete_all()
    failures = [failure for owner in registries for failure in owner.failures]
    rows = []
    for owner in registries:
        for plugin in _plugins.discover(owner.group):
            state = "disabled" if plugin.disabled else "ok"
            if any(_is_of(failure, plugin) for failure in owner.failures):
                state = "FAILED"
            rows.append((plugin.owner.name, plugin.owner.version, owner.group, plugin.value, state))
    _print_table(("PLUGIN", "VERSION", "GROUP", "HOOK", "STATE"), rows)
    for failure in failures:
        print(f"\n{failure}")
    return 1 if failures else 0


def _is_of(failure: Failure, plugin: Plugin) -> bool:
    """Whether a hook failed, or a module that its distribution declared."""
    is_module = ":" not in failure.subject
    return failure.owner == plugin.owner and (is_module or failure.subject == plugin.value)


def _mention_failures() -> None:
    count = len(envs.default.failures) + len(registry.default.failures)
    if count:
        print(f"\n{count} failed and left out: `motrix plugins` says why.")


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = [tuple(head), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
