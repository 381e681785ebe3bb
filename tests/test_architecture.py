"""The rules of docs/architecture.md, read off the source: arrows, imports, size, manners."""

import ast
import difflib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ENVS, CORE, TORCH, JAX = "motrix_envs", "motrix_rl", "motrix_rl_torch", "motrix_rl_jax"
MUJOCO = "motrix_envs_mujoco"
TORCH_FAMILY = {"torch", "torchvision"}
JAX_FAMILY = {"jax", "jaxlib", "flax", "optax", "orbax"}

# What each package must never import: not in a function, not under TYPE_CHECKING.
FORBIDDEN = {
    ENVS: {MUJOCO, "mujoco", CORE, TORCH, JAX, "skrl"} | TORCH_FAMILY | JAX_FAMILY,
    MUJOCO: {"motrixsim", CORE, TORCH, JAX, "skrl"} | TORCH_FAMILY | JAX_FAMILY,
    CORE: {TORCH, JAX, "skrl"} | TORCH_FAMILY | JAX_FAMILY,
    TORCH: {JAX} | JAX_FAMILY,
    JAX: {TORCH} | TORCH_FAMILY,
}
PACKAGES = list(FORBIDDEN)

# What no plugin and no package may pull in by merely being imported.
HEAVY = [
    "numpy",
    "gymnasium",
    "tyro",
    "rich",
    "motrixsim",
    "mujoco",
    "llvmlite",
    "torch",
    "jax",
    "flax",
    "skrl",
]

MODULE_LINES = 450
FUNCTION_LINES = 80
TWIN_SHARE = 0.40
TWIN_LINES = 20  # shorter twins, such as a plugin.py, hold nothing that could move one level up

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)

by_package = pytest.mark.parametrize("package", PACKAGES)


def source_folder(package):
    return ROOT / "packages" / package / "src" / package


def modules(package):
    """Yield (path, text, tree) of every module of a package."""
    for path in sorted(source_folder(package).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield path, text, ast.parse(text, filename=str(path))


def place(path, line=1):
    return f"{path.relative_to(ROOT).as_posix()}:{line}"


def pyproject(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_package_is_held_to_these_rules():
    folders = {path.parent.name for path in ROOT.glob("packages/*/pyproject.toml")}
    assert folders == set(PACKAGES), "state in FORBIDDEN what the new package may import"


# Arrows


def imported_names(tree):
    """Yield (dotted name, line) of every absolute import, import_module("...") included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module, node.lineno
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
            called = called.id if isinstance(called, ast.Name) else called
            if called in ("import_module", "__import__"):
                yield str(node.args[0].value), node.lineno


@by_package
def test_import_arrows(package):
    wrong = [
        f"{place(path, line)} imports {name}"
        for path, _, tree in modules(package)
        for name, line in imported_names(tree)
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_are_found_wherever_they_hide():
    source = """
if TYPE_CHECKING:
    import torch.nn
def late():
    from jax import numpy
    importlib.import_module("skrl.envs")
    __import__("flax")
from . import torch
"""
    names = {name for name, _ in imported_names(ast.parse(source))}
    assert names == {"torch.nn", "jax", "skrl.envs", "flax"}


LIGHT = PACKAGES + [f"{p}.plugin" for p in PACKAGES if (source_folder(p) / "plugin.py").is_file()]


@pytest.mark.parametrize("module", LIGHT)
def test_importing_costs_nothing(module):
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    loaded = {name.split(".")[0] for name in json.loads(run.stdout)}
    assert not loaded.intersection(HEAVY)


# Reading


def is_public(name):
    return not name.startswith("_")


def is_exempt(node):
    """Tell whether a definition is documented elsewhere: an overload, an override, a setter."""
    names = {
        d.attr if isinstance(d, ast.Attribute) else getattr(d, "id", None)
        for d in node.decorator_list
    }
    return bool(names & {"overload", "override", "setter", "deleter"})


def undocumented(tree):
    """Yield (name, line) of public definitions without a docstring, methods included."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.If, ast.Try)):
            yield from undocumented(node)
        elif isinstance(node, DEFINITIONS) and is_public(node.name):
            if not ast.get_docstring(node) and not is_exempt(node):
                yield node.name, node.lineno
            if isinstance(node, ast.ClassDef):
                yield from ((f"{node.name}.{name}", line) for name, line in undocumented(node))


@by_package
def test_public_names_have_docstrings(package):
    missing = []
    for path, _, tree in modules(package):
        parts = path.relative_to(source_folder(package)).with_suffix("").parts
        if not all(is_public(part) or part == "__init__" for part in parts):
            continue
        if not ast.get_docstring(tree):
            missing.append(f"{place(path)} the module")
        missing += [f"{place(path, line)} {name}" for name, line in undocumented(tree)]
    assert not missing, "without a docstring:\n" + "\n".join(missing)


@by_package
def test_modules_and_functions_are_short(package):
    long = []
    for path, text, tree in modules(package):
        lines = len(text.splitlines())
        if lines > MODULE_LINES:
            long.append(f"{place(path)} has {lines} lines, {MODULE_LINES} are allowed")
        for node in ast.walk(tree):
            if isinstance(node, FUNCTIONS):
                lines = node.end_lineno - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(
                        f"{place(path, node.lineno)} {node.name} has {lines} lines, "
                        f"{FUNCTION_LINES} are allowed"
                    )
    assert not long, "\n".join(long)


# Manners


def is_command_line(path):
    """Tell whether a module belongs to the command: motrix_rl/cli.py, or a folder of that name."""
    inside = path.relative_to(ROOT / "packages").parts[2:]
    return inside[0] == CORE and inside[1].startswith("cli")


@by_package
def test_only_the_command_line_prints(package):
    prints = [
        place(path, node.lineno)
        for path, _, tree in modules(package)
        if not is_command_line(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not prints, "log instead:\n" + "\n".join(prints)


def swallows(handler):
    """Tell whether an `except` is bare, or takes every exception and does nothing with it."""
    if handler.type is None:
        return True
    broad = isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    return broad and all(isinstance(statement, ast.Pass) for statement in handler.body)


@by_package
def test_no_exception_is_swallowed(package):
    handlers = [
        place(path, node.lineno)
        for path, _, tree in modules(package)
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and swallows(node)
    ]
    assert not handlers, "name the exception:\n" + "\n".join(handlers)


def is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_import_or_name(node):
    """Tell whether a statement only imports or binds names, with nothing computed."""
    if isinstance(node, ast.If):  # if TYPE_CHECKING
        return all(is_import_or_name(child) for child in (*node.body, *node.orelse))
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        return not any(isinstance(part, ast.Call) for part in ast.walk(node))
    return isinstance(node, (ast.Import, ast.ImportFrom))


@by_package
def test_init_files_hold_only_docstring_imports_and_names(package):
    work = [
        place(path, node.lineno)
        for path, _, tree in modules(package)
        if path.name == "__init__.py"
        for index, node in enumerate(tree.body)
        if not (is_import_or_name(node) or (index == 0 and is_docstring(node)))
    ]
    assert not work, "move this to a module:\n" + "\n".join(work)


# Twins


def own_lines(text):
    """Return the non-blank lines of a module without those of its import statements."""
    imports = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for number in range(node.lineno, node.end_lineno + 1)
    }
    lines = enumerate(text.splitlines(), start=1)
    return [line.rstrip() for number, line in lines if line.strip() and number not in imports]


def shared_lines(left, right):
    """Return the share of the shorter list of lines that the other has in the same order."""
    blocks = difflib.SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / max(1, min(len(left), len(right)))


def test_shared_lines_counts_against_the_shorter_file():
    left = own_lines("import a\nfrom b import (\n    c,\n)\n\nx = 1\ny = 2\n")
    assert left == ["x = 1", "y = 2"]
    assert shared_lines(left, ["x = 1", "other", "y = 3", "z = 4"]) == 0.5
    assert shared_lines([], []) == 0.0


def test_twin_files_share_little():
    alike = []
    for torch_file in sorted(source_folder(TORCH).rglob("*.py")):
        jax_file = source_folder(JAX) / torch_file.relative_to(source_folder(TORCH))
        if not jax_file.is_file():
            continue
        pair = [own_lines(path.read_text(encoding="utf-8")) for path in (torch_file, jax_file)]
        share = shared_lines(*pair)
        if min(map(len, pair)) >= TWIN_LINES and share >= TWIN_SHARE:
            alike.append(f"{place(torch_file)} shares {share:.0%} of its lines with its JAX twin")
    assert not alike, f"what both need belongs in {CORE}:\n" + "\n".join(alike)


# Distributions


def requirements(project):
    """Return every requirement of a distribution, those of its extras included."""
    extras = project.get("optional-dependencies", {}).values()
    return [*project.get("dependencies", []), *(line for extra in extras for line in extra)]


def test_one_version_for_all():
    projects = [pyproject(ROOT / "packages" / package)["project"] for package in PACKAGES]
    versions = {project["name"]: project["version"] for project in projects}
    assert len(set(versions.values())) == 1, versions


EXAMPLES = sorted(f"examples/{path.parent.name}" for path in ROOT.glob("examples/*/pyproject.toml"))


@pytest.mark.parametrize("folder", [*(f"packages/{p}" for p in PACKAGES), *EXAMPLES])
def test_siblings_are_pinned_to_that_version(folder):
    version = pyproject(ROOT / "packages" / ENVS)["project"]["version"]
    project = pyproject(ROOT / folder)["project"]
    loose = []
    for requirement in requirements(project):
        name, extras, pin = re.fullmatch(r"([\w.-]+)(\[.*?\])?(.*)", requirement).groups()
        itself = name == project["name"] and extras and not pin
        if name.startswith("motrix-") and not itself and pin != f"=={version}":
            loose.append(requirement)
    assert not loose, f"pin these to =={version}"


@by_package
def test_python_range(package):
    assert pyproject(ROOT / "packages" / package)["project"]["requires-python"] == ">=3.11,<3.14"
