"""What all trainers of PPO have in common: the module that a `PPOCfg` names."""

from __future__ import annotations

from motrix_envs.np.env import NpEnv

from motrix_rl.rl_module import RLModule, RLModuleSpec
from motrix_rl.rl_module.class_paths import allowed_packages
from motrix_rl.skrl.modules import build_module, check_module, module_spec
from motrix_rl.trainer import Trainer


class PPOTrainer(Trainer):
    """Builds the module that the configuration asks for; arguments and errors as in `Trainer`."""

    @property
    def trusted(self) -> tuple[str, ...]:
        """Where the module comes from, if it was named by an import string or given as a spec."""
        choice = self.cfg.rl_module
        if isinstance(choice, str) and ":" in choice:
            return (choice.partition(":")[0],)
        if isinstance(choice, RLModuleSpec) and choice.module_class is not None:
            module = choice.module_class.__module__
            return () if module.partition(".")[0] in allowed_packages() else (module,)
        return ()

    def check_cfg(self) -> None:
        """Refuse a module that is not there; see `Trainer.check_cfg`."""
        module_spec(self.cfg.rl_module)

    def build_module(self, env: NpEnv, seed: int) -> RLModule:
        """Return the module that the configuration asks for; see `Trainer.build_module`."""
        module = build_module(self.cfg, env, self.backend, seed)
        check_module(module, self.cfg, self.backend)
        return module
