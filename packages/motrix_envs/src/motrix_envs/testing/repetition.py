"""What an environment promises about doing the same again, bit for bit."""

from __future__ import annotations

import numpy as np

from motrix_envs.np.actions import MOST_ROWS
from motrix_envs.testing.case import EnvCase
from motrix_envs.testing.rollout import (
    first_difference,
    handed_out,
    identical,
    random_actions,
    run_of,
    steps_of,
    written_down,
)


class RepetitionTests(EnvCase):
    """One test for each promise about arrays, seeds, batches and snapshots."""

    # Arrays

    def test_arrays_are_never_overwritten(self, name: str) -> None:
        """What a step hands out stays as it is, whatever comes after."""
        env = self.make(name, self.short(name))
        state = env.init_state()
        kept = [(handed_out(state), written_down(state))]
        for action in random_actions(env, self.steps):
            state = env.step(action)
            kept.append((handed_out(state), written_down(state)))
        for step, (arrays, as_they_were) in enumerate(kept):
            for title, array in arrays.items():
                assert identical(np.asarray(array), as_they_were[title]), (
                    f"{title} of step {step} was overwritten later: return new arrays, not "
                    "buffers or reads of the simulation (copy them)"
                )
        env.close()

    # Randomness

    def test_same_seed_same_run(self, name: str) -> None:
        """Two environments with the same seed do the same, bit for bit."""
        pair = [self.make(name, self.short(name)) for _ in range(2)]
        actions = random_actions(pair[0], self.steps)
        one, other = (run_of(env, actions) for env in pair)
        difference = first_difference(one, other)
        assert not difference, (
            f"two runs with seed 1 differ ({difference}): draw random numbers from self.streams "
            "alone, and keep no state outside of the environment"
        )
        for env in pair:
            env.close()

    def test_other_seeds_and_rows_differ(self, name: str) -> None:
        """Another seed gives other episodes, and so does another row."""
        if not self.random_starts:
            return
        pair = [self.make(name, self.short(name), seed=seed) for seed in (1, 2)]
        actions = random_actions(pair[0], self.steps)
        actions = np.broadcast_to(actions[:, :1], actions.shape)
        one, other = (np.stack([s["obs"] for s in run_of(env, actions)]) for env in pair)
        assert not identical(one, other), (
            "seeds 1 and 2 give the same observations: draw from self.streams in reset(), or set "
            "random_starts = False here if the environment has no randomness at all"
        )
        assert not identical(one[:, 0], one[:, 1]), (
            "rows 0 and 1 see the same: draw for each row, self.streams.uniform(name, rows, ...)"
        )
        for env in pair:
            env.close()

    def test_rows_do_not_depend_on_the_batch(self, name: str) -> None:
        """A row does the same, bit for bit, whatever the number of rows beside it."""
        runs = {}
        for n in (1, 3, 17, MOST_ROWS):
            env = self.make(name, self.short(name), num_envs=n)
            runs[n] = run_of(env, random_actions(env, self.steps))
            env.close()
        whole = runs.pop(MOST_ROWS)
        for n, run in runs.items():
            difference = first_difference(run, whole, rows=n)
            assert not difference, (
                f"rows differ between batches of {n} and {MOST_ROWS} ({difference}): compute with "
                "each row's own numbers, no mean, norm or draw over the batch axis, and no matrix "
                "product over rows"
            )

    # Snapshots

    def test_snapshot_continues_bit_for_bit(self, name: str) -> None:
        """After `restore`, here or in another process, everything goes on as it did."""
        env, other = (self.make(name, self.short(name)) for _ in range(2))
        actions = random_actions(env, self.steps)
        middle = self.episode_steps // 2
        run_of(env, actions[:middle])
        snapshot = env.snapshot()
        for title, array in snapshot.items():
            assert isinstance(array, np.ndarray), f"'{title}' of the snapshot is no array"
        as_it_was = {title: array.copy() for title, array in snapshot.items()}
        future = steps_of(env, actions[middle:])
        changed = [title for title in snapshot if not identical(snapshot[title], as_it_was[title])]
        assert not changed, f"later steps changed {changed} of the snapshot: snapshot() must copy"
        for where, each in (("the same", env), ("another", other)):
            each.restore(snapshot)
            difference = first_difference(future, steps_of(each, actions[middle:]))
            assert not difference, (
                f"{where} environment goes on otherwise after restore() ({difference}): keep what "
                "the future depends on in state.info under names of init_info(), not in attributes"
            )
        env.close()
        other.close()
