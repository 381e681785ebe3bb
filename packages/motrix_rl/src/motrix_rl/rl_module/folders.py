"""A checkpoint folder of one object and its components: JSON, safetensors and checksums.

    manifest.json          format version, size and SHA-256 of the files below
    module.json            class, constructor arguments, names of components, non-array values
    weights.safetensors    the arrays
    <component>/           a folder of the same kind for each component, loadable by itself

The manifest also covers the manifests of the components, so one checksum covers all of it. A
folder is written beside its place and renamed, and verified before anything in it is parsed.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motrix_rl.atomic import disk_errors, fsync_folder, json_bytes, write_synced
from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module.tensors import Tensors, from_bytes, to_bytes
from motrix_rl.verified import (
    MANIFEST,
    damaged,
    entry,
    parse_json,
    read_manifest,
    read_verified,
)

FORMAT = 1
"""Version of the layout; a reader refuses any other."""

DOCUMENT = "module.json"
WEIGHTS = "weights.safetensors"

_COMPONENT = re.compile(r"[A-Za-z0-9_][\w.-]{0,99}", re.ASCII)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Content:
    """What one folder holds."""

    document: dict[str, Any]
    tensors: Tensors = field(default_factory=dict)
    components: dict[str, Content] = field(default_factory=dict)


def check_component_name(name: str) -> str:
    """Return a name that is a folder on every system.

    Raises:
        ValueError: It is not: letters, digits, `_`, `-` and `.` only, not at the start a dot or
            dash, at the end no dot, and no device name of Windows.
    """
    if not isinstance(name, str) or not _COMPONENT.fullmatch(name) or name.endswith("."):
        raise ValueError(
            f"{name!r} cannot be the name of a folder: use letters, digits, '_', '-' and '.', and "
            "begin with a letter, a digit or '_'"
        )
    if _RESERVED.fullmatch(name) or name in (MANIFEST, DOCUMENT, WEIGHTS):
        raise ValueError(f"{name!r} is a reserved file name: choose another")
    return name


def write_folder(path: Path, content: Content, metadata: Mapping[str, Any]) -> None:
    """Write a folder in one step; a checkpoint that is already there is replaced.

    Raises:
        CheckpointError: Something else is there, or the disk refuses.
        ValueError: An array or a value cannot be stored, or a name cannot be a folder.
    """
    files = encode(content, metadata)
    temporary = path.with_name(f".tmp-motrix-{path.name}-{secrets.token_hex(4)}")
    with disk_errors(path, CheckpointError):
        if path.exists() and not is_folder(path) and (path.is_file() or any(path.iterdir())):
            raise CheckpointError(
                f"cannot write to {path}: something that is no checkpoint is there. "
                "Choose another name, or remove it."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            for name, data in files.items():
                (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                write_synced(temporary / name, data)
            _install(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def read_folder(path: Path, *, components: bool = True, sha256: str | None = None) -> Content:
    """Read and verify a folder.

    Args:
        path: The folder.
        components: Whether the folders of its components are read as well.
        sha256: Checksum of the folder's manifest, where a larger checkpoint vouches for it.

    Raises:
        CheckpointError: A file is missing, damaged or of another format; the message names it.
    """
    return _read(path, components, sha256)


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the versions and file names that were noted when the folder was written.

    Raises:
        CheckpointError: There is no readable manifest.
    """
    return dict(read_manifest(path, FORMAT).get("metadata", {}))


def settled(path: Path) -> Path:
    """Return where a checkpoint is: aside, if a crash interrupted its replacement."""
    return _aside(path) if is_folder(_aside(path)) and not path.exists() else path


def is_folder(path: Path) -> bool:
    """Tell whether a checkpoint is here; nothing is verified."""
    return (path / MANIFEST).is_file() and (path / DOCUMENT).is_file()


def _aside(path: Path) -> Path:
    return path.with_name(f".old-motrix-{path.name}")


# --- writing -------------------------------------------------------------------------------------


def encode(content: Content, metadata: Mapping[str, Any]) -> dict[str, bytes]:
    """Return all files below a folder by relative path.

    Raises:
        ValueError: An array or a value cannot be stored, or a name cannot be a folder.
    """
    names = [check_component_name(name) for name in content.components]
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError(f"some of these names differ only in case: {', '.join(sorted(names))}")
    document = {**content.document, "components": names}
    files = {DOCUMENT: json_bytes(document), WEIGHTS: to_bytes(content.tensors)}
    nested = {
        f"{name}/{path}": data
        for name, component in content.components.items()
        for path, data in encode(component, metadata).items()
    }
    listed = {**files, **{name: nested[name] for name in _manifests(names)}}
    entries = {name: entry(data) for name, data in sorted(listed.items())}
    manifest = {"format": FORMAT, "metadata": dict(metadata), "files": entries}
    return {**files, **nested, MANIFEST: json_bytes(manifest)}


def _manifests(components: Iterable[str]) -> list[str]:
    return [f"{name}/{MANIFEST}" for name in components]


def _install(temporary: Path, path: Path) -> None:
    """Rename `temporary` to `path`; no system replaces a full folder in one step."""
    aside = _aside(path)
    if is_folder(path):
        shutil.rmtree(aside, ignore_errors=True)
        path.replace(aside)
    elif path.exists():
        path.rmdir()
    try:
        temporary.replace(path)
    except OSError:
        if aside.exists():
            aside.replace(path)
        raise
    fsync_folder(path.parent)
    shutil.rmtree(aside, ignore_errors=True)


# --- reading -------------------------------------------------------------------------------------


def _read(path: Path, components: bool, sha256: str | None) -> Content:
    files = read_manifest(path, FORMAT, sha256)["files"]
    document = parse_json(path, DOCUMENT, read_verified(path, DOCUMENT, files))
    names = document.pop("components", None)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise damaged(path, DOCUMENT, "it does not list the components")
    if set(files) != {DOCUMENT, WEIGHTS, *_manifests(names)}:
        raise damaged(path, MANIFEST, "it lists other files than this checkpoint has")
    weights = read_verified(path, WEIGHTS, files)
    try:
        tensors = from_bytes(weights)
    except CheckpointError as error:
        raise damaged(path, WEIGHTS, str(error)) from error
    try:
        sums = {check_component_name(n): files[f"{n}/{MANIFEST}"].get("sha256", "") for n in names}
    except ValueError as error:
        raise damaged(path, DOCUMENT, str(error)) from error
    inner = {name: _read(path / name, True, sums[name]) for name in names if components}
    return Content(document, tensors, inner)
