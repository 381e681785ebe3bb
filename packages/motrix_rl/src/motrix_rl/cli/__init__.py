"""The command `motrix`: one module per command, and none is imported before it is called."""

from motrix_rl.cli.command import main as main

__all__ = ["main"]
