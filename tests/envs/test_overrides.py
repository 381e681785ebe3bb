"""Dotted overrides: typed, checked before anything changes, all or none."""

import copy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from motrix_envs._overrides import apply_overrides, convert
from motrix_envs.base import describe_fields
from motrix_envs.errors import ConfigError


@dataclass
class Gains:
    kp: float = 30.0
    kd: float = 1.0


@dataclass
class Control:
    gains: Gains = field(default_factory=Gains)
    mode: Literal["torque", "position"] = "torque"
    joints: tuple[str, ...] = ("hip", "knee")


@dataclass
class Cfg:
    size: int = 3
    mass: float = 1.5
    name: str = "hop"
    fast: bool = False
    limit: float | None = None
    old_style: Optional[int] = None  # noqa: UP045 - authors write both
    widths: tuple[int, ...] = (32, 32)
    pair: tuple[float, float] = (0.0, 1.0)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    either: int | str = 0
    path: Path | None = None
    anything: Any = None
    control: Control = field(default_factory=Control)


def changed(**overrides):
    cfg = Cfg()
    apply_overrides(cfg, {name.replace("__", "."): v for name, v in overrides.items()}, "hop")
    return cfg


GOOD = [
    ("size", 4, 4),
    ("size", np.int64(4), 4),
    ("mass", 2, 2.0),
    ("mass", np.float32(0.5), 0.5),
    ("fast", True, True),
    ("fast", np.bool_(True), True),
    ("limit", 5, 5.0),
    ("limit", None, None),
    ("old_style", 5, 5),
    ("widths", [8, 8, 8], (8, 8, 8)),
    ("widths", (), ()),
    ("pair", [1, 2], (1.0, 2.0)),
    ("ranges", {"hip": (0.0, 1.0)}, {"hip": (0.0, 1.0)}),
    ("either", "x", "x"),
    ("either", 3, 3),
    ("path", Path("x"), Path("x")),
    ("anything", {"a": [1]}, {"a": [1]}),
    ("control.mode", "position", "position"),
    ("control.joints", ["hip"], ("hip",)),
    ("control.gains.kp", 20, 20.0),
]


@pytest.mark.parametrize(("name", "value", "expected"), GOOD)
def test_what_fits(name, value, expected):
    cfg = Cfg()
    apply_overrides(cfg, {name: value}, "hop")
    found = describe_fields(cfg)[name]
    assert found == expected
    assert type(found) is type(expected)
    assert {k: v for k, v in describe_fields(cfg).items() if k != name} == {
        k: v for k, v in describe_fields(Cfg()).items() if k != name
    }


BAD = [
    ("size", 1.5, "int"),
    ("size", True, "int"),
    ("size", "3", "int"),
    ("size", None, "int"),
    ("mass", False, "float"),
    ("mass", "heavy", "float"),
    ("mass", np.zeros(2), "float"),
    ("name", 3, "str"),
    ("fast", 1, "bool"),
    ("limit", True, "float | None"),
    ("old_style", 1.0, "Optional[int]"),
    ("widths", 32, "tuple[int, ...]"),
    ("widths", (32, "x"), "tuple[int, ...]"),
    ("widths", (32, True), "tuple[int, ...]"),
    ("widths", "32", "tuple[int, ...]"),
    ("pair", (1.0,), "tuple[float, float]"),
    ("ranges", {"hip": 1.0}, "dict[str, tuple[float, float]]"),
    ("either", 1.5, "int | str"),
    ("control.mode", "speed", "Literal['torque', 'position']"),
    ("control.mode", 1, "Literal"),
]


@pytest.mark.parametrize(("name", "value", "declared"), BAD)
def test_what_does_not_fit(name, value, declared):
    cfg = Cfg()
    with pytest.raises(ConfigError) as caught:
        apply_overrides(cfg, {name: value}, "environment 'hop'")
    assert f"'{name}' of environment 'hop' takes {declared}" in str(caught.value)
    assert f"not {value!r} ({type(value).__name__})" in str(caught.value)
    assert cfg == Cfg()


UNKNOWN = {
    "masss": "mass",
    "control.gain.kp": "control.gains.kp",
    "gains.kp": "control.gains.kp",
    "control.mod": "control.mode",
    "control.gains.kpp": "control.gains.kp",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_names_get_the_nearest(name):
    with pytest.raises(ConfigError) as caught:
        apply_overrides(Cfg(), {name: 1}, "environment 'hop'")
    message = str(caught.value)
    assert message.startswith(f"environment 'hop' has no field '{name}'.")
    assert f"Did you mean '{UNKNOWN[name]}'?" in message
    assert "Its fields: size, mass," in message


@pytest.mark.parametrize(
    "name", ["", ".", "mass.", ".mass", "mass.x", "__class__", "control..mode"]
)
def test_odd_names(name):
    with pytest.raises(ConfigError, match="has no field"):
        apply_overrides(Cfg(), {name: 1}, "hop")


def test_a_group_is_set_by_its_fields_or_as_a_whole():
    with pytest.raises(ConfigError, match=r"group of fields; set one of: control.gains.kp, contr"):
        changed(control__gains=3)
    gains = Gains(1.0, 2.0)
    cfg = changed(control__gains=gains, control__gains__kd=5)
    assert cfg.control.gains == Gains(1.0, 5.0)
    assert gains == Gains(1.0, 2.0), "the caller's object is not changed"
    with pytest.raises(ConfigError, match=r"'control.gains' of hop takes Gains, not Control"):
        changed(control__gains=Control())


def test_the_later_one_wins():
    cfg = changed(control__gains__kd=5.0, control__gains=Gains())
    assert cfg.control.gains == Gains()


def test_nothing_changes_when_one_is_wrong():
    cfg = Cfg()
    with pytest.raises(ConfigError):
        apply_overrides(cfg, {"control.gains.kp": 1.0, "mass": 2.0, "size": "x"}, "hop")
    assert cfg == Cfg()


def test_annotations_that_only_their_author_can_read():
    @dataclass
    class Inner:
        value: float = 1.0

    @dataclass
    class Outer:
        inner: "Inner" = field(default_factory=Inner)
        count: "int" = 1

    cfg = Outer()
    apply_overrides(cfg, {"inner.value": 2, "count": 3}, "hop")
    assert asdict(cfg) == {"inner": {"value": 2.0}, "count": 3}
    with pytest.raises(ConfigError):
        apply_overrides(cfg, {"count": "x"}, "hop")


VALUES = {
    "size": st.integers(),
    "mass": st.floats(allow_nan=False),
    "name": st.text(),
    "fast": st.booleans(),
    "limit": st.none() | st.floats(allow_nan=False),
    "widths": st.lists(st.integers()),
    "control.gains.kp": st.integers(-(2**53), 2**53),
    "control.mode": st.sampled_from(["torque", "position"]),
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_any_good_values(overrides):
    cfg = Cfg()
    apply_overrides(cfg, overrides, "hop")
    found = describe_fields(cfg)
    for name, default in describe_fields(Cfg()).items():
        expected = overrides.get(name, default)
        assert found[name] == (tuple(expected) if isinstance(expected, list) else expected)


@given(st.dictionaries(st.sampled_from(list(describe_fields(Cfg()))) | st.text(), ANYTHING))
def test_any_values_at_all(overrides):
    cfg, before = Cfg(), copy.deepcopy(overrides)
    try:
        apply_overrides(cfg, overrides, "hop")
    except ConfigError:
        assert cfg == Cfg()
    else:
        assert set(overrides) <= set(describe_fields(cfg))
        types = {name: type(value) for name, value in describe_fields(cfg).items()}
        assert (types["size"], types["mass"], types["fast"]) == (int, float, bool)
    assert repr(overrides) == repr(before)


@given(ANYTHING)
def test_converting_twice_changes_nothing(value):
    for declared in (float, tuple[float, ...], int | str | None, float | tuple[int, ...]):
        try:
            once = convert(value, declared)
        except TypeError:
            continue
        assert repr(convert(once, declared)) == repr(once)
