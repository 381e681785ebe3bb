"""Laws of physics and conventions of the seam, tried on small models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from motrix_envs import registry
from motrix_envs.errors import ConfigError, ModelError, SimBackendError
from motrix_envs.math import quaternion
from motrix_envs.sim import (
    BodyAngularVelocity,
    BodyLinearVelocity,
    BodyPosition,
    BodyRotation,
    Contact,
    ContactForce,
    InContact,
    JointPosition,
    JointVelocity,
    Model,
    Positions,
    Sensor,
    Simulation,
    SitePosition,
    Velocities,
)
from motrix_envs.sim.terrain import Terrain
from motrix_envs.testing import probes

GRAVITY = 9.81
ROWS = np.array([1, 3])


class SimulationCase:
    """An engine under test.

    Attributes:
        engine: Its registered name.
        models: Models by name for the tests that any model must pass. The first body of each
            moves, and none falls apart under controls between -1 and 1.
        timesteps: Physics time steps in s by name of the model, where 2 ms is not right.
        isotropic_friction: Whether friction is as strong in every direction; an engine may trade
            this for speed if it says so.
    """

    engine: ClassVar[str] = ""
    models: ClassVar[Mapping[str, Model]] = {
        "hopper": Model(probes.HOPPER),
        "ball": Model(probes.BALL, contacts={"ball": Contact(0.8)}),
        "cart": Model(probes.CART),
    }
    timesteps: ClassVar[Mapping[str, float]] = {}
    isotropic_friction: ClassVar[bool] = True

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Let pytest run the tests that take a model once for each."""
        if "model" in metafunc.fixturenames:
            metafunc.parametrize("model", self.models.values(), ids=self.models)

    def build(self, model: Model, num_envs: int = 4, timestep: float | None = None) -> Simulation:
        """Build a simulation of the engine under test."""
        assert self.engine, f'write engine = "..." into {type(self).__name__}: its registered name'
        if timestep is None:
            named = (self.timesteps.get(name) for name, m in self.models.items() if m is model)
            timestep = next(named, None) or 0.002
        return registry.default.simulation_class(self.engine)(model, num_envs, timestep)


class PhysicsTests(SimulationCase):
    """What does not depend on the author's models."""

    # Frames and orders

    def test_kinematic_reads(self) -> None:
        """Poses and velocities of bodies agree with the coordinates, after a reset and a step."""
        sim = self.build(Model(probes.HOPPER))
        reads = sim.declare(
            q=Positions(),
            v=Velocities(),
            joints=JointPosition("knee", "hip"),
            speeds=JointVelocity("knee", "hip"),
            place=BodyPosition("thigh"),
            rotations=BodyRotation("trunk", "thigh"),
            velocity=BodyLinearVelocity("thigh"),
            spins=BodyAngularVelocity("trunk", "thigh"),
            sole=SitePosition("sole"),
        )
        rng = np.random.default_rng(3)
        q = np.tile(sim.model.default_positions, (4, 1))
        q[:, 3:7] = rng.normal(size=(4, 4))
        q[:, 7:] = rng.uniform(-0.05, 0.05, (4, 2))
        sim.reset(np.arange(4), q, rng.normal(size=(4, 8)).astype(np.float32))
        self._check_kinematics(reads)
        sim.step(no_ctrl(sim), 3)
        self._check_kinematics(reads)

    def _check_kinematics(self, reads: Any) -> None:
        q, v = reads.q.astype(np.float64), reads.v.astype(np.float64)
        rotation, hip, knee = q[:, 3:7], q[:, 7], q[:, 8]

        def world(local: Any) -> Any:
            return quaternion.rotate_vector(rotation, np.broadcast_to(local, (len(q), 3)))

        def close(found: Any, expected: Any, what: str) -> None:
            np.testing.assert_allclose(found, expected, atol=5e-6, err_msg=what)

        zero = 0 * hip
        close(reads.joints, np.stack([knee, hip], 1), "joints in the order of their names")
        close(reads.speeds, v[:, [7, 6]], "joint velocities in the order of their names")
        close(reads.place, q[:, :3] + world([0, 0, -0.05]), "body origins in the world frame")
        about = np.stack([zero, np.sin(hip / 2), zero, np.cos(hip / 2)], 1)
        for index, turned in enumerate((rotation, quaternion.multiply(rotation, about))):
            dot = np.abs((reads.rotations[:, index] * turned).sum(1))
            close(dot, 1, "rotations are x, y, z, w")
        foot = np.stack([-np.sin(hip), zero, -np.cos(hip)], 1) * (0.4 - knee)[:, None]
        close(
            reads.sole, q[:, :3] + world(foot - np.array([0, 0, 0.05])), "sites in the world frame"
        )
        spin = world(v[:, 3:6])
        close(reads.spins[:, 0], spin, "a free joint's angular velocity is in its own frame")
        close(
            reads.spins[:, 1], spin + world(np.stack([zero, v[:, 6], zero], 1)), "spins are world"
        )
        moving = v[:, :3] + np.cross(spin, world([0, 0, -0.05]))
        close(reads.velocity, moving, "velocities of body origins in the world frame")

    def test_shape_of_one_and_several(self) -> None:
        """One named thing has no axis of its own, several have."""
        sim = self.build(Model(probes.HOPPER))
        reads = sim.declare(
            one=BodyPosition("thigh"),
            two=BodyPosition("trunk", "shin"),
            turned=BodyRotation("trunk", "shin", "thigh"),
            force=ContactForce("shin"),
            touch=InContact((("floor", "foot"),)),
            angle=JointPosition("hip"),
        )
        shapes = {name: array.shape for name, array in vars(reads).items()}
        assert shapes == {
            "one": (4, 3),
            "two": (4, 2, 3),
            "turned": (4, 3, 4),
            "force": (4, 3),
            "touch": (4, 1),
            "angle": (4, 1),
        }

    def test_sensors_lag(self) -> None:
        """A sensor tells of the state before the last substep, and is zero after a reset."""
        sim = self.build(Model(probes.HOPPER))
        reads = sim.declare(gyro=Sensor("gyro"), v=Velocities())
        v = np.random.default_rng(1).normal(size=(4, 8)).astype(np.float32)
        sim.reset(np.arange(4), np.tile(sim.model.default_positions, (4, 1)), v)
        np.testing.assert_array_equal(reads.gyro, 0)
        sim.step(no_ctrl(sim), 1)
        np.testing.assert_allclose(reads.gyro, v[:, 3:6], atol=1e-5)

    def test_unknown_names(self) -> None:
        """A read of what a model does not have raises ModelError, naming it."""
        for read in (BodyPosition("nose"), Sensor("nose"), InContact((("floor", "nose"),))):
            try:
                self.build(Model(probes.HOPPER)).declare(read=read)
            except ModelError as error:
                assert "nose" in str(error)
            else:
                raise AssertionError(f"{read} was declared")

    def test_rotations_need_a_direction(self) -> None:
        """A rotation of length 0 is refused with ValueError."""
        sim = self.build(Model(probes.BALL), 1)
        try:
            sim.reset(np.array([0]), np.zeros((1, 7), np.float32), np.zeros((1, 6), np.float32))
        except ValueError:
            return
        raise AssertionError("a rotation of length 0 was taken")

    # Mechanics

    def test_free_fall(self) -> None:
        """A body falls by g, whatever the row."""
        sim = self.build(Model(probes.BALL), timestep=0.001)
        reads = sim.declare(v=Velocities())
        sim.step(no_ctrl(sim), 100)
        np.testing.assert_allclose(reads.v[:, 2], -0.1 * GRAVITY, rtol=1e-4)

    def test_inertia_follows_from_the_shape(self) -> None:
        """A level rod begins to fall as its shape says."""
        sim = self.build(Model(probes.ROD), timestep=0.001)
        reads = sim.declare(v=Velocities())
        sim.step(no_ctrl(sim), 1)
        radius, length = 0.03, 1.0
        caps = 4 / 3 * radius / (length + 4 / 3 * radius)
        tube = (1 - caps) * (length**2 / 12 + radius**2 / 4)
        ends = caps * (2 / 5 * radius**2 + length**2 / 4 + 3 / 8 * length * radius)
        about_end = tube + ends + 0.25
        np.testing.assert_allclose(reads.v[:, 0], 0.001 * GRAVITY * 0.5 / about_end, rtol=1e-3)

    def test_contact_forces(self) -> None:
        """A resting body is pushed up by its weight, in the world frame; one in the air is not."""
        sim = self.build(Model(probes.BALL))
        reads = sim.declare(force=ContactForce("ball"), touch=InContact((("floor", "ball"),)))
        place = np.tile(sim.model.default_positions, (4, 1))
        place[1, 2], place[0, 2] = 0.1, 50.0
        place[1, 3:7] = 0.5  # the body's own axes point elsewhere
        sim.reset(np.array([0, 1]), place[:2], np.zeros((2, 6), np.float32))
        for _ in range(20):
            sim.step(no_ctrl(sim), 10)
        np.testing.assert_array_equal(reads.touch[:2, 0], [0, 1])
        expected = np.array([[0, 0, 0], [0, 0, 2 * GRAVITY]])
        np.testing.assert_allclose(reads.force[:2], expected, atol=0.05)

    def test_friction(self) -> None:
        """The greater friction of two geoms counts; a sliding box stops where Coulomb says."""
        sim = self.build(Model(probes.BOX), 2, 0.002)
        reads = sim.declare(q=Positions())
        start = np.tile(sim.model.default_positions, (2, 1))
        v = np.zeros((2, 6), np.float32)
        v[0, 0], v[1, :2] = 2.0, 2.0 * np.sqrt(0.5)
        sim.reset(np.arange(2), start, v)
        for _ in range(60):
            sim.step(no_ctrl(sim), 10)
        expected = 2.0**2 / (2 * 0.5 * GRAVITY)
        found = np.linalg.norm(reads.q[:, :2], axis=1)
        rows = slice(None) if self.isotropic_friction else slice(1)
        np.testing.assert_allclose(found[rows], expected, rtol=0.08)

    def test_terrain(self) -> None:
        """Bodies stand on the surface that the array of heights describes, the right way round."""
        rng = np.random.default_rng(2)
        ground = Terrain(rng.uniform(0.3, 0.4, (9, 13)), (2.4, 1.6))
        points = rng.uniform(-1, 1, (12, 2)) * [2.2, 1.4]
        sim = self.build(Model(probes.on_terrain(ground, points, radius=0.01)), 1)
        reads = sim.declare(q=Positions())
        for _ in range(300):
            sim.step(no_ctrl(sim), 5)
        found = reads.q[0] - 0.01
        np.testing.assert_allclose(found, ground.height(*points.T), atol=5e-3)

    def test_restitution(self) -> None:
        """A ball returns its share of the normal velocity; of two shares the mean counts."""
        cases: list[tuple[dict[str, float], float]] = [
            ({"ball": 0.0}, 0.0),
            ({"floor": 0.5}, 0.5),
            ({"ball": 0.9, "floor": 0.9}, 0.9),
            ({"ball": 0.9, "floor": 0.3}, 0.6),
        ]
        for given, expected in cases:
            contacts = {name: Contact(share) for name, share in given.items()}
            found = self._bounce(contacts, 0.0)[2]
            np.testing.assert_allclose(found, expected, atol=0.03, err_msg=str(given))

    def test_bounce_with_friction(self) -> None:
        """What slides as it bounces leaves rolling: friction does not turn the spin around."""
        vx, spin, _ = self._bounce({"ball": Contact(0.8)}, 1.0)
        np.testing.assert_allclose([vx, spin * 0.1], 5 / 7, atol=0.04)

    def _bounce(self, contacts: dict[str, Contact], slide: float) -> tuple[float, float, float]:
        """Return sliding velocity, spin and share of velocity returned by the first bounce."""
        sim = self.build(Model(probes.BALL, contacts=contacts), 1, 0.004)
        reads = sim.declare(v=Velocities())
        start = np.array([[0, 0, 0.4, 0, 0, 0, 1]], np.float32)
        sim.reset(np.array([0]), start, np.array([[slide, 0, -4, 0, 0, 0]], np.float32))
        speeds = [-4.0]
        for _ in range(25):
            sim.step(no_ctrl(sim), 1)
            speeds.append(float(reads.v[0, 2]))
        impact = int(np.argmin(speeds))
        back = max(speeds[impact:])
        return float(reads.v[0, 0]), float(reads.v[0, 4]), -back / speeds[impact]

    # Overrides

    def test_a_push_lasts_one_control_step(self) -> None:
        """Its impulse is force times the control step, whatever the substeps, and then it ends."""
        for substeps in (1, 5):
            sim = self.build(Model(probes.BALL))
            if "push" not in sim.overrides:
                return
            reads = sim.declare(v=Velocities())
            force = np.array([[10, 0, 0], [0, -4, 0]])
            sim.write(ROWS, push={"ball": force})
            sim.step(no_ctrl(sim), substeps)
            expected = np.zeros((4, 2))
            expected[ROWS] = substeps * 0.002 / 2 * force[:, :2]
            for _ in range(3):
                np.testing.assert_allclose(reads.v[:, :2], expected, atol=1e-6)
                np.testing.assert_allclose(reads.v[:, 3:], 0, atol=1e-6)
                sim.step(no_ctrl(sim), substeps)
            sim.write(ROWS, push={"ball": force})
            sim.reset(ROWS, *_rest(sim, 2))
            sim.step(no_ctrl(sim), substeps)
            np.testing.assert_allclose(reads.v[ROWS, :2], 0, atol=1e-6, err_msg="reset forgets it")

    def test_mass_and_gravity(self) -> None:
        """They act as their laws say, and mass does not scale the inertia along."""
        sim = self.build(Model(probes.CART), timestep=0.001)
        if "mass" in sim.overrides:
            reads = sim.declare(v=Velocities())
            sim.write(ROWS, mass={"cart": np.array([5.0, 7.0])})
            sim.step(np.ones((4, 1), np.float32), 1)
            carts = np.array([2, 5, 2, 7])
            effective = carts + 1 - 0.5**2 / (0.01 + 0.5**2)
            np.testing.assert_allclose(reads.v[:, 0], 0.001 * 10 / effective, rtol=5e-4)
        sim = self.build(Model(probes.BALL), timestep=0.001)
        if "gravity" in sim.overrides:
            reads = sim.declare(v=Velocities())
            sim.write(ROWS, gravity=np.array([[1, 2, 3], [4, 5, 6]]))
            sim.step(no_ctrl(sim), 10)
            gravity = np.tile([0.0, 0.0, -GRAVITY], (4, 1))
            gravity[ROWS] = [[1, 2, 3], [4, 5, 6]]
            expected = 0.01 * gravity
            np.testing.assert_allclose(reads.v[:, :3], expected, rtol=1e-4, atol=1e-7)

    def test_gains(self) -> None:
        """Gains of a servo act as torque = kp·(target - angle) - kd·speed."""
        sim = self.build(Model(probes.HOPPER), timestep=0.001)
        if not {"kp", "kd"} <= sim.overrides:
            return
        reads = sim.declare(v=JointVelocity("hip"))
        ctrl = no_ctrl(sim)
        ctrl[:, 0] = 0.02
        sim.write(ROWS, kp={"hip": np.array([80.0, 20.0])})
        sim.step(ctrl, 1)
        np.testing.assert_allclose(reads.v[ROWS, 0] / reads.v[0, 0], [2, 0.5], rtol=0.01)

    def test_other_overrides_have_an_effect(self) -> None:
        """A shifted centre of mass, friction and armature change a landing, each in its rows."""
        cases: dict[str, dict[str, NDArray[Any]]] = {
            "center_of_mass": {"trunk": np.tile([0.1, 0.0, 0.05], (2, 1))},
            "friction": {"foot": np.tile([3.0, 0.1, 0.1], (2, 1))},
            "armature": {"hip": np.full(2, 0.1)},
            "kd": {"knee": np.full(2, 60.0)},
        }
        plain = self._landing({})
        for kind, values in cases.items():
            try:
                found = self._landing({kind: values})
            except SimBackendError:
                continue
            np.testing.assert_array_equal(found[[0, 2]], plain[[0, 2]])
            changed = np.abs(found[ROWS] - plain[ROWS]).max(axis=1)
            assert (changed > 1e-4).all(), f"{kind} has no effect"

    def _landing(self, overrides: dict[str, dict[str, NDArray[Any]]]) -> NDArray[np.float32]:
        """Return the velocities as a leg lands sliding, (4, 8)."""
        sim = self.build(Model(probes.HOPPER))
        reads = sim.declare(v=Velocities())
        place, v = _rest(sim, 4)
        v[:, 0], v[:, 6] = 1.0, 0.5
        sim.reset(np.arange(4), place, v)
        sim.write(ROWS, **overrides)
        for _ in range(40):
            sim.step(no_ctrl(sim), 5)
        return reads.v.copy()

    def test_overrides_last_over_resets(self) -> None:
        """A reset keeps them; what is impossible is refused."""
        sim = self.build(Model(probes.BALL))
        if "gravity" not in sim.overrides:
            return
        reads = sim.declare(v=Velocities())
        sim.write(ROWS, gravity=np.zeros((2, 3)))
        sim.reset(np.arange(4), *_rest(sim, 4))
        sim.step(no_ctrl(sim), 10)
        np.testing.assert_allclose(reads.v[ROWS, 2], 0, atol=1e-7)
        for bad in (np.full((2, 3), np.nan), np.zeros((3, 3))):
            try:
                sim.write(ROWS, gravity=bad)
            except ConfigError:
                continue
            raise AssertionError(f"gravity took {bad} for two rows")

    def test_mocap(self) -> None:
        """A mocap body stands where it was put, after the next step and over a reset."""
        sim = self.build(Model(probes.MOCAP))
        if "mocap" not in sim.overrides:
            return
        reads = sim.declare(target=BodyPosition("target"), turned=BodyRotation("target"))
        np.testing.assert_array_equal(reads.target, [[1, 2, 3]] * 4)
        pose = np.array([[5, 6, 7, 0.6, 0, 0, 0.8]] * 2)
        sim.write(ROWS, mocap={"target": pose})
        sim.step(no_ctrl(sim), 1)
        sim.reset(ROWS, *_rest(sim, 2))
        np.testing.assert_allclose(reads.target, [[1, 2, 3], [5, 6, 7]] * 2)
        np.testing.assert_allclose(np.abs(reads.turned[ROWS] @ pose[0, 3:]), 1, atol=1e-6)


def no_ctrl(sim: Simulation) -> NDArray[np.float32]:
    """Return controls of zero."""
    return np.zeros((sim.num_envs, sim.model.num_actuators), np.float32)


def _rest(sim: Simulation, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    pose = np.tile(sim.model.default_positions, (count, 1))
    return pose, np.zeros((count, sim.model.num_velocities), np.float32)
