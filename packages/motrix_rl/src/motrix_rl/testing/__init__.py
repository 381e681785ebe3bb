"""Contract kit: what a training backend must keep, as tests that its author inherits.

    # tests/test_backend.py of your package
    from motrix_rl.testing import BackendContract

    class TestMine(BackendContract):
        rllib, backend = "acme", "numpy"
        tiny = {"num_envs": 4, "horizon": 64}

Then `pytest` tells, one promise at a time, what is kept and what to do about the rest.
"""

from motrix_rl.testing.backend import BackendContract as BackendContract
