"""Gradients of PPO's loss in torch: by chunks, on several threads, by hand where that is known."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from motrix_rl.engine.loss import outputs, ppo_loss
from motrix_rl.rl_module import Columns
from motrix_rl.rl_module.distributions import Distribution
from motrix_rl.skrl.cfg import PPOCfg
from torch import nn

from motrix_rl_torch.backprop import Backprop, Tensors, knows
from motrix_rl_torch.rl_module.module import TorchRLModule
from motrix_rl_torch.rl_module.ppo import PPOTorchRLModule

T = TypeVar("T")
Found = TypeVar("Found")
Slopes = tuple[torch.Tensor, Tensors]
"""A gradient as one vector, in the order of `Loss.trained`, and the parts of the loss."""

CHUNK = 4096
"""Rows that are worked out at once: their activations stay in a processor's caches."""

SMALLEST = 1024
"""Rows below which a thread of their own costs more than it saves."""

_CHECKED_ROWS = 64


@dataclass(frozen=True)
class Loss:
    """PPO's loss of a module.

    Attributes:
        module: Policy and value function.
        dist_cls: Distribution of its actions.
        cfg: Coefficients.
    """

    module: TorchRLModule
    dist_cls: type[Distribution]
    cfg: PPOCfg

    def __call__(self, batch: Tensors) -> tuple[torch.Tensor, Tensors]:
        """Return the loss of a mini-batch and its parts; see `ppo_loss`."""
        logits, values = outputs(self.module, batch)
        return ppo_loss(self.dist_cls.from_logits(logits), values, batch, self.cfg)

    def trained(self) -> list[nn.Parameter]:
        """Return the parameters that gradients are for."""
        return [p for p in self.module.parameters() if p.requires_grad]


class Gradients:
    """Gradients over rows of a rollout.

    A mini-batch is a sum over chunks in a fixed order, each worked out by one thread: no thread
    waits for another in between, and the result does not depend on how many there are.

    Args:
        loss: What is differentiated.
        threads: How many work at once; 0 takes whole mini-batches instead of chunks, for modules
            that may do anything in a forward pass, and for accelerators.
        by_hand: Whether to do without autograd; see `by_hand_agrees`.
    """

    def __init__(self, loss: Loss, threads: int = 0, by_hand: bool = False) -> None:
        self._loss, self._by_hand = loss, by_hand
        self._trained = loss.trained()
        self._threads = None
        if threads:
            self._threads = ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            )
        self._idle: defaultdict[int, deque[Backprop]] = defaultdict(deque)

    def over(self, samples: Tensors, rows: torch.Tensor) -> Slopes:
        """Return the gradient of the mean loss over some rows of a rollout.

        Args:
            samples: Columns of the rollout, (samples, ...).
            rows: Their numbers, (n,).
        """

        def work(rows: torch.Tensor) -> Slopes:
            return self.of({name: column.index_select(0, rows) for name, column in samples.items()})

        chunks = rows.tensor_split(self._chunk_count(len(rows)))
        slopes = self._each(work, chunks)
        return slopes[0] if len(slopes) == 1 else _mean(slopes, [len(c) for c in chunks])

    def values(self, batch: Tensors) -> torch.Tensor:
        """Return the values of observations, (rows,)."""
        count = self._chunk_count(len(batch[Columns.OBS]))
        columns = (column.tensor_split(count) for column in batch.values())
        chunks = [dict(zip(batch, parts, strict=True)) for parts in zip(*columns, strict=True)]
        return torch.cat(self._each(self._values_of, chunks))

    def _chunk_count(self, rows: int) -> int:
        return chunk_count(rows) if self._threads else 1

    def _each(self, work: Callable[[T], Found], chunks: Sequence[T]) -> list[Found]:
        """Return what becomes of each chunk, in order."""
        if self._threads is None or len(chunks) == 1:
            return [work(chunk) for chunk in chunks]
        return list(self._threads.map(work, chunks))

    @torch.no_grad()
    def _values_of(self, batch: Tensors) -> torch.Tensor:
        if not self._by_hand:
            return outputs(self._loss.module, batch)[1]
        with self._backprop(len(batch[Columns.OBS])) as backprop:
            return backprop.values(batch)

    def of(self, batch: Tensors) -> Slopes:
        """Return the gradient of the mean loss of a batch; any thread may ask for one."""
        if not self._by_hand:
            return self._by_autograd(batch)
        with self._backprop(len(batch["advantages"])) as backprop:
            return backprop.gradient(batch)

    @contextmanager
    def _backprop(self, rows: int) -> Iterator[Backprop]:
        """Lend a `Backprop` that no other thread works with."""
        idle = self._idle[rows]
        try:
            backprop = idle.pop()
        except IndexError:
            assert isinstance(self._loss.module, PPOTorchRLModule)
            backprop = Backprop(self._loss.module, self._loss.cfg, self._trained, rows)
        yield backprop
        idle.append(backprop)

    def _by_autograd(self, batch: Tensors) -> Slopes:
        loss, parts = self._loss(batch)
        slopes = torch.autograd.grad(loss, self._trained, materialize_grads=True)
        parts = {name: part.detach() for name, part in parts.items()}
        return torch.cat([slope.reshape(-1) for slope in slopes]), parts


def by_hand_agrees(loss: Loss) -> bool:
    """Tell whether gradients by hand are known for a module, and are those of autograd here."""
    if not knows(loss.module):
        return False
    batch = _example(loss, _CHECKED_ROWS)
    by_hand, by_autograd = (Gradients(loss, by_hand=way).of(batch)[0] for way in (True, False))
    return bool((by_hand - by_autograd).norm() <= 1e-4 * by_autograd.norm())


def _example(loss: Loss, rows: int) -> Tensors:
    """Return a batch of random numbers, in which some ratios and some values are clipped."""
    draw, config = np.random.default_rng(0).normal, loss.module.config

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(draw(size=shape).astype(np.float32))

    spaces = {Columns.OBS: config.observation_space, Columns.STATE: config.state_space}
    batch = {
        name: normal(rows, *(space.shape or ()))
        for name, space in spaces.items()
        if space is not None
    }
    with torch.no_grad():
        logits, values = outputs(loss.module, batch)
        dist = loss.dist_cls.from_logits(logits)
        actions = dist.sample(rng=normal(rows, logits.shape[1] // 2))
        return {
            **batch,
            "actions": actions,
            "log_probs": dist.logp(actions) + 0.3 * normal(rows),
            "values": values + 0.3 * normal(rows),
            "advantages": normal(rows),
            "targets": normal(rows),
        }


def chunk_count(rows: int) -> int:
    """Return into how many chunks a mini-batch is divided: two as soon as that is worth a thread.

    Args:
        rows: Its size.
    """
    return 1 if rows < 2 * SMALLEST else max(2, -(-rows // CHUNK))


def _mean(chunks: list[Slopes], rows: list[int]) -> Slopes:
    """Return the mean of gradients and parts over all rows, summed up in the order of chunks."""
    total = torch.zeros_like(chunks[0][0])
    parts = dict.fromkeys(chunks[0][1], chunks[0][0].new_zeros(()))
    for (slopes, told), count in zip(chunks, rows, strict=True):
        weight = count / sum(rows)
        total.add_(slopes, alpha=weight)
        parts = {name: parts[name].add(value, alpha=weight) for name, value in told.items()}
    return total, parts
