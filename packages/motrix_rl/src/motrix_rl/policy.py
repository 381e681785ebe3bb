"""A trained policy: a module, and the contract that it acts under."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from motrix_envs.np.env import NpEnv
from numpy.typing import NDArray

from motrix_rl.checkpoint import is_checkpoint, read_hash, read_module
from motrix_rl.contract import check_contract
from motrix_rl.errors import CheckpointError
from motrix_rl.rl_module import RLModule, deserialize_type
from motrix_rl.rl_module.acting import restarted
from motrix_rl.rl_module.checkpointable import state_of
from motrix_rl.rl_module.errors import NotInNumpyError
from motrix_rl.rl_module.folders import Content
from motrix_rl.rl_module.frameworks import ppo_module
from motrix_rl.rl_module.ppo import PORTABLE_KIND
from motrix_rl.runs import Run, Which

CONTRACT = "contract"
"""Where a policy's document keeps its contract, beside class and constructor arguments."""


class Actor(Protocol):
    """What acts: one action per row, without noise."""

    def act(
        self, obs: NDArray[np.float32], started: NDArray[np.bool_] | None = None
    ) -> NDArray[Any]:
        """Return the actions of a batch.

        Args:
            obs: Observations as the environment gives them, (num_envs, obs_dim).
            started: Rows whose episode begins with this observation, (num_envs,); None means none,
                or all of them in the first call.

        Returns:
            Actions as the environment takes them, (num_envs, ...).
        """


class Policy:
    """A module that acts without noise, and remembers the state of recurrent ones.

    Args:
        module: Any module that acts.
        contract: What it relies on, as `motrix_rl.contract` writes it.
    """

    def __init__(self, module: RLModule, contract: dict[str, Any]) -> None:
        self.module = module
        self.contract = contract
        self._state: Any = None

    def act(
        self, obs: NDArray[np.float32], started: NDArray[np.bool_] | None = None
    ) -> NDArray[Any]:
        """Return the actions of a batch; see `Actor.act`."""
        if self._state and started is not None and started.any():
            self._state = restarted(self.module, self._state, started)
        actions, self._state = self.module.act(obs, self._state or None, deterministic=True)
        return np.asarray(actions)


def load_policy(
    path: str | Path,
    which: Which | None = None,
    framework: str | None = None,
    *,
    trusted: Collection[str] = (),
) -> Policy:
    """Read a policy from a run folder or from one of its checkpoints.

    Args:
        path: The folder.
        which: In a run: a step, `"latest"` or `"best"`; None takes `Run.preferred`.
        framework: Where it is to act: `"numpy"`, `"torch"` or `"jax"`. None takes NumPy where
            that is possible, and otherwise the framework that it was trained in.
        trusted: Further packages from which the module's class may come.

    Raises:
        RunError: There is no run, or it has no such checkpoint.
        CheckpointError: The checkpoint is damaged, or the policy cannot act in this framework.
        FrameworkNotFoundError: The framework is not installed.
    """
    folder = _checkpoint_folder(Path(path), which)
    content = read_module(folder)
    contract = _contract_of(content, folder)
    return Policy(_build(content, framework, trusted), contract)


def warm_start(module: RLModule, path: str | Path, env: NpEnv) -> dict[str, Any]:
    """Give a module the weights of a saved policy, whatever framework that was trained in.

    Args:
        module: What is going to be trained; its networks are those of the policy.
        path: A run folder, which means its preferred checkpoint, or one of its checkpoints.
        env: Where it is going to be trained.

    Returns:
        Where the weights came from, for the record of a run.

    Raises:
        RunError: There is no run, or it has no checkpoint.
        ContractError: The policy was trained for another environment.
        CheckpointError: The checkpoint is damaged.
        StateMismatchError: The networks differ.
    """
    folder = _checkpoint_folder(Path(path))
    content = read_module(folder)
    check_contract(_contract_of(content, folder), env)
    module.set_state(state_of(content))
    return {"init_from": str(folder), "hash": read_hash(folder)}


def with_contract(content: Content, contract: dict[str, Any]) -> Content:
    """Return what is written of a policy: its module, with a contract."""
    document = {**content.document, CONTRACT: contract}
    return Content(document, content.tensors, content.components)


def _checkpoint_folder(path: Path, which: Which | None = None) -> Path:
    if is_checkpoint(path):
        return path
    return Run.open(path).checkpoint_folder(which)


def _contract_of(content: Content, folder: Path) -> dict[str, Any]:
    contract = content.document.get(CONTRACT)
    if not isinstance(contract, dict):
        raise CheckpointError(f"the policy in {folder} has no contract: no training wrote it")
    return contract


def _build(content: Content, framework: str | None, trusted: Collection[str]) -> RLModule:
    options: dict[str, Any] = {"trusted": trusted, "inference_only": True}
    if content.document.get("kind") == PORTABLE_KIND:
        try:
            return ppo_module(framework or "numpy").from_content(content, **options)
        except NotInNumpyError as error:
            if framework is not None:
                raise CheckpointError(f"this policy cannot act in NumPy: {error}") from error
    path = str(content.document.get("class"))
    made = cast("type[RLModule]", deserialize_type(path, RLModule, trusted))
    if framework not in (None, made.framework or "numpy"):
        raise CheckpointError(
            f"this policy is a {made.__name__}, which acts in {made.framework or 'numpy'} and not "
            f"in {framework}: only built-in modules move between frameworks"
        )
    return made.from_content(content, **options)
