"""What every environment promises, as tests: subclass `EnvContract` and run pytest."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np

from motrix_envs._overrides import apply_overrides
from motrix_envs.base import EnvCfg, describe_fields
from motrix_envs.errors import ConfigError, MotrixError
from motrix_envs.np.actions import limits
from motrix_envs.np.env import Camera, NpEnv
from motrix_envs.testing.behaviour import BehaviourTests
from motrix_envs.testing.repetition import RepetitionTests
from motrix_envs.testing.rollout import handed_out, random_actions

IMPOSSIBLE: dict[str, Any] = {
    "sim_dt": -0.01,
    "ctrl_dt": math.nan,
    "max_episode_seconds": 0.0,
    "render_spacing": -1.0,
    "model_file": "there/is/no/such/model.xml",
}
"""Values that no configuration may take."""


class EnvContract(BehaviourTests, RepetitionTests):
    """The promises of an environment, one test method each.

        class TestHop(EnvContract):
            env_name = "acme-hop"  # or several: ("acme-hop", "acme-hop-rough")

    The methods are plain: they take an id and raise `AssertionError` with what to do, so they can
    be called without pytest too. `EnvCase` lists the attributes that a subclass may change.
    """

    # Spaces and shapes

    def test_spaces(self, name: str) -> None:
        """Observations are flat boxes of float32; actions too, with finite limits, or choices."""
        env = self.make(name)
        space = env.action_space
        boxes = {"observation_space": env.observation_space}
        boxes |= {"state_space": env.state_space} if env.state_space else {}
        if not isinstance(space, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete):
            boxes |= {"action_space": space}
        for title, box in boxes.items():
            assert isinstance(box, gymnasium.spaces.Box), f"make {title} a gymnasium.spaces.Box"
            assert box.dtype == np.float32, f"{title} is {box.dtype}: give it dtype np.float32"
            assert len(box.shape) == 1, f"{title} has shape {box.shape}: make it (size,)"
        low, high = limits(space)
        assert np.isfinite(low).all(), "give every action a lower limit: Box(-1, 1, (size,))"
        assert np.isfinite(high).all(), "give every action an upper limit: Box(-1, 1, (size,))"
        assert np.all(low < high), f"some action has no room between {low} and {high}"
        env.close()

    def test_observation_layout(self, name: str) -> None:
        """The named components of an observation add up to its size, in any batch."""
        env, alone = self.make(name), self.make(name, num_envs=1)
        for what, layout, space in (
            ("observe", env.observation_layout, env.observation_space),
            ("observe_privileged", env.state_layout, env.state_space),
        ):
            size = space.shape[0] if space else 0
            assert sum(layout.values()) == size, (
                f"{what}() names {layout}, {sum(layout.values())} numbers in all, but their space "
                f"has {size}: derive the space from the components, as NpEnv does"
            )
            assert all(layout.values()), f"{what}() names an empty component: {layout}"
        assert env.observation_layout == alone.observation_layout, (
            "components have other sizes in a batch of one: keep the batch axis, (num_envs, k)"
        )
        env.close()
        alone.close()

    def test_shapes_and_types(self, name: str) -> None:
        """A step gives one row of the promised type for each environment."""
        env = self.make(name, self.short(name))
        size, n = env.observation_space.shape[0], env.num_envs
        env.init_state()
        for action in random_actions(env, self.steps):
            state = env.step(action)
            state.validate(n, size)
            found = handed_out(state)
            promised: dict[str, type] = {
                "obs": np.float32,
                "reward": np.float32,
                "info/final_obs": np.float32,
            }
            promised |= dict.fromkeys(("terminated", "truncated", "info/_final_obs"), bool)
            for title, dtype in {**promised, "info/success": bool}.items():
                assert title in found, f"{title} is missing: let NpEnv.step make the state"
                kind = found[title].dtype
                assert kind == dtype, f"{title} is {kind}: return {np.dtype(dtype)} arrays"
            assert not (found["info/success"] & ~state.done).any(), (
                "success is claimed in the middle of an episode: succeeded() counts where it ends"
            )
            for row in range(n):
                assert env.observation_space.contains(state.obs[row]), (
                    f"the observation {state.obs[row]} is not within observation_space"
                )
        env.close()

    # Configuration

    def test_config_refuses_the_impossible(self, name: str) -> None:
        """`validate` takes the defaults and refuses impossible times, distances and models."""
        refusal = self._refusal(self.cfg(name))
        assert not refusal, f"validate() refuses the defaults: {refusal}"
        for title, value in IMPOSSIBLE.items():
            cfg = self.cfg(name)
            setattr(cfg, title, value)
            assert self._refusal(cfg), (
                f"validate() takes {title} = {value!r}: call super().validate() in yours"
            )

    def _refusal(self, cfg: EnvCfg) -> str:
        """Return why `validate` refuses a configuration, or an empty string."""
        try:
            cfg.validate()
        except ConfigError as error:
            return str(error)
        return ""

    def test_every_field_can_be_overridden(self, name: str) -> None:
        """Each field takes its own default by its dotted name, as the command line would."""
        fields = describe_fields(self.cfg(name))
        for title, value in fields.items():
            try:
                apply_overrides(self.cfg(name), {title: value}, name)
            except ConfigError as error:
                raise AssertionError(
                    f"the default of '{title}' does not fit the field's own type: {error}"
                ) from error
        self.make(name, fields).close()

    # Manners

    def test_names_success_and_camera(self, name: str) -> None:
        """The class says what success means and where to look from."""
        env = self.make(name)
        own = type(env).__mro__[: type(env).__mro__.index(NpEnv)]
        for title, example in (
            ("success_metric", '"the pole is up when the time is"'),
            ("camera", "Camera(lookat=(0.0, 0.0, 0.5), distance=3.0)"),
        ):
            declared = any(title in vars(cls) for cls in own)
            assert declared, f"write {title} = {example} into {type(env).__name__}"
        assert isinstance(env.camera, Camera), "camera must be a motrix_envs.np.env.Camera"
        assert env.success_metric.strip(), "success_metric is empty: say it in words"
        env.close()

    def test_close(self, name: str) -> None:
        """`close` may be called twice; after it, a step says that it is too late."""
        env = self.make(name)
        env.init_state()
        action = random_actions(env, 1)[0]
        env.close()
        env.close()
        try:
            env.step(action)
        except MotrixError:
            return
        raise AssertionError("a closed environment still steps: let close() call super().close()")
