"""Contract kits: what a plugin must keep, as tests that its author inherits.

    # tests/test_hop.py of your package
    from motrix_envs.testing import EnvContract

    class TestHop(EnvContract):
        env_name = "acme-hop"

Then `pytest` tells, one promise at a time, what is kept and what to do about the rest.
"""

from motrix_envs.testing.env import EnvContract as EnvContract
from motrix_envs.testing.simulation import SimulationContract as SimulationContract
