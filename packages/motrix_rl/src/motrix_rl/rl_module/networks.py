"""Networks as data: sizes, activations, and the names and shapes of their parameters.

`parameters()` of a config is the canonical layout that every framework writes and reads. All
kernels have the inputs before the outputs:

    0/kernel, 0/bias, 1/kernel, ...    hidden layers, (inputs, outputs) and (outputs,)
    0_norm/scale, 0_norm/bias          layer norm of a hidden layer, before its activation
    out/kernel, out/bias               the layer after them, if there is one
    log_std                            free log-std of a Gaussian, (action_dim,)
    conv_0/kernel                      (height, width, inputs, outputs); images are (H, W, C), and
                                       are flattened in this order
    recurrent/kernel_input_0           (inputs, gates * hidden); layer 0
    recurrent/kernel_recurrent_0       (hidden, gates * hidden)
    recurrent/bias_input_0, bias_recurrent_0
                                       gates in the order i, f, g, o (LSTM) or r, z, n (GRU)
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from motrix_rl.rl_module.frameworks import model_builder
from motrix_rl.rl_module.model_config import Activation
from motrix_rl.rl_module.parameters import Parameter

Parameters = dict[str, Parameter]
Scheme = Literal["uniform", "orthogonal"]

LAYER_NORM_EPSILON = 1e-3
GATES = {"lstm": 4, "gru": 3}


@dataclass
class ModelConfig(abc.ABC):
    """A network as data."""

    @property
    @abc.abstractmethod
    def output_dims(self) -> tuple[int, ...]:
        """Shape of the output of one row."""

    @abc.abstractmethod
    def parameters(self) -> Parameters:
        """Return the canonical layout: shape and initialiser of each parameter by path."""

    def build(self, framework: str) -> Any:
        """Return the network in a framework.

        Args:
            framework: Name of an installed backend, `"torch"` or `"jax"`.

        Raises:
            ValueError: No installed backend has this name.
        """
        return model_builder(framework)(self)


@dataclass
class MLPConfig(ModelConfig):
    """Hidden layers with an activation each, and perhaps one layer more.

    Args:
        input_dims: Shape of one row, `[n]`.
        hidden_layer_dims: Widths of the hidden layers.
        hidden_layer_activation: What follows each of them.
        hidden_layer_use_layernorm: Whether a layer norm stands before it.
        hidden_layer_use_bias: Whether they have biases.
        output_layer_dim: Width of a last layer; None leaves it out.
        output_layer_activation: What follows it.
        output_layer_use_bias: Whether it has biases.
        initialiser: See `DefaultModelConfig.initialiser`.
        output_gain: Gain of the last layer, where the initialiser is orthogonal.
    """

    input_dims: tuple[int, ...]
    hidden_layer_dims: tuple[int, ...] = (256, 256)
    hidden_layer_activation: Activation = "relu"
    hidden_layer_use_layernorm: bool = False
    hidden_layer_use_bias: bool = True
    output_layer_dim: int | None = None
    output_layer_activation: Activation = "linear"
    output_layer_use_bias: bool = True
    initialiser: Scheme = "uniform"
    output_gain: float = 1.0

    def __post_init__(self) -> None:
        widths = (*self.input_dims, *self.hidden_layer_dims)
        if len(self.input_dims) != 1 or min(widths) < 1:
            raise ValueError(f"an MLP takes flat rows and has positive widths, not {widths}")

    @property
    def output_dims(self) -> tuple[int, ...]:
        """Width of the last layer."""
        if self.output_layer_dim is not None:
            return (self.output_layer_dim,)
        return ((*self.input_dims, *self.hidden_layer_dims)[-1],)

    def parameters(self) -> Parameters:
        """See `ModelConfig.parameters`."""
        layout: Parameters = {}
        inputs = self.input_dims[0]
        for index, width in enumerate(self.hidden_layer_dims):
            shape, bias = (inputs, width), self.hidden_layer_use_bias
            layout |= kernel(str(index), shape, bias, self.initialiser, math.sqrt(2))
            if self.hidden_layer_use_layernorm:
                layout[f"{index}_norm/scale"] = Parameter((width,), "constant", 1.0)
                layout[f"{index}_norm/bias"] = Parameter((width,))
            inputs = width
        if self.output_layer_dim is not None:
            shape, bias = (
                (inputs, self._last_width(self.output_layer_dim)),
                self.output_layer_use_bias,
            )
            layout |= kernel("out", shape, bias, self.initialiser, self.output_gain)
        return layout

    def _last_width(self, outputs: int) -> int:
        return outputs


@dataclass
class MLPEncoderConfig(MLPConfig):
    """An MLP that makes features of observations."""


@dataclass
class MLPHeadConfig(MLPConfig):
    """An MLP that makes action inputs or values of features."""


@dataclass
class FreeLogStdMLPHeadConfig(MLPHeadConfig):
    """A head whose second half of outputs is a free vector, the log-std of a Gaussian.

    Args:
        initial_log_std: Where the vector starts.
    """

    initial_log_std: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.output_layer_dim or self.output_layer_dim % 2:
            raise ValueError(
                f"output_layer_dim is {self.output_layer_dim}: a head with a free log-std has an "
                "even number of outputs, means and log-stds"
            )

    def parameters(self) -> Parameters:
        """See `ModelConfig.parameters`."""
        free = Parameter((self._last_width(self.output_dims[0]),), "constant", self.initial_log_std)
        return {**super().parameters(), "log_std": free}

    def _last_width(self, outputs: int) -> int:
        return outputs // 2


@dataclass
class CNNEncoderConfig(ModelConfig):
    """Convolutions over images, flattened at the end in the order height, width, channel.

    Args:
        input_dims: (height, width, channels).
        cnn_filter_specifiers: Per layer: filters, kernel size, stride, and `"same"` (the default)
            or `"valid"`. With `"same"`, ceil(size / stride) pixels remain and the odd one of an
            odd number of padding pixels goes to the end, as in TensorFlow and JAX.
        cnn_activation: What follows each layer.
        flatten_at_end: Whether features are flat.
        input_scale: Factor on the input; 1/255 for images of bytes.
        initialiser: See `DefaultModelConfig.initialiser`.
    """

    input_dims: tuple[int, ...]
    cnn_filter_specifiers: list[list[Any]] = field(
        default_factory=lambda: [[16, 4, 2], [32, 4, 2], [64, 3, 1]]
    )
    cnn_activation: Activation = "relu"
    flatten_at_end: bool = True
    input_scale: float = 1.0
    initialiser: Scheme = "uniform"

    def __post_init__(self) -> None:
        if len(self.input_dims) != 3:
            raise ValueError(f"a CNN takes (height, width, channels), not {self.input_dims}")
        if min(self._final_dims()) < 1:
            raise ValueError(f"images of {self.input_dims} are too small for these filters")

    def layers(self) -> list[tuple[int, tuple[int, int], tuple[int, int], str]]:
        """Return filters, kernel size, stride and padding of each layer."""
        return [
            (int(n), _pair(size), _pair(stride), rest[0] if rest else "same")
            for n, size, stride, *rest in self.cnn_filter_specifiers
        ]

    def _final_dims(self) -> tuple[int, int, int]:
        height, width, channels = self.input_dims
        for filters, size, stride, padding in self.layers():
            if padding not in ("same", "valid"):
                raise ValueError(f"padding is 'same' or 'valid', not {padding!r}")
            lost = (0, 0) if padding == "same" else (size[0] - 1, size[1] - 1)
            height = -(-(height - lost[0]) // stride[0])
            width = -(-(width - lost[1]) // stride[1])
            channels = filters
        return height, width, channels

    @property
    def output_dims(self) -> tuple[int, ...]:
        """Number of features, or (height, width, channels)."""
        dims = self._final_dims()
        return (math.prod(dims),) if self.flatten_at_end else dims

    def parameters(self) -> Parameters:
        """See `ModelConfig.parameters`."""
        layout: Parameters = {}
        channels = self.input_dims[-1]
        for index, (filters, size, _, _) in enumerate(self.layers()):
            shape = (*size, channels, filters)
            layout |= kernel(f"conv_{index}", shape, True, self.initialiser, math.sqrt(2))
            channels = filters
        return layout


@dataclass
class RecurrentEncoderConfig(ModelConfig):
    """LSTM or GRU layers over the features of a tokenizer; (batch, time, ...) in and out.

    Args:
        tokenizer_config: What makes features of one observation.
        recurrent_layer_type: `"lstm"` (state `h` and `c`) or `"gru"` (state `h`).
        hidden_dim: Width of the state.
        num_layers: Layers on top of each other.
        initialiser: See `DefaultModelConfig.initialiser`.
    """

    tokenizer_config: ModelConfig
    recurrent_layer_type: Literal["lstm", "gru"] = "lstm"
    hidden_dim: int = 256
    num_layers: int = 1
    initialiser: Scheme = "uniform"

    def __post_init__(self) -> None:
        if self.recurrent_layer_type not in GATES:
            raise ValueError(f"recurrent_layer_type is one of {', '.join(GATES)}")

    @property
    def output_dims(self) -> tuple[int, ...]:
        """Width of the state."""
        return (self.hidden_dim,)

    @property
    def state_dims(self) -> dict[str, tuple[int, int]]:
        """Shapes of the state of one row, (layers, hidden)."""
        names = ("h", "c") if self.recurrent_layer_type == "lstm" else ("h",)
        return dict.fromkeys(names, (self.num_layers, self.hidden_dim))

    def parameters(self) -> Parameters:
        """See `ModelConfig.parameters`."""
        layout = below("tokenizer", self.tokenizer_config.parameters())
        hidden, width = self.hidden_dim, GATES[self.recurrent_layer_type] * self.hidden_dim
        inputs, scale = math.prod(self.tokenizer_config.output_dims), hidden**-0.5
        for index in range(self.num_layers):
            for side, rows in (("input", inputs), ("recurrent", hidden)):
                gain = scale if self.initialiser == "uniform" else 1.0
                weight = Parameter((rows, width), self.initialiser, gain)
                layout[f"recurrent/kernel_{side}_{index}"] = weight
                layout[f"recurrent/bias_{side}_{index}"] = bias(width, self.initialiser, scale)
            inputs = hidden
        return layout


@dataclass
class ActorCriticEncoderConfig(ModelConfig):
    """Encoders of policy and value function: `shared`, or `actor` and `critic`.

    Args:
        base_encoder_config: The encoder of the policy.
        critic_encoder_config: That of the value function, unless shared; None means the same.
        shared: Whether both use one.
    """

    base_encoder_config: ModelConfig
    critic_encoder_config: ModelConfig | None = None
    shared: bool = True

    def parts(self) -> dict[str, ModelConfig]:
        """Return the encoders by name."""
        if self.shared:
            return {"shared": self.base_encoder_config}
        critic = self.critic_encoder_config or self.base_encoder_config
        return {"actor": self.base_encoder_config, "critic": critic}

    @property
    def output_dims(self) -> tuple[int, ...]:
        """Those of the policy's encoder."""
        return self.base_encoder_config.output_dims

    def parameters(self) -> Parameters:
        """See `ModelConfig.parameters`."""
        return {
            path: parameter
            for name, part in self.parts().items()
            for path, parameter in below(name, part.parameters()).items()
        }


def kernel(
    path: str, shape: tuple[int, ...], use_bias: bool, initialiser: Scheme, gain: float
) -> Parameters:
    """Return kernel and bias of a layer; all axes but the last of `shape` are inputs."""
    scale = 1 / math.sqrt(math.prod(shape[:-1]))
    weight = Parameter(shape, initialiser, scale if initialiser == "uniform" else gain)
    layout = {f"{path}/kernel": weight}
    return layout | ({f"{path}/bias": bias(shape[-1], initialiser, scale)} if use_bias else {})


def bias(width: int, initialiser: Scheme, scale: float) -> Parameter:
    """Return a bias: uniform like its kernel, or zero beside an orthogonal one."""
    return (
        Parameter((width,), "uniform", scale) if initialiser == "uniform" else Parameter((width,))
    )


def below(name: str, layout: Parameters) -> Parameters:
    """Return a layout inside a part of this name."""
    return {f"{name}/{path}": parameter for path, parameter in layout.items()}


def _pair(size: Any) -> tuple[int, int]:
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))
