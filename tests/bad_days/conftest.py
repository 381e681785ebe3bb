"""Bad days: the sum of what was tried is printed at the end."""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from motrix_envs import registry as envs
from motrix_rl.runs import Run

sys.path.insert(0, str(Path(__file__).parent))

from answers import TALLY, TRAIN, motrix

# skrl splits tensors into mini-batches by NumPy, which calls what torch offers it outdated.
SPLIT = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings(SPLIT))


def pytest_terminal_summary(terminalreporter):
    if TALLY:
        terminalreporter.section("bad days")
        for door in sorted({door for door, _ in TALLY}):
            found = {kind: n for (where, kind), n in sorted(TALLY.items()) if where == door}
            spelled = ", ".join(f"{number} {kind}" for kind, number in found.items())
            terminalreporter.write_line(f"{door}: {sum(found.values())} bad inputs: {spelled}")
        terminalreporter.write_line(f"in all: {TALLY.total()} bad inputs")


@pytest.fixture(scope="session")
def here(tmp_path_factory):
    """An empty folder to work in; whatever a refused command leaves there is a defect."""
    return tmp_path_factory.mktemp("here")


class PaintedViewer:
    """Stands in for the renderer: noise that depends on the state alone."""

    closed = False

    def __init__(self, simulation, view):
        self._simulation, self._size = simulation, view.size

    def frame(self):
        positions = self._simulation.snapshot()["positions"]
        noise = np.random.default_rng(round(1e6 * abs(float(positions.sum()))))
        return noise.integers(0, 256, (*self._size[::-1], 3), np.uint8)

    def close(self):
        pass


def painted_viewer(simulation, view):
    return PaintedViewer(simulation, view)


@pytest.fixture(scope="module", autouse=True)
def painted():
    """Paint instead of drawing: what is drawn is not what is tested, and drivers are slow."""
    with pytest.MonkeyPatch.context() as patch:
        for engine in envs.default.engines():
            patch.setattr(envs.default.simulation_class(engine.name), "viewer", painted_viewer)
        patch.setattr("motrix_rl.cli.watch.has_display", lambda: False)
        yield


@pytest.fixture(autouse=True)
def working_folder(here, monkeypatch):
    monkeypatch.chdir(here)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of two small runs of cartpole; whoever damages one works on a copy."""
    backend = "torch" if find_spec("motrix_rl_torch") and find_spec("torch") else "jax"
    if not find_spec(f"motrix_rl_{backend}"):
        pytest.skip("needs a framework to train a run")
    root = tmp_path_factory.mktemp("trained") / "runs"
    for seed in ("1", "2"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = motrix(*TRAIN, "--backend", backend, "--seed", seed, "--runs", str(root))
        assert answer.code == 0, answer.err
        run = Run.newest(root)
        run.mark_best(run.checkpoints()[0], {"mean": 1.0})
    return root
