"""The environment registry: `make("cartpole")`, and the decorators that put environments into it.

Plugins declare ids in the entry-point group `motrix.envs`:

    def register(registry):
        registry.lazy("acme_envs.hop", "acme-hop", "acme-hop-rough")

and the module `acme_envs.hop` defines them, when one of them is first used:

    @envcfg("acme-hop")
    @dataclass
    class HopCfg(EnvCfg): ...

    @env("acme-hop", "np")
    class HopEnv(NpEnv): ...

Scripts and notebooks use the decorators alone. All errors here are `ValueError`s too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from motrix_envs import _plugins
from motrix_envs._plugins import USER_CODE, Owner
from motrix_envs._registry import ANYTHING, PluginRegistry, check_declaration, check_names
from motrix_envs._transaction import enclosing
from motrix_envs.errors import (
    DuplicateNameError,
    EnvNotFoundError,
    SimBackendError,
    describe,
    did_you_mean,
)

if TYPE_CHECKING:
    from motrix_envs.base import EnvCfg
    from motrix_envs.np.env import NpEnv
    from motrix_envs.sim import Simulation

T = TypeVar("T", bound=type)

NP = "np"
"""The backend under which environment classes register: NumPy over the simulation seam."""

DEFAULT_ENGINE = "motrixsim"
"""The engine behind `"np"`."""

ENGINE_EXTRAS = {"mujoco": "mujoco", "mujoco-fast": "mujoco"}
"""Extras of motrix-envs that install an engine, for the hint where it is missing."""


@dataclass(frozen=True)
class EnvMeta:
    """An environment's configuration class and its environment class per simulation backend."""

    env_cfg_cls: type[EnvCfg]
    env_cls_dict: dict[str, type[NpEnv]] = field(default_factory=dict)

    def available_sim_backend(self) -> str | None:
        """Return the first registered backend, or None."""
        return next(iter(self.env_cls_dict), None)

    def support_sim_backend(self, sim_backend: str) -> bool:
        """Return whether an environment class exists for this backend."""
        return sim_backend in self.env_cls_dict


@dataclass(frozen=True)
class EnvRecord:
    """An environment id: who owns it, which module defines it, and its classes once imported."""

    name: str
    owner: Owner
    module: str | None = None
    meta: EnvMeta | None = None

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"environment '{self.name}'"

    @property
    def complete(self) -> bool:
        """Whether both configuration and environment class are known."""
        return self.meta is not None and bool(self.meta.env_cls_dict)

    def bare(self) -> EnvRecord:
        """Return the declaration alone."""
        return replace(self, meta=None)


@dataclass(frozen=True)
class EngineRecord:
    """A physics engine: its owner and where its `Simulation` class is."""

    name: str
    owner: Owner
    target: str
    module: str | None = None
    complete: bool = True

    @property
    def title(self) -> str:
        """How messages call it."""
        return f"engine '{self.name}'"

    def bare(self) -> EngineRecord:
        """Return itself: a declaration is all there is."""
        return self


class EnvRegistry(PluginRegistry):
    """Environment ids and physics engines; the module-level functions use one of these."""

    group = _plugins.ENVS_GROUP

    # What a plugin's hook calls

    def lazy(self, module: str, *names: str) -> None:
        """Declare that importing `module` defines the environments `names`.

        Raises:
            DuplicateNameError: A name belongs to somebody else.
        """
        check_declaration(module, *names)
        for name in names:
            self._declare(("env", name), EnvRecord(name, self._owner(), module))

    def engine(self, name: str, target: str) -> None:
        """Declare a physics engine: `target` is `"package.module:Class"` of a `Simulation`.

        Raises:
            DuplicateNameError: The name belongs to somebody else.
        """
        check_declaration(target, name)
        self._declare(("engine", name), EngineRecord(name, self._owner(), target))

    # What scripts and defining modules call

    def register_env_config(self, name: str, env_cfg_cls: type[EnvCfg]) -> None:
        """Register the configuration class of an environment.

        Raises:
            DuplicateNameError: The name is taken.
        """
        check_names(name)
        self._load()
        with self._lock:
            held = self._env(name)
            new = EnvRecord(name, self._owner())
            meta = held.meta if held else None
            self._claim(held, new, meta.env_cfg_cls if meta else None, env_cfg_cls)
            classes = meta.env_cls_dict if meta else {}
            self._put(("env", name), replace(held or new, meta=EnvMeta(env_cfg_cls, classes)))

    def register_env(self, name: str, env_cls: type[NpEnv], sim_backend: str) -> None:
        """Register the environment class of an environment for a simulation backend.

        Raises:
            SimBackendError: The backend is not `"np"`.
            EnvNotFoundError: The environment has no configuration yet.
            DuplicateNameError: It has a class for this backend already.
        """
        if sim_backend != NP:
            raise SimBackendError(
                f"environment classes register under sim_backend='{NP}', not '{sim_backend}': "
                "engines are chosen when the environment is made"
            )
        self._load()
        with self._lock:
            held = self._env(name)
            if held is None or held.meta is None:
                raise EnvNotFoundError(
                    f"environment '{name}' has no configuration: put @envcfg('{name}') on its "
                    "EnvCfg dataclass before @env"
                )
            old = held.meta.env_cls_dict.get(sim_backend)
            self._claim(held, EnvRecord(name, self._owner()), old, env_cls)
            classes = {**held.meta.env_cls_dict, sim_backend: env_cls}
            meta = replace(held.meta, env_cls_dict=classes)
            self._put(("env", name), replace(held, meta=meta))

    def _env(self, name: str) -> EnvRecord | None:
        return cast("EnvRecord | None", self.held(("env", name)))

    # Look-ups

    def contains(self, name: str) -> bool:
        """Return whether an environment is declared or has a configuration; imports nothing."""
        return self._get(("env", name)) is not None

    def envs(self) -> tuple[EnvRecord, ...]:
        """Return all environment records as they are, declared or complete; imports nothing."""
        self._load()
        return tuple(r for r in self._records().values() if isinstance(r, EnvRecord))

    def engines(self) -> tuple[EngineRecord, ...]:
        """Return all engine records; imports nothing."""
        self._load()
        return tuple(r for r in self._records().values() if isinstance(r, EngineRecord))

    def meta(self, name: str) -> EnvMeta:
        """Return the classes of an environment, importing its module if need be.

        Raises:
            EnvNotFoundError: No such environment.
            PluginError: Its module failed.
        """
        record = cast("EnvRecord | None", self._complete(("env", name)))
        if record is None or record.meta is None:
            raise self._unknown(name)
        return record.meta

    def require(self, name: str) -> None:
        """Check that an environment is registered; imports nothing.

        Raises:
            EnvNotFoundError: No such environment.
        """
        if not self.contains(name):
            raise self._unknown(name)

    def _unknown(self, name: str) -> EnvNotFoundError:
        hint = did_you_mean(name, [record.name for record in self.envs()])
        return EnvNotFoundError(
            f"no environment named '{name}' is registered.{hint} "
            f"(`motrix list` shows them all.){self._note()}"
        )

    def default_cfg(self, name: str) -> EnvCfg:
        """Return a fresh copy of an environment's default configuration.

        Raises:
            EnvNotFoundError: No such environment.
            ConfigError: Its class is not written as a dataclass, or cannot be made.
        """
        from motrix_envs.base import EnvCfg, fresh_config

        return fresh_config(self.meta(name).env_cfg_cls, EnvCfg)

    def checked_cfg(self, name: str, override: Mapping[str, Any]) -> EnvCfg:
        """Return an environment's configuration with changes, validated.

        Raises:
            EnvNotFoundError: No such environment.
            ConfigError: A change does not fit, or the whole is impossible.
        """
        from motrix_envs._overrides import apply_overrides
        from motrix_envs.base import config_errors

        cfg = self.default_cfg(name)
        apply_overrides(cfg, override, f"environment '{name}'")
        with config_errors(type(cfg), "validated"):
            cfg.validate()
        return cfg

    def find_available_sim_backend(self, env_name: str) -> str:
        """Return the first simulation backend of an environment.

        Raises:
            EnvNotFoundError: No such environment.
            SimBackendError: It has a configuration but no class.
        """
        backend = self.meta(env_name).available_sim_backend()
        if backend is None:
            raise SimBackendError(
                f"environment '{env_name}' has a configuration but no class: put "
                f"@env('{env_name}', '{NP}') on one"
            )
        return backend

    def list_registered_envs(self) -> dict[str, dict[str, Any]]:
        """Return `{id: {"config_class": str, "available_backends": [str]}}`.

        Imports every declared module. One that fails is left out, with a warning.
        """
        self.complete_all()
        self._announce()
        engines = [engine.name for engine in self.engines()]
        listing = {}
        for record in self.envs():
            if record.meta is None or (record.module and not record.complete):
                continue
            backends = [*record.meta.env_cls_dict]
            listing[record.name] = {
                "config_class": record.meta.env_cfg_cls.__name__,
                "available_backends": [*backends, *(engines if backends else ())],
            }
        return listing

    def simulation_class(self, sim_backend: str | None) -> type[Simulation]:
        """Return the engine behind `sim_backend`; None and `"np"` mean the default engine.

        Raises:
            SimBackendError: No such engine is installed, or it cannot be imported.
        """
        name = DEFAULT_ENGINE if sim_backend in (None, NP) else str(sim_backend)
        record = cast("EngineRecord | None", self._get(("engine", name)))
        if record is None:
            known = [NP, *(engine.name for engine in self.engines())]
            raise SimBackendError(
                f"no simulation backend named '{name}'.{did_you_mean(name, known)} "
                f"Available: {', '.join(known)}.{_install_hint(name)}{self._note()}"
            )
        try:
            return cast("type[Simulation]", self._resolve(record.owner, record.target))
        except ANYTHING as error:
            raise SimBackendError(
                f"engine '{name}' of {record.owner} is installed but cannot be imported: "
                f"{describe(error)}"
            ) from error

    def make(
        self,
        name: str,
        sim_backend: str | None = None,
        env_cfg_override: Mapping[str, Any] | None = None,
        num_envs: int = 1,
        seed: int | None = None,
    ) -> NpEnv:
        """Build `num_envs` copies of an environment. See the function `make`."""
        cfg = self.checked_cfg(name, env_cfg_override or {})
        env_cls = self.meta(name).env_cls_dict[self.find_available_sim_backend(name)]
        engine = self.simulation_class(sim_backend)
        return env_cls(cfg, num_envs=num_envs, seed=seed, engine=engine)


default = EnvRegistry()
"""The registry behind the functions of this module."""


def _install_hint(engine: str) -> str:
    """Return a sentence with the command that installs an engine of this version, or nothing."""
    if engine not in ENGINE_EXTRAS:
        return ""
    version = _plugins.installed_version("motrix-envs")
    pin = f"=={version}" if version else ""
    return f' Install it: pip install "motrix-envs[{ENGINE_EXTRAS[engine]}]{pin}"'


def _current() -> EnvRegistry:
    """The registry on whose behalf the caller's module is imported, otherwise the default one."""
    for transaction in enclosing():
        registry = transaction.registry
        # A training registry names the environment registry that it trains.
        found = registry if isinstance(registry, EnvRegistry) else getattr(registry, "envs", None)
        if isinstance(found, EnvRegistry):
            return found
    return default


def envcfg(name: str) -> Callable[[T], T]:
    """Register the decorated `EnvCfg` dataclass under `name`; several names may be stacked."""

    def decorate(cls: T) -> T:
        _current().register_env_config(name, cls)
        return cls

    return decorate


def env(name: str, sim_backend: str = NP) -> Callable[[T], T]:
    """Register the decorated environment class under `name`; several names may be stacked."""

    def decorate(cls: T) -> T:
        _current().register_env(name, cls, sim_backend)
        return cls

    return decorate


def register_env_config(name: str, env_cfg_cls: type[EnvCfg]) -> None:
    """Register a configuration class; see `EnvRegistry.register_env_config`."""
    _current().register_env_config(name, env_cfg_cls)


def register_env(name: str, env_cls: type[NpEnv], sim_backend: str) -> None:
    """Register an environment class; see `EnvRegistry.register_env`."""
    _current().register_env(name, env_cls, sim_backend)


def contains(name: str) -> bool:
    """Return whether an environment is declared or has a configuration; imports nothing."""
    return default.contains(name)


def find_available_sim_backend(env_name: str) -> str:
    """Return the first simulation backend of an environment: `"np"`."""
    return default.find_available_sim_backend(env_name)


def list_registered_envs() -> dict[str, dict[str, Any]]:
    """Return `{id: {"config_class": str, "available_backends": [str]}}` of all environments."""
    return default.list_registered_envs()


def make(
    name: str,
    sim_backend: str | None = None,
    env_cfg_override: Mapping[str, Any] | None = None,
    num_envs: int = 1,
    seed: int | None = None,
) -> NpEnv:
    """Build a batch of environments.

    Args:
        name: A registered id; `motrix list` shows them.
        sim_backend: None or `"np"` for the default engine, or an engine's name: `"motrixsim"`.
        env_cfg_override: Changes of the default configuration by dotted field names:
            `{"max_episode_seconds": 5.0, "reward.action_rate": -0.02}`.
        num_envs: How many copies step together.
        seed: Key of every random draw; None draws one from the operating system.

    Raises:
        EnvNotFoundError: No such environment.
        SimBackendError: No such engine.
        ConfigError: An override names no field, has the wrong type, or gives an impossible
            configuration.
        PluginError: The plugin that provides the environment failed.
    """
    return default.make(name, sim_backend, env_cfg_override, num_envs, seed)


__all__ = [
    "DEFAULT_ENGINE",
    "NP",
    "USER_CODE",
    "DuplicateNameError",
    "EngineRecord",
    "EnvMeta",
    "EnvRecord",
    "EnvRegistry",
    "contains",
    "default",
    "env",
    "envcfg",
    "find_available_sim_backend",
    "list_registered_envs",
    "make",
    "register_env",
    "register_env_config",
]
