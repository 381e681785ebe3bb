"""Networks of `motrix_rl.rl_module.networks` as torch modules; attributes follow its layout."""

from __future__ import annotations

from collections.abc import Callable

import torch
from motrix_rl.rl_module.networks import (
    LAYER_NORM_EPSILON,
    ActorCriticEncoderConfig,
    CNNEncoderConfig,
    FreeLogStdMLPHeadConfig,
    MLPConfig,
    ModelConfig,
    RecurrentEncoderConfig,
)
from torch import nn
from torch.nn import functional

State = dict[str, torch.Tensor]

# In place where the gradient needs no more than the result: nobody else sees what a layer put out.
_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": torch.relu_,
    "tanh": torch.tanh_,
    "elu": functional.elu_,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "linear": lambda x: x,
}


def build_model(config: ModelConfig) -> nn.Module:
    """Return the torch module of a network.

    Raises:
        ValueError: There is none for this kind of network.
    """
    match config:
        case MLPConfig():
            return MLP(config)
        case CNNEncoderConfig():
            return CNN(config)
        case RecurrentEncoderConfig():
            return Recurrent(config)
        case ActorCriticEncoderConfig():
            return nn.ModuleDict({name: build_model(part) for name, part in config.parts().items()})
    raise ValueError(f"torch has no network for a {type(config).__name__}")


class MLP(nn.Module):
    """Hidden layers `0`, `1`, ..., each with its norm `0_norm` if wanted, and a last one, `out`."""

    log_std: nn.Parameter
    """Only in heads with a free one."""

    def __init__(self, config: MLPConfig) -> None:
        super().__init__()
        self.config = config
        width = config.input_dims[0]
        for index, hidden in enumerate(config.hidden_layer_dims):
            self.add_module(str(index), nn.Linear(width, hidden, config.hidden_layer_use_bias))
            if config.hidden_layer_use_layernorm:
                self.add_module(f"{index}_norm", nn.LayerNorm(hidden, LAYER_NORM_EPSILON))
            width = hidden
        if config.output_layer_dim is not None:
            outputs = config.parameters()["out/kernel"].shape[-1]
            self.out = nn.Linear(width, outputs, config.output_layer_use_bias)
        if isinstance(config, FreeLogStdMLPHeadConfig):
            self.log_std = nn.Parameter(torch.full((outputs,), config.initial_log_std))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., outputs) of (..., inputs)."""
        config, layers = self.config, self._modules
        for index in range(len(config.hidden_layer_dims)):
            x = layers[str(index)](x)  # type: ignore[misc]
            if config.hidden_layer_use_layernorm:
                x = layers[f"{index}_norm"](x)  # type: ignore[misc]
            x = _ACTIVATIONS[config.hidden_layer_activation](x)
        if config.output_layer_dim is not None:
            x = _ACTIVATIONS[config.output_layer_activation](self.out(x))
        if isinstance(config, FreeLogStdMLPHeadConfig):
            x = torch.cat([x, self.log_std.expand_as(x)], dim=-1)
        return x


class CNN(nn.Module):
    """Convolutions `conv_0`, ...; torch wants channels first, the layout has them last."""

    def __init__(self, config: CNNEncoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.input_dims[-1]
        for index, (filters, size, stride, _) in enumerate(config.layers()):
            self.add_module(f"conv_{index}", nn.Conv2d(channels, filters, size, stride))
            channels = filters

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., features) of (..., height, width, channels)."""
        leading = x.shape[:-3]
        x = x.reshape(-1, *x.shape[-3:]).to(torch.float32) * self.config.input_scale
        x = x.permute(0, 3, 1, 2)
        for index, (_, size, stride, padding) in enumerate(self.config.layers()):
            if padding == "same":
                x = functional.pad(x, _same(x.shape[-2:], size, stride))
            x = self._modules[f"conv_{index}"](x)  # type: ignore[misc]
            x = _ACTIVATIONS[self.config.cnn_activation](x)
        x = x.permute(0, 2, 3, 1)
        return x.reshape(*leading, *self.config.output_dims)


def _same(shape: torch.Size, size: tuple[int, int], stride: tuple[int, int]) -> list[int]:
    """Return what `functional.pad` wants: (left, right, top, bottom), the odd pixel at the end."""
    sides: list[int] = []
    for pixels, window, step in zip(shape, size, stride, strict=True):
        total = max((-(-pixels // step) - 1) * step + window - pixels, 0)
        sides = [total // 2, total - total // 2, *sides]
    return sides


class Recurrent(nn.Module):
    """A `tokenizer` and LSTM or GRU layers, `recurrent`."""

    def __init__(self, config: RecurrentEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = build_model(config.tokenizer_config)
        kind = nn.LSTM if config.recurrent_layer_type == "lstm" else nn.GRU
        inputs = config.tokenizer_config.output_dims[0]
        self.recurrent = kind(inputs, config.hidden_dim, config.num_layers, batch_first=True)

    def forward(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Return features (batch, time, hidden) and the next state, (batch, layers, hidden) each.

        Without a time axis in `x`, there is none in the features.
        """
        tokens = self.tokenizer(x)
        single = tokens.ndim == 2
        tokens = tokens.unsqueeze(1) if single else tokens
        start = {name: part.transpose(0, 1).contiguous() for name, part in state.items()}
        if "c" in start:
            features, (h, c) = self.recurrent(tokens, (start["h"], start["c"]))
            end = {"h": h, "c": c}
        else:
            features, h = self.recurrent(tokens, start["h"])
            end = {"h": h}
        features = features.squeeze(1) if single else features
        return features, {name: part.transpose(0, 1) for name, part in end.items()}
