"""docs/api.md names what there is, and says what the docstrings say."""

import importlib
import inspect
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

pytestmark = [pytest.mark.torch, pytest.mark.jax]


def tables():
    """Return {module: {name: line}} as the page has it."""
    found = {}
    for name, text in re.findall(r"^\| (\S+) \| (.*) \|$", PAGE, re.MULTILINE):
        if name.startswith("**"):
            current = found.setdefault(name.strip("*"), {})
        elif name.startswith("`"):
            current[name.strip("`")] = text.replace("\\|", "|")
    return found


def has_docstring(value):
    """Whether a value is a class or function of ours; others are explained in the source."""
    is_ours = str(getattr(value, "__module__", "")).startswith("motrix")
    return is_ours and (inspect.isclass(value) or inspect.isroutine(value))


def is_public_of(module, name, value):
    is_own = has_docstring(value) and value.__module__ == module.__name__
    return is_own and not name.startswith("_")


@pytest.mark.parametrize("module_name", tables())
def test_nothing_is_missing_and_nothing_is_made_up(module_name):
    module, table = importlib.import_module(module_name), tables()[module_name]
    needed = {name for name, value in vars(module).items() if is_public_of(module, name, value)}
    needed = set(getattr(module, "__all__", needed))
    assert needed <= set(table), "run tools/write_api.py"
    for name, text in table.items():
        value = getattr(module, name)
        assert text.strip(), f"{module_name}.{name} has no docstring"
        if has_docstring(value):
            assert inspect.getdoc(value).partition("\n")[0] == text, "run tools/write_api.py"


def test_the_page_is_what_the_tool_writes():
    written = runpy.run_path(str(ROOT / "tools" / "write_api.py"))["page"]()
    assert written == PAGE, "run tools/write_api.py"
