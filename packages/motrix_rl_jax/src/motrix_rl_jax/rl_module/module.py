"""`FlaxRLModule`: an RLModule around pure functions of parameters.

The object is a thin holder of Flax modules (`parts`) and of arrays (`variables`). What JAX
transforms is `functional(...)`, a function of variables and batch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from motrix_rl.rl_module import nested, states
from motrix_rl.rl_module.aliases import Batch, StateDict
from motrix_rl.rl_module.module import RLModule
from motrix_rl.rl_module.networks import ModelConfig, below
from motrix_rl.rl_module.parameters import draw_seed, initial_values

from motrix_rl_jax.rl_module.networks import build_model

Variables = dict[str, Any]
Phase = Literal["inference", "exploration", "train"]


class FlaxRLModule(RLModule):
    """Base class of modules in JAX; goes before other base classes.

    Create parts in `setup()` with `add_part` and run them with `run_network`.

    Attributes:
        parts: Flax modules by name.
        params: Trained parameters, a nested dictionary of JAX arrays.
        buffers: What belongs to the state but is not trained: nested NumPy arrays, so that
            float64 and int64 survive.
    """

    framework = "jax"

    def __init__(self, config: Any = None, **kwargs: Any) -> None:
        self.parts: dict[str, nn.Module] = {}
        self.params: StateDict = {}
        self.buffers: StateDict = {}
        super().__init__(config, **kwargs)

    # Parts

    def add_part(self, name: str, part: nn.Module, *example: Any, rng: Any = None) -> None:
        """Create a Flax module of your own under a name.

        Args:
            name: Key in `parts` and `params`, and branch of the state.
            part: The Flax module.
            *example: Inputs of the shapes that it will see, for its initial parameters.
            rng: JAX key of the initial parameters; None draws one.

        Raises:
            ValueError: The part has variables that are not parameters, such as batch statistics.
        """
        key = jax.random.key(draw_seed() % 2**31) if rng is None else rng
        made = part.init(key, *example)
        if others := made.keys() - {"params"}:
            raise ValueError(f"{name} has {sorted(others)}: only parameters are kept between calls")
        self.parts[name], self.params[name] = part, dict(made.get("params", {}))

    def add_network(self, name: str, config: ModelConfig, seed: int | None = None) -> None:
        """Create a network from its config; see `RLModule.add_network`."""
        layout = below(name, config.parameters())
        values = initial_values(layout, draw_seed() if seed is None else seed)
        self.parts[name] = build_model(config)
        self.params[name] = jax.tree.map(jnp.asarray, states.unflatten(values).get(name, {}))

    def run_network(self, path: str, *inputs: Any) -> Any:
        """Return what a part makes of inputs; see `RLModule.run_network`."""
        name, _, inner = path.partition(".")
        variables = {"params": self.params.get(name, {})}

        def run(part: Any, *xs: Any) -> Any:
            for attribute in filter(None, inner.split(".")):
                part = getattr(part, attribute)
            return part(*xs)

        return self.parts[name].apply(variables, *inputs, method=run)

    def write_buffer(self, path: str, array: Any) -> None:
        """Create or replace a buffer; see `RLModule.write_buffer`."""
        *owners, last = path.split(".")
        node = self.buffers
        for owner in owners:
            node = node.setdefault(owner, {})
        node[last] = np.array(array)

    def read_buffer(self, path: str) -> jax.Array:
        """Return a buffer as float32."""
        node: Any = self.buffers
        for name in path.split("."):
            node = node[name]
        return jnp.asarray(node).astype(jnp.float32)

    def _remove_part(self, name: str) -> None:
        self.parts.pop(name, None)
        self.params = states.without(self.params, [name])
        self.buffers = states.without(self.buffers, [name])

    # Pure functions

    @property
    def variables(self) -> Variables:
        """Parameters and buffers: `{"params": ..., "buffers": ...}`."""
        return {"params": self.params, "buffers": self.buffers}

    def bind(self, variables: Variables) -> Self:
        """Return a module with the same parts around other variables; nothing is copied."""
        bound = copy.copy(self)
        bound.params, bound.buffers = variables["params"], variables["buffers"]
        return bound

    def functional(self, phase: Phase) -> Callable[[Variables, Batch], dict[str, Any]]:
        """Return a forward pass as a pure function of variables and batch, for `jax.jit`.

        Specs are checked while JAX traces it, and cost nothing afterwards.
        """

        def forward(variables: Variables, batch: Batch) -> dict[str, Any]:
            output: dict[str, Any] = getattr(self.bind(variables), f"forward_{phase}")(batch)
            return output

        return forward

    # State

    def _own_state(self) -> StateDict:
        leaves = states.flatten(self.params).items()
        # A part without parameters leaves an empty branch, which is no state.
        trained = {path: np.array(leaf) for path, leaf in leaves if not isinstance(leaf, dict)}
        return states.unflatten({**trained, **states.flatten(self.buffers)})

    def _take_state(self, state: StateDict) -> None:
        flat = states.flatten(state)
        kept = states.flatten(self.buffers).keys()
        self.buffers = states.unflatten({path: np.array(flat[path]) for path in kept})
        self.params = states.unflatten(
            {path: jnp.array(leaf) for path, leaf in flat.items() if path not in kept}
        )

    # Between JAX and NumPy

    def to_tensor(self, array: Any) -> Any:
        """Return (nested) arrays as JAX arrays."""
        return nested.transform(jnp.asarray, array)

    def to_numpy(self, tensor: Any) -> Any:
        """Return (nested) JAX arrays as NumPy arrays."""
        return nested.transform(np.asarray, tensor)
