"""The line that tells how a training goes: alive on a terminal, now and then in a log file."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from motrix_rl.training_log import Progress

LOG_SECONDS = 5.0


class ProgressLine:
    """Shows steps, speed, return and remaining time; a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, refresh_per_second=8)
        self._shown = 0.0

    def __enter__(self) -> ProgressLine:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        """Show where the training stands."""
        if self._console.is_terminal:
            self._live.update(_bar(progress))
            return
        finished = progress.env_steps >= progress.total_env_steps
        if finished or time.monotonic() - self._shown >= LOG_SECONDS:
            self._shown = time.monotonic()
            self._console.print(_words(progress), highlight=False)


def _words(progress: Progress) -> str:
    result = "-" if progress.mean_return is None else f"{progress.mean_return:.1f}"
    return (
        f"{progress.env_steps:>11,} / {progress.total_env_steps:,} steps  "
        f"{progress.steps_per_second:>7,.0f}/s  return {result:>7}  "
        f"{_clock(progress.seconds_left)} left"
    )


def _bar(progress: Progress) -> Table:
    table = Table.grid(padding=(0, 2))
    bar = ProgressBar(progress.total_env_steps, progress.env_steps, width=20)
    table.add_row(bar, _words(progress).strip())
    return table


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
