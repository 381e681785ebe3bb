"""The order of the tests, and what several folders of them need."""

import sys

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that load a graphics driver last.

    Mesa and torch's Triton each bring an LLVM: Triton's ends the process when it comes second.
    """
    items.sort(key=lambda item: item.get_closest_marker("draws") is not None)


@pytest.fixture
def plugin_folder(tmp_path, monkeypatch):
    """A folder on `sys.path` whose modules and distributions are forgotten afterwards."""
    for variable in ("MOTRIX_DISABLE_PLUGINS", "MOTRIX_STRICT_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)
    # A repaired module may have the size and the second of the broken one: bytecode would stay.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path)
    modules = dict(sys.modules)
    yield tmp_path
    for name in sys.modules.keys() - modules.keys():
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]
    # A fresh registry imports plugins again: other classes than those that the default one holds.
    sys.modules.update(modules)
