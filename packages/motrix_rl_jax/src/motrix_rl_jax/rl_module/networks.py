"""Networks of `motrix_rl.rl_module.networks` as Flax modules, named so that both layouts agree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from motrix_rl.rl_module.networks import (
    LAYER_NORM_EPSILON,
    ActorCriticEncoderConfig,
    CNNEncoderConfig,
    FreeLogStdMLPHeadConfig,
    MLPConfig,
    ModelConfig,
    RecurrentEncoderConfig,
)

State = dict[str, jax.Array]
Activation = Callable[[Any], Any]


@jax.custom_vjp
def elu(x: jax.Array) -> jax.Array:
    """Return x where it is positive, otherwise e^x - 1; its gradient follows from the result."""
    return jnp.where(x > 0, x, jnp.exp(jnp.minimum(x, 0)) - 1)  # `expm1` takes twice as long


def _elu_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return (y := elu(x)), y


def _elu_backward(y: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (gradient * jnp.where(y > 0, 1, y + 1),)


elu.defvjp(_elu_forward, _elu_backward)

_ACTIVATIONS: dict[str, Activation] = {
    "linear": lambda x: x,
    "relu": nn.relu,
    "tanh": nn.tanh,
    "elu": elu,
    "silu": nn.silu,
    "gelu": partial(nn.gelu, approximate=False),
}


def build_model(config: ModelConfig) -> nn.Module:
    """Return the Flax module of a network.

    Raises:
        ValueError: There is none for this kind of network.
    """
    for kind, model in _MODELS.items():
        if isinstance(config, kind):
            return model(config)
    raise ValueError(f"Flax has no network for a {type(config).__name__}")


class MLP(nn.Module):
    """Dense layers, with layer norms if wanted."""

    config: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return (..., outputs) of (..., inputs)."""
        c: MLPConfig = self.config
        for index, width in enumerate(c.hidden_layer_dims):
            x = nn.Dense(width, c.hidden_layer_use_bias, name=f"{index}")(x)
            if c.hidden_layer_use_layernorm:
                # The fast variance, E[x^2] - E[x]^2, loses digits that torch keeps.
                norm = nn.LayerNorm(
                    LAYER_NORM_EPSILON, name=f"{index}_norm", use_fast_variance=False
                )
                x = norm(x)
            x = _ACTIVATIONS[c.hidden_layer_activation](x)
        if c.output_layer_dim is None:
            return x
        outputs = c.parameters()["out/kernel"].shape[-1]
        x = nn.Dense(outputs, c.output_layer_use_bias, name="out")(x)
        x = _ACTIVATIONS[c.output_layer_activation](x)
        if not isinstance(c, FreeLogStdMLPHeadConfig):
            return x
        log_std = self.param("log_std", nn.initializers.constant(c.initial_log_std), (outputs,))
        return jnp.concatenate([x, jnp.broadcast_to(log_std, x.shape)], -1)


class CNN(nn.Module):
    """Convolutions over images with channels last."""

    config: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Return (..., features) of (..., height, width, channels)."""
        config: CNNEncoderConfig = self.config
        leading = x.shape[:-3]
        images = x.reshape(-1, *x.shape[-3:]).astype(jnp.float32) * config.input_scale
        for index, (filters, window, strides, padding) in enumerate(config.layers()):
            convolve = nn.Conv(filters, window, strides, padding.upper(), name=f"conv_{index}")
            images = _ACTIVATIONS[config.cnn_activation](convolve(images))
        return images.reshape(*leading, *config.output_dims)


class GatedLayers(nn.Module):
    """LSTM or GRU layers with torch's equations and gate order, which the layout prescribes."""

    config: Any

    @nn.compact
    def __call__(self, tokens: jax.Array, state: State) -> tuple[jax.Array, State]:
        """Return (time, batch, hidden) and the next state, (batch, layers, hidden) each."""
        config: RecurrentEncoderConfig = self.config
        step = lstm_step if config.recurrent_layer_type == "lstm" else gru_step
        ends = []
        for index in range(config.num_layers):
            kernel, recurrent, *biases = self._parameters(index)
            start = {name: part[:, index] for name, part in state.items()}
            # One product for all time steps; only the recurrent one has to wait.
            inputs = tokens @ kernel + biases[0]
            end, tokens = jax.lax.scan(partial(step, recurrent, biases[1]), start, inputs)
            ends.append(end)
        return tokens, {name: jnp.stack([end[name] for end in ends], 1) for name in state}

    def _parameters(self, index: int) -> list[Any]:
        layout = self.config.parameters()
        names = [f"{kind}_{side}_{index}" for kind in ("kernel", "bias") for side in SIDES]
        zeros = nn.initializers.zeros_init()
        return [self.param(n, zeros, layout[f"recurrent/{n}"].shape) for n in names]


SIDES = ("input", "recurrent")


def lstm_step(kernel: Any, bias: Any, state: State, inputs: Any) -> tuple[State, jax.Array]:
    """Return the next state and the output; gates in the order i, f, g, o.

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
    """
    i, f, g, o = jnp.split(inputs + state["h"] @ kernel + bias, 4, axis=-1)
    cell = nn.sigmoid(f) * state["c"] + nn.sigmoid(i) * nn.tanh(g)
    hidden = nn.sigmoid(o) * nn.tanh(cell)
    return {"h": hidden, "c": cell}, hidden


def gru_step(kernel: Any, bias: Any, state: State, inputs: Any) -> tuple[State, jax.Array]:
    """Return the next state and the output; gates in the order r, z, n.

    Source: Cho et al. 2014; the reset gate acts after the recurrent product, as in cuDNN.
    """
    from_inputs = jnp.split(inputs, 3, axis=-1)
    from_state = jnp.split(state["h"] @ kernel + bias, 3, axis=-1)
    reset = nn.sigmoid(from_inputs[0] + from_state[0])
    update = nn.sigmoid(from_inputs[1] + from_state[1])
    new = nn.tanh(from_inputs[2] + reset * from_state[2])
    hidden = (1 - update) * new + update * state["h"]
    return {"h": hidden}, hidden


class Recurrent(nn.Module):
    """A tokenizer and gated layers over its tokens."""

    config: Any

    def setup(self) -> None:
        """Name the parts as the layout does."""
        self.tokenizer = build_model(self.config.tokenizer_config)
        self.recurrent = GatedLayers(self.config)

    def __call__(self, x: jax.Array, state: State) -> tuple[jax.Array, State]:
        """Return features (batch, time, hidden) and the next state.

        A batch without time axis gives features without one.
        """
        tokens = self.tokenizer(x)
        if tokens.ndim == 2:
            features, end = self.recurrent(tokens[None], state)
            return features[0], end
        features, end = self.recurrent(jnp.swapaxes(tokens, 0, 1), state)
        return jnp.swapaxes(features, 0, 1), end


class ActorCritic(nn.Module):
    """Encoders of policy and value function, run one by one."""

    config: Any

    def setup(self) -> None:
        """Create them as attributes `shared`, or `actor` and `critic`."""
        for name, part in self.config.parts().items():
            setattr(self, name, build_model(part))


_MODELS: dict[type, Callable[..., nn.Module]] = {
    MLPConfig: MLP,
    CNNEncoderConfig: CNN,
    RecurrentEncoderConfig: Recurrent,
    ActorCriticEncoderConfig: ActorCritic,
}
