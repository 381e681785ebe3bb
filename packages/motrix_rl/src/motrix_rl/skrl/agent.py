"""What both frameworks' agents add to skrl's PPO; no mathematics, hence no framework."""

from __future__ import annotations

from typing import Any

from motrix_rl.skrl.session import Session


class SessionAgent:
    """Mixed in before skrl's PPO: final observations, and a session that watches.

    skrl bootstraps a truncated episode with the value of the *next* observation, which the
    automatic reset has already replaced; here it gets the final one. Without the bootstrap a time
    limit counts as an end, so that no value leaks over the border of an episode.
    """

    session: Session
    cfg: Any

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

    def post_interaction(self, *, timestep: int, timesteps: int) -> None:
        """Update at the end of a rollout, then let the session log and save."""
        super().post_interaction(timestep=timestep, timesteps=timesteps)  # type: ignore[misc]
        self.session.after_step(timestep + 1, self)
