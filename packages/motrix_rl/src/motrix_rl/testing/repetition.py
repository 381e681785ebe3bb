"""What a backend promises about doing the same again, bit for bit."""

from __future__ import annotations

from motrix_rl.checkpoint import read_hash
from motrix_rl.testing.case import BackendCase
from motrix_rl.testing.watch import Training, scramble_global_randomness


class RepetitionTests(BackendCase):
    """One test for each promise about seeds and randomness."""

    @staticmethod
    def _hash(training: Training) -> str:
        assert training.error is None, f"a further training ended by {training.error!r}"
        return read_hash(training.run.checkpoint_folder())

    def test_same_seed_same_checkpoint(self) -> None:
        """The same seed gives the same checkpoint in the same process, whatever was before."""
        first = self._hash(self.trained())
        self.trained_otherwise()
        scramble_global_randomness()
        again = self._hash(self.train())
        assert again == first, (
            f"seed 1 gives {first[:12]} and, after another training in the same process, "
            f"{again[:12]}: draw from generators that learn() or build_module() makes from the "
            "seed, and keep nothing in modules or classes"
        )

    def test_same_seed_in_another_process(self) -> None:
        """The same seed gives the same checkpoint in another process."""
        here, there = self._hash(self.trained()), self.elsewhere()["hash"]
        assert here == there, (
            f"seed 1 gives {here[:12]} here and {there[:12]} in another process: depend on no "
            "hash(), id(), time or order of a set"
        )

    def test_other_seed_other_weights(self) -> None:
        """Another seed gives other weights."""
        module, other = (
            training.run.load().module.tensors
            for training in (self.trained(), self.trained_otherwise())
        )
        same = all(array.tobytes() == other[name].tobytes() for name, array in module.items())
        assert not same, (
            "seeds 1 and 2 give the same weights: draw from the seed that build_module() gets, and "
            "in learn() from derived_seed(env.seed, ...). (Or `tiny` is too tiny to learn from.)"
        )

    def test_scoring_checkpoints_leaves_the_training_alone(self) -> None:
        """With and without `select_episodes` the same seed gives the same checkpoint."""
        scored = self._hash(self.trained())
        alone = self._hash(self.train(select_episodes=0))
        assert scored == alone, (
            f"seed 1 gives {scored[:12]}, and {alone[:12]} where no checkpoint is scored: another "
            "module of the same class is built and acts, so keep nothing that both would share in "
            "modules or classes, and let seeded() give back your framework's global generators"
        )

    def test_global_randomness_is_left_alone(self) -> None:
        """A training leaves `random` and `numpy.random` as it found them."""
        assert self.trained().global_randomness_kept, (
            "train() moved random or numpy.random: draw from a np.random.default_rng(seed) of your "
            "own, and leave train() to Trainer"
        )
