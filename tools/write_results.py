"""Write docs/results.md, and its picture, from what lies in results/.

uv run --all-packages --with matplotlib tools/write_results.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from motrix_envs.registry import DEFAULT_ENGINE

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
PAGE = ROOT / "docs" / "results.md"
PICTURE = ROOT / "docs" / "images" / "results.png"

GOALS = {
    "pendulum": 800,
    "acrobot": None,
    "point_mass": 850,
    "dm-cartpole-balance": 950,
    "dm-cartpole-swingup": 800,
    "dm-reacher": 950,
    "dm-reacher-hard": 850,
    "dm-stander": 950,
    "dm-walker": 930,
    "dm-runner": 650,
    "dm-cheetah": 750,
    "dm-hopper-stand": 900,
    "dm-hopper-hop": 300,
    "bounce_ball": None,
}
"""The return that each preset is to reach, in the order of the page."""

ELSEWHERE = {
    "pendulum": (472, 385),
    "acrobot": (27, 8),
    "point_mass": (534, 264),
    "dm-cartpole-balance": (790, 18),
    "dm-cartpole-swingup": (590, 17),
    "dm-reacher": (773, 57),
    "dm-reacher-hard": (638, 81),
    "dm-stander": (439, 210),
    "dm-walker": (306, 92),
    "dm-runner": (128, 92),
    "dm-cheetah": (472, 100),
    "dm-hopper-stand": (3, 2),
    "dm-hopper-hop": (6, 19),
}
"""PPO of CleanRL after eight million steps, mean and deviation over ten seeds.

Source: the documentation of CleanRL, page "Robust Policy Optimization", table "dm_control".
"""

COLOURS = {"torch": "#d9642a", "jax": "#2f6db5"}
STYLES = {1: "-", 2: "--", 3: ":"}
COLUMNS = 4
PANEL = (2.7, 1.9)  # inches

HEAD = """\
# Results

What the presets of the control suite learn. Written by `tools/write_results.py` from `results/`,
which holds every policy, its record and its curve.

```text
motrix train dm-walker --backend jax --seed 1
motrix eval results/dm-walker/motrix-jax
motrix play results/dm-walker/motrix-jax
```

The first line trains as was done here; the others take the policy that came of it.
[environments/](environments/README.md) says what each task is, and what its policy was seen to do.

* *goal*: the return to reach; of bounce_ball, success in 90 % of episodes; acrobot has none.
* *return*: mean and 95 % interval over 256 held-out episodes, without noise; at most 1000.
* *in dm_control*: the same policy in DeepMind's own environment, over 32 episodes.
* *elsewhere*: PPO of [CleanRL](https://docs.cleanrl.dev/rl-algorithms/rpo/) in dm_control after
  eight million steps, mean and deviation over ten seeds.
* *min*: minutes of the training, on {cores} of {cpu}.

![Learning curves of all presets](images/results.png)

Curves show returns while training, noise included. In training, episodes of point_mass, reachers
and hoppers are shorter; theirs is the return of whole episodes, on which checkpoints are scored.
dm-hopper-hop began with the policy of dm-hopper-stand.

| environment | goal | on | seed | steps, M | min | return | success | in dm_control | elsewhere |
|---|---|---|---|---|---|---|---|---|---|
"""

ENGINES = """
## From one engine to the other

Mean return of each policy on both engines. MuJoCo is used as its plugin sets it; see
[simulation.md](simulation.md).

| environment | trained on | backend | seed | on MotrixSim | on MuJoCo |
|---|---|---|---|---|---|
"""

STEPPING = """
## What a step costs

A control step of {num_envs} environments with random actions, beside bare physics (processor time,
`benchmarks/stepping.py`); thousands of steps of single environments a second, on one thread.

| environment | thousand steps a second | environment over physics |
|---|---|---|
"""

ENGINE_NAMES = {"motrixsim": "MotrixSim", "mujoco": "MuJoCo"}


@dataclass(frozen=True)
class Result:
    """A folder of results/.

    Attributes:
        record: The record of the run.
        measured: How good its policy is.
        curve: Its learning curve: `env_steps` and `return`.
    """

    record: dict[str, Any]
    measured: dict[str, Any]
    curve: dict[str, list[float]]

    @property
    def engine(self) -> str:
        """The physics engine that was trained on."""
        return str(self.record["sim_backend"])

    @property
    def own(self) -> dict[str, Any]:
        """The evaluation on that engine."""
        found: dict[str, Any] = self.measured["engines"][self.engine]
        return found


def results() -> list[Result]:
    """Return all results in the order of the page."""
    names = ("run.json", "measured.json", "curve.json")
    folders = sorted(path.parent for path in RESULTS.glob("*/*/measured.json"))
    found = [Result(*(json.loads((folder / n).read_text()) for n in names)) for folder in folders]
    order = list(GOALS)

    def place(one: Result) -> tuple[int, bool, str, int]:
        record = one.record
        engine = one.engine != DEFAULT_ENGINE
        return order.index(record["env"]), engine, record["backend"], record["seed"]

    return sorted(found, key=place)


def page(found: list[Result]) -> str:
    """Return the text of docs/results.md."""
    host = found[0].record["host"]["cpu"]
    cores = {1: "one core", 2: "two cores"}.get(host["usable"], f"{host['usable']} cores")
    parts = [HEAD.format(cores=cores, cpu=f"an {host['model']}")]
    parts += [row(one) for one in found if one.engine == DEFAULT_ENGINE]
    parts += [ENGINES, *(engines_row(one) for one in found)]
    stepping = json.loads((RESULTS / "stepping.json").read_text())["results"]
    parts += [STEPPING.format(num_envs=stepping[0]["num_envs"]), *map(stepping_row, stepping)]
    return "".join(parts)


def row(one: Result) -> str:
    """Return the row of a result in the main table."""
    record, own, env = one.record, one.own, one.record["env"]
    original = one.measured.get("dm_control")
    return cells(
        env,
        GOALS[env] or "",
        record["backend"],
        record["seed"],
        f"{record['summary']['env_steps'] / 1e6:.1f}",
        f"{one.measured['minutes']:.1f}",
        value(own),
        f"{100 * own['success_rate']:.0f} %",
        value(original) if original else "",
        "{} ± {}".format(*ELSEWHERE[env]) if env in ELSEWHERE else "",
    )


def engines_row(one: Result) -> str:
    """Return the row of a result in the table of engines."""
    record = one.record
    means = (f"{one.measured['engines'][name]['mean']:.1f}" for name in ENGINE_NAMES)
    return cells(record["env"], ENGINE_NAMES[one.engine], record["backend"], record["seed"], *means)


def stepping_row(one: dict[str, Any]) -> str:
    """Return the row of an environment in the table of costs."""
    cost = one["cpu"]
    speed = one["num_envs"] / cost["env_us"] * 1000
    return cells(
        one["env"], f"{speed:.0f}", f"{cost['median']:.2f} [{cost['low']:.2f}, {cost['high']:.2f}]"
    )


def value(one: dict[str, Any]) -> str:
    """Return a mean and its interval in words."""
    low, high = one["interval"]
    return f"{one['mean']:.0f} [{low:.0f}, {high:.0f}]"


def cells(*values: object) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(map(str, values))} |\n"


def draw(found: list[Result]) -> None:
    """Draw the curve of every result that was trained on the default engine."""
    import matplotlib.pyplot as plt

    names = [name for name in GOALS if any(one.record["env"] == name for one in found)]
    lines = -(-len(names) // COLUMNS)
    size = (PANEL[0] * COLUMNS, PANEL[1] * lines)
    figure, panels = plt.subplots(lines, COLUMNS, figsize=size, layout="constrained")
    for axes, name in zip(np.ravel(panels), names, strict=False):
        for one in found:
            record = one.record
            if record["env"] != name or one.engine != DEFAULT_ENGINE:
                continue
            steps = np.array(one.curve["env_steps"]) / 1e6
            colour, style = COLOURS[record["backend"]], STYLES[record["seed"]]
            axes.plot(steps, one.curve["return"], style, color=colour, linewidth=1.2)
        if GOALS[name]:
            axes.axhline(GOALS[name], color="#999999", linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_title(name, loc="left", fontsize=9)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in np.ravel(panels)[len(names) :]:
        axes.axis("off")
    figure.supxlabel(
        "million environment steps; blue JAX, orange torch; dashed and dotted seeds 2 and 3; "
        "grey the goal",
        fontsize=8,
    )
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    everything = results()
    PAGE.write_text(page(everything), encoding="utf-8")
    draw(everything)
