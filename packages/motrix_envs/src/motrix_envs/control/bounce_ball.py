"""Bounce ball: an arm keeps a table-tennis ball bouncing on its bat, always equally high."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from motrix_envs.control.suite import SuiteCfg, model_path, unit_box, weighted
from motrix_envs.np.env import Camera, NpEnv
from motrix_envs.np.reward import tolerance
from motrix_envs.np.state import NpEnvState
from motrix_envs.registry import env, envcfg
from motrix_envs.sim import Contact, Model, Positions, Simulation, Velocities

HOME = np.deg2rad(np.array([0, 40, 110, 0, -60, 0], np.float32))  # the bat is level
BAT = np.array([0.5936, 0.0], np.float32)  # m, x and y of the bat's middle at home
HIT_HEIGHT = 0.081  # m of a ball that lies on the bat at home
JOINTS = len(HOME)
BALL = slice(JOINTS, JOINTS + 3)  # its place among positions, its velocity among velocities

GRAVITY = 9.81  # m/s²
RESET_NOISE = 0.01  # rad of the joints, m of the ball
LOST = 0.3  # m of the ball from the middle of the bat
LOWEST, HIGHEST = 0.03, 1.8  # m of the ball
GOOD = 0.05  # m that the top of a good bounce may miss the target height by
GOOD_BOUNCES = 20  # what success asks for


@dataclass
class RewardCfg:
    """Weights of the reward's terms."""

    height: float = 1.0
    """For a ball that will rise, or rose, to the target height, and will come down on the bat."""
    centered: float = 0.2
    """For a ball that will come down on the middle of the bat."""
    speed: float = -0.001
    """For the sum of the joints' squared velocities in rad²/s²."""


@envcfg("bounce_ball")
@dataclass
class BounceBallCfg(SuiteCfg):
    """Twenty seconds at 50 Hz."""

    not_negative: ClassVar[tuple[str, ...]] = ("target_height", "start_height", "action_scale")

    model_file: str | None = model_path("bounce_ball")
    sim_dt: float = 0.004
    ctrl_dt: float = 0.02
    max_episode_seconds: float | None = 20.0
    render_spacing: float = 1.5
    target_height: float = 0.8
    """Of the ball's middle at the top of its flight, in m."""
    start_height: float = 0.8
    """Of the ball's middle when an episode begins, in m."""
    restitution: float = 0.9
    """Share of its velocity that the ball keeps in a bounce, in [0, 1]."""
    action_scale: float = 0.1
    """Angle from home in rad that an action of 1 sends a joint to."""
    reward: RewardCfg = field(default_factory=RewardCfg)


@env("bounce_ball", "np")
class BounceBallEnv(NpEnv):
    """A ball in flight earns by where it goes: how high, and how close to the bat it comes down."""

    camera = Camera(lookat=(0.35, 0.0, 0.4), distance=1.7, elevation=-10.0, azimuth=60.0)
    success_metric = f"{GOOD_BOUNCES} bounces within {GOOD} m of the target height"
    action_space = unit_box(JOINTS)

    _cfg: BounceBallCfg

    def make_model(self) -> Model:
        """Return the model with a ball that bounces."""
        contacts = {"ball": Contact(self._cfg.restitution)}
        return replace(super().make_model(), contacts=contacts)

    def setup(self) -> None:
        """Read arm and ball."""
        self.reads = self.sim.declare(positions=Positions(), velocities=Velocities())

    def init_info(self) -> dict[str, Any]:
        """Remember whether the ball was falling, and count bounces, (num_envs,) each."""
        return {
            "falling": np.ones(self.num_envs, bool),
            "bounces": np.zeros(self.num_envs, np.float32),
            "good_bounces": np.zeros(self.num_envs, np.float32),
        }

    # Readers

    def joints(self) -> NDArray[np.float32]:
        """Angles of the joints from home in rad, (num_envs, 6)."""
        return self.reads.positions[:, :JOINTS] - HOME

    def joint_velocities(self) -> NDArray[np.float32]:
        """Velocities of the joints in rad/s, (num_envs, 6)."""
        return self.reads.velocities[:, :JOINTS]

    def ball(self) -> NDArray[np.float32]:
        """Place of the ball in m, (num_envs, 3)."""
        return self.reads.positions[:, BALL]

    def ball_velocity(self) -> NDArray[np.float32]:
        """Velocity of the ball in m/s, (num_envs, 3)."""
        return self.reads.velocities[:, BALL]

    def apex(self) -> NDArray[np.float32]:
        """Height in m that the ball's energy is good for, (num_envs,): the top of its flight."""
        speed = self.ball_velocity()[:, 2]
        return self.ball()[:, 2] + speed * speed / np.float32(2 * GRAVITY)

    def miss(self) -> NDArray[np.float32]:
        """Distance from the bat's middle where the ball will come down, in m, (num_envs,)."""
        speed = self.ball_velocity()[:, 2]
        drop = np.maximum(self.apex() - np.float32(HIT_HEIGHT), 0)
        time = speed / np.float32(GRAVITY) + np.sqrt(drop * np.float32(2 / GRAVITY))
        place = self.ball()[:, :2] + self.ball_velocity()[:, :2] * np.maximum(time, 0)[:, None]
        x, y = (place - BAT).T
        distance: NDArray[np.float32] = np.hypot(x, y)
        return distance

    # Parts

    def apply_action(self, actions: NDArray[np.float32], state: NpEnvState) -> NpEnvState:
        """Send the joints' servos to angles about home."""
        self.ctrl = HOME + np.float32(self._cfg.action_scale) * actions
        return state

    def reset(self, data: Simulation, rows: NDArray[np.int64]) -> tuple[None, dict[str, Any]]:
        """Start at home with the ball in the air above the bat, a little disturbed."""
        noise = self.streams.uniform("reset", rows, JOINTS + 3, -RESET_NOISE, RESET_NOISE)
        positions = np.tile(data.model.default_positions, (len(rows), 1))
        positions[:, :JOINTS] = HOME + noise[:, :JOINTS]
        positions[:, BALL] = [*BAT, self._cfg.start_height] + noise[:, JOINTS:]
        data.reset(rows, positions, np.zeros((len(rows), data.model.num_velocities), np.float32))
        none = np.zeros(len(rows), np.float32)
        return None, {"falling": none == 0, "bounces": none, "good_bounces": none}

    def observe(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return the arm (rad, rad/s), and the ball from its place on the bat (m, m/s)."""
        lying = np.array([*BAT, HIT_HEIGHT], np.float32)
        return {
            "joints": self.joints(),
            "joint_velocities": self.joint_velocities(),
            "ball": self.ball() - lying,
            "ball_velocity": self.ball_velocity(),
        }

    def update_state(self, state: NpEnvState) -> NpEnvState:
        """Count bounces before anything is earned."""
        falling = self.ball_velocity()[:, 2] < 0
        bounced = state.info["falling"] & ~falling
        good = bounced & (np.abs(self.apex() - np.float32(self._cfg.target_height)) <= GOOD)
        state.info["falling"] = falling
        state.info["bounces"] = state.info["bounces"] + bounced.astype(np.float32)
        state.info["good_bounces"] = state.info["good_bounces"] + good.astype(np.float32)
        return super().update_state(state)

    def rewards(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Pay for the flight that the ball is on."""
        target = self._cfg.target_height
        centered = tolerance(self.miss(), margin=0.1).astype(np.float32)
        near = tolerance(self.apex(), (target, target), margin=0.2).astype(np.float32)
        squares = np.square(self.joint_velocities())
        return {
            "height": near * centered,
            "centered": centered,
            "speed": weighted(squares, [1.0] * JOINTS),
        }

    def terminate(self, state: NpEnvState) -> NDArray[np.bool_]:
        """End when the ball is lost."""
        x, y, z = self.ball().T
        away = np.hypot(x - BAT[0], y - BAT[1]) > LOST
        lost: NDArray[np.bool_] = away | (z < LOWEST) | (z > HIGHEST)
        return lost

    def metrics(self, state: NpEnvState) -> dict[str, NDArray[np.float32]]:
        """Return the bounces of the episode so far, and where the ball will come down in m."""
        return {
            "bounces": state.info["bounces"],
            "good_bounces": state.info["good_bounces"],
            "miss": self.miss(),
        }

    def succeeded(self, state: NpEnvState) -> NDArray[np.bool_]:
        """Tell whether there were enough good bounces when the time is over."""
        enough: NDArray[np.bool_] = state.info["good_bounces"] >= GOOD_BOUNCES
        return state.truncated & enough
