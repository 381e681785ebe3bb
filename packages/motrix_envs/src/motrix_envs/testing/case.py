"""What the tests of an environment share: which one, and how it is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from motrix_envs import registry
from motrix_envs.base import EnvCfg
from motrix_envs.np.env import NpEnv


class EnvCase:
    """An environment under test.

    Attributes:
        env_name: The registered id, or several.
        sim_backend: Engine to test with; None takes the default one.
        num_envs: Number of rows, at least 3.
        steps: Control steps of a run.
        episode_steps: Time limit in control steps, so that a run sees several ends.
        random_starts: Whether episodes differ by chance. Set it to False for an environment
            without any randomness.
        registry: Where the id is looked up.
    """

    env_name: ClassVar[str | tuple[str, ...]] = ()
    sim_backend: ClassVar[str | None] = None
    num_envs: ClassVar[int] = 6
    steps: ClassVar[int] = 27
    episode_steps: ClassVar[int] = 10
    random_starts: ClassVar[bool] = True
    registry: ClassVar[registry.EnvRegistry] = registry.default

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Let pytest run every test once for each id."""
        names = (self.env_name,) if isinstance(self.env_name, str) else self.env_name
        assert names, f'write env_name = "..." into {type(self).__name__}: the id to test'
        if "name" in metafunc.fixturenames:
            metafunc.parametrize("name", names)

    def cfg(self, name: str) -> EnvCfg:
        """Return a fresh copy of the default configuration."""
        return self.registry.default_cfg(name)

    def make(
        self,
        name: str,
        override: Mapping[str, Any] | None = None,
        num_envs: int | None = None,
        seed: int = 1,
    ) -> NpEnv:
        """Build the environment under test."""
        return self.registry.make(name, self.sim_backend, override, num_envs or self.num_envs, seed)

    def short(self, name: str, steps: int | None = None) -> dict[str, float]:
        """Return an override that ends episodes after `episode_steps`, or `steps`."""
        return {"max_episode_seconds": (steps or self.episode_steps) * self.cfg(name).ctrl_dt}
