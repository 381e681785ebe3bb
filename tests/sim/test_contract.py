"""Every engine keeps the contract of the seam, on the models of this folder."""

from importlib.util import find_spec

import pytest
from models import MODELS, TIMESTEPS
from motrix_envs.testing import SimulationContract

needs_mujoco = pytest.mark.skipif(
    find_spec("motrix_envs_mujoco") is None, reason="needs motrix-envs-mujoco"
)


class TestMotrixSim(SimulationContract):
    engine = "motrixsim"
    models = MODELS
    timesteps = TIMESTEPS


@needs_mujoco
class TestMujoco(SimulationContract):
    engine = "mujoco"
    models = MODELS
    timesteps = TIMESTEPS


@needs_mujoco
class TestMujocoFast(SimulationContract):
    engine = "mujoco-fast"
    models = MODELS
    timesteps = TIMESTEPS
    isotropic_friction = False
