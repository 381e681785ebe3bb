"""Changes of configurations, in dictionaries and on the command line: all of them or none."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from answers import CLEAR, TALLY, check_refused, examples, motrix
from hypothesis import assume, given
from hypothesis import strategies as st
from motrix_envs import registry as envs
from motrix_envs._overrides import apply_overrides
from motrix_envs.base import describe_fields
from motrix_envs.errors import ConfigError, MotrixError
from motrix_rl import registry as rl

DOOR = "overrides"

ENV = describe_fields(envs.default.default_cfg("acme-slide"))
RL = describe_fields(rl.default.default_rl_cfg("acme-slide", "skrl", "torch"))


class Unprintable:
    def __repr__(self):
        raise RuntimeError("no")


class Uncopyable:
    def __deepcopy__(self, memo):
        raise RuntimeError("no")


STRANGE = {
    "nothing": None,
    "boolean": True,
    "text": "x",
    "empty": "",
    "bytes": b"x",
    "not a number": math.nan,
    "infinite": math.inf,
    "minus infinite": -math.inf,
    "huge": 10**400,
    "endless": 10**5000,
    "complex": 1j,
    "list": [],
    "mapping": {},
    "nested": {"a": {"b": 1}},
    "set": {1},
    "array": np.zeros(3),
    "empty array": np.zeros(0),
    "numpy not a number": np.float32("nan"),
    "object array": np.array(None),
    "class": int,
    "function": len,
    "module": math,
    "generator": (i for i in range(3)),
    "unprintable": Unprintable(),
    "uncopyable": Uncopyable(),
}
NONE = ("nothing", "object array")
FITS = {
    "max_episode_seconds": NONE,
    "seed": NONE,
    "rl_module": NONE,
    "episode_steps": NONE,
    "device": (*NONE, "text", "empty"),
}


def refused(error, *says):
    for word in says:
        assert word in str(error), f"{word!r} is not named: {error}"
    assert len(str(error)) < 3000, "a message, not a dump"
    TALLY[DOOR, CLEAR] += 1


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_values_of_an_environment(kind):
    for name in ENV:
        if kind in FITS.get(name, ()):
            continue
        is_text = kind in ("text", "empty") and name == "model_file"
        says = "does not exist" if is_text else name
        with pytest.raises(MotrixError) as caught:
            envs.make("acme-slide", env_cfg_override={name: STRANGE[kind]})
        refused(caught.value, says)


@pytest.mark.torch
@pytest.mark.parametrize("kind", STRANGE)
def test_strange_values_of_a_training(kind, here):
    trainer = rl.default.trainer("skrl", "torch")
    for name, held in RL.items():
        if kind in FITS.get(name, ()) or (kind == "boolean" and isinstance(held, bool)):
            continue
        with pytest.raises(MotrixError) as caught:
            trainer("acme-slide", cfg_override={name: STRANGE[kind]})
        refused(caught.value, name)
    assert not list(here.iterdir())


NAMES = [
    "", " ", ".", "..", "sim_dt ", " sim_dt", "sim_dt.", ".sim_dt", "sim-dt", "SIM_DT", "sim_dt.x",
    "reward", "reward.", "reward..near", "reward.nearer", "reward/near", "near", "__class__",
    "__dict__", "validate", "sim_substeps", "reward.__class__", "sim_dt\n", "sim_dt\x00", "\udcff",
    "x" * 5000, "reward." * 500, "😀", "env.sim_dt", "--env.sim-dt",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_names_of_an_environment(name):
    with pytest.raises(ConfigError) as caught:
        envs.make("acme-slide", env_cfg_override={name: 1.0})
    refused(caught.value, "environment 'acme-slide'" if len(name) < 100 else "acme-slide")


@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
def test_names_of_a_training(name):
    with pytest.raises(ConfigError) as caught:
        rl.default.trainer("skrl", "torch")("acme-slide", cfg_override={name: 1.0})
    refused(caught.value, "acme-slide")


@pytest.mark.parametrize("overrides", [[], "sim_dt=1", 3, [("sim_dt", 1.0)], {None: 1}, {3: 4}])
def test_overrides_of_another_type(overrides):
    if overrides == []:
        assert envs.make("acme-slide", env_cfg_override=overrides).close() is None
        return
    with pytest.raises(ConfigError) as caught:
        envs.make("acme-slide", env_cfg_override=overrides)
    refused(caught.value, "acme-slide")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=5,
)


@examples(50)
@given(st.dictionaries(st.sampled_from(list(ENV)) | st.text(), ANYTHING, min_size=1))
def test_any_changes_of_an_environment(changes):
    before = copy.deepcopy(changes)
    cfg = envs.default.default_cfg("acme-slide")
    try:
        apply_overrides(cfg, changes, "environment 'acme-slide'")
        cfg.validate()
    except ConfigError as error:
        refused(error)
    assert repr(changes) == repr(before)
    assert describe_fields(envs.default.default_cfg("acme-slide")) == ENV, "the default stays"


@examples(50)
@given(st.dictionaries(st.sampled_from(list(RL)) | st.text(), ANYTHING, min_size=1))
def test_any_changes_of_a_training(changes):
    cfg = rl.default.default_rl_cfg("acme-slide", "skrl", "torch")
    try:
        apply_overrides(cfg, changes, "the configuration")
        cfg.validate()
    except ConfigError as error:
        refused(error)
    assert describe_fields(rl.default.default_rl_cfg("acme-slide", "skrl", "torch")) == RL


# On the command line


@pytest.fixture(autouse=True)
def nobody_trains(monkeypatch):
    """Let no accident of these tests take minutes."""

    def train(*_):
        raise AssertionError("accepted")

    monkeypatch.setattr("motrix_rl.skrl.trainer.SkrlTrainer.train", train)


OPTIONS = [f"--env.{name.replace('_', '-')}" for name in ENV] + [
    f"--rl.{name.replace('_', '-')}" for name in RL
]
TEXTUAL = ("--env.model-file", "--rl.device")  # where a text is no junk, but refused later
JUNK = ["x", "", "1e", "0x1", "1,2", "None!", "nan%", "[1]", "{}", "()", "1 2", "é", "1" * 5000]


@examples(50)
@given(st.sampled_from(OPTIONS), st.sampled_from(JUNK))
def test_junk_on_the_command_line(here, option, value):
    arguments = ["train", "acme-slide", "--backend", "torch", f"{option}={value}"]
    assume(option not in TEXTUAL or value != "1" * 5000)
    check_refused(motrix(*arguments), door=DOOR)
    assert not list(here.iterdir()), option


@examples(25)
@given(st.sampled_from(OPTIONS), st.text(st.characters(exclude_characters="\x00"), max_size=10))
def test_any_text_on_the_command_line(here, option, value):
    assume(not any(char.isdigit() for char in value))
    assume(value.strip().lower() not in ("none", "true", "false", "inf", "-inf", "infinity", "nan"))
    answer = motrix("train", "acme-slide", "--backend", "torch", f"{option}={value}")
    check_refused(answer, door=DOOR)
    assert not list(here.iterdir())
