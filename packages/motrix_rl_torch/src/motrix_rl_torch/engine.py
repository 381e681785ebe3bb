"""Motrix's own PPO in torch: the learner of `EngineTrainer`."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from motrix_rl.engine.draws import GivenNoise
from motrix_rl.engine.learner import Acted, Learner, Samples
from motrix_rl.engine.loss import NORM_EPSILON, Parts, adam, outputs, ppo_loss
from motrix_rl.engine.trainer import EngineTrainer
from motrix_rl.rl_module import Columns, RLModule
from motrix_rl.rl_module.distributions import Distribution
from motrix_rl.rl_module.distributions.ops import bound
from motrix_rl.rl_module.tensors import Tensors
from motrix_rl.skrl.cfg import PPOCfg
from numpy.typing import NDArray

from motrix_rl_torch.compute import ROLLOUT_THREADS, TorchCompute, update_on
from motrix_rl_torch.rl_module import layout
from motrix_rl_torch.rl_module.module import TorchRLModule
from motrix_rl_torch.rl_module.ops import Ops


class GivenOps(GivenNoise, Ops):
    """Torch with given noise."""


class Trainer(TorchCompute, EngineTrainer):
    """Trains with Motrix's own PPO in torch; see `EngineTrainer` and `TorchCompute`."""

    backend: ClassVar[str] = "torch"

    def make_learner(self, module: RLModule) -> Learner:
        """Return a learner on the configured device."""
        assert isinstance(module, TorchRLModule)  # `check_module` saw to it
        return TorchLearner(module, self.cfg, self.device, self.update_threads)


class TorchLearner(Learner):
    """Keeps all parameters, their gradients and moments in one vector each, which modules view.

    Clipping and Adam are then a few operations, however many layers there are.

    Args:
        module: Policy and value function; moved to the device.
        cfg: The configuration.
        device: Where everything is computed.
        threads: How many an update may use.
    """

    module: TorchRLModule

    def __init__(
        self,
        module: TorchRLModule,
        cfg: PPOCfg,
        device: torch.device,
        threads: int = ROLLOUT_THREADS,
    ) -> None:
        super().__init__(module.to(device), cfg)
        self._device, self._threads = device, threads
        dist_cls = module.get_train_action_dist_cls()
        assert dist_cls is not None  # `check_module` saw to it
        self._dist_cls: type[Distribution] = bound(dist_cls, GivenOps)
        parameters = [p for p in module.parameters() if p.requires_grad]
        self._flat = torch.cat([p.detach().reshape(-1) for p in parameters])
        self._gradient, self._mean, self._variance = torch.zeros(3, self._flat.numel()).to(device)
        self._slots: dict[int, slice] = {}
        start = 0
        for parameter in parameters:
            slot = self._slots[id(parameter)] = slice(start, start + parameter.numel())
            parameter.data = self._flat[slot].view_as(parameter)
            parameter.grad = self._gradient[slot].view_as(parameter)
            start = slot.stop
        self._samples: dict[str, torch.Tensor] = {}

    # Acting

    def act(self, obs: NDArray[Any], states: NDArray[Any] | None, noise: NDArray[Any]) -> Acted:
        """See `Learner`."""
        with torch.no_grad():
            logits, values = outputs(self.module, self._batch(obs, states))
            dist = self._dist_cls.from_logits(logits)
            actions, logp = dist.sample(return_logp=True, rng=self._tensor(noise))
        return actions.cpu().numpy(), logp.cpu().numpy(), values.cpu().numpy()

    def values(self, obs: NDArray[Any], states: NDArray[Any] | None) -> NDArray[np.float32]:
        """See `Learner`."""
        with torch.no_grad():
            _, values = outputs(self.module, self._batch(obs, states))
        return np.asarray(values.cpu().numpy())

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
        seen: dict[str, list[float]] = {}
        taken: list[bool] = []
        with update_on(self._threads):
            for rows, scale in zip(self._tensor(order), scales.tolist(), strict=True):
                loss, parts = self.loss({n: t[rows] for n, t in self._samples.items()})
                for name, value in parts.items():
                    seen.setdefault(name, []).append(value.item())
                limit = self.cfg.kl_threshold
                taken.append(not (limit and seen["kl"][-1] > limit))
                if not taken[-1]:
                    break
                self._step(loss, scale)
        return {name: np.array(values) for name, values in seen.items()}, np.array(taken)

    def loss(self, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Parts]:
        """Return the loss of a mini-batch and its parts."""
        logits, values = outputs(self.module, batch)
        loss, parts = ppo_loss(self._dist_cls.from_logits(logits), values, batch, self.cfg)
        return loss, parts

    def _step(self, loss: torch.Tensor, scales: list[float]) -> None:
        """Descend along the gradient of a loss."""
        self._gradient.zero_()
        loss.backward()
        with torch.no_grad():
            if self.cfg.grad_norm_clip > 0:
                ratio = self.cfg.grad_norm_clip / (self._gradient.norm() + NORM_EPSILON)
                self._gradient.mul_(ratio.clip(max=1.0))
            new, self._mean, self._variance = adam(
                self._flat, self._gradient, self._mean, self._variance, scales
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
        return {
            entry.path: vector[self._slots[id(entry.tensor)]]
            .view_as(entry.tensor)
            .permute(entry.axes)
            for entry in layout.entries(self.module)
            if id(entry.tensor) in self._slots
        }
