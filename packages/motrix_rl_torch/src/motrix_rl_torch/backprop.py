"""Backpropagation of PPO's loss by hand, for Gaussian policies and values that are plain MLPs.

What autograd does, in about two thirds of the time: memory is kept from one gradient to the next,
where autograd has the system find new pages for every product; narrow matrices come first in
products; NumPy works out exponentials; and the loss is a few operations instead of a graph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import torch
from motrix_rl.rl_module import Columns
from motrix_rl.rl_module.networks import FreeLogStdMLPHeadConfig
from motrix_rl.rl_module.ppo import is_portable
from motrix_rl.skrl.cfg import PPOCfg
from torch import nn

from motrix_rl_torch.rl_module.distributions import DiagGaussian
from motrix_rl_torch.rl_module.module import TorchRLModule
from motrix_rl_torch.rl_module.networks import MLP
from motrix_rl_torch.rl_module.ppo import PPOTorchRLModule

Tensors = dict[str, torch.Tensor]
Views = dict[int, torch.Tensor]
"""Parts of a vector, in the shapes of parameters, by `id` of the parameter."""

ACTIVATIONS = {"elu", "relu", "tanh", "linear"}
"""Those whose slope follows from what they put out."""

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_aten = torch.ops.aten


def views_of(vector: torch.Tensor, parameters: Sequence[nn.Parameter]) -> Views:
    """Return the parts of a vector that holds a number for each of the parameters', in order."""
    parts = vector.split([parameter.numel() for parameter in parameters])
    pairs = zip(parameters, parts, strict=True)
    return {id(parameter): part.view_as(parameter) for parameter, part in pairs}


def knows(module: TorchRLModule) -> TypeGuard[PPOTorchRLModule]:
    """Tell whether `Backprop` is for a module: PPO's own, of plain MLPs and with a free log-std."""
    return (
        isinstance(module, PPOTorchRLModule)
        and is_portable(module)
        and all(parameter.requires_grad for parameter in module.parameters())
        and module.get_train_action_dist_cls() is DiagGaussian
        and all(_is_plain(part) for part in (*module.encoder.children(), module.pi, module.vf))
        and isinstance(module.pi.config, FreeLogStdMLPHeadConfig)
    )


def _is_plain(network: nn.Module) -> bool:
    return (
        isinstance(network, MLP)
        and not network.config.hidden_layer_use_layernorm
        and network.config.hidden_layer_activation in ACTIVATIONS
        and network.config.output_layer_activation in ACTIVATIONS
    )


class Backprop:
    """Memory and operations for one gradient of `Loss`; for one thread at a time.

    Args:
        module: Policy and value function, which `knows` knows.
        cfg: Coefficients of the loss.
        trained: All parameters, in the order of the gradient.
        rows: How many samples a batch has.
    """

    def __init__(
        self, module: PPOTorchRLModule, cfg: PPOCfg, trained: list[nn.Parameter], rows: int
    ) -> None:
        self._module, self._cfg = module, cfg
        self._gradient = torch.zeros(sum(parameter.numel() for parameter in trained))
        slopes = views_of(self._gradient, trained)
        self._encoders = {
            role: Network(encoder, rows, slopes)
            for role, encoder in module.encoder.named_children()
        }
        self._shared = "shared" in self._encoders
        self._actor = self._encoders["shared" if self._shared else "actor"]
        self._critic = self._encoders["shared" if self._shared else "critic"]
        privileged = module.config.state_space is not None
        self._critic_sees = Columns.STATE if privileged else Columns.OBS
        self._pi = Network(module.pi, rows, slopes, self._actor.d_out)
        self._vf = Network(module.vf, rows, slopes, self._critic.d_out, adds=self._shared)
        self._log_std = module.pi.log_std
        self._d_log_std = slopes[id(self._log_std)]

    @torch.no_grad()
    def values(self, batch: Tensors) -> torch.Tensor:
        """Return values, (rows,)."""
        seen = self._module.normalised(batch)
        return self._vf.forward(self._critic.forward(seen[self._critic_sees])).squeeze(1).clone()

    @torch.no_grad()
    def gradient(self, batch: Tensors) -> tuple[torch.Tensor, Tensors]:
        """Return the gradient as one vector, and the parts of the loss; see `ppo_loss`."""
        seen = self._module.normalised(batch)
        of_actor = of_critic = self._actor.forward(seen[Columns.OBS])
        if not self._shared:
            of_critic = self._critic.forward(seen[self._critic_sees])
        means, values = self._pi.forward(of_actor), self._vf.forward(of_critic)
        parts, d_means, self._d_log_std[:] = policy_loss(means, self._log_std, batch, self._cfg)
        parts["value"], d_values = value_loss(values, batch, self._cfg)
        self._pi.backward(d_means)
        self._vf.backward(d_values)
        for encoder in self._encoders.values():
            encoder.backward(encoder.d_out)
        return self._gradient.clone(), parts


def policy_loss(
    means: torch.Tensor, log_std: torch.Tensor, batch: Tensors, cfg: PPOCfg
) -> tuple[Tensors, torch.Tensor, torch.Tensor]:
    """Return the policy's parts of the loss, and their gradients; see `ppo_loss`.

    Args:
        means: Of Gaussians, (rows, action_dim).
        log_std: Of all of them, (action_dim,).
        batch: See `ppo_loss`.
        cfg: Coefficients.

    Returns:
        Parts by name, and the gradients of `means` and of `log_std`.
    """
    low, high = DiagGaussian.LOG_STD_BOUNDS
    free = (log_std >= low) & (log_std <= high)
    log_std = log_std.clip(low, high)
    std = log_std.exp()
    z = (batch["actions"] - means).div_(std)
    squares = z * z
    change = squares.sum(1).mul_(-0.5).sub_((log_std + _HALF_LOG_2PI).sum() + batch["log_probs"])
    ratio, advantages = change.exp(), batch["advantages"]
    plain = advantages * ratio
    clipped = ratio.clip(1 - cfg.ratio_clip, 1 + cfg.ratio_clip).mul_(advantages)
    parts = {"policy": -torch.minimum(plain, clipped).mean(), "spread": std.mean()}
    parts["kl"] = ratio.sub_(1).sub_(change).mean()
    # Where the clipped one is less, the ratio earns nothing more and has no gradient.
    d_log_probs = torch.where(plain <= clipped, plain, 0).div_(-len(means)).unsqueeze(1)
    d_log_std = torch.mm(d_log_probs.t(), squares.sub_(1))[0]
    if cfg.entropy_loss_scale:
        entropy = (log_std + (_HALF_LOG_2PI + 0.5)).sum()
        parts["entropy"] = -cfg.entropy_loss_scale * entropy
        d_log_std -= cfg.entropy_loss_scale
    return parts, z.mul_(d_log_probs).div_(std), d_log_std * free


def value_loss(
    values: torch.Tensor, batch: Tensors, cfg: PPOCfg
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the value loss and the gradient of `values`, (rows, 1) both; see `ppo_loss`."""
    error = values.squeeze(1) - batch["targets"]
    slope = error
    if cfg.clip_predicted_values and cfg.value_clip > 0:
        moved = values.squeeze(1) - batch["values"]
        within = moved.clip(-cfg.value_clip, cfg.value_clip)
        error = batch["values"] + within - batch["targets"]
        slope = error * (within == moved)
    scale = cfg.value_loss_scale
    return scale * error.square().mean(), (slope * (2 * scale / len(values))).unsqueeze(1)


class Network:
    """An MLP, forward and back.

    Args:
        mlp: The network; a free log-std is not its business.
        rows: How many are worked out at once.
        slopes: Where gradients of parameters go.
        d_in: Where the gradient of the input goes, (rows, inputs); None if nobody asks for it.
        adds: Whether there is one already, to which it is added.

    Attributes:
        d_out: Memory for the gradient of the output, (rows, outputs); None without any layer.
    """

    def __init__(
        self,
        mlp: nn.Module,
        rows: int,
        slopes: Views,
        d_in: torch.Tensor | None = None,
        adds: bool = False,
    ) -> None:
        assert isinstance(mlp, MLP)  # `knows` saw to it
        config = mlp.config
        hidden = (mlp.get_submodule(str(i)) for i in range(len(config.hidden_layer_dims)))
        stages = [(linear, config.hidden_layer_activation) for linear in hidden]
        if config.output_layer_dim is not None:
            stages.append((mlp.out, config.output_layer_activation))
        self.d_out = d_in
        self._layers: list[Layer] = []
        for linear, activation in stages:
            layer = Layer(linear, activation, rows, slopes, self.d_out, adds)
            self._layers.append(layer)
            self.d_out, adds = layer.d_out, False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (rows, outputs) of (rows, inputs)."""
        for layer in self._layers:
            x = layer.forward(x)
        return x

    def backward(self, d_out: torch.Tensor | None) -> None:
        """Write the gradients of parameters and input; overwrite that of the output."""
        for layer in reversed(self._layers):
            assert d_out is not None
            layer.backward(d_out)
            d_out = layer.d_in


class Layer:
    """A linear layer and its activation, with memory for both directions; see `Network`."""

    def __init__(
        self,
        linear: nn.Module,
        activation: str,
        rows: int,
        slopes: Views,
        d_in: torch.Tensor | None,
        adds: bool,
    ) -> None:
        assert isinstance(linear, nn.Linear)
        self._weight, self._bias, self._activation = linear.weight, linear.bias, activation
        outputs, inputs = self._weight.shape
        self._out, self.d_out = torch.empty(2, rows, outputs)
        self.d_in, self._adds = d_in, adds
        self._d_weight = slopes[id(self._weight)]
        self._turned = torch.empty(inputs, outputs) if inputs < outputs else None
        self._d_bias = None if self._bias is None else slopes[id(self._bias)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (rows, outputs) of (rows, inputs); both are looked at on the way back."""
        self._x = x
        if self._bias is None:
            torch.mm(x, self._weight.t(), out=self._out)
        else:
            torch.addmm(self._bias, x, self._weight.t(), out=self._out)
        self._activate(self._out)
        return self._out

    def backward(self, d_out: torch.Tensor) -> None:
        """Write the gradients of parameters and input; overwrite that of the output."""
        self._descend(d_out)
        if self._turned is None:
            torch.mm(d_out.t(), self._x, out=self._d_weight)
        else:
            torch.mm(self._x.t(), d_out, out=self._turned)
            self._d_weight.copy_(self._turned.t())
        if self._d_bias is not None:
            torch.sum(d_out, 0, out=self._d_bias)
        if self.d_in is not None:
            torch.addmm(self.d_in, d_out, self._weight, beta=int(self._adds), out=self.d_in)

    def _activate(self, out: torch.Tensor) -> None:
        """Apply the activation to the sums, in place."""
        if self._activation == "relu":
            torch.relu_(out)
        elif self._activation == "tanh":
            np.tanh(out.numpy(), out=out.numpy())
        elif self._activation == "elu":
            below = torch.clamp(out, max=0, out=self.d_out)
            np.exp(below.numpy(), out=below.numpy())
            # e^x - 1 never lies below x: the greater one is right on both sides.
            torch.maximum(out, below.sub_(1), out=out)

    def _descend(self, d_out: torch.Tensor) -> None:
        """Make the gradient of the output that of the sums, in place."""
        if self._activation == "relu":
            _aten.threshold_backward.grad_input(d_out, self._out, 0, grad_input=d_out)
        elif self._activation == "tanh":
            _aten.tanh_backward.grad_input(d_out, self._out, grad_input=d_out)
        elif self._activation == "elu":
            _aten.elu_backward.grad_input(d_out, 1, 1, 1, True, self._out, grad_input=d_out)
