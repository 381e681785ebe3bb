"""How fast training is, beside bare physics and beside other tools.

    uv run -m training                                            # everything; hours
    uv run -m training --only speed --num-envs 2048 --tools motrix-torch skrl-torch
    uv run -m training --only solve --seeds 1 2 3 --add           # into the same files

Each row is a training in a process of its own. Results are written after every row, to OUT.json and
as tables to OUT.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from motrix_envs.benchmarking import machine

from training.rows import PARTS, SIZES, TOOLS, Choice, Row, take
from training.table import report

DISTRIBUTIONS = (
    "motrix-rl",
    "motrixsim",
    "llvmlite",
    "torch",
    "jax",
    "flax",
    "skrl",
    "rsl-rl-lib",
    "stable-baselines3",
)
SETTINGS = ("OMP_", "MKL_", "OPENBLAS_", "GOMP_", "KMP_", "XLA_", "JAX_", "MALLOC_", "MOTRIX_")


def arguments() -> argparse.Namespace:
    """Return the command line's options; the names of `Choice` are among them."""
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=PARTS)
    parser.add_argument("--tools", nargs="+", choices=TOOLS)
    parser.add_argument("--envs", nargs="+", choices=list(SIZES), help="for speed")
    parser.add_argument("--num-envs", nargs="+", type=int, help="for speed")
    parser.add_argument("--seeds", nargs="+", type=int, help="for solve; else the first")
    parser.add_argument("--iterations", type=int, help="to measure in each row")
    parser.add_argument("--warm-up", type=int, help="iterations before them")
    parser.add_argument("--max-env-steps", type=int, help="when solve gives up")
    parser.set_defaults(**asdict(Choice()))
    parser.add_argument("--rounds", type=int, default=1, help="times that speed and busy are run")
    parser.add_argument("--out", type=Path, default=Path("training"), help="without suffix")
    parser.add_argument("--add", action="store_true", help="keep what OUT.json holds already")
    parser.add_argument("--show", action="store_true", help="measure nothing, write OUT.md anew")
    args = parser.parse_args()
    args.choice = Choice(**{item.name: getattr(args, item.name) for item in fields(Choice)})
    if args.choice.warm_up < 1:
        parser.error("--warm-up must be at least 1")
    return args


def stamp() -> dict[str, Any]:
    """Return where and with what is measured."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    settings = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
    return {
        **machine(*DISTRIBUTIONS),
        "commit": git.stdout.strip() or "unknown",
        "settings": " ".join(f"{name}={value}" for name, value in sorted(settings.items())) or "-",
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what is no longer the same, the commit aside."""
    names = sorted({*before, *now} - {"commit"})
    return [name for name in names if before.get(name) != now.get(name)]


def previous(stored: Path, here: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the good rows of an earlier call; exit if they were measured elsewhere."""
    if not stored.exists():
        return []
    before = json.loads(stored.read_text())
    if changed := differences(before["machine"], here):
        sys.exit(f"{stored} was measured with another {', '.join(changed)}: choose another --out")
    return [row for row in before["rows"] if "error" not in row]


def planned(choice: Choice, rounds: int) -> Iterator[Row]:
    """Yield the rows of all rounds; solving needs none, it has seeds."""
    for turn in range(rounds):
        yield from (row for row in choice.rows() if turn == 0 or row.part != "solve")


def main() -> int:
    """Measure what is asked for; return 1 if a row failed."""
    args = arguments()
    stored = args.out.with_suffix(".json")
    content: dict[str, Any] = {"machine": stamp(), "rows": []}
    if args.show:
        content = json.loads(stored.read_text())
    elif args.add:
        content["rows"] = previous(stored, content["machine"])
    for row in () if args.show else planned(args.choice, args.rounds):
        print(row, "...", end=" ", flush=True)
        found = take(row)
        print(found.get("error", "done"), flush=True)
        content["rows"].append({**found, "commit": content["machine"]["commit"]})
        stored.write_text(json.dumps(content, indent=1))
    text = report(content["machine"], content["rows"])
    args.out.with_suffix(".md").write_text(text)
    print(text)
    return int(any("error" in row for row in content["rows"]))


if __name__ == "__main__":
    sys.exit(main())
