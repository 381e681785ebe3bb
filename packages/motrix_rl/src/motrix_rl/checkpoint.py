"""A checkpoint: one folder of JSON and safetensors that is complete, verified and never pickled.

    manifest.json                 format version, size and SHA-256 of every file, the hash
    module/module.json            what the policy is
    module/weights.safetensors    its tensors; `module/` alone is enough to act
    learner.safetensors           optimiser moments, value normaliser, ...
    env.safetensors               snapshot of the environments, may be empty
    state.json                    counters, schedules, log offsets

*The hash* answers "is this the same training?": it covers every tensor bit and the counters, and
nothing that differs between two equal runs (times, paths, JSON that is not a counter).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from motrix_rl.atomic import disk_errors, fsync_folder, json_bytes, plain, write_synced
from motrix_rl.errors import CheckpointError

FORMAT = 1
"""Version of the folder's layout; a reader refuses any other."""

Tensors = dict[str, NDArray[Any]]

_MANIFEST = "manifest.json"
_MODULE = "module/module.json"
_STATE = "state.json"
_TENSOR_FILES = {
    "policy": "module/weights.safetensors",
    "learner": "learner.safetensors",
    "env": "env.safetensors",
}
_FILES = (_MODULE, *_TENSOR_FILES.values(), _STATE)
_SIZES = {"int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64)}
_DTYPES = {"bool"} | {f"{kind}{bits}" for kind, sizes in _SIZES.items() for bits in sizes}
_INSTEAD = "Use another checkpoint of the run, or train again."


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything that a training needs to continue, and a policy needs to act."""

    module: dict[str, Any]
    """The policy as a JSON document: kind, layers, spaces, contract."""
    policy: Tensors = field(default_factory=dict)
    """Tensors of the module, by name."""
    learner: Tensors = field(default_factory=dict)
    """Tensors that only training needs: optimiser moments, value normaliser."""
    env: Tensors = field(default_factory=dict)
    """Snapshot of the environments; empty where they restart from a reset."""
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
    files = _encode(checkpoint)
    digest = checkpoint_hash(checkpoint)
    files[_MANIFEST] = json_bytes(_manifest(files, digest))
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
    manifest = read_manifest(folder)
    data = _read_verified(folder, manifest, _FILES)
    tensors = {
        group: _parse_tensors(folder, name, data[name]) for group, name in _TENSOR_FILES.items()
    }
    checkpoint = Checkpoint(
        module=_parse_json(folder, _MODULE, data[_MODULE]),
        state=_parse_json(folder, _STATE, data[_STATE]),
        **tensors,
    )
    if checkpoint_hash(checkpoint) != manifest["hash"]:
        raise _damaged(folder, _MANIFEST, "its hash is not that of the tensors and counters")
    return checkpoint


def read_policy(folder: Path) -> tuple[dict[str, Any], Tensors]:
    """Read the policy alone: only `manifest.json` and `module/` are opened and verified.

    Args:
        folder: A folder that `write_checkpoint` wrote.

    Returns:
        The module document and its tensors.

    Raises:
        CheckpointError: One of these files is missing, damaged or of another format.
    """
    folder = _settled(Path(folder))
    weights = _TENSOR_FILES["policy"]
    data = _read_verified(folder, read_manifest(folder), (_MODULE, weights))
    return (
        _parse_json(folder, _MODULE, data[_MODULE]),
        _parse_tensors(folder, weights, data[weights]),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read `manifest.json`: the keys `format`, `hash` and `files` (name to `size`, `sha256`).

    Raises:
        CheckpointError: There is none, it is damaged, or its format version is not ours.
    """
    folder = _settled(Path(folder))
    if not folder.is_dir():
        raise CheckpointError(f"no checkpoint at {folder}: there is no such folder.")
    manifest = _parse_json(folder, _MANIFEST, _read(folder, _MANIFEST))
    version = manifest.get("format")
    if type(version) is not int or version != FORMAT:
        raise CheckpointError(
            f"{folder / _MANIFEST} has format version {version!r}; this version of motrix-rl reads "
            f"{FORMAT}. Read it with the version that wrote it."
        )
    files = manifest.get("files")
    if not (isinstance(files, dict) and sorted(files) == sorted(_FILES)):
        raise _damaged(folder, _MANIFEST, f"it does not list the files {', '.join(_FILES)}")
    if not all(isinstance(entry, dict) for entry in files.values()) or "hash" not in manifest:
        raise _damaged(folder, _MANIFEST, "an entry is missing")
    return manifest


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

    For each group (policy, learner, env) and each name in sorted order: a line with group, name,
    type and shape, then the values as little-endian bytes in C order. Last, `state["counters"]`
    as JSON with sorted keys.

    Raises:
        CheckpointError: A tensor or a counter cannot be stored.
    """
    digest = hashlib.sha256()
    for group in _TENSOR_FILES:
        for name, array in sorted(_canonical(group, getattr(checkpoint, group)).items()):
            line = json.dumps([group, name, array.dtype.name, array.shape])
            digest.update(line.encode() + b"\n" + array.tobytes())
    counters = _plain(checkpoint.state.get("counters", {}), "state: counters")
    digest.update(json.dumps(counters, sort_keys=True, allow_nan=False).encode())
    return digest.hexdigest()


# --- encoding ------------------------------------------------------------------------------------


def _encode(checkpoint: Checkpoint) -> dict[str, bytes]:
    """Return the content of every file but the manifest."""
    files = {
        _MODULE: json_bytes(_plain(checkpoint.module, "module")),
        _STATE: json_bytes(_plain(checkpoint.state, "state")),
    }
    for group, name in _TENSOR_FILES.items():
        files[name] = safetensors.save(_canonical(group, getattr(checkpoint, group)))
    return files


def _manifest(files: Mapping[str, bytes], digest: str) -> dict[str, Any]:
    entries = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(files.items())
    }
    return {"format": FORMAT, "hash": digest, "files": entries}


def _plain(value: object, where: str) -> object:
    try:
        return plain(value, where)
    except ValueError as cause:
        raise CheckpointError(f"cannot store this in a checkpoint: {cause}") from cause


def _canonical(group: str, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
    """Return the tensors little-endian and C-ordered, or say which one has no portable form."""
    canonical: Tensors = {}
    for name, value in tensors.items():
        array = np.asarray(value)
        if array.dtype.name not in _DTYPES:
            raise CheckpointError(
                f"{group} tensor {name!r} has type {array.dtype}; a checkpoint holds bool, signed "
                "and unsigned integers, float16, float32 and float64. Convert it first."
            )
        if name == "__metadata__" or not _is_utf8(name):
            raise CheckpointError(
                f"{group} tensor {name!r}: safetensors cannot hold this name. Choose another."
            )
        canonical[name] = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    return canonical


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    (folder / "module").mkdir(parents=True)
    for name, data in files.items():
        write_synced(folder / name, data)
    fsync_folder(folder / "module")
    fsync_folder(folder)


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
    return folder.with_name(f".old-motrix-{folder.name}")


def _settled(folder: Path) -> Path:
    """Return where the checkpoint is: aside, if its replacement was interrupted."""
    aside = _aside(folder)
    return aside if _is_complete(aside) and not _is_complete(folder) else folder


def _is_complete(folder: Path) -> bool:
    """A folder is renamed to its name with all its files: the manifest stands for them."""
    return (folder / _MANIFEST).is_file()


# --- reading -------------------------------------------------------------------------------------


def _read_verified(
    folder: Path, manifest: Mapping[str, Any], names: Iterable[str]
) -> dict[str, bytes]:
    """Return the bytes of these files; what is parsed later is exactly what was verified."""
    verified: dict[str, bytes] = {}
    for name in names:
        data, entry = _read(folder, name), manifest["files"][name]
        if len(data) != entry.get("size"):
            problem = f"it has {len(data)} bytes, the manifest says {entry.get('size')}"
            raise _damaged(folder, name, problem)
        if hashlib.sha256(data).hexdigest() != entry.get("sha256"):
            raise _damaged(folder, name, "its content is not what was written (SHA-256 differs)")
        verified[name] = data
    return verified


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.is_file():
        raise CheckpointError(f"checkpoint {folder} is incomplete: {name} is missing. {_INSTEAD}")
    with disk_errors(path, CheckpointError, doing="read"):
        return path.read_bytes()


def _parse_json(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as cause:
        raise _damaged(folder, name, f"it is not JSON ({cause})") from cause
    if not isinstance(document, dict):
        raise _damaged(folder, name, "it is not a JSON object")
    return document


def _parse_tensors(folder: Path, name: str, data: bytes) -> Tensors:
    try:
        tensors = safetensors.load(data)
    except (SafetensorError, KeyError, ValueError) as cause:
        raise _damaged(folder, name, f"it is not a safetensors file ({cause})") from cause
    # Copies own their memory: the loaded views are read-only and keep the whole file alive.
    return {key: tensors[key].copy() for key in sorted(tensors)}


def _damaged(folder: Path, name: str, problem: str) -> CheckpointError:
    return CheckpointError(f"checkpoint {folder} is damaged: {name}: {problem}. {_INSTEAD}")
