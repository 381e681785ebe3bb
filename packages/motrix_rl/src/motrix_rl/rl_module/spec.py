"""`RLModuleSpec`: everything that is needed to build a module."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from motrix_rl.rl_module.annotations import Deprecated, PublicAPI
from motrix_rl.rl_module.class_paths import deserialize_type, serialize_type
from motrix_rl.rl_module.columns import DEFAULT_MODULE_ID
from motrix_rl.rl_module.config import RLModuleConfig

if TYPE_CHECKING:
    from motrix_rl.rl_module.catalog import Catalog
    from motrix_rl.rl_module.module import RLModule
    from motrix_rl.rl_module.multi_spec import MultiRLModuleSpec

_FLAGS = ("inference_only", "learner_only")
_VALUES = (
    "module_class",
    "observation_space",
    "action_space",
    "model_config_dict",
    "catalog_class",
    "load_state_path",
    "state_space",
)


@PublicAPI(stability="alpha")
@dataclass
class RLModuleSpec:
    """A recipe for a single-agent module. Nothing is checked before `build`.

    Args:
        module_class: The class to build.
        observation_space: What the module sees; not always what the environment gives.
        action_space: What it decides on.
        inference_only: Leave out the parts that acting does not need, such as a value function.
        learner_only: Only for training, never built where actions are computed. Not together with
            `inference_only`.
        model_config_dict: Sizes and kinds of networks; see `DefaultModelConfig`.
        catalog_class: What makes networks and distributions from all this.
        load_state_path: A checkpoint folder whose state `build(load=True)` restores.
        state_space: Privileged observations of the critic, if there are any.
    """

    module_class: type[RLModule] | None = None
    observation_space: gym.Space[Any] | None = None
    action_space: gym.Space[Any] | None = None
    inference_only: bool = False
    learner_only: bool = False
    model_config_dict: dict[str, Any] | None = None
    catalog_class: type[Catalog] | None = None
    load_state_path: str | None = None
    state_space: gym.Space[Any] | None = None

    def get_rl_module_config(self) -> RLModuleConfig:
        """Return what the module's constructor gets: all fields but class and path."""
        return RLModuleConfig(
            observation_space=self.observation_space,
            action_space=self.action_space,
            inference_only=self.inference_only,
            learner_only=self.learner_only,
            model_config_dict=self.model_config_dict or {},
            catalog_class=self.catalog_class,
            state_space=self.state_space,
        )

    def build(self, *, load: bool = False) -> RLModule:
        """Return a new module.

        Args:
            load: Whether to restore the state at `load_state_path`, if there is one.

        Raises:
            ValueError: Class, observation space or action space is missing, or the module is to be
                for inference only and for learning only.
        """
        if self.module_class is None:
            raise ValueError("cannot build a module: `module_class` is not set")
        if self.observation_space is None:
            raise ValueError("cannot build a module: `observation_space` is not set")
        if self.action_space is None:
            raise ValueError("cannot build a module: `action_space` is not set")
        if self.inference_only and self.learner_only:
            raise ValueError("`inference_only` and `learner_only` exclude each other: choose one")
        module = self.module_class(self.get_rl_module_config())
        if load and self.load_state_path is not None:
            module.restore_from_path(self.load_state_path)
        return module

    @classmethod
    def from_module(cls, module: RLModule) -> RLModuleSpec:
        """Return the recipe that a module was made from.

        Raises:
            ValueError: It is a `MultiRLModule`; use `MultiRLModuleSpec.from_module`.
        """
        from motrix_rl.rl_module.multi import MultiRLModule

        module = module.unwrapped()
        if isinstance(module, MultiRLModule):
            raise ValueError("a MultiRLModule has no RLModuleSpec: use MultiRLModuleSpec")
        return cls._from_config(type(module), module.config)

    @classmethod
    def _from_config(cls, module_class: type[RLModule], config: RLModuleConfig) -> RLModuleSpec:
        names = (*_FLAGS, *_VALUES)
        values = {name: getattr(config, name) for name in names if hasattr(config, name)}
        return cls(module_class=module_class, **values)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as JSON.

        Raises:
            ValueError: There is no class, or something has no JSON form.
        """
        if self.module_class is None:
            raise ValueError("a spec without `module_class` has no JSON form")
        return {
            "module_class": serialize_type(self.module_class),
            "module_config": self.get_rl_module_config().to_dict(),
            "load_state_path": self.load_state_path,
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], trusted: Collection[str] = ()) -> RLModuleSpec:
        """Return the spec that `to_dict` wrote.

        Args:
            d: The JSON document.
            trusted: Further packages from which a class may come.

        Raises:
            KeyError: A key is missing.
            CheckpointError: A value is damaged, or a class must not be loaded.
        """
        from motrix_rl.rl_module.module import RLModule

        module_class = deserialize_type(d["module_class"], RLModule, trusted)
        spec = cls._from_config(module_class, RLModuleConfig.from_dict(d["module_config"], trusted))
        spec.load_state_path = d.get("load_state_path")
        return spec

    def update(self, other: RLModuleSpec, override: bool = True) -> None:
        """Take over fields of another spec, as `dict.update` does.

        Args:
            other: Where the new values come from.
            override: If true, every field that `other` has set (that is not None) replaces the one
                here, `inference_only` is on afterwards if either has it on, and `learner_only`
                only if both have. If false, only fields that are None here are filled, and the
                two flags stay.

        Raises:
            ValueError: `other` is no `RLModuleSpec`.
        """
        if not isinstance(other, RLModuleSpec):
            raise ValueError(f"a spec is updated with an RLModuleSpec, not {type(other).__name__}")
        winner, loser = (other, self) if override else (self, other)
        for name in _VALUES:
            value = getattr(winner, name)
            setattr(self, name, getattr(loser, name) if value is None else value)
        if override:
            self.inference_only = other.inference_only or self.inference_only
            self.learner_only = other.learner_only and self.learner_only

    def as_multi_rl_module_spec(self) -> MultiRLModuleSpec:
        """Return a spec of a `MultiRLModule` with this one under `DEFAULT_MODULE_ID`."""
        from motrix_rl.rl_module.multi_spec import MultiRLModuleSpec

        return MultiRLModuleSpec(
            module_specs={DEFAULT_MODULE_ID: self}, load_state_path=self.load_state_path
        )

    @Deprecated(new="RLModuleSpec.as_multi_rl_module_spec()")
    def as_multi_agent(self, *args: Any, **kwargs: Any) -> None:
        """Gone."""
