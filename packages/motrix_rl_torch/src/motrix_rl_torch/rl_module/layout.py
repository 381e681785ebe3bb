"""Torch parameters in the canonical layout, and back, without changing a bit.

Linear layers, convolutions, layer norms, LSTM and GRU are renamed and transposed as
`motrix_rl.rl_module.networks` describes. Everything else keeps torch's name and shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from motrix_rl.rl_module import states
from motrix_rl.rl_module.aliases import StateDict
from motrix_rl.rl_module.tensors import bfloat16
from numpy.typing import NDArray
from torch import nn

_RECURRENT = re.compile(r"(weight|bias)_(ih|hh)_l(\d+)")


class Entry(NamedTuple):
    """One parameter or buffer: its canonical path, and the order of torch's axes in it."""

    path: str
    axes: tuple[int, ...]
    tensor: torch.Tensor


def read(model: nn.Module) -> StateDict:
    """Return all parameters and persistent buffers as nested arrays in their own types."""
    return states.unflatten({e.path: to_array(e.tensor.permute(e.axes)) for e in entries(model)})


def write(model: nn.Module, state: StateDict) -> None:
    """Copy a state that fits into the parameters and buffers of a model, in place."""
    flat = states.flatten(state)
    with torch.no_grad():
        for entry in entries(model):
            entry.tensor.permute(entry.axes).copy_(to_tensor(flat[entry.path]))


def entries(model: nn.Module) -> Iterator[Entry]:
    """Yield the parameters and persistent buffers of a model.

    Raises:
        ValueError: The model keeps something else than tensors in its state.
    """
    for key, tensor in model.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"{key} is a {type(tensor).__name__}; a state consists of tensors")
        owner, _, name = key.rpartition(".")
        name, axes = _canonical(model.get_submodule(owner), name, tensor)
        yield Entry("/".join([*filter(None, owner.split(".")), name]), axes, tensor)


def _canonical(layer: nn.Module, name: str, tensor: torch.Tensor) -> tuple[str, tuple[int, ...]]:
    """Return canonical name and order of axes of a layer's own parameter."""
    same = tuple(range(tensor.ndim))
    if isinstance(layer, nn.Linear) and name == "weight":
        return "kernel", (1, 0)
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) and name == "weight":
        return "kernel", (*same[2:], 1, 0)
    if isinstance(layer, nn.LayerNorm) and name == "weight":
        return "scale", same
    if isinstance(layer, nn.LSTM | nn.GRU) and (match := _RECURRENT.fullmatch(name)):
        kind, side, index = match.groups()
        side = "input" if side == "ih" else "recurrent"
        return (f"{'kernel' if kind == 'weight' else 'bias'}_{side}_{index}", tuple(reversed(same)))
    return name, same


def to_array(tensor: torch.Tensor) -> NDArray[Any]:
    """Return a copy of a tensor as an array of the same element type, bfloat16 included."""
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(bfloat16()).copy()
    return np.array(tensor.numpy())


def to_tensor(array: Any) -> torch.Tensor:
    """Return a copy of an array as a tensor of the same element type, bfloat16 included."""
    array = np.array(array)  # a copy, writable and in C order
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)
