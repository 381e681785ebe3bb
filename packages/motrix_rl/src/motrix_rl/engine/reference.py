"""One mini-batch of PPO by hand, in NumPy and float64: what every backend is compared with.

It knows PPO's own module with MLPs and a free log-std, shared or not, and nothing of the code that
it judges: forward pass, loss, gradient, clipping and Adam are written down once more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.skrl.cfg import PPOCfg

Array = NDArray[Any]
Arrays = dict[str, Array]


def loss_and_gradient(
    state: Mapping[str, Array],
    batch: Mapping[str, Array],
    cfg: PPOCfg,
    activations: Mapping[str, str] | None = None,
) -> tuple[dict[str, float], Arrays, Array]:
    """Return losses, their gradient and the log-probabilities of a mini-batch.

    Args:
        state: A module's state by canonical path.
        batch: See `ppo_loss`, with `obs` and perhaps `state`.
        cfg: Coefficients.
        activations: What follows the hidden layers of a network, by its path such as `"pi"`:
            `"elu"`, as everywhere by default, `"relu"`, `"tanh"` or `"linear"`.

    Returns:
        `policy`, `value`, `entropy` (losses), `kl` and `spread`; the gradient by canonical path,
        before any clipping; log-probabilities (size,).
    """
    p = {path: np.asarray(array, np.float64) for path, array in state.items()}
    b = {name: np.asarray(array, np.float64) for name, array in batch.items()}
    shared = any(path.startswith("encoder/shared/") for path in p)
    paths = ("encoder/shared",) * 2 if shared else ("encoder/actor", "encoder/critic")
    actor, critic, pi, vf = (
        _Network(p, path, (activations or {}).get(path, "elu")) for path in (*paths, "pi", "vf")
    )
    mean = pi.forward(actor.forward(_normalised(p, "normalizer", b["obs"])))
    column, moments = ("state", "state_normalizer") if "state" in b else ("obs", "normalizer")
    values = vf.forward(critic.forward(_normalised(p, moments, b[column])))[:, 0]
    parts, d_mean, d_log_std, log_probs = _policy(mean, p["pi/log_std"], b, cfg)
    parts["value"], d_values = _value(values, b, cfg)
    gradient, d_actor = pi.backward(d_mean)
    of_vf, d_critic = vf.backward(d_values[:, None])
    gradient |= {**of_vf, "pi/log_std": d_log_std}
    if shared:
        d_actor = d_critic = d_actor + d_critic
    for encoder, d_out in ((actor, d_actor), (critic, d_critic)):
        gradient |= encoder.backward(d_out)[0]
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
    inside = (log_std >= -20) & (log_std <= 2)  # beyond, the distribution clips it
    log_std = log_std.clip(-20, 2)
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
    return parts, d_log_probs * z / std, d_log_std * inside, log_probs


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


class _Network:
    """An MLP by its path in a module's state."""

    def __init__(self, p: Arrays, path: str, activation: str) -> None:
        self._p, self._activation = p, activation
        self._layers: list[tuple[str, str]] = []
        while (layer := f"{path}/{len(self._layers)}") + "/kernel" in p:
            self._layers.append((layer, activation))
        if f"{path}/out/kernel" in p:
            self._layers.append((f"{path}/out", "linear"))

    def forward(self, x: Array) -> Array:
        self._seen = [x]
        for layer, activation in self._layers:
            sums = self._seen[-1] @ self._p[f"{layer}/kernel"] + self._p[f"{layer}/bias"]
            self._seen.append(_ACTIVATIONS[activation](sums))
        return self._seen[-1]

    def backward(self, d_out: Array) -> tuple[Arrays, Array]:
        """Return gradients of the parameters and of the input, from that of the output."""
        gradient: Arrays = {}
        for (layer, activation), x, out in reversed(
            list(zip(self._layers, self._seen, self._seen[1:], strict=False))
        ):
            d_sums = d_out * _SLOPES[activation](out)
            gradient |= {f"{layer}/kernel": x.T @ d_sums, f"{layer}/bias": d_sums.sum(0)}
            d_out = d_sums @ self._p[f"{layer}/kernel"].T
        return gradient, d_out


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "tanh": np.tanh,
}
_SLOPES: dict[str, Callable[[Array], Array]] = {
    "linear": np.ones_like,
    "relu": lambda out: np.where(out > 0, 1.0, 0.0),
    "elu": lambda out: np.where(out > 0, 1.0, out + 1),
    "tanh": lambda out: 1 - out**2,
}
