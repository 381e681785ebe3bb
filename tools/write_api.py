"""Write docs/api.md: the public names of each package, with the first line of their docstrings.

uv run --all-packages tools/write_api.py
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parents[1] / "docs" / "api.md"

MODULES = {
    "motrix-envs": [
        "motrix_envs.registry",
        "motrix_envs.base",
        "motrix_envs.np.env",
        "motrix_envs.np.state",
        "motrix_envs.np.reward",
        "motrix_envs.np.renderer",
        "motrix_envs.math.quaternion",
        "motrix_envs.rng",
        "motrix_envs.sim",
        "motrix_envs.sim.terrain",
        "motrix_envs.sim.viewer",
        "motrix_envs.gym",
        "motrix_envs.testing",
        "motrix_envs.benchmarking",
        "motrix_envs.errors",
    ],
    "motrix-envs-mujoco": ["motrix_envs_mujoco.engine"],
    "motrix-rl": [
        "motrix_rl.registry",
        "motrix_rl.base",
        "motrix_rl.skrl.cfg",
        "motrix_rl.cfgs",
        "motrix_rl.backends",
        "motrix_rl.engine.trainer",
        "motrix_rl.engine.learner",
        "motrix_rl.evaluation",
        "motrix_rl.runs",
        "motrix_rl.rl_module",
        "motrix_rl.video",
        "motrix_rl.utils",
        "motrix_rl.cli",
        "motrix_rl.errors",
    ],
    "motrix-rl-torch": [
        "motrix_rl_torch.engine",
        "motrix_rl_torch.skrl_ppo",
        "motrix_rl_torch.wrap_np",
        "motrix_rl_torch.rl_module",
    ],
    "motrix-rl-jax": [
        "motrix_rl_jax.engine",
        "motrix_rl_jax.skrl_ppo",
        "motrix_rl_jax.wrap_np",
        "motrix_rl_jax.rl_module",
    ],
}

HEAD = """\
# API

What each package offers, by module. The docstrings say the rest: shapes, units, errors. Written by
`tools/write_api.py` from the code.
"""


def page() -> str:
    """Return the text of docs/api.md."""
    return HEAD + "".join(map(section, MODULES))


def section(distribution: str) -> str:
    """Return the heading and the table of one distribution."""
    rows = [row for name in MODULES[distribution] for row in rows_of(name)]
    return "\n".join([f"\n## {distribution}\n", "| name | what it is |", "|---|---|", *rows, ""])


def rows_of(module_name: str) -> Iterator[str]:
    """Yield the rows of a module: itself, then its names."""
    module = importlib.import_module(module_name)
    yield row(f"**{module_name}**", first_line(module.__doc__))
    for name in public_names(module):
        if text := line_of(module, name):
            yield row(f"`{name}`", text)


def row(name: str, text: str) -> str:
    """Return a row of the table."""
    text = text.replace("|", "\\|")
    return f"| {name} | {text} |"


def line_of(module: ModuleType, name: str) -> str:
    """Return what a name is; nothing for a constant without an explanation."""
    value = getattr(module, name)
    is_ours = getattr(value, "__module__", "").startswith("motrix")
    if is_ours and (inspect.isclass(value) or inspect.isroutine(value)):
        return first_line(value.__doc__)
    return constant_line(module, name)


def first_line(docstring: str | None) -> str:
    """Return the summary of a docstring."""
    return (docstring or "").strip().partition("\n")[0]


def public_names(module: ModuleType) -> list[str]:
    """Return the names in `__all__`; without it, those that the module itself defines."""
    if hasattr(module, "__all__"):
        return sorted(module.__all__, key=str.lower)
    tree = ast.parse(inspect.getsource(module))
    named = [name for node in tree.body for name in defined_names(node)]
    imported = [
        alias.asname
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name  # `import x as x` hands it on
    ]
    return [name for name in (*imported, *named) if not name.startswith("_")]


def defined_names(node: ast.stmt) -> list[str]:
    """Return the names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def constant_line(module: ModuleType, name: str) -> str:
    """Return what stands in quotes under a constant, here or where it was imported from."""
    tree = ast.parse(inspect.getsource(module))
    for node, after in pairwise(tree.body):
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            return constant_line(importlib.import_module(node.module or ""), name)
        if name in defined_names(node) and isinstance(after, ast.Expr):
            paragraph, *_ = ast.literal_eval(after.value).split("\n\n")
            return " ".join(paragraph.split())
    return ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
