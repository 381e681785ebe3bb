"""The training registry: which configuration and which trainer serve an environment.

Plugins declare both in the entry-point group `motrix.rlcfgs`:

    def register(registry):
        registry.preset("acme_envs.presets", "acme-hop", rllib="skrl")
        registry.backend(rllib="skrl", backend="torch", algo="ppo", trainer="acme_rl.ppo:Trainer")

and the module `acme_envs.presets` defines the configuration when it is first used:

    @rlcfg("acme-hop")
    @dataclass
    class HopPPO(PPOCfg): ...

A configuration for one backend beats one for all (`backend=None`), whatever came first. Where rllib
"motrix" has none of its own, it takes that of "skrl", whose fields it shares. All errors here are
`ValueError`s too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from motrix_envs import _plugins
from motrix_envs import registry as envs
from motrix_envs._plugins import USER_CODE, Owner
from motrix_envs._registry import ANYTHING, PluginRegistry, check_declaration
from motrix_envs._transaction import enclosing
from motrix_envs.errors import MotrixError, PluginError, describe, did_you_mean

from motrix_rl.errors import BackendNotInstalledError, PresetNotFoundError

if TYPE_CHECKING:
    from motrix_rl.base import BaseRLCfg

T = TypeVar("T", bound=type)

RLLIBS = ("motrix", "skrl")
"""What trains where no RL library is named: the first one that can."""

PRESET_RLLIB = "skrl"
"""Whose configurations are meant where none is named; other libraries take them over."""

BORROWED = {"motrix": PRESET_RLLIB}
"""Whose configuration an rllib takes for an environment that it has none of its own for."""

DEFAULT_ALGO = "ppo"
"""The algorithm where none is named."""

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
    def title(self) -> str:
        """How messages call it."""
        where = f" on '{self.backend}'" if self.backend else ""
        return f"the {self.rllib} {self.algo} configuration of '{self.env_name}'{where}"

    @property
    def key(self) -> tuple[str | None, ...]:
        """Where a registry keeps it."""
        return ("preset", self.env_name, self.rllib, self.backend, self.algo)

    @property
    def complete(self) -> bool:
        """Whether the class is known."""
        return self.cfg_cls is not None

    def bare(self) -> PresetRecord:
        """Return the declaration alone."""
        return replace(self, cfg_cls=None)


@dataclass(frozen=True)
class TargetRecord:
    """A trainer or an RLModule: its name, its owner and where it is, `"package.module:Name"`."""

    name: tuple[str, ...]
    owner: Owner
    target: str
    title: str
    module: str | None = None
    complete: bool = True

    def bare(self) -> TargetRecord:
        """Return itself: a declaration is all there is."""
        return self


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
        rllib: str = PRESET_RLLIB,
        backend: str | None = None,
        algo: str = DEFAULT_ALGO,
    ) -> None:
        """Declare that importing `module` defines the configurations of these environments.

        Raises:
            DuplicateNameError: Somebody else declared one of them.
        """
        parts = (rllib, algo) if backend is None else (rllib, algo, backend)
        check_declaration(module, *env_names, *parts)
        for name in env_names:
            record = PresetRecord(name, rllib, backend, algo, self._owner(), module)
            self._declare(record.key, record)

    def backend(self, *, rllib: str, backend: str, trainer: str, algo: str = DEFAULT_ALGO) -> None:
        """Declare a trainer class by its place, `"package.module:Trainer"`.

        Raises:
            DuplicateNameError: Somebody else serves this rllib, backend and algorithm.
        """
        check_declaration(trainer, rllib, backend, algo)
        title = f"the trainer of {algo} for rllib '{rllib}' on '{backend}'"
        record = TargetRecord((rllib, backend, algo), self._owner(), trainer, title)
        self._declare(("backend", *record.name), record)

    def module(self, name: str, target: str) -> None:
        """Declare an RLModule class by name.

        Raises:
            DuplicateNameError: The name belongs to somebody else.
        """
        check_declaration(target, name)
        record = TargetRecord((name,), self._owner(), target, f"RLModule '{name}'")
        self._declare(("module", name), record)

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
            EnvNotFoundError: The environment is not registered. A plugin's preset is not asked:
                its environment may be missing as long as nobody wants to train it.
            DuplicateNameError: There is one already.
        """
        self._load()
        new = PresetRecord(env_name, rllib, backend, algo, self._owner())
        if self.held(new.key) is None and not any(t.registry is self for t in enclosing()):
            self.envs.require(env_name)
        with self._lock:
            held = cast("PresetRecord | None", self.held(new.key))
            self._claim(held, new, held.cfg_cls if held else None, cfg_cls)
            self._put(new.key, replace(held or new, cfg_cls=cfg_cls))

    # Look-ups

    def presets(self) -> tuple[PresetRecord, ...]:
        """Return all preset records as they are, declared or complete; imports nothing."""
        self._load()
        return tuple(r for r in self._records().values() if isinstance(r, PresetRecord))

    def backends(self) -> tuple[TargetRecord, ...]:
        """Return all trainer records, named (rllib, backend, algo); imports nothing."""
        return self._targets("backend")

    def modules(self) -> tuple[TargetRecord, ...]:
        """Return all RLModule records, named (name,); imports nothing."""
        return self._targets("module")

    def _targets(self, kind: str) -> tuple[TargetRecord, ...]:
        self._load()
        records = self._records().items()
        return tuple(
            record
            for key, record in records
            if isinstance(record, TargetRecord) and cast("tuple[str, ...]", key)[0] == kind
        )

    def default_algo(self, rllib: str) -> str:
        """Return the algorithm that is meant where none is named: an rllib's only one, or PPO."""
        served = {
            algo for lib, _, algo in (record.name for record in self.backends()) if lib == rllib
        }
        return served.pop() if len(served) == 1 else DEFAULT_ALGO

    def backends_for(self, env_name: str, rllib: str, algo: str | None = None) -> list[str]:
        """Return the installed backends on which an environment has a preset."""
        algo = algo or self.default_algo(rllib)
        known = [p for p in self.presets() if (p.env_name, p.algo) == (env_name, algo)]
        served = {p.backend for p in known if p.rllib in (rllib, BORROWED.get(rllib))}
        trainers = [r.name for r in self.backends()]
        names = [backend for lib, backend, name in trainers if (lib, name) == (rllib, algo)]
        return [name for name in names if name in served or None in served]

    def default_rl_cfg(
        self, env_name: str, rllib: str, backend: str, algo: str | None = None
    ) -> BaseRLCfg:
        """Return a fresh configuration; see the function `default_rl_cfg`."""
        from motrix_envs.base import fresh_config

        from motrix_rl.base import BaseRLCfg

        self.envs.require(env_name)
        algo = algo or self.default_algo(rllib)
        libs = (rllib, BORROWED[rllib]) if rllib in BORROWED else (rllib,)
        for lib, choice in itertools.product(libs, (backend, None)):
            key = PresetRecord(env_name, lib, choice, algo, USER_CODE).key
            record = cast("PresetRecord | None", self._complete(key))
            if record is not None and record.cfg_cls is not None:
                return fresh_config(record.cfg_cls, BaseRLCfg)
        raise self.no_preset(env_name, rllib, backend, algo)

    def no_preset(self, env_name: str, rllib: str, backend: str, algo: str) -> PresetNotFoundError:
        """Return the error of the first part that does not fit: rllib, algorithm or backend."""
        about = f"environment '{env_name}' has no RL configuration for"
        left = [p for p in self.presets() if p.env_name == env_name]
        for part, wanted in (("rllib", rllib), ("algo", algo)):
            known = sorted({getattr(preset, part) for preset in left})
            if part == "rllib" and wanted not in known:
                wanted = rllib = BORROWED.get(wanted, wanted)
            if known and wanted not in known:
                return PresetNotFoundError(
                    f"{about} {part} '{wanted}'.{did_you_mean(wanted, known)} "
                    f"Supported: {', '.join(known)}.{self._note()}"
                )
            left = [preset for preset in left if getattr(preset, part) == wanted]
        if left:
            return PresetNotFoundError(
                f"{about} rllib '{rllib}' on backend '{backend}'; there is one for: "
                f"{', '.join(sorted(str(preset.backend) for preset in left))}.{self._note()}"
            )
        return PresetNotFoundError(
            f"{about} algo '{algo}', nor any other: put @rlcfg('{env_name}') on a dataclass that "
            f"inherits PPOCfg.{self._note()}"
        )

    def trainer(self, rllib: str, backend: str, algo: str | None = None) -> type[Any]:
        """Return a trainer class, importing its framework.

        Args:
            rllib: Name of the RL library.
            backend: Name of the backend.
            algo: Name of the algorithm; None takes the library's only one, or PPO.

        Raises:
            BackendNotInstalledError: No installed package serves this backend, or its framework
                cannot be imported; the message says what to install.
            PresetNotFoundError: The rllib or the algorithm is unknown.
        """
        algo = algo or self.default_algo(rllib)
        record = cast("TargetRecord | None", self._get(("backend", rllib, backend, algo)))
        if record is None:
            raise self._no_trainer(rllib, backend, algo)
        try:
            return cast("type[Any]", self._resolve(record.owner, record.target))
        except ANYTHING as error:
            raise BackendNotInstalledError(
                f"backend '{backend}' of {record.owner} is installed but cannot be imported: "
                f"{describe(error)}.{install_hint(backend)}"
            ) from error

    def rl_module(self, name: str) -> type[Any]:
        """Return an RLModule class by its declared name.

        Raises:
            PluginError: Nobody declares it, or it cannot be imported.
        """
        record = cast("TargetRecord | None", self._get(("module", name)))
        if record is None:
            known = [r.name[0] for r in self.modules()]
            raise PluginError(
                f"no RLModule named '{name}' is registered.{did_you_mean(name, known)} "
                f"Registered: {', '.join(known) or 'none'}.{self._note()}"
            )
        try:
            return cast("type[Any]", self._resolve(record.owner, record.target))
        except ANYTHING as error:
            raise PluginError(
                f"{record.title} of {record.owner} cannot be imported: {describe(error)}"
            ) from error

    def _no_trainer(self, rllib: str, backend: str, algo: str) -> MotrixError:
        """Return the error of the first part that nobody serves: backend, rllib or algorithm."""
        names = [record.name for record in self.backends()]
        if backend in EXTRAS and not any(name[1] == backend for name in names):
            return BackendNotInstalledError(
                f"backend '{backend}' is not installed.{install_hint(backend)}{self._note()}"
            )
        wanted = {"backend": (1, backend), "rllib": (0, rllib), "algo": (2, algo)}
        for part, (index, value) in wanted.items():
            known = sorted({name[index] for name in names})
            if value not in known:
                return PresetNotFoundError(
                    f"no installed trainer serves {part} '{value}'.{did_you_mean(value, known)} "
                    f"Available: {', '.join(known) or 'none'}.{self._note()}"
                )
        served = ", ".join(f"{lib} {name} on {where}" for lib, where, name in sorted(names))
        return PresetNotFoundError(
            f"no installed trainer serves {rllib} {algo} on '{backend}'. Available: {served}."
            f"{self._note()}"
        )


def install_hint(backend: str) -> str:
    """Return a sentence with the command that installs a backend of this version, or nothing."""
    if backend not in EXTRAS:
        return ""
    version = _plugins.installed_version("motrix-rl")
    pin = f"=={version}" if version else ""
    return f' Install it: pip install "motrix-rl[{EXTRAS[backend]}]{pin}"'


class _RlCfgs(Mapping[str, EnvRlCfgs]):
    """All configurations by environment; a read-only view that imports what it is asked for."""

    def __getitem__(self, env_name: str) -> EnvRlCfgs:
        cfgs: dict[str, dict[str | None, type[BaseRLCfg]]] = {}
        for record in default.presets():
            if record.env_name == env_name and _is_default(record):
                whole = cast("PresetRecord", default._complete(record.key))
                if whole.cfg_cls is not None:
                    cfgs.setdefault(record.rllib, {})[record.backend] = whole.cfg_cls
        if not cfgs:
            raise KeyError(env_name)
        return EnvRlCfgs(cfgs)

    def __contains__(self, env_name: object) -> bool:
        return env_name in list(self)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(r.env_name for r in default.presets() if _is_default(r)))

    def __len__(self) -> int:
        return len(list(iter(self)))


def _is_default(record: PresetRecord) -> bool:
    """Tell whether a preset is for the algorithm that is meant where none is named."""
    return record.algo == default.default_algo(record.rllib)


default = RlRegistry()
"""The registry behind the functions of this module."""

_rlcfgs = _RlCfgs()


def _current() -> RlRegistry:
    """The registry on whose behalf the caller's module is imported, otherwise the default one."""
    registries = (transaction.registry for transaction in enclosing())
    return next((found for found in registries if isinstance(found, RlRegistry)), default)


def rlcfg(
    env_name: str,
    backend: str | None = None,
    rllib: str = PRESET_RLLIB,
    algo: str = DEFAULT_ALGO,
) -> Callable[[T], T]:
    """Register the decorated configuration dataclass for an environment; may be stacked.

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


def default_rl_cfg(env_name: str, rllib: str, backend: str, algo: str | None = None) -> BaseRLCfg:
    """Return a fresh configuration for training an environment.

    Args:
        env_name: A registered environment.
        rllib: Name of the RL library.
        backend: The specific configuration of this backend wins over one for all.
        algo: Name of the algorithm; None takes the library's only one, or PPO.

    Raises:
        EnvNotFoundError: No such environment.
        PresetNotFoundError: It has no configuration, none for this rllib, or none for this backend.
        PluginError: The plugin that provides it failed.
    """
    return default.default_rl_cfg(env_name, rllib, backend, algo)
