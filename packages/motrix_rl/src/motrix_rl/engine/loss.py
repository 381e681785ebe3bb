"""PPO's loss and Adam's step, written once for the arrays of every framework."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from motrix_rl.rl_module import Columns, RLModule, ValueFunctionAPI
from motrix_rl.skrl.cfg import PPOCfg
from motrix_rl.skrl.modules import spread_of

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants: what its paper proposes and torch takes."""

NORM_EPSILON = 1e-6
"""What torch adds to a gradient's norm before it divides by it."""

Parts = dict[str, Any]
"""Losses and what else is worth a look, by name."""


def outputs(module: RLModule, batch: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return inputs of the action distribution, and values (batch,)."""
    output = module.forward_train(dict(batch))
    values = output.get(Columns.VF_PREDS)
    if values is None:
        values = cast("ValueFunctionAPI", module).compute_values(dict(batch))
    return output[Columns.ACTION_DIST_INPUTS], values


def ppo_loss(dist: Any, values: Any, batch: Mapping[str, Any], cfg: PPOCfg) -> tuple[Any, Parts]:
    """Return the loss of a mini-batch and its parts.

    Source: Schulman et al., "Proximal Policy Optimization Algorithms", 2017, equations 7 and 9;
    the divergence is the third estimator of Schulman, "Approximating KL Divergence", 2020. Values
    are clipped around what the network said when it acted, in its own, normalised units.

    Args:
        dist: Action distributions of the policy as it is now.
        values: Normalised values as they are now, (size,).
        batch: `actions`, `log_probs`, `values`, `advantages` and `targets` of a rollout's rows,
            (size, ...).
        cfg: Coefficients.

    Returns:
        The loss, and `policy`, `value`, `entropy` (losses), `kl` and `spread`.
    """
    change = dist.logp(batch["actions"]) - batch["log_probs"]
    ratio, advantages = dist.ops.xp.exp(change), batch["advantages"]
    clipped = ratio.clip(1 - cfg.ratio_clip, 1 + cfg.ratio_clip)
    policy = -dist.ops.xp.minimum(advantages * ratio, advantages * clipped).mean()
    if cfg.clip_predicted_values and cfg.value_clip > 0:
        old = batch["values"]
        values = old + (values - old).clip(-cfg.value_clip, cfg.value_clip)
    value = cfg.value_loss_scale * ((batch["targets"] - values) ** 2).mean()
    loss = policy + value
    parts = {"policy": policy, "value": value, "spread": spread_of(dist).mean()}
    if cfg.entropy_loss_scale:
        parts["entropy"] = -cfg.entropy_loss_scale * dist.entropy().mean()
        loss = loss + parts["entropy"]
    return loss, {**parts, "kl": (ratio - 1 - change).mean()}


def adam_scales(step: int, rate: float) -> tuple[float, float]:
    """Return factors of Adam's step that undo the bias of its moments.

    Args:
        step: Number of this step, from 1.
        rate: Learning rate.

    Returns:
        For the first moment, with the learning rate in it; for the root of the second.
    """
    return rate / (1 - BETA_1**step), 1 / math.sqrt(1 - BETA_2**step)


def adam(
    parameter: Any, gradient: Any, mean: Any, variance: Any, scales: Any
) -> tuple[Any, Any, Any]:
    """Return parameter and moments after one step.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.

    Args:
        parameter: Any array, as are the next three.
        gradient: Of the loss.
        mean: First moment.
        variance: Second moment.
        scales: What `adam_scales` returned.
    """
    mean = BETA_1 * mean + (1 - BETA_1) * gradient
    variance = BETA_2 * variance + (1 - BETA_2) * gradient * gradient
    step = scales[0] * mean / (variance**0.5 * scales[1] + EPSILON)
    return parameter - step, mean, variance
