"""The way from a framework's name to the package that serves it.

A backend is known by the trainers that its plugin declares in `motrix.rlcfgs`. Its package has a
module `rl_module.build` with three names: `build_model(config)`, `Ops`, its array operations, and
`PPOModule`, its class of the module that PPO trains; and perhaps a module `rl_module.export`, an
`Exporter`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from motrix_envs import _plugins
from motrix_envs.errors import did_you_mean

from motrix_rl import registry
from motrix_rl.rl_module.distributions.ops import ArrayOps, NumpyOps
from motrix_rl.rl_module.errors import FrameworkNotFoundError

if TYPE_CHECKING:
    from motrix_rl.export.formats import Exporter
    from motrix_rl.rl_module.ppo import PPORLModule


def model_builder(framework: str) -> Callable[[Any], Any]:
    """Return the function that makes a network of a `ModelConfig`.

    Raises:
        FrameworkNotFoundError: No installed backend has this name.
    """
    return cast("Callable[[Any], Any]", _from_package(framework, "build_model"))


def array_ops(framework: str | None) -> type[ArrayOps]:
    """Return the array operations of a framework; None means NumPy.

    Raises:
        FrameworkNotFoundError: No installed backend has this name.
    """
    if framework is None:
        return NumpyOps
    return cast("type[ArrayOps]", _from_package(framework, "Ops"))


def ppo_module(framework: str) -> type[PPORLModule]:
    """Return a framework's class of the module that PPO trains; "numpy" needs none.

    Raises:
        FrameworkNotFoundError: No installed backend has this name.
    """
    if framework == "numpy":
        from motrix_rl.rl_module.numpy_module import PPONumpyRLModule

        return PPONumpyRLModule
    return cast("type[PPORLModule]", _from_package(framework, "PPOModule"))


def exporter(framework: str) -> Exporter:
    """Return the module that writes and reads the files of a framework.

    Raises:
        FrameworkNotFoundError: No installed backend has this name.
        ImportError: Its package has no such module, or the framework cannot be imported.
    """
    return cast("Exporter", _plugins.resolve(f"{_package(framework)}.rl_module.export"))


def _from_package(framework: str, name: str) -> Any:
    return _plugins.resolve(f"{_package(framework)}.rl_module.build:{name}")


def _package(framework: str) -> str:
    # First-party packages come first, and the first one that serves a framework counts.
    packages: dict[str, str] = {}
    for record in registry.default.backends():
        packages.setdefault(record.name[1], record.target.partition(":")[0].split(".")[0])
    if framework not in packages:
        raise FrameworkNotFoundError(
            f"no installed backend is called '{framework}'."
            f"{did_you_mean(str(framework), packages)} Installed: {', '.join(packages) or 'none'}. "
            f"{registry.install_hint(framework)}"
        )
    return packages[framework]
