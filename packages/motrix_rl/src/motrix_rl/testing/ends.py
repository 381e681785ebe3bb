"""What a backend promises about lone environments, stops, errors and divergence."""

from __future__ import annotations

from motrix_envs.errors import ConfigError, MotrixError
from motrix_envs.np.actions import random_actions

from motrix_rl.session import DivergedError
from motrix_rl.testing.case import BackendCase
from motrix_rl.training_log import Progress


class CallbackError(Exception):
    """What a callback of the kit raises."""


class EndTests(BackendCase):
    """One test for each way in which a training may end."""

    def test_a_lone_environment(self) -> None:
        """One environment can be trained in, or is refused by a ConfigError that says so."""
        training = self.train(updates=1, num_envs=1)
        if training.error is None:
            steps = self.cfg(num_envs=1).rollout_steps
            assert training.run.checkpoints() == [steps], (
                f"with one environment and {steps} steps there are checkpoints of the steps "
                f"{training.run.checkpoints()}"
            )
            return
        said = isinstance(training.error, ConfigError) and "num_envs" in str(training.error)
        assert said, (
            f"num_envs = 1 ends by {training.error!r}: keep the batch axis, or refuse it in "
            "validate(), naming num_envs"
        )

    def test_a_requested_stop(self) -> None:
        """A stop ends the training at the next end of a rollout, with a checkpoint of it."""
        training = self.train(lambda trainer, progress: trainer.request_stop())
        assert training.error is None, f"a requested stop ends by {training.error!r}"
        cfg, run = self.cfg(), training.run
        due = [cfg.rollout_steps * cfg.num_envs]
        assert (run.record["status"], run.checkpoints()) == ("stopped", due), (
            f"after a stop in the first of 3 updates the run says {run.record['status']}, with "
            f"checkpoints of the steps {run.checkpoints()} instead of {due}: do not catch the "
            "TrainingStopped that after_update() raises"
        )

    def test_an_error(self) -> None:
        """An error passes; the run says so, checkpoints stay whole, the environment is closed."""
        update = self.cfg().rollout_steps * self.cfg().num_envs

        def fail(trainer: object, progress: Progress) -> None:
            if progress.env_steps == 3 * update:
                raise CallbackError("raised by the kit")

        training = self.train(fail)
        assert isinstance(training.error, CallbackError), (
            f"an error in a callback came out as {training.error!r}: do not catch what the session "
            "raises"
        )
        status, saved = training.run.record["status"], training.run.checkpoints()
        assert (status, saved) == ("failed", [2 * update]), (
            f"after an error in the third update the run says {status}, with checkpoints of the "
            f"steps {saved}; failed and {[2 * update]} are due: leave both to the session"
        )
        assert training.run.load().state["counters"]["env_steps"] == 2 * update
        env = training.trainer.env
        try:
            env.step(random_actions(env.action_space, 1, env.num_envs, seed=0)[0])
        except MotrixError:
            return
        raise AssertionError("the environment is still open: leave opening it to Trainer.train()")

    def test_divergence(self) -> None:
        """Weights that are not finite end in a DivergedError, and are never saved."""
        training = self.train(spoil=True)
        assert isinstance(training.error, DivergedError), (
            f"a training that began with weights of NaN ended by {training.error!r}: train the "
            "module that learn() is given, let the session see its weights and losses as they are, "
            "and let its DivergedError pass"
        )
        found = training.run.checkpoints()
        assert not found, f"weights that are not finite were saved at the steps {found}"
        assert training.run.record["status"] == "failed", training.run.record["status"]
