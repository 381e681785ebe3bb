"""Classes by import path: how a file names them, and which ones a file may name.

A file that came from somewhere else must not choose what code is imported or run. A path is
resolved only if its module lies in a package that the user has installed for this purpose (this
project, or a plugin of it) or has named in `trusted=`; and what is found there has to be a class
that is derived from the expected one and was itself defined in such a package.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterable
from typing import Any

from motrix_envs import _plugins

from motrix_rl.rl_module.errors import UntrustedClassError

_PROJECT = ("motrix_envs", "motrix_rl", "motrix_rl_torch", "motrix_rl_jax")
_NAME = r"[A-Za-z_]\w*"
_PATH = re.compile(rf"({_NAME}(?:\.{_NAME})*)(?::({_NAME}(?:\.{_NAME})*))", re.ASCII)


def serialize_type(cls: type | str) -> str:
    """Return the import path of a class, `"package.module:Class"`; text passes through.

    Raises:
        ValueError: It is neither a class nor text.
    """
    if isinstance(cls, str):
        return cls
    if not isinstance(cls, type):
        raise ValueError(f"{cls!r} is not a class: only classes have an import path in a file")
    return f"{cls.__module__}:{cls.__qualname__}"


def deserialize_type(path: Any, expected: type = object, trusted: Collection[str] = ()) -> type:
    """Return the class that a path from a file names.

    Args:
        path: `"package.module:Class"`, or a class, which passes if it is an `expected` one.
        expected: What the class has to be or derive from.
        trusted: Further modules and packages from which classes may come, such as `"acme.nets"`.

    Raises:
        UntrustedClassError: The module lies outside the allow-list (it is not imported), or what
            is found is no class, not derived from `expected`, or defined elsewhere.
        ValueError: `path` is neither text nor a class.
    """
    if isinstance(path, type):
        return _checked(path, str(path), expected)
    if not isinstance(path, str):
        raise ValueError(f"{path!r} is neither a class nor the path of one")
    match = _PATH.fullmatch(path)
    if match is None:
        raise UntrustedClassError(f"{path!r} is not a class path such as 'package.module:Class'")
    module_name, qualname = match.groups()
    _require_allowed(module_name, path, trusted)
    cls = _checked(_find(module_name, qualname, path), path, expected)
    _require_allowed(cls.__module__, path, trusted)
    return cls


def check_class_path(path: str, trusted: Collection[str] = ()) -> None:
    """Check that a path names a top-level class of a module that may be imported; imports nothing.

    Raises:
        UntrustedClassError: It does not.
    """
    match = _PATH.fullmatch(path)
    if match is None or "." in match.group(2):
        raise UntrustedClassError(f"{path!r} is not the path of a class")
    _require_allowed(match.group(1), path, trusted)


def allowed_packages() -> set[str]:
    """Return the top-level packages of this project and of its installed, enabled plugins."""
    plugins = [
        plugin
        for group in (_plugins.ENVS_GROUP, _plugins.RLCFGS_GROUP)
        for plugin in _plugins.discover(group)
        if not plugin.disabled
    ]
    return {*_PROJECT, *(re.split(r"[.:]", plugin.value)[0] for plugin in plugins)}


def _require_allowed(module: str, path: str, trusted: Collection[str]) -> None:
    prefixes: Iterable[str] = (trusted,) if isinstance(trusted, str) else trusted
    if any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes):
        return
    top = module.split(".")[0]
    # Plugins last, because that reads package metadata.
    if top not in _PROJECT and top not in allowed_packages():
        raise UntrustedClassError(
            f"the file names the class {path!r}, but '{module}' belongs neither to this project "
            f"nor to one of its plugins. If you trust it: trusted=('{top}',), or "
            f"--trust {top} on the command line"
        )


def _find(module_name: str, qualname: str, path: str) -> Any:
    """Walk from a module to a class through classes only, never into a module it imported."""
    try:
        target: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise UntrustedClassError(f"cannot import the class {path!r}: {error}") from error
    for part in qualname.split("."):
        target = vars(target).get(part)
        if not isinstance(target, type):
            raise UntrustedClassError(f"{path!r} does not name a class")
    return target


def _checked(cls: Any, path: str, expected: type) -> type:
    if not issubclass(cls, expected):
        raise UntrustedClassError(f"{path!r} is not derived from {expected.__name__}")
    return cls  # type: ignore[no-any-return]
