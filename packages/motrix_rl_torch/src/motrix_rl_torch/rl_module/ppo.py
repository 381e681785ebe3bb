"""The module that PPO trains, in torch."""

from __future__ import annotations

from motrix_rl.rl_module.ppo import PORTABLE_KIND, PPORLModule
from torch import nn

from motrix_rl_torch.rl_module.module import TorchRLModule
from motrix_rl_torch.rl_module.networks import MLP


class PPOTorchRLModule(TorchRLModule, PPORLModule):
    """Policy and value function in torch; everything is said in `PPORLModule`."""

    PORTABLE_KIND = PORTABLE_KIND

    encoder: nn.ModuleDict
    pi: MLP
    vf: MLP
