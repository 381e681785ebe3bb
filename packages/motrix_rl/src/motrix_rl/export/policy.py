"""From a module to a file: trace it, read the file back, compare, and only then write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motrix_envs._plugins import installed_version
from motrix_envs._registry import ANYTHING

from motrix_rl.atomic import disk_errors, plain, write_bytes_atomic
from motrix_rl.errors import ExportError, RunError
from motrix_rl.export import parity
from motrix_rl.export.formats import FORMATS, Format, find_format
from motrix_rl.export.parity import Agreement
from motrix_rl.export.signature import Signature
from motrix_rl.rl_module.class_paths import serialize_type
from motrix_rl.rl_module.frameworks import ppo_module
from motrix_rl.rl_module.module import RLModule
from motrix_rl.rl_module.multi import MultiRLModule
from motrix_rl.rl_module.ppo import is_portable

METADATA_VERSION = 1
_VERSIONS = ("motrix-rl", "torch", "onnx", "jax")


@dataclass(frozen=True)
class ExportedPolicy:
    """A file that was written.

    Args:
        path: Where it is.
        size: Its bytes.
        signature: What goes in and out.
        agreement: How it compares with the module.
    """

    path: Path
    size: int
    signature: Signature
    agreement: Agreement


def export_module(
    module: RLModule,
    path: str | Path,
    format: str = "onnx",
    contract: Mapping[str, Any] | None = None,
) -> ExportedPolicy:
    """Write what `module.act(obs)` does as a function of tensors.

    The function is all of it: normalise, forward pass, the distribution's own decision, bounds of
    the action space. The number of rows is free. The file is read back and compared with the
    module before it gets its name.

    Args:
        module: Any module with spaces and action distributions.
        path: The file; folders are made where missing.
        format: `"onnx"`, `"torch"` or `"stablehlo"`.
        contract: What the policy relies on, in JSON's types; kept in the file's metadata.

    Raises:
        ExportError: There is no such format, something is not installed, the module is not of a
            kind that can be written so, or the file does not do what the module does.
        RunError: The disk refuses.
    """
    chosen, path = find_format(format), Path(path)
    if isinstance(module, MultiRLModule):
        raise ExportError("a file holds one module: export those of a MultiRLModule one by one")
    exporter = chosen.exporter()
    module = module.for_inference()
    writer = in_framework(module, chosen)
    signature = Signature.of(writer, parity.observations(module.observation_space, 2))
    document = json.dumps(metadata(module, signature, contract or {}))
    try:
        data = exporter.write(format, writer, signature, document)
        function, found = chosen.read(data)
    except ANYTHING as error:
        raise ExportError(
            f"{chosen.framework} cannot write {type(module).__name__} as {format}: "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error
    if found != document:
        raise ExportError("the file lost its metadata. Nothing was written.")
    try:
        agreement = parity.compare(module, function, signature)
    except ExportError as error:
        raise ExportError(f"{_first_line(error).rstrip('.')}. Nothing was written.") from error
    with disk_errors(path.parent, RunError):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes_atomic(path, data)
    return ExportedPolicy(path, len(data), signature, agreement)


def in_framework(module: RLModule, format: Format) -> RLModule:
    """Return a module in the framework that writes a format.

    Raises:
        ExportError: It exists in its own framework only.
    """
    if module.framework == format.framework:
        return module
    if not is_portable(module):
        own = [name for name, entry in FORMATS.items() if entry.framework == module.framework]
        raise ExportError(
            f"{format.name} files are written by {format.framework}, and "
            f"{type(module).__name__} exists in {module.framework or 'NumPy'} alone. "
            f"Formats for it: {', '.join(own) or 'none'}."
        )
    made = ppo_module(format.framework)(module.config)
    made.set_state(module.get_state())
    return made


def metadata(module: RLModule, signature: Signature, contract: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON document that goes into a file.

    Raises:
        ExportError: The contract is not of JSON's types.
    """
    try:
        policy = plain(contract, "the contract", nonfinite_as_text=True)
    except ValueError as error:
        raise ExportError(str(error)) from error
    return {
        "format": METADATA_VERSION,
        "module": serialize_type(type(module)),
        **signature.to_dict(),
        "policy": policy,
        "tolerance": parity.TOLERANCE,
        "versions": {name: v for name in _VERSIONS if (v := installed_version(name))},
    }


def _first_line(error: BaseException) -> str:
    """Return what an error says at first; frameworks go on for pages."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next(filter(None, lines), "no reason given")
