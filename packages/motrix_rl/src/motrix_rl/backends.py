"""The choice of library and backend: explicit wins, otherwise the best of what is installed."""

from __future__ import annotations

from motrix_rl import registry
from motrix_rl.errors import BackendNotInstalledError
from motrix_rl.registry import EXTRAS, RLLIBS, RlRegistry, install_hint
from motrix_rl.utils import get_device_supports


def choose_rllib(
    env_name: str,
    backend: str | None = None,
    algo: str | None = None,
    rl_registry: RlRegistry | None = None,
) -> str:
    """Return the RL library to train an environment with, where the user names none.

    Args:
        env_name: A registered environment.
        backend: The user's choice, if there is one.
        algo: Name of the algorithm.
        rl_registry: Where to look; None takes the default registry.
    """
    known = rl_registry or registry.default
    for rllib in RLLIBS:
        served = known.backends_for(env_name, rllib, algo)
        if served and backend in (None, *served):
            return rllib
    return RLLIBS[0]


def choose_backend(
    env_name: str,
    rllib: str,
    wanted: str | None = None,
    algo: str | None = None,
    rl_registry: RlRegistry | None = None,
) -> str:
    """Return the backend to train an environment with.

    Args:
        env_name: A registered environment.
        rllib: Name of the RL library.
        wanted: The user's choice; None takes JAX on a GPU, torch on a GPU, JAX or torch.
        algo: Name of the algorithm; None takes the library's only one, or PPO.
        rl_registry: Where to look; None takes the default registry.

    Raises:
        EnvNotFoundError: No such environment.
        PresetNotFoundError: It has no configuration for any installed backend.
        BackendNotInstalledError: No backend of the default library, or none at all, is installed;
            the message says how to get one.
    """
    known = rl_registry or registry.default
    known.envs.require(env_name)
    if wanted is not None:
        return wanted
    libraries = sorted({record.name[0] for record in known.backends()})
    if not libraries or (rllib in RLLIBS and not set(RLLIBS) & set(libraries)):
        raise _none_installed(rllib, libraries)
    algo = algo or known.default_algo(rllib)
    usable = known.backends_for(env_name, rllib, algo)
    if not usable:
        installed = ", ".join(sorted({record.name[1] for record in known.backends()}))
        raise known.no_preset(env_name, rllib, installed, algo)
    if len(usable) == 1:
        return usable[0]  # asking for devices may take seconds
    preferred = [name for name in get_device_supports().preferred() if name in usable]
    return (preferred or usable)[0]


def _none_installed(rllib: str, libraries: list[str]) -> BackendNotInstalledError:
    """Return the error that says what to install, and what can be used without."""
    hints = "\n".join(f" {install_hint(name)}" for name in EXTRAS)
    there = f"\nOr train with what is there: --rllib {' or '.join(libraries)}" if libraries else ""
    which = f"no backend of '{rllib}'" if libraries else "no training backend"
    return BackendNotInstalledError(f"{which} is installed. Choose one:\n{hints}{there}")
