"""What both frameworks' agents add to skrl's PPO; no mathematics, hence no framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from motrix_rl.rl_module import NormalizerAPI, RLModule
from motrix_rl.session import Learned, Session
from motrix_rl.skrl.modules import is_gaussian

SPREAD = "Policy / Standard deviation"
"""How skrl calls what `spread_of` returns, whatever it is."""


class SessionAgent:
    """Mixed in before skrl's PPO: final observations, normaliser, and a session that watches.

    skrl bootstraps a truncated episode with the value of the *next* observation, which the
    automatic reset has already replaced; here it gets the final one. Without the bootstrap a time
    limit counts as an end, so that no value leaks over the border of an episode.
    """

    module: RLModule
    session: Session
    learned: Callable[[], Learned]
    cfg: Any
    memory: Any
    tracking_data: Any

    def record_transition(
        self, *, next_observations: Any, next_states: Any, infos: Any, **transition: Any
    ) -> None:
        """Record a transition of the batch; see skrl's `PPO.record_transition`."""
        self.session.record()
        if self.cfg.time_limit_bootstrap:
            next_observations = infos["final_obs"]
            next_states = infos.get("final_state", next_states)
        else:
            transition["terminated"] = transition["terminated"] | transition["truncated"]
        super().record_transition(  # type: ignore[misc]
            next_observations=next_observations, next_states=next_states, infos=infos, **transition
        )

    def update(self, *, timestep: int, timesteps: int) -> None:
        """Learn from a rollout, having taken it into the normaliser.

        Before and not after: what is trained is then what acts in the next rollout and what is
        saved. The other way round, every policy would act under statistics that it never saw.
        """
        module = self.module
        if isinstance(module, NormalizerAPI) and module.normalizes():
            seen = [self._rollout_of(name) for name in ("observations", "states")]
            module.update_normalizer(*seen)
        super().update(timestep=timestep, timesteps=timesteps)  # type: ignore[misc]

    def post_interaction(self, *, timestep: int, timesteps: int) -> None:
        """Update at the end of a rollout, then let the session log and save."""
        super().post_interaction(timestep=timestep, timesteps=timesteps)  # type: ignore[misc]
        if (timestep + 1) % self.cfg.rollouts == 0:
            self.session.after_update(timestep + 1, self._take_tracked(), self.learned)

    def _rollout_of(self, name: str) -> Any:
        """Return what is in the memory, (rollouts * num_envs, ...), or None."""
        if name not in self.memory.get_tensor_names():
            return None
        array = self.module.to_numpy(self.memory.get_tensor_by_name(name))
        return array.reshape(-1, array.shape[-1])

    def _take_tracked(self) -> dict[str, Any]:
        """Return what skrl tracked since the last time."""
        tracked = dict(self.tracking_data)
        self.tracking_data.clear()
        if not is_gaussian(self.module):
            tracked["Policy / Entropy"] = tracked.pop(SPREAD, [])
        return tracked
