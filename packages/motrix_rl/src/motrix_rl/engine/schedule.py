"""Learning rates over a training."""

from __future__ import annotations

from motrix_rl.skrl.cfg import PPOCfg

FACTOR, LOWEST, HIGHEST = 1.5, 1e-6, 1e-2
"""How much the rate changes at a time, and within what; as skrl's `KLAdaptiveLR` does."""


def rate_at_start(cfg: PPOCfg, rate: float, progress: float) -> float:
    """Return the learning rate of an update.

    Args:
        cfg: The configuration.
        rate: The rate so far.
        progress: Share of the training that is done, in [0, 1).
    """
    if cfg.learning_rate_schedule == "linear":
        return cfg.learning_rate * (1 - progress)
    return rate


def rate_after_epoch(cfg: PPOCfg, rate: float, kl: float) -> float:
    """Return the learning rate after an epoch with this mean divergence of its mini-batches."""
    target = cfg.learning_rate_scheduler_kl_threshold
    if cfg.learning_rate_schedule != "kl" or target == 0:
        return rate
    if kl > 2 * target:
        return max(rate / FACTOR, LOWEST)
    if kl < target / 2:
        return min(rate * FACTOR, HIGHEST)
    return rate
