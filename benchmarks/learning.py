"""Do both RL libraries learn as well as each other? Curves and a test over seeds.

    uv run learning.py --envs cartpole acme-slide --out learning

Every training is the command that users run, `motrix train ENV --rllib L --backend B --seed S`,
with the preset as it is and its evaluation on 256 held-out episodes. Trainings that are there
already are not repeated.

The test, stated before the figures were seen: motrix is *not worse* than skrl in a number where
the lower end of the 95 % bootstrap interval of the difference of means over seeds lies above -5 %
of the mean of skrl. The numbers are the return of the evaluation, and the area under the learning
curve: the mean over a training of the return of the episodes that end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from motrix_rl.runs import Run
from numpy.typing import NDArray

RLLIBS = ("motrix", "skrl")
BACKENDS = ("torch", "jax")
COLOURS = {"motrix": "#d9642a", "skrl": "#2f6db5"}
MARGIN = 0.05
RESAMPLES = 10_000


@dataclass(frozen=True)
class Training:
    """What one training came to.

    Attributes:
        rllib: Who trained.
        backend: On what.
        seed: Its seed.
        steps: Of single environments at each update.
        returns: Mean return of the episodes that ended since the update before.
        evaluated: Mean return of the held-out episodes at the end.
    """

    rllib: str
    backend: str
    seed: int
    steps: list[int]
    returns: list[float]
    evaluated: float

    @property
    def area(self) -> float:
        """Mean return over the training."""
        return float(np.trapezoid(self.returns, self.steps) / (self.steps[-1] - self.steps[0]))


def train(env: str, rllib: str, backend: str, seed: int, root: Path) -> Training:
    """Train as a user would, unless that was done already."""
    folder = root / f"{rllib}-{backend}-s{seed}"
    if not _finished(folder):
        motrix = [sys.executable, "-c", "from motrix_rl.cli import main; main()"]
        command = [*motrix, "train", env, "--rllib", rllib]
        options = ["--backend", backend, "--seed", str(seed), "--runs", str(folder)]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    (run,) = _finished(folder)
    rows = [row for row in run.metrics() if "episode/return_mean" in row]
    return Training(
        rllib=rllib,
        backend=backend,
        seed=seed,
        steps=[row["env_steps"] for row in rows],
        returns=[row["episode/return_mean"] for row in rows],
        evaluated=run.record["evaluation"]["mean"],
    )


def _finished(folder: Path) -> list[Run]:
    runs = Run.find(folder) if folder.is_dir() else []
    return [run for run in runs if "evaluation" in run.record]


def not_worse(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, Any]:
    """Return the difference of means, its 95 % bootstrap interval, and the verdict.

    Args:
        ours: A number of each seed, (seeds,).
        theirs: Likewise.
    """
    rng = np.random.default_rng(0)
    resampled = [rng.choice(x, (RESAMPLES, len(x))).mean(1) for x in (ours, theirs)]
    low, high = np.quantile(resampled[0] - resampled[1], (0.025, 0.975))
    return {
        "ours": float(ours.mean()),
        "theirs": float(theirs.mean()),
        "difference": float(ours.mean() - theirs.mean()),
        "interval": [float(low), float(high)],
        "not_worse": bool(low > -MARGIN * abs(theirs.mean())),
    }


def compare(trainings: list[Training]) -> dict[str, dict[str, dict[str, Any]]]:
    """Return both tests for each backend."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for backend in sorted({one.backend for one in trainings}):
        for what in ("evaluated", "area"):
            values = {
                lib: np.array(
                    [getattr(t, what) for t in trainings if (t.rllib, t.backend) == (lib, backend)]
                )
                for lib in RLLIBS
            }
            found.setdefault(backend, {})[what] = not_worse(*(values[lib] for lib in RLLIBS))
    return found


def draw(env: str, trainings: list[Training], file: Path) -> None:
    """Draw all curves, a panel for each backend."""
    backends = sorted({one.backend for one in trainings})
    figure, panels = plt.subplots(
        1, len(backends), figsize=(4.2 * len(backends), 3.2), sharey=True, layout="constrained"
    )
    for axes, backend in zip(np.atleast_1d(panels), backends, strict=True):
        for one in (t for t in trainings if t.backend == backend):
            label = one.rllib if one.seed == 1 else None
            steps = [step / 1e6 for step in one.steps]
            axes.plot(steps, one.returns, color=COLOURS[one.rllib], alpha=0.7, label=label)
        axes.set_title(f"{env}, {backend}", loc="left", fontsize=11)
        axes.set_xlabel("million environment steps")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.25)
    np.atleast_1d(panels)[0].set_ylabel("return")
    np.atleast_1d(panels)[0].legend(frameon=False)
    figure.savefig(file, dpi=130)


def main() -> None:
    """Train, compare, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--envs", nargs="+", default=["cartpole", "acme-slide"])
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and results")
    options = parser.parse_args()
    for env in options.envs:
        trainings = [
            train(env, rllib, backend, seed, options.out / env)
            for seed in options.seeds
            for backend in options.backends
            for rllib in RLLIBS
        ]
        verdicts = compare(trainings)
        result = {"tests": verdicts, "trainings": [asdict(one) for one in trainings]}
        (options.out / f"{env}.json").write_text(json.dumps(result, indent=2))
        draw(env, trainings, options.out / f"{env}.png")
        print(f"{env:<12} {'':<6} {'':<10} {'motrix':>9} {'skrl':>9}  95 % of the difference")
        for backend, tests in verdicts.items():
            for what, test in tests.items():
                low, high = test["interval"]
                verdict = "not worse" if test["not_worse"] else "WORSE"
                print(
                    f"{'':<12} {backend:<6} {what:<10} {test['ours']:>9.2f} "
                    f"{test['theirs']:>9.2f}  [{low:.2f}, {high:.2f}]  {verdict}"
                )


if __name__ == "__main__":
    main()
