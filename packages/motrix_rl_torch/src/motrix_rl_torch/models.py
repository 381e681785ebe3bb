"""An RLModule as a skrl model in torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from motrix_rl.rl_module import Columns, ValueFunctionAPI
from motrix_rl.rl_module.distributions import Distribution
from motrix_rl.skrl.modules import batch_of, spread_of
from skrl.models.torch import Model

from motrix_rl_torch.rl_module.module import TorchRLModule

Output = tuple[torch.Tensor, dict[str, Any]]


@dataclass(frozen=True)
class Spread:
    """What skrl logs of a distribution."""

    stddev: torch.Tensor


@dataclass
class Latest:
    """What the policy computed last; a torch module takes its time to set attributes itself."""

    dist: Any = None
    """The action distribution."""
    seen: torch.Tensor | None = None
    """The observations, as long as the value has not been asked for."""
    values: torch.Tensor | None = None
    """Their values, which came with the distribution."""


class ModuleModel(Model):
    """A module in both roles, "policy" and "value", so that one optimiser trains all of it.

    Args:
        module: Policy and value function.
        **spaces: Spaces and device, as skrl's `Model` takes them.
    """

    def __init__(self, module: TorchRLModule, **spaces: Any) -> None:
        super().__init__(**spaces)
        self.module = module
        dist_cls = module.get_train_action_dist_cls()
        assert dist_cls is not None  # `check_module` saw to it
        self._dist_cls: type[Distribution] = dist_cls
        self._latest = Latest()

    def act(self, inputs: dict[str, Any], *, role: str = "") -> Output:
        """Return sampled actions for the role "policy", values (num_envs, 1) for "value"."""
        return self._act(inputs) if role == "policy" else (self._value(inputs), {})

    def compute(self, inputs: dict[str, Any], role: str = "") -> Output:
        """Return what `act` does; skrl wants a name for the step before it."""
        return self.act(inputs, role=role)

    def _act(self, inputs: dict[str, Any]) -> Output:
        output = self.module.forward_train(batch_of(inputs))
        dist = self._dist_cls.from_logits(output[Columns.ACTION_DIST_INPUTS])
        self._latest.dist = dist
        self._latest.seen = inputs["observations"]
        self._latest.values = output.get(Columns.VF_PREDS)
        rows = len(inputs["observations"])
        if "taken_actions" in inputs:
            actions = inputs["taken_actions"]
            logp = dist.logp(actions.reshape(rows, *(self.action_space.shape or ())))
        else:
            actions, logp = dist.sample(return_logp=True)
        return actions.reshape(rows, -1), {"log_prob": logp.unsqueeze(-1)}

    def _value(self, inputs: dict[str, Any]) -> torch.Tensor:
        latest = self._latest
        values = latest.values if latest.seen is inputs["observations"] else None
        latest.seen = latest.values = None
        if values is None:
            values = cast("ValueFunctionAPI", self.module).compute_values(batch_of(inputs))
            assert values is not None
        return values.unsqueeze(-1)

    def get_entropy(self, *, role: str = "") -> torch.Tensor:
        """Return the entropy of the latest distribution, (num_envs, 1)."""
        entropy: torch.Tensor = self._latest.dist.entropy()
        return entropy.unsqueeze(-1)

    def distribution(self, *, role: str = "") -> Spread:
        """Return what is logged of the latest distribution."""
        return Spread(spread_of(self._latest.dist))
