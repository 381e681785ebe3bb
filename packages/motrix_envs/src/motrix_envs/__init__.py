"""Vectorised robot environments in NumPy: `from motrix_envs import registry; registry.make("cartpole")`.

Importing this package loads no engine, no NumPy and no plugin: those wait for the first lookup.
"""
