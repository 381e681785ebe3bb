"""What acting and learning both need of a Gaussian whose log-std is bounded."""

from __future__ import annotations

import math

from motrix_rl.native.emitter import Emitter, Value
from motrix_rl.rl_module.distributions import DiagGaussian

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def bounded(e: Emitter, log_std: Value) -> Value:
    """Return log-stds within their bounds."""
    return e.within(log_std, *map(e.number, DiagGaussian.LOG_STD_BOUNDS))
