"""Gradients of PPO's loss by autograd: in chunks, on several threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from motrix_rl.engine.loss import outputs, ppo_loss
from motrix_rl.engine.threads import Crew
from motrix_rl.rl_module import Columns
from motrix_rl.rl_module.distributions import Distribution
from motrix_rl.skrl.cfg import PPOCfg
from torch import nn

from motrix_rl_torch.rl_module.module import TorchRLModule

T = TypeVar("T")
Found = TypeVar("Found")

Tensors = dict[str, torch.Tensor]
Slopes = tuple[torch.Tensor, Tensors]
"""A gradient as one vector, in the order of `Loss.trained`, and the parts of the loss."""

CHUNK = 4096
"""Rows that are worked out at once: their activations stay in a processor's caches."""

SMALLEST = 1024
"""Rows below which a thread of their own costs more than it saves."""


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
    """

    def __init__(self, loss: Loss, threads: int = 0) -> None:
        self._loss, self._trained = loss, loss.trained()
        self._in_chunks = threads > 0
        self._crew = Crew(threads, partial(torch.set_num_threads, 1))

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

    def of(self, batch: Tensors) -> Slopes:
        """Return the gradient of the mean loss of a batch; any thread may ask for one."""
        loss, parts = self._loss(batch)
        slopes = torch.autograd.grad(loss, self._trained, materialize_grads=True)
        parts = {name: part.detach() for name, part in parts.items()}
        return torch.cat([slope.reshape(-1) for slope in slopes]), parts

    def values(self, batch: Tensors) -> torch.Tensor:
        """Return the values of observations, (rows,)."""
        count = self._chunk_count(len(batch[Columns.OBS]))
        columns = (column.tensor_split(count) for column in batch.values())
        chunks = [dict(zip(batch, parts, strict=True)) for parts in zip(*columns, strict=True)]
        return torch.cat(self._each(self._values_of, chunks))

    @torch.no_grad()
    def _values_of(self, batch: Tensors) -> torch.Tensor:
        return outputs(self._loss.module, batch)[1]

    def _each(self, work: Callable[[T], Found], chunks: Sequence[T]) -> list[Found]:
        if not self._in_chunks:
            return [work(chunk) for chunk in chunks]
        with _one_thread():  # sums depend on it, and the caller works too
            return self._crew.each(work, chunks)

    def _chunk_count(self, rows: int) -> int:
        return chunk_count(rows) if self._in_chunks else 1


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let the calling thread work out every operation alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
