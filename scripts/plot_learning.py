"""Draw the learning curves of runs: mean return over steps of single environments.

uv run --all-packages --with matplotlib scripts/plot_learning.py RUN... --out FILE.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from motrix_rl.runs import Run

COLOURS = {"torch": "#d9642a", "jax": "#2f6db5"}
FIGURE_SIZE = (7.2, 3.4)  # inches


def curve(run: Run) -> tuple[list[float], list[float]]:
    """Return steps and mean returns of the episodes that ended since the point before."""
    points = [
        (row["env_steps"], row["episode/return_mean"])
        for row in run.metrics()
        if "episode/return_mean" in row
    ]
    return [steps for steps, _ in points], [value for _, value in points]


def main() -> None:
    """Draw the runs that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    figure, axes = plt.subplots(figsize=FIGURE_SIZE, layout="constrained")
    styles = ("-", "--", ":", "-.")
    runs = sorted((Run.open(path) for path in options.runs), key=_order)
    for run in runs:
        backend, seed = run.record["backend"], run.record["seed"]
        steps, returns = curve(run)
        style = styles[(seed - 1) % len(styles)]
        label = f"{backend}, seed {seed}"
        axes.plot([s / 1e6 for s in steps], returns, style, color=COLOURS[backend], label=label)
    axes.set_title(f"{runs[0].record['env']}: return while training", loc="left", fontsize=11)
    axes.set_xlabel("million environment steps")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(options.out, dpi=130)


def _order(run: Run) -> tuple[str, int]:
    return run.record["backend"], run.record["seed"]


if __name__ == "__main__":
    main()
