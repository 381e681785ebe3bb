"""Files of a checkpoint: what is parsed is exactly what a manifest vouches for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from motrix_rl.atomic import disk_errors
from motrix_rl.errors import CheckpointError

MANIFEST = "manifest.json"

_INSTEAD = "Use another checkpoint, or train again."


def entry(data: bytes) -> dict[str, Any]:
    """Return what a manifest says about a file."""
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def read_manifest(folder: Path, version: int, sha256: str | None = None) -> dict[str, Any]:
    """Read a manifest: `format`, `files` (name to `size` and `sha256`) and whatever else it holds.

    Args:
        folder: Where it is.
        version: The only format version that is read.
        sha256: Checksum of the manifest itself, where something else vouches for it.

    Raises:
        CheckpointError: There is none, it is damaged, or it has another version.
    """
    data = read_bytes(folder, MANIFEST)
    if sha256 is not None and entry(data)["sha256"] != sha256:
        raise damaged(folder, MANIFEST, "it belongs to another checkpoint")
    manifest = parse_json(folder, MANIFEST, data)
    found = manifest.get("format")
    if type(found) is not int or found != version:
        raise CheckpointError(
            f"{folder / MANIFEST} has format version {found!r}; this version of motrix-rl reads "
            f"{version}. Read it with the version that wrote it."
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(e, dict) for e in files.values()):
        raise damaged(folder, MANIFEST, "it does not list the files")
    return manifest


def read_verified(folder: Path, name: str, files: Mapping[str, Any]) -> bytes:
    """Return the bytes of a file of which a manifest says size and checksum.

    Raises:
        CheckpointError: The file is missing, or is not the one that was written.
    """
    data, listed = read_bytes(folder, name), files.get(name, {})
    if len(data) != listed.get("size"):
        problem = f"it has {len(data)} bytes, the manifest says {listed.get('size')}"
        raise damaged(folder, name, problem)
    if entry(data)["sha256"] != listed.get("sha256"):
        raise damaged(folder, name, "its content is not what was written (SHA-256 differs)")
    return data


def read_bytes(folder: Path, name: str) -> bytes:
    """Return the bytes of a file, or say that the checkpoint is incomplete."""
    path = folder / name
    if not path.is_file():
        raise CheckpointError(f"checkpoint {folder} is incomplete: {name} is missing. {_INSTEAD}")
    with disk_errors(path, CheckpointError, doing="read"):
        return path.read_bytes()


def parse_json(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        CheckpointError: It is none.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise damaged(folder, name, f"it is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise damaged(folder, name, "it is not a JSON object")
    return document


def damaged(folder: Path, name: str, problem: str) -> CheckpointError:
    """Return the error that names a damaged file."""
    return CheckpointError(f"checkpoint {folder} is damaged: {name}: {problem}. {_INSTEAD}")
