"""RLModules in torch."""

from motrix_rl_torch.rl_module.module import TorchRLModule
from motrix_rl_torch.rl_module.ppo import PPOTorchRLModule

__all__ = ["PPOTorchRLModule", "TorchRLModule"]
