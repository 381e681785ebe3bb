"""MuJoCo behind the seam: what is its own."""

import os
import subprocess
import sys

import numpy as np
import pytest
from motrix_envs import registry
from motrix_envs.errors import ConfigError, ModelError, MotrixError, SimBackendError
from motrix_envs.registry import EnvRegistry
from motrix_envs.sim import Contact, Model, Positions, Velocities
from motrix_envs.testing import EnvContract, probes

pytest.importorskip("motrix_envs_mujoco")

from motrix_envs_mujoco import _library, _model
from motrix_envs_mujoco.engine import FastMujocoSimulation, MujocoSimulation


def no_ctrl(sim):
    return np.zeros((sim.num_envs, sim.model.num_actuators), np.float32)


class TestCartpole(EnvContract):
    env_name = "cartpole"
    sim_backend = "mujoco"


def test_it_is_found_as_a_plugin():
    assert registry.make("cartpole", "mujoco").sim.engine.startswith("mujoco ")
    assert registry.make("cartpole", "mujoco-fast").sim.engine.startswith("mujoco-fast ")
    assert "mujoco" in registry.list_registered_envs()["cartpole"]["available_backends"]


def test_without_it_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setenv("MOTRIX_DISABLE_PLUGINS", "motrix-envs-mujoco")
    with pytest.raises(SimBackendError, match=r'pip install "motrix-envs\[mujoco\]==\d'):
        EnvRegistry().simulation_class("mujoco")
    with pytest.raises(SimBackendError) as other:
        EnvRegistry().simulation_class("newton")
    assert "pip install" not in str(other.value)


def run_python(code, cwd, **env):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
        timeout=120,
    )


DIVERGE = """
import hashlib, numpy as np
from motrix_envs.sim import Model, Velocities
from motrix_envs.testing import probes
from motrix_envs_mujoco.engine import MujocoSimulation
sim = MujocoSimulation(Model(probes.HOPPER), 128, 0.002)
v = np.zeros((128, 8), np.float32)
v[::3, 0] = np.nan
sim.reset(np.arange(128), np.tile(sim.model.default_positions, (128, 1)), v)
assert (sim.step(np.zeros((128, 2), np.float32), 2) == (np.arange(128) % 3 == 0)).all()
for step in range(20):
    sim.step(np.full((128, 2), 0.01 * step, np.float32), 2)
print(hashlib.sha256(sim.snapshot()["state"].tobytes()).hexdigest(), sim._sim.nthread)
"""


def test_it_is_silent_and_threads_change_nothing(tmp_path):
    runs = [run_python(DIVERGE, tmp_path, MOTRIX_PHYSICS_THREADS=n) for n in ("1", "2", "3")]
    assert [run.stderr for run in runs] == [""] * 3
    hashes, threads = zip(*(run.stdout.split() for run in runs), strict=True)
    assert threads == ("1", "2", "3")
    assert len(set(hashes)) == 1
    assert list(tmp_path.iterdir()) == []


def test_threads_follow_the_affinity(monkeypatch):
    monkeypatch.delenv("MOTRIX_PHYSICS_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6}, raising=False)
    assert [_library.threads(n) for n in (1, 63, 64, 2048)] == [1, 1, 2, 3]
    monkeypatch.setenv("MOTRIX_PHYSICS_THREADS", "two")
    with pytest.raises(ConfigError, match="MOTRIX_PHYSICS_THREADS=two"):
        _library.threads(64)


def test_a_forked_child_is_refused(monkeypatch):
    sim = MujocoSimulation(Model(probes.BALL), 2, 0.002)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(MotrixError, match="spawn"):
        sim.step(no_ctrl(sim), 1)


def test_options_are_the_engine_s_and_not_the_model_s():
    xml = probes.CART.replace(
        "<worldbody>", '<option integrator="RK4" cone="pyramidal" timestep="1"/><worldbody>'
    )
    built = _model.build(Model(xml), 0.003, _model.FAITHFUL)
    assert built.opt.timestep == 0.003
    assert built.opt.integrator == _library.mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    assert built.opt.cone == _library.mujoco.mjtCone.mjCONE_ELLIPTIC
    fast = _model.build(Model(xml), 0.003, _model.FAST)
    assert fast.opt.cone == _library.mujoco.mjtCone.mjCONE_PYRAMIDAL
    # What bounces keeps the round cone: a pyramid would turn its spin around.
    ball = _model.build(Model(probes.BALL, contacts={"ball": Contact(1)}), 0.003, _model.FAST)
    assert ball.opt.cone == _library.mujoco.mjtCone.mjCONE_ELLIPTIC


def test_models_that_cannot_be_built():
    for xml, part in ((probes.CART.replace("hinge", "hnge"), "hnge"), ("<mujoco>", "MuJoCo")):
        with pytest.raises(ModelError, match=part):
            MujocoSimulation(Model(xml), 1, 0.01)
    with pytest.raises(ModelError, match=r"'bal'.*Did you mean 'ball'"):
        MujocoSimulation(Model(probes.BALL, contacts={"bal": Contact(1)}), 1, 0.01)
    pair = '</worldbody><contact><pair geom1="ball" geom2="floor"/></contact>'
    xml = probes.BALL.replace("</worldbody>", pair)
    with pytest.raises(ModelError, match="no <pair>"):
        MujocoSimulation(Model(xml, contacts={"ball": Contact(1)}), 1, 0.01)


def test_files_and_assets(tmp_path):
    leg = (
        '<mujoco><worldbody><body name="leg"><freejoint/><geom type="sphere" size="0.1"/></body>'
        "</worldbody></mujoco>"
    )
    (tmp_path / "leg.xml").write_text(leg)
    xml = '<mujoco><include file="leg.xml"/><include file="made/arm.xml"/></mujoco>'
    arm = leg.replace("leg", "arm").encode()
    model = Model(xml, folder=str(tmp_path), assets={"made/arm.xml": arm})
    assert MujocoSimulation(model, 1, 0.01).model.body_names == ("leg", "arm")
    mesh = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    xml = (
        '<mujoco><asset><mesh file="m/rock.obj"/></asset><worldbody>'
        '<body><freejoint/><geom name="rock" type="mesh" mesh="rock"/></body></worldbody></mujoco>'
    )
    model = Model(xml, assets={"m/rock.obj": mesh})
    assert MujocoSimulation(model, 1, 0.01).model.geom_names == ("rock",)


def test_helper_names_stay_inside():
    xml = probes.BALL.replace('name="floor" ', "")
    sim = MujocoSimulation(Model(xml, contacts={"ball": Contact(0.5)}), 1, 0.01)
    assert sim.model.geom_names == ("", "ball")


def test_friction_of_a_row_reaches_what_bounces():
    sim = MujocoSimulation(Model(probes.BALL, contacts={"ball": Contact(0.5)}), 4, 0.004)
    reads = sim.declare(v=Velocities())
    for geom in ("ball", "floor"):
        sim.write(np.arange(3), friction={geom: np.full((3, 3), [0.05, 0, 0])})
    sim.write(np.array([2]), friction={"floor": np.array([[0.1, 0, 0]])})
    place = np.tile(sim.model.default_positions, (4, 1))
    place[:, 2] = 0.15
    start = np.tile(np.array([2, 0, -3, 0, 0, 0], np.float32), (4, 1))
    sim.reset(np.arange(4), place, start)
    for _ in range(12):
        sim.step(no_ctrl(sim), 1)
    lost = 2 - reads.v[:, 0]
    # Sliding loses friction times the change of the normal velocity, 3 m/s * (1 + 0.5).
    np.testing.assert_allclose(lost[:3], 4.5 * np.array([0.05, 0.05, 0.1]), rtol=0.15)
    assert lost[3] == pytest.approx(2 * 2 / 7, rel=0.1)  # it rolls


def test_a_step_that_overflows_is_reported():
    """A joint that is thrown at 1e9 rad/s explodes within the step."""
    sim = MujocoSimulation(Model(probes.HOPPER), 3, 0.002)
    reads = sim.declare(q=Positions(), v=Velocities())
    v = np.zeros((3, 8), np.float32)
    v[1, 6] = 1e9
    sim.reset(np.arange(3), np.tile(sim.model.default_positions, (3, 1)), v)
    np.testing.assert_array_equal(sim.step(no_ctrl(sim), 4), [False, True, False])
    assert np.isfinite(reads.q).all()
    assert np.abs(reads.v).max() < 10


def test_snapshots_of_the_other_preset_are_refused():
    faithful, fast = (
        cls(Model(probes.BALL), 2, 0.002) for cls in (MujocoSimulation, FastMujocoSimulation)
    )
    with pytest.raises(ValueError, match="mujoco-fast"):
        faithful.restore(fast.snapshot())


def test_what_was_overridden_before_reads_were_declared_stays():
    sim = MujocoSimulation(Model(probes.BALL), 2, 0.002)
    sim.write(np.array([1]), gravity=np.zeros((1, 3)))
    reads = sim.declare(v=Velocities())
    sim.step(no_ctrl(sim), 5)
    np.testing.assert_array_equal(reads.v[:, 2] == 0, [False, True])
