"""What every training backend promises, as tests: subclass `BackendContract` and run pytest."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any

import numpy as np
from motrix_envs.errors import ConfigError

from motrix_rl import registry
from motrix_rl.base import BaseRLCfg
from motrix_rl.testing.ends import EndTests
from motrix_rl.testing.policies import PolicyTests
from motrix_rl.testing.repetition import RepetitionTests

FRAMEWORKS = {"numpy", "gymnasium", "torch", "jax", "flax", "skrl", "tensorflow"}
"""What listing backends must not import."""

IMPOSSIBLE: dict[str, Any] = {
    "num_envs": 0,
    "play_num_envs": 0,
    "max_env_steps": 0,
    "check_point_interval": 0,
    "seed": -1,
    "device": "no-such-device",
    "no_such_option": 1,
}
"""Values that no configuration may take."""


class BackendContract(PolicyTests, RepetitionTests, EndTests):
    """The promises of a training backend, one test method each.

        class TestMine(BackendContract):
            rllib, backend = "acme", "numpy"
            tiny = {"num_envs": 4, "horizon": 64}  # as JSON; one update takes no time

    The methods are plain: they raise `AssertionError` with what to do, so they can be called
    without pytest too. They share a few trainings of three updates. `BackendCase` lists the
    attributes that a subclass may change.
    """

    # Declaration

    def test_declaring_imports_nothing(self) -> None:
        """The trainer is declared by its place alone: listing imports neither it nor frameworks."""
        outcome = self.elsewhere()
        rllib, backend, algo = self.place()
        assert outcome["target"], (
            f"no plugin declares a trainer for {self.place()}: registry.backend(rllib={rllib!r}, "
            f"backend={backend!r}, algo={algo!r}, trainer='package.module:Trainer')"
        )
        heavy = FRAMEWORKS.intersection(outcome["imported"])
        heavy |= {outcome["target"].partition(":")[0]}.intersection(outcome["imported"])
        assert not heavy, (
            f"listing backends imports {sorted(heavy)}: the hook of a plugin declares in strings "
            "and lies in a module that imports nothing"
        )

    def test_preset(self) -> None:
        """The environment has a preset for this backend, which can be trained with as it is."""
        cfg = registry.default_rl_cfg(self.env_name, *self.place())
        assert isinstance(cfg, BaseRLCfg), f"{type(cfg).__name__} must derive from BaseRLCfg"
        assert dataclasses.is_dataclass(cfg), f"put @dataclass on {type(cfg).__name__}"
        try:
            cfg.validate()
        except ConfigError as error:
            raise AssertionError(f"the preset of '{self.env_name}' is refused: {error}") from error
        trainer = self.trainer_class()
        named = (trainer.rllib, trainer.backend, trainer.algo)
        assert named == self.place(), (
            f"{trainer.__name__} calls itself {named} and is declared as {self.place()}: its "
            "attributes rllib, backend and algo decide which preset it takes"
        )

    def test_impossible_configurations(self) -> None:
        """What cannot be trained with raises ConfigError, before there is a run folder."""
        for name, value in IMPOSSIBLE.items():
            root = self.folder()
            with contextlib.suppress(ConfigError):
                self.trainer(root, {**self.options(), name: value}).train()
                raise AssertionError(
                    f"{name} = {value!r} is trained with: call super().validate() in validate() of "
                    "the configuration, and refuse what else you cannot do in check_cfg() of the "
                    "trainer"
                )
            left = [path.name for path in root.iterdir()]
            assert not left, (
                f"{name} = {value!r} is refused when there is a folder of runs already: refuse it "
                "in validate(), check_cfg() or build_module()"
            )

    # What a training leaves

    def test_a_finished_run(self) -> None:
        """A training ends at its planned end; its run says what was trained and how it went."""
        run = self.trained().run
        assert run.record["status"] == "finished", (
            f"the run says {run.record['status']}: return from learn() when session.done, and let "
            "what the session raises pass"
        )
        written = {name: run.record["rl"].get(name) for name in self.tiny}
        assert written == json.loads(json.dumps(dict(self.tiny))), (
            f"run.json says {written}, the options were {self.tiny}: do not change self.cfg"
        )
        cfg = self.cfg()
        update = cfg.rollout_steps * cfg.num_envs
        found, due = run.checkpoints(), [2 * update, 3 * update]
        assert found == due, (
            f"there are checkpoints of the steps {found}; due are {due}, the second update of "
            f"{update} steps and the last one: call session.after_update(batch_steps, ...) at the "
            "end of every rollout of cfg.rollout_steps, until session.done"
        )
        summary = run.record["summary"]["env_steps"]
        assert summary == 3 * update, f"the run's summary says {summary} steps, not {3 * update}"

    def test_steps_are_counted(self) -> None:
        """Every step is recorded, once; every update is reported where its rollout ends."""
        training, cfg = self.trained(), self.cfg()
        tally, due = training.trainer.tally, [cfg.rollout_steps * n for n in (1, 2, 3)]
        assert tally.records == tally.steps and not tally.early_records, (
            f"session.record() was called {tally.records} times for {tally.steps} steps: call it "
            "once, right after each env.step(...)"
        )
        assert tally.reports == [(steps, steps) for steps in due], (
            f"session.after_update was told (steps, really made) {tally.reports}; due are the "
            f"steps {due}: tell it the steps of the batch so far, at the end of each rollout"
        )
        for updates in (2, 3):
            steps = updates * cfg.rollout_steps
            wanted = {
                "batch_steps": steps,
                "env_steps": steps * cfg.num_envs,
                "updates": updates,
            }
            counters = training.run.load(wanted["env_steps"]).state["counters"]
            assert counters == wanted, f"a checkpoint counts {counters} instead of {wanted}"

    def test_metrics(self) -> None:
        """There is a line of finite numbers for every update, further on than the one before."""
        lines = self.trained().run.metrics()
        rows = [line for line in lines if not any(name.startswith("select/") for name in line)]
        steps = [row["env_steps"] for row in rows]
        assert len(rows) == 3 and steps == sorted(set(steps)), (
            f"metrics.jsonl has lines for the steps {steps}: report each of 3 updates once"
        )
        for row in lines:
            wrong = {name: value for name, value in row.items() if not np.isfinite(value)}
            assert not wrong, f"not finite in metrics.jsonl: {wrong}"
