"""A network of Acme's own for PPO in torch: residual blocks, and means that stay within bounds."""

from __future__ import annotations

from typing import Any

from motrix_rl.rl_module import (
    Columns,
    InferenceOnlyAPI,
    NormalizerAPI,
    ValueFunctionAPI,
    normaliser,
)
from motrix_rl.rl_module.distributions import Distribution
from motrix_rl_torch.rl_module import TorchRLModule
from motrix_rl_torch.rl_module.distributions import DiagGaussian
from numpy.typing import ArrayLike
from torch import Tensor, as_tensor, cat, nn, zeros

Batch = dict[str, Any]


class Block(nn.Module):
    """x + what a layer makes of the normalised x: deep networks learn like shallow ones.

    Source: Xiong et al., "On layer normalization in the Transformer architecture", 2020, where
    the norm comes first.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layer = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., width) of (..., width)."""
        return x + nn.functional.elu(self.layer(self.norm(x)))


def tower(inputs: int, widths: list[int], outputs: int) -> nn.Sequential:
    """Return a network with one block for each width; the first width is that of all."""
    width = widths[0]
    blocks = [Block(width) for _ in widths]
    return nn.Sequential(
        nn.Linear(inputs, width), *blocks, nn.LayerNorm(width), nn.Linear(width, outputs)
    )


class Residual(TorchRLModule, InferenceOnlyAPI, ValueFunctionAPI, NormalizerAPI):
    """Policy and value function, each a residual tower; the mean action is bounded by tanh.

    It takes the widths of the configuration, `policy_hidden_layer_sizes` and
    `value_hidden_layer_sizes`, and actions in a Box with finite bounds.
    """

    def setup(self) -> None:
        """Create the towers; torch is seeded by the trainer."""
        box, options = self.action_space, self.model_config
        inputs, actions = self.observation_space.shape[0], box.shape[0]
        widths = options.get("fcnet_hiddens", [64, 64])
        self.pi = tower(inputs, widths, actions)
        nn.init.zeros_(self.pi[-1].weight)  # the first means lie in the middle
        nn.init.zeros_(self.pi[-1].bias)
        self.log_std = nn.Parameter(zeros(actions) + options.get("initial_log_std", 0.0))
        self.vf = tower(inputs, options.get("vf_fcnet_hiddens") or widths, 1)
        self.register_buffer("middle", as_tensor((box.high + box.low) / 2), persistent=False)
        self.register_buffer("reach", as_tensor((box.high - box.low) / 2), persistent=False)
        for part, value in normaliser.initial_moments((inputs,)).items():
            self.write_buffer(f"normalizer.{part}", value)

    def get_non_inference_attributes(self) -> list[str]:
        """Return what acting does not need."""
        return ["vf"]

    # Acting and learning

    def get_inference_action_dist_cls(self) -> type[Distribution]:
        """Return a Gaussian with independent components."""
        return DiagGaussian

    get_exploration_action_dist_cls = get_train_action_dist_cls = get_inference_action_dist_cls

    def _forward_inference(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        mean = self.middle + self.reach * self.pi(self._seen(batch)).tanh()
        return {Columns.ACTION_DIST_INPUTS: cat([mean, self.log_std.expand_as(mean)], -1)}

    def _forward_exploration(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        return self._forward_inference(batch)

    def _forward_train(self, batch: Batch, **kwargs: Any) -> dict[str, Any]:
        return {**self._forward_inference(batch), Columns.VF_PREDS: self.compute_values(batch)}

    def compute_values(self, batch: Batch, embeddings: Any = None) -> Tensor:
        """Return values, (batch,)."""
        return self.vf(self._seen(batch))[..., 0]

    # Normaliser

    def normalizes(self) -> bool:
        """Say yes: what is seen is normalised by its running mean and variance."""
        return True

    def update_normalizer(self, observations: ArrayLike, states: ArrayLike | None = None) -> None:
        """Take in what was seen between two updates, (n, obs_dim)."""
        moments = self.get_state("normalizer")["normalizer"]
        for part, value in normaliser.updated(moments, observations).items():
            self.write_buffer(f"normalizer.{part}", value)

    def _seen(self, batch: Batch) -> Tensor:
        mean, variance = (self.read_buffer(f"normalizer.{part}") for part in ("mean", "variance"))
        return normaliser.normalise(batch[Columns.OBS], mean, variance)
