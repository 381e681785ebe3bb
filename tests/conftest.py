"""The order of the tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that load a graphics driver last.

    Mesa and torch's Triton each bring an LLVM: Triton's ends the process when it comes second.
    """
    items.sort(key=lambda item: item.get_closest_marker("draws") is not None)
