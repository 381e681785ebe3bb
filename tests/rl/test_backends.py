"""The choice of a backend, without importing any."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
from motrix_envs.errors import EnvNotFoundError
from motrix_rl import backends, utils
from motrix_rl.backends import choose_backend, choose_rllib
from motrix_rl.errors import BackendNotInstalledError, PresetNotFoundError
from motrix_rl.registry import RlRegistry
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl.utils import DeviceSupports, get_device_supports


@pytest.fixture
def machine(monkeypatch):
    """Return a function that says what is installed and what the probes answer."""

    def build(installed=(), driver=False, gpus=(), asked=None):
        def probe(command, **options):
            name = next(name for name in ("torch", "jax") if f"import {name};" in command[-1])
            if asked is not None:
                asked.append(name)
            return SimpleNamespace(returncode=0, stdout=f"noise\n{name in gpus}\n")

        versions = dict.fromkeys(installed, "1.0")
        monkeypatch.setattr(utils, "installed_version", versions.get)
        monkeypatch.setattr(utils, "_has_gpu_driver", lambda: driver)
        monkeypatch.setattr(utils.subprocess, "run", probe)

    return build


@pytest.fixture
def registry():
    """A registry in which torch and JAX can train cartpole."""
    registry = RlRegistry()
    registry._loaded = True
    registry.register_rlcfg("cartpole", "skrl", None, PPOCfg)
    for name in ("torch", "jax"):
        registry.backend(rllib="skrl", backend=name, trainer=f"nowhere.{name}:Trainer")
    return registry


def test_nothing_is_supported_by_default():
    assert DeviceSupports() == DeviceSupports(
        torch=False, torch_gpu=False, jax=False, jax_gpu=False
    )
    assert DeviceSupports().preferred() == ()


def test_no_driver_no_question(machine):
    asked = []
    machine(["torch", "jax"], driver=False, gpus=["torch", "jax"], asked=asked)
    assert get_device_supports() == DeviceSupports(torch=True, jax=True)
    assert asked == []


def test_only_what_is_installed_is_asked(machine):
    asked = []
    machine(["torch"], driver=True, gpus=["torch", "jax"], asked=asked)
    assert get_device_supports() == DeviceSupports(torch=True, torch_gpu=True)
    assert asked == ["torch"]


@pytest.mark.parametrize(
    "failure", [OSError("no python"), subprocess.TimeoutExpired("python", 60), 1, "", "False"]
)
def test_a_probe_that_fails_means_no_gpu(machine, monkeypatch, failure):
    def run(*command, **options):
        if isinstance(failure, Exception):
            raise failure
        if failure == 1:
            return SimpleNamespace(returncode=1, stdout="True")
        return SimpleNamespace(returncode=0, stdout=failure)

    machine(["torch", "jax"], driver=True)
    monkeypatch.setattr(utils.subprocess, "run", run)
    assert get_device_supports() == DeviceSupports(torch=True, jax=True)


ORDER = {
    ("jax", "torch"): "jax",
    ("torch",): "torch",
    ("jax",): "jax",
    (): "jax",
}


@pytest.mark.parametrize("gpus", ORDER)
def test_jax_gpu_then_torch_gpu_then_jax_then_torch(machine, registry, gpus):
    machine(["torch", "jax"], driver=True, gpus=gpus)
    assert choose_backend("cartpole", "skrl", rl_registry=registry) == ORDER[gpus]


def test_motrix_trains_where_it_can(registry):
    assert choose_rllib("cartpole", rl_registry=registry) == "skrl"
    registry.backend(rllib="motrix", backend="jax", trainer="nowhere.jax:Trainer")
    assert choose_rllib("cartpole", rl_registry=registry) == "motrix"
    assert choose_rllib("cartpole", "torch", rl_registry=registry) == "skrl"
    assert choose_rllib("cartpole", algo="sac", rl_registry=registry) == "motrix"  # and is refused


def test_the_users_choice_wins(machine, registry):
    machine(["torch", "jax"], driver=True, gpus=["jax"])
    assert choose_backend("cartpole", "skrl", "torch", rl_registry=registry) == "torch"
    with pytest.raises(EnvNotFoundError):
        choose_backend("cartpol", "skrl", "torch", rl_registry=registry)


def test_a_single_backend_is_taken_without_a_question(registry, monkeypatch):
    single = RlRegistry()
    single._loaded = True
    single.register_rlcfg("cartpole", "skrl", "mlx", PPOCfg)
    single.backend(rllib="skrl", backend="mlx", trainer="nowhere:Trainer")
    monkeypatch.setattr(backends, "get_device_supports", lambda: pytest.fail("asked"))
    assert choose_backend("cartpole", "skrl", rl_registry=single) == "mlx"


def test_backends_without_their_framework_come_last(machine, registry):
    machine([])
    assert choose_backend("cartpole", "skrl", rl_registry=registry) == "torch"


def test_no_backend_at_all():
    empty = RlRegistry()
    empty._loaded = True
    with pytest.raises(BackendNotInstalledError) as caught:
        choose_backend("cartpole", "skrl", rl_registry=empty)
    assert 'pip install "motrix-rl[torch]==' in str(caught.value)
    assert 'pip install "motrix-rl[jax]==' in str(caught.value)


def test_another_library_does_not_hide_that_the_default_one_is_missing():
    other = RlRegistry()
    other._loaded = True
    other.register_rlcfg("cartpole", "acme", None, PPOCfg, "ars")
    other.backend(rllib="acme", backend="numpy", algo="ars", trainer="nowhere:Trainer")
    with pytest.raises(
        BackendNotInstalledError, match="no backend of 'skrl' is installed"
    ) as caught:
        choose_backend("cartpole", "skrl", rl_registry=other)
    assert 'pip install "motrix-rl[torch]==' in str(caught.value)
    assert str(caught.value).endswith("Or train with what is there: --rllib acme")
    assert choose_backend("cartpole", "acme", rl_registry=other) == "numpy"


def test_no_configuration_for_any_installed_backend(registry):
    with pytest.raises(PresetNotFoundError, match="no RL configuration for rllib"):
        choose_backend("cartpole", "acme", rl_registry=registry)


def test_no_framework_is_imported():
    code = """
import sys
from motrix_rl.backends import choose_backend, choose_rllib
from motrix_rl.utils import get_device_supports
get_device_supports(), choose_backend("cartpole", "skrl")
print({"torch", "jax", "skrl", "flax", "numpy"} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (run.returncode, run.stdout.strip()) == (0, "set()"), run.stderr
