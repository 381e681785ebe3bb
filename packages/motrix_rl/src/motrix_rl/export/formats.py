"""The table of formats: which file, which framework writes it, what has to be installed.

ONNX comes from torch's own exporter, for JAX runs too: their weights are put into the same network
in torch first. A graph built here from the network configs would need no torch, but it would be a
fourth implementation of every layer, and serve no module of a user's own. The exporter is fifty
lines, and covers what torch can trace.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from motrix_envs._plugins import installed_version
from motrix_envs.errors import did_you_mean
from numpy.typing import NDArray

from motrix_rl.errors import ExportError
from motrix_rl.export import runtime
from motrix_rl.rl_module import frameworks

if TYPE_CHECKING:
    from motrix_rl.export.signature import Signature
    from motrix_rl.rl_module.module import RLModule

Function = Callable[[Sequence[NDArray[Any]]], Sequence[NDArray[Any]]]
"""What a file computes: arrays in the order of the inputs to arrays in that of the outputs."""


class Exporter(Protocol):
    """What the module `rl_module.export` of a framework's package has."""

    @staticmethod
    def write(format: str, module: RLModule, signature: Signature, metadata: str) -> bytes:
        """Return the content of a file.

        Args:
            format: One of `FORMATS` that names this framework.
            module: A module of this framework.
            signature: What goes in and out.
            metadata: A JSON document to keep with it.

        Raises:
            Exception: Whatever the framework says of a module that it cannot trace.
        """

    @staticmethod
    def read(data: bytes) -> tuple[Function, str]:
        """Return what a file of the framework's own format computes, and its metadata."""


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Args:
        name: How the command line calls it.
        suffix: What its file names end in.
        framework: The backend that writes it.
        needs: Packages of the extra `motrix-rl[export]` that it takes.
    """

    name: str
    suffix: str
    framework: str
    needs: tuple[str, ...] = ()

    def exporter(self) -> Exporter:
        """Return what writes it.

        Raises:
            ExportError: Something is not installed; the message says how to get it.
        """
        missing = [name for name in self.needs if not importlib.util.find_spec(name)]
        if missing:
            version = installed_version("motrix-rl")
            raise ExportError(
                f"{self.name} files need {', '.join(missing)}: "
                f'pip install "motrix-rl[export]=={version}"'
            )
        try:
            return frameworks.exporter(self.framework)
        except (ValueError, ImportError) as error:
            raise ExportError(
                f"{self.name} files are written by {self.framework}, whatever trained the policy: "
                f"{error}"
            ) from error

    def read(self, data: bytes) -> tuple[Function, str]:
        """Return what a file computes, and its metadata."""
        return runtime.read(data) if self.name == "onnx" else self.exporter().read(data)


FORMATS = {
    entry.name: entry
    for entry in (
        Format("onnx", ".onnx", "torch", ("onnx", "onnxscript", "onnxruntime")),
        Format("torch", ".pt2", "torch"),
        Format("stablehlo", ".stablehlo.zip", "jax", ("flatbuffers",)),
    )
}
"""All formats by name."""


def find_format(name: str) -> Format:
    """Return a format.

    Raises:
        ExportError: There is none of this name.
    """
    if name not in FORMATS:
        raise ExportError(
            f"no export format '{name}'.{did_you_mean(name, FORMATS)} "
            f"Formats: {', '.join(FORMATS)}."
        )
    return FORMATS[name]
