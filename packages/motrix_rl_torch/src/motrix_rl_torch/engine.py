"""Motrix's own PPO in torch: the learner of `EngineTrainer`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from motrix_envs.np.env import NpEnv
from motrix_rl.engine.draws import GivenNoise
from motrix_rl.engine.host import Acted
from motrix_rl.engine.learner import Learner, Samples, StepByStep
from motrix_rl.engine.loss import NORM_EPSILON, Parts, adam, outputs
from motrix_rl.engine.trainer import EngineTrainer
from motrix_rl.host import usable_cpus
from motrix_rl.rl_module import Columns, RLModule
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.rl_module.ppo import is_portable
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.skrl.cfg import PPOCfg
from numpy.typing import NDArray
from torch import nn

from motrix_rl_torch.compute import ROLLOUT_THREADS, TorchCompute, update_on
from motrix_rl_torch.gradients import CHUNK, Gradients, Loss
from motrix_rl_torch.rl_module import layout
from motrix_rl_torch.rl_module.module import TorchRLModule
from motrix_rl_torch.rl_module.ops import Ops


class GivenOps(GivenNoise, Ops):
    """Torch with given noise."""


def loss_of(module: RLModule, cfg: PPOCfg) -> Loss:
    """Return the loss of a module that the trainer has checked."""
    dist_cls = module.get_train_action_dist_cls()
    assert isinstance(module, TorchRLModule)
    assert dist_cls is not None
    return Loss(module, bound(dist_cls, GivenOps), cfg)


class Trainer(TorchCompute, EngineTrainer):
    """Trains with Motrix's own PPO in torch; see `EngineTrainer` and `TorchCompute`."""

    backend: ClassVar[str] = "torch"
    _chunked: bool = False

    def build_module(self, env: NpEnv, seed: int) -> RLModule:
        """Return the module, and settle how its gradients are worked out."""
        module = super().build_module(env, seed)
        self._chunked = self.on_cpu and is_portable(module)
        return module

    def describe_update(self) -> dict[str, Any]:
        """See `EngineTrainer`."""
        return {**super().describe_update(), "chunks": CHUNK if self._chunked else None}

    def framework_learner(self, module: RLModule) -> Learner:
        """Return a learner on the configured device."""
        assert isinstance(module, TorchRLModule)  # `check_module` saw to it
        chunk_threads = (usable_cpus() or 1) if self._chunked else 0
        return TorchLearner(module, self.cfg, self.device, self.update_threads, chunk_threads)


class TorchLearner(StepByStep):
    """Keeps all parameters and moments in one vector each, of which the parameters are views.

    Clipping and Adam are then a few operations, however many layers there are.

    Args:
        module: Policy and value function; moved to the device.
        cfg: The configuration.
        device: Where everything is computed.
        threads: How many torch may use for one operation.
        chunk_threads: See `Gradients`.
    """

    module: TorchRLModule

    def __init__(
        self,
        module: TorchRLModule,
        cfg: PPOCfg,
        device: torch.device,
        threads: int = ROLLOUT_THREADS,
        chunk_threads: int = 0,
    ) -> None:
        super().__init__(module.to(device), cfg)
        self._device, self._threads = device, threads
        loss = loss_of(module, cfg)
        self._dist_cls, self._trained = loss.dist_cls, loss.trained()
        self._flat = torch.cat([p.detach().reshape(-1) for p in self._trained])
        self._mean, self._variance = torch.zeros(2, self._flat.numel()).to(device)
        views = views_of(self._flat, self._trained)
        for parameter in self._trained:
            parameter.data = views[id(parameter)]
        self._gradients = Gradients(loss, chunk_threads)
        self._samples: dict[str, torch.Tensor] = {}

    # Acting

    def sample(self, obs: NDArray[Any], states: NDArray[Any] | None, noise: NDArray[Any]) -> Acted:
        """See `Learner`."""
        with torch.no_grad():
            logits, _ = outputs(self.module, self._batch(obs, states))
            dist = self._dist_cls.from_logits(logits)
            actions, logp = dist.sample(return_logp=True, rng=self._tensor(noise))
        return actions.cpu().numpy(), logp.cpu().numpy()

    def values(self, obs: NDArray[Any], states: NDArray[Any] | None) -> NDArray[np.float32]:
        """See `Learner`."""
        return np.asarray(self._gradients.values(self._batch(obs, states)).cpu().numpy())

    def _batch(self, obs: NDArray[Any], states: NDArray[Any] | None) -> dict[str, torch.Tensor]:
        batch = {Columns.OBS: self._tensor(obs)}
        return batch if states is None else {**batch, Columns.STATE: self._tensor(states)}

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.tensor(array, device=self._device)

    # Learning

    def load(self, samples: Samples) -> None:
        """See `Learner`."""
        self._samples = {n: torch.from_numpy(a).to(self._device) for n, a in samples.items()}

    def run_epoch(
        self, order: NDArray[np.int32], scales: NDArray[np.float64]
    ) -> tuple[Parts, NDArray[np.bool_]]:
        """See `Learner`."""
        with update_on(self._threads):
            return super().run_epoch(order, scales)

    def gradient(self, rows: NDArray[np.int32]) -> tuple[torch.Tensor, dict[str, float]]:
        """See `StepByStep`."""
        gradient, parts = self._gradients.over(self._samples, self._tensor(rows))
        return gradient, {name: float(value.item()) for name, value in parts.items()}

    @torch.no_grad()
    def descend(self, gradient: torch.Tensor, scales: Sequence[float]) -> None:
        """See `StepByStep`."""
        if self.cfg.grad_norm_clip > 0:
            ratio = self.cfg.grad_norm_clip / (gradient.norm() + NORM_EPSILON)
            gradient = gradient * ratio.clip(max=1.0)
        new, self._mean, self._variance = adam(
            self._flat, gradient, self._mean, self._variance, scales
        )
        self._flat.copy_(new)

    # State

    def moments(self) -> Tensors:
        """See `Learner`."""
        return {
            f"{name}/{path}": layout.to_array(part)
            for name, vector in (("mean", self._mean), ("variance", self._variance))
            for path, part in self._parts(vector).items()
        }

    def set_moments(self, moments: Tensors) -> None:
        """See `Learner`."""
        for name, vector in (("mean", self._mean), ("variance", self._variance)):
            for path, part in self._parts(vector).items():
                part.copy_(layout.to_tensor(moments[f"{name}/{path}"]))

    def _parts(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return views of a flat vector by the canonical paths of the parameters."""
        views = views_of(vector, self._trained)
        return {
            entry.path: views[id(entry.tensor)].permute(entry.axes)
            for entry in layout.entries(self.module)
            if id(entry.tensor) in views
        }


def views_of(vector: torch.Tensor, parameters: Sequence[nn.Parameter]) -> dict[int, torch.Tensor]:
    """Return the parts of a vector that holds all parameters in order, by `id` of the parameter."""
    parts = vector.split([parameter.numel() for parameter in parameters])
    pairs = zip(parameters, parts, strict=True)
    return {id(parameter): part.view_as(parameter) for parameter, part in pairs}
