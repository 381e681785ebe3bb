"""Vectorised robot environments in NumPy: `registry.make("cartpole")`.

Importing this package loads no engine, no NumPy and no plugin: those wait for the first lookup.
Only where Gymnasium is loaded, plugins are asked for their ids at once, so that it can list the
environments: `gymnasium.make_vec("motrix_envs:motrix/cartpole")`.
"""

from motrix_envs import _gymnasium as _gymnasium
