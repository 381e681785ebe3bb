"""The state of a module and its way to disk and back."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, cast

from motrix_rl.rl_module import states
from motrix_rl.rl_module.aliases import Components, StateDict
from motrix_rl.rl_module.annotations import OverrideToImplementCustomLogic, override
from motrix_rl.rl_module.apis import InferenceOnlyAPI
from motrix_rl.rl_module.checkpointable import Checkpointable
from motrix_rl.rl_module.config import RLModuleConfig


class ModuleState(Checkpointable):
    """What an `RLModule` does about its state; a framework's base class says where it is."""

    config: RLModuleConfig

    @OverrideToImplementCustomLogic
    @override(Checkpointable)
    def get_state(
        self,
        components: Components = None,
        *,
        not_components: Components = None,
        inference_only: bool = False,
        **kwargs: Any,
    ) -> StateDict:
        """Return the state as nested NumPy arrays, each in its own element type.

        Args:
            components: Only these branches, such as `"encoder"` or `"encoder/actor"`.
            not_components: Leave these branches out.
            inference_only: Leave out the parts that acting does not need.
            **kwargs: Ignored here.
        """
        state = self._own_state()
        if inference_only and isinstance(self, InferenceOnlyAPI):
            state = states.without(state, self.get_non_inference_attributes())
        return states.select(state, components, not_components)

    @OverrideToImplementCustomLogic
    @override(Checkpointable)
    def set_state(self, state: StateDict, *, strict: bool = True) -> states.StateReport:
        """Take over a state, all of it or nothing.

        Args:
            state: What `get_state` returned. A module for inference only ignores the parts that it
                does not have on purpose.
            strict: Whether a difference is an error. Otherwise what fits is taken over.

        Returns:
            How the state differed.

        Raises:
            StateMismatchError: It differs, and `strict` is set; every entry is listed.
        """
        report = self._compare(state)
        if strict:
            report.require_none(type(self).__name__)
        found, wanted = states.flatten(self._relevant(state)), states.flatten(self._own_state())
        fitting = {path: found[path] for path in wanted if report.fits(path)}
        self._take_state(states.unflatten({**wanted, **fitting}))
        return report

    def for_inference(self) -> Self:
        """Return a copy without the parts that acting does not need; itself, if it has none."""
        if self.config.inference_only or not isinstance(self, InferenceOnlyAPI):
            return self
        args, kwargs = self.get_ctor_args_and_kwargs()
        args, kwargs = self._with_changes([*args], kwargs, {"inference_only": True})
        made = type(self)(*args, **kwargs)
        made.set_state(self.get_state(inference_only=True))
        return made

    def _compare(self, state: StateDict) -> states.StateReport:
        """Return how a state differs from this module's."""
        return states.compare(self._relevant(state), self._own_state())

    def _relevant(self, state: StateDict) -> StateDict:
        """Return a state without the parts that this module does not have on purpose."""
        if self.config.inference_only and isinstance(self, InferenceOnlyAPI):
            return states.without(state, self.get_non_inference_attributes())
        return state

    def _own_state(self) -> StateDict:
        """Return the whole state; a framework's base class or a subclass has one."""
        return {}

    def _take_state(self, state: StateDict) -> None:
        """Take over a state that is known to fit."""

    @override(Checkpointable)
    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the config as the only argument."""
        return (self.config,), {}

    def save_to_path(
        self,
        path: str | Path | None = None,
        *,
        state: StateDict | None = None,
        inference_only: bool = False,
    ) -> str:
        """Write a checkpoint folder; see `Checkpointable.save_to_path`.

        Args:
            path: The folder; None makes a temporary one.
            state: What to write instead of `get_state()`.
            inference_only: Whether to write a module for inference only: without the parts that
                acting does not need, and built without them when it is loaded.
        """
        if not inference_only or self.config.inference_only:
            return super().save_to_path(path, state=state)
        state = self.get_state(inference_only=True) if state is None else state
        with self._posing_as_inference_only():
            return super().save_to_path(path, state=state)

    @contextlib.contextmanager
    def _posing_as_inference_only(self) -> Iterator[None]:
        """Say so in the config while a checkpoint is written."""
        whole = self.config
        try:
            self.config = dataclasses.replace(whole, inference_only=True)
            yield
        finally:
            self.config = whole

    @classmethod
    def _with_changes(
        cls, args: list[Any], kwargs: dict[str, Any], changes: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Put changed fields into the config where the module was made from one."""
        if not (changes and args and dataclasses.is_dataclass(args[0])):
            return args, {**kwargs, **changes}
        renamed = {"model_config_dict" if k == "model_config" else k: v for k, v in changes.items()}
        known = {field.name for field in dataclasses.fields(args[0])}
        fields = {name: value for name, value in renamed.items() if name in known}
        others = {name: value for name, value in renamed.items() if name not in known}
        return [dataclasses.replace(cast("Any", args[0]), **fields), *args[1:]], {
            **kwargs,
            **others,
        }
