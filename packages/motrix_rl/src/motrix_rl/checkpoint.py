"""A checkpoint: one folder of JSON and safetensors that is complete, verified and never pickled.

    manifest.json             format version, size and SHA-256 of the files below, the hash
    module/                   the policy: a folder that `RLModule.from_checkpoint` reads by itself
    learner.safetensors       optimiser moments, value normaliser, ...
    env.safetensors           snapshot of the environments, may be empty
    state.json                counters, schedules, log offsets

*The hash* answers "is this the same training?": it covers every tensor bit and the counters, and
nothing that differs between two equal runs (times, paths, JSON that is not a counter).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.atomic import disk_errors, fsync_folder, json_bytes, plain, write_synced
from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module import folders
from motrix_rl.rl_module.folders import Content
from motrix_rl.rl_module.tensors import Tensors, from_bytes, to_bytes
from motrix_rl.verified import (
    MANIFEST,
    damaged,
    entry,
    parse_json,
    read_manifest,
    read_verified,
)

FORMAT = 2
"""Version of the folder's layout; a reader refuses any other."""

_MODULE = "module"
_MODULE_MANIFEST = f"{_MODULE}/{MANIFEST}"
_STATE = "state.json"
_TENSOR_FILES = {"learner": "learner.safetensors", "env": "env.safetensors"}
_LISTED = (_MODULE_MANIFEST, *_TENSOR_FILES.values(), _STATE)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that a training needs to continue, and a policy needs to act."""

    module: Content
    """The policy, as `Checkpointable.to_content` gives it, with its contract."""
    learner: Tensors = field(default_factory=dict)
    """Tensors that only training needs: optimiser moments, value normaliser."""
    env: Tensors = field(default_factory=dict)
    """Snapshot of the environments and, under `log/`, sums over their unfinished episodes."""
    state: dict[str, Any] = field(default_factory=dict)
    """JSON: `counters` (part of the hash), schedules, log offsets."""


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> str:
    """Write a checkpoint folder in one step and return its hash.

    All files are written and synced beside `folder`, then renamed. A checkpoint already there is
    moved aside for the moment of the rename, where readers still find it. One process at a time
    writes below `folder.parent`; what a crash left there is removed.

    Args:
        folder: Where to write; missing parents are created.
        checkpoint: What to write.

    Returns:
        The hash, 64 hexadecimal digits, as in `checkpoint_hash`.

    Raises:
        CheckpointError: A value cannot be stored, the disk refuses, or `folder` holds something
            that is not a checkpoint. What was there before is still there.
    """
    folder = Path(folder)
    digest = checkpoint_hash(checkpoint)
    files = _encode(checkpoint, digest)
    temporary = folder.with_name(f".tmp-motrix-{folder.name}")
    with disk_errors(folder, CheckpointError):
        _refuse_foreign(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        try:
            _write_files(temporary, files)
            _install(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return digest


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint; every file is verified before any of them is parsed.

    Args:
        folder: A folder that `write_checkpoint` wrote.

    Returns:
        The checkpoint; its arrays are writable, C-ordered and sorted by name.

    Raises:
        CheckpointError: A file is missing, damaged or of another format; the message names it.
    """
    folder = _settled(Path(folder))
    manifest = _manifest(folder)
    data = {name: read_verified(folder, name, manifest["files"]) for name in _LISTED}
    checkpoint = Checkpoint(
        module=_read_module(folder, manifest),
        state=parse_json(folder, _STATE, data[_STATE]),
        **{group: _parse_tensors(folder, n, data[n]) for group, n in _TENSOR_FILES.items()},
    )
    if checkpoint_hash(checkpoint) != manifest["hash"]:
        raise damaged(folder, MANIFEST, "its hash is not that of the tensors and counters")
    return checkpoint


def read_module(folder: Path) -> Content:
    """Read the policy alone: only the manifest and `module/` are opened and verified.

    Args:
        folder: A folder that `write_checkpoint` wrote.

    Raises:
        CheckpointError: A file is missing, damaged or of another format; the message names it.
    """
    folder = _settled(Path(folder))
    return _read_module(folder, _manifest(folder))


def read_hash(folder: Path) -> str:
    """Return the hash of a checkpoint as its manifest says; nothing else is read.

    Raises:
        CheckpointError: The manifest is missing, damaged or of another format.
    """
    return str(_manifest(_settled(Path(folder)))["hash"])


def is_checkpoint(folder: Path) -> bool:
    """Tell whether a complete checkpoint is here; nothing is verified."""
    return _is_complete(_settled(Path(folder)))


def checkpoint_names(parent: Path) -> list[str]:
    """Return the names of the complete checkpoints in a folder, unsorted.

    A checkpoint whose replacement was interrupted counts under its own name.
    """
    if not parent.is_dir():
        return []
    names = {path.name.removeprefix(".old-motrix-") for path in parent.iterdir()}
    return [name for name in names if not name.startswith(".") and is_checkpoint(parent / name)]


def checkpoint_hash(checkpoint: Checkpoint) -> str:
    """Return one SHA-256 over all tensors and the counters.

    For each group (module, learner, env) and each name in sorted order: a line with group, name,
    type and shape, then the values as little-endian bytes in C order. Last, `state["counters"]`
    as JSON with sorted keys.

    Raises:
        CheckpointError: A counter cannot be stored.
    """
    digest = hashlib.sha256()
    groups = {"module": dict(module_tensors(checkpoint.module))}
    groups |= {group: getattr(checkpoint, group) for group in _TENSOR_FILES}
    for group, tensors in groups.items():
        for name, value in sorted(tensors.items()):
            array = np.asarray(value)
            little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
            line = json.dumps([group, name, array.dtype.name, array.shape])
            digest.update(line.encode() + b"\n" + little.tobytes())
    counters = _plain(checkpoint.state.get("counters", {}), "state: counters")
    digest.update(json.dumps(counters, sort_keys=True, allow_nan=False).encode())
    return digest.hexdigest()


def module_tensors(content: Content, path: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the tensors of a module and of its components by path."""
    yield from ((f"{path}{name}", array) for name, array in content.tensors.items())
    for name, component in content.components.items():
        yield from module_tensors(component, f"{path}{name}/")


# --- encoding ------------------------------------------------------------------------------------


def _encode(checkpoint: Checkpoint, digest: str) -> dict[str, bytes]:
    """Return the content of every file by relative path."""
    with _storing("the module"):
        module = folders.encode(checkpoint.module, {})
    files = {f"{_MODULE}/{name}": data for name, data in module.items()}
    for group, name in _TENSOR_FILES.items():
        with _storing(f"a {group} tensor"):
            files[name] = to_bytes(_arrays(getattr(checkpoint, group)))
    files[_STATE] = json_bytes(_plain(checkpoint.state, "state"))
    listed = {name: entry(files[name]) for name in sorted(_LISTED)}
    files[MANIFEST] = json_bytes({"format": FORMAT, "hash": digest, "files": listed})
    return files


def _arrays(tensors: Mapping[str, Any]) -> Tensors:
    return {name: np.asarray(value) for name, value in tensors.items()}


def _plain(value: object, where: str) -> object:
    with _storing("JSON"):
        return plain(value, where)


@contextmanager
def _storing(what: str) -> Iterator[None]:
    """Say that something has no form in which it could be stored."""
    try:
        yield
    except ValueError as cause:
        raise CheckpointError(f"cannot store {what} in a checkpoint: {cause}") from cause


# --- writing -------------------------------------------------------------------------------------


def _refuse_foreign(folder: Path) -> None:
    """Replacing deletes what was there: only ever do that to a checkpoint."""
    is_empty_folder = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not is_empty_folder and not _is_complete(folder):
        raise CheckpointError(
            f"cannot write a checkpoint to {folder}: something else is there. "
            "Choose another name, or remove it."
        )


def _write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_synced(folder / name, data)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        fsync_folder(path)


def _install(temporary: Path, folder: Path) -> None:
    """Rename `temporary` to `folder`; no system replaces a full folder in one step."""
    aside = _aside(folder)
    if _is_complete(folder):
        folder.replace(aside)
    elif folder.exists():
        folder.rmdir()
    try:
        temporary.replace(folder)
    except OSError:
        if _is_complete(aside):
            aside.replace(folder)
        raise
    fsync_folder(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove what an interrupted write left, except a checkpoint that was never replaced."""
    for path in parent.glob(".tmp-motrix-*"):
        shutil.rmtree(path)
    for path in parent.glob(".old-motrix-*"):
        if _is_complete(parent / path.name.removeprefix(".old-motrix-")):
            shutil.rmtree(path)


def _aside(folder: Path) -> Path:
    # Unlike `with_name`, this takes "." and "/" too, which have no name.
    return folder.parent / f".old-motrix-{folder.name}"


def _settled(folder: Path) -> Path:
    """Return where the checkpoint is: aside, if its replacement was interrupted."""
    aside = _aside(folder)
    return aside if _is_complete(aside) and not _is_complete(folder) else folder


def _is_complete(folder: Path) -> bool:
    """A folder is renamed to its name with all its files: the manifest stands for them."""
    return (folder / MANIFEST).is_file()


# --- reading -------------------------------------------------------------------------------------


def _manifest(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint at {folder}: there is no such folder.")
    manifest = read_manifest(folder, FORMAT)
    if sorted(manifest["files"]) != sorted(_LISTED) or "hash" not in manifest:
        raise damaged(folder, MANIFEST, f"it does not list the files {', '.join(_LISTED)}")
    return manifest


def _read_module(folder: Path, manifest: Mapping[str, Any]) -> Content:
    checksum = manifest["files"][_MODULE_MANIFEST].get("sha256", "")
    return folders.read_folder(folder / _MODULE, sha256=checksum)


def _parse_tensors(folder: Path, name: str, data: bytes) -> Tensors:
    try:
        return from_bytes(data)
    except CheckpointError as cause:
        raise damaged(folder, name, str(cause)) from cause
