"""The contract of a bad day, and the number of bad inputs that were tried.

One clear message, no traceback, nothing damaged. `MOTRIX_BAD_DAYS=20` makes hypothesis try twenty
times as many.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from motrix_rl.cli import main

EFFORT = float(os.environ.get("MOTRIX_BAD_DAYS", "1"))

TALLY: Counter[tuple[str, str]] = Counter()
"""Number of bad inputs by door and answer."""

TRAIN = (
    *("train", "cartpole", "--num-envs", "4", "--rl.rollouts", "4", "--rl.mini-batches", "2"),
    *("--rl.learning-epochs", "1", "--rl.max-env-steps", "32", "--rl.check-point-interval", "4"),
    *("--rl.policy-hidden-layer-sizes", "4", "--rl.value-hidden-layer-sizes", "4"),
    *("--env.max-episode-seconds", "0.04", "--eval-episodes", "2"),
)
"""Two rollouts of four steps, each with a checkpoint, and an evaluation."""

USAGE, CLEAR, HARMLESS = "usage errors", "clear errors", "harmless"

LOOKS_LIKE_SUCCESS = ("run:", "next:", "video:", "sheet:", "return", "success")


def examples(count):
    """Return the settings of a hypothesis test of about `count` examples, times the effort."""
    return settings(
        max_examples=max(int(count * EFFORT), 1),
        deadline=None,
        derandomize=EFFORT == 1,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@dataclass(frozen=True)
class Answer:
    """What the command `motrix` did with a command line."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def message(self):
        """The error as one line of plain text: tyro draws boxes and breaks lines in them."""
        plain = "".join(" " if char in "╭╮╰╯│─┌┐└┘" else char for char in self.err)
        return " ".join(plain.split())


def motrix(*argv):
    """Call the command in this process; an exception that escapes it fails the test."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(argv)
        except SystemExit as left:  # argparse and tyro leave like this
            code = left.code
    assert type(code) is int, f"{argv} ended with {code!r}"
    return Answer(argv, code, out.getvalue(), err.getvalue())


def check_refused(answer, *names, door):
    """Check that a command line was refused with one clear message that says `names`; count it."""
    spelled = f"motrix {' '.join(map(ascii, answer.argv))}\n{answer.out}\n{answer.err}"
    assert answer.code in (1, 2), f"accepted: {spelled}"
    assert "Traceback" not in answer.err + answer.out, spelled
    message = answer.message
    if answer.code == 1:
        assert answer.err.count("error: ") >= 1, spelled
        assert sum(line.startswith("error: ") for line in answer.err.splitlines()) == 1, spelled
    assert len(message) > 10, spelled
    for name in names:
        assert name in message, f"{name!r} is not named: {spelled}"
    for word in LOOKS_LIKE_SUCCESS:
        assert word not in answer.out, f"looks like success: {spelled}"
    TALLY[door, USAGE if answer.code == 2 else CLEAR] += 1


def everything_in(folder):
    """Return the content of every file below a folder, by its path; None for a folder."""
    folder = Path(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }
