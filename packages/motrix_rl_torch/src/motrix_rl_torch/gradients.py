"""Gradients of PPO's loss in torch: by chunks, on several threads, compiled if that pays back."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from motrix_rl.cache import cache_folder
from motrix_rl.engine.loss import outputs, ppo_loss
from motrix_rl.rl_module.distributions import Distribution
from motrix_rl.skrl.cfg import PPOCfg
from torch import nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from motrix_rl_torch.rl_module.module import TorchRLModule

Tensors = dict[str, torch.Tensor]
Slopes = tuple[torch.Tensor, Tensors]
"""A gradient as one vector, in the order of `trained`, and the parts of the loss."""

CHUNK = 4096
"""Rows that are worked out at once: their activations stay in a processor's caches."""

SMALLEST = 1024
"""Rows below which a thread of their own costs more than it saves."""

PAYS_BACK = 2e13
"""Floating-point operations of a training from which on compiling takes less than it saves.

docs/performance.md has the measurement.
"""


class Loss(nn.Module):
    """PPO's loss of a module, itself a module: `functional_call` then makes a pure function of it.

    Args:
        module: Policy and value function.
        dist_cls: Distribution of its actions.
        cfg: Coefficients.
    """

    def __init__(self, module: TorchRLModule, dist_cls: type[Distribution], cfg: PPOCfg) -> None:
        super().__init__()
        self.module, self._dist_cls, self._cfg = module, dist_cls, cfg

    def forward(self, batch: Tensors) -> tuple[torch.Tensor, Tensors]:
        """Return the loss of a mini-batch and its parts; see `ppo_loss`."""
        logits, values = outputs(self.module, batch)
        return ppo_loss(self._dist_cls.from_logits(logits), values, batch, self._cfg)

    def trained(self) -> Tensors:
        """Return the parameters that gradients are for, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}


class Gradients:
    """Gradients over rows of a rollout.

    A mini-batch is a sum over chunks in a fixed order, each worked out by one thread: no thread
    waits for another in between, and the result does not depend on how many there are.

    Args:
        loss: What is differentiated.
        threads: How many work at once; 0 takes whole mini-batches instead of chunks, for modules
            that may do anything in a forward pass, and for accelerators.
        compiled: Whether chunks are compiled functions.
    """

    def __init__(self, loss: Loss, threads: int = 0, compiled: bool = False) -> None:
        self._loss, self._compiled = loss, compiled
        self._trained = list(loss.trained().values())
        self._threads = None
        if threads:
            self._threads = ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            )
        self._of_chunk: dict[int, Callable[[Tensors], Slopes]] = {}

    def over(self, samples: Tensors, rows: torch.Tensor) -> Slopes:
        """Return the gradient of the mean loss over some rows of a rollout.

        Args:
            samples: Columns of the rollout, (samples, ...).
            rows: Their numbers, (n,).
        """
        count = chunk_count(len(rows)) if self._threads else 1
        chunks = rows.tensor_split(count)
        for chunk in chunks:
            if len(chunk) not in self._of_chunk:
                self._of_chunk[len(chunk)] = self._made(_columns(samples, chunk))

        def work(chunk: torch.Tensor) -> Slopes:
            return self._of_chunk[len(chunk)](_columns(samples, chunk))

        if self._threads is None or count == 1:
            return work(rows)
        weights = [len(chunk) / len(rows) for chunk in chunks]
        return _mean(weights, self._threads.map(work, chunks))

    def _made(self, example: Tensors) -> Callable[[Tensors], Slopes]:
        return compiled(self._loss, example) if self._compiled else self._eager

    def _eager(self, batch: Tensors) -> Slopes:
        loss, parts = self._loss(batch)
        slopes = torch.autograd.grad(loss, self._trained, materialize_grads=True)
        parts = {name: part.detach() for name, part in parts.items()}
        return torch.cat([slope.reshape(-1) for slope in slopes]), parts


def compiled(loss: Loss, example: Tensors) -> Callable[[Tensors], Slopes]:
    """Return a compiled function from a batch to its gradient.

    The module is traced into operations on plain tensors, its parameters and buffers among them:
    several threads may call the result at once.

    Args:
        loss: What is differentiated; its parameters may change, but stay where they are.
        example: A batch of the shape that it is compiled for.
    """
    trained = {name: p.detach() for name, p in loss.trained().items()}

    def gradient(trained: Tensors, others: Tensors, batch: Tensors) -> Slopes:
        def of(trained: Tensors) -> tuple[torch.Tensor, Tensors]:
            return functional_call(loss, {**trained, **others}, (batch,))

        slopes, parts = torch.func.grad(of, has_aux=True)(trained)
        return torch.cat([slope.reshape(-1) for slope in slopes.values()]), parts

    def others() -> Tensors:
        tensors = {**dict(loss.named_parameters()), **dict(loss.named_buffers())}
        return {name: t.detach() for name, t in tensors.items() if name not in trained}

    function = torch.compile(make_fx(gradient)(trained, others(), example), dynamic=False)
    return lambda batch: function(trained, others(), batch)


def chunk_count(rows: int) -> int:
    """Return into how many chunks a mini-batch is divided: two as soon as that is worth a thread.

    Args:
        rows: Its size.
    """
    return 1 if rows < 2 * SMALLEST else max(2, -(-rows // CHUNK))


def pays_back(cfg: PPOCfg, parameters: int) -> bool:
    """Tell whether a training is long enough for compiling, by its configuration alone.

    Args:
        cfg: The configuration.
        parameters: How many numbers are trained; each costs about six operations per sample.
    """
    return 6.0 * parameters * cfg.max_env_steps * cfg.learning_epochs > PAYS_BACK


@functools.cache
def can_compile() -> bool:
    """Tell whether torch can compile here; it needs a C++ compiler."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder("inductor")))
    try:
        torch.compile(lambda x: x.exp() + 1)(torch.ones(8))
    except Exception:  # noqa: BLE001 - whatever it is that is missing, eager code needs it not
        return False
    return True


def _columns(samples: Tensors, rows: torch.Tensor) -> Tensors:
    return {name: column[rows] for name, column in samples.items()}


def _mean(weights: list[float], chunks: Any) -> Slopes:
    """Return the weighted sum of gradients and parts, in the order of the chunks."""
    total: Any = 0
    parts: dict[str, Any] = {}
    for weight, (slopes, told) in zip(weights, chunks, strict=True):
        total = total + weight * slopes
        parts = {name: parts.get(name, 0) + weight * value for name, value in told.items()}
    return total, parts
