"""Configurations and environments of strangers, broken in every way: each gets a clear error."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from answers import CLEAR, TALLY, check_refused, examples, motrix
from hypothesis import given
from hypothesis import strategies as st
from motrix_envs import registry as envs
from motrix_envs._overrides import apply_overrides
from motrix_envs.base import EnvCfg
from motrix_envs.basic.cartpole import CartPoleCfg, CartPoleEnv
from motrix_envs.errors import MotrixError
from motrix_envs.np.env import NpEnv
from motrix_rl import registry as rl
from motrix_rl.skrl.cfg import PPOCfg

DOOR = "configs"
MODEL = CartPoleCfg.model_file


@pytest.fixture(autouse=True)
def tables(monkeypatch):
    """Let every test register what it likes."""
    for registry in (envs.default, rl.default):
        registry.complete_all()
        monkeypatch.setattr(registry, "table", dict(registry.table))


def refused(call, *says):
    """Check that a call raises one clear error of the platform; count it."""
    with pytest.raises(MotrixError) as caught:
        call()
    for word in says:
        assert word in str(caught.value), caught.value
    assert 10 < len(str(caught.value)) < 2000
    TALLY[DOOR, CLEAR] += 1


def register(cfg_cls, env_cls=CartPoleEnv):
    envs.envcfg("bad")(cfg_cls)
    envs.env("bad")(env_cls)


# Configuration classes


class NoDataclass:
    model_file = MODEL


class NoDataclassOfOurs(CartPoleCfg):
    """Without `@dataclass`, the new field is none."""

    wind: float = 1.0


@dataclass
class NoDefaults(CartPoleCfg):
    wind: float = dataclasses.field(kw_only=True)


@dataclass
class NoAnnotation(CartPoleCfg):
    ctrl_dt = 0.02


@dataclass
class Foreign:
    """A dataclass that inherits nothing."""

    model_file: str | None = MODEL


@dataclass
class RaisesWhenMade(CartPoleCfg):
    def __post_init__(self):
        raise RuntimeError("not today")


@dataclass
class RaisesInFactory(CartPoleCfg):
    wind: list[float] = field(default_factory=lambda: 1 / 0)


@dataclass
class RaisesInValidate(CartPoleCfg):
    def validate(self):
        raise KeyError("wind")


@dataclass
class AssertsInValidate(CartPoleCfg):
    def validate(self):
        raise AssertionError


@dataclass
class Uncopyable(CartPoleCfg):
    source: Any = field(default_factory=lambda: (i for i in range(3)))


@dataclass
class TextTime(CartPoleCfg):
    sim_dt: float = "0.01"


@dataclass
class NoTime(CartPoleCfg):
    ctrl_dt: float = None


@dataclass
class ListTime(CartPoleCfg):
    max_episode_seconds: float | None = field(default_factory=lambda: [1.0])


@dataclass
class TextSpacing(CartPoleCfg):
    render_spacing: float = "wide"


@dataclass
class NumberModel(CartPoleCfg):
    model_file: str | None = 3


@dataclass
class NoModel(CartPoleCfg):
    model_file: str | None = None


@dataclass
class Frozen:
    """A group that is no dataclass."""

    wind: float = 1.0


CLASSES = [
    NoDataclass, NoDataclassOfOurs, NoDefaults, NoAnnotation, Foreign, RaisesWhenMade,
    RaisesInFactory, RaisesInValidate, AssertsInValidate, Uncopyable, TextTime, NoTime, ListTime,
    TextSpacing, NumberModel, NoModel,
]  # fmt: skip
NO_CLASSES = [None, 3, "CartPoleCfg", CartPoleCfg(), {}, len, EnvCfg.validate]
OTHER_CLASSES = [dict, int, type, Exception, EnvCfg, NpEnv]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_configuration_classes(cls, here):
    register(cls)
    refused(lambda: envs.make("bad"), cls.__name__)
    check_refused(motrix("view", "bad"), cls.__name__, door=DOOR)
    assert not list(here.iterdir())


@pytest.mark.parametrize("thing", NO_CLASSES, ids=ascii)
def test_what_is_no_class(thing):
    refused(lambda: envs.envcfg("bad")(thing), "bad")
    envs.envcfg("bad")(CartPoleCfg)
    refused(lambda: envs.env("bad")(thing), "bad")


@pytest.mark.parametrize("cls", OTHER_CLASSES)
def test_classes_of_something_else(cls):
    register(cls)
    refused(lambda: envs.make("bad"), cls.__name__)


def test_an_annotation_that_nobody_can_read():
    namespace = {"dataclass": dataclass, "CartPoleCfg": CartPoleCfg, "__name__": __name__}
    source = "@dataclass\nclass Odd(CartPoleCfg):\n    wind: 'NoSuchType' = 1.0\n"
    exec(source, namespace)
    register(namespace["Odd"])
    refused(lambda: envs.make("bad", env_cfg_override={"wind": "strong"}), "wind")
    assert envs.make("bad", env_cfg_override={"wind": 2.0}).cfg.wind == 2.0


NAMES = ["", " ", "a b", "/a/b", "../a", "-a", "a\n", "\x1b[31m", "\udcff", None, 3, b"a", ["a"]]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_that_cannot_be_typed(name):
    refused(lambda: envs.envcfg(name)(CartPoleCfg), "is no name")


TIMES = [0.0, -1.0, math.nan, math.inf, -math.inf, 1e-320, 1e308, 10**400, True, "x", None, 1j]


@examples(60)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.sampled_from(TIMES) | st.floats()
            for name in ("sim_dt", "ctrl_dt", "max_episode_seconds", "render_spacing")
        },
    )
)
def test_any_times(changes):
    try:
        apply_overrides(cfg := CartPoleCfg(), changes, "it")
        cfg.validate()
    except MotrixError as error:
        assert any(name in str(error) for name in changes)
        TALLY[DOOR, CLEAR] += 1
    else:
        assert cfg.sim_substeps >= 1
        assert cfg.max_episode_steps is None or cfg.max_episode_steps >= 1


# Model files

CARTPOLE = Path(MODEL).read_text(encoding="utf-8")
TEXTS = {
    "empty": b"",
    "blank": b" \n",
    "text": b"hello",
    "binary": bytes(range(256)),
    "utf-16": CARTPOLE.encode("utf-16"),
    "another root": b"<robot/>",
    "no body": b"<mujoco/>",
    "empty world": b"<mujoco><worldbody/></mujoco>",
    "twice": (CARTPOLE * 2).encode(),
    "zero byte": CARTPOLE.encode() + b"\0",
    "deep": b"<mujoco><worldbody>"
    + b"<body>" * 3000
    + b"</body>" * 3000
    + b"</worldbody></mujoco>",
    "includes itself": b'<mujoco><include file="model.xml"/></mujoco>',
    "includes nothing": b'<mujoco><include file="nothing.xml"/></mujoco>',
    "no mesh": CARTPOLE.replace(
        "<worldbody>", '<asset><mesh name="m" file="no.stl"/></asset><worldbody>'
    ).encode(),
    "unknown element": CARTPOLE.replace("<worldbody>", "<wheels/><worldbody>").encode(),
    "entities": b'<!DOCTYPE m [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><mujoco>&b;</mujoco>',
    "huge number": CARTPOLE.replace(
        "<worldbody>", '<option iterations="99999999999999999999"/><worldbody>'
    ).encode(),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("engine", ["motrixsim", "mujoco"])
def test_model_files(tmp_path, here, kind, engine):
    path = tmp_path / "model.xml"
    path.write_bytes(TEXTS[kind])

    def build():
        env = envs.make("cartpole", engine, {"model_file": str(path)}, 2)
        env.init_state()
        env.step(np.zeros((2, 1), np.float32))

    refused(build)
    arguments = ["view", "cartpole", "--sim-backend", engine, "--env.model-file", str(path)]
    answer = motrix(*arguments, "--size", "16", "16", "--seconds", "0.01")
    check_refused(answer, door=DOOR)
    assert not list(here.iterdir())


@examples(60)
@given(st.data())
def test_any_damage_of_a_model(tmp_path, data):
    content = bytearray(CARTPOLE.encode())
    length = len(content)
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, length - 1)) :]
    for _ in range(data.draw(st.integers(1, 3)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 127))
    path = tmp_path / "model.xml"
    path.write_bytes(content)
    try:
        env = envs.make("cartpole", env_cfg_override={"model_file": str(path)}, num_envs=2, seed=1)
        env.init_state()
        env.step(np.zeros((2, 1), np.float32))
    except MotrixError:
        TALLY[DOOR, CLEAR] += 1
    else:
        TALLY[DOOR, "harmless"] += 1


# Environment classes


class Standing(NpEnv):
    """Does nothing wrong; the ones below do."""

    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def setup(self):
        from motrix_envs.sim import Positions

        self.reads = self.sim.declare(positions=Positions())

    def apply_action(self, actions, state):
        self.ctrl = actions
        return state

    def reset(self, data, rows):
        data.reset(rows, np.zeros((rows.size, 2)), np.zeros((rows.size, 2)))
        return None, {}

    def observe(self, state):
        return {"positions": self.reads.positions}

    def rewards(self, state):
        return {"alive": np.ones(self.num_envs, np.float32)}


def with_part(**parts):
    return type("Broken", (Standing,), parts)


def steer_seven_motors(self, actions, state):
    self.ctrl = np.zeros((self.num_envs, 7), np.float32)
    return state


ones = np.ones
PARTS = {
    "observe nothing": {"observe": lambda self, state: {}},
    "observe None": {"observe": lambda self, state: None},
    "observe an array": {"observe": lambda self, state: ones((self.num_envs, 2))},
    "observe a vector": {"observe": lambda self, state: {"x": ones(self.num_envs)}},
    "observe a cube": {"observe": lambda self, state: {"x": ones((self.num_envs, 2, 2))}},
    "observe a number": {"observe": lambda self, state: {"x": 1.0}},
    "observe lists": {"observe": lambda self, state: {"x": [[1.0]] * self.num_envs}},
    "observe too few rows": {"observe": lambda self, state: {"x": ones((1, 2), np.float32)}},
    "observe too many rows": {"observe": lambda self, state: {"x": ones((99, 2), np.float32)}},
    "observe text": {"observe": lambda self, state: {"x": np.full((self.num_envs, 1), "x")}},
    "observe objects": {"observe": lambda self, state: {"x": np.full((self.num_envs, 1), None)}},
    "observe complex": {"observe": lambda self, state: {"x": np.full((self.num_envs, 1), 1j)}},
    "rewards None": {"rewards": lambda self, state: None},
    "rewards an array": {"rewards": lambda self, state: ones(self.num_envs)},
    "rewards a column": {"rewards": lambda self, state: {"x": ones((self.num_envs, 1))}},
    "rewards too short": {"rewards": lambda self, state: {"x": ones(self.num_envs + 1)}},
    "rewards text": {"rewards": lambda self, state: {"x": np.full(self.num_envs, "x")}},
    "rewards None inside": {"rewards": lambda self, state: {"x": None}},
    "terminate None": {"terminate": lambda self, state: None},
    "terminate a column": {"terminate": lambda self, state: ones((self.num_envs, 1), bool)},
    "terminate too short": {"terminate": lambda self, state: ones(1 + self.num_envs, bool)},
    "terminate floats": {"terminate": lambda self, state: ones(self.num_envs) * 0.5},
    "terminate text": {"terminate": lambda self, state: np.full(self.num_envs, "x")},
    "metrics too short": {"metrics": lambda self, state: {"x": ones(1 + self.num_envs)}},
    "metrics None": {"metrics": lambda self, state: None},
    "info too short": {"init_info": lambda self: {"x": ones(1 + self.num_envs)}},
    "info a number": {"init_info": lambda self: {"x": 1.0}},
    "info None": {"init_info": lambda self: None},
    "apply_action None": {"apply_action": lambda self, actions, state: None},
    "reset None": {"reset": lambda self, data, rows: None},
    "reset one thing": {"reset": lambda self, data, rows: {}},
    "reset too few": {"reset": lambda self, data, rows: (ones((1, 2), np.float32), {})},
    "reset too wide": {"reset": lambda self, data, rows: (ones((rows.size, 9), np.float32), {})},
    "reset unknown info": {"reset": lambda self, data, rows: (None, {"x": ones(rows.size)})},
    "reset positions": {"reset": lambda self, data, rows: data.reset(rows, ones((1, 1)), ones(3))},
    "privileged a vector": {"observe_privileged": lambda self, state: {"x": ones(self.num_envs)}},
    "succeeded None": {"succeeded": lambda self, state: None},
    "succeeded too short": {"succeeded": lambda self, state: ones(1 + self.num_envs, bool)},
    "update_state None": {"update_state": lambda self, state: None},
    "controls of another shape": {"apply_action": steer_seven_motors},
    "no model": {"make_model": lambda self: None},
    "a text for a model": {"make_model": lambda self: CARTPOLE},
    "no action space": {"action_space": None},
    "a discrete action space": {"action_space": gymnasium.spaces.Discrete(3)},
}


def play(num_envs=3, steps=3):
    env = envs.make("bad", num_envs=num_envs, seed=1)
    env.init_state()
    for _ in range(steps):
        env.step(np.zeros((num_envs, 1), np.float32))


def test_the_environment_that_does_nothing_wrong():
    register(CartPoleCfg, Standing)
    play()


@pytest.mark.parametrize("kind", PARTS)
def test_parts_that_return_nonsense(kind):
    register(CartPoleCfg, with_part(**PARTS[kind]))
    refused(play)


NOT_FINITE = {
    "observe NaN": {
        "observe": lambda self, state: {"x": np.full((self.num_envs, 1), np.nan, np.float32)}
    },
    "rewards NaN": {"rewards": lambda self, state: {"x": np.full(self.num_envs, np.nan)}},
    "rewards infinite": {"rewards": lambda self, state: {"x": np.full(self.num_envs, np.inf)}},
    "rewards beyond float32": {"rewards": lambda self, state: {"x": np.full(self.num_envs, 1e300)}},
}


@pytest.mark.parametrize("kind", NOT_FINITE)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_numbers_that_are_none_end_the_episode(kind):
    register(CartPoleCfg, with_part(**NOT_FINITE[kind]))
    env = envs.make("bad", num_envs=3, seed=1)
    env.init_state()
    state = env.step(np.zeros((3, 1), np.float32))
    assert state.terminated.all()
    assert (state.reward == 0).all()
    assert not state.info["success"].any()
    TALLY[DOOR, "harmless"] += 1


@pytest.mark.parametrize("error", [RuntimeError, KeyError, AssertionError, MemoryError, OSError])
@pytest.mark.parametrize("part", ["setup", "init_info", "reset", "observe", "rewards", "terminate"])
def test_an_error_of_the_author_reaches_the_author(part, error):
    """An author needs the traceback of code of their own; nothing swallows it."""

    def broken(*_):
        raise error("mine")

    register(CartPoleCfg, with_part(**{part: broken}))
    with pytest.raises(error, match="mine"):
        play()
    TALLY[DOOR, CLEAR] += 1


# Training configurations


@dataclass
class RlNoDefaults(PPOCfg):
    wind: float = dataclasses.field(kw_only=True)


@dataclass
class RlNoAnnotation(PPOCfg):
    rollouts = 8


@dataclass
class RlValidate(PPOCfg):
    def validate(self):
        raise KeyError("wind")


@dataclass
class RlTexts(PPOCfg):
    num_envs: int = "512"


@dataclass
class RlNothing(PPOCfg):
    learning_rate: float = None


@dataclass
class RlWidths(PPOCfg):
    policy_hidden_layer_sizes: tuple[int, ...] = 32


class RlNoDataclass:
    num_envs = 8


RL_CLASSES = [
    RlNoDefaults,
    RlNoAnnotation,
    RlTexts,
    RlNoDataclass,
    Foreign,
    RlValidate,
    RlNothing,
    RlWidths,
]


@pytest.mark.torch
@pytest.mark.parametrize("cls", RL_CLASSES, ids=lambda cls: cls.__name__)
def test_training_configurations(cls, here):
    register(CartPoleCfg)
    rl.rlcfg("bad")(cls)
    refused(lambda: rl.default.trainer("skrl", "torch")("bad"), cls.__name__)
    check_refused(motrix("train", "bad", "--backend", "torch"), cls.__name__, door=DOOR)
    assert not list(here.iterdir())
