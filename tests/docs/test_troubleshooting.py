"""Every error that docs/troubleshooting.md quotes is one that the code raises."""

import dataclasses
import errno
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from motrix_envs import registry as envs
from motrix_envs._plugins import Owner
from motrix_envs._registry import Failure
from motrix_envs.base import EnvCfg
from motrix_envs.basic.cartpole import CartPoleCfg, CartPoleEnv
from motrix_envs.errors import MotrixError, PluginWarning
from motrix_envs.registry import EnvRegistry
from motrix_envs.sim import Model
from motrix_envs.sim.motrixsim import MotrixSimulation
from motrix_envs.sim.viewer import View
from motrix_rl import registry as training
from motrix_rl import video
from motrix_rl.backends import choose_backend
from motrix_rl.cli import main
from motrix_rl.lock import training_lock
from motrix_rl.registry import RlRegistry
from motrix_rl.runs import Run

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
TINY = "--num-envs 8 --rl.rollouts 4 --rl.mini-batches 2 --rl.max-env-steps 64"


class Bare:
    """Registries of an installation without plugins, and without extras."""

    def __init__(self):
        self.envs = EnvRegistry()
        self.envs._loaded = True
        self.envs.engine("motrixsim", "motrix_envs.sim.motrixsim:MotrixSimulation")
        self.envs.register_env_config("cartpole", CartPoleCfg)
        self.envs.register_env("cartpole", CartPoleEnv, "np")
        self.rl = RlRegistry(self.envs)
        self.rl._loaded = True


# One function for each quotation, by the words that it begins with.

PROVOKE = {}


def quoted_as(beginning):
    def decorate(function):
        PROVOKE[beginning] = function
        return function

    return decorate


@quoted_as("error: no training backend is installed")
def no_backend(help):
    choose_backend("cartpole", "skrl", rl_registry=Bare().rl)


@quoted_as("error: backend 'jax' is not installed")
def no_jax(help):
    Bare().rl.trainer("skrl", "jax")


@quoted_as("error: backend 'torch' of")
def broken_torch(help):
    help.monkeypatch.setitem(sys.modules, "motrix_rl_torch.skrl_ppo", None)
    training.default.trainer("skrl", "torch")


@quoted_as("error: no simulation backend named 'mujoco'")
def no_mujoco(help):
    Bare().envs.make("cartpole", "mujoco")


@quoted_as("error: no environment named 'cartpol'")
def unknown_name(help):
    envs.make("cartpol")


@quoted_as("error: environment '…' has no RL configuration")
def no_preset(help):
    registry = Bare().rl
    registry.backend(rllib="skrl", backend="torch", trainer="some.module:Trainer")
    choose_backend("cartpole", "skrl", rl_registry=registry)


@quoted_as("error: HoverCfg.ctrl_dt has no type")
def no_annotation(help):
    class HoverCfg(EnvCfg):
        __qualname__ = "HoverCfg"
        ctrl_dt = 0.02

    registry = Bare().envs
    registry.register_env_config("hover", dataclasses.dataclass(HoverCfg))
    registry.default_cfg("hover")


@quoted_as("error: CartPolePPO.mini_batches = 7")
def uneven_mini_batches(help):
    help.command("train", "cartpole", "--backend", "torch", "--rl.mini-batches", "7")


@quoted_as("warning: plugin left out")
def left_out(help):
    registry = Bare().envs
    failure = Failure(Owner("acme-envs", "1.0"), "acme_envs.plugin:register", ValueError("no"))
    registry._failures[failure.owner, failure.subject] = failure
    with pytest.warns(PluginWarning) as caught:
        registry._announce()
    raise MotrixError(str(caught[0].message))


@quoted_as("DuplicateNameError: environment 'cartpole'")
def taken(help):
    envs.envcfg("cartpole")(dataclasses.make_dataclass("MyCfg", (), bases=(EnvCfg,)))


@quoted_as("error: drawing needs a Vulkan driver")
def no_vulkan(help):
    help.monkeypatch.setattr(sys, "platform", "linux")
    help.monkeypatch.setenv("VK_DRIVER_FILES", str(help.folder / "none.json"))
    help.command("view", "cartpole", "--out", "view.gif")


@quoted_as("error: a window needs a display")
def no_display(help):
    from motrix_envs.sim import _motrixsim_viewer

    help.monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        help.monkeypatch.delenv(name, raising=False)
    help.monkeypatch.setattr(_motrixsim_viewer, "_require_driver", lambda: None)
    env = envs.make("cartpole")
    env.sim.viewer(View(np.zeros((1, 3)), env.camera, (64, 48), window=True))


@quoted_as("error: the MuJoCo engine opens no window")
def no_mujoco_window(help):
    env = envs.make("cartpole", "mujoco")
    env.sim.viewer(View(np.zeros((1, 3)), env.camera, (64, 48), window=True))


@quoted_as("error: drawing with MuJoCo needs")
def no_egl(help):
    help.monkeypatch.delenv("MUJOCO_GL", raising=False)
    help.monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    env = envs.make("cartpole", "mujoco")
    env.sim.viewer(View(np.zeros((1, 3)), env.camera, (64, 48), window=False))


@quoted_as("error: writing videos needs an encoder")
def no_encoder(help):
    help.monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    video.write_video(help.folder / "video.mp4", iter(()), 25)


@quoted_as("error: the training diverged")
def diverged(help):
    trainer = training.default.trainer("skrl", "torch")(
        "cartpole",
        cfg_override={
            "seed": 1, "num_envs": 8, "rollouts": 4, "mini_batches": 2, "max_env_steps": 128,
            "check_point_interval": 1,
        },
    )  # fmt: skip

    def spoil(progress):  # only what is finite can be checked for: the check itself is spoilt
        if progress.env_steps >= 64:
            help.monkeypatch.setattr(np, "isfinite", np.isnan)

    trainer.train(spoil)


@quoted_as("error: MOTRIX_PHYSICS_THREADS=0")
def no_threads(help):
    from motrix_envs.sim.engine import wanted_threads

    help.monkeypatch.setenv("MOTRIX_PHYSICS_THREADS", "0")
    wanted_threads()


@quoted_as("error: MotrixSim was used before this process was forked")
def forked(help):
    envs.make("cartpole").close()
    pid = os.getpid()
    help.monkeypatch.setattr(os, "getpid", lambda: pid + 1)
    envs.make("cartpole")


@quoted_as("error: no run of 'cartpole' under runs")
def no_run(help):
    help.command("eval", "cartpole")


@quoted_as("error: checkpoint … is damaged")
def damaged(help):
    weights = next(help.trained().glob("checkpoints/*/module/weights.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1])
    help.command("eval", "cartpole")


@quoted_as("error: … is being trained by process")
def trained_already(help):
    run = Run.open(help.trained())
    with training_lock(run), training_lock(run):
        pass


@quoted_as("error: cannot write …: No space left on device")
def full_disk(help):
    def refuse(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    help.monkeypatch.setattr("motrix_rl.checkpoint.write_synced", refuse)
    help.trained()


@quoted_as("error: this policy was trained for another environment")
def other_environment(help):
    help.trained()
    help.command("eval", "cartpole", "--env.ctrl-dt", "0.02", "--episodes", "8")


@quoted_as("error: MotrixSim would not do what the model says")
def refused_model(help):
    body = '<worldbody><body><joint/><geom size="0.1"/></body></worldbody>'
    MotrixSimulation(Model(f'<mujoco><option integrator="RK4"/>{body}</mujoco>'), 1, 0.01)


class Help:
    """What the functions above need."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder, self.monkeypatch, self._capsys = folder, monkeypatch, capsys

    def command(self, *argv):
        """Run a command of `motrix` that fails, and raise what it says."""
        assert main(argv) == 1
        raise MotrixError(self._capsys.readouterr().err.removeprefix("error: "))

    def trained(self):
        """Return the folder of a short training."""
        argv = ["train", "cartpole", "--backend", "torch", "--eval-episodes", "0", *TINY.split()]
        if main(argv):
            raise MotrixError(self._capsys.readouterr().err.removeprefix("error: "))
        self._capsys.readouterr()
        return next((self.folder / "runs" / "cartpole").iterdir())


def quotations():
    tokens = MarkdownIt().parse(PAGE.read_text(encoding="utf-8"))
    return [t.content.strip() for t in tokens if t.type == "fence" and t.info == "text"]


def provoker(quotation):
    found = [function for start, function in PROVOKE.items() if quotation.startswith(start)]
    assert len(found) == 1, f"write a function that provokes: {quotation}"
    return found[0]


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("quotation", quotations(), ids=lambda text: provoker(text).__name__)
def test_the_code_says_so(quotation, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch, pytest.raises((MotrixError, ImportError)) as caught:
        provoker(quotation)(Help(tmp_path, patch, capsys))
    kind = type(caught.value).__name__
    wanted = re.sub(rf"^(error|warning|{kind}): ", "", quotation)
    pattern = ".*?".join(map(re.escape, wanted.split("…")))
    assert re.fullmatch(pattern, str(caught.value).strip(), re.DOTALL), str(caught.value)


def test_nothing_is_provoked_in_vain():
    assert {provoker(text) for text in quotations()} == set(PROVOKE.values())
