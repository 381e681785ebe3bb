"""Rules of an environment's configuration."""

import math
from dataclasses import dataclass, field

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from motrix_envs.base import ABEnv, EnvCfg, check_config_class, describe_fields
from motrix_envs.errors import ConfigError


def test_the_defaults_are_valid():
    cfg = EnvCfg()
    cfg.validate()
    assert (cfg.sim_substeps, cfg.max_episode_steps) == (1, None)


@pytest.mark.parametrize(
    ("seconds", "ctrl_dt", "steps"),
    [(0.3, 0.1, 3), (10.0, 0.01, 1000), (0.7, 0.1, 7), (0.25, 0.1, 2), (20, 0.02, 1000)],
)
def test_steps_of_an_episode(seconds, ctrl_dt, steps):
    assert EnvCfg(max_episode_seconds=seconds, ctrl_dt=ctrl_dt).max_episode_steps == steps


@given(steps=st.integers(1, 10**6), ctrl_dt=st.floats(1e-4, 1.0))
def test_whole_steps_stay_whole(steps, ctrl_dt):
    cfg = EnvCfg(sim_dt=ctrl_dt, ctrl_dt=ctrl_dt, max_episode_seconds=steps * ctrl_dt)
    assert cfg.max_episode_steps == steps
    cfg.validate()


@given(substeps=st.integers(1, 1000), sim_dt=st.floats(1e-5, 0.1))
def test_whole_substeps_are_valid(substeps, sim_dt):
    cfg = EnvCfg(sim_dt=sim_dt, ctrl_dt=substeps * sim_dt)
    cfg.validate()
    assert cfg.sim_substeps == substeps


@given(ratio=st.floats(0.01, 100.0), sim_dt=st.floats(1e-4, 0.1))
def test_other_ratios_are_not(ratio, sim_dt):
    assume(abs(ratio - round(ratio)) > 1e-4)
    with pytest.raises(ConfigError, match=r"ctrl_dt = .* integer multiple of sim_dt"):
        EnvCfg(sim_dt=sim_dt, ctrl_dt=ratio * sim_dt).validate()


@pytest.mark.parametrize("name", ["sim_dt", "ctrl_dt", "max_episode_seconds"])
@pytest.mark.parametrize("seconds", [0, -0.01, math.nan, math.inf])
def test_times_are_positive_and_finite(name, seconds):
    with pytest.raises(ConfigError, match=f"EnvCfg.{name} = .* must be a positive time"):
        EnvCfg(**{name: seconds}).validate()


@pytest.mark.parametrize("spacing", [-1.0, math.nan, math.inf])
def test_spacing(spacing):
    EnvCfg(render_spacing=0.0).validate()
    with pytest.raises(ConfigError, match="render_spacing"):
        EnvCfg(render_spacing=spacing).validate()


def test_an_episode_has_a_step():
    with pytest.raises(ConfigError, match="shorter than one control step"):
        EnvCfg(max_episode_seconds=0.005).validate()


def test_the_model_exists(tmp_path):
    model = tmp_path / "model.xml"
    with pytest.raises(ConfigError, match=r"model\.xml' does not exist"):
        EnvCfg(model_file=str(model)).validate()
    model.touch()
    EnvCfg(model_file=str(model)).validate()
    with pytest.raises(ValueError, match="model_file"):
        EnvCfg(model_file=str(tmp_path)).validate()


@dataclass
class Reward:
    alive: float = 1.0
    costs: tuple[float, ...] = (0.1, 0.2)


@dataclass
class Nested(EnvCfg):
    reward: Reward = field(default_factory=Reward)


def test_fields_by_dotted_name():
    fields = describe_fields(Nested())
    assert list(fields)[-2:] == ["reward.alive", "reward.costs"]
    assert fields["reward.costs"] == (0.1, 0.2)
    assert fields["sim_dt"] == 0.01


def test_dataclasses_all_the_way():
    @dataclass
    class Same(Nested):
        pass

    class Plain(Nested):
        def helper(self):
            return 1

    for cls in (EnvCfg, Nested, Same, Plain):
        check_config_class(cls())


def test_a_forgotten_decorator():
    class Forgot(EnvCfg):
        sim_dt: float = 0.02

    @dataclass
    class Child(Forgot):
        mass: float = 1.0

    for cls in (Forgot, Child):
        with pytest.raises(ConfigError, match=r"put @dataclass on .*Forgot"):
            check_config_class(cls())


def test_a_forgotten_annotation():
    @dataclass
    class Forgot(EnvCfg):
        sim_dt = 0.02

    assert Forgot().sim_dt == 0.01, "what the author did not expect"
    with pytest.raises(ConfigError, match=r"Forgot\.sim_dt has no type.*`sim_dt: float = \.\.\.`"):
        check_config_class(Forgot())


def test_a_forgotten_annotation_in_a_group():
    @dataclass
    class Less(Reward):
        alive = 0.5

    with pytest.raises(ConfigError, match=r"Less\.alive"):
        check_config_class(Nested(reward=Less()))


def test_the_abstract_environment_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        ABEnv()
