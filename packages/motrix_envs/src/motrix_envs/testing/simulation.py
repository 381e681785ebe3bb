"""What every physics engine promises, as tests: subclass `SimulationContract` and run pytest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from motrix_envs.errors import MotrixError, SimBackendError
from motrix_envs.sim import (
    BodyAngularVelocity,
    BodyLinearVelocity,
    BodyPosition,
    BodyRotation,
    ContactForce,
    GeomPosition,
    InContact,
    Model,
    ModelInfo,
    Positions,
    Read,
    Reads,
    Simulation,
    SitePosition,
    SnapshotError,
    Velocities,
)
from motrix_envs.testing.physics import PhysicsTests, no_ctrl

Trace = list[dict[str, NDArray[np.float32]]]
Overrides = dict[str, Any]

STEPS = 25
SUBSTEPS = 2


class SimulationContract(PhysicsTests):
    """The promises of an engine, one test method each.

        class TestMyEngine(SimulationContract):
            engine = "my-engine"
            models = {"walker": Model(WALKER), "quadruped": Model(QUADRUPED)}

    The methods of this class run once for every model; those of `PhysicsTests` once, on small
    models of their own. `docs/simulation.md` says what is promised, and why.
    """

    # The state

    def test_description(self, model: Model) -> None:
        """Names, sizes and ranges belong together."""
        info = self.build(model).model
        assert info.default_positions.shape == (info.num_positions,)
        assert info.joint_range.shape == (len(info.joint_names), 2)
        assert info.ctrl_range.shape == (info.num_actuators, 2)
        assert (info.joint_range[:, 0] <= info.joint_range[:, 1]).all()
        assert "world" not in info.body_names, "body_names leaves the world out"
        for span in info.quaternions:
            length = np.linalg.norm(info.default_positions[span])
            np.testing.assert_allclose(length, 1, atol=1e-6, err_msg="rotations have length 1")
        for name in info.joint_positions:
            assert name in info.joint_velocities, f"joint '{name}' has a position and no velocity"

    def test_reset_is_read_back(self, model: Model) -> None:
        """What a row is put into is what is read, at once, and rotations are normalised."""
        sim = self.build(model)
        reads = sim.declare(q=Positions(), v=Velocities())
        q, v = random_state(sim.model, sim.num_envs)
        rows = np.array([2, 0])
        before = reads.q.copy(), reads.v.copy()
        sim.reset(rows, q[rows], v[rows])
        np.testing.assert_array_equal(reads.v[rows], v[rows])
        for span in sim.model.quaternions:
            q[:, span] /= np.linalg.norm(q[:, span], axis=1, keepdims=True)
        np.testing.assert_allclose(reads.q[rows], q[rows], rtol=1e-6, atol=1e-7)
        others = np.setdiff1d(np.arange(sim.num_envs), rows)
        np.testing.assert_array_equal(reads.q[others], before[0][others])
        np.testing.assert_array_equal(reads.v[others], before[1][others])

    def test_reset_forgets(self, model: Model) -> None:
        """After a reset a row goes on as one that was never used."""
        used, fresh = self.build(model), self.build(model)
        start = random_state(used.model, used.num_envs)
        traces = []
        for sim in (used, fresh):
            reads = sim.declare(**everything(sim.model))
            if sim is used:
                drive(sim, reads, seed=1)
            sim.reset(np.arange(sim.num_envs), *start)
            traces.append(drive(sim, reads, seed=2))
        assert_same("a reset left something behind", *traces)

    def test_rows_do_not_depend_on_the_batch(self, model: Model) -> None:
        """A row is the same to the bit alone, among few and among many."""
        many = 67
        start = random_state(self.build(model).model, many)
        traces = []
        for rows in (np.arange(many), np.array([11, 50, 66]), np.array([66])):
            sim = self.build(model, len(rows))
            reads = sim.declare(**everything(sim.model))
            sim.reset(np.arange(len(rows)), start[0][rows], start[1][rows])
            trace = drive(sim, reads, rows=rows)
            traces.append([{name: array[-1] for name, array in one.items()} for one in trace])
        for other in traces[1:]:
            assert_same("a row depends on how many others there are", traces[0], other)

    # Reads

    def test_reads_are_live_and_read_only(self, model: Model) -> None:
        """A declared array stays the same object, follows the steps and cannot be written to."""
        sim = self.build(model)
        kinds = everything(sim.model)
        reads = sim.declare(**kinds)
        sim.reset(np.arange(sim.num_envs), *random_state(sim.model, sim.num_envs))
        arrays = {name: getattr(reads, name) for name in kinds}
        before = {name: array.copy() for name, array in arrays.items()}
        sim.step(no_ctrl(sim), SUBSTEPS)
        for name, array in arrays.items():
            assert array is getattr(reads, name)
            assert array.dtype == np.float32, f"'{name}' is {array.dtype}"
            assert len(array) == sim.num_envs
            assert not array.flags.writeable, f"'{name}' can be written to"
        assert not np.array_equal(before["q"], arrays["q"]), "reads do not follow a step"

    def test_a_read_does_not_depend_on_the_others(self, model: Model) -> None:
        """What else is declared changes neither the physics nor a read."""
        traces = []
        for which in (slice(None), slice(2)):
            sim = self.build(model)
            kinds = dict(list(everything(sim.model).items())[which])
            reads = sim.declare(**kinds)
            sim.reset(np.arange(sim.num_envs), *random_state(sim.model, sim.num_envs))
            trace = drive(sim, reads)
            traces.append([{name: one[name] for name in ("q", "v")} for one in trace])
        assert_same("the physics depends on what is read", *traces)

    def test_lagging_reads_are_zero_after_a_reset(self, model: Model) -> None:
        """Contacts of a row that was reset are not known before its next step."""
        sim = self.build(model)
        kinds = everything(sim.model)
        reads = sim.declare(**kinds)
        drive(sim, reads)
        rows = np.array([1])
        late = [name for name, read in kinds.items() if isinstance(read, (ContactForce, InContact))]
        kept = {name: getattr(reads, name).copy() for name in late}
        sim.reset(rows, *random_state(sim.model, 1))
        for name in late:
            np.testing.assert_array_equal(getattr(reads, name)[1], 0)
            np.testing.assert_array_equal(getattr(reads, name)[0], kept[name][0])

    # Snapshots

    def test_snapshots_are_exact(self, model: Model) -> None:
        """A restored batch repeats itself to the bit, here and in another simulation."""
        first, second = self.build(model), self.build(model)
        views = [sim.declare(**everything(sim.model)) for sim in (first, second)]
        first.reset(np.arange(first.num_envs), *random_state(first.model, first.num_envs))
        first.write(np.array([1, 3]), **self.some_overrides(first))
        drive(first, views[0], seed=1)
        first.write(np.array([0, 3]), **self.some_push(first))
        saved, now = first.snapshot(), look(views[0])
        expected = drive(first, views[0], seed=2)
        for sim, reads in ((first, views[0]), (second, views[1])):
            sim.restore(saved)
            assert_same("a restored read is not what it was", [look(reads)], [now])
            assert_same("a restored batch goes on otherwise", drive(sim, reads, seed=2), expected)

    def test_restore_of_some_rows(self, model: Model) -> None:
        """Restored rows repeat themselves; the others do not notice."""
        sim, same = self.build(model), self.build(model)
        views = [one.declare(**everything(one.model)) for one in (sim, same)]
        start = random_state(sim.model, sim.num_envs)
        traces = []
        for one, reads in zip((sim, same), views, strict=True):
            one.reset(np.arange(one.num_envs), *start)
            drive(one, reads, seed=1)
            saved = one.snapshot()
            traces.append(drive(one, reads, seed=2))
            if one is sim:
                one.restore(saved, np.array([2]))
        after = [drive(one, reads, seed=2) for one, reads in zip((sim, same), views, strict=True)]
        row = [[{k: a[2] for k, a in step.items()} for step in t] for t in (traces[0], after[0])]
        assert_same("a restored row goes on otherwise", *row)
        rest = [[{k: np.delete(a, 2, 0) for k, a in step.items()} for step in t] for t in after]
        assert_same("other rows noticed a restore", *rest)

    def test_snapshots_of_others_are_refused(self, model: Model) -> None:
        """Another engine, another size of batch and an empty snapshot raise SnapshotError."""
        sim, larger = self.build(model), self.build(model, 5)
        stranger = {**sim.snapshot(), "engine": np.frombuffer(b"stranger 1.0", np.uint8)}
        for wrong in (stranger, larger.snapshot(), {}):
            assert raises(SnapshotError, lambda wrong=wrong: sim.restore(wrong))

    # Divergence

    def test_divergence_stays_in_its_row(self, model: Model) -> None:
        """A bad row is reported and stands at the default pose; no other row notices."""
        sim, same = self.build(model), self.build(model)
        views = [one.declare(q=Positions(), v=Velocities()) for one in (sim, same)]
        q, v = random_state(sim.model, sim.num_envs)
        for bad in (np.nan, np.inf, 1e12):
            for one in (sim, same):
                speeds = v.copy()
                if one is sim:
                    speeds[1] = bad
                one.reset(np.arange(one.num_envs), q, speeds)
            diverged = sim.step(no_ctrl(sim), SUBSTEPS)
            assert not same.step(no_ctrl(same), SUBSTEPS).any()
            np.testing.assert_array_equal(diverged, np.arange(sim.num_envs) == 1)
            np.testing.assert_array_equal(views[0].q[1], sim.model.default_positions)
            np.testing.assert_array_equal(views[0].v[1], 0)
            assert_same("a diverged row disturbed others", *[[look(view, 1)] for view in views])
            assert not sim.step(no_ctrl(sim), SUBSTEPS).any(), "a parked row diverges again"
            same.step(no_ctrl(same), SUBSTEPS)

    def test_controls_that_are_no_numbers(self, model: Model) -> None:
        """NaN among the controls of a row lets that row diverge, and no other."""
        sim = self.build(model)
        ctrl = no_ctrl(sim)
        if not ctrl.size:
            return
        ctrl[2] = np.nan
        found = sim.step(ctrl, SUBSTEPS)
        np.testing.assert_array_equal(found, np.arange(sim.num_envs) == 2)

    # Overrides

    def test_overrides_act_on_their_rows_only(self, model: Model) -> None:
        """A supported override changes other rows not by a bit."""
        one = self.build(model)
        for kind, values in {**self.some_overrides(one), **self.some_push(one)}.items():
            traces = []
            for changed in (True, False):
                sim = self.build(model)
                reads = sim.declare(q=Positions(), v=Velocities())
                sim.reset(np.arange(sim.num_envs), *random_state(sim.model, sim.num_envs))
                if changed:
                    sim.write(np.array([1, 3]), **{kind: values})
                traces.append(drive(sim, reads, steps=8))
            others = [[{k: a[[0, 2]] for k, a in step.items()} for step in t] for t in traces]
            assert_same(f"{kind} of some rows disturbed others", *others)
            own = [t[-1]["v"][[1, 3]] for t in traces]
            if kind == "push":  # the others need not count in every model and state
                assert not np.array_equal(own[0], own[1]), f"{kind} has no effect"

    def test_restore_undoes_overrides(self, model: Model) -> None:
        """What was written after a snapshot is gone after its restore, without a trace."""
        sim = self.build(model)
        reads = sim.declare(q=Positions(), v=Velocities())
        sim.reset(np.arange(sim.num_envs), *random_state(sim.model, sim.num_envs))
        saved = sim.snapshot()
        expected = drive(sim, reads)
        sim.write(np.array([1, 3]), **self.some_overrides(sim), **self.some_push(sim))
        drive(sim, reads, seed=5)
        sim.restore(saved)
        assert_same("a restore left an override behind", drive(sim, reads), expected)

    def test_what_is_not_supported_says_so(self, model: Model) -> None:
        """An unknown override raises SimBackendError and an unknown thing MotrixError."""
        sim = self.build(model)
        one = np.array([0])
        assert raises(SimBackendError, lambda: sim.write(one, colour={"x": np.ones(1)}))
        for kind, value in (("mass", np.ones(1)), ("friction", np.ones((1, 3)))):
            expected = MotrixError if kind in sim.overrides else SimBackendError
            write = {kind: {"no such thing": value}}
            assert raises(expected, lambda write=write: sim.write(one, **write))

    # Manners

    def test_close(self, model: Model) -> None:
        """A simulation may be closed twice; after it, a step says so."""
        sim = self.build(model)
        ctrl = no_ctrl(sim)
        sim.close()
        sim.close()
        assert raises(MotrixError, lambda: sim.step(ctrl, 1))

    # What is overridden here

    def some_overrides(self, sim: Simulation) -> Overrides:
        """Return overrides of two rows, of what the model has and the engine supports."""
        info, two = sim.model, np.ones(2)
        body = next((b for b in moving_bodies(info)), None)
        geom = next((name for name in info.geom_names if name), None)
        joint = next(iter(info.joint_velocities), None)
        found: Overrides = {"gravity": np.array([[0.3, 0, -3.0], [0, 0.5, -12.0]])}
        if body:
            found["mass"] = {body: np.array([2.5, 7.0])}
            found["center_of_mass"] = {body: np.array([[0.05, 0, 0.02], [-0.04, 0.03, 0]])}
        if geom:
            found["friction"] = {geom: np.tile([1.4, 0.01, 0.001], (2, 1))}
        if joint:
            found["armature"] = {joint: 0.2 * two}
        return {kind: value for kind, value in found.items() if kind in sim.overrides}

    def some_push(self, sim: Simulation) -> Overrides:
        """Return a push of two rows, where the engine supports it."""
        body = next(iter(moving_bodies(sim.model)), None)
        force = np.array([[4.0, 0, 1], [0, -5, 2]])
        return {"push": {body: force}} if body and "push" in sim.overrides else {}


def moving_bodies(info: ModelInfo) -> list[str]:
    """Return names of bodies; the first body of a model that is tested moves."""
    return [name for name in info.body_names if name]


def everything(info: ModelInfo) -> dict[str, Read]:
    """Return every read that a model allows."""
    bodies = [name for name in info.body_names if name]
    geoms = [name for name in info.geom_names if name]
    sites = [name for name in info.site_names if name]
    reads: dict[str, Read] = {"q": Positions(), "v": Velocities()}
    for cls in (BodyPosition, BodyRotation, BodyLinearVelocity, BodyAngularVelocity, ContactForce):
        if bodies:
            reads[cls.__name__] = cls(*bodies)
    if geoms:
        reads["geoms"] = GeomPosition(*geoms)
    if sites:
        reads["sites"] = SitePosition(*sites)
    if len(geoms) > 1:
        reads["contacts"] = InContact(((geoms[0], geoms[-1]), (geoms[0], geoms[1])))
    return reads


def random_state(
    info: ModelInfo, count: int, seed: int = 7
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return states near the default pose, with rotations that are not normalised."""
    rng = np.random.default_rng(seed)
    q = np.tile(info.default_positions, (count, 1))
    q += rng.uniform(-0.02, 0.02, q.shape).astype(np.float32)
    for span in info.quaternions:
        q[:, span] *= 1.5
    v = rng.uniform(-0.5, 0.5, (count, info.num_velocities)).astype(np.float32)
    return q, v


def drive(
    sim: Simulation,
    reads: Reads,
    steps: int = STEPS,
    seed: int = 3,
    rows: NDArray[np.int64] | None = None,
) -> Trace:
    """Step with controls that are drawn for each row by its number; return all reads."""
    numbers = np.arange(sim.num_envs) if rows is None else rows
    limits = np.clip(sim.model.ctrl_range, -1, 1)
    trace = []
    for step in range(steps):
        draws = np.random.default_rng([seed, step]).uniform(0, 1, (100, sim.model.num_actuators))
        ctrl = limits[:, 0] + draws[numbers] * (limits[:, 1] - limits[:, 0])
        assert not sim.step(ctrl.astype(np.float32), SUBSTEPS).any(), "a row diverged"
        trace.append(look(reads))
    return trace


def look(reads: Reads, without: int | None = None) -> dict[str, NDArray[np.float32]]:
    """Return copies of all reads, one row left out."""
    arrays = {name: array.copy() for name, array in vars(reads).items()}
    return {k: a if without is None else np.delete(a, without, 0) for k, a in arrays.items()}


def assert_same(message: str, one: Trace, other: Trace) -> None:
    """Compare two traces bit by bit."""
    assert len(one) == len(other)
    for step, (mine, yours) in enumerate(zip(one, other, strict=True)):
        for name, array in mine.items():
            same = np.array_equal(array.view(np.uint32), yours[name].view(np.uint32))
            assert same, f"{message}: '{name}' after step {step + 1}"


def raises(error: type[Exception], call: Any) -> bool:
    """Return whether a call raises an error of this type."""
    try:
        call()
    except error:
        return True
    return False


__all__ = ["SimulationContract"]
