"""Policy and value function as skrl models in torch; an ELU stands before every head."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from motrix_rl.skrl.cfg import PPOCfg
from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
from torch import nn

Output = tuple[torch.Tensor, dict[str, Any]]


def mlp(inputs: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Return hidden layers, each a linear map and an ELU."""
    layers = [(nn.Linear(n, m), nn.ELU()) for n, m in pairwise((inputs, *widths))]
    return nn.Sequential(*(module for layer in layers for module in layer))


class Policy(GaussianMixin, Model):
    """A Gaussian whose mean is an MLP of the observation and whose log-std is a free vector."""

    def __init__(self, cfg: PPOCfg, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self)
        self.hidden = mlp(self.num_observations, cfg.policy_hidden_layer_sizes)
        self.mean = nn.Linear(cfg.policy_hidden_layer_sizes[-1], self.num_actions)
        self.log_std = nn.Parameter(torch.full((self.num_actions,), cfg.initial_log_std))

    def compute(self, inputs: dict[str, Any], role: str = "") -> Output:
        """Return mean actions (num_envs, action_dim) and the log-std."""
        return self.mean(self.hidden(inputs["observations"])), {"log_std": self.log_std}


class Value(DeterministicMixin, Model):
    """An MLP of the privileged state where there is one, otherwise of the observation."""

    def __init__(self, cfg: PPOCfg, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        DeterministicMixin.__init__(self)
        self.sees = "observations" if self.state_space is None else "states"
        inputs = self.num_observations if self.state_space is None else self.num_states
        self.hidden = mlp(inputs, cfg.value_hidden_layer_sizes)
        self.value = nn.Linear(cfg.value_hidden_layer_sizes[-1], 1)

    def compute(self, inputs: dict[str, Any], role: str = "") -> Output:
        """Return values (num_envs, 1)."""
        return self.value(self.hidden(inputs[self.sees])), {}


class SharedPolicyValue(GaussianMixin, DeterministicMixin, Model):
    """Policy and value function on the same hidden layers, which run once for both."""

    def __init__(self, cfg: PPOCfg, **spaces: Any) -> None:
        Model.__init__(self, **spaces)
        GaussianMixin.__init__(self)
        DeterministicMixin.__init__(self)
        self.hidden = mlp(self.num_observations, cfg.policy_hidden_layer_sizes)
        self.mean = nn.Linear(cfg.policy_hidden_layer_sizes[-1], self.num_actions)
        self.log_std = nn.Parameter(torch.full((self.num_actions,), cfg.initial_log_std))
        self.value = nn.Linear(cfg.policy_hidden_layer_sizes[-1], 1)
        self._seen: torch.Tensor | None = None
        self._features: torch.Tensor | None = None

    def act(self, inputs: dict[str, Any], *, role: str = "") -> Output:
        """Return sampled actions for the role "policy", values for "value"."""
        mixin = GaussianMixin if role == "policy" else DeterministicMixin
        return mixin.act(self, inputs, role=role)

    def compute(self, inputs: dict[str, Any], role: str = "") -> Output:
        """Return mean actions and log-std, or values."""
        observations = inputs["observations"]
        if role == "policy":
            # Kept for the value that is asked next, about the very same tensor.
            self._seen, self._features = observations, self.hidden(observations)
            return self.mean(self._features), {"log_std": self.log_std}
        features = self._features if observations is self._seen else self.hidden(observations)
        self._seen = self._features = None
        return self.value(features), {}


def make_models(cfg: PPOCfg, env: Any) -> dict[str, Model]:
    """Return skrl's dictionary of models for a wrapped environment."""
    spaces = {
        "observation_space": env.observation_space,
        "state_space": env.state_space,
        "action_space": env.action_space,
        "device": env.device,
    }
    if cfg.share_policy_value_features:
        shared = SharedPolicyValue(cfg, **spaces)
        return {"policy": shared, "value": shared}
    return {"policy": Policy(cfg, **spaces), "value": Value(cfg, **spaces)}
