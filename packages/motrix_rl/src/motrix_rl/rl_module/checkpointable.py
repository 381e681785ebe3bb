"""Objects that save themselves to a folder of JSON and arrays, and come back from it."""

from __future__ import annotations

import abc
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from motrix_envs._plugins import installed_version

from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module import documents, folders, states
from motrix_rl.rl_module.aliases import Components, StateDict
from motrix_rl.rl_module.annotations import PublicAPI
from motrix_rl.rl_module.class_paths import check_class_path, deserialize_type, serialize_type
from motrix_rl.rl_module.errors import UntrustedClassError
from motrix_rl.rl_module.folders import Content
from motrix_rl.verified import MANIFEST


@PublicAPI(stability="alpha")
class Checkpointable(abc.ABC):
    """Anything with a state and constructor arguments.

    A subclass says what its state is (`get_state`, `set_state`), how it was constructed
    (`get_ctor_args_and_kwargs`) and which parts of it are checkpointable themselves
    (`get_checkpointable_components`): these get a folder of their own. Nothing is ever pickled.
    """

    STATE_FILE_NAME: ClassVar[str] = folders.WEIGHTS
    CLASS_AND_CTOR_ARGS_FILE_NAME: ClassVar[str] = folders.DOCUMENT
    METADATA_FILE_NAME: ClassVar[str] = MANIFEST

    PORTABLE_KIND: ClassVar[str | None] = None
    """Classes with the same kind take each other's checkpoints: one policy in two frameworks.

    It is not inherited: a subclass may compute something else.
    """

    # What a subclass defines

    @abc.abstractmethod
    def get_state(
        self, components: Components = None, *, not_components: Components = None, **kwargs: Any
    ) -> StateDict:
        """Return the state: nested dictionaries of NumPy arrays and plain JSON values.

        Args:
            components: Only these component paths, such as `"a"` or `"a/b"`; None takes all.
            not_components: Leave these out.
            **kwargs: Further choices of a subclass.
        """

    @abc.abstractmethod
    def set_state(self, state: StateDict) -> Any:
        """Take over a state that `get_state` returned, all of it or nothing.

        Raises:
            StateMismatchError: It does not fit.
        """

    @abc.abstractmethod
    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return positional and keyword arguments that construct an equal object."""

    def get_checkpointable_components(self) -> list[tuple[str, Checkpointable]]:
        """Return the parts with a folder of their own, by name; a name is a key of the state."""
        return []

    def get_metadata(self) -> dict[str, Any]:
        """Return what is noted in the manifest: file names, format and version."""
        return {
            "class_and_ctor_args_file_name": self.CLASS_AND_CTOR_ARGS_FILE_NAME,
            "state_file_name": self.STATE_FILE_NAME,
            "checkpoint_version": folders.FORMAT,
            "motrix_rl_version": installed_version("motrix-rl"),
        }

    # What comes with it

    def save_to_path(
        self, path: str | Path | None = None, *, state: StateDict | None = None
    ) -> str:
        """Write a checkpoint folder in one step.

        Args:
            path: The folder; parents are created, a checkpoint that is there is replaced. None
                makes a temporary folder.
            state: What to write instead of `get_state()`. A component that it lacks is left out.

        Returns:
            The folder.

        Raises:
            CheckpointError: Something else is there, or the disk refuses.
            ValueError: A value cannot be stored.
        """
        target = Path(tempfile.mkdtemp() if path is None else path).expanduser().absolute()
        folders.write_folder(target, self.to_content(state), self.get_metadata())
        return str(target)

    def restore_from_path(self, path: str | Path, *, component: str | None = None) -> None:
        """Take over the state of a checkpoint, all of it or nothing.

        Args:
            path: A folder that `save_to_path` wrote.
            component: Restore only this part, such as `"a/b"`; `path` is then its own folder.

        Raises:
            FileNotFoundError: There is no such folder.
            CheckpointError: It is damaged.
            StateMismatchError: Its state does not fit.
            ValueError: There is no such component.
        """
        folder = _existing(path)
        target = self if component is None else self._component(component)
        target.set_state(state_of(folders.read_folder(folder)))

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, *, trusted: Collection[str] = (), **kwargs: Any
    ) -> Self:
        """Construct the object of a checkpoint and restore its state.

        The class is `cls` itself if the checkpoint names it, or one of the same `PORTABLE_KIND`;
        otherwise the one that the checkpoint names, if it may (see `deserialize_type`).

        Args:
            path: A folder that `save_to_path` wrote.
            trusted: Further packages from which a class may come.
            **kwargs: Constructor arguments that replace those of the checkpoint.

        Raises:
            FileNotFoundError: There is no such folder.
            CheckpointError: It is damaged, or names a class that must not be loaded.
            StateMismatchError: Its state does not fit what its arguments construct.
        """
        folder = _existing(path)
        return cls.from_content(folders.read_folder(folder), trusted=trusted, **kwargs)

    def to_content(self, state: StateDict | None = None) -> Content:
        """Return what `save_to_path` writes, for a larger checkpoint to hold.

        Args:
            state: What to keep instead of `get_state()`.

        Raises:
            ValueError: A value cannot be stored.
        """
        parts = dict(self.get_checkpointable_components())
        own = self.get_state(not_components=list(parts)) if state is None else dict(state)
        inner = {
            name: part.to_content(None if state is None else own.pop(name))
            for name, part in parts.items()
            if state is None or name in own
        }
        flat = states.flatten(own)
        tensors = {p: np.asarray(x) for p, x in flat.items() if isinstance(x, _ARRAYS)}
        values = {p: _encode_value(p, x) for p, x in flat.items() if not isinstance(x, _ARRAYS)}
        return Content({**self._document(), "values": values}, tensors, inner)

    @classmethod
    def from_content(
        cls, content: Content, *, trusted: Collection[str] = (), **kwargs: Any
    ) -> Self:
        """Return the object of what `to_content` gave.

        Args:
            content: What a folder holds.
            trusted: As for `from_checkpoint`, as are the errors.
            **kwargs: As for `from_checkpoint`.
        """
        made = cls._construct(content.document, trusted, kwargs)
        made.set_state(state_of(content))
        return made

    # Inside

    def _document(self) -> dict[str, Any]:
        args, kwargs = self.get_ctor_args_and_kwargs()
        return {
            "class": serialize_type(type(self)),
            "kind": _kind(type(self)),
            "args": [documents.encode(value) for value in args],
            "kwargs": {name: documents.encode(value) for name, value in kwargs.items()},
        }

    @classmethod
    def _construct(
        cls, document: Mapping[str, Any], trusted: Collection[str], changes: Mapping[str, Any]
    ) -> Self:
        factory = cls._factory(document, trusted)
        try:
            args = [documents.decode(value, trusted) for value in document["args"]]
            kwargs = {k: documents.decode(v, trusted) for k, v in document["kwargs"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"damaged constructor arguments: {error}") from error
        args, kwargs = factory._with_changes(args, kwargs, changes)
        # What the constructor raises is passed on as it is: it is the best explanation.
        return cast("Self", cast("Callable[..., Any]", factory)(*args, **kwargs))

    @classmethod
    def _factory(cls, document: Mapping[str, Any], trusted: Collection[str]) -> type[Self]:
        path = document.get("class")
        if path == serialize_type(cls):
            return cls
        if not isinstance(path, str):
            raise UntrustedClassError("the checkpoint names no class")
        if _kind(cls) is not None and document.get("kind") == _kind(cls):
            # Its own class stays unimported: the framework of it need not be installed.
            check_class_path(path, trusted)
            return cls
        return deserialize_type(path, cls, trusted)

    @classmethod
    def _with_changes(
        cls, args: list[Any], kwargs: dict[str, Any], changes: Mapping[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Return the constructor arguments with changes; a subclass with a config edits that."""
        return args, {**kwargs, **changes}

    def _component(self, path: str) -> Checkpointable:
        found: Checkpointable = self
        for name in path.split("/"):
            parts = dict(found.get_checkpointable_components())
            if name not in parts:
                raise ValueError(f"no component '{path}'; here are: {', '.join(parts) or 'none'}")
            found = parts[name]
        return found


_ARRAYS = (np.ndarray, np.generic)


def _kind(cls: type[Checkpointable]) -> str | None:
    kind: str | None = vars(cls).get("PORTABLE_KIND")
    return kind


def _encode_value(path: str, value: Any) -> Any:
    try:
        return documents.encode(value)
    except ValueError as error:
        raise ValueError(f"cannot store {path!r} of the state: {error}") from error


def state_of(content: Content) -> StateDict:
    """Return the whole state of a folder, components under their names."""
    values = content.document.get("values", {})
    if not isinstance(values, dict):
        raise CheckpointError("damaged state: its values are no mapping")
    own = {path: documents.decode(value) for path, value in values.items()}
    if clash := own.keys() & content.tensors.keys():
        raise CheckpointError(f"damaged state: {sorted(clash)} occur twice")
    state = states.unflatten({**content.tensors, **own})
    for name, part in content.components.items():
        if name in state:
            raise CheckpointError(f"damaged state: {name!r} occurs twice")
        state[name] = state_of(part)
    return state


def _existing(path: str | Path) -> Path:
    folder = folders.settled(Path(path).expanduser())
    if not folder.is_dir():
        raise FileNotFoundError(f"no checkpoint at {folder}: there is no such folder")
    return folder
