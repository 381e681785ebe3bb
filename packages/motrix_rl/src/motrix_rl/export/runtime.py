"""Running an ONNX file: by onnxruntime, on one thread of the CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from motrix_rl.export.signature import METADATA


def read(data: bytes) -> tuple[Any, str]:
    """Return what a file computes, and its metadata; see `formats.Exporter.read`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]

    def function(inputs: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        outputs: Sequence[NDArray[Any]] = session.run(None, dict(zip(names, inputs, strict=True)))
        return outputs

    return function, session.get_modelmeta().custom_metadata_map.get(METADATA, "")
