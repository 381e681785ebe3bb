"""`motrix view`, `motrix play` and `motrix record`: environments and policies to look at."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from motrix_envs import registry as envs
from motrix_envs.np.actions import random_actions
from motrix_envs.np.env import NpEnv
from motrix_envs.np.pace import RealTime
from motrix_envs.np.renderer import NpRenderer
from motrix_envs.sim.viewer import Camera, has_display
from numpy.typing import NDArray

from motrix_rl.cli.options import parse, subject
from motrix_rl.cli.trained import env_and_policy, open_run, runs_root
from motrix_rl.evaluation import derived_seed
from motrix_rl.runs import Run
from motrix_rl.video import VideoError, check_format, write_picture, write_video

Act = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[Any]]

VIDEO_SECONDS = 4.0
LIMITS = {"seconds": (0.001, 1e6), "fps": (0.01, 1e6)}  # a GIF shows a picture for 655 s at most


@dataclass(kw_only=True)
class WatchOptions:
    """What `view`, `play` and `record` have in common."""

    num_envs: int = 4
    """Environments that are drawn in a grid."""
    seed: int | None = None
    """Key of the starts (and of random actions)."""
    sim_backend: str | None = None
    """Physics engine; by default MotrixSim, or the one that the run was trained on."""
    max_steps: int | None = None
    """Stop after so many steps; by default at the end of the window or the video."""
    seconds: float = VIDEO_SECONDS
    """Length of a video in s of simulated time."""
    fps: float = 25.0
    """Pictures per second of a video."""
    size: tuple[int, int] = (640, 480)
    """Width and height of a video in pixels."""
    azimuth: float | None = None
    """Direction of the camera in degrees; by default the environment's own."""
    elevation: float | None = None
    """Height of the camera as an angle in degrees."""
    distance: float | None = None
    """Distance of the camera in m, before it steps back for a grid."""
    out: Path | None = None
    """Where a video goes, .mp4 or .gif; by default into the run's folder, or here."""


@dataclass(kw_only=True)
class ViewOptions(WatchOptions):
    """Show an environment that takes random actions, in real time; as a video without a display."""


@dataclass(kw_only=True)
class PlayOptions(WatchOptions):
    """Let a policy act without noise, in real time; as a video where there is no display."""

    checkpoint: str | None = None
    """Which one: best, latest, or its number of steps; by default best, latest if there is none."""
    backend: str | None = None
    """Where the policy acts: numpy, torch or jax; by default NumPy where that is possible."""
    trust: tuple[str, ...] = ()
    """Further packages from which the policy's class may be imported."""
    runs: Path = Path("runs")
    """Folder of all runs."""


@dataclass(kw_only=True)
class RecordOptions(PlayOptions):
    """Write a video of a policy that acts without noise."""

    sheet: Path | None = None
    """Where a contact sheet of the video goes, .png."""


def view(argv: list[str]) -> int:
    """Show an environment with random actions; return the exit code."""
    name, rest = subject("view", "an environment ENV", argv, ViewOptions)
    cfg = envs.default.default_cfg(name)
    options, changes = parse(ViewOptions, rest, prog=f"motrix view {name}", env=cfg)
    _check(options)
    env = envs.make(name, options.sim_backend, changes["env"], options.num_envs, options.seed)
    act = _random_actions(env, options.seed)
    with closing(env):
        _watch(env, act, options, Path(f"{name}-random.mp4"))
    return 0


def play(argv: list[str]) -> int:
    """Show a policy; return the exit code."""
    # Without a run, or with options alone, the newest run of all is meant.
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        argv = [str(Run.newest(runs_root(argv)).path), *argv]
    env, act, options, run = _trained("play", argv, PlayOptions)
    with closing(env):
        _watch(env, act, options, run.path / "videos" / "play.mp4")
    return 0


def record(argv: list[str]) -> int:
    """Write a video of a policy; return the exit code."""
    env, act, options, run = _trained("record", argv, RecordOptions)
    with closing(env):
        name = run.preferred if options.checkpoint is None else options.checkpoint
        out = options.out or run.path / "videos" / f"{name}.mp4"
        _record(env, act, options, out, options.sheet)
    return 0


def _check(options: WatchOptions) -> None:
    """Refuse numbers and files that no video can have, before anything is built."""
    for name, (least, most) in LIMITS.items():
        value = getattr(options, name)
        if not least <= value <= most:
            raise VideoError(f"--{name} {value} must lie between {least} and {most:g}")
    if options.max_steps is not None and options.max_steps < 1:
        raise VideoError(f"--max-steps {options.max_steps} must be at least 1")
    if options.out is not None:
        check_format(options.out)
    sheet = getattr(options, "sheet", None)
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise VideoError(f"cannot write '{sheet.name}': a contact sheet ends in .png")


def _trained(command: str, argv: list[str], kind: type[Any]) -> tuple[NpEnv, Act, Any, Run]:
    """Return the environment of a run, its policy, the options and the run."""
    run, options, changes = open_run(command, argv, kind)
    _check(options)
    seed = derived_seed(run.record["seed"], command) if options.seed is None else options.seed
    env, policy = env_and_policy(
        run,
        options.checkpoint,
        options.num_envs,
        seed,
        options.sim_backend,
        changes,
        options.backend,
        options.trust,
    )
    return env, policy.act, options, run


def _watch(env: NpEnv, act: Act, options: WatchOptions, fallback: Path) -> None:
    """Open a window, or write a short video where there is no display."""
    if options.out is None and has_display():
        _show(env, act, options)
    else:
        _record(env, act, options, options.out or fallback, None)


def _show(env: NpEnv, act: Act, options: WatchOptions) -> None:
    """Step in real time and draw, until the window is closed."""
    renderer = NpRenderer(env, camera=_camera(env, options))
    print("space freezes the scene; close the window to end")
    pace = RealTime(env.cfg.ctrl_dt)
    with closing(renderer):
        for _ in _steps(env, act, options.max_steps):
            if pace.step():
                renderer.render()
            if renderer.closed:
                break


def _record(env: NpEnv, act: Act, options: WatchOptions, out: Path, sheet: Path | None) -> None:
    """Write a video, and a contact sheet if one is asked for."""
    renderer = NpRenderer(env, window=False, size=options.size, camera=_camera(env, options))
    every = max(round(1 / (options.fps * env.cfg.ctrl_dt)), 1)
    length = options.max_steps or round(options.seconds / env.cfg.ctrl_dt)
    width, height = options.size
    print(f"drawing {-(-length // every)} pictures of {width} x {height}", flush=True)

    def frames() -> Iterator[NDArray[np.uint8]]:
        for step in _steps(env, act, length):
            if step % every == 0:
                yield renderer.frame()

    with closing(renderer):
        picture = write_video(out, frames(), 1 / (every * env.cfg.ctrl_dt))
    print(f"video: {out}")
    if sheet:
        write_picture(sheet, picture)
        print(f"sheet: {sheet}")


def _steps(env: NpEnv, act: Act, limit: int | None) -> Iterator[int]:
    """Step, yielding the number of steps, and print the return of every episode that ends."""
    state, step = env.init_state(), 0
    total = np.zeros(env.num_envs)
    while limit is None or step < limit:
        yield step
        state = env.step(act(state.obs, state.done))
        step += 1
        total += state.reward
        for row in np.flatnonzero(state.done):
            why = "time limit" if state.truncated[row] else "terminated"
            print(f"environment {row}: return {total[row]:.1f} ({why})")
        total[state.done] = 0


def _camera(env: NpEnv, options: WatchOptions) -> Camera | None:
    """Return the environment's camera with the options' changes, or None without any."""
    names = ("azimuth", "elevation", "distance")
    changes = {n: value for n in names if (value := getattr(options, n)) is not None}
    return replace(env.camera, **changes) if changes else None


def _random_actions(env: NpEnv, seed: int | None) -> Act:
    """Return what draws uniformly from the action space, from ±1 where it is unbounded."""
    seeds = itertools.count(secrets.randbits(32) if seed is None else seed)

    def act(obs: NDArray[np.float32], started: NDArray[np.bool_]) -> NDArray[Any]:
        drawn = random_actions(env.action_space, 1, env.num_envs, next(seeds), unbounded=1.0)
        return np.asarray(drawn[0])

    return act
