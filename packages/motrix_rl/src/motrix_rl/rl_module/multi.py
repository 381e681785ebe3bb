"""`MultiRLModule`: modules by id, for several policies that live together."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, ItemsView, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass, field
from typing import Any, cast

from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module import states
from motrix_rl.rl_module.aliases import Batch, Components, ModuleID, StateDict
from motrix_rl.rl_module.annotations import PublicAPI, override
from motrix_rl.rl_module.checkpointable import Checkpointable
from motrix_rl.rl_module.folders import check_component_name
from motrix_rl.rl_module.module import RLModule
from motrix_rl.rl_module.spec import RLModuleSpec


@dataclass
class MultiRLModuleConfig:
    """What a `MultiRLModule` is made from.

    Args:
        modules: Specs by module id.
        inference_only: Build all of them for inference only, and those for learning only not at
            all.
    """

    modules: dict[ModuleID, RLModuleSpec] = field(default_factory=dict)
    inference_only: bool = False
    learner_only: bool = False
    catalog_class: None = None
    model_config_dict: dict[str, Any] = field(default_factory=dict)

    observation_space = None
    action_space = None
    state_space = None

    def to_dict(self) -> dict[str, Any]:
        """Return the config as JSON."""
        return {
            "modules": {name: spec.to_dict() for name, spec in self.modules.items()},
            "inference_only": self.inference_only,
            "model_config_dict": self.model_config_dict,
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], trusted: Collection[str] = ()) -> MultiRLModuleConfig:
        """Return the config that `to_dict` wrote.

        Raises:
            KeyError: A key is missing.
            CheckpointError: A value is damaged, or a class must not be loaded.
        """
        if not isinstance(d["modules"], dict):
            raise CheckpointError("damaged config: modules is no mapping")
        specs = {k: RLModuleSpec.from_dict(v, trusted) for k, v in d["modules"].items()}
        return cls(specs, bool(d["inference_only"]), model_config_dict=d["model_config_dict"])


@PublicAPI(stability="alpha")
class MultiRLModule(RLModule):
    """Modules by id, used like a dictionary; batches and outputs are dictionaries of the same ids.

    All of them belong to one framework. Each has a folder of its own in a checkpoint.

    Args:
        config: What it is made from; None starts empty.

    Raises:
        ValueError: An id cannot be the name of a folder, or the frameworks differ.
    """

    def __init__(self, config: MultiRLModuleConfig | None = None, **kwargs: Any) -> None:
        specs = kwargs.pop("rl_module_specs", None)
        if specs is not None:
            config = MultiRLModuleConfig(dict(specs), bool(kwargs.pop("inference_only", False)))
        self._modules_by_id: dict[ModuleID, RLModule] = {}
        config = config or MultiRLModuleConfig()
        # `add_module` changes the mapping, which may be the caller's.
        own = dataclasses.replace(config, modules=dict(config.modules))
        super().__init__(cast("Any", own), **kwargs)

    def setup(self) -> None:
        """Build the modules of the config."""
        for module_id, spec in self._specs.items():
            if not (self.config.inference_only and spec.learner_only):
                self._put(module_id, built(spec, self.config.inference_only))

    @property
    def _specs(self) -> dict[ModuleID, RLModuleSpec]:
        return cast("MultiRLModuleConfig", self.config).modules

    @property
    def framework(self) -> str | None:  # type: ignore[override]
        """The framework of the modules; None while there are none."""
        return next((module.framework for module in self.values()), None)

    # A dictionary of modules

    def keys(self) -> KeysView[ModuleID]:
        """Return the module ids."""
        return self._modules_by_id.keys()

    def values(self) -> ValuesView[RLModule]:
        """Return the modules."""
        return self._modules_by_id.values()

    def items(self) -> ItemsView[ModuleID, RLModule]:
        """Return pairs of id and module."""
        return self._modules_by_id.items()

    def get(self, module_id: ModuleID, default: RLModule | None = None) -> RLModule | None:
        """Return a module, or `default`."""
        return self._modules_by_id.get(module_id, default)

    def __getitem__(self, module_id: ModuleID) -> RLModule:
        try:
            return self._modules_by_id[module_id]
        except KeyError:
            known = ", ".join(self.keys()) or "none"
            raise KeyError(f"no module '{module_id}'; here are: {known}") from None

    def __iter__(self) -> Iterator[ModuleID]:
        return iter(self._modules_by_id)

    def __contains__(self, module_id: object) -> bool:
        return module_id in self._modules_by_id

    def __len__(self) -> int:
        return len(self._modules_by_id)

    def add_module(self, module_id: ModuleID, module: RLModule, *, override: bool = False) -> None:
        """Add a module.

        Args:
            module_id: Its name; also that of its folder in a checkpoint.
            module: The module itself; nothing is copied.
            override: Whether it may replace one of the same id.

        Raises:
            ValueError: The id is taken or cannot be the name of a folder, or the module belongs to
                another framework than those that stay.
        """
        if module_id in self and not override:
            raise ValueError(f"there is a module '{module_id}' already; override=True replaces it")
        self._put(module_id, module)
        self._specs[module_id] = RLModuleSpec.from_module(module)

    def remove_module(
        self, module_id: ModuleID, *, raise_err_if_not_found: bool = True
    ) -> RLModule | None:
        """Remove a module and return it.

        Raises:
            KeyError: There is none, and `raise_err_if_not_found` is set.
        """
        if module_id not in self and not raise_err_if_not_found:
            return None
        module = self[module_id]
        del self._modules_by_id[module_id]
        self._specs.pop(module_id, None)
        return module

    def foreach_module(
        self, func: Callable[[ModuleID, RLModule], Any], *, return_dict: bool = False
    ) -> list[Any] | dict[ModuleID, Any]:
        """Call `func(id, module)` for each module and return the results, by id if so asked."""
        results = {module_id: func(module_id, module) for module_id, module in self.items()}
        return results if return_dict else list(results.values())

    def _put(self, module_id: ModuleID, module: RLModule) -> None:
        check_component_name(module_id)
        others = {m.framework for name, m in self.items() if name != module_id}
        if others and module.framework not in others:
            raise ValueError(
                f"module '{module_id}' belongs to {module.framework}, the others to {others.pop()}"
            )
        self._modules_by_id[module_id] = module

    # Specs: those of the modules apply, inside the modules

    def _default_input_specs(self) -> Any:
        return []

    def output_specs_inference(self) -> Any:
        """Return what the dictionary of outputs must have: nothing of its own."""
        return []

    def output_specs_exploration(self) -> Any:
        """Return what the dictionary of outputs must have: nothing of its own."""
        return []

    # Forward passes: `{id: batch}` to `{id: output}`

    def _forward_inference(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        return {
            name: self[name].forward_inference(inner, **kwargs) for name, inner in batch.items()
        }

    def _forward_exploration(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        return {
            name: self[name].forward_exploration(inner, **kwargs) for name, inner in batch.items()
        }

    def _forward_train(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        return {name: self[name].forward_train(inner, **kwargs) for name, inner in batch.items()}

    def get_initial_state(self) -> Any:
        """Return the initial states of the stateful modules by id."""
        return {name: m.get_initial_state() for name, m in self.items() if m.is_stateful()}

    # State

    @override(Checkpointable)
    def get_checkpointable_components(self) -> list[tuple[str, Checkpointable]]:
        """Return the modules by id."""
        return list(self.items())

    @override(RLModule)
    def get_state(
        self,
        components: Components = None,
        *,
        not_components: Components = None,
        inference_only: bool = False,
        **kwargs: Any,
    ) -> StateDict:
        """Return the states of the modules by id.

        Args:
            components: Only these ids, or parts of modules as `"id/part"`.
            not_components: Leave these out.
            inference_only: Leave out modules for learning only, and of the others the parts that
                acting does not need.
            **kwargs: Passed on.
        """
        keep, drop = states.as_paths(components), states.as_paths(not_components) or set()
        chosen: StateDict = {}
        for name, module in self.items():
            inner = states.below(name, keep)
            if name in drop or inner == set() or (inference_only and module.learner_only):
                continue
            outer = {path.removeprefix(f"{name}/") for path in drop if path.startswith(f"{name}/")}
            chosen[name] = module.get_state(
                inner, not_components=outer or None, inference_only=inference_only, **kwargs
            )
        return chosen

    @override(RLModule)
    def set_state(self, state: StateDict, *, strict: bool = True) -> states.StateReport:
        """Take over states by id, all or nothing; ids that `state` lacks are an error if `strict`.

        A state for a module that this one left out on purpose, because it is for learning only, is
        ignored.

        Raises:
            StateMismatchError: Something differs, and `strict` is set.
        """
        left_out = self._specs.keys() - self.keys()
        found = {name: inner for name, inner in state.items() if name not in left_out}
        # Every module is asked before any of them takes something over.
        report = self._compare(found)
        if strict:
            report.require_none(type(self).__name__)
        for name, inner in found.items():
            if name in self:
                self[name].set_state(inner, strict=strict)
        return report

    def _compare(self, state: StateDict) -> states.StateReport:
        report = {"missing": sorted(self.keys() - state.keys()), "unexpected": [], "misshapen": []}
        for name, inner in state.items():
            if name not in self:
                report["unexpected"].append(name)
                continue
            part = self[name]._compare(inner)
            for kind, paths in report.items():
                paths += [f"{name}/{path}" for path in getattr(part, kind)]
        return states.StateReport(**{kind: tuple(paths) for kind, paths in report.items()})

    @contextlib.contextmanager
    def _posing_as_inference_only(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(super()._posing_as_inference_only())
            for module in self.values():
                if not module.learner_only:
                    stack.enter_context(module._posing_as_inference_only())
            yield

    # Relatives

    def as_multi_rl_module(self) -> MultiRLModule:
        """Return this module: it is one already."""
        return self


def built(spec: RLModuleSpec, inference_only: bool) -> RLModule:
    """Return a module of a spec, for inference only if so asked."""
    asked = RLModuleSpec(**vars(spec))
    asked.inference_only = asked.inference_only or (inference_only and not asked.learner_only)
    return asked.build()
