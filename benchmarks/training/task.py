"""What every tool is given: the same environment, network, rollout and hyper-parameters."""

from __future__ import annotations

from dataclasses import dataclass

ROLLOUTS = {"cartpole": 32, "cartpole-50hz": 32, "quadruped": 24}
"""Steps of the batch between two updates."""


@dataclass(frozen=True)
class Task:
    """A training.

    Attributes:
        env: One of `ROLLOUTS`.
        num_envs: Environments that step together.
        seed: Key of the environments and of the tool's own draws.
        steps: Length of the training in steps of the batch, whole rollouts. Tools that choose
            how often to log and save by the length see one of ordinary length, although it may
            be broken off.
        folder: Where logs and checkpoints go.
    """

    env: str
    num_envs: int
    seed: int
    steps: int
    folder: str

    hidden = (64, 64)  # of actor and critic each, with ELU
    epochs = 5
    mini_batches = 4
    learning_rate = 1e-3  # fixed
    gamma = 0.99
    lam = 0.95
    clip = 0.2  # of the ratio; of the values where a tool clips them
    value_loss_scale = 2.0
    grad_norm = 1.0

    @property
    def env_id(self) -> str:
        """Id in the registry of environments, see `envs`."""
        return f"timed-{self.env}"

    @property
    def rollout(self) -> int:
        """Steps of the batch between two updates."""
        return ROLLOUTS[self.env]

    @property
    def iterations(self) -> int:
        """Rollouts and updates of the whole training."""
        return self.steps // self.rollout

    @property
    def mini_batch(self) -> int:
        """Samples of a mini-batch."""
        return self.rollout * self.num_envs // self.mini_batches
