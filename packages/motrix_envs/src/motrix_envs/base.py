"""The contract of an environment's configuration, and of an environment to the outside."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import gymnasium

from motrix_envs.errors import ConfigError, MotrixError, describe, show

Cfg = TypeVar("Cfg")

MOST_SUBSTEPS = 1_000_000  # nothing can interrupt an engine within a control step
MOST_STEPS = 2**53  # up to here a quotient of times is a whole number of steps

_RATIO_TOLERANCE = 1e-6


@dataclass
class EnvCfg:
    """What every environment is configured by; subclasses add their own fields.

    A plain dataclass: nested dataclasses (`reward.action_rate`) are reached by dotted names.
    """

    model_file: str | None = None
    """Path of the MJCF model; None if the environment writes its model itself."""
    sim_dt: float = 0.01
    """Physics time step in s; overrides the model's own."""
    ctrl_dt: float = 0.01
    """Control time step in s; an integer multiple of `sim_dt`."""
    max_episode_seconds: float | None = None
    """Time limit of an episode in s; None means none."""
    render_spacing: float = 1.0
    """Distance between neighbours in a rendered grid in m; 0 draws all in one scene."""

    @property
    def sim_substeps(self) -> int:
        """Physics steps per control step."""
        return round(self.ctrl_dt / self.sim_dt)

    @property
    def max_episode_steps(self) -> int | None:
        """Control steps until an episode is truncated, or None."""
        if self.max_episode_seconds is None:
            return None
        # 0.3 s at 0.1 s a step are three steps, although 0.3 / 0.1 < 3 in floating point.
        return math.floor(self.max_episode_seconds / self.ctrl_dt + _RATIO_TOLERANCE)

    def validate(self) -> None:
        """Check the configuration; subclasses extend this.

        Raises:
            ConfigError: A number is NaN or a weight of the reward infinite, a time is not positive
                and finite, `ctrl_dt` is no integer multiple of `sim_dt`, the time limit is shorter
                than a step, a distance is negative, or the model does not exist.
        """
        self._validate_times()
        for name, value in describe_fields(self).items():
            weight = name.startswith("reward.")
            if isinstance(value, float) and (math.isnan(value) or (weight and math.isinf(value))):
                raise ConfigError(f"{type(self).__name__}.{name} = {value} must be a number")
        if not (self.render_spacing >= 0 and math.isfinite(self.render_spacing)):
            raise ConfigError(f"{self._named('render_spacing')} must be a distance in m, or 0")
        if self.model_file is not None and not _is_file(self.model_file):
            raise ConfigError(
                f"{self._named('model_file')} does not exist; give the path of an MJCF file"
            )

    def _validate_times(self) -> None:
        for name in ("sim_dt", "ctrl_dt", "max_episode_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not (seconds > 0 and math.isfinite(seconds)):
                raise ConfigError(f"{self._named(name)} must be a positive time in seconds")
        ratio = self.ctrl_dt / self.sim_dt
        if ratio > MOST_SUBSTEPS:
            raise ConfigError(
                f"{self._named('ctrl_dt')} is {ratio:g} times sim_dt = {self.sim_dt}; "
                f"at most {MOST_SUBSTEPS} physics steps make a control step"
            )
        if self.sim_substeps < 1 or abs(ratio - self.sim_substeps) > _RATIO_TOLERANCE * ratio:
            raise ConfigError(
                f"{self._named('ctrl_dt')} must be an integer multiple of "
                f"sim_dt = {self.sim_dt}; the ratio is {ratio:g}"
            )
        if (self.max_episode_seconds or 0) / self.ctrl_dt > MOST_STEPS:
            raise ConfigError(
                f"{self._named('max_episode_seconds')} is longer than {MOST_STEPS} control steps "
                f"(ctrl_dt = {self.ctrl_dt}); None means no time limit"
            )
        if self.max_episode_steps == 0:
            raise ConfigError(
                f"{self._named('max_episode_seconds')} is shorter than one control step "
                f"(ctrl_dt = {self.ctrl_dt})"
            )

    def _named(self, name: str) -> str:
        return f"{type(self).__name__}.{name} = {getattr(self, name)!r}"


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except OSError:  # a name too long for the system, or a folder that may not be looked into
        return False


def describe_fields(cfg: Any, prefix: str = "") -> dict[str, Any]:
    """Return the values of a configuration by dotted name: `{"reward.action_rate": -0.01}`."""
    values: dict[str, Any] = {}
    for item in fields(cfg):
        value = getattr(cfg, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            values |= describe_fields(value, f"{prefix}{item.name}.")
        else:
            values[prefix + item.name] = value
    return values


def check_config_class(cfg: Any) -> None:
    """Check that a configuration and its groups are dataclasses all the way.

    A class attribute without an annotation, or a class without `@dataclass`, looks like a new
    default to a reader and is none to Python.

    Raises:
        ConfigError: An attribute would be ignored; the message says how to write it.
    """
    names = {item.name for item in fields(cfg)} if is_dataclass(cfg) else set()
    for cls in type(cfg).__mro__[:-1]:
        own = set(vars(cls).get("__annotations__", ()))
        if own and "__dataclass_fields__" not in vars(cls) and is_dataclass(cfg):
            raise ConfigError(f"put @dataclass on {cls.__qualname__}: its fields would be ignored")
        for name in names & set(vars(cls)) - own:
            raise ConfigError(
                f"{cls.__qualname__}.{name} has no type, so its value would be ignored: write "
                f"`{name}: {type(getattr(cfg, name)).__name__} = ...`"
            )
    for name in names:
        if is_dataclass(value := getattr(cfg, name)):
            check_config_class(value)


@contextmanager
def config_errors(cls: type, doing: str) -> Iterator[None]:
    """Turn whatever a stranger's configuration raises inside the block into a `ConfigError`."""
    try:
        yield
    except MotrixError:
        raise
    except Exception as error:
        raise ConfigError(f"{cls.__qualname__} cannot be {doing}: {describe(error)}") from error


def fresh_config(cls: type[Cfg], base: type) -> Cfg:
    """Return a configuration with its defaults, which shares nothing with the class.

    Args:
        cls: The registered class.
        base: What it has to inherit.

    Raises:
        ConfigError: It does not, cannot be made without arguments, or is no dataclass all the way.
    """
    with config_errors(cls, "made"):
        cfg = copy.deepcopy(cls())
    if not isinstance(cfg, base):
        raise ConfigError(f"{cls.__qualname__} has to inherit {base.__name__}")
    check_config_class(cfg)
    _check_types(cfg, base)
    return cfg


def _check_types(cfg: Any, base: type) -> None:
    """Check the fields that the platform itself computes with; the others are their author's."""
    from motrix_envs._overrides import convert

    for name, declared in get_type_hints(base).items():
        try:
            convert(getattr(cfg, name), declared)
        except TypeError:
            raise ConfigError(
                f"{type(cfg).__qualname__}.{name} = {show(getattr(cfg, name))} does not fit; "
                f"{base.__name__} takes {declared}"
            ) from None


ActionSpace = gymnasium.spaces.Box | gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete
"""What an environment may ask for: a flat Box of floats, one choice, or several."""


class ABEnv(ABC):
    """What any environment tells about itself."""

    @property
    @abstractmethod
    def num_envs(self) -> int:
        """How many copies step together."""

    @property
    @abstractmethod
    def cfg(self) -> EnvCfg:
        """The resolved configuration."""

    @property
    @abstractmethod
    def observation_space(self) -> gymnasium.spaces.Box:
        """Space of one environment's observation."""

    @property
    @abstractmethod
    def action_space(self) -> ActionSpace:
        """Space of one environment's action."""
