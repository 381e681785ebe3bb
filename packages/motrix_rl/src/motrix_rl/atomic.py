"""Files that are there whole or not at all, and plain words when a disk refuses."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from motrix_envs.errors import MotrixError

from motrix_rl.errors import RunError

_ADVICE = {
    errno.ENOSPC: "Free some space, or choose a folder on another disk.",
    errno.EDQUOT: "Your quota is used up: free some space, or choose a folder on another disk.",
    errno.EACCES: "Change the permissions, or choose a folder that you may write to.",
    errno.EPERM: "Change the permissions, or choose a folder that you may write to.",
    errno.EROFS: "Choose a folder on a disk that is not mounted read-only.",
    errno.ENAMETOOLONG: "Choose a folder with a shorter path.",
}


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that a reader sees the old content or the new, never a part.

    Args:
        path: The file to create or replace; its folder exists.
        data: The whole content.

    Raises:
        RunError: The disk refuses; the file is as it was before.
    """
    temporary = path.with_name(f".tmp-{path.name}-{secrets.token_hex(4)}")
    with disk_errors(path, RunError):
        try:
            write_synced(temporary, data)
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        fsync_folder(path.parent)


def write_json_atomic(path: Path, obj: Mapping[str, object]) -> None:
    """Write a JSON document as `write_bytes_atomic` does.

    Non-finite numbers become the texts `"nan"`, `"inf"` and `"-inf"`, which `float` reads back.

    Args:
        path: The file to create or replace; its folder exists.
        obj: The document, in the types of `plain`.

    Raises:
        RunError: A value has no JSON form, or the disk refuses.
    """
    try:
        data = json_bytes(plain(obj, path.name, nonfinite_as_text=True))
    except ValueError as cause:
        raise RunError(f"cannot write {path}: {cause}") from cause
    write_bytes_atomic(path, data)


def append_bytes(path: Path, data: bytes) -> None:
    """Append `data` to `path`, all of it or nothing.

    Args:
        path: The file to append to, created where missing; its folder exists.
        data: A whole number of lines or records.

    Raises:
        RunError: The disk refuses; the file is as it was before.
    """
    before = path.stat().st_size if path.is_file() else 0
    with disk_errors(path, RunError):
        try:
            with path.open("ab") as file:
                file.write(data)
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, before)
            raise


def write_synced(path: Path, data: bytes) -> None:
    """Create `path`, write `data` and wait until the disk has it; raises OSError."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def fsync_folder(path: Path) -> None:
    """Wait until the disk has the names inside a folder; a no-op on Windows; raises OSError."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as cause:
        # Some network file systems cannot do this for a folder; the files themselves are safe.
        if cause.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def disk_errors(path: Path, error: type[MotrixError], doing: str = "write") -> Iterator[None]:
    """Turn an OSError inside the block into `error`: the path, the reason and what to do."""
    try:
        yield
    except OSError as cause:
        reason = cause.strerror or str(cause) or type(cause).__name__
        advice = _ADVICE.get(cause.errno or 0, "Check the folder and the disk, then try again.")
        raise error(f"cannot {doing} {path}: {reason}. {advice}") from cause


def json_bytes(obj: object) -> bytes:
    """Encode plain JSON types as indented ASCII text that ends in a newline."""
    return (json.dumps(obj, indent=2, allow_nan=False) + "\n").encode()


def plain(value: object, where: str, *, nonfinite_as_text: bool = False) -> object:
    """Return `value` in JSON's own types; NumPy scalars become numbers, tuples become lists.

    Args:
        value: Nested mappings and sequences of str, bool, int, float and None.
        where: What this value is called in an error.
        nonfinite_as_text: Whether nan and inf become text instead of an error.

    Raises:
        ValueError: A value or key has no JSON form; the message names the place.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where} has the key {key!r}; JSON keys are text.")
        return {
            key: plain(item, f"{where}: {key}", nonfinite_as_text=nonfinite_as_text)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [
            plain(item, f"{where}[{i}]", nonfinite_as_text=nonfinite_as_text)
            for i, item in enumerate(value)
        ]
    if isinstance(value, float) and not math.isfinite(value):
        if nonfinite_as_text:
            return str(value)
        raise ValueError(f"{where} is {value}; JSON holds finite numbers only.")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(
        f"{where} is of type {type(value).__name__}; JSON holds text, numbers, lists and mappings."
    )
