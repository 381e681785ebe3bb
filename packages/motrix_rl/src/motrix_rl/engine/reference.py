"""One mini-batch of PPO by hand, in NumPy and float64: what every backend is compared with.

It knows PPO's own module with MLPs, ELUs and a free log-std, shared or not, and nothing of the code
that it judges: forward pass, loss, gradient, clipping and Adam are written down once more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.skrl.cfg import PPOCfg

Array = NDArray[Any]
Arrays = dict[str, Array]


def loss_and_gradient(
    state: Mapping[str, Array], batch: Mapping[str, Array], cfg: PPOCfg
) -> tuple[dict[str, float], Arrays, Array]:
    """Return losses, their gradient and the log-probabilities of a mini-batch.

    Args:
        state: A module's state by canonical path.
        batch: See `ppo_loss`, with `obs` and perhaps `state`.
        cfg: Coefficients.

    Returns:
        `policy`, `value`, `entropy` (losses), `kl` and `spread`; the gradient by canonical path,
        before any clipping; log-probabilities (size,).
    """
    p = {path: np.asarray(array, np.float64) for path, array in state.items()}
    b = {name: np.asarray(array, np.float64) for name, array in batch.items()}
    shared = any(path.startswith("encoder/shared/") for path in p)
    actor, critic = ("encoder/shared",) * 2 if shared else ("encoder/actor", "encoder/critic")
    of_actor = _layers(p, actor, _normalised(p, "normalizer", b["obs"]))
    of_critic = of_actor
    if not shared:
        column, moments = ("state", "state_normalizer") if "state" in b else ("obs", "normalizer")
        of_critic = _layers(p, critic, _normalised(p, moments, b[column]))
    mean = of_actor[-1] @ p["pi/out/kernel"] + p["pi/out/bias"]
    values = (of_critic[-1] @ p["vf/out/kernel"] + p["vf/out/bias"])[:, 0]
    parts, d_mean, d_log_std, log_probs = _policy(mean, p["pi/log_std"], b, cfg)
    parts["value"], d_values = _value(values, b, cfg)
    gradient, d_actor = _linear(p, "pi/out", of_actor[-1], d_mean)
    of_vf, d_critic = _linear(p, "vf/out", of_critic[-1], d_values[:, None])
    gradient |= {**of_vf, "pi/log_std": d_log_std}
    if shared:
        return parts, gradient | _back(p, actor, of_actor, d_actor + d_critic), log_probs
    gradient |= _back(p, actor, of_actor, d_actor) | _back(p, critic, of_critic, d_critic)
    return parts, gradient, log_probs


def clipped(gradient: Arrays, largest: float) -> Arrays:
    """Return a gradient whose norm over all parameters is at most `largest`; 0 does not clip."""
    norm = math.sqrt(sum(float((array**2).sum()) for array in gradient.values()))
    factor = min(1.0, largest / (norm + 1e-6)) if largest else 1.0
    return {path: array * factor for path, array in gradient.items()}


def adam_step(
    state: Mapping[str, Array],
    gradient: Arrays,
    mean: Arrays,
    variance: Arrays,
    n: int,
    rate: float,
) -> tuple[Arrays, Arrays, Arrays]:
    """Return parameters and moments after Adam's step number `n` (Kingma and Ba 2015, algorithm 1).

    Args:
        state: A module's state by canonical path.
        gradient: By path of the parameters.
        mean: First moments.
        variance: Second moments.
        n: Counted from 1.
        rate: Learning rate.
    """
    mean = {k: 0.9 * mean[k] + 0.1 * g for k, g in gradient.items()}
    variance = {k: 0.999 * variance[k] + 0.001 * g**2 for k, g in gradient.items()}
    parameters = {}
    for path in gradient:
        m, v = mean[path] / (1 - 0.9**n), variance[path] / (1 - 0.999**n)
        parameters[path] = state[path] - rate * m / (np.sqrt(v) + 1e-8)
    return parameters, mean, variance


def _policy(
    mean: Array, log_std: Array, b: Arrays, cfg: PPOCfg
) -> tuple[dict[str, float], Array, Array, Array]:
    """Return losses, gradients of means and log-stds, and log-probabilities."""
    size, std = len(mean), np.exp(log_std)
    z = (b["actions"] - mean) / std
    log_probs = (-0.5 * z**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(1)
    change = log_probs - b["log_probs"]
    ratio = np.exp(change)
    plain = b["advantages"] * ratio
    bounded = b["advantages"] * np.clip(ratio, 1 - cfg.ratio_clip, 1 + cfg.ratio_clip)
    entropy = (log_std + 0.5 + 0.5 * math.log(2 * math.pi)).sum()
    parts = {
        "policy": float(-np.minimum(plain, bounded).mean()),
        "entropy": float(-cfg.entropy_loss_scale * entropy),
        "kl": float((ratio - 1 - change).mean()),
        "spread": float(std.mean()),
    }
    # Where the bound holds, the ratio earns nothing more and has no gradient.
    d_log_probs = -np.where(plain <= bounded, plain, 0.0)[:, None] / size
    d_log_std = (d_log_probs * (z**2 - 1)).sum(0) - cfg.entropy_loss_scale
    return parts, d_log_probs * z / std, d_log_std, log_probs


def _value(values: Array, b: Arrays, cfg: PPOCfg) -> tuple[float, Array]:
    """Return the value loss and its gradient."""
    predicted, free = values, np.ones_like(values)
    if cfg.clip_predicted_values and cfg.value_clip > 0:
        moved = values - b["values"]
        predicted = b["values"] + np.clip(moved, -cfg.value_clip, cfg.value_clip)
        free = np.abs(moved) <= cfg.value_clip
    error = predicted - b["targets"]
    loss = cfg.value_loss_scale * float((error**2).mean())
    return loss, 2 * cfg.value_loss_scale * error * free / len(values)


def _normalised(p: Arrays, name: str, obs: Array) -> Array:
    if f"{name}/mean" not in p:
        return obs
    scaled = (obs - p[f"{name}/mean"]) / (np.sqrt(p[f"{name}/variance"]) + 1e-8)
    return np.asarray(scaled.clip(-5, 5))


def _layers(p: Arrays, path: str, x: Array) -> list[Array]:
    """Return the input and what each hidden layer puts out."""
    seen = [x]
    while f"{path}/{len(seen) - 1}/kernel" in p:
        layer = f"{path}/{len(seen) - 1}"
        x = seen[-1] @ p[f"{layer}/kernel"] + p[f"{layer}/bias"]
        seen.append(np.where(x > 0, x, np.expm1(np.minimum(x, 0))))
    return seen


def _back(p: Arrays, path: str, seen: list[Array], d_out: Array) -> Arrays:
    """Return gradients of hidden layers from that of the last one's output."""
    gradient: Arrays = {}
    for index in reversed(range(len(seen) - 1)):
        out = seen[index + 1]
        d_sum = d_out * np.where(out > 0, 1.0, out + 1)
        of_layer, d_out = _linear(p, f"{path}/{index}", seen[index], d_sum)
        gradient |= of_layer
    return gradient


def _linear(p: Arrays, layer: str, x: Array, d_out: Array) -> tuple[Arrays, Array]:
    """Return gradients of a layer's parameters and of its input."""
    gradient = {f"{layer}/kernel": x.T @ d_out, f"{layer}/bias": d_out.sum(0)}
    return gradient, d_out @ p[f"{layer}/kernel"].T
