"""Train robots on the CPU: configurations, runs, evaluation and the command `motrix`.

This package knows no learning framework; `motrix-rl[torch]` and `motrix-rl[jax]` bring one each.
"""
