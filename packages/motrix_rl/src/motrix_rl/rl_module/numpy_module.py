"""Modules in plain NumPy: they act wherever a checkpoint is, without any framework."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.rl_module import states
from motrix_rl.rl_module.aliases import StateDict
from motrix_rl.rl_module.errors import NotInNumpyError
from motrix_rl.rl_module.module import RLModule
from motrix_rl.rl_module.networks import (
    LAYER_NORM_EPSILON,
    ActorCriticEncoderConfig,
    FreeLogStdMLPHeadConfig,
    MLPConfig,
    ModelConfig,
    below,
)
from motrix_rl.rl_module.parameters import draw_seed, initial_values
from motrix_rl.rl_module.ppo import PORTABLE_KIND, PPORLModule

Array = NDArray[Any]


class NumpyRLModule(RLModule):
    """A module whose networks are MLPs in NumPy; nothing here is trained."""

    def __init__(self, config: Any = None, **kwargs: Any) -> None:
        self._configs: dict[str, ModelConfig] = {}
        self._arrays: dict[str, Array] = {}
        self._branches: dict[str, dict[str, Array]] = {}
        super().__init__(config, **kwargs)

    def add_network(self, name: str, config: ModelConfig, seed: int | None = None) -> None:
        """Create a network; see `RLModule.add_network`."""
        parts = {name: config}
        if isinstance(config, ActorCriticEncoderConfig):
            parts = {f"{name}.{role}": inner for role, inner in config.parts().items()}
        for part, inner in parts.items():
            if not isinstance(inner, MLPConfig):
                raise NotInNumpyError(f"NumPy runs MLPs only, not {type(inner).__name__}")
            self._configs[part] = inner
        seed = draw_seed() if seed is None else seed
        self._arrays |= initial_values(below(name, config.parameters()), seed)
        self._branches.clear()

    def run_network(self, path: str, *inputs: Any) -> Any:
        """Return what an MLP makes of a batch; see `RLModule.run_network`."""
        config = self._configs[path]
        assert isinstance(config, MLPConfig)  # `add_network` saw to it
        return run_mlp(config, self._below(path.replace(".", "/") + "/"), *inputs)

    def _below(self, branch: str) -> Mapping[str, Array]:
        """Return the arrays of a branch; searched for once, until arrays change."""
        if branch not in self._branches:
            self._branches[branch] = {
                path.removeprefix(branch): array
                for path, array in self._arrays.items()
                if path.startswith(branch)
            }
        return self._branches[branch]

    def write_buffer(self, path: str, array: Array) -> None:
        """Create or replace a buffer."""
        self._arrays[path.replace(".", "/")] = np.array(array)
        self._branches.clear()

    def read_buffer(self, path: str) -> Array:
        """Return a buffer as float32."""
        return self._arrays[path.replace(".", "/")].astype(np.float32)

    def _remove_part(self, name: str) -> None:
        branch = name.replace(".", "/")
        self._arrays = states.flatten(states.without(states.unflatten(self._arrays), [branch]))
        self._branches.clear()

    def _own_state(self) -> StateDict:
        return states.unflatten({path: array.copy() for path, array in self._arrays.items()})

    def _take_state(self, state: StateDict) -> None:
        self._arrays = {path: np.array(leaf) for path, leaf in states.flatten(state).items()}
        self._branches.clear()


class PPONumpyRLModule(NumpyRLModule, PPORLModule):
    """A policy that PPO trained, in NumPy.

    `PPONumpyRLModule.from_checkpoint(path, inference_only=True).act(obs)` needs neither torch nor
    JAX.
    """

    PORTABLE_KIND = PORTABLE_KIND


def run_mlp(config: MLPConfig, parameters: Mapping[str, Array], x: Array) -> Array:
    """Return the output of an MLP.

    Args:
        config: The network as data.
        parameters: Its parameters by canonical path.
        x: (..., inputs).

    Returns:
        (..., outputs).
    """
    for index in range(len(config.hidden_layer_dims)):
        x = _linear(parameters, str(index), x)
        if config.hidden_layer_use_layernorm:
            x = _layer_norm(parameters, f"{index}_norm", x)
        x = activate(config.hidden_layer_activation, x)
    if config.output_layer_dim is not None:
        x = activate(config.output_layer_activation, _linear(parameters, "out", x))
    if isinstance(config, FreeLogStdMLPHeadConfig):
        log_std = np.broadcast_to(parameters["log_std"], x.shape)
        x = np.concatenate([x, log_std], -1)
    return x


def activate(name: str, x: Array) -> Array:
    """Return an activation of `DefaultModelConfig`, as torch and JAX define it."""
    if name == "relu":
        return np.maximum(x, 0)
    if name == "tanh":
        return np.tanh(x)
    if name == "elu":
        # e^x - 1 never lies below x: the greater one is right on both sides, and `where` is slow.
        # So is `expm1`: where a processor has no AVX-512, it takes seven times as long as `exp`.
        return np.asarray(np.maximum(x, np.exp(np.minimum(x, 0)) - 1))
    if name == "silu":
        return np.asarray(x / (1 + np.exp(-x.clip(-80, None))))
    if name == "gelu":
        return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))), x.dtype)
    return x


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


def _linear(parameters: Mapping[str, Array], name: str, x: Array) -> Array:
    x = x @ parameters[f"{name}/kernel"]
    if f"{name}/bias" in parameters:
        x += parameters[f"{name}/bias"]
    return x


def _layer_norm(parameters: Mapping[str, Array], name: str, x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scale = np.sqrt((centred**2).mean(-1, keepdims=True) + LAYER_NORM_EPSILON)
    normal: Array = centred / scale * parameters[f"{name}/scale"] + parameters[f"{name}/bias"]
    return normal
