"""What MotrixSim does otherwise than one would think, and that it does not get through the seam."""

import math
import multiprocessing
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from motrix_envs.errors import ConfigError, ModelError, MotrixError
from motrix_envs.sim import InContact, Model, Positions, Sensor, Velocities
from motrix_envs.sim._motrixsim_geoms import capsule_inertia
from motrix_envs.sim._motrixsim_import import is_panic, mx
from motrix_envs.sim._motrixsim_load import warnings
from motrix_envs.sim.motrixsim import MotrixSimulation

# A ball with an arm that a force-limited position servo drives: NaN makes the engine panic.
SERVO = """
<mujoco>
  <compiler angle="radian"/>
  <worldbody>
    <geom name="floor" type="plane" size="10 10 0.1"/>
    <body name="ball" pos="0 0 0.3">
      <freejoint/>
      <inertial pos="0 0 0" mass="2" diaginertia="0.02 0.02 0.02"/>
      <geom name="ball" type="sphere" size="0.1"/>
      <site name="middle"/>
      <body name="arm">
        <joint name="elbow" type="hinge" axis="0 1 0" range="-2 2" limited="true"/>
        <inertial pos="0.2 0 0" mass="0.3" diaginertia="0.001 0.002 0.002"/>
        <geom name="hand" type="sphere" size="0.05" pos="0.3 0 0"/>
      </body>
    </body>
  </worldbody>
  <actuator><position name="elbow" joint="elbow" kp="20" kv="1" forcerange="-5 5"/></actuator>
  <sensor><gyro name="gyro" site="middle"/></sensor>
</mujoco>
"""


def model(joint='<joint type="hinge"/>', top="", actuator="", sensor="", tail=""):
    return f"""<mujoco>{top}<worldbody><body name="body">{joint}
      <inertial pos="0 0 0" mass="1" diaginertia="0.1 0.1 0.1"/>
      <geom name="geom" type="sphere" size="0.1"/><site name="site"/></body></worldbody>
      <actuator>{actuator}</actuator><sensor>{sensor}</sensor>{tail}</mujoco>"""


def build(xml, **options):
    return MotrixSimulation(Model(xml, **options), 1, 0.002)


# Panics and divergence


def batch(num_envs=64):
    sim = MotrixSimulation(Model(SERVO), num_envs, 0.005)
    sim.write(
        np.arange(0, num_envs, 2), mass={"ball": np.linspace(1, 3, len(range(0, num_envs, 2)))}
    )
    reads = sim.declare(
        q=Positions(), v=Velocities(), gyro=Sensor("gyro"), touch=InContact((("floor", "ball"),))
    )
    rng = np.random.default_rng(0)
    v = rng.normal(size=(num_envs, 7)).astype(np.float32)
    sim.reset(np.arange(num_envs), np.tile(sim.model.default_positions, (num_envs, 1)), v)
    return sim, reads


def nan_state(sim, ctrl, row):
    bad = np.zeros((1, 7), np.float32)
    bad[0, 6] = np.nan
    sim.reset(np.array([row]), sim.model.default_positions[None], bad)


def nan_control(sim, ctrl, row):
    ctrl[row] = np.nan


def absurd_speed(sim, ctrl, row):
    """Finite, but its contact stops the engine."""
    q = sim.model.default_positions[None].copy()
    q[0, 2] = 0.1
    sim.reset(np.array([row]), q, np.full((1, 7), 1e18, np.float32))


@pytest.mark.parametrize("spoil", [nan_state, nan_control, absurd_speed])
def test_a_culprit_harms_no_other_row(spoil):
    (sim, reads), (clean, expected) = batch(), batch()
    rng = np.random.default_rng(1)
    others = np.ones(64, bool)
    for step in range(60):
        ctrl = rng.uniform(-2, 2, (64, 1)).astype(np.float32)
        given = ctrl.copy()
        pushed = np.array([5, 40])
        if step % 7 == 2:
            for one in (sim, clean):
                one.write(pushed, push={"ball": np.full((2, 3), 4.0)})
        culprits = [(3 + step) % 64, 17] if step % 10 == 5 else []
        for row in culprits:
            spoil(sim, given, row)
            others[row] = False
        diverged = sim.step(given, 2)
        clean.step(ctrl, 2)
        assert np.flatnonzero(diverged).tolist() == sorted(culprits)
        if culprits:
            at_rest = np.tile(sim.model.default_positions, (len(culprits), 1))
            np.testing.assert_array_equal(reads.q[culprits], at_rest)
            np.testing.assert_array_equal(reads.v[culprits], 0)
            np.testing.assert_array_equal(reads.gyro[culprits], 0)
        for name in ("q", "v", "gyro", "touch"):
            found, wanted = getattr(reads, name), getattr(expected, name)
            np.testing.assert_array_equal(found[others], wanted[others], err_msg=f"{name} {step}")
            assert np.isfinite(found).all()
    assert others.sum() > 50
    assert reads.touch[others].any()


def test_these_culprits_really_make_the_engine_panic():
    for spoil in (nan_state, nan_control, absurd_speed):
        sim, _ = batch(4)
        ctrl = np.zeros((4, 1), np.float32)
        spoil(sim, ctrl, 1)
        sim._data.actuator_ctrls = ctrl
        with pytest.raises(BaseException) as caught:
            sim._scene.step_n(sim._data, 2)
        assert is_panic(caught.value)
        assert not isinstance(caught.value, Exception)


def test_all_rows_may_diverge_at_once():
    sim, reads = batch(3)
    assert sim.step(np.full((3, 1), np.nan, np.float32), 2).all()
    assert not sim.step(np.zeros((3, 1), np.float32), 2).any()
    assert np.isfinite(reads.q).all()


def test_nan_rows_without_a_panic_diverge_too():
    sim = MotrixSimulation(Model(model('<joint type="slide"/>')), 3, 0.002)
    reads = sim.declare(q=Positions())
    sim.reset(np.array([1]), np.zeros((1, 1)), np.full((1, 1), np.nan))
    assert sim.step(np.zeros((3, 0)), 1).tolist() == [False, True, False]
    assert np.isfinite(reads.q).all()
    assert not sim.step(np.zeros((3, 0)), 1).any()


def test_absurd_rows_diverge():
    sim = MotrixSimulation(Model(model('<joint type="slide"/>')), 3, 0.002)
    sim.reset(np.array([2]), np.zeros((1, 1)), np.full((1, 1), 2e6))
    assert sim.step(np.zeros((3, 0)), 1).tolist() == [False, False, True]


# Inertia of capsules

RADIUS, HALF, MASS = 0.03, 0.5, 1.0
CAPSULE = f"""
<mujoco>
  <option gravity="0 0 -9.81"/>
  <worldbody><body name="rod" pos="0 0 2">
    <joint name="hinge" type="hinge" axis="0 1 0"/>
    <geom name="rod" type="capsule" size="{RADIUS} {HALF}" pos="0 0 -{HALF}" mass="{MASS}"/>
  </body></worldbody>
</mujoco>
"""


def inertia_in_the_engine(scene, name="rod"):
    data = mx.SceneData(scene, batch=(1,))
    return scene.get_link(name).get_inertia_override(data)[0]


def test_capsule_inertia_by_numerical_integration():
    rng = np.random.default_rng(0)
    box = np.array([RADIUS, RADIUS, HALF + RADIUS])
    points = rng.uniform(-box, box, (2_000_000, 3))
    beyond = np.maximum(np.abs(points[:, 2]) - HALF, 0)
    x, y, z = points[points[:, 0] ** 2 + points[:, 1] ** 2 + beyond**2 < RADIUS**2].T
    sampled = MASS * np.array([(y**2 + z**2).mean(), (x**2 + z**2).mean(), (x**2 + y**2).mean()])
    np.testing.assert_allclose(capsule_inertia(MASS, RADIUS, HALF), sampled, rtol=3e-3)


def test_the_engine_still_needs_the_correction():
    """When this fails, the engine has been repaired: `_correct_capsule` can go."""
    found = inertia_in_the_engine(mx.msd.from_str(CAPSULE).build())
    wrong = found / np.pad(capsule_inertia(MASS, RADIUS, HALF), (0, 3), constant_values=1)
    assert wrong[0] == pytest.approx(6.6, abs=0.1)


def test_capsules_have_their_inertia():
    wanted = capsule_inertia(MASS, RADIUS, HALF)
    np.testing.assert_allclose(inertia_in_the_engine(build(CAPSULE)._scene)[:3], wanted, rtol=1e-5)
    dense = CAPSULE.replace(f'mass="{MASS}"', 'density="500"')
    mass = 500 * math.pi * RADIUS**2 * (2 * HALF + 4 / 3 * RADIUS)
    found = inertia_in_the_engine(build(dense)._scene)[:3]
    np.testing.assert_allclose(found, capsule_inertia(mass, RADIUS, HALF), rtol=1e-5)


def test_explicit_inertials_are_left_alone():
    explicit = CAPSULE.replace(
        "<geom", '<inertial pos="0 0 -0.5" mass="2" diaginertia="0.1 0.2 0.3"/><geom'
    )
    scene = build(explicit)._scene
    np.testing.assert_allclose(inertia_in_the_engine(scene)[:3], [0.1, 0.2, 0.3], rtol=1e-6)
    assert scene.get_link("rod").mass == pytest.approx(2)


def test_a_capsule_swings_with_its_period():
    sim = MotrixSimulation(Model(CAPSULE), 1, 0.001)
    reads = sim.declare(q=Positions())
    sim.reset(np.array([0]), np.array([[0.02]]), np.zeros((1, 1)))
    angles = []
    for _ in range(4000):
        sim.step(np.zeros((1, 0)), 1)
        angles.append(float(reads.q[0, 0]))
    down = [i for i in range(1, 4000) if angles[i - 1] > 0 >= angles[i]]
    about_hinge = capsule_inertia(MASS, RADIUS, HALF)[0] + MASS * HALF**2
    period = 2 * math.pi * math.sqrt(about_hinge / (MASS * 9.81 * HALF))
    assert (down[-1] - down[0]) / (len(down) - 1) * 0.001 == pytest.approx(period, rel=2e-3)


# The solver


def test_the_solver_keeps_nothing_between_steps():
    """The default solver would: a reset row would then depend on what it did before."""
    sim, reads = batch(2)
    rng = np.random.default_rng(3)
    for ctrl in rng.uniform(-2, 2, (50, 1, 1)).astype(np.float32):
        sim.step(np.concatenate([ctrl, -ctrl]), 2)
    start = np.tile(sim.model.default_positions, (2, 1))
    start[:, 2] = 0.1
    sim.write(np.arange(2), mass={"ball": np.ones(2)})
    sim.reset(np.arange(2), start, np.zeros((2, 7)))
    for ctrl in rng.uniform(-2, 2, (50, 1, 1)).astype(np.float32):
        sim.step(np.concatenate([ctrl, ctrl]), 2)
        np.testing.assert_array_equal(reads.q[0], reads.q[1])


# Complaints


def test_warnings_are_read():
    printed = (
        "\x1b[2m2026-01-01T00:00:00Z\x1b[0m \x1b[33m WARN\x1b[0m \x1b[2mparser\x1b[0m: "
        "These fields are not support yet, will be ignored:\noption@cone at line: 1\n"
        "2026-01-01T00:00:00Z  INFO parser: fine\n"
        "2026-01-01T00:00:01Z  WARN parser::sensors: Sensor/forces is not supported\n"
    )
    assert warnings(printed) == ["option@cone at line: 1", "Sensor/forces is not supported"]
    assert warnings("2026 INFO parser: WARNING signs are fine\n") == []


def test_parser_warnings_refuse_the_model_unless_accepted():
    xml = model(
        top='<option integrator="RK4" cone="elliptic"/>', sensor='<force name="f" site="site"/>'
    )
    with pytest.raises(ModelError, match=r"Model\.accepts") as refused:
        build(xml)
    for part in ("option@integrator", "option@cone", "Sensor/forces"):
        assert part in str(refused.value)
    with pytest.raises(ModelError, match=r"says: option@integrator at line: 1\. Change"):
        build(xml, accepts=("option@cone", "Sensor/forces"))
    build(xml, accepts=("option@", "Sensor/forces"))


def test_silenced_warnings_are_noticed():
    code = """
from motrix_envs.sim import Model
from motrix_envs.sim.motrixsim import MotrixSimulation
xml = '<mujoco><worldbody><body><joint/><geom size="0.1"/></body></worldbody></mujoco>'
MotrixSimulation(Model(xml, accepts=("warnings are switched off",)), 1, 0.01)
MotrixSimulation(Model(xml), 1, 0.01)
"""
    assert "ModelError" in run_python(code, RUST_LOG="error").stderr
    for level in ("", "warn", "debug"):
        assert run_python(code, RUST_LOG=level).returncode == 0


SILENT = {
    "constraint": model(top='<option><flag constraint="disable"/></option>'),
    "actuatorfrcrange": model('<joint name="j" type="hinge" actuatorfrcrange="-1 1"/>'),
    "damping": model('<joint name="j" type="ball" damping="1"/>'),
    "stiffness": model('<joint name="j" type="free" stiffness="1"/>'),
    "springdamper": model('<joint name="j" type="hinge" springdamper="1 1"/>'),
    "gaintype": model(
        '<joint name="j"/>',
        actuator='<general name="j" joint="j" gaintype="affine" gainprm="1 2 0"/>',
    ),
    "dyntype": model(
        '<joint name="j"/>', actuator='<general name="j" joint="j" dyntype="integrator"/>'
    ),
    "timeconst": model('<joint name="j"/>', actuator='<position joint="j" kp="1" timeconst="1"/>'),
    "noise": model(sensor='<gyro name="g" site="site" noise="0.1"/>'),
    "cutoff": model(sensor='<gyro name="g" site="site" cutoff="1"/>'),
    "framelinacc": model(sensor='<framelinacc name="f" objtype="site" objname="site"/>'),
}


@pytest.mark.parametrize("part", SILENT)
def test_what_would_be_ignored_in_silence_is_refused_unless_accepted(part):
    with pytest.raises(ModelError, match=part):
        build(SILENT[part])
    build(SILENT[part], accepts=(part,))


def test_the_message_says_where_and_what_to_do():
    with pytest.raises(
        ModelError,
        match="joint 'j': actuatorfrcrange has no effect; use forcerange on the actuator",
    ):
        build(SILENT["actuatorfrcrange"])


@pytest.mark.parametrize(
    "xml",
    [
        model('<joint type="hinge" damping="1" stiffness="2"/>'),
        model('<freejoint name="root"/>', top='<default><joint damping="1"/></default>'),
        model('<joint type="ball" damping="0"/>', top='<default><joint damping="1"/></default>'),
        model(top='<default><default class="soft"><joint springdamper="1 1"/></default></default>'),
        model(top='<option><flag contact="disable"/></option>'),
        model('<joint name="j"/>', actuator='<general joint="j" gaintype="affine" gainprm="3"/>'),
        model('<joint name="j"/>', actuator='<general joint="j" dyntype="none"/>'),
    ],
)
def test_harmless_relatives_are_not_refused(xml):
    build(xml)


@pytest.mark.parametrize(
    ("joint", "top"),
    [
        ('<joint type="ball"/>', '<default><joint damping="1"/></default>'),
        ('<joint type="ball"/>', '<default class="x"><joint damping="1"/></default>'),
        (
            '<joint type="ball" class="b"/>',
            '<default><default class="a"><joint damping="1"/><default class="b"/>'
            "</default></default>",
        ),
        (
            '<joint class="b"/>',
            '<default><default class="b"><joint type="ball" damping="1"/></default></default>',
        ),
    ],
)
def test_default_classes_are_followed(joint, top):
    with pytest.raises(ModelError, match="damping has no effect"):
        build(model(joint, top))


def test_child_classes_are_followed():
    xml = model(
        '<joint type="ball"/>',
        '<default><default class="a"><joint damping="1"/></default></default>',
    )
    build(xml)
    with pytest.raises(ModelError, match="damping has no effect"):
        build(xml.replace('<body name="body">', '<body name="body" childclass="a">'))


def test_included_files_are_read():
    joint = '<joint name="j" type="hinge" actuatorfrcrange="-1 1"/>'
    assets = {
        "parts/all.xml": b'<mujoco><include file="robot.xml"/></mujoco>',
        "parts/robot.xml": model(joint).encode(),
    }
    with pytest.raises(ModelError, match="joint 'j'"):
        build('<mujoco><include file="parts/all.xml"/></mujoco>', assets=assets)


@pytest.mark.parametrize(
    "xml",
    ["<mujoco", "<mujoco><worldbody><body><joint/></body></worldbody></mujoco>"],
    ids=["syntax", "no mass"],
)
def test_invalid_models(xml):
    with pytest.raises(ModelError, match="MotrixSim cannot build the model"):
        build(xml)


# Height fields


def png(heights):
    """A grey picture of (rows, columns) numbers in 0..255."""
    rows, columns = heights.shape
    raw = b"".join(b"\0" + row.tobytes() for row in heights.astype(np.uint8))

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def terrain(field):
    return f"""<mujoco><asset><hfield name="hills" size="5 5 1 0.1" {field}/></asset>
      <worldbody><geom name="hills" type="hfield" hfield="hills"/>
        <body pos="0 0 3"><freejoint/><geom name="ball" type="sphere" size="0.2"/></body>
      </worldbody></mujoco>"""


def test_flat_height_fields_are_refused():
    flat = terrain('nrow="2" ncol="2" elevation="3 3 3 3"')
    with pytest.raises(ModelError, match=r"hfield 'hills': all heights are equal.*use a plane"):
        build(flat)
    build(terrain('nrow="2" ncol="2" elevation="3 3 3 4"'))
    with pytest.raises(ModelError, match="cannot build"):
        build(terrain('nrow="2" ncol="2"'))
    picture = {"hills.png": png(np.full((3, 3), 7))}
    with pytest.raises(ModelError, match="all heights are equal"):
        build(terrain('file="hills.png"'), assets=picture)


def test_a_generated_height_field_carries_a_ball():
    picture = {"hills.png": png(np.array([[255, 0, 255], [0, 255, 0], [255, 0, 255]]))}
    sim = build(terrain('file="hills.png"'), assets=picture)
    reads = sim.declare(q=Positions())
    for _ in range(100):
        sim.step(np.zeros((1, 0)), 15)
    assert -0.1 < float(reads.q[0, 2]) < 1.3


# The process


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_prints_nothing():
    done = run_python("import motrix_envs.sim.motrixsim")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_without_a_standard_error_stream():
    done = run_python(
        "import os, sys; os.close(2); sys.stderr = None\n"
        "from motrix_envs.registry import make\n"
        "make('cartpole').init_state(); print(1)"
    )
    assert (done.returncode, done.stdout) == (0, "1\n")


FORK = """
import multiprocessing, numpy as np
from motrix_envs.errors import MotrixError
from motrix_envs.sim import Model
from motrix_envs.sim.motrixsim import MotrixSimulation

model = Model('<mujoco><worldbody><body><joint/><geom size="0.1"/></body></worldbody></mujoco>')

def make():
    return MotrixSimulation(model, 2, 0.01)

def try_each(*calls):
    for call in calls:
        try:
            call()
        except MotrixError as error:
            print("spawn" in str(error), flush=True)

def in_child(*calls):
    child = multiprocessing.get_context("fork").Process(target=try_each, args=calls)
    child.start()
    child.join(20)
    if child.exitcode is None:
        child.kill()
    print(child.exitcode, flush=True)

in_child(lambda: make().step(np.zeros((2, 0)), 1))  # nothing has run yet: a child may simulate
sim = make()
sim.step(np.zeros((2, 0)), 1)
rows, zero = np.arange(2), np.zeros((2, 1))
in_child(lambda: sim.step(np.zeros((2, 0)), 1), lambda: sim.reset(rows, zero, zero), make)
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin",
    reason="processes are not forked here",
)
def test_a_forked_child_gets_an_error_instead_of_waiting_for_ever():
    done = run_python(FORK)
    assert done.stdout.split() == ["0", "True", "True", "True", "0"], done.stderr


def test_the_number_of_threads_can_be_chosen():
    code = """
import os, threading
from motrix_envs.sim import Model
from motrix_envs.sim.motrixsim import MotrixSimulation
model = Model('<mujoco><worldbody><body><joint/><geom size="0.1"/></body></worldbody></mujoco>')
MotrixSimulation(model, 2, 0.01)
print(len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else "unknown")
"""
    one, three = (run_python(code, MOTRIX_PHYSICS_THREADS=count).stdout for count in "13")
    assert one == three == "unknown\n" or int(three) - int(one) == 2
    wrong = run_python(code, MOTRIX_PHYSICS_THREADS="many")
    assert "MOTRIX_PHYSICS_THREADS=many must be a number of threads" in wrong.stderr


def test_errors_are_of_the_kinds_that_callers_expect():
    assert issubclass(ModelError, MotrixError)
    assert issubclass(ConfigError, ValueError)
