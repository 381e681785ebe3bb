"""Motrix's own PPO: the loop and all host-side numerics; a backend adds one learner."""
