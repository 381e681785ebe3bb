"""The simulation seam on MotrixSim: reads, overrides, resets, snapshots."""

import numpy as np
import pytest
from motrix_envs.errors import ConfigError, ModelError, MotrixError, SimBackendError
from motrix_envs.math import quaternion
from motrix_envs.sim import (
    BodyAngularVelocity,
    BodyLinearVelocity,
    BodyPosition,
    BodyRotation,
    Contact,
    ContactForce,
    GeomPosition,
    InContact,
    JointPosition,
    JointVelocity,
    Model,
    Positions,
    Sensor,
    SitePosition,
    SnapshotError,
    Velocities,
)
from motrix_envs.sim.motrixsim import MotrixSimulation

# A floating trunk with a leg of a hinge and a slide, both driven by position servos.
HOPPER = """
<mujoco>
  <compiler angle="radian"/>
  <worldbody>
    <geom name="floor" type="plane" size="10 10 0.1"/>
    <body name="trunk" pos="0 0 0.6">
      <freejoint/>
      <inertial pos="0.02 0 0.01" mass="3" diaginertia="0.03 0.03 0.02"/>
      <geom name="trunk" type="box" size="0.1 0.08 0.05"/>
      <site name="imu" pos="0.1 0 0"/>
      <body name="thigh" pos="0 0 -0.05">
        <joint name="hip" type="hinge" axis="0 1 0" range="-1.2 1.2" limited="true"/>
        <inertial pos="0 0 -0.1" mass="0.6" diaginertia="0.003 0.003 0.001"/>
        <geom name="thigh" type="sphere" size="0.02" pos="0 0 -0.1" contype="0" conaffinity="0"/>
        <body name="shin" pos="0 0 -0.2">
          <joint name="knee" type="slide" axis="0 0 1" range="-0.1 0.1" limited="true"/>
          <inertial pos="0 0 -0.1" mass="0.3" diaginertia="0.001 0.001 0.0005"/>
          <geom name="foot" type="sphere" size="0.04" pos="0 0 -0.2"/>
          <site name="sole" pos="0 0 -0.2"/>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator>
    <position name="hip" joint="hip" kp="40" kv="1" forcerange="-20 20"/>
    <position name="knee" joint="knee" kp="2000" kv="30" ctrlrange="-0.1 0.1"/>
  </actuator>
  <sensor>
    <gyro name="gyro" site="imu"/>
    <accelerometer name="accelerometer" site="imu"/>
    <framepos name="sole" objtype="site" objname="sole"/>
  </sensor>
</mujoco>
"""

BALL = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="10 10 0.1"/>
    <body name="ball" pos="0 0 1">
      <freejoint/>
      <inertial pos="0 0 0" mass="2" diaginertia="0.008 0.008 0.008"/>
      <geom name="ball" type="sphere" size="0.1"/>
    </body>
  </worldbody>
</mujoco>
"""

CART = """
<mujoco>
  <worldbody>
    <body name="cart">
      <joint name="slider" type="slide" axis="1 0 0"/>
      <inertial pos="0 0 0" mass="2" diaginertia="0.1 0.1 0.1"/>
      <geom name="cart" type="box" size="0.1 0.1 0.1"/>
      <body name="pole">
        <joint name="hinge" type="hinge" axis="0 1 0" damping="0.1"/>
        <inertial pos="0 0 -0.5" mass="1" diaginertia="0.01 0.01 0.01"/>
        <geom name="pole" type="sphere" size="0.05" pos="0 0 -0.5"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="push" joint="slider" gear="10"/></actuator>
</mujoco>
"""

MOCAP = """
<mujoco>
  <worldbody>
    <body name="target" mocap="true" pos="1 2 3">
      <geom name="target" type="sphere" size="0.1"/>
    </body>
    <body name="ball" pos="0 0 1">
      <freejoint/>
      <inertial pos="0 0 0" mass="1" diaginertia="0.004 0.004 0.004"/>
      <geom name="ball" type="sphere" size="0.1"/>
    </body>
    <geom name="wall" type="box" pos="5 0 0" size="0.1 1 1"/>
    <body name="post"><geom name="post" type="box" pos="6 0 0" size="0.1 1 1"/></body>
  </worldbody>
</mujoco>
"""

PAIRS = (("floor", "foot"), ("floor", "trunk"))
ONE_NAME = {
    "joint": (JointPosition("knee"), (1,)),
    "joint_velocity": (JointVelocity("hip"), (1,)),
    "position": (BodyPosition("thigh"), (3,)),
    "rotation": (BodyRotation("thigh"), (4,)),
    "velocity": (BodyLinearVelocity("thigh"), (3,)),
    "spin": (BodyAngularVelocity("thigh"), (3,)),
    "geom": (GeomPosition("foot"), (3,)),
    "site": (SitePosition("sole"), (3,)),
    "sensor": (Sensor("gyro"), (3,)),
    "force": (ContactForce("shin"), (3,)),
    "contact": (InContact(PAIRS[:1]), (1,)),
}
TWO_NAMES = {
    "q": (Positions(), (9,)),
    "v": (Velocities(), (8,)),
    "joints": (JointPosition("knee", "hip"), (2,)),
    "joint_velocities": (JointVelocity("knee", "hip"), (2,)),
    "positions": (BodyPosition("trunk", "thigh"), (2, 3)),
    "rotations": (BodyRotation("trunk", "thigh"), (2, 4)),
    "velocities": (BodyLinearVelocity("trunk", "thigh"), (2, 3)),
    "spins": (BodyAngularVelocity("trunk", "thigh"), (2, 3)),
    "geoms": (GeomPosition("trunk", "foot"), (2, 3)),
    "sites": (SitePosition("imu", "sole"), (2, 3)),
    "sensors": (Sensor("gyro", "accelerometer", "sole"), (9,)),
    "forces": (ContactForce("shin", "trunk"), (2, 3)),
    "contacts": (InContact(PAIRS), (2,)),
}
EVERYTHING = ONE_NAME | TWO_NAMES
LAGGING = ("sensor", "sensors", "force", "forces", "contact", "contacts")

every_size = pytest.mark.parametrize("num_envs", [1, 4])


def simulate(xml, num_envs=4, timestep=0.002, **options):
    return MotrixSimulation(Model(xml, **options), num_envs, timestep)


def random_state(sim, rng, rows=None):
    """States near the default pose, with rotations that are not normalised."""
    count = sim.num_envs if rows is None else len(rows)
    info = sim.model
    q = np.tile(info.default_positions, (count, 1))
    q += rng.uniform(-0.05, 0.05, q.shape).astype(np.float32)
    for span in info.quaternions:
        q[:, span] = 3 * rng.normal(size=(count, 4))
    v = rng.normal(size=(count, info.num_velocities)).astype(np.float32)
    return q, v


def reset_all(sim, rng):
    q, v = random_state(sim, rng)
    sim.reset(np.arange(sim.num_envs), q, v)
    return q, v


def controls(sim, rng, steps):
    return rng.uniform(-1, 1, (steps, sim.num_envs, sim.model.num_actuators)).astype(np.float32)


def no_ctrl(sim):
    return np.zeros((sim.num_envs, sim.model.num_actuators), np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


# Model


def test_description():
    info = simulate(HOPPER).model
    assert info.joint_names == ("hip", "knee")
    assert info.actuator_names == ("hip", "knee")
    assert info.num_actuators == 2
    assert info.body_names == ("trunk", "thigh", "shin")
    assert info.geom_names == ("floor", "trunk", "thigh", "foot")
    assert info.site_names == ("imu", "sole")
    assert (info.num_positions, info.num_velocities) == (9, 8)
    assert info.joint_positions == {"hip": slice(7, 8), "knee": slice(8, 9)}
    assert info.joint_velocities == {"hip": slice(6, 7), "knee": slice(7, 8)}
    assert info.quaternions == (slice(3, 7),)
    np.testing.assert_allclose(info.joint_range, [[-1.2, 1.2], [-0.1, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(info.ctrl_range, [[-np.inf, np.inf], [-0.1, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(info.default_positions, [0, 0, 0.6, 0, 0, 0, 1, 0, 0])


def test_rotations_of_several_roots_and_ball_joints():
    body = '<geom type="sphere" size="0.1"/>'
    info = simulate(
        f"""<mujoco><worldbody>
          <body pos="0 0 9"><freejoint/>{body}</body>
          <body pos="0 0 6"><joint name="a" type="ball"/>{body}
            <body><joint type="slide"/>{body}</body></body>
          <body pos="0 0 3"><freejoint/>{body}</body>
        </worldbody></mujoco>"""
    ).model
    assert sorted(info.quaternions, key=lambda span: span.start) == [
        slice(3, 7),
        slice(7, 11),
        slice(15, 19),
    ]
    assert info.joint_names == ("a", "")
    assert info.joint_positions == {"a": slice(7, 11)}


def test_assets_and_folder_together(tmp_path):
    (tmp_path / "leg.xml").write_text(
        '<mujoco><worldbody><body name="leg"><freejoint/><geom type="sphere" size="0.1"/></body>'
        "</worldbody></mujoco>"
    )
    other = (tmp_path / "leg.xml").read_bytes().replace(b"leg", b"arm")
    xml = '<mujoco><include file="leg.xml"/><include file="made/arm.xml"/></mujoco>'
    sim = simulate(xml, folder=str(tmp_path), assets={"made/arm.xml": other})
    assert sim.model.body_names == ("leg", "arm")
    assert [path.name for path in tmp_path.iterdir()] == ["leg.xml"]


def test_from_file(tmp_path):
    (tmp_path / "ball.xml").write_text(BALL)
    assert Model.from_file(tmp_path / "ball.xml").folder == str(tmp_path.resolve())
    with pytest.raises(ModelError, match=r"nothing\.xml"):
        Model.from_file(tmp_path / "nothing.xml")


@pytest.mark.parametrize("restitution", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("geoms", [("ball",), ("floor",), ("ball", "floor")])
def test_restitution(restitution, geoms):
    sim = simulate(BALL, 1, 0.004, contacts={geom: Contact(restitution) for geom in geoms})
    reads = sim.declare(v=Velocities())
    speeds = []
    for _ in range(170):
        sim.step(no_ctrl(sim), 1)
        speeds.append(float(reads.v[0, 2]))
    impact = int(np.argmin(speeds))
    assert max(speeds[impact:]) == pytest.approx(-restitution * speeds[impact], abs=0.04)


def test_contacts_are_checked():
    with pytest.raises(ModelError, match=r"'bal'.*Did you mean 'ball'"):
        simulate(BALL, contacts={"bal": Contact(0.5)})
    with pytest.raises(ModelError, match=r"1\.5"):
        Contact(1.5)


# Reads


@every_size
def test_reads_have_the_documented_shape_and_are_read_only_views(num_envs):
    sim = simulate(HOPPER, num_envs)
    reads = sim.declare(**{name: read for name, (read, _) in EVERYTHING.items()})
    before = {name: getattr(reads, name).copy() for name in EVERYTHING}
    for _ in range(100):
        sim.step(no_ctrl(sim), 2)
    for name, (_, shape) in EVERYTHING.items():
        array = getattr(reads, name)
        assert array.shape == (num_envs, *shape)
        assert array.dtype == np.float32
        assert not array.flags.writeable
        # The same array has followed the engine; it fell and has not landed.
        assert name.startswith(("contact", "force")) or not np.array_equal(array, before[name])


def test_reads_share_the_memory_that_the_engine_fills():
    sim = simulate(HOPPER)
    reads = sim.declare(**{name: read for name, (read, _) in EVERYTHING.items()})
    program = {"q": sim._q, "v": sim._v} | sim._soon | sim._late
    for name in EVERYTHING:
        assert np.shares_memory(getattr(reads, name), program[name])
    assert np.shares_memory(sim._q, sim._current["_q"])
    assert np.shares_memory(sim._state, sim._current["_v"])
    np.testing.assert_array_equal(sim._state, np.concatenate([sim._q, sim._v], axis=1))


def test_unknown_reads_and_names():
    reads = simulate(HOPPER).declare(q=Positions())
    with pytest.raises(AttributeError, match="no read 'v' was declared; there are: q"):
        _ = reads.v
    for read in (BodyPosition("nose"), Sensor("nose"), JointPosition("nose"), SitePosition("nose")):
        with pytest.raises(ModelError, match="nose"):
            simulate(HOPPER).declare(read=read)
    sim = simulate(HOPPER)
    sim.declare()
    with pytest.raises(MotrixError, match="once"):
        sim.declare(q=Positions())


@every_size
@pytest.mark.parametrize("when", ["reset", "step"])
def test_kinematic_reads_are_current(num_envs, when, rng):
    """They agree with the generalised coordinates of the same instant."""
    sim = simulate(HOPPER, num_envs)
    reads = sim.declare(**{name: read for name, (read, _) in EVERYTHING.items()})
    reset_all(sim, rng)
    if when == "step":
        for ctrl in controls(sim, rng, 5):
            sim.step(0.05 * ctrl, 3)
    q, v = reads.q.astype(np.float64), reads.v.astype(np.float64)
    place, rotation, hip, knee = q[:, :3], q[:, 3:7], q[:, 7], q[:, 8]

    def world(local):
        return quaternion.rotate_vector(rotation, np.broadcast_to(local, (num_envs, 3)))

    def close(found, expected):
        np.testing.assert_allclose(found, expected, atol=3e-6)

    close(np.linalg.norm(rotation, axis=1), 1)
    close(reads.joints, np.stack([knee, hip], axis=1))
    close(reads.joint_velocities, v[:, [7, 6]])
    close(reads.positions[:, 0], place)
    close(reads.position, place + world([0, 0, -0.05]))
    close(np.abs((reads.rotations[:, 0] * rotation).sum(1)), 1)
    half = np.stack([0 * hip, np.sin(hip / 2), 0 * hip, np.cos(hip / 2)], axis=1)
    close(np.abs((reads.rotation * quaternion.multiply(rotation, half)).sum(1)), 1)
    foot = np.stack([-np.sin(hip), 0 * hip, -np.cos(hip)], axis=1) * (0.4 - knee)[:, None]
    close(reads.geom, place + world(foot + np.array([0, 0, -0.05])))
    close(reads.geoms[:, 1], reads.geom)
    close(reads.site, reads.geom)
    close(reads.sites[:, 0], place + world([0.1, 0, 0]))
    spin = world(v[:, 3:6])
    close(reads.spins[:, 0], spin)
    close(reads.spin, spin + world(np.stack([0 * hip, v[:, 6], 0 * hip], axis=1)))
    close(reads.velocities[:, 0], v[:, :3])
    close(reads.velocity, v[:, :3] + np.cross(spin, world([0, 0, -0.05])))


def test_lagging_reads_are_zero_after_reset_and_lag_a_substep_after_a_step(rng):
    sim = simulate(HOPPER)
    reads = sim.declare(**{name: read for name, (read, _) in EVERYTHING.items()})
    reset_all(sim, rng)
    for _ in range(200):
        sim.step(no_ctrl(sim), 2)
    kept = {name: getattr(reads, name)[2:].copy() for name in LAGGING}
    rows = np.array([0, 1])
    sim.reset(rows, *random_state(sim, rng, rows))
    for name in LAGGING:
        np.testing.assert_array_equal(getattr(reads, name)[:2], 0)
        np.testing.assert_array_equal(getattr(reads, name)[2:], kept[name])
    before = reads.v[:, 3:6].copy()
    sim.step(no_ctrl(sim), 1)
    np.testing.assert_allclose(reads.sensor, before, atol=1e-5)


def test_a_read_does_not_depend_on_what_else_is_declared(rng):
    alone, among = simulate(HOPPER), simulate(HOPPER)
    few = alone.declare(sensors=TWO_NAMES["sensors"][0])
    many = among.declare(**{name: read for name, (read, _) in EVERYTHING.items()})
    for sim in (alone, among):
        reset_all(sim, np.random.default_rng(3))
    for ctrl in controls(alone, rng, 10):
        alone.step(ctrl, 2)
        among.step(ctrl, 2)
        np.testing.assert_array_equal(few.sensors, many.sensors)


def test_contact_reads():
    sim = simulate(BALL, 2)
    reads = sim.declare(force=ContactForce("ball"), contact=InContact((("floor", "ball"),)))
    resting = np.tile(sim.model.default_positions, (1, 1))
    resting[:, 2] = 0.1
    sim.reset(np.array([1]), resting, np.zeros((1, 6), np.float32))
    for _ in range(20):  # the other ball is still falling
        sim.step(no_ctrl(sim), 10)
    np.testing.assert_array_equal(reads.contact[:, 0], [0, 1])
    np.testing.assert_allclose(reads.force, [[0, 0, 0], [0, 0, 2 * 9.81]], atol=0.05)


# State


@every_size
@pytest.mark.parametrize("xml", [HOPPER, BALL, CART])
def test_reset_puts_rows_into_the_state(xml, num_envs, rng):
    sim = simulate(xml, num_envs)
    reads = sim.declare(q=Positions(), v=Velocities())
    q, v = reset_all(sim, rng)
    for span in sim.model.quaternions:
        q[:, span] /= np.linalg.norm(q[:, span], axis=1, keepdims=True)
    np.testing.assert_array_equal(reads.v, v)
    np.testing.assert_allclose(reads.q, q, rtol=1e-6)
    # What is read is what the engine holds, to the bit.
    np.testing.assert_array_equal(reads.q, sim._data.dof_pos)
    np.testing.assert_array_equal(reads.v, sim._data.dof_vel)


def test_reset_refuses_a_rotation_without_direction():
    sim = simulate(BALL, 1)
    for bad in (0.0, np.nan):
        q = np.full((1, 7), bad, np.float32)
        with pytest.raises(ValueError, match="rotation"):
            sim.reset(np.array([0]), q, np.zeros((1, 6), np.float32))


def test_reset_of_no_row_and_controls_of_another_shape():
    sim = simulate(HOPPER)
    sim.reset(np.array([], np.int64), np.zeros((0, 9)), np.zeros((0, 8)))
    for shape in [(2,), (4, 3), (3, 2)]:
        with pytest.raises(ValueError, match=r"expected \(4, 2\)"):
            sim.step(np.zeros(shape, np.float32), 1)


def test_a_free_body_falls(rng):
    sim = simulate(BALL, 3, 0.001)
    reads = sim.declare(q=Positions(), v=Velocities())
    sim.step(np.zeros((3, 0), np.float32), 100)
    np.testing.assert_allclose(reads.v[:, 2], -0.981, rtol=1e-4)
    np.testing.assert_allclose(1 - reads.q[:, 2], 0.5 * 9.81 * 0.1**2, rtol=0.02)


def test_a_model_that_cannot_move():
    sim = simulate('<mujoco><worldbody><geom type="sphere" size="1"/></worldbody></mujoco>', 2)
    assert not sim.step(np.zeros((2, 0), np.float32), 3).any()
    sim.restore(sim.snapshot())


def test_rows_do_not_depend_on_the_batch(rng):
    large, small = simulate(HOPPER, 16), simulate(HOPPER, 1)
    wide, narrow = large.declare(q=Positions()), small.declare(q=Positions())
    q, v = reset_all(large, rng)
    small.reset(np.array([0]), q[11:12], v[11:12])
    for ctrl in controls(large, rng, 100):
        large.step(ctrl, 4)
        small.step(ctrl[11:12], 4)
    np.testing.assert_array_equal(wide.q[11:12], narrow.q)


def test_closed():
    sim = simulate(BALL)
    sim.close()
    sim.close()
    with pytest.raises(MotrixError, match="closed"):
        sim.step(np.zeros((4, 0), np.float32), 1)


# Overrides

ROWS = np.array([1, 3])
OTHERS = np.array([0, 2])


def effect(xml, **overrides):
    """Velocities after a fall, a landing and a drive, (num_envs, num_velocities)."""
    sim = simulate(xml, 4)
    reads = sim.declare(v=Velocities())
    reset_all(sim, np.random.default_rng(2))
    for key, value in list(overrides.items()):
        kind, _, name = key.partition(".")
        values = np.tile(np.asarray(value, np.float32), (2,) + (1,) * np.ndim(value))
        sim.write(ROWS, **{kind: {name: values} if name else values})
    for ctrl in controls(sim, np.random.default_rng(5), 60):
        sim.step(ctrl, 5)
    return reads.v.copy()


@pytest.mark.parametrize(
    "override",
    [
        {"mass.trunk": 9.0},
        {"center_of_mass.trunk": [0.1, 0.0, 0.05]},
        {"friction.foot": [3.0, 0.1, 0.1]},
        {"kp.hip": 80.0},
        {"kd.knee": 60.0},
        {"armature.hip": 0.1},
        {"gravity": [0.5, 0.0, -1.6]},
        {"push.trunk": [30.0, 0.0, 0.0]},
    ],
    ids=lambda override: next(iter(override)),
)
def test_overrides_act_on_their_rows_only(override):
    plain, changed = effect(HOPPER), effect(HOPPER, **override)
    np.testing.assert_array_equal(changed[OTHERS], plain[OTHERS])
    assert (np.abs(changed[ROWS] - plain[ROWS]).max(axis=1) > 1e-3).all()


def test_override_mass_and_gravity_by_their_laws():
    sim = simulate(CART, 4, 0.001)
    reads = sim.declare(v=Velocities())
    sim.write(ROWS, mass={"cart": np.array([5.0, 7.0])})
    sim.step(np.ones((4, 1), np.float32), 1)
    # The pole hangs free below: at first the cart feels none of it but its hinge.
    cart, pole, inertia = np.array([2, 5, 2, 7]), 1.0, 0.01
    effective = cart + pole - (pole * 0.5) ** 2 / (inertia + pole * 0.5**2)
    np.testing.assert_allclose(reads.v[:, 0], 0.001 * 10 / effective, rtol=5e-4)

    sim = simulate(BALL, 4, 0.001)
    reads = sim.declare(v=Velocities())
    sim.write(ROWS, gravity=np.array([[1, 2, 3], [4, 5, 6]]))
    sim.step(no_ctrl(sim), 10)
    expected = 0.01 * np.array([[0, 0, -9.81], [1, 2, 3], [0, 0, -9.81], [4, 5, 6]])
    np.testing.assert_allclose(reads.v[:, :3], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("substeps", [1, 5])
def test_a_push_gives_the_impulse_of_one_control_step(substeps):
    sim = simulate(BALL, 4, 0.002)
    reads = sim.declare(v=Velocities())
    sim.write(ROWS, push={"ball": np.array([[10, 0, 0], [0, -4, 0]])})
    sim.step(no_ctrl(sim), substeps)
    expected = np.zeros((4, 2))
    expected[ROWS] = substeps * 0.002 / 2 * np.array([[10, 0], [0, -4]])
    for _ in range(3):  # and no more afterwards
        np.testing.assert_allclose(reads.v[:, :2], expected, atol=1e-6)
        np.testing.assert_allclose(reads.v[:, 3:], 0, atol=1e-6)
        sim.step(no_ctrl(sim), substeps)


def test_a_reset_forgets_the_push():
    sim = simulate(BALL, 4)
    reads = sim.declare(v=Velocities())
    sim.write(ROWS, push={"ball": np.ones((2, 3))})
    sim.reset(ROWS[:1], sim.model.default_positions[None], np.zeros((1, 6), np.float32))
    sim.step(no_ctrl(sim), 1)
    np.testing.assert_array_equal(reads.v[:, 0] != 0, [False, False, False, True])


def test_overrides_last_over_resets():
    sim = simulate(HOPPER, 4)
    sim.write(ROWS, mass={"trunk": np.array([4, 5])}, kp={"hip": np.array([10, 20])})
    reset_all(sim, np.random.default_rng(0))
    found = sim.snapshot()
    np.testing.assert_array_equal(found["override.mass.trunk"], [np.nan, 4, np.nan, 5])
    np.testing.assert_array_equal(found["override.kp.hip"], [np.nan, 10, np.nan, 20])
    np.testing.assert_array_equal(
        sim._scene.get_link("trunk").get_mass_override(sim._data), [3, 4, 3, 5]
    )


def test_mocap():
    sim = simulate(MOCAP, 4)
    reads = sim.declare(target=BodyPosition("target"), geom=GeomPosition("target"))
    np.testing.assert_array_equal(reads.target, [[1, 2, 3]] * 4)
    saved = sim.snapshot()
    sim.write(ROWS, mocap={"target": np.array([[5, 6, 7, 0, 0, 0, 1]] * 2)})
    sim.step(no_ctrl(sim), 1)
    expected = np.array([[1, 2, 3], [5, 6, 7]] * 2)
    np.testing.assert_array_equal(reads.target, expected)
    np.testing.assert_array_equal(reads.geom, expected)
    sim.restore(saved)
    np.testing.assert_array_equal(reads.target, [[1, 2, 3]] * 4)
    with pytest.raises(ConfigError, match="mocap"):
        sim.write(ROWS, mocap={"target": np.ones((2, 7))})
    with pytest.raises(ModelError, match=r"'ball'.*There are: target"):
        sim.write(ROWS, mocap={"ball": np.array([[5, 6, 7, 0, 0, 0, 1]] * 2)})


def test_impossible_overrides_say_so():
    sim = simulate(HOPPER)
    two = np.ones(2)
    with pytest.raises(SimBackendError, match="Did you mean 'mass'"):
        sim.write(ROWS, masss={"trunk": two})
    with pytest.raises(ModelError, match="Did you mean 'trunk'"):
        sim.write(ROWS, mass={"trunc": two})
    with pytest.raises(ModelError, match="trunk"):
        sim.write(ROWS, push={"trunc": np.ones((2, 3))})
    with pytest.raises(ModelError, match="'push' has no kp"):
        simulate(CART).write(ROWS, kp={"push": two})
    with pytest.raises(ModelError, match=r"'post'.*fixed"):
        simulate(MOCAP).write(ROWS, mass={"post": 3 * two})
    for kind, name in [("mass", "trunk"), ("kp", "hip"), ("friction", "foot"), ("push", "trunk")]:
        for bad in (np.nan, -1.0) if kind != "push" else (np.nan,):
            values = np.full((2, 3) if kind in ("friction", "push") else 2, bad)
            with pytest.raises(ConfigError, match=name):
                sim.write(ROWS, **{kind: {name: values}})


# Snapshots


def pushed_and_changed(sim):
    sim.write(
        ROWS,
        mass={"trunk": np.array([4, 5])},
        push={"trunk": np.array([[5, 0, 0], [0, 5, 0]])},
        gravity=np.array([[0, 0, -5], [0, 0, -6]]),
    )


@pytest.mark.parametrize("xml", [CART, BALL, HOPPER], ids=["cart", "ball", "hopper"])
def test_snapshots_are_exact(xml, rng):
    sim = simulate(xml, 8, 0.005)
    reads = {"q": Positions(), "v": Velocities()}
    if xml is HOPPER:
        reads |= {name: read for name, (read, _) in EVERYTHING.items()}
    views = sim.declare(**reads)
    reset_all(sim, rng)
    if xml is HOPPER:
        pushed_and_changed(sim)
    actions = controls(sim, rng, 400)
    for ctrl in actions[:200]:
        sim.step(ctrl, 2)
    if xml is HOPPER:
        sim.write(ROWS, push={"trunk": np.full((2, 3), 7.0)})
    saved = sim.snapshot()
    now = {name: getattr(views, name).copy() for name in reads}

    def run():
        trace = []
        for ctrl in actions[200:]:
            assert not sim.step(ctrl, 2).any()
            trace.append({name: getattr(views, name).copy() for name in reads})
        return trace

    first = run()
    sim.restore(saved)
    for name in reads:
        np.testing.assert_array_equal(getattr(views, name), now[name])
    second = run()
    for one, two in zip(first, second, strict=True):
        for name in reads:
            np.testing.assert_array_equal(one[name], two[name])


def test_a_snapshot_continues_in_another_simulation(rng):
    old, new = simulate(HOPPER, 8), simulate(HOPPER, 8)
    reads = [sim.declare(q=Positions(), sensor=Sensor("accelerometer")) for sim in (old, new)]
    reset_all(old, rng)
    pushed_and_changed(old)
    new.restore(old.snapshot())
    for ctrl in controls(old, rng, 100):
        old.step(ctrl, 2)
        new.step(ctrl, 2)
    np.testing.assert_array_equal(reads[0].q, reads[1].q)
    np.testing.assert_array_equal(reads[0].sensor, reads[1].sensor)


def test_restore_undoes_what_was_overridden_later():
    sim = simulate(HOPPER, 4)
    saved = sim.snapshot()
    pushed_and_changed(sim)
    sim.write(ROWS, kp={"hip": np.array([1, 2])})
    sim.restore(saved, ROWS[:1])
    partly = sim.snapshot()
    hip, trunk = sim._scene.get_actuator("hip"), sim._scene.get_link("trunk")
    np.testing.assert_array_equal(trunk.get_mass_override(sim._data), [3, 3, 3, 5])
    np.testing.assert_array_equal(hip.get_kp_override(sim._data), [40, 40, 40, 2])
    np.testing.assert_array_equal(partly["push.trunk"][:, 0], [0, 0, 0, 0])
    np.testing.assert_array_equal(partly["push.trunk"][:, 1], [0, 0, 0, 5])
    sim.restore(saved)
    np.testing.assert_array_equal(trunk.get_mass_override(sim._data), [3, 3, 3, 3])
    np.testing.assert_array_equal(hip.get_kp_override(sim._data), [40, 40, 40, 40])
    np.testing.assert_allclose(sim._scene.get_gravity_override(sim._data), [[0, 0, -9.81]] * 4)


def bits(trace):
    return np.stack(trace).view(np.uint32)


def drive(sim, reads, actions):
    trace = []
    for ctrl in actions:
        sim.step(ctrl, 2)
        trace.append(reads.v.copy())
    return bits(trace)


def test_no_trace_of_overrides_is_left_after_restore(rng):
    sim = simulate(HOPPER)
    reads = sim.declare(v=Velocities())
    reset_all(sim, rng)
    actions = controls(sim, rng, 60)
    untouched = sim.snapshot()
    first = drive(sim, reads, actions)
    for mass in (4, 7, 3, 5):
        sim.write(ROWS, mass={"trunk": np.array([mass, 3])})
        sim.write(ROWS, center_of_mass={"trunk": np.full((2, 3), 0.01 * mass)})
    sim.write(ROWS, kd={"knee": np.array([1, 2])}, armature={"hip": np.array([0.1, 0.2])})
    sim.restore(untouched)
    np.testing.assert_array_equal(drive(sim, reads, actions), first)


def test_overrides_do_not_remember_earlier_ones(rng):
    straight, winding = simulate(HOPPER), simulate(HOPPER)
    views = [sim.declare(v=Velocities()) for sim in (straight, winding)]
    for sim in (straight, winding):
        reset_all(sim, np.random.default_rng(1))
    for mass in (4, 7, 3, 9):
        winding.write(ROWS, mass={"trunk": np.array([mass, 11])})
        winding.write(ROWS, center_of_mass={"trunk": np.full((2, 3), 0.01 * mass)})
    for sim in (straight, winding):
        sim.write(ROWS, mass={"trunk": np.array([5, 6])})
        sim.write(ROWS, center_of_mass={"trunk": np.full((2, 3), 0.02)})
    actions = controls(straight, rng, 60)
    np.testing.assert_array_equal(
        drive(straight, views[0], actions), drive(winding, views[1], actions)
    )


def test_restore_of_some_rows_leaves_the_others_alone(rng):
    sim, same = simulate(HOPPER, 4), simulate(HOPPER, 4)
    views = [one.declare(q=Positions(), sensor=Sensor("gyro")) for one in (sim, same)]
    for one in (sim, same):
        reset_all(one, np.random.default_rng(1))
    actions = controls(sim, rng, 100)
    for ctrl in actions[:50]:
        sim.step(ctrl, 2)
        same.step(ctrl, 2)
    saved = sim.snapshot()
    for ctrl in actions[50:]:
        sim.step(ctrl, 2)
        same.step(ctrl, 2)
    sim.restore(saved, ROWS)
    np.testing.assert_array_equal(views[0].q[ROWS], saved["positions"][ROWS])
    np.testing.assert_array_equal(views[0].sensor[ROWS], saved["lagging.sensor"][ROWS])
    for ctrl in actions[:50]:
        np.testing.assert_array_equal(views[0].q[OTHERS], views[1].q[OTHERS])
        np.testing.assert_array_equal(views[0].sensor[OTHERS], views[1].sensor[OTHERS])
        sim.step(ctrl, 2)
        same.step(ctrl, 2)


def test_snapshots_of_others_are_refused():
    sim = simulate(HOPPER)
    sim.declare(sensor=Sensor("gyro"))
    plain = simulate(HOPPER).snapshot()
    with pytest.raises(SnapshotError, match="other reads"):
        sim.restore(plain)
    with pytest.raises(SnapshotError, match="another model"):
        sim.restore(simulate(BALL).snapshot())
    with pytest.raises(SnapshotError, match="number of environments"):
        sim.restore(simulate(HOPPER, 5).snapshot())
    with pytest.raises(SnapshotError, match="another-engine"):
        sim.restore(plain | {"engine": np.frombuffer(b"another-engine 1.0", np.uint8)})
    with pytest.raises(SnapshotError, match="engine"):
        sim.restore({})
