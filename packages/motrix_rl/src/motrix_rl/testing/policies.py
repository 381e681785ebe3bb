"""What a backend promises about the policies that it trains and saves."""

from __future__ import annotations

import numpy as np
from motrix_envs.np.actions import limits
from numpy.typing import NDArray

from motrix_rl.contract import contract
from motrix_rl.evaluation import derived_seed, evaluate
from motrix_rl.policy import Policy, load_policy, warm_start
from motrix_rl.testing.case import BackendCase
from motrix_rl.testing.watch import flat_state

CLOSE = 1e-4  # between batches of other sizes, whose sums a library may order otherwise


class PolicyTests(BackendCase):
    """One test for each promise about a policy."""

    def policy(self) -> Policy:
        """Return the policy that was saved last, read anew."""
        return load_policy(self.trained().run.path, "latest", trusted=self._its_packages())

    def _its_packages(self) -> tuple[str, ...]:
        return (type(self.trained().trainer.module).__module__.split(".")[0],)

    def _acts(self, policy: Policy, obs: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(policy.act(obs), np.float64)

    def test_the_policy_acts(self) -> None:
        """A saved policy gives finite, legal actions, and the same ones each time."""
        obs = self.observations()
        with self.opened(1) as env:
            space, written = env.action_space, contract(env)
        actions = self.policy().act(obs)
        shape = (len(obs), *(space.shape or ()))
        assert actions.shape == shape, (
            f"actions have shape {actions.shape} instead of {shape}: give the module the "
            "environment's action_space"
        )
        values = np.asarray(actions, np.float64)
        assert np.isfinite(values).all(), "the saved policy's actions are not finite"
        low, high = limits(space)
        assert (values >= low).all() and (values <= high).all(), (
            f"actions lie in [{values.min()}, {values.max()}], outside of {space}: give the module "
            "the environment's action_space, by whose bounds act() clips"
        )
        for again in (self.policy(), self.policy()):
            assert np.array_equal(again.act(obs), actions), (
                "the policy acts otherwise when it is loaded again: without noise, an action "
                "depends on weights and observations alone"
            )
        assert self.policy().contract == written, "leave writing the contract to the session"

    def test_the_policy_does_not_mix_rows(self) -> None:
        """A row's action does not depend on how many rows are beside it."""
        obs = self.observations()
        together = self._acts(self.policy(), obs)
        for rows in (1, 3, len(obs)):
            alone = self._acts(self.policy(), obs[:rows])
            worst = np.abs(alone - together[:rows]).max()
            assert worst <= CLOSE, (
                f"among {rows} rows a policy acts otherwise than among {len(obs)}, by {worst}: "
                "compute each row from its own observation, no mean or norm over the batch"
            )

    def test_what_is_saved_is_what_was_trained(self) -> None:
        """The module that `learn` was given has changed, and the saved policy acts as it does."""
        trainer, obs = self.trained().trainer, self.observations()
        left = flat_state(trainer.module)
        assert any(not np.array_equal(left[name], old) for name, old in trainer.start.items()), (
            "three updates did not change the module that learn() was given: train it in place, "
            "or bring it up to date in `learned`, which after_update() calls before it saves. (Or "
            "`tiny` is too tiny to learn anything from.)"
        )
        trained, _ = trainer.module.act(obs, deterministic=True)
        difference = np.abs(self._acts(self.policy(), obs) - np.asarray(trained, np.float64)).max()
        assert difference <= CLOSE, (
            f"the saved policy acts otherwise than the module after training, by {difference}: "
            "bring it up to date in `learned`, and let get_state() have all that acting needs"
        )

    def test_the_policy_can_be_trained_on(self) -> None:
        """A new module takes the weights of a saved policy and acts as it does."""
        run, trainer = self.trained().run, self.trainer(self.folder(), self.options())
        with self.opened(self.cfg().num_envs) as env:
            module = trainer.build_module(env, derived_seed(2, "weights"))
            warm_start(module, run.checkpoint_folder("latest"), env)
        actions, _ = module.act(self.observations(), deterministic=True)
        expected = self._acts(self.policy(), self.observations())
        difference = np.abs(np.asarray(actions, np.float64) - expected).max()
        assert difference <= CLOSE, (
            f"a module with the weights of a saved policy acts otherwise, by {difference}: all "
            "that acting needs belongs to get_state() and set_state()"
        )

    def test_the_policy_is_evaluated_and_played(self) -> None:
        """Whole episodes can be played with it, twice the same ones; `play` runs too."""
        results = []
        for _ in range(2):
            with self.opened(3, seed=derived_seed(1, "report")) as env:
                results.append(evaluate(env, self.policy(), episodes=3))
        assert results[0] == results[1], (
            f"two evaluations from the same starts give {results}: a policy without noise repeats "
            "itself"
        )
        assert np.isfinite(results[0].mean), f"the return is {results[0].mean}"
        self.trainer(self.folder(), self.options()).play(self.trained().run.path, max_steps=3)
