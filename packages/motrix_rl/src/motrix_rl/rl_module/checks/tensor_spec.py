"""Specs of arrays and tensors, by named dimensions."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from motrix_rl.rl_module.checks.specs import Spec
from motrix_rl.rl_module.errors import SpecCheckingError

# Top-level packages that the classes of a framework's arrays live in. Tracers count: under
# `jax.jit` a check runs once, while tracing.
_HOMES = {"np": ("numpy",), "torch": ("torch",), "jax": ("jax", "jaxlib")}
_MAKERS = {"np": "numpy", "torch": "torch", "jax": "jax.numpy"}


class TensorSpec(Spec):
    """An array with so many dimensions, some of them of a fixed size.

        TensorSpec("b, h", h=64, framework="torch", dtype=torch.float32)

    Args:
        shape: Names of the dimensions, separated by commas.
        dtype: NumPy, torch or JAX type or its name; None takes any.
        framework: `"np"`, `"torch"` or `"jax"`; None takes anything with a shape and a dtype.
        **dims: Sizes of dimensions by name; the others are free.

    Raises:
        ValueError: A name occurs twice, a size belongs to no name or is not a positive integer,
            or the framework is unknown.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, shape: str, *, dtype: Any = None, framework: str | None = None, **dims: int
    ) -> None:
        names = tuple(name.strip() for name in shape.split(",") if name.strip())
        if len(set(names)) != len(names):
            raise ValueError(f"dimension names must differ: '{shape}'")
        if unknown := set(dims) - set(names):
            raise ValueError(f"no dimension of '{shape}' is called {sorted(unknown)}")
        for name, size in dims.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"dimension {name} must be a positive integer, not {size!r}")
        if framework is not None and framework not in _HOMES:
            raise ValueError(f"unknown framework {framework!r}: choose from {', '.join(_HOMES)}")
        self._shape: tuple[str | int, ...] = tuple(dims.get(name, name) for name in names)
        self._dtype = dtype
        self._framework = framework

    @property
    def shape(self) -> tuple[str | int, ...]:
        """Sizes, and names where the size is free."""
        return self._shape

    @property
    def full_shape(self) -> tuple[int, ...]:
        """Sizes, with 1 where the size is free."""
        return tuple(1 if isinstance(size, str) else size for size in self._shape)

    @property
    def dtype(self) -> Any:
        """The element type as it was given, or None."""
        return self._dtype

    @property
    def type(self) -> str | None:
        """The framework, or None."""
        return self._framework

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TensorSpec):
            return NotImplemented
        return self._shape == other._shape and dtype_name(self._dtype) == dtype_name(other._dtype)

    def __repr__(self) -> str:
        return f"TensorSpec(shape={self._shape}, dtype={dtype_name(self._dtype)}, framework={self._framework})"  # fmt: skip  # noqa: E501

    def validate(self, data: Any) -> None:
        """Check framework, rank, sizes and element type, in this order; see `Spec.validate`."""
        if self._framework is not None and not is_tensor(data, self._framework):
            raise SpecCheckingError(
                f"expected an array of {self._framework}, found {type(data).__module__}."
                f"{type(data).__name__}"
            )
        if not (hasattr(data, "shape") and hasattr(data, "dtype")):
            raise SpecCheckingError(f"expected an array, found {type(data).__name__}")
        found = tuple(data.shape)
        fits = len(found) == len(self._shape) and all(
            isinstance(wanted, str) or wanted == size
            for wanted, size in zip(self._shape, found, strict=True)
        )
        if not fits:
            raise SpecCheckingError(f"expected shape {self._shape}, found {found}")
        if self._dtype is not None and dtype_name(self._dtype) != dtype_name(data.dtype):
            raise SpecCheckingError(
                f"expected {dtype_name(self._dtype)}, found {dtype_name(data.dtype)}"
            )

    def fill(self, value: float = 0) -> Any:
        """Return an array of `full_shape` with this value everywhere.

        Raises:
            ValueError: The spec names no framework, or the framework is not imported.
        """
        if self._framework is None:
            raise ValueError("cannot make an array: the spec names no framework")
        # Looked up, not imported: the core knows no framework, its user does.
        library = sys.modules.get(_MAKERS[self._framework])
        if library is None:
            raise ValueError(f"import {_MAKERS[self._framework]} first")
        options = {} if self._dtype is None else {"dtype": self._dtype}
        return library.full(self.full_shape, value, **options)

    def rdrop(self, n: int) -> TensorSpec:
        """Return the spec without its last `n` dimensions.

        Raises:
            ValueError: `n` is negative or larger than the rank.
        """
        if not 0 <= n <= len(self._shape):
            raise ValueError(f"cannot drop {n} of {len(self._shape)} dimensions")
        return self._with(self._shape[: len(self._shape) - n])

    def append(self, spec: TensorSpec) -> TensorSpec:
        """Return the spec followed by the dimensions of another one.

        Raises:
            ValueError: Both use the same name for a free dimension.
        """
        shape = (*self._shape, *spec._shape)
        names = [name for name in shape if isinstance(name, str)]
        if len(set(names)) != len(names):
            raise ValueError(f"dimension names must differ: {shape}")
        return self._with(shape)

    def _with(self, shape: tuple[str | int, ...]) -> TensorSpec:
        spec = TensorSpec("", dtype=self._dtype, framework=self._framework)
        spec._shape = shape
        return spec


def is_tensor(value: object, framework: str) -> bool:
    """Tell whether a value is an array of a framework, without importing the framework."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")):
        return False
    return any(cls.__module__.split(".")[0] in _HOMES[framework] for cls in type(value).__mro__)


def dtype_name(dtype: Any) -> str | None:
    """Return the name of an element type, the same for all frameworks: `"float32"`."""
    if dtype is None or isinstance(dtype, str):
        return dtype
    text = str(dtype)
    if text.startswith("torch."):
        return text.removeprefix("torch.")
    return str(np.dtype(dtype).name)
