"""Policies as ONNX files and as torch programs (`torch.export`); see `motrix_rl.export`."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from motrix_rl.export.signature import BATCH, METADATA, Signature
from motrix_rl.rl_module.acting import clip, decide
from motrix_rl.rl_module.module import RLModule
from numpy.typing import NDArray
from torch import nn

from motrix_rl_torch.rl_module.layout import to_array, to_tensor
from motrix_rl_torch.rl_module.ops import Ops

OPSET = 18
"""Version of ONNX's operators: onnxruntime knows it since 2023."""


class ActFunction(nn.Module):
    """What `module.act` does, as a function of tensors."""

    def __init__(self, module: RLModule, signature: Signature) -> None:
        super().__init__()
        self.module, self.signature = module, signature

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the outputs of the signature for its inputs."""
        actions, state = decide(self.module, self.signature.batch(inputs))
        actions = clip(actions, self.module.action_space, Ops)
        return tuple(self.signature.results(actions, state))


def write(format: str, module: Any, signature: Signature, metadata: str) -> bytes:
    """Return the content of a file; see `motrix_rl.export.formats.Exporter`."""
    with quiet(), torch.no_grad():
        program = trace(module, signature)
        if format == "onnx":
            return _onnx(program, signature, metadata)
        file = io.BytesIO()
        torch.export.save(program, file, extra_files={METADATA: metadata})
        return file.getvalue()


def trace(module: Any, signature: Signature) -> torch.export.ExportedProgram:
    """Return a module's function as a program, with a free number of rows."""
    function = ActFunction(copy.deepcopy(module).cpu(), signature).eval()
    example = tuple(to_tensor(np.zeros((2, *port.shape), port.dtype)) for port in signature.inputs)
    free = tuple({0: torch.export.Dim(BATCH)} for _ in example)
    program = torch.export.export(function, example, dynamic_shapes=(free,), strict=False)
    # Where a line of Python was on this machine is nobody's business.
    for graph in program.graph_module.modules():
        for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    return program


def _onnx(program: torch.export.ExportedProgram, signature: Signature, metadata: str) -> bytes:
    import onnx

    exported = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=OPSET,
        input_names=[port.name for port in signature.inputs],
        output_names=[port.name for port in signature.outputs],
        verbose=False,
    )
    assert exported is not None  # no file was named
    model = exported.model_proto
    graph = model.graph
    del graph.value_info[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for port in (*graph.input, *graph.output):
        port.type.tensor_type.shape.dim[0].dim_param = BATCH
    onnx.helper.set_model_props(model, {METADATA: metadata})
    data: bytes = model.SerializeToString()
    return data


def read(data: bytes) -> tuple[Any, str]:
    """Return what a torch program computes, and its metadata."""
    extra = {METADATA: ""}
    with quiet():
        program = torch.export.load(io.BytesIO(data), extra_files=extra).module()

    def function(inputs: Sequence[NDArray[Any]]) -> Sequence[NDArray[Any]]:
        with torch.no_grad():
            return [to_array(output) for output in program(*map(to_tensor, inputs))]

    return function, extra[METADATA]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide what exporters say about themselves; errors are raised all the same."""
    before = logging.root.manager.disable
    try:
        logging.disable(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
