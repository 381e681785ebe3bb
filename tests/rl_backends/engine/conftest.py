"""The engine as it learns in each framework, and without any of them."""

import pytest

FRAMEWORKS = [
    pytest.param("torch", marks=pytest.mark.torch),
    pytest.param("jax", marks=pytest.mark.jax),
]
NATIVE = pytest.param("native", marks=pytest.mark.torch)


@pytest.fixture(params=[*FRAMEWORKS, NATIVE], scope="session")
def learns(request):
    """Who works out gradients, here and in processes started from here."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("MOTRIX_NATIVE", "1" if request.param == "native" else "0")
        yield request.param


@pytest.fixture(scope="session")
def backend(learns, request):
    """The name of a framework that is installed."""
    name = "torch" if learns == "native" else learns
    pytest.importorskip(name)
    pytest.importorskip(f"motrix_rl_{name}")
    if name == "jax":
        request.getfixturevalue("compiled_once")
    return name
