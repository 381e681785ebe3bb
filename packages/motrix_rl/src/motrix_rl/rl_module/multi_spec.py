"""`MultiRLModuleSpec`: recipes by module id."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from motrix_rl.rl_module.aliases import ModuleID
from motrix_rl.rl_module.annotations import PublicAPI
from motrix_rl.rl_module.class_paths import deserialize_type, serialize_type
from motrix_rl.rl_module.multi import MultiRLModule, MultiRLModuleConfig, built
from motrix_rl.rl_module.spec import RLModuleSpec

if TYPE_CHECKING:
    from motrix_rl.rl_module.module import RLModule

Specs = Mapping[ModuleID, RLModuleSpec]


@PublicAPI(stability="alpha")
@dataclass
class MultiRLModuleSpec:
    """A recipe for a `MultiRLModule`.

    Args:
        multi_rl_module_class: The class to build.
        inference_only: Build all modules for inference only; those for learning only not at all.
        module_specs: Recipes by id.
        load_state_path: A checkpoint of a `MultiRLModule` that `build(load=True)` restores. The
            path of a single spec wins over it.
        modules_to_load: Only these ids are restored from `load_state_path`; None takes all that
            the checkpoint has.

    Raises:
        ValueError: `module_specs` is no mapping of specs.
    """

    multi_rl_module_class: type[MultiRLModule] = MultiRLModule
    inference_only: bool = False
    module_specs: dict[ModuleID, RLModuleSpec] = field(default_factory=dict)
    load_state_path: str | None = None
    modules_to_load: set[ModuleID] | None = None

    def __post_init__(self) -> None:
        self.module_specs = _checked(self.module_specs)

    @property
    def rl_module_specs(self) -> dict[ModuleID, RLModuleSpec]:
        """The recipes by id, under the name that newer RLlib gives them."""
        return self.module_specs

    def get_multi_rl_module_config(self) -> MultiRLModuleConfig:
        """Return what the constructor of the multi-module gets."""
        return MultiRLModuleConfig(dict(self.module_specs), self.inference_only)

    def build(self, module_id: ModuleID | None = None, *, load: bool = False) -> RLModule:
        """Return a new multi-module, or only one of its modules.

        Args:
            module_id: Build this one alone.
            load: Whether to restore states from the paths that are set.

        Raises:
            KeyError: There is no such id.
            ValueError: A spec is incomplete.
        """
        if module_id is not None:
            module = built(self[module_id], self.inference_only)
            if load:
                self._load(module_id, module)
            return module
        multi = self.multi_rl_module_class(self.get_multi_rl_module_config())
        if load:
            for name, module in multi.items():
                self._load(name, module)
        return multi

    def _load(self, module_id: ModuleID, module: RLModule) -> None:
        if (own := self.module_specs[module_id].load_state_path) is not None:
            module.restore_from_path(own)
        elif self.load_state_path is not None:
            wanted = self.modules_to_load is None or module_id in self.modules_to_load
            folder = Path(self.load_state_path) / module_id
            # Asked for by name, a module has to be there.
            if wanted and (self.modules_to_load is not None or folder.is_dir()):
                module.restore_from_path(folder)

    def add_modules(self, module_specs: Specs, override: bool = True) -> None:
        """Add recipes.

        Args:
            module_specs: Recipes by id.
            override: Replace those of the same id; otherwise they are updated.
        """
        for name, spec in _checked(module_specs).items():
            if override or name not in self:
                self.module_specs[name] = spec
            else:
                self.module_specs[name].update(spec)

    def remove_modules(self, module_ids: Collection[ModuleID] | ModuleID) -> None:
        """Remove recipes; an id that is not there is passed over."""
        for name in [module_ids] if isinstance(module_ids, str) else list(module_ids):
            self.module_specs.pop(name, None)

    @classmethod
    def from_module(cls, module: MultiRLModule) -> MultiRLModuleSpec:
        """Return the recipe of a multi-module as it is now."""
        return cls(
            multi_rl_module_class=type(module),
            inference_only=module.inference_only,
            module_specs={name: RLModuleSpec.from_module(inner) for name, inner in module.items()},
        )

    def update(self, other: MultiRLModuleSpec | RLModuleSpec, override: bool = False) -> None:
        """Take over another recipe, or apply one spec to every module.

        Args:
            other: Where the new values come from.
            override: Whether specs of the same id are replaced instead of updated.

        Raises:
            ValueError: `other` is neither kind of spec.
        """
        if isinstance(other, RLModuleSpec):
            for spec in self.module_specs.values():
                spec.update(other)
            return
        if not isinstance(other, MultiRLModuleSpec):
            raise ValueError(f"cannot update with a {type(other).__name__}")
        self.multi_rl_module_class = other.multi_rl_module_class
        self.inference_only = other.inference_only
        self.load_state_path = other.load_state_path or self.load_state_path
        if other.modules_to_load is not None:
            self.modules_to_load = set(other.modules_to_load)
        self.add_modules(other.module_specs, override=override)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as JSON."""
        return {
            "multi_rl_module_class": serialize_type(self.multi_rl_module_class),
            "inference_only": self.inference_only,
            "module_specs": {name: spec.to_dict() for name, spec in self.module_specs.items()},
            "load_state_path": self.load_state_path,
            "modules_to_load": None
            if self.modules_to_load is None
            else sorted(self.modules_to_load),
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any], trusted: Collection[str] = ()) -> MultiRLModuleSpec:
        """Return the spec that `to_dict` wrote.

        Raises:
            KeyError: A key is missing.
            CheckpointError: A value is damaged, or a class must not be loaded.
        """
        names = d["modules_to_load"]
        return cls(
            multi_rl_module_class=deserialize_type(
                d["multi_rl_module_class"], MultiRLModule, trusted
            ),
            inference_only=bool(d["inference_only"]),
            module_specs={
                name: RLModuleSpec.from_dict(spec, trusted)
                for name, spec in d["module_specs"].items()
            },
            load_state_path=d["load_state_path"],
            modules_to_load=None if names is None else set(names),
        )

    def as_multi_rl_module_spec(self) -> MultiRLModuleSpec:
        """Return this spec: it is one already."""
        return self

    def __contains__(self, module_id: object) -> bool:
        return module_id in self.module_specs

    def __getitem__(self, module_id: ModuleID) -> RLModuleSpec:
        try:
            return self.module_specs[module_id]
        except KeyError:
            known = ", ".join(self.module_specs) or "none"
            raise KeyError(f"no module '{module_id}'; here are: {known}") from None


def _checked(specs: Any) -> dict[ModuleID, RLModuleSpec]:
    if isinstance(specs, RLModuleSpec):
        raise ValueError(
            "module_specs is a mapping of ids to specs; "
            "`RLModuleSpec.as_multi_rl_module_spec()` makes one of a single spec"
        )
    if not isinstance(specs, Mapping) or not all(
        isinstance(spec, RLModuleSpec) for spec in specs.values()
    ):
        raise ValueError("module_specs is a mapping of ids to RLModuleSpec")
    return dict(specs)
