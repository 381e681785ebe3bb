"""What `motrix train --profile` prints at the end."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from motrix_rl.base import BaseRLCfg
from motrix_rl.profiling import Profile, advice


def show_profile(profile: Profile, cfg: BaseRLCfg) -> None:
    """Print where the time of a step of the batch went, and what could be changed.

    Args:
        profile: Taken from a training.
        cfg: The training's configuration.
    """
    console, shares = Console(), profile.shares()
    if not shares:
        console.print("\nprofile: it needs two rollouts at least, the first one is not counted")
        return
    seconds = sum(one.seconds for one in shares)
    steps = profile.batch_steps
    table = Table(box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.add_column("")
    table.add_column("ms a step", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    for one in shares:
        milliseconds = f"{one.seconds / steps * 1e3:.3f}"
        table.add_row(one.part, milliseconds, f"{one.share:.1%}", one.what)
    console.print(
        f"\nprofile: {steps * cfg.num_envs / seconds:,.0f} environment steps per second, "
        f"{seconds / steps * 1e3:.2f} ms for a step of all {cfg.num_envs}",
        highlight=False,
    )
    console.print(table)
    for hint in advice(shares, cfg):
        console.print(f"- {hint}", highlight=False)
