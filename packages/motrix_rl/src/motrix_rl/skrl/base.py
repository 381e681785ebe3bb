"""What all trainers of PPO have in common: the module that a `PPOCfg` names."""

from __future__ import annotations

from motrix_envs.np.env import NpEnv

from motrix_rl.rl_module import RLModule
from motrix_rl.skrl.modules import build_module, check_module, module_spec
from motrix_rl.trainer import Trainer


class PPOTrainer(Trainer):
    """Builds the module that the configuration asks for; arguments and errors as in `Trainer`."""

    @property
    def trusted(self) -> tuple[str, ...]:
        """Where the module comes from, if it was named by an import string."""
        choice = self.cfg.rl_module
        named = isinstance(choice, str) and ":" in choice
        return (choice.partition(":")[0],) if named else ()

    def check_cfg(self) -> None:
        """Refuse a module that is not there; see `Trainer.check_cfg`."""
        module_spec(self.cfg.rl_module)

    def build_module(self, env: NpEnv, seed: int) -> RLModule:
        """Return the module that the configuration asks for; see `Trainer.build_module`."""
        module = build_module(self.cfg, env, self.backend, seed)
        check_module(module, self.cfg, self.backend)
        return module
