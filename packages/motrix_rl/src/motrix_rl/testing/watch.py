"""A training seen from outside: what was built, stepped, recorded and reported."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from motrix_envs.np.env import NpEnv
from motrix_envs.np.state import NpEnvState
from numpy.typing import NDArray

from motrix_rl.rl_module import RLModule, states
from motrix_rl.rl_module.aliases import StateDict
from motrix_rl.runs import Run
from motrix_rl.session import Session


@dataclass
class Tally:
    """What a trainer did with its environments and its session.

    Attributes:
        steps: Calls of `env.step`.
        records: Calls of `session.record`.
        early_records: Those of them without a step before.
        reports: For each `session.after_update`: its `batch_steps`, and the steps really made.
    """

    steps: int = 0
    records: int = 0
    early_records: int = 0
    reports: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Training:
    """One training that is over.

    Attributes:
        trainer: The trainer, which kept `env`, `module` and `start`, the module's first weights.
        runs: The runs that it left.
        error: What ended it; None if nothing did.
        global_randomness_kept: Whether `random` and `numpy.random` were left as they were found.
    """

    trainer: Any = None
    runs: list[Run] = field(default_factory=list)
    error: Exception | None = None
    global_randomness_kept: bool = True

    @property
    def run(self) -> Run:
        """The only run."""
        assert len(self.runs) == 1, (
            f"train() left {len(self.runs)} runs instead of one: leave making it to Trainer.train()"
        )
        return self.runs[0]


class Counting:
    """A session that is passed through, and counted."""

    def __init__(self, session: Session, tally: Tally) -> None:
        self._session = session
        self._tally = tally

    def record(self) -> None:
        """See `Session.record`."""
        self._tally.records += 1
        self._tally.early_records += self._tally.records > self._tally.steps
        self._session.record()

    def after_update(self, batch_steps: int, *told: Any, **further: Any) -> None:
        """See `Session.after_update`."""
        self._tally.reports.append((batch_steps, self._tally.steps))
        self._session.after_update(batch_steps, *told, **further)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def watched(trainer_class: type[Any], spoil: bool = False) -> type[Any]:
    """Return a trainer class that does the same under observation.

    Args:
        trainer_class: The trainer.
        spoil: Whether its module begins with weights that are not finite.
    """

    class Watched(trainer_class):  # type: ignore[misc]
        """The trainer under test."""

        def build_module(self, env: NpEnv, seed: int) -> RLModule:
            module: RLModule = super().build_module(env, seed)
            if spoil:
                module.set_state(_not_finite(module.get_state()))
            return module

        def learn(self, env: NpEnv, module: RLModule, session: Session) -> None:
            self.env, self.module, self.start = env, module, flat_state(module)
            self.tally = tally = Tally()
            step = env.step

            def counted(actions: NDArray[Any]) -> NpEnvState:
                tally.steps += 1
                return step(actions)

            vars(env)["step"] = counted
            super().learn(env, module, Counting(session, tally))

    return Watched


def flat_state(module: RLModule) -> dict[str, NDArray[Any]]:
    """Return copies of a module's arrays by path."""
    return {path: np.array(leaf) for path, leaf in states.flatten(module.get_state()).items()}


def _not_finite(state: StateDict) -> StateDict:
    spoilt = {
        path: np.full_like(leaf, np.nan) if np.asarray(leaf).dtype.kind == "f" else leaf
        for path, leaf in states.flatten(state).items()
    }
    return states.unflatten(spoilt)


def global_randomness() -> tuple[Any, ...]:
    """Return the state of the generators that everybody shares."""
    kind, words, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), kind, np.asarray(words).tobytes(), rest


def scramble_global_randomness() -> None:
    """Move these generators on, as other code in the same process may."""
    random.random()
    np.random.random()  # noqa: NPY002
