"""A network as a chain of layers, and where everything of it lies in memory."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from numpy.typing import NDArray

from motrix_rl.native.compiler import processor

TILE = 64
"""Rows that go through all layers together."""

_NARROW = 4  # outputs for which whole vectors of them would be mostly empty


def padded(width: int) -> int:
    """Return a width rounded up to whole vectors."""
    lanes = processor().lanes
    return -(-width // lanes) * lanes


@dataclass(frozen=True)
class Layer:
    """A linear layer and what follows it. Places are counted in floats.

    The kernel is (inputs, outputs), with columns added up to whole vectors. That of a narrow layer
    is transposed, (outputs, inputs).

    Attributes:
        number: From 0 in the order of the chain.
        inputs: Width of its input.
        outputs: Width of its output.
        activation: `"linear"` or one of `ACTIVATIONS`.
        kernel: Where the kernel begins in the vector of all parameters.
    """

    number: int
    inputs: int
    outputs: int
    activation: str
    kernel: int

    @property
    def narrow(self) -> bool:
        """Whether outputs are too few to fill vectors; not if first, since `x` is not padded."""
        return self.outputs <= _NARROW and self.number > 0

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the kernel in memory."""
        if self.narrow:
            return self.outputs, padded(self.inputs)
        return self.inputs, self.stride

    @property
    def bias(self) -> int:
        """Where the bias begins, (stride,)."""
        return self.kernel + self.shape[0] * self.shape[1]

    @property
    def end(self) -> int:
        """Where the next layer begins."""
        return self.bias + self.stride

    def views(self, vector: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return kernel (inputs, outputs) and bias (outputs,) in a vector of all parameters."""
        kernel, bias = vector[self.kernel : self.bias].reshape(self.shape), vector[self.bias :]
        if self.narrow:
            kernel = kernel.T
        return kernel[: self.inputs, : self.outputs], bias[: self.outputs]

    @property
    def stride(self) -> int:
        """Floats from one row of the output to the next."""
        return padded(self.outputs)


@dataclass(frozen=True)
class Plan:
    """A chain of layers; equal plans have the same machine code.

    Attributes:
        layers: From the first to the last.
    """

    layers: tuple[Layer, ...]

    @classmethod
    def of(cls, widths: tuple[int, ...], activations: tuple[str, ...]) -> Self:
        """Return a plan by the widths of input and layers, and the layers' activations."""
        layers: list[Layer] = []
        for (inputs, outputs), activation in zip(pairwise(widths), activations, strict=True):
            kernel = layers[-1].end if layers else 0
            layers.append(Layer(len(layers), inputs, outputs, activation, kernel))
        return cls(tuple(layers))

    @property
    def size(self) -> int:
        """Length of the vector of all parameters."""
        return self.layers[-1].end

    @property
    def row(self) -> int:
        """Floats of what all layers put out for a row."""
        return sum(layer.stride for layer in self.layers)

    @property
    def widest(self) -> int:
        """Floats of the longest row."""
        return max(layer.stride for layer in self.layers)

    @property
    def scratch(self) -> int:
        """Floats that a backward pass needs beside the memory of the forward pass."""
        return self.transposed(self.layers[-1]) + self._transposed_size(self.layers[-1])

    def before(self, layer: Layer) -> int:
        """Return floats of what the layers before one put out for a row."""
        return sum(other.stride for other in self.layers[: layer.number])

    def transposed(self, layer: Layer) -> int:
        """Return where a layer's transposed kernel lies in the scratch memory."""
        tiles = 2 * TILE * self.widest
        return tiles + sum(map(self._transposed_size, self.layers[: layer.number]))

    @staticmethod
    def _transposed_size(layer: Layer) -> int:
        return layer.outputs * padded(layer.inputs)
