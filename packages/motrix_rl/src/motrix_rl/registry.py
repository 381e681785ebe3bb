"""The training registry: which configuration and which trainer serve an environment.

Plugins declare both in the entry-point group `motrix.rlcfgs`:

    def register(registry):
        registry.preset("acme_envs.presets", "acme-hop", rllib="skrl")
        registry.backend(rllib="skrl", backend="torch", algo="ppo", trainer="acme_rl.ppo:Trainer")

and the module `acme_envs.presets` defines the configuration when it is first used:

    @rlcfg("acme-hop")
    @dataclass
    class HopPPO(PPOCfg): ...

A configuration for one backend beats one for all (`backend=None`), whatever came first. All
errors here are `ValueError`s too.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from motrix_envs import _plugins
from motrix_envs import registry as envs
from motrix_envs._plugins import Owner
from motrix_envs._registry import PluginRegistry, transacting_registry
from motrix_envs.errors import did_you_mean

from motrix_rl.errors import BackendNotInstalledError, PresetNotFoundError

if TYPE_CHECKING:
    from motrix_rl.base import BaseRLCfg

T = TypeVar("T", bound=type)

DEFAULT_RLLIB = "skrl"
DEFAULT_ALGO = "ppo"

EXTRAS = {"torch": "torch", "jax": "jax"}
"""Backends that `motrix-rl` has an extra for."""


@dataclass(frozen=True)
class PresetRecord:
    """A training configuration: what it is for, who owns it, and its class once imported."""

    env_name: str
    rllib: str
    backend: str | None
    algo: str
    owner: Owner
    module: str | None = None
    cfg_cls: type[BaseRLCfg] | None = None

    @property
    def complete(self) -> bool:
        """Whether the class is known."""
        return self.cfg_cls is not None

    @property
    def defined_in(self) -> str | None:
        """The module that defines the class."""
        return self.cfg_cls.__module__ if self.cfg_cls else None


@dataclass(frozen=True)
class TargetRecord:
    """A trainer or an RLModule: its name, its owner and where it is, `"package.module:Name"`."""

    name: tuple[str, ...]
    owner: Owner
    target: str
    complete: bool = True
    defined_in: str | None = None

    @property
    def module(self) -> str | None:
        """What makes two declarations the same."""
        return self.target


@dataclass(frozen=True)
class EnvRlCfgs:
    """The configuration classes of one environment: `{rllib: {backend or None: class}}`."""

    cfgs: dict[str, dict[str | None, type[BaseRLCfg]]]


class RlRegistry(PluginRegistry):
    """Presets, trainers and modules; the module-level functions use one of these."""

    group = _plugins.RLCFGS_GROUP

    def __init__(self, env_registry: envs.EnvRegistry | None = None) -> None:
        super().__init__()
        self.envs = env_registry or envs.default

    # What a plugin's hook calls

    def preset(
        self,
        module: str,
        *env_names: str,
        rllib: str = DEFAULT_RLLIB,
        backend: str | None = None,
        algo: str = DEFAULT_ALGO,
    ) -> None:
        """Declare that importing `module` defines the configurations of these environments.

        Raises:
            DuplicateNameError: Somebody else declared one of them.
        """
        for name in env_names:
            record = PresetRecord(name, rllib, backend, algo, self._owner(), module)
            self._declare(_preset_key(name, rllib, backend, algo), record, _call(record))

    def backend(self, *, rllib: str, backend: str, trainer: str, algo: str = DEFAULT_ALGO) -> None:
        """Declare a trainer class by its place, `"package.module:Trainer"`.

        Raises:
            DuplicateNameError: Somebody else serves this rllib, backend and algorithm.
        """
        record = TargetRecord((rllib, backend, algo), self._owner(), trainer)
        what = f"the trainer of {algo} for rllib '{rllib}' on '{backend}'"
        self._declare(("backend", *record.name), record, what)

    def module(self, name: str, target: str) -> None:
        """Declare an RLModule class by name.

        Raises:
            DuplicateNameError: The name belongs to somebody else.
        """
        record = TargetRecord((name,), self._owner(), target)
        self._declare(("module", name), record, f"RLModule '{name}'")

    # What scripts and defining modules call

    def register_rlcfg(
        self,
        env_name: str,
        rllib: str,
        backend: str | None,
        cfg_cls: type[BaseRLCfg],
        algo: str = DEFAULT_ALGO,
    ) -> None:
        """Register a configuration class.

        Raises:
            EnvNotFoundError: The environment is not registered. A module that a plugin declared is
                not asked: its environment may be missing as long as nobody wants to train it.
            DuplicateNameError: There is one already.
        """
        self._load()
        if transacting_registry() is not self:
            self.envs.require(env_name)
        key = _preset_key(env_name, rllib, backend, algo)
        with self._lock:
            held = cast("PresetRecord | None", self._table.get(key))
            new = held or PresetRecord(env_name, rllib, backend, algo, self._owner())
            owner = self._claim(held, _call(new), cfg_cls, held.cfg_cls if held else None)
            self._put(key, replace(new, owner=owner, cfg_cls=cfg_cls))

    # Look-ups

    def presets(self) -> tuple[PresetRecord, ...]:
        """Return all preset records as they are, declared or complete; imports nothing."""
        self._load()
        with self._lock:
            return tuple(r for r in self._table.values() if isinstance(r, PresetRecord))

    def backends(self) -> tuple[TargetRecord, ...]:
        """Return all trainer records, named (rllib, backend, algo); imports nothing."""
        self._load()
        with self._lock:
            return tuple(
                cast("TargetRecord", record)
                for key, record in self._table.items()
                if isinstance(key, tuple) and key[0] == "backend"
            )

    def backends_for(self, env_name: str, rllib: str, algo: str = DEFAULT_ALGO) -> list[str]:
        """Return the installed backends on which an environment has a preset."""
        served = {r.backend for r in self.presets() if (r.env_name, r.rllib, r.algo) == (env_name, rllib, algo)}  # fmt: skip  # noqa: E501
        names = [r.name[1] for r in self.backends() if (r.name[0], r.name[2]) == (rllib, algo)]
        return [name for name in names if name in served or None in served]

    def default_rl_cfg(
        self, env_name: str, rllib: str, backend: str, algo: str = DEFAULT_ALGO
    ) -> BaseRLCfg:
        """Return a fresh configuration; see the function `default_rl_cfg`."""
        self.envs.require(env_name)
        presets = [p for p in self.presets() if p.env_name == env_name and p.algo == algo]
        if not presets:
            raise PresetNotFoundError(
                f"environment '{env_name}' has no RL configuration for algorithm '{algo}': put "
                f"@rlcfg('{env_name}') on a dataclass that inherits PPOCfg.{self._note()}"
            )
        rllibs = sorted({preset.rllib for preset in presets})
        if rllib not in rllibs:
            raise PresetNotFoundError(
                f"environment '{env_name}' has no configuration for rllib '{rllib}'."
                f"{did_you_mean(rllib, rllibs)} Supported: {', '.join(rllibs)}"
            )
        for choice in (backend, None):
            key = _preset_key(env_name, rllib, choice, algo)
            record = cast("PresetRecord | None", self._complete(key, _spell(env_name, rllib, choice)))
            if record is not None and record.cfg_cls is not None:
                return copy.deepcopy(record.cfg_cls())
        known = sorted(str(p.backend) for p in presets if p.rllib == rllib)
        raise PresetNotFoundError(
            f"environment '{env_name}' has no configuration for rllib '{rllib}' on backend "
            f"'{backend}'; there is one for: {', '.join(known)}"
        )

    def trainer(self, rllib: str, backend: str, algo: str = DEFAULT_ALGO) -> type[Any]:
        """Return a trainer class, importing its framework.

        Raises:
            BackendNotInstalledError: No installed package serves this backend, or its framework
                cannot be imported; the message says what to install.
            PresetNotFoundError: The rllib or the algorithm is unknown.
        """
        record = cast("TargetRecord | None", self._get(("backend", rllib, backend, algo)))
        if record is None:
            raise self._no_trainer(rllib, backend, algo)
        try:
            return cast("type[Any]", _plugins.resolve(record.target))
        except Exception as error:
            raise BackendNotInstalledError(
                f"backend '{backend}' of {record.owner} is installed but cannot be imported: "
                f"{type(error).__name__}: {error}. {install_hint(backend)}"
            ) from error

    def _no_trainer(self, rllib: str, backend: str, algo: str) -> Exception:
        names = [record.name for record in self.backends()]
        if backend in EXTRAS and not any(name[1] == backend for name in names):
            return BackendNotInstalledError(
                f"backend '{backend}' is not installed. {install_hint(backend)}{self._note()}"
            )
        served = ", ".join(f"{lib} {algo} on {backend}" for lib, backend, algo in names) or "nothing"
        return PresetNotFoundError(
            f"nobody serves {algo} by rllib '{rllib}' on backend '{backend}'. Installed: {served}. "
            f"{did_you_mean(backend, [name[1] for name in names])}{self._note()}"
        )


def install_hint(backend: str) -> str:
    """Return the command that installs a backend, with this version pinned, or nothing."""
    if backend not in EXTRAS:
        return ""
    version = _plugins.installed_version("motrix-rl")
    return f'Install it: pip install "motrix-rl[{EXTRAS[backend]}]=={version}"'


def _preset_key(env_name: str, rllib: str, backend: str | None, algo: str) -> tuple[Any, ...]:
    return ("preset", env_name, rllib, backend, algo)


def _call(record: PresetRecord) -> str:
    return _spell(record.env_name, record.rllib, record.backend)


def _spell(env_name: str, rllib: str, backend: str | None) -> str:
    return f"the {rllib} configuration of '{env_name}'" + (f" on '{backend}'" if backend else "")


class _RlCfgs(Mapping[str, EnvRlCfgs]):
    """All configurations by environment; a read-only view that imports what it is asked for."""

    def __getitem__(self, env_name: str) -> EnvRlCfgs:
        cfgs: dict[str, dict[str | None, type[BaseRLCfg]]] = {}
        for record in default.presets():
            if record.env_name == env_name and record.algo == DEFAULT_ALGO:
                key = _preset_key(env_name, record.rllib, record.backend, record.algo)
                whole = cast("PresetRecord", default._complete(key, _call(record)))
                if whole.cfg_cls is not None:
                    cfgs.setdefault(record.rllib, {})[record.backend] = whole.cfg_cls
        if not cfgs:
            raise KeyError(env_name)
        return EnvRlCfgs(cfgs)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(record.env_name for record in default.presets()))

    def __len__(self) -> int:
        return len(list(iter(self)))


default = RlRegistry()
"""The registry behind the functions of this module."""

_rlcfgs = _RlCfgs()


def _current() -> RlRegistry:
    """The registry that is importing the caller's module, otherwise the default one."""
    registry = transacting_registry()
    return registry if isinstance(registry, RlRegistry) else default


def rlcfg(
    env_name: str,
    backend: str | None = None,
    rllib: str = DEFAULT_RLLIB,
    algo: str = DEFAULT_ALGO,
) -> Callable[[T], T]:
    """Register the decorated configuration dataclass for an environment.

    Args:
        env_name: A registered environment.
        backend: `"torch"`, `"jax"`, or None for all.
        rllib: Name of the RL library.
        algo: Name of the algorithm.
    """

    def decorate(cls: T) -> T:
        _current().register_rlcfg(env_name, rllib, backend, cls, algo)
        return cls

    return decorate


def _register_rlcfg(
    env_name: str, rllib: str, backend: str | None, cfg_cls: type[BaseRLCfg]
) -> None:
    """Register a configuration class; see `RlRegistry.register_rlcfg`."""
    _current().register_rlcfg(env_name, rllib, backend, cfg_cls)


def default_rl_cfg(
    env_name: str, rllib: str, backend: str, algo: str = DEFAULT_ALGO
) -> BaseRLCfg:
    """Return a fresh configuration for training an environment.

    Args:
        env_name: A registered environment.
        rllib: Name of the RL library.
        backend: The specific configuration of this backend wins over one for all.
        algo: Name of the algorithm.

    Raises:
        EnvNotFoundError: No such environment.
        PresetNotFoundError: It has no configuration, none for this rllib, or none for this backend.
        PluginError: The plugin that provides it failed.
    """
    return default.default_rl_cfg(env_name, rllib, backend, algo)
