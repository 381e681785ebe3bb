"""Whether a module can be trained by machine code, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_rl.engine import reference
from motrix_rl.engine.actor_critic import ActorCritic, widths_of
from motrix_rl.engine.host import Logits
from motrix_rl.engine.native import CHUNK, NativeLearner
from motrix_rl.native.compiler import processor
from motrix_rl.rl_module import Columns, RLModule, states
from motrix_rl.skrl.cfg import PPOCfg

Array = NDArray[Any]

_CHECKED_ROWS = 64


@dataclass(frozen=True)
class NativeWay:
    """How a module is trained without its framework.

    Attributes:
        networks: Those of the module.
        cfg: The configuration.
    """

    networks: ActorCritic
    cfg: PPOCfg

    def learner(self, module: RLModule, threads: int = 1) -> NativeLearner:
        """Return what trains a module; see `NativeLearner`."""
        return NativeLearner(module, self.cfg, self.networks, threads)

    def describe(self) -> dict[str, Any]:
        """Return what sums of floats depend on, as JSON."""
        cpu = processor()
        return {"gradients": "native", "chunks": CHUNK, "processor": cpu.name, "lanes": cpu.lanes}


def native_way(module: RLModule, cfg: PPOCfg, logits: Logits) -> NativeWay | None:
    """Return how a module is trained natively, if that is known and comes out right here.

    Actions are compared with those of the framework, a gradient with `reference`.

    Args:
        module: Of any framework.
        cfg: The configuration.
        logits: What the framework makes of observations.
    """
    networks = ActorCritic.of(module)
    if networks is None:
        return None
    learner = NativeLearner(module, cfg, networks)
    batch = _example(learner)
    theirs = logits(batch[Columns.OBS])[:, : networks.actions]
    silence = np.zeros_like(batch["actions"])
    ours, _ = learner.sample(batch[Columns.OBS], batch.get(Columns.STATE), silence)
    state = states.flatten(module.get_state())
    right = reference.loss_and_gradient(state, batch, cfg, networks.activations)[1]
    learner.load(batch)
    found = networks.views(learner.gradient(np.arange(_CHECKED_ROWS, dtype=np.int32))[0])
    agrees = np.allclose(ours, theirs, rtol=1e-4, atol=1e-5) and all(
        np.allclose(found[path], slope, rtol=1e-3, atol=1e-3 * np.abs(slope).max())
        for path, slope in right.items()
    )
    return NativeWay(networks, cfg) if agrees else None


def _example(learner: NativeLearner) -> dict[str, Array]:
    """Return random samples, in which some ratios and some values are clipped."""
    draw = np.random.default_rng(0).normal

    def normal(*shape: int) -> Array:
        return draw(size=shape).astype(np.float32)

    rows = _CHECKED_ROWS
    seen = {name: normal(rows, width) for name, width in widths_of(learner.module).items()}
    privileged = seen.get(Columns.STATE)
    noise = normal(rows, learner.networks.actions)
    actions, log_probs = learner.sample(seen[Columns.OBS], privileged, noise)
    return {
        **seen,
        "actions": actions,
        "log_probs": log_probs + 0.3 * normal(rows),
        "values": learner.values(seen[Columns.OBS], privileged) + 0.3 * normal(rows),
        "advantages": normal(rows),
        "targets": normal(rows),
    }
