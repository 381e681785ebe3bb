"""Policies as StableHLO, in a ZIP archive with two members; see `motrix_rl.export`.

function.stablehlo    what `jax.export` serialised
motrix.json           the metadata, which that has no place for
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import export
from motrix_rl.export.signature import BATCH, METADATA, Signature
from motrix_rl.rl_module.acting import clip, decide
from motrix_rl.rl_module.module import RLModule
from numpy.typing import NDArray

from motrix_rl_jax.rl_module.ops import Ops

PLATFORMS = ("cpu", "cuda")

_FUNCTION, _METADATA = "function.stablehlo", f"{METADATA}.json"


def write(format: str, module: RLModule, signature: Signature, metadata: str) -> bytes:
    """Return the content of a file; see `motrix_rl.export.formats.Exporter`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # A ZipInfo without a date, so that the same policy gives the same bytes.
        archive.writestr(zipfile.ZipInfo(_FUNCTION), bytes(trace(module, signature).serialize()))
        archive.writestr(zipfile.ZipInfo(_METADATA), metadata)
    return file.getvalue()


def trace(module: RLModule, signature: Signature) -> export.Exported:
    """Return a module's function, with a free number of rows.

    The module is traced as it acts, with 32 bits. What the action space adds may have 64.
    """

    def decision(*inputs: Any) -> Any:
        return decide(module, signature.batch(inputs))

    def whole(*inputs: Any) -> tuple[Any, ...]:
        actions, state = inner.call(*inputs)
        return tuple(signature.results(clip(actions, module.action_space, Ops), state))

    # Where a line of Python was on this machine is nobody's business.
    with settings(jax_traceback_in_locations_limit=0):
        inner = _export(decision, signature)
        with settings(jax_enable_x64=True):
            return _export(whole, signature)


def _export(function: Callable[..., Any], signature: Signature) -> export.Exported:
    (rows,) = export.symbolic_shape(BATCH)
    shapes = [jax.ShapeDtypeStruct((rows, *p.shape), np.dtype(p.dtype)) for p in signature.inputs]
    return export.export(jax.jit(function), platforms=PLATFORMS)(*shapes)


def read(data: bytes) -> tuple[Any, str]:
    """Return what a file computes, and its metadata."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # Without `jit`, each call would be compiled anew.
        run = jax.jit(export.deserialize(bytearray(archive.read(_FUNCTION))).call)
        metadata = archive.read(_METADATA).decode()

    def function(inputs: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        return [np.asarray(output) for output in run(*inputs)]

    return function, metadata


@contextlib.contextmanager
def settings(**values: Any) -> Iterator[None]:
    """Change settings of JAX for a while, for the whole process."""
    before = {name: getattr(jax.config, name) for name in values}
    try:
        for name, value in values.items():
            jax.config.update(name, value)
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
